//! One life of a worker, from its first input to the end of the process or to its panic.

use super::dealt::Dealt;
use super::{Desk, Exchange, Held, Homes, Mail, Order, Phase, Saved, Share, UDP_WORKER, WorkerStart};
use crate::edge::{Edge, EdgeStart, Owner, overload};
use crate::event::{DropReason, Event, EventKind};
use crate::flow::{FlowId, Now, Peer, Transport};
use crate::io::{Answer, Destination, Input, Output, Question, QuestionId, Token, UNTRACKED};
use crate::journal::unix_ms;
use crate::sip::{Message, Method, Name, tag};
use crate::transaction::TOKEN_BITS;
use crate::transport::{Arrival, Endpoint, SendError};
use crate::trunk::diagnosis::Symptom;
use bytes::Bytes;
use bytestring::ByteString;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use uuid::Uuid;

/// Messages taken from one queue before the others get their turn.
const BATCH: usize = 64;

/// The longest sleep: how often a worker with nothing to do shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// One life of a worker: its core, its connections, and what is between them.
pub(super) struct Worker {
    start: Arc<WorkerStart>,
    desk: Arc<Desk>,
    edge: Edge,
    endpoint: Endpoint,
    dealt: Dealt,
    /// Keys the To tags of the responses that are made here.
    tags: foldhash::fast::RandomState,
    /// Whether connections came or went: counting them goes through all of them.
    recount: bool,
    /// What outputs caused, for the core once it is drained.
    caused: VecDeque<Input>,
}

impl Worker {
    /// A core and an endpoint, both empty.
    pub(super) fn new(start: Arc<WorkerStart>, desk: Arc<Desk>, arrived: mpsc::Sender<Arrival>) -> Self {
        let snapshot = start.snapshots.borrow().clone();
        let restarts = u32::try_from(desk.restarts()).unwrap_or(u32::MAX);
        let slots = (0..=u8::MAX).zip(snapshot.slots.iter()).filter(|(_, owner)| **owner == start.worker);
        let begin = EdgeStart {
            node: start.node,
            worker: start.worker,
            epoch: start.epoch.wrapping_add(restarts),
            seed: seed(start.seed, restarts),
            slots: slots.map(|(slot, _)| slot).collect(),
            speaks: start.worker == 0,
            admission: Arc::new(Share::new(start.tally.clone())),
        };
        let (state, resolver, counters) = (start.state.clone(), start.resolver.clone(), start.counters.clone());
        let endpoint = Endpoint::new(start.node, start.worker, state, resolver, arrived, counters);
        // A flow's name is never used again: each life counts from where no earlier one can have come to.
        endpoint.count_flows_from(u64::from(restarts) << 40);
        Self {
            edge: Edge::new(begin, snapshot, now()),
            endpoint,
            dealt: Dealt::default(),
            tags: foldhash::fast::RandomState::default(),
            recount: true,
            caused: VecDeque::new(),
            start,
            desk,
        }
    }

    /// Takes the sockets for datagrams: to send on, and to read if it is the one that does.
    ///
    /// # Errors
    ///
    /// What the system says, such as that no more files may be open: a worker must not live deaf.
    pub(super) fn attach(&mut self, exchange: &Exchange) -> std::io::Result<()> {
        let receive = self.start.worker == UDP_WORKER;
        for (socket, listener) in &exchange.datagrams {
            self.endpoint.attach_udp(socket.try_clone()?, *listener, receive)?;
        }
        Ok(())
    }

    /// Gives the core the calls that its predecessor had saved.
    pub(super) fn restore(&mut self) {
        for (call, saved) in self.desk.kept() {
            self.desk.restoring(Some(call));
            self.input(Input::Restored { call, octets: saved.octets });
            self.desk.restoring(None);
        }
    }

