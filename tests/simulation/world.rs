//! One world: a virtual clock, a network with weather, workers under test and two platforms.

use super::checks::Checks;
use super::leg::State;
use super::platform::{Env, Platform, Todo};
use super::rng::Rng;
use super::script::{Call, FirstHost, GENESYS, MS, Options, Relay, SECOND, TEAMS};
use bytes::Bytes;
use smallvec::smallvec;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tandem::call::{Admission, Admit};
use tandem::directory::Directory;
use tandem::edge::{Edge, EdgeStart, Gauges, Owner};
use tandem::flow::{FlowId, Hop, ListenerId, Now, Peer, Transport, TrunkId};
use tandem::io::{Answer, Destination, Input, Output, Question, QuestionId, Token, UNTRACKED};
use tandem::routing::{NumberMatch, Route};
use tandem::sip::{Message, Method, Name, top_via};
use tandem::snapshot::{EdgeSettings, Snapshot};
use tandem::transaction::Effect;
use tandem::trunk::platforms::{self, Cloud, Generation};
use tandem::trunk::{EarlyMedia, Termination, Trunk};
use uuid::Uuid;

/// More events than any world needs.
const MOST_STEPS: usize = 60_000;
/// The longest a world may last: calls, session timers, probes, twice over.
const END: u64 = 40_000 * SECOND;
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
pub struct Count(Mutex<i64>);

impl Admission for Count {
    fn admit(&self, _: TrunkId, _: Now, _: Option<u32>, _: Option<u32>) -> Admit {
        *self.0.lock().unwrap() += 1;
        Admit::Yes
    }

