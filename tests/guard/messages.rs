//! Messages from a grammar of good and bad parts, and what guard and twin say of them: for `tests/guard.rs`, and for
//! the fuzz target `guard`.
//!
//! Rules of an operator come in between, as they do in a call: [`judge`]. What is no message of ours at all must do no
//! harm: [`survive`].
//!
//! A string of octets chooses: each part takes one octet, and a low one (or none) the good part. So random octets make
//! messages that are good but for a few parts, and what a test minimises is the fewest bad parts. What is not an
//! operator's to touch and not the far side's (Via, Call-ID, CSeq, Max-Forwards, Content-Length) is always good.

use bytes::Bytes;
use regex::Regex;
use std::fmt::Write;
use std::sync::Arc;
use tandem::flow::{Transport, TrunkId};
use tandem::normalize::guard::{self, Rejection};
use tandem::rules::{Action, Condition, Direction, Facts, Rule, Rules, Target, Template};
use tandem::sip::Message;
use tandem::trunk::platforms::{Cloud, Generation, Platform, defaults};
use tandem::trunk::{Kind, Termination, Trunk};
use tandem::twin::Side;
use tandem::twin::checks::{Breach, genesys, hub, wire};

/// The numbers that users have on both platforms.
const USERS: [&str; 4] = ["+14255550123", "+1001", "+496955501000", "+14255550100;ext=1001"];

/// The name by which both platforms know us.
const FQDN: &str = "sbc1.example.com";

/// Chooses parts by octets.
struct Choices<'c>(&'c [u8]);

impl Choices<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().map_or((0, self.0), |(first, rest)| (*first, rest));
        self.0 = rest;
        first
    }

    /// The first three times of four, else any of them.
    fn of<'p>(&mut self, parts: &[&'p str]) -> &'p str {
        match usize::from(self.next()) {
            0..192 => parts[0],
            other => parts[other % parts.len()],
        }
    }
}

/// A platform, and the trunk that faces it.
pub struct Scene {
    trunk: Trunk,
    side: Side,
}

fn scene(choices: &mut Choices<'_>) -> Scene {
    let (region, identifier, domain) = ("eu-central-1", "acme-sbc", "byoc.mypurecloud.de");
    let settled = |platform: &Platform<'_>| {
        defaults(platform).expect("a platform of the table").into_trunk(TrunkId(0), "trunk", FQDN, 5061)
    };
    let choice = choices.next();
    let termination = match choice % 8 {
        0..4 => {
            let trunk = settled(&Platform::Teams { cloud: Cloud::Worldwide });
            let hosts = trunk.hosts.iter().map(|host| host.name.to_string()).collect();
            let users = USERS.map(str::to_owned).to_vec();
            let side = Side::Hub(hub::Trunk { fqdn: FQDN.into(), port: 5061, hosts, hub_port: 5061, users });
            return Scene { trunk, side };
        }
        4 | 5 => Termination::Fqdn,
        6 => Termination::Tgrp,
        _ => Termination::Dnis,
    };
    let generation = Generation::Classic;
    let mut trunk = settled(&Platform::Genesys { generation, region, identifier, termination });
    let srtp = choice % 8 != 5;
    if !srtp {
        trunk.transport = Transport::Tcp;
        trunk.fqdn = Arc::from(FQDN);
    }
    let (identifier, domain) = (identifier.to_owned(), domain.to_owned());
    let dids = USERS.map(str::to_owned).to_vec();
    let side =
        Side::Genesys(genesys::Trunk { fqdn: FQDN.into(), port: 5061, identifier, domain, termination, dids, srtp });
    Scene { trunk, side }
}

