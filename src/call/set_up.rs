//! From the initial INVITE to its final response (RFC 3261 §13, §9; RFC 3262; TDR-73 to 82, TDR-123 to 125).
//!
//! The caller sees one dialog with one To tag whatever happens behind it: forks, reliable provisional
//! responses and further targets stay on the callee's side (GEN-44). Each target gets an INVITE of its
//! own, with identifiers of its own; an answer that comes too late is acknowledged and ended.

use super::context::{Context, Timer};
use super::description::{answer_for, described, offer_for};
use super::dialog::Dialog;
use super::forks::Forks;
use super::leg::{Cancel, Incoming, Leg, LegState, Outgoing, Purpose};
use super::places::Places;
use super::session_timer::{SessionTimer, min_se};
use super::{Call, CallKey, Parties, Phase, Reliable, Side, Then};
use crate::event::{CallRecord, EndedBy, EventKind};
use crate::normalize::{self, Caller};
use crate::number::Number;
use crate::pii::Pii;
use crate::routing::{self, Decision, Failure, Target};
use crate::sip::{Field, Message, Method, Name, has_option, sdp_part};
use crate::transaction::ServerId;
use crate::trunk::{Kind, Trunk};
use bytes::Bytes;
use bytestring::ByteString;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;

/// The most forks of one INVITE that are told apart; more than any hub makes.
const MAX_FORKS: usize = 16;

/// How long a call may ring where no trunk says: below Genesys' 120 s (GEN-82).
const LONGEST_RING: Duration = Duration::from_secs(110);

/// An initial INVITE that passed all checks.
pub struct NewCall {
    /// The name of the call to be.
    pub key: CallKey,
    /// The INVITE.
    pub request: Message,
    /// Its server transaction.
    pub server: ServerId,
    /// Its top Via, completed (RFC 3581); `None`: as it came.
    pub via: Option<String>,
    /// The caller's trunk.
    pub trunk: Arc<Trunk>,
    /// Who calls.
    pub caller: Caller,
    /// Who is called.
    pub called: Number,
    /// Where the call may go.
    pub decision: Decision,
    /// What was agreed for the caller's leg.
    pub timer: SessionTimer,
    /// Max-Forwards as received, at least 1.
    pub max_forwards: u32,
    /// Conversation id that Genesys gave (GEN-61).
    pub conversation: String,
    /// The INVITE as the operator's rules want it read; `None`: as it came. Its responses still repeat what came.
    pub ruled: Option<Message>,
}

/// What every INVITE of this call says, and how the current one fares.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) parties: Parties,
    /// The caller's INVITE after the operator's rules, where they changed it.
    pub(super) ruled: Option<Message>,
    offer: Option<Bytes>,
    crossing: Vec<(Field, String)>,
    max_forwards: u32,
    /// How often the call has been through here with this INVITE (GEN-79).
    hops: u32,
    target: Option<Target>,
    /// The Min-SE of a 422, in seconds.
    min_se: Option<u32>,
    /// Whether a provisional response other than 100 came from the current target.
    pub(super) rang: bool,
    /// The early dialogs of the current target.
    pub(super) forks: SmallVec<[EarlyFork; 2]>,
    /// Description of the early fork, in case its 2xx does not repeat it.
    pub(super) early: Option<(ByteString, Bytes)>,
}

/// One early dialog of the target: a branch of the called side that rings (TDR-73).
#[derive(Debug)]
pub(super) struct EarlyFork {
    /// Its tag.
    pub(super) tag: ByteString,
    /// The RSeq of its last provisional response that has its PRACK; 0 before the first.
    pub(super) rseq: u32,
    /// The CSeq of its last request.
    pub(super) cseq: Option<u32>,
}

impl Attempt {
    /// The early dialog with this tag, noted when it is new; `None` beyond what any hub makes.
    pub(super) fn fork(&mut self, tag: &ByteString) -> Option<&mut EarlyFork> {
        let at = match self.forks.iter().position(|fork| fork.tag == *tag) {
            Some(at) => at,
            None if self.forks.len() >= MAX_FORKS => return None,
            None => {
                self.forks.push(EarlyFork { tag: tag.clone(), rseq: 0, cseq: None });
                self.forks.len() - 1
            }
        };
        self.forks.get_mut(at)
    }
}

