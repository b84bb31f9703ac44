//! One trial of operator's rules and egress guard: a message as the core writes it, whatever the far side said; rules that
//! the configuration would take; then the guard, and behind it the twin, written from the documents alone.
//!
//! Everything is chosen by octets, so that a property test and a fuzzer can drive it alike. What the guard lets leave, the
//! twin must find nothing in.

use bytes::Bytes;
use tandem::flow::TrunkId;
use tandem::normalize::{self, Caller, guard};
use tandem::number::Number;
use tandem::rules::{Action, Condition, Direction, Facts, Rule, Rules, Target, Template};
use tandem::sip::{Draft, Message, Method, Name};
use tandem::trunk::platforms::{Cloud, Generation, Platform, defaults};
use tandem::trunk::{Kind, Termination, Trunk};
use tandem::twin::checks::{Breach, genesys, hub, wire};
use tandem::twin::octets::{Plain, PlainUri};

const FQDN: &str = "sbc1.example.com";

/// What became of a trial.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It left, and the twin found nothing.
    Left,
    /// It left repaired, and the twin found nothing.
    Repaired,
    /// Rules or guard kept it back.
    Kept,
}

/// Octets as choices; at their end every choice is the first.
struct Choices<'d>(&'d [u8]);

impl Choices<'_> {
    fn next(&mut self) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.next() % of.len()]
    }

    fn text(&mut self) -> String {
        const LETTERS: &[u8] = b"a0+@:;<>\"\\,.=?%/ \t-_~'!()[]{}*#&|^`Z9\x7f";
        let length = self.next() % 14;
        (0..length).map(|_| char::from(self.pick(LETTERS))).collect()
    }
}

/// Plays the trial that `data` chooses.
///
/// # Panics
///
/// When the twin finds something in what the guard let leave.
pub fn trial(data: &[u8]) -> Outcome {
    let mut choices = Choices(data);
    let trunk = trunk(&mut choices);
    let message = written(&mut choices, &trunk);
    let rules = rules(&mut choices);
    let (caller, called) = (Number::normalise("+12065550144", "").ok(), Number::normalise("+14255550123", "").ok());
    let facts = Facts { caller: caller.as_ref(), called: called.as_ref(), to_trunk: &trunk.name, ..Facts::default() };
    let message = match rules.apply(trunk.id, Direction::Out, &message, &facts) {
        Ok(Some(applied)) => applied.message,
        Ok(None) => message,
        Err(_) => return Outcome::Kept,
    };
    let (message, outcome) = match guard::inspect(&trunk, &message) {
        Ok(Some(repaired)) => (repaired, Outcome::Repaired),
        Ok(None) => (message, Outcome::Left),
        Err(_) => return Outcome::Kept,
    };
    assert_eq!(
        guard::inspect(&trunk, &message).map(|again| again.is_some()),
        Ok(false),
        "what left once leaves again as it is"
    );
    let breaches = judged(&trunk, &message);
    assert!(breaches.is_empty(), "{breaches:#?}\nin\n{}", String::from_utf8_lossy(&message.octets()));
    outcome
}

fn trunk(choices: &mut Choices<'_>) -> Trunk {
    let termination = match choices.next() % 4 {
        0 => {
            let teams = defaults(&Platform::Teams { cloud: Cloud::Worldwide }).expect("a cloud");
            return teams.into_trunk(TrunkId(0), "teams", FQDN, 5061);
        }
        1 => Termination::Fqdn,
        2 => Termination::Tgrp,
        _ => Termination::Dnis,
    };
    let (generation, region, identifier) = (Generation::Classic, "eu-central-1", "acme-sbc");
    let genesys = Platform::Genesys { generation, region, identifier, termination };
    defaults(&genesys).expect("a region").into_trunk(TrunkId(1), "genesys", FQDN, 5061)
}