/// Header fields that the far side or an operator's rule may bring.
const FIELDS: [&str; 34] = [
    "",
    "X-Acme: 1\r\n",
    "X-Flag:\r\n",
    "Subject:\r\n",
    "subject: x\r\n",
    "s: folded\r\n line\r\n",
    "Subject : x\r\n",
    "Subject:x\r\n",
    "Record-Route: <sip:sbc1.example.com;lr>\r\n",
    "record-route: <sip:192.0.2.1;lr>\r\n",
    "Require: 100rel\r\n",
    "Require: timer, 100rel\r\nRequire: x\r\n",
    "Proxy-Require: x\r\n",
    "Diversion: <sip:+14255550100@example.com>\r\n",
    "P-Charge-Info: <sip:a@example.com>\r\n",
    "p-charging-vector: x\r\n",
    "Call-Info: <http://example.com>\r\n",
    "Remote-Party-ID: <sip:+14255550177@example.com>\r\n",
    "User-to-User: 00\r\n",
    "User-to-User: 00\r\nUser-to-User: 01\r\n",
    "x-User-to-User: 02\r\n",
    "X-Genesys-Site: 1\r\n",
    "x-inin-cnv: 1\r\nX-Pcv: 1\r\n",
    "X-MS-UserSite: 1\r\n",
    "X-MS-SBC: Example/Edge/1\r\n",
    "Replaces: 1;to-tag=2;from-tag=3\r\n",
    "Session-Expires: 1800;refresher=uac\r\n",
    "Session-Expires: 1800;refresher=uac\r\nSession-Expires: 1800;refresher=uac\r\n",
    "Session-Expires: 90\r\n",
    "Min-SE: 90\r\nMin-SE: 300\r\n",
    "Expires: 60\r\n",
    "P-Preferred-Identity: <sip:+12065550144@example.com>\r\n",
    "Privacy: header;id\r\n",
    "History-Info: <sip:+12065550144@example.com>;index=1\r\n",
];

const CONTACTS: [&str; 12] = [
    "Contact: <sip:sbc1.example.com:5061;transport=TRANSPORT>\r\n",
    "Contact: <sip:+12065550144@sbc1.example.com:5061;transport=TRANSPORT>\r\n",
    "Contact: <sip:sbc1.example.com>\r\n",
    "Contact: sip:sbc1.example.com:5061;transport=TRANSPORT\r\n",
    "m: \"Edge\" <sip:SBC1.example.com:5067;transport=udp>\r\n",
    "Contact: <sip:192.0.2.1:5061;transport=tls>\r\n",
    "Contact: <sip:sbc9.example.com:5061;transport=tls>\r\n",
    "Contact: <sip:sbc1.example.com:5061;transport=tls>, <sip:sbc1.example.com>\r\n",
    "Contact: <sips:sbc1.example.com:5061;transport=tls>\r\n",
    "Contact: <sip:@sbc1.example.com:5061;transport=tls>\r\n",
    "Contact: <sip:sbc1.example.com:5061;transport=tls?Replaces=1%3Bto-tag%3D2>\r\n",
    "",
];

const FROMS: [&str; 16] = [
    "\"Dana\" <sip:+12065550144@sbc1.example.com>;tag=1",
    "<sip:+12065550144@carrier.example.com>;tag=1",
    "<sip:+12065550144;ext=7@sbc1.example.com>;tag=1",
    "<tel:+12065550144;phone-context=example.com>;tag=1",
    "<tel:+12065550144>;tag=1",
    "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1",
    "\"+1 206 555 0144\" <sip:anonymous@anonymous.invalid>;tag=1",
    "<sip:anonymous@sbc1.example.com>;tag=1",
    "<sip:+12065550144@anonymous.invalid>;tag=1",
    "<sip:Anonymous@sbc1.example.com>;tag=1",
    "<sip:1001@sbc1.example.com>;tag=1",
    "<sip:alice@sbc1.example.com>;tag=1",
    "<sip:+12065550144:secret@sbc1.example.com>;tag=1",
    "<sips:+12065550144@sbc1.example.com>;tag=1",
    "<sip:@sbc1.example.com>;tag=1",
    "<sip:+12065550144@sbc1.example.com>",
];

const ASSERTED: [&str; 7] = [
    "P-Asserted-Identity: <sip:+12065550144@sbc1.example.com>\r\n",
    "",
    "P-Asserted-Identity: <sip:+14255550177@sbc1.example.com>\r\n",
    "P-Asserted-Identity: <tel:+12065550144>\r\n",
    "P-Asserted-Identity: \"D\" <sip:+12065550144@sbc1.example.com>, <tel:+14255550177>\r\n",
    "P-Asserted-Identity: <sip:+12065550144@sbc1.example.com>\r\nPrivacy: id\r\n",
    "P-Asserted-Identity: alice\r\n",
];

