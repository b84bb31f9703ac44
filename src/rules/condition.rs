//! When a rule fires.

use super::{Direction, Facts, Target, work::Work};
use crate::flow::TrunkId;
use crate::number::{Number, Pattern};
use crate::sip::{Message, Method};
use regex::{Captures, Regex};

/// When a rule fires: everything that is said has to hold; what is left empty holds always.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Trunks that the message comes from or goes to.
    pub trunks: Vec<TrunkId>,
    /// Which of the two.
    pub direction: Direction,
    /// Requests, or responses.
    pub request: Option<bool>,
    /// Methods, of the request or the one that a response answers.
    pub methods: Vec<Method>,
    /// Statuses of responses, both ends included.
    pub statuses: Vec<(u16, u16)>,
    /// The called number.
    pub called: Vec<Pattern>,
    /// The caller's number.
    pub caller: Vec<Pattern>,
    /// What is asked of a part of the message.
    pub part: Option<(Target, Test)>,
}

/// What may be asked of a part of a message.
#[derive(Clone, Debug)]
pub enum Test {
    /// It is there, or it is not.
    Present(bool),
    /// One of its values matches.
    Matches(Regex),
}

impl Condition {
    /// Every message of this direction.
    pub fn always(direction: Direction) -> Self {
        Self {
            trunks: Vec::new(),
            direction,
            request: None,
            methods: Vec::new(),
            statuses: Vec::new(),
            called: Vec::new(),
            caller: Vec::new(),
            part: None,
        }
    }

    /// Whether all but the part holds: that is the business of [`part_holds`](Self::part_holds).
    pub(super) fn holds(&self, trunk: TrunkId, direction: Direction, message: &Message, facts: &Facts<'_>) -> bool {
        let number = |patterns: &[Pattern], number: Option<&Number>| {
            patterns.is_empty() || number.is_some_and(|number| patterns.iter().any(|pattern| pattern.matches(number)))
        };
        self.direction == direction
            && (self.trunks.is_empty() || self.trunks.contains(&trunk))
            && self.request.is_none_or(|request| request == message.is_request())
            && (self.methods.is_empty() || self.methods.contains(message.method()))
            && (self.statuses.is_empty()
                || message
                    .status()
                    .is_some_and(|status| self.statuses.iter().any(|&(from, to)| (from..=to).contains(&status))))
            && number(&self.called, facts.called)
            && number(&self.caller, facts.caller)
    }

    /// Whether the part is as it has to be, and what its expression captured.
    pub(super) fn part_holds<'w>(&self, work: &'w Work<'_>) -> Option<Option<Captures<'w>>> {
        let Some((target, test)) = &self.part else { return Some(None) };
        match test {
            Test::Present(wanted) => (work.values(target).next().is_some() == *wanted).then_some(None),
            Test::Matches(regex) => work.values(target).find_map(|value| regex.captures(value)).map(Some),
        }
    }

    /// Whether whatever `other` fires on, this fires on too, as far as can be told without a message.
    pub fn covers(&self, other: &Self) -> bool {
        let within = |own: &[Method], other: &[Method]| {
            own.is_empty() || (!other.is_empty() && other.iter().all(|method| own.contains(method)))
        };
        let numbers = |own: &[Pattern], other: &[Pattern]| {
            own.is_empty() || (!other.is_empty() && other.iter().all(|other| own.iter().any(|own| own.covers(other))))
        };
        let part = match (&self.part, &other.part) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((own, test)), Some((target, theirs))) => own == target && test.same(theirs),
        };
        self.direction == other.direction
            && (self.trunks.is_empty()
                || (!other.trunks.is_empty() && other.trunks.iter().all(|id| self.trunks.contains(id))))
            && (self.request.is_none() || self.request == other.request)
            && within(&self.methods, &other.methods)
            && (self.statuses.is_empty()
                || (!other.statuses.is_empty()
                    && other
                        .statuses
                        .iter()
                        .all(|&(from, to)| self.statuses.iter().any(|&(least, most)| least <= from && to <= most))))
            && numbers(&self.called, &other.called)
            && numbers(&self.caller, &other.caller)
            && part
    }
}

impl Test {
    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present(own), Self::Present(other)) => own == other,
            (Self::Matches(own), Self::Matches(other)) => own.as_str() == other.as_str(),
            (Self::Present(true), Self::Matches(_)) => true,
            (Self::Present(_), Self::Matches(_)) | (Self::Matches(_), Self::Present(_)) => false,
        }
    }
}
