//! Client transactions with their messages: requests of ours (RFC 3261 §17.1).

use super::invite_client::InviteClient;
use super::machine::{ClientAction, Deadlines, Times};
use super::matching::{Key, client_key, hash, response_key};
use super::non_invite_client::NonInviteClient;
use super::{ACKNOWLEDGEMENT, ClientId, Effect, Matched, Owner, REQUEST, Transactions, derived, token};
use crate::flow::{FlowId, Transport};
use crate::io::Destination;
use crate::sip::{Field, Message, Method};
use bytes::Bytes;
use std::time::Instant;

#[derive(Debug)]
enum Machine {
    Invite(InviteClient),
    NonInvite(NonInviteClient),
}

impl Machine {
    fn receive(&mut self, now: Instant, status: u16) -> ClientAction {
        match self {
            Self::Invite(machine) => machine.receive(now, status),
            Self::NonInvite(machine) => machine.receive(now, status),
        }
    }

    fn timeout(&mut self, now: Instant) -> ClientAction {
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

    fn is_unanswered(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_unanswered(),
            Self::NonInvite(machine) => machine.is_unanswered(),
        }
    }

    fn needs_request(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.needs_request(),
            Self::NonInvite(machine) => machine.needs_request(),
        }
    }

    fn is_terminated(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.is_terminated(),
            Self::NonInvite(machine) => machine.is_terminated(),
        }
    }
}

/// One client transaction.
#[derive(Debug)]
pub(super) struct Client {
    machine: Machine,
    /// Branch and method.
    key: Box<[u8]>,
    hash: u64,
    branch: Box<str>,
    /// The request, for as long as it may be needed again.
    octets: Bytes,
    /// Where the user sent it.
    to: Destination,
    transport: Transport,
    /// The request as a datagram, and where to, should its stream not come about (RFC 3261 §18.1.1).
    datagram: Option<Box<(Bytes, Destination)>>,
    /// The flow that it went out on, once that is known.
    flow: Option<FlowId>,
    /// The place among those that wait for a first response on `flow`.
    waiting: Option<usize>,
    /// Whether a CANCEL was sent.
    cancelled: bool,
    /// Whether the user was told that the INVITE is lost; it may be answered all the same.
    lost: bool,
    user: u64,
}

