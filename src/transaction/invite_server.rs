//! The server transaction of an INVITE (RFC 3261 §17.2.1 as amended by RFC 6026 §7.1).
//!
//! ```text
//!                         INVITE: pass
//!                              │
//!        INVITE: send 1xx ┌────▼─────┐
//!                      └──┤Proceeding◄──┐
//!                         └─┬──────┬─┴──┘ 1xx: send
//!             300-699: send │      │ 2xx: send
//!        INVITE,       ┌────▼────┐ │   ┌────────┐ INVITE: absorb
//!        Timer G: send │Completed│ └───►Accepted├──┐ ACK: pass
//!                   └──┤         │     │        ◄──┘ 2xx: send
//!                      └─┬─────┬─┘     └───┬────┘
//!                        │ACK  │Timer H:   │ Timer L
//!                 ┌──────▼──┐  │tell user  │
//!     INVITE, ACK:│Confirmed│  │           │
//!      absorb     └──────┬──┘  │           │
//!                 Timer I│ ┌───▼──────┐    │
//!                        └─►Terminated◄────┘
//!                          └──────────┘
//! ```
//!
//! Timer I is zero over a reliable transport: Confirmed is left at once. The 100 within 200 ms is the
//! user's: the call answers every INVITE before it does anything that takes time.

use super::machine::{Deadlines, Due, ServerAction, T2, T4, Times};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Proceeding { provisional: bool },
    Completed { interval: Duration },
    Confirmed,
    Accepted,
    Terminated,
}

/// What an ACK that matches the transaction acknowledges.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Acknowledged {
    /// A final response that is ours, or nothing: the ACK ends here.
    Response,
    /// A 2xx: the ACK is the dialog's. Only a peer that repeats the INVITE's branch gets here
    /// (RFC 2543; RFC 6026 §7.1).
    Dialog,
}

/// One INVITE server transaction, without the messages.
#[derive(Debug)]
pub(super) struct InviteServer {
    state: State,
    times: Times,
    pub(super) deadlines: Deadlines,
}

impl InviteServer {
    /// The INVITE just came.
    pub(super) fn new(times: Times) -> Self {
        Self { state: State::Proceeding { provisional: false }, times, deadlines: Deadlines::default() }
    }

    /// The INVITE came again.
    pub(super) fn repeated(&mut self) -> ServerAction {
        match self.state {
            State::Proceeding { provisional: true } | State::Completed { .. } => ServerAction::Transmit,
            State::Proceeding { provisional: false } | State::Confirmed | State::Accepted | State::Terminated => {
                ServerAction::Absorb
            }
        }
    }

    /// The user answers with this status.
    pub(super) fn respond(&mut self, now: Instant, status: u16) -> ServerAction {
        match (self.state, status) {
            (State::Proceeding { .. }, ..=199) => {
                self.state = State::Proceeding { provisional: true };
                ServerAction::Transmit
            }
            (State::Proceeding { .. }, 200..=299) => {
                self.enter(State::Accepted, Some(now + self.times.life()));
                ServerAction::Transmit
            }
            (State::Proceeding { .. }, 300..) => {
                self.enter(State::Completed { interval: self.times.t1 }, Some(now + self.times.life()));
                self.deadlines.repeat = self.times.repeat(now);
                ServerAction::Transmit
            }
            (State::Accepted, 200..=299) => ServerAction::Transmit, // the user repeats its 2xx until it sees the ACK
            (State::Accepted | State::Completed { .. } | State::Confirmed | State::Terminated, _) => {
                ServerAction::Absorb
            }
        }
    }

    /// An ACK came.
    pub(super) fn acknowledge(&mut self, now: Instant) -> Acknowledged {
        match self.state {
            State::Completed { .. } => {
                match self.times.reliable {
                    true => self.enter(State::Terminated, None),
                    false => self.enter(State::Confirmed, Some(now + T4)),
                }
                Acknowledged::Response
            }
            State::Accepted => Acknowledged::Dialog,
            State::Proceeding { .. } | State::Confirmed | State::Terminated => Acknowledged::Response,
        }
    }

    /// A deadline may have come.
    pub(super) fn timeout(&mut self, now: Instant) -> ServerAction {
        match (self.state, self.deadlines.due(now)) {
            (State::Completed { interval }, Some(Due::Repeat)) => {
                let interval = (interval * 2).min(T2);
                self.state = State::Completed { interval };
                self.deadlines.repeat = Some(now + interval);
                ServerAction::Transmit
            }
            (State::Completed { .. }, Some(Due::End)) => {
                self.state = State::Terminated;
                ServerAction::NoAck
            }
            (State::Confirmed | State::Accepted, Some(Due::End)) => {
                self.state = State::Terminated;
                ServerAction::Absorb
            }
            (State::Proceeding { .. } | State::Confirmed | State::Accepted | State::Terminated, _)
            | (State::Completed { .. }, None) => ServerAction::Absorb,
        }
    }

    pub(super) fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    fn enter(&mut self, state: State, end: Option<Instant>) {
        self.state = state;
        self.deadlines = Deadlines { repeat: None, end };
    }
}