impl Call {
    /// Opens a call: the caller has its 100, the offer is on its way.
    pub fn open(cx: &mut Context, new: NewCall) -> Self {
        let NewCall {
            key,
            request,
            server,
            via,
            trunk,
            caller,
            called,
            decision,
            timer,
            max_forwards,
            conversation,
            ruled,
        } = new;
        cx.transactions.set_server_user(server, key.0);
        let slot = cx.minter.slot();
        let id = cx.minter.uuid(cx.now.unix_ms);
        let tag = ByteString::from(cx.minter.tag(slot));
        cx.dialogs.insert(tag.clone(), (key, Side::Caller));
        let contact = normalize::contact(&trunk, Some(&called.user_part()));
        let dialog = Dialog::from_request(&request, tag);
        let record = CallRecord {
            id,
            started_ms: cx.now.unix_ms,
            from_trunk: trunk.name.to_string(),
            caller: Pii::new(caller.number.as_ref().map(|number| number.user_part()).unwrap_or_default()),
            callee: Pii::new(called.user_part()),
            user: decision.user.map(|user| Pii::new(user.reveal().to_string())).unwrap_or_default(),
            from_call_id: request.call_id().to_owned(),
            conversation,
            emergency: decision.emergency,
            ..CallRecord::default()
        };
        cx.event(Some(id), EventKind::CallStarted { from: trunk.id, emergency: decision.emergency });
        let offer = sdp_part(request.header(Name::ContentType).unwrap_or(""), &request.body());
        let crossing = Vec::new();
        let reliable = has_option(&request, Name::Require, "100rel")
            .then(|| Reliable { cseq: request.cseq().number, ..Reliable::default() });
        let mut leg = Leg::new(Side::Caller, trunk.clone(), dialog, contact, cx.minter.session_id());
        leg.timer = timer;
        leg.incoming = Some(Incoming { id: server, request, via, offer: offer.clone(), timer: None });
        let mut targets = decision.targets;
        targets.reverse();
        let attempt = Attempt {
            parties: Parties { caller, called },
            ruled,
            offer: None,
            crossing,
            max_forwards,
            hops: 1,
            target: None,
            min_se: None,
            rang: false,
            forks: SmallVec::new(),
            early: None,
        };
        let mut call = Self {
            key,
            id,
            phase: Phase::Proceeding,
            caller: leg,
            callee: None,
            record,
            asked: None,
            targets,
            attempt: Some(attempt),
            orphans: Vec::new(),
            forks: Forks::default(),
            repeats_until: None,
            infos: Vec::new(),
            held_offer: None,
            early_fork: None,
            rung: None,
            early_answer: None,
            reliable,
            held_answer: None,
            crossing: Vec::new(),
            places: if decision.emergency { Places::default() } else { Places::admitted(trunk.id) },
            entry: None,
            recorded: false,
            epoch: 0,
            revision: 0,
            wanted: None,
        };
        if let Some(after) = call.caller.trunk.policy.progress_after {
            cx.set_timer(key, Timer::Progress, after);
        }
        call.note_invite(cx);
        match offer {
            Some(offer) => {
                call.caller.media.receive(&offer);
                call.ask(cx, Side::Caller, true, offer, Then::Offer);
            }
            None => call.try_next(cx),
        }
        call
    }

    pub(super) fn offer_ready(&mut self, cx: &mut Context, result: Result<Bytes, String>) {
        match result {
            Ok(offer) => {
                if let Some(attempt) = &mut self.attempt {
                    attempt.offer = Some(offer);
                }
                self.try_next(cx);
            }
            // Nothing has rung yet: another node may do better (TDR-127, GEN-80).
            Err(why) => self.refuse_caller(cx, 503, "Media relay unavailable", &why, None),
        }
    }

