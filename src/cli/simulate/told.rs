//! What a simulation tells, as values: the JSON of `tandem simulate --json` (docs/simulate.md), and the text for people.

use serde::Serialize;
use std::fmt;

/// A whole simulation.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The configuration.
    pub(super) configuration: String,
    /// The trunk that the messages came from.
    pub(super) from: String,
    /// Whether what counts was accepted.
    pub(super) accepted: bool,
    /// The messages, in order.
    pub(super) messages: Vec<Told>,
    /// What else was in the input.
    pub(super) left_out: Vec<String>,
}

/// One message, and all that was decided about it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Told {
    /// Place in the order of the input, from 1.
    pub(super) number: usize,
    /// Where it stands in the input.
    pub(super) place: String,
    /// Its start line; of octets that are no message the first line.
    pub(super) start: String,
    /// Whether it begins something: a request outside dialogs that is no CANCEL.
    pub(super) initial: bool,
    /// The moment it is simulated at.
    pub(super) at: String,
    /// What an operator should know of the reading.
    pub(super) notes: Vec<String>,
    /// What is wrong with it as a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<Fault>,
    /// The other end of the connection it is simulated on.
    pub(super) peer: PeerTold,
    /// The trunks it could be on, and the one it is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trunk: Option<TrunkTold>,
    /// Rules of the operator that changed a message, and what they changed.
    pub(super) rules: Vec<Ruled>,
    /// Who is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) called: Option<Party>,
    /// Who calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) caller: Option<Party>,
    /// What the directory says of the called number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) directory: Option<DirectoryTold>,
    /// The routes that were looked at, in order.
    pub(super) routes: Vec<RouteTold>,
    /// The hosts of the route that matched, in order.
    pub(super) hosts: Vec<HostTold>,
    /// What the egress guard did.
    pub(super) guard: Vec<Guarded>,
    /// What became of each header field line.
    pub(super) fields: Vec<FieldTold>,
    /// The message that came against the one that leaves on the other leg.
    pub(super) changes: Vec<Change>,
    /// What would leave, in order.
    pub(super) sent: Vec<Sent>,
    /// What becomes of it.
    pub(super) decision: Decision,
}

/// A broken rule of SIP's grammar.
#[derive(Debug, Serialize)]
pub(super) struct Fault {
    /// What is wrong.
    pub(super) text: String,
    /// The octet at which the line begins that is wrong, from 0.
    pub(super) octet: usize,
    /// The number of that line within the message, from 1.
    pub(super) line: usize,
    /// That line.
    pub(super) content: String,
}

/// The other end of a connection.
#[derive(Debug, Default, Serialize)]
pub(super) struct PeerTold {
    /// Its address.
    pub(super) source: String,
    /// The transport.
    pub(super) transport: &'static str,
    /// Our end; absent when no listener is the trunk's.
    pub(super) listener: Option<String>,
    /// The names that its certificate proves.
    pub(super) names: Vec<String>,
}

/// Which trunk a request is on.
#[derive(Debug, Serialize)]
pub(super) struct TrunkTold {
    /// The trunks that the peer may be.
    pub(super) candidates: Vec<CandidateTold>,
    /// The one it is; absent when none or several fit.
    pub(super) chosen: Option<String>,
    /// Why.
    pub(super) why: String,
}

/// A trunk that a peer may be.
#[derive(Debug, Serialize)]
pub(super) struct CandidateTold {
    /// Its name.
    pub(super) trunk: String,
    /// Our name toward it.
    pub(super) fqdn: String,
    /// Whether the Request-URI names us so.
    pub(super) named: bool,
    /// Whether `tgrp` names it.
    pub(super) in_group: bool,
}

/// Rules of the operator that changed one message.
#[derive(Debug, Serialize)]
pub(super) struct Ruled {
    /// The trunk.
    pub(super) trunk: String,
    /// `in` or `out`.
    pub(super) direction: &'static str,
    /// The start line of the message.
    pub(super) message: String,
    /// The rules, in the order in which they fired.
    pub(super) rules: Vec<RuleTold>,
    /// What they changed.
    pub(super) changes: Vec<Change>,
}

/// A rule of the operator.
#[derive(Debug, Serialize)]
pub(super) struct RuleTold {
    /// Its place in the configuration, from 1.
    pub(super) rule: usize,
    /// What the operator calls it; `rule 1` where it has no name.
    pub(super) name: String,
}

