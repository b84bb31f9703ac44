//! The network between the element and the platforms: connections, delay, loss, what breaks.

use super::super::script::{FirstHost, MS, TEAMS};
use super::{Flow, Happening, World};
use bytes::Bytes;
use smallvec::smallvec;
use std::sync::Arc;
use tandem::flow::{FlowId, Hop, ListenerId, Peer, Transport};
use tandem::io::{Destination, Input, Token, UNTRACKED};
use tandem::sip::{Message, Method, Name};
use tandem::transaction::Effect;

impl World {
    /// The element sends.
    pub(super) fn carry(&mut self, worker: usize, token: Token, to: &Destination, octets: Bytes) {
        let id = match to {
            Destination::Flow(flow) => *flow,
            Destination::Hop(hop) => {
                let id = self.dial(worker, hop);
                if token != UNTRACKED {
                    let now = self.moment();
                    self.edges[worker].handle_input(now, Input::Sent { token, flow: id });
                }
                id
            }
        };
        let Some(flow) = self.flows.get(&id) else {
            return self.checks.faults.push("sends on a flow that never was".to_owned());
        };
        let platform = flow.platform;
        let (up, refused) = (flow.up, flow.host == "sip.pstnhub.microsoft.com" && !flow.inbound);
        let trunk = self.snapshot.trunks[platform].clone();
        self.ladder.push((self.now, if platform == TEAMS { "teams   <-" } else { "genesys <-" }, octets.clone()));
        self.checks.said(platform, &trunk, to, &octets);
        let refused = refused && self.options.first_host == FirstHost::Refuses;
        if !up || refused {
            let after = if refused { self.network.between(0, 3_000) * MS } else { 0 };
            self.later(after, Happening::Unsent { worker, token });
            return;
        }
        if !self.options.udp || platform == TEAMS {
            let silent = self.options.first_host == FirstHost::Silent;
            if silent && self.flows.get(&id).is_some_and(|flow| flow.host == "sip.pstnhub.microsoft.com") {
                return;
            }
            if self.options.first_host == FirstHost::Busy
                && self.flows.get(&id).is_some_and(|flow| flow.host == "sip.pstnhub.microsoft.com")
                && let Ok(request) = Message::parse(octets.clone())
                && *request.method() == Method::Invite
                && request.is_request()
                && tandem::sip::tag(request.header(Name::To).unwrap_or("")).is_none()
            {
                let busy = tandem::sip::Draft::response(&request, 503, "Busy", "busy", None).finish();
                self.later(10 * MS, Happening::ToEdge { flow: id, octets: busy });
                return;
            }
        }
        for at in self.journey(id, 1) {
            self.later(at - self.now, Happening::ToPlatform { platform, flow: id, octets: octets.clone() });
        }
        self.weather(id);
    }

    /// When a message put on a flow now arrives: never, once, or twice.
    pub(super) fn journey(&mut self, id: FlowId, end: usize) -> Vec<u64> {
        let Some(flow) = self.flows.get_mut(&id) else { return Vec::new() };
        let mut at = self.now + self.network.between(2, 60) * MS;
        if flow.peer.transport.is_reliable() {
            at = at.max(flow.arrivals[end] + 1);
            flow.arrivals[end] = at;
            return vec![at];
        }
        if self.network.chance(self.options.loss) {
            return Vec::new();
        }
        if self.network.chance(10) {
            at += self.network.between(50, 400) * MS;
        }
        if self.network.chance(self.options.twice) {
            return vec![at, at + self.network.between(1, 700) * MS];
        }
        vec![at]
    }

