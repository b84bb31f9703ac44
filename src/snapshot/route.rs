//! One route of the configuration: for which calls it is, and where they go.
//!
//! Plain data that [`routing`](crate::routing) reads. Every condition that is given has to hold; the first
//! route of the file whose conditions all hold decides. Emergency numbers have routes of their own: no
//! pattern, `*` or `directory` ever takes them (GEN-60).

use crate::flow::TrunkId;
use crate::number::{Number, Pattern, PatternError};
use crate::sip::{Message, Name};
use bytestring::ByteString;
use regex::Regex;
use std::sync::Arc;

/// One route of the configuration; the first that matches wins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// Whose calls it is for; `None`: everybody's.
    pub from: Option<TrunkId>,
    /// Which numbers it is for.
    pub number: NumberMatch,
    /// Whose calls it is for, by who calls; empty: everybody's. One of several is enough.
    pub caller: Vec<CallerMatch>,
    /// What the INVITE has to say; `None`: anything.
    pub header: Option<HeaderMatch>,
    /// When it is in force; `None`: always.
    pub time: Option<Schedule>,
    /// Where the calls go, first to last.
    pub to: Vec<TrunkId>,
    /// How often each of `to` is the first that is tried, in proportion to the others, which follow in their
    /// order; empty: always in order.
    pub weights: Vec<u32>,
}

impl Default for Route {
    /// Every call, to nowhere.
    fn default() -> Self {
        let (from, caller, header, time) = (None, Vec::new(), None, None);
        Self { from, number: NumberMatch::Any, caller, header, time, to: Vec::new(), weights: Vec::new() }
    }
}

impl Route {
    /// Whether nothing that `other` matches is left when this has had its turn. `emergency`: the emergency numbers.
    pub fn covers(&self, other: &Self, emergency: &[ByteString]) -> bool {
        let caller = self.caller.is_empty()
            || !other.caller.is_empty()
                && other.caller.iter().all(|other| self.caller.iter().any(|own| own.covers(other)));
        (self.from.is_none() || self.from == other.from)
            && self.number.covers(&other.number, emergency)
            && caller
            && (self.header.is_none() || self.header == other.header)
            && self.time.as_ref().is_none_or(|own| other.time.as_ref().is_some_and(|other| own.covers(other)))
    }

    /// Whether it depends on nothing but trunk and number.
    pub fn is_plain(&self) -> bool {
        self.caller.is_empty() && self.header.is_none() && self.time.is_none()
    }
}

/// Which numbers a route is for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum NumberMatch {
    /// Every number but those of emergency: `*`.
    Any,
    /// Numbers that the directory gives to an active user: `directory`.
    Directory,
    /// Numbers that a pattern means: `+4969123*`.
    Pattern(Pattern),
    /// Emergency numbers: `emergency`.
    Emergency,
    /// What one of several is for: a list.
    OneOf(Vec<NumberMatch>),
}

