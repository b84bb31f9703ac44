//! What `rsip` and we both read, we read alike; where not, docs/parser.md says who is right by which section.
//!
//! Compared are, message by message, the facts on which a message is handled. A fact that `rsip` cannot read has no second
//! opinion. Session descriptions are read by `sdp-types`, too. `tests/values.rs` compares single values and made-up descriptions.

#[path = "samples/docs.rs"]
mod docs;
#[path = "samples/rows.rs"]
mod rows;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use rsip::SipMessage;
use rsip::headers::ToTypedHeader;
use rsip::message::{HasHeaders, HeadersExt};
use tandem::sip::sdp::{Direction, Sdp};
use tandem::sip::{Essentials, Message, Name, sdp_part};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fact {
    Method,
    Status,
    Uri,
    Branch,
    FromTag,
    ToTag,
    CSeq,
    CallId,
    Contact,
    Body,
}

/// One fact as text in which spelling that has no meaning is gone.
type Facts = Vec<(Fact, String)>;

fn ours(message: &Message, read: &Essentials<'_>) -> Facts {
    let mut facts = vec![
        (Fact::Branch, read.via.branch().unwrap_or("").to_owned()),
        (Fact::FromTag, read.from.tag().unwrap_or("").to_owned()),
        (Fact::ToTag, read.to.tag().unwrap_or("").to_owned()),
        (Fact::CSeq, format!("{} {}", message.cseq().number, message.cseq().method)),
        (Fact::CallId, message.call_id().to_owned()),
        (Fact::Contact, read.contact.map_or("", |contact| contact.uri_text()).to_ascii_lowercase()),
        (Fact::Body, shown(&message.body())),
    ];
    match (read.uri, message.status()) {
        (Some(uri), _) => {
            facts.push((Fact::Method, message.method().to_string()));
            facts.push((Fact::Uri, uri.as_str().to_ascii_lowercase()));
        }
        (None, status) => facts.push((Fact::Status, status.unwrap_or(0).to_string())),
    }
    facts
}

/// What `rsip` reads; `None` where it refuses the message.
fn theirs(octets: &[u8]) -> Option<Facts> {
    let message = SipMessage::try_from(octets).ok()?;
    let mut facts = vec![(Fact::Body, shown(message.body()))];
    if let Some(via) = message.via_header().ok().and_then(|via| via.typed().ok()) {
        facts.push((Fact::Branch, via.branch().map_or("", |branch| branch.value()).to_owned()));
    }
    if let Some(from) = message.from_header().ok().and_then(|from| from.typed().ok()) {
        facts.push((Fact::FromTag, from.tag().map_or("", |tag| tag.value()).to_owned()));
    }
    if let Some(to) = message.to_header().ok().and_then(|to| to.typed().ok()) {
        facts.push((Fact::ToTag, to.tag().map_or("", |tag| tag.value()).to_owned()));
    }
    if let Some(cseq) = message.cseq_header().ok().and_then(|cseq| cseq.typed().ok()) {
        facts.push((Fact::CSeq, format!("{} {}", cseq.seq, cseq.method)));
    }
    if let Ok(call_id) = message.call_id_header() {
        facts.push((Fact::CallId, rsip::headers::UntypedHeader::value(call_id).to_owned()));
    }
    let contact = message.headers().iter().find_map(|header| match header {
        rsip::Header::Contact(contact) => Some(contact),
        _ => None,
    });
    if let Some(contact) = contact.and_then(|contact| contact.typed().ok()) {
        facts.push((Fact::Contact, contact.uri.to_string().to_ascii_lowercase()));
    }
    match &message {
        SipMessage::Request(request) => {
            facts.push((Fact::Method, request.method.to_string()));
            facts.push((Fact::Uri, request.uri.to_string().to_ascii_lowercase()));
        }
        SipMessage::Response(response) => facts.push((Fact::Status, response.status_code.code().to_string())),
    }
    Some(facts)
}

fn shown(octets: &[u8]) -> String {
    octets.escape_ascii().to_string()
}