    /// Sends the INVITE to the next target.
    pub(super) fn try_next(&mut self, cx: &mut Context) {
        if !cx.timers.is_set(&(self.key, Timer::Ring)) {
            // From the first attempt to the answer, whatever the targets say meanwhile (GEN-82).
            let longest = self.targets.last().and_then(|target| cx.snapshot.trunk(target.trunk));
            let longest = longest.map_or(LONGEST_RING, |trunk| trunk.ring_timeout);
            let holds = self.invite_holds();
            cx.set_timer(self.key, Timer::Ring, holds.map_or(longest, |holds| holds.min(longest)));
        }
        let Some(target) = self.targets.pop() else {
            return self.refuse_caller(cx, 503, "No target left", "no target could be tried", None);
        };
        let Some(trunk) = cx.snapshot.trunk(target.trunk).cloned().filter(|_| self.attempt.is_some()) else {
            return self.refuse_caller(cx, 500, "Trunk is gone", "the trunk of the route is gone", None);
        };
        if let Err(why) = self.take_place(cx, &trunk) {
            // The next trunk may have room, and else another SBC (GEN-83).
            self.targets.retain(|other| other.trunk != target.trunk);
            return match self.targets.is_empty() {
                true => self.refuse_caller(cx, 503, "Too many calls", &why, None),
                false => self.try_next(cx),
            };
        }
        let Some(attempt) = &mut self.attempt else { return };
        attempt.target = Some(target);
        attempt.rang = false;
        attempt.early = None;
        attempt.forks.clear();
        let Parties { caller, called } = &attempt.parties;
        let mut form = normalize::invite_form(&trunk, target.host, caller, called);
        if let Some(incoming) = &self.caller.incoming {
            let invite = attempt.ruled.as_ref().unwrap_or(&incoming.request);
            let (from, country_code) = (&self.caller.trunk, &cx.snapshot.edge.country_code);
            if normalize::is_for_voicemail(&trunk, called, invite) {
                form.request_uri.push_str(normalize::VOICEMAIL);
            }
            attempt.crossing = normalize::carried(from, &trunk, country_code, invite, &form.request_uri);
            attempt.hops = normalize::hops(invite).saturating_add(1);
            if self.record.emergency {
                attempt.crossing.extend(normalize::location(from.kind, trunk.kind, invite));
            }
        }
        let slot = cx.minter.slot_of(&self.caller.dialog.local_tag);
        let tag = ByteString::from(cx.minter.tag(slot));
        let call_id = [&cx.minter.call_id(slot), "@", &trunk.fqdn].concat();
        let cseq = cx.minter.cseq();
        if let Some(old) = self.callee.take() {
            cx.dialogs.remove(&old.dialog.local_tag);
        }
        cx.dialogs.insert(tag.clone(), (self.key, Side::Callee));
        let dialog = Dialog::to_request(&form.request_uri, &form.from, &form.to, call_id, tag, cseq);
        let mut leg = Leg::new(Side::Callee, trunk.clone(), dialog, form.contact, cx.minter.session_id());
        let branch = cx.minter.branch(slot);
        let mut draft =
            leg.dialog.request(&Method::Invite, cseq, &normalize::via(&trunk, &branch), attempt.max_forwards);
        draft.put(Name::Contact, &leg.contact);
        draft.put(Name::Allow, normalize::allow(&trunk)).put(Name::Supported, normalize::supported(&trunk));
        // After a 422 its Min-SE binds the next INVITE, too (RFC 4028 §7.3).
        leg.min_se = attempt.min_se.unwrap_or(0).max(trunk.min_se);
        if let Some(seconds) = trunk.session_expires.or(attempt.min_se) {
            draft.put_number(Name::SessionExpires, seconds.max(leg.min_se));
            draft.put_number(Name::MinSe, leg.min_se);
        }
        for (field, value) in form.identity.iter().chain(&attempt.crossing) {
            draft.put(field.clone(), value);
        }
        draft.put_number(normalize::HOPS, attempt.hops);
        for (field, value) in &trunk.headers {
            draft.put(field.clone(), value);
        }
        normalize::introduce(&mut draft, &trunk, &cx.snapshot.edge.product);
        let offered = attempt.offer.is_some();
        let sdp = attempt.offer.as_ref().map(|offer| leg.media.send(&offer_for(trunk.kind, offer, None)));
        let incoming = self.caller.incoming.as_ref().filter(|_| self.record.emergency);
        let invite = incoming.map(|incoming| attempt.ruled.as_ref().unwrap_or(&incoming.request));
        match (invite.and_then(|invite| normalize::located(invite, sdp.as_deref())), sdp) {
            (Some((content_type, body)), _) => draft.body(content_type, body),
            (None, Some(sdp)) => draft.body("application/sdp", sdp),
            (None, None) => &mut draft,
        };
        self.record.to_trunk = trunk.name.to_string();
        self.record.to_call_id = leg.dialog.call_id.to_string();
        cx.at_hand(&self.record);
        let invite = match cx.leave(&trunk, draft) {
            Ok(invite) => invite,
            Err(rejection) => {
                cx.dialogs.remove(&leg.dialog.local_tag);
                if self.record.emergency && !self.targets.is_empty() {
                    // TDR-155: another trunk may take what this one does not.
                    return self.try_next(cx);
                }
                // Never a 5xx, which would make the caller's platform ring elsewhere (GEN-80).
                let why = format!("kept from leaving: {rejection}");
                return self.refuse_caller(cx, 488, "Not Acceptable Here", &why, None);
            }
        };
        leg.dialog.sent(&invite);
        let hop = Arc::new(routing::hop(&cx.snapshot, &trunk, target.host));
        let id = leg.send(cx, self.key, &Method::Invite, &branch, &hop, invite.octets());
        let purpose = Purpose::Initial;
        let cancel = Cancel::No;
        leg.outgoing = Some(Outgoing { id, cseq, purpose, offered, before: None, answered: false, cancel });
        self.callee = Some(leg);
        cx.set_timer(self.key, Timer::Response, trunk.response_timeout);
    }

