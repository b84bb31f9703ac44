//! Which transactions use which flow, so that a lost flow concerns only its own.
//!
//! A flow is remembered for as long as a transaction uses it, and so is that it was lost.

use crate::flow::FlowId;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

#[derive(Debug, Default)]
struct Use {
    users: usize,
    lost: bool,
    /// Client transactions without any response, in no order; each knows its place.
    waiting: Vec<u64>,
}

/// The flows in use.
#[derive(Debug)]
pub(super) struct Flows {
    flows: HashMap<FlowId, Use, FixedState>,
}

impl Flows {
    pub(super) fn new() -> Self {
        // Flows are numbered by us: no seed needed.
        Self { flows: HashMap::with_hasher(FixedState::default()) }
    }

    /// One more transaction uses `flow`.
    pub(super) fn hold(&mut self, flow: FlowId) {
        self.flows.entry(flow).or_default().users += 1;
    }

    /// A transaction that used `flow` is gone, or uses another.
    pub(super) fn release(&mut self, flow: FlowId) {
        if let Some(found) = self.flows.get_mut(&flow) {
            found.users = found.users.saturating_sub(1);
            if found.users == 0 {
                self.flows.remove(&flow);
            }
        }
    }

    /// A client transaction that holds `flow` begins to wait for its first response on it. Returns its
    /// place among those that wait.
    pub(super) fn wait(&mut self, flow: FlowId, client: u64) -> usize {
        let waiting = &mut self.flows.entry(flow).or_default().waiting;
        waiting.push(client);
        waiting.len() - 1
    }

    /// The client transaction at `place` waits no longer. Returns the one that is at that place now.
    pub(super) fn stop_waiting(&mut self, flow: FlowId, place: usize) -> Option<u64> {
        let waiting = &mut self.flows.get_mut(&flow)?.waiting;
        if place < waiting.len() {
            waiting.swap_remove(place);
        }
        waiting.get(place).copied()
    }

    /// The flow is lost. Returns the client transactions that waited on it.
    pub(super) fn lose(&mut self, flow: FlowId) -> Vec<u64> {
        let Some(found) = self.flows.get_mut(&flow) else { return Vec::new() };
        found.lost = true;
        found.waiting.clone()
    }

    pub(super) fn is_lost(&self, flow: FlowId) -> bool {
        self.flows.get(&flow).is_some_and(|found| found.lost)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }
}
