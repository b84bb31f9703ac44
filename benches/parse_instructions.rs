//! Instructions that reading a message costs: the same each time, unlike its time. Needs valgrind and gungraun-runner
//! (`scripts/setup.sh`). `cargo bench --bench parse_instructions` fails above the limits.

mod messages;

use bytes::Bytes;
use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use std::hint::black_box;
use tandem::sip::{Essentials, Message};

/// A message as the framer gives it out, part of a buffer that others hold, too; and not the first that is read, which
/// would pay for the linker.
fn framed(octets: Vec<u8>) -> Bytes {
    let octets = bytes::BytesMut::from(&octets[..]).freeze();
    std::mem::forget(octets.clone());
    black_box(Essentials::of(&Message::parse(octets.clone()).expect("a message")).expect("readable"));
    octets
}

/// What docs/performance.md promises: more is a failure.
fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut tool = Callgrind::default();
    tool.hard_limits([(EventKind::Ir, instructions)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(tool);
    config
}

#[library_benchmark]
#[bench::invite(args = (framed(messages::invite())), config = at_most(8_000))]
#[bench::ok(framed(messages::ok()))]
#[bench::ack(framed(messages::ack()))]
#[bench::bye(framed(messages::bye()))]
#[bench::options(framed(messages::options()))]
#[bench::invite_6k(framed(messages::invite_of_lines(6 * 1024)))]
fn index(octets: Bytes) -> Message {
    black_box(Message::parse(octets).expect("a message"))
}

#[library_benchmark]
#[bench::invite(args = (framed(messages::invite())), config = at_most(15_000))]
#[bench::ok(framed(messages::ok()))]
#[bench::invite_6k(framed(messages::invite_of_lines(6 * 1024)))]
fn working_set(octets: Bytes) -> Message {
    let message = Message::parse(octets).expect("a message");
    black_box(Essentials::of(&message).expect("readable"));
    message
}

library_benchmark_group!(name = reading, benchmarks = [index, working_set]);

main!(library_benchmark_groups = reading);
