//! The session timer of one leg (RFC 4028). Each leg has its own; Session-Expires never crosses (TDR-98).

use crate::sip::{Message, Name, Refresher, SessionExpires, decimal, has_option};
use crate::trunk::Trunk;
use serde::{Deserialize, Serialize};

/// The smallest Min-SE that RFC 4028 §5 allows, in seconds.
const FLOOR: u32 = 90;

/// What was agreed on a leg.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SessionTimer {
    /// The session interval in seconds; `None`: the leg has no session timer and is probed instead.
    pub interval: Option<u32>,
    /// Whether we refresh; else the peer does and we watch.
    pub ours: bool,
}

/// A session interval below what we accept: 422 with this Min-SE (RFC 4028 §9).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooSmall(pub u32);

impl SessionTimer {
    /// What we agree to as UAS of `request`, and the Session-Expires of the 2xx (RFC 4028 §9).
    ///
    /// A peer that does not know the extension is refreshed by us when the trunk has an interval.
    ///
    /// # Errors
    ///
    /// [`TooSmall`] when the peer knows the extension and asks for less than the trunk's Min-SE.
    pub fn accept(request: &Message, trunk: &Trunk) -> Result<Self, TooSmall> {
        let knows = has_option(request, Name::Supported, "timer") || has_option(request, Name::Require, "timer");
        let asked = request.header(Name::SessionExpires).and_then(|value| SessionExpires::parse(value).ok());
        let floor = trunk.min_se.max(FLOOR);
        match asked {
            Some(asked) if asked.seconds < floor && knows => Err(TooSmall(floor)),
            Some(asked) => {
                let wanted = trunk.session_expires.unwrap_or(asked.seconds);
                let theirs_at_least = min_se(request).unwrap_or(floor);
                let interval = asked.seconds.min(wanted.max(theirs_at_least)).max(floor);
                let ours = match asked.refresher {
                    Some(refresher) => refresher == Refresher::Uas,
                    None => !knows,
                };
                Ok(Self { interval: Some(interval), ours })
            }
            None => {
                let theirs_at_least = min_se(request).unwrap_or(floor);
                Ok(Self { interval: trunk.session_expires.map(|own| own.max(theirs_at_least)), ours: !knows })
            }
        }
    }

    /// What the peer agreed to as UAS of our request (RFC 4028 §7.2). Without Session-Expires in the
    /// 2xx there is no session timer.
    pub fn agreed(response: &Message) -> Self {
        match response.header(Name::SessionExpires).and_then(|value| SessionExpires::parse(value).ok()) {
            Some(agreed) => {
                Self { interval: Some(agreed.seconds.max(FLOOR)), ours: agreed.refresher != Some(Refresher::Uas) }
            }
            None => Self::default(),
        }
    }

    /// Session-Expires of our 2xx; `None` without a timer. `uas` is who we are in that transaction.
    pub fn value(self, uas: bool) -> Option<String> {
        let refresher = if self.ours == uas { Refresher::Uas } else { Refresher::Uac };
        self.interval.map(|seconds| SessionExpires { seconds, refresher: Some(refresher) }.to_string())
    }

    /// Seconds until there is something to do: half the interval when we refresh (TDR-98), else its end.
    pub fn due(self) -> Option<u32> {
        if self.ours { self.interval.map(|seconds| seconds / 2) } else { self.lasts() }
    }

    /// Seconds until a session that nobody refreshes ends: the interval less the third or the 32 s that
    /// RFC 4028 §10 leaves for the BYE.
    pub fn lasts(self) -> Option<u32> {
        self.interval.map(|seconds| seconds - (seconds / 3).min(32))
    }
}

/// Min-SE of a message, in seconds; `None` where there is none that can be read.
pub fn min_se(message: &Message) -> Option<u32> {
    message.header(Name::MinSe).and_then(|value| decimal(value).ok())
}