    pub(super) fn handle_callee_response(&mut self, cx: &mut Context, response: &Message) {
        cx.cancel_timer(self.key, Timer::Response);
        match response.status().unwrap_or(0) {
            0..200 => self.handle_provisional(cx, response),
            200..300 => self.handle_answer_of_callee(cx, response),
            status => {
                let proceeding = self.phase == Phase::Proceeding;
                if let (422, true, Some(attempt)) = (status, proceeding, &mut self.attempt)
                    && attempt.min_se.is_none()
                    && let Some(target) = attempt.target
                {
                    // Once more with the interval it asks for (RFC 4028 §7.3, TDR-97).
                    let wanted = min_se(response).unwrap_or(1800);
                    attempt.min_se = Some(wanted);
                    self.targets.push(target);
                    return self.try_next(cx);
                }
                self.attempt_failed(cx, Failure::Status(status), Some(response));
            }
        }
    }

    /// The first 2xx of the target (§13.2.2.4).
    fn handle_answer_of_callee(&mut self, cx: &mut Context, response: &Message) {
        let (Some(leg), Some(attempt)) = (&mut self.callee, &self.attempt) else {
            return;
        };
        let Some(outgoing) = leg.outgoing.take() else {
            return;
        };
        leg.dialog.learn(response);
        if leg.hop(cx).is_none() {
            // Neither ACK nor BYE may go there: this leg is over before it began.
            leg.state = LegState::Ended;
            if self.phase != Phase::Proceeding {
                return self.close(cx);
            }
            let heard = normalize::final_status(leg.trunk.kind, self.caller.trunk.kind, 500);
            let why = "the called side answered from a place that may not be dialled";
            return self.refuse_caller(cx, heard, phrase(heard), why, None);
        }
        leg.state = LegState::Confirmed;
        leg.timer = SessionTimer::agreed(response);
        let fork = leg.dialog.remote_tag.clone();
        let body = described(response);
        let early = attempt.early.as_ref().filter(|(tag, _)| *tag == fork).map(|(_, sdp)| sdp.clone());
        let sdp = body.or(early);
        let delayed = !outgoing.offered && self.phase == Phase::Proceeding && sdp.is_some();
        if delayed {
            // Our ACK has to carry the answer, which only the caller's ACK brings.
            leg.owes_answer = Some(outgoing.cseq);
        } else {
            // TDR-79: at once.
            leg.acknowledge(cx, outgoing.cseq, None);
        }
        if self.phase != Phase::Proceeding {
            return self.hang_up(cx, Side::Callee, None);
        }
        leg.watch(cx, self.key);
        self.crossing = crossing(leg, &self.caller.trunk, response);
        self.note_answer(cx, response);
        let Some(leg) = &mut self.callee else { return };
        match sdp {
            Some(sdp) => {
                leg.media.receive(&sdp);
                self.ask(cx, Side::Callee, delayed, sdp, Then::Answer);
            }
            None => {
                let why = "the called side answered without a session description";
                self.refuse_caller(cx, 488, "No answer to the offer", why, None);
            }
        }
    }

