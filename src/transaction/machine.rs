//! What the four machines share: their timer values, their deadlines and what they ask for.

use crate::flow::Transport;
use std::time::{Duration, Instant};

/// The longest interval between repeats of a non-INVITE request or of a final response to INVITE
/// (RFC 3261 §17.1.2.2, appendix A).
pub(super) const T2: Duration = Duration::from_secs(4);

/// How long a message can live in the network (RFC 3261 appendix A).
pub(super) const T4: Duration = Duration::from_secs(5);

/// The timer values of one transaction (RFC 3261 appendix A).
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The estimate of the round trip, 500 ms unless configured.
    pub(super) t1: Duration,
    /// Whether the transport delivers or reports that it did not: nothing is repeated then.
    pub(super) reliable: bool,
}

impl Times {
    pub(super) fn new(t1: Duration, transport: Transport) -> Self {
        Self { t1, reliable: transport.is_reliable() }
    }

    /// Timers B, F, H, L, M and J: as long as the other side may go on repeating.
    pub(super) fn life(self) -> Duration {
        self.t1 * 64
    }

    /// The first repeat of a message sent `now`: Timers A, E, G.
    pub(super) fn repeat(self, now: Instant) -> Option<Instant> {
        (!self.reliable).then(|| now + self.t1)
    }
}

/// When a machine wants to be woken. `None` is a timer that is not running.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deadlines {
    /// To repeat what was sent.
    pub(super) repeat: Option<Instant>,
    /// To end, one way or another.
    pub(super) end: Option<Instant>,
}

impl Deadlines {
    pub(super) fn earliest(self) -> Option<Instant> {
        match (self.repeat, self.end) {
            (Some(repeat), Some(end)) => Some(repeat.min(end)),
            (repeat, end) => repeat.or(end),
        }
    }

    /// Which of the two is due; both are stopped when it is the end.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        if self.end.is_some_and(|end| end <= now) {
            *self = Self::default();
            return Some(Due::End);
        }
        let repeat = self.repeat.take_if(|repeat| *repeat <= now);
        repeat.map(|_| Due::Repeat)
    }
}

/// Which deadline came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Due {
    Repeat,
    End,
}

/// What a client machine wants done after an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ClientAction {
    /// Nothing.
    Absorb,
    /// Send the request once more.
    Transmit,
    /// Give the response to the user.
    Pass(super::Kind),
    /// Give the response to the user and acknowledge it (RFC 3261 §17.1.1.3).
    PassAndAcknowledge,
    /// Acknowledge a repeated response.
    Acknowledge,
    /// Tell the user that no final response came.
    TimedOut,
}

/// What a server machine wants done after an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ServerAction {
    /// Nothing.
    Absorb,
    /// Send the latest response, once more or for the first time.
    Transmit,
    /// Ask the user for a 100.
    TryingDue,
    /// Tell the user that no ACK came.
    NoAck,
}
