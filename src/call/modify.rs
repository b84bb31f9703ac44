//! What changes in an answered call: re-INVITE and UPDATE, hold, glare, refresh, realignment
//! (RFC 3261 §14, RFC 3311, RFC 3264 §8, RFC 4028; TDR-87 to 98, GEN-41, GEN-45).
//!
//! An offer of one side becomes a re-INVITE to the other in that side's dialect, and its answer comes
//! back. What says nothing new is answered here. The two sides are never told different things for
//! long: where one side has agreed to what the other has not heard yet, a re-INVITE of our own follows
//! (`realign`).

use super::context::{Context, Timer};
use super::description::{answer_for, described, offer_for};
use super::leg::{Cancel, Incoming, LegState, Purpose};
use super::session_timer::{SessionTimer, TooSmall, min_se};
use super::set_up::phrase;
use super::{Call, Phase, Side, Then};
use crate::event::EndedBy;
use crate::sip::sdp::Sdp;
use crate::sip::{Message, Method, Name, sdp_part};
use crate::transaction::ServerId;
use bytes::Bytes;
use std::time::Duration;

/// How often in a row one side is realigned before the call is left as it is.
const MAX_REALIGNMENTS: u8 = 3;

/// How long a re-INVITE of our own waits for a leg that is busy.
const BUSY_PAUSE: Duration = Duration::from_millis(500);

/// How long until a re-INVITE of our own that could not be carried out is tried again.
const FAILED_PAUSE: Duration = Duration::from_secs(5);

impl Call {
    /// A re-INVITE or UPDATE of `side`.
    pub(super) fn handle_offer(&mut self, cx: &mut Context, side: Side, mut incoming: Incoming) {
        let update = *incoming.request.method() == Method::Update;
        let refuse = |call: &mut Self, cx: &mut Context, incoming: &Incoming, status, phrase, wait: bool| {
            if let Some(leg) = call.leg(side) {
                leg.refuse(cx, incoming, status, phrase, |draft| {
                    if wait {
                        draft.put(Name::RetryAfter, "2");
                    }
                });
            }
        };
        let body = incoming.request.body();
        incoming.offer = sdp_part(incoming.request.header(Name::ContentType).unwrap_or(""), &body);
        if incoming.offer.is_none() && !body.is_empty() {
            return refuse(self, cx, &incoming, 415, "Unsupported Media Type", false);
        }
        let (asking, other_busy) = (self.asked.is_some(), self.other_is_busy(side));
        let key = self.key;
        let Some(leg) = self.leg(side) else { return };
        // UPDATE without offer changes nothing but target and timer, at any time (RFC 3311 §5.2).
        let plain = update && incoming.offer.is_none();
        if !plain {
            if leg.incoming.is_some() {
                return refuse(self, cx, &incoming, 500, "Another offer is under way", true);
            }
            // A refresh that says nothing new is answered here, whatever the other side is at.
            let crosses = incoming.offer.as_ref().is_none_or(|offer| leg.media.changes(offer));
            if leg.is_busy() || asking || (crosses && other_busy) {
                if leg.is_busy() || !self.only_waits_for_ack(side.other()) {
                    return refuse(self, cx, &incoming, 491, "Request Pending", false);
                }
                // The hub re-INVITEs as soon as it has answered (TDR-87), while the caller's ACK is under
                // way: a moment's wait instead of a 491.
                if let Some(leg) = self.leg(side) {
                    leg.keep(cx, incoming);
                }
                self.held_offer = Some(side);
                return;
            }
            if leg.state != LegState::Confirmed {
                return refuse(self, cx, &incoming, 500, "Not before the call is answered", true);
            }
        }
        if incoming.offer.as_ref().is_some_and(|offer| Sdp::parse(offer.clone()).is_err()) {
            return refuse(self, cx, &incoming, 488, "Session description malformed", false);
        }
        match SessionTimer::accept(&incoming.request, &leg.trunk) {
            Ok(timer) => {
                let asked = incoming.request.header(Name::SessionExpires).is_some();
                incoming.timer = (asked || leg.timer.interval.is_none()).then_some(timer);
            }
            Err(TooSmall(floor)) => {
                return leg.refuse(cx, &incoming, 422, "Session Interval Too Small", |draft| {
                    draft.put_number(Name::MinSe, floor);
                });
            }
        }
        let Ok(moved) = leg.retarget(cx, &incoming.request) else {
            return refuse(self, cx, &incoming, 403, "Contact may not be dialled", false);
        };
        if plain {
            leg.answer(cx, key, incoming, None);
        } else if let Some(offer) = incoming.offer.clone() {
            let same = !leg.media.changes(&offer);
            match same.then(|| leg.media.again()).flatten() {
                // The offer of before: the answer of before (RFC 3264 §8). A refresh needs no more.
                Some(sent) => leg.answer(cx, key, incoming, Some(sent)),
                None => {
                    leg.keep(cx, incoming);
                    self.ask(cx, side, true, offer, Then::Reoffer(side));
                }
            }
        } else {
            // An offerless re-INVITE: the other side gets what this side last said, as an offer (GEN-45).
            let last = leg.media.received.clone();
            leg.keep(cx, incoming);
            match last {
                Some(last) => {
                    let active = Sdp::parse(last.clone())
                        .map_or(last, |sdp| sdp.with_direction(crate::sip::sdp::Direction::SendRecv));
                    self.ask(cx, side, true, active, Then::Reoffer(side));
                }
                None => self.refuse_offer(cx, side, 488, "No session to describe"),
            }
        }
        if moved {
            self.save(cx);
        }
    }

