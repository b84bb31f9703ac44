//! The one thing workers share while they decide: how many calls a trunk holds over all of them, how fast new ones
//! come, and how often conversations of Genesys are here. Atomic counters without a lock; the conversations have one, which
//! is held for one look into a table, by calls that name theirs.

use crate::call::{Admission, Admit, Entries};
use crate::flow::{Now, TrunkId};
use crate::settings::MAX_TRUNKS;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

#[derive(Debug, Default)]
struct Counter {
    /// Calls over all workers.
    calls: AtomicU32,
    /// When the next call would be on time at the allowed rate, in nanoseconds since `base`.
    due: AtomicU64,
}

/// What all workers of the process count together.
#[derive(Debug)]
pub struct Tally {
    base: Instant,
    counters: Vec<Counter>,
    /// Conversations, over all workers.
    entries: Mutex<Entries>,
}

impl Tally {
    /// Nothing admitted yet. `base` is any moment before the first call.
    pub fn new(base: Instant) -> Arc<Self> {
        let counters = (0..MAX_TRUNKS).map(|_| Counter::default()).collect();
        Arc::new(Self { base, counters, entries: Mutex::default() })
    }

    /// Calls that a trunk holds over all workers.
    pub fn calls(&self, trunk: TrunkId) -> u32 {
        self.counters.get(usize::from(trunk.0)).map_or(0, |counter| counter.calls.load(Ordering::Relaxed))
    }
}

/// One worker's handle: remembers what it holds, and gives it back when the worker is lost.
#[derive(Debug)]
pub struct Share {
    tally: Arc<Tally>,
    held: Vec<AtomicU32>,
    /// Conversations of this worker alone.
    entries: Mutex<Entries>,
}

impl Share {
    /// A share that holds nothing.
    pub fn new(tally: Arc<Tally>) -> Self {
        Self { tally, held: (0..MAX_TRUNKS).map(|_| AtomicU32::new(0)).collect(), entries: Mutex::default() }
    }
}