/// Who is called, or calls.
#[derive(Debug, Serialize)]
pub(super) struct Party {
    /// The number; absent when there is none.
    pub(super) number: Option<String>,
    /// The places of the message that say this number.
    pub(super) said_in: Vec<&'static str>,
    /// The name to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) display: Option<String>,
    /// Whether the caller must not be shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) anonymous: bool,
    /// Why there is no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
}

/// What the directory says of a number.
#[derive(Debug, Serialize)]
pub(super) struct DirectoryTold {
    /// Whether it has the number.
    pub(super) found: bool,
    /// Who has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    /// Whether that user may be called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) active: Option<bool>,
}

/// A route, and what it says to the call.
#[derive(Debug, Serialize)]
pub(super) struct RouteTold {
    /// Its place in the configuration, from 1.
    pub(super) route: usize,
    /// What it is for and where it leads.
    pub(super) text: String,
    /// Whether it is the one.
    pub(super) matches: bool,
    /// Why, or why not.
    pub(super) why: String,
}

/// A host of the route that matched.
#[derive(Debug, Serialize)]
pub(super) struct HostTold {
    /// The trunk.
    pub(super) trunk: String,
    /// The host, with its port where one is written.
    pub(super) host: String,
    /// The transport.
    pub(super) transport: &'static str,
    /// Where its name leads, as far as the configuration says; the DNS is not asked.
    pub(super) addresses: Vec<String>,
    /// Whether it would be tried.
    pub(super) tried: bool,
    /// Why it would not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<&'static str>,
}

/// What the egress guard did to one message.
#[derive(Debug, Serialize)]
#[serde(tag = "did", rename_all = "lowercase")]
pub(super) enum Guarded {
    /// It put the message right.
    Repaired {
        /// The trunk that the message goes to.
        trunk: String,
        /// The start line of the message.
        message: String,
        /// What was changed.
        changes: Vec<Change>,
    },
    /// It kept the message from leaving.
    Withheld {
        /// The trunk that the message would have gone to.
        trunk: String,
        /// The rule that the platform would have enforced.
        rule: &'static str,
        /// What is wrong.
        text: String,
    },
}

/// What becomes of a header field line of the message that came.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fate {
    /// It leaves as it is.
    Crosses,
    /// The message that leaves has one of its own.
    Anew,
    /// It does not leave.
    Stays,
    /// The message that came had none.
    Added,
}

/// A header field line, and what became of it.
#[derive(Debug, Serialize)]
pub(super) struct FieldTold {
    /// The name as written.
    pub(super) name: String,
    /// The value.
    pub(super) value: String,
    /// What becomes of it.
    pub(super) fate: Fate,
    /// Why it does not cross.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<&'static str>,
}

/// Whether a line is gone, new or in both messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(super) enum Mark {
    /// In both.
    #[serde(rename = " ")]
    Same,
    /// In the one that came.
    #[serde(rename = "-")]
    Gone,
    /// In the one that leaves.
    #[serde(rename = "+")]
    New,
}

/// One line of a difference.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Change {
    /// Where it is.
    pub(super) mark: Mark,
    /// The line.
    pub(super) text: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.mark {
            Mark::Same => ' ',
            Mark::Gone => '-',
            Mark::New => '+',
        };
        write!(f, "{mark} {}", self.text)
    }
}

/// A message that would leave.
#[derive(Debug, Serialize)]
pub(super) struct Sent {
    /// The trunk.
    pub(super) trunk: String,
    /// `flow`: back on the connection; else where to.
    pub(super) to: String,
    /// Whether the addresses of that place are known without the DNS; absent for answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resolved: Option<bool>,
    /// The message; octets that are not UTF-8 are shown as `�`.
    pub(super) octets: String,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// It goes on to another trunk.
    Forwarded,
    /// It is answered here with success.
    Answered,
    /// It is answered here with a failure.
    Refused,
    /// It is taken note of: a repetition, or what needs no answer.
    #[default]
    Absorbed,
    /// It is dropped without an answer.
    Dropped,
}

/// The decision, and why.
#[derive(Debug, Default, Serialize)]
pub(super) struct Decision {
    /// What it is.
    pub(super) kind: Kind,
    /// The status of the final response, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    /// In words.
    pub(super) text: String,
}
