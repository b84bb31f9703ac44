//! The client transaction of any request but INVITE and ACK (RFC 3261 §17.1.2).
//!
//! ```text
//!                     request sent
//!                          │
//!        Timer E: send ┌───▼────┐ Timer F: tell the user
//!                   └──┤ Trying ├────────────────────┐
//!                      └─┬────┬─┘                    │
//!              1xx: pass │    │ 200-699: pass        │
//!                 ┌──────▼───┐└─────┐                │
//!   Timer E: send │Proceeding│      │                │
//!      1xx: pass  └┬───────┬─┘      │                │
//!   200-699: pass  │       └────────┼── Timer F ─────┤
//!                 ┌▼─────────┐      │                │
//!                 │Completed ◄──────┘                │
//!                 └────┬─────┘ Timer K ┌──────────┐  │
//!                      └───────────────►Terminated◄──┘
//!                                      └──────────┘
//! ```
//!
//! Timer K is zero over a reliable transport: Completed is left at once.

use super::Kind;
use super::machine::{ClientAction, Deadlines, Due, T2, T4, Times};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Trying { interval: Duration },
    Proceeding,
    Completed,
    Terminated,
}

/// One non-INVITE client transaction, without the messages.
#[derive(Debug)]
pub(super) struct NonInviteClient {
    state: State,
    times: Times,
    pub(super) deadlines: Deadlines,
}

impl NonInviteClient {
    /// The request was just sent.
    pub(super) fn new(now: Instant, times: Times) -> Self {
        let deadlines = Deadlines { repeat: times.repeat(now), end: Some(now + times.life()) };
        Self { state: State::Trying { interval: times.t1 }, times, deadlines }
    }

    /// A response of this status came.
    pub(super) fn receive(&mut self, now: Instant, status: u16) -> ClientAction {
        match (self.state, status) {
            // Timer E runs on: its next value is T2 (§17.1.2.2).
            (State::Trying { .. } | State::Proceeding, ..=199) => {
                self.state = State::Proceeding;
                ClientAction::Pass(Kind::Provisional)
            }
            (State::Trying { .. } | State::Proceeding, 200..) => {
                self.deadlines = Deadlines::default();
                if self.times.reliable {
                    self.state = State::Terminated;
                } else {
                    self.state = State::Completed;
                    self.deadlines.end = Some(now + T4);
                }
                ClientAction::Pass(Kind::Final)
            }
            (State::Completed | State::Terminated, _) => ClientAction::Absorb,
        }
    }

    /// A deadline may have come.
    pub(super) fn timeout(&mut self, now: Instant) -> ClientAction {
        match (self.state, self.deadlines.due(now)) {
            (State::Trying { interval }, Some(Due::Repeat)) => {
                let interval = (interval * 2).min(T2);
                self.state = State::Trying { interval };
                self.deadlines.repeat = Some(now + interval);
                ClientAction::Transmit
            }
            (State::Proceeding, Some(Due::Repeat)) => {
                self.deadlines.repeat = Some(now + T2);
                ClientAction::Transmit
            }
            (State::Trying { .. } | State::Proceeding, Some(Due::End)) => {
                self.state = State::Terminated;
                ClientAction::TimedOut
            }
            (State::Completed, Some(Due::End)) => {
                self.state = State::Terminated;
                ClientAction::Absorb
            }
            (State::Completed | State::Terminated, _) | (State::Trying { .. } | State::Proceeding, None) => {
                ClientAction::Absorb
            }
        }
    }

    /// Whether no response has come yet.
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(self.state, State::Trying { .. })
    }

    /// Whether the request may still have to be repeated.
    pub(super) fn needs_request(&self) -> bool {
        !self.times.reliable && matches!(self.state, State::Trying { .. } | State::Proceeding)
    }

    pub(super) fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }
}
