//! What every message must be, whoever gets it (TDR-60; RFC 3261 §7, §8.1.1, §20).

use super::{Breach, Findings};
use crate::sip::Message;
use crate::twin::octets::{Plain, PlainUri, address};
use crate::twin::reading::Facts;
use bytes::Bytes;

/// The longest header line that a platform has to take, in octets (TDR-72).
const MAX_LINE: usize = 8 * 1024;

/// Reads a message and says what is wrong with its form. `transport` is the token that its Via has to
/// carry when it is a request: `TLS`, `TCP`.
///
/// # Errors
///
/// When it cannot be read at all; the breach says why.
pub fn read(octets: &Bytes, transport: &str) -> Result<(Plain, Vec<Breach>), Breach> {
    let plain = Plain::read(octets).map_err(|text| Breach { rule: "TDR-60", text, status: Some(400) })?;
    let mut found = Findings::default();
    start_line(&plain, &mut found);
    fields(&plain, &mut found);
    lengths(&plain, &mut found);
    if !plain.is_response() {
        request(&plain, transport, &mut found);
    }
    if let Err(rejected) = Message::parse(octets.clone()) {
        found.refuse(false, "TDR-60", 400, || format!("the parser refuses it: {}", rejected.fault));
    }
    if let Some(text) = Facts::of(&plain).disagreement(octets) {
        found.note(false, "RFC 3261 §25", || text);
    }
    Ok((plain, found.0))
}

fn start_line(plain: &Plain, found: &mut Findings) {
    let words: Vec<&str> = plain.start.splitn(3, ' ').collect();
    let good = match words[..] {
        ["SIP/2.0", code, _] => code.len() == 3 && (100..700).contains(&plain.status()),
        [method, uri, "SIP/2.0"] => !uri.is_empty() && method.bytes().all(|octet| octet.is_ascii_uppercase()),
        _ => false,
    };
    found.refuse(good, "TDR-60", 400, || format!("Invalid Request/Response line {:?}", plain.start));
}

fn fields(plain: &Plain, found: &mut Findings) {
    for name in ["From", "To", "Call-ID", "CSeq"] {
        let count = plain.all(name).count();
        found.refuse(count == 1, "RFC 3261 §8.1.1", 400, || format!("{name} stands {count} times"));
    }
    for name in ["Max-Forwards", "Content-Type", "Content-Length", "Expires", "Session-Expires", "Min-SE"] {
        let count = plain.all(name).count();
        found.refuse(count <= 1, "RFC 3261 §7.3.1", 400, || format!("{name} stands {count} times"));
    }
    let method = plain.first("CSeq").split(' ').nth(1).unwrap_or("");
    found.refuse(plain.method() == method, "RFC 3261 §8.1.1.5", 400, || {
        format!("CSeq names {method}, the request is {}", plain.method())
    });
    found.refuse(!plain.tag("From").is_empty(), "RFC 3261 §8.1.1.3", 400, || "From without tag".into());
    for (name, value) in &plain.lines {
        let known = crate::sip::Name::of(name);
        found.note(known.as_str().is_empty() || known.as_str() == name, "RFC 3261 §7.3.3", || {
            format!("{name} is not written in its full canonical form")
        });
        // An extension may say something by being there (RFC 3261 §25.1).
        let may_be_empty = name == "Supported" || known == crate::sip::Name::Other;
        found.note(!value.is_empty() || may_be_empty, "RFC 3261 §7.3", || format!("{name} is empty"));
        found.note(name.len() + value.len() + 4 <= MAX_LINE, "TDR-72", || format!("{name} is longer than {MAX_LINE}"));
    }
}

fn lengths(plain: &Plain, found: &mut Findings) {
    let length = plain.first("Content-Length");
    found.refuse(length.parse() == Ok(plain.body.len()), "RFC 3261 §18.3", 400, || {
        format!("Content-Length {length:?}, the body has {} octets", plain.body.len())
    });
    found.refuse(plain.body.is_empty() != plain.has("Content-Type"), "RFC 3261 §7.4.1", 400, || {
        "Content-Type and body do not go together".into()
    });
}

