//! Where a message ends, and what it says, cannot be seen in two ways: each trick has one answer.
//!
//! An answer is what becomes of the octets on a stream ([`Framer`], then [`Message::parse`]) and as a datagram
//! ([`Message::parse`] alone), with [`Essentials`] read of what is taken.

#[path = "smuggling/nasty.rs"]
mod nasty;

use bytes::{Bytes, BytesMut};
use nasty::nasty;
use proptest::collection::vec;
use proptest::prelude::*;
use tandem::sip::{Essentials, Frame, Framer, FramingError, MAX_HEAD, MAX_MESSAGE, Malformed, Message, Name};

#[derive(Clone, Debug, Eq, PartialEq)]
enum Answer {
    /// Taken, with this body.
    Taken(String),
    /// No message: the connection goes on behind it.
    Refused(Malformed),
    /// A message that nobody can act on, for what stands in this field.
    Unreadable(Option<Name>),
    /// The connection ends.
    Closed(FramingError),
    /// More has to come.
    Waits,
}
use Answer::{Closed, Refused, Taken, Unreadable, Waits};
use FramingError::{BadContentLength, NoContentLength};

fn taken(body: &str) -> Answer {
    Taken(body.to_owned())
}

fn datagram(octets: &[u8]) -> Answer {
    match Message::parse(Bytes::copy_from_slice(octets)) {
        Ok(message) => match Essentials::of(&message) {
            Ok(_) => Taken(String::from_utf8_lossy(&message.body()).into_owned()),
            Err(unreadable) => Unreadable(unreadable.field),
        },
        Err(rejected) => Refused(rejected.fault),
    }
}

fn stream(octets: &[u8]) -> Answer {
    match Framer::default().next(&mut BytesMut::from(octets)) {
        Ok(Some(Frame::Message(message))) => datagram(&message),
        Ok(_) => Waits,
        Err(error) => Closed(error),
    }
}

const FIELDS: [(&str, &str); 6] = [
    ("Via", "SIP/2.0/TLS a.example.com;branch=z9hG4bK1"),
    ("Max-Forwards", "70"),
    ("From", "<sip:alice@example.com>;tag=1"),
    ("To", "<sip:bob@example.com>"),
    ("Call-ID", "1@a.example.com"),
    ("CSeq", "1 MESSAGE"),
];

const START: &str = "MESSAGE sip:bob@example.com SIP/2.0\r\n";

/// A head up to the empty line, without it: all fields but `without`, then `lines` as they stand.
fn head(without: &str, lines: &str) -> String {
    let fields = FIELDS.iter().filter(|(name, _)| *name != without);
    let fields: String = fields.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{START}{fields}{lines}\r\n")
}

/// A whole message with `lines` for the field `name` and with `body`.
fn message(name: &str, lines: &str, body: &str) -> Vec<u8> {
    let length = if name == "Content-Length" { String::new() } else { format!("\r\nContent-Length: {}", body.len()) };
    format!("{}\r\n{body}", head(name, &format!("{lines}{length}"))).into_bytes()
}

/// Both answers to a message with `lines` for Content-Length and a body of `abc`.
fn length(lines: &str) -> (Answer, Answer) {
    let octets = message("Content-Length", lines, "abc");
    (stream(&octets), datagram(&octets))
}

#[test]
fn content_lengths_that_agree_are_one_and_those_that_do_not_end_the_stream() {
    let names = ["Content-Length", "l", "L", "CONTENT-LENGTH", "content-length", "Content-Length ", "l\t"];
    for one in names {
        for two in names {
            let same = length(&format!("{one}: 3\r\n{two}: 03"));
            assert_eq!(same, (taken("abc"), taken("abc")), "{one} {two}");
            for (first, second) in [(3, 2), (2, 3), (0, 3), (3, 0)] {
                let refused = Refused(Malformed::Repeated(Name::ContentLength));
                let differing = length(&format!("{one}: {first}\r\nX-Between: 1\r\n{two}: {second}"));
                assert_eq!(differing, (Closed(BadContentLength), refused), "{one} {two}");
            }
        }
    }
}

