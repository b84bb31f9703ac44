//! How long hostile messages take: the INVITEs of PROTOS c07-sip, and heads that are as long as one may be and made of
//! one thing over and over.
//!
//! `cargo bench --bench protos`. The first wants the corpus (`$TANDEM_CORPUS`, else `../shared/corpus`), `tar` and `xz`.
//! To reach: PROTOS whole in 20 ms, no message above 0.5 ms. In the ladders a length of four times takes four times as
//! long where each octet is looked at so many times, sixteen times where they are looked at in pairs.

#[path = "../tests/samples/protos.rs"]
mod protos;
#[path = "../tests/samples/read.rs"]
mod read;

use bytes::{Bytes, BytesMut};
use std::hint::black_box;
use std::time::{Duration, Instant};
use tandem::sip::{Essentials, Frame, Framer, Message};

/// The quickest of so many rounds is the one that nothing else disturbed.
const ROUNDS: u32 = 9;

fn main() {
    invites();
    ladders();
}

fn index(octets: &Bytes) {
    let _ = black_box(Message::parse(octets.clone()));
}

/// What the edge does with octets that come: frame, index, read what it handles them by.
fn take(octets: &Bytes) {
    if let Ok(Some(Frame::Message(framed))) = Framer::default().next(&mut BytesMut::from(&octets[..])) {
        black_box(framed);
    }
    if let Ok(message) = Message::parse(octets.clone()) {
        let _ = black_box(Essentials::of(&message));
    }
}

fn ask(octets: &Bytes) {
    match Message::parse(octets.clone()) {
        Ok(message) => read::read_all(&message),
        Err(rejected) => rejected.request.iter().for_each(|request| read::read_all(request)),
    }
}

fn quickest(rounds: u32, mut work: impl FnMut()) -> Duration {
    let round = |_| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..rounds).map(round).min().unwrap_or_default()
}

type Work = (&'static str, fn(&Bytes));

const WORKS: [Work; 3] = [("index", index), ("frame, index, working set", take), ("everything asked", ask)];

fn invites() {
    let Some(invites) = protos::invites() else { return };
    let invites: Vec<(u32, Bytes)> = invites.into_iter().map(|(n, octets)| (n, Bytes::from(octets))).collect();
    let octets: usize = invites.iter().map(|(_, octets)| octets.len()).sum();
    println!("PROTOS c07-sip: {} INVITEs, {octets} octets", invites.len());
    for (name, work) in WORKS {
        let whole = quickest(ROUNDS, || invites.iter().for_each(|(_, octets)| work(octets)));
        let each = invites.iter().map(|(n, octets)| (quickest(ROUNDS, || work(octets)), *n, octets.len()));
        let (slowest, n, length) = each.max().expect("invites");
        println!("{name:26} whole {whole:10.2?}   slowest {slowest:10.2?}, number {n}, {length} octets");
    }
}

/// `#` is another number each time.
const PIECES: [&str; 28] = [
    "x",
    ",",
    ";",
    "\"",
    "\\",
    "\"\\\"",
    "<",
    ">",
    "\"\"",
    "a,",
    ";a",
    ";a=b",
    ";a=\"b\"",
    "<>,",
    "\r\n ",
    "\r\n\t\r\n ",
    "\r\nC",
    "\r\nContent-Length",
    "\r\nl",
    "\r\nx:",
    "%41",
    ";p#",
    ";p#=1",
    "?x=1&h#=1",
    "&h#=1",
    "&a=b",
    "?",
    "\"\\\0",
];

const PLACES: [(&str, &str); 9] = [
    ("Subject: ", ""),
    ("Via: SIP/2.0/TLS a.example.com;branch=z9hG4bK2;x=", ""),
    ("Via: ", ", SIP/2.0/TLS a.example.com;branch=z9hG4bK2"),
    ("Contact: ", "<sip:a@example.com>"),
    ("Contact: <sip:a@example.com", ">"),
    ("Contact: <sip:a@example.com>", ""),
    ("Route: <sip:a.example.com;lr>,", "<sip:b.example.com;lr>"),
    ("Supported: ", ""),
    ("History-Info: <sip:a@example.com>;index=1", ""),
];

/// The longest of a ladder, in octets of the repeated part.
const LONGEST: usize = 60_000;

fn ladder(place: (&str, &str), piece: &str, length: usize) -> Bytes {
    let text = format!(
        "INVITE sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/TLS a.example.com;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\n\
         To: <sip:b@example.com>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n{}{}{}\r\nContent-Length: 0\r\n\r\n",
        place.0,
        repeated(piece, length),
        place.1
    );
    Bytes::from(text)
}

fn repeated(piece: &str, length: usize) -> String {
    match piece.contains('#') {
        false => piece.repeat(length / piece.len()),
        true => (0..length / (piece.len() + 4)).map(|n| piece.replace('#', &n.to_string())).collect(),
    }
}

const BODIES: [&str; 8] = [
    "m=audio 1 RTP/AVP 0\r\n",
    "a=x\r\n",
    "a=sendonly\r\n",
    "c=IN IP4 0.0.0.0\r\n",
    "--b\r\n",
    "--b\r\nContent-Type: multipart/mixed;boundary=b\r\n\r\n",
    "\r\n",
    "x",
];

fn body(kind: &str, piece: &str, length: usize) -> Bytes {
    let body = format!("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n{}", repeated(piece, length));
    let text = format!(
        "INVITE sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/TLS a.example.com;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\n\
         To: <sip:b@example.com>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Bytes::from(text)
}

fn ladders() {
    for (name, work) in WORKS {
        let mut found = Vec::new();
        for place in PLACES {
            for piece in PIECES {
                let (short, long) = (ladder(place, piece, LONGEST / 4), ladder(place, piece, LONGEST));
                let (short, long) = (quickest(3, || work(&short)), quickest(3, || work(&long)));
                found.push((long, short, place.0, piece));
            }
        }
        for kind in ["application/sdp", "multipart/mixed;boundary=b"] {
            for piece in BODIES {
                let (short, long) = (body(kind, piece, LONGEST), body(kind, piece, 4 * LONGEST));
                let (short, long) = (quickest(3, || work(&short)), quickest(3, || work(&long)));
                found.push((long, short, kind, piece));
            }
        }
        found.sort();
        println!("{name}: the slowest of {} heads of {LONGEST} octets and bodies of four times as many", found.len());
        for (long, short, place, piece) in found.iter().rev().take(8) {
            let ratio = long.as_secs_f64() / short.as_secs_f64();
            println!("    {long:10.2?} {ratio:5.1} times a quarter of it: {place:?} and {piece:?}");
        }
    }
}
