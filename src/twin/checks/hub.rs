//! What the Teams hub demands of the SBC's requests and responses (TDR).

use super::{Breach, Findings, description, is_global};
use crate::trunk::name_matches;
use crate::twin::octets::{Plain, PlainUri, address, is_address};

/// The methods that the hub takes (TDR-90).
pub const METHODS: [&str; 6] = ["INVITE", "ACK", "OPTIONS", "CANCEL", "BYE", "NOTIFY"];

/// The shortest session interval that the hub takes, in seconds (TDR-97).
pub const MIN_SE: u32 = 300;

/// Fields that carry the other platform's business and stay out of the hub (TDR-62, GEN-61, GEN-63).
const FOREIGN: [&str; 7] = [
    "Diversion",
    "P-Charging-Vector",
    "P-Charge-Info",
    "User-to-User",
    "x-User-to-User",
    "Call-Info",
    "Remote-Party-ID",
];

/// What the hub knows of the trunk that faces it.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// FQDN of the SBC, registered in the tenant (TDR-42).
    pub fqdn: String,
    /// SipSignalingPort of the trunk (TDR-53).
    pub port: u16,
    /// The hub's own names, first one first (TDR-17).
    pub hosts: Vec<String>,
    /// The hub's port as the SBC dials it: 5061 outside labs.
    pub hub_port: u16,
    /// Numbers of the tenant's users; an extension stands behind `;ext=` (TDR-46, 47).
    pub users: Vec<String>,
}

/// Judges a request outside a dialog. `names` are those of the certificate the SBC proved.
pub fn request(trunk: &Trunk, plain: &Plain, names: &[String]) -> Vec<Breach> {
    let mut found = Findings::default();
    hygiene(plain, &mut found);
    contact(trunk, plain, names, &mut found);
    let via = plain.list("Via").first().and_then(|via| via.split([' ', ';']).nth(1)).unwrap_or("").to_owned();
    let sent_by = PlainUri::read(&format!("sip:{via}")).host.to_owned();
    found.note(sent_by.eq_ignore_ascii_case(&trunk.fqdn), "TDR-54", || {
        format!("Via sent-by {sent_by:?} is not the SBC's FQDN")
    });
    match plain.method() {
        "INVITE" => invite(trunk, plain, &mut found),
        "OPTIONS" => options(trunk, plain, &mut found),
        _ => {}
    }
    found.0
}

/// Judges a request within a dialog.
pub fn in_dialog(trunk: &Trunk, plain: &Plain, names: &[String]) -> Vec<Breach> {
    let mut found = Findings::default();
    hygiene(plain, &mut found);
    if plain.method() == "INVITE" {
        contact(trunk, plain, names, &mut found);
        offer(plain, "TDR-87", &mut found);
        interval(plain, &mut found);
        allow(plain, &mut found);
    } else if plain.has("Contact") {
        contact(trunk, plain, names, &mut found);
    }
    found.0
}

/// Judges a response to a request of the hub.
pub fn response(trunk: &Trunk, plain: &Plain, names: &[String]) -> Vec<Breach> {
    let mut found = Findings::default();
    let (status, method) = (plain.status(), plain.method());
    found.note(!(300..400).contains(&status), "TDR-121", || format!("{status} sent to the hub"));
    let dialog = method == "INVITE" && (101..300).contains(&status);
    let health = method == "OPTIONS" && (200..300).contains(&status);
    if dialog || health {
        contact(trunk, plain, names, &mut found);
    }
    if (dialog && status >= 200) || health {
        let rule = if health { "TDR-34" } else { "TDR-56" };
        found.note(plain.has("Allow"), rule, || format!("no Allow in {status} to {method}"));
        if plain.has("Allow") {
            allow(plain, &mut found);
        }
    }
    // `timer` is what a 2xx says that makes the hub the refresher (RFC 4028 §9).
    let required = plain.list("Require").into_iter().find(|tag| !tag.eq_ignore_ascii_case("timer")).map(str::to_owned);
    found.note(required.is_none(), "TDR-57", || format!("Require: {}", required.unwrap_or_default()));
    foreign(plain, &mut found);
    if let Some(sdp) = plain.sdp() {
        found.0.extend(description::to_hub(sdp));
    }
    found.0
}