    /// The loop, until the process stops.
    pub(super) async fn live(
        &mut self,
        mail: &mut mpsc::Receiver<Mail>,
        orders: &mut mpsc::Receiver<Order>,
        mut arrivals: mpsc::Receiver<Arrival>,
    ) {
        let (mut snapshots, mut phase) = (self.start.snapshots.clone(), self.start.phase.clone());
        let mut entered = Phase::Serving;
        let sleep = tokio::time::sleep(HEARTBEAT);
        tokio::pin!(sleep);
        loop {
            let target = *phase.borrow_and_update();
            if target != entered {
                entered = target;
                match target {
                    Phase::Serving => {}
                    Phase::Draining => self.input(Input::Drain { now: false }),
                    Phase::Ending => self.input(Input::Drain { now: true }),
                    Phase::Stopped => return,
                }
            }
            let monotonic = Instant::now();
            if self.edge.poll_timeout().is_some_and(|at| at <= monotonic) {
                self.edge.handle_timeout(Now { monotonic, unix_ms: unix_ms() });
                self.drain();
            }
            self.publish();
            let wake = self.edge.poll_timeout().map_or(monotonic + HEARTBEAT, |at| at.min(monotonic + HEARTBEAT));
            sleep.as_mut().reset(wake.into());
            tokio::select! {
                // In this order: a snapshot that was there first is seen first, orders are few.
                biased;
                changed = snapshots.changed() => match changed {
                    Ok(()) => {
                        let snapshot = snapshots.borrow_and_update().clone();
                        self.input(Input::Snapshot(snapshot));
                    }
                    Err(_) => return,
                },
                changed = phase.changed() => if changed.is_err() { return },
                Some(order) = orders.recv() => self.order(order),
                () = self.some(mail, &mut arrivals) => {}
                () = &mut sleep => self.recount = true,
            }
        }
    }

