//! Listening: sockets bound before anything else starts, connections dealt to workers.
//!
//! A connection from an address that no trunk has there is closed at once: no octet of it is read, no
//! handshake computed (design: "Peer, then trunk").

use super::SharedState;
use super::counters::Counters;
use crate::flow::{ListenerId, Transport, TrunkId};
use crate::settings::ListenerSettings;
use crate::snapshot::Snapshot;
use smallvec::SmallVec;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Connections that may wait for accept; a platform reconnects everything at once after an outage.
const BACKLOG: i32 = 1024;
/// How long accept pauses when the system has no file or memory for a connection.
const PAUSE: Duration = Duration::from_millis(50);
/// When the system starts to ask whether a silent peer is still there, and how often.
const TCP_KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(10));
/// How long sent octets may stay unacknowledged before the connection counts as lost: below Timer B and
/// F (RFC 3261 §17), so that the loss is what ends a transaction.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// A listener's socket.
#[derive(Debug)]
pub struct Bound {
    /// Which listener it is.
    pub listener: ListenerId,
    /// What it speaks.
    pub transport: Transport,
    socket: Socket,
}

/// A connection that was accepted and waits for its worker. Crosses threads.
#[derive(Debug)]
pub struct Accepted {
    /// The connection, not blocking.
    pub stream: std::net::TcpStream,
    /// The listener that took it.
    pub listener: ListenerId,
    /// What that listener speaks.
    pub transport: Transport,
    /// The remote address and port.
    pub source: SocketAddr,
    /// The trunks that have this source there; never empty.
    pub trunks: SmallVec<[TrunkId; 4]>,
}

impl Bound {
    /// The address it listens on, with the port that the system chose where 0 was asked for.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not an IP socket"))
    }

    /// The datagram socket of a UDP listener, for [`Endpoint::attach_udp`](super::Endpoint::attach_udp).
    ///
    /// # Errors
    ///
    /// What the system says when the socket cannot be duplicated.
    pub fn udp_socket(&self) -> io::Result<std::net::UdpSocket> {
        Ok(self.socket.try_clone()?.into())
    }
}

/// Binds a listener: before any socket accepts, so that a failure stops the start.
///
/// # Errors
///
/// What the system says: the address is taken, is not ours, or needs a right we lack.
pub fn bind(settings: &ListenerSettings) -> io::Result<Bound> {
    let udp = settings.transport == Transport::Udp;
    let (kind, protocol) = if udp { (Type::DGRAM, Protocol::UDP) } else { (Type::STREAM, Protocol::TCP) };
    let socket = Socket::new(Domain::for_address(settings.bind), kind, Some(protocol))?;
    if !udp {
        socket.set_reuse_address(true)?; // a restart must not wait for old connections to time out
    }
    socket.bind(&settings.bind.into())?;
    socket.set_nonblocking(true)?;
    if !udp {
        socket.listen(BACKLOG)?;
    }
    Ok(Bound { listener: settings.id, transport: settings.transport, socket })
}

/// Accepts connections for ever and hands those of known sources to `deal`. For listeners of streams.
///
/// # Errors
///
/// What the system says when the socket cannot be used at all; single failures are counted and passed over.
pub async fn accept_loop(
    bound: Bound,
    state: SharedState,
    counters: Arc<Counters>,
    deal: impl Fn(Accepted),
) -> io::Result<()> {
    let (listener, transport) = (bound.listener, bound.transport);
    let socket = tokio::net::TcpListener::from_std(bound.socket.into())?;
    loop {
        let (stream, source) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                counters.accept_errors.add();
                tracing::warn!(listener = listener.0, %error, "accept failed");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let source = canonical(source);
        let trunks = callers(&state.load().snapshot, source, listener, transport);
        if trunks.is_empty() {
            counters.strangers.add();
            tracing::debug!(listener = listener.0, %source, "stranger dropped");
            continue;
        }
        let Ok(stream) = stream.into_std() else { continue };
        counters.accepted.add();
        deal(Accepted { stream, listener, transport, source, trunks });
    }
}

/// The trunks that may call from `source`. Retired ones too: their dialogs go on.
pub fn callers(
    snapshot: &Snapshot,
    source: SocketAddr,
    listener: ListenerId,
    transport: Transport,
) -> SmallVec<[TrunkId; 4]> {
    let may_call = |trunk: &&Arc<crate::trunk::Trunk>| {
        trunk.travels_over(transport) && trunk.may_call(source, listener, transport)
    };
    snapshot.trunks.iter().filter(may_call).map(|trunk| trunk.id).collect()
}

/// The address as IPv4 where a dual-stack socket shows it mapped into IPv6.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Marks what leaves a socket: the upper six bits of TOS, or of the traffic class (RFC 2474 §3, GEN-53).
pub(super) fn mark(socket: &socket2::SockRef<'_>, dscp: u8) {
    let value = u32::from(dscp) << 2;
    // Nothing that fails here makes the socket unusable. A dual-stack one sends IPv4, too, so both are set.
    let _ = socket.set_tclass_v6(value);
    let _ = socket.set_tos_v4(value);
}

/// Sets what every connection has, in either direction.
pub(super) fn tune(stream: &tokio::net::TcpStream, dscp: u8) {
    let socket = socket2::SockRef::from(stream);
    mark(&socket, dscp);
    // None of these failing makes the connection unusable.
    let _ = stream.set_nodelay(true);
    let _ = socket.set_tcp_keepalive(&TCP_KEEPALIVE);
    let _ = socket.set_tcp_user_timeout(Some(USER_TIMEOUT));
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;

    #[tokio::test]
    async fn connections_are_marked_over_ipv4_and_ipv6_in_both_directions_gen_53() {
        for loopback in ["127.0.0.1:0", "[::1]:0"] {
            let listener = tokio::net::TcpListener::bind(loopback).await.unwrap();
            let address = listener.local_addr().unwrap();
            let (ours, theirs) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
            for stream in [ours.unwrap(), theirs.unwrap().0] {
                tune(&stream, 24);
                let socket = SockRef::from(&stream);
                let marked = if address.is_ipv4() { socket.tos_v4() } else { socket.tclass_v6() };
                assert_eq!(marked.unwrap(), 24 << 2, "{loopback}");
            }
        }
    }
}
