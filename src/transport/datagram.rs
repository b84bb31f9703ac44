//! Datagrams: one socket a listener for both directions, flows by remote address (RFC 3261 §18, RFC 3581).
//!
//! Every worker sends on a clone of the socket, so that requests leave from the port we advertise and
//! answers return to it (`rport`); one worker receives. A datagram is one message.

use super::Arrival;
use super::endpoint::{SendError, Shared};
use super::listen::{callers, canonical, mark};
use super::resolver::{may_reach, written_port};
use crate::flow::{FlowId, Hop, ListenerId, Peer, Transport, TrunkId};
use crate::io::Token;
use crate::sip::{Message, top_via};
use crate::trunk::diagnosis::Symptom;
use bytes::Bytes;
use hashbrown::HashMap;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::UdpSocket;

/// The most remote addresses remembered; when they are that many, the quarter unused longest is forgotten.
/// A platform's machines are some hundreds.
const MOST_FLOWS: usize = 4096;
/// The longest UDP payload over IPv4.
const LONGEST: usize = 65_507;

/// A worker's datagram sockets and the remote addresses behind them.
#[derive(Default)]
pub(super) struct Datagrams {
    /// The system's sockets themselves: sending needs no readiness, the kernel says at once what it takes.
    sockets: Vec<(ListenerId, SocketAddr, std::net::UdpSocket)>,
    flows: HashMap<u64, Remote>,
    /// By listener, where datagrams come from, and where answers go.
    by_remote: HashMap<(ListenerId, SocketAddr, SocketAddr), FlowId>,
    clock: u64,
}

struct Remote {
    listener: ListenerId,
    address: SocketAddr,
    peer: Arc<Peer>,
    /// Reading of `clock` at the last use.
    used: u64,
}

impl Datagrams {
    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    /// Has every peer judged anew at its next datagram. Flows stay: answers are due on them.
    pub(super) fn forget_peers(&mut self) {
        self.by_remote.clear();
    }

    fn socket(&self, listener: ListenerId) -> Option<&std::net::UdpSocket> {
        self.sockets.iter().find(|(id, ..)| *id == listener).map(|(_, _, socket)| socket)
    }

    /// Sends on a flow.
    pub(super) fn send_on(&mut self, id: FlowId, octets: &[u8]) -> Result<(), SendError> {
        self.clock += 1;
        let remote = self.flows.get_mut(&id.n).ok_or(SendError::Gone)?;
        remote.used = self.clock;
        let (listener, address) = (remote.listener, remote.address);
        let socket = self.socket(listener).ok_or(SendError::NoSocket)?;
        if octets.len() > LONGEST {
            return Err(SendError::TooLarge);
        }
        match socket.send_to(octets, address) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(SendError::Full),
            Err(_) => Err(SendError::Gone),
        }
    }

    fn enter(&mut self, id: FlowId, listener: ListenerId, address: SocketAddr, peer: Arc<Peer>) {
        if self.flows.len() >= MOST_FLOWS {
            let mut uses: Vec<_> = self.flows.values().map(|remote| remote.used).collect();
            let (_, oldest_kept, _) = uses.select_nth_unstable(MOST_FLOWS / 4);
            let oldest_kept = *oldest_kept;
            self.flows.retain(|_, remote| remote.used >= oldest_kept);
            let flows = &self.flows;
            self.by_remote.retain(|_, id| flows.contains_key(&id.n));
        }
        self.clock += 1;
        self.by_remote.insert((listener, peer.source, address), id);
        self.flows.insert(id.n, Remote { listener, address, peer, used: self.clock });
    }

    /// The listener to send from to `address`: one of the trunk's, of the same family.
    fn listener_for(&self, listeners: &[ListenerId], address: SocketAddr) -> Option<ListenerId> {
        let fits = |id: &ListenerId| listeners.is_empty() || listeners.contains(id);
        let family = |local: &SocketAddr| local.is_ipv4() == address.is_ipv4();
        self.sockets.iter().find(|(id, local, _)| fits(id) && family(local)).map(|(id, ..)| *id)
    }
}