/// User parts of a Request-URI.
const NUMBERS: [&str; 12] = [
    "+14255550123",
    "+1001",
    "+496955501000",
    "+14255550100;ext=1001",
    "+14255550123;npdi;rn=+14255550199",
    "+14255550123;phone-context=example.com",
    "+14255550123:secret",
    "14255550123",
    "112",
    "alice",
    "",
    "+14255550123;user=ip",
];

const ALLOWS: [&str; 4] = [
    "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY\r\n",
    "Allow: INVITE, ACK, BYE\r\nAllow: CANCEL, NOTIFY\r\n",
    "Allow: INVITE, ACK, BYE\r\n",
    "",
];

const KEY: &str = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk|2^31";

/// A message that somebody might want to send over the trunk of `scene`.
fn message(scene: &Scene, choices: &mut Choices<'_>) -> Option<Message> {
    let hub = scene.trunk.kind == Kind::Teams;
    let shape = choices.of(&["call", "re-INVITE", "OPTIONS", "INFO", "UPDATE", "180", "200", "200 OPTIONS", "BYE"]);
    let (method, status, within) = match shape {
        "call" => ("INVITE", 0, false),
        "re-INVITE" => ("INVITE", 0, true),
        "180" => ("INVITE", 183, true),
        "200" => ("INVITE", 200, true),
        "200 OPTIONS" => ("OPTIONS", 200, true),
        "OPTIONS" => ("OPTIONS", 0, false),
        "BYE" => ("INVITE", 0, false),
        other => (other, 0, true),
    };
    let transport = scene.trunk.transport.uri_value();
    let mut text = String::new();
    let (uri, to) = if within {
        ("sip:peer@198.51.100.21:5061;x-i=1".to_owned(), "<sip:+14255550123@example.com>;tag=2".to_owned())
    } else {
        parties(scene, method, choices)
    };
    match status {
        0 => write!(text, "{method} {uri} SIP/2.0\r\n"),
        183 => write!(text, "SIP/2.0 183 Session Progress\r\n"),
        _ => write!(text, "SIP/2.0 {status} OK\r\n"),
    }
    .expect("a string takes it");
    let via = scene.trunk.transport.via_token();
    text.push_str(&format!("Via: SIP/2.0/{via} {FQDN}:5061;branch=z9hG4bK1;alias\r\nMax-Forwards: 69\r\n"));
    // Within a dialog, and in a response, the parties are agreed.
    let from = if within { FROMS[0] } else { choices.of(&FROMS) };
    text.push_str(&format!("From: {from}\r\nTo: {to}\r\nCall-ID: 7@{FQDN}\r\nCSeq: 1 {method}\r\n"));
    text.push_str(&choices.of(&CONTACTS).replace("TRANSPORT", transport));
    text.push_str(choices.of(&ASSERTED));
    text.push_str(choices.of(&ALLOWS));
    for _ in 0..3 {
        text.push_str(choices.of(&FIELDS));
    }
    let mut octets = text.into_bytes();
    if choices.next() >= 250 {
        octets.extend_from_slice(b"Subject: caf\xe9\r\n");
    }
    let bodiless = matches!(method, "OPTIONS" | "INFO") || (status == 183 && choices.next() < 128);
    let (content_type, body) = if bodiless { ("", Vec::new()) } else { body(!hub && transport == "tcp", choices) };
    octets.extend_from_slice(content_type.as_bytes());
    octets.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    octets.extend_from_slice(&body);
    Message::parse(Bytes::from(octets)).ok()
}

