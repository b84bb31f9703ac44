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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Transport;

    const T1: Duration = Duration::from_millis(500);

    fn times(transport: Transport) -> Times {
        Times::new(T1, transport)
    }

    /// Lets every deadline come; what happened at which millisecond after `start`.
    fn run(machine: &mut NonInviteClient, start: Instant) -> Vec<(u128, ClientAction)> {
        let mut story = Vec::new();
        while let Some(at) = machine.deadlines.earliest() {
            story.push(((at - start).as_millis(), machine.timeout(at)));
        }
        story
    }

    fn repeats(story: &[(u128, ClientAction)]) -> Vec<u128> {
        story.iter().filter(|(_, action)| *action == ClientAction::Transmit).map(|(at, _)| *at).collect()
    }

    #[test]
    fn timer_e_doubles_up_to_t2_until_timer_f_over_udp() {
        let start = Instant::now();
        let story = run(&mut NonInviteClient::new(start, times(Transport::Udp)), start);
        assert_eq!(repeats(&story), [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500]);
        assert_eq!(story.last(), Some(&(32_000, ClientAction::TimedOut)));
    }

    #[test]
    fn only_timer_f_runs_over_a_reliable_transport() {
        let start = Instant::now();
        let mut machine = NonInviteClient::new(start, times(Transport::Tls));
        assert_eq!(machine.receive(start, 100), ClientAction::Pass(Kind::Provisional));
        assert!(!machine.needs_request());
        assert_eq!(run(&mut machine, start), [(32_000, ClientAction::TimedOut)]);
        assert!(machine.is_terminated());
    }

    #[test]
    fn after_a_provisional_response_repeats_go_on_every_t2() {
        let start = Instant::now();
        let mut machine = NonInviteClient::new(start, times(Transport::Udp));
        assert!(machine.is_unanswered());
        assert_eq!(machine.receive(start, 100), ClientAction::Pass(Kind::Provisional));
        assert_eq!(machine.receive(start, 100), ClientAction::Pass(Kind::Provisional));
        assert!(!machine.is_unanswered() && machine.needs_request());
        let story = run(&mut machine, start);
        assert_eq!(repeats(&story), [500, 4500, 8500, 12500, 16500, 20500, 24500, 28500]);
        assert_eq!(story.last(), Some(&(32_000, ClientAction::TimedOut)));
    }

    #[test]
    fn a_final_response_passes_once_and_repeats_are_absorbed_until_timer_k() {
        let start = Instant::now();
        for early in [&[][..], &[100][..]] {
            let mut machine = NonInviteClient::new(start, times(Transport::Udp));
            for &status in early {
                machine.receive(start, status);
            }
            assert_eq!(machine.receive(start, 481), ClientAction::Pass(Kind::Final));
            for status in [100, 200, 481] {
                assert_eq!(machine.receive(start, status), ClientAction::Absorb);
            }
            assert_eq!(run(&mut machine, start), [(5_000, ClientAction::Absorb)]);
            assert!(machine.is_terminated());
            assert_eq!(machine.receive(start, 200), ClientAction::Absorb);
        }
    }

    #[test]
    fn timer_k_is_zero_over_a_reliable_transport() {
        let start = Instant::now();
        let mut machine = NonInviteClient::new(start, times(Transport::Tcp));
        assert_eq!(machine.receive(start, 200), ClientAction::Pass(Kind::Final));
        assert!(machine.is_terminated() && machine.deadlines.earliest().is_none());
    }
}
