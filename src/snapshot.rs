//! What the core knows of the world outside its calls, immutable and shared by reference.
//!
//! The control plane makes a new [`Snapshot`] whenever configuration, directory, addresses or health
//! change, and hands it to every worker as an ordinary input.

use crate::authentication::NonceKey;
use crate::directory::Directory;
use crate::flow::{Transport, TrunkId};
use crate::number::{Pattern, PatternError};
use crate::rules::Rules;
use crate::trunk::{Host, Trunk};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

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

    /// The trunk of this name.
    pub fn trunk_named(&self, name: &str) -> Option<&Arc<Trunk>> {
        self.trunks.iter().find(|trunk| &*trunk.name == name)
    }
}

/// The key of [`Snapshot::addresses`]: what RFC 3263 depends on. `port` is the one written, if any.
pub fn address_key(transport: Transport, host: &str, port: Option<u16>) -> String {
    let mut key = [transport.uri_value(), ":", host, ":", itoa::Buffer::new().format(port.unwrap_or(0))].concat();
    key.make_ascii_lowercase();
    key
}

/// One route of the configuration; the first that matches wins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// Whose calls it is for; `None`: everybody's.
    pub from: Option<TrunkId>,
    /// Which numbers it is for.
    pub number: NumberMatch,
    /// Where the calls go, first to last.
    pub to: Vec<TrunkId>,
}

/// Which numbers a route is for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum NumberMatch {
    /// Every number: `*`.
    Any,
    /// Numbers that the directory gives to an active user: `directory`.
    Directory,
    /// Numbers that a pattern means: `+4969123*`.
    Pattern(Pattern),
}

impl NumberMatch {
    /// Reads the `number` of a route.
    ///
    /// # Errors
    ///
    /// As [`Pattern::parse`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        match text.trim() {
            "*" => Ok(Self::Any),
            "directory" => Ok(Self::Directory),
            pattern => Pattern::parse(pattern).map(Self::Pattern),
        }
    }

    /// Whether nothing that `other` matches is left when this has had its turn.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (Self::Directory, Self::Directory) => true,
            (Self::Pattern(own), Self::Pattern(other)) => own.covers(other),
            (Self::Directory, Self::Any | Self::Pattern(_)) | (Self::Pattern(_), Self::Any | Self::Directory) => false,
        }
    }
}
