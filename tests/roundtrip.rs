//! What leaves is what came, but for what was edited: proved over messages that nobody wrote by hand, and over every
//! message of the corpus that is taken.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "samples/rows.rs"]
mod rows;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tandem::sip::{Edits, Field, Message, Method, Name};

/// A Content-Length that every parser reads alike, and so stays.
fn plain(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    let Some((name, value)) = text.trim_end_matches("\r\n").split_once(':') else { return false };
    let digits = value.strip_prefix(' ').unwrap_or(value);
    Name::of(name) == Name::ContentLength && digits.parse::<usize>().is_ok_and(|length| length.to_string() == digits)
}

/// The lines of `message` with their CRLF, Content-Length apart.
fn lines(message: &Message) -> Vec<Vec<u8>> {
    let others = message.lines().filter(|line| line.name != Name::ContentLength);
    others.map(|line| line.octets.to_vec()).collect()
}

fn lengths(message: &Message) -> Vec<Vec<u8>> {
    let own = message.lines().filter(|line| line.name == Name::ContentLength);
    own.map(|line| line.octets.to_vec()).collect()
}

/// What `message` has to be when it leaves without edits.
fn unedited(message: &Message) -> Vec<u8> {
    match lengths(message).as_slice() {
        [one] if plain(one) => message.octets().to_vec(),
        _ => {
            let length = format!("Content-Length: {}\r\n\r\n", message.body().len()).into_bytes();
            [message.start_line(), &lines(message).concat(), &length, &message.body()].concat()
        }
    }
}

#[test]
fn every_message_of_the_corpus_that_is_taken_leaves_as_it_came() {
    let Some(rows) = rows::rows(&["accept", "reject", "either", "robust"]) else { return };
    let (mut same, mut moved) = (0, 0);
    for row in rows {
        let Ok(message) = Message::parse(row.on_the_wire()) else { continue };
        let written = Edits::new().write(&message);
        assert!(written == unedited(&message), "{}: {}", row.path, String::from_utf8_lossy(&written));
        if written == message.octets() {
            same += 1
        } else {
            moved += 1
        }
        let again = Message::parse(written.clone()).unwrap();
        assert_eq!(Edits::new().write(&again), written, "{}", row.path);
        assert_eq!((again.body(), lines(&again)), (message.body(), lines(&message)), "{}", row.path);
    }
    println!("{same} messages leave as they came, {moved} with a Content-Length of ours");
    assert!(same > moved, "{same} the same, {moved} with a Content-Length of ours");
}

const FIELDS: [&[&str]; 5] = [
    &["Via: SIP/2.0/TLS a.example.com;branch=z9hG4bK1\r\n", "v:SIP/2.0/TLS a.example.com\r\n ;branch=z9hG4bK1\r\n"],
    &["From: <sip:alice@example.com>;tag=1\r\n", "f : \"\u{e9} \\\"\" <sip:alice@example.com>;tag=1\r\n"],
    &["To: <sip:bob@example.com>\r\n", "T:sip:bob@example.com\r\n"],
    &["Call-ID: 1@a.example.com\r\n", "i:\t1@a.example.com \r\n"],
    &["CSeq: 1 INVITE\r\n", "CSEQ:\r\n 0001\r\n\tINVITE\r\n"],
];

const LENGTHS: [&str; 6] = [
    "Content-Length: {}\r\n",
    "l: {}\r\n",
    "CONTENT-LENGTH:{}\r\n",
    "l : {}\r\n",
    "Content-Length: 0{}\r\n",
    "l:\r\n {}\r\n",
];

fn name() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "Subject",
        "s",
        "Contact",
        "m",
        "Allow",
        "Record-Route",
        "Supported",
        "k",
        "P-Asserted-Identity",
    ]);
    prop_oneof![known.prop_map(str::to_owned), "X-[A-Ca-c]", "[A-Za-z0-9.!%*_+`'~-]{2,12}"]
        .prop_filter("stands once", |name| !single(Name::of(name)))
}

fn single(name: Name) -> bool {
    use Name::{CSeq, CallId, ContentLength, ContentType, From, MaxForwards, To, Via};
    [Via, From, To, CallId, CSeq, MaxForwards, ContentType, ContentLength].contains(&name)
}

/// A line with any value that stands on one, with blanks and folds.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let colon = prop::sample::select(vec![":", ": ", " :", "\t: \t", ":\r\n ", "\r\n : "]);
    let octets = prop_oneof![
        6 => vec(0x20_u8..0x7f, 0..20),
        1 => Just(b"a\r\n b".to_vec()),
        1 => Just(b"\"\\\0\"".to_vec()),
        1 => vec(0x80_u8.., 1..6),
    ];
    (name(), colon, octets)
        .prop_map(|(name, colon, value)| [name.as_bytes(), colon.as_bytes(), &value, b"\r\n"].concat())
}

/// A message, its fields in any order.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let start = prop::sample::select(vec![
        "INVITE sip:bob@example.com SIP/2.0\r\n",
        "SIP/2.0 200 OK\r\n",
        "SIP/2.0 486 \r\n",
        "SIP/2.0 180\r\n",
    ]);
    let fields = vec(any::<bool>(), 5);
    let body = prop_oneof![Just(Vec::new()), vec(any::<u8>(), 0..60), Just(b"\r\n\r\nl: 3\r\n\r\n".to_vec())];
    (start, fields, vec(line(), 0..6), option::weighted(0.9, 0..LENGTHS.len()), body)
        .prop_flat_map(|(start, fields, mut lines, length, body)| {
            lines.extend(FIELDS.iter().zip(fields).map(|(forms, other)| forms[usize::from(other)].as_bytes().to_vec()));
            lines.extend(length.map(|form| LENGTHS[form].replace("{}", &body.len().to_string()).into_bytes()));
            (Just(start), Just(lines).prop_shuffle(), Just(body))
        })
        .prop_map(|(start, lines, body)| [start.as_bytes(), &lines.concat(), b"\r\n", &body].concat())
}

