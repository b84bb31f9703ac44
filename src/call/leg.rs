//! One leg of a call: a dialog with one platform, its descriptions, its session timer, and the
//! transactions open on it.
//!
//! A leg says what stands in the messages it sends (RFC 3261 §12.2, §13) and keeps what must be sent
//! again: its 2xx until the ACK comes, its ACK while 2xx are repeated. What crosses between legs is
//! decided by [`Call`](super::Call).

use super::authorize::Sent;
use super::context::{Context, Timer};
use super::description::Descriptions;
use super::dialog::Dialog;
use super::session_timer::{SessionTimer, min_se};
use super::{CallKey, Side};
use crate::authentication::Lines;
use crate::event::{DropReason, EventKind};
use crate::flow::Hop;
use crate::normalize;
use crate::normalize::guard::Rejection;
use crate::routing::{self, Forbidden};
use crate::sip::{Draft, Field, Message, Method, Name, Uri};
use crate::transaction::{ClientId, ServerId};
use crate::trunk::{Kind, Trunk};
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How far a leg is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LegState {
    /// Not answered yet.
    Early,
    /// A 2xx was sent or received (RFC 3261 §12.1).
    Confirmed,
    /// A BYE was sent or received, or the leg was never answered.
    Ended,
}

/// An INVITE or UPDATE of the peer that has no final response yet.
#[derive(Debug)]
pub struct Incoming {
    /// Its server transaction.
    pub id: ServerId,
    /// The request, for its responses.
    pub request: Message,
    /// The top Via with received and rport (RFC 3581), where they have to be added.
    pub via: Option<String>,
    /// The offer it carried.
    pub offer: Option<Bytes>,
    /// The session timer that counts once it is accepted; `None`: the one there is.
    pub timer: Option<SessionTimer>,
}

/// What an INVITE or UPDATE of ours is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// The initial INVITE.
    Initial,
    /// It carries the other leg's offer.
    Relayed,
    /// It refreshes the session with what was last sent (RFC 4028 §7.4).
    Refresh,
    /// It tells the peer what has changed on the other leg in the meantime.
    Realign,
}

/// An INVITE or UPDATE of ours that has no final response yet.
#[derive(Debug)]
pub struct Outgoing {
    /// Its client transaction.
    pub id: ClientId,
    /// Its sequence number.
    pub cseq: u32,
    /// What it is for.
    pub purpose: Purpose,
    /// Whether it carried an offer.
    pub offered: bool,
    /// The description sent before it, which counts again if it fails.
    pub before: Option<Bytes>,
    /// Whether any response came.
    pub answered: bool,
    /// Whether it was asked back, with the Reason for it; the CANCEL waits for a provisional (§9.1).
    pub cancel: Cancel,
}

/// How far the cancelling of an [`Outgoing`] is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Cancel {
    /// Nobody asked.
    No,
    /// A provisional response has to come first.
    Wanted(Option<String>),
    /// The CANCEL is out.
    Sent,
}

/// A 2xx of ours to an INVITE whose ACK has not come.
#[derive(Debug)]
pub struct Unacknowledged {
    /// The INVITE's server transaction.
    pub id: ServerId,
    /// The 2xx.
    pub octets: Bytes,
    /// Sequence number of the INVITE, which the ACK carries.
    pub cseq: u32,
    /// Whether it carried an offer, so that the ACK has to carry the answer.
    pub offered: bool,
    /// The pause before the next repetition.
    pub pause: Duration,
    /// When we stop and end the call: 64·T1 after the first (RFC 3261 §13.3.1.4).
    pub until: Instant,
}

/// An ACK of ours to a 2xx, sent again with each repetition of that: CSeq, octets, hop.
pub type Acknowledged = (u32, Bytes, Arc<Hop>);

/// A request other than INVITE and UPDATE of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Errand {
    /// BYE: the leg is over when it ends, whatever the answer. How often it was sent before.
    Bye(u8),
    /// PRACK, whose response says nothing that counts. Kept where it may be asked for credentials.
    Prack,
    /// OPTIONS that asks whether the dialog still lives.
    Probe,
    /// INFO of the other leg, whose response crosses back to this server transaction.
    Info(ServerId),
}

