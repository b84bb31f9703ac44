//! The core, driven by a sequence of operations: both platforms say what they like, in any order, and time passes.
//!
//! Operations are drawn from octets through `arbitrary`; messages are good ones with choices in them, repeated and damaged
//! ones, and octets as they come. Peers are known and their flows are trusted: this is what trunks can do to us.

mod peers;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use peers::{GENESYS, Peers, TEAMS};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tandem::call::{Admission, Admit, Entries};
use tandem::directory::{Directory, Entry};
use tandem::edge::{Edge, EdgeStart, Gauges};
use tandem::flow::{FlowId, ListenerId, Now, Peer, Transport, TrunkId};
use tandem::io::{Answer, Destination, Input, Output, Question, QuestionId, Token};
use tandem::number::Number;
use tandem::pii::Pii;
use tandem::sip::{Essentials, Message, Name, Via, sdp_part};
use tandem::snapshot::{EdgeSettings, NumberMatch, Route, Snapshot};
use tandem::trunk::diagnosis::Symptom;
use tandem::trunk::platforms::{Cloud, Generation, Platform, defaults};
use tandem::trunk::{Termination, Trunk};
use uuid::Uuid;

/// Most operations of one drive: more show nothing new and take long.
const MOST_OPERATIONS: usize = 80;

/// Most timers that may be due one after the other until all is quiet.
const MOST_STEPS: usize = 20_000;

/// Drives a core as `data` chooses, and lets it come to rest.
///
/// # Panics
///
/// When the core does, sends what nobody can read, or keeps something for ever.
pub fn drive(data: &[u8]) {
    let mut choices = Unstructured::new(data);
    let mut world = World::new(choices.arbitrary().unwrap_or_default());
    for _ in 0..MOST_OPERATIONS {
        if choices.is_empty() || world.operate(&mut choices).is_err() {
            break;
        }
    }
    world.rest();
}

/// Calls without limit, counted.
#[derive(Default)]
struct Counted(AtomicI64, Mutex<Entries>);

impl Admission for Counted {
    fn admit(&self, _: TrunkId, _: Now, _: Option<u32>, _: Option<u32>) -> Admit {
        self.0.fetch_add(1, Ordering::Relaxed);
        Admit::Yes
    }

    fn release(&self, _: TrunkId) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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

struct World {
    edge: Edge,
    now: Now,
    trunks: Vec<Arc<Trunk>>,
    evidence: [Arc<Peer>; 2],
    /// How often the flow of each side was lost.
    lost: [u64; 2],
    peers: Peers,
    admission: Arc<Counted>,
    tokens: Vec<Token>,
    questions: Vec<(QuestionId, Option<Bytes>)>,
    saved: HashMap<Uuid, (u32, Bytes)>,
    /// Calls in the order in which they were saved first.
    order: Vec<Uuid>,
    tags: Vec<bytestring::ByteString>,
}

impl World {
    fn new(options: u8) -> Self {
        let option = |bit: u8| options & 1 << bit != 0;
        let trunks = trunks(option(3));
        let number = Number::normalise("+496955501007", "49").expect("a number");
        let (directory, _) = Directory::new([Entry { number, user: Pii::new("alice".to_owned()), active: true }]);
        let route = |from, to| Route {
            from: Some(TrunkId(from)),
            number: NumberMatch::Any,
            to: vec![TrunkId(to)],
            ..Route::default()
        };
        let snapshot = Arc::new(Snapshot {
            revision: 1,
            edge: EdgeSettings {
                product: "Tandem".into(),
                max_call: Duration::from_secs(3600),
                probe_interval: Duration::from_secs(900),
                ask_timeout: Duration::from_secs(2),
                country_code: "49".into(),
                emergency: Arc::default(),
                max_calls: 100,
                t1: Duration::from_millis(500),
                observe: option(2),
                max_transactions: if option(4) { 3 } else { tandem::transaction::MAX_TRANSACTIONS },
                ask_media: option(0),
                ask_load: option(1),
            },
            trunks: trunks.clone(),
            rules: Arc::default(),
            routes: vec![route(0, 1), route(1, 0)],
            directory: Arc::new(directory),
            addresses: Default::default(),
            down: Vec::new(),
            nonce_key: tandem::authentication::NonceKey::new([7; 32]),
            slots: Arc::new([0; 256]),
        });
        let now = Now { monotonic: Instant::now(), unix_ms: 1_700_000_000_000 };
        let admission = Arc::<Counted>::default();
        let start = EdgeStart {
            node: 1,
            worker: 0,
            epoch: 1,
            seed: [7; 32],
            slots: (0..=255).collect(),
            speaks: false,
            admission: admission.clone(),
        };
        let peer = |side: usize| {
            let address = ["198.51.100.21:5061", "52.112.0.21:5061"][side];
            Arc::new(Peer {
                source: address.parse().expect("an address"),
                listener: Some(ListenerId(0)),
                transport: trunks[side].transport,
                names: Vec::new(),
                trunks: [trunks[side].id].into_iter().collect(),
            })
        };
        Self {
            edge: Edge::new(start, snapshot, now),
            now,
            evidence: [peer(GENESYS), peer(TEAMS)],
            peers: Peers::new(trunks[GENESYS].transport.via_token()),
            trunks,
            lost: [0; 2],
            admission,
            tokens: Vec::new(),
            questions: Vec::new(),
            saved: HashMap::new(),
            order: Vec::new(),
            tags: Vec::new(),
        }
    }

