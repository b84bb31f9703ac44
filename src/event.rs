//! What happened, as values: one stream from which metrics, call records, alarms and ladders derive.
//!
//! The core says what happened and to which call; the shell adds sequence, wall time and worker. An
//! event that costs octets ([`EventKind::Message`]) is made only while someone observes.

use crate::flow::{FlowId, TrunkId};
use crate::pii::Pii;
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::Arc;
use uuid::Uuid;

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// The call it happened to; `None` for what belongs to no call.
    pub call: Option<Uuid>,
    /// What it was.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum EventKind {
    /// An initial INVITE was accepted for routing.
    CallStarted {
        /// Where it came from.
        from: TrunkId,
    },
    /// A 2xx crossed to the caller.
    CallAnswered {
        /// Who answered.
        to: TrunkId,
        /// From INVITE to 2xx, in milliseconds.
        after_ms: u64,
    },
    /// The last leg ended; the record says all about the call.
    CallEnded(Arc<CallRecord>),
    /// An INVITE was refused before it became a call: what there is to say of it. Comes after [`Refused`](Self::Refused).
    CallRefused(Arc<CallRecord>),
    /// A request was refused by us.
    Refused {
        /// The trunk it came from, when that was known.
        trunk: Option<TrunkId>,
        /// The status it got.
        status: u16,
        /// Why, in words without personal data.
        reason: String,
    },
    /// Rules of the operator changed a message.
    RulesApplied {
        /// The trunk it came from or goes to.
        trunk: TrunkId,
        /// Whether it came from there.
        received: bool,
        /// The places of the rules in the configuration, in the order in which they fired.
        rules: SmallVec<[u16; 4]>,
    },
    /// The egress guard repaired a message before it left.
    Repaired {
        /// The trunk it goes to.
        trunk: TrunkId,
    },
    /// The egress guard kept a message from leaving.
    Withheld {
        /// The trunk it would have gone to.
        trunk: TrunkId,
        /// The rule that the platform would have enforced.
        rule: &'static str,
        /// What was wrong, in words without personal data.
        text: String,
    },
    /// A secret was asked for, shown or missed (GEN-25 to 27).
    Authentication {
        /// The trunk whose secret it is.
        trunk: TrunkId,
        /// What came of it.
        proof: Proof,
    },
    /// A message was dropped without an answer.
    Dropped {
        /// Why.
        reason: DropReason,
    },
    /// An alarm was raised or cleared.
    Alarm(Alarm),
    /// A host of a trunk came up or went down.
    Host {
        /// The trunk.
        trunk: TrunkId,
        /// The port that is written for the host, if one is: it belongs to its name.
        port: Option<u16>,
        /// The host's name.
        host: Arc<str>,
        /// Whether calls may go there.
        up: bool,
        /// Why, in words.
        why: String,
    },
    /// A message as it came or left; only while someone observes.
    Message(Box<ObservedMessage>),
}

/// What came of a secret that was asked for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Proof {
    /// We challenged an INVITE.
    Challenged,
    /// The proof was right and its nonce too old: we challenged again.
    Stale,
    /// The proof was wrong: we challenged again.
    Wrong,
    /// Wrong again and again: we refused the INVITE.
    Refused,
    /// The proof was right.
    Accepted,
    /// The header field with the token was missing or wrong.
    Token,
    /// The trunk challenged us, and our request went out again.
    Answered,
    /// The trunk challenged us again, or in a way that we have no answer to.
    Rejected,
}

impl Proof {
    /// What it is called in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Challenged => "challenged",
            Self::Stale => "stale",
            Self::Wrong => "wrong",
            Self::Refused => "refused",
            Self::Accepted => "accepted",
            Self::Token => "token",
            Self::Answered => "answered",
            Self::Rejected => "rejected",
        }
    }

    /// Whether somebody should look at it.
    pub fn is_fault(self) -> bool {
        match self {
            Self::Wrong | Self::Refused | Self::Token | Self::Rejected => true,
            Self::Challenged | Self::Stale | Self::Accepted | Self::Answered => false,
        }
    }
}

/// Why a message got no answer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum DropReason {
    /// A response that belongs to no transaction of ours.
    StrayResponse,
    /// An ACK that belongs to no dialog of ours.
    StrayAck,
    /// A malformed response, or a malformed ACK: neither is ever answered.
    Malformed,
    /// A destination outside what the trunk lets us dial.
    ForbiddenDestination,
    /// A queue between workers was full.
    Overload,
}

/// A message on one of our flows.
#[derive(Clone, Debug)]
pub struct ObservedMessage {
    /// The flow it used; `None` for a request that has yet to be connected.
    pub flow: Option<FlowId>,
    /// The trunk, when known.
    pub trunk: Option<TrunkId>,
    /// Whether we received it.
    pub received: bool,
    /// The message.
    pub octets: Bytes,
}

/// How much an alarm matters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something works less well.
    Warning,
    /// Calls fail or will soon.
    Critical,
}

/// A condition that an operator should act on.
#[derive(Clone, Debug)]
pub struct Alarm {
    /// What it is about, stable: `certificate_expiry:public`.
    pub key: String,
    /// How much it matters.
    pub severity: Severity,
    /// `true` when raised, `false` when cleared.
    pub raised: bool,
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndedBy {
    /// The side that sent the INVITE.
    Caller,
    /// The side that the INVITE went to.
    Callee,
    /// Tandem itself: a timer, an error, the operator.
    #[default]
    Tandem,
}

/// All that a call record says (one JSON line a call). A refused INVITE has one, too: it begins and ends in
/// the same millisecond, and `to_trunk` is empty.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct CallRecord {
    /// UUIDv7 of the call.
    pub id: Uuid,
    /// Receipt of the INVITE, milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// When the 2xx crossed; absent for a call without answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_ms: Option<u64>,
    /// End of the last leg.
    pub ended_ms: u64,
    /// Trunk of the caller.
    pub from_trunk: String,
    /// Trunk last tried; empty when none was.
    pub to_trunk: String,
    /// The caller's number as received.
    pub caller: Pii<String>,
    /// The called number as received.
    pub callee: Pii<String>,
    /// Directory user behind the called number; empty when there is none.
    pub user: Pii<String>,
    /// The final status the caller got; 200 for an answered call.
    pub status: u16,
    /// Why it ended, in words; the peer's Reason where it gave one (TDR-92).
    pub reason: String,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// Call-ID of the caller's leg.
    pub from_call_id: String,
    /// Call-ID of the last called leg.
    pub to_call_id: String,
    /// Conversation id that Genesys gave (GEN-61); empty without one.
    pub conversation: String,
}
