//! One world: a virtual clock, a network with weather, workers under test and two platforms.

mod judge;
mod moving;
mod network;

use super::checks::Checks;
use super::platform::{Env, Platform, Todo};
use super::rng::Rng;
use super::script::{Call, GENESYS, MS, Options, Relay, SECOND, TEAMS};
use bytes::Bytes;
use bytestring::ByteString;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tandem::call::{Admission, Admit, Entries};
use tandem::directory::Directory;
use tandem::edge::{Edge, EdgeStart, Gauges, Owner};
use tandem::flow::{FlowId, Hop, Now, Peer, Transport, TrunkId};
use tandem::io::{Answer, Input, Output, Question, QuestionId, Token};
use tandem::routing::{NumberMatch, Route};
use tandem::sip::{Message, top_via};
use tandem::snapshot::{EdgeSettings, Snapshot};
use tandem::trunk::diagnosis::Symptom;
use tandem::trunk::platforms::{self, Cloud, Generation};
use tandem::trunk::{EarlyMedia, Termination, Trunk};
use uuid::Uuid;

/// More events than any world needs.
const MOST_STEPS: usize = 60_000;
/// The longest a world may last: calls, session timers, probes, twice over.
const END: u64 = 40_000 * SECOND;
/// How often calls are asked for by other workers.
const MOST_MOVES: u32 = 60;
const EPOCH_MS: u64 = 1_790_000_000_000;

enum Happening {
    ToEdge { flow: FlowId, octets: Bytes },
    ToPlatform { platform: usize, flow: FlowId, octets: Bytes },
    Unsent { worker: usize, token: Token },
    PlatformUnsent { platform: usize, token: Token },
    EdgeLoses { flow: FlowId },
    Relayed { worker: usize, question: QuestionId, result: Answer },
    Do { platform: usize, todo: Todo },
    Crash { worker: usize },
    Move { left: u32 },
    Arrive { worker: usize, call: Uuid },
    Wanted { worker: usize, tag: ByteString, by: usize },
    Drain { now: bool },
}

struct Flow {
    platform: usize,
    host: String,
    /// Whether the platform opened it.
    inbound: bool,
    up: bool,
    peer: Arc<Peer>,
    /// In-order delivery: the latest arrival at either end.
    arrivals: [u64; 2],
}

/// Counts what is admitted and released.
#[derive(Default)]
pub struct Count(Mutex<i64>, Mutex<Entries>);

impl Admission for Count {
    fn admit(&self, _: TrunkId, _: Now, _: Option<u32>, _: Option<u32>) -> Admit {
        *self.0.lock().unwrap() += 1;
        Admit::Yes
    }

    fn release(&self, _: TrunkId) {
        *self.0.lock().unwrap() -= 1;
    }

    fn enter(&self, entry: u64) {
        self.1.lock().unwrap().enter(entry);
    }

    fn exit(&self, entry: u64) {
        assert!(self.1.lock().unwrap().exit(entry), "no call has entered so");
    }

    fn entered(&self, entry: u64) -> u32 {
        self.1.lock().unwrap().count(entry)
    }
}

