//! What the core knows of the world outside its calls, immutable and shared by reference.
//!
//! The control plane makes a new [`Snapshot`] whenever configuration, directory, addresses or health
//! change, and hands it to every worker as an ordinary input.

use crate::authentication::NonceKey;
use crate::directory::Directory;
use crate::flow::{Transport, TrunkId};
use crate::number::Number;
use crate::rules::Rules;
use crate::trunk::{Host, Trunk};
use bytestring::ByteString;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

mod route;

pub use route::{CallerMatch, DAY, HeaderMatch, HeaderTest, NumberMatch, Route, Schedule, Zone};

/// Everything the core reads and does not own.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Counts snapshots.
    pub revision: u64,
    /// Settings of the element itself.
    pub edge: EdgeSettings,
    /// The trunks; [`TrunkId`] is the index.
    pub trunks: Vec<Arc<Trunk>>,
    /// First match wins.
    pub routes: Vec<Route>,
    /// The operator's rules.
    pub rules: Arc<Rules>,
    /// Which number belongs to whom.
    pub directory: Arc<Directory>,
    /// Where the names of hosts lead, best address first; the keys are [`address_key`]s.
    pub addresses: HashMap<String, SmallVec<[SocketAddr; 4]>>,
    /// Hosts of trunks that are down. By name and port, not by place: a reload may put another host there.
    pub down: Vec<(TrunkId, Host)>,
    /// What the nonces of our challenges are made with (RFC 7616 §3.3).
    pub nonce_key: NonceKey,
    /// Which worker owns each virtual slot of the identifiers we mint.
    pub slots: Arc<[u16; 256]>,
}

/// Settings of the element itself.
#[derive(Clone, Debug)]
pub struct EdgeSettings {
    /// Product and version in User-Agent and Server.
    pub product: Arc<str>,
    /// The longest a call may last.
    pub max_call: Duration,
    /// How often a leg without session timer is probed by OPTIONS.
    pub probe_interval: Duration,
    /// How long the core waits for an answer to what it asks.
    pub ask_timeout: Duration,
    /// Country calling code of numbers without `+`, digits only; empty when not configured.
    pub country_code: Arc<str>,
    /// The emergency numbers, digits only; empty: none is treated as one (GEN-60, TDR-155).
    pub emergency: Arc<[ByteString]>,
    /// The most calls this worker may hold; above it new INVITEs get 503.
    pub max_calls: usize,
    /// The most client and the most server transactions this worker may hold
    /// ([`MAX_TRANSACTIONS`](crate::transaction::MAX_TRANSACTIONS)); above it new INVITEs get 503.
    pub max_transactions: usize,
    /// Base of the timers of RFC 3261 §17; 500 ms.
    pub t1: Duration,
    /// Whether to emit [`EventKind::Message`](crate::event::EventKind::Message).
    pub observe: bool,
    /// Whether descriptions are asked for outside (`false`: the direct answer is given in the core).
    pub ask_media: bool,
    /// Whether a call is asked for whose dialog is ours and not here (`false`: 481 at once).
    pub ask_load: bool,
}

impl Snapshot {
    /// The trunk with this id.
    pub fn trunk(&self, id: TrunkId) -> Option<&Arc<Trunk>> {
        self.trunks.get(usize::from(id.0))
    }

    /// Whether `number` is an emergency number, with or without `+` (TDR-133).
    pub fn is_emergency(&self, number: &Number) -> bool {
        let digits = number.digits.strip_prefix('+').unwrap_or(&number.digits);
        self.edge.emergency.iter().any(|own| **own == *digits)
    }

    /// The trunk of this name.
    pub fn trunk_named(&self, name: &str) -> Option<&Arc<Trunk>> {
        self.trunks.iter().find(|trunk| &*trunk.name == name)
    }

    /// Whether a host of a trunk is down. A customer's trunk asks nobody: it is as well as its carrier's (TDR-40).
    pub fn is_down(&self, trunk: &Trunk, host: &Host) -> bool {
        let asked = self.asked(trunk);
        self.down.iter().any(|(id, down)| *id == asked && down == host)
    }

    /// Whose OPTIONS tell of the hosts of a trunk: its own, or its carrier's where it sends none (TDR-40).
    pub fn asked(&self, trunk: &Trunk) -> TrunkId {
        match trunk.options_interval {
            Some(_) => trunk.id,
            None => self.trunks.iter().find(|other| other.carries(trunk)).map_or(trunk.id, |carrier| carrier.id),
        }
    }
}

/// The key of [`Snapshot::addresses`]: what RFC 3263 depends on. `port` is the one written, if any.
pub fn address_key(transport: Transport, host: &str, port: Option<u16>) -> String {
    let mut key = [transport.uri_value(), ":", host, ":", itoa::Buffer::new().format(port.unwrap_or(0))].concat();
    key.make_ascii_lowercase();
    key
}