/// One leg.
#[derive(Debug)]
pub struct Leg {
    /// Which side of the call it is.
    pub side: Side,
    /// The trunk it is on.
    pub trunk: Arc<Trunk>,
    /// Its dialog.
    pub dialog: Dialog,
    /// How far it is.
    pub state: LegState,
    /// Our Contact in every message of the dialog (TDR-53).
    pub contact: String,
    /// Its descriptions.
    pub media: Descriptions,
    /// Its session timer.
    pub timer: SessionTimer,
    /// When the session ends unless it is refreshed, milliseconds since the Unix epoch; `None` without timer.
    pub expires_ms: Option<u64>,
    /// Min-SE of our requests, in seconds: the trunk's, or the largest that the peer asked for (RFC 4028 §7.4).
    pub min_se: u32,
    /// The peer's INVITE or UPDATE that waits for us.
    pub incoming: Option<Incoming>,
    /// Our INVITE or UPDATE that waits for the peer.
    pub outgoing: Option<Outgoing>,
    /// Our 2xx that waits for its ACK.
    pub unacknowledged: Option<Unacknowledged>,
    /// The ACK of the peer's last 2xx.
    pub ack: Option<Acknowledged>,
    /// Sequence number of the peer's 2xx whose offer our ACK has to answer.
    pub owes_answer: Option<u32>,
    /// Our other requests.
    pub errands: SmallVec<[(ClientId, Errand); 2]>,
    /// Our requests that the peer may ask credentials for; kept only where the trunk has an account.
    pub sent: Vec<Sent>,
    /// The credentials of our last INVITE, which its ACK repeats (RFC 3261 §22.1).
    pub authorization: Lines,
    /// A BYE that waits for the ACK of our 2xx (RFC 3261 §15), with its Reason.
    pub bye_after_ack: Option<Option<String>>,
    /// Reason of our BYE, should that have to be sent again.
    pub bye_reason: Option<String>,
    /// A BYE whose connection broke is due again, with how often it was sent.
    pub bye_again: Option<u8>,
    /// What the peer has to be told by a re-INVITE as soon as the leg is free.
    pub realign: Option<Bytes>,
    /// How often in a row it was realigned; bounded, so that two sides cannot chase each other.
    pub realigned: u8,
}

impl Leg {
    /// A leg before its answer.
    pub fn new(side: Side, trunk: Arc<Trunk>, dialog: Dialog, contact: String, session_id: u64) -> Self {
        Self {
            side,
            min_se: trunk.min_se,
            trunk,
            dialog,
            state: LegState::Early,
            contact,
            media: Descriptions::new(session_id),
            timer: SessionTimer::default(),
            expires_ms: None,
            incoming: None,
            outgoing: None,
            unacknowledged: None,
            ack: None,
            owes_answer: None,
            errands: SmallVec::new(),
            sent: Vec::new(),
            authorization: Lines::new(),
            bye_after_ack: None,
            bye_reason: None,
            bye_again: None,
            realign: None,
            realigned: 0,
        }
    }

    /// Whether an offer is under way in either direction (RFC 3261 §14, RFC 3311 §5.2).
    pub fn is_busy(&self) -> bool {
        self.incoming.is_some()
            || self.outgoing.is_some()
            || self.unacknowledged.is_some()
            || self.owes_answer.is_some()
    }

    /// Whether nothing of the leg is left to wait for.
    pub fn is_over(&self) -> bool {
        self.state == LegState::Ended
            && self.outgoing.is_none()
            && self.errands.is_empty()
            && self.bye_after_ack.is_none()
            && self.bye_again.is_none()
    }