    fn release(&self, _: TrunkId) {
        *self.0.lock().unwrap() -= 1;
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
        let route =
            |from: u16, to: u16| Route { from: Some(TrunkId(from)), number: NumberMatch::Any, to: vec![TrunkId(to)] };
        let snapshot = Arc::new(Snapshot {
            revision: 1,
            edge: EdgeSettings {
                product: Arc::from("Tandem/0.1"),
                max_call: Duration::from_secs(12 * 3600),
                probe_interval: Duration::from_secs(900),
                ask_timeout: Duration::from_secs(3),
                country_code: Arc::from("49"),
                max_calls: 1000,
                t1: Duration::from_millis(500),
                observe: false,
                ask_media: options.relay != Relay::Direct,
            },
            trunks: trunks(&options),
            routes: vec![route(0, 1), route(1, 0)],
            directory: Arc::new(Directory::default()),
            addresses: Default::default(),
            down: Vec::new(),
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
                self.input(worker, Input::SendFailed { token, reason: "simulated".to_owned() });
            }
            Happening::PlatformUnsent { platform, token } => {
                let now = self.moment().monotonic;
                self.platforms[platform].tx.send_failed(now, token);
                self.settle(platform);
            }
            Happening::EdgeLoses { flow } => {
                for worker in 0..self.edges.len() {
                    self.input(worker, Input::FlowLost { flow });
                }
            }
            Happening::Relayed { worker, question, result } => self.input(worker, Input::Answer { question, result }),
            Happening::Do { platform, todo } => self.with_platform(platform, |one, env| one.handle_todo(env, todo)),
            Happening::Crash { worker } => self.crash(worker),
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
        worker = worker.min(self.edges.len() - 1);
        self.checks.heard(platform, worker, &message);
        self.input(worker, Input::Message { message, flow: id, peer });
    }

    fn drain(&mut self, worker: usize) {
        while let Some(output) = self.edges[worker].poll_output() {
            match output {
                Output::Send { token, to, octets } => self.carry(worker, token, &to, octets),
                Output::Ask { question, what, .. } => self.asked(worker, question, what),
                Output::Save { call, octets, .. } => {
                    self.saves[worker].insert(call, octets);
                }
                Output::Forget { call } => {
                    self.saves[worker].remove(&call);
                }
                Output::Event(event) => self.checks.event(worker, &event),
                Output::Close { .. } => {}
            }
        }
    }

    fn asked(&mut self, worker: usize, question: QuestionId, what: Question) {
        let Question::Media { sdp, .. } = what;
        let after = match self.options.relay {
            Relay::Direct | Relay::Immediate => 0,
            Relay::Delayed if self.relay.chance(3) => 3_500 * MS,
            Relay::Delayed => self.relay.between(0, 1_500) * MS,
            Relay::Failing | Relay::Silent => self.relay.between(0, 100) * MS,
        };
        let result = match self.options.relay {
            Relay::Failing if self.relay.chance(20) => Answer::Failed("simulated".to_owned()),
            Relay::Silent if self.relay.chance(20) => return,
            _ => Answer::Media(sdp),
        };
        self.later(after, Happening::Relayed { worker, question, result });
    }

    /// The element sends.
    fn carry(&mut self, worker: usize, token: Token, to: &Destination, octets: Bytes) {
        let id = match to {
            Destination::Flow(flow) => *flow,
            Destination::Hop(hop) => {
                let id = self.dial(worker, hop);
                if token != UNTRACKED {
                    let now = self.moment();
                    self.edges[worker].handle_input(now, Input::Sent { token, flow: id });
                }
                id
            }
        };
        let Some(flow) = self.flows.get(&id) else {
            return self.checks.faults.push("sends on a flow that never was".to_owned());
        };
        let platform = flow.platform;
        let (up, refused) = (flow.up, flow.host == "sip.pstnhub.microsoft.com" && !flow.inbound);
        let trunk = self.snapshot.trunks[platform].clone();
        self.ladder.push((self.now, if platform == TEAMS { "teams   <-" } else { "genesys <-" }, octets.clone()));
        self.checks.said(platform, &trunk, to, &octets);
        let refused = refused && self.options.first_host == FirstHost::Refuses;
        if !up || refused {
            let after = if refused { self.network.between(0, 3_000) * MS } else { 0 };
            self.later(after, Happening::Unsent { worker, token });
            return;
        }
        if !self.options.udp || platform == TEAMS {
            let silent = self.options.first_host == FirstHost::Silent;
            if silent && self.flows.get(&id).is_some_and(|flow| flow.host == "sip.pstnhub.microsoft.com") {
                return;
            }
            if self.options.first_host == FirstHost::Busy
                && self.flows.get(&id).is_some_and(|flow| flow.host == "sip.pstnhub.microsoft.com")
                && let Ok(request) = Message::parse(octets.clone())
                && *request.method() == Method::Invite
                && request.is_request()
                && tandem::sip::tag(request.header(Name::To).unwrap_or("")).is_none()
            {
                let busy = tandem::sip::Draft::response(&request, 503, "Busy", "busy", None).finish();
                self.later(10 * MS, Happening::ToEdge { flow: id, octets: busy });
                return;
            }
        }
        for at in self.journey(id, 1) {
            self.later(at - self.now, Happening::ToPlatform { platform, flow: id, octets: octets.clone() });
        }
        self.weather(id);
    }

    /// When a message put on a flow now arrives: never, once, or twice.
    fn journey(&mut self, id: FlowId, end: usize) -> Vec<u64> {
        let Some(flow) = self.flows.get_mut(&id) else { return Vec::new() };
        let mut at = self.now + self.network.between(2, 60) * MS;
        if flow.peer.transport.is_reliable() {
            at = at.max(flow.arrivals[end] + 1);
            flow.arrivals[end] = at;
            return vec![at];
        }
        if self.network.chance(self.options.loss) {
            return Vec::new();
        }
        if self.network.chance(10) {
            at += self.network.between(50, 400) * MS;
        }
        if self.network.chance(self.options.twice) {
            return vec![at, at + self.network.between(1, 700) * MS];
        }
        vec![at]
    }

    /// A connection may break under what it carries.
    fn weather(&mut self, id: FlowId) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if !flow.peer.transport.is_reliable() || !self.network.chance(self.options.breaks) {
            return;
        }
        flow.up = false;
        let platform = flow.platform;
        let after = if self.network.chance(60) { 0 } else { self.network.between(1, 3_000) * MS };
        self.later(after, Happening::EdgeLoses { flow: id });
        let now = self.moment().monotonic;
        self.platforms[platform].tx.flow_lost(now, id);
        // What that leads to comes with the next step: this may be in the midst of a platform's own.
        self.later(0, Happening::PlatformUnsent { platform, token: Token(0) });
    }

    fn dial(&mut self, worker: usize, hop: &Hop) -> FlowId {
        let platform = usize::from(hop.trunk.0);
        let udp = hop.transport == Transport::Udp;
        let host = if udp { "udp".to_owned() } else { hop.host.to_string() };
        let home = if udp { 0 } else { worker as u16 };
        let mut known: Vec<FlowId> = self
            .flows
            .iter()
            .filter(|(id, flow)| {
                id.worker == home && flow.platform == platform && flow.up && flow.host == host && (udp || !flow.inbound)
            })
            .map(|(&id, _)| id)
            .collect();
        known.sort();
        known.first().copied().unwrap_or_else(|| self.open(platform, home, host, false))
    }

    fn open(&mut self, platform: usize, worker: u16, host: String, inbound: bool) -> FlowId {
        self.flows_made += 1;
        let id = FlowId { node: 1, worker, n: self.flows_made };
        let trunk = &self.snapshot.trunks[platform];
        let address = if platform == TEAMS { "52.113.9.9" } else { "203.0.113.21" };
        let port = if trunk.transport == Transport::Udp { 5061 } else { 20_000 + (self.flows_made % 30_000) as u16 };
        let source = format!("{address}:{port}").parse().unwrap();
        let peer = Arc::new(Peer {
            source,
            listener: inbound.then_some(ListenerId(0)),
            transport: trunk.transport,
            names: Vec::new(),
            trunks: smallvec![trunk.id],
        });
        self.flows.insert(id, Flow { platform, host, inbound, up: true, peer, arrivals: [0, 0] });
        id
    }

