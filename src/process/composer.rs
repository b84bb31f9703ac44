//! What is in force: configuration, directory, addresses, health, TLS; and the snapshot made of them.
//!
//! Every change makes one new [`Snapshot`] for the cores and one new state for the sockets, from the
//! same moment. Changes are rare and short; they take a lock that no worker ever touches.

use crate::authentication::NonceKey;
use crate::directory::Directory;
use crate::flow::TrunkId;
use crate::journal::Journal;
use crate::settings::Settings;
use crate::snapshot::{EdgeSettings, Snapshot};
use crate::transport::{Addresses, SharedState, TlsTable, TransportState};
use crate::trunk::Host;
use crate::worker::slots;
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What a snapshot is made of.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// Which number belongs to whom.
    pub directory: Arc<Directory>,
    /// Where names lead.
    pub addresses: Addresses,
    /// How TLS is spoken with each trunk.
    pub tls: Arc<TlsTable>,
    /// Whether someone observes messages.
    pub observe: bool,
    /// Nonces of before a reload stay good.
    nonce_key: NonceKey,
    revision: u64,
}

/// Makes snapshots and hands them out.
#[derive(Debug)]
pub struct Composer {
    in_force: Mutex<InForce>,
    state: SharedState,
    snapshots: watch::Sender<Arc<Snapshot>>,
    journal: Arc<Journal>,
}

impl Composer {
    /// The first snapshot, of what was loaded at the start.
    pub fn new(
        settings: Arc<Settings>,
        directory: Arc<Directory>,
        tls: Arc<TlsTable>,
        journal: Arc<Journal>,
        nonce_key: NonceKey,
    ) -> Self {
        let addresses = Addresses::default();
        let in_force = InForce { settings, directory, addresses, tls, observe: false, nonce_key, revision: 1 };
        let snapshot = Arc::new(snapshot(&in_force, &journal));
        journal.name_trunks(&snapshot);
        Self {
            state: Arc::new(ArcSwap::from_pointee(state(&in_force, snapshot.clone()))),
            snapshots: watch::Sender::new(snapshot),
            in_force: Mutex::new(in_force),
            journal,
        }
    }

    /// Changes what is in force, and tells workers and sockets.
    pub fn change(&self, change: impl FnOnce(&mut InForce)) {
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut in_force);
        in_force.revision += 1;
        let snapshot = Arc::new(snapshot(&in_force, &self.journal));
        self.journal.name_trunks(&snapshot);
        self.state.store(Arc::new(state(&in_force, snapshot.clone())));
        self.snapshots.send_replace(snapshot);
    }

    /// What is in force now.
    pub fn in_force(&self) -> InForce {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// Snapshots as they are made.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.subscribe()
    }

    /// What the sockets read.
    pub fn state(&self) -> SharedState {
        self.state.clone()
    }
}

fn snapshot(in_force: &InForce, journal: &Journal) -> Snapshot {
    let trunks: Vec<_> = in_force.settings.trunks.iter().map(|trunk| trunk.trunk.clone()).collect();
    journal.forget_hosts(&trunks);
    compose(in_force, journal.health().down())
}

/// The snapshot of what is in force, with the hosts that health has found down.
fn compose(in_force: &InForce, down: Vec<(TrunkId, Host)>) -> Snapshot {
    let settings = &in_force.settings;
    Snapshot {
        revision: in_force.revision,
        edge: EdgeSettings { observe: in_force.observe, ..settings.edge.clone() },
        down,
        routes: settings.routes.clone(),
        rules: settings.rules.clone(),
        directory: in_force.directory.clone(),
        addresses: in_force.addresses.clone(),
        nonce_key: in_force.nonce_key.clone(),
        slots: slots(settings.workers),
        trunks: settings.trunks.iter().map(|trunk| trunk.trunk.clone()).collect(),
    }
}

/// The snapshot that a process with these settings would give its workers, without one: for a look at what it would
/// decide. Names lead where `addresses` says, `down` hosts are down, and messages are observed.
pub fn snapshot_of(
    settings: Arc<Settings>,
    directory: Arc<Directory>,
    addresses: Addresses,
    down: Vec<(TrunkId, Host)>,
) -> Snapshot {
    let tls = Arc::default();
    // Nothing leaves: no nonce of it is ever checked.
    let nonce_key = NonceKey::new([0; 32]);
    compose(&InForce { settings, directory, addresses, tls, observe: true, nonce_key, revision: 1 }, down)
}

fn state(in_force: &InForce, snapshot: Arc<Snapshot>) -> TransportState {
    TransportState {
        snapshot,
        tls: in_force.tls.clone(),
        connections: in_force.settings.connections.clone(),
        recycle_timeout: in_force.settings.recycle_timeout,
    }
}