    /// Where the next request of the dialog goes (TDR-83, 84; design: "Where we dial"). `None` when the
    /// peer named a place the trunk does not let us dial; that is reported.
    pub fn hop(&self, cx: &mut Context) -> Option<Arc<Hop>> {
        let hop = Uri::parse(self.dialog.next_hop())
            .ok()
            .and_then(|uri| routing::hop_for_uri(&cx.snapshot, &self.trunk, &uri).ok())
            .map(Arc::new);
        if hop.is_none() {
            cx.event(None, EventKind::Dropped { reason: DropReason::ForbiddenDestination });
        }
        hop
    }

    /// Takes the Contact of a target refresh (RFC 3261 §12.2). Returns whether the target changed. One that the trunk
    /// does not let us dial is not taken, since nothing could be sent after it; that is reported.
    ///
    /// # Errors
    ///
    /// Why it may not be dialled.
    pub fn retarget(&mut self, cx: &mut Context, message: &Message) -> Result<bool, Forbidden> {
        let hop = Uri::parse(self.dialog.next_hop_after(message)).map_err(|_| Forbidden::Scheme);
        match hop.and_then(|uri| routing::hop_for_uri(&cx.snapshot, &self.trunk, &uri)) {
            Ok(_) => Ok(self.dialog.retarget(message)),
            Err(forbidden) => {
                cx.event(None, EventKind::Dropped { reason: DropReason::ForbiddenDestination });
                Err(forbidden)
            }
        }
    }

    /// The beginning of a request of ours, and its branch.
    pub fn draft(&self, cx: &mut Context, method: &Method, cseq: u32) -> (Draft, String) {
        let slot = cx.minter.slot_of(&self.dialog.local_tag);
        let branch = cx.minter.branch(slot);
        let via = normalize::via(&self.trunk, &branch);
        let mut draft = self.dialog.request(method, cseq, &via, MAX_FORWARDS);
        if matches!(method, Method::Invite | Method::Update | Method::Options) {
            draft.put(Name::Contact, &self.contact);
            draft
                .put(Name::Allow, normalize::allow(&self.trunk))
                .put(Name::Supported, normalize::supported(&self.trunk));
        }
        match method {
            Method::Invite | Method::Options => {
                normalize::introduce(&mut draft, &self.trunk, &cx.snapshot.edge.product);
            }
            _ => drop(draft.put(Name::UserAgent, &cx.snapshot.edge.product)),
        }
        (draft, branch)
    }

    /// Sends an INVITE or UPDATE within the dialog, with `offer` where there is one. Returns whether it could leave;
    /// why not has been reported.
    pub fn offer(
        &mut self,
        cx: &mut Context,
        key: CallKey,
        method: &Method,
        purpose: Purpose,
        offer: Option<Bytes>,
    ) -> bool {
        let Some(hop) = self.hop(cx) else {
            return false;
        };
        let cseq = self.dialog.next_cseq();
        let (mut draft, branch) = self.draft(cx, method, cseq);
        if let Some(value) = self.timer.value(false) {
            draft.put(Name::SessionExpires, &value);
            draft.put_number(Name::MinSe, self.min_se);
        }
        let before = self.media.sent.clone();
        let offered = offer.is_some();
        if let Some(offer) = offer {
            draft.body("application/sdp", offer);
        }
        let Ok(request) = cx.leave(&self.trunk, draft) else {
            self.dialog.give_back(cseq);
            return false;
        };
        let id = self.send(cx, key, method, &branch, &hop, request.octets());
        cx.set_timer(key, Timer::Overdue(self.side), 64 * cx.t1());
        let cancel = Cancel::No;
        self.outgoing = Some(Outgoing { id, cseq, purpose, offered, before, answered: false, cancel });
        true
    }

    /// Sends the ACK of a 2xx with `cseq`, carrying `answer` when the 2xx made the offer (§13.2.2.4).
    pub fn acknowledge(&mut self, cx: &mut Context, cseq: u32, answer: Option<Bytes>) {
        self.owes_answer = None;
        let Some(hop) = self.hop(cx) else {
            return;
        };
        let (mut draft, _) = self.draft(cx, &Method::Ack, cseq);
        for (name, value) in &self.authorization {
            draft.put(*name, value);
        }
        if let Some(answer) = answer {
            draft.body("application/sdp", answer);
        }
        let octets = draft.finish();
        cx.send_ack(&hop, octets.clone());
        self.ack = Some((cseq, octets, hop));
    }

