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
//! Timer I is zero over a reliable transport: Confirmed is left at once. So is Accepted there once the
//! user has seen the ACK: RFC 6026 waits for Timer L, but nothing more can come that it would have to
//! absorb, and most transactions of a busy worker would be these. The 100 within 200 ms is the
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

    /// The user has seen the ACK of its 2xx. Returns whether there was a 2xx to acknowledge.
    pub(super) fn acknowledged(&mut self) -> bool {
        let accepted = self.state == State::Accepted;
        if accepted && self.times.reliable {
            self.enter(State::Terminated, None);
        }
        accepted
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Transport;

    const T1: Duration = Duration::from_millis(500);

    fn times(transport: Transport) -> Times {
        Times::new(T1, transport)
    }

    /// Lets every deadline come; what happened at which millisecond after `start`.
    fn run(machine: &mut InviteServer, start: Instant) -> Vec<(u128, ServerAction)> {
        let mut story = Vec::new();
        while let Some(at) = machine.deadlines.earliest() {
            story.push(((at - start).as_millis(), machine.timeout(at)));
        }
        story
    }

    fn answered(transport: Transport, start: Instant, statuses: &[u16]) -> InviteServer {
        let mut machine = InviteServer::new(times(transport));
        for &status in statuses {
            assert_eq!(machine.respond(start, status), ServerAction::Transmit, "{status}");
        }
        machine
    }

    #[test]
    fn a_repeated_invite_gets_the_last_response_once_there_is_one() {
        let start = Instant::now();
        assert_eq!(answered(Transport::Udp, start, &[]).repeated(), ServerAction::Absorb);
        assert_eq!(answered(Transport::Udp, start, &[100]).repeated(), ServerAction::Transmit);
        assert_eq!(answered(Transport::Udp, start, &[100, 180, 486]).repeated(), ServerAction::Transmit);
        assert_eq!(answered(Transport::Udp, start, &[100, 200]).repeated(), ServerAction::Absorb);
    }

    #[test]
    fn proceeding_waits_for_the_user_without_a_timer() {
        let machine = answered(Transport::Udp, Instant::now(), &[100, 180, 183]);
        assert_eq!(machine.deadlines.earliest(), None);
    }

    #[test]
    fn timer_g_repeats_a_failure_up_to_every_t2_until_timer_h_over_udp() {
        let start = Instant::now();
        let mut machine = answered(Transport::Udp, start, &[486]);
        let story = run(&mut machine, start);
        let repeats: Vec<u128> = story.iter().filter(|(_, act)| *act == ServerAction::Transmit).map(|x| x.0).collect();
        assert_eq!(repeats, [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500]);
        assert_eq!(story.last(), Some(&(32_000, ServerAction::NoAck)));
        assert!(machine.is_terminated());
    }

    #[test]
    fn only_timer_h_runs_over_a_reliable_transport() {
        let start = Instant::now();
        assert_eq!(run(&mut answered(Transport::Tls, start, &[503]), start), [(32_000, ServerAction::NoAck)]);
    }

    #[test]
    fn an_ack_confirms_and_timer_i_absorbs_further_ones() {
        let start = Instant::now();
        let mut machine = answered(Transport::Udp, start, &[486]);
        for _ in 0..2 {
            assert_eq!(machine.acknowledge(start), Acknowledged::Response);
            assert_eq!(machine.state, State::Confirmed);
        }
        assert_eq!(machine.repeated(), ServerAction::Absorb);
        assert_eq!(machine.respond(start, 486), ServerAction::Absorb);
        assert_eq!(run(&mut machine, start), [(5_000, ServerAction::Absorb)]);
        assert!(machine.is_terminated());
    }

    #[test]
    fn timer_i_is_zero_over_a_reliable_transport() {
        let start = Instant::now();
        let mut machine = answered(Transport::Tls, start, &[486]);
        assert_eq!(machine.acknowledge(start), Acknowledged::Response);
        assert!(machine.is_terminated() && machine.deadlines.earliest().is_none());
    }

    #[test]
    fn accepted_lets_the_user_repeat_its_2xx_until_timer_l() {
        let start = Instant::now();
        for transport in [Transport::Udp, Transport::Tls] {
            let mut machine = answered(transport, start, &[180, 200, 200]);
            for other in [180, 487] {
                assert_eq!(machine.respond(start, other), ServerAction::Absorb);
            }
            assert_eq!(machine.acknowledge(start), Acknowledged::Dialog);
            assert_eq!(run(&mut machine, start), [(32_000, ServerAction::Absorb)]);
            assert!(machine.is_terminated());
            assert_eq!(machine.respond(start, 200), ServerAction::Absorb);
        }
    }

    #[test]
    fn once_acknowledged_accepted_goes_on_only_where_the_invite_may_come_again() {
        let start = Instant::now();
        let mut tls = answered(Transport::Tls, start, &[200]);
        assert!(tls.acknowledged() && tls.is_terminated() && tls.deadlines.earliest().is_none());
        let mut udp = answered(Transport::Udp, start, &[200]);
        assert!(udp.acknowledged() && !udp.is_terminated());
        assert_eq!(run(&mut udp, start), [(32_000, ServerAction::Absorb)]);
        for other in [&[][..], &[180], &[486]] {
            assert!(!answered(Transport::Tls, start, other).acknowledged());
        }
    }

    #[test]
    fn a_final_response_is_sent_once() {
        let start = Instant::now();
        for second in [180, 200, 486] {
            assert_eq!(answered(Transport::Tls, start, &[486]).respond(start, second), ServerAction::Absorb);
        }
    }

    #[test]
    fn an_ack_before_any_final_response_changes_nothing() {
        let start = Instant::now();
        let mut machine = answered(Transport::Udp, start, &[180]);
        assert_eq!(machine.acknowledge(start), Acknowledged::Response);
        assert_eq!(machine.state, State::Proceeding { provisional: true });
    }
}