    /// Whether `side` is kept from a new offer by nothing but the ACK of its peer for the last one.
    fn only_waits_for_ack(&mut self, side: Side) -> bool {
        let free = self.asked.is_none() && self.held_offer.is_none() && self.phase == Phase::Answered;
        free && self.leg(side).is_some_and(|leg| {
            leg.state == LegState::Confirmed
                && leg.unacknowledged.as_ref().is_some_and(|waiting| !waiting.offered)
                && leg.incoming.is_none()
                && leg.outgoing.is_none()
                && leg.owes_answer.is_none()
        })
    }

    fn other_is_busy(&mut self, side: Side) -> bool {
        self.leg(side.other()).is_none_or(|leg| leg.is_busy() || leg.state != LegState::Confirmed)
    }

    /// The final response, other than 2xx, to the open offer of `side`.
    pub(super) fn refuse_offer(&mut self, cx: &mut Context, side: Side, status: u16, phrase: &str) {
        if let Some(leg) = self.leg(side)
            && let Some(incoming) = leg.incoming.take()
        {
            leg.refuse(cx, &incoming, status, phrase, |_| {});
        }
    }

    /// The offer of `side` may cross.
    pub(super) fn reoffer_ready(&mut self, cx: &mut Context, side: Side, result: Result<Bytes, String>) {
        let Ok(offer) = result else {
            return self.refuse_offer(cx, side, 488, "Media relay failed");
        };
        let real = self.real(side.other());
        let update = self
            .leg(side)
            .and_then(|leg| leg.incoming.as_ref())
            .is_some_and(|incoming| *incoming.request.method() == Method::Update);
        let key = self.key;
        let Some(other) = self.leg(side.other()) else { return };
        let offer = offer_for(other.trunk.kind, &offer, real.as_ref());
        let before = other.media.sent.clone();
        let offer = other.media.send(&offer);
        // UPDATE crosses as itself only where the platform takes it (TDR-90).
        let method = if update && other.trunk.takes(&Method::Update) { Method::Update } else { Method::Invite };
        if other.offer(cx, key, &method, Purpose::Relayed, Some(offer)) {
            if let Some(outgoing) = &mut other.outgoing {
                outgoing.before = before;
            }
            // Whoever takes the call up must not use the version again (RFC 3264 §8).
            self.save(cx);
        } else {
            if let Some(before) = before {
                other.media.take_back(before);
            }
            self.refuse_offer(cx, side, 488, "Not acceptable to the other side, or it cannot be reached");
        }
    }

