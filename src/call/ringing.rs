//! Ringing: provisional responses from the callee's forks to the caller's one early dialog
//! (RFC 3261 §13.3.1.1, RFC 3262; TDR-73 to 78, GEN-44).
//!
//! What tells the caller nothing new does not cross. 100rel ends here: it is never offered, a caller
//! who requires it gets RSeq and owes us PRACKs, and a fork that demands a PRACK all the same gets it.

use super::context::{Context, Timer};
use super::description::{answer_for, described};
use super::leg::{Cancel, Errand, Incoming, Leg, send_cancel};
use super::set_up::{Attempt, crossing, phrase};
use super::{Call, CallKey, Phase, Side, Then};
use crate::sip::{Message, Method, Name, RAck, decimal, has_option};
use crate::trunk::EarlyMedia;
use bytes::Bytes;
use bytestring::ByteString;
use std::time::Duration;

/// How often the last provisional response is repeated (RFC 3261 §13.3.1.1: at least each minute).
const PROVISIONAL_INTERVAL: Duration = Duration::from_secs(60);

/// What a 183 becomes that lost its SDP: it would leave the caller in silence, so the caller's side
/// rings by itself (TDR-74, 76).
const LOCAL_RINGING: u16 = 180;

impl Call {
    pub(super) fn handle_provisional(&mut self, cx: &mut Context, response: &Message) {
        let (Some(leg), Some(attempt)) = (&mut self.callee, &mut self.attempt) else {
            return;
        };
        let Some(outgoing) = &mut leg.outgoing else {
            return;
        };
        outgoing.answered = true;
        if let Cancel::Wanted(reason) = &mut outgoing.cancel {
            let reason = reason.take();
            outgoing.cancel = Cancel::Sent;
            send_cancel(cx, outgoing.id, reason.as_deref());
        }
        let status = response.status().unwrap_or(100);
        if status == 100 || self.phase != Phase::Proceeding {
            return;
        }
        attempt.rang = true;
        let fork = ByteString::from(crate::sip::tag(response.header(Name::To).unwrap_or("")).unwrap_or(""));
        let offered = outgoing.offered;
        attempt.fork(&fork);
        acknowledge_reliable(cx, self.key, leg, attempt, response, &fork);
        let sdp = described(response);
        if let Some(sdp) = &sdp {
            attempt.early.get_or_insert_with(|| (fork.clone(), sdp.clone()));
        }
        let crosses = leg.trunk.early_media == EarlyMedia::First && offered && self.early_fork.is_none();
        self.crossing = crossing(leg, &self.caller.trunk, response);
        match sdp.filter(|_| crosses && self.asked.is_none()) {
            Some(sdp) => {
                self.early_fork = Some(fork);
                self.ask(cx, Side::Callee, false, sdp, Then::Early(status));
            }
            None => {
                let bare = status == 183 && !response.body().is_empty() && self.early_fork.is_none();
                self.ring(cx, if bare { LOCAL_RINGING } else { status }, None);
            }
        }
    }

    /// The description for a provisional response is there; without one nothing has been answered yet,
    /// and the next fork may try.
    pub(super) fn early_ready(&mut self, cx: &mut Context, status: u16, sdp: Option<Bytes>) {
        if sdp.is_none() {
            self.early_fork = None;
            return self.ring(cx, if status == 183 { LOCAL_RINGING } else { status }, None);
        }
        self.ring(cx, status, sdp);
    }

    /// The called side has been silent for so long that the caller's platform would give up: 100 does not keep it from that
    /// (TDR-71). The called side may ring, answer or refuse later all the same.
    pub(super) fn progress(&mut self, cx: &mut Context) {
        if self.rung.is_none() {
            self.ring(cx, LOCAL_RINGING, None);
        }
    }