    /// One operation.
    fn operate(&mut self, choices: &mut Unstructured<'_>) -> Result<()> {
        match choices.int_in_range(0..=15_u8)? {
            0 | 1 => {
                let (side, octets) = self.peers.invite(choices)?;
                self.hear(side, octets);
            }
            2..=4 => {
                if let Some((side, octets)) = self.peers.respond(choices)? {
                    self.hear(side, octets);
                }
            }
            5..=7 => {
                if let Some((side, octets)) = self.peers.request_within(choices)? {
                    self.hear(side, octets);
                }
            }
            8 => {
                if let Some((side, octets)) = self.peers.cancel(choices)? {
                    self.hear(side, octets);
                }
            }
            9 => {
                if let Some((side, octets)) = self.peers.again(choices)? {
                    self.hear(side, octets);
                }
            }
            10 => {
                let side = choices.int_in_range(0..=1_usize)?;
                let length = choices.int_in_range(0..=u16::MAX)?;
                let length = usize::from(length).min(choices.len());
                let octets = Bytes::copy_from_slice(choices.bytes(length)?);
                self.hear(side, octets);
            }
            11 | 12 => {
                let millis = *choices.choose(&[1, 200, 500, 5_000, 33_000, 200_000, 1_800_000])?;
                self.pass(Duration::from_millis(millis));
            }
            13 => self.disturb(choices)?,
            14 => self.answer(choices)?,
            _ => self.manage(choices)?,
        }
        Ok(())
    }

    /// What goes wrong on the way.
    fn disturb(&mut self, choices: &mut Unstructured<'_>) -> Result<()> {
        let side = choices.int_in_range(0..=1_usize)?;
        let flow = self.flow(side);
        let token = self.tokens.get(self.tokens.len().wrapping_sub(1 + choices.int_in_range(0..=3_usize)?)).copied();
        match (choices.int_in_range(0..=2_u8)?, token) {
            (0, _) | (_, None) => {
                self.lost[side] += 1;
                self.input(Input::FlowLost { flow, symptom: Symptom::Lost });
            }
            (1, Some(token)) => self.input(Input::Sent { token, flow }),
            (_, Some(token)) => {
                let (reason, symptom) = ("simulated".to_owned(), Symptom::Refused);
                self.input(Input::SendFailed { token, reason, symptom });
            }
        }
        Ok(())
    }