/// What a request owes (RFC 3261 §8.1.1), and what no platform takes in its URIs (TDR-1).
fn request(plain: &Plain, transport: &str, found: &mut Findings) {
    let hops: Option<u32> = plain.first("Max-Forwards").parse().ok();
    found.refuse(hops.is_some(), "RFC 3261 §8.1.1.6", 400, || "Max-Forwards missing or not a number".into());
    found.refuse(hops != Some(0), "RFC 3261 §16.3", 483, || "Max-Forwards is 0".into());
    let vias = plain.list("Via");
    let token = format!("SIP/2.0/{transport} ");
    found.refuse(vias.first().is_some_and(|via| via.starts_with(&token)), "TDR-60", 400, || {
        format!("top Via {:?} does not begin with {token:?}", vias.first().unwrap_or(&""))
    });
    found.refuse(plain.branch().starts_with("z9hG4bK"), "RFC 3261 §8.1.1.7", 400, || {
        format!("branch {:?} without magic cookie", plain.branch())
    });
    // A B2BUA begins a new request: the Vias of the other leg end with it.
    found.note(vias.len() == 1, "RFC 3261 §8.1.1.7", || format!("{} Vias in a request that begins here", vias.len()));
    for (name, uri) in [
        ("Request-URI", plain.request_uri()),
        ("From", address(plain.first("From")).uri),
        ("To", address(plain.first("To")).uri),
    ]
    .into_iter()
    .chain(plain.list("Contact").into_iter().map(|value| ("Contact", address(value).uri)))
    {
        let uri = PlainUri::read(uri);
        found.refuse(!uri.scheme.eq_ignore_ascii_case("sips"), "TDR-1", 416, || format!("sips URI in {name}"));
        found.refuse(!uri.at || !uri.user.is_empty(), "TDR-33", 400, || format!("@ without user in {name}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::hub::tests::INVITE;
    use super::super::tests::rules;
    use super::*;

    fn broken(old: &str, new: &str) -> Vec<&'static str> {
        assert!(INVITE.contains(old), "{old}");
        let octets = Bytes::from(INVITE.replacen(old, new, 1));
        read(&octets, "TLS").map_or_else(|breach| vec![breach.rule], |(_, breaches)| rules(&breaches))
    }

    #[test]
    fn the_golden_invite_is_well_formed() {
        assert_eq!(read(&Bytes::from(INVITE), "TLS").map(|(_, breaches)| breaches), Ok(vec![]));
    }

    #[test]
    fn a_line_over_8_kib_is_a_fault_and_an_empty_extension_is_none() {
        let long = format!("Allow: {}", "X, ".repeat(3000));
        assert!(broken("Allow: ", &long).contains(&"TDR-72"));
        assert_eq!(broken("Allow: ", "X-Flag:\r\nAllow: "), Vec::<&str>::new());
    }

    #[test]
    fn each_fault_of_form_names_its_rule() {
        for (old, new, rule) in [
            ("SIP/2.0\r\nVia", "SIP/3.0\r\nVia", "TDR-60"),
            ("INVITE sip:", "invite sip:", "TDR-60"),
            ("Via: SIP/2.0/TLS", "Via: SIP/2.0/TCP", "TDR-60"),
            ("Via: SIP/2.0/TLS", "Via: TLS", "TDR-60"),
            ("z9hG4bK", "", "RFC 3261 §8.1.1.7"),
            ("CSeq: 1 INVITE", "CSeq: 1 BYE", "RFC 3261 §8.1.1.5"),
            (";tag=a1f09c", "", "RFC 3261 §8.1.1.3"),
            ("Call-ID: 7f0b2c1e55@sbc1.example.com\r\n", "", "RFC 3261 §8.1.1"),
            ("Max-Forwards: 69\r\n", "", "RFC 3261 §8.1.1.6"),
            ("Max-Forwards: 69", "Max-Forwards: 0", "RFC 3261 §16.3"),
            ("Content-Length: ", "Content-Length: 1", "RFC 3261 §18.3"),
            ("Content-Type: application/sdp\r\n", "", "RFC 3261 §7.4.1"),
            ("INVITE sip:", "INVITE sips:", "TDR-1"),
            ("Contact: <sip:", "Contact: <sips:", "TDR-1"),
            ("Contact: <sip:+12065550144@", "Contact: <sip:@", "TDR-33"),
            ("Max-Forwards", "MAX-FORWARDS", "RFC 3261 §7.3.3"),
            ("Via: SIP/2.0/TLS", "Via: SIP/2.0/TLS sbc1.example.com;branch=z9hG4bK0, SIP/2.0/TLS", "RFC 3261 §8.1.1.7"),
            ("Allow: ", "Allow:\r\nAllow: ", "RFC 3261 §7.3"),
            ("\r\nVia", "\nVia", "TDR-60"),
        ] {
            assert!(broken(old, new).contains(&rule), "{old:?} → {new:?}: {:?}", broken(old, new));
        }
    }
}
