//! The whole element as one state machine: inputs to transactions, dialogs and calls, and their
//! effects out (design: "The core's contract").
//!
//! [`Edge`] composes and decides nothing of its own but who a message is for: a response belongs to a
//! client transaction, and through it to a call or to [`Health`]; `request` says whose a request is,
//! `owner` which worker's, `held` on which trunks calls are, `answer` what the element answers by itself.
//!
//! Every method is total and panics on no input.

mod answer;
mod held;
mod moving;
mod owner;
mod request;

pub use answer::overload;
pub use owner::Owner;

use crate::call::forks::Forks;
use crate::call::{Admission, Call, CallKey, CallSummary, Context, Timer};
use crate::event::{DropReason, EventKind, ObservedMessage};
use crate::flow::{FlowId, Now};
use crate::health::{Health, Outcome};
use crate::identifier::Minter;
use crate::io::{Answer, Input, Output};
use crate::routing::Failure;
use crate::sip::{Message, Method};
use crate::snapshot::Snapshot;
use crate::transaction::{Effect, Transactions};
use bytes::Bytes;
use foldhash::quality::FixedState;
use hashbrown::HashMap;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

/// What an [`Edge`] starts from.
pub struct EdgeStart {
    /// This node, written into identifiers.
    pub node: u16,
    /// This worker.
    pub worker: u16,
    /// Counts the starts of this worker, so that identifiers of an earlier life are told apart.
    pub epoch: u32,
    /// Seeds everything random; the same seed repeats a simulation.
    pub seed: [u8; 32],
    /// The virtual slots this worker owns.
    pub slots: Vec<u8>,
    /// Whether this worker sends the OPTIONS of the node (TDR-32).
    pub speaks: bool,
    /// Limits that hold over all workers.
    pub admission: Arc<dyn Admission + Send + Sync>,
}

/// How much an [`Edge`] holds; all zero when it has been quiet for 64·T1.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Gauges {
    /// Calls, those in their last transactions included.
    pub calls: usize,
    /// Our tags that lead to a leg.
    pub dialogs: usize,
    /// Client transactions.
    pub client_transactions: usize,
    /// Server transactions.
    pub server_transactions: usize,
    /// Timers of calls.
    pub timers: usize,
    /// Questions without answer.
    pub questions: usize,
}

/// The element.
pub struct Edge {
    node: u16,
    worker: u16,
    cx: Context,
    calls: HashMap<CallKey, Box<Call>, foldhash::fast::RandomState>,
    /// Of calls that are over, what can still be asked for again.
    forks: HashMap<CallKey, Forks, foldhash::fast::RandomState>,
    /// Calls to look at again before the outputs are drained.
    touched: Vec<CallKey>,
    /// Calls that were saved in order to leave.
    leaving: Vec<(Uuid, CallKey)>,
    /// Requests whose call was asked for.
    waiting: moving::Waiting,
    last_key: u64,
    health: Option<Health>,
    /// Makes the To tags of answers without a transaction.
    tags: FixedState,
}

impl Edge {
    /// An element without calls.
    pub fn new(start: EdgeStart, snapshot: Arc<Snapshot>, now: Now) -> Self {
        let EdgeStart { node, worker, epoch, seed, slots, speaks, admission } = start;
        let mut minter = Minter::new(node, epoch, slots, seed);
        let mut transactions = Transactions::new(snapshot.edge.t1, minter.session_id());
        transactions.set_bound(snapshot.edge.max_transactions);
        let tags = FixedState::with_seed(minter.session_id());
        let mut cx = Context::new(now, snapshot, transactions, minter, admission);
        let mut health = speaks.then(Health::default);
        if let Some(health) = &mut health {
            health.follow(&mut cx);
        }
        Self {
            node,
            worker,
            cx,
            calls: HashMap::default(),
            forks: HashMap::default(),
            touched: Vec::new(),
            leaving: Vec::new(),
            waiting: moving::Waiting::default(),
            last_key: 0,
            health,
            tags,
        }
    }

