//! What a received INVITE looks like when it leaves, octet for octet: `tests/fixtures/normalize/*.in.sip` through the whole
//! core, with one seed, against `*.out.sip`; and what must hold of every INVITE.
//!
//! An `.in.sip` begins with comments: what it shows, `# from: TRUNK`, `# to: TRUNK`, and `# set: TRUNK KEY VALUE` for keys
//! of a trunk. Lines end with LF in the files and with CRLF in the messages; Content-Length is counted here. What we mint
//! (tags, branches, Call-IDs, CSeq, session ids) has zeros in place of its random digits: it is not what a rule decides.
//! `BLESS=1` writes what leaves into the `.out.sip` files, to be read and committed by whoever changed a rule.

#![allow(clippy::unwrap_used, reason = "a test of its own: a panic is a failure")]

use bytes::Bytes;
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tandem::call::{Admission, Admit};
use tandem::edge::{Edge, EdgeStart};
use tandem::flow::{FlowId, ListenerId, Now, Peer, Transport, TrunkId};
use tandem::io::{Destination, Input, Output};
use tandem::number::Pattern;
use tandem::sip::{Message, Method, Name};
use tandem::snapshot::{EdgeSettings, NumberMatch, Route, Snapshot};
use tandem::trunk::platforms::{Cloud, Generation, Platform, defaults};
use tandem::trunk::policy::{AssertedIdentity, Forwarding, UserToUserForm, Wildcard};
use tandem::trunk::{Host, Termination, Trunk};

struct Open;

impl Admission for Open {
    fn admit(&self, _: TrunkId, _: Now, _: Option<u32>, _: Option<u32>) -> Admit {
        Admit::Yes
    }

    fn release(&self, _: TrunkId) {}

    fn enter(&self, _: u64) {}

    fn exit(&self, _: u64) {}

    fn entered(&self, _: u64) -> u32 {
        0
    }
}

/// The trunks of the fixtures, and the address that each calls from.
fn trunks() -> Vec<(Trunk, &'static str)> {
    let mut all = Vec::new();
    let mut add = |platform: &Platform<'_>, name: &str, source: &'static str, range: &str| {
        let id = TrunkId(all.len() as u16);
        let mut trunk = defaults(platform).unwrap().into_trunk(id, name, "sbc1.example.com", 5061);
        trunk.options_interval = None;
        trunk.sources = vec![range.parse().unwrap()];
        // The version of the product would change every fixture.
        trunk.sbc = trunk.sbc.map(|_| "Tandem/Edge/0".into());
        all.push((trunk, source));
    };
    let genesys = |termination| Platform::Genesys {
        generation: Generation::Classic,
        region: "eu-central-1",
        identifier: "acme-sbc",
        termination,
    };
    add(&Platform::Teams { cloud: Cloud::Worldwide }, "teams", "52.112.0.7:40002", "52.112.0.0/14");
    add(&genesys(Termination::Fqdn), "genesys", "198.51.100.21:40001", "198.51.100.0/24");
    add(&genesys(Termination::Tgrp), "genesys-tgrp", "198.51.100.21:40001", "198.51.100.0/24");
    add(&genesys(Termination::Dnis), "genesys-dnis", "198.51.100.21:40001", "198.51.100.0/24");
    add(&Platform::Generic, "carrier", "192.0.2.20:40003", "192.0.2.0/24");
    add(&Platform::Generic, "pbx", "192.0.2.10:5060", "192.0.2.0/24");
    for (name, host) in [("carrier", "carrier.example.com"), ("pbx", "pbx.example.com")] {
        let (trunk, _) = all.iter_mut().find(|(trunk, _)| &*trunk.name == name).unwrap();
        trunk.hosts = vec![Host { name: host.into(), port: Some(5060) }];
        trunk.request_host = host.into();
        trunk.transport = if name == "pbx" { Transport::Udp } else { Transport::Tls };
    }
    all
}

