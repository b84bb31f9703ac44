//! The torture tests of RFC 4475 and RFC 5118, each message with the outcome that its section asks for.
//!
//! A message is accepted when it is one and its essentials can be read ([`Essentials`]): no element can act on less. The
//! messages lie outside the repository: in `$TANDEM_CORPUS`, else in `../shared/corpus`.

use bytes::{Bytes, BytesMut};
use std::path::{Path, PathBuf};
use tandem::sip::{
    Draft, Essentials, Frame, Framer, FramingError, Malformed, Message, Name, NameAddr, Scheme, Unreadable, ValueError,
    sdp, sdp_part,
};

/// Why a message is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    /// It is no message.
    Message(Malformed),
    /// A field cannot be read.
    Field(Unreadable),
}

use Fault::{Field, Message as Whole};

const fn unreadable(name: Name, fault: ValueError) -> Fault {
    Field(Unreadable { field: Some(name), fault })
}

impl Fault {
    fn status(self) -> u16 {
        match self {
            Whole(fault) => fault.status(),
            Field(fault) => fault.status(),
        }
    }
}

fn corpus() -> PathBuf {
    std::env::var_os("TANDEM_CORPUS").map_or_else(|| PathBuf::from("../shared/corpus"), PathBuf::from)
}

/// The octets of a file of the corpus. `None`, said aloud, where there is no corpus; then `CI=true` is a failure.
fn file(path: &str) -> Option<Bytes> {
    let octets = std::fs::read(corpus().join(path)).ok();
    let required = std::env::var("CI").is_ok_and(|value| value == "true") || corpus().exists();
    match octets {
        None if required => panic!("{path} is not in {}", corpus().display()),
        None => {
            println!("no corpus at {}: {path} did not run", corpus().display());
            None
        }
        Some(octets) => Some(Bytes::from(octets)),
    }
}

