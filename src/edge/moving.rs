//! Calls that come and go, and requests that wait for theirs (design: "Asking", "Moving").
//!
//! A request whose To tag is ours but whose call is not here is held, with its transaction, while the shell is asked for
//! the call. Meanwhile:
//!
//! | what comes | what happens |
//! |---|---|
//! | further requests of the dialog | wait, in order; more than [`MAX_HELD`]: 503 |
//! | ACK | dropped: a call that was saved owes nobody a 2xx |
//! | CANCEL of a re-INVITE that waits | 487 |
//! | the call, from the store or from another worker | all go on |
//! | no such call, the question fails, the deadline | 481 |
//! | lost flow | nothing: responses find another way (TDR-80) |
//! | drain | nothing; drain now: 503 |

use super::Edge;
use crate::call::saved::RestoreError;
use crate::call::{Call, CallKey, Departure};
use crate::event::{Alarm, EndedBy, EventKind, Severity};
use crate::flow::Peer;
use crate::identifier::Identity;
use crate::io::{Output, Question, QuestionId};
use crate::sip::{Draft, Message, Method, Name};
use crate::transaction::ServerId;
use bytes::Bytes;
use bytestring::ByteString;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::sync::Arc;
use uuid::Uuid;

/// The most requests of one dialog that wait: more than a peer has under way (re-INVITE, INFO, OPTIONS, BYE).
const MAX_HELD: usize = 8;

/// The most dialogs whose calls are asked for at once: as many as a worker has calls when it takes all of another's.
const MAX_WAITING: usize = 10_000;

/// A request that waits for its call.
pub(super) struct Held {
    pub(super) id: ServerId,
    pub(super) request: Message,
    pub(super) via: Option<String>,
    pub(super) peer: Arc<Peer>,
}

/// The requests of one dialog that wait.
struct Wait {
    tag: ByteString,
    question: QuestionId,
    held: SmallVec<[Held; 1]>,
}

/// All requests that wait, by the name that stands for their call until it is here, and that by its tag.
#[derive(Default)]
pub(super) struct Waiting {
    waits: HashMap<CallKey, Wait, foldhash::fast::RandomState>,
    keys: HashMap<ByteString, CallKey, foldhash::fast::RandomState>,
}

impl Waiting {
    pub(super) fn contains(&self, key: CallKey) -> bool {
        self.waits.contains_key(&key)
    }

    fn begin(&mut self, key: CallKey, tag: ByteString, question: QuestionId) {
        self.keys.insert(tag.clone(), key);
        self.waits.insert(key, Wait { tag, question, held: SmallVec::new() });
    }

    fn end(&mut self, key: CallKey) -> Option<Wait> {
        let wait = self.waits.remove(&key)?;
        self.keys.remove(&wait.tag);
        Some(wait)
    }
}

impl Edge {
    /// Whether the call of `tag` is to be asked for.
    pub(super) fn may_load(&self, tag: &str) -> bool {
        self.cx.snapshot.edge.ask_load && Identity::of(tag).is_some() && !self.cx.dialogs.contains_key(tag)
    }

    /// Holds a request, and asks for its call unless that is asked already.
    pub(super) fn hold(&mut self, tag: &str, held: Held) {
        let waiting = &self.waiting;
        let known = waiting.keys.get(tag).copied();
        let full = known.and_then(|key| waiting.waits.get(&key)).is_some_and(|wait| wait.held.len() >= MAX_HELD);
        if full || (known.is_none() && waiting.waits.len() >= MAX_WAITING) {
            return self.refuse(held.id, &held.request, held.via.as_deref(), 503, "Too many requests", |draft| {
                draft.put_number(Name::RetryAfter, 2);
            });
        }
        let key = known.unwrap_or_else(|| {
            self.last_key += 1;
            let (key, tag) = (CallKey(self.last_key), ByteString::from(tag));
            let question = self.cx.ask(key, Question::Load { tag: tag.clone() });
            self.waiting.begin(key, tag, question);
            key
        });
        self.cx.transactions.set_server_user(held.id, key.0);
        if *held.request.method() == Method::Invite {
            let trying = Draft::response(&held.request, 100, "Trying", "", held.via.as_deref()).finish();
            self.cx.transactions.respond(self.cx.now.monotonic, held.id, 100, trying);
        }
        if let Some(wait) = self.waiting.waits.get_mut(&key) {
            wait.held.push(held);
        }
    }

