//! The last step before a message leaves, and the first after one came: the operator's rules, then the egress guard.
//!
//! Whatever carries more than its template goes through [`Context::leave`]: INVITE, UPDATE, INFO, OPTIONS, and the
//! 18x, 2xx and refusals of INVITE and UPDATE. ACK, BYE, CANCEL, PRACK and NOTIFY are templates without anything of an
//! operator or of the other side but a Reason, so nothing can keep them from leaving.

use super::Context;
use crate::event::{CallRecord, EventKind};
use crate::normalize::guard::{self, Rejection};
use crate::number::Number;
use crate::rules::{Direction, Facts};
use crate::sip::{Draft, Edits, Field, Message};
use crate::trunk::Trunk;
use bytes::Bytes;

/// What the operator's rules may know of a call.
#[derive(Debug, Default)]
pub struct Story {
    conversation: String,
    caller: Option<Number>,
    called: Option<Number>,
    user: String,
    from_trunk: String,
    to_trunk: String,
}

impl Story {
    /// As far as the record has been told.
    pub fn of(record: &CallRecord) -> Self {
        let number = |text: &str| Number::normalise(text, "").ok();
        Self {
            conversation: record.conversation.clone(),
            caller: number(record.caller.reveal()),
            called: number(record.callee.reveal()),
            user: record.user.reveal().clone(),
            from_trunk: record.from_trunk.clone(),
            to_trunk: record.to_trunk.clone(),
        }
    }

    /// Of an initial INVITE that is no call yet.
    pub fn arriving(from: &Trunk, caller: Option<Number>, called: Option<Number>) -> Self {
        Self { caller, called, from_trunk: from.name.to_string(), ..Self::default() }
    }
}

impl Context {
    /// What came from `trunk`, as the operator's rules want it read; `None`: as it came.
    ///
    /// # Errors
    ///
    /// Why it cannot be read so: a rule made it longer than a message may be.
    pub fn arrive(&mut self, trunk: &Trunk, message: &Message) -> Result<Option<Message>, Rejection> {
        let Some(bare) = bare(trunk, message) else { return self.rule(trunk, Direction::In, message) };
        let ruled = self.rule(trunk, Direction::In, &bare)?;
        Ok(ruled.or(Some(bare)))
    }

    /// What came from `trunk` within a call, as the operator's rules want it read; `None`: as it came. What they spoil is read
    /// without them, since it may not be lost, and an event says so.
    pub fn arrive_within(&mut self, trunk: &Trunk, message: &Message) -> Option<Message> {
        self.arrive(trunk, message).unwrap_or_else(|rejection| {
            self.pass_over(trunk, true, rejection);
            bare(trunk, message)
        })
    }

    fn pass_over(&mut self, trunk: &Trunk, received: bool, rejection: Rejection) {
        self.event(self.call, EventKind::RulesPassedOver { trunk: trunk.id, received, text: rejection.text });
    }

    /// What is about to leave toward `trunk`, after the operator's rules and the guard.
    ///
    /// # Errors
    ///
    /// Why it must not leave; an event says so.
    pub fn leave(&mut self, trunk: &Trunk, draft: Draft) -> Result<Message, Rejection> {
        let left = self.shape(trunk, draft);
        if let Err(rejection) = &left {
            let (rule, text) = (rejection.rule, rejection.text.clone());
            self.event(self.call, EventKind::Withheld { trunk: trunk.id, rule, text });
        }
        left
    }

    /// What has neither a description nor anything of the other side in it, a refusal or our own OPTIONS, after the
    /// operator's rules; without them the guard has nothing to say of it. What they spoil leaves as it was: neither may be
    /// lost.
    pub fn leave_bare(&mut self, trunk: &Trunk, octets: Bytes) -> Bytes {
        if !self.snapshot.rules.concern(trunk.id, Direction::Out) {
            return octets;
        }
        let Ok(message) = Message::parse(octets.clone()) else { return octets };
        let ruled = match self.rule(trunk, Direction::Out, &message) {
            Ok(Some(ruled)) => guard::inspect(trunk, &ruled).map(|repaired| repaired.unwrap_or(ruled)),
            Ok(None) => return octets,
            Err(spoilt) => Err(spoilt),
        };
        match ruled {
            Ok(ruled) => ruled.octets(),
            Err(rejection) => {
                self.pass_over(trunk, false, rejection);
                octets
            }
        }
    }

    fn shape(&mut self, trunk: &Trunk, draft: Draft) -> Result<Message, Rejection> {
        let written = draft.finish();
        let message = Message::parse(written).map_err(|fault| Rejection {
            rule: "RFC 3261 §7",
            text: format!("the message would not be one: {}", fault.fault),
        })?;
        let message = self.rule(trunk, Direction::Out, &message)?.unwrap_or(message);
        match guard::inspect(trunk, &message)? {
            None => Ok(message),
            Some(repaired) => {
                let change = self.observed(&message, &repaired);
                self.event(self.call, EventKind::Repaired { trunk: trunk.id, change });
                Ok(repaired)
            }
        }
    }

    fn rule(&mut self, trunk: &Trunk, direction: Direction, message: &Message) -> Result<Option<Message>, Rejection> {
        if !self.snapshot.rules.concern(trunk.id, direction) {
            return Ok(None);
        }
        let rules = self.snapshot.rules.clone();
        let none = Story::default();
        let story = self.story.as_ref().unwrap_or(&none);
        let facts = Facts {
            call: self.call,
            conversation: &story.conversation,
            caller: story.caller.as_ref(),
            called: story.called.as_ref(),
            user: &story.user,
            from_trunk: &story.from_trunk,
            to_trunk: &story.to_trunk,
        };
        let applied = rules.apply(trunk.id, direction, message, &facts);
        let applied = applied.map_err(|spoilt| Rejection { rule: "operator's rules", text: spoilt.to_string() })?;
        let Some(applied) = applied else { return Ok(None) };
        let received = direction == Direction::In;
        let (rules, change) = (applied.fired, self.observed(message, &applied.message));
        self.event(self.call, EventKind::RulesApplied { trunk: trunk.id, received, rules, change });
        Ok(Some(applied.message))
    }

    /// What an event says of a message that was changed.
    fn observed(&self, before: &Message, after: &Message) -> Option<Box<[bytes::Bytes; 2]>> {
        self.snapshot.edge.observe.then(|| Box::new([before.octets(), after.octets()]))
    }

    /// Notes which call is at hand, and what the operator's rules may know of it where there are any.
    pub fn at_hand(&mut self, record: &CallRecord) {
        self.call = Some(record.id);
        self.story = (!self.snapshot.rules.is_empty()).then(|| Story::of(record));
    }

    /// No call is at hand any more.
    pub fn put_down(&mut self) {
        self.call = None;
        self.story = None;
    }
}

/// `message` without the token of its trunk, which nobody else may see (GEN-27); `None`: there is none in it.
fn bare(trunk: &Trunk, message: &Message) -> Option<Message> {
    let header = trunk.required_header.as_ref()?;
    message.extension(&header.name).next()?;
    let mut edits = Edits::new();
    edits.remove(Field::from(&*header.name));
    Message::parse(edits.write(message)).ok()
}