/// Each fact that is read in two ways: ours, theirs. `None` unless both accept the message.
fn disagreements(octets: &[u8]) -> Option<Vec<(Fact, String, String)>> {
    let message = Message::parse(Bytes::copy_from_slice(octets)).ok()?;
    let ours = ours(&message, &Essentials::of(&message).ok()?);
    let theirs = theirs(octets)?;
    let two = |(fact, own): (Fact, String)| {
        let (_, other) = theirs.iter().find(|(other, _)| *other == fact)?;
        (own != *other).then(|| (fact, own, other.clone()))
    };
    Some(ours.into_iter().filter_map(two).collect())
}

const SEEDS: [&str; 3] = [
    "INVITE sip:+14255550123@sbc1.example.com:5061;user=phone;transport=tls SIP/2.0\r\n\
     Via: SIP/2.0/TLS a.example.com:5061;branch=z9hG4bK1;alias\r\nVia: SIP/2.0/TLS b.example.com;branch=z9hG4bK2\r\n\
     Max-Forwards: 69\r\nFrom: \"Dana Example\" <sip:+12065550144@a.example.com;user=phone>;tag=a1f09c\r\n\
     To: <sip:+14255550123@sbc1.example.com>\r\nCall-ID: 7f0b2c1e55@a.example.com\r\nCSeq: 1 INVITE\r\n\
     Contact: <sip:+12065550144@a.example.com:5061;transport=tls>;expires=60\r\nContent-Length: 3\r\n\r\nabc",
    "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/TLS 192.0.2.7:5061;branch=z9hG4bK1;received=192.0.2.8;rport=5061\r\n\
     From: sip:alice@example.com;tag=1\r\nTo: Bob <sip:bob@example.com>;tag=2\r\nCall-ID: 1\r\nCSeq: 4294967295 INVITE\r\n\
     Contact: sip:bob@192.0.2.9\r\nContent-Length: 0\r\n\r\n",
    "BYE sip:192.0.2.7:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK3\r\nFrom: <sip:alice@example.com>;tag=1\r\n\
     To: <sip:bob@example.com>;tag=2\r\nCall-ID: 1@192.0.2.7\r\nCSeq: 2 BYE\r\n\r\n",
];

/// A seed after a few changes: pieces put in, octets taken out, lines twice, elsewhere or gone.
fn mutant() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        " ",
        "\t",
        "\r\n ",
        "\r\n\t",
        ",",
        ";",
        ":",
        "=",
        "\"",
        "<",
        ">",
        "?",
        "@",
        "%41",
        "%",
        "\\",
        "&",
        "/",
        ".",
        "-",
        "0",
        "1",
        "65536",
        "a",
        "Z",
        "é",
        "~",
        "*",
        "'",
        "sip:",
        "tel:",
        "sips:",
        ";tag=3",
        ";branch=z9hG4bK9",
        ";lr",
        "?a=b",
        "[::1]",
        "\r\n",
        "l: 2\r\n",
        "Contact: <sip:x@example.com>\r\n",
        "m: <sip:y@example.com>\r\n",
        "Via: SIP/2.0/UDP c.example.com\r\n",
        "X: 1\r\n",
        ", SIP/2.0/UDP d.example.com;branch=z9hG4bK4",
        ", <sip:z@example.com>",
        "\"a,b\" ",
        ";x=\"y;tag=7\"",
        "\r\n\r\n",
    ]);
    let change = (0..5_u8, any::<prop::sample::Index>(), any::<prop::sample::Index>(), piece);
    (prop::sample::select(SEEDS.to_vec()), vec(change, 1..4)).prop_map(|(seed, changes)| {
        let mut octets = seed.as_bytes().to_vec();
        for (kind, one, two, piece) in changes {
            let at = one.index(octets.len());
            match kind {
                0 | 1 => drop(octets.splice(at..at, piece.bytes())),
                2 => drop(octets.splice(at..(at + two.index(4)).min(octets.len()), piece.bytes())),
                _ => {
                    let text = String::from_utf8_lossy(&octets).into_owned();
                    let mut lines: Vec<&str> = text.split_inclusive("\r\n").collect();
                    let (from, to) = (one.index(lines.len()), two.index(lines.len()));
                    let line = if kind == 3 { lines[from] } else { lines.remove(from) };
                    lines.insert(to.min(lines.len()), line);
                    octets = lines.concat().into_bytes();
                }
            }
        }
        octets
    })
}

