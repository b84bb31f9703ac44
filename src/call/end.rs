//! How a call ends: BYE from either side or both, timers that give up, the operator; and its record
//! (RFC 3261 §15, TDR-91, TDR-106 to come).
//!
//! Nothing ends with one leg: whatever ends one ends the other, and the record is written once, when
//! the last leg is over or can only be waited for.

use super::context::{Context, Timer};
use super::forks::Forks;
use super::leg::{Errand, Incoming, LegState};
use super::set_up::phrase;
use super::{Call, Phase, Side};
use crate::event::{Alarm, EndedBy, EventKind, Severity};
use crate::io::Output;
use crate::normalize;
use crate::routing::Failure;
use crate::sip::{Method, Name};
use crate::trunk::{Kind, codes};
use std::sync::Arc;

impl Call {
    /// BYE of `side` (§15.1.2).
    pub(super) fn handle_bye(&mut self, cx: &mut Context, side: Side, bye: Incoming) {
        let early = side == Side::Caller && self.phase == Phase::Proceeding;
        let from = self.leg(side).map(|leg| leg.trunk.kind);
        let to = self.leg(side.other()).map(|leg| leg.trunk.kind);
        let reason = from.zip(to).and_then(|(from, to)| normalize::reason(from, to, &bye.request));
        let Some(leg) = self.leg(side) else { return };
        let draft = leg.response(cx, &bye.request, bye.via.as_deref(), 200, "OK");
        cx.transactions.respond(cx.now.monotonic, bye.id, 200, draft.finish());
        if early {
            // §15.1.1 lets a caller end an early dialog so: it is a CANCEL in all but name.
            if let Some(invite) = self.caller.incoming.as_ref().map(|incoming| incoming.id) {
                self.withdraw(cx, invite, reason);
            }
            return;
        }
        if let Some(cseq) = leg.owes_answer {
            // Its 2xx waits for an answer that will not come: it has its ACK all the same (§13.2.2.4).
            leg.acknowledge(cx, cseq, None);
        }
        leg.state = LegState::Ended;
        leg.unacknowledged = None;
        leg.bye_after_ack = None;
        let why = normalize::explanation(&bye.request);
        let why = if why.is_empty() { "hung up".to_owned() } else { why };
        if self.phase == Phase::Proceeding {
            // The callee answered and is gone before that could cross.
            return self.refuse_caller(cx, 480, phrase(480), &why, reason);
        }
        self.finish(cx, side.ended_by(), &why, reason);
    }

    /// Ends the call for a reason of our own: a caller that has no answer yet gets `status`, an
    /// answered call BYE on both legs, with the status as its cause (RFC 3326).
    pub fn end(&mut self, cx: &mut Context, status: u16, why: &str) {
        if self.phase == Phase::Proceeding {
            self.refuse_caller(cx, status, phrase(status), why, None);
        } else {
            self.finish(cx, EndedBy::Tandem, why, normalize::cause(status));
        }
    }

    /// Ends whatever is left of the call. The first reason given is the one that is recorded.
    pub fn finish(&mut self, cx: &mut Context, by: EndedBy, why: &str, reason: Option<String>) {
        if self.phase != Phase::Ending {
            self.phase = Phase::Ending;
            self.record.ended_by = by;
            self.record.reason = why.to_owned();
        }
        self.forget_question(cx);
        self.held_offer = None;
        self.targets.clear();
        let timers =
            [Timer::Response, Timer::Ring, Timer::Progress, Timer::Provisional, Timer::Reliable, Timer::MaxCall];
        for timer in timers {
            cx.cancel_timer(self.key, timer);
        }
        for info in std::mem::take(&mut self.infos) {
            self.caller.refuse(cx, &info, 487, "Request Terminated", |_| {});
        }
        for side in [Side::Caller, Side::Callee] {
            self.hang_up(cx, side, reason.clone());
        }
        self.close(cx);
    }

    /// Ends one leg in the way its state asks for.
    pub(super) fn hang_up(&mut self, cx: &mut Context, side: Side, reason: Option<String>) {
        for timer in [Timer::Session(side), Timer::Probe(side), Timer::Offer(side)] {
            cx.cancel_timer(self.key, timer);
        }
        let Some(leg) = self.leg(side) else { return };
        if let Some(incoming) = leg.incoming.take() {
            let (status, phrase) =
                if leg.state == LegState::Early { (480, "Call ended") } else { (487, "Request Terminated") };
            leg.refuse(cx, &incoming, status, phrase, |_| {});
        }
        if leg.state != LegState::Early {
            // A re-INVITE that is never answered would keep the leg for ever.
            leg.cancel(cx, None);
        }
        match leg.state {
            LegState::Ended => {}
            LegState::Early => {
                leg.cancel(cx, reason);
                leg.state = LegState::Ended;
            }
            LegState::Confirmed if leg.unacknowledged.is_some() => {
                // §15: no BYE to who has not acknowledged our 2xx; its repetition goes on meanwhile.
                leg.bye_after_ack.get_or_insert(reason);
            }
            LegState::Confirmed => self.send_bye(cx, side, reason),
        }
    }