/// A message as the core writes it.
fn written(choices: &mut Choices<'_>, trunk: &Trunk) -> Message {
    let number = |text: &str| Number::normalise(text, "").expect("a number");
    let called = number(choices.pick(&["+14255550123", "+496955501000", "+14255550100;ext=7", "112"]));
    let caller = Caller {
        number: choices.pick(&[Some("+12065550144"), Some("1001"), None]).map(number),
        display: choices.pick(&[Some("Dana \"D\" Example"), Some("Ünï, <x>"), None]).map(str::to_owned),
        anonymous: choices.pick(&[false, false, true]),
        ..Caller::default()
    };
    let form = normalize::invite_form(trunk, 0, &caller, &called);
    let kind = choices.pick(&["initial", "initial", "within", "200", "183"]);
    let tag = if kind == "within" { ";tag=peer" } else { "" };
    let mut draft = match kind {
        "200" | "183" => {
            let offer = format!(
                "INVITE sip:a@{FQDN} SIP/2.0\r\nVia: SIP/2.0/TLS 198.51.100.21;branch=z9hG4bK7\r\nMax-Forwards: 70\r\n\
                 From: <sip:+4917155501234@198.51.100.21>;tag=1\r\nTo: <sip:a@{FQDN}>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\r\n"
            );
            let offer = Message::parse(Bytes::from(offer)).expect("an INVITE");
            Draft::response(&offer, if kind == "200" { 200 } else { 183 }, "OK", "us", None)
        }
        _ => {
            let mut draft = Draft::request(&Method::Invite, &form.request_uri);
            draft.put(Name::Via, &normalize::via(trunk, "z9hG4bK1")).put(Name::MaxForwards, "69");
            draft.put_parts(Name::From, &[&form.from, ";tag=us"]).put_parts(Name::To, &[&form.to, tag]);
            draft.put(Name::CallId, "1@sbc1.example.com").put(Name::CSeq, "1 INVITE");
            draft
        }
    };
    draft.put(Name::Contact, &form.contact).put(Name::Allow, normalize::allow(trunk));
    draft.put(Name::Supported, normalize::supported(trunk));
    if kind == "initial" {
        form.identity.iter().for_each(|(field, value)| {
            draft.put(field.clone(), value);
        });
    }
    if trunk.kind == Kind::Genesys && choices.next().is_multiple_of(3) {
        draft.put(Name::UserToUser, "00aa;encoding=hex");
    }
    normalize::introduce(&mut draft, trunk, "Tandem");
    if choices.next() % 8 != 7 {
        let sdp = description(choices);
        draft.body("application/sdp", sdp);
    }
    Message::parse(draft.finish()).expect("what the core writes can be read")
}

/// A description of the far side, good or bad.
fn description(choices: &mut Choices<'_>) -> Bytes {
    let mut sdp = String::from("v=0\r\no=- 7 1 IN IP4 192.0.2.7\r\ns=-\r\n");
    sdp.push_str(choices.pick(&[
        "c=IN IP4 192.0.2.7\r\n",
        "c=IN IP4 192.0.2.7\r\n",
        "c=IN IP4 0.0.0.0\r\n",
        "c=IN IP6 2001:db8::7\r\n",
        "",
    ]));
    sdp.push_str("t=0 0\r\n");
    for _ in 0..=choices.next() % 2 {
        let port = choices.pick(&["5004", "5004", "0"]);
        let profile = choices.pick(&["RTP/SAVP", "RTP/SAVP", "RTP/AVP", "UDP/TLS/RTP/SAVP", "RTP/SAVPF"]);
        sdp.push_str(&format!("m=audio {port} {profile} 8 101\r\n"));
        sdp.push_str(choices.pick(&[
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk|2^31\r\n",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk\r\n",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk\r\n",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:short\r\n",
            "",
        ]));
        sdp.push_str(choices.pick(&["a=sendrecv\r\n", "", "a=inactive\r\n", "a=sendonly\r\n", "a=recvonly\r\n"]));
    }
    Bytes::from(sdp)
}