impl NumberMatch {
    /// Reads the `number` of a route, or an item of one that is a list.
    ///
    /// # Errors
    ///
    /// As [`Pattern::parse`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        match text.trim() {
            "*" => Ok(Self::Any),
            "directory" => Ok(Self::Directory),
            "emergency" => Ok(Self::Emergency),
            pattern => Pattern::parse(pattern).map(Self::Pattern),
        }
    }

    /// Whether it is one of the routes of an emergency `number`: those of all of them, and one that writes out
    /// this very number. Whatever means many numbers does not mean these.
    pub fn takes_emergency(&self, number: &Number) -> bool {
        self.each().any(|one| match one {
            Self::Emergency => true,
            Self::Pattern(pattern @ Pattern::Exact(_)) => pattern.matches(number),
            Self::Pattern(Pattern::Prefix(_)) | Self::Any | Self::Directory | Self::OneOf(_) => false,
        })
    }

    /// Whether it takes any of the emergency numbers in `emergency`.
    pub fn is_for_emergency(&self, emergency: &[ByteString]) -> bool {
        self.each().any(|one| match one {
            Self::Emergency => true,
            Self::Pattern(Pattern::Exact(text)) => names_emergency(text, emergency),
            Self::Pattern(Pattern::Prefix(_)) | Self::Any | Self::Directory | Self::OneOf(_) => false,
        })
    }

    /// Whether nothing that `other` matches is left when this has had its turn.
    pub fn covers(&self, other: &Self, emergency: &[ByteString]) -> bool {
        other.each().all(|other| self.each().any(|own| own.covers_one(other, emergency)))
    }

    fn covers_one(&self, other: &Self, emergency: &[ByteString]) -> bool {
        match (self, other) {
            (Self::Emergency, Self::Pattern(Pattern::Exact(text))) => names_emergency(text, emergency),
            (Self::Any | Self::Pattern(Pattern::Prefix(_)), Self::Pattern(Pattern::Exact(text)))
                if names_emergency(text, emergency) =>
            {
                false
            }
            (Self::Emergency, Self::Emergency) | (Self::Directory, Self::Directory) => true,
            (Self::Any, Self::Any | Self::Directory | Self::Pattern(_)) => true,
            (Self::Pattern(own), Self::Pattern(other)) => own.covers(other),
            _ => false,
        }
    }

    /// What it consists of: itself, or the items of a list.
    pub fn each(&self) -> impl Iterator<Item = &Self> + Clone {
        match self {
            Self::OneOf(items) => items.iter(),
            one => std::slice::from_ref(one).iter(),
        }
    }
}

/// Whether `text` is one of `emergency`, with or without `+` (TDR-133).
fn names_emergency(text: &str, emergency: &[ByteString]) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    emergency.iter().any(|own| **own == *digits)
}

/// Which callers a route is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CallerMatch {
    /// Callers whose number must not be shown, or who gave none: `anonymous`.
    Anonymous,
    /// Callers whose number a pattern means.
    Pattern(Pattern),
}

impl CallerMatch {
    /// Reads the `caller` of a route, or an item of one that is a list.
    ///
    /// # Errors
    ///
    /// As [`Pattern::parse`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        match text.trim() {
            "anonymous" => Ok(Self::Anonymous),
            pattern => Pattern::parse(pattern).map(Self::Pattern),
        }
    }

    /// Whether it means this caller. `number` counts also where it must not be shown.
    pub fn matches(&self, number: Option<&Number>, anonymous: bool) -> bool {
        match self {
            Self::Anonymous => anonymous || number.is_none(),
            Self::Pattern(pattern) => number.is_some_and(|number| pattern.matches(number)),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Anonymous, Self::Anonymous) => true,
            (Self::Pattern(own), Self::Pattern(other)) => own.covers(other),
            (Self::Anonymous, Self::Pattern(_)) | (Self::Pattern(_), Self::Anonymous) => false,
        }
    }
}

/// What the INVITE has to say for a route.
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    /// Name of the header field, full or compact, in any case.
    pub name: Box<str>,
    /// What is asked of it.
    pub test: HeaderTest,
}

/// What is asked of a header field.
#[derive(Clone, Debug)]
pub enum HeaderTest {
    /// It is there, or is not.
    Present(bool),
    /// One of its lines matches somewhere.
    Matches(Regex),
}

impl HeaderMatch {
    /// Whether `message` says it.
    pub fn holds(&self, message: &Message) -> bool {
        let known = Name::of(&self.name);
        let mut lines = message.lines().filter(|line| match known {
            Name::Other => line.text.eq_ignore_ascii_case(&self.name),
            name => line.name == name,
        });
        match &self.test {
            HeaderTest::Present(wanted) => lines.next().is_some() == *wanted,
            HeaderTest::Matches(pattern) => lines.any(|line| pattern.is_match(line.value)),
        }
    }
}

impl PartialEq for HeaderMatch {
    fn eq(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(&other.name)
            && match (&self.test, &other.test) {
                (HeaderTest::Present(own), HeaderTest::Present(other)) => own == other,
                (HeaderTest::Matches(own), HeaderTest::Matches(other)) => own.as_str() == other.as_str(),
                _ => false,
            }
    }
}

