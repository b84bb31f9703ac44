//! A platform played over transactions of its own: calls, answers, and what else it does in a call.

use super::leg::{Incoming, Leg, Media, State, Unacknowledged, first};
use super::rng::Rng;
use super::script::{Act, Call, Callee, GENESYS, MS, SECOND, TEAMS};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tandem::flow::{FlowId, Hop, Transport};
use tandem::io::Destination;
use tandem::sip::sdp::Direction;
use tandem::sip::{Draft, Message, Method, Name, has_option, sdp_part, tag};
use tandem::transaction::{ClientId, Kind, Received, ServerId, Transactions};

/// Something a platform does later.
#[derive(Clone, Debug)]
pub enum Todo {
    /// Place a call of the script.
    Place(usize),
    /// The caller of a leg gives up.
    GiveUp(usize),
    /// Ring: answering, status, fork, with SDP.
    Ring(usize, u16, usize, bool),
    /// Answer with a fork; whether it is one too many.
    Answer(usize, usize, bool),
    /// Refuse with a status.
    Refuse(usize, u16),
    /// An act of the script on a leg.
    Act(usize, Act, u8),
    /// CANCEL of a re-INVITE.
    Withdraw(usize),
    /// Answer the element's re-INVITE.
    Reply(usize),
    /// Repeat a 2xx.
    Repeat(usize),
    /// OPTIONS in the dialog, to see whether it lives.
    Probe(usize),
    /// Refresh the session.
    Refresh(usize),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    Initial,
    Offer,
    Plain,
    Bye,
    Probe,
    Other,
}

#[derive(Debug)]
struct Answering {
    id: ServerId,
    request: Message,
    call: usize,
    done: bool,
}

/// The moment, chance, and what is put off.
pub struct Env<'a> {
    /// Microseconds.
    pub now: u64,
    /// The same for transactions.
    pub instant: Instant,
    /// Chance.
    pub rng: &'a mut Rng,
    /// (after, what)
    pub later: Vec<(u64, Todo)>,
    /// Rules broken by the element, as this platform sees it.
    pub breaches: Vec<String>,
}

/// A platform.
pub struct Platform {
    /// Its place.
    pub index: usize,
    /// Its transport.
    pub transport: Transport,
    /// Its transactions.
    pub tx: Transactions,
    /// Its legs, those that are over included.
    pub legs: Vec<Leg>,
    /// Messages outside transactions.
    pub sends: Vec<Bytes>,
    answering: Vec<Answering>,
    pending: HashMap<ClientId, (usize, What)>,
    script: Arc<Vec<Call>>,
    count: u64,
    /// Where its requests go.
    pub hop: Arc<Hop>,
}

const T1: u64 = 500 * MS;

impl Platform {
    /// A platform that plays its part of `script`.
    pub fn new(index: usize, transport: Transport, script: Arc<Vec<Call>>, hop: Arc<Hop>) -> Self {
        Self {
            index,
            transport,
            tx: Transactions::new(Duration::from_millis(500), index as u64),
            legs: Vec::new(),
            sends: Vec::new(),
            answering: Vec::new(),
            pending: HashMap::new(),
            script,
            count: 0,
            hop,
        }
    }

    fn via(&mut self) -> (String, String) {
        self.count += 1;
        let branch = format!("z9hG4bKp{}n{}", self.index, self.count);
        let host = if self.index == TEAMS { "sip-du-a-eu.pstnhub.microsoft.com:5061" } else { "203.0.113.21:5061" };
        (format!("SIP/2.0/{} {host};branch={branch};rport", self.transport.via_token()), branch)
    }

    fn send(
        &mut self,
        env: &Env<'_>,
        leg: usize,
        what: What,
        method: &Method,
        branch: &str,
        octets: Bytes,
    ) -> ClientId {
        let to = Destination::Hop(self.hop.clone());
        let id = self.tx.request(env.instant, octets, method, branch, to, self.transport, leg as u64);
        self.pending.insert(id, (leg, what));
        id
    }

