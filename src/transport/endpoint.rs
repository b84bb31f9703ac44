//! A worker's connections: where each message goes, and which connection it uses (RFC 3261 §18.1, RFC 5923).
//!
//! Requests to a hop share one connection per trunk and address, opened when first needed; what is sent
//! meanwhile waits with it. A connection that a peer opened carries requests back only where the peer
//! asked for it (`alias`) and its certificate proved the name. Responses go back on their flow.

use super::connection::serve;
use super::counters::Counters;
use super::datagram::Datagrams;
use super::listen::{Accepted, callers};
use super::places::Places;
use super::queue::{Ending, Queue};
use super::resolver::{Resolver, may_reach};
use super::tls::names_fit;
use super::{Arrival, SharedState, dial};
use crate::flow::{FlowId, Hop, ListenerId, Peer, Transport, TrunkId};
use crate::io::{Destination, Token};
use crate::sip::{Message, top_via};
use crate::trunk::diagnosis::Symptom;
use crate::trunk::name_matches;
use bytes::Bytes;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long an address that could not be connected is passed over while another one works.
const PASSED_OVER: Duration = Duration::from_secs(30);

/// Why a message was not even queued.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SendError {
    /// The flow is gone, or another worker's.
    #[error("flow gone")]
    Gone,
    /// The peer does not read what is sent: the connection was cut.
    #[error("peer too slow")]
    SlowPeer,
    /// The worker has its most connections.
    #[error("too many connections")]
    TooManyConnections,
    /// The trunk is unknown, or has no TLS although the hop needs it.
    #[error("trunk not usable")]
    NoTrunk,
    /// The trunk does not let us dial there.
    #[error("destination outside the trunk's ranges")]
    Forbidden,
    /// No datagram socket fits.
    #[error("no UDP listener for the trunk")]
    NoSocket,
    /// The message does not fit a datagram.
    #[error("message too large for UDP")]
    TooLarge,
    /// The datagram socket took no more.
    #[error("socket full")]
    Full,
}

impl SendError {
    /// What it says about the host.
    pub fn symptom(self) -> Symptom {
        match self {
            Self::Forbidden => Symptom::Foreign,
            Self::Gone | Self::SlowPeer => Symptom::Lost,
            Self::TooManyConnections | Self::NoTrunk | Self::NoSocket | Self::TooLarge | Self::Full => {
                Symptom::NotConnected
            }
        }
    }
}

/// What is open now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Gauges {
    /// Connections that carry messages, or are being opened by us.
    pub connections: usize,
    /// Among them those that are not there yet.
    pub dialling: usize,
    /// Among them those that peers opened.
    pub accepted: usize,
    /// TLS handshakes of peers under way.
    pub handshakes: usize,
    /// Remote addresses of datagram sockets that are remembered.
    pub datagram_flows: usize,
}

/// A worker's end of all its connections. Clones are the same endpoint.
#[derive(Clone)]
pub struct Endpoint(Rc<Shared>);

/// What the endpoint and the tasks of its connections share; all on one thread.
pub(super) struct Shared {
    node: u16,
    worker: u16,
    pub(super) state: SharedState,
    pub(super) resolver: Arc<Resolver>,
    pub(super) arrivals: mpsc::Sender<Arrival>,
    pub(super) counters: Arc<Counters>,
    next: Cell<u64>,
    places: Rc<Places>,
    flows: RefCell<HashMap<u64, Rc<Flow>>>,
    by_address: RefCell<HashMap<(TrunkId, Transport, SocketAddr), Rc<Flow>>>,
    by_host: RefCell<HashMap<HostKey, Rc<Flow>>>,
    failed: RefCell<HashMap<SocketAddr, Instant>>,
    pub(super) datagrams: RefCell<Datagrams>,
}

/// Trunk, transport, lower-case host and port.
type HostKey = (TrunkId, Transport, Arc<str>, u16);

/// One stream connection, from the moment a message waits for it.
pub(super) struct Flow {
    pub(super) id: FlowId,
    pub(super) queue: Queue,
    origin: Origin,
    link: RefCell<Link>,
    retired: Cell<Option<Instant>>,
    /// What its end will say about the host.
    pub(super) symptom: Cell<Symptom>,
    /// Whether its peer offered it for requests back.
    aliased: Cell<bool>,
}

enum Origin {
    /// A peer opened it; what its ClientHello named.
    Accepted { listener: ListenerId, sni: Option<String> },
    /// We did, or are about to.
    Dialled(Arc<Hop>),
}

