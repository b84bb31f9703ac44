//! The core between its platforms on a virtual clock, and what must hold whatever a ladder says.

use super::party::{PLATFORMS, Party};
use bytes::Bytes;
use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tandem::call::{Admission, Admit, Entries};
use tandem::directory::{Directory, Entry};
use tandem::edge::{Edge, EdgeStart, Gauges};
use tandem::event::{CallRecord, EventKind};
use tandem::flow::{FlowId, ListenerId, Now, Peer, TrunkId};
use tandem::io::{Answer, Destination, Input, Output, Question, QuestionId};
use tandem::number::{Number, Pattern};
use tandem::pii::Pii;
use tandem::sip::sdp::Sdp;
use tandem::sip::{Message, Method, Name, tag, top_via};
use tandem::snapshot::{EdgeSettings, NumberMatch, Route, Snapshot};
use tandem::trunk::diagnosis::Symptom;
use tandem::trunk::platforms::{Cloud, Generation, Platform, defaults};
use tandem::trunk::{EarlyMedia, Host, Termination, Trunk};

/// A message that the core sent, before a ladder line has spoken of it.
pub(crate) struct Arrived {
    pub message: Message,
    /// `flow N` or `host:port`.
    pub at: String,
}

/// A question of the core.
pub(crate) struct Asked {
    pub id: QuestionId,
    pub offer: bool,
    pub leg: u8,
    pub sdp: Bytes,
}

/// Counts calls, so that a ladder can see that each is released once.
#[derive(Default)]
pub(crate) struct Counted(Mutex<HashMap<TrunkId, i64>>, Mutex<Entries>);

impl Admission for Counted {
    fn admit(&self, trunk: TrunkId, _: Now, max_calls: Option<u32>, max_rate: Option<u32>) -> Admit {
        let mut trunks = self.0.lock().expect("one thread");
        let calls = trunks.entry(trunk).or_default();
        if max_rate == Some(0) {
            return Admit::TooFast;
        }
        if max_calls.is_some_and(|max| *calls >= i64::from(max)) {
            return Admit::TooMany;
        }
        *calls += 1;
        Admit::Yes
    }

    fn release(&self, trunk: TrunkId) {
        *self.0.lock().expect("one thread").entry(trunk).or_default() -= 1;
    }

    fn enter(&self, entry: u64) {
        self.1.lock().expect("one thread").enter(entry);
    }

    fn exit(&self, entry: u64) {
        assert!(self.1.lock().expect("one thread").exit(entry), "no call has entered so");
    }

    fn entered(&self, entry: u64) -> u32 {
        self.1.lock().expect("one thread").count(entry)
    }
}

pub(crate) struct World {
    edge: Edge,
    pub snapshot: Snapshot,
    now: Now,
    start: Instant,
    pub parties: Vec<Party>,
    pub pending: Vec<VecDeque<Arrived>>,
    pub questions: VecDeque<Asked>,
    /// Calls that were asked for.
    pub loads: VecDeque<QuestionId>,
    /// Hosts (or all hosts of a trunk, by its name) that nothing can be sent to.
    pub unreachable: Vec<String>,
    /// Why.
    pub symptom: Symptom,
    pub events: Vec<String>,
    pub records: VecDeque<CallRecord>,
    started: usize,
    admission: Arc<Counted>,
    saved: Option<(uuid::Uuid, u32, Bytes)>,
    /// Whether saves are kept only when a line says so.
    pub slow_store: bool,
    pub epoch: u32,
    /// The flow each party last sent on.
    pub flows: Vec<u64>,
    pub story: String,
    watch: HashMap<String, Watched>,
    pub faults: Vec<String>,
}

/// What was seen of one dialog on one leg.
#[derive(Default)]
struct Watched {
    session: Option<(String, u64, String)>,
    /// By the other's tag: the last number, and the branch that used it.
    cseqs: HashMap<String, (u32, String)>,
    to_tag: Option<String>,
    finals: HashMap<u32, u16>,
}

impl World {
    pub(crate) fn new() -> Self {
        let snapshot = snapshot();
        let start = Instant::now();
        let now = Now { monotonic: start, unix_ms: 1_700_000_000_000 };
        let admission = Arc::new(Counted::default());
        let edge = edge(&snapshot, &admission, 1, false, now);
        Self {
            edge,
            snapshot,
            now,
            start,
            parties: PLATFORMS.iter().map(Party::new).collect(),
            pending: PLATFORMS.iter().map(|_| VecDeque::new()).collect(),
            questions: VecDeque::new(),
            loads: VecDeque::new(),
            unreachable: Vec::new(),
            symptom: Symptom::Refused,
            events: Vec::new(),
            records: VecDeque::new(),
            started: 0,
            admission,
            saved: None,
            slow_store: false,
            epoch: 1,
            flows: (0..).take(PLATFORMS.len()).collect(),
            story: String::new(),
            watch: HashMap::new(),
            faults: Vec::new(),
        }
    }

