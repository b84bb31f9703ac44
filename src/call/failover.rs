//! A target that does not take the call: the next one, or the end (TDR-123 to 125, GEN-85). What was sent to it may be
//! answered all the same, and is then ended.

use super::context::{Context, Timer};
use super::leg::{Cancel, LegState, Outgoing, send_cancel};
use super::set_up::phrase;
use super::{Call, Orphan, Phase};
use crate::normalize;
use crate::routing::{self, Failure, Next};
use crate::sip::{Message, Name};
use crate::trunk::Kind;

impl Call {
    /// A target did not take the call: the next one, or the end (TDR-123, 124, GEN-85).
    pub(super) fn attempt_failed(&mut self, cx: &mut Context, failure: Failure, response: Option<&Message>) {
        cx.cancel_timer(self.key, Timer::Response);
        let (Some(leg), Some(attempt)) = (&mut self.callee, &self.attempt) else {
            return;
        };
        let (kind, trunk, rang) = (leg.trunk.kind, leg.trunk.id, attempt.rang);
        leg.state = LegState::Ended;
        if let Some(outgoing) = leg.outgoing.take()
            && response.is_none()
            && cx.transactions.is_open(outgoing.id)
        {
            self.keep_orphan(cx, outgoing);
        }
        if self.phase != Phase::Proceeding {
            return self.close(cx);
        }
        if let (Kind::Teams, Failure::Status(503), Some(flow)) = (kind, failure, cx.heard_on)
            && response.is_some_and(|response| response.header(Name::RetryAfter).is_some())
        {
            // TDR-123: whoever is behind this connection has no room; the next one gets another.
            cx.close(flow);
        }
        let next = routing::after_failure(kind, failure, rang);
        if next == Next::TryOneMore {
            // TDR-124. They stand last first.
            let last = self.targets.len().saturating_sub(1);
            let mut at = 0;
            self.targets.retain(|target| {
                at += 1;
                target.trunk != trunk || at > last
            });
        }
        let status = match next {
            Next::TryNext | Next::TryOneMore if !self.targets.is_empty() => return self.try_next(cx),
            Next::TryNext | Next::TryOneMore => failure.status(),
            Next::GiveUp(status) => status,
        };
        if response.is_some_and(|response| response.status() == Some(404)) {
            self.note_unknown_number(cx);
        }
        self.explain(cx, kind, failure);
        let heard = normalize::final_status(kind, self.caller.trunk.kind, status);
        let why = response.map_or_else(|| failure.explanation().to_owned(), normalize::explanation);
        let reason = response.and_then(|response| normalize::reason(kind, self.caller.trunk.kind, response));
        self.refuse_caller(cx, heard, phrase(heard), &why, reason);
    }

    /// Keeps an INVITE that was given up, so that a late answer is acknowledged and ended.
    fn keep_orphan(&mut self, cx: &mut Context, mut outgoing: Outgoing) {
        let Some(leg) = self.callee.take() else { return };
        // Nothing that its peer sends finds the call any more.
        cx.dialogs.remove(&leg.dialog.local_tag);
        if outgoing.cancel == Cancel::No {
            outgoing.cancel = Cancel::Wanted(None);
        }
        self.orphans.push(Orphan { outgoing, leg });
    }

    pub(super) fn handle_orphan_response(&mut self, cx: &mut Context, at: usize, response: &Message) {
        let status = response.status().unwrap_or(0);
        let Some(orphan) = self.orphans.get_mut(at) else { return };
        if status < 200 {
            if let Cancel::Wanted(reason) = &mut orphan.outgoing.cancel {
                let reason = reason.take();
                orphan.outgoing.cancel = Cancel::Sent;
                send_cancel(cx, orphan.outgoing.id, reason.as_deref());
            }
            return;
        }
        let orphan = self.orphans.remove(at);
        if status < 300 {
            self.forks.end(cx, orphan.leg, response);
        }
        if self.phase == Phase::Ending {
            self.close(cx);
        }
    }
}
