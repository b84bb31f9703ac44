//! A confirmed call as versioned octets, and back (design: "Moving").
//!
//! Saved is what a call is made of: both dialogs, the last description each way, session timers, the
//! record so far. Not saved are flows, handles, monotonic times and open transactions; a call that is
//! taken up again jumps ahead in its CSeq, since requests may have left after the last save.

use super::context::{Context, Timer};
use super::description::Descriptions;
use super::dialog::Dialog;
use super::forks::Forks;
use super::leg::{Leg, LegState};
use super::places::Places;
use super::session_timer::SessionTimer;
use super::{Call, CallKey, Phase, Side};
use crate::event::CallRecord;
use crate::io::Output;
use crate::number::Number;
use crate::trunk::{Kind, Trunk};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// The version of the form below.
const VERSION: u32 = 2;

/// How far CSeq jumps when a call is taken up: more requests than may have left since the last save,
/// INFOs and probes included.
const CSEQ_JUMP: u32 = 1 << 16;

/// Octets of a saved call without its descriptions: two dialogs with their routes, and the record.
const SAVED_ROOM: usize = 3072;

/// When a session that we refresh is refreshed after its call was taken up.
const REFRESH_AFTER_RESTORE: Duration = Duration::from_secs(5);

/// Borrowed while it is written, owned once it was read.
#[derive(Deserialize, Serialize)]
struct SavedCall<'c> {
    version: u32,
    epoch: u32,
    revision: u32,
    record: Cow<'c, CallRecord>,
    /// When the longest duration is reached, milliseconds since the Unix epoch.
    max_call_ms: u64,
    legs: [SavedLeg<'c>; 2],
}

/// What every version of the form begins with.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Deserialize, Serialize)]
struct SavedLeg<'c> {
    trunk: Cow<'c, str>,
    dialog: Cow<'c, Dialog>,
    contact: Cow<'c, str>,
    media: Cow<'c, Descriptions>,
    timer: SessionTimer,
    /// When the session ends unless it is refreshed, milliseconds since the Unix epoch.
    #[serde(default)]
    expires_ms: Option<u64>,
}

/// Why saved octets cannot be taken up.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RestoreError {
    /// The call lives here already.
    #[error("the call is here already")]
    Here,
    /// Not the JSON of a saved call.
    #[error("saved call unreadable: {0}")]
    Unreadable(String),
    /// Written by another version of the product.
    #[error("saved call has version {0}, known is {VERSION}")]
    Version(u32),
    /// Its trunk is not configured any more: the call ends with this record.
    #[error("trunk {trunk} of a saved call is not configured")]
    UnknownTrunk {
        /// The trunk.
        trunk: String,
        /// All that was known of the call.
        record: Box<CallRecord>,
    },
}

impl Call {
    /// Saves the call if it is answered; later saves replace earlier ones. Not while our ACK owes the
    /// callee an answer: without that there is no session to take up.
    pub(super) fn save(&mut self, cx: &mut Context) {
        let Some(callee) = &self.callee else { return };
        if self.phase != Phase::Answered || callee.owes_answer.is_some() {
            return;
        }
        self.revision += 1;
        let answered = self.record.answered_ms.unwrap_or(cx.now.unix_ms);
        let saved = SavedCall {
            version: VERSION,
            epoch: self.epoch,
            revision: self.revision,
            record: Cow::Borrowed(&self.record),
            max_call_ms: answered + cx.snapshot.edge.max_call.as_millis() as u64,
            legs: [save_leg(&self.caller), save_leg(callee)],
        };
        // Written at once into what it nearly always fits: growing would copy it several times.
        let mut octets = Vec::with_capacity(SAVED_ROOM + self.caller.media.json_room() + callee.media.json_room());
        if serde_json::to_writer(&mut octets, &saved).is_ok() {
            let octets = Bytes::from(octets);
            cx.output(Output::Save { call: self.id, epoch: self.epoch, revision: self.revision, octets });
        }
    }

