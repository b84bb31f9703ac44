//! The INVITE of 1256 octets, read by ours and by other parsers in Rust, in one run. What each of them does with it
//! differs: `rsip`, `rsipstack` and `sip-core` copy values and type none, as *index* does without copying.

#[path = "../messages/mod.rs"]
#[allow(dead_code, reason = "one message of them is read here")]
mod messages;

use divan::{Bencher, black_box};
use tandem::sip::{Essentials, Message};

fn main() {
    divan::main();
}

/// Looks at what was read and lets it go: collected, it would be measured with the memory that it fills.
fn read<T, E: std::fmt::Debug>(message: Result<T, E>) {
    divan::black_box(message.as_ref().expect("a message"));
}

fn framed() -> bytes::Bytes {
    bytes::BytesMut::from(&messages::invite()[..]).freeze()
}

#[divan::bench]
fn tandem_index(bencher: Bencher) {
    let octets = framed();
    let _held = octets.clone();
    bencher.bench_local(|| read(Message::parse(octets.clone())));
}

#[divan::bench]
fn tandem_working_set(bencher: Bencher) {
    let octets = framed();
    let _held = octets.clone();
    bencher.bench_local(|| {
        let message = Message::parse(octets.clone()).expect("a message");
        divan::black_box(Essentials::of(&message).expect("readable"));
    });
}

#[divan::bench]
fn httparse_headers(bencher: Bencher) {
    let octets = messages::invite();
    let start = memchr::memchr(b'\n', &octets).expect("a start line") + 1;
    bencher.bench_local(|| {
        let mut headers = [httparse::EMPTY_HEADER; 128];
        httparse::parse_headers(black_box(&octets[start..]), &mut headers).expect("headers").is_complete()
    });
}

#[divan::bench]
fn rsip(bencher: Bencher) {
    let octets = messages::invite();
    bencher.bench_local(|| read(rsip::SipMessage::try_from(&octets[..])));
}

#[divan::bench]
fn rsipstack(bencher: Bencher) {
    let octets = messages::invite();
    bencher.bench_local(|| read(rsipstack::sip::SipMessage::try_from(&octets[..])));
}

#[divan::bench]
fn sip_core(bencher: Bencher) {
    let text = String::from_utf8(messages::invite()).expect("text");
    bencher.bench_local(|| read(sip_core::SipMessage::parse(&text)));
}
