//! Calls: two legs, each a dialog of ours, and what crosses between them.
//!
//! An initial INVITE that routing accepted becomes a [`Call`]. Its first leg is the caller's; the
//! second is made anew for every target that is tried. From then on each leg speaks its platform's
//! dialect, and the call translates:
//!
//! - `set_up`: offer out, answer back, CANCEL; `failover`: the next target; `ringing`: what comes before the answer.
//! - `modify`: re-INVITE and UPDATE, hold, glare, session refresh, realignment.
//! - `upkeep`: session timers, probes, INFO, requests without answer.
//! - `noted`: what is told of it in record and log.
//! - `authorize`: a challenge to a request of ours, and the same request again.
//! - `end`: BYE from either side, timers that give up, the call record.
//! - [`saved`]: a confirmed call as octets, and back; `moving`: how it leaves for another worker.
//!
//! Every description that crosses takes one step through [`Output::Ask`](crate::io::Output::Ask): the
//! call notes in [`Asked`] what it will do with the answer and goes on when that comes. While it waits,
//! every other event is handled as the table above [`Asked`] says.

mod authorize;
pub mod context;
pub mod description;
pub mod dialog;
mod end;
mod failover;
pub mod forks;
mod leaving;
pub mod leg;
mod modify;
mod moving;
mod noted;
mod places;
mod ringing;
pub mod saved;
pub mod session_timer;
mod set_up;
mod upkeep;

pub use context::{Context, Timer};
pub use leaving::Story;
pub use moving::Departure;
pub use noted::{Entries, conversation};
pub use set_up::NewCall;

use crate::event::{CallRecord, EndedBy};
use crate::flow::{Now, TrunkId};
use crate::io::{Answer, Question, QuestionId};
use crate::normalize::Caller;
use crate::number::Number;
use crate::routing::{Failure, Target};
use crate::sip::{Field, Message, Method, Name, option_tags};
use crate::transaction::{ClientId, ServerId};
use crate::trunk::Trunk;
use bytes::Bytes;
use bytestring::ByteString;
use forks::Forks;
use leg::{Leg, LegState, Outgoing, Purpose};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

/// Names a call within one core; never used again.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CallKey(pub u64);

impl CallKey {
    /// No call: what belongs to the element itself.
    pub const NONE: Self = Self(0);
}

/// A side of a call.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Who sent the initial INVITE.
    Caller,
    /// Who it went to.
    Callee,
}

impl Side {
    /// The other side.
    pub fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }

    /// 0 for the caller, 1 for the callee.
    pub fn index(self) -> usize {
        match self {
            Self::Caller => 0,
            Self::Callee => 1,
        }
    }

    fn ended_by(self) -> EndedBy {
        match self {
            Self::Caller => EndedBy::Caller,
            Self::Callee => EndedBy::Callee,
        }
    }
}

/// Limits that hold over all workers, behind a handle that a simulation replaces (GEN-79, 83).
pub trait Admission {
    /// Counts a new call from or to `trunk`, if its limits allow one more: calls at once, new calls a second.
    fn admit(&self, trunk: TrunkId, now: Now, max_calls: Option<u32>, max_rate: Option<u32>) -> Admit;
    /// A call that was admitted is over.
    fn release(&self, trunk: TrunkId);
    /// A conversation has entered for a number (GEN-79); see [`Entries`].
    fn enter(&self, entry: u64);
    /// A call that entered is over.
    fn exit(&self, entry: u64);
    /// How often it has entered and is still there.
    fn entered(&self, entry: u64) -> u32;
}

/// Whether a call may begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admit {
    /// It is counted.
    Yes,
    /// The trunk has as many calls as it may.
    TooMany,
    /// The trunk began as many calls in this second as it may.
    TooFast,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The caller has no final response.
    Proceeding,
    /// The caller got a 2xx.
    Answered,
    /// Both legs are being ended.
    Ending,
}