    /// Sends BYE on a confirmed leg.
    pub(super) fn send_bye(&mut self, cx: &mut Context, side: Side, reason: Option<String>) {
        let key = self.key;
        let Some(leg) = self.leg(side) else { return };
        if let Some(cseq) = leg.owes_answer {
            // The peer's 2xx was never acknowledged: an ACK first, so that it stops repeating (§13.2.2.4).
            leg.acknowledge(cx, cseq, None);
        }
        leg.state = LegState::Ended;
        leg.errand(cx, key, &Method::Bye, Errand::Bye(0), |draft| {
            if let Some(reason) = &reason {
                draft.put(Name::Reason, reason);
            }
        });
        leg.bye_reason = reason;
        self.close(cx);
    }

    /// Writes the record, once, as soon as no leg is left open.
    pub(super) fn close(&mut self, cx: &mut Context) {
        let open = |state: LegState| state != LegState::Ended;
        let callee = self.callee.as_ref().is_some_and(|leg| open(leg.state));
        if self.recorded || self.phase != Phase::Ending || open(self.caller.state) || callee {
            return;
        }
        self.recorded = true;
        self.record.ended_ms = cx.now.unix_ms;
        cx.exit(self.entry.take());
        self.give_places_back(cx);
        if self.revision > 0 {
            cx.output(Output::Forget { call: self.id, revision: self.revision });
        }
        if self.caller.trunk.kind == Kind::Teams && self.record.microsoft.is_empty() && self.record.status >= 400 {
            let codes::Explanation { microsoft, remedy } = codes::of_ours(self.record.status);
            self.record.microsoft = microsoft;
            if self.record.remedy.is_empty() {
                self.record.remedy = remedy.to_owned();
            }
        }
        let record = Arc::new(self.record.clone());
        cx.event(Some(self.id), EventKind::CallEnded(record));
    }

    /// Writes into the record what the failure of the last target means and what to do (TDR-162, GEN-86). A 488 of
    /// Genesys fails every such call, so it is an alarm (GEN-48).
    pub(super) fn explain(&mut self, cx: &mut Context, kind: Kind, failure: Failure) {
        let explanation = match failure {
            Failure::Status(status) => {
                self.record.callee_status = Some(status);
                codes::of_answer(kind, status)
            }
            Failure::Timeout | Failure::Lost => Some(codes::of_silence(kind, true)),
            Failure::Unreachable => Some(codes::of_silence(kind, false)),
        };
        let Some(codes::Explanation { microsoft, remedy }) = explanation else { return };
        self.record.microsoft = microsoft;
        self.record.remedy = remedy.to_owned();
        if (kind, failure) == (Kind::Genesys, Failure::Status(488)) {
            let trunk = &self.record.to_trunk;
            let alarm = Alarm {
                key: format!("not_acceptable:{trunk}"),
                severity: Severity::Critical,
                raised: true,
                text: format!("trunk {trunk} answered a call with 488: media profiles do not match"),
                remedy,
            };
            cx.event(Some(self.id), EventKind::Alarm(alarm));
        }
    }

    /// Removes every trace of a call that is over, but for the ACKs that its peers may ask for again:
    /// those are given back, with a timer for them, as long as there may be any.
    pub fn retire(mut self, cx: &mut Context) -> Option<Forks> {
        for timer in [
            Timer::Response,
            Timer::Ring,
            Timer::Progress,
            Timer::Provisional,
            Timer::Reliable,
            Timer::MaxCall,
            Timer::Ask,
            Timer::Repeat(Side::Caller),
            Timer::Repeat(Side::Callee),
            Timer::Session(Side::Caller),
            Timer::Session(Side::Callee),
            Timer::Probe(Side::Caller),
            Timer::Probe(Side::Callee),
            Timer::Offer(Side::Caller),
            Timer::Offer(Side::Callee),
            Timer::Bye(Side::Caller),
            Timer::Bye(Side::Callee),
            Timer::Overdue(Side::Caller),
            Timer::Overdue(Side::Callee),
        ] {
            cx.cancel_timer(self.key, timer);
        }
        cx.exit(self.entry.take());
        cx.dialogs.remove(&self.caller.dialog.local_tag);
        if let Some(callee) = &self.callee {
            cx.dialogs.remove(&callee.dialog.local_tag);
        }
        let left = self.repeats_until?.checked_duration_since(cx.now.monotonic)?;
        for leg in [Some(self.caller), self.callee].into_iter().flatten() {
            self.forks.keep(leg);
        }
        if self.forks.is_empty() {
            return None;
        }
        cx.set_timer(self.key, Timer::Forks, left);
        Some(self.forks)
    }
}
