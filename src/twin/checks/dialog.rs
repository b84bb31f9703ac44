//! Requests within a dialog: sequence, tags, remote target and route set (RFC 3261 §12.2).

use super::{Breach, Findings};
use crate::twin::octets::{Plain, address};

/// What a platform knows of a dialog of its own.
#[derive(Clone, Debug, Default)]
pub struct Dialog {
    /// The URI of its Contact: the Request-URI of what comes (TDR-83, GEN-40).
    pub contact: String,
    /// Its Record-Route values in the order in which requests to it carry them as Route (GEN-38).
    pub routes: Vec<String>,
    /// Its own tag.
    pub local_tag: String,
    /// The SBC's tag.
    pub remote_tag: String,
    /// CSeq of the last request that came; `None` before the first.
    pub last_cseq: Option<u32>,
}

/// The rules' names for the platform that judges.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// For the Request-URI.
    pub target: &'static str,
    /// For Route.
    pub routes: &'static str,
}

/// The hub's names.
pub const HUB: Rules = Rules { target: "TDR-83", routes: "TDR-83" };

/// Genesys' names.
pub const GENESYS: Rules = Rules { target: "GEN-40", routes: "GEN-38" };

/// Judges a request that belongs to `dialog` by its Call-ID. `invite` is the CSeq of the INVITE that an
/// ACK has to repeat.
pub fn request(dialog: &Dialog, rules: Rules, plain: &Plain, invite: Option<u32>) -> Vec<Breach> {
    let mut found = Findings::default();
    let (method, cseq) = (plain.method(), plain.cseq());
    found.refuse(plain.tag("To") == dialog.local_tag, "RFC 3261 §12.2.2", 481, || {
        format!("To tag {:?}, the dialog's is {:?}", plain.tag("To"), dialog.local_tag)
    });
    found.refuse(plain.tag("From") == dialog.remote_tag, "RFC 3261 §12.2.2", 481, || {
        format!("From tag {:?}, the dialog's is {:?}", plain.tag("From"), dialog.remote_tag)
    });
    match method {
        "ACK" => found.note(Some(cseq) == invite, "RFC 3261 §13.2.2.4", || {
            format!("ACK with CSeq {cseq}, the INVITE had {invite:?}")
        }),
        _ => found.refuse(dialog.last_cseq.is_none_or(|last| cseq > last), "RFC 3261 §12.2.2", 500, || {
            format!("CSeq {cseq} after {:?}", dialog.last_cseq)
        }),
    }
    // The remote target goes back as it came, parameters and all, whoever is dialled.
    found.note(plain.request_uri() == dialog.contact, rules.target, || {
        format!("{method} to {:?}, our Contact was {:?}", plain.request_uri(), dialog.contact)
    });
    let routes: Vec<&str> = plain.list("Route").into_iter().map(|value| address(value).uri).collect();
    let expected: Vec<&str> = dialog.routes.iter().map(|value| address(value).uri).collect();
    found.note(routes == expected, rules.routes, || {
        format!("{method} with Route {routes:?}, our Record-Route was {expected:?}")
    });
    found.0
}

#[cfg(test)]
mod tests {
    use super::super::tests::with;
    use super::*;

    const BYE: &str = "BYE sip:+4917155501234@198.51.100.34:5061;transport=tls;gc-node=c9d0;ob SIP/2.0\r\n\
        Via: SIP/2.0/TLS sbc1.example.com:5061;branch=z9hG4bK-m5-01\r\n\
        Route: <sip:198.51.100.21:5061;transport=tls;lr;gcv=2>\r\nMax-Forwards: 70\r\n\
        From: <sip:+496955502007@sbc1.example.com>;tag=ours\r\nTo: <sip:+4917155501234@198.51.100.21>;tag=gc\r\n\
        Call-ID: 9c2e\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n";

    fn dialog() -> Dialog {
        Dialog {
            contact: "sip:+4917155501234@198.51.100.34:5061;transport=tls;gc-node=c9d0;ob".into(),
            routes: vec!["<sip:198.51.100.21:5061;transport=tls;lr;gcv=2>".into()],
            local_tag: "gc".into(),
            remote_tag: "ours".into(),
            last_cseq: Some(1),
        }
    }

    #[test]
    fn a_request_keeps_target_routes_tags_and_sequence() {
        for (old, new, rule) in [
            ("BYE", "BYE", None),
            (";gc-node=c9d0;ob SIP", " SIP", Some("GEN-40")),
            (";lr;gcv=2", ";lr", Some("GEN-38")),
            ("Route: <", "X-Route: <", Some("GEN-38")),
            ("tag=gc", "tag=other", Some("RFC 3261 §12.2.2")),
            ("tag=ours", "tag=other", Some("RFC 3261 §12.2.2")),
            ("CSeq: 2", "CSeq: 1", Some("RFC 3261 §12.2.2")),
        ] {
            let found = request(&dialog(), GENESYS, &with(BYE, old, new), Some(1));
            assert_eq!(found.first().map(|breach| breach.rule), rule, "{old:?} → {new:?}");
        }
    }

    #[test]
    fn an_ack_repeats_the_number_of_its_invite() {
        let ack = with(&BYE.replace("BYE", "ACK"), "CSeq: 2", "CSeq: 1");
        assert_eq!(request(&dialog(), GENESYS, &ack, Some(1)), vec![]);
        assert_eq!(request(&dialog(), GENESYS, &ack, Some(3))[0].rule, "RFC 3261 §13.2.2.4");
    }
}