    /// A response to a re-INVITE or UPDATE of ours on `side`.
    pub(super) fn handle_offer_response(&mut self, cx: &mut Context, side: Side, response: &Message) {
        let status = response.status().unwrap_or(0);
        let (key, ending) = (self.key, self.phase == Phase::Ending);
        let Some(leg) = self.leg(side) else { return };
        let Some(outgoing) = &mut leg.outgoing else { return };
        if status < 200 {
            outgoing.answered = true;
            if let Cancel::Wanted(reason) = &mut outgoing.cancel {
                let reason = reason.take();
                outgoing.cancel = Cancel::Sent;
                super::leg::send_cancel(cx, outgoing.id, reason.as_deref());
            }
            return;
        }
        if status >= 300 {
            let min_se = min_se(response).filter(|_| status == 422);
            leg.min_se = leg.min_se.max(min_se.unwrap_or(0));
            let open = !ending && outgoing.purpose == Purpose::Relayed && outgoing.cancel == Cancel::No;
            let floor = min_se.filter(|_| open);
            if let Some(floor) = floor.filter(|&floor| leg.timer.interval.is_some_and(|interval| interval < floor)) {
                // The other side's offer is not to blame: once more with the interval asked for (RFC 4028 §7.4).
                let before = outgoing.before.clone();
                leg.timer.interval = Some(floor);
                let offer = leg.media.sent.clone();
                if leg.offer(cx, key, response.method(), Purpose::Relayed, offer) {
                    leg.outgoing.iter_mut().for_each(|outgoing| outgoing.before = before.clone());
                    return;
                }
            }
            return self.offer_failed(cx, side, status, min_se, false);
        }
        let (invite, cseq) = (*response.method() == Method::Invite, outgoing.cseq);
        let (purpose, cancelled) = (outgoing.purpose, outgoing.cancel != Cancel::No);
        leg.outgoing = None;
        // A Contact that may not be dialled moves nothing: the place of before still counts.
        let moved = leg.retarget(cx, response).unwrap_or(false);
        if invite {
            leg.acknowledge(cx, cseq, None);
        }
        if leg.state == LegState::Ended || ending {
            return self.close(cx);
        }
        if response.header(Name::SessionExpires).is_some() || leg.timer.interval.is_some() {
            leg.timer = SessionTimer::agreed(response);
        }
        leg.watch(cx, key);
        let answer = described(response);
        let known = leg.media.received.clone();
        let changed = answer.as_ref().is_some_and(|answer| leg.media.receive(answer));
        if moved {
            self.save(cx);
        }
        match (purpose, answer) {
            (Purpose::Relayed, Some(answer)) if !cancelled => {
                // What it was still to be told is older than what it has just agreed to.
                if let Some(leg) = self.leg(side) {
                    leg.realign = None;
                }
                self.ask(cx, side, false, answer, Then::Reanswer(side.other()));
            }
            (Purpose::Relayed, _) => {
                // Cancelled, or answered with nothing: the other side keeps what it had, so this side
                // has to come back to it. What it answers then is news to the other side.
                if let Some(leg) = self.leg(side) {
                    leg.media.received = known;
                }
                self.refuse_offer(cx, side.other(), if cancelled { 487 } else { 488 }, "No answer to the offer");
                let last = self.leg(side.other()).and_then(|leg| leg.media.received.clone());
                self.realign(cx, side, last);
            }
            (Purpose::Refresh | Purpose::Realign, Some(answer)) if changed => {
                self.realign(cx, side.other(), Some(answer))
            }
            (Purpose::Refresh | Purpose::Realign, _) => {
                if let Some(leg) = self.leg(side) {
                    leg.realigned = 0;
                }
                self.save(cx);
            }
            (Purpose::Initial, _) => {}
        }
    }

