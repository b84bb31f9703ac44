//! Sockets: listeners, connections, TLS identities, names to addresses (RFC 3261 §18, RFC 3263, RFC 5923).
//!
//! One [`Endpoint`] a worker owns that worker's connections. What arrives comes out as [`Arrival`]s on a
//! bounded channel; what leaves goes in by [`Endpoint::send`], which never waits. Listening is apart:
//! [`accept_loop`] runs on the control runtime, drops strangers before TLS or parsing costs anything,
//! and deals each connection to a worker as a plain socket.
//!
//! ```text
//! accept_loop ─ Accepted ─▶ Endpoint ─ Arrival ─▶ worker
//!                            │  ▲ send(token, destination, octets)
//!                            ▼  │
//!              connection: TLS → Framer → Message   (one task each)
//! ```
//!
//! Who may connect and where we may dial is decided by [`Trunk`](crate::trunk::Trunk); which TLS policy
//! and identity apply by [`TlsTable`]; which addresses a name has by [`Resolver`]. All of it is read from
//! one [`TransportState`], replaced whole at a reload.

mod certificates;
mod connection;
mod counters;
mod datagram;
mod dial;
mod endpoint;
mod fault;
mod inbound;
mod listen;
mod places;
mod probe;
mod program;
mod queue;
mod records;
mod resolver;
mod tls;
mod verify;

#[cfg(test)]
mod tests;

pub use certificates::{
    CertificateError, CertificateFacts, IdentityFacts, KeyKind, chain_fault, names_of, read_identity,
};
pub use connection::unframed;
pub use counters::{Counter, Counters};
pub use endpoint::{Endpoint, Gauges, SendError};
pub use inbound::Inbound;
pub use listen::{Accepted, Bound, accept_loop, bind, callers};
pub use probe::{Agreed, ProbeFailure, ProbeTarget, ProbeTls, Probed, TrustRule, probe};
pub use program::{PROGRAM_DATE, Root, system_roots};
pub use resolver::{Addresses, ResolveError, Resolver};
pub use tls::{TlsFault, TlsTable, TrunkTls, missing_microsoft_roots, names_fit};

use crate::flow::{FlowId, Peer};
use crate::io::Token;
use crate::settings::ConnectionSettings;
use crate::sip::{Malformed, Message};
use crate::snapshot::Snapshot;
use crate::trunk::diagnosis::Symptom;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;

/// Everything the sockets read and do not own; replaced whole when something changes.
#[derive(Clone, Debug)]
pub struct TransportState {
    /// Trunks and addresses, the same as the core has.
    pub snapshot: Arc<Snapshot>,
    /// TLS policy and identity of each trunk.
    pub tls: Arc<TlsTable>,
    /// Bounds of connections.
    pub connections: ConnectionSettings,
    /// How long connections made with an old identity may live on (TDR-14).
    pub recycle_timeout: Duration,
}

/// The state shared by acceptors, workers and control plane.
pub type SharedState = Arc<ArcSwap<TransportState>>;

/// What comes from the sockets to the worker.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all arrivals are messages")]
pub enum Arrival {
    /// A message.
    Message {
        /// The message, parsed.
        message: Message,
        /// The flow it came on.
        flow: FlowId,
        /// Who sent it.
        peer: Arc<Peer>,
    },
    /// Octets that are no message; where a request could be read, it is answered.
    Malformed {
        /// What could be read.
        request: Option<Box<Message>>,
        /// What is wrong with it.
        fault: Malformed,
        /// The flow it came on.
        flow: FlowId,
        /// Who sent it.
        peer: Arc<Peer>,
    },
    /// A flow is gone. Comes after the [`Arrival::SendFailed`] of what was waiting on it.
    FlowLost {
        /// The flow.
        flow: FlowId,
        /// Why, in words without personal data.
        reason: String,
        /// What that says about the host.
        symptom: Symptom,
    },
    /// A message was not sent: no octet of it left.
    SendFailed {
        /// From [`Endpoint::send`].
        token: Token,
        /// Why, in words without personal data.
        reason: String,
        /// What that says about the host.
        symptom: Symptom,
    },
}