    /// Takes one input. Drain [`poll_output`](Self::poll_output) afterwards.
    pub fn handle_input(&mut self, now: Now, input: Input) {
        self.cx.now = now;
        match input {
            Input::Message { message, flow, peer } => {
                self.observe(Some(flow), peer.trunks.first().copied(), true, message.octets());
                if message.is_request() {
                    self.handle_request(message, flow, &peer);
                } else {
                    self.cx.heard_on = Some(flow);
                    self.handle_response(&message);
                    self.cx.heard_on = None;
                }
            }
            Input::Malformed { request, fault, flow, peer } => self.handle_malformed(request, fault, flow, &peer),
            Input::Sent { token, flow } => self.cx.transactions.sent(token, flow),
            Input::SendFailed { token, symptom, .. } => {
                self.health.iter_mut().for_each(|health| health.note(symptom));
                self.cx.transactions.send_failed(now.monotonic, token);
            }
            Input::FlowLost { flow, symptom } => {
                self.health.iter_mut().for_each(|health| health.note(symptom));
                self.cx.transactions.flow_lost(now.monotonic, flow);
            }
            Input::Answer { question, result } => self.handle_answer(question, result),
            Input::Saved { call, revision } => self.handle_saved(call, revision),
            Input::Restored { call, octets } => self.handle_restored(call, &octets),
            Input::Wanted { tag, by } => {
                if let Some(&(key, _)) = self.cx.dialogs.get(&tag).filter(|_| by != self.worker) {
                    self.with_call(key, |call, _| call.want(by));
                }
            }
            Input::Snapshot(snapshot) => {
                let own = (0..=u8::MAX).filter(|&slot| snapshot.slots[usize::from(slot)] == self.worker).collect();
                self.cx.minter.set_slots(own);
                self.cx.transactions.set_bound(snapshot.edge.max_transactions);
                self.cx.snapshot = snapshot;
                if let Some(health) = &mut self.health {
                    health.follow(&mut self.cx);
                }
            }
            Input::Drain { now } => {
                self.cx.draining = true;
                let mut keys: Vec<CallKey> = if now { self.calls.keys().copied().collect() } else { Vec::new() };
                keys.sort_unstable();
                for key in keys {
                    self.with_call(key, |call, cx| call.end(cx, 503, "drained"));
                }
                if now {
                    self.stop_waiting();
                }
            }
            Input::HangUp { call } => {
                let key = self.calls.values().find(|candidate| candidate.id == call).map(|call| call.key);
                if let Some(key) = key {
                    self.with_call(key, |call, cx| call.end(cx, 480, "ended by the operator"));
                }
            }
        }
        self.settle();
    }