    /// A 2xx to an INVITE of ours on `side` that nobody waits for: a repetition whose ACK was lost, or the late
    /// answer to a re-INVITE that was given up with its connection (TDR-80). Without ACK its sender would end the
    /// call after 64·T1; having agreed to what no longer counts, it is told what does.
    pub(super) fn handle_2xx_again(&mut self, cx: &mut Context, side: Side, response: &Message) {
        let answered = self.phase == Phase::Answered;
        let Some(leg) = self.leg(side) else { return };
        let cseq = response.cseq().number;
        let last = leg.ack.as_ref().map(|(cseq, ..)| *cseq);
        if last.is_none_or(|last| cseq <= last) {
            return super::forks::acknowledge_again(cx, leg.ack.as_ref(), response);
        }
        let moved = leg.retarget(cx, response).unwrap_or(false);
        leg.acknowledge(cx, cseq, None);
        if !answered || leg.state != LegState::Confirmed {
            return;
        }
        if moved {
            self.save(cx);
        }
        let Some(leg) = self.leg(side) else { return };
        leg.media.sent = None;
        let last = self.leg(side.other()).and_then(|leg| leg.media.received.clone());
        self.realign(cx, side, last);
    }

    /// A re-INVITE or UPDATE of ours on `side` failed with `status`; 408 stands for silence, 503 for one that could not
    /// be sent or was lost. `unsent`: no octet of it left.
    pub(super) fn offer_failed(
        &mut self,
        cx: &mut Context,
        side: Side,
        status: u16,
        min_se: Option<u32>,
        unsent: bool,
    ) {
        let (key, ending) = (self.key, self.phase == Phase::Ending);
        let Some(leg) = self.leg(side) else { return };
        let Some(outgoing) = leg.outgoing.take() else { return };
        if leg.state == LegState::Ended || ending {
            return self.close(cx);
        }
        let offered = leg.media.sent.clone();
        let reverted = outgoing.before.is_some();
        match outgoing.before {
            Some(before) if unsent => leg.media.take_back(before),
            Some(before) => leg.media.revert(before),
            None => {}
        }
        if reverted {
            self.save(cx);
        }
        let Some(leg) = self.leg(side) else { return };
        let gone = matches!(status, 408 | 481);
        match outgoing.purpose {
            Purpose::Relayed => {
                // The other side's own failure, else "not acceptable": a 5xx would make Genesys try elsewhere.
                let heard = match status {
                    487 | 488 | 491 | 606 => status,
                    408 | 481 => 408,
                    _ => 488,
                };
                self.refuse_offer(cx, side.other(), heard, phrase(heard));
            }
            Purpose::Refresh | Purpose::Realign if status == 491 => {
                // RFC 3261 §14.1: who made the Call-ID waits longer.
                let (from, span) = if side == Side::Callee { (2_100, 1_900) } else { (0, 2_000) };
                let pause = from + u64::from(cx.minter.cseq()) % span;
                leg.realign = leg.realign.take().or(offered);
                cx.set_timer(key, Timer::Offer(side), Duration::from_millis(pause));
            }
            Purpose::Refresh | Purpose::Realign if status == 422 && leg.realigned < MAX_REALIGNMENTS => {
                leg.realigned += 1;
                leg.timer.interval = Some(min_se.unwrap_or(1800).max(leg.min_se));
                cx.set_timer(key, Timer::Offer(side), BUSY_PAUSE);
                leg.realign = leg.realign.take().or(offered);
            }
            Purpose::Refresh | Purpose::Realign
                if matches!(status, 500 | 503 | 504) && leg.realigned < MAX_REALIGNMENTS =>
            {
                // The connection broke or the peer is short of breath: again with what was offered.
                leg.realigned += 1;
                leg.realign = leg.realign.take().or(offered);
                cx.set_timer(key, Timer::Offer(side), FAILED_PAUSE);
            }
            Purpose::Refresh | Purpose::Realign | Purpose::Initial => {}
        }
        if gone {
            // RFC 5057: 408 and 481 to a re-INVITE end the dialog.
            self.lost(cx, side, "the session could not be changed: the peer is gone");
        }
    }