/// What the call does with the answer it waits for. What else may happen meanwhile:
///
/// | waiting for | CANCEL | BYE of a side | final response of the callee | offer of a side | question fails or deadline | lost flow | drain |
/// |---|---|---|---|---|---|---|---|
/// | `Offer` | 487, nothing was sent | as CANCEL | none is open | 491 | 503 to the caller | nothing | goes on |
/// | `Early` | 487, CANCEL out | as CANCEL | supersedes the question | 491 | 180, or what it was, without SDP | nothing | goes on |
/// | `Answer` | 487, BYE to the callee | caller's: as CANCEL; callee's: 480 | others are ended (forks) | 491 | 500 or 488 to the caller, BYE to the callee | nothing | goes on |
/// | `Reoffer` | 487 | both legs end | none is open | 491 | 488 to who offered | nothing | goes on |
/// | `Reanswer` | too late: 200, no effect | both legs end | absorbed | 491 | both legs end | nothing | goes on |
/// | `Acknowledged` | too late | both legs end | repeated 2xx wait for their ACK | 491 | both legs end | nothing | goes on |
///
/// A re-INVITE that comes while nothing is asked but the other side's ACK is still under way is held until
/// that ACK, or ends with the call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Then {
    /// Send the INVITE to the first target.
    Offer,
    /// Send the provisional response with this status to the caller.
    Early(u16),
    /// Send the 2xx to the caller.
    Answer,
    /// Send the offer of this side to the other.
    Reoffer(Side),
    /// Send the 2xx to the offer of this side.
    Reanswer(Side),
    /// The ACK of this side brought the answer: pass it on.
    Acknowledged(Side),
}

/// A question under way, and what for.
#[derive(Debug)]
pub struct Asked {
    question: QuestionId,
    then: Then,
}

/// An INVITE to an earlier target that may still be answered.
#[derive(Debug)]
struct Orphan {
    outgoing: Outgoing,
    leg: Leg,
}

/// A provisional response to the caller that is sent reliably (RFC 3262).
#[derive(Debug, Default)]
struct Reliable {
    /// CSeq of the INVITE.
    cseq: u32,
    /// RSeq of the last one; 0 before the first.
    rseq: u32,
    /// The one without PRACK: octets, whether it carries SDP, pause before the next repetition.
    pending: Option<(Bytes, bool, std::time::Duration)>,
    /// What waits for that PRACK: the newest provisional, with its description.
    next: Option<(u16, Option<Bytes>)>,
}

/// A call.
#[derive(Debug)]
pub struct Call {
    /// Its name in this core.
    pub key: CallKey,
    /// Its name everywhere.
    pub id: Uuid,
    /// How far it is.
    pub phase: Phase,
    /// The caller's leg, and the callee's once a target was tried.
    pub caller: Leg,
    /// The leg to the target that is tried or answered.
    pub callee: Option<Leg>,
    record: CallRecord,
    asked: Option<Asked>,
    /// Targets not tried yet, last first.
    targets: SmallVec<[Target; 4]>,
    attempt: Option<set_up::Attempt>,
    orphans: Vec<Orphan>,
    /// Dialogs of forks and orphans that answered all the same.
    forks: Forks,
    /// When the last 2xx to an INVITE of ours can come again for the last time.
    repeats_until: Option<Instant>,
    /// INFO requests that crossed and wait for the other side's answer.
    infos: Vec<leg::Incoming>,
    /// Who sent an offer that waits for the other side's ACK.
    held_offer: Option<Side>,
    /// The fork that made the early answer, by its tag.
    early_fork: Option<ByteString>,
    /// Status of the last provisional that crossed, and whether it had SDP.
    rung: Option<(u16, Option<Bytes>)>,
    /// The description of a provisional response that crossed: the answer to the caller's offer.
    early_answer: Option<Bytes>,
    reliable: Option<Reliable>,
    /// The 2xx waits for a PRACK (RFC 3262 §3).
    held_answer: Option<Bytes>,
    /// Header fields of the callee's last response that cross with the next one.
    crossing: Vec<(Field, String)>,
    places: places::Places,
    /// Its place among the entries of its conversation (GEN-79).
    entry: Option<u64>,
    recorded: bool,
    /// Counts the owners of the call.
    epoch: u32,
    revision: u32,
    /// Who asked for the call, and the revision with which it leaves, once that is being saved.
    wanted: Option<(u16, Option<u32>)>,
}

/// A line of `tandem calls`.
#[derive(Clone, Debug, serde::Serialize)]
pub struct CallSummary {
    /// The call.
    pub id: Uuid,
    /// The caller's trunk.
    pub from: String,
    /// The callee's trunk; empty before one is tried.
    pub to: String,
    /// How far it is.
    pub phase: Phase,
    /// When the INVITE came, milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// When it was answered.
    pub answered_ms: Option<u64>,
}

impl Call {
    /// What `tandem calls` shows.
    pub fn summary(&self) -> CallSummary {
        CallSummary {
            id: self.id,
            from: self.record.from_trunk.clone(),
            to: self.record.to_trunk.clone(),
            phase: self.phase,
            started_ms: self.record.started_ms,
            answered_ms: self.record.answered_ms,
        }
    }