/// Takes a socket, and reads it from now on if this is the worker that receives.
pub(super) fn attach(
    shared: &Rc<Shared>,
    socket: std::net::UdpSocket,
    listener: ListenerId,
    receive: bool,
) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    mark(&socket2::SockRef::from(&socket), shared.state.load().connections.dscp);
    let local = socket.local_addr()?;
    if receive {
        let socket = UdpSocket::from_std(socket.try_clone()?)?;
        tokio::task::spawn_local(read(shared.clone(), socket, listener));
    }
    shared.datagrams.borrow_mut().sockets.push((listener, local, socket));
    Ok(())
}

async fn read(shared: Rc<Shared>, socket: UdpSocket, listener: ListenerId) {
    let mut buffer = vec![0; LONGEST + 1];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, source)) => {
                // One datagram must not deafen the listener.
                let took = || take(&shared, &socket, listener, canonical(source), &buffer[..length]);
                if catch_unwind(AssertUnwindSafe(took)).is_err() {
                    shared.counters.failed.add();
                }
            }
            Err(error) => {
                // An ICMP answer to an earlier datagram may end up here; the socket stays good.
                tracing::debug!(listener = listener.0, %error, "receiving failed");
                tokio::task::yield_now().await;
            }
        }
        if shared.arrivals.is_closed() {
            return;
        }
    }
}

fn take(shared: &Rc<Shared>, socket: &UdpSocket, listener: ListenerId, source: SocketAddr, octets: &[u8]) {
    if callers(&shared.state.load().snapshot, source, listener, Transport::Udp).is_empty() {
        shared.counters.strangers.add();
        return;
    }
    if octets.iter().all(|octet| matches!(octet, b'\r' | b'\n' | 0)) {
        if octets == b"\r\n\r\n" {
            shared.counters.pings.add();
            let _ = socket.try_send_to(b"\r\n", source);
        }
        return;
    }
    let parsed = Message::parse(Bytes::copy_from_slice(octets));
    let answers = match &parsed {
        Ok(message) => answer_address(message, source),
        Err(rejected) => rejected.request.as_deref().map_or(source, |request| answer_address(request, source)),
    };
    let Some((flow, peer)) = flow_of(shared, listener, source, answers) else { return };
    let arrival = match parsed {
        Ok(message) => {
            shared.counters.messages_in.add();
            Arrival::Message { message, flow, peer }
        }
        Err(rejected) => {
            shared.counters.malformed.add();
            Arrival::Malformed { request: rejected.request, fault: rejected.fault, flow, peer }
        }
    };
    // The sender repeats what is dropped here; waiting would hold up everyone else's datagrams.
    if shared.arrivals.try_send(arrival).is_err() {
        shared.counters.datagrams_dropped.add();
    }
}

/// Where answers to a request go: to its source with `rport` (RFC 3581 §4), else to the port of its Via
/// (RFC 3261 §18.2.2).
fn answer_address(message: &Message, source: SocketAddr) -> SocketAddr {
    match top_via(message) {
        Ok(via) if message.is_request() && via.rport().is_none() => {
            SocketAddr::new(source.ip(), via.port().unwrap_or(Transport::Udp.default_port()))
        }
        _ => source,
    }
}

/// The flow of a remote address; `None` for a stranger.
fn flow_of(
    shared: &Shared,
    listener: ListenerId,
    source: SocketAddr,
    answers: SocketAddr,
) -> Option<(FlowId, Arc<Peer>)> {
    let mut datagrams = shared.datagrams.borrow_mut();
    datagrams.clock += 1;
    let clock = datagrams.clock;
    if let Some(id) = datagrams.by_remote.get(&(listener, source, answers)).copied()
        && let Some(remote) = datagrams.flows.get_mut(&id.n)
    {
        remote.used = clock;
        return Some((id, remote.peer.clone()));
    }
    let trunks = callers(&shared.state.load().snapshot, source, listener, Transport::Udp);
    if trunks.is_empty() {
        return None;
    }
    let listener_seen = Some(listener);
    let peer = Peer { source, listener: listener_seen, transport: Transport::Udp, names: Vec::new(), trunks };
    let (id, peer) = (shared.mint(), Arc::new(peer));
    datagrams.enter(id, listener, answers, peer.clone());
    Some((id, peer))
}