    fn request(
        &mut self,
        env: &Env<'_>,
        leg: usize,
        method: &Method,
        what: What,
        fill: impl FnOnce(&mut Leg, &mut Draft),
    ) -> ClientId {
        let (via, branch) = self.via();
        let one = &mut self.legs[leg];
        one.cseq += 1;
        let mut draft = one.draft(method, one.cseq, &via);
        fill(one, &mut draft);
        self.send(env, leg, what, method, &branch, draft.finish())
    }

    fn respond(&mut self, env: &Env<'_>, id: ServerId, request: &Message, status: u16, local_tag: &str) {
        let octets = Draft::response(request, status, "Played", local_tag, None).finish();
        self.tx.respond(env.instant, id, status, octets);
    }

    /// Does what was put off.
    pub fn handle_todo(&mut self, env: &mut Env<'_>, todo: Todo) {
        match todo {
            Todo::Place(call) => self.place(env, call),
            Todo::GiveUp(leg) => {
                if self.legs[leg].state == State::Early && !self.legs[leg].vanished {
                    self.legs[leg].cancel = true;
                    self.cancel(env, leg);
                }
            }
            Todo::Ring(at, status, fork, sdp) => self.ring(env, at, status, fork, sdp),
            Todo::Answer(at, fork, loser) => self.answer(env, at, fork, loser),
            Todo::Refuse(at, status) => self.refuse(env, at, status),
            Todo::Act(leg, act, tries) => self.act(env, leg, act, tries),
            Todo::Withdraw(leg) => {
                if self.legs[leg].outgoing.is_some() {
                    self.legs[leg].cancel = true;
                    self.cancel(env, leg);
                }
            }
            Todo::Reply(leg) => self.reply(env, leg),
            Todo::Repeat(leg) => self.repeat(env, leg),
            Todo::Probe(leg) => {
                if self.alive(leg) {
                    self.request(env, leg, &Method::Options, What::Probe, |_, _| {});
                    env.later.push((1_200 * SECOND, Todo::Probe(leg)));
                }
            }
            Todo::Refresh(leg) => {
                if !self.alive(leg) {
                    return;
                }
                let one = &mut self.legs[leg];
                if one.refresh.is_some_and(|seconds| env.now >= one.refreshed_at + seconds * SECOND / 2) {
                    one.refreshed_at = env.now;
                    self.act(env, leg, Act::Refresh, 0);
                }
                env.later.push((100 * SECOND, Todo::Refresh(leg)));
            }
        }
    }

    fn alive(&self, leg: usize) -> bool {
        let leg = &self.legs[leg];
        leg.state == State::Confirmed && !leg.vanished && !leg.forgotten
    }

    fn place(&mut self, env: &mut Env<'_>, call: usize) {
        let plan = self.script[call].clone();
        let (via, branch) = self.via();
        let (caller, called) = (format!("+14255550{call:03}"), format!("+49695550{call:03}"));
        let local = format!("<sip:{caller}@{}>;tag=p{}c{call}", self.host(), self.index);
        let target = format!("sip:{called}@sbc1.example.com:5061;transport={}", self.transport.uri_value());
        let remote = format!("<sip:{called}@sbc1.example.com>");
        let mut leg = Leg::calling(self.index, call, format!("c{call}@{}", self.host()), local, remote, target);
        leg.port = 10_000 + call as u16 * 100;
        let mut draft = leg.draft(&Method::Invite, leg.cseq, &via);
        if self.index == TEAMS {
            draft.put(Name::RecordRoute, "<sip:sip-du-a-eu.pstnhub.microsoft.com:5061;transport=tls;lr>");
        } else {
            draft.put(
                Name::RecordRoute,
                &format!("<sip:203.0.113.21:5061;transport={};lr>", self.transport.uri_value()),
            );
        }
        if plan.reliable {
            draft.put(Name::Require, "100rel");
        }
        if let Some(timer) = plan.timer {
            draft.put(Name::SessionExpires, timer);
        }
        let mut offer = None;
        if !plan.offerless {
            let (sdp, media) = leg.description(Direction::SendRecv, false);
            draft.body("application/sdp", sdp);
            offer = Some(media);
        }
        self.legs.push(leg);
        let at = self.legs.len() - 1;
        let id = self.send(env, at, What::Initial, &Method::Invite, &branch, draft.finish());
        self.legs[at].outgoing = Some((id, offer));
        // Nobody listens to the tone for ever.
        env.later.push((plan.cancel.unwrap_or(200 * SECOND), Todo::GiveUp(at)));
    }

