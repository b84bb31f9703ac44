//! The platforms played: a Teams hub and a Genesys trunk over real sockets, as strict as the documents.
//!
//! The demo and the tests place calls between a [`Platform`] that plays the hub and one that plays
//! the trunk, with Tandem between them. A platform does three things:
//!
//! - it *checks* every message it gets ([`checks`]): each rule broken is a [`Breach`] that names the
//!   rule, and the request is refused as the platform would refuse it (403 for an address in Contact);
//! - it *plays* a user agent by script: a [`Call`] rings, answers, holds, forks, hangs up, and sends
//!   in-dialog requests from other addresses on new connections, as both platforms do (TDR-22, GEN-7);
//! - it *records* what it saw, from which [`ladder`] draws both legs and what Tandem changed.
//!
//! A check that used Tandem's own parser alone could be wrong together with it. So checks read the
//! octets by simple code of their own ([`octets`]), and where `rsip` can read the message its reading
//! must say the same ([`reading`]). What the platforms send is written by plain formatting.

pub mod certificates;
pub mod checks;
pub mod octets;
pub mod reading;

pub use checks::Breach;
