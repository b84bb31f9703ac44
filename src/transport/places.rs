//! How many connections each trunk's peers hold: one that takes them all would shut every other out.
//!
//! Of the connections and of the handshakes that a worker may have, the peers of one trunk get half: a
//! PBX that loops, or whoever has taken it over, does not cost the calls of the other trunks. A peer
//! that may be several trunks counts as the first of them.

use super::Accepted;
use crate::flow::{Transport, TrunkId};
use crate::settings::ConnectionSettings;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// What the peers of a trunk hold.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    connections: usize,
    handshakes: usize,
}

/// What the peers of all trunks hold in one worker.
#[derive(Debug, Default)]
pub(super) struct Places {
    connections: Cell<usize>,
    handshakes: Cell<usize>,
    held: RefCell<HashMap<TrunkId, Held>>,
}

impl Places {
    /// TLS handshakes under way.
    pub(super) fn handshakes(&self) -> usize {
        self.handshakes.get()
    }

    /// A place for a connection, beside `flows` that there are. `None`: there is none, or none for its trunk.
    pub(super) fn take(
        self: &Rc<Self>,
        accepted: &Accepted,
        flows: usize,
        bounds: &ConnectionSettings,
    ) -> Option<Place> {
        let trunk = *accepted.trunks.first()?;
        let handshake = accepted.transport == Transport::Tls;
        let mut all = self.held.borrow_mut();
        let held = all.get(&trunk).copied().unwrap_or_default();
        // Those just taken are no flows yet.
        let all_connections = self.connections.get().max(flows + self.handshakes());
        let room = all_connections < bounds.max_connections && held.connections < bounds.max_connections.div_ceil(2);
        let room_for_handshake =
            self.handshakes() < bounds.max_handshakes && held.handshakes < bounds.max_handshakes.div_ceil(2);
        if !room || handshake && !room_for_handshake {
            return None;
        }
        self.connections.set(self.connections.get() + 1);
        self.handshakes.set(self.handshakes() + usize::from(handshake));
        let handshakes = held.handshakes + usize::from(handshake);
        all.insert(trunk, Held { connections: held.connections + 1, handshakes });
        Some(Place { places: self.clone(), trunk, handshake })
    }
}

/// The place of one connection, until it is dropped.
pub(super) struct Place {
    places: Rc<Places>,
    trunk: TrunkId,
    handshake: bool,
}

impl Place {
    /// Its handshake is over.
    pub(super) fn secured(&mut self) {
        if std::mem::take(&mut self.handshake) {
            self.places.handshakes.set(self.places.handshakes().saturating_sub(1));
            if let Some(held) = self.places.held.borrow_mut().get_mut(&self.trunk) {
                held.handshakes = held.handshakes.saturating_sub(1);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.secured();
        self.places.connections.set(self.places.connections.get().saturating_sub(1));
        let mut all = self.places.held.borrow_mut();
        if let Some(held) = all.get_mut(&self.trunk) {
            held.connections = held.connections.saturating_sub(1);
            if held.connections == 0 {
                all.remove(&self.trunk);
            }
        }
    }
}
