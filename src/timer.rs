//! Which of many timers is due next.
//!
//! A [`Timers`] holds at most one moment per key. It knows no clock: its owner asks when to come back
//! ([`poll`](Timers::poll)), comes back with the time, and takes the keys that are due one by one
//! ([`expired`](Timers::expired)), in the order of their moments and, at the same moment, in the order
//! in which they were first set to it: a simulation repeats itself.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::hash::Hash;
use std::time::Instant;

/// How many dead entries the heap may hold beyond as many as there are live ones. They cost memory only;
/// sweeping earlier would cost more than it frees.
const GARBAGE: usize = 64;

/// Timers by key.
#[derive(Clone, Debug)]
pub struct Timers<K> {
    /// What is set. An entry of the heap that is not in here was replaced or cancelled.
    live: HashMap<K, (Instant, u64), FixedState>,
    /// Earliest first; the first entry is never a dead one.
    heap: BinaryHeap<Entry<K>>,
    /// Counts what was ever set: tells entries of the same key apart.
    count: u64,
}

impl<K: Copy + Eq + Hash> Default for Timers<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Copy + Eq + Hash> Timers<K> {
    /// No timer.
    pub fn new() -> Self {
        // The keys are our own numbers, never a peer's text: no seed needed against chosen collisions.
        Self { live: HashMap::with_hasher(FixedState::default()), heap: BinaryHeap::new(), count: 0 }
    }

    /// Sets the timer of `key` to `at`, in place of what it was set to.
    pub fn set(&mut self, key: K, at: Instant) {
        if self.live.get(&key).is_some_and(|&(set, _)| set == at) {
            return;
        }
        self.count += 1;
        self.live.insert(key, (at, self.count));
        self.heap.push(Entry { at, count: self.count, key });
        self.tidy();
    }

    /// Stops the timer of `key`, if it is set.
    pub fn cancel(&mut self, key: &K) {
        if self.live.remove(key).is_some() {
            self.tidy();
        }
    }

    /// Whether `key` is set.
    pub fn is_set(&self, key: &K) -> bool {
        self.live.contains_key(key)
    }

    /// The moment of the earliest timer; `None` when none is set.
    pub fn poll(&self) -> Option<Instant> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// Takes the earliest timer off if its moment is not after `now`. Call it until it says `None`.
    pub fn expired(&mut self, now: Instant) -> Option<K> {
        if self.poll()? > now {
            return None;
        }
        let entry = self.heap.pop()?;
        self.live.remove(&entry.key);
        self.tidy();
        Some(entry.key)
    }

    /// How many timers are set.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether no timer is set.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Drops dead entries at the front, and all of them once they outnumber the live ones.
    fn tidy(&mut self) {
        let live = &self.live;
        let alive = |entry: &Entry<K>| live.get(&entry.key).is_some_and(|&(_, count)| count == entry.count);
        if self.heap.len() > 2 * live.len() + GARBAGE {
            self.heap.retain(alive);
        }
        while self.heap.peek().is_some_and(|entry| !alive(entry)) {
            self.heap.pop();
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry<K> {
    at: Instant,
    count: u64,
    key: K,
}

impl<K> PartialEq for Entry<K> {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count
    }
}

impl<K> Eq for Entry<K> {}

impl<K> PartialOrd for Entry<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Entry<K> {
    /// The greatest is the earliest: [`BinaryHeap`] gives out its greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.count).cmp(&(self.at, self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn timers_expire_in_the_order_of_their_moments() {
        let start = Instant::now();
        let mut timers = Timers::new();
        for (key, after) in [('c', 3), ('a', 1), ('b', 2), ('B', 2)] {
            timers.set(key, start + second(after));
        }
        assert_eq!(timers.poll(), Some(start + second(1)));
        assert_eq!(timers.expired(start), None);
        let late = start + second(2);
        assert_eq!(std::iter::from_fn(|| timers.expired(late)).collect::<String>(), "abB");
        assert_eq!(timers.expired(start + second(3)), Some('c'));
        assert!(timers.is_empty() && timers.poll().is_none());
    }

    #[test]
    fn setting_again_replaces_and_cancelling_forgets() {
        let start = Instant::now();
        let mut timers = Timers::new();
        timers.set(1, start + second(1));
        timers.set(2, start + second(2));
        timers.set(1, start + second(9));
        assert_eq!(timers.poll(), Some(start + second(2)));
        timers.cancel(&2);
        timers.cancel(&7);
        assert_eq!(timers.poll(), Some(start + second(9)));
        assert_eq!(timers.expired(start + second(8)), None);
        assert_eq!(timers.expired(start + second(9)), Some(1));
        assert_eq!(timers.len(), 0);
    }

    #[test]
    fn dead_entries_stay_few_however_often_a_timer_is_set() {
        let start = Instant::now();
        let mut timers = Timers::new();
        timers.set(0, start);
        for n in 0..10_000 {
            timers.set(1, start + Duration::from_millis(n));
            assert!(timers.heap.len() <= 2 * timers.len() + GARBAGE);
        }
        timers.cancel(&1);
        assert_eq!((timers.len(), timers.poll()), (1, Some(start)));
    }
}