    fn host(&self) -> &'static str {
        if self.index == TEAMS { "sip.pstnhub.microsoft.com" } else { "byoc.example.com" }
    }

    fn cancel(&mut self, env: &Env<'_>, leg: usize) {
        if let Some((id, _)) = self.legs[leg].outgoing
            && let Some(cancel) = self.tx.cancel(env.instant, id, leg as u64, &[])
        {
            self.pending.insert(cancel, (leg, What::Other));
        }
    }

    /// A message came.
    pub fn handle_message(&mut self, env: &mut Env<'_>, message: &Message, flow: FlowId) {
        if message.is_request() {
            self.handle_request(env, message, flow);
        } else {
            self.handle_response(env, message);
        }
    }

    fn leg_of(&self, message: &Message) -> Option<usize> {
        let ours = tag(first(message, Name::To))?;
        self.legs.iter().position(|leg| leg.local_tag == ours && leg.call_id == message.call_id())
    }

    fn handle_request(&mut self, env: &mut Env<'_>, request: &Message, flow: FlowId) {
        let leg = self.leg_of(request);
        if leg.is_some_and(|leg| self.legs[leg].vanished) {
            return;
        }
        match self.tx.receive_request(env.instant, request, flow, self.transport) {
            Received::Absorbed | Received::AckAbsorbed => {}
            Received::Ack => {
                if let Some(leg) = leg {
                    self.handle_ack(env, leg, request);
                }
            }
            Received::Merged(id) => self.respond(env, id, request, 482, "merged"),
            Received::Cancel { cancel, invite } => {
                self.respond(env, cancel, request, if invite.is_some() { 200 } else { 481 }, "c");
                let Some(invite) = invite else { return };
                if let Some(at) = self.answering.iter().position(|one| one.id == invite && !one.done) {
                    self.answering[at].done = true;
                    let request = self.answering[at].request.clone();
                    self.respond(env, invite, &request, 487, "cancelled");
                }
                for leg in 0..self.legs.len() {
                    if let Some(incoming) = self.legs[leg].incoming.take_if(|incoming| incoming.id == invite) {
                        let tag = self.legs[leg].local_tag.clone();
                        self.respond(env, invite, &incoming.request, 487, &tag);
                    }
                }
            }
            Received::New(id) => match (leg, tag(first(request, Name::To)).is_some(), request.method()) {
                (Some(leg), ..) => self.handle_in_dialog(env, leg, id, request),
                (None, false, Method::Invite) => self.invited(env, id, request),
                (None, false, Method::Options) => self.respond(env, id, request, 200, "o"),
                // PRACK and BYE of early dialogs are not played.
                (None, ..) => self.respond(env, id, request, 481, "n"),
            },
        }
    }

    fn invited(&mut self, env: &mut Env<'_>, id: ServerId, request: &Message) {
        let from = first(request, Name::From);
        let Some(call) = from.find("+14255550").and_then(|at| from.get(at + 9..at + 12)?.parse::<usize>().ok()) else {
            env.breaches.push("the caller's number did not cross".to_owned());
            return self.respond(env, id, request, 404, "x");
        };
        let at = self.answering.len();
        self.answering.push(Answering { id, request: request.clone(), call, done: false });
        let plan = self.script[call].callee.clone();
        let mut after = 0;
        let (Callee::Answers { rings, .. } | Callee::Refuses { rings, .. } | Callee::Waits { rings }) = &plan;
        for &(pause, status, fork, sdp) in rings {
            after += pause;
            env.later.push((after, Todo::Ring(at, status, fork, sdp)));
        }
        match plan {
            Callee::Answers { after: pause, fork, second, .. } => {
                env.later.push((after + pause, Todo::Answer(at, fork, false)));
                if let Some((pause_again, fork)) = second {
                    env.later.push((after + pause + pause_again, Todo::Answer(at, fork, true)));
                }
            }
            Callee::Refuses { after: pause, status, .. } => env.later.push((after + pause, Todo::Refuse(at, status))),
            Callee::Waits { .. } => {}
        }
    }

    fn fork_tag(&self, at: usize, fork: usize) -> String {
        format!("p{}a{at}f{fork}", self.index)
    }

    fn dialog_fields(&self, draft: &mut Draft, contact: &str) {
        let route = if self.index == TEAMS {
            "<sip:sip-du-a-eu.pstnhub.microsoft.com:5061;transport=tls;lr>"
        } else {
            "<sip:203.0.113.21:5061;lr>"
        };
        draft.put(Name::RecordRoute, route).put(Name::Contact, contact);
    }

    fn ring(&mut self, env: &mut Env<'_>, at: usize, status: u16, fork: usize, sdp: bool) {
        let one = &self.answering[at];
        if one.done {
            return;
        }
        let (id, request, call) = (one.id, one.request.clone(), one.call);
        let tag = self.fork_tag(at, fork);
        let mut leg = Leg::called(self.index, call, &request, &tag);
        leg.port = fork_port(call, fork);
        let mut draft = Draft::response(&request, status, "Ringing", &tag, None);
        self.dialog_fields(&mut draft, &leg.contact());
        if sdp && !request.body().is_empty() {
            draft.body("application/sdp", leg.description(Direction::SendRecv, false).0);
        }
        self.tx.respond(env.instant, id, status, draft.finish());
    }

    fn answer(&mut self, env: &mut Env<'_>, at: usize, fork: usize, loser: bool) {
        let one = &mut self.answering[at];
        if one.done != loser {
            return;
        }
        one.done = true;
        let (id, request, call) = (one.id, one.request.clone(), one.call);
        if loser && !self.legs.iter().any(|leg| leg.side == 1 && leg.call_id == request.call_id()) {
            return;
        }
        let tag = self.fork_tag(at, fork);
        let mut leg = Leg::called(self.index, call, &request, &tag);
        leg.port = fork_port(call, fork);
        let offer = sdp_part(first(&request, Name::ContentType), &request.body()).and_then(|sdp| Media::of(&sdp));
        let mut draft = Draft::response(&request, 200, "OK", &tag, None);
        let plan = self.script[call].clone();
        if plan.foreign {
            draft.put(Name::Contact, "<sip:+14255550199@elsewhere.example.net:5061>");
        } else {
            self.dialog_fields(&mut draft, &leg.contact());
        }
        if let Some(timer) = plan.answer_timer {
            draft.put(Name::SessionExpires, timer);
            if timer.ends_with("uas") {
                leg.refresh = interval(timer);
            }
        }
        let (sdp, media) = leg.description(Direction::SendRecv, false);
        draft.body("application/sdp", sdp);
        let octets = draft.finish();
        let cseq = request.cseq().number;
        let until = env.now + 64 * T1;
        let made = offer.is_none().then_some(media);
        leg.unacknowledged = Some(Unacknowledged { id, octets: octets.clone(), cseq, offer: made, pause: T1, until });
        if offer.is_some() {
            leg.agree(env.now, Some(media), offer);
        }
        if !self.tx.respond(env.instant, id, 200, octets) {
            return;
        }
        leg.state = State::Confirmed;
        leg.confirmed_at = Some(env.now);
        self.legs.push(leg);
        let leg = self.legs.len() - 1;
        env.later.push((T1, Todo::Repeat(leg)));
        self.confirmed(env, leg);
    }

    fn refuse(&mut self, env: &mut Env<'_>, at: usize, status: u16) {
        let one = &mut self.answering[at];
        if std::mem::replace(&mut one.done, true) {
            return;
        }
        let (id, request) = (one.id, one.request.clone());
        let tag = self.fork_tag(at, 0);
        let mut draft = Draft::response(&request, status, "Refused", &tag, None);
        if status == 422 {
            draft.put_number(Name::MinSe, 3600);
            // Once only: the second attempt rings for ever.
        }
        self.tx.respond(env.instant, id, status, draft.finish());
    }

    fn confirmed(&mut self, env: &mut Env<'_>, leg: usize) {
        let (call, side) = (self.legs[leg].call, self.legs[leg].side);
        env.later.push((1_200 * SECOND, Todo::Probe(leg)));
        self.legs[leg].refreshed_at = env.now;
        env.later.push((100 * SECOND, Todo::Refresh(leg)));
        for &(after, who, act) in &self.script[call].acts {
            if who == side {
                env.later.push((after, Todo::Act(leg, act, 0)));
            }
        }
    }

    fn act(&mut self, env: &mut Env<'_>, leg: usize, act: Act, tries: u8) {
        if !self.alive(leg) {
            return;
        }
        let busy = self.legs[leg].busy();
        if self.legs[leg].unacknowledged.is_some() {
            // §15: nothing within the dialog, BYE least of all, before the ACK.
            env.later.push((env.rng.between(100, 1_000) * MS, Todo::Act(leg, act, tries)));
            return;
        }
        let one = &mut self.legs[leg];
        match act {
            Act::Bye => return self.bye(env, leg, "hung up"),
            Act::Vanish => {
                one.vanished = true;
                return one.end(env.now, "vanished");
            }
            Act::Forget => {
                one.forgotten = true;
                return one.end(env.now, "forgotten");
            }
            Act::Info => {
                self.request(env, leg, &Method::Info, What::Plain, |_, draft| {
                    draft.body("application/dtmf-relay", Bytes::from_static(b"Signal=5\r\nDuration=160\r\n"));
                });
                return;
            }
            Act::Options => {
                self.request(env, leg, &Method::Options, What::Probe, |_, _| {});
                return;
            }
            Act::Refer => {
                self.request(env, leg, &Method::Refer, What::Plain, |_, draft| {
                    draft.put(Name::ReferTo, "<sip:+14255550144@example.com>");
                });
                return;
            }
            Act::PlainUpdate => {
                self.request(env, leg, &Method::Update, What::Plain, |_, _| {});
                return;
            }
            Act::Hold | Act::Resume | Act::Move | Act::Refresh | Act::Offerless | Act::Withdraw | Act::Update => {}
        }
        if busy {
            if tries < 10 {
                env.later.push((env.rng.between(300, 3_000) * MS, Todo::Act(leg, act, tries + 1)));
            }
            return;
        }
        let method = if act == Act::Update { Method::Update } else { Method::Invite };
        let made = match act {
            Act::Hold => {
                one.held = true;
                let zero = self.index == GENESYS && env.rng.chance(20);
                let direction = env.rng.pick(&[Direction::SendOnly, Direction::Inactive, Direction::RecvOnly]);
                Some(one.description(direction, zero))
            }
            Act::Refresh => Some(one.same()),
            Act::Offerless => None,
            _ => {
                one.held = false;
                one.port += 2;
                Some(one.description(Direction::SendRecv, false))
            }
        };
        one.tried = Some(act);
        let media = made.as_ref().map(|(_, media)| *media);
        let what = What::Offer;
        let id = self.request(env, leg, &method, what, |leg, draft| {
            if let Some(seconds) = leg.refresh {
                draft.put(Name::SessionExpires, &format!("{seconds};refresher=uac"));
            }
            if let Some((sdp, _)) = made {
                draft.body("application/sdp", sdp);
            }
        });
        self.legs[leg].outgoing = Some((id, media));
        self.legs[leg].cancel = false;
        if act == Act::Withdraw {
            env.later.push((env.rng.between(1, 3_000) * MS, Todo::Withdraw(leg)));
        }
    }

    fn bye(&mut self, env: &mut Env<'_>, leg: usize, how: &'static str) {
        self.legs[leg].end(env.now, how);
        self.request(env, leg, &Method::Bye, What::Bye, |_, _| {});
        if let Some(incoming) = self.legs[leg].incoming.take() {
            let tag = self.legs[leg].local_tag.clone();
            self.respond(env, incoming.id, &incoming.request, 487, &tag);
        }
        // A 2xx without ACK goes on being repeated: its ACK is still owed.
    }

    fn handle_in_dialog(&mut self, env: &mut Env<'_>, leg: usize, id: ServerId, request: &Message) {
        let tag = self.legs[leg].local_tag.clone();
        let method = request.method().clone();
        let one = &mut self.legs[leg];
        if one.forgotten || (one.state == State::Ended && method != Method::Bye) {
            return self.respond(env, id, request, 481, &tag);
        }
        let number = request.cseq().number;
        if one.remote_cseq.is_some_and(|last| number <= last) {
            return self.respond(env, id, request, 500, &tag);
        }
        one.remote_cseq = Some(number);
        match method {
            Method::Bye => {
                one.end(env.now, "BYE received");
                one.unacknowledged = None;
                let incoming = one.incoming.take();
                self.respond(env, id, request, 200, &tag);
                if let Some(incoming) = incoming {
                    self.respond(env, incoming.id, &incoming.request, 487, &tag);
                }
            }
            Method::Invite => {
                let offer = sdp_part(first(request, Name::ContentType), &request.body());
                if offer.is_none() {
                    env.breaches.push("a re-INVITE of ours without offer".to_owned());
                }
                if one.incoming.is_some() {
                    return self.respond(env, id, request, 500, &tag);
                }
                if one.outgoing.is_some() || one.unacknowledged.as_ref().is_some_and(|waiting| waiting.offer.is_some())
                {
                    return self.respond(env, id, request, 491, &tag);
                }
                one.retarget(request);
                one.incoming = Some(Incoming { id, request: request.clone() });
                let after = if env.rng.chance(60) { env.rng.between(0, 50) } else { env.rng.between(50, 3_000) };
                env.later.push((after * MS, Todo::Reply(leg)));
            }
            Method::Update => {
                if one.busy() && !request.body().is_empty() {
                    return self.respond(env, id, request, 491, &tag);
                }
                one.retarget(request);
                let offer = sdp_part(first(request, Name::ContentType), &request.body());
                let mut draft = Draft::response(request, 200, "OK", &tag, None);
                draft.put(Name::Contact, &one.contact());
                if let Some(offer) = offer.and_then(|sdp| Media::of(&sdp)) {
                    let direction = answer_direction(one.held, offer.direction);
                    let (sdp, media) = one.description(direction, false);
                    draft.body("application/sdp", sdp);
                    one.agree(env.now, Some(media), Some(offer));
                }
                self.tx.respond(env.instant, id, 200, draft.finish());
            }
            Method::Options | Method::Info => self.respond(env, id, request, 200, &tag),
            _ => self.respond(env, id, request, 405, &tag),
        }
    }

    /// Answers the element's re-INVITE.
    fn reply(&mut self, env: &mut Env<'_>, leg: usize) {
        if self.legs[leg].vanished {
            return;
        }
        let Some(incoming) = self.legs[leg].incoming.take() else { return };
        let tag = self.legs[leg].local_tag.clone();
        if env.rng.chance(8) {
            let status = env.rng.pick(&[488, 488, 500, 491]);
            self.legs[leg].stubborn |= status == 488;
            return self.respond(env, incoming.id, &incoming.request, status, &tag);
        }
        let one = &mut self.legs[leg];
        let mut draft = Draft::response(&incoming.request, 200, "OK", &tag, None);
        draft.put(Name::Contact, &one.contact());
        if let Some(timer) = incoming.request.header(Name::SessionExpires) {
            draft.put(Name::SessionExpires, timer);
            one.refresh = None;
            one.refreshed_at = env.now;
            if timer.contains("uas") {
                one.refresh = interval(timer);
            }
        }
        let offer = sdp_part(first(&incoming.request, Name::ContentType), &incoming.request.body());
        let offer = offer.and_then(|sdp| Media::of(&sdp));
        let direction = offer.map_or(Direction::SendRecv, |offer| answer_direction(one.held, offer.direction));
        let (sdp, media) = one.description(direction, false);
        draft.body("application/sdp", sdp);
        let octets = draft.finish();
        let cseq = incoming.request.cseq().number;
        let made = offer.is_none().then_some(media);
        let until = env.now + 64 * T1;
        one.unacknowledged =
            Some(Unacknowledged { id: incoming.id, octets: octets.clone(), cseq, offer: made, pause: T1, until });
        if offer.is_some() {
            one.agree(env.now, Some(media), offer);
        }
        self.tx.respond(env.instant, incoming.id, 200, octets);
        env.later.push((T1, Todo::Repeat(leg)));
    }

    fn repeat(&mut self, env: &mut Env<'_>, leg: usize) {
        let one = &mut self.legs[leg];
        let Some(waiting) = one.unacknowledged.as_mut().filter(|_| !one.vanished) else { return };
        if env.now >= waiting.until {
            one.unacknowledged = None;
            if !self.script[one.call].foreign {
                env.breaches.push("a 2xx was never acknowledged".to_owned());
            }
            if self.alive(leg) {
                self.bye(env, leg, "no ACK");
            }
            return;
        }
        let (id, octets) = (waiting.id, waiting.octets.clone());
        waiting.pause = (waiting.pause * 2).min(8 * T1);
        let pause = waiting.pause.min(waiting.until - env.now);
        self.tx.respond(env.instant, id, 200, octets);
        env.later.push((pause, Todo::Repeat(leg)));
    }

    fn handle_ack(&mut self, env: &mut Env<'_>, leg: usize, ack: &Message) {
        let one = &mut self.legs[leg];
        let Some(waiting) = one.unacknowledged.take_if(|waiting| waiting.cseq == ack.cseq().number) else { return };
        if let Some(offer) = waiting.offer {
            match sdp_part(first(ack, Name::ContentType), &ack.body()).and_then(|sdp| Media::of(&sdp)) {
                Some(answer) => one.agree(env.now, Some(offer), Some(answer)),
                None if one.state == State::Confirmed => {
                    // Allowed only when the call ends at once.
                    one.changed_at = u64::MAX;
                }
                None => {}
            }
        }
    }

    fn handle_response(&mut self, env: &mut Env<'_>, response: &Message) {
        let ours = tag(first(response, Name::From)).unwrap_or("");
        let vanished = self.legs.iter().any(|leg| leg.vanished && leg.local_tag == ours);
        if vanished && *response.method() != Method::Invite {
            return;
        }
        let Some(matched) = self.tx.receive_response(env.instant, response) else { return };
        let Some(&(leg, what)) = self.pending.get(&matched.id) else { return };
        if self.legs[leg].vanished {
            return;
        }
        if matched.kind == Kind::Repeated2xx {
            if let Some((cseq, octets)) = &self.legs[leg].ack
                && *cseq == response.cseq().number
            {
                self.sends.push(octets.clone());
            }
            return;
        }
        let status = response.status().unwrap_or(0);
        match what {
            What::Initial => self.initial_response(env, leg, status, response),
            What::Offer => self.offer_response(env, leg, status, response),
            What::Plain if response.header(Name::SessionExpires).is_some() => {
                let timer = first(response, Name::SessionExpires);
                self.legs[leg].refresh = if timer.contains("uac") { interval(timer) } else { None };
                self.legs[leg].refreshed_at = env.now;
            }
            What::Probe | What::Plain if status == 481 && self.alive(leg) => {
                self.legs[leg].end(env.now, "481");
            }
            What::Probe | What::Plain | What::Bye | What::Other => {}
        }
    }

    fn initial_response(&mut self, env: &mut Env<'_>, leg: usize, status: u16, response: &Message) {
        match status {
            0..200 => {
                if status > 100 && has_option(response, Name::Require, "100rel") {
                    self.prack(env, leg, response);
                }
                if self.legs[leg].cancel {
                    self.cancel(env, leg);
                }
            }
            200..300 => {
                let sdp =
                    sdp_part(first(response, Name::ContentType), &response.body()).and_then(|sdp| Media::of(&sdp));
                let one = &mut self.legs[leg];
                let offer = one.outgoing.take().and_then(|(_, offer)| offer);
                one.learn(response);
                if sdp.is_none() {
                    env.breaches.push("a 2xx without session description".to_owned());
                }
                one.state = State::Confirmed;
                one.confirmed_at = Some(env.now);
                if let Some(timer) = response.header(Name::SessionExpires).filter(|timer| timer.contains("uac")) {
                    one.refresh = interval(timer);
                }
                self.acknowledge(env, leg, response.cseq().number, offer, sdp);
                if self.legs[leg].cancel {
                    return self.bye(env, leg, "cancelled too late");
                }
                self.confirmed(env, leg);
            }
            _ => {
                self.legs[leg].outgoing = None;
                self.legs[leg].end(env.now, "refused");
            }
        }
    }

    fn acknowledge(&mut self, env: &mut Env<'_>, leg: usize, cseq: u32, offer: Option<Media>, sdp: Option<Media>) {
        let (via, _) = self.via();
        let one = &mut self.legs[leg];
        let mut draft = one.draft(&Method::Ack, cseq, &via);
        match (offer, sdp) {
            (Some(offer), answer) => one.agree(env.now, Some(offer), answer),
            (None, Some(offer)) => {
                let direction = answer_direction(one.held, offer.direction);
                let (sdp, media) = one.description(direction, false);
                draft.body("application/sdp", sdp);
                one.agree(env.now, Some(media), Some(offer));
            }
            (None, None) => {}
        }
        let octets = draft.finish();
        one.ack = Some((cseq, octets.clone()));
        self.sends.push(octets);
    }

    fn prack(&mut self, env: &mut Env<'_>, leg: usize, response: &Message) {
        let (via, branch) = self.via();
        let one = &mut self.legs[leg];
        let (target, remote, routes) = (one.target.clone(), one.remote.clone(), one.routes.clone());
        one.learn(response);
        one.cseq += 1;
        let mut draft = one.draft(&Method::Prack, one.cseq, &via);
        (one.target, one.remote, one.routes) = (target, remote, routes);
        draft.put(Name::RAck, &format!("{} {} INVITE", first(response, Name::RSeq), response.cseq().number));
        self.send(env, leg, What::Other, &Method::Prack, &branch, draft.finish());
    }

    fn offer_response(&mut self, env: &mut Env<'_>, leg: usize, status: u16, response: &Message) {
        if status < 200 {
            if self.legs[leg].cancel {
                self.cancel(env, leg);
            }
            return;
        }
        let one = &mut self.legs[leg];
        let offer = one.outgoing.take().and_then(|(_, offer)| offer);
        if status < 300 {
            one.retarget(response);
            if let Some(timer) = response.header(Name::SessionExpires) {
                one.refresh = if timer.contains("uac") { interval(timer) } else { None };
                one.refreshed_at = env.now;
            }
            let sdp = sdp_part(first(response, Name::ContentType), &response.body()).and_then(|sdp| Media::of(&sdp));
            if sdp.is_none() {
                env.breaches.push(format!("a 2xx to {} without session description", response.method()));
            }
            if *response.method() == Method::Invite {
                self.acknowledge(env, leg, response.cseq().number, offer, sdp);
            } else {
                one.agree(env.now, offer, sdp);
            }
            return;
        }
        // A refresh that failed is made again soon.
        self.legs[leg].refreshed_at = 0;
        match status {
            408 | 481 if self.alive(leg) => self.bye(env, leg, "the re-INVITE found nobody"),
            491 if self.alive(leg) && !self.legs[leg].cancel => {
                let pause =
                    if self.legs[leg].side == 0 { env.rng.between(2_100, 4_000) } else { env.rng.between(0, 2_000) };
                let act = self.legs[leg].tried.unwrap_or(Act::Refresh);
                env.later.push((pause * MS, Todo::Act(leg, act, 0)));
            }
            _ => {}
        }
    }

    /// A request of ours got no answer at all.
    pub fn handle_failure(&mut self, env: &mut Env<'_>, id: ClientId, timed_out: bool) {
        let Some((leg, what)) = self.pending.remove(&id) else { return };
        let one = &mut self.legs[leg];
        if one.vanished {
            return;
        }
        match what {
            What::Initial => {
                one.outgoing = None;
                one.end(env.now, "no answer");
            }
            What::Offer => {
                one.outgoing = None;
                if self.alive(leg) {
                    self.bye(env, leg, "the re-INVITE found nobody");
                }
            }
            What::Probe if timed_out && self.alive(leg) => self.legs[leg].end(env.now, "408"),
            What::Probe | What::Plain | What::Other => {}
            // The connection broke under it: once more on another.
            What::Bye if !timed_out => {
                self.request(env, leg, &Method::Bye, What::Other, |_, _| {});
            }
            What::Bye => {}
        }
    }
}

fn interval(timer: &str) -> Option<u64> {
    timer.split(';').next()?.trim().parse().ok()
}

fn fork_port(call: usize, fork: usize) -> u16 {
    20_000 + call as u16 * 100 + fork as u16 * 30
}

fn answer_direction(held: bool, offered: Direction) -> Direction {
    if held { Direction::Inactive } else { Direction::SendRecv.answer_to(offered) }
}