#[derive(Clone, Debug)]
enum Edit {
    Set(String, String),
    Remove(String),
    Add(String, String),
    Start(u16),
    Body(Vec<u8>),
}

fn edit() -> impl Strategy<Value = Edit> {
    let value = || prop_oneof![4 => "[ -~]{0,20}", 1 => "[ -~]{0,9}[\r\n]{1,2}[ -~]{0,9}", 1 => "\\PC{0,9}"];
    prop_oneof![
        3 => (name(), value()).prop_map(|(name, value)| Edit::Set(name, value)),
        3 => name().prop_map(Edit::Remove),
        3 => (name(), value()).prop_map(|(name, value)| Edit::Add(name, value)),
        1 => Just(Edit::Set("Max-Forwards".into(), "69".into())),
        1 => Just(Edit::Set("t".into(), "<sip:carol@example.com>;tag=2".into())),
        // The length is ours alone, whatever anyone asks for.
        1 => Just(Edit::Set("l".into(), "7".into())),
        1 => Just(Edit::Add("Content-Length".into(), "7".into())),
        1 => (100_u16..700).prop_map(Edit::Start),
        1 => vec(any::<u8>(), 0..20).prop_map(Edit::Body),
    ]
}

/// The same fields written in any case or form are one.
fn key(name: &str) -> String {
    match Name::of(name) {
        Name::Other => name.to_ascii_lowercase(),
        known => known.as_str().to_owned(),
    }
}

/// The lines of `message` after `edits`, worked out one line at a time and as slowly as the documentation reads.
fn expected(message: &Message, edits: &[Edit]) -> Vec<Vec<u8>> {
    let mut last: Vec<(usize, String, Option<String>)> = Vec::new(); // of each field the last Set or Remove
    let mut behind: Vec<(usize, Vec<u8>)> = Vec::new();
    let written = |name: &str, value: &str| {
        let value = value.split(['\r', '\n']).next().unwrap_or("");
        format!("{}: {value}\r\n", Field::from(name).as_str()).into_bytes()
    };
    for (at, edit) in edits.iter().enumerate() {
        match edit {
            Edit::Set(name, _) | Edit::Add(name, _) if Name::of(name) == Name::ContentLength => {}
            Edit::Set(name, value) => {
                last.retain(|(_, other, _)| *other != key(name));
                last.push((at, key(name), Some(String::from_utf8(written(name, value)).unwrap())));
            }
            Edit::Remove(name) => {
                last.retain(|(_, other, _)| *other != key(name));
                last.push((at, key(name), None));
            }
            Edit::Add(name, value) => behind.push((at, written(name, value))),
            Edit::Start(_) | Edit::Body(_) => {}
        }
    }
    let mut out = Vec::new();
    for line in message.lines().filter(|line| line.name != Name::ContentLength) {
        match last.iter_mut().find(|(_, name, _)| *name == key(line.text)) {
            None => out.push(line.octets.to_vec()),
            Some((_, _, value)) => out.extend(value.take().map(String::into_bytes)),
        }
    }
    behind.extend(last.into_iter().filter_map(|(at, _, value)| Some((at, value?.into_bytes()))));
    behind.sort_by_key(|(at, _)| *at);
    out.extend(behind.into_iter().map(|(_, line)| line));
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_not_edited_leaves_as_it_came(octets in message()) {
        let message = Message::parse(Bytes::from(octets.clone())).expect("a message");
        prop_assert_eq!(message.octets(), octets.clone());
        let written = Edits::new().write(&message);
        prop_assert_eq!(&written[..], &unedited(&message)[..]);
        if lengths(&message).iter().any(|line| plain(line)) {
            prop_assert_eq!(written, octets);
        }
    }

    #[test]
    fn edits_are_seen_and_nothing_else(octets in message(), list in vec(edit(), 0..10)) {
        let message = Message::parse(Bytes::from(octets)).expect("a message");
        let mut edits = Edits::new();
        let (mut start, mut body) = (message.start_line().to_vec(), message.body());
        for edit in &list {
            match edit {
                Edit::Set(name, value) => edits.set(name.as_str(), value.as_str()),
                Edit::Remove(name) => edits.remove(name.as_str()),
                Edit::Add(name, value) => edits.add(name.as_str(), value.as_str()),
                Edit::Start(status) if message.is_request() => {
                    start = format!("INVITE sip:{status}@example.com SIP/2.0\r\n").into_bytes();
                    edits.request_line(&Method::Invite, &format!("sip:{status}@example.com"))
                }
                Edit::Start(status) => {
                    start = format!("SIP/2.0 {status} Changed\r\n").into_bytes();
                    edits.status_line(*status, "Changed")
                }
                Edit::Body(octets) => {
                    body = Bytes::from(octets.clone());
                    edits.body(body.clone())
                }
            };
        }
        let written = edits.write(&message);
        let again = Message::parse(written.clone()).expect("still a message");
        prop_assert_eq!(again.start_line(), &start[..]);
        prop_assert_eq!(again.body(), body.clone());
        prop_assert_eq!(again.octets(), written);
        prop_assert_eq!(lines(&again), expected(&message, &list), "{:?}", list);
        prop_assert_eq!(lengths(&again).len(), 1);
        let kept = lengths(&message).len() == 1 && plain(&lengths(&message)[0]) && body.len() == message.body().len();
        let length = if kept { lengths(&message).concat() } else { format!("Content-Length: {}\r\n", body.len()).into_bytes() };
        prop_assert_eq!(lengths(&again).concat(), length);
    }
}