fn rules(choices: &mut Choices<'_>) -> Rules {
    const TARGETS: &[&str] = &[
        "X-Acme",
        "P-Asserted-Identity",
        "Diversion",
        "User-to-User",
        "x-User-to-User",
        "Remote-Party-ID",
        "Subject",
        "Privacy",
        "Call-Info",
        "Warning",
        "P-Charge-Info",
        "request-uri",
        "from-uri",
        "from-display",
        "to-uri",
        "to-display",
    ];
    const VALUES: &[&str] = &[
        "1",
        "id",
        "none",
        "sip:+14255550199@sip.pstnhub.microsoft.com",
        "sip:+496955501007@acme-sbc.byoc.mypurecloud.de;user=phone",
        "tel:+14255550199",
        "sip:anonymous@example.com",
        "sip:anonymous@anonymous.invalid",
        "sips:+1@example.com",
        "<sip:+14255550199@example.com>",
        "sip:1001@example.com",
        "sip:+1425;phone-context=x@sip.pstnhub.microsoft.com",
        "sip:acme-sbc@byoc.mypurecloud.de",
        "${caller}",
        "${header:Contact}",
        "${from.display}",
        "sip:alice@example.com",
    ];
    let rules = (0..choices.next() % 5).filter_map(|_| {
        let target = Target::parse(choices.pick(TARGETS)).expect("a name");
        assert_eq!(target.denied(), None, "the configuration would not take it");
        let (value, own) = (choices.pick(VALUES), choices.text().replace('$', ""));
        let value = if choices.next() % 4 == 3 { own } else { value.to_owned() };
        let template = Template::parse(&value, None).ok()?;
        let field = |target: &Target| match target {
            Target::Header(field) => Some(field.clone()),
            _ => None,
        };
        let action = match choices.next() % 6 {
            0 => Action::Add(field(&target)?, template),
            1 | 2 => Action::Set(target, template),
            3 => Action::Remove(field(&target)?),
            4 => Action::Rename(field(&target)?, field(&Target::parse(choices.pick(TARGETS)).expect("a name"))?),
            _ => Action::Copy(Target::parse(choices.pick(TARGETS)).expect("a name"), target),
        };
        let condition = Condition::always(Direction::Out);
        Some(Rule { name: "".into(), condition, action })
    });
    Rules::new(rules.collect())
}

/// What the twin finds, but for numbers that only the platform itself knows (TDR-46, GEN-17).
fn judged(trunk: &Trunk, message: &Message) -> Vec<Breach> {
    let (plain, mut found) = match wire::read(&message.octets(), "TLS") {
        Ok(read) => read,
        Err(breach) => return vec![breach],
    };
    let within = message.is_request() && tandem::sip::tag(message.header(Name::To).unwrap_or("")).is_some();
    let breaches = match trunk.kind {
        Kind::Teams => by_the_hub(&plain, within),
        Kind::Genesys | Kind::Generic => by_genesys(trunk, &plain, within),
    };
    found.extend(breaches);
    found.retain(|breach| !matches!(breach.rule, "TDR-46" | "GEN-17"));
    // rsip, the twin's second reader, takes a `<` within a quoted display name for the beginning of the URI.
    let bracketed = [Name::From, Name::To].iter().any(|name| {
        let value = message.header(*name).and_then(|value| tandem::sip::NameAddr::parse(value).ok());
        value.is_some_and(|value| value.display().is_some_and(|display| display.contains('<')))
    });
    found.retain(|breach| !bracketed || breach.rule != "RFC 3261 §25");
    // Which status it is was decided before.
    found.retain(|breach| !(breach.rule == "GEN-80" && breach.text.ends_with("tries another proxy")));
    // An operator may assert nobody.
    found.retain(|breach| !(breach.rule == "GEN-57" && breach.text.starts_with("P-Asserted-Identity None")));
    // An answer may have one direction where the hub's offer had the other (RFC 3264 §6.1): nobody made an offer here.
    found.retain(|breach| message.is_request() || breach.rule != "TDR-93" || !breach.text.starts_with("a="));
    found
}

fn by_the_hub(plain: &Plain, within: bool) -> Vec<Breach> {
    let hosts = ["sip", "sip2", "sip3"].map(|name| format!("{name}.pstnhub.microsoft.com")).to_vec();
    let user = if plain.is_response() { String::new() } else { PlainUri::read(plain.request_uri()).user.to_owned() };
    let side = hub::Trunk { fqdn: FQDN.to_owned(), port: 5061, hosts, hub_port: 5061, users: vec![user] };
    let names = [FQDN.to_owned()];
    match (plain.is_response(), within) {
        (true, _) => hub::response(&side, plain, &names),
        (false, true) => hub::in_dialog(&side, plain, &names),
        (false, false) => hub::request(&side, plain, &names),
    }
}

fn by_genesys(trunk: &Trunk, plain: &Plain, within: bool) -> Vec<Breach> {
    let side = genesys::Trunk {
        fqdn: FQDN.to_owned(),
        port: 5061,
        identifier: "acme-sbc".to_owned(),
        domain: "byoc.mypurecloud.de".to_owned(),
        termination: trunk.termination,
        dids: Vec::new(),
        srtp: true,
    };
    match (plain.is_response(), within) {
        (true, _) => genesys::response(&side, plain),
        (false, true) => genesys::in_dialog(&side, plain),
        (false, false) => genesys::request(&side, plain),
    }
}