    /// The settings changed before the first message: begin again with them.
    pub(crate) fn configure(&mut self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.snapshot);
        self.snapshot.revision += 1;
        self.input(Input::Snapshot(Arc::new(self.snapshot.clone())));
    }

    /// A customer of ours has a tenant: a second trunk of the hub, below the name of the first (TDR-156).
    pub(crate) fn tenants(&mut self) {
        self.configure(|snapshot| {
            let mut trunk = (*snapshot.trunks[1]).clone();
            (trunk.id, trunk.name, trunk.fqdn) = (TrunkId(3), "customer".into(), "c1.sbc1.example.com".into());
            snapshot.trunks.push(Arc::new(trunk));
            let pattern = Pattern::parse("+4989555*").expect("a pattern");
            let number = NumberMatch::Pattern(pattern);
            snapshot.routes.push(Route { from: None, number, to: vec![TrunkId(3)], ..Route::default() });
        });
    }

    /// The worker that speaks, from now on.
    pub(crate) fn speak(&mut self) {
        self.edge = edge(&self.snapshot, &self.admission, self.epoch, true, self.now);
        self.advance(Duration::ZERO);
    }

    /// A new life of the worker, with what the last one saved.
    pub(crate) fn restore(&mut self) {
        self.forget();
        if let Some((call, _, octets)) = self.saved.clone() {
            self.input(Input::Restored { call, octets });
        }
    }

    /// A new life of the worker, without any call.
    pub(crate) fn forget(&mut self) {
        self.epoch += 1;
        // What the worker held is given back with it.
        self.admission = Arc::default();
        for watched in self.watch.values_mut() {
            watched.finals.clear();
        }
        self.edge = edge(&self.snapshot, &self.admission, self.epoch, false, self.now);
        self.loads.clear();
    }

    /// The call, as it was saved last, is given to the core.
    pub(crate) fn take_up(&mut self) -> Option<()> {
        let (call, _, octets) = self.saved.clone()?;
        self.input(Input::Restored { call, octets });
        Some(())
    }

    /// The answer to the oldest question for a call.
    pub(crate) fn load(&mut self, answer: &str) -> Option<()> {
        let question = self.loads.pop_front()?;
        let result = match answer {
            "call" => self.saved.clone().map(|(call, _, octets)| Answer::Call { call, octets })?,
            "absent" => Answer::Absent,
            _ => Answer::Failed("the store is down".to_owned()),
        };
        self.input(Input::Answer { question, result });
        Some(())
    }

    /// Another worker asks for the call of the first dialog.
    pub(crate) fn want(&mut self, by: u16) -> Option<()> {
        let octets = &self.saved.as_ref()?.2;
        let saved: serde_json::Value = serde_json::from_slice(octets).ok()?;
        let tag = saved["legs"][0]["dialog"]["local_tag"].as_str()?;
        self.input(Input::Wanted { tag: tag.into(), by });
        Some(())
    }

    /// The store says that it keeps the last save.
    pub(crate) fn keep(&mut self) -> Option<()> {
        let (call, revision, _) = self.saved.clone()?;
        self.input(Input::Saved { call, revision });
        Some(())
    }

    pub(crate) fn gauges(&self) -> Gauges {
        self.edge.gauges()
    }

    pub(crate) fn calls(&self) -> Vec<uuid::Uuid> {
        self.edge.calls().iter().map(|call| call.id).collect()
    }

    /// What every ladder ends with: nothing is left, and every call has its record.
    pub(crate) fn last_checks(&mut self, kept: bool) {
        let gauges = self.gauges();
        if !kept && gauges != Gauges::default() {
            self.faults.push(format!("after the last line something is left: {gauges:?}"));
        }
        let ended = self.events.iter().filter(|event| event.starts_with("CallEnded")).count();
        if !kept && ended != self.started {
            self.faults.push(format!("{} calls began, {ended} have a record", self.started));
        }
        let calls: i64 = self.admission.0.lock().expect("one thread").values().map(|calls| calls.abs()).sum();
        if !kept && calls != 0 {
            self.faults.push(format!("{calls} calls are still counted by admission"));
        }
        if !kept && self.admission.1.lock().expect("one thread").drain().next().is_some() {
            self.faults.push("a conversation is still counted".to_owned());
        }
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.edge.handle_input(self.now, input);
        self.drain();
        self.advance(Duration::ZERO);
    }

    /// Lets time pass; what falls due happens in order.
    pub(crate) fn advance(&mut self, span: Duration) {
        let until = self.now.monotonic + span;
        for round in 0.. {
            assert!(round < 200_000, "the clock does not move on");
            match self.edge.poll_timeout() {
                Some(due) if due <= until => self.move_to(due.max(self.now.monotonic)),
                _ => break,
            }
            self.edge.handle_timeout(self.now);
            self.drain();
        }
        self.move_to(until);
    }

    fn move_to(&mut self, moment: Instant) {
        let span = moment.saturating_duration_since(self.now.monotonic);
        self.now = Now { monotonic: self.now.monotonic + span, unix_ms: self.now.unix_ms + span.as_millis() as u64 };
    }

    /// A message of a platform. `flow` and `source` differ from the usual where a line says so.
    pub(crate) fn deliver(&mut self, at: usize, octets: Bytes, flow: u64, source: Option<SocketAddr>, parse: bool) {
        let party = &mut self.parties[at];
        let platform = party.platform;
        let source = source.unwrap_or_else(|| party.source());
        self.flows[at] = flow;
        let peer = Arc::new(Peer {
            source,
            listener: Some(ListenerId(0)),
            transport: platform.transport,
            names: Vec::new(),
            trunks: if self.snapshot.trunks.len() > 3 && [1, 3].contains(&platform.trunk.0) {
                [TrunkId(1), TrunkId(3)].into_iter().collect()
            } else {
                [platform.trunk].into_iter().collect()
            },
        });
        let flow = FlowId { node: 1, worker: 0, n: flow };
        let first = String::from_utf8_lossy(octets.split(|&octet| octet == b'\r').next().unwrap_or(&[])).into_owned();
        self.tell(&format!("{:>8} -> {first}", platform.name));
        match Message::parse(octets) {
            Ok(message) => {
                if parse {
                    self.parties[at].sent.push(message.clone());
                }
                self.input(Input::Message { message, flow, peer });
            }
            Err(rejected) => {
                self.input(Input::Malformed { request: rejected.request, fault: rejected.fault, flow, peer })
            }
        }
    }

    pub(crate) fn tell(&mut self, text: &str) {
        let at = self.now.monotonic.saturating_duration_since(self.start);
        let _ = writeln!(self.story, "{:>10.3} {text}", at.as_secs_f64());
    }

    fn drain(&mut self) {
        while let Some(output) = self.edge.poll_output() {
            match output {
                Output::Send { token, to, octets } => self.sent(token, &to, octets),
                Output::Ask { question, what: Question::Media { leg, offer, sdp, .. }, .. } => {
                    self.tell("   media <- question");
                    self.questions.push_back(Asked { id: question, offer, leg, sdp });
                }
                Output::Ask { question, what: Question::Load { .. }, .. } => {
                    self.tell("   store <- question");
                    self.loads.push_back(question);
                }
                Output::Save { call, revision, octets, .. } => {
                    self.saved = Some((call, revision, octets));
                    if !self.slow_store {
                        self.edge.handle_input(self.now, Input::Saved { call, revision });
                    }
                }
                Output::Forget { .. } => self.saved = None,
                Output::Surrender { to, .. } => self.events.push(format!("Surrender to {to}")),
                Output::Close { flow } => self.events.push(format!("Close flow {}", flow.n)),
                Output::Event(event) => {
                    match &event.kind {
                        EventKind::CallStarted { .. } => self.started += 1,
                        EventKind::CallEnded(record) | EventKind::CallRefused(record) => {
                            self.records.push_back((**record).clone())
                        }
                        _ => {}
                    }
                    self.events.push(format!("{:?}", event.kind));
                }
            }
        }
    }

    fn sent(&mut self, token: tandem::io::Token, to: &Destination, octets: Bytes) {
        let message = Message::parse(octets.clone()).unwrap_or_else(|_| stub(&octets));
        let (at, place) = match to {
            Destination::Flow(flow) => {
                let at =
                    self.flows.iter().position(|n| *n == flow.n).unwrap_or((flow.n % 10) as usize % PLATFORMS.len());
                (at, format!("flow {}", flow.n))
            }
            Destination::Hop(hop) => (usize::from(hop.trunk.0), format!("{}:{}", hop.host, hop.port)),
        };
        let name = self.parties[at].platform.name;
        let first = String::from_utf8_lossy(message.start_line()).trim_end().to_owned();
        let stream = matches!(to, Destination::Hop(hop) if hop.transport == tandem::flow::Transport::Tcp);
        let unreachable = |host: &String| host == name || place.starts_with(&**host) || (stream && host == "tcp");
        let lost = self.unreachable.iter().any(unreachable);
        self.tell(&format!("{name:>8} <- {first} ({place}){}", if lost { " fails" } else { "" }));
        if lost {
            self.edge.handle_input(
                self.now,
                Input::SendFailed { token, reason: "unreachable".to_owned(), symptom: self.symptom },
            );
            return;
        }
        if let Destination::Hop(hop) = to {
            // A connection of our own to each platform, apart from those they opened.
            let flow = FlowId { node: 1, worker: 0, n: 100 + u64::from(hop.trunk.0) };
            self.edge.handle_input(self.now, Input::Sent { token, flow });
        }
        self.check(at, &message);
        self.parties[at].receive(message.clone());
        self.pending[at].push_back(Arrived { message, at: place });
    }

    /// What must hold of every message that leaves (design §4).
    fn check(&mut self, at: usize, message: &Message) {
        let name = self.parties[at].platform.name;
        let mut fault = |text: String| {
            let first = String::from_utf8_lossy(message.start_line()).trim_end().to_owned();
            self.faults.push(format!("{name} <- {first}: {text}"));
        };
        let watched = self.watch.entry(format!("{name} {}", message.call_id())).or_default();
        if message.is_request() {
            let allowed = match message.method() {
                Method::Invite | Method::Ack | Method::Cancel | Method::Bye | Method::Options | Method::Notify => true,
                // A fork of the hub that demands a PRACK gets it.
                Method::Prack => true,
                _ => name != "teams",
            };
            if !allowed {
                fault("the hub does not take this method (TDR-90)".to_owned());
            }
            let number = message.cseq().number;
            let branch = top_via(message).ok().and_then(|via| via.branch().map(str::to_owned)).unwrap_or_default();
            match message.method() {
                Method::Ack | Method::Cancel => {}
                _ => {
                    // A fork has a sequence of its own, which goes on from the INVITE's.
                    let remote = tag(message.header(Name::To).unwrap_or("")).unwrap_or("").to_owned();
                    let from = watched.cseqs.get("").cloned().unwrap_or_default();
                    let (last, said) = watched.cseqs.entry(remote).or_insert(from);
                    match number.cmp(last) {
                        Ordering::Less => fault(format!("CSeq went from {last} to {number}")),
                        Ordering::Equal if branch != *said => fault(format!("CSeq {number} used twice")),
                        _ => (*last, *said) = (number, branch),
                    }
                }
            }
            if message.header(Name::RecordRoute).is_some() || message.header(Name::Replaces).is_some() {
                fault("Record-Route or Replaces left us".to_owned());
            }
        } else if let Some(status) = message.status().filter(|status| *status > 100) {
            let to = tag(message.header(Name::To).unwrap_or("")).map(str::to_owned);
            if to.is_none() {
                fault("no To tag".to_owned());
            }
            // A merged request has no part in the dialog; neither has a CANCEL that comes too late.
            let of_call = match message.cseq().method {
                // A challenge is of no dialog, and the INVITE that answers it has the same Call-ID (§22.2).
                Method::Invite => !matches!(status, 401 | 482),
                Method::Cancel => status == 200,
                _ => false,
            };
            if of_call {
                if watched.to_tag.is_some() && watched.to_tag != to {
                    fault("a second To tag (GEN-44, RFC 3261 §9.2)".to_owned());
                }
                watched.to_tag = to;
            }
            if message.cseq().method == Method::Invite && status >= 200 {
                // A merged request has the identifiers of the one before.
                let first =
                    if status == 482 { status } else { *watched.finals.entry(message.cseq().number).or_insert(status) };
                if first != status {
                    fault(format!("a second final response, after {first}"));
                }
            }
        }
        let Ok(sdp) = Sdp::parse(message.body()) else { return };
        let origin = sdp.origin();
        let version = origin.version.parse::<u64>().unwrap_or(0);
        let body = String::from_utf8_lossy(&message.body()).lines().filter(|line| !line.starts_with("o=")).collect();
        if let Some((id, last, text)) = &watched.session {
            if id != origin.session_id {
                fault(format!("o= id went from {id} to {}", origin.session_id));
            }
            // What is said again after it was refused has a new version, too.
            if version != last + 1 && !(*text == body && version == *last) {
                fault(format!("o= version went from {last} to {version} (RFC 3264 §8)"));
            }
        }
        watched.session = Some((origin.session_id.to_owned(), version, body));
    }

    /// The answer to the oldest question.
    pub(crate) fn answer(&mut self, answer: impl FnOnce(&Asked) -> Answer) {
        let asked = self.questions.pop_front().expect("a question");
        let result = answer(&asked);
        self.tell("   media -> answer");
        self.input(Input::Answer { question: asked.id, result });
    }
}

