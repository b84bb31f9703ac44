//! What the shell does about calls that move between workers, and requests that ask for their call.

use super::super::script::MS;
use super::{Happening, World};
use bytes::Bytes;
use bytestring::ByteString;
use std::collections::HashMap;
use tandem::edge::Edge;
use tandem::io::{Answer, Input};
use tandem::sip::{Message, Name, tag};
use uuid::Uuid;

/// Calls that live elsewhere than their tags say.
#[derive(Default)]
pub(super) struct Moved {
    /// Who had the call, in order; the last has it.
    homes: HashMap<ByteString, Vec<usize>>,
}

impl Moved {
    /// Where an in-dialog request goes whose call has moved: a repetition to who took the first.
    pub(super) fn worker_of(&self, edges: &[Edge], message: &Message) -> Option<usize> {
        let to = message.header(Name::To).filter(|_| message.is_request())?;
        let homes = self.homes.get(tag(to)?)?;
        homes.iter().copied().find(|&home| edges[home].owns(message)).or(homes.last().copied())
    }
}

/// Our tags in a saved call.
fn tags(octets: &Bytes) -> Vec<ByteString> {
    let saved: serde_json::Value = serde_json::from_slice(octets).unwrap();
    let legs = saved["legs"].as_array().unwrap();
    legs.iter().map(|leg| ByteString::from(leg["dialog"]["local_tag"].as_str().unwrap())).collect()
}

impl World {
    /// Some worker asks for some call of another, again and again.
    pub(super) fn ask_around(&mut self, left: u32) {
        let mut calls: Vec<(usize, ByteString)> = Vec::new();
        for (worker, saves) in self.saves.iter().enumerate() {
            calls.extend(saves.values().flat_map(tags).map(|tag| (worker, tag)));
        }
        calls.sort();
        if !calls.is_empty() {
            let (worker, tag) = calls.swap_remove(self.relay.below(calls.len() as u64) as usize);
            let by = (worker + 1) % self.edges.len();
            self.input(worker, Input::Wanted { tag, by: by as u16 });
        }
        if left > 0 {
            self.later(self.options.moves, Happening::Move { left: left - 1 });
        }
    }

    /// A call leaves `from`; it is under way for a moment.
    pub(super) fn surrender(&mut self, from: usize, call: Uuid, to: usize, tags: [ByteString; 2]) {
        let octets = self.saves[from].remove(&call).expect("what leaves was saved");
        self.ladder.push((self.now, "-- a call moves", Bytes::new()));
        self.checks.moves(call, to, &octets);
        self.saves[to].insert(call, octets);
        for tag in &tags {
            let homes = self.moved.homes.entry(tag.clone()).or_default();
            homes.retain(|home| *home != from && *home != to);
            homes.extend([from, to]);
        }
        let after = self.relay.between(0, 200) * MS;
        self.later(after, Happening::Arrive { worker: to, call });
    }

    /// A call reaches its new worker, unless it has been there and ended.
    pub(super) fn arrive(&mut self, worker: usize, call: Uuid) {
        if let Some(octets) = self.saves[worker].get(&call).cloned() {
            self.input(worker, Input::Restored { call, octets });
        }
    }

    /// What the shell answers to a worker that asks for the call of `tag`; `None`: it comes by itself.
    pub(super) fn find(&mut self, worker: usize, tag: ByteString) -> Option<Answer> {
        let moved = self.moved.homes.get(&tag).and_then(|homes| homes.last().copied());
        if moved == Some(worker) && !self.checks.crashed {
            return None;
        }
        let owner = moved.or(self.edges[worker].worker_of(&tag).map(usize::from)).unwrap_or(worker);
        if owner != worker {
            self.later(MS, Happening::Wanted { worker: owner, tag, by: worker });
            return None;
        }
        let saved = self.saves[worker].iter().find(|(_, octets)| tags(octets).contains(&tag));
        Some(saved.map_or(Answer::Absent, |(&call, octets)| Answer::Call { call, octets: octets.clone() }))
    }
}