    /// Takes up a saved call under a new name, and saves it: who had it before can no longer do that, and the CSeqs used
    /// from now on are never used again.
    ///
    /// # Errors
    ///
    /// [`RestoreError`] when the octets cannot be read or name a trunk that is gone: the call is lost; or when it is
    /// here.
    pub fn restore(cx: &mut Context, key: CallKey, octets: &Bytes) -> Result<Self, RestoreError> {
        let unreadable = |error: serde_json::Error| RestoreError::Unreadable(error.to_string());
        let Versioned { version } = serde_json::from_slice(octets).map_err(unreadable)?;
        if version != VERSION {
            return Err(RestoreError::Version(version));
        }
        let saved: SavedCall = serde_json::from_slice(octets).map_err(unreadable)?;
        if saved.legs.iter().any(|leg| cx.dialogs.contains_key(&leg.dialog.local_tag)) {
            return Err(RestoreError::Here);
        }
        // Both or none: half a call would be worse than none.
        let trunk = |leg: &SavedLeg| {
            let trunk = cx.snapshot.trunk_named(&leg.trunk).cloned();
            let record = || Box::new(CallRecord::clone(&saved.record));
            trunk.ok_or_else(|| RestoreError::UnknownTrunk { trunk: leg.trunk.to_string(), record: record() })
        };
        let (caller_trunk, callee_trunk) = (trunk(&saved.legs[0])?, trunk(&saved.legs[1])?);
        let [caller, callee] = saved.legs;
        let caller = restore_leg(cx, key, Side::Caller, caller, caller_trunk);
        let callee = restore_leg(cx, key, Side::Callee, callee, callee_trunk);
        // An emergency call never had a place.
        let places = match saved.record.emergency {
            true => Places::default(),
            false => Places::taken_up(cx, caller.trunk.id, callee.trunk.id),
        };
        // GEN-79: the conversation is still here, whoever has the call. Of a call from elsewhere it is that of the 2xx.
        let called = Number::normalise(saved.record.callee.reveal(), "").ok();
        let called = called.filter(|_| caller.trunk.kind == Kind::Genesys);
        let entry = called.and_then(|called| cx.enter(&saved.record.conversation, &called));
        let left = saved.max_call_ms.saturating_sub(cx.now.unix_ms);
        let record = saved.record.into_owned();
        cx.set_timer(key, Timer::MaxCall, Duration::from_millis(left));
        let mut call = Self {
            key,
            id: record.id,
            phase: Phase::Answered,
            places,
            entry,
            caller,
            callee: Some(callee),
            record,
            asked: None,
            targets: SmallVec::new(),
            attempt: None,
            orphans: Vec::new(),
            forks: Forks::default(),
            repeats_until: None,
            infos: Vec::new(),
            held_offer: None,
            early_fork: None,
            rung: None,
            early_answer: None,
            reliable: None,
            held_answer: None,
            crossing: Vec::new(),
            recorded: false,
            epoch: saved.epoch + 1,
            revision: saved.revision,
            wanted: None,
        };
        call.save(cx);
        Ok(call)
    }
}

fn save_leg(leg: &Leg) -> SavedLeg<'_> {
    SavedLeg {
        trunk: Cow::Borrowed(&leg.trunk.name),
        dialog: Cow::Borrowed(&leg.dialog),
        contact: Cow::Borrowed(&leg.contact),
        media: Cow::Borrowed(&leg.media),
        timer: leg.timer,
        expires_ms: leg.expires_ms,
    }
}

fn restore_leg(cx: &mut Context, key: CallKey, side: Side, saved: SavedLeg<'_>, trunk: Arc<Trunk>) -> Leg {
    let mut dialog = saved.dialog.into_owned();
    dialog.local_cseq += CSEQ_JUMP;
    cx.dialogs.insert(dialog.local_tag.clone(), (key, side));
    let mut leg = Leg::new(side, trunk, dialog, saved.contact.into_owned(), 0);
    leg.state = LegState::Confirmed;
    leg.media = saved.media.into_owned();
    leg.timer = saved.timer;
    leg.watch(cx, key);
    if let Some(expires_ms) = saved.expires_ms {
        // The session goes on where it was; a refresh of ours may be overdue, so it is due now.
        leg.expires_ms = Some(expires_ms);
        let left = Duration::from_millis(expires_ms.saturating_sub(cx.now.unix_ms));
        let due = if leg.timer.ours { left.min(REFRESH_AFTER_RESTORE) } else { left };
        cx.set_timer(key, Timer::Session(side), due);
    }
    leg
}
