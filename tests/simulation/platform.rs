//! A platform played over transactions of its own: calls, answers, and what else it does in a call.

mod in_call;
mod set_up;

use super::leg::{Leg, State, first};
use super::rng::Rng;
use super::script::{Act, Call, MS, SECOND, TEAMS};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tandem::flow::{FlowId, Hop, Transport};
use tandem::io::Destination;
use tandem::sip::sdp::Direction;
use tandem::sip::{Draft, Message, Method, Name, tag};
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
            Received::Absorbed | Received::AckAbsorbed | Received::Overload => {}
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
