//! The operator's rules: changes to header fields beyond what a trunk's kind demands.
//!
//! A [`Rule`] has a [`Condition`] and an [`Action`]. The rules are tried in the order of the configuration, each on what
//! those before it made of the message. They are compiled when the configuration is loaded, so that a message costs no
//! more than its matches: expressions take time linear in what they read. Where none is for a trunk and direction,
//! [`concern`](Rules::concern) says so and the message is not looked at.
//!
//! What keeps dialogs, transactions and bodies together is not theirs: see [`Target::denied`]. Whatever they make of a
//! message passes the egress guard before it leaves.

mod condition;
mod target;
mod template;
#[cfg(test)]
mod tests;
mod work;

pub use condition::{Condition, Test};
pub use target::{PARTS, Target};
pub use template::{Template, TemplateError};

use crate::flow::TrunkId;
use crate::number::Number;
use crate::sip::{Field, Message};
use regex::{Captures, Regex};
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;
use work::{MAX_LINE, Work};

/// Which way a message goes, as a rule names it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Direction {
    /// It came from the trunk.
    In,
    /// It is about to leave toward the trunk.
    Out,
}

/// What a rule may know beside the message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The call, once there is one.
    pub call: Option<Uuid>,
    /// Genesys' name of the conversation (GEN-61); empty when unknown.
    pub conversation: &'a str,
    /// The caller's number, also where it must not be shown.
    pub caller: Option<&'a Number>,
    /// The called number.
    pub called: Option<&'a Number>,
    /// Who has the called number, as the directory says; empty when nobody.
    pub user: &'a str,
    /// Name of the trunk that the call came from; empty outside calls.
    pub from_trunk: &'a str,
    /// Name of the trunk that the call goes to; empty before one is chosen.
    pub to_trunk: &'a str,
}

/// One rule, compiled.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What the operator calls it; empty: nothing.
    pub name: Arc<str>,
    /// When it fires.
    pub condition: Condition,
    /// What it does then.
    pub action: Action,
}

/// What a rule does.
#[derive(Clone, Debug)]
pub enum Action {
    /// One more line.
    Add(Field, Template),
    /// One line with this value in place of all, or a part with this value.
    Set(Target, Template),
    /// All lines go.
    Remove(Field),
    /// All lines change their name.
    Rename(Field, Field),
    /// The first value is set as that of another.
    Copy(Target, Target),
    /// Each match of the expression in each value becomes what the template says.
    Replace(Target, Regex, Template),
}

impl Action {
    /// What it writes; `None` for a removal.
    pub fn writes(&self) -> Option<Target> {
        match self {
            Self::Add(field, _) | Self::Rename(_, field) => Some(Target::Header(field.clone())),
            Self::Set(target, _) | Self::Copy(_, target) | Self::Replace(target, ..) => Some(target.clone()),
            Self::Remove(_) => None,
        }
    }

    /// What it takes away.
    pub fn removes(&self) -> Option<Target> {
        match self {
            Self::Remove(field) | Self::Rename(field, _) => Some(Target::Header(field.clone())),
            Self::Add(..) | Self::Set(..) | Self::Copy(..) | Self::Replace(..) => None,
        }
    }
}

/// A message that rules changed.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The message as it is now.
    pub message: Message,
    /// Which rules changed it, by their places in the configuration, in order.
    pub fired: SmallVec<[u16; 4]>,
}

/// Rules made a message into something that can neither be sent nor read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spoilt {
    /// Why, in words without personal data.
    pub text: String,
    /// The rules that changed it, by name or number.
    pub rules: String,
}

impl fmt::Display for Spoilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text, self.rules)
    }
}

/// All rules of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

impl Rules {
    /// These rules, in this order.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// What the rule at `place` is called: its name, else its number from 1.
    pub fn name(&self, place: u16) -> String {
        match self.rules.get(usize::from(place)) {
            Some(rule) if !rule.name.is_empty() => rule.name.to_string(),
            _ => format!("rule {}", usize::from(place) + 1),
        }
    }

    /// The same rules with other numbers for the trunks: a reload keeps those that a trunk had.
    #[must_use]
    pub fn renumbered(&self, here: impl Fn(&mut TrunkId)) -> Self {
        let mut rules = self.rules.clone();
        rules.iter_mut().flat_map(|rule| &mut rule.condition.trunks).for_each(here);
        Self { rules }
    }

    /// Whether any rule may be for messages of this trunk and direction.
    pub fn concern(&self, trunk: TrunkId, direction: Direction) -> bool {
        self.rules.iter().any(|rule| {
            let condition = &rule.condition;
            condition.direction == direction && (condition.trunks.is_empty() || condition.trunks.contains(&trunk))
        })
    }

    /// Applies the rules to `message`; `None`: none changed anything.
    ///
    /// # Errors
    ///
    /// [`Spoilt`]: what they made of it is too long, or no message.
    pub fn apply(
        &self,
        trunk: TrunkId,
        direction: Direction,
        message: &Message,
        facts: &Facts<'_>,
    ) -> Result<Option<Applied>, Spoilt> {
        let mut work = Work::of(message);
        let mut fired: SmallVec<[u16; 4]> = SmallVec::new();
        for (place, rule) in (0_u16..).zip(&self.rules) {
            if rule.condition.holds(trunk, direction, message, facts) && act(rule, &mut work, message, facts) {
                fired.push(place);
            }
        }
        if fired.is_empty() {
            return Ok(None);
        }
        match work.finish() {
            Ok(message) => Ok(Some(Applied { message, fired })),
            Err(text) => {
                let rules: Vec<String> = fired.iter().map(|&place| self.name(place)).collect();
                Err(Spoilt { text, rules: rules.join(", ") })
            }
        }
    }
}

/// Does what `rule` says. Returns whether anything changed.
fn act(rule: &Rule, work: &mut Work<'_>, message: &Message, facts: &Facts<'_>) -> bool {
    let Some(captures) = rule.condition.part_holds(work) else { return false };
    let value = |template: &Template| template.render(message, facts, captures.as_ref());
    match &rule.action {
        Action::Add(field, template) => {
            let value = value(template);
            work.add(field, value)
        }
        Action::Set(target, template) => {
            let value = value(template);
            work.set(target, value)
        }
        Action::Remove(field) => work.remove(field),
        Action::Rename(field, to) => work.rename(field, to),
        Action::Copy(from, to) => {
            let value = work.values(from).next().map(str::to_owned);
            value.is_some_and(|value| work.set(to, value))
        }
        Action::Replace(target, regex, template) => work.replace(target, |value| {
            let put = |captures: &Captures<'_>| template.fill(message, facts, Some(captures));
            replaced(value, regex, put).filter(|new| new != value)
        }),
    }
}

/// `value` with what `put` says for each match of `regex`; `None`: there is none. Once it is longer than a line may be, no
/// further: who sends a message must not choose how much of our memory it takes.
fn replaced(value: &str, regex: &Regex, put: impl Fn(&Captures<'_>) -> String) -> Option<String> {
    let mut matches = regex.captures_iter(value).peekable();
    matches.peek()?;
    let (mut out, mut end) = (String::new(), 0);
    for captures in matches {
        let Some(whole) = captures.get(0) else { continue };
        out.push_str(value.get(end..whole.start()).unwrap_or(""));
        out.push_str(&put(&captures));
        end = whole.end();
        if out.len() > MAX_LINE {
            break;
        }
    }
    out.push_str(value.get(end..).unwrap_or(""));
    Some(out.trim().to_owned())
}
