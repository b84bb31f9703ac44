//! The allocation budget of a relayed call: how often, and how much, the core allocates from INVITE to the last 200.
//!
//! A number that has to rise, for something worth it, is raised here, with the change that needs it.

#[expect(dead_code, reason = "some of it serves benches/call.rs")]
#[path = "../benches/world/mod.rs"]
mod world;

use std::cell::Cell;
use world::World;

thread_local! {
    static SPENT: Cell<Spent> = const { Cell::new(Spent { count: 0, octets: 0, kept: 0 }) };
}

/// What the core allocated.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    /// How often.
    count: u64,
    /// How much.
    octets: u64,
    /// How much of it is still there.
    kept: i64,
}

/// Does `work` and adds what it allocates to [`SPENT`].
fn counted(work: &mut dyn FnMut()) {
    let info = allocation_counter::measure(work);
    let Spent { count, octets, kept } = SPENT.get();
    SPENT.set(Spent {
        count: count + info.count_total,
        octets: octets + info.bytes_total,
        kept: kept + info.bytes_current,
    });
}

/// What a call takes, on average over `calls` calls.
fn a_call(world: &mut World, calls: u32) -> Spent {
    SPENT.set(Spent::default());
    (0..calls).for_each(|_| world.call());
    let Spent { count, octets, kept } = SPENT.get();
    Spent { count: count / u64::from(calls), octets: octets / u64::from(calls), kept: kept / i64::from(calls) }
}

#[test]
fn a_relayed_call_keeps_to_its_allocations() {
    let mut world = World::new(counted);
    // A call leaves nothing behind after 64·T1, 3200 calls later: so long memory grows, and then no more.
    let growing = a_call(&mut world, 3000);
    a_call(&mut world, 2000);
    let steady = a_call(&mut world, 2000);
    assert!(steady.count <= 122, "{} allocations a call", steady.count);
    assert!(steady.octets <= 24_500, "{} octets a call", steady.octets);
    assert!(steady.kept <= 100, "{} octets of each call are never given back", steady.kept);
    assert!(growing.kept <= 3_300, "{} octets of each call stay for 64·T1", growing.kept);
}