    /// Sends a request other than INVITE and UPDATE within the dialog.
    pub fn errand(
        &mut self,
        cx: &mut Context,
        key: CallKey,
        method: &Method,
        errand: Errand,
        fill: impl FnOnce(&mut Draft),
    ) -> bool {
        let Some(hop) = self.hop(cx) else {
            return false;
        };
        let cseq = self.dialog.next_cseq();
        let (mut draft, branch) = self.draft(cx, method, cseq);
        fill(&mut draft);
        let octets = match method {
            // A template, which nothing keeps from leaving.
            Method::Bye => draft.finish(),
            _ => match cx.leave(&self.trunk, draft) {
                Ok(request) => request.octets(),
                Err(_) => {
                    self.dialog.give_back(cseq);
                    return false;
                }
            },
        };
        let id = self.send(cx, key, method, &branch, &hop, octets);
        self.errands.push((id, errand));
        true
    }

    /// Sends BYE on nobody's account: no call waits for its end.
    pub fn bye_alone(&mut self, cx: &mut Context) {
        let Some(hop) = self.hop(cx) else { return };
        let cseq = self.dialog.next_cseq();
        let (draft, branch) = self.draft(cx, &Method::Bye, cseq);
        cx.request_alone(&self.trunk, &Method::Bye, &branch, &hop, draft.finish());
    }

    /// A response of ours within the dialog, without body (RFC 3261 §8.2.6, TDR-80).
    pub fn response(&self, cx: &Context, request: &Message, via: Option<&str>, status: u16, reason: &str) -> Draft {
        let mut draft = Draft::response(request, status, reason, &self.dialog.local_tag, via);
        if (101..300).contains(&status) {
            draft.put(Name::Contact, &self.contact);
            draft
                .put(Name::Allow, normalize::allow(&self.trunk))
                .put(Name::Supported, normalize::supported(&self.trunk));
        }
        draft.put(Name::Server, &cx.snapshot.edge.product);
        draft
    }

    /// Sends a 2xx to `incoming`; that of an INVITE is repeated until its ACK (§13.3.1.4). `offered`
    /// says that `sdp` is an offer.
    ///
    /// # Errors
    ///
    /// Why it must not leave, with `incoming` for a refusal; the leg is as before.
    pub fn accept(
        &mut self,
        cx: &mut Context,
        key: CallKey,
        incoming: Incoming,
        sdp: Option<Bytes>,
        offered: bool,
        cross: &[(Field, String)],
    ) -> Result<(), Box<(Incoming, Rejection)>> {
        let mut draft = self.response(cx, &incoming.request, incoming.via.as_deref(), 200, "OK");
        let timer = incoming.timer.unwrap_or(self.timer);
        if let Some(value) = timer.value(true) {
            draft.put(Name::SessionExpires, &value);
            // RFC 4028 §9 wants this of a peer that refreshes; the hub is never sent a Require (TDR-57).
            if !timer.ours && self.trunk.kind != Kind::Teams {
                draft.put(Name::Require, "timer");
            }
        }
        for (field, value) in cross {
            draft.put(field.clone(), value);
        }
        if let Some(sdp) = sdp {
            draft.body("application/sdp", sdp);
        }
        let octets = match cx.leave(&self.trunk, draft) {
            Ok(response) => response.octets(),
            Err(rejection) => return Err(Box::new((incoming, rejection))),
        };
        self.timer = timer;
        self.min_se = self.min_se.max(min_se(&incoming.request).unwrap_or(0));
        cx.transactions.respond(cx.now.monotonic, incoming.id, 200, octets.clone());
        if *incoming.request.method() == Method::Invite {
            let t1 = cx.t1();
            let until = cx.now.monotonic + 64 * t1;
            let cseq = incoming.request.cseq().number;
            self.unacknowledged = Some(Unacknowledged { id: incoming.id, octets, cseq, offered, pause: t1, until });
            cx.set_timer(key, Timer::Repeat(self.side), t1);
        }
        self.watch(cx, key);
        Ok(())
    }

