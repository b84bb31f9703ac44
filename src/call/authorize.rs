//! Requests that go out again because the peer asks who we are (RFC 3261 §22.2, §22.3; RFC 8760; GEN-26).
//!
//! Where a trunk has an account, each request of a leg is kept until it is answered. A 401 or 407 to it ends here as
//! long as there is something to say: the same request leaves with credentials and the next CSeq, within the same
//! dialog. What was asked once is told unasked from then on, until its nonce no longer holds. Credentials are put in
//! behind the operator's rules and the guard: they hold for what really leaves. Requests of no call, OPTIONS to a host
//! and the BYE of a fork that lost, are kept by the [`Context`] and go the same way.

use super::context::{Context, Timer};
use super::leg::{Cancel, Leg, LegState, Purpose};
use super::{Call, CallKey, Side};
use crate::authentication::{Account, Lines, Said};
use crate::event::{EventKind, Proof};
use crate::flow::{Hop, TrunkId};
use crate::normalize;
use crate::sip::{Edits, Message, Method, Name};
use crate::transaction::ClientId;
use crate::trunk::Trunk;
use bytes::Bytes;
use std::sync::Arc;

/// A request that may be asked for credentials.
#[derive(Debug)]
pub struct Sent {
    id: ClientId,
    request: Message,
    hop: Arc<Hop>,
    said: Said,
}

