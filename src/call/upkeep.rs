//! What keeps an answered call honest: session timers, probes, INFO, and requests that go unanswered
//! (RFC 4028 §10, RFC 5057, RFC 6086; TDR-80, TDR-90, TDR-98).
//!
//! A peer is gone when it says so (481) or stays silent (408). A connection that breaks says nothing
//! about the peer: what was under way is tried again over a new one.

use super::context::{Context, Timer};
use super::description::offer_for;
use super::leg::{Errand, Incoming, LegState, Purpose};
use super::set_up::phrase;
use super::{Call, Side};
use crate::normalize;
use crate::routing::Failure;
use crate::sip::{Message, Method, Name};
use crate::transaction::ServerId;
use std::time::Duration;

/// How long a refresh waits for a leg that is busy.
const BUSY_PAUSE: Duration = Duration::from_millis(500);

/// How long until a probe whose connection broke is sent again.
const PROBE_AGAIN: Duration = Duration::from_secs(30);

/// How many INFOs of a call may wait for the other side at once; more than keys pressed in a second.
const MAX_INFOS: usize = 8;

/// How often a BYE is sent again when its connection breaks, each time after twice the pause before.
const MAX_BYES: u8 = 6;

impl Call {
    /// The session timer of `side` is due: refresh when it is ours; at its end the peer is gone (RFC 4028 §10).
    pub(super) fn session_due(&mut self, cx: &mut Context, side: Side) {
        let key = self.key;
        let Some(leg) = self.leg(side) else { return };
        if leg.state != LegState::Confirmed {
            return;
        }
        let left = leg.expires_ms.unwrap_or(0).saturating_sub(cx.now.unix_ms);
        if !leg.timer.ours {
            return self.lost(cx, side, "the peer did not refresh the session");
        }
        if left == 0 {
            return self.lost(cx, side, "the session could not be refreshed");
        }
        // Unless the refresh succeeds, the next time is when the session ends.
        let end = Duration::from_millis(left);
        if leg.is_busy() {
            return cx.set_timer(key, Timer::Session(side), BUSY_PAUSE.min(end));
        }
        cx.set_timer(key, Timer::Session(side), end);
        // An answer in one direction is no offer that the hub understands (TDR-93).
        let sent = leg.media.sent.clone();
        let sent = sent.map(|sent| leg.media.send(&offer_for(leg.trunk.kind, &sent, Some(&sent))));
        if !leg.offer(cx, key, &Method::Invite, Purpose::Refresh, sent) {
            self.lost(cx, side, "the peer named no place that may be dialled");
        }
    }

    /// A leg without session timer is asked whether it lives.
    pub(super) fn probe(&mut self, cx: &mut Context, side: Side) {
        let key = self.key;
        let Some(leg) = self.leg(side) else { return };
        if leg.state == LegState::Confirmed {
            leg.errand(cx, key, &Method::Options, Errand::Probe, |_| {});
            leg.watch(cx, key);
        }
    }

    /// INFO crosses where the platform takes it; it never reaches the hub (TDR-90).
    pub(super) fn handle_info(&mut self, cx: &mut Context, side: Side, info: Incoming) {
        let key = self.key;
        let takes = self
            .leg(side.other())
            .is_some_and(|other| other.trunk.takes(&Method::Info) && other.state == LegState::Confirmed);
        if takes && self.infos.len() >= MAX_INFOS {
            if let Some(leg) = self.leg(side) {
                leg.refuse(cx, &info, 500, "Too many INFOs at once", |draft| {
                    draft.put(Name::RetryAfter, "1");
                });
            }
            return;
        }
        if takes && let Some(other) = self.leg(side.other()) {
            let request = &info.request;
            let sent = other.errand(cx, key, &Method::Info, Errand::Info(info.id), |draft| {
                for line in request.lines().filter(|line| {
                    line.text.eq_ignore_ascii_case("Info-Package") || line.name == Name::ContentDisposition
                }) {
                    draft.put(line.text, line.value);
                }
                if let Some(content_type) = request.header(Name::ContentType) {
                    draft.body(content_type, request.body());
                }
            });
            if sent {
                // Kept until the other side has answered.
                self.infos.push(info);
                return;
            }
        }
        let Some(leg) = self.leg(side) else { return };
        if info.request.body().is_empty() {
            let draft = leg.response(cx, &info.request, info.via.as_deref(), 200, "OK");
            cx.transactions.respond(cx.now.monotonic, info.id, 200, draft.finish());
        } else {
            leg.refuse(cx, &info, 415, "Unsupported Media Type", |draft| {
                draft.put(Name::Accept, "application/sdp");
            });
        }
    }