    /// What its record says so far.
    pub fn record(&self) -> &CallRecord {
        &self.record
    }

    /// Whether nothing is left to wait for; the call may be dropped.
    pub fn is_over(&self) -> bool {
        let callee = self.callee.as_ref().is_none_or(Leg::is_over);
        self.phase == Phase::Ending && self.caller.is_over() && callee && self.orphans.is_empty()
    }

    /// The leg of a side, once there is one.
    pub fn leg_at(&self, side: Side) -> Option<&Leg> {
        match side {
            Side::Caller => Some(&self.caller),
            Side::Callee => self.callee.as_ref(),
        }
    }

    /// The trunks that the call has a leg on or may yet try.
    pub fn trunks(&self) -> impl Iterator<Item = TrunkId> {
        let orphans = self.orphans.iter().map(|orphan| &orphan.leg);
        let legs = [Some(&self.caller), self.callee.as_ref()].into_iter().flatten().chain(orphans);
        let targets = self.targets.iter().map(|target| target.trunk);
        legs.map(|leg| leg.trunk.id).chain(targets).chain(self.forks.trunks())
    }

    /// The trunks that a server transaction of this call may be on: that of its leg where one holds it,
    /// else both.
    pub fn trunks_of(&self, id: ServerId) -> impl Iterator<Item = &Arc<Trunk>> {
        let holds = |leg: &&Leg| {
            leg.incoming.as_ref().is_some_and(|incoming| incoming.id == id)
                || leg.unacknowledged.as_ref().is_some_and(|waiting| waiting.id == id)
        };
        let legs = [Some(&self.caller), self.callee.as_ref()];
        let own = legs.into_iter().flatten().find(holds);
        let others = if own.is_some() { [None, None] } else { legs };
        own.into_iter().chain(others.into_iter().flatten()).map(|leg| &leg.trunk)
    }

    fn leg(&mut self, side: Side) -> Option<&mut Leg> {
        match side {
            Side::Caller => Some(&mut self.caller),
            Side::Callee => self.callee.as_mut(),
        }
    }

    /// Whether `request` is within the dialog of `side`, or in an early one of its forks (§12.1.2, TDR-73).
    pub fn knows(&self, side: Side, request: &Message) -> bool {
        self.leg_at(side).is_some_and(|leg| leg.dialog.matches(request))
            || self.attempt.as_ref().is_some_and(|attempt| {
                let tag = crate::sip::tag(request.header(Name::From).unwrap_or(""));
                self.is_ringing(side, request) && attempt.forks.iter().any(|fork| tag == Some(&*fork.tag))
            })
    }

    /// The early dialog of a fork that `request` is in; `None` once one of them is the leg's dialog.
    fn early_fork(&mut self, side: Side, request: &Message) -> Option<&mut set_up::EarlyFork> {
        let tag = crate::sip::tag(request.header(Name::From).unwrap_or(""))?;
        let ringing = self.is_ringing(side, request);
        let forks = &mut self.attempt.as_mut().filter(|_| ringing)?.forks;
        forks.iter_mut().find(|fork| &*fork.tag == tag)
    }

    fn is_ringing(&self, side: Side, request: &Message) -> bool {
        let fits = |leg: &Leg| leg.state == LegState::Early && request.call_id() == &*leg.dialog.call_id;
        side == Side::Callee && self.leg_at(side).is_some_and(fits)
    }

