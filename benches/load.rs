//! What a call costs: SIPp drives the release build over TLS at 200, 1000 and 2000 calls a second (`make load`).
//!
//! A call is INVITE, 100, 180, 200, ACK, BYE, 200 on both legs, from the played Genesys trunk on two connections to
//! the played Teams hub; everything runs on this machine. Processor time is the process's own, from the kernel's
//! accounting. The delay is measured at the caller, with Tandem and without it, through the same haproxy: the
//! difference is what Tandem adds to the set-up of a call. A failed call at any side fails the run.

#[expect(dead_code, reason = "some of it serves tests/sipp")]
#[path = "../tests/sipp/lab/mod.rs"]
mod lab;

use lab::{Lab, Load, Platform, Script, Transport, possible};
use std::time::Duration;

/// Calls a second.
const RATES: [u32; 3] = [200, 1000, 2000];
/// Seconds of each run.
const SECONDS: u32 = 20;
/// Worker threads of Tandem.
const WORKERS: u16 = 2;

fn main() {
    // `cargo test --benches` starts benches too, without this word.
    if !std::env::args().any(|argument| argument == "--bench") || !possible() {
        return;
    }
    println!("| calls a second | calls | CPU µs a call | set-up added, mean | 99 % |");
    println!("|---:|---:|---:|---:|---:|");
    for rate in RATES {
        let script = Script { ring: Duration::ZERO, talk: Duration::ZERO, ..Script::new("hangs_up", "answers") };
        let connections: u16 = 2;
        let each = rate / u32::from(connections);
        let load = Load { connections, calls: each * SECONDS, rate: each, at_once: each * 10, timed: true };

        let lab = Lab::without_tandem(script);
        let floor = lab.place(Platform::Teams, load);
        lab.finish(&[Platform::Teams], load.total());

        let lab = Lab::start(Transport::Tls, script, WORKERS);
        let report = lab.place(Platform::Genesys, load);
        lab.finish(&[Platform::Genesys], load.total());

        let each = report.processor.as_micros() / u128::from(load.total());
        let added = |with: Duration, without| with.saturating_sub(without).as_secs_f64() * 1e3;
        let mean = added(report.mean_setup(), floor.mean_setup());
        let slowest = added(report.setup(990), floor.setup(990));
        println!("| {rate} | {} | {each} | {mean:.2} ms | {slowest:.0} ms |", load.total());
    }
}