fn set(trunk: &mut Trunk, key: &str, value: &str) {
    let policy = &mut trunk.policy;
    match (key, value) {
        ("uui", "user-to-user-hex") => policy.user_to_user = UserToUserForm::Prefixed,
        ("uui", "user-to-user") => policy.user_to_user = UserToUserForm::Discriminator,
        ("uui", "x-user-to-user") => policy.user_to_user = UserToUserForm::Extension,
        ("uui", "x-user-to-user-ascii") => policy.user_to_user = UserToUserForm::ExtensionText,
        ("forwarding", "history-info") => policy.forwarding = Forwarding::HistoryInfo,
        ("asserted_identity", "keep") => policy.asserted_identity = AssertedIdentity::Keep,
        ("asserted_identity", "strip") => policy.asserted_identity = AssertedIdentity::Strip,
        ("asserted_identity", "promote") => policy.asserted_identity = AssertedIdentity::Promote,
        ("trusted_delivery", "true") => policy.trusted_delivery = true,
        ("pass", pass) => policy.pass.push(Wildcard::new(pass)),
        _ => panic!("{key} {value} cannot be set"),
    }
}

/// What leaves for `to` when `octets` come from `from`: the INVITE, or the refusal.
fn normalised(from: &str, to: &str, settings: &[(String, String, String)], octets: Bytes) -> Bytes {
    let mut trunks = trunks();
    for (name, key, value) in settings {
        set(&mut trunks.iter_mut().find(|(trunk, _)| *trunk.name == **name).unwrap().0, key, value);
    }
    let id = |name: &str| trunks.iter().find(|(trunk, _)| &*trunk.name == name).unwrap().0.id;
    let (from, to) = (id(from), id(to));
    let (source, transport) = (trunks[usize::from(from.0)].1, trunks[usize::from(from.0)].0.transport);
    let every = NumberMatch::Pattern(Pattern::parse("+*").unwrap());
    let snapshot = Snapshot {
        revision: 1,
        edge: EdgeSettings {
            product: "Tandem".into(),
            max_call: Duration::from_secs(43_200),
            probe_interval: Duration::from_secs(900),
            ask_timeout: Duration::from_secs(2),
            country_code: "49".into(),
            max_calls: 100,
            t1: Duration::from_millis(500),
            observe: false,
            max_transactions: 1000,
            ask_media: false,
            ask_load: false,
            emergency: Arc::new(["112".into(), "911".into()]),
        },
        trunks: trunks.into_iter().map(|(trunk, _)| Arc::new(trunk)).collect(),
        rules: Arc::default(),
        routes: vec![Route { from: None, number: every, to: vec![to], ..Route::default() }],
        directory: Arc::default(),
        addresses: Default::default(),
        down: Vec::new(),
        nonce_key: tandem::authentication::NonceKey::new([7; 32]),
        slots: Arc::new([0; 256]),
    };
    let start = EdgeStart {
        node: 1,
        worker: 0,
        epoch: 1,
        seed: [7; 32],
        slots: (0..=255).collect(),
        speaks: false,
        admission: Arc::new(Open),
    };
    let now = Now { monotonic: Instant::now(), unix_ms: 1_700_000_000_000 };
    let mut edge = Edge::new(start, Arc::new(snapshot), now);
    let peer = Arc::new(Peer {
        source: source.parse().unwrap(),
        listener: Some(ListenerId(0)),
        transport,
        names: Vec::new(),
        trunks: [from].into_iter().collect(),
    });
    let message =
        Message::parse(octets).unwrap_or_else(|rejected| panic!("the fixture is no message: {}", rejected.fault));
    edge.handle_input(now, Input::Message { message, flow: FlowId { node: 1, worker: 0, n: 1 }, peer });
    let mut left = None;
    while let Some(output) = edge.poll_output() {
        if let Output::Send { to, octets, .. } = output {
            let sent = Message::parse(octets.clone()).unwrap();
            match to {
                Destination::Hop(_) if *sent.method() == Method::Invite => left = Some(octets),
                Destination::Flow(_) if sent.status() != Some(100) => left = left.or(Some(octets)),
                Destination::Hop(_) | Destination::Flow(_) => {}
            }
        }
    }
    left.expect("an INVITE or a refusal leaves")
}

