//! Messages that other stacks were tested with, read by ours (`samples/rows.rs` says where they are).

#[path = "samples/docs.rs"]
mod docs;
#[path = "samples/read.rs"]
mod read;
#[path = "samples/rows.rs"]
mod rows;

use bytes::{Bytes, BytesMut};
use read::{ask, describe, read_all, unreadable};
use rows::rows;
use tandem::sip::sdp::{Sdp, SdpError};
use tandem::sip::{Essentials, Framer, Message, Name, Uri};

/// Files of class `accept` that we refuse on purpose, each with its reason.
const REFUSED: &[(&str, &str)] = &[
    ("rfc5118/raw/ipv6-in-sdp", "the file lacks the end of its body"),
    ("jsip-torture/t014.sip", "a line of one blank between head and body"),
    ("jsip-torture/t332.sip", "two requests without an empty line between them"),
    ("jsip-torture/t025.sip", "no From"),
    ("kamailio/bad_uri.sip", "no Via"),
    ("kamailio/inv_srv.sip", "no To"),
    ("kamailio/invite1.sip", "no To"),
    ("kamailio/sg.sip", "a CR in front of a line end"),
    ("kamailio/short_reply.sip", "no From"),
    ("pcap/zeek-sip-junk-before-request-001.sip", "no Via"),
    ("pjsip-fuzz/sip-input.5.sip", "lines that end in LF alone"),
    ("rsiprtp/mdsiprtp3-invite_with_body.sip", "no Via"),
    ("sofia-sip/test-ack-1.txt", "CSeq of another method"),
    ("sofia-sip/test11.txt", "no From"),
];

/// Values in files of class `accept` that we cannot read on purpose.
const UNREADABLE: &[(&str, Name, &str)] = &[
    ("jsip-torture/t111.sip", Name::RecordRoute, BLANK),
    ("jsip-torture/t119.sip", Name::RecordRoute, BLANK),
    ("jsip-torture/t123.sip", Name::RecordRoute, BLANK),
    ("jsip-torture/t129.sip", Name::RecordRoute, BLANK),
    ("jsip-torture/t311.sip", Name::RecordRoute, BLANK),
    ("jsip-torture/t314.sip", Name::RecordRoute, BLANK),
    ("jsip-torture/t319.sip", Name::RecordRoute, BLANK),
    ("jsip-torture/t204.sip", Name::Route, BLANK),
    ("sofia-sip/own6.txt", Name::RecordRoute, BLANK),
    ("sofia-sip/test30.txt", Name::Expires, "a date, which only RFC 2543 had"),
];

const BLANK: &str = "a blank within a URI: it would break the Request-URI that is made of it";

#[test]
fn what_must_be_accepted_is_accepted() {
    let Some(rows) = rows(&["accept"]) else { return };
    let mut faults = Vec::new();
    for row in rows {
        let verdict = Message::parse(row.on_the_wire());
        let refused = REFUSED.iter().any(|(path, _)| *path == row.path);
        match verdict {
            Ok(_) if refused => faults.push(format!("{}: is accepted now", row.path)),
            Ok(message) => {
                read_all(&message);
                for (name, value, error) in unreadable(&message) {
                    if !UNREADABLE.iter().any(|(path, own, _)| *path == row.path && *own == name) {
                        faults.push(format!("{}: {}: {value}: {error}", row.path, name.as_str()));
                    }
                }
            }
            Err(_) if refused => {}
            Err(rejected) => faults.push(format!("{}: {}", row.path, rejected.fault)),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn nothing_panics_whatever_comes() {
    let Some(rows) = rows(&["accept", "reject", "either", "robust", "sdp", "uri"]) else { return };
    for row in rows {
        let raw = Bytes::from(row.octets.clone());
        for octets in [raw.clone(), row.on_the_wire()] {
            match Message::parse(octets.clone()) {
                Ok(message) => read_all(&message),
                Err(rejected) => {
                    if let Some(request) = rejected.request {
                        read_all(&request);
                    }
                }
            }
            let mut buffer = BytesMut::from(&octets[..]);
            let mut framer = Framer::default();
            while let Ok(Some(_)) = framer.next(&mut buffer) {}
            describe(octets);
        }
        let text = String::from_utf8_lossy(&raw);
        let _ = Uri::parse(&text).map(|parsed| ask(&parsed));
    }
}

#[test]
fn every_description_is_one_but_those_named() {
    let Some(rows) = rows(&["sdp"]) else { return };
    let mut refused: Vec<(String, SdpError)> =
        rows.into_iter().filter_map(|row| Some((row.path, Sdp::parse(Bytes::from(row.octets)).err()?))).collect();
    refused.sort_by(|one, two| one.0.cmp(&two.0));
    let expected = [
        ("sdp/rsiprtp-trim_corners.sdp", SdpError::Line), // a line that begins with a tab
        ("sdp/rsiprtp-version_normalize.sdp", SdpError::Version), // v=00
        ("sdp/sofia-message-1.sdp", SdpError::Version),   // v=1
        ("sdp/sofia-message-6.sdp", SdpError::Origin),    // none
    ];
    assert_eq!(refused, expected.map(|(path, error)| (path.to_owned(), error)));
}

/// Files of class `reject` that are taken, each with its reason.
const TAKEN: &[(&str, &str)] = &[
    ("jsip-torture/t007.sip", "an unknown scheme: 416 of whoever is asked, and no fault of the message"),
    ("jsip-torture/t024.sip", "an unknown method: 501 of whoever is asked, and no fault of the message"),
    ("jsip-torture/t343.sip", "header fields in the Request-URI, where carriers put User-to-User"),
    ("jsip-torture/t344.sip", "a Date that nobody here reads"),
    ("jsip-torture/t346.sip", "blanks between brackets and address, as t015.sip has them, which must be taken"),
    ("jsip-torture/t347.sip", "a display name without quotes, as the hub writes them (TDR-64)"),
];

/// What becomes of `octets`: `accepted`, or why not, in words.
fn outcome(octets: Bytes) -> Result<(), String> {
    let message = Message::parse(octets).map_err(|rejected| rejected.fault.to_string())?;
    Essentials::of(&message).map(drop).map_err(|unreadable| unreadable.to_string())
}

#[test]
fn what_must_be_refused_is_refused() {
    let Some(rows) = rows(&["reject"]) else { return };
    let mut taken: Vec<String> =
        rows.into_iter().filter_map(|row| outcome(row.on_the_wire()).is_ok().then_some(row.path)).collect();
    taken.sort();
    assert_eq!(taken, TAKEN.iter().map(|(path, _)| *path).collect::<Vec<_>>());
}

/// docs/parser.md has a row for each file that may be taken or left. `BLESS=1` writes them.
#[test]
fn what_may_be_either_is_in_the_table() {
    let Some(mut rows) = rows(&["either"]) else { return };
    rows.sort_by(|one, two| one.path.cmp(&two.path));
    let table: String = rows
        .into_iter()
        .map(|row| {
            let verdict =
                outcome(row.on_the_wire()).map_or_else(|why| format!("refused: {why}"), |()| "accepted".into());
            format!("| `{}` | {verdict} |\n", row.path)
        })
        .collect();
    docs::has("either", &format!("| file | what becomes of it |\n|---|---|\n{table}"));
}