    /// The answer for `side`, who offered, is there.
    pub(super) fn reanswer_ready(&mut self, cx: &mut Context, side: Side, result: Result<Bytes, String>) {
        let Ok(sdp) = result else {
            self.refuse_offer(cx, side, 500, "Media relay failed");
            return self.finish(cx, EndedBy::Tandem, "media relay failed while the session was changed", None);
        };
        let key = self.key;
        let Some(leg) = self.leg(side) else { return };
        let Some(incoming) = leg.incoming.take() else { return };
        // Without an offer to answer this is one.
        let (offer, said) = (incoming.offer.clone(), leg.media.sent.clone());
        let sdp = leg.media.send(&answer_for(leg.trunk.kind, offer.as_ref(), &sdp, said.as_ref()));
        if let Some(offer) = &offer {
            leg.media.receive(offer);
        }
        if let Err(withheld) = leg.accept(cx, key, incoming, Some(sdp), offer.is_none(), &[]) {
            // The other side has agreed already, and this one will not hear of it.
            let (incoming, rejection) = *withheld;
            leg.refuse(cx, &incoming, 500, "Answer not acceptable", |_| {});
            let why = format!("the answer was kept from leaving: {rejection}");
            return self.finish(cx, EndedBy::Tandem, &why, None);
        }
        // What it was to be told is older than what it has now heard.
        leg.realign = None;
        self.save(cx);
    }

    /// The ACK of `side` for a 2xx of ours (§13.2.2.4), found by its dialog.
    pub fn handle_ack(&mut self, cx: &mut Context, side: Side, ack: &Message) {
        let Some(leg) = self.leg(side) else { return };
        let Some(waiting) = leg.unacknowledged.take_if(|waiting| waiting.cseq == ack.cseq().number) else {
            return;
        };
        cx.cancel_timer(self.key, Timer::Repeat(side));
        cx.transactions.acknowledged(waiting.id);
        if let Some(leg) = self.leg(side)
            && let Some(reason) = leg.bye_after_ack.take()
        {
            return self.send_bye(cx, side, reason);
        }
        match (waiting.offered, described(ack)) {
            (true, Some(answer)) => self.ask(cx, side, false, answer, Then::Acknowledged(side)),
            (true, None) if self.owes_answer(side.other()) => {
                self.finish(cx, EndedBy::Tandem, "the ACK carried no answer to the offer", None);
            }
            (true, None) | (false, _) => self.settle(cx, side),
        }
    }

    fn owes_answer(&mut self, side: Side) -> bool {
        self.leg(side).is_some_and(|leg| leg.owes_answer.is_some())
    }

    /// The answer that an ACK of `side` brought may cross: in our ACK where the offer came from the
    /// other side's 2xx, by a re-INVITE of ours where it changes anything.
    pub(super) fn acknowledged_ready(&mut self, cx: &mut Context, side: Side, result: Result<Bytes, String>) {
        let Ok(answer) = result else {
            return self.finish(cx, EndedBy::Tandem, "media relay failed", None);
        };
        let Some(leg) = self.leg(side) else { return };
        let changed = leg.media.receive(&answer);
        let Some(other) = self.leg(side.other()) else { return };
        if let Some(cseq) = other.owes_answer {
            let (offer, said) = (other.media.received.clone(), other.media.sent.clone());
            let fitting = answer_for(other.trunk.kind, offer.as_ref(), &answer, said.as_ref());
            let sdp = other.media.send(&fitting);
            other.realign = None;
            other.acknowledge(cx, cseq, Some(sdp));
        } else if changed {
            self.realign(cx, side.other(), Some(answer));
        }
        self.save(cx);
        self.settle(cx, side);
    }