/// The answer to a malformed request repeats its faults; a ladder sees its status line only.
fn stub(octets: &Bytes) -> Message {
    let first = octets.split(|&octet| octet == b'\r').next().unwrap_or(&[]);
    assert!(first.starts_with(b"SIP/2.0 4") || first.starts_with(b"SIP/2.0 5"), "the core sends messages that parse");
    let rest =
        "\r\nVia: SIP/2.0/TLS a\r\nFrom: <sip:a>;tag=a\r\nTo: <sip:a>;tag=a\r\nCall-ID: a\r\nCSeq: 1 OPTIONS\r\n\r\n";
    Message::parse(Bytes::from([first, rest.as_bytes()].concat())).expect("parses")
}

fn edge(snapshot: &Snapshot, admission: &Arc<Counted>, epoch: u32, speaks: bool, now: Now) -> Edge {
    let start = EdgeStart {
        node: 1,
        worker: 0,
        epoch,
        seed: [7; 32],
        slots: (0..=255).collect(),
        speaks,
        admission: admission.clone(),
    };
    Edge::new(start, Arc::new(snapshot.clone()), now)
}

fn number(text: &str) -> Number {
    Number::normalise(text, "49").expect("a number")
}

fn snapshot() -> Snapshot {
    let trunk = |platform: &Platform<'_>, id: u16, name: &str| -> Trunk {
        let mut trunk =
            defaults(platform).expect("a known platform").into_trunk(TrunkId(id), name, "sbc1.example.com", 5061);
        trunk.options_interval = None;
        trunk
    };
    let genesys = Platform::Genesys {
        generation: Generation::Classic,
        region: "eu-central-1",
        identifier: "acme-sbc",
        termination: Termination::Fqdn,
    };
    let mut genesys = trunk(&genesys, 0, "genesys");
    genesys.sources = vec!["198.51.100.0/24".parse().expect("a range")];
    let teams = trunk(&Platform::Teams { cloud: Cloud::Worldwide }, 1, "teams");
    let mut pbx = trunk(&Platform::Generic, 2, "pbx");
    pbx.transport = tandem::flow::Transport::Udp;
    pbx.hosts = vec![Host { name: "192.0.2.10".into(), port: Some(5060) }];
    pbx.request_host = "pbx.example.com".into();
    pbx.sources = vec!["192.0.2.0/24".parse().expect("a range")];
    pbx.early_media = EarlyMedia::None;
    pbx.session_expires = None;
    let entry =
        |text: &str, user: &str, active| Entry { number: number(text), user: Pii::new(user.to_owned()), active };
    let (directory, _) = Directory::new([
        entry("+496955501007", "alice", true),
        entry("+496955501008", "bob", true),
        entry("+496955501009", "carol", false),
    ]);
    let pattern = |text: &str| NumberMatch::Pattern(Pattern::parse(text).expect("a pattern"));
    Snapshot {
        revision: 1,
        edge: EdgeSettings {
            product: "Tandem".into(),
            max_call: Duration::from_secs(43_200),
            probe_interval: Duration::from_secs(900),
            ask_timeout: Duration::from_secs(2),
            country_code: "49".into(),
            emergency: Arc::new(["112".into(), "911".into()]),
            max_calls: 100,
            t1: Duration::from_millis(500),
            observe: false,
            max_transactions: 1000,
            ask_media: false,
            ask_load: false,
        },
        trunks: vec![Arc::new(genesys), Arc::new(teams), Arc::new(pbx)],
        rules: Arc::default(),
        routes: vec![
            Route { from: None, number: pattern("+14255550*"), to: vec![TrunkId(2)], ..Route::default() },
            Route { from: None, number: pattern("+496955502*"), to: vec![TrunkId(0)], ..Route::default() },
            Route { from: None, number: pattern("+496955503*"), to: vec![TrunkId(0), TrunkId(2)], ..Route::default() },
            Route { from: None, number: NumberMatch::Directory, to: vec![TrunkId(1)], ..Route::default() },
        ],
        directory: Arc::new(directory),
        addresses: Default::default(),
        down: Vec::new(),
        nonce_key: tandem::authentication::NonceKey::new([7; 32]),
        slots: Arc::new([0; 256]),
    }
}