    /// Waits for mail or an arrival, and takes what else is there, up to a bound for each.
    async fn some(&mut self, mail: &mut mpsc::Receiver<Mail>, arrivals: &mut mpsc::Receiver<Arrival>) {
        tokio::select! {
            Some(first) = mail.recv() => self.mail(first),
            Some(first) = arrivals.recv() => self.arrival(first),
            else => return,
        }
        for _ in 0..BATCH {
            let (posted, arrived) = (mail.try_recv(), arrivals.try_recv());
            if posted.is_err() && arrived.is_err() {
                break;
            }
            if let Ok(mail) = posted {
                self.mail(mail);
            }
            if let Ok(arrival) = arrived {
                self.arrival(arrival);
            }
        }
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Accept(accepted) => {
                self.recount = true;
                self.endpoint.adopt(accepted);
            }
            Order::HangUp(call) => self.input(Input::HangUp { call }),
            // Who asked may have stopped waiting.
            Order::Calls(answer) => drop(answer.send(self.edge.calls())),
            Order::Held(answer) => {
                let (revision, calls) = (self.edge.revision(), self.edge.trunks());
                // Who asked may have stopped waiting.
                drop(answer.send(Held { revision, calls, connections: self.endpoint.trunks() }));
            }
            Order::Recycle => self.endpoint.recycle(),
            #[cfg(debug_assertions)]
            Order::Panic => panic!("ordered to"),
            #[cfg(debug_assertions)]
            Order::Yield(by, left) => {
                for (_, saved) in self.desk.kept() {
                    let saved: serde_json::Value = serde_json::from_slice(&saved.octets).unwrap_or_default();
                    let tag = saved["legs"][0]["dialog"]["local_tag"].as_str().unwrap_or_default();
                    self.input(Input::Wanted { tag: tag.into(), by });
                }
                let _ = left.send(self.edge.calls().len());
            }
        }
    }

    fn arrival(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Message { message, flow, peer } => self.message(message, flow, peer),
            Arrival::Malformed { request, fault, flow, peer } => {
                self.input(Input::Malformed { request, fault, flow, peer });
            }
            Arrival::FlowLost { flow, reason, symptom } => {
                self.recount = true;
                tracing::debug!(worker = self.start.worker, flow = flow.n, reason, "flow lost");
                for follower in self.desk.unfollow(flow) {
                    self.start.exchange.tell(follower, Mail::FlowLost(flow));
                }
                self.input(Input::FlowLost { flow, symptom });
            }
            Arrival::SendFailed { token, reason, symptom } => match sender(token) {
                None => self.input(Input::SendFailed { token, reason, symptom }),
                Some((worker, token)) => {
                    self.start.exchange.tell(worker, Mail::SendFailed { token, reason, symptom });
                }
            },
        }
    }

    /// Takes a message of one of our flows, or hands it to the worker of its call.
    fn message(&mut self, message: Message, flow: FlowId, peer: Arc<Peer>) {
        if let Some(homes) = self.homes(&message) {
            return self.follow(message, flow, peer, homes);
        }
        let own = self.start.worker;
        let worker = match self.edge.owner(&message) {
            Owner::Here => own,
            Owner::Worker(worker) => worker,
            Owner::Anyone => match self.dealt.worker(&message) {
                Some(worker) => worker,
                None if *message.method() == Method::Invite => self.place(&message),
                None => own,
            },
            Owner::UnmatchedCancel => match self.dealt.worker(&message) {
                Some(worker) => worker,
                None => return self.pass_on(message, flow, peer, self.start.exchange.workers().saturating_sub(1)),
            },
        };
        if worker == own {
            self.input(Input::Message { message, flow, peer });
        } else {
            let transport = peer.transport;
            self.hand_over(worker, flow, transport, Mail::Message { message, flow, peer });
        }
    }

    /// A request of a call that has moved: each worker that had it is asked whether this is a repetition of one it took
    /// (RFC 3261 §17.2.3); the last has the call.
    fn follow(&mut self, message: Message, flow: FlowId, peer: Arc<Peer>, mut homes: Homes) {
        while let Some(&home) = homes.first() {
            if home != self.start.worker {
                let transport = peer.transport;
                return self.hand_over(home, flow, transport, Mail::Moved { message, flow, peer, homes });
            }
            if homes.len() == 1 || self.edge.owns(&message) {
                return self.input(Input::Message { message, flow, peer });
            }
            homes.remove(0);
        }
    }

    /// Where the call of a request has been, if it has moved.
    fn homes(&self, message: &Message) -> Option<Homes> {
        if !self.start.exchange.any_moved() || !message.is_request() {
            return None;
        }
        self.start.exchange.homes(message.header(Name::To).and_then(tag)?)
    }

    /// The worker of a new call. Remembered even when it is this one: a repetition must not go elsewhere.
    fn place(&mut self, invite: &Message) -> u16 {
        let worker = self.start.exchange.place(self.start.worker);
        if self.start.exchange.workers() > 1 {
            let t1 = self.start.snapshots.borrow().edge.t1;
            self.dealt.remember(Instant::now(), invite, worker, t1 * 64);
        }
        worker
    }

    /// Offers a CANCEL to the next worker of the ring; the last one answers it, with 481 if need be.
    fn pass_on(&mut self, message: Message, flow: FlowId, peer: Arc<Peer>, left: u16) {
        match left.checked_sub(1) {
            None => self.input(Input::Message { message, flow, peer }),
            Some(left) => {
                let next = (self.start.worker + 1) % self.start.exchange.workers();
                let transport = peer.transport;
                self.hand_over(next, flow, transport, Mail::Cancel { message, flow, peer, left });
            }
        }
    }

    /// Hands a message to another worker. Full: 503 for a request, nothing for an ACK or a response.
    fn hand_over(&mut self, worker: u16, flow: FlowId, transport: Transport, mail: Mail) {
        let Some(desk) = self.start.exchange.desk(worker) else { return };
        let metrics = self.start.journal.metrics();
        let Err(refused) = desk.post(mail) else {
            metrics.handed_over.inc();
            if let Some(holder) = self.start.exchange.desk(flow.worker) {
                holder.follow(flow, transport, worker);
            }
            return;
        };
        metrics.handover_refused.inc();
        let message = match *refused {
            Mail::Message { message, .. } | Mail::Moved { message, .. } | Mail::Cancel { message, .. } => message,
            _ => return,
        };
        if message.is_request() && *message.method() != Method::Ack {
            let octets = overload(&message, None, &self.tags);
            self.send(UNTRACKED, Destination::Flow(flow), octets);
            self.drain();
        } else {
            let event = Event { call: None, kind: EventKind::Dropped { reason: DropReason::Overload } };
            self.start.journal.write(Some(self.start.worker), unix_ms(), event);
        }
    }

    fn mail(&mut self, mail: Mail) {
        match mail {
            // It may have left while this was under way.
            Mail::Message { message, flow, peer } => match self.homes(&message) {
                Some(homes) => self.follow(message, flow, peer, homes),
                None => self.input(Input::Message { message, flow, peer }),
            },
            Mail::Moved { message, flow, peer, homes } => self.follow(message, flow, peer, homes),
            Mail::Wanted { tag, by } => self.input(Input::Wanted { tag, by }),
            // Unless it has been taken up since, and ended: by an earlier life of this worker.
            Mail::Call { call, octets } if self.desk.keeps(call) => self.input(Input::Restored { call, octets }),
            Mail::Call { .. } => {}
            Mail::Cancel { message, flow, peer, left } => match self.edge.owner(&message) {
                Owner::Here => self.input(Input::Message { message, flow, peer }),
                Owner::Worker(_) | Owner::Anyone | Owner::UnmatchedCancel => self.pass_on(message, flow, peer, left),
            },
            Mail::Send { from, token, flow, octets } => {
                if let Err(error) = self.endpoint.send(foreign(from, token), &Destination::Flow(flow), octets) {
                    let (reason, symptom) = (error.to_string(), error.symptom());
                    self.start.exchange.tell(from, Mail::SendFailed { token, reason, symptom });
                }
            }
            Mail::SendFailed { token, reason, symptom } => self.input(Input::SendFailed { token, reason, symptom }),
            Mail::Close(flow) => self.endpoint.close(flow),
            Mail::FlowLost(flow) => self.input(Input::FlowLost { flow, symptom: Symptom::Lost }),
        }
    }

    /// One input for the core, and all that follows from it.
    fn input(&mut self, input: Input) {
        self.edge.handle_input(now(), input);
        self.drain();
    }

    /// Carries out what the core wants, and tells it what came of that, until it wants nothing more.
    fn drain(&mut self) {
        loop {
            while let Some(output) = self.edge.poll_output() {
                self.output(output);
            }
            match self.caused.pop_front() {
                Some(input) => self.edge.handle_input(now(), input),
                None => return,
            }
        }
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Send { token, to, octets } => self.send(token, to, octets),
            Output::Close { flow } if flow.worker == self.start.worker => self.endpoint.close(flow),
            Output::Close { flow } => self.start.exchange.tell(flow.worker, Mail::Close(flow)),
            // No media relay yet: the core never asks unless the snapshot says that there is one.
            Output::Ask { question, what: Question::Media { .. }, .. } => {
                let result = Answer::Failed("no media relay".into());
                self.caused.push_back(Input::Answer { question, result });
            }
            Output::Ask { question, what: Question::Load { tag }, .. } => self.load(question, tag),
            Output::Save { call, epoch, revision, octets } => {
                self.desk.save(call, Saved { epoch, revision, octets });
                self.caused.push_back(Input::Saved { call, revision });
            }
            Output::Forget { call, revision } => {
                self.desk.forget(call, revision);
                let t1 = self.start.snapshots.borrow().edge.t1;
                self.start.exchange.settle(Instant::now(), call, t1 * 64);
            }
            Output::Surrender { call, to, tags } => self.surrender(call, to, tags),
            Output::Event(event) => self.start.journal.write(Some(self.start.worker), unix_ms(), event),
        }
    }

    /// Finds the call of a tag: another worker has it, or it is on its way here, or there is none.
    fn load(&mut self, question: QuestionId, tag: ByteString) {
        let own = self.start.worker;
        let moved = self.start.exchange.homes(&tag).and_then(|homes| homes.last().copied());
        let result = match moved.or_else(|| self.edge.worker_of(&tag)) {
            Some(worker) if worker != own => {
                let wanted = Mail::Wanted { tag, by: own };
                if self.start.exchange.desk(worker).is_some_and(|desk| desk.post(wanted).is_ok()) {
                    return;
                }
                Answer::Failed("queue between workers full".into())
            }
            Some(_) if moved.is_some() => return,
            Some(_) | None => Answer::Absent,
        };
        self.caused.push_back(Input::Answer { question, result });
    }

    /// Gives a call to the worker that asked for it; one that cannot be given comes back.
    fn surrender(&mut self, call: Uuid, to: u16, tags: [ByteString; 2]) {
        let (exchange, own) = (&self.start.exchange, self.start.worker);
        let Some(saved) = self.desk.take(call) else { return };
        // Known before it is there, or it could have ended there before it is known.
        if let Some(desk) = exchange.desk(to)
            && exchange.move_call(call, tags.clone(), own, to)
        {
            desk.save(call, saved.clone());
            if desk.post(Mail::Call { call, octets: saved.octets.clone() }).is_ok() {
                return;
            }
            desk.forget(call, saved.revision);
            exchange.move_call(call, tags, to, own);
        }
        let octets = saved.octets.clone();
        self.desk.save(call, saved);
        self.caused.push_back(Input::Restored { call, octets });
    }

    /// Sends from here, or has the worker send that holds the flow.
    fn send(&mut self, token: Token, to: Destination, octets: Bytes) {
        let own = self.start.worker;
        let told = |error: SendError| (error.to_string(), error.symptom());
        let failed = match &to {
            Destination::Flow(flow) if flow.worker != own => {
                let mail = Mail::Send { from: own, token, flow: *flow, octets };
                let posted = self.start.exchange.desk(flow.worker).is_some_and(|desk| desk.post(mail).is_ok());
                if !posted {
                    self.start.journal.metrics().handover_refused.inc();
                }
                (!posted).then(|| ("queue between workers full".to_owned(), Symptom::Lost))
            }
            Destination::Flow(_) => self.endpoint.send(token, &to, octets).err().map(told),
            Destination::Hop(_) => match self.endpoint.send(token, &to, octets) {
                Ok(flow) => {
                    self.caused.push_back(Input::Sent { token, flow });
                    None
                }
                Err(error) => Some(told(error)),
            },
        };
        self.caused.extend(failed.map(|(reason, symptom)| Input::SendFailed { token, reason, symptom }));
    }

    /// Shows the others, and the metrics, what this worker holds.
    fn publish(&mut self) {
        let gauges = self.edge.gauges();
        let before = self.desk.calls.swap(gauges.calls, Ordering::Relaxed);
        self.desk.transactions.store(gauges.client_transactions + gauges.server_transactions, Ordering::Relaxed);
        if std::mem::take(&mut self.recount) {
            let open = self.endpoint.gauges();
            self.desk.connections.store(open.connections + open.handshakes, Ordering::Relaxed);
            self.desk.accepted.store(open.accepted + open.handshakes, Ordering::Relaxed);
        }
        self.desk.alive_ms.store(unix_ms(), Ordering::Relaxed);
        if before > 0 && gauges.calls == 0 {
            self.start.exchange.quiet.notify_waiters();
        }
    }
}