/// One way in which the readings differ.
struct Class {
    name: &'static str,
    /// Whether a fact of this message that we and `rsip` read so is of this class.
    is: fn(&Message, Fact, &str, &str) -> bool,
    /// What of the first seed becomes what, which is then read in these two ways.
    example: [&'static str; 2],
    readings: [&'static str; 2],
    right: &'static str,
}

const CLASSES: [Class; 9] = [
    Class {
        name: "octets behind Content-Length",
        is: |message, fact, own, other| {
            fact == Fact::Body && message.header(Name::ContentLength).is_some() && other.starts_with(own)
        },
        example: ["\r\n\r\nabc", "\r\n\r\nabcd"],
        readings: ["abc", "abcd"],
        right: "we: they are no part of the message (RFC 3261 §18.3); rsip looks at no Content-Length",
    },
    Class {
        name: "a compact name",
        is: |message, fact, _, _| {
            let name = match fact {
                Fact::Contact => Name::Contact,
                Fact::Branch => Name::Via,
                _ => return false,
            };
            message.lines().find(|line| line.name == name).is_some_and(|line| line.text.len() == 1)
        },
        example: ["Via: SIP/2.0/TLS a", "v: SIP/2.0/TLS a"],
        readings: ["z9hG4bK1", "z9hG4bK2"],
        right: "we: it is the same field (§7.3.3); rsip passes over it to the next line with the full name",
    },
    Class {
        name: "blanks at the end of a value",
        is: |_, fact, own, other| fact == Fact::CallId && own == other.trim_matches([' ', '\t']),
        example: ["7f0b2c1e55@a.example.com", "7f0b2c1e55@a.example.com \t"],
        readings: ["7f0b2c1e55@a.example.com", "7f0b2c1e55@a.example.com \t"],
        right: "we: they are no part of it (§7.3.1)",
    },
    Class {
        name: "a comma in a URI without brackets",
        is: |message, fact, own, other| {
            let bare = message.header(Name::Contact).is_some_and(|value| !value.contains('<'));
            fact == Fact::Contact && bare && other.strip_prefix(own).is_some_and(|more| more.starts_with([',', ';']))
        },
        example: ["<sip:+12065550144@a.example.com:5061;transport=tls>;expires=60", "sip:a@192.0.2.7,x"],
        readings: ["sip:a@192.0.2.7", "sip:a@192.0.2.7,x"],
        right: "we: a URI with comma or semicolon stands in brackets, else they end it (§20.10)",
    },
    Class {
        name: "zeros in front of a port",
        is: |_, fact, own, other| {
            let plain =
                |uri: &str| uri.split(':').map(|part| part.trim_start_matches('0').to_owned()).collect::<Vec<_>>();
            [Fact::Uri, Fact::Contact].contains(&fact) && plain(own) == plain(other)
        },
        example: ["sbc1.example.com:5061;", "sbc1.example.com:05061;"],
        readings: [
            "sip:+14255550123@sbc1.example.com:05061;user=phone;transport=tls",
            "sip:+14255550123@sbc1.example.com:5061;user=phone;transport=tls",
        ],
        right: "both: the port is `1*DIGIT` (§25.1) and the same; we keep how it is written",
    },
    Class {
        name: "URI parameters with `/ : & + $ [ ]`",
        is: |_, fact, own, other| {
            [Fact::Uri, Fact::Contact].contains(&fact) && cut(own, other, |octet| b"/:&+$[]".contains(&octet))
        },
        example: ["@a.example.com:5061;transport=tls>", "@a.example.com:5061;x-c=1/d/8>"],
        readings: ["sip:+12065550144@a.example.com:5061;x-c=1/d/8", "sip:+12065550144@a.example.com:5061;x-c=1"],
        right: "we: they are `param-unreserved` (§25.1), and Teams writes them; rsip drops the URI from there on",
    },
    Class {
        name: "URI parameters with what none may have, and headers",
        is: |_, fact, own, other| {
            [Fact::Uri, Fact::Contact].contains(&fact) && cut(own, other, |octet| b"?@,=\\".contains(&octet))
        },
        example: ["@a.example.com:5061;transport=tls>", "@a.example.com:5061;lr?Subject=1>"],
        readings: ["sip:+12065550144@a.example.com:5061;lr?subject=1", "sip:+12065550144@a.example.com:5061;lr"],
        right: "we: what is relayed stays as it is, and headers belong to the URI (§19.1.1); rsip drops the URI from there on",
    },
    Class {
        name: "parameters with what no token has",
        is: |_, fact, own, other| {
            [Fact::Branch, Fact::FromTag, Fact::ToTag].contains(&fact)
                && cut(own, other, |octet| !tandem::sip::is_token([octet]))
        },
        example: ["branch=z9hG4bK1", "branch=z9hG4bK/1"],
        readings: ["z9hG4bK/1", "z9hG4bK"],
        right: "neither: it is no `token` (§25.1). We keep it whole, so that transactions and dialogs match octet for octet \
                (§17.1.3, §12.2.2)",
    },
    Class {
        name: "parameters behind blanks, quotes or what no token has",
        is: |message, fact, own, other| {
            let name = match fact {
                Fact::Branch => Name::Via,
                Fact::FromTag => Name::From,
                Fact::ToTag => Name::To,
                _ => return false,
            };
            let value = message.values(name).next().unwrap_or("");
            let front = value.rsplit_once(own).map_or("", |(front, _)| front);
            let front = match name {
                Name::Via => front.split_once(' ').map_or(front, |(_, sent_by)| sent_by),
                _ => front.rsplit_once('>').map_or(front, |(_, params)| params),
            };
            let (host, params) = front.split_once(';').unwrap_or((front, ""));
            let plain = |text: &str, marks: &[u8]| {
                text.bytes().all(|octet| tandem::sip::is_token([octet]) || marks.contains(&octet))
            };
            other.is_empty() && !(plain(host, b":") && plain(params, b";="))
        },
        example: [";branch=z9hG4bK1", "; branch=z9hG4bK1"],
        readings: ["z9hG4bK1", ""],
        right: "we: blanks may stand around a semicolon and a colon, and a value may be quoted (§25.1); rsip drops all from there on",
    },
];

/// Whether `other` is `own` up to such an octet.
fn cut(own: &str, other: &str, ends: fn(u8) -> bool) -> bool {
    own.strip_prefix(other).and_then(|more| more.bytes().next()).is_some_and(ends)
}

/// The disagreements that no class explains, and how often each class did.
fn unexplained(octets: &[u8], counts: &mut [usize; CLASSES.len()]) -> Option<Vec<String>> {
    let found = disagreements(octets)?;
    let message = Message::parse(Bytes::copy_from_slice(octets)).expect("both accept it");
    let mut left = Vec::new();
    for (fact, own, other) in found {
        match CLASSES.iter().position(|class| (class.is)(&message, fact, &own, &other)) {
            Some(class) => counts[class] += 1,
            None => left.push(format!("{fact:?}: we {own:?}, rsip {other:?}, in\n{}", octets.escape_ascii())),
        }
    }
    Some(left)
}

#[test]
fn rsip_and_we_agree_over_the_corpus_but_for_what_is_explained() {
    let Some(rows) = rows::rows(&["accept", "either", "reject", "robust"]) else { return };
    let (mut both, mut counts) = (0, [0; CLASSES.len()]);
    for row in rows {
        let Some(left) = unexplained(&row.on_the_wire(), &mut counts) else { continue };
        assert!(left.is_empty(), "{}: {}", row.path, left.join("\n"));
        both += 1;
    }
    println!("{both} messages that both accept; disagreements by class {counts:?}");
    assert!(both > 250, "{both} messages that both accept");
}

#[test]
fn rsip_and_we_agree_over_mutants_but_for_what_is_explained() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut both, mut counts, mut open) = (0, [0; CLASSES.len()], Vec::new());
    for _ in 0..30_000 {
        let octets = mutant().new_tree(&mut runner).expect("a mutant").current();
        let Some(left) = unexplained(&octets, &mut counts) else { continue };
        open.extend(left);
        both += 1;
    }
    assert!(open.is_empty(), "{}", open.join("\n"));
    println!("{both} mutants that both accept; disagreements by class {counts:?}");
    assert!(both > 5_000, "{both} mutants that both accept");
    assert!(counts.iter().all(|&count| count > 0), "a class that nothing is of: {counts:?}");
}