/// Who is behind a flow.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) peer: Arc<Peer>,
    /// The identity used: trunk and generation; `None` without TLS, and while dialling.
    pub(super) identity: Option<(TrunkId, u64)>,
    /// Whether octets can flow.
    pub(super) open: bool,
}

impl Endpoint {
    /// Makes the endpoint of a worker; its tasks run on the `LocalSet` or local runtime that calls it. `arrivals` is bounded:
    /// when it is full, connections are not read.
    pub fn new(
        node: u16,
        worker: u16,
        state: SharedState,
        resolver: Arc<Resolver>,
        arrivals: mpsc::Sender<Arrival>,
        counters: Arc<Counters>,
    ) -> Self {
        Self(Rc::new(Shared {
            node,
            worker,
            state,
            resolver,
            arrivals,
            counters,
            next: Cell::new(0),
            places: Rc::default(),
            flows: RefCell::default(),
            by_address: RefCell::default(),
            by_host: RefCell::default(),
            failed: RefCell::default(),
            datagrams: RefCell::default(),
        }))
    }

    /// Names flows from `n` on: a worker that is started anew must not name one like an earlier one.
    pub fn count_flows_from(&self, n: u64) {
        self.0.next.set(n);
    }

    /// Takes a connection that the acceptor dealt to this worker.
    pub fn adopt(&self, accepted: Accepted) {
        let shared = self.0.clone();
        let settings = shared.state.load();
        // Taken before the task runs: many may be dealt at once.
        let place = shared.places.take(&accepted, shared.flows.borrow().len(), &settings.connections);
        let Some(place) = place else {
            shared.counters.overload_refused.add();
            tracing::warn!(source = %accepted.source, "connection refused: too many of its trunk, or of all");
            return;
        };
        tokio::task::spawn_local(dial::welcome(shared.clone(), accepted, place));
    }

    /// Takes a clone of a UDP listener's socket. Every worker sends on one; the one with `receive` reads.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn attach_udp(&self, socket: UdpSocket, listener: ListenerId, receive: bool) -> std::io::Result<()> {
        super::datagram::attach(&self.0, socket, listener, receive)
    }

    /// Sends a message without waiting: it is queued on a connection, perhaps one that is yet to be opened.
    /// Returns the flow that carries it. If no octet of it leaves, [`Arrival::SendFailed`] follows.
    ///
    /// # Errors
    ///
    /// A [`SendError`] when it was not even queued; nothing follows.
    pub fn send(&self, token: Token, to: &Destination, octets: Bytes) -> Result<FlowId, SendError> {
        let shared = &self.0;
        match to {
            Destination::Flow(id) => shared.send_on(token, *id, octets),
            Destination::Hop(hop) if hop.transport == Transport::Udp => {
                super::datagram::send_to_hop(shared, token, hop, octets)
            }
            Destination::Hop(hop) => {
                let flow = shared.flow_for(hop)?;
                shared.queue(&flow, token, octets)?;
                Ok(flow.id)
            }
        }
    }

    /// Closes a flow after what waits on it was written; [`Arrival::FlowLost`] follows. Nothing new uses it.
    pub fn close(&self, id: FlowId) {
        let flow = self.0.flow(id);
        if let Some(flow) = flow {
            self.0.stop_reuse(&flow);
            flow.queue.end(Ending::Flushed("closed by us"));
        }
    }

    /// Applies a replaced [`TransportState`](super::TransportState): peers get the trunks they may be now,
    /// and those that may be none are cut; connections made with a replaced identity, trust or policy are
    /// no longer used for new requests, and are closed when quiet, or after the recycle time-out (TDR-14).
    pub fn recycle(&self) {
        let flows: Vec<_> = self.0.flows.borrow().values().cloned().collect();
        for flow in flows {
            self.0.review(&flow);
        }
        self.0.failed.borrow_mut().clear();
        self.0.datagrams.borrow_mut().forget_peers();
    }

    /// The trunks that connections were dialled for, and those that their peers may be.
    pub fn trunks(&self) -> BTreeSet<TrunkId> {
        let flows = self.0.flows.borrow();
        let dialled = flows.values().filter_map(|flow| match &flow.origin {
            Origin::Dialled(hop) => Some(hop.trunk),
            Origin::Accepted { .. } => None,
        });
        dialled.chain(flows.values().flat_map(|flow| flow.peer().trunks.to_vec())).collect()
    }

    /// What is open now.
    pub fn gauges(&self) -> Gauges {
        let flows = self.0.flows.borrow();
        Gauges {
            connections: flows.len(),
            dialling: flows.values().filter(|flow| !flow.link.borrow().open).count(),
            accepted: flows.values().filter(|flow| !flow.dialled()).count(),
            handshakes: self.0.places.handshakes(),
            datagram_flows: self.0.datagrams.borrow().len(),
        }
    }
}