/// The seed of a worker's n-th life: the n-th draw of a generator whose output is as good as its seed.
fn seed(first: [u8; 32], restarts: u32) -> [u8; 32] {
    let (mut draws, mut seed) = (StdRng::from_seed(first), [0; 32]);
    for _ in 0..=restarts {
        draws.fill_bytes(&mut seed);
    }
    seed
}

/// The token under which we send for `worker`: that stands, plus one, above what the core's tokens take.
fn foreign(worker: u16, token: Token) -> Token {
    Token((u64::from(worker) + 1) << TOKEN_BITS | token.0)
}

/// The worker for which a token was sent, and its own token; `None` for our own.
fn sender(token: Token) -> Option<(u16, Token)> {
    let worker = u16::try_from(token.0 >> TOKEN_BITS).ok()?.checked_sub(1)?;
    Some((worker, Token(token.0 & ((1 << TOKEN_BITS) - 1))))
}

fn now() -> Now {
    Now { monotonic: Instant::now(), unix_ms: unix_ms() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::MAX_WORKERS;

    #[test]
    fn the_token_of_another_worker_comes_back_as_its_own() {
        for (worker, token) in [(0, 0), (7, 123), (MAX_WORKERS - 1, (1 << TOKEN_BITS) - 1)] {
            assert_eq!(sender(foreign(worker, Token(token))), Some((worker, Token(token))));
        }
        assert_eq!(sender(Token(55)), None);
    }
}