#[test]
fn a_content_length_is_digits_and_nothing_else() {
    for value in [
        "",
        " ",
        "+3",
        "-3",
        "-0",
        "3,",
        "3, 3",
        "3,3",
        "0x3",
        "3h",
        "3;a=1",
        "3 3",
        "3\t3",
        "\"3\"",
        "<3>",
        "3.0",
        "1e1",
        "three",
        "3 (octets)",
        "\u{ff13}",
        "3\u{b}",
        "3\u{c}",
        "\u{c}3",
        "3\u{7f}",
        "3\r\n 3",
        "3\r\n\t,3",
        ":3",
        "3:",
    ] {
        for name in ["Content-Length:", "l:", "L :", "content-length\r\n :"] {
            let answers = length(&format!("{name}{value}"));
            assert_eq!(answers, (Closed(BadContentLength), Refused(Malformed::ContentLength)), "{name}{value:?}");
        }
    }
}

#[test]
fn a_content_length_may_have_zeros_and_blanks_and_folds() {
    let zeros = format!("Content-Length: {}3", "0".repeat(100));
    for line in [
        "Content-Length:3",
        "Content-Length: 003",
        "Content-Length: \t 3 \t",
        "Content-Length \t: 3",
        "Content-Length:\r\n 3",
        "Content-Length: 3\r\n ",
        "Content-Length:\r\n\t\r\n 3\r\n\t",
        "Content-Length\r\n : 3",
        "l\r\n \r\n\t:\r\n 3",
        &zeros,
    ] {
        assert_eq!(length(line), (taken("abc"), taken("abc")), "{line:?}");
    }
}

#[test]
fn a_content_length_that_overflows_is_too_large_and_never_wraps() {
    // What wraps at 2^16, 2^31, 2^32, 2^63 or 2^64 would leave 3.
    for (value, fits) in [
        ("262144", true),
        ("2147483651", true),
        ("4294967299", true),
        ("9223372036854775811", true),
        ("18446744073709551615", true),
        ("18446744073709551619", false),
        ("36893488147419103235", false),
        (&"9".repeat(100), false),
    ] {
        let alone = if fits { Malformed::Truncated } else { Malformed::ContentLength };
        let answers = length(&format!("Content-Length: {value}"));
        assert_eq!(answers, (Closed(FramingError::TooLarge), Refused(alone)), "{value}");
    }
    for value in ["4", "65536", "65539", "131075"] {
        let answers = length(&format!("Content-Length: {value}"));
        assert_eq!(answers, (Waits, Refused(Malformed::Truncated)), "{value}");
    }
}

#[test]
fn without_content_length_a_datagram_is_a_message_and_a_stream_ends() {
    for lines in [
        "X-Field: 1",
        "X-Field: 1\r\n Content-Length: 3",
        "X-Field: 1,\r\n\tl: 3\r\n Content-Length: 2",
        "X-Content-Length: 3",
        "Content-Length-X: 3",
        "Content_Length: 3",
        "ll: 3",
        "Contact: <sip:a@example.com>;x=\"\r\n Content-Length: 2\"",
    ] {
        assert_eq!(length(lines), (Closed(NoContentLength), taken("abc")), "{lines:?}");
    }
}

#[test]
fn a_fold_hides_a_second_content_length_from_everyone() {
    for lines in [
        "Subject: a\r\n Content-Length: 2\r\nContent-Length: 3",
        "l: 3\r\nSubject:\r\n l: 2",
        "l: 3\r\ns: a\r\n\tl: 2\r\n l: 1",
    ] {
        assert_eq!(length(lines), (taken("abc"), taken("abc")), "{lines:?}");
    }
}

#[test]
fn a_name_is_a_token_with_nothing_in_front_of_it() {
    for lines in [
        " Content-Length: 3",
        "\tl: 3",
        "\u{a0}l: 3",
        "Content Length: 3\r\nl: 3",
        "Content-Length 3\r\nl: 3",
        ": 3\r\nl: 3",
        "\u{feff}l: 3\r\nl: 3",
        "Content-Length\u{b}: 3\r\nl: 3",
        "Content-Length\u{c}: 3\r\nl: 3",
        "(l): 3\r\nl: 3",
        "l\r\n: 3\r\nl: 3",
    ] {
        // The first line of a head cannot be folded into anything.
        let octets = format!("{START}{lines}\r\n{}\r\nabc", &head("", "X: 1")[START.len()..]);
        assert!(!matches!(stream(octets.as_bytes()), Taken(_)), "{lines:?}");
        assert_eq!(datagram(octets.as_bytes()), Refused(Malformed::HeaderLine), "{lines:?}");
    }
}