/// What holds for every request to the hub.
fn hygiene(plain: &Plain, found: &mut Findings) {
    let method = plain.method();
    found.refuse(METHODS.contains(&method), "TDR-90", 405, || format!("the hub does not take {method}"));
    found.refuse(!plain.has("Require") && !plain.has("Proxy-Require"), "TDR-57", 420, || {
        format!("Require: {}{}", plain.first("Require"), plain.first("Proxy-Require"))
    });
    let uris = ["Contact", "To", "From", "Refer-To"].into_iter().flat_map(|name| plain.list(name));
    let replaces = plain.has("Replaces")
        || PlainUri::read(plain.request_uri()).headers.to_ascii_lowercase().contains("replaces")
        || uris
            .into_iter()
            .any(|value| PlainUri::read(address(value).uri).headers.to_ascii_lowercase().contains("replaces="));
    found.refuse(!replaces, "TDR-58", 403, || "Replaces sent to the hub".into());
    found.note(!plain.has("Record-Route"), "TDR-45", || "Record-Route sent by a B2BUA".into());
    for value in plain.list("Record-Route") {
        let host = PlainUri::read(address(value).uri).host;
        found.refuse(!is_address(host), "TDR-44", 403, || format!("address in Record-Route: {value}"));
    }
    foreign(plain, found);
    let named: Vec<&str> = plain.all("X-MS-SBC").collect();
    let parts = named.first().is_none_or(|value| value.split('/').filter(|part| !part.is_empty()).count() >= 3);
    found.note(named.len() <= 1 && parts, "TDR-61", || format!("X-MS-SBC is not one vendor/model/version: {named:?}"));
    if plain.method() != "NOTIFY" && plain.has("Content-Type") {
        let kind = plain.first("Content-Type").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        found.refuse(kind == "application/sdp", "TDR-59", 415, || format!("Content-Type {kind}"));
    }
}

fn foreign(plain: &Plain, found: &mut Findings) {
    for (name, _) in &plain.lines {
        found.note(!FOREIGN.iter().any(|own| own.eq_ignore_ascii_case(name)), "TDR-62", || {
            format!("{name} sent to the hub")
        });
        found.note(!super::genesys::is_reserved(name), "GEN-63", || format!("{name} of Genesys sent to the hub"));
    }
}

/// TDR-7, 33, 34, 42, 43, 44, 53.
fn contact(trunk: &Trunk, plain: &Plain, names: &[String], found: &mut Findings) {
    let contacts = plain.list("Contact");
    if contacts.is_empty() {
        let rule = if plain.method() == "OPTIONS" { "TDR-34" } else { "TDR-53" };
        return found.refuse(false, rule, 403, || "neither Contact nor Record-Route".into());
    }
    found.note(contacts.len() == 1, "TDR-43", || format!("{} Contact values", contacts.len()));
    let uri = PlainUri::read(address(contacts[0]).uri);
    if uri.is_address() {
        return found.refuse(false, "TDR-44", 403, || format!("address in Contact: {}", uri.host));
    }
    found.refuse(names.iter().any(|name| name_matches(uri.host, name)), "TDR-7", 403, || {
        format!("Contact host {} is not in the certificate ({})", uri.host, names.join(", "))
    });
    found.refuse(uri.host.eq_ignore_ascii_case(&trunk.fqdn), "TDR-42", 403, || {
        format!("Contact host {} is registered in no tenant", uri.host)
    });
    found.note(uri.param("transport").is_some_and(|value| value.eq_ignore_ascii_case("tls")), "TDR-53", || {
        format!("Contact without transport=tls: {}", contacts[0])
    });
    let port = uri.port.parse().unwrap_or(5061);
    found.note(port == trunk.port, "TDR-53", || format!("Contact port {port}, the trunk's is {}", trunk.port));
}

