//! The client transaction of an INVITE (RFC 3261 §17.1.1 as amended by RFC 6026 §7.2).
//!
//! ```text
//!                      INVITE sent
//!                          │
//!        Timer A: send ┌───▼────┐ Timer B: tell the user
//!                   └──┤Calling ├───────────────────────────┐
//!                      └─┬─┬──┬─┘                           │
//!               1xx: pass│ │  │300-699: pass, ACK           │
//!            ┌───────────▼┐│  └──────────┐                  │
//!        ┌───┤ Proceeding ││             │                  │
//!   1xx: └───► 64·T1 after├┼─────────────┤                  │
//!   pass     │ CANCEL: tell├─────────────┼──────────────────┤
//!            └─────────┬──┘│2xx: pass    │                  │
//!              2xx:pass│   │        ┌────▼────┐             │
//!                    ┌─▼───▼──┐     │Completed├─┐ 300-699:  │
//!          2xx: pass │Accepted├─┐   │         │◄┘ ACK       │
//!                    │        │◄┘   └────┬────┘             │
//!                    └───┬────┘          │ Timer D          │
//!                        │ Timer M  ┌────▼─────┐            │
//!                        └──────────►Terminated◄────────────┘
//!                                   └──────────┘
//! ```
//!
//! Timer D is zero over a reliable transport: Completed is left at once.

use super::Kind;
use super::machine::{ClientAction, Deadlines, Due, Times};
use std::time::{Duration, Instant};

/// Timer D over an unreliable transport: at least 32 s (RFC 3261 §17.1.1.2).
const TIMER_D: Duration = Duration::from_secs(32);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Calling { interval: Duration },
    Proceeding,
    Completed,
    Accepted,
    Terminated,
}

/// One INVITE client transaction, without the messages.
#[derive(Debug)]
pub(super) struct InviteClient {
    state: State,
    times: Times,
    pub(super) deadlines: Deadlines,
}

impl InviteClient {
    /// The INVITE was just sent.
    pub(super) fn new(now: Instant, times: Times) -> Self {
        let deadlines = Deadlines { repeat: times.repeat(now), end: Some(now + times.life()) };
        Self { state: State::Calling { interval: times.t1 }, times, deadlines }
    }

    /// A response of this status came.
    pub(super) fn receive(&mut self, now: Instant, status: u16) -> ClientAction {
        match (self.state, status) {
            (State::Calling { .. }, ..=199) => {
                self.enter(State::Proceeding, None);
                ClientAction::Pass(Kind::Provisional)
            }
            (State::Proceeding, ..=199) => ClientAction::Pass(Kind::Provisional),
            (State::Calling { .. } | State::Proceeding, 200..=299) => {
                self.enter(State::Accepted, Some(now + self.times.life()));
                ClientAction::Pass(Kind::Final)
            }
            (State::Calling { .. } | State::Proceeding, 300..) => {
                match self.times.reliable {
                    true => self.enter(State::Terminated, None),
                    false => self.enter(State::Completed, Some(now + TIMER_D.max(self.times.life()))),
                }
                ClientAction::PassAndAcknowledge
            }
            (State::Accepted, 200..=299) => ClientAction::Pass(Kind::Repeated2xx),
            (State::Completed, 300..) => ClientAction::Acknowledge,
            (State::Accepted | State::Completed | State::Terminated, _) => ClientAction::Absorb,
        }
    }

    /// A deadline may have come.
    pub(super) fn timeout(&mut self, now: Instant) -> ClientAction {
        match (self.state, self.deadlines.due(now)) {
            (State::Calling { interval }, Some(Due::Repeat)) => {
                let interval = interval * 2;
                self.state = State::Calling { interval };
                self.deadlines.repeat = Some(now + interval);
                ClientAction::Transmit
            }
            (State::Calling { .. } | State::Proceeding, Some(Due::End)) => {
                self.state = State::Terminated;
                ClientAction::TimedOut
            }
            (State::Completed | State::Accepted, Some(Due::End)) => {
                self.state = State::Terminated;
                ClientAction::Absorb
            }
            (State::Proceeding | State::Completed | State::Accepted | State::Terminated, _)
            | (State::Calling { .. }, None) => ClientAction::Absorb,
        }
    }

    /// A CANCEL was sent: a final response comes within 64·T1 or never (RFC 3261 §9.1).
    pub(super) fn cancelled(&mut self, now: Instant) {
        if self.state == State::Proceeding {
            self.deadlines.end = Some(now + self.times.life());
        }
    }

    /// Whether no response has come yet.
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(self.state, State::Calling { .. })
    }

    /// Whether a CANCEL may be sent: after a provisional response, before a final one (RFC 3261 §9.1).
    pub(super) fn is_proceeding(&self) -> bool {
        self.state == State::Proceeding
    }

    /// Whether the request may still be needed, for repeats, for ACK or for CANCEL.
    pub(super) fn needs_request(&self) -> bool {
        matches!(self.state, State::Calling { .. } | State::Proceeding | State::Completed)
    }

    pub(super) fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    fn enter(&mut self, state: State, end: Option<Instant>) {
        self.state = state;
        self.deadlines = Deadlines { repeat: None, end };
    }
}