#[cfg(test)]
impl Endpoint {
    /// The marks of the datagram sockets.
    pub(super) fn marks(&self) -> Vec<u32> {
        self.0.datagrams.borrow().marks()
    }

    /// Serves one end of a pipe as a connection to `hop`, or as one of trunk 0 that called; where no socket is,
    /// time can be the test's.
    pub(super) fn pipe(&self, hop: Option<Hop>) -> tokio::io::DuplexStream {
        let (near, far) = tokio::io::duplex(1 << 20);
        let shared = self.0.clone();
        let (source, transport) = (SocketAddr::from(([127, 0, 0, 1], 9)), Transport::Tcp);
        let listener = hop.is_none().then_some(ListenerId(1));
        let peer = Peer { source, listener, transport, names: Vec::new(), trunks: SmallVec::from_iter([TrunkId(0)]) };
        let link = Link { peer: Arc::new(peer), identity: None, open: true };
        tokio::task::spawn_local(async move {
            match hop.map(Arc::new) {
                Some(hop) => {
                    let flow = shared.enter(Origin::Dialled(hop.clone()), link.clone());
                    shared.serve_dialled(&flow, &hop, link, near).await;
                }
                None => shared.serve_accepted(ListenerId(1), None, link, near).await,
            }
        });
        far
    }
}

impl Shared {
    pub(super) fn mint(&self) -> FlowId {
        let n = self.next.get();
        self.next.set(n + 1);
        FlowId { node: self.node, worker: self.worker, n }
    }

    fn flow(&self, id: FlowId) -> Option<Rc<Flow>> {
        let ours = id.node == self.node && id.worker == self.worker;
        ours.then(|| self.flows.borrow().get(&id.n).cloned()).flatten()
    }

    fn send_on(self: &Rc<Self>, token: Token, id: FlowId, octets: Bytes) -> Result<FlowId, SendError> {
        if let Some(flow) = self.flow(id) {
            self.queue(&flow, token, octets)?;
            return Ok(id);
        }
        if id.node != self.node || id.worker != self.worker {
            return Err(SendError::Gone);
        }
        self.datagrams.borrow_mut().send_on(id, &octets)?;
        self.counters.messages_out.add();
        Ok(id)
    }

    fn queue(&self, flow: &Flow, token: Token, octets: Bytes) -> Result<(), SendError> {
        if flow.queue.ending().is_some() {
            return Err(SendError::Gone);
        }
        if flow.queue.push(Some(token), octets, self.state.load().connections.write_queue) {
            return Ok(());
        }
        self.cut_slow(flow);
        Err(SendError::SlowPeer)
    }

    /// Ends a connection whose peer does not read.
    pub(super) fn cut_slow(&self, flow: &Flow) {
        self.counters.slow_peers.add();
        tracing::warn!(flow = flow.id.n, source = %flow.peer().source, "peer too slow, connection cut");
        self.stop_reuse(flow);
        flow.queue.end(Ending::Cut("peer too slow"));
    }

    /// The flow that carries a request to `hop`: one that is there, or one that is being opened from now.
    fn flow_for(self: &Rc<Self>, hop: &Arc<Hop>) -> Result<Rc<Flow>, SendError> {
        let host = host_key(hop);
        if let Some(flow) = self.flow_in_reach(hop, &host) {
            return Ok(flow);
        }
        let state = self.state.load();
        let trunk = state.snapshot.trunk(hop.trunk).ok_or(SendError::NoTrunk)?;
        if hop.transport == Transport::Tls && state.tls.trunk(hop.trunk).is_none() {
            return Err(SendError::NoTrunk);
        }
        if !hop.addresses.is_empty() && !hop.addresses.iter().any(|address| may_reach(trunk, &hop.host, address.ip())) {
            self.counters.forbidden_addresses.add();
            return Err(SendError::Forbidden);
        }
        if self.flows.borrow().len() + self.places.handshakes() >= state.connections.max_connections {
            self.counters.overload_refused.add();
            return Err(SendError::TooManyConnections);
        }
        let source = hop.addresses.first().copied().unwrap_or(SocketAddr::from(([0, 0, 0, 0], hop.port)));
        let trunks = SmallVec::from_iter([hop.trunk]);
        let peer = Peer { source, listener: None, transport: hop.transport, names: Vec::new(), trunks };
        let link = Link { peer: Arc::new(peer), identity: None, open: false };
        let flow = self.enter(Origin::Dialled(hop.clone()), link);
        self.by_host.borrow_mut().insert(host, flow.clone());
        tokio::task::spawn_local(dial::dial(self.clone(), flow.clone(), hop.clone()));
        Ok(flow)
    }