fn invite(trunk: &Trunk, plain: &Plain, found: &mut Findings) {
    let uri = PlainUri::read(plain.request_uri());
    let host = trunk.hosts.iter().any(|own| own.eq_ignore_ascii_case(uri.host));
    found.refuse(host, "TDR-48", 404, || format!("Request-URI host {} is not the hub's", uri.host));
    found.refuse(is_global(uri.number()), "TDR-48", 404, || format!("Request-URI user {:?} is not +E.164", uri.user));
    found.note(uri.param("user") == Some("phone"), "TDR-48", || "Request-URI without user=phone".into());
    found.refuse(
        trunk.users.iter().any(|own| own == uri.user || own.split(';').next() == Some(uri.user)),
        "TDR-46",
        404,
        || format!("no user with number {}", uri.user),
    );
    let from = PlainUri::read(address(plain.first("From")).uri);
    let anonymous = from.user == "anonymous" && from.host == "anonymous.invalid";
    if anonymous {
        found.note(is_private(plain), "TDR-51", || "anonymous From without Privacy: id".into());
        found.note(!plain.has("P-Asserted-Identity"), "TDR-51", || "anonymous From, but an asserted identity".into());
        let contact = PlainUri::read(address(plain.first("Contact")).uri).user.to_owned();
        found.note(!is_global(&contact), "TDR-51", || format!("anonymous From, but Contact shows {contact}"));
    } else {
        // TDR-130, 131: short numbers as well have `+` here.
        let (number, digits) = (from.number(), from.number().strip_prefix('+'));
        let short = digits.is_some_and(|digits| {
            (1..4).contains(&digits.len())
                && !digits.starts_with('0')
                && digits.bytes().all(|octet| octet.is_ascii_digit())
        });
        let rule = if number.bytes().all(|octet| octet.is_ascii_digit()) { "TDR-130" } else { "TDR-50" };
        found
            .refuse(short || is_global(number), rule, 403, || format!("From user {:?} is not + and digits", from.user));
        found.note(from.host.eq_ignore_ascii_case(&trunk.fqdn), "TDR-50", || {
            format!("From host {} is not the SBC's FQDN", from.host)
        });
    }
    let to = PlainUri::read(address(plain.first("To")).uri);
    found.note(to.user == uri.user, "TDR-52", || {
        format!("To user {:?} differs from Request-URI user {:?}", to.user, uri.user)
    });
    found.refuse(plain.tag("To").is_empty(), "RFC 3261 §12.2.2", 481, || "To has a tag outside a dialog".into());
    let party = |name| address(plain.first(name)).uri;
    for (name, text) in [("Request-URI", plain.request_uri()), ("From", party("From")), ("To", party("To"))] {
        found.refuse(!text.contains("phone-context"), "TDR-132", 404, || format!("phone-context in {name}"));
    }
    let extra = uri.user.split(';').skip(1).find(|param| !param.starts_with("ext="));
    found.refuse(extra.is_none(), "TDR-47", 404, || format!("{} in the user part", extra.unwrap_or_default()));
    offer(plain, "TDR-55", found);
    found.refuse(plain.sdp().is_none_or(description::has_media), "TDR-137", 488, || "an offer without media".into());
    interval(plain, found);
    allow(plain, found);
}

/// Whether the caller wants the number kept (RFC 3323 §4.2: wishes stand between semicolons).
fn is_private(plain: &Plain) -> bool {
    plain.all("Privacy").flat_map(|value| value.split([';', ','])).any(|wish| wish.trim().eq_ignore_ascii_case("id"))
}

fn options(trunk: &Trunk, plain: &Plain, found: &mut Findings) {
    let (uri, from) = (PlainUri::read(plain.request_uri()), PlainUri::read(address(plain.first("From")).uri));
    found.note(trunk.hosts.iter().any(|own| own.eq_ignore_ascii_case(uri.host)), "TDR-33", || {
        format!("OPTIONS for host {}", uri.host)
    });
    let port = uri.port.parse().unwrap_or(5061);
    found.note(port == trunk.hub_port, "TDR-33", || format!("OPTIONS for port {port}"));
    found.note(from.host.eq_ignore_ascii_case(&trunk.fqdn), "TDR-33", || {
        format!("OPTIONS From host {} is not the SBC's FQDN", from.host)
    });
    allow(plain, found);
}

/// An offer stands in every INVITE (TDR-55, 87), and it is one that the hub takes.
fn offer(plain: &Plain, rule: &'static str, found: &mut Findings) {
    match plain.sdp() {
        Some(sdp) => found.0.extend(description::to_hub(sdp)),
        None => found.refuse(false, rule, 415, || "INVITE without application/sdp".into()),
    }
}

/// TDR-97: 422 below the hub's minimum.
fn interval(plain: &Plain, found: &mut Findings) {
    if let Some(value) = plain.all("Session-Expires").next() {
        let seconds: u32 = value.split(';').next().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        found.refuse(seconds >= MIN_SE, "TDR-97", 422, || format!("Session-Expires {value}"));
    }
}

