//! What the core knows of connections: names for them, never the things themselves.
//!
//! The shell owns sockets; the core sees a [`FlowId`] per connection (or per remote address of a UDP
//! socket), the [`Peer`] behind it, and names a [`Hop`] where a request has to go. Time reaches the
//! core as [`Now`].

use smallvec::SmallVec;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// The moment of an input, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For timers.
    pub monotonic: Instant,
    /// For records and saved calls: milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// A transport protocol of SIP.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams: transactions repeat their messages (RFC 3261 §17).
    Udp,
    /// Streams in the clear.
    Tcp,
    /// Streams under TLS.
    Tls,
}

impl Transport {
    /// Whether the transport delivers or reports that it did not.
    pub fn is_reliable(self) -> bool {
        self != Self::Udp
    }

    /// The token in a Via: `UDP`, `TCP`, `TLS`.
    pub fn via_token(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// The value of a `transport` URI parameter: `udp`, `tcp`, `tls`.
    pub fn uri_value(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// The port meant when none is written (RFC 3261 §19.1.2).
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }
}

/// Names a connection, or a remote address of a UDP socket. Never used again for another.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FlowId {
    /// The node that holds the socket.
    pub node: u16,
    /// The worker of that node that holds it.
    pub worker: u16,
    /// Counts the flows of that worker.
    pub n: u64,
}

/// Index of a trunk in [`Snapshot::trunks`](crate::snapshot::Snapshot::trunks). Stays with a trunk over reloads.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Serialize, serde::Deserialize)]
pub struct TrunkId(pub u16);

/// Index of a listener in the configuration, in the order of `listen`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Serialize, serde::Deserialize)]
pub struct ListenerId(pub u16);

/// Who is at the other end of a flow, as far as the shell could establish it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peer {
    /// The remote address and port.
    pub source: SocketAddr,
    /// The listener that took the connection; `None` for a connection that we opened.
    pub listener: Option<ListenerId>,
    /// How the flow carries messages.
    pub transport: Transport,
    /// The names of the certificate that the peer proved, lower case; empty without one.
    pub names: Vec<String>,
    /// The trunks this peer may be: those whose listener, sources, transport and TLS policy fit.
    pub trunks: SmallVec<[TrunkId; 4]>,
}

/// Where a request has to go. The shell connects to the addresses in order and tries the next one
/// only while no octet has left; every later attempt is the core's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hop {
    /// Whose TLS policy and identity apply.
    pub trunk: TrunkId,
    /// How to carry the message.
    pub transport: Transport,
    /// The name to verify and to send as SNI; an address literal where the peer has no name.
    pub host: Arc<str>,
    /// The port behind the addresses.
    pub port: u16,
    /// The addresses of `host`, best first, with the port of the record they come from. Empty where the
    /// snapshot does not know the name: the shell resolves it first, under the trunk's rules.
    pub addresses: SmallVec<[SocketAddr; 4]>,
}
