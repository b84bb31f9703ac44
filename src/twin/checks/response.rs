//! What a response owes to its request (RFC 3261 §8.2.6.2, §12.1.1; GEN-38, GEN-39).

use super::{Breach, Findings};
use crate::twin::octets::{Plain, address};

/// Judges a response against the request it answers, which the platform had sent.
pub fn response(request: &Plain, response: &Plain) -> Vec<Breach> {
    let mut found = Findings::default();
    let status = response.status();
    for name in ["From", "Call-ID", "CSeq"] {
        found.note(request.first(name) == response.first(name), "RFC 3261 §8.2.6.2", || {
            format!("{name} came back as {:?}, it was {:?}", response.first(name), request.first(name))
        });
    }
    let (asked, given) = (address(request.first("To")), address(response.first("To")));
    found.note((asked.display, asked.uri) == (given.display, given.uri), "RFC 3261 §8.2.6.2", || {
        format!("To came back as {:?}, it was {:?}", response.first("To"), request.first("To"))
    });
    let tag = response.tag("To");
    found.note(status == 100 || !tag.is_empty(), "RFC 3261 §8.2.6.2", || format!("{status} without To tag"));
    let in_dialog = request.tag("To");
    found.note(in_dialog.is_empty() || tag == in_dialog, "RFC 3261 §8.2.6.2", || {
        format!("To tag {tag:?} in a response within dialog {in_dialog:?}")
    });
    for tag in response.list("Require") {
        let known = tag.eq_ignore_ascii_case("timer")
            || request.has_token("Supported", tag)
            || request.has_token("Require", tag);
        found.note(known, "GEN-43", || format!("Require: {tag}, which the request did not offer"));
    }
    vias(request, response, &mut found);
    let dialog = request.method() == "INVITE" && in_dialog.is_empty() && (101..300).contains(&status);
    if dialog {
        found.note(request.list("Record-Route") == response.list("Record-Route"), "GEN-38", || {
            format!(
                "Record-Route came back as {:?}, it was {:?}",
                response.list("Record-Route"),
                request.list("Record-Route")
            )
        });
    }
    let answered = (200..300).contains(&status) && request.method() == "INVITE";
    found.note(!answered || response.sdp().is_some(), "RFC 3261 §13.3.1.4", || {
        "2xx to INVITE without description".into()
    });
    let owed = match status {
        401 => Some("WWW-Authenticate"),
        407 => Some("Proxy-Authenticate"),
        405 => Some("Allow"),
        420 => Some("Unsupported"),
        422 => Some("Min-SE"),
        _ => None,
    };
    if let Some(name) = owed {
        found.note(response.has(name), "RFC 3261 §21.4", || format!("{status} without {name}"));
    }
    let timer = response.first("Session-Expires");
    found.note(timer.is_empty() || !answered || timer.contains("refresher=ua"), "RFC 4028 §9", || {
        format!("Session-Expires {timer:?} in a 2xx does not name the refresher")
    });
    found.0
}

/// Vias come back as they were; the top one may gain `received` and a value of `rport` (RFC 3581).
fn vias(request: &Plain, response: &Plain, found: &mut Findings) {
    let (sent, back) = (request.list("Via"), response.list("Via"));
    found.note(sent.len() == back.len(), "GEN-39", || {
        format!("{} Vias came back, {} were sent", back.len(), sent.len())
    });
    for (at, (sent, back)) in sent.iter().zip(&back).enumerate() {
        let same = if at == 0 { without_source(sent) == without_source(back) } else { sent == back };
        found.note(same, "GEN-39", || format!("Via {at} came back as {back:?}, it was {sent:?}"));
    }
}

/// A Via without `received` and `rport`, all else as it stands.
fn without_source(via: &str) -> String {
    let kept = via.split(';').filter(|part| {
        let name = part.split('=').next().unwrap_or("").trim().to_ascii_lowercase();
        name != "received" && name != "rport"
    });
    kept.collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{rules, with};
    use super::*;

    const INVITE: &str = "INVITE sip:+496955502007@sbc1.example.com SIP/2.0\r\n\
        Via: SIP/2.0/TLS 198.51.100.21:5061;branch=z9hG4bK4c1f.1;gcv=Zm9v%3D;rport;x-flag\r\n\
        Via: SIP/2.0/TLS 198.51.100.34:5061;branch=z9hG4bK77aa;rport;gc-flow=9\r\n\
        Record-Route: <sip:198.51.100.21:5061;transport=tls;lr;gcv=2>, <sip:198.51.100.22;lr>\r\n\
        From: \"Erika Muster\" <sip:+4917155501234@198.51.100.21>;tag=gc\r\nTo: <sip:+496955502007@sbc1.example.com>\r\n\
        Call-ID: 9c2e\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";

    fn ok() -> String {
        let head = INVITE.split_once("\r\n").expect("a start line").1;
        format!("SIP/2.0 180 Ringing\r\n{head}")
            .replacen("rport;x-flag", "rport=40000;x-flag;received=127.0.0.1", 1)
            .replacen("To: <sip:+496955502007@sbc1.example.com>", "To: <sip:+496955502007@sbc1.example.com>;tag=x", 1)
    }

    #[test]
    fn a_response_gives_back_what_it_was_given() {
        let request = with(INVITE, "INVITE", "INVITE");
        for (old, new, rule) in [
            ("180", "180", None),
            ("gcv=Zm9v%3D", "gcv=zm9v%3d", Some("GEN-39")),
            (";x-flag", "", Some("GEN-39")),
            ("gc-flow=9", "gc-flow=9;received=127.0.0.1", Some("GEN-39")),
            (";lr;gcv=2", ";lr", Some("GEN-38")),
            ("\"Erika Muster\"", "Erika", Some("RFC 3261 §8.2.6.2")),
            (";tag=x", "", Some("RFC 3261 §8.2.6.2")),
            ("CSeq: 1", "CSeq: 2", Some("RFC 3261 §8.2.6.2")),
            ("180 Ringing", "200 OK", Some("RFC 3261 §13.3.1.4")),
            ("180 Ringing", "422 Session Interval Too Small", Some("RFC 3261 §21.4")),
        ] {
            let found = rules(&response(&request, &with(&ok(), old, new)));
            assert_eq!(found.first().copied(), rule, "{old:?} → {new:?}");
        }
    }
}