    /// The description for the caller's 2xx is there.
    pub(super) fn answer_ready(&mut self, cx: &mut Context, result: Result<Bytes, String>) {
        let sdp = match result {
            Ok(sdp) => sdp,
            Err(why) => return self.refuse_caller(cx, 488, "Media relay failed", &why, None),
        };
        if self.reliable.as_ref().is_some_and(|reliable| reliable.pending.as_ref().is_some_and(|(_, sdp, _)| *sdp)) {
            // RFC 3262 §3: not before the PRACK of a provisional response with SDP.
            self.held_answer = Some(sdp);
            return;
        }
        let Some(incoming) = self.caller.incoming.take() else {
            return;
        };
        for timer in [Timer::Ring, Timer::Progress, Timer::Provisional, Timer::Reliable] {
            cx.cancel_timer(self.key, timer);
        }
        let offered = incoming.offer.is_none();
        let (kind, said) = (self.caller.trunk.kind, self.caller.media.sent.clone());
        let sdp = match self.early_answer.take() {
            // The offer is answered already: the same answer again, which is the only one the caller
            // heeds (RFC 3261 §13.2.1), and what has changed by a re-INVITE (TDR-73, 81).
            Some(early) => {
                if !self.caller.media.says(&answer_for(kind, incoming.offer.as_ref(), &sdp, said.as_ref())) {
                    self.caller.realign = Some(sdp);
                }
                early
            }
            None => self.caller.media.send(&answer_for(kind, incoming.offer.as_ref(), &sdp, None)),
        };
        let cross = std::mem::take(&mut self.crossing);
        if let Err(withheld) = self.caller.accept(cx, self.key, incoming, Some(sdp), offered, &cross) {
            let (incoming, rejection) = *withheld;
            self.caller.incoming = Some(incoming);
            // A 5xx would make Genesys ring somebody else's phone as well (GEN-80).
            let status = if kind == Kind::Genesys { 480 } else { 500 };
            let why = format!("the answer was kept from leaving: {rejection}");
            return self.refuse_caller(cx, status, phrase(status), &why, None);
        }
        self.phase = Phase::Answered;
        self.attempt = None;
        self.rung = None;
        self.targets.clear();
        self.caller.state = LegState::Confirmed;
        self.record.answered_ms = Some(cx.now.unix_ms);
        self.record.status = 200;
        cx.set_timer(self.key, Timer::MaxCall, cx.snapshot.edge.max_call);
        if let Some(leg) = &self.callee {
            let after_ms = cx.now.unix_ms.saturating_sub(self.record.started_ms);
            cx.event(Some(self.id), EventKind::CallAnswered { to: leg.trunk.id, after_ms });
        }
        self.save(cx);
    }

    /// The CANCEL of `invite`. Its Reason crosses as that of a BYE does (TDR-82, GEN-80).
    pub fn handle_cancel(&mut self, cx: &mut Context, invite: ServerId, cancel: &Message) {
        let sent_by = |side: &Side| {
            let incoming = self.leg_at(*side).and_then(|leg| leg.incoming.as_ref());
            incoming.is_some_and(|incoming| incoming.id == invite)
        };
        let side = [Side::Caller, Side::Callee].into_iter().find(sent_by);
        let legs = side.and_then(|side| self.leg_at(side).zip(self.leg_at(side.other())));
        let reason = legs.and_then(|(from, to)| normalize::reason(from.trunk.kind, to.trunk.kind, cancel));
        self.withdraw(cx, invite, reason);
    }

    /// `invite` is taken back by CANCEL, or the initial one by a BYE in its stead, for `reason`.
    pub(super) fn withdraw(&mut self, cx: &mut Context, invite: ServerId, reason: Option<String>) {
        if self.caller.incoming.as_ref().is_some_and(|incoming| incoming.id == invite)
            && self.phase == Phase::Proceeding
        {
            self.record.ended_by = EndedBy::Caller;
            return self.refuse_caller(cx, 487, "Request Terminated", "cancelled by the caller", reason);
        }
        self.cancel_offer(cx, invite, reason);
    }

    /// The final response of the initial INVITE is ours: whatever is under way behind it ends.
    pub(super) fn refuse_caller(
        &mut self,
        cx: &mut Context,
        status: u16,
        phrase: &str,
        why: &str,
        reason: Option<String>,
    ) {
        if let Some(incoming) = self.caller.incoming.take() {
            let cross = status != 487;
            self.caller.refuse(cx, &incoming, status, phrase, |draft| {
                if let Some(reason) = reason.as_ref().filter(|_| cross) {
                    draft.put(Name::Reason, reason);
                }
                if status == 503 {
                    draft.put(Name::RetryAfter, "5");
                }
            });
        }
        self.record.status = status;
        self.caller.state = LegState::Ended;
        let by = match (status, &self.callee) {
            (487, _) => EndedBy::Caller,
            (_, Some(leg)) if leg.state == LegState::Ended => EndedBy::Callee,
            _ => EndedBy::Tandem,
        };
        self.finish(cx, by, why, reason.filter(|_| status == 487));
    }
}

/// The header fields of `message`, which came on `from`, that go over to `to`.
pub(super) fn crossing(from: &Leg, to: &Trunk, message: &Message) -> Vec<(Field, String)> {
    normalize::crossing(from.trunk.kind, to.kind, message)
        .map(|line| (Field::from(line.text), line.value.to_owned()))
        .collect()
}

/// The usual reason phrase of a status (RFC 3261 §21).
pub(super) fn phrase(status: u16) -> &'static str {
    match status {
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        410 => "Gone",
        415 => "Unsupported Media Type",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        484 => "Address Incomplete",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => match status / 100 {
            1 => "Progress",
            2 => "OK",
            3 => "Redirected",
            4 => "Request Failure",
            5 => "Server Failure",
            _ => "Global Failure",
        },
    }
}
