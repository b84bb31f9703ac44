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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Transport;
    use std::time::Duration;

    const T1: Duration = Duration::from_millis(500);

    fn times(transport: Transport) -> Times {
        Times::new(T1, transport)
    }

    /// Lets every deadline come; what happened at which millisecond after `start`.
    fn run(machine: &mut NonInviteServer, start: Instant) -> Vec<(u128, ServerAction)> {
        let mut story = Vec::new();
        while let Some(at) = machine.deadlines.earliest() {
            story.push(((at - start).as_millis(), machine.timeout(at)));
        }
        story
    }

    fn machine(transport: Transport, start: Instant) -> NonInviteServer {
        NonInviteServer::new(start, times(transport))
    }

    #[test]
    fn an_unanswered_request_asks_for_a_100_after_7_t1_and_dies_after_64_t1() {
        let start = Instant::now();
        for transport in [Transport::Udp, Transport::Tls] {
            let mut machine = machine(transport, start);
            assert_eq!(machine.repeated(), ServerAction::Absorb);
            let story = run(&mut machine, start);
            assert_eq!(story, [(3_500, ServerAction::TryingDue), (32_000, ServerAction::Absorb)]);
            assert!(machine.is_terminated());
            assert_eq!(machine.respond(start, 200), ServerAction::Absorb);
        }
    }

    #[test]
    fn a_100_goes_early_only_over_a_reliable_transport() {
        let start = Instant::now();
        assert_eq!(machine(Transport::Tls, start).respond(start, 100), ServerAction::Transmit);
        let mut machine = machine(Transport::Udp, start);
        assert_eq!(machine.respond(start, 100), ServerAction::Absorb);
        let later = start + T1 * 7;
        assert_eq!(machine.timeout(later), ServerAction::TryingDue);
        assert_eq!(machine.respond(later, 100), ServerAction::Transmit);
        assert_eq!(machine.repeated(), ServerAction::Transmit);
        assert_eq!(machine.respond(later, 200), ServerAction::Transmit);
    }

    #[test]
    fn no_other_provisional_response_and_no_408_ever_goes() {
        let start = Instant::now();
        for transport in [Transport::Udp, Transport::Tls] {
            let mut machine = machine(transport, start);
            for status in [101, 180, 199] {
                assert_eq!(machine.respond(start, status), ServerAction::Absorb);
            }
            assert_eq!(machine.respond(start, 408), ServerAction::Absorb);
            assert!(machine.is_terminated() && machine.deadlines.earliest().is_none());
        }
    }

    #[test]
    fn the_final_response_is_sent_once_and_repeated_on_request_until_timer_j() {
        let start = Instant::now();
        let mut machine = machine(Transport::Udp, start);
        assert_eq!(machine.respond(start, 200), ServerAction::Transmit);
        assert_eq!(machine.respond(start, 500), ServerAction::Absorb);
        assert_eq!(machine.repeated(), ServerAction::Transmit);
        assert_eq!(run(&mut machine, start), [(32_000, ServerAction::Absorb)]);
        assert!(machine.is_terminated());
        assert_eq!(machine.repeated(), ServerAction::Absorb);
    }

    #[test]
    fn timer_j_is_zero_over_a_reliable_transport_whose_flow_lives() {
        let start = Instant::now();
        let mut living = machine(Transport::Tls, start);
        assert_eq!(living.respond(start, 200), ServerAction::Transmit);
        assert!(living.is_terminated() && living.deadlines.earliest().is_none());
        let mut lost = machine(Transport::Tls, start);
        lost.lose_flow();
        assert_eq!(lost.respond(start, 200), ServerAction::Transmit);
        assert!(!lost.is_terminated());
    }
}