#[test]
fn a_field_that_stands_once_is_refused_when_it_stands_twice() {
    for (name, full, compact, one, two) in [
        (Name::From, "From", "f", "<sip:alice@example.com>;tag=1", "<sip:carol@example.com>;tag=2"),
        (Name::To, "To", "t", "<sip:bob@example.com>", "<sip:dave@example.com>;tag=2"),
        (Name::CallId, "Call-ID", "i", "1@a.example.com", "2@a.example.com"),
        (Name::CSeq, "CSeq", "cseq", "1 MESSAGE", "2 MESSAGE"),
        (Name::MaxForwards, "Max-Forwards", "max-forwards", "70", "0"),
        (Name::ContentType, "Content-Type", "c", "text/plain", "application/sdp"),
    ] {
        let names = [full, &full.to_ascii_uppercase(), compact, &compact.to_ascii_uppercase()];
        for first in names {
            assert_eq!(stream(&message(full, &format!("{first}: {one}"), "abc")), taken("abc"), "{first}");
            for second in names {
                for (a, b) in [(one, one), (one, two), (two, one)] {
                    for between in ["", "X-Between: 1\r\n"] {
                        let octets = message(full, &format!("{first}: {a}\r\n{between}{second} : {b}"), "abc");
                        let refused = Refused(Malformed::Repeated(name));
                        assert_eq!(
                            (stream(&octets), datagram(&octets)),
                            (refused.clone(), refused),
                            "{first} {second}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_field_that_stands_once_has_no_list() {
    for (name, field, value) in [
        ("From", Name::From, "<sip:alice@example.com>;tag=1, <sip:carol@example.com>;tag=2"),
        ("From", Name::From, "sip:alice@example.com;tag=1,sip:carol@example.com;tag=2"),
        ("To", Name::To, "<sip:bob@example.com>, <sip:dave@example.com>"),
        ("To", Name::To, "<sip:bob@example.com>;tag=1,<sip:dave@example.com>"),
        ("Max-Forwards", Name::MaxForwards, "70, 0"),
        ("Max-Forwards", Name::MaxForwards, "70 0"),
        ("Max-Forwards", Name::MaxForwards, "+70"),
        ("Max-Forwards", Name::MaxForwards, "4294967366"),
    ] {
        let octets = message(name, &format!("{name}: {value}"), "abc");
        assert_eq!((stream(&octets), datagram(&octets)), (Unreadable(Some(field)), Unreadable(Some(field))), "{value}");
    }
    for value in
        ["1 MESSAGE, 2 MESSAGE", "1, 2 MESSAGE", "1 2 MESSAGE", "4294967297 MESSAGE", "+1 MESSAGE", "1", "MESSAGE 1"]
    {
        let octets = message("CSeq", &format!("CSeq: {value}"), "abc");
        assert_eq!(
            (stream(&octets), datagram(&octets)),
            (Refused(Malformed::CSeq), Refused(Malformed::CSeq)),
            "{value}"
        );
    }
}

/// The plain message whose every octet is tried.
fn plain() -> (Vec<u8>, usize) {
    let octets = message("Content-Length", "Subject: \"a b\"\r\n c\r\nContent-Length: 3", "abc");
    let end = octets.len() - 3;
    (octets, end)
}

#[test]
fn a_cr_an_lf_or_a_nul_by_itself_is_taken_nowhere_in_a_head() {
    let (octets, end) = plain();
    assert_eq!(stream(&octets), taken("abc"));
    for at in 0..end {
        for alone in [b'\r', b'\n', 0] {
            let mut more = octets.clone();
            more.insert(at, alone);
            let mut other = octets.clone();
            other[at] = alone;
            for tried in [more, other] {
                if tried[..end] == octets[..end] {
                    continue;
                }
                let shown = String::from_utf8_lossy(&tried).into_owned();
                assert!(!matches!(stream(&tried), Taken(_)), "{shown:?}");
                assert!(matches!(datagram(&tried), Refused(_)), "{shown:?}");
            }
        }
    }
}

#[test]
fn a_line_end_without_one_half_is_taken_nowhere_in_a_head() {
    let (octets, end) = plain();
    for at in (0..end).filter(|&at| b"\r\n".contains(&octets[at])) {
        let mut less = octets.clone();
        less.remove(at);
        let shown = String::from_utf8_lossy(&less).into_owned();
        assert!(!matches!(stream(&less), Taken(_)), "{shown:?}");
        assert!(matches!(datagram(&less), Refused(_)), "{shown:?}");
    }
    let bare: Vec<u8> = octets.iter().copied().filter(|&octet| octet != b'\r').collect();
    assert_eq!((stream(&bare), datagram(&bare)), (Waits, Refused(Malformed::ControlCharacter)));
}

#[test]
fn a_nul_is_the_second_half_of_a_quoted_pair_or_nothing() {
    // RFC 4475 §3.1.1.2
    for (value, allowed) in [
        ("\"a\\\0b\"", true),
        ("\"\\\\\\\0\" <sip:a@example.com>", true),
        ("\"a\" \"\\\0\"", true),
        ("\"a\0b\"", false),
        ("\"a\\\\\0b\"", false),
        ("a\\\0b", false),
        ("\"a\" \\\0", false),
        ("\\\"\\\0\"", true),
        ("\0", false),
    ] {
        let octets = message("", &format!("Subject: {value}"), "abc");
        let answer = if allowed { taken("abc") } else { Refused(Malformed::ControlCharacter) };
        assert_eq!((stream(&octets), datagram(&octets)), (answer.clone(), answer), "{value:?}");
    }
    let octets = message("", "Subject: 1", "a\0\r\n\n");
    assert_eq!((stream(&octets), datagram(&octets)), (taken("a\0\r\n\n"), taken("a\0\r\n\n")));
}

#[test]
fn only_an_empty_line_ends_a_head() {
    // What another parser might take for the end, with a second head behind it that would then be a body.
    let second = "Content-Length: 0\r\n\r\nabc";
    for (end, answer) in [
        ("\r\n\n", Malformed::ControlCharacter),
        ("\n\n", Malformed::ControlCharacter),
        ("\r\r", Malformed::ControlCharacter),
        ("\n\r\n", Malformed::ControlCharacter),
        ("\r\n\r", Malformed::ControlCharacter),
        ("\r\r\n", Malformed::ControlCharacter),
        ("\r\n\r\r\n", Malformed::ControlCharacter),
        ("\n\r", Malformed::ControlCharacter),
        ("\r\n\0\r\n", Malformed::ControlCharacter),
        ("\r\n\u{c}\r\n", Malformed::HeaderLine),
        ("\r\nx\r\n", Malformed::HeaderLine),
    ] {
        let head = head("", "X-Field: 1");
        let octets = format!("{}{end}{second}", head.trim_end());
        assert_eq!(datagram(octets.as_bytes()), Refused(answer), "{end:?}");
        assert!(matches!(stream(octets.as_bytes()), Refused(_) | Closed(_) | Waits), "{end:?}");
    }
    // A line of blanks is a fold (§7.3.1), not an end: the second head is the only one.
    for blank in ["\r\n \r\n", "\r\n\t\r\n", "\r\n \t \r\n"] {
        let octets = format!("{}{blank}l: 3\r\n\r\nabc", head("", "X-Field: 1").trim_end());
        assert_eq!((stream(octets.as_bytes()), datagram(octets.as_bytes())), (taken("abc"), taken("abc")), "{blank:?}");
    }
}

#[test]
fn what_looks_like_a_head_in_a_body_is_body() {
    let whole = String::from_utf8(message("", "Subject: 2", "xyz")).unwrap();
    for body in [
        "\r\n\r\n",
        "\r\n",
        "Content-Length: 0\r\n\r\n",
        "l: 99999999999\r\n\r\n",
        "\r\nl: 1\r\nFrom: <sip:mallory@example.com>\r\n\r\n",
        "--b\r\nContent-Type: text/plain\r\nContent-Length: 70000\r\n\r\nabc\r\n--b--\r\n\r\n",
        "SIP/2.0 200 OK\r\n\r\n",
        &whole,
    ] {
        let octets = message("", "Content-Type: multipart/mixed;boundary=b", body);
        assert_eq!((stream(&octets), datagram(&octets)), (taken(body), taken(body)), "{body:?}");
        let shorter = format!("{}\r\n{body}", head("", &format!("l: {}", body.len() - 1)));
        assert_eq!(stream(shorter.as_bytes()), taken(&body[..body.len() - 1]), "{body:?}");
    }
}

#[test]
fn what_stands_behind_a_datagram_is_no_message_and_on_a_stream_the_next() {
    let (octets, _) = plain();
    let two = [octets.clone(), octets.clone()].concat();
    assert_eq!(datagram(&two), taken("abc"));
    assert_eq!(frames(&[&two]), vec![octets.clone(), octets]);
}

#[test]
fn a_start_line_is_one_line_of_three_parts() {
    let fields = &head("", "l: 3")[START.len()..];
    for (start, fault) in [
        ("MESSAGE sip:bob@example.com SIP/2.0\r\n \r\n", Malformed::HeaderLine),
        ("MESSAGE sip:bob@example.com\r\n SIP/2.0\r\n", Malformed::StartLine),
        ("MESSAGE  sip:bob@example.com SIP/2.0\r\n", Malformed::StartLine),
        ("MESSAGE sip:bob@example.com  SIP/2.0\r\n", Malformed::StartLine),
        ("MESSAGE sip:bob@example.com SIP/2.0 \r\n", Malformed::StartLine),
        ("MESSAGE sip:bob@example.com SIP/2.0 SIP/2.0\r\n", Malformed::StartLine),
        ("MESSAGE\tsip:bob@example.com\tSIP/2.0\r\n", Malformed::ControlCharacter),
        ("MESSAGE <sip:bob@example.com> SIP/2.0\r\n", Malformed::StartLine),
        ("MESSAGE \"sip:bob@example.com\" SIP/2.0\r\n", Malformed::StartLine),
        (" MESSAGE sip:bob@example.com SIP/2.0\r\n", Malformed::StartLine),
        ("MESSAGE: sip:bob@example.com SIP/2.0\r\n", Malformed::StartLine),
        ("MESSAGE sip:bob@example.com SIP/2.00\r\n", Malformed::Version),
        ("MESSAGE sip:bob@example.com SIP/02.0\r\n", Malformed::Version),
        ("MESSAGE sip:bob@example.com HTTP/1.1\r\n", Malformed::StartLine),
        ("SIP/2.0 2OO OK\r\n", Malformed::StartLine),
        ("SIP/2.0 200OK\r\n", Malformed::StartLine),
        ("SIP/2.0 +20 OK\r\n", Malformed::StartLine),
        ("SIP/2.0 0200 OK\r\n", Malformed::StartLine),
        ("SIP/2.0 700 OK\r\n", Malformed::StartLine),
        ("SIP/3.0 200 OK\r\n", Malformed::Version),
        ("\r\nMESSAGE sip:bob@example.com SIP/2.0\r\n", Malformed::StartLine),
    ] {
        let octets = format!("{start}{fields}\r\nabc");
        assert_eq!(datagram(octets.as_bytes()), Refused(fault), "{start:?}");
    }
}

#[test]
fn limits_hold_to_the_octet() {
    let filled = |length: usize| {
        let bare = head("", "l: 3\r\nX-Long: ").len() + 2;
        format!("{}\r\nabc", head("", &format!("l: 3\r\nX-Long: {}", "x".repeat(length - bare))))
    };
    let octets = filled(MAX_HEAD);
    assert_eq!((stream(octets.as_bytes()), datagram(octets.as_bytes())), (taken("abc"), taken("abc")));
    let octets = filled(MAX_HEAD + 1);
    let answers = (stream(octets.as_bytes()), datagram(octets.as_bytes()));
    assert_eq!(answers, (Closed(FramingError::TooLarge), Refused(Malformed::TooLarge)));
    let whole = |length: usize| {
        let head = head("", &format!("l: {}", length - head("", "l: 000000").len() - 2));
        format!("{head}\r\n{}", "b".repeat(length - head.len() - 2))
    };
    let octets = whole(MAX_MESSAGE);
    assert_eq!(octets.len(), MAX_MESSAGE);
    assert!(matches!((stream(octets.as_bytes()), datagram(octets.as_bytes())), (Taken(_), Taken(_))));
    let octets = whole(MAX_MESSAGE + 1);
    let answers = (stream(octets.as_bytes()), datagram(octets.as_bytes()));
    assert_eq!(answers, (Closed(FramingError::TooLarge), Refused(Malformed::TooLarge)));
}

/// The messages that come out of a stream that arrives in `pieces`; keep-alives are left out.
fn frames(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let (mut framer, mut buffer, mut found) = (Framer::default(), BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(frame) = framer.next(&mut buffer).expect("frames") {
            if let Frame::Message(message) = frame {
                found.push(message.to_vec());
            }
        }
    }
    assert!(buffer.is_empty(), "{buffer:?}");
    found
}

/// Fifty messages of many forms with keep-alives between them, and the stream that they make.
fn fifty() -> (Vec<Vec<u8>>, Vec<u8>) {
    let lengths = ["Content-Length: ", "l:", "L : 00", "content-length\r\n :\r\n\t", "l:\r\n "];
    let bodies = ["", "\r\n", "\r\n\r\n", "abc", "l: 5\r\n\r\n", "\r\n\r\nMESSAGE sip:bob@example.com SIP/2.0\r\n\r\n"];
    let messages: Vec<Vec<u8>> = (0..50)
        .map(|n| {
            let body = bodies[n % bodies.len()];
            let length = format!("{}{}", lengths[n % lengths.len()], body.len());
            format!("OPTIONS sip:{n}@example.com SIP/2.0\r\ns: {n}\r\n l: 7\r\n{length}\r\nm: x\r\n\r\n{body}")
                .into_bytes()
        })
        .collect();
    let between = ["\r\n", "", "\r\n\r\n", "\r\n\r\n\r\n", ""];
    let stream = messages.iter().enumerate().flat_map(|(n, message)| [message.as_slice(), between[n % 5].as_bytes()]);
    let stream = stream.collect::<Vec<_>>().concat();
    (messages, stream)
}

#[test]
fn fifty_messages_come_apart_wherever_the_stream_is_cut() {
    let (messages, stream) = fifty();
    assert_eq!(frames(&[&stream]), messages);
    for at in 0..=stream.len() {
        assert_eq!(frames(&[&stream[..at], &stream[at..]]), messages, "cut at {at}");
    }
    assert_eq!(frames(&stream.chunks(1).collect::<Vec<_>>()), messages);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Neither can be led to see another end than the other.
    #[test]
    fn framer_and_message_agree_where_a_message_ends(octets in nasty(), behind in "[a-z\r\n:]{0,9}") {
        let mut buffer = BytesMut::from(&octets[..]);
        let frame = Framer::default().next(&mut buffer);
        let whole = Message::parse(Bytes::from(octets.clone()));
        match frame {
            Ok(Some(Frame::Message(frame))) => {
                let longer = Bytes::from([&frame[..], behind.as_bytes()].concat());
                match (Message::parse(frame.clone()), Message::parse(longer)) {
                    (Ok(message), Ok(longer)) => {
                        prop_assert_eq!(message.octets(), frame.clone());
                        prop_assert_eq!(longer.octets(), frame.clone());
                        prop_assert_eq!(longer.body(), message.body());
                        prop_assert_eq!(whole.expect("a message with more behind it").octets(), frame);
                    }
                    (Err(one), Err(two)) => prop_assert_eq!(one.fault, two.fault),
                    (one, two) => prop_assert!(false, "{:?} {:?}", one, two),
                }
            }
            Ok(_) => prop_assert!(whole.is_err(), "taken whole, awaited on a stream"),
            Err(NoContentLength) => {
                let has = whole.is_ok_and(|message| message.header(Name::ContentLength).is_some());
                prop_assert!(!has, "a Content-Length that the framer passes over");
            }
            Err(_) => prop_assert!(whole.is_err(), "taken whole, refused on a stream"),
        }
    }

    /// However the octets of a stream arrive, the same frames and the same error come out.
    #[test]
    fn pieces_of_a_stream_change_nothing(octets in nasty(), cuts in vec(any::<prop::sample::Index>(), 0..8)) {
        let stream = [&octets[..], b"\r\n\r\n", &octets[..]].concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let outcome = |pieces: &[usize]| {
            let (mut framer, mut buffer, mut found) = (Framer::default(), BytesMut::new(), Vec::new());
            for piece in pieces.windows(2) {
                buffer.extend_from_slice(&stream[piece[0]..piece[1]]);
                loop {
                    match framer.next(&mut buffer) {
                        Ok(Some(frame)) => found.push(Ok(frame)),
                        Ok(None) => break,
                        Err(error) => {
                            found.push(Err(error));
                            return found;
                        }
                    }
                }
            }
            found
        };
        prop_assert_eq!(outcome(&cuts), outcome(&[0, stream.len()]));
    }
}
