//! What the element answers by itself: OPTIONS, refusals, octets that are no message; and where an
//! answer goes whose connection is gone.

use super::Edge;
use crate::call::CallKey;
use crate::event::{DropReason, EventKind};
use crate::flow::{FlowId, Peer};
use crate::io::{Destination, Output};
use crate::normalize;
use crate::routing;
use crate::screen;
use crate::sip::{Draft, Malformed, Message, Method, Name, Uri, Via};
use crate::transaction::ServerId;
use crate::trunk::Trunk;
use bytes::Bytes;
use std::sync::Arc;

impl Edge {
    /// A response whose flow is gone goes to the top Via, where its trunk allows that (RFC 3261 §18.2.2, TDR-80).
    pub(super) fn redirect(&mut self, id: ServerId, octets: &Bytes) {
        let hop = Message::parse(octets.clone()).ok().and_then(|response| {
            let via = Via::parse(response.header(Name::Via)?).ok()?;
            let host = via.received().unwrap_or(via.host());
            let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
            let text = via.port().map_or_else(|| format!("sip:{host}"), |port| format!("sip:{host}:{port}"));
            let uri = Uri::parse(&text).ok()?;
            let call = self.cx.transactions.server_user(id).and_then(|user| self.calls.get(&CallKey(user)));
            let hop = |trunk: &Arc<Trunk>| routing::hop_for_uri(&self.cx.snapshot, trunk, &uri).ok();
            match call {
                Some(call) => call.trunks_of(id).find_map(hop),
                None => self.cx.snapshot.trunks.iter().find_map(hop),
            }
        });
        match hop {
            Some(hop) => self.cx.transactions.redirect(id, Destination::Hop(Arc::new(hop))),
            None => self.cx.event(None, EventKind::Dropped { reason: DropReason::ForbiddenDestination }),
        }
    }

    /// 200 with Contact and Allow, or the hub rejects it (TDR-34, 36); 503 to others while draining (GEN-84, 87).
    pub(super) fn answer_options(&mut self, id: ServerId, request: &Message, via: Option<&str>, peer: &Peer) {
        let trunk = match screen::trunk_of(&self.cx.snapshot, peer, request) {
            Ok(trunk) => trunk,
            Err(refusal) => return self.refuse(id, request, via, refusal.status(), &refusal.to_string(), |_| {}),
        };
        if let Err(refusal) = screen::acceptable(request) {
            return self
                .refuse(id, request, via, refusal.status(), &refusal.to_string(), |draft| refusal.explain(draft));
        }
        if self.cx.draining && trunk.kind != crate::trunk::Kind::Teams {
            return self.refuse(id, request, via, 503, "Draining", |draft| {
                draft.put(Name::RetryAfter, "60");
            });
        }
        self.refuse(id, request, via, 200, "OK", |draft| {
            draft.put(Name::Contact, &normalize::contact(&trunk, None)).put(Name::Accept, "application/sdp");
            draft.put(Name::Supported, normalize::supported(&trunk));
        });
    }

    /// A final response of the element itself. Allow goes with it, as RFC 3261 §20.5 recommends.
    pub(super) fn refuse(
        &mut self,
        id: ServerId,
        request: &Message,
        via: Option<&str>,
        status: u16,
        phrase: &str,
        fill: impl FnOnce(&mut Draft),
    ) {
        let slot = self.cx.minter.slot();
        let tag = self.cx.minter.tag(slot);
        let mut draft = Draft::response(request, status, phrase, &tag, via);
        if *request.method() != Method::Cancel {
            draft.put(Name::Allow, ALLOW);
        }
        draft.put(Name::Server, &self.cx.snapshot.edge.product);
        fill(&mut draft);
        self.cx.transactions.respond(self.cx.now.monotonic, id, status, draft.finish());
    }

    /// 400, 505 or 513 whose reason names the fault; nothing for responses and ACKs (§8.1.3.5, §17).
    pub(super) fn handle_malformed(
        &mut self,
        request: Option<Box<Message>>,
        fault: Malformed,
        flow: FlowId,
        peer: &Peer,
    ) {
        let Some(request) = request.filter(|request| *request.method() != Method::Ack) else {
            return self.cx.event(None, EventKind::Dropped { reason: DropReason::Malformed });
        };
        self.observe(Some(flow), peer.trunks.first().copied(), true, request.octets());
        let slot = self.cx.minter.slot();
        let tag = self.cx.minter.tag(slot);
        let via = request.header(Name::Via).and_then(|value| Via::received_from(value, peer.source));
        let (status, reason) = (fault.status(), fault.to_string());
        let mut draft = Draft::response(&request, status, &reason, &tag, via.as_deref());
        draft.put(Name::Server, &self.cx.snapshot.edge.product);
        let octets = draft.finish();
        self.cx.event(None, EventKind::Refused { trunk: peer.trunks.first().copied(), status, reason });
        let token = crate::io::UNTRACKED;
        self.cx.output(Output::Send { token, to: Destination::Flow(flow), octets });
    }
}

/// What we take; REFER is not among it until transfers are done here (TDR-56).
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, PRACK, UPDATE, NOTIFY";