/// Request-URI and To of what begins a call, or asks from outside of one.
fn parties(scene: &Scene, method: &str, choices: &mut Choices<'_>) -> (String, String) {
    let number = choices.of(&NUMBERS);
    let called = match choices.of(&["same", "other", "tel", "tag"]) {
        "same" => format!("<sip:{number}@{FQDN}>"),
        "other" => format!("\"X\" <sip:+14255550199@{FQDN}>"),
        "tel" => format!("<tel:{number}>"),
        _ => format!("<sip:{number}@{FQDN}>;phone-context=x"),
    };
    let uri = match &scene.side {
        Side::Hub(_) => {
            let host = choices.of(&["sip.pstnhub.microsoft.com:5061", "sip2.pstnhub.microsoft.com", "192.0.2.9"]);
            let user = choices.of(&[
                ";user=phone;transport=tls",
                ";transport=tls",
                ";transport=tls;USER=ip;x",
                ";user;user=phone",
                ";user=phone;transport=tls?Replaces=1",
                ";transport=tls?Subject=x",
            ]);
            match method {
                "OPTIONS" => format!("sip:{host};transport=tls"),
                _ => format!("{}{number}@{host}{user}", choices.of(&["sip:", "SIP:", "sips:"])),
            }
        }
        Side::Genesys(trunk) => {
            let more = choices.of(&["", ";transport=tls", ";user=phone", ";tgrp=acme-sbc", "?Subject=x", ";x=1"]);
            let (host, domain, id) = (trunk.host(), &trunk.domain, &trunk.identifier);
            match (trunk.termination, choices.next()) {
                (_, 250..) => format!("sip:{number}@byoc.mypurecloud.com{more}"),
                (Termination::Fqdn, 200..) => format!("sip:{number}@{}{more}", host.to_uppercase()),
                (Termination::Fqdn, _) => format!("sip:{number}@{host}{more}"),
                (Termination::Tgrp, 200..) => format!("sip:{number};tgrp={id}@{domain}{more}"),
                (Termination::Tgrp, _) => format!("sip:{number};tgrp={id};trunk-context={domain}@{domain}{more}"),
                (Termination::Header, _) => format!("sip:{number}@{domain}{more}"),
                (Termination::Dnis, _) => format!("sip:{id}@{domain}{more}"),
            }
        }
    };
    (uri, called)
}