    /// What was asked is answered, rightly or not; or it is answered again.
    fn answer(&mut self, choices: &mut Unstructured<'_>) -> Result<()> {
        let back = choices.int_in_range(0..=2_usize)?;
        let Some((question, sdp)) = self.questions.get(self.questions.len().wrapping_sub(1 + back)).cloned() else {
            return Ok(());
        };
        let known = self.order.last().and_then(|call| Some((*call, self.saved.get(call)?.1.clone())));
        let result = match (choices.int_in_range(0..=4_u8)?, sdp, known) {
            (0 | 1, Some(sdp), _) => Answer::Media(sdp),
            (2, _, Some((call, octets))) => Answer::Call { call, octets },
            (3, ..) => Answer::Failed("simulated".to_owned()),
            (4, ..) => Answer::Media(Bytes::from_static(b"v=0\r\n")),
            _ => Answer::Absent,
        };
        self.input(Input::Answer { question, result });
        Ok(())
    }

    /// What operators, stores and other workers do.
    fn manage(&mut self, choices: &mut Unstructured<'_>) -> Result<()> {
        let known = match self.order.len() {
            0 => None,
            count => Some(self.order[choices.int_in_range(0..=7_usize)? % count]),
        };
        let saved = known.and_then(|call| Some((call, self.saved.get(&call)?.clone())));
        match (choices.int_in_range(0..=15_u8)?, saved) {
            (0..=3, Some((call, _))) => self.input(Input::HangUp { call }),
            (4..=6, Some((call, (revision, _)))) => self.input(Input::Saved { call, revision }),
            (7 | 8, Some((call, (_, octets)))) => self.input(Input::Restored { call, octets }),
            (9, Some((call, (_, octets)))) => {
                let octets = peers::damaged(&octets, choices)?;
                self.input(Input::Restored { call, octets });
            }
            (10..=12, _) if !self.tags.is_empty() => {
                let tag = self.tags[choices.int_in_range(0..=7_usize)? % self.tags.len()].clone();
                self.input(Input::Wanted { tag, by: 1 });
            }
            (15, _) => {
                let now = choices.ratio(1_u8, 4_u8)?;
                self.input(Input::Drain { now });
            }
            _ => {}
        }
        Ok(())
    }

    fn flow(&self, side: usize) -> FlowId {
        FlowId { node: 1, worker: 0, n: 1 + side as u64 + 2 * self.lost[side] }
    }

    /// Octets of a peer arrive.
    fn hear(&mut self, side: usize, octets: Bytes) {
        self.peers.said(side, &octets);
        let (flow, peer) = (self.flow(side), self.evidence[side].clone());
        let input = match Message::parse(octets) {
            Ok(message) => {
                if let Some(tag) = message.header(Name::To).and_then(tandem::sip::tag) {
                    self.tags.push(tag.into());
                }
                Input::Message { message, flow, peer }
            }
            Err(rejected) => Input::Malformed { request: rejected.request, fault: rejected.fault, flow, peer },
        };
        let malformed = matches!(input, Input::Malformed { .. });
        self.edge.handle_input(self.now, input);
        self.drain(malformed);
    }

    fn input(&mut self, input: Input) {
        self.edge.handle_input(self.now, input);
        self.drain(false);
    }

    /// Time passes, and what is due in it happens when it is due.
    fn pass(&mut self, time: Duration) {
        let until = self.now.monotonic + time;
        for _ in 0..MOST_STEPS {
            match self.edge.poll_timeout() {
                Some(due) if due <= until => self.wait(due),
                _ => break,
            }
        }
        self.wait(until);
    }

    fn wait(&mut self, until: Instant) {
        let passed = until.saturating_duration_since(self.now.monotonic);
        self.now.unix_ms += u64::try_from(passed.as_millis()).unwrap_or(0);
        self.now.monotonic += passed;
        self.edge.handle_timeout(self.now);
        self.drain(false);
    }