    /// A request that crossed has waited so long that its sender needs a 100 (RFC 4320 §4.1).
    pub fn handle_trying_due(&mut self, cx: &mut Context, id: ServerId) {
        if let Some(info) = self.infos.iter().find(|info| info.id == id) {
            let trying = crate::sip::Draft::response(&info.request, 100, "Trying", "", info.via.as_deref()).finish();
            cx.transactions.respond(cx.now.monotonic, id, 100, trying);
        }
    }

    /// A request of ours other than INVITE and UPDATE is over: with a response, or with why there is none.
    pub(super) fn handle_errand_end(
        &mut self,
        cx: &mut Context,
        side: Side,
        errand: Errand,
        end: Result<&Message, Failure>,
    ) {
        let key = self.key;
        let status = match end {
            Ok(response) => response.status().unwrap_or(500),
            Err(Failure::Unreachable | Failure::Lost) => 503,
            Err(Failure::Timeout | Failure::Status(_)) => 408,
        };
        match errand {
            Errand::Bye(tries) if matches!(end, Err(Failure::Unreachable | Failure::Lost)) && tries < MAX_BYES => {
                // The peer may not have heard it: a leg must not stay (TDR-80).
                if let Some(leg) = self.leg(side) {
                    leg.bye_again = Some(tries + 1);
                    cx.set_timer(key, Timer::Bye(side), cx.t1() * (1 << tries));
                }
            }
            Errand::Bye(_) => self.close(cx),
            Errand::Probe if matches!(status, 408 | 481) => self.lost(cx, side, "the peer no longer knows the call"),
            Errand::Probe if end.is_err() => cx.set_timer(key, Timer::Probe(side), PROBE_AGAIN),
            Errand::Probe | Errand::Prack => {}
            Errand::Info(id) => {
                if let Some(at) = self.infos.iter().position(|info| info.id == id) {
                    let info = self.infos.remove(at);
                    if let Some(leg) = self.leg(side.other()) {
                        let text = end.map_or(phrase(status), Message::reason);
                        let draft = leg.response(cx, &info.request, info.via.as_deref(), status, text);
                        cx.transactions.respond(cx.now.monotonic, id, status, draft.finish());
                    }
                }
                if status == 481 {
                    self.lost(cx, side, "the peer no longer knows the call");
                }
            }
        }
    }

    /// A BYE whose connection broke goes out again.
    pub(super) fn bye_again(&mut self, cx: &mut Context, side: Side) {
        let key = self.key;
        let Some(leg) = self.leg(side) else { return };
        if let Some(tries) = leg.bye_again.take() {
            let reason = leg.bye_reason.clone();
            leg.errand(cx, key, &Method::Bye, Errand::Bye(tries), |draft| {
                if let Some(reason) = &reason {
                    draft.put(Name::Reason, reason);
                }
            });
        }
    }

    /// A re-INVITE of ours has had its 100 and nothing else for 64·T1: it is taken back.
    pub(super) fn offer_overdue(&mut self, cx: &mut Context, side: Side) {
        let Some(leg) = self.leg(side) else { return };
        if leg.outgoing.is_some() {
            leg.cancel(cx, None);
            self.refuse_offer(cx, side.other(), 488, "No answer to the offer");
        }
    }

    /// One side is gone without BYE: both legs end.
    pub(super) fn lost(&mut self, cx: &mut Context, side: Side, why: &str) {
        self.finish(cx, side.ended_by(), why, normalize::cause(408));
    }
}