fn names(directory: &str) -> Vec<String> {
    let Ok(files) = std::fs::read_dir(corpus().join(directory)) else { return Vec::new() };
    let mut names: Vec<String> =
        files.map(|file| file.expect("readable").file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

fn verdict(octets: Bytes) -> Result<Message, Fault> {
    let message = Message::parse(octets).map_err(|rejected| Whole(rejected.fault))?;
    Essentials::of(&message).map_err(Field)?;
    Ok(message)
}

/// Valid messages: 3.1.1 of RFC 4475, and those of 3.2 to 3.4 whose fault is not in their syntax.
const VALID: [(&str, &str); 26] = [
    ("wsinv", "3.1.1.1: blanks and folds wherever they may be"),
    ("intmeth", "3.1.1.2: a method, a NUL in a quoted pair and UTF-8 that no element has seen"),
    ("esc01", "3.1.1.3: escapes in user parts"),
    ("escnull", "3.1.1.4: escaped NULs in user parts"),
    ("esc02", "3.1.1.5: a percent sign that escapes nothing"),
    ("lwsdisp", "3.1.1.6: no blank between display name and bracket"),
    ("longreq", "3.1.1.7: long values"),
    ("dblreq", "3.1.1.8: octets behind a datagram's message"),
    ("semiuri", "3.1.1.9: semicolons in user parts"),
    ("transports", "3.1.1.10: transports of every name"),
    ("mpart01", "3.1.1.11: a binary body"),
    ("unreason", "3.1.1.12: a reason phrase in Cyrillic"),
    ("noreason", "3.1.1.13: an empty reason phrase"),
    ("unkscm", "3.3.2: an unknown scheme, which is 416 and no fault of syntax"),
    ("novelsc", "3.3.3: a known scheme of no use, 416 as well"),
    ("unksm2", "3.3.4: unknown schemes in header fields"),
    ("bext01", "3.3.5: extensions that nobody has, 420"),
    ("invut", "3.3.6: a body of an unknown type, 415"),
    ("regaut01", "3.3.7: credentials of an unknown scheme"),
    ("bcast", "3.3.10: a second Via with the address that goes to all"),
    ("zeromf", "3.3.11: Max-Forwards of zero, 483"),
    ("cparam01", "3.3.12: a parameter of the header field"),
    ("cparam02", "3.3.13: a parameter of the URI"),
    ("regescrt", "3.3.14: a Route escaped in a Contact"),
    ("sdp01", "3.3.15: an Accept that nobody can serve, 406"),
    ("inv2543", "3.4.1: an INVITE of RFC 2543"),
];

/// Messages that an element must not act on, the status of the response to such a request, and our reason.
const INVALID: [(&str, u16, Fault, &str); 16] = [
    ("badinv01", 400, unreadable(Name::Via, ValueError::Version), "3.1.2.1: separators with nothing between them"),
    ("clerr", 400, Whole(Malformed::Truncated), "3.1.2.2: Content-Length beyond the datagram"),
    ("ncl", 400, Whole(Malformed::ContentLength), "3.1.2.3: a negative Content-Length"),
    ("scalar02", 400, Whole(Malformed::CSeq), "3.1.2.4: numbers that are too large"),
    ("scalarlg", 400, Whole(Malformed::CSeq), "3.1.2.5: the same in a response, which is dropped"),
    ("quotbal", 400, unreadable(Name::To, ValueError::Unbalanced), "3.1.2.6: a quoted string without end"),
    ("ltgtruri", 400, Whole(Malformed::StartLine), "3.1.2.7: the Request-URI in angle brackets"),
    ("lwsruri", 400, Whole(Malformed::StartLine), "3.1.2.8: blanks in the Request-URI"),
    ("badvers", 505, Whole(Malformed::Version), "3.1.2.16: SIP/7.0"),
    ("mismatch01", 400, Whole(Malformed::CSeqMethod), "3.1.2.17: CSeq of another method"),
    ("mismatch02", 400, Whole(Malformed::CSeqMethod), "3.1.2.18: CSeq of another method than the unknown one"),
    ("bigcode", 400, Whole(Malformed::StartLine), "3.1.2.19: a status of ten digits, which is dropped"),
    ("insuf", 400, Whole(Malformed::Missing(Name::From)), "3.3.1: no Call-ID, From, To"),
    ("multi01", 400, Whole(Malformed::Repeated(Name::From)), "3.3.8: several values where one may be"),
    ("mcl01", 400, Whole(Malformed::Repeated(Name::ContentLength)), "3.3.9: two lengths"),
    ("test", 400, Whole(Malformed::StartLine), "no section: no version, no CSeq, no Via"),
];

/// Messages that the RFC lets an element take or leave: what we do.
const EITHER: [(&str, Option<Fault>, &str); 8] = [
    ("lwsstart", Some(Whole(Malformed::StartLine)), "3.1.2.9: blanks between the parts of the request line"),
    ("trws", Some(Whole(Malformed::StartLine)), "3.1.2.10: a blank behind the request line"),
    (
        "escruri",
        None,
        "3.1.2.11: header fields in the Request-URI, where carriers put User-to-User; the others do not cross",
    ),
    ("baddate", None, "3.1.2.12: a Date that nobody here reads"),
    ("regbadct", Some(unreadable(Name::Contact, ValueError::Token)), "3.1.2.13: a Contact with ? and no brackets"),
    ("badaspec", None, "3.1.2.14: blanks between brackets and address; those that leave have none"),
    ("baddn", None, "3.1.2.15: a display name that needs quotes (TDR-64); those that leave have them"),
    ("badbranch", None, "3.2.1: a branch of the cookie alone; matched as RFC 2543 has it"),
];

#[test]
fn every_message_of_rfc_4475_has_its_outcome() {
    let mut faults = Vec::new();
    let path = |name: &str| format!("rfc4475/{name}.dat");
    for (name, section) in VALID {
        if let Some(Err(fault)) = file(&path(name)).map(verdict) {
            faults.push(format!("{name} ({section}) is refused: {fault:?}"));
        }
    }
    for (name, status, fault, section) in INVALID {
        match file(&path(name)).map(verdict) {
            Some(Ok(_)) => faults.push(format!("{name} ({section}) is accepted")),
            Some(Err(found)) if (found, found.status()) != (fault, status) => {
                faults.push(format!("{name} ({section}): {found:?}"));
            }
            Some(Err(_)) | None => {}
        }
    }
    for (name, fault, section) in EITHER {
        // The archive's copy of this one lacks the empty line that the text has.
        let rest: &[u8] = if name == "baddn" { b"\r\n" } else { b"" };
        match file(&path(name)).map(|octets| verdict([&octets[..], rest].concat().into()).err()) {
            Some(found) if found != fault => faults.push(format!("{name} ({section}): {found:?}")),
            Some(_) | None => {}
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_message_of_rfc_4475_is_left_out() {
    let rows =
        VALID.iter().map(|row| row.0).chain(INVALID.iter().map(|row| row.0)).chain(EITHER.iter().map(|row| row.0));
    let mut rows: Vec<String> = rows.map(|name| format!("{name}.dat")).collect();
    rows.sort();
    assert_eq!(rows.len(), 50);
    if Path::new(&corpus()).exists() {
        assert_eq!(rows, names("rfc4475"));
    }
}

/// What the sections of 3.1.1 say that a reader has to find in the valid messages, beyond taking them.
#[test]
fn what_the_valid_messages_say_is_understood() {
    let Some(octets) = file("rfc4475/intmeth.dat") else { return };
    let message = verdict(octets.clone()).expect("valid");
    assert_eq!(message.method().as_str(), "!interesting-Method0123456789_*+`.%indeed'~");
    // The NUL is none for whoever reads the text, and passes octet for octet.
    assert!(octets.contains(&0) && !message.header(Name::To).expect("To").contains('\0'));
    assert_eq!(message.octets(), octets);
    let from = NameAddr::parse(message.header(Name::From).expect("From")).expect("reads");
    assert_eq!(from.params().text("fromParam''~+*_!.-%").as_deref(), Some("работающий"));

    let message = verdict(file("rfc4475/wsinv.dat").expect("there")).expect("valid");
    assert_eq!(message.values(Name::Via).count(), 3);
    assert_eq!(message.header(Name::Subject), Some(""));
    assert_eq!(message.cseq().number, 9);
    assert_eq!(message.extension("newfangledheader").next(), Some("newfangled value   continued newfangled value"));
    let message = verdict(file("rfc4475/escnull.dat").expect("there")).expect("valid");
    let contacts: Vec<_> = message.values(Name::Contact).map(|value| NameAddr::parse(value).expect("reads")).collect();
    let users: Vec<_> = contacts.iter().map(|contact| contact.uri().expect("reads").user()).collect();
    assert_eq!(users, [Some("%00"), Some("%00%00")]);
    let message = verdict(file("rfc4475/semiuri.dat").expect("there")).expect("valid");
    let essentials = Essentials::of(&message).expect("reads");
    let uri = essentials.uri.expect("a request");
    assert_eq!((uri.scheme(), uri.host(), uri.user()), (Scheme::Sip, "example.com", Some("user")));
    assert_eq!(uri.user_params().as_str(), "par=u%40example.net");
    let message = verdict(file("rfc4475/unreason.dat").expect("there")).expect("valid");
    assert_eq!(message.reason(), "= 2**3 * 5**2 но сто девяносто девять - простое");
    let message = verdict(file("rfc4475/noreason.dat").expect("there")).expect("valid");
    assert_eq!((message.status(), message.reason()), (Some(100), ""));
    for (name, header, uri) in [("cparam01", true, false), ("cparam02", false, true)] {
        let message = verdict(file(&format!("rfc4475/{name}.dat")).expect("there")).expect("valid");
        let contact = Essentials::of(&message).expect("reads").contact.expect("Contact");
        let within = contact.uri().expect("reads").params().has("unknownparam");
        assert_eq!((contact.params().has("unknownparam"), within), (header, uri), "{name}");
    }
}

/// RFC 3261 §8.2.6.2: a response has them octet for octet, whatever they are; what was folded may be joined.
#[test]
fn a_response_repeats_what_no_text_can_hold() {
    let Some(octets) = file("rfc4475/intmeth.dat") else { return };
    let request = verdict(octets).expect("valid");
    let response = Draft::response(&request, 501, "Not Implemented", "tag", None).finish();
    let response = Message::parse(response).expect("a message");
    for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
        let raw = |message: &Message| {
            let line = message.lines().find(|line| line.name == name).map(|line| line.raw.to_vec());
            line.expect("there")
        };
        let (mut asked, answered) = (raw(&request), raw(&response));
        if name == Name::To {
            asked.extend(b";tag=tag");
        }
        assert_eq!(answered, asked, "{name:?}");
    }
    let folded = verdict(file("rfc4475/wsinv.dat").expect("there")).expect("valid");
    let response = Message::parse(Draft::response(&folded, 400, "Bad Request", "", None).finish()).expect("a message");
    assert_eq!(response.cseq(), folded.cseq());
    assert!(response.lines().all(|line| !line.raw.contains(&b'\n')));
}

/// 3.1.1.8: on a datagram what is behind the message is not there, on a stream it is the next one.
#[test]
fn two_requests_in_one_piece_are_one_datagram_or_two_messages() {
    let Some(octets) = file("rfc4475/dblreq.dat") else { return };
    let message = verdict(octets.clone()).expect("valid");
    assert_eq!(message.method().as_str(), "REGISTER");
    assert!(octets.len() > message.octets().len());
    let mut buffer = BytesMut::from(&octets[..]);
    let mut framer = Framer::default();
    let methods: Vec<String> = std::iter::from_fn(|| framer.next(&mut buffer).expect("frames"))
        .map(|frame| match frame {
            Frame::Message(octets) => verdict(octets).expect("valid").method().to_string(),
            Frame::Ping => "a ping".to_owned(),
        })
        // Its Content-Length leaves some octets of the last body behind.
        .take(2)
        .collect();
    assert_eq!(methods, ["REGISTER", "INVITE"]);
}

/// 3.1.2.2, 3.1.2.3, 3.3.9: on a stream the end of these is not known, or not there yet.
#[test]
fn lengths_that_lie_end_a_stream() {
    for (name, expected) in [
        ("clerr", Ok(None)),
        ("ncl", Err(FramingError::BadContentLength)),
        ("mcl01", Err(FramingError::BadContentLength)),
    ] {
        let Some(octets) = file(&format!("rfc4475/{name}.dat")) else { return };
        assert_eq!(Framer::default().next(&mut BytesMut::from(&octets[..])), expected, "{name}");
    }
}

/// RFC 5118: IPv6 addresses wherever an address may be. One message has none in brackets, and only that is refused.
const IPV6: [(&str, &str); 11] = [
    ("ipv6-good", "4.1: a reference in the Request-URI"),
    ("port-ambiguous", "4.3: what may be a port is part of the address"),
    ("port-unambiguous", "4.4: a port behind the bracket"),
    ("via-received-param-with-delim", "4.5: received in brackets"),
    ("via-received-param-no-delim", "4.5: received without brackets"),
    ("ipv6-in-sdp", "4.6: an address in a description"),
    ("mult-ip-in-header", "4.7: both families in the Vias"),
    ("mult-ip-in-sdp", "4.8: both families in a description"),
    ("ipv4-mapped-ipv6", "4.9: IPv4 within IPv6"),
    ("ipv6-bug-abnf-3-colons", "4.10: three colons, as the grammar had it"),
    ("ipv6-correct-abnf-2-colons", "4.10: two colons"),
];

#[test]
fn every_message_of_rfc_5118_has_its_outcome() {
    let mut faults = Vec::new();
    for (name, section) in IPV6 {
        let Some(octets) = file(&format!("rfc5118/crlf/{name}.sip")) else { return };
        match verdict(octets) {
            Err(fault) => faults.push(format!("{name} ({section}) is refused: {fault:?}")),
            Ok(message) => {
                let body = sdp_part(message.header(Name::ContentType).unwrap_or(""), &message.body());
                if let Some(Err(fault)) = body.map(sdp::Sdp::parse) {
                    faults.push(format!("{name} ({section}): {fault}"));
                }
            }
        }
    }
    let bad = verdict(file("rfc5118/crlf/ipv6-bad.sip").expect("there"));
    match bad {
        Err(Field(Unreadable { field: None, fault })) if fault.status() == 400 => {}
        other => faults.push(format!("ipv6-bad (4.2): {other:?}")),
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(names("rfc5118/crlf").len(), IPV6.len() + 1);
}

/// 4.3, 4.4, 4.5: what is an address and what a port.
#[test]
fn ports_and_addresses_of_rfc_5118_come_apart() {
    let Some(octets) = file("rfc5118/crlf/port-ambiguous.sip") else { return };
    let uri = |octets| {
        let message = verdict(octets).expect("valid");
        let uri = Essentials::of(&message).expect("reads").uri.expect("a request");
        (uri.host().to_owned(), uri.port())
    };
    assert_eq!(uri(octets), ("[2001:db8::10:5070]".to_owned(), None));
    let octets = file("rfc5118/crlf/port-unambiguous.sip").expect("there");
    assert_eq!(uri(octets), ("[2001:db8::10]".to_owned(), Some(5070)));
    for name in ["with", "no"] {
        let octets = file(&format!("rfc5118/crlf/via-received-param-{name}-delim.sip")).expect("there");
        let message = verdict(octets).expect("valid");
        let received = Essentials::of(&message).expect("reads").via.received().expect("received").to_owned();
        assert_eq!(received.trim_matches(['[', ']']), "2001:db8::9:255", "{name}");
    }
}