    /// Answers `incoming` with what was agreed before; 500 where that must not leave, and nothing has changed.
    pub fn answer(&mut self, cx: &mut Context, key: CallKey, incoming: Incoming, sdp: Option<Bytes>) {
        if let Err(withheld) = self.accept(cx, key, incoming, sdp, false, &[]) {
            self.refuse(cx, &withheld.0, 500, "Answer not acceptable", |_| {});
        }
    }

    /// Keeps the peer's offer until it can be answered. An INVITE hears 100 meanwhile, which ends its
    /// repetition over UDP (§17.2.1).
    pub fn keep(&mut self, cx: &mut Context, incoming: Incoming) {
        if *incoming.request.method() == Method::Invite {
            let trying = Draft::response(&incoming.request, 100, "Trying", "", incoming.via.as_deref()).finish();
            cx.transactions.respond(cx.now.monotonic, incoming.id, 100, trying);
        }
        self.incoming = Some(incoming);
    }

    /// Refuses `incoming`.
    pub fn refuse(
        &self,
        cx: &mut Context,
        incoming: &Incoming,
        status: u16,
        reason: &str,
        fill: impl FnOnce(&mut Draft),
    ) {
        let mut draft = self.response(cx, &incoming.request, incoming.via.as_deref(), status, reason);
        fill(&mut draft);
        let octets = match incoming.request.method() {
            Method::Invite | Method::Update => cx.leave_bare(&self.trunk, draft.finish()),
            _ => draft.finish(),
        };
        cx.transactions.respond(cx.now.monotonic, incoming.id, status, octets);
    }

    /// Starts what watches a confirmed leg: its session timer, or probes where it has none.
    pub fn watch(&mut self, cx: &mut Context, key: CallKey) {
        let lasts = self.timer.lasts().map(|seconds| u64::from(seconds) * 1000);
        self.expires_ms = lasts.map(|lasts| cx.now.unix_ms + lasts);
        match self.timer.due() {
            Some(seconds) => {
                cx.cancel_timer(key, Timer::Probe(self.side));
                cx.set_timer(key, Timer::Session(self.side), Duration::from_secs(u64::from(seconds)));
            }
            None => {
                cx.cancel_timer(key, Timer::Session(self.side));
                let interval = cx.snapshot.edge.probe_interval;
                cx.set_timer(key, Timer::Probe(self.side), interval);
            }
        }
    }

    /// Cancels an INVITE of ours: at once when it had a provisional response, else as soon as one
    /// comes (RFC 3261 §9.1).
    pub fn cancel(&mut self, cx: &mut Context, reason: Option<String>) {
        let Some(outgoing) = &mut self.outgoing else {
            return;
        };
        match outgoing.cancel {
            Cancel::No if outgoing.answered => {
                outgoing.cancel = Cancel::Sent;
                send_cancel(cx, outgoing.id, reason.as_deref());
            }
            Cancel::No => outgoing.cancel = Cancel::Wanted(reason),
            Cancel::Wanted(_) | Cancel::Sent => {}
        }
    }
}

/// Max-Forwards of requests that begin here (RFC 3261 §8.1.1.6).
pub const MAX_FORWARDS: u32 = 70;

/// Sends the CANCEL of an INVITE of ours, to where that went (RFC 3261 §9.1).
pub fn send_cancel(cx: &mut Context, invite: ClientId, reason: Option<&str>) {
    let fields: SmallVec<[(Field, &str); 1]> =
        reason.map(|reason| (Field::from(Name::Reason), reason)).into_iter().collect();
    cx.transactions.cancel(cx.now.monotonic, invite, CallKey::NONE.0, &fields);
}