#[test]
fn seeds_are_read_alike() {
    for seed in SEEDS {
        assert_eq!(disagreements(seed.as_bytes()), Some(Vec::new()), "{seed}");
    }
}

/// docs/parser.md has a row for each class, and each example is read as it says. `BLESS=1` writes them.
#[test]
fn what_is_read_in_two_ways_is_in_the_table() {
    let mut table = "| what | example | we read | rsip reads | who is right |\n|---|---|---|---|---|\n".to_owned();
    for class in &CLASSES {
        let [from, to] = class.example;
        let octets = SEEDS[0].replacen(from, to, 1);
        assert_ne!(octets, SEEDS[0], "{}", class.name);
        let found = disagreements(octets.as_bytes()).expect("both accept it");
        let [(fact, own, other)] = found.as_slice() else { panic!("{}: {found:?}", class.name) };
        let message = Message::parse(Bytes::from(octets.clone())).expect("a message");
        assert_eq!([own.as_str(), other.as_str()], class.readings);
        let first = CLASSES.iter().find(|class| (class.is)(&message, *fact, own, other)).map(|class| class.name);
        assert_eq!(first, Some(class.name));
        let cell =
            |text: &str| if text.is_empty() { "nothing".to_owned() } else { format!("`{}`", text.escape_debug()) };
        let columns = [class.name.to_owned(), cell(to), cell(own), cell(other), class.right.to_owned()];
        table.push_str(&format!("| {} |\n", columns.join(" | ")));
    }
    docs::has("rsip", &table);
}

