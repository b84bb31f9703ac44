//! What a call notes of the messages that cross it, for its record and the log: who forwarded it, which conversation of
//! Genesys it belongs to, what was dropped on the way (GEN-59, 61, 63, 66, 95; TDR-118); and how often a conversation has
//! entered here for the same number (GEN-79).

use super::Call;
use super::context::Context;
use crate::event::{EventKind, Forwarded};
use crate::normalize::{self, MAX_REENTRIES};
use crate::number::Number;
use crate::pii::Pii;
use crate::sip::Message;
use crate::trunk::{Kind, Trunk};
use foldhash::fast::{FixedState, RandomState};
use hashbrown::HashMap;
use std::hash::BuildHasher;

/// The longest conversation identifier that is kept, in octets: a UUID has 36.
const MAX_CONVERSATION: usize = 128;

/// The conversation that a message of `trunk` names (GEN-61); empty where it names none.
pub fn conversation<'m>(trunk: &Trunk, message: &'m Message) -> &'m str {
    let named = (trunk.kind == Kind::Genesys).then(|| message.extension("x-inin-cnv").next()).flatten();
    named.filter(|named| named.len() <= MAX_CONVERSATION).unwrap_or("")
}

/// How often conversations of Genesys have entered here for a number and are still there (GEN-79), by `entry`. As long
/// as the calls that are there, and no longer.
#[derive(Debug, Default)]
pub struct Entries {
    counts: HashMap<u64, u32, RandomState>,
}

impl Entries {
    /// Once more.
    pub fn enter(&mut self, entry: u64) {
        *self.counts.entry(entry).or_insert(0) += 1;
    }

    /// Once less. Returns whether it was there.
    pub fn exit(&mut self, entry: u64) -> bool {
        let Some(entered) = self.counts.get_mut(&entry) else { return false };
        *entered = entered.saturating_sub(1);
        if *entered == 0 {
            self.counts.remove(&entry);
        }
        true
    }

    /// How often it is there.
    pub fn count(&self, entry: u64) -> u32 {
        self.counts.get(&entry).copied().unwrap_or(0)
    }

    /// Takes everything out: each entry, as often as it is there.
    pub fn drain(&mut self) -> impl Iterator<Item = u64> + '_ {
        self.counts.drain().flat_map(|(entry, count)| (0..count).map(move |_| entry))
    }
}

/// A conversation and a number as one word, the same for every worker; `None`: there is no conversation.
fn entry(conversation: &str, called: &Number) -> Option<u64> {
    (!conversation.is_empty()).then(|| FixedState::default().hash_one((conversation, called)))
}

impl Context {
    /// Whether this conversation has entered here for this number as often as it may, and is still there (GEN-79): the
    /// number forwards to Genesys, which calls it again.
    pub fn has_entered_too_often(&self, conversation: &str, called: &Number) -> bool {
        entry(conversation, called).is_some_and(|entry| self.admission.entered(entry) > MAX_REENTRIES)
    }

    /// Counts a call that enters; what comes back is for [`exit`](Self::exit).
    pub(super) fn enter(&self, conversation: &str, called: &Number) -> Option<u64> {
        let entry = entry(conversation, called)?;
        self.admission.enter(entry);
        Some(entry)
    }

    /// A call that entered is over, or another worker's.
    pub(super) fn exit(&self, entry: Option<u64>) {
        if let Some(entry) = entry {
            self.admission.exit(entry);
        }
    }
}

impl Call {
    /// What the caller's INVITE says beside who calls whom.
    pub(super) fn note_invite(&mut self, cx: &mut Context) {
        let (Some(attempt), Some(incoming)) = (&self.attempt, &self.caller.incoming) else { return };
        let invite = attempt.ruled.as_ref().unwrap_or(&incoming.request);
        let trunk = &self.caller.trunk;
        self.entry = cx.enter(&self.record.conversation, &attempt.parties.called);
        self.note_reserved(cx, trunk, invite);
        if let Err(fault) = normalize::user_to_user(invite) {
            let (names, why) = (vec!["user-to-user".to_owned()], fault.to_string());
            cx.event(Some(self.id), EventKind::FieldsDropped { trunk: trunk.id, names, why });
        }
        let diverters = normalize::diverters(trunk, &cx.snapshot.edge.country_code, invite);
        let Some(last) = diverters.last() else { return };
        let times = diverters.iter().fold(0_u32, |sum, diverter| sum.saturating_add(diverter.times));
        let (by, reason) = (last.number.as_ref().map(Number::user_part).unwrap_or_default(), last.reason.as_str());
        self.record.forwarded = Some(Box::new(Forwarded { by: Pii::new(by), reason: reason.to_owned(), times }));
        cx.event(Some(self.id), EventKind::CallForwarded { from: trunk.id, reason, times });
    }

    /// What the 2xx of the callee says beside its description.
    pub(super) fn note_answer(&mut self, cx: &mut Context, response: &Message) {
        let Some(trunk) = self.callee.as_ref().map(|leg| leg.trunk.clone()) else { return };
        self.note_reserved(cx, &trunk, response);
        if self.record.conversation.is_empty() {
            self.record.conversation = conversation(&trunk, response).to_owned();
        }
    }

    /// The callee's trunk does not know the number: with the hub, one that Entra still lists (GEN-95).
    pub(super) fn note_unknown_number(&self, cx: &mut Context) {
        if let Some(leg) = self.callee.as_ref().filter(|leg| leg.trunk.kind == Kind::Teams) {
            let number = self.record.callee.clone();
            cx.event(Some(self.id), EventKind::UnknownNumber { trunk: leg.trunk.id, number });
        }
    }

    fn note_reserved(&self, cx: &mut Context, trunk: &Trunk, message: &Message) {
        let names = normalize::reserved_names(message);
        if !names.is_empty() {
            let why = "reserved by the platform".to_owned();
            cx.event(Some(self.id), EventKind::FieldsDropped { trunk: trunk.id, names, why });
        }
    }
}
