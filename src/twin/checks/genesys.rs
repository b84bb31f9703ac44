//! What Genesys Cloud BYOC demands of the SBC's requests and responses (GEN).

use super::{Breach, Findings, description, is_global};
use crate::trunk::Termination;
use crate::twin::octets::{Plain, PlainUri, address, param};

/// The methods that the trunk takes: its Allow.
pub const METHODS: [&str; 8] = ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "REFER", "NOTIFY"];

/// Prefixes of Genesys' own header fields, never ours and never relayed (GEN-63).
const RESERVED: [&str; 4] = ["x-inin", "x-genesys", "x-pcv", "x-gcv"];

/// The longest header line, in octets: no limit of Genesys is known, and this is the product's own (GEN-64).
const LONGEST_LINE: usize = 8 * 1024;

/// Whether a header field name is reserved for Genesys (GEN-63).
pub fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    RESERVED.iter().any(|prefix| name.starts_with(prefix))
}

/// What Genesys knows of the trunk.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// FQDN of the SBC.
    pub fqdn: String,
    /// Its port.
    pub port: u16,
    /// Inbound SIP termination identifier (GEN-12).
    pub identifier: String,
    /// Regional BYOC domain (GEN-9).
    pub domain: String,
    /// How calls name the trunk.
    pub termination: Termination,
    /// Numbers in DID ranges (GEN-17).
    pub dids: Vec<String>,
    /// Whether media is SRTP: on TLS trunks (GEN-48).
    pub srtp: bool,
}

impl Trunk {
    /// `identifier.domain`, which names org and trunk (GEN-9).
    pub fn host(&self) -> String {
        format!("{}.{}", self.identifier, self.domain).to_ascii_lowercase()
    }
}

/// Judges a request outside a dialog.
pub fn request(trunk: &Trunk, plain: &Plain) -> Vec<Breach> {
    let mut found = Findings::default();
    hygiene(plain, &mut found);
    let via = plain.list("Via").first().and_then(|via| via.split([' ', ';']).nth(1)).unwrap_or("").to_owned();
    let sent_by = PlainUri::read(&format!("sip:{via}")).host.to_owned();
    found.note(sent_by.eq_ignore_ascii_case(&trunk.fqdn), "GEN-24", || {
        format!("Via sent-by {sent_by:?} is not the SBC's public name")
    });
    contact(trunk, plain, &mut found);
    if plain.method() == "INVITE" {
        invite(trunk, plain, &mut found);
    }
    found.0
}

/// Judges a request within a dialog.
pub fn in_dialog(trunk: &Trunk, plain: &Plain) -> Vec<Breach> {
    let mut found = Findings::default();
    hygiene(plain, &mut found);
    if plain.method() == "INVITE" {
        contact(trunk, plain, &mut found);
    }
    let named =
        trunk.termination == Termination::Header && plain.lines.iter().any(|(_, value)| *value == trunk.identifier);
    found.note(!named, "GEN-16", || format!("{} within a dialog names the trunk in a header field", plain.method()));
    if let Some(sdp) = plain.sdp() {
        found.0.extend(description::to_genesys(sdp, trunk.srtp));
    }
    found.0
}

/// Judges a response to a request of Genesys.
pub fn response(trunk: &Trunk, plain: &Plain) -> Vec<Breach> {
    let mut found = Findings::default();
    let (status, method) = (plain.status(), plain.method());
    // 503 says that another SBC may do better, 504 that another network did not answer; the rest would ring elsewhere.
    let elsewhere = method == "INVITE" && (500..600).contains(&status) && !matches!(status, 503 | 504);
    found.note(!elsewhere, "GEN-80", || format!("{status} to an INVITE, on which Genesys tries another proxy"));
    if method == "INVITE" && (101..300).contains(&status) {
        contact(trunk, plain, &mut found);
    }
    // To the hub no Require goes, whatever the RFC (TDR-57).
    let refreshes = (200..300).contains(&status) && plain.first("Session-Expires").contains("refresher=uac");
    found.note(!refreshes || plain.has_token("Require", "timer"), "RFC 4028 §9", || {
        format!("{status} makes us the refresher without Require: timer")
    });
    if status >= 300 {
        // These make Genesys try the next proxy although the called party has decided (GEN-80).
        let cause = plain.list("Reason").into_iter().find(|reason| {
            let cause = param(reason, "cause").and_then(|text| text.parse::<u16>().ok());
            reason.starts_with("Q.850") && cause.is_some_and(|cause| status < 500 && retryable(cause))
        });
        let cause = cause.map(str::to_owned);
        found.note(cause.is_none(), "GEN-80", || {
            format!("{status} with {}, which Genesys retries", cause.unwrap_or_default())
        });
    }
    foreign(plain, &mut found);
    if let Some(sdp) = plain.sdp() {
        found.0.extend(description::to_genesys(sdp, trunk.srtp));
    }
    found.0
}