/// A world.
pub struct World {
    seed: u64,
    options: Options,
    now: u64,
    base: Instant,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    happenings: HashMap<u64, Happening>,
    sequence: u64,
    edges: Vec<Edge>,
    epochs: Vec<u32>,
    saves: Vec<HashMap<Uuid, Bytes>>,
    moved: moving::Moved,
    platforms: Vec<Platform>,
    flows: HashMap<FlowId, Flow>,
    snapshot: Arc<Snapshot>,
    /// What each worker's share of admission holds; a worker that fails takes its share along.
    admissions: Vec<Arc<Count>>,
    /// Which worker an INVITE was given to, by branch.
    given: HashMap<String, usize>,
    checks: Checks,
    network: Rng,
    relay: Rng,
    acts: Rng,
    script: Arc<Vec<Call>>,
    /// (when, from, to, octets)
    ladder: Vec<(u64, &'static str, Bytes)>,
    flows_made: u64,
    steps: usize,
}

/// What went wrong.
pub struct Fault {
    /// In words; the first is the one that matters.
    pub texts: Vec<String>,
    /// The messages of the calls.
    pub ladder: String,
}

fn trunks(options: &Options) -> Vec<Arc<Trunk>> {
    let early_media = if options.early_media { EarlyMedia::First } else { EarlyMedia::None };
    let mut teams = platforms::teams(Cloud::Worldwide).into_trunk(TrunkId(0), "teams", "sbc1.example.com", 5061);
    teams.early_media = early_media;
    let platform = platforms::Platform::Genesys {
        generation: Generation::Classic,
        region: "eu-central-1",
        identifier: "acme-sbc",
        termination: Termination::Fqdn,
    };
    let mut genesys =
        platforms::defaults(&platform).unwrap().into_trunk(TrunkId(1), "genesys", "sbc1.example.com", 5061);
    genesys.sources = vec!["203.0.113.0/24".parse().unwrap()];
    genesys.early_media = early_media;
    if options.udp {
        genesys.transport = Transport::Udp;
    }
    vec![Arc::new(teams), Arc::new(genesys)]
}

impl World {
    /// The world of `seed` under these options.
    pub fn new(seed: u64, options: Options) -> Self {
        let base = Instant::now();
        let script: Arc<Vec<Call>> = Arc::new((0..options.calls).map(|index| Call::draw(seed, index)).collect());
        let mut slots = [0_u16; 256];
        for (slot, worker) in slots.iter_mut().enumerate() {
            *worker = (slot % options.workers) as u16;
        }
        let route = |from: u16, to: u16| Route {
            from: Some(TrunkId(from)),
            number: NumberMatch::Any,
            to: vec![TrunkId(to)],
            ..Route::default()
        };
        let snapshot = Arc::new(Snapshot {
            revision: 1,
            edge: EdgeSettings {
                product: Arc::from("Tandem/0.1"),
                max_call: Duration::from_secs(12 * 3600),
                probe_interval: Duration::from_secs(900),
                ask_timeout: Duration::from_secs(3),
                country_code: Arc::from("49"),
                emergency: Arc::default(),
                max_calls: 1000,
                t1: Duration::from_millis(500),
                observe: false,
                max_transactions: tandem::transaction::MAX_TRANSACTIONS,
                ask_media: options.relay != Relay::Direct,
                ask_load: true,
            },
            trunks: trunks(&options),
            rules: Arc::default(),
            routes: vec![route(0, 1), route(1, 0)],
            directory: Arc::new(Directory::default()),
            addresses: Default::default(),
            down: Vec::new(),
            nonce_key: tandem::authentication::NonceKey::new([7; 32]),
            slots: Arc::new(slots),
        });
        let platform = |index: usize| {
            let trunk = &snapshot.trunks[index];
            let host: Arc<str> = trunk.fqdn.clone();
            let hop =
                Hop { trunk: trunk.id, transport: trunk.transport, host, port: 5061, addresses: Default::default() };
            Platform::new(index, trunk.transport, script.clone(), Arc::new(hop))
        };
        let platforms = vec![platform(TEAMS), platform(GENESYS)];
        let mut world = Self {
            seed,
            now: 0,
            base,
            queue: BinaryHeap::new(),
            happenings: HashMap::new(),
            sequence: 0,
            edges: Vec::new(),
            epochs: vec![1; options.workers],
            saves: vec![HashMap::new(); options.workers],
            moved: moving::Moved::default(),
            platforms,
            flows: HashMap::new(),
            snapshot,
            admissions: (0..options.workers).map(|_| Arc::default()).collect(),
            given: HashMap::new(),
            checks: Checks::default(),
            network: Rng::new(seed, 2),
            relay: Rng::new(seed, 3),
            acts: Rng::new(seed, 4),
            script,
            ladder: Vec::new(),
            flows_made: 0,
            steps: 0,
            options,
        };
        for worker in 0..world.options.workers {
            let edge = world.edge(worker);
            world.edges.push(edge);
        }
        for (index, call) in world.script.clone().iter().enumerate() {
            if world.options.only.is_empty() || world.options.only.contains(&index) {
                world.later(call.at, Happening::Do { platform: call.from, todo: Todo::Place(index) });
            }
        }
        if world.options.crash > 0 {
            world.later(world.options.crash, Happening::Crash { worker: 0 });
        }
        if world.options.moves > 0 {
            world.later(world.options.moves, Happening::Move { left: MOST_MOVES });
        }
        world.checks.forgetful =
            world.options.lazy && matches!(world.options.relay, Relay::Delayed | Relay::Failing | Relay::Silent);
        if world.options.drain > 0 {
            world.later(world.options.drain, Happening::Drain { now: false });
        }
        world
    }

    fn edge(&self, worker: usize) -> Edge {
        let slots =
            (0..=u8::MAX).filter(|&slot| usize::from(self.snapshot.slots[usize::from(slot)]) == worker).collect();
        let mut seed = [0; 32];
        let mut rng = Rng::new(self.seed, 100 + worker as u64 + 10 * u64::from(self.epochs[worker]));
        for part in seed.chunks_mut(8) {
            part.copy_from_slice(&rng.next().to_le_bytes());
        }
        let start = EdgeStart {
            node: 1,
            worker: worker as u16,
            epoch: self.epochs[worker],
            seed,
            slots,
            speaks: false,
            admission: self.admissions[worker].clone(),
        };
        Edge::new(start, self.snapshot.clone(), self.moment())
    }

