//! What a trunk of a kind wants on the wire: the rules of the platforms, as pure functions.
//!
//! - [`caller`] and [`called`] read who calls whom from an INVITE.
//! - [`invite_form`], [`contact`], [`via`], [`allow`] and [`supported`] say how ours looks to a trunk.
//! - [`crosses`], [`crossing`], [`reason`], [`final_status`] and [`body_for`] say what of one leg the other sees.
//!
//! Dialog identifiers, CSeq, routes and timers are the call's business: nothing here knows a dialog.
//! The tables of names, addresses and timers are in [`platforms`](crate::trunk::platforms).

mod cross;
mod form;
mod identity;

pub use cross::{body_for, crosses, crossing, final_status, reason};
pub use form::{InviteForm, allow, contact, invite_form, supported, via};
pub use identity::{Caller, called, caller};