    /// Requests go on that waited for their call, whether it is here now or not.
    pub(super) fn resume(&mut self, key: CallKey) {
        let Some(wait) = self.waiting.end(key) else { return };
        self.cx.forget_question(key, wait.question);
        for held in wait.held {
            self.cx.transactions.set_server_user(held.id, CallKey::NONE.0);
            match self.leg_of(&wait.tag, &held.request, &held.peer) {
                Some((key, side)) => self.handle_within(key, side, held.id, held.request, held.via),
                None => self.refuse(held.id, &held.request, held.via.as_deref(), 481, "No such call", |_| {}),
            }
        }
    }

    /// The re-INVITE of `id`, no longer waiting, if it was.
    pub(super) fn withdraw(&mut self, key: CallKey, id: ServerId) -> Option<Held> {
        let held = &mut self.waiting.waits.get_mut(&key)?.held;
        held.iter().position(|held| held.id == id).map(|at| held.remove(at))
    }

    /// Nobody waits any longer: the process is about to end.
    pub(super) fn stop_waiting(&mut self) {
        let mut keys: Vec<CallKey> = self.waiting.waits.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            let Some(wait) = self.waiting.end(key) else { continue };
            self.cx.forget_question(key, wait.question);
            for held in wait.held {
                self.refuse(held.id, &held.request, held.via.as_deref(), 503, "Draining", |_| {});
            }
        }
    }

    /// A call lives here from now on.
    pub(super) fn handle_restored(&mut self, id: Uuid, octets: &Bytes) {
        self.last_key += 1;
        let key = CallKey(self.last_key);
        match Call::restore(&mut self.cx, key, octets) {
            Ok(call) => {
                let tags = call.tags();
                self.calls.insert(key, Box::new(call));
                let awaited = tags.iter().filter_map(|tag| self.waiting.keys.get(tag).copied());
                let awaited: SmallVec<[CallKey; 2]> = awaited.collect();
                for key in awaited {
                    self.resume(key);
                }
            }
            Err(RestoreError::Here) => {}
            Err(error) => self.lost(id, error),
        }
    }

    /// A call that cannot be taken up is lost.
    fn lost(&mut self, call: Uuid, error: RestoreError) {
        self.cx.event(
            Some(call),
            EventKind::Alarm(Alarm {
                key: "restore".to_owned(),
                severity: Severity::Critical,
                raised: true,
                text: error.to_string(),
                remedy: "the call is lost; keep trunks configured until their calls have ended",
            }),
        );
        // Another version of the product may be able to read what it wrote.
        if !matches!(error, RestoreError::Version(_)) {
            self.cx.output(Output::Forget { call, revision: u32::MAX });
        }
        if let RestoreError::UnknownTrunk { mut record, trunk } = error {
            record.ended_ms = self.cx.now.unix_ms;
            record.ended_by = EndedBy::Tandem;
            record.reason = format!("lost: trunk {trunk} is no longer configured");
            self.cx.event(Some(call), EventKind::CallEnded(Arc::new(*record)));
        }
    }

    /// A save is kept: a call that was saved in order to leave goes, unless something has happened to it since.
    pub(super) fn handle_saved(&mut self, call: Uuid, revision: u32) {
        let Some(at) = self.leaving.iter().position(|(id, _)| *id == call) else { return };
        let (_, key) = self.leaving[at];
        match self.calls.get_mut(&key).map(|call| call.saved(revision)) {
            Some(Departure::Waits) => return,
            Some(Departure::Stays) => self.touched.push(key),
            Some(Departure::Goes) => {
                if let Some(call) = self.calls.remove(&key)
                    && let Some(forks) = call.surrender(&mut self.cx)
                {
                    self.forks.insert(key, forks);
                }
            }
            None => {}
        }
        self.leaving.swap_remove(at);
    }
}
