//! Which trunks are still in use here: a trunk that was removed keeps its place for as long.

use super::Edge;
use crate::flow::TrunkId;
use std::collections::BTreeSet;

impl Edge {
    /// The trunks of all calls, those that are in their last transactions included, and of what can still be
    /// asked for again after a call.
    pub fn trunks(&self) -> BTreeSet<TrunkId> {
        let calls = self.calls.values().flat_map(|call| call.trunks());
        calls.chain(self.forks.values().flat_map(|forks| forks.trunks())).collect()
    }

    /// The revision of the snapshot that is in force here.
    pub fn revision(&self) -> u64 {
        self.cx.snapshot.revision
    }
}