/// A count is whole between any two steps, so a thread that panicked has spoilt none.
fn lock(entries: &Mutex<Entries>) -> MutexGuard<'_, Entries> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Admission for Share {
    fn admit(&self, trunk: TrunkId, now: Now, max_calls: Option<u32>, max_rate: Option<u32>) -> Admit {
        let at = usize::from(trunk.0);
        let (Some(counter), Some(held)) = (self.tally.counters.get(at), self.held.get(at)) else {
            return Admit::TooMany;
        };
        let room = |calls: u32| (calls < max_calls.unwrap_or(u32::MAX)).then_some(calls + 1);
        if counter.calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            return Admit::TooMany;
        }
        if let Some(rate) = max_rate
            && !on_time(&counter.due, self.tally.base, now.monotonic, rate)
        {
            counter.calls.fetch_sub(1, Ordering::Relaxed);
            return Admit::TooFast;
        }
        held.fetch_add(1, Ordering::Relaxed);
        Admit::Yes
    }

    fn release(&self, trunk: TrunkId) {
        let at = usize::from(trunk.0);
        let (Some(counter), Some(held)) = (self.tally.counters.get(at), self.held.get(at)) else { return };
        // What this share does not hold, it cannot give back.
        let less = |count: u32| count.checked_sub(1);
        if held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
            counter.calls.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn enter(&self, entry: u64) {
        lock(&self.entries).enter(entry);
        lock(&self.tally.entries).enter(entry);
    }

    fn exit(&self, entry: u64) {
        if lock(&self.entries).exit(entry) {
            lock(&self.tally.entries).exit(entry);
        }
    }

    fn entered(&self, entry: u64) -> u32 {
        lock(&self.tally.entries).count(entry)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        for entry in lock(&self.entries).drain() {
            lock(&self.tally.entries).exit(entry);
        }
        for (counter, held) in self.tally.counters.iter().zip(&self.held) {
            counter.calls.fetch_sub(held.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

/// Whether one more call keeps the rate (a second), with bursts of one second's worth: the virtual
/// scheduling of ITU-T I.371, which needs a single number per trunk.
fn on_time(due: &AtomicU64, base: Instant, now: Instant, rate: u32) -> bool {
    if rate == 0 {
        return false;
    }
    let second = 1_000_000_000;
    let step = second / u64::from(rate);
    let now = u64::try_from(now.saturating_duration_since(base).as_nanos()).unwrap_or(u64::MAX / 2);
    let next = |due: u64| {
        let due = due.max(now);
        (due + step <= now + second).then_some(due + step)
    };
    due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(base: Instant, ms: u64) -> Now {
        Now { monotonic: base + Duration::from_millis(ms), unix_ms: ms }
    }

    #[test]
    fn the_limit_holds_over_all_workers() {
        let base = Instant::now();
        let tally = Tally::new(base);
        let (one, two) = (Share::new(tally.clone()), Share::new(tally.clone()));
        let trunk = TrunkId(3);
        assert!(matches!(one.admit(trunk, at(base, 0), Some(2), None), Admit::Yes));
        assert!(matches!(two.admit(trunk, at(base, 0), Some(2), None), Admit::Yes));
        assert!(matches!(one.admit(trunk, at(base, 0), Some(2), None), Admit::TooMany));
        two.release(trunk);
        two.release(trunk);
        assert_eq!(tally.calls(trunk), 1, "a release without a call gives nothing back");
        assert!(matches!(one.admit(trunk, at(base, 0), Some(2), None), Admit::Yes));
    }

    #[test]
    fn a_second_takes_as_many_calls_as_the_rate_says() {
        let base = Instant::now();
        let share = Share::new(Tally::new(base));
        let admitted = |ms| matches!(share.admit(TrunkId(0), at(base, ms), None, Some(10)), Admit::Yes);
        assert_eq!((0..20).filter(|_| admitted(0)).count(), 10);
        assert!(!admitted(99) && admitted(100) && !admitted(150));
        assert_eq!((0..20).filter(|_| admitted(60_000)).count(), 10);
    }

    #[test]
    fn threads_at_once_get_exactly_as_many_calls_as_the_limits_say_gen_83() {
        let base = Instant::now();
        let tally = Tally::new(base);
        let admitted = |trunk: TrunkId, calls: Option<u32>, rate: Option<u32>| {
            let shares: Vec<Share> = (0..4).map(|_| Share::new(tally.clone())).collect();
            let (start, at) = (std::sync::Barrier::new(shares.len()), at(base, 0));
            let begun = std::thread::scope(|scope| {
                let (start, at) = (&start, &at);
                let count = |share: &Share| {
                    start.wait();
                    (0..2000).filter(|_| share.admit(trunk, *at, calls, rate) == Admit::Yes).count()
                };
                let threads: Vec<_> = shares.iter().map(|share| scope.spawn(move || count(share))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
            });
            assert_eq!(tally.calls(trunk) as usize, begun);
            begun
        };
        assert_eq!(admitted(TrunkId(1), Some(777), None), 777);
        assert_eq!(admitted(TrunkId(2), None, Some(500)), 500, "a second's worth, in one moment");
        assert_eq!(admitted(TrunkId(3), Some(300), Some(500)), 300);
        assert_eq!(tally.calls(TrunkId(1)), 0, "what threads held is given back with them");
    }

    #[test]
    fn a_conversation_is_counted_over_all_workers_until_its_calls_end_gen_79() {
        let tally = Tally::new(Instant::now());
        let (one, two) = (Share::new(tally.clone()), Share::new(tally.clone()));
        one.enter(7);
        two.enter(7);
        two.enter(7);
        assert_eq!((one.entered(7), one.entered(8)), (3, 0));
        one.exit(7);
        one.exit(7);
        assert_eq!(two.entered(7), 2, "one worker does not end the calls of another");
        drop(two);
        assert_eq!(one.entered(7), 0, "a lost worker takes its calls along");
    }

    #[test]
    fn a_lost_worker_gives_back_what_it_held() {
        let base = Instant::now();
        let tally = Tally::new(base);
        let share = Share::new(tally.clone());
        for _ in 0..5 {
            share.admit(TrunkId(0), at(base, 0), None, None);
        }
        assert_eq!(tally.calls(TrunkId(0)), 5);
        drop(share);
        assert_eq!(tally.calls(TrunkId(0)), 0);
    }
}
