//! What a trunk of a kind wants on the wire: the rules of the platforms, as pure functions.
//!
//! - [`caller`] and [`called`] read who calls whom from an INVITE.
//! - [`invite_form`], [`contact`], [`via`], [`allow`], [`supported`] and [`introduce`] say how ours looks to a trunk.
//! - [`crosses`], [`crossing`], [`reason`] and [`final_status`] say what of one leg the other
//!   sees, [`why_not`] why a line stays; [`cause`] and [`explanation`] why a call ended; [`location`] and [`located`] where
//!   an emergency caller is.
//! - [`carried`] is what of an INVITE goes over, with [`user_to_user`] and [`forwarding`] in the words of the trunk;
//!   [`goes_round`] says whether the call has come round.
//! - [`guard`] looks last at what is about to leave, and keeps back what a platform is documented to reject.
//!
//! Dialog identifiers, CSeq, routes and timers are the call's business: nothing here knows a dialog.
//! The tables of names, addresses and timers are in [`platforms`](crate::trunk::platforms).

mod carry;
mod cross;
mod explain;
mod form;
mod forwarding;
pub mod guard;
mod identity;
mod location;
mod uui;

pub use carry::{carried, goes_over, machinery, reserved_names};
pub use cross::{cause, crosses, crossing, explanation, final_status, is_reserved, reason};
pub use explain::why_not;
pub use form::{InviteForm, allow, contact, introduce, invite_form, supported, via};
pub use forwarding::{
    Diverter, DivertingReason, HOPS, MAX_REENTRIES, VOICEMAIL, diverters, forwarding, goes_round, hops,
    is_for_voicemail,
};
pub use identity::{Asserted, Caller, called, caller};
pub use location::{located, location};
pub use uui::{UserToUserData, UserToUserFault, handed_along, user_to_user};

/// What the tests of this folder share.
#[cfg(test)]
mod fixtures {
    use crate::flow::TrunkId;
    use crate::sip::Message;
    use crate::trunk::platforms::{Cloud, Generation, Platform, defaults};
    use crate::trunk::{Host, Termination, Trunk};
    use std::sync::Arc;

    pub(super) fn teams() -> Trunk {
        let teams = defaults(&Platform::Teams { cloud: Cloud::Worldwide }).unwrap();
        teams.into_trunk(TrunkId(0), "teams", "sbc1.example.com", 5067)
    }

    pub(super) fn genesys(termination: Termination) -> Trunk {
        let (generation, region, identifier) = (Generation::Classic, "eu-central-1", "acme-sbc");
        let genesys = defaults(&Platform::Genesys { generation, region, identifier, termination }).unwrap();
        genesys.into_trunk(TrunkId(1), "genesys", "sbc1.example.com", 5061)
    }

    pub(super) fn generic() -> Trunk {
        let mut trunk = defaults(&Platform::Generic).unwrap().into_trunk(TrunkId(2), "pbx", "sbc1.example.com", 5061);
        trunk.hosts = vec![Host { name: Arc::from("pbx.example.com"), port: None }];
        trunk.request_host = Arc::from("pbx.example.com");
        trunk
    }

    /// A message with this start line and these header lines and body; the fields that every message
    /// needs are added where they are missing.
    pub(super) fn message(start: &str, lines: &[&str], body: &str) -> Message {
        let has = |name: &str| lines.iter().any(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
        let mut text = format!("{start}\r\nVia: SIP/2.0/TLS 192.0.2.7;branch=z9hG4bK1\r\n");
        let needed = [
            ("from", "From: <sip:+14255550199@example.com>;tag=1"),
            ("to", "To: <sip:+14255550100@sbc1.example.com>"),
            ("call-id", "Call-ID: 1"),
            ("cseq", "CSeq: 1 INVITE"),
        ];
        let needed = needed.iter().filter(|(name, _)| !has(name)).map(|&(_, line)| line);
        for line in needed.chain(lines.iter().copied()) {
            text.push_str(line);
            text.push_str("\r\n");
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        Message::parse(bytes::Bytes::from(text)).unwrap()
    }

    pub(super) fn invite(lines: &[&str]) -> Message {
        message("INVITE sip:+14255550100@sbc1.example.com SIP/2.0", lines, "")
    }
}
