//! Every default of the file in one place, each with its reason.
//!
//! What a platform brings along (hosts, ranges, methods, timers) stands in
//! [`platforms`](crate::trunk::platforms); here is what the operator may leave out besides.

use std::ops::RangeInclusive;
use std::time::Duration;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Any address, the port that both platforms dial for TLS (TDR-23, GEN-10).
pub(super) const LISTEN: &str = "tls:0.0.0.0:5061";

/// As a call centre's longest: whoever talks longer has forgotten to hang up.
pub(super) const MAX_CALL: Duration = seconds(12 * 3600);

/// Finds a dead leg without session timer before an hour is billed, and costs nothing.
pub(super) const PROBE_INTERVAL: Duration = seconds(15 * 60);

/// Shorter than callers notice; a relay on the same network answers in milliseconds.
pub(super) const ASK_TIMEOUT: Duration = seconds(2);

/// About 20 KiB each: 200 MiB a worker at most.
pub(super) const MAX_CALLS: u64 = 10_000;

/// The RFC's estimate of a round trip (RFC 3261 §17.1.1.1).
pub(super) const T1: Duration = Duration::from_millis(500);

/// Below it, retransmissions outrun any network; above, Timer B passes the hub's patience.
pub(super) const T1_BOUNDS: RangeInclusive<Duration> = Duration::from_millis(10)..=seconds(2);

/// As long as most calls of a call centre last.
pub(super) const DRAIN_TIMEOUT: Duration = seconds(30 * 60);

/// Connections made with an old certificate live on while calls use them, within a working day (TDR-14).
pub(super) const RECYCLE_TIMEOUT: Duration = seconds(3600);

/// Beside the configuration, where the owner of the process may write.
pub(super) const ADMIN_SOCKET: &str = "var/tandem.sock";

/// What is worth an operator's reading.
pub(super) const LOG_FILTER: &str = "info";

/// In the middle of 2 to 3 s: three hosts are tried before the caller's side gives up (TDR-125).
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(2500);

/// A handshake is two or three round trips and a signature; slower is a stranger holding a place.
pub(super) const HANDSHAKE_TIMEOUT: Duration = seconds(5);

/// A second of handshakes on one core.
pub(super) const MAX_HANDSHAKES: u64 = 500;

/// A trunk is a few connections a host; this leaves room for many, and bounds memory.
pub(super) const MAX_CONNECTIONS: u64 = 4000;

/// CS3, as Genesys marks SIP (GEN-53).
pub(super) const DSCP: u8 = 24;

/// About 700 messages: a peer that lets so much wait is not reading.
pub(super) const WRITE_QUEUE: u64 = 1 << 20;

/// 64·T1: the sender's transaction is over by then (RFC 3261 §17), nobody waits for the rest. The longest
/// message of 256 KiB passes in it at 64 kbit/s.
pub(super) const MESSAGE_TIMEOUT: Duration = seconds(32);

/// As RFC 5626 §4.4.1 has it for connections; shorter than any NAT forgets.
pub(super) const KEEPALIVE: Duration = seconds(95);

/// As RFC 5626 §4.4.1 has it. It holds for peers that have answered before: neither platform promises that it
/// does (GEN-37), and one that does not is watched by OPTIONS and by TCP.
pub(super) const PONG_TIMEOUT: Duration = seconds(10);

/// Longer than several intervals of OPTIONS (TDR-32), so only the forgotten ones close.
pub(super) const IDLE_TIMEOUT: Duration = seconds(15 * 60);

/// How near an expiry is announced; Teams' own dashboard begins then (TDR-15).
pub(super) const EXPIRY_NOTICE: Duration = seconds(30 * 86_400);

/// The fewest bits of an RSA key that public authorities sign (TDR-4).
pub(super) const RSA_BITS: usize = 2048;

/// Genesys gives a call up after this long (GEN-82); we have to be the first.
pub(super) const RING_LIMIT: Duration = seconds(120);

/// What Teams counts as a living SBC: not oftener, not rarer (TDR-32).
pub(super) const TEAMS_OPTIONS: RangeInclusive<Duration> = seconds(60)..=seconds(180);

/// The longest name Teams takes for an SBC (TDR-25).
pub(super) const TEAMS_FQDN: usize = 63;

/// The longest path of a local socket: `sun_path` less its end.
pub(super) const SOCKET_PATH: usize = 107;