/// A message with CRLF and its Content-Length, from the lines of a file.
fn wire(text: &str) -> Bytes {
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
    let body = body.replace('\n', "\r\n");
    let head = head.replace('\n', "\r\n");
    Bytes::from(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

/// The same octets, with zeros for what the random generator chose: one draw more or less is no change of a rule.
fn without_chance(octets: &Bytes) -> String {
    // A tag, branch or Call-ID begins with node, epoch and slot, which are no chance.
    let minted = regex::Regex::new(r"(td[0-9a-f]{14})([0-9a-f]+)").unwrap();
    let cseq = regex::Regex::new(r"(?m)^CSeq: [0-9]+ INVITE").unwrap();
    let session = regex::Regex::new(r"(?m)^(o=\S+ )([0-9]+)").unwrap();
    let zeros = |found: &regex::Captures<'_>| [&found[1], &"0".repeat(found[2].len())].concat();
    let text = minted.replace_all(std::str::from_utf8(octets).unwrap(), zeros);
    let text = cseq.replace_all(&text, "CSeq: 0 INVITE");
    session.replace_all(&text, zeros).into_owned()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/normalize")
}

#[test]
fn every_fixture_leaves_as_it_should_octet_for_octet() {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".in.sip").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() >= 14, "{names:?}");
    let mut faults = Vec::new();
    for name in &names {
        let text = fs::read_to_string(folder().join(format!("{name}.in.sip"))).unwrap();
        let comments: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("# ")).collect();
        let message: String = text.lines().skip(comments.len()).map(|line| format!("{line}\n")).collect();
        let said = |key: &'static str| comments.iter().filter_map(move |line| line.strip_prefix(key)).map(str::trim);
        let (from, to) = (said("from:").next().expect("from"), said("to:").next().expect("to"));
        let settings: Vec<(String, String, String)> = said("set:")
            .map(|line| {
                let words: Vec<&str> = line.splitn(3, ' ').collect();
                (words[0].to_owned(), words[1].to_owned(), words[2].to_owned())
            })
            .collect();
        let left = without_chance(&normalised(from, to, &settings, wire(&message)));
        let path = folder().join(format!("{name}.out.sip"));
        let shown = left.replace("\r\n", "\n");
        assert!(!shown.contains('\r'), "{name}: a lone CR");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, &shown).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if expected.replace('\n', "\r\n") != left {
            faults.push(format!("== {name}\n{shown}\n-- expected\n{expected}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

const SDP: &str = "v=0\no=- 1 1 IN IP4 192.0.2.7\ns=-\nc=IN IP4 192.0.2.7\nt=0 0\nm=audio 5004 RTP/SAVP 8 101\n\
    a=rtpmap:8 PCMA/8000\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk\na=sendrecv\n";

/// An INVITE of a carrier with these header lines.
fn invite(lines: &[String]) -> Bytes {
    let own = ["From: ", "Contact: "].map(|name| lines.iter().any(|line| line.starts_with(name)));
    let from = if own[0] { "" } else { "From: <sip:+14255550123@carrier.example.com>;tag=1\n" };
    let contact = if own[1] { "" } else { CONTACT };
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    wire(&format!(
        "INVITE sip:+496955501007@sbc1.example.com SIP/2.0\nVia: SIP/2.0/TLS 192.0.2.20;branch=z9hG4bK1\nMax-Forwards: 70\n\
         {from}To: <sip:+496955501007@sbc1.example.com>\nCall-ID: 1\nCSeq: 1 INVITE\n{contact}{lines}\
         Content-Type: application/sdp\n\n{SDP}"
    ))
}

const CONTACT: &str = "Contact: <sip:carrier.example.com:5060;transport=tls>\n";

/// The lines of `octets` without what is new in every INVITE: identifiers, hops, the origin of the description.
fn lasting(octets: &Bytes) -> Vec<String> {
    let text = String::from_utf8(octets.to_vec()).unwrap();
    let new = ["Via:", "Call-ID:", "CSeq:", "Max-Forwards:", "X-Tandem-Hops:", "o=", "Content-Length:"];
    let lines = text.split("\r\n").filter(|line| !new.iter().any(|name| line.starts_with(name)));
    lines.map(|line| line.split(";tag=").next().unwrap_or("").to_owned()).collect()
}

/// The same INVITE as if a carrier had sent it.
fn come_back(octets: &Bytes) -> Bytes {
    let text = String::from_utf8(octets.to_vec()).unwrap();
    let lines = text.split_inclusive("\r\n").filter(|line| !line.starts_with("X-Tandem-Hops:"));
    let lines = lines.map(|line| match line {
        line if line.starts_with("Contact:") => CONTACT.replace('\n', "\r\n"),
        // One of our own would betray that the call goes round.
        line if line.starts_with("Call-ID:") => "Call-ID: 2\r\n".to_owned(),
        line => line.to_owned(),
    });
    Bytes::from(lines.collect::<String>())
}

fn caller() -> impl Strategy<Value = Vec<String>> {
    let number = prop_oneof!["\\+1425555[0-9]{4}", "1425555[0-9]{4}", "069[1-9][0-9]{6}", "anonymous", "[a-z]{1,8}"];
    let display = prop_oneof![
        Just(String::new()),
        "\"[ -!#-\\[\\]-~äß😀]{1,20}\" ",
        "\"a\\\\\"b\" ".prop_map(|quoted| quoted),
        "[A-Za-z]{1,8} ",
    ];
    let asserted = proptest::option::of("\\+1425555[0-9]{4}");
    let privacy = proptest::option::of(prop_oneof![Just("id"), Just("none"), Just("user;critical")]);
    (number, display, asserted, privacy).prop_map(|(number, display, asserted, privacy)| {
        // A name without a number is shown, but in a From that the next hop takes for anonymous.
        let display = if number.ends_with(|last: char| last.is_ascii_digit()) { display } else { String::new() };
        let mut lines = vec![format!("From: {display}<sip:{number}@carrier.example.com>;tag=1")];
        lines.extend(asserted.map(|number| format!("P-Asserted-Identity: <sip:{number}@carrier.example.com>")));
        lines.extend(privacy.map(|privacy| format!("Privacy: {privacy}")));
        lines
    })
}

/// A field that no rule names, with a value of octets that may stand in one.
fn unnamed() -> impl Strategy<Value = String> {
    let name =
        prop_oneof!["X-[A-HJ-LN-SU-Z][a-z0-9-]{0,12}", Just("Subject".to_owned()), Just("Alert-Info".to_owned())];
    (name, "[!-~äß😀]([ -~äß😀]{0,30}[!-~])?").prop_map(|(name, value)| format!("{name}: {value}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_normalised_invite_normalised_again_does_not_change(lines in caller(), at in 0_usize..4) {
        let to = ["teams", "genesys", "genesys-tgrp", "pbx"][at];
        let first = normalised("carrier", to, &[], invite(&lines));
        prop_assert!(first.starts_with(b"INVITE "), "{}", String::from_utf8_lossy(&first));
        // How a number is called depends on the trunk that it came on, which is not the one that it left for.
        let text = String::from_utf8(come_back(&first).to_vec()).unwrap();
        let rest = text.split_once("\r\n").unwrap().1;
        let again = format!("INVITE sip:+496955501007@sbc1.example.com SIP/2.0\r\n{rest}");
        let second = normalised("carrier", to, &[], Bytes::from(again));
        prop_assert_eq!(lasting(&second), lasting(&first));
    }

    #[test]
    fn what_no_rule_names_passes_octet_for_octet(lines in proptest::collection::vec(unnamed(), 0..12)) {
        let left = Message::parse(normalised("carrier", "pbx", &[], invite(&lines))).unwrap();
        prop_assert_eq!(left.status(), None);
        let named = |line: &String| lines.iter().any(|own| own.split(':').next() == line.split(':').next());
        let passed = left.lines().map(|line| String::from_utf8(line.octets.to_vec()).unwrap());
        let passed: Vec<String> = passed.map(|line| line.trim_end_matches("\r\n").to_owned()).filter(named).collect();
        prop_assert_eq!(passed, lines);
        let body = String::from_utf8(left.body().to_vec()).unwrap();
        let described = |text: &str| text.lines().filter(|line| !line.starts_with("o=")).map(str::to_owned).collect::<Vec<_>>();
        prop_assert_eq!(described(&body), described(SDP));
        prop_assert_eq!(left.header(Name::ContentType), Some("application/sdp"));
    }
}