    /// A connection may break under what it carries.
    pub(super) fn weather(&mut self, id: FlowId) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if !flow.peer.transport.is_reliable() || !self.network.chance(self.options.breaks) {
            return;
        }
        flow.up = false;
        let platform = flow.platform;
        let after = if self.network.chance(60) { 0 } else { self.network.between(1, 3_000) * MS };
        self.later(after, Happening::EdgeLoses { flow: id });
        let now = self.moment().monotonic;
        self.platforms[platform].tx.flow_lost(now, id);
        // What that leads to comes with the next step: this may be in the midst of a platform's own.
        self.later(0, Happening::PlatformUnsent { platform, token: Token(0) });
    }

    pub(super) fn dial(&mut self, worker: usize, hop: &Hop) -> FlowId {
        let platform = usize::from(hop.trunk.0);
        let udp = hop.transport == Transport::Udp;
        let host = if udp { "udp".to_owned() } else { hop.host.to_string() };
        let home = if udp { 0 } else { worker as u16 };
        let mut known: Vec<FlowId> = self
            .flows
            .iter()
            .filter(|(id, flow)| {
                id.worker == home && flow.platform == platform && flow.up && flow.host == host && (udp || !flow.inbound)
            })
            .map(|(&id, _)| id)
            .collect();
        known.sort();
        known.first().copied().unwrap_or_else(|| self.open(platform, home, host, false))
    }

    pub(super) fn open(&mut self, platform: usize, worker: u16, host: String, inbound: bool) -> FlowId {
        self.flows_made += 1;
        let id = FlowId { node: 1, worker, n: self.flows_made };
        let trunk = &self.snapshot.trunks[platform];
        let address = if platform == TEAMS { "52.113.9.9" } else { "203.0.113.21" };
        let port = if trunk.transport == Transport::Udp { 5061 } else { 20_000 + (self.flows_made % 30_000) as u16 };
        let source = format!("{address}:{port}").parse().unwrap();
        let peer = Arc::new(Peer {
            source,
            listener: inbound.then_some(ListenerId(0)),
            transport: trunk.transport,
            names: Vec::new(),
            trunks: smallvec![trunk.id],
        });
        self.flows.insert(id, Flow { platform, host, inbound, up: true, peer, arrivals: [0, 0] });
        id
    }

    /// A connection of the platform's to the element.
    pub(super) fn connection(&mut self, platform: usize) -> FlowId {
        if self.platforms[platform].transport == Transport::Udp {
            let known = self.flows.iter().find(|(_, flow)| flow.platform == platform && flow.host == "udp");
            return known.map(|(&id, _)| id).unwrap_or_else(|| self.open(platform, 0, "udp".to_owned(), true));
        }
        let mut known: Vec<FlowId> = self
            .flows
            .iter()
            .filter(|(_, flow)| flow.platform == platform && flow.up && flow.inbound)
            .map(|(&id, _)| id)
            .collect();
        known.sort();
        if known.is_empty() || (known.len() < 12 && self.network.chance(self.options.fresh)) {
            let worker = self.network.below(self.edges.len() as u64) as u16;
            return self.open(platform, worker, "inbound".to_owned(), true);
        }
        self.network.pick(&known)
    }

    /// What a platform's transactions want done.
    pub(super) fn settle(&mut self, platform: usize) {
        loop {
            let sends = std::mem::take(&mut self.platforms[platform].sends);
            for octets in sends {
                let flow = self.connection(platform);
                self.leave(platform, flow, octets, None);
            }
            let Some(effect) = self.platforms[platform].tx.poll() else { break };
            match effect {
                Effect::Send { token, to: Destination::Hop(_), octets } => {
                    let flow = self.connection(platform);
                    self.platforms[platform].tx.sent(token, flow);
                    self.leave(platform, flow, octets, Some(token));
                }
                Effect::Send { token, to: Destination::Flow(flow), octets } => {
                    self.leave(platform, flow, octets, Some(token));
                }
                Effect::ResponseUnsendable { id, .. } => {
                    let hop = self.platforms[platform].hop.clone();
                    self.platforms[platform].tx.redirect(id, Destination::Hop(hop));
                }
                Effect::TimedOut { id, .. } => {
                    self.with_platform(platform, |one, env| one.handle_failure(env, id, true))
                }
                Effect::Unreachable { id, .. } => {
                    self.with_platform(platform, |one, env| one.handle_failure(env, id, false));
                }
                Effect::TryingDue { .. } | Effect::NoAck { .. } => {}
            }
        }
    }

    /// A platform sends.
    pub(super) fn leave(&mut self, platform: usize, flow: FlowId, octets: Bytes, token: Option<Token>) {
        if !self.flows.get(&flow).is_some_and(|flow| flow.up) {
            if let Some(token) = token {
                self.later(0, Happening::PlatformUnsent { platform, token });
            }
            return;
        }
        for at in self.journey(flow, 0) {
            self.later(at - self.now, Happening::ToEdge { flow, octets: octets.clone() });
        }
        self.weather(flow);
    }
}