    /// Sends a provisional response to the caller, unless it would say nothing new.
    pub(super) fn ring(&mut self, cx: &mut Context, status: u16, sdp: Option<Bytes>) {
        let news = sdp.is_some() || self.rung.as_ref().is_none_or(|(last, _)| *last != status);
        if status == 199 || !news || self.phase != Phase::Proceeding {
            return;
        }
        if let Some(reliable) = &mut self.reliable
            && reliable.pending.is_some()
        {
            // One without a description does not push out one that has the answer.
            if sdp.is_some() || reliable.next.as_ref().is_none_or(|(_, sdp)| sdp.is_none()) {
                reliable.next = Some((status, sdp));
            }
            return;
        }
        let offer = self.caller.incoming.as_ref().and_then(|incoming| incoming.offer.clone());
        let kind = self.caller.trunk.kind;
        let before = sdp.is_some().then(|| self.caller.media.clone());
        let sdp = sdp.map(|sdp| self.caller.media.send(&answer_for(kind, offer.as_ref(), &sdp, None)));
        self.rung = Some((status, sdp));
        if self.send_provisional(cx) {
            if let Some((_, Some(sdp))) = &self.rung {
                self.early_answer = Some(sdp.clone());
            }
            return;
        }
        // It may not leave with what it carries: the caller hears at least that it rings.
        if let Some(before) = before {
            self.caller.media = before;
            self.early_fork = None;
        }
        self.crossing.clear();
        self.rung = Some((if status == 183 { LOCAL_RINGING } else { status }, None));
        self.send_provisional(cx);
    }

    /// Sends the last provisional response, again where it was sent before. Returns whether it could leave.
    fn send_provisional(&mut self, cx: &mut Context) -> bool {
        let (Some(incoming), Some((status, sdp))) = (&self.caller.incoming, &self.rung) else {
            return true;
        };
        let mut draft = self.caller.response(cx, &incoming.request, incoming.via.as_deref(), *status, phrase(*status));
        for (field, value) in &self.crossing {
            draft.put(field.clone(), value);
        }
        // RFC 3262 §3: an initial value between 1 and 2³¹ − 1, then one more each.
        let rseq = self.reliable.as_ref().map(|reliable| match reliable.rseq {
            0 => 1 + cx.minter.cseq() % 65_536,
            last => last + 1,
        });
        if let Some(rseq) = rseq {
            draft.put_number(Name::RSeq, rseq).put(Name::Require, "100rel");
        }
        let has_sdp = sdp.is_some();
        if let Some(sdp) = sdp {
            draft.body("application/sdp", sdp.clone());
        }
        let octets = if has_sdp || !self.crossing.is_empty() {
            let Ok(response) = cx.leave(&self.caller.trunk, draft) else { return false };
            response.octets()
        } else {
            cx.leave_bare(&self.caller.trunk, draft.finish())
        };
        cx.transactions.respond(cx.now.monotonic, incoming.id, *status, octets.clone());
        match &mut self.reliable {
            Some(reliable) => {
                let pause = cx.t1();
                reliable.rseq = rseq.unwrap_or(reliable.rseq);
                reliable.pending = Some((octets, has_sdp, pause));
                cx.set_timer(self.key, Timer::Reliable, pause);
            }
            None => cx.set_timer(self.key, Timer::Provisional, PROVISIONAL_INTERVAL),
        }
        true
    }

    pub(super) fn repeat_provisional(&mut self, cx: &mut Context) {
        if self.phase == Phase::Proceeding {
            self.send_provisional(cx);
        }
    }

    /// Without a PRACK for 64·T1 the INVITE is refused with a 5xx (RFC 3262 §3).
    pub(super) fn repeat_reliable(&mut self, cx: &mut Context) {
        let (Some(incoming), Some(reliable)) = (&self.caller.incoming, &mut self.reliable) else {
            return;
        };
        let Some((octets, _, pause)) = &mut reliable.pending else {
            return;
        };
        *pause *= 2;
        if *pause > 32 * cx.t1() {
            return self.refuse_caller(
                cx,
                504,
                "No PRACK",
                "the caller never acknowledged a provisional response",
                None,
            );
        }
        let (octets, pause, id) = (octets.clone(), *pause, incoming.id);
        cx.transactions.respond(cx.now.monotonic, id, 180, octets);
        cx.set_timer(self.key, Timer::Reliable, pause);
    }

