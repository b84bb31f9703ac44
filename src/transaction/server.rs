//! Server transactions with their messages: requests of others (RFC 3261 §17.2).

use super::invite_server::{Acknowledged, InviteServer};
use super::machine::{Deadlines, ServerAction, Times};
use super::matching::{hash, merge_key, server_key};
use super::non_invite_server::NonInviteServer;
use super::{Effect, Owner, RESPONSE, Received, ServerId, Transactions, token};
use crate::flow::{FlowId, Transport};
use crate::io::Destination;
use crate::sip::{Message, Method};
use bytes::Bytes;
use std::time::Instant;

#[derive(Debug)]
enum Machine {
    Invite(InviteServer),
    NonInvite(NonInviteServer),
}

impl Machine {
    fn repeated(&mut self) -> ServerAction {
        match self {
            Self::Invite(machine) => machine.repeated(),
            Self::NonInvite(machine) => machine.repeated(),
        }
    }

    fn respond(&mut self, now: Instant, status: u16) -> ServerAction {
        match self {
            Self::Invite(machine) => machine.respond(now, status),
            Self::NonInvite(machine) => machine.respond(now, status),
        }
    }

    fn timeout(&mut self, now: Instant) -> ServerAction {
        match self {
            Self::Invite(machine) => machine.timeout(now),
            Self::NonInvite(machine) => machine.timeout(now),
        }
    }

    fn deadlines(&self) -> Deadlines {
        match self {
            Self::Invite(machine) => machine.deadlines,
            Self::NonInvite(machine) => machine.deadlines,
        }
    }

    fn is_terminated(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_terminated(),
            Self::NonInvite(machine) => machine.is_terminated(),
        }
    }
}

/// One server transaction.
#[derive(Debug)]
pub(super) struct Server {
    machine: Machine,
    method: Method,
    /// What its repeats have in common, and behind it what merged requests have in common, if anything.
    keys: Box<[u8]>,
    /// Where the one ends and the other begins.
    split: usize,
    hash: u64,
    /// Set when other branches of this request are to be told from it.
    origin_hash: Option<u64>,
    flow: FlowId,
    transport: Transport,
    /// Where responses go since the flow was lost, once the user has found out.
    redirected: Option<Destination>,
    /// The latest response; empty before the first.
    response: Bytes,
    user: u64,
}

impl Transactions {
    /// Takes a request that came on `flow` (RFC 3261 §17.2.3, §8.2.2.2, §9.2).
    pub fn receive_request(&mut self, now: Instant, request: &Message, flow: FlowId, transport: Transport) -> Received {
        self.receive(now, request, flow, transport, self.room_for_calls())
    }

    /// The same, for an INVITE that may take what is kept for existing calls.
    pub fn receive_urgent(&mut self, now: Instant, request: &Message, flow: FlowId, transport: Transport) -> Received {
        self.receive(now, request, flow, transport, self.bound)
    }

