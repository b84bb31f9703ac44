//! What reading a message costs, beside other parsers and beside the least that anyone can do.
//!
//! *index*: every header field line found, named and bounded. *working set*: index, and what each message is handled by
//! typed: Request-URI, Via, From, To, Call-ID, CSeq, Contact, Max-Forwards, Route, Content-Length.
//! `cargo bench --bench parse`; compare within one run only. More peers: `benches/peers`.

mod messages;

use bytes::Bytes;
use tandem::sip::{Essentials, Message};

fn main() {
    divan::main();
}

/// Looks at what was read and lets it go: collected, it would be measured with the memory that it fills.
fn read<T, E: std::fmt::Debug>(message: Result<T, E>) {
    divan::black_box(message.as_ref().expect("a message"));
}

/// The messages by which parsers are compared.
const NAMES: [&str; 6] = ["INVITE of 1256", "200 with SDP", "ACK", "BYE", "OPTIONS", "INVITE of 6 KB"];

fn octets(name: &str) -> Vec<u8> {
    match name {
        "INVITE of 1256" => messages::invite(),
        "200 with SDP" => messages::ok(),
        "ACK" => messages::ack(),
        "BYE" => messages::bye(),
        "OPTIONS" => messages::options(),
        _ => messages::invite_of_lines(6 * 1024),
    }
}

/// As the framer gives it out: part of a buffer that others hold, too.
fn framed(octets: Vec<u8>) -> Bytes {
    bytes::BytesMut::from(&octets[..]).freeze()
}

#[divan::bench(args = NAMES)]
fn index(bencher: divan::Bencher, name: &str) {
    let octets = framed(octets(name));
    let _held = octets.clone();
    bencher.bench_local(|| read(Message::parse(octets.clone())));
}

#[divan::bench(args = NAMES)]
fn working_set(bencher: divan::Bencher, name: &str) {
    let octets = framed(octets(name));
    let _held = octets.clone();
    bencher.bench_local(|| {
        let message = Message::parse(octets.clone()).expect("a message");
        divan::black_box(Essentials::of(&message).expect("readable"));
    });
}

/// The least: where names and values begin and end, without knowing any of them.
#[divan::bench(args = NAMES)]
fn httparse_headers(bencher: divan::Bencher, name: &str) {
    let octets = octets(name);
    let start = memchr::memchr(b'\n', &octets).expect("a start line") + 1;
    bencher.bench_local(|| {
        let mut headers = [httparse::EMPTY_HEADER; 128];
        httparse::parse_headers(divan::black_box(&octets[start..]), &mut headers).expect("headers").is_complete()
    });
}

#[divan::bench(args = NAMES)]
fn rsip(bencher: divan::Bencher, name: &str) {
    let octets = octets(name);
    bencher.bench_local(|| read(rsip::SipMessage::try_from(&octets[..])));
}

#[divan::bench(args = [512, 1024, 2048, 4096, 8192, 16384, 32768])]
fn index_by_size(bencher: divan::Bencher, length: usize) {
    let octets = framed(messages::invite_of_lines(length));
    let _held = octets.clone();
    bencher.bench_local(|| read(Message::parse(octets.clone())));
}