/// The Q.850 causes that Genesys takes as a reason to try elsewhere (GEN-80).
fn retryable(cause: u16) -> bool {
    const CAUSES: [u16; 20] = [25, 27, 28, 31, 34, 38, 41, 42, 44, 46, 62, 63, 79, 91, 96, 97, 99, 100, 103, 5];
    (1..=4).contains(&cause) || CAUSES.contains(&cause)
}

fn hygiene(plain: &Plain, found: &mut Findings) {
    let method = plain.method();
    found.refuse(METHODS.contains(&method), "GEN-43", 405, || format!("Genesys does not list {method} in Allow"));
    found.refuse(!plain.has("Require") && !plain.has("Proxy-Require"), "GEN-43", 420, || {
        format!("Require: {}{}", plain.first("Require"), plain.first("Proxy-Require"))
    });
    found.note(!plain.has("Record-Route"), "GEN-38", || "Record-Route sent by a B2BUA".into());
    foreign(plain, found);
}

fn foreign(plain: &Plain, found: &mut Findings) {
    for (name, _) in &plain.lines {
        found.note(!is_reserved(name), "GEN-63", || format!("reserved name {name}"));
        let theirs = name.to_ascii_lowercase().starts_with("x-ms-") && !name.eq_ignore_ascii_case("X-MS-SBC");
        found.note(!theirs, "TDR-150", || format!("{name} of Teams sent to Genesys"));
    }
    for (name, value) in &plain.lines {
        found.note(name.len() + value.len() <= LONGEST_LINE, "GEN-64", || {
            format!("{name} is longer than {LONGEST_LINE} octets")
        });
    }
    found.note(!(plain.has("Diversion") && plain.has("History-Info")), "GEN-59", || {
        "Diversion and History-Info, which may say different things".into()
    });
    let uui = plain.all("User-to-User").count() + plain.all("x-User-to-User").count();
    found.note(uui <= 1, "GEN-66", || format!("{uui} UUI header fields, Genesys discards them all"));
}

fn contact(trunk: &Trunk, plain: &Plain, found: &mut Findings) {
    let contacts = plain.list("Contact");
    found.refuse(contacts.len() == 1, "RFC 3261 §12.1.1", 400, || format!("{} Contact values", contacts.len()));
    let uri = PlainUri::read(contacts.first().map_or("", |value| address(value).uri));
    found.note(uri.host.eq_ignore_ascii_case(&trunk.fqdn), "GEN-24", || {
        format!("Contact host {:?} is not the SBC's public name", uri.host)
    });
    let default = if trunk.srtp { 5061 } else { 5060 };
    let port = if uri.port.is_empty() { default } else { uri.port.parse().unwrap_or(0) };
    found.note(port == trunk.port, "GEN-24", || format!("Contact port {port}, the listener's is {}", trunk.port));
}

