//! The server transaction of any request but INVITE and ACK (RFC 3261 §17.2.2 as amended by RFC 4320 §4).
//!
//! ```text
//!                     request: pass
//!                          │
//!      request: absorb ┌───▼────┐ 64·T1: too late for an answer
//!                   └──┤ Trying ├─────────────────────┐
//!                      └─┬────┬─┘                     │
//!    7·T1: ask for a 100 │    │ 200-699: send         │
//!              100: send │    │                       │
//!                 ┌──────▼───┐│                       │
//!  request: send  │Proceeding├┼───── 64·T1 ───────────┤
//!                 └──────┬───┘│                       │
//!          200-699: send │    │                       │
//!                      ┌─▼────▼─┐  Timer J  ┌─────────▼┐
//!        request: send │Completed├──────────►Terminated│
//!                      └────────┘           └──────────┘
//! ```
//!
//! Timer J is zero over a reliable transport: Completed is left at once. A non-INVITE request has no
//! other provisional response than 100, and none before the client's Timer E has reached T2: it would
//! only slow the repeats down. It never gets a 408, which would come when the client has given up and
//! only storm the network (RFC 4320 §4.1, §4.2).

use super::machine::{Deadlines, Due, ServerAction, Times};
use std::time::Instant;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// `early` until the client's Timer E has reached T2.
    Trying {
        early: bool,
    },
    Proceeding,
    Completed,
    Terminated,
}

/// One non-INVITE server transaction, without the messages.
#[derive(Debug)]
pub(super) struct NonInviteServer {
    state: State,
    times: Times,
    pub(super) deadlines: Deadlines,
}

impl NonInviteServer {
    /// The request just came.
    pub(super) fn new(now: Instant, times: Times) -> Self {
        // The client sends at T1, 3·T1 and 7·T1, and then every T2 (RFC 4320 §4.1).
        let deadlines = Deadlines { repeat: Some(now + times.t1 * 7), end: Some(now + times.life()) };
        Self { state: State::Trying { early: true }, times, deadlines }
    }

    /// The request came again.
    pub(super) fn repeated(&mut self) -> ServerAction {
        match self.state {
            State::Proceeding | State::Completed => ServerAction::Transmit,
            State::Trying { .. } | State::Terminated => ServerAction::Absorb,
        }
    }

    /// The user answers with this status.
    pub(super) fn respond(&mut self, now: Instant, status: u16) -> ServerAction {
        match (self.state, status) {
            (State::Trying { early }, 100) if self.times.reliable || !early => {
                self.state = State::Proceeding;
                self.deadlines.repeat = None;
                ServerAction::Transmit
            }
            (State::Trying { .. } | State::Proceeding, 408) => {
                self.terminate();
                ServerAction::Absorb
            }
            (State::Trying { .. } | State::Proceeding, 200..) => {
                self.deadlines = Deadlines::default();
                if self.times.reliable {
                    self.state = State::Terminated;
                } else {
                    self.state = State::Completed;
                    self.deadlines.end = Some(now + self.times.life());
                }
                ServerAction::Transmit
            }
            (State::Trying { .. } | State::Proceeding, ..=199) | (State::Completed | State::Terminated, _) => {
                ServerAction::Absorb
            }
        }
    }

    /// A deadline may have come.
    pub(super) fn timeout(&mut self, now: Instant) -> ServerAction {
        match (self.state, self.deadlines.due(now)) {
            (State::Trying { .. }, Some(Due::Repeat)) => {
                self.state = State::Trying { early: false };
                ServerAction::TryingDue
            }
            (_, Some(Due::End)) => {
                self.terminate();
                ServerAction::Absorb
            }
            (State::Proceeding | State::Completed | State::Terminated, Some(Due::Repeat)) | (_, None) => {
                ServerAction::Absorb
            }
        }
    }

    /// The connection is gone: the final response has to be kept until the user has found another way
    /// for it, and the client may send the request again on a new connection.
    pub(super) fn lose_flow(&mut self) {
        self.times.reliable = false;
    }

    pub(super) fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    fn terminate(&mut self) {
        self.state = State::Terminated;
        self.deadlines = Deadlines::default();
    }
}