    /// `room`: how many server transactions there may be before an INVITE that begins a call.
    fn receive(
        &mut self,
        now: Instant,
        request: &Message,
        flow: FlowId,
        transport: Transport,
        room: usize,
    ) -> Received {
        let key = server_key(request);
        let hash = hash(&self.hasher, &key);
        let method = request.method().clone();
        if method == Method::Ack {
            return match self.server_by(hash, &key, |other| *other == Method::Invite) {
                Some(id) => self.receive_ack(now, id),
                None => Received::Ack,
            };
        }
        if let Some(id) = self.server_by(hash, &key, |other| *other == method) {
            self.receive_repeat(id, flow);
            return Received::Absorbed;
        }
        let origin = merge_key(request);
        let begins = method == Method::Invite && origin.is_some();
        if self.servers.len() >= if begins { room } else { self.bound } {
            return Received::Overload;
        }
        let origin_hash = origin.as_ref().map(|origin| super::matching::hash(&self.hasher, origin));
        let merged = origin.as_ref().zip(origin_hash).is_some_and(|(origin, hash)| {
            let fits = |id| self.servers.get(id).is_some_and(|server| server.keys[server.split..] == **origin);
            self.by_origin.find(hash, fits).is_some()
        });
        let times = Times::new(self.t1, transport);
        let machine = match method {
            Method::Invite => Machine::Invite(InviteServer::new(times)),
            _ => Machine::NonInvite(NonInviteServer::new(now, times)),
        };
        let invite =
            (method == Method::Cancel).then(|| self.server_by(hash, &key, |other| *other == Method::Invite)).flatten();
        let split = key.len();
        let mut keys = key;
        keys.extend_from_slice(origin.as_deref().unwrap_or(&[]));
        let cancel = method == Method::Cancel;
        let origin_hash = origin_hash.filter(|_| !merged);
        let id = self.servers.insert(Server {
            machine,
            method,
            keys: keys.as_slice().into(),
            split,
            hash,
            origin_hash,
            flow,
            transport,
            redirected: None,
            response: Bytes::new(),
            user: 0,
        });
        self.by_request.insert(hash, id);
        if let Some(hash) = origin_hash {
            self.by_origin.insert(hash, id);
        }
        self.flows.hold(flow);
        self.settle_server(id);
        match (cancel, merged) {
            (true, _) => Received::Cancel { cancel: ServerId(id), invite: invite.map(ServerId) },
            (false, true) => Received::Merged(ServerId(id)),
            (false, false) => Received::New(ServerId(id)),
        }
    }

    /// Answers a request (RFC 3261 §17.2.1, §17.2.2). After a 2xx to an INVITE the same may be sent again
    /// and again, for the user repeats it until the ACK comes (RFC 6026 §7.1).
    ///
    /// Returns `false` when nothing was sent: the transaction is gone, has had its final response, or must
    /// not have this one (a 408, or a 1xx other than a timely 100, to another request than INVITE; RFC 4320).
    pub fn respond(&mut self, now: Instant, id: ServerId, status: u16, octets: Bytes) -> bool {
        let Some(server) = self.servers.get_mut(id.0) else { return false };
        if self.flows.is_lost(server.flow)
            && let Machine::NonInvite(machine) = &mut server.machine
        {
            machine.lose_flow();
        }
        let transmit = server.machine.respond(now, status) == ServerAction::Transmit;
        if transmit {
            server.response = octets;
            self.transmit(id.0);
        }
        self.settle_server(id.0);
        transmit
    }

    /// The ACK of the user's 2xx came: there is nothing to repeat any more. Over a reliable transport no
    /// repeat of the INVITE can come either, and the transaction ends; else it absorbs them until Timer L.
    pub fn acknowledged(&mut self, id: ServerId) {
        let Some(server) = self.servers.get_mut(id.0) else { return };
        if let Machine::Invite(machine) = &mut server.machine
            && machine.acknowledged()
        {
            server.response = Bytes::new();
        }
        self.settle_server(id.0);
    }

    /// Where responses of a transaction go whose flow is gone; the latest one is sent there at once.
    pub fn redirect(&mut self, id: ServerId, to: Destination) {
        if let Some(server) = self.servers.get_mut(id.0) {
            server.redirected = Some(to);
            self.transmit(id.0);
        }
    }

    /// The flow that a request came on, and its transport; `None` once the transaction is gone.
    pub fn flow_of(&self, id: ServerId) -> Option<(FlowId, Transport)> {
        self.servers.get(id.0).map(|server| (server.flow, server.transport))
    }

    /// What [`set_server_user`](Self::set_server_user) said, 0 before; `None` once the transaction is gone.
    pub fn server_user(&self, id: ServerId) -> Option<u64> {
        self.servers.get(id.0).map(|server| server.user)
    }

    /// Keeps a number of the user's with a transaction.
    pub fn set_server_user(&mut self, id: ServerId, user: u64) {
        if let Some(server) = self.servers.get_mut(id.0) {
            server.user = user;
        }
    }