    /// A connection of the platform's to the element.
    fn connection(&mut self, platform: usize) -> FlowId {
        if self.platforms[platform].transport == Transport::Udp {
            let known = self.flows.iter().find(|(_, flow)| flow.platform == platform && flow.host == "udp");
            return known.map(|(&id, _)| id).unwrap_or_else(|| self.open(platform, 0, "udp".to_owned(), true));
        }
        let mut known: Vec<FlowId> = self
            .flows
            .iter()
            .filter(|(_, flow)| flow.platform == platform && flow.up && flow.inbound)
            .map(|(&id, _)| id)
            .collect();
        known.sort();
        if known.is_empty() || (known.len() < 12 && self.network.chance(self.options.fresh)) {
            let worker = self.network.below(self.edges.len() as u64) as u16;
            return self.open(platform, worker, "inbound".to_owned(), true);
        }
        self.network.pick(&known)
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

    /// What a platform's transactions want done.
    fn settle(&mut self, platform: usize) {
        loop {
            let sends = std::mem::take(&mut self.platforms[platform].sends);
            for octets in sends {
                let flow = self.connection(platform);
                self.leave(platform, flow, octets, None);
            }
            let Some(effect) = self.platforms[platform].tx.poll() else { break };
            match effect {
                Effect::Send { token, to: Destination::Hop(_), octets } => {
                    let flow = self.connection(platform);
                    self.platforms[platform].tx.sent(token, flow);
                    self.leave(platform, flow, octets, Some(token));
                }
                Effect::Send { token, to: Destination::Flow(flow), octets } => {
                    self.leave(platform, flow, octets, Some(token));
                }
                Effect::ResponseUnsendable { id, .. } => {
                    let hop = self.platforms[platform].hop.clone();
                    self.platforms[platform].tx.redirect(id, Destination::Hop(hop));
                }
                Effect::TimedOut { id, .. } => {
                    self.with_platform(platform, |one, env| one.handle_failure(env, id, true))
                }
                Effect::Unreachable { id, .. } => {
                    self.with_platform(platform, |one, env| one.handle_failure(env, id, false));
                }
                Effect::TryingDue { .. } | Effect::NoAck { .. } => {}
            }
        }
    }

    /// A platform sends.
    fn leave(&mut self, platform: usize, flow: FlowId, octets: Bytes, token: Option<Token>) {
        if !self.flows.get(&flow).is_some_and(|flow| flow.up) {
            if let Some(token) = token {
                self.later(0, Happening::PlatformUnsent { platform, token });
            }
            return;
        }
        for at in self.journey(flow, 0) {
            self.later(at - self.now, Happening::ToEdge { flow, octets: octets.clone() });
        }
        self.weather(flow);
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
            self.saves[worker].insert(call, octets.clone());
            self.input(worker, Input::Restored { octets });
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

    /// Everything is quiet: both legs of each call are over, and nothing is kept.
    fn at_rest(&mut self) {
        self.checks.finish();
        let gauges = self.gauges();
        for held in gauges.into_iter().filter(|held| *held != Gauges::default()) {
            let named = [
                ("calls", held.calls),
                ("dialogs", held.dialogs),
                ("client transactions", held.client_transactions),
                ("server transactions", held.server_transactions),
                ("timers", held.timers),
                ("questions", held.questions),
            ];
            let kept: Vec<&str> = named.iter().filter(|(_, count)| *count > 0).map(|(name, _)| *name).collect();
            self.checks.faults.push(format!("kept for ever: {}", kept.join(", ")));
        }
        if self.saves.iter().any(|saves| !saves.is_empty()) {
            self.checks.faults.push("saved calls are kept".to_owned());
        }
        let admitted: i64 = self.admissions.iter().map(|share| *share.0.lock().unwrap()).sum();
        if admitted != 0 {
            self.checks.faults.push(format!("{admitted} calls are still admitted"));
        }
        for call in 0..self.script.len() {
            self.judge(call);
        }
    }

    fn judge(&mut self, call: usize) {
        let legs = || self.platforms.iter().flat_map(|platform| &platform.legs).filter(move |leg| leg.call == call);
        let mut faults = Vec::new();
        for leg in legs() {
            if leg.state != State::Ended {
                faults.push(format!("call {call}: side {} is still {:?}", leg.side, leg.state));
            }
        }
        let caller = legs().find(|leg| leg.side == 0);
        let callees: Vec<_> = legs().filter(|leg| leg.side == 1).collect();
        let gone = legs().any(|leg| leg.vanished || leg.forgotten);
        let slow = gone || self.stormy();
        let bound = if slow { 2_600 * SECOND } else { 75 * SECOND };
        if let Some(caller) = caller {
            if caller.confirmed_at.is_some() && callees.is_empty() {
                faults.push(format!("call {call}: answered by nobody"));
            }
            for callee in &callees {
                // Of several that answered one won: the one that lasted.
                let last = callees.iter().max_by_key(|other| other.ended_at);
                let loser = last.is_some_and(|last| last.local_tag != callee.local_tag);
                let from = callee.confirmed_at.unwrap_or(0).max(caller.ended_at.unwrap_or(0));
                let (one, other) = (caller.ended_at.unwrap_or(0), callee.ended_at.unwrap_or(u64::MAX));
                let apart = if caller.confirmed_at.is_some() && !loser {
                    one.abs_diff(other)
                } else {
                    other.saturating_sub(if loser { callee.confirmed_at.unwrap_or(0) } else { from })
                };
                if apart > bound {
                    faults.push(format!(
                        "call {call}: one leg for {} s (caller: {}, callee: {})",
                        apart / SECOND,
                        caller.ended,
                        callee.ended
                    ));
                }
                self.agreement(caller, callee, gone || loser, &mut faults);
            }
        }
        self.checks.faults.append(&mut faults);
        let everyone = self.platforms.iter().flat_map(|platform| &platform.legs);
        let calm = !self.stormy() && !everyone.clone().any(|leg| leg.vanished || leg.forgotten);
        const TROUBLE: [&str; 3] = ["no ACK for the answer", "did not refresh", "no longer knows"];
        if calm
            && let Some(reason) = self.checks.reasons.iter().find(|why| TROUBLE.iter().any(|word| why.contains(word)))
        {
            self.checks.faults.push(format!("ended in fine weather: {reason}"));
        }
    }

    /// What one side last said is what the other last heard.
    fn agreement(&self, caller: &super::leg::Leg, callee: &super::leg::Leg, gone: bool, faults: &mut Vec<String>) {
        let quiet = 60 * SECOND;
        let end = caller.ended_at.unwrap_or(0).min(callee.ended_at.unwrap_or(0));
        let settled = |leg: &super::leg::Leg| leg.changed_at.saturating_add(quiet) < end;
        if gone || caller.stubborn || callee.stubborn || self.stormy() || !settled(caller) || !settled(callee) {
            return;
        }
        for (one, other, name) in [(caller, callee, "caller"), (callee, caller, "callee")] {
            let (Some(said), Some(heard)) = (one.sent, other.received) else { continue };
            if said.port != heard.port {
                faults.push(format!(
                    "call {}: the {name} receives media on port {}, the other side sends to {}",
                    one.call, said.port, heard.port
                ));
            }
        }
    }

    fn ladder(&self) -> String {
        let mut text = String::new();
        for (at, way, octets) in &self.ladder {
            let seconds = *at as f64 / SECOND as f64;
            let Ok(message) = Message::parse(octets.clone()) else {
                let _ = writeln!(text, "{seconds:11.3} {way}");
                continue;
            };
            let line = String::from_utf8_lossy(message.start_line()).trim_end().to_owned();
            let sdp = String::from_utf8_lossy(&message.body()).into_owned();
            let mut said = String::new();
            for part in sdp.lines() {
                match part.split_at_checked(2) {
                    Some(("o=", rest)) => {
                        let _ = write!(said, " o={}", rest.split(' ').nth(2).unwrap_or(""));
                    }
                    Some(("m=", rest)) => {
                        let _ = write!(said, " port={}", rest.split(' ').nth(1).unwrap_or(""));
                    }
                    Some(("a=", rest)) if rest.ends_with("only") || rest == "inactive" || rest == "sendrecv" => {
                        let _ = write!(said, " {rest}");
                    }
                    _ => {}
                }
            }
            let short = |text: &str| text.chars().rev().take(8).collect::<String>().chars().rev().collect::<String>();
            let call = message.call_id().split('@').next().map(short).unwrap_or_default();
            let tags = format!(
                "{}>{}",
                short(tandem::sip::tag(message.header(Name::From).unwrap_or("")).unwrap_or("")),
                short(tandem::sip::tag(message.header(Name::To).unwrap_or("")).unwrap_or(""))
            );
            let cseq = message.cseq();
            if let Some(timer) = message.header(Name::SessionExpires) {
                let _ = write!(said, " timer={timer}");
            }
            let _ = writeln!(
                text,
                "{seconds:11.3} {way} {call:>8} {} {} | {line} [{tags}]{said}",
                cseq.number, cseq.method
            );
        }
        text
    }
}