    pub(super) fn handle_prack(&mut self, cx: &mut Context, side: Side, prack: Incoming) {
        let rack = prack.request.header(Name::RAck).and_then(|value| RAck::parse(value).ok());
        // It may cross our 2xx (RFC 3262 §3): what it names counts, not how far the call is.
        let fits = match (&self.reliable, rack) {
            (Some(reliable), Some(rack)) if side == Side::Caller => {
                reliable.pending.is_some() && rack.rseq == reliable.rseq && rack.cseq == reliable.cseq
            }
            _ => false,
        };
        let Some(leg) = self.leg(side) else { return };
        if !fits {
            return leg.refuse(cx, &prack, 481, "No such provisional response", |_| {});
        }
        if !prack.request.body().is_empty() {
            return leg.refuse(cx, &prack, 488, "No offer in PRACK", |_| {});
        }
        let draft = leg.response(cx, &prack.request, prack.via.as_deref(), 200, "OK");
        cx.transactions.respond(cx.now.monotonic, prack.id, 200, draft.finish());
        cx.cancel_timer(self.key, Timer::Reliable);
        let next = self.reliable.as_mut().and_then(|reliable| {
            reliable.pending = None;
            reliable.next.take()
        });
        match self.held_answer.take() {
            Some(answer) => self.answer_ready(cx, Ok(answer)),
            None => {
                if let Some((status, sdp)) = next {
                    self.ring(cx, status, sdp);
                }
            }
        }
    }

    /// How long the caller says that its INVITE holds (§13.3.1 step 1); `None`: for as long as it may ring.
    pub(super) fn invite_holds(&self) -> Option<Duration> {
        let expires = self.caller.incoming.as_ref()?.request.header(Name::Expires)?;
        decimal(expires).ok().map(|seconds| Duration::from_secs(u64::from(seconds)))
    }

    pub(super) fn ring_timed_out(&mut self, cx: &mut Context) {
        if self.phase != Phase::Proceeding {
            return;
        }
        let rang = Duration::from_millis(cx.now.unix_ms.saturating_sub(self.record.started_ms));
        if self.invite_holds().is_some_and(|holds| holds <= rang) {
            return self.refuse_caller(cx, 487, "Request Terminated", "the INVITE expired", None);
        }
        self.refuse_caller(cx, 480, "No answer", "the called party did not answer in time", None);
    }
}

/// PRACK for a provisional response that demands one, though we never offer it (RFC 3262 §4).
fn acknowledge_reliable(
    cx: &mut Context,
    key: CallKey,
    leg: &mut Leg,
    attempt: &mut Attempt,
    response: &Message,
    fork: &ByteString,
) {
    let Some(rseq) = response.header(Name::RSeq).and_then(|value| decimal(value).ok()) else {
        return;
    };
    let Some(fork) = attempt.fork(fork).filter(|known| known.rseq < rseq) else { return };
    if !has_option(response, Name::Require, "100rel") {
        return;
    }
    fork.rseq = rseq;
    let cseq = leg.dialog.next_cseq();
    let mut early = Leg::new(Side::Callee, leg.trunk.clone(), leg.dialog.clone(), leg.contact.clone(), 0);
    early.dialog.learn(response);
    let Some(hop) = early.hop(cx) else { return };
    let (mut draft, branch) = early.draft(cx, &Method::Prack, cseq);
    let rack = format!("{rseq} {} INVITE", response.cseq().number);
    draft.put(Name::RAck, &rack);
    if leg.trunk.account.is_none() {
        cx.request(CallKey::NONE, &Method::Prack, &branch, &hop, draft.finish());
        return;
    }
    let id = early.send(cx, key, &Method::Prack, &branch, &hop, draft.finish());
    // Its forks count their requests together: a challenge is answered as the leg's.
    leg.sent.append(&mut early.sent);
    leg.errands.push((id, Errand::Prack));
}