/// Sends a request to a hop. Names that the snapshot does not know are resolved first.
pub(super) fn send_to_hop(
    shared: &Rc<Shared>,
    token: Token,
    hop: &Arc<Hop>,
    octets: Bytes,
) -> Result<FlowId, SendError> {
    if octets.len() > LONGEST {
        return Err(SendError::TooLarge);
    }
    let trunk = shared.state.load().snapshot.trunk(hop.trunk).cloned().ok_or(SendError::NoTrunk)?;
    if let Some(address) = hop.addresses.first() {
        let allowed = hop.addresses.iter().find(|address| may_reach(&trunk, &hop.host, address.ip()));
        let Some(address) = allowed else {
            shared.counters.forbidden_addresses.add();
            tracing::warn!(trunk = %trunk.name, host = %hop.host, %address, "address outside the trunk's ranges refused");
            return Err(SendError::Forbidden);
        };
        return send_to(shared, None, &trunk.listeners, hop.trunk, *address, &octets);
    }
    if shared.datagrams.borrow().sockets.is_empty() {
        return Err(SendError::NoSocket);
    }
    let (id, shared, hop) = (shared.mint(), shared.clone(), hop.clone());
    tokio::task::spawn_local(async move {
        let port = written_port(&trunk, &hop);
        let sent = match shared.resolver.resolve(Transport::Udp, &hop.host, port).await {
            Ok(found) => match shared.resolver.allowed(&trunk, &hop.host, found).first() {
                Some(address) => send_to(&shared, Some(id), &trunk.listeners, hop.trunk, *address, &octets)
                    .map_err(|error| (error.to_string(), error.symptom())),
                None => Err((SendError::Forbidden.to_string(), Symptom::Foreign)),
            },
            Err(error) => Err((error.to_string(), Symptom::NotResolved)),
        };
        if let Err((reason, symptom)) = sent {
            let _ = shared.arrivals.send(Arrival::SendFailed { token, reason, symptom }).await;
        }
    });
    Ok(id)
}

/// Sends to an address from a listener that fits, on the flow that is there or a new one; `id` is the new
/// one's name when it was given out already.
fn send_to(
    shared: &Shared,
    id: Option<FlowId>,
    listeners: &[ListenerId],
    trunk: TrunkId,
    address: SocketAddr,
    octets: &[u8],
) -> Result<FlowId, SendError> {
    let mut datagrams = shared.datagrams.borrow_mut();
    let listener = datagrams.listener_for(listeners, address).ok_or(SendError::NoSocket)?;
    let known = datagrams.by_remote.get(&(listener, address, address)).copied();
    let id = match (known, id) {
        (Some(known), None) if datagrams.flows.contains_key(&known.n) => known,
        (_, id) => {
            let id = id.unwrap_or_else(|| shared.mint());
            let mut trunks = callers(&shared.state.load().snapshot, address, listener, Transport::Udp);
            if trunks.is_empty() {
                trunks.push(trunk);
            }
            let listener_seen = Some(listener);
            let peer =
                Peer { source: address, listener: listener_seen, transport: Transport::Udp, names: Vec::new(), trunks };
            datagrams.enter(id, listener, address, Arc::new(peer));
            id
        }
    };
    datagrams.send_on(id, octets)?;
    shared.counters.messages_out.add();
    Ok(id)
}

#[cfg(test)]
impl Datagrams {
    /// The mark of each socket.
    pub(super) fn marks(&self) -> Vec<u32> {
        self.sockets.iter().filter_map(|(_, _, socket)| socket2::SockRef::from(socket).tos_v4().ok()).collect()
    }
}