    pub(super) fn owns_request(&self, request: &Message) -> bool {
        let key = server_key(request);
        let method = request.method();
        let fits = |other: &Method| match method {
            Method::Ack => *other == Method::Invite,
            Method::Cancel => matches!(other, Method::Invite | Method::Cancel),
            method => method == other,
        };
        self.server_by(hash(&self.hasher, &key), &key, fits).is_some()
    }

    fn server_by(&self, hash: u64, key: &[u8], fits: impl Fn(&Method) -> bool) -> Option<u64> {
        self.by_request.find(hash, |id| {
            self.servers.get(id).is_some_and(|server| server.keys[..server.split] == *key && fits(&server.method))
        })
    }

    fn receive_ack(&mut self, now: Instant, id: u64) -> Received {
        let acknowledged = match self.servers.get_mut(id).map(|server| &mut server.machine) {
            Some(Machine::Invite(machine)) => machine.acknowledge(now),
            Some(Machine::NonInvite(_)) | None => Acknowledged::Response,
        };
        self.settle_server(id);
        match acknowledged {
            Acknowledged::Response => Received::AckAbsorbed,
            Acknowledged::Dialog => Received::Ack,
        }
    }

    fn receive_repeat(&mut self, id: u64, flow: FlowId) {
        let Some(server) = self.servers.get_mut(id) else { return };
        // A client that lost its connection repeats over a new one, and listens there.
        if server.flow != flow && self.flows.is_lost(server.flow) {
            self.flows.release(server.flow);
            self.flows.hold(flow);
            server.flow = flow;
            server.redirected = None;
        }
        if server.machine.repeated() == ServerAction::Transmit {
            self.transmit(id);
        }
    }

    pub(super) fn server_timeout(&mut self, now: Instant, id: u64) {
        let Some(server) = self.servers.get_mut(id) else { return };
        let user = server.user;
        match server.machine.timeout(now) {
            ServerAction::Transmit => self.transmit(id),
            ServerAction::TryingDue => self.effects.push_back(Effect::TryingDue { id: ServerId(id), user }),
            ServerAction::NoAck => self.effects.push_back(Effect::NoAck { id: ServerId(id), user }),
            ServerAction::Absorb => {}
        }
        self.settle_server(id);
    }

    /// A response could not be sent. One that was redirected already has nowhere else to go.
    pub(super) fn response_failed(&mut self, id: u64) {
        let Some(server) = self.servers.get(id) else { return };
        if server.redirected.is_none() && !server.response.is_empty() {
            let octets = server.response.clone();
            self.effects.push_back(Effect::ResponseUnsendable { id: ServerId(id), octets });
        }
    }

    fn transmit(&mut self, id: u64) {
        let Some(server) = self.servers.get(id) else { return };
        if server.response.is_empty() {
            return;
        }
        let octets = server.response.clone();
        let effect = match &server.redirected {
            Some(to) => Effect::Send { token: token(RESPONSE, id), to: to.clone(), octets },
            None if self.flows.is_lost(server.flow) => Effect::ResponseUnsendable { id: ServerId(id), octets },
            None => Effect::Send { token: token(RESPONSE, id), to: Destination::Flow(server.flow), octets },
        };
        self.effects.push_back(effect);
    }

    /// Brings the timer in line with the machine after an event, and drops what has ended.
    fn settle_server(&mut self, id: u64) {
        let Some(server) = self.servers.get(id) else { return };
        if !server.machine.is_terminated() {
            let at = server.machine.deadlines().earliest();
            self.schedule(Owner::Server(id), at);
            return;
        }
        if let Some(server) = self.servers.remove(id) {
            self.by_request.remove(server.hash, id);
            if let Some(hash) = server.origin_hash {
                self.by_origin.remove(hash, id);
            }
            self.flows.release(server.flow);
            self.timers.cancel(&Owner::Server(id));
        }
    }
}