    /// A flow that exists and fits: the one to the best address that did not fail lately, else one that is
    /// being dialled, else one that the host itself opened and offered for this.
    fn flow_in_reach(&self, hop: &Hop, host: &HostKey) -> Option<Rc<Flow>> {
        let by_address = self.by_address.borrow();
        for address in &hop.addresses {
            if let Some(flow) = by_address.get(&(hop.trunk, hop.transport, *address))
                && self.serves(flow, hop)
            {
                return Some(flow.clone());
            }
            if !self.failed_lately(address) {
                break;
            }
        }
        let by_host = self.by_host.borrow();
        let flow = by_host.get(host)?;
        let link = flow.link.borrow();
        let reached = link.open && (hop.addresses.is_empty() || hop.addresses.contains(&link.peer.source));
        (!link.open || reached || !flow.dialled()).then(|| flow.clone())
    }

    /// Whether the peer behind `flow` may be taken for the hop's host: it was dialled by that name, or its
    /// certificate says so (RFC 5923 §5), or has a name that the trunk expects of every host.
    fn serves(&self, flow: &Flow, hop: &Hop) -> bool {
        let link = flow.link.borrow();
        let same = matches!(&flow.origin, Origin::Dialled(dialled) if dialled.host.eq_ignore_ascii_case(&hop.host));
        same || hop.transport != Transport::Tls
            || link.peer.names.iter().any(|name| name_matches(&hop.host, name))
            || self.state.load().snapshot.trunk(hop.trunk).is_some_and(|trunk| trunk.expects(&link.peer.names))
    }

    fn failed_lately(&self, address: &SocketAddr) -> bool {
        self.failed.borrow().get(address).is_some_and(|at| at.elapsed() < PASSED_OVER)
    }

    /// Remembers that an address could not be connected.
    pub(super) fn address_failed(&self, address: SocketAddr) {
        let mut failed = self.failed.borrow_mut();
        failed.retain(|_, at| at.elapsed() < PASSED_OVER);
        failed.insert(address, Instant::now());
    }

    fn enter(&self, origin: Origin, link: Link) -> Rc<Flow> {
        let flow = Rc::new(Flow {
            id: self.mint(),
            queue: Queue::default(),
            origin,
            link: RefCell::new(link),
            retired: Cell::new(None),
            symptom: Cell::new(Symptom::Lost),
            aliased: Cell::new(false),
        });
        self.flows.borrow_mut().insert(flow.id.n, flow.clone());
        flow
    }

    /// Enters a connection that a peer opened, with what is known of it, and serves it to its end.
    pub(super) async fn serve_accepted<S: AsyncRead + AsyncWrite + Unpin>(
        self: &Rc<Self>,
        listener: ListenerId,
        sni: Option<String>,
        link: Link,
        stream: S,
    ) {
        let flow = self.enter(Origin::Accepted { listener, sni }, link);
        let reason = serve(self, &flow, stream).await;
        self.leave(&flow, reason).await;
    }

    /// Serves a connection that we opened to its end.
    pub(super) async fn serve_dialled<S: AsyncRead + AsyncWrite + Unpin>(
        self: &Rc<Self>,
        flow: &Rc<Flow>,
        hop: &Hop,
        link: Link,
        stream: S,
    ) {
        self.by_address.borrow_mut().insert((hop.trunk, hop.transport, link.peer.source), flow.clone());
        self.failed.borrow_mut().remove(&link.peer.source);
        flow.link.replace(link);
        self.review(flow); // a reload may have come while it was opened
        let reason = serve(self, flow, stream).await;
        self.leave(flow, reason).await;
    }

    /// Forgets a flow and reports what became of it.
    pub(super) async fn leave(&self, flow: &Rc<Flow>, reason: String) {
        flow.queue.end(Ending::Cut("gone"));
        self.stop_reuse(flow);
        self.flows.borrow_mut().remove(&flow.id.n);
        tracing::debug!(flow = flow.id.n, %reason, "flow gone");
        let symptom = flow.symptom.get();
        for token in flow.queue.unsent() {
            let _ = self.arrivals.send(Arrival::SendFailed { token, reason: reason.clone(), symptom }).await;
        }
        let _ = self.arrivals.send(Arrival::FlowLost { flow: flow.id, reason, symptom }).await;
    }

    fn stop_reuse(&self, flow: &Flow) {
        self.by_address.borrow_mut().retain(|_, known| known.id != flow.id);
        self.by_host.borrow_mut().retain(|_, known| known.id != flow.id);
    }

