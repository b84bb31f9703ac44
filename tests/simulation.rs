//! Thousands of calls on a virtual clock, under weather drawn from a seed: delay, loss, repetition,
//! broken connections, workers that fail, a media relay that dawdles. What must never happen (design §4)
//! is looked for in every message; a fault prints its seed, the simplest weather that still shows it,
//! and the ladder.
//!
//! `TANDEM_SEEDS=0..100000 cargo test --test simulation` runs more of them; `TANDEM_SEEDS=7..8` one.

#![allow(clippy::unwrap_used, reason = "a test of its own: a panic is a failure")]

mod simulation {
    pub mod checks;
    pub mod leg;
    pub mod platform;
    pub mod rng;
    pub mod script;
    pub mod world;
}

use simulation::script::Options;
use simulation::world::{Fault, World};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// The seeds that are always run.
const SEEDS: Range<u64> = 0..1_200;

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("TANDEM_SEEDS") else { return SEEDS };
    let (from, to) = text.split_once("..").expect("TANDEM_SEEDS is n..m");
    from.trim().parse().expect("a number")..to.trim().parse().expect("a number")
}

fn run(seed: u64, options: Options) -> Result<usize, Box<Fault>> {
    let world = World::new(seed, options);
    catch_unwind(AssertUnwindSafe(|| world.run())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Box::new(Fault { texts: vec![format!("panic: {}", text.unwrap_or_default())], ladder: String::new() }))
    })
}

/// A fault's kind: its text without the numbers in it.
fn kind(fault: &Fault) -> String {
    let text = fault.texts.first().map_or("", String::as_str);
    text.split(' ').filter(|word| !word.contains(|letter: char| letter.is_ascii_digit())).collect::<Vec<_>>().join(" ")
}

/// The simplest weather in which the seed still shows the same kind of fault.
fn shrink(seed: u64, mut options: Options, mut fault: Box<Fault>) -> (Options, Box<Fault>) {
    let wanted = kind(&fault);
    'again: loop {
        for simpler in options.simpler() {
            if let Err(found) = run(seed, simpler.clone())
                && kind(&found) == wanted
            {
                (options, fault) = (simpler, found);
                continue 'again;
            }
        }
        return (options, fault);
    }
}

#[test]
fn no_weather_brings_about_what_must_never_happen() {
    let seeds = seeds();
    let next = AtomicU64::new(seeds.start);
    let (steps, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    match run(seed, Options::draw(seed)) {
                        Ok(taken) => {
                            steps.fetch_add(taken as u64, Ordering::Relaxed);
                        }
                        Err(fault) => failed.lock().unwrap().push((seed, fault)),
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort_by_key(|(seed, _)| *seed);
    println!("{} worlds, {} events", seeds.end - seeds.start, steps.load(Ordering::Relaxed));
    if failed.is_empty() {
        return;
    }
    let mut kinds = std::collections::BTreeMap::<String, Vec<u64>>::new();
    for (seed, fault) in &failed {
        kinds.entry(kind(fault)).or_default().push(*seed);
    }
    for (kind, seeds) in &kinds {
        println!("{:5} x {kind}: seeds {:?}", seeds.len(), &seeds[..seeds.len().min(12)]);
    }
    let count = failed.len();
    let mut shown = std::collections::BTreeSet::new();
    for (seed, fault) in failed {
        // One of each kind.
        if shown.insert(kind(&fault)) {
            let (options, fault) = shrink(seed, Options::draw(seed), fault);
            println!("\nSEED {seed}: {}\n{options:?}\n{}", fault.texts.join("\n"), fault.ladder);
        }
    }
    panic!("{count} faulty worlds");
}
