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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Transport;

    const T1: Duration = Duration::from_millis(500);

    fn times(transport: Transport) -> Times {
        Times::new(T1, transport)
    }

    /// Lets every deadline come; what happened at which millisecond after `start`.
    fn run(machine: &mut InviteClient, start: Instant) -> Vec<(u128, ClientAction)> {
        let mut story = Vec::new();
        while let Some(at) = machine.deadlines.earliest() {
            story.push(((at - start).as_millis(), machine.timeout(at)));
        }
        story
    }

    fn in_state(transport: Transport, start: Instant, statuses: &[u16]) -> InviteClient {
        let mut machine = InviteClient::new(start, times(transport));
        for &status in statuses {
            machine.receive(start, status);
        }
        machine
    }

    #[test]
    fn timer_a_doubles_until_timer_b_over_udp() {
        let start = Instant::now();
        let story = run(&mut in_state(Transport::Udp, start, &[]), start);
        let repeats: Vec<u128> = story.iter().filter(|(_, act)| *act == ClientAction::Transmit).map(|x| x.0).collect();
        assert_eq!(repeats, [500, 1500, 3500, 7500, 15500, 31500]);
        assert_eq!(story.last(), Some(&(32_000, ClientAction::TimedOut)));
    }

    #[test]
    fn only_timer_b_runs_over_a_reliable_transport() {
        let start = Instant::now();
        for transport in [Transport::Tcp, Transport::Tls] {
            let mut machine = in_state(transport, start, &[]);
            assert_eq!(run(&mut machine, start), [(32_000, ClientAction::TimedOut)]);
            assert!(machine.is_terminated());
        }
    }

    #[test]
    fn calling_takes_every_response() {
        let start = Instant::now();
        for (status, action, state) in [
            (100, ClientAction::Pass(Kind::Provisional), State::Proceeding),
            (183, ClientAction::Pass(Kind::Provisional), State::Proceeding),
            (200, ClientAction::Pass(Kind::Final), State::Accepted),
            (299, ClientAction::Pass(Kind::Final), State::Accepted),
            (300, ClientAction::PassAndAcknowledge, State::Completed),
            (699, ClientAction::PassAndAcknowledge, State::Completed),
        ] {
            let mut machine = in_state(Transport::Udp, start, &[]);
            assert_eq!((machine.receive(start, status), machine.state), (action, state), "{status}");
        }
    }

    #[test]
    fn proceeding_waits_without_a_timer() {
        let start = Instant::now();
        let mut machine = in_state(Transport::Udp, start, &[180]);
        assert_eq!(machine.deadlines.earliest(), None);
        assert_eq!(machine.receive(start, 183), ClientAction::Pass(Kind::Provisional));
        assert!(machine.is_proceeding() && !machine.is_unanswered());
        for (status, action) in [(200, ClientAction::Pass(Kind::Final)), (486, ClientAction::PassAndAcknowledge)] {
            assert_eq!(in_state(Transport::Udp, start, &[180]).receive(start, status), action);
        }
    }

    #[test]
    fn proceeding_ends_64_t1_after_a_cancel_that_brings_no_final_response() {
        let start = Instant::now();
        let mut machine = in_state(Transport::Tls, start, &[180]);
        machine.cancelled(start);
        machine.receive(start, 183);
        assert_eq!(run(&mut machine, start), [(32_000, ClientAction::TimedOut)]);
    }

    #[test]
    fn completed_acknowledges_repeats_until_timer_d() {
        let start = Instant::now();
        let mut machine = in_state(Transport::Udp, start, &[486]);
        assert_eq!(machine.receive(start, 486), ClientAction::Acknowledge);
        for other in [180, 200] {
            assert_eq!(machine.receive(start, other), ClientAction::Absorb);
        }
        assert!(machine.needs_request());
        assert_eq!(run(&mut machine, start), [(32_000, ClientAction::Absorb)]);
        assert!(machine.is_terminated());
    }

    #[test]
    fn timer_d_is_zero_over_a_reliable_transport() {
        let machine = in_state(Transport::Tls, Instant::now(), &[100, 486]);
        assert!(machine.is_terminated() && machine.deadlines.earliest().is_none());
    }

    #[test]
    fn accepted_passes_every_2xx_until_timer_m() {
        let start = Instant::now();
        for transport in [Transport::Udp, Transport::Tls] {
            let mut machine = in_state(transport, start, &[180, 200]);
            assert_eq!(machine.receive(start, 200), ClientAction::Pass(Kind::Repeated2xx));
            for other in [180, 486] {
                assert_eq!(machine.receive(start, other), ClientAction::Absorb);
            }
            assert!(!machine.needs_request());
            assert_eq!(run(&mut machine, start), [(32_000, ClientAction::Absorb)]);
            assert_eq!(machine.receive(start, 200), ClientAction::Absorb);
        }
    }

    #[test]
    fn an_early_timeout_does_nothing() {
        let start = Instant::now();
        let mut machine = in_state(Transport::Udp, start, &[]);
        assert_eq!(machine.timeout(start), ClientAction::Absorb);
        assert_eq!(machine.deadlines.earliest(), Some(start + T1));
    }
}