impl Eq for HeaderMatch {}

/// Minutes of a day.
pub const DAY: u16 = 24 * 60;

/// When a route is in force: hours of some days of the week, by the clocks of a place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Schedule {
    /// Bit 0 is Monday, bit 6 is Sunday: the days on which the hours begin.
    pub days: u8,
    /// The minute of the day at which it begins, below [`DAY`].
    pub from: u16,
    /// The minute before which it ends, at most [`DAY`]; not after `from`: on the next day.
    pub until: u16,
    /// Whose clocks.
    pub zone: Arc<Zone>,
}

/// The clocks of a place, as a table: the core knows none, and a snapshot replays.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Zone {
    /// As the configuration writes it: `Europe/Berlin`.
    pub name: String,
    /// From which moment (seconds since the Unix epoch) clocks are how many seconds ahead of UTC, in order; the first
    /// counts before it, too. Empty: UTC.
    pub offsets: Vec<(i64, i32)>,
}

impl Zone {
    /// How far its clocks are ahead of UTC at this moment, both in seconds.
    fn offset(&self, unix: i64) -> i64 {
        let behind = self.offsets.partition_point(|(since, _)| *since <= unix);
        self.offsets.get(behind.saturating_sub(1)).map_or(0, |(_, offset)| i64::from(*offset))
    }
}