    /// Does what is due at `now`; early or repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Now) {
        self.cx.now = now;
        self.cx.transactions.handle_timeout(now.monotonic);
        self.settle();
        while let Some((key, timer)) = self.cx.timers.expired(now.monotonic) {
            match timer {
                Timer::Forks => drop(self.forks.remove(&key)),
                Timer::Ask => self.resume(key),
                _ => {}
            }
            self.with_call(key, |call, cx| call.handle_timer(cx, timer));
            self.settle();
        }
        if let Some(health) = &mut self.health {
            health.handle_timeout(&mut self.cx);
        }
        self.settle();
    }

    /// The next thing to do; drain to `None` after every `handle_*`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.cx.poll_output()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do; `None`: not before an input.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let health = self.health.as_ref().and_then(|health| health.poll_timeout(self.cx.draining));
        [self.cx.transactions.poll_timeout(), self.cx.timers.poll(), health].into_iter().flatten().min()
    }

    /// The calls, for `tandem calls`.
    pub fn calls(&self) -> Vec<CallSummary> {
        self.calls.values().map(|call| call.summary()).collect()
    }

    /// How much is held.
    pub fn gauges(&self) -> Gauges {
        let (client_transactions, server_transactions) = self.cx.transactions.gauges();
        Gauges {
            calls: self.calls.len(),
            dialogs: self.cx.dialogs.len(),
            client_transactions,
            server_transactions,
            timers: self.cx.timers.len(),
            questions: self.cx.questions(),
        }
    }

    fn with_call(&mut self, key: CallKey, act: impl FnOnce(&mut Call, &mut Context)) {
        if let Some(call) = self.calls.get_mut(&key) {
            self.cx.at_hand(call.record());
            act(call, &mut self.cx);
            self.cx.put_down();
            self.touched.push(key);
        }
    }

    /// Carries effects on until nothing moves any more, then drops calls that are over.
    fn settle(&mut self) {
        loop {
            if let Some((question, sdp)) = self.cx.direct_answer() {
                self.handle_answer(question, Answer::Media(sdp));
            } else if let Some(effect) = self.cx.poll_transactions() {
                self.handle_effect(effect);
            } else {
                break;
            }
        }
        self.cx.close_flows();
        while let Some(key) = self.touched.pop() {
            let Some(call) = self.calls.get_mut(&key) else { continue };
            if !call.is_over() {
                if call.depart(&mut self.cx) {
                    self.leaving.push((call.id, key));
                }
            } else if let Some(call) = self.calls.remove(&key)
                && let Some(forks) = call.retire(&mut self.cx)
            {
                self.forks.insert(key, forks);
            }
        }
    }

    fn handle_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Send { token, to, octets } => self.cx.output(Output::Send { token, to, octets }),
            Effect::TimedOut { id, user } => self.handle_failure(id, user, Failure::Timeout),
            Effect::Unreachable { id, user, left } => {
                self.handle_failure(id, user, if left { Failure::Lost } else { Failure::Unreachable });
            }
            Effect::ResponseUnsendable { id, octets } => self.redirect(id, &octets),
            Effect::TryingDue { id, user } => {
                self.with_call(CallKey(user), |call, cx| call.handle_trying_due(cx, id));
            }
            // The 2xx has its own repetition (§13.3.1.4); a failure response without ACK ends silently.
            Effect::NoAck { .. } => {}
        }
    }

    fn handle_failure(&mut self, id: crate::transaction::ClientId, user: u64, failure: Failure) {
        if user == CallKey::NONE.0 {
            if let Some(health) = &mut self.health {
                health.handle_result(&mut self.cx, id, &Outcome::Failed(failure));
            }
            return;
        }
        self.with_call(CallKey(user), |call, cx| call.handle_failure(cx, id, failure));
    }

    fn handle_answer(&mut self, question: crate::io::QuestionId, answer: Answer) {
        let Some(key) = self.cx.asked_by(question) else { return };
        match answer {
            Answer::Call { call, octets } if self.waiting.contains(key) => {
                self.handle_restored(call, &octets);
                self.resume(key);
            }
            _ if self.waiting.contains(key) => self.resume(key),
            answer => self.with_call(key, |call, cx| call.handle_answer(cx, question, answer)),
        }
    }

    fn handle_response(&mut self, response: &Message) {
        match self.cx.transactions.receive_response(self.cx.now.monotonic, response) {
            Some(matched) if matched.user == CallKey::NONE.0 => {
                if response.status().is_some_and(|status| status < 200) {
                    return;
                }
                let next = self.cx.answer_alone(matched.id, response);
                match (&mut self.health, next) {
                    (Some(health), Some(next)) => health.follow_up(matched.id, next),
                    (Some(health), None) => {
                        health.handle_result(&mut self.cx, matched.id, &Outcome::Answer(response));
                    }
                    (None, _) => {}
                }
            }
            Some(matched) => {
                if let Some(forks) = self.forks.get_mut(&CallKey(matched.user))
                    && response.status().is_some_and(|status| (200..300).contains(&status))
                    && *response.method() == Method::Invite
                {
                    forks.handle_2xx(&mut self.cx, None, response);
                }
                self.with_call(CallKey(matched.user), |call, cx| call.handle_response(cx, matched.id, response));
            }
            None => self.cx.event(None, EventKind::Dropped { reason: DropReason::StrayResponse }),
        }
    }

    fn observe(&mut self, flow: Option<FlowId>, trunk: Option<crate::flow::TrunkId>, received: bool, octets: Bytes) {
        if self.cx.snapshot.edge.observe {
            // A token is shown to nobody, whichever trunk it turns out to be (GEN-27).
            let tokens = self.cx.snapshot.trunks.iter().filter_map(|trunk| trunk.required_header.as_ref());
            let octets = tokens.fold(octets, |octets, header| header.hide(octets));
            self.cx.event(None, EventKind::Message(Box::new(ObservedMessage { flow, trunk, received, octets })));
        }
    }
}
