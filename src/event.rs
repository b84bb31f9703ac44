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
        /// Whether it calls an emergency number.
        emergency: bool,
    },
    /// A 2xx crossed to the caller.
    CallAnswered {
        /// Who answered.
        to: TrunkId,
        /// From INVITE to 2xx, in milliseconds.
        after_ms: u64,
    },
    /// A call came that somebody had forwarded (TDR-118).
    CallForwarded {
        /// Where it came from.
        from: TrunkId,
        /// Why the last one sent it on, in the words of RFC 5806.
        reason: &'static str,
        /// How often it was sent on.
        times: u32,
    },
    /// Header fields of a message that nobody gets, though they may have been meant to cross (GEN-63, 66).
    FieldsDropped {
        /// The trunk they came from.
        trunk: TrunkId,
        /// Their names, in small letters.
        names: Vec<String>,
        /// Why, in words.
        why: String,
    },
    /// The hub does not know a number that was routed there (GEN-95).
    UnknownNumber {
        /// Its trunk.
        trunk: TrunkId,
        /// The number.
        number: Pii<String>,
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
        /// The message before and after; only while someone observes.
        change: Option<Box<[Bytes; 2]>>,
    },
    /// The operator's rules would have spoilt a message that may not be lost: it is taken as it was.
    RulesPassedOver {
        /// The trunk that the message is of.
        trunk: TrunkId,
        /// Whether it came from there.
        received: bool,
        /// What would be wrong and which rules it was, in words without personal data.
        text: String,
    },
    /// The egress guard repaired a message before it left.
    Repaired {
        /// The trunk it goes to.
        trunk: TrunkId,
        /// The message before and after; only while someone observes.
        change: Option<Box<[Bytes; 2]>>,
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
    /// A host has answered an OPTIONS of ours, or has not.
    Asked {
        /// The trunk.
        trunk: TrunkId,
        /// The port that is written for the host, if one is.
        port: Option<u16>,
        /// The host's name.
        host: Arc<str>,
        /// Its final status; `None`: there was none.
        status: Option<u16>,
        /// Whether TLS is up there; `None`: it is not spoken, or was not tried.
        tls: Option<bool>,
    },
    /// A platform has asked us with OPTIONS (TDR-37).
    AskedBy {
        /// The trunk.
        trunk: TrunkId,
        /// The host of its Contact, else of its From, as far as one could be read.
        host: Arc<str>,
    },
    /// The hub has sent a request for a name of ours that no trunk has (TDR-158).
    UnknownName {
        /// A trunk that its sender may be.
        trunk: TrunkId,
        /// The name, lower case.
        host: Arc<str>,
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
    /// The final status of the called side, for a call that it did not take; absent where it gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callee_status: Option<u16>,
    /// The code that the Teams admin centre shows for a failed call, as far as can be told (TDR-162); empty where
    /// Teams has no part in it, or no code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub microsoft: String,
    /// What to do about a failed call ([`codes`](crate::trunk::codes)); empty where nothing is wrong or known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// Call-ID of the caller's leg.
    pub from_call_id: String,
    /// Call-ID of the last called leg.
    pub to_call_id: String,
    /// Conversation id that Genesys gave (GEN-61); empty without one.
    pub conversation: String,
    /// Whether an emergency number was called; absent otherwise.
    #[serde(default, skip_serializing_if = "is_false")]
    pub emergency: bool,
    /// Who forwarded the call before it came here; absent when nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<Box<Forwarded>>,
}

/// How a call was forwarded before it came here (TDR-118, GEN-59).
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Forwarded {
    /// The number that sent it on last; empty when it has none.
    pub by: Pii<String>,
    /// Why, in the words of Diversion: `unconditional`, `user-busy`, `no-answer`, … (RFC 5806 §4).
    pub reason: String,
    /// How often it was sent on.
    pub times: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}