impl Schedule {
    /// Whether it is in force at this moment, milliseconds since the Unix epoch.
    pub fn holds(&self, unix_ms: u64) -> bool {
        let unix = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX / 2);
        let minutes = (unix + self.zone.offset(unix)).div_euclid(60);
        let (day, minute) = (minutes.div_euclid(i64::from(DAY)), minutes.rem_euclid(i64::from(DAY)));
        // 1 January 1970 was a Thursday, the fourth day.
        let on = |day: i64| self.days & (1 << (day + 3).rem_euclid(7)) != 0;
        let (from, until) = (i64::from(self.from), i64::from(self.until));
        if from < until {
            return on(day) && (from..until).contains(&minute);
        }
        on(day) && minute >= from || on(day - 1) && minute < until
    }

    /// Whether it is in force whenever `other` is: as far as days and hours show it, on the same clocks.
    fn covers(&self, other: &Self) -> bool {
        let end = |of: &Self| if of.from < of.until { of.until } else { of.until + DAY };
        self.zone == other.zone
            && self.days & other.days == other.days
            && self.from <= other.from
            && end(self) >= end(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    const DAY_MS: u64 = 24 * HOUR;
    /// Monday, 2 March 2026, 00:00 UTC.
    const MONDAY: u64 = 1_772_409_600_000;

    fn utc() -> Arc<Zone> {
        Arc::new(Zone { name: "UTC".into(), offsets: Vec::new() })
    }

    fn hours(days: u8, from: u16, until: u16) -> Schedule {
        Schedule { days, from: from * 60, until: until * 60, zone: utc() }
    }

    #[test]
    fn hours_begin_and_end_to_the_minute_on_their_days() {
        let office = hours(0b001_1111, 8, 18);
        assert!(!office.holds(MONDAY + 8 * HOUR - 1) && office.holds(MONDAY + 8 * HOUR));
        assert!(office.holds(MONDAY + 18 * HOUR - 1) && !office.holds(MONDAY + 18 * HOUR));
        assert!(office.holds(MONDAY + 4 * DAY_MS + 9 * HOUR), "Friday");
        assert!(!office.holds(MONDAY + 5 * DAY_MS + 9 * HOUR), "Saturday");
        assert!(!office.holds(MONDAY - DAY_MS + 9 * HOUR), "Sunday");
        assert!(hours(1, 0, 24).holds(MONDAY + DAY_MS - 1) && !hours(1, 0, 24).holds(MONDAY + DAY_MS));
    }

    #[test]
    fn hours_over_midnight_belong_to_the_day_on_which_they_begin() {
        let night = hours(0b001_0000, 22, 6);
        let friday = MONDAY + 4 * DAY_MS;
        assert!(!night.holds(friday + 5 * HOUR), "that would be Thursday's night");
        assert!(night.holds(friday + 23 * HOUR) && night.holds(friday + DAY_MS + 5 * HOUR));
        assert!(!night.holds(friday + DAY_MS + 6 * HOUR) && !night.holds(friday + DAY_MS + 23 * HOUR));
    }

    #[test]
    fn clocks_that_are_put_forward_move_the_hours_with_them() {
        // Sunday, 29 March 2026, 01:00 UTC: from CET to CEST.
        let summer = (MONDAY + 27 * DAY_MS + HOUR) / 1000;
        let offsets = vec![(0, 3600), (i64::try_from(summer).unwrap(), 7200)];
        let zone = Arc::new(Zone { name: "Europe/Berlin".into(), offsets });
        let office = Schedule { zone, ..hours(0b111_1111, 8, 18) };
        assert!(!office.holds(MONDAY + 7 * HOUR - 1) && office.holds(MONDAY + 7 * HOUR));
        let later = MONDAY + 28 * DAY_MS;
        assert!(!office.holds(later + 6 * HOUR - 1) && office.holds(later + 6 * HOUR));
    }

    #[test]
    fn a_route_covers_another_when_each_of_its_conditions_does() {
        let none: [ByteString; 0] = [];
        let (any, number) =
            (Route::default(), |text: &str| Route { number: NumberMatch::parse(text).unwrap(), ..Route::default() });
        assert!(any.covers(&number("+49*"), &none) && !number("+49*").covers(&any, &none));
        let caller = |text: &str| Route { caller: vec![CallerMatch::parse(text).unwrap()], ..Route::default() };
        assert!(any.covers(&caller("anonymous"), &none) && !caller("anonymous").covers(&any, &none));
        assert!(caller("+49*").covers(&caller("+4969*"), &none) && !caller("+4969*").covers(&caller("+49*"), &none));
        let timed = |schedule| Route { time: Some(schedule), ..Route::default() };
        assert!(timed(hours(31, 8, 18)).covers(&timed(hours(1, 9, 10)), &none));
        assert!(!timed(hours(31, 8, 18)).covers(&timed(hours(33, 9, 10)), &none));
        assert!(!timed(hours(31, 8, 18)).covers(&timed(hours(31, 17, 2)), &none), "the night goes on");
        assert!(!timed(hours(31, 8, 18)).covers(&any, &none));
        let header = |test| Route { header: Some(HeaderMatch { name: "X-A".into(), test }), ..Route::default() };
        assert!(header(HeaderTest::Present(true)).covers(&header(HeaderTest::Present(true)), &none));
        assert!(!header(HeaderTest::Present(true)).covers(&header(HeaderTest::Present(false)), &none));
    }

    #[test]
    fn emergency_numbers_are_taken_by_their_own_routes_and_covered_by_nothing_else_gen_60() {
        let emergency = ["112", "911"].map(ByteString::from);
        let of = |text: &str| NumberMatch::parse(text).unwrap();
        for text in ["112", "+112"] {
            let number = Number::normalise(text, "49").unwrap();
            assert!(of("emergency").takes_emergency(&number) && of("112").takes_emergency(&number), "{text}");
            for other in ["*", "directory", "1*", "+*", "+1*", "911", "+49*"] {
                assert!(!of(other).takes_emergency(&number), "{other} takes {text}");
            }
        }
        assert!(!of("*").covers(&of("emergency"), &emergency) && !of("*").covers(&of("112"), &emergency));
        assert!(of("emergency").covers(&of("112"), &emergency) && !of("112").covers(&of("emergency"), &emergency));
        assert!(of("*").covers(&of("110"), &emergency), "which is no emergency number here");
        let list = NumberMatch::OneOf(vec![of("+49*"), of("emergency")]);
        assert!(list.is_for_emergency(&emergency) && list.covers(&of("112"), &emergency));
        assert!(list.covers(&of("+4969*"), &emergency) && !list.covers(&of("*"), &emergency));
    }
}