fn invite(trunk: &Trunk, plain: &Plain, found: &mut Findings) {
    let uri = PlainUri::read(plain.request_uri());
    let to = PlainUri::read(address(plain.first("To")).uri);
    let user_param = |name: &str| param(uri.user, name).unwrap_or("").to_owned();
    let number = match trunk.termination {
        Termination::Fqdn => {
            found.refuse(uri.host.eq_ignore_ascii_case(&trunk.host()), "GEN-12", 404, || {
                format!("Request-URI host {} does not name trunk {}", uri.host, trunk.host())
            });
            // The form that Genesys documents has nothing else (GEN-13).
            let bare = !uri.user.contains(';') && uri.params.iter().all(|(name, _)| *name == "transport");
            found.note(bare, "GEN-13", || format!("Request-URI is not of the FQDN form: {}", plain.request_uri()));
            uri.number()
        }
        Termination::Tgrp => {
            found.refuse(user_param("tgrp") == trunk.identifier, "GEN-12", 404, || {
                format!("no tgrp={} in the user part: {}", trunk.identifier, plain.request_uri())
            });
            found.note(user_param("trunk-context") == trunk.domain, "GEN-14", || {
                "trunk-context is not the domain".into()
            });
            found.note(uri.param("tgrp").is_none(), "GEN-14", || "tgrp behind the host".into());
            uri.number()
        }
        Termination::Header => {
            // Which name the operator chose, the trunk's page says; the twin takes any of its own value (GEN-16).
            let named = plain.lines.iter().any(|(_, value)| *value == trunk.identifier);
            found.refuse(named, "GEN-16", 404, || format!("no header field says {}", trunk.identifier));
            uri.number()
        }
        Termination::Dnis => {
            found.refuse(uri.user == trunk.identifier, "GEN-12", 404, || {
                format!("Request-URI user {} is not the identifier", uri.user)
            });
            to.number()
        }
    };
    found.refuse(is_global(number), "GEN-17", 404, || format!("number {number:?} is not +E.164"));
    found.refuse(trunk.dids.iter().any(|did| did == number), "GEN-17", 404, || format!("{number} is in no DID range"));
    found.note(to.number() == number, "GEN-18", || format!("To user {:?} is not the called number", to.user));
    let from = PlainUri::read(address(plain.first("From")).uri);
    let anonymous = from.host == "anonymous.invalid";
    if anonymous {
        // Whoever gets an asserted identity beside a withheld one has to be told that it is withheld.
        let told = plain.all("Privacy").flat_map(|value| value.split([';', ','])).any(|wish| wish.trim() == "id");
        found.note(told || !plain.has("P-Asserted-Identity"), "GEN-58", || {
            "anonymous From, and an asserted identity without Privacy: id".into()
        });
        let contact = PlainUri::read(address(plain.first("Contact")).uri).user.to_owned();
        found.note(!is_global(&contact), "GEN-58", || format!("anonymous From, but Contact shows {contact}"));
    } else {
        // An extension of the caller's own network is no E.164, and its caller's all the same.
        let own = from.number();
        let digits = (1..=5).contains(&own.len()) && own.bytes().all(|octet| octet.is_ascii_digit());
        found.note(digits || is_global(from.number()), "GEN-57", || {
            format!("From user {:?} is neither +E.164 nor an extension", from.user)
        });
        let asserted = plain.list("P-Asserted-Identity");
        let asserted = asserted.first().map(|value| PlainUri::read(address(value).uri).number().to_owned());
        found.note(asserted.as_deref() == Some(from.number()), "GEN-57", || {
            format!("P-Asserted-Identity {asserted:?} is not From's number {:?}", from.number())
        });
    }
    found.note(!plain.has("Remote-Party-ID"), "GEN-57", || "Remote-Party-ID sent to Genesys".into());
    found.refuse(plain.tag("To").is_empty(), "RFC 3261 §12.2.2", 481, || "To has a tag outside a dialog".into());
    if let Some(sdp) = plain.sdp() {
        found.0.extend(description::to_genesys(sdp, trunk.srtp));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::{rules, with};
    use super::*;

    const INVITE: &str = "INVITE sip:+496955501000@acme-sbc.byoc.mypurecloud.de SIP/2.0\r\n\
        Via: SIP/2.0/TLS sbc1.example.com:5061;branch=z9hG4bK-m1;rport\r\n\
        Max-Forwards: 69\r\n\
        From: \"Erika Muster\" <sip:+4917155501234@sbc1.example.com>;tag=a\r\n\
        To: <sip:+496955501000@acme-sbc.byoc.mypurecloud.de>\r\n\
        Call-ID: m1@sbc1.example.com\r\n\
        CSeq: 1 INVITE\r\n\
        Contact: <sip:sbc1.example.com:5061;transport=tls>\r\n\
        P-Asserted-Identity: <sip:+4917155501234@sbc1.example.com>\r\n\
        Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY\r\n\
        Content-Type: application/sdp\r\n\r\n\
        v=0\r\no=sbc 1000 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 21000 RTP/SAVP 8 101\r\n\
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:yg3yyVqhRMHQ/y/zyPln/cHenvDEEgs3JkFnAbUZ\r\na=sendrecv\r\n";

    fn trunk() -> Trunk {
        Trunk {
            fqdn: "sbc1.example.com".into(),
            port: 5061,
            identifier: "acme-sbc".into(),
            domain: "byoc.mypurecloud.de".into(),
            termination: Termination::Fqdn,
            dids: vec!["+496955501000".into()],
            srtp: true,
        }
    }

    #[test]
    fn the_golden_invite_breaks_nothing() {
        assert_eq!(request(&trunk(), &with(INVITE, "INVITE", "INVITE")), vec![]);
    }

    #[test]
    fn each_refusal_names_its_rule_and_its_status() {
        for (old, new, rule, status) in [
            ("@acme-sbc.byoc", "@byoc", "GEN-12", Some(404)),
            ("mypurecloud.de SIP", "mypurecloud.de;user=phone SIP", "GEN-13", None),
            ("INVITE sip:+49", "INVITE sip:49", "GEN-17", Some(404)),
            ("sip:+496955501000@", "sip:+496955501999@", "GEN-17", Some(404)),
            ("To: <sip:+496955501000@", "To: <sip:+496955501999@", "GEN-18", None),
            ("Via: SIP/2.0/TLS sbc1.example.com", "Via: SIP/2.0/TLS 192.0.2.1", "GEN-24", None),
            ("Contact: <sip:sbc1.example.com", "Contact: <sip:192.0.2.1", "GEN-24", None),
            ("P-Asserted-Identity: <sip:+49171", "P-Asserted-Identity: <sip:+49172", "GEN-57", None),
            ("P-Asserted-Identity: ", "Remote-Party-ID: ", "GEN-57", None),
            ("Allow: ", "X-Genesys-Foo: 1\r\nAllow: ", "GEN-63", None),
            ("Allow: ", "X-MS-UserSite: 1\r\nAllow: ", "TDR-150", None),
            ("Allow: ", "User-to-User: 00\r\nx-User-to-User: 01\r\nAllow: ", "GEN-66", None),
            ("RTP/SAVP", "RTP/AVP", "GEN-48", Some(488)),
            ("<sip:+4917155501234@sbc1.example.com>;tag", "<sip:anonymous@anonymous.invalid>;tag", "GEN-58", None),
            ("Allow: ", "Record-Route: <sip:sbc1.example.com;lr>\r\nAllow: ", "GEN-38", None),
            ("INVITE sip", "UPDATE sip", "GEN-43", Some(405)),
            ("Allow: ", "Diversion: <sip:+1@a>\r\nHistory-Info: <sip:+1@a>;index=1\r\nAllow: ", "GEN-59", None),
            ("Allow: ", &format!("X-Acme: {}\r\nAllow: ", "x".repeat(8192)), "GEN-64", None),
        ] {
            let found = request(&trunk(), &with(INVITE, old, new));
            assert!(
                found.iter().any(|breach| breach.rule == rule && breach.status == status),
                "{old:?} → {new:?}: {found:?}"
            );
        }
    }

    #[test]
    fn the_three_terminations_are_told_apart() {
        let tgrp = Trunk { termination: Termination::Tgrp, ..trunk() };
        let dnis = Trunk { termination: Termination::Dnis, ..trunk() };
        let uri = "sip:+496955501000@acme-sbc.byoc.mypurecloud.de SIP";
        let by_tgrp = "sip:+496955501000;tgrp=acme-sbc;trunk-context=byoc.mypurecloud.de@byoc.mypurecloud.de SIP";
        assert_eq!(request(&tgrp, &with(INVITE, uri, by_tgrp)), vec![]);
        assert_eq!(request(&dnis, &with(INVITE, uri, "sip:acme-sbc@byoc.mypurecloud.de SIP")), vec![]);
        let behind = "sip:+496955501000@byoc.mypurecloud.de;tgrp=acme-sbc SIP";
        assert_eq!(rules(&request(&tgrp, &with(INVITE, uri, behind))), ["GEN-12", "GEN-14", "GEN-14"]);
    }

    #[test]
    fn whoever_is_made_the_refresher_is_told_so() {
        const OK: &str = "SIP/2.0 200 OK\r\nCSeq: 1 OPTIONS\r\nSession-Expires: 1800;refresher=uac\r\nX: y\r\n\r\n";
        assert_eq!(rules(&response(&trunk(), &with(OK, "X: y", "X: y"))), ["RFC 4028 §9"]);
        assert_eq!(response(&trunk(), &with(OK, "X: y", "Require: timer")), vec![]);
    }

    #[test]
    fn a_header_field_that_names_the_trunk_is_for_the_first_invite_gen_16() {
        let header = Trunk { termination: Termination::Header, ..trunk() };
        let named = with(INVITE, "Allow: ", "X-Acme-Trunk: acme-sbc\r\nAllow: ");
        assert_eq!(request(&header, &named), vec![]);
        assert_eq!(rules(&in_dialog(&header, &named)), ["GEN-16"]);
        assert_eq!(in_dialog(&header, &with(INVITE, "INVITE", "INVITE")), vec![]);
    }

    #[test]
    fn a_5xx_that_is_no_outage_is_a_breach_gen_80() {
        const FAILED: &str = "SIP/2.0 500 Failed\r\nCSeq: 1 INVITE\r\nX: y\r\n\r\n";
        assert_eq!(rules(&response(&trunk(), &with(FAILED, "500", "500"))), ["GEN-80"]);
        for fine in ["503", "504", "480", "603"] {
            assert_eq!(response(&trunk(), &with(FAILED, "500", fine)), vec![]);
        }
        assert_eq!(response(&trunk(), &with(FAILED, "INVITE", "OPTIONS")), vec![]);
    }

    #[test]
    fn a_cause_that_makes_genesys_retry_is_a_breach() {
        const BUSY: &str = "SIP/2.0 486 Busy Here\r\nCSeq: 1 INVITE\r\nReason: Q.850;cause=34;text=\"x\"\r\n\r\n";
        assert_eq!(rules(&response(&trunk(), &with(BUSY, "486", "486"))), ["GEN-80"]);
        assert_eq!(response(&trunk(), &with(BUSY, "cause=34", "cause=17")), vec![]);
        assert_eq!(response(&trunk(), &with(BUSY, "486", "503")), vec![]);
    }
}