    /// A request of `side` within its dialog, other than ACK and CANCEL. `via` is the top Via where it
    /// has to be completed (RFC 3581).
    pub fn handle_request(
        &mut self,
        cx: &mut Context,
        side: Side,
        id: ServerId,
        request: Message,
        via: Option<String>,
    ) {
        cx.transactions.set_server_user(id, self.key.0);
        let ruled = self.leg_at(side).and_then(|leg| cx.arrive_within(&leg.trunk, &request));
        let request = ruled.unwrap_or(request);
        let method = request.method().clone();
        let number = request.cseq().number;
        let early = self.early_fork(side, &request).map(|fork| dialog::sequence(&mut fork.cseq, number));
        let Some(leg) = self.leg(side) else {
            return;
        };
        let incoming = leg::Incoming { id, request, via, offer: None, timer: None };
        if early.unwrap_or_else(|| leg.dialog.sequence(number)) == dialog::Sequence::Old {
            // A reordered request of the dialog (RFC 3261 §12.2.2).
            return leg.refuse(cx, &incoming, 500, "CSeq out of order", |_| {});
        }
        if leg.state == LegState::Ended && method != Method::Bye {
            return leg.refuse(cx, &incoming, 481, "Call is over", |_| {});
        }
        let unknown = unknown_extensions(&incoming.request);
        if !unknown.is_empty() && method != Method::Bye {
            return leg.refuse(cx, &incoming, 420, "Bad Extension", |draft| {
                draft.put(Name::Unsupported, &unknown);
            });
        }
        match method {
            Method::Invite | Method::Update => self.handle_offer(cx, side, incoming),
            // Not what a called side may send (§15), and one fork's word only: the INVITE's final response counts.
            Method::Bye if early.is_some() => {
                let draft = leg.response(cx, &incoming.request, incoming.via.as_deref(), 200, "OK");
                cx.transactions.respond(cx.now.monotonic, incoming.id, 200, draft.finish());
            }
            Method::Bye => self.handle_bye(cx, side, incoming),
            Method::Prack => self.handle_prack(cx, side, incoming),
            Method::Info => self.handle_info(cx, side, incoming),
            Method::Options => {
                let draft = leg.response(cx, &incoming.request, incoming.via.as_deref(), 200, "OK");
                cx.transactions.respond(cx.now.monotonic, incoming.id, 200, draft.finish());
            }
            Method::Notify => leg.refuse(cx, &incoming, 481, "Subscription does not exist", |_| {}),
            // A REFER that was not announced, and everything else (TDR-56, GEN-72, GEN-97).
            _ => leg.refuse(cx, &incoming, 405, "Method Not Allowed", |draft| {
                draft.put(Name::Allow, crate::normalize::allow(&leg.trunk));
            }),
        }
    }

    /// A response to a request of this call.
    pub fn handle_response(&mut self, cx: &mut Context, client: ClientId, response: &Message) {
        let ruled = self.leg_of(client).and_then(|leg| cx.arrive_within(&leg.trunk, response));
        let response = ruled.as_ref().unwrap_or(response);
        if self.answer_challenge(cx, client, response) {
            return;
        }
        let accepted = *response.method() == Method::Invite
            && response.status().is_some_and(|status| (200..300).contains(&status));
        if accepted {
            self.repeats_until = Some(cx.now.monotonic + 64 * cx.t1());
        }
        if self.callee.as_ref().is_some_and(|leg| is_initial(leg, client)) {
            return self.handle_callee_response(cx, response);
        }
        if let Some(at) = self.orphans.iter().position(|orphan| orphan.outgoing.id == client) {
            return self.handle_orphan_response(cx, at, response);
        }
        for side in [Side::Caller, Side::Callee] {
            let Some(leg) = self.leg(side) else { continue };
            if leg.outgoing.as_ref().is_some_and(|outgoing| outgoing.id == client) {
                return self.handle_offer_response(cx, side, response);
            }
            if let Some(at) = leg.errands.iter().position(|(id, _)| *id == client) {
                if response.status().is_some_and(|status| status < 200) {
                    return;
                }
                let (_, errand) = leg.errands.remove(at);
                return self.handle_errand_end(cx, side, errand, Ok(response));
            }
            let same = crate::sip::tag(response.header(Name::To).unwrap_or("")) == Some(&leg.dialog.remote_tag);
            if accepted && same && response.call_id() == &*leg.dialog.call_id {
                return self.handle_2xx_again(cx, side, response);
            }
        }
        if accepted {
            self.forks.handle_2xx(cx, self.callee.as_ref(), response);
        }
    }

    /// The leg whose request `client` is, unless that was given up.
    fn leg_of(&self, client: ClientId) -> Option<&Leg> {
        [Some(&self.caller), self.callee.as_ref()].into_iter().flatten().find(|leg| {
            leg.outgoing.as_ref().is_some_and(|outgoing| outgoing.id == client)
                || leg.errands.iter().any(|(id, _)| *id == client)
        })
    }

    /// A request of this call got no answer: its transaction timed out, or it could not be sent.
    pub fn handle_failure(&mut self, cx: &mut Context, client: ClientId, failure: Failure) {
        if self.callee.as_ref().is_some_and(|leg| is_initial(leg, client)) {
            return self.attempt_failed(cx, failure, None);
        }
        if let Some(at) = self.orphans.iter().position(|orphan| orphan.outgoing.id == client) {
            self.orphans.remove(at);
            return;
        }
        for side in [Side::Caller, Side::Callee] {
            let Some(leg) = self.leg(side) else { continue };
            if leg.outgoing.as_ref().is_some_and(|outgoing| outgoing.id == client) {
                let (status, unsent) = match failure {
                    Failure::Unreachable => (503, true),
                    Failure::Lost => (503, false),
                    Failure::Timeout | Failure::Status(_) => (408, false),
                };
                return self.offer_failed(cx, side, status, None, unsent);
            }
            if let Some(at) = leg.errands.iter().position(|(id, _)| *id == client) {
                let (_, errand) = leg.errands.remove(at);
                return self.handle_errand_end(cx, side, errand, Err(failure));
            }
        }
    }