/// Content-Type and body.
fn body(plain: bool, choices: &mut Choices<'_>) -> (&'static str, Vec<u8>) {
    let (profile, other, key) = if plain { ("RTP/AVP", "RTP/SAVP", "a=x") } else { ("RTP/SAVP", "RTP/AVP", KEY) };
    let mut sdp = String::new();
    let origin = choices.of(&[
        "o=- 1 1 IN IP4 192.0.2.7",
        "o=- x 1 IN IP4 192.0.2.7",
        "o=a b 1 1 IN IP4 a",
        "o=-  1 1 IN IP4 a",
    ]);
    let connection =
        choices.of(&["c=IN IP4 192.0.2.7", "c=IN IP4 0.0.0.0", "c=IN  IP4 192.0.2.7/127", "a=none", "c=IN"]);
    for line in [choices.of(&["v=0", "v=0 ", "v=1"]), origin, choices.of(&["s=-", "s=", "s= "]), connection, "t=0 0"] {
        sdp.push_str(line);
        sdp.push_str("\r\n");
    }
    sdp.push_str(choices.of(&["", "i=\r\n", "A=x\r\n", "x\r\n", "a=sendonly\r\n", "\r\n", "a=\ra\r\n"]));
    for _ in 0..=choices.next() / 192 {
        let port = choices.of(&["5004", "0", "5004/2", "0/2", "00", "70000", " 5004"]);
        let profile = choices.of(&[profile, other, "UDP/TLS/RTP/SAVP", "udptl", "RTP/SAVPF"]);
        sdp.push_str(&format!("m=audio {port} {profile} 8 101\r\n"));
        sdp.push_str(choices.of(&["", "c=IN IP4 0.0.0.0\r\n", "c=IN IP6 2001:db8::7\r\n", "c=\r\n"]));
        sdp.push_str(choices.of(&[
            key,
            "a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk",
            "a=crypto:1  AES_CM_128_HMAC_SHA1_80  inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk|2^31|1:4",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2hvcnQ=",
            "a=crypto:x AES_CM_128_HMAC_SHA1_80 inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk",
            "a=setup:actpass",
        ]));
        sdp.push_str("\r\n");
        sdp.push_str(choices.of(&["a=sendrecv\r\n", "a=inactive\r\n", "a=sendonly\r\n", "a=RecvOnly\r\n", ""]));
    }
    let sdp = match choices.of(&["crlf", "lf", "open", "empty", "latin"]) {
        "lf" => sdp.replace("\r\n", "\n").into_bytes(),
        "open" => sdp.trim_end().to_owned().into_bytes(),
        "empty" => format!("{sdp}\r\n\r\n").into_bytes(),
        "latin" => [sdp.as_bytes(), b"a=x:caf\xe9\r\n"].concat(),
        _ => sdp.into_bytes(),
    };
    match choices.of(&["sdp", "upper", "multipart", "pidf", "untyped", "none", "empty"]) {
        "upper" => ("Content-Type: Application/SDP;charset=utf-8\r\n", sdp),
        "multipart" => {
            let parts =
                [b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b\r\nContent-Type: application/sdp\r\n\r\n", &sdp[..]];
            ("Content-Type: multipart/mixed;boundary=b\r\n", [parts.concat().as_slice(), b"\r\n--b--\r\n"].concat())
        }
        "pidf" => ("Content-Type: application/pidf+xml\r\n", b"<presence/>".to_vec()),
        "untyped" => ("", sdp),
        "none" => ("", Vec::new()),
        "empty" => ("Content-Type: application/sdp\r\n", Vec::new()),
        _ => ("Content-Type: application/sdp\r\n", sdp),
    }
}

/// Parts that an operator's rule writes.
const TARGETS: [&str; 18] = [
    "X-Acme",
    "from-uri",
    "from-display",
    "to-uri",
    "to-display",
    "request-uri",
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Privacy",
    "Diversion",
    "User-to-User",
    "x-User-to-User",
    "Remote-Party-ID",
    "History-Info",
    "Reply-To",
    "Subject",
    "Server",
    "Call-Info",
];

/// What it writes there.
const VALUES: [&str; 16] = [
    "x",
    "",
    "sip:+14255550123@sip.pstnhub.microsoft.com;user=phone",
    "sip:+496955501000@acme-sbc.byoc.mypurecloud.de",
    "sip:+12065550144@sbc1.example.com",
    "<sip:+12065550144@sbc1.example.com>",
    "sips:+14255550123@sip.pstnhub.microsoft.com",
    "tel:+14255550123",
    "sip:@example.com",
    "sip:a@b@example.com;x=a@b",
    "+1 206 555 0144",
    "\"\\",
    "<sip:anonymous@anonymous.invalid>",
    "id;header",
    "caf\u{e9}; phone-context=x?Replaces=1",
    "00aa;encoding=hex, 01",
];

/// The message as rules of an operator leave it; `None`: they spoil it, and it does not leave.
fn ruled(scene: &Scene, message: Message, choices: &mut Choices<'_>) -> Option<Message> {
    let number = choices.next() / 64;
    let rules: Vec<Rule> = (0..number).filter_map(|_| rule(choices)).collect();
    let rules = Rules::new(rules);
    match rules.apply(scene.trunk.id, Direction::Out, &message, &Facts::default()) {
        Ok(Some(applied)) => Some(applied.message),
        Ok(None) => Some(message),
        Err(_) => None,
    }
}

/// A rule that fires always; `None` where a configuration would refuse it.
fn rule(choices: &mut Choices<'_>) -> Option<Rule> {
    let mut any = |parts: &[&'static str]| parts[usize::from(choices.next()) % parts.len()];
    let action = any(&["set", "add", "remove", "rename", "copy", "replace"]);
    let (from, to) = (Target::parse(any(&TARGETS)).ok()?, Target::parse(any(&TARGETS)).ok()?);
    let value = Template::parse(any(&VALUES), None).ok()?;
    let field = |target: Target| match target {
        Target::Header(field) => Some(field),
        _ => None,
    };
    let action = match action {
        "set" => Action::Set(to, value),
        "add" => Action::Add(field(to)?, value),
        "remove" => Action::Remove(field(from)?),
        "rename" => Action::Rename(field(from)?, field(to)?),
        "copy" => Action::Copy(from, to),
        _ => {
            let expression = Regex::new(any(&["\\+1", "[0-9]+", "^sip:", "@.*", "$", "."])).expect("an expression");
            Action::Replace(to, expression, Template::parse(any(&["", "+49", "sips:", "x", "@", ";"]), Some(0)).ok()?)
        }
    };
    let condition = Condition::always(Direction::Out);
    Some(Rule { name: Arc::from(""), condition, action })
}

/// What the twin finds in a message, as far as the guard answers for it.
fn breaches(scene: &Scene, message: &Message) -> Vec<Breach> {
    let names = [FQDN.to_owned()];
    let read = wire::read(&message.octets(), &scene.trunk.transport.via_token().to_ascii_uppercase());
    let (plain, mut found) = match read {
        Ok(read) => read,
        Err(breach) => return vec![breach],
    };
    let within = !plain.tag("To").is_empty();
    found.extend(match &scene.side {
        Side::Hub(trunk) if plain.is_response() => hub::response(trunk, &plain, &names),
        Side::Hub(trunk) if within => hub::in_dialog(trunk, &plain, &names),
        Side::Hub(trunk) => hub::request(trunk, &plain, &names),
        Side::Genesys(trunk) if plain.is_response() => genesys::response(trunk, &plain),
        Side::Genesys(trunk) if within => genesys::in_dialog(trunk, &plain),
        Side::Genesys(trunk) => genesys::request(trunk, &plain),
    });
    found.retain(|breach| !is_another_s(breach, message));
    found
}

/// What is known before the guard, or only to the tenant.
fn is_another_s(breach: &Breach, message: &Message) -> bool {
    let begins = |text: &str| breach.text.starts_with(text);
    match breach.rule {
        // Numbers without + are understood by number plans of the site, and an operator may assert nobody.
        "GEN-57" => begins("From user") || begins("P-Asserted-Identity None"),
        // A trunk of TCP or UDP may have been set to SRTP.
        "GEN-48" => breach.text.ends_with("wants RTP/AVP"),
        // Which status it is was decided before.
        "GEN-80" => breach.text.ends_with("tries another proxy"),
        // The directory knows who is there.
        "TDR-46" | "GEN-17" => true,
        // Whether an answer may have one direction is a question of its offer.
        "TDR-93" => !message.is_request() && begins("a="),
        // What the request offered, or who refreshes, is known to the call.
        "RFC 4028 §9" => !message.is_request(),
        // The twin's second reading of it.
        "RFC 3261 §25" => true,
        _ => false,
    }
}

/// Lets the guard see the message that `octets` choose, and the twin what the guard lets through.
///
/// # Errors
///
/// In words, with the message, what the twin found, or what the guard would repair twice.
pub fn judge(octets: &[u8]) -> Result<Outcome, String> {
    let mut choices = Choices(octets);
    let scene = scene(&mut choices);
    let message = message(&scene, &mut choices).and_then(|message| ruled(&scene, message, &mut choices));
    let Some(message) = message else { return Ok(Outcome::Unread) };
    let (left, outcome) = match guard::inspect(&scene.trunk, &message) {
        Err(rejection) => return Ok(Outcome::Refused(rejection)),
        Ok(None) => (message.clone(), Outcome::Passed),
        Ok(Some(repaired)) => (repaired, Outcome::Repaired),
    };
    let found = breaches(&scene, &left);
    if !found.is_empty() {
        let found: Vec<String> = found.iter().map(Breach::to_string).collect();
        return Err(format!("{}\n\nof\n{}\nleft\n{}", found.join("\n"), shown(&message), shown(&left)));
    }
    settled(&scene.trunk, &left).map(|()| outcome)
}

/// Lets the guard see octets that are no message of ours, toward the platform that the first one chooses.
///
/// # Errors
///
/// In words, with the message, when what it repairs is not good enough for itself.
pub fn survive(octets: &[u8]) -> Result<(), String> {
    let (first, rest) = octets.split_at(octets.len().min(1));
    let scene = scene(&mut Choices(first));
    let Ok(message) = Message::parse(Bytes::copy_from_slice(rest)) else { return Ok(()) };
    match guard::inspect(&scene.trunk, &message) {
        Ok(Some(repaired)) => settled(&scene.trunk, &repaired),
        Ok(None) | Err(_) => Ok(()),
    }
}

fn shown(message: &Message) -> String {
    String::from_utf8_lossy(&message.octets()).into_owned()
}

/// What left is not repaired again.
fn settled(trunk: &Trunk, left: &Message) -> Result<(), String> {
    match guard::inspect(trunk, left) {
        Ok(None) => Ok(()),
        Ok(Some(again)) => Err(format!("repaired twice:\n{}\nthen\n{}", shown(left), shown(&again))),
        Err(rejection) => Err(format!("repaired, then refused: {rejection}\n{}", shown(left))),
    }
}

/// What the guard made of a message.
#[derive(Debug)]
pub enum Outcome {
    /// No parser takes it, or rules spoil it: it is nothing that could be sent.
    Unread,
    /// It may leave as it is.
    Passed,
    /// It leaves otherwise.
    Repaired,
    /// It does not leave.
    Refused(Rejection),
}