impl Leg {
    /// Sends a request as a client transaction for `key`, with credentials where the trunk has asked for them before.
    pub(super) fn send(
        &mut self,
        cx: &mut Context,
        key: CallKey,
        method: &Method,
        branch: &str,
        hop: &Arc<Hop>,
        octets: Bytes,
    ) -> ClientId {
        match cx.authorized(&self.trunk, &octets) {
            Some((request, lines)) => self.transmit(cx, key, branch, hop.clone(), request, lines, Said::new()),
            None => cx.request(key, method, branch, hop, octets),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what is kept of a request; a struct for two callers says no more")]
    fn transmit(
        &mut self,
        cx: &mut Context,
        key: CallKey,
        branch: &str,
        hop: Arc<Hop>,
        request: Message,
        lines: Lines,
        said: Said,
    ) -> ClientId {
        let id = cx.request(key, request.method(), branch, &hop, request.octets());
        if *request.method() == Method::Invite {
            // The ACK of its 2xx says the same (RFC 3261 §22.1).
            self.authorization = lines;
        }
        self.sent.retain(|sent| cx.transactions.is_open(sent.id));
        self.sent.push(Sent { id, request, hop, said });
        id
    }
}

impl Call {
    /// Answers a 401 or 407 to the request of this transaction. Returns whether it went out again; if not, the
    /// response counts as it is.
    pub(super) fn answer_challenge(&mut self, cx: &mut Context, client: ClientId, response: &Message) -> bool {
        if !matches!(response.status(), Some(401 | 407)) {
            return false;
        }
        let key = self.key;
        for side in [Side::Caller, Side::Callee] {
            let Some(leg) = self.leg(side) else { continue };
            let Some(account) = leg.trunk.account.clone() else { continue };
            let Some(at) = leg.sent.iter().position(|sent| sent.id == client) else { continue };
            let mut sent = leg.sent.swap_remove(at);
            let lines = sent.answer(cx, leg.trunk.id, &account, response);
            let Some(lines) = lines.filter(|_| leg.still_wants(client)) else { return false };
            let cseq = leg.dialog.next_cseq();
            let slot = cx.minter.slot_of(&leg.dialog.local_tag);
            let branch = cx.minter.branch(slot);
            let request = sent.again(&leg.trunk, cseq, &branch, &lines);
            let id = leg.transmit(cx, key, &branch, sent.hop, request, lines, sent.said);
            if let Some(outgoing) = leg.outgoing.as_mut().filter(|outgoing| outgoing.id == client) {
                (outgoing.id, outgoing.cseq, outgoing.answered) = (id, cseq, false);
                match outgoing.purpose {
                    Purpose::Initial => cx.set_timer(key, Timer::Response, leg.trunk.response_timeout),
                    Purpose::Relayed | Purpose::Refresh | Purpose::Realign => {
                        cx.set_timer(key, Timer::Overdue(side), 64 * cx.t1());
                    }
                }
            }
            for (own, _) in leg.errands.iter_mut().filter(|(own, _)| *own == client) {
                *own = id;
            }
            return true;
        }
        false
    }
}

impl Leg {
    /// Whether the request of this transaction is still worth sending: not when it was cancelled or its leg is over,
    /// unless it is what ends the leg.
    fn still_wants(&self, client: ClientId) -> bool {
        match self.outgoing.as_ref().filter(|outgoing| outgoing.id == client) {
            Some(outgoing) => outgoing.cancel == Cancel::No && self.state != LegState::Ended,
            None => self.errands.iter().any(|(id, _)| *id == client),
        }
    }
}

impl Context {
    /// Sends a request that belongs to no call, with credentials where the trunk has asked for them before.
    pub fn request_alone(
        &mut self,
        trunk: &Trunk,
        method: &Method,
        branch: &str,
        hop: &Arc<Hop>,
        octets: Bytes,
    ) -> ClientId {
        let Some((request, _)) = self.authorized(trunk, &octets) else {
            return self.request(CallKey::NONE, method, branch, hop, octets);
        };
        let id = self.request(CallKey::NONE, method, branch, hop, request.octets());
        self.keep_alone(Sent { id, request, hop: hop.clone(), said: Said::new() });
        id
    }

    /// The final response to a request that belongs to no call. Where it asks for credentials and there is something to
    /// say, the request goes out again: as this transaction.
    pub fn answer_alone(&mut self, client: ClientId, response: &Message) -> Option<ClientId> {
        let at = self.alone.iter().position(|sent| sent.id == client)?;
        let mut sent = self.alone.swap_remove(at);
        if !matches!(response.status(), Some(401 | 407)) {
            return None;
        }
        let trunk = self.snapshot.trunk(sent.hop.trunk)?.clone();
        let account = trunk.account.as_ref()?;
        let lines = sent.answer(self, trunk.id, account, response)?;
        // Nothing follows it in its dialog, so that nobody else has this number.
        let cseq = sent.request.cseq().number.checked_add(1)?;
        let slot = self.minter.slot();
        let branch = self.minter.branch(slot);
        let request = sent.again(&trunk, cseq, &branch, &lines);
        let id = self.request(CallKey::NONE, request.method(), &branch, &sent.hop, request.octets());
        self.keep_alone(Sent { id, request, ..sent });
        Some(id)
    }

    fn keep_alone(&mut self, sent: Sent) {
        // Those without any response are forgotten here: never more are kept than there are transactions.
        self.alone.retain(|sent| self.transactions.is_open(sent.id));
        self.alone.push(sent);
    }

    /// The request with the credentials that the trunk has asked for before; `None`: we have no account there.
    fn authorized(&mut self, trunk: &Trunk, octets: &Bytes) -> Option<(Message, Lines)> {
        let account = trunk.account.as_ref()?;
        // What we have written ourselves can be read.
        let request = Message::parse(octets.clone()).ok()?;
        let random = self.minter.session_id();
        let lines = self.sessions.ahead(trunk.id, account, &request, random);
        Some((with(&request, Edits::new(), &lines), lines))
    }
}

impl Sent {
    /// What there is to say to this 401 or 407.
    fn answer(
        &mut self,
        cx: &mut Context,
        trunk: TrunkId,
        account: &Arc<Account>,
        response: &Message,
    ) -> Option<Lines> {
        let random = cx.minter.session_id();
        let lines = cx.sessions.answer(trunk, account, &self.request, &mut self.said, response, random);
        let proof = if lines.is_some() { Proof::Answered } else { Proof::Rejected };
        cx.event(cx.call, EventKind::Authentication { trunk, proof });
        lines
    }

    /// The request once more, as the next of its dialog and with these credentials.
    fn again(&self, trunk: &Trunk, cseq: u32, branch: &str, lines: &Lines) -> Message {
        let mut edits = Edits::new();
        edits.set(Name::Via, normalize::via(trunk, branch));
        edits.set(Name::CSeq, format!("{cseq} {}", self.request.method()));
        edits.remove(Name::Authorization).remove(Name::ProxyAuthorization);
        with(&self.request, edits, lines)
    }
}

/// `request` with these edits and credentials.
fn with<'e>(request: &Message, mut edits: Edits<'e>, lines: &'e Lines) -> Message {
    for (name, value) in lines {
        edits.add(*name, value.as_str());
    }
    // Nothing but values that are ours has changed.
    Message::parse(edits.write(request)).unwrap_or_else(|_| request.clone())
}