impl Transactions {
    /// Sends a request, any but ACK, and begins its client transaction (RFC 3261 §17.1.1.2, §17.1.2.2).
    ///
    /// `branch` is that of its top Via, minted by us and used for no other request but the CANCEL of this
    /// one, for which there is [`cancel`](Self::cancel). `user` comes back with everything that happens.
    #[expect(
        clippy::too_many_arguments,
        reason = "what a request needs to be sent; a struct for one caller says no more"
    )]
    pub fn request(
        &mut self,
        now: Instant,
        octets: Bytes,
        method: &Method,
        branch: &str,
        to: Destination,
        transport: Transport,
        user: u64,
    ) -> ClientId {
        if *method == Method::Cancel {
            self.cancel_sent(now, branch);
        }
        let times = Times::new(self.t1, transport);
        let machine = match method {
            Method::Invite => Machine::Invite(InviteClient::new(now, times)),
            _ => Machine::NonInvite(NonInviteClient::new(now, times)),
        };
        let key = client_key(branch, method);
        let hash = hash(&self.hasher, &key);
        let id = self.clients.insert(Client {
            machine,
            key: key.as_slice().into(),
            hash,
            branch: branch.into(),
            octets: octets.clone(),
            to: to.clone(),
            transport,
            datagram: None,
            flow: None,
            waiting: None,
            cancelled: false,
            lost: false,
            user,
        });
        self.by_branch.insert(hash, id);
        if self.clients.len() > self.bound {
            self.request_failed(now, id);
            return ClientId(id);
        }
        if let Destination::Flow(flow) = to {
            self.request_sent(id, flow);
        }
        self.effects.push_back(Effect::Send { token: token(REQUEST, id), to, octets });
        self.settle_client(id);
        ClientId(id)
    }

    /// What to send as a datagram, and where to, should this request find no stream (RFC 3261 §18.1.1).
    pub fn or_datagram(&mut self, id: ClientId, octets: Bytes, to: Destination) {
        if let Some(client) = self.clients.get_mut(id.0) {
            client.datagram = Some(Box::new((octets, to)));
        }
    }

    /// Takes a response. `None` when it is a repeat that ends here, or belongs to no transaction
    /// ([`owns`](Self::owns) tells which): such a response is dropped (RFC 3261 §18.1.2).
    ///
    /// Branch and CSeq method decide, never the flow it came on (§17.1.3, TDR-22).
    pub fn receive_response(&mut self, now: Instant, response: &Message) -> Option<Matched> {
        let id = self.client_of(response)?;
        let status = response.status()?;
        let client = self.clients.get_mut(id)?;
        let user = client.user;
        let kind = match client.machine.receive(now, status) {
            ClientAction::Pass(kind) => Some(kind),
            ClientAction::PassAndAcknowledge => {
                self.acknowledge(id, response);
                Some(super::Kind::Final)
            }
            ClientAction::Acknowledge => {
                self.acknowledge(id, response);
                None
            }
            ClientAction::Absorb | ClientAction::Transmit | ClientAction::TimedOut => None,
        };
        self.settle_client(id);
        kind.map(|kind| Matched { id: ClientId(id), user, kind })
    }

    /// Whether an INVITE of ours may be cancelled now: after a provisional response, before a final one,
    /// and once (RFC 3261 §9.1).
    pub fn cancel_allowed(&self, id: ClientId) -> bool {
        self.clients.get(id.0).is_some_and(|client| {
            !client.cancelled && matches!(&client.machine, Machine::Invite(machine) if machine.is_proceeding())
        })
    }

    /// Cancels an INVITE of ours with a CANCEL made from it and these further fields (RFC 3261 §9.1).
    ///
    /// Returns the CANCEL's own transaction, with `user`; `None` when it is not
    /// [allowed](Self::cancel_allowed). Without a final response to the INVITE within 64·T1 that one ends
    /// with [`Effect::TimedOut`].
    pub fn cancel(&mut self, now: Instant, id: ClientId, user: u64, fields: &[(Field, &str)]) -> Option<ClientId> {
        if !self.cancel_allowed(id) {
            return None;
        }
        let to = self.way(id.0)?;
        let client = self.clients.get(id.0)?;
        let octets = derived::cancel(&client.octets, fields)?;
        let (branch, transport) = (client.branch.clone(), client.transport);
        Some(self.request(now, octets, &Method::Cancel, &branch, to, transport, user))
    }

    /// Forgets a transaction: nothing is sent for it any more, and what comes for it is nobody's.
    pub fn abandon(&mut self, id: ClientId) {
        self.remove_client(id.0);
    }

    /// The branch of a request of ours; `None` once its transaction is gone.
    pub fn sent_branch(&self, id: ClientId) -> Option<&str> {
        self.clients.get(id.0).map(|client| &*client.branch)
    }

    /// The flow that a request of ours went out on, once known.
    pub fn sent_flow(&self, id: ClientId) -> Option<FlowId> {
        self.clients.get(id.0)?.flow
    }

    /// Whether a response to a request of ours may still come.
    pub fn is_open(&self, id: ClientId) -> bool {
        self.clients.get(id.0).is_some()
    }

    /// What the user gave to [`request`](Self::request).
    pub fn client_user(&self, id: ClientId) -> Option<u64> {
        self.clients.get(id.0).map(|client| client.user)
    }

    pub(super) fn client_of(&self, response: &Message) -> Option<u64> {
        self.client_by(&response_key(response)?)
    }

    fn client_by(&self, key: &Key) -> Option<u64> {
        let fits = |id| self.clients.get(id).is_some_and(|client| *client.key == **key);
        self.by_branch.find(hash(&self.hasher, key), fits)
    }

    /// A CANCEL goes out for the INVITE of this branch: its final response comes within 64·T1 or never.
    fn cancel_sent(&mut self, now: Instant, branch: &str) {
        let key = client_key(branch, &Method::Invite);
        let Some(id) = self.client_by(&key) else { return };
        let Some(client) = self.clients.get_mut(id) else { return };
        client.cancelled = true;
        if let Machine::Invite(machine) = &mut client.machine {
            machine.cancelled(now);
        }
        self.settle_client(id);
    }

    pub(super) fn client_timeout(&mut self, now: Instant, id: u64) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let user = client.user;
        match client.machine.timeout(now) {
            ClientAction::Transmit => {
                let octets = client.octets.clone();
                if let Some(to) = self.way(id) {
                    self.effects.push_back(Effect::Send { token: token(REQUEST, id), to, octets });
                }
            }
            ClientAction::TimedOut => self.effects.push_back(Effect::TimedOut { id: ClientId(id), user }),
            ClientAction::Absorb
            | ClientAction::Pass(_)
            | ClientAction::PassAndAcknowledge
            | ClientAction::Acknowledge => {}
        }
        self.settle_client(id);
    }

    /// The request of this transaction is on `flow`.
    pub(super) fn request_sent(&mut self, id: u64, flow: FlowId) {
        let Some(client) = self.clients.get(id) else { return };
        if client.flow == Some(flow) {
            return;
        }
        self.leave_flow(id);
        self.flows.hold(flow);
        let Some(client) = self.clients.get_mut(id) else { return };
        client.flow = Some(flow);
        if client.machine.is_unanswered() {
            client.waiting = Some(self.flows.wait(flow, id));
        }
    }

    /// The flow of a request without any response is lost: the user is told. The peer may have an INVITE all the
    /// same and answer it over another connection (TDR-80), so its transaction waits on in silence until Timer B.
    pub(super) fn request_lost(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if !client.machine.is_unanswered() || std::mem::replace(&mut client.lost, true) {
            return;
        }
        let invite = matches!(client.machine, Machine::Invite(_));
        self.effects.push_back(Effect::Unreachable { id: ClientId(id), user: client.user, left: true });
        if !invite {
            self.remove_client(id);
        }
    }

    /// The request could not be sent: without any response the transaction ends.
    pub(super) fn request_failed(&mut self, now: Instant, id: u64) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if client.machine.is_unanswered()
            && let Some((octets, to)) = client.datagram.take().map(|datagram| *datagram)
        {
            // No octet left: the transaction begins once more, over UDP.
            let times = Times::new(self.t1, Transport::Udp);
            client.machine = match client.machine {
                Machine::Invite(_) => Machine::Invite(InviteClient::new(now, times)),
                Machine::NonInvite(_) => Machine::NonInvite(NonInviteClient::new(now, times)),
            };
            (client.octets, client.to, client.transport) = (octets.clone(), to.clone(), Transport::Udp);
            self.leave_flow(id);
            self.effects.push_back(Effect::Send { token: token(REQUEST, id), to, octets });
            return self.settle_client(id);
        }
        let Some(client) = self.clients.get(id) else { return };
        if client.machine.is_unanswered() {
            self.effects.push_back(Effect::Unreachable { id: ClientId(id), user: client.user, left: false });
            self.remove_client(id);
        }
    }

    /// Where to send what follows the request: the same flow, so that it reaches the same host; the hop
    /// once that flow is lost.
    fn way(&self, id: u64) -> Option<Destination> {
        let client = self.clients.get(id)?;
        match client.flow {
            Some(flow) if !self.flows.is_lost(flow) => Some(Destination::Flow(flow)),
            _ => Some(client.to.clone()),
        }
    }

    fn acknowledge(&mut self, id: u64, response: &Message) {
        let Some(to) = self.way(id) else { return };
        let Some(client) = self.clients.get(id) else { return };
        if let Some(octets) = derived::acknowledge(&client.octets, response) {
            self.effects.push_back(Effect::Send { token: token(ACKNOWLEDGEMENT, id), to, octets });
        }
    }

    /// Brings timer, waiting list and memory in line with the machine after an event.
    fn settle_client(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if client.machine.is_terminated() {
            self.remove_client(id);
            return;
        }
        if !client.machine.needs_request() {
            client.octets = Bytes::new();
        }
        let at = client.machine.deadlines().earliest();
        if !client.machine.is_unanswered() {
            self.stop_waiting(id);
        }
        self.schedule(Owner::Client(id), at);
    }

    fn stop_waiting(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if let (Some(flow), Some(place)) = (client.flow, client.waiting.take())
            && let Some(moved) = self.flows.stop_waiting(flow, place)
            && let Some(moved) = self.clients.get_mut(moved)
        {
            moved.waiting = Some(place);
        }
    }

    fn leave_flow(&mut self, id: u64) {
        self.stop_waiting(id);
        if let Some(flow) = self.clients.get_mut(id).and_then(|client| client.flow.take()) {
            self.flows.release(flow);
        }
    }

    fn remove_client(&mut self, id: u64) {
        self.leave_flow(id);
        if let Some(client) = self.clients.remove(id) {
            self.by_branch.remove(client.hash, id);
            self.timers.cancel(&Owner::Client(id));
        }
    }
}