    fn moment(&self) -> Now {
        Now { monotonic: self.base + Duration::from_micros(self.now), unix_ms: EPOCH_MS + self.now / MS }
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.base).as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
    }

    fn later(&mut self, after: u64, what: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse((self.now + after, self.sequence)));
        self.happenings.insert(self.sequence, what);
    }

    /// Runs to the end.
    pub fn run(mut self) -> Result<usize, Box<Fault>> {
        while self.step() {
            if !self.checks.faults.is_empty() {
                break;
            }
        }
        if self.checks.faults.is_empty() {
            self.at_rest();
        }
        if self.checks.faults.is_empty() {
            return Ok(self.steps);
        }
        let texts = std::mem::take(&mut self.checks.faults);
        Err(Box::new(Fault { texts, ladder: self.ladder() }))
    }

    fn step(&mut self) -> bool {
        self.steps += 1;
        let queued = self.queue.peek().map(|Reverse((at, _))| *at);
        let edges = self.edges.iter().filter_map(Edge::poll_timeout).min().map(|at| self.micros(at));
        let platforms = self.platforms.iter().filter_map(|one| one.tx.poll_timeout()).min().map(|at| self.micros(at));
        let Some(next) = [queued, edges, platforms].into_iter().flatten().min() else { return false };
        if self.steps > MOST_STEPS || next > END {
            self.checks.faults.push(format!("never comes to rest: {:?}", self.gauges()));
            return false;
        }
        self.now = self.now.max(next);
        if queued == Some(next)
            && let Some(Reverse((_, key))) = self.queue.pop()
            && let Some(what) = self.happenings.remove(&key)
        {
            self.happen(what);
            return true;
        }
        for worker in 0..self.edges.len() {
            if self.edges[worker].poll_timeout().is_some_and(|at| self.micros(at) <= self.now) {
                let now = self.moment();
                self.edges[worker].handle_timeout(now);
                self.drain(worker);
            }
        }
        for platform in 0..self.platforms.len() {
            let now = self.moment().monotonic;
            self.platforms[platform].tx.handle_timeout(now);
            self.settle(platform);
        }
        true
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::ToEdge { flow, octets } => self.deliver(flow, octets),
            Happening::ToPlatform { platform, flow, octets } => {
                if !self.flows.get(&flow).is_some_and(|flow| flow.up) {
                    return;
                }
                if let Ok(message) = Message::parse(octets) {
                    self.with_platform(platform, |one, env| one.handle_message(env, &message, flow));
                }
            }
            Happening::Unsent { worker, token } => {
                self.input(
                    worker,
                    Input::SendFailed { token, reason: "simulated".to_owned(), symptom: Symptom::Refused },
                );
            }
            Happening::PlatformUnsent { platform, token } => {
                let now = self.moment().monotonic;
                self.platforms[platform].tx.send_failed(now, token);
                self.settle(platform);
            }
            Happening::EdgeLoses { flow } => {
                for worker in 0..self.edges.len() {
                    self.input(worker, Input::FlowLost { flow, symptom: Symptom::Lost });
                }
            }
            Happening::Relayed { worker, question, result } => self.input(worker, Input::Answer { question, result }),
            Happening::Do { platform, todo } => self.with_platform(platform, |one, env| one.handle_todo(env, todo)),
            Happening::Crash { worker } => self.crash(worker),
            Happening::Move { left } => self.ask_around(left),
            Happening::Arrive { worker, call } => self.arrive(worker, call),
            Happening::Wanted { worker, tag, by } => self.input(worker, Input::Wanted { tag, by: by as u16 }),
            Happening::Drain { now } => {
                for worker in 0..self.edges.len() {
                    self.input(worker, Input::Drain { now });
                }
                if !now {
                    self.later(60 * SECOND, Happening::Drain { now: true });
                }
            }
        }
    }

    fn input(&mut self, worker: usize, input: Input) {
        let now = self.moment();
        self.edges[worker].handle_input(now, input);
        self.drain(worker);
    }

    /// A message reaches the element: which worker is its owner?
    fn deliver(&mut self, id: FlowId, octets: Bytes) {
        let Some(flow) = self.flows.get(&id).filter(|flow| flow.up) else { return };
        let (platform, peer) = (flow.platform, flow.peer.clone());
        self.ladder.push((self.now, if platform == TEAMS { "teams   ->" } else { "genesys ->" }, octets.clone()));
        let message = match Message::parse(octets) {
            Ok(message) => message,
            Err(rejected) => return self.checks.faults.push(format!("the platform is wrong: {}", rejected.fault)),
        };
        let here = usize::from(id.worker);
        let branch = top_via(&message).ok().and_then(|via| via.branch()).unwrap_or("").to_owned();
        let mut worker = match self.edges[here].owner(&message) {
            Owner::Here => here,
            Owner::Worker(worker) => usize::from(worker),
            Owner::Anyone => {
                let fresh = self.network.below(self.edges.len() as u64) as usize;
                *self.given.entry(branch).or_insert(fresh)
            }
            Owner::UnmatchedCancel => {
                let mut all = 0..self.edges.len();
                all.find(|&one| self.edges[one].owner(&message) == Owner::Here).unwrap_or(here)
            }
        };
        worker = self.moved.worker_of(&self.edges, &message).unwrap_or(worker).min(self.edges.len() - 1);
        self.checks.heard(platform, worker, &message);
        self.input(worker, Input::Message { message, flow: id, peer });
    }

    fn drain(&mut self, worker: usize) {
        while let Some(output) = self.edges[worker].poll_output() {
            match output {
                Output::Send { token, to, octets } => self.carry(worker, token, &to, octets),
                Output::Ask { question, what, .. } => self.asked(worker, question, what),
                Output::Save { call, octets, revision, .. } => {
                    self.saves[worker].insert(call, octets);
                    let now = self.moment();
                    self.edges[worker].handle_input(now, Input::Saved { call, revision });
                }
                Output::Forget { call, .. } => {
                    self.saves[worker].remove(&call);
                }
                Output::Surrender { call, to, tags } => self.surrender(worker, call, usize::from(to), tags),
                Output::Event(event) => self.checks.event(worker, &event),
                Output::Close { .. } => {}
            }
        }
    }

    fn asked(&mut self, worker: usize, question: QuestionId, what: Question) {
        let found = match what {
            Question::Media { sdp, .. } => Answer::Media(sdp),
            Question::Load { tag } => match self.find(worker, tag) {
                Some(found) => found,
                None => return,
            },
        };
        let after = match self.options.relay {
            Relay::Direct | Relay::Immediate => 0,
            Relay::Delayed if self.relay.chance(3) => 3_500 * MS,
            Relay::Delayed => self.relay.between(0, 1_500) * MS,
            Relay::Failing | Relay::Silent => self.relay.between(0, 100) * MS,
        };
        let result = match self.options.relay {
            Relay::Failing if self.relay.chance(20) => Answer::Failed("simulated".to_owned()),
            Relay::Silent if self.relay.chance(20) => return,
            _ => found,
        };
        self.later(after, Happening::Relayed { worker, question, result });
    }

    fn with_platform(&mut self, platform: usize, act: impl FnOnce(&mut Platform, &mut Env<'_>)) {
        let instant = self.moment().monotonic;
        let mut env = Env { now: self.now, instant, rng: &mut self.acts, later: Vec::new(), breaches: Vec::new() };
        act(&mut self.platforms[platform], &mut env);
        let (later, breaches) = (env.later, env.breaches);
        for (after, todo) in later {
            self.later(after, Happening::Do { platform, todo });
        }
        if !breaches.is_empty() && !self.stormy() {
            self.checks.faults.extend(breaches);
        }
        self.settle(platform);
    }

    fn crash(&mut self, worker: usize) {
        let saved = std::mem::take(&mut self.saves[worker]);
        self.checks.crash(worker, &saved);
        self.ladder.push((self.now, "-- worker fails", Bytes::new()));
        self.epochs[worker] += 1;
        self.admissions[worker] = Arc::default();
        self.edges[worker] = self.edge(worker);
        let mut lost: Vec<FlowId> = self
            .flows
            .iter()
            .filter(|(id, flow)| usize::from(id.worker) == worker && flow.up && flow.peer.transport.is_reliable())
            .map(|(&id, _)| id)
            .collect();
        lost.sort();
        for id in lost {
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.up = false;
                let platform = flow.platform;
                let now = self.moment().monotonic;
                self.platforms[platform].tx.flow_lost(now, id);
            }
            self.later(0, Happening::EdgeLoses { flow: id });
        }
        let mut calls: Vec<_> = saved.into_iter().collect();
        calls.sort();
        for (call, octets) in calls {
            self.saves[worker].insert(call, octets);
            if self.options.lazy {
                let after = self.relay.between(0, 3_000) * MS;
                self.later(after, Happening::Arrive { worker, call });
            } else {
                self.arrive(worker, call);
            }
        }
        for platform in 0..self.platforms.len() {
            self.settle(platform);
        }
    }

    /// Whether messages are lost, so that a peer may lack what it was owed.
    fn stormy(&self) -> bool {
        self.options.loss > 0 || self.options.breaks > 0 || self.options.crash > 0
    }

    fn gauges(&self) -> Vec<Gauges> {
        self.edges.iter().map(Edge::gauges).collect()
    }
}
