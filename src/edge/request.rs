//! Whose a request is: a transaction's, a leg's, or the beginning of a call (RFC 3261 §8.2, §9.2, §12.2.2).
//!
//! - a request with our To tag belongs to the leg of that tag (TDR-22: never to a connection);
//! - a request without one is new: an INVITE may become a call ([`screen`]), OPTIONS is answered,
//!   everything else is refused.

use super::Edge;
use super::moving::Held;
use crate::call::{Call, CallKey, Side};
use crate::event::{DropReason, EventKind};
use crate::flow::{FlowId, Peer};
use crate::routing;
use crate::screen;
use crate::sip::{Draft, Message, Method, Name, Via};
use crate::transaction::{Received, ServerId};
use std::sync::Arc;

impl Edge {
    pub(super) fn handle_request(&mut self, request: Message, flow: FlowId, peer: &Arc<Peer>) {
        let now = self.cx.now.monotonic;
        let via = request.header(Name::Via).and_then(|value| Via::received_from(value, peer.source));
        let transport = peer.transport;
        let received = match self.cx.transactions.receive_request(now, &request, flow, transport) {
            Received::Overload if screen::is_emergency(&self.cx.snapshot, peer, &request) => {
                self.cx.transactions.receive_urgent(now, &request, flow, transport)
            }
            received => received,
        };
        match received {
            Received::Absorbed | Received::AckAbsorbed => {}
            Received::Overload => self.turn_away(&request, via.as_deref(), flow, peer),
            Received::Ack => self.handle_ack(&request, peer),
            Received::Merged(id) => self.refuse(id, &request, via.as_deref(), 482, "Loop Detected", |_| {}),
            Received::Cancel { cancel, invite } => self.handle_cancel(cancel, invite, &request, via.as_deref()),
            Received::New(id) => match crate::sip::tag(request.header(Name::To).unwrap_or("")) {
                Some(tag) => match self.leg_of(tag, &request, peer) {
                    Some((key, side)) => self.handle_within(key, side, id, request, via),
                    None if self.may_load(tag) => {
                        let tag = tag.to_owned();
                        self.hold(&tag, Held { id, request, via, peer: peer.clone() });
                    }
                    None => self.refuse(id, &request, via.as_deref(), 481, "No such call", |_| {}),
                },
                None => self.handle_initial(id, request, via, peer),
            },
        }
    }

    /// A request within a dialog that is here.
    pub(super) fn handle_within(
        &mut self,
        key: CallKey,
        side: Side,
        id: ServerId,
        request: Message,
        via: Option<String>,
    ) {
        match screen::passable(&request) {
            Ok(_) => self.with_call(key, |call, cx| call.handle_request(cx, side, id, request, via)),
            Err(refusal) => {
                let (status, reason) = (refusal.status(), refusal.to_string());
                self.refuse(id, &request, via.as_deref(), status, &reason, |_| {});
            }
        }
    }

    /// CANCEL is answered at once, under the To tag that the INVITE's responses have (§9.2).
    fn handle_cancel(&mut self, cancel: ServerId, invite: Option<ServerId>, request: &Message, via: Option<&str>) {
        let Some(invite) = invite else {
            return self.refuse(cancel, request, via, 481, "No such transaction", |_| {});
        };
        let key = CallKey(self.cx.transactions.server_user(invite).unwrap_or(CallKey::NONE.0));
        let tag = match self.calls.get(&key) {
            Some(call) => call.caller.dialog.local_tag.to_string(),
            None => {
                let slot = self.cx.minter.slot();
                self.cx.minter.tag(slot)
            }
        };
        let mut draft = Draft::response(request, 200, "OK", &tag, via);
        draft.put(Name::Server, &self.cx.snapshot.edge.product);
        self.cx.transactions.respond(self.cx.now.monotonic, cancel, 200, draft.finish());
        if let Some(held) = self.withdraw(key, invite) {
            return self.refuse(invite, &held.request, held.via.as_deref(), 487, "Request Terminated", |_| {});
        }
        self.with_call(key, |call, cx| call.handle_cancel(cx, invite, request));
    }

    fn handle_ack(&mut self, ack: &Message, peer: &Peer) {
        let tag = crate::sip::tag(ack.header(Name::To).unwrap_or(""));
        match tag.and_then(|tag| self.leg_of(tag, ack, peer)) {
            Some((key, side)) => self.with_call(key, |call, cx| call.handle_ack(cx, side, ack)),
            None => self.cx.event(None, EventKind::Dropped { reason: DropReason::StrayAck }),
        }
    }

    /// The leg that `tag` names, if the request carries its other identifiers and comes from its trunk.
    pub(super) fn leg_of(&self, tag: &str, request: &Message, peer: &Peer) -> Option<(CallKey, Side)> {
        let &(key, side) = self.cx.dialogs.get(tag)?;
        let call = self.calls.get(&key)?;
        let leg = call.leg_at(side)?;
        (call.knows(side, request) && peer.trunks.contains(&leg.trunk.id)).then_some((key, side))
    }

    fn handle_initial(&mut self, id: ServerId, request: Message, via: Option<String>, peer: &Arc<Peer>) {
        match request.method() {
            Method::Invite => {
                self.last_key += 1;
                let key = CallKey(self.last_key);
                let room = self.room();
                match screen::initial_invite(&mut self.cx, room, key, id, request, via, peer) {
                    Ok(new) => {
                        let call = Call::open(&mut self.cx, new);
                        self.cx.put_down();
                        self.calls.insert(key, Box::new(call));
                        self.touched.push(key);
                    }
                    Err(refused) => {
                        // A challenge is a question, and the call comes again with the answer.
                        let asked = matches!(refused.refusal, screen::Refusal::Challenge(_));
                        let record = if asked { None } else { refused.record(&mut self.cx, peer) };
                        let screen::Refused { request, via, refusal } = *refused;
                        let trunk = peer.trunks.first().copied();
                        let (status, reason) = (refusal.status(), refusal.to_string());
                        if !asked {
                            self.cx.event(None, EventKind::Refused { trunk, status, reason: reason.clone() });
                        }
                        if refusal == screen::Refusal::Routing(routing::Refusal::UnknownTrunk) {
                            self.note_unknown_name(&request, peer);
                        }
                        if let Some(record) = record {
                            self.cx.event(Some(record.id), EventKind::CallRefused(Arc::new(record)));
                        }
                        self.refuse_call(id, &request, via.as_deref(), &refusal, peer);
                    }
                }
            }
            Method::Options => self.answer_options(id, &request, via.as_deref(), peer),
            Method::Other(_) => self.refuse(id, &request, via.as_deref(), 501, "Not Implemented", |_| {}),
            Method::Bye | Method::Update | Method::Prack | Method::Info => {
                self.refuse(id, &request, via.as_deref(), 481, "No such call", |_| {});
            }
            _ => self.refuse(id, &request, via.as_deref(), 405, "Method Not Allowed", |_| {}),
        }
    }

    fn room(&self) -> screen::Room {
        let free = match self.cx.transactions.has_room() {
            true => self.cx.snapshot.edge.max_calls.saturating_sub(self.calls.len()),
            false => 0,
        };
        screen::Room { free, node: self.node }
    }
}