/// Origin, then each media with its direction, as one reads them and as `sdp-types` does; `None` unless both accept them.
fn descriptions(octets: &Bytes) -> Option<[Vec<String>; 2]> {
    let ours = Sdp::parse(octets.clone()).ok()?;
    let theirs = sdp_types::Session::parse(octets).ok()?;
    let origin = ours.origin();
    let mut own = vec![format!("{} {} {}", origin.session_id, origin.version, origin.address)];
    own.extend(ours.media().map(|media| {
        let connection = media.connection.unwrap_or("");
        format!("{} {} {} {} {connection} {}", media.kind, media.port, media.protocol, media.formats, media.direction)
    }));
    let direction = |attributes: &[sdp_types::Attribute]| {
        attributes
            .iter()
            .find_map(|attribute| Direction::of(&attribute.attribute).filter(|_| attribute.value.is_none()))
    };
    let origin = &theirs.origin;
    let mut other = vec![format!("{} {} {}", origin.sess_id, origin.sess_version, origin.unicast_address)];
    other.extend(theirs.medias.iter().map(|media| {
        let connection = media.connections.first().or(theirs.connection.as_ref());
        // What stands behind a slash is the TTL and the number of addresses (RFC 8866 §5.7), which we leave out.
        let connection = connection.map_or("", |connection| connection.connection_address.as_str());
        let connection = connection.split('/').next().unwrap_or("");
        let direction = direction(&media.attributes).or(direction(&theirs.attributes)).unwrap_or_default();
        format!("{} {} {} {} {connection} {direction}", media.media, media.port, media.proto, media.fmt)
    }));
    Some([own, other])
}

#[test]
fn sdp_types_and_we_agree_over_the_corpus() {
    let Some(rows) = rows::rows(&["sdp", "accept", "either", "reject", "robust"]) else { return };
    let (mut both, mut open) = (0, Vec::new());
    for row in rows {
        let within = Message::parse(row.on_the_wire())
            .ok()
            .and_then(|message| sdp_part(message.header(Name::ContentType).unwrap_or(""), &message.body()));
        let Some([own, other]) = descriptions(&within.unwrap_or(Bytes::from(row.octets))) else { continue };
        both += 1;
        if own != other {
            open.push(format!("{}: we {own:?}, sdp-types {other:?}", row.path));
        }
    }
    println!("{both} descriptions that both accept");
    assert!(open.is_empty(), "{}", open.join("\n"));
    assert!(both > 100, "{both} descriptions that both accept");
}
