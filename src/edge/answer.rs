//! What the element answers by itself: OPTIONS, refusals, octets that are no message; and where an
//! answer goes whose connection is gone.

use super::Edge;
use crate::call::CallKey;
use crate::event::{DropReason, EventKind};
use crate::flow::{FlowId, Peer, TrunkId};
use crate::io::{Destination, Output};
use crate::normalize;
use crate::routing;
use crate::rules::Direction;
use crate::screen;
use crate::sip::{Draft, Malformed, Message, Method, Name, NameAddr, Uri, Via};
use crate::transaction::ServerId;
use crate::trunk::{Kind, Trunk};
use bytes::Bytes;
use std::hash::BuildHasher;
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

    pub(super) fn answer_options(&mut self, id: ServerId, request: &Message, via: Option<&str>, peer: &Peer) {
        let slot = self.cx.minter.slot();
        let tag = self.cx.minter.tag(slot);
        let (status, octets) = self.options_answer(request, via, peer, &tag);
        self.cx.transactions.respond(self.cx.now.monotonic, id, status, octets);
    }

    /// 200 with Contact and Allow, or the hub rejects it (TDR-34, 36); 503 to others while draining (GEN-84, 87).
    fn options_answer(&mut self, request: &Message, via: Option<&str>, peer: &Peer, tag: &str) -> (u16, Bytes) {
        let product = self.cx.snapshot.edge.product.clone();
        let answer = |status, phrase: &str, fill: &dyn Fn(&mut Draft)| {
            let mut draft = Draft::response(request, status, phrase, tag, via);
            draft.put(Name::Allow, ALLOW).put(Name::Server, &product);
            fill(&mut draft);
            (status, draft.finish())
        };
        let trunk = match screen::trunk_of(&self.cx.snapshot, peer, request) {
            Ok(trunk) => trunk,
            Err(refusal) => {
                if refusal == screen::Refusal::Routing(routing::Refusal::UnknownTrunk) {
                    self.note_unknown_name(request, peer);
                }
                return answer(refusal.status(), &refusal.to_string(), &|_| {});
            }
        };
        if let Err(refusal) = screen::acceptable(request) {
            return answer(refusal.status(), &refusal.to_string(), &|draft| refusal.explain(draft));
        }
        let host = asker(request);
        self.cx.event(None, EventKind::AskedBy { trunk: trunk.id, host });
        if self.cx.draining && trunk.kind != Kind::Teams {
            return answer(503, "Draining", &|draft| {
                draft.put(Name::RetryAfter, "60");
            });
        }
        answer(200, "OK", &|draft| {
            draft.put(Name::Contact, &normalize::contact(&trunk, None)).put(Name::Accept, "application/sdp");
            draft.put(Name::Supported, normalize::supported(&trunk));
        })
    }

    /// Tells of a request of the hub for a name of ours that no trunk has: a customer whose trunk is missing here, or
    /// misspelt there (TDR-158).
    pub(super) fn note_unknown_name(&mut self, request: &Message, peer: &Peer) {
        let is_hub = |id: &TrunkId| self.cx.snapshot.trunk(*id).is_some_and(|trunk| trunk.kind == Kind::Teams);
        let Some(trunk) = peer.trunks.iter().copied().find(is_hub) else { return };
        let host = Uri::parse(request.request_uri()).ok().map(|uri| uri.host().to_ascii_lowercase());
        if let Some(host) = host.filter(|host| host.len() <= LONGEST_NAME) {
            self.cx.event(None, EventKind::UnknownName { trunk, host: host.into() });
        }
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
        let mut draft = self.refusal(request, via, status, phrase);
        fill(&mut draft);
        self.cx.transactions.respond(self.cx.now.monotonic, id, status, draft.finish());
    }

    /// The final response to an INVITE that does not become a call, after the operator's rules for its trunk.
    pub(super) fn refuse_call(
        &mut self,
        id: ServerId,
        request: &Message,
        via: Option<&str>,
        refusal: &screen::Refusal,
        peer: &Peer,
    ) {
        let status = refusal.status();
        let mut draft = self.refusal(request, via, status, &refusal.phrase());
        refusal.explain(&mut draft);
        let mut octets = draft.finish();
        let trunk = screen::trunk_of(&self.cx.snapshot, peer, request).ok();
        if let Some(trunk) = trunk.filter(|trunk| self.cx.snapshot.rules.concern(trunk.id, Direction::Out)) {
            self.cx.story = Some(screen::story(&trunk, &self.cx.snapshot.edge.country_code, request));
            octets = self.cx.leave_bare(&trunk, octets);
            self.cx.put_down();
        }
        self.cx.transactions.respond(self.cx.now.monotonic, id, status, octets);
    }

    fn refusal(&mut self, request: &Message, via: Option<&str>, status: u16, phrase: &str) -> Draft {
        let slot = self.cx.minter.slot();
        let tag = self.cx.minter.tag(slot);
        let mut draft = Draft::response(request, status, phrase, &tag, via);
        if *request.method() != Method::Cancel {
            draft.put(Name::Allow, ALLOW);
        }
        draft.put(Name::Server, &self.cx.snapshot.edge.product);
        draft
    }

    /// No room for the request's transaction: 503 to an INVITE, which may be tried elsewhere (§21.5.4); OPTIONS are
    /// answered without one, or the hub would take us out of use for being busy (TDR-36); what else there is comes
    /// again, or its sender gives up.
    pub(super) fn turn_away(&mut self, request: &Message, via: Option<&str>, flow: FlowId, peer: &Peer) {
        if *request.method() == Method::Options && crate::sip::tag(request.header(Name::To).unwrap_or("")).is_none() {
            let tag = stateless_tag(request, &self.tags);
            let (_, octets) = self.options_answer(request, via, peer, &tag);
            let (token, to) = (crate::io::UNTRACKED, Destination::Flow(flow));
            return self.cx.output(Output::Send { token, to, octets });
        }
        if *request.method() != Method::Invite {
            return self.cx.event(None, EventKind::Dropped { reason: DropReason::Overload });
        }
        let (trunk, reason) = (peer.trunks.first().copied(), "Too many transactions".to_owned());
        self.cx.event(None, EventKind::Refused { trunk, status: 503, reason });
        let octets = overload(request, via, &self.tags);
        self.cx.output(Output::Send { token: crate::io::UNTRACKED, to: Destination::Flow(flow), octets });
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

/// 503 to a request that there is no room for. Its To tag is the same each time, as for a stateless
/// UAS (RFC 3261 §8.2.7); `tags` makes it, and has to be unknown to peers.
pub fn overload(request: &Message, via: Option<&str>, tags: &impl BuildHasher) -> Bytes {
    let mut draft = Draft::response(request, 503, "Service Unavailable", &stateless_tag(request, tags), via);
    draft.put_number(Name::RetryAfter, 2);
    draft.finish()
}

/// The To tag of an answer without transaction: the same for each repetition of the request (RFC 3261 §8.2.7).
fn stateless_tag(request: &Message, tags: &impl BuildHasher) -> String {
    let tag = tags.hash_one((request.call_id(), request.cseq().number, request.values(Name::Via).next()));
    format!("{tag:016x}")
}

/// Who asks, by its Contact, else by its From (TDR-36: `sip-du-a-us.pstnhub.microsoft.com`); empty where neither
/// can be read.
fn asker(request: &Message) -> Arc<str> {
    let values = request.values(Name::Contact).next().into_iter().chain(request.header(Name::From));
    let mut hosts = values.filter_map(|value| {
        let address = NameAddr::parse(value).ok()?;
        let host = address.uri().ok()?.host().to_ascii_lowercase();
        (host.len() <= LONGEST_NAME).then_some(host)
    });
    hosts.next().unwrap_or_default().into()
}

/// The longest host name (RFC 1035 §2.3.4); a longer one is no name.
const LONGEST_NAME: usize = 255;

/// What we take; REFER is not among it until transfers are done here (TDR-56).
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, PRACK, UPDATE, NOTIFY";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overload_is_told_with_the_same_tag_each_time() {
        let text = "BYE sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TLS b.example.com;branch=z9hG4bKa\r\n\
                    From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: x\r\nCSeq: 1 BYE\r\n\r\n";
        let request = Message::parse(Bytes::from_static(text.as_bytes())).unwrap();
        let tags = foldhash::fast::RandomState::default();
        let response = Message::parse(overload(&request, None, &tags)).unwrap();
        assert_eq!((response.status(), response.header(Name::RetryAfter)), (Some(503), Some("2")));
        assert_eq!(response.octets(), overload(&request, None, &tags));
    }
}