    /// Judges an open flow by the present state.
    fn review(&self, flow: &Flow) {
        let state = self.state.load();
        let mut link = flow.link.borrow_mut();
        if !link.open {
            return;
        }
        let replaced =
            |(trunk, generation): (TrunkId, u64)| state.tls.trunk(trunk).is_none_or(|tls| tls.generation != generation);
        if link.identity.is_some_and(replaced) && flow.retired.get().is_none() {
            flow.retired.set(Some(Instant::now()));
            self.stop_reuse(flow);
            flow.queue.nudge();
        }
        let peer = &link.peer;
        let trunks = match &flow.origin {
            Origin::Dialled(hop) => self.trunks_behind(hop.trunk, peer.source, peer.transport, &peer.names),
            Origin::Accepted { listener, sni } => {
                let mut trunks = callers(&state.snapshot, peer.source, *listener, peer.transport);
                if peer.transport == Transport::Tls {
                    let chosen = state.tls.choose(&state.snapshot, &trunks, sni.as_deref());
                    trunks = chosen.map(|(_, trunks)| trunks).unwrap_or_default();
                    trunks.retain(|id| state.snapshot.trunk(*id).is_some_and(|trunk| names_fit(trunk, &peer.names)));
                }
                trunks
            }
        };
        if trunks.is_empty() {
            drop(link);
            self.stop_reuse(flow);
            flow.queue.end(Ending::Cut("no trunk has this peer any more"));
        } else if trunks != peer.trunks {
            link.peer = Arc::new(Peer { trunks, ..Peer::clone(peer) });
        }
    }

    /// The trunks that a peer which we dialled for `trunk` may be when it sends requests: that one first, and
    /// those that share its addresses and its TLS.
    pub(super) fn trunks_behind(
        &self,
        trunk: TrunkId,
        address: SocketAddr,
        transport: Transport,
        names: &[String],
    ) -> SmallVec<[TrunkId; 4]> {
        let state = self.state.load();
        let ids = state.snapshot.trunks.iter().filter(|other| {
            other.travels_over(transport)
                && other.covers(address.ip())
                && (other.id == trunk || transport != Transport::Tls || names_fit(other, names))
        });
        let mut trunks: SmallVec<[TrunkId; 4]> = ids.map(|other| other.id).collect();
        if let (Transport::Tls, Some(tls)) = (transport, state.tls.trunk(trunk)) {
            trunks = state.tls.same_group(tls, &trunks);
        }
        trunks.sort_by_key(|id| *id != trunk);
        trunks
    }

    /// Notes a request on a connection that its sender offers for requests back (`alias`, RFC 5923 §4, §5).
    /// The certificate has to prove the name in the Via, so only TLS counts; one name a connection.
    pub(super) fn alias(&self, flow: &Rc<Flow>, message: &Message) {
        if flow.aliased.get() || flow.dialled() || !message.is_request() {
            return;
        }
        let peer = flow.peer();
        let Ok(via) = top_via(message) else { return };
        if peer.transport != Transport::Tls || !via.params().has("alias") {
            return;
        }
        let (host, port) = (via.host().to_ascii_lowercase(), via.port().unwrap_or(Transport::Tls.default_port()));
        if !peer.names.iter().any(|name| name_matches(&host, name)) || flow.retired_since().is_some() {
            return;
        }
        flow.aliased.set(true);
        let (host, state) = (Arc::<str>::from(host), self.state.load());
        for trunk in &peer.trunks {
            if state.snapshot.trunk(*trunk).is_some_and(|trunk| trunk.may_dial(&host)) {
                let key = (*trunk, Transport::Tls, host.clone(), port);
                self.by_host.borrow_mut().entry(key).or_insert_with(|| flow.clone());
            }
        }
    }
}

impl Flow {
    /// Who is at the other end.
    pub(super) fn peer(&self) -> Arc<Peer> {
        self.link.borrow().peer.clone()
    }

    /// Whether we opened it.
    pub(super) fn dialled(&self) -> bool {
        matches!(self.origin, Origin::Dialled(_))
    }

    /// Since when its identity is replaced; `None` while it is not.
    pub(super) fn retired_since(&self) -> Option<Instant> {
        self.retired.get()
    }
}

fn host_key(hop: &Hop) -> HostKey {
    let lower = hop.host.bytes().any(|octet| octet.is_ascii_uppercase());
    let host = if lower { hop.host.to_ascii_lowercase().into() } else { hop.host.clone() };
    (hop.trunk, hop.transport, host, hop.port)
}
