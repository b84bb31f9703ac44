//! The platforms played: a Teams hub and a Genesys trunk over real sockets, as strict as the documents.
//!
//! The demo and the tests place calls between a [`Platform`] that plays the hub and one that plays
//! the trunk, with Tandem between them. A platform does four things:
//!
//! - it *checks* every message it gets ([`checks`]): each rule broken is a [`Breach`] that names the
//!   rule, and the request is refused as the platform would refuse it (403 for an address in Contact);
//! - it *plays* a user agent by script: a [`Call`] rings, answers, holds, forks, hangs up, and sends
//!   in-dialog requests from other addresses on new connections, as both platforms do (TDR-22, GEN-7);
//! - it *asks and proves* who is there by Digest, where it is told to ([`digest`]);
//! - it *records* what it saw, from which a ladder of both legs is drawn with what Tandem changed.
//!
//! A check that used Tandem's own parser alone could be wrong together with it. So checks read the
//! octets by simple code of their own ([`octets`]), and where `rsip` can read the message its reading
//! must say the same ([`reading`]). What the platforms send is written by plain formatting ([`text`]).

pub mod call;
pub mod certificates;
pub mod checks;
pub mod digest;
pub mod lab;
pub mod ladder;
pub mod media;
pub mod network;
pub mod octets;
pub mod platform;
pub mod reading;
mod receive;
pub mod roles;
pub mod scenario;
#[cfg(test)]
mod tests;
pub mod text;
pub mod tls;

pub use call::{Call, Unmet};
pub use checks::Breach;
pub use digest::{Asking, Manner, Proving};
pub use lab::Lab;
pub use media::Flow;
pub use platform::{Platform, Setup, Traced};
pub use roles::{Placed, Side};
pub use scenario::{Played, Scenario};