    /// Nobody says anything any more: in the end nothing is kept.
    fn rest(&mut self) {
        for _ in 0..MOST_STEPS {
            let Some(due) = self.edge.poll_timeout() else { break };
            self.wait(due);
        }
        assert_eq!(self.edge.poll_timeout(), None, "never comes to rest: {:?}", self.edge.gauges());
        assert_eq!(self.edge.gauges(), Gauges::default(), "kept for ever");
        assert_eq!(self.admission.0.load(Ordering::Relaxed), 0, "calls admitted and not released");
        assert!(self.edge.calls().is_empty());
    }

    /// Takes what the core wants; `answer`: it may be the answer to something that was no message.
    fn drain(&mut self, answer: bool) {
        while let Some(output) = self.edge.poll_output() {
            match output {
                Output::Send { token, to, octets } => {
                    self.tokens.push(token);
                    self.judge(&to, octets, answer);
                }
                Output::Ask { question, what, .. } => {
                    let sdp = match what {
                        Question::Media { sdp, .. } => Some(sdp),
                        Question::Load { .. } => None,
                    };
                    self.questions.push((question, sdp));
                }
                Output::Save { call, revision, octets, .. } => {
                    if self.saved.insert(call, (revision, octets)).is_none() {
                        self.order.push(call);
                    }
                }
                Output::Surrender { tags, .. } => self.tags.extend(tags),
                Output::Forget { .. } | Output::Close { .. } | Output::Event(_) => {}
            }
        }
    }

    /// What leaves can be read, and goes where it may go.
    fn judge(&mut self, to: &Destination, octets: Bytes, answer: bool) {
        let shown = || octets.escape_ascii().to_string();
        let message = match Message::parse(octets.clone()) {
            Ok(message) => message,
            Err(rejected) => return assert!(answer, "{} in\n{}", rejected.fault, shown()),
        };
        assert_eq!(message.octets(), octets, "octets behind the message");
        assert_eq!(message.lines().filter(|line| line.name == Name::ContentLength).count(), 1, "{}", shown());
        let side = match to {
            Destination::Flow(flow) => usize::from(flow.n % 2 == 0),
            Destination::Hop(hop) => usize::from(hop.trunk.0),
        };
        if let Destination::Hop(hop) = to {
            let trunk = &self.trunks[side];
            let known = hop.host.parse().map_or_else(|_| trunk.may_dial(&hop.host), |address| trunk.covers(address));
            assert!(known, "dials {}", hop.host);
        }
        if message.is_request() {
            if let Err(unreadable) = Essentials::of(&message) {
                panic!("{unreadable} in\n{}", shown());
            }
            assert_eq!(message.values(Name::Via).count(), 1, "a Via of ours alone in\n{}", shown());
            assert!(
                message.values(Name::Via).all(|via| Via::parse(via).is_ok_and(|via| via.host() == "sbc1.example.com"))
            );
            let content_type = message.header(Name::ContentType).unwrap_or("");
            assert!(
                message.body().is_empty()
                    || sdp_part(content_type, &message.body()).is_some()
                    || !content_type.is_empty()
            );
        }
        self.peers.heard(side, message);
    }
}

fn trunks(udp: bool) -> Vec<Arc<Trunk>> {
    let platform = Platform::Genesys {
        generation: Generation::Classic,
        region: "eu-central-1",
        identifier: "acme-sbc",
        termination: Termination::Fqdn,
    };
    let genesys = defaults(&platform).expect("a region");
    let mut genesys = genesys.into_trunk(TrunkId(0), "genesys", "sbc1.example.com", 5061);
    genesys.sources = vec!["198.51.100.0/24".parse().expect("a range")];
    if udp {
        genesys.transport = Transport::Udp;
    }
    let teams = defaults(&Platform::Teams { cloud: Cloud::Worldwide }).expect("a cloud");
    vec![Arc::new(genesys), Arc::new(teams.into_trunk(TrunkId(1), "teams", "sbc1.example.com", 5061))]
}