    /// A 2xx that is still without ACK: again, or the end after 64·T1 (§13.3.1.4).
    pub(super) fn repeat_2xx(&mut self, cx: &mut Context, side: Side) {
        let (now, key, t1) = (cx.now.monotonic, self.key, cx.t1());
        let Some(leg) = self.leg(side) else { return };
        let Some(waiting) = &mut leg.unacknowledged else { return };
        if now >= waiting.until {
            leg.unacknowledged = None;
            let gave_up = leg.bye_after_ack.take();
            return match gave_up {
                Some(reason) => self.send_bye(cx, side, reason),
                None => self.finish(cx, EndedBy::Tandem, "no ACK for the answer", None),
            };
        }
        cx.transactions.respond(now, waiting.id, 200, waiting.octets.clone());
        waiting.pause = (waiting.pause * 2).min(8 * t1);
        let pause = waiting.pause.min(waiting.until.saturating_duration_since(now));
        cx.set_timer(key, Timer::Repeat(side), pause);
    }

    /// The offer of a re-INVITE is taken back by CANCEL.
    pub(super) fn cancel_offer(&mut self, cx: &mut Context, invite: ServerId, reason: Option<String>) {
        for side in [Side::Caller, Side::Callee] {
            let Some(leg) = self.leg(side) else { continue };
            if leg.incoming.as_ref().is_none_or(|incoming| incoming.id != invite) {
                continue;
            }
            if let Some(asked) = &self.asked
                && asked.then == Then::Reanswer(side)
            {
                return; // The other side has agreed already: the 2xx follows.
            }
            self.forget_question(cx);
            self.refuse_offer(cx, side, 487, "Request Terminated");
            if let Some(other) = self.leg(side.other()) {
                other.cancel(cx, reason);
            }
            return;
        }
    }

    /// The description whose address stands for one of 0.0.0.0 toward `side`: what it was sent last, else what the other
    /// side said last.
    fn real(&mut self, side: Side) -> Option<Bytes> {
        let said = self.leg(side).and_then(|leg| leg.media.sent.clone());
        said.or_else(|| self.leg(side.other()).and_then(|leg| leg.media.received.clone()))
    }

    /// Tells `side` what the other side now says, as soon as the leg is free; nothing when it knows.
    fn realign(&mut self, cx: &mut Context, side: Side, sdp: Option<Bytes>) {
        let real = self.real(side);
        let (Some(sdp), Some(leg)) = (sdp, self.leg(side)) else { return };
        if leg.media.says(&offer_for(leg.trunk.kind, &sdp, real.as_ref())) {
            leg.realign = None;
            return;
        }
        if leg.realigned >= MAX_REALIGNMENTS {
            return;
        }
        leg.realigned += 1;
        leg.realign = Some(sdp);
        self.realign_now(cx, side);
    }

    pub(super) fn realign_now(&mut self, cx: &mut Context, side: Side) {
        let key = self.key;
        if self.phase != Phase::Answered {
            return;
        }
        let asking = self.asked.is_some();
        let real = self.real(side);
        let Some(leg) = self.leg(side) else { return };
        let Some(sdp) = leg.realign.clone() else { return };
        if leg.is_busy() || asking {
            return cx.set_timer(key, Timer::Offer(side), BUSY_PAUSE);
        }
        leg.realign = None;
        let before = leg.media.sent.clone();
        let sdp = offer_for(leg.trunk.kind, &sdp, real.as_ref());
        let offer = leg.media.send(&sdp);
        if !leg.offer(cx, key, &Method::Invite, Purpose::Realign, Some(offer)) {
            if let Some(before) = before {
                leg.media.take_back(before);
            }
        } else if let Some(outgoing) = &mut leg.outgoing {
            outgoing.before = before;
            self.save(cx);
        }
    }

    /// What waited for `side` to be free.
    fn settle(&mut self, cx: &mut Context, side: Side) {
        if let Some(holder) = self.held_offer.take_if(|holder| *holder == side.other())
            && let Some(incoming) = self.leg(holder).and_then(|leg| leg.incoming.take())
        {
            self.handle_offer(cx, holder, incoming);
        }
        if self.leg(side).is_some_and(|leg| leg.realign.is_some()) {
            self.realign_now(cx, side);
        }
    }
}