    /// A timer of this call is due.
    pub fn handle_timer(&mut self, cx: &mut Context, timer: Timer) {
        match timer {
            Timer::Response => self.attempt_failed(cx, Failure::Timeout, None),
            Timer::Ring => self.ring_timed_out(cx),
            Timer::Provisional => self.repeat_provisional(cx),
            Timer::Progress => self.progress(cx),
            Timer::Reliable => self.repeat_reliable(cx),
            Timer::Repeat(side) => self.repeat_2xx(cx, side),
            Timer::Session(side) => self.session_due(cx, side),
            Timer::Probe(side) => self.probe(cx, side),
            Timer::Offer(side) => self.realign_now(cx, side),
            Timer::Bye(side) => self.bye_again(cx, side),
            Timer::Overdue(side) => self.offer_overdue(cx, side),
            Timer::Forks => {}
            Timer::MaxCall => self.finish(cx, EndedBy::Tandem, "longest call duration reached", None),
            Timer::Ask => {
                if let Some(asked) = self.asked.take() {
                    cx.forget_question(self.key, asked.question);
                    self.go_on(cx, asked.then, Err("no answer by the deadline".to_owned()));
                }
            }
        }
    }

    /// Asks what description to send for `sdp`, which came from `from`; an earlier question is dropped.
    fn ask(&mut self, cx: &mut Context, from: Side, offer: bool, sdp: Bytes, then: Then) {
        self.forget_question(cx);
        let leg = from.index() as u8;
        let question = cx.ask(self.key, Question::Media { call: self.id, leg, offer, sdp });
        self.asked = Some(Asked { question, then });
    }

    fn forget_question(&mut self, cx: &mut Context) {
        if let Some(asked) = self.asked.take() {
            cx.forget_question(self.key, asked.question);
        }
    }

    /// The answer to a question of this call.
    pub fn handle_answer(&mut self, cx: &mut Context, question: QuestionId, answer: Answer) {
        if let Some(asked) = self.asked.take_if(|asked| asked.question == question) {
            cx.forget_question(self.key, question);
            let result = match answer {
                Answer::Media(sdp) => Ok(sdp),
                Answer::Failed(why) => Err(why),
                Answer::Call { .. } | Answer::Absent => Err("answered with what was not asked".to_owned()),
            };
            self.go_on(cx, asked.then, result);
        }
    }

    fn go_on(&mut self, cx: &mut Context, then: Then, result: Result<Bytes, String>) {
        match then {
            Then::Offer => self.offer_ready(cx, result),
            Then::Early(status) => self.early_ready(cx, status, result.ok()),
            Then::Answer => self.answer_ready(cx, result),
            Then::Reoffer(side) => self.reoffer_ready(cx, side, result),
            Then::Reanswer(side) => self.reanswer_ready(cx, side, result),
            Then::Acknowledged(side) => self.acknowledged_ready(cx, side, result),
        }
    }
}

/// The extensions that a peer may require: session timers, and reliable provisional responses, which
/// end here (RFC 4028, RFC 3262).
const KNOWN_EXTENSIONS: [&str; 2] = ["timer", "100rel"];

/// The extensions that `request` requires and nobody knows here, as Unsupported lists them (RFC 3261
/// §8.2.2.3); empty when there are none.
pub fn unknown_extensions(request: &Message) -> String {
    let unknown: SmallVec<[&str; 2]> = option_tags(request, Name::Require)
        .chain(option_tags(request, Name::ProxyRequire))
        .filter(|tag| !KNOWN_EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(tag)))
        .collect();
    unknown.join(", ")
}

/// Whether `client` is the initial INVITE of `leg`.
fn is_initial(leg: &Leg, client: ClientId) -> bool {
    leg.outgoing.as_ref().is_some_and(|outgoing| outgoing.id == client && outgoing.purpose == Purpose::Initial)
}

/// The caller's number and the called one, as every attempt needs them.
#[derive(Clone, Debug)]
struct Parties {
    caller: Caller,
    called: Number,
}
