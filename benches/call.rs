//! What one whole call costs the core: INVITE, 180, 200, ACK, BYE, 200 on both legs, without sockets.
//!
//! `cargo bench --bench call` prints the time of a call and of the peers' part in it; compare within one run
//! only. `cargo bench --bench call -- --count N` places N calls and ends, for a tool that counts
//! instructions: `scripts/instructions.sh`.

mod world;

use world::World;

/// Calls before the counted ones: tables and pools are then as under a steady load.
const WARM: usize = 4000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let count = arguments.iter().position(|argument| argument == "--count").and_then(|at| arguments.get(at + 1));
    let Some(count) = count else { return divan::main() };
    let mut world = World::new(|work| work());
    (0..WARM + count.parse::<usize>().expect("a number of calls")).for_each(|_| world.call());
}

/// The whole call, the making of the peers' messages included.
#[divan::bench]
fn whole_call(bencher: divan::Bencher) {
    let mut world = World::new(|work| work());
    bencher.bench_local(|| world.call());
    assert!(world.edge.gauges().calls == 0, "every call ended");
}

/// What the peers' part of that costs: seven messages made, none handled.
#[divan::bench]
fn peers_alone(bencher: divan::Bencher) {
    let mut world = World::new(|work| work());
    bencher.bench_local(|| world.peers());
}