/// TDR-56: NOTIFY is listed whether transfers are offered or not.
fn allow(plain: &Plain, found: &mut Findings) {
    found.note(plain.has_token("Allow", "NOTIFY"), "TDR-56", || {
        format!("NOTIFY not in Allow: {}", plain.first("Allow"))
    });
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::{rules, with};
    use super::*;

    pub(crate) const INVITE: &str = "INVITE sip:+14255550123@sip.pstnhub.microsoft.com:5061;user=phone;transport=tls SIP/2.0\r\n\
        Via: SIP/2.0/TLS sbc1.example.com:5061;branch=z9hG4bK77ab90;alias\r\n\
        Max-Forwards: 69\r\n\
        From: \"Dana Example\" <sip:+12065550144@sbc1.example.com>;tag=a1f09c\r\n\
        To: <sip:+14255550123@sbc1.example.com>\r\n\
        Call-ID: 7f0b2c1e55@sbc1.example.com\r\n\
        CSeq: 1 INVITE\r\n\
        Contact: <sip:+12065550144@sbc1.example.com:5061;transport=tls>\r\n\
        Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY\r\n\
        Supported: timer\r\n\
        Session-Expires: 1800;refresher=uac\r\n\
        Min-SE: 300\r\n\
        X-MS-SBC: Example/Edge/1.0\r\n\
        Content-Type: application/sdp\r\n\
        Content-Length: 244\r\n\r\n\
        v=0\r\no=- 48210001 1 IN IP4 198.51.100.20\r\ns=-\r\nc=IN IP4 198.51.100.20\r\nt=0 0\r\n\
        m=audio 20500 RTP/SAVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n\
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk|2^31\r\na=sendrecv\r\n";

    pub(crate) fn trunk() -> Trunk {
        Trunk {
            fqdn: "sbc1.example.com".into(),
            port: 5061,
            hosts: ["sip", "sip2", "sip3"].map(|label| format!("{label}.pstnhub.microsoft.com")).into(),
            hub_port: 5061,
            users: vec!["+14255550123".into(), "+14255550100;ext=1001".into()],
        }
    }

    fn names() -> Vec<String> {
        vec!["sbc1.example.com".into()]
    }

    fn broken(old: &str, new: &str) -> Vec<Breach> {
        request(&trunk(), &with(INVITE, old, new), &names())
    }

    #[test]
    fn the_golden_invite_breaks_nothing() {
        assert_eq!(broken("INVITE", "INVITE"), vec![]);
    }

    #[test]
    fn each_refusal_names_its_rule_and_its_status() {
        for (old, new, rule, status) in [
            (
                "Contact: <sip:+12065550144@sbc1.example.com",
                "Contact: <sip:+12065550144@192.0.2.1",
                "TDR-44",
                Some(403),
            ),
            ("Contact: <sip:+12065550144@sbc1", "Contact: <sip:+12065550144@sbc2", "TDR-7", Some(403)),
            ("Contact: <", "X-Contact: <", "TDR-53", Some(403)),
            ("Contact: <", "Contact: <sip:sbc1.example.com;transport=tls>, <", "TDR-43", None),
            (";transport=tls>", ">", "TDR-53", None),
            ("sbc1.example.com:5061;transport=tls>", "sbc1.example.com:5067;transport=tls>", "TDR-53", None),
            ("INVITE sip:+1", "INVITE sip:1", "TDR-48", Some(404)),
            ("@sip.pstnhub.microsoft.com", "@192.0.2.9", "TDR-48", Some(404)),
            (";user=phone", "", "TDR-48", None),
            ("sip:+14255550123@sip", "sip:+14255550199@sip", "TDR-46", Some(404)),
            ("From: \"Dana Example\" <sip:+", "From: \"Dana Example\" <sip:", "TDR-130", Some(403)),
            ("<sip:+12065550144@sbc1.example.com>;tag", "<sip:1001@sbc1.example.com>;tag", "TDR-130", Some(403)),
            ("From: \"Dana Example\" <sip:+", "From: \"Dana Example\" <sip:dana", "TDR-50", Some(403)),
            ("sip:+14255550123@sip", "sip:+14255550123;npdi@sip", "TDR-47", Some(404)),
            ("m=audio 20500", "m=audio 0", "TDR-137", Some(488)),
            ("<sip:+12065550144@sbc1.example.com>;tag", "<sip:+12065550144@192.0.2.7>;tag", "TDR-50", None),
            ("<sip:+12065550144@sbc1.example.com>;tag", "<sip:anonymous@anonymous.invalid>;tag", "TDR-51", None),
            ("To: <sip:+14255550123@", "To: <sip:+14255550100@", "TDR-52", None),
            (
                "To: <sip:+14255550123@sbc1.example.com>",
                "To: <sip:+14255550123@a>;tag=1",
                "RFC 3261 §12.2.2",
                Some(481),
            ),
            ("Via: SIP/2.0/TLS sbc1.example.com", "Via: SIP/2.0/TLS 192.0.2.1", "TDR-54", None),
            ("Content-Type: application/sdp", "Content-Type: application/pidf+xml", "TDR-59", Some(415)),
            ("Content-Type: application/sdp", "Content-Type: multipart/mixed;boundary=x", "TDR-55", Some(415)),
            ("NOTIFY", "INFO", "TDR-56", None),
            ("Supported: timer", "Require: 100rel", "TDR-57", Some(420)),
            ("X-MS-SBC: Example/Edge/1.0", "Replaces: a;to-tag=b;from-tag=c", "TDR-58", Some(403)),
            ("X-MS-SBC: Example/Edge/1.0", "Record-Route: <sip:sbc1.example.com;lr>", "TDR-45", None),
            ("X-MS-SBC: Example/Edge/1.0", "Record-Route: <sip:192.0.2.1;lr>", "TDR-44", Some(403)),
            ("X-MS-SBC: Example/Edge/1.0", "x-inin-cnv: 1", "GEN-63", None),
            ("X-MS-SBC: Example/Edge/1.0", "Diversion: <sip:+1425@a>", "TDR-62", None),
            ("X-MS-SBC: Example/Edge/1.0", "X-MS-SBC: Example", "TDR-61", None),
            ("X-MS-SBC: Example/Edge/1.0", "X-MS-SBC: A/B/1\r\nX-MS-SBC: A/B/1", "TDR-61", None),
            ("Session-Expires: 1800", "Session-Expires: 90", "TDR-97", Some(422)),
            ("To: <sip:+14255550123@", "To: <sip:+14255550123;phone-context=a@", "TDR-132", Some(404)),
            ("RTP/SAVP", "RTP/AVP", "TDR-134", Some(488)),
            ("INVITE sip", "UPDATE sip", "TDR-90", Some(405)),
        ] {
            let found = broken(old, new);
            assert!(
                found.iter().any(|breach| breach.rule == rule && breach.status == status),
                "{old:?} → {new:?}: {found:?}"
            );
        }
    }

    #[test]
    fn an_anonymous_caller_is_not_asserted_and_has_any_wishes_beside_id() {
        let invite = INVITE
            .replace("\"Dana Example\" <sip:+12065550144@sbc1.example.com>", "<sip:anonymous@anonymous.invalid>")
            .replace("Contact: <sip:+12065550144@", "Contact: <sip:")
            .replace("Supported", "Privacy: header;id\r\nSupported");
        let judged =
            |invite: &str| rules(&request(&trunk(), &Plain::read(invite.as_bytes()).expect("reads"), &names()));
        assert_eq!(judged(&invite), Vec::<&str>::new());
        let asserted = invite.replace("Supported", "P-Asserted-Identity: <sip:+12065550144@a>\r\nSupported");
        assert_eq!(judged(&asserted), ["TDR-51"]);
    }

    #[test]
    fn an_anonymous_caller_with_privacy_passes() {
        let invite = INVITE
            .replace("\"Dana Example\" <sip:+12065550144@sbc1.example.com>", "<sip:anonymous@anonymous.invalid>")
            .replace("Contact: <sip:+12065550144@", "Contact: <sip:")
            .replace("Supported", "Privacy: id\r\nSupported");
        assert_eq!(request(&trunk(), &Plain::read(invite.as_bytes()).expect("reads"), &names()), vec![]);
    }

    #[test]
    fn responses_carry_our_contact_and_allow_and_no_redirection() {
        const OK: &str = "SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\nContact: <sip:sbc1.example.com:5061;transport=tls>\r\n\
            Allow: INVITE, ACK, CANCEL, BYE, NOTIFY\r\nX: y\r\n\r\n";
        let judge = |old: &str, new: &str| rules(&response(&trunk(), &with(OK, old, new), &names()));
        assert_eq!(judge("200", "200"), Vec::<&str>::new());
        assert_eq!(judge("Contact: <sip:sbc1.example.com", "Contact: <sip:192.0.2.1"), ["TDR-44"]);
        assert_eq!(judge("Allow", "X-Allow"), ["TDR-56"]);
        assert_eq!(judge("200 OK", "302 Moved Temporarily"), ["TDR-121"]);
        assert_eq!(judge("X: y", "Require: 100rel"), ["TDR-57"]);
        assert_eq!(judge("1 INVITE\r\nContact", "1 OPTIONS\r\nX-Contact"), ["TDR-34"]);
    }
}
