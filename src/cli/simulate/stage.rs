//! One core, fed with captured messages as if they came from a trunk: its clock stands, its seed is fixed, and what it
//! wants sent goes nowhere.

use super::capture::Captured;
use super::decision::{belongs, decision};
use super::diff;
use super::explain::{self, Heard};
use super::told::{Decision, Fault, Guarded, Kind, PeerTold, RuleTold, Ruled, Sent, Told};
use crate::edge::{Edge, EdgeStart};
use crate::event::{Event, EventKind};
use crate::flow::{FlowId, Hop, ListenerId, Now, Peer, TrunkId};
use crate::io::{Answer, Destination, Input, Output, Question};
use crate::settings::Settings;
use crate::sip::{Framer, Malformed, Message, Method, Name, place, tag};
use crate::snapshot::Snapshot;
use crate::transport::{callers, names_fit, unframed};
use crate::trunk::Trunk;
use crate::worker::{Share, Tally};
use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// The same identifiers each time, so that two simulations can be compared.
const SEED: [u8; 32] = *b"tandem simulate: always the same";

/// The node in the identifiers.
const NODE: u16 = 1;

/// The port that a peer is taken to call from.
const PEER_PORT: u16 = 40_000;

/// A core and the trunk that speaks to it.
pub(super) struct Stage {
    edge: Edge,
    settings: Arc<Settings>,
    snapshot: Arc<Snapshot>,
    trunk: Arc<Trunk>,
    base: Instant,
    unix_ms: u64,
    flows: Vec<SocketAddr>,
    told: usize,
}

/// What the core did with one input.
#[derive(Default)]
pub(super) struct Outcome {
    /// What it wants sent.
    pub(super) sent: Vec<Leaving>,
    /// What happened.
    pub(super) events: Vec<Event>,
}

/// A message that the core wants sent.
pub(super) struct Leaving {
    /// Where to.
    pub(super) to: Destination,
    /// Its octets.
    octets: Bytes,
    /// The message; `None`: the answer to what is malformed may lack what that lacks.
    pub(super) message: Option<Message>,
}

impl Leaving {
    fn new(to: Destination, octets: Bytes) -> Self {
        Self { to, message: Message::parse(octets.clone()).ok(), octets }
    }

    /// Status and reason phrase of a response.
    pub(super) fn answer(&self) -> Option<(u16, String)> {
        let line = first_line(&self.octets);
        let (status, phrase) = line.strip_prefix("SIP/2.0 ")?.split_once(' ')?;
        Some((status.parse().ok()?, phrase.to_owned()))
    }

    /// The request that goes over to another leg, and where to.
    pub(super) fn request(&self) -> Option<(&Hop, &Message)> {
        match (&self.to, &self.message) {
            (Destination::Hop(hop), Some(message)) if message.is_request() => Some((hop, message)),
            _ => None,
        }
    }
}

/// The octets of a message, read as the transport would.
enum Read {
    Whole(Box<Message>),
    Malformed(Option<Box<Message>>, Malformed),
    /// A stream has to bring this many octets more.
    Incomplete(usize),
}

impl Stage {
    /// A core with this snapshot, and `trunk` on the other end. `unix_ms` is the moment where a capture says none.
    pub(super) fn new(settings: Arc<Settings>, snapshot: Snapshot, trunk: Arc<Trunk>, unix_ms: u64) -> Self {
        let (snapshot, base) = (Arc::new(idle(snapshot)), Instant::now());
        let start = EdgeStart {
            node: NODE,
            worker: 0,
            epoch: 1,
            seed: SEED,
            slots: (0..=u8::MAX).collect(),
            speaks: false,
            admission: Arc::new(Share::new(Tally::new(base))),
        };
        let edge = Edge::new(start, snapshot.clone(), Now { monotonic: base, unix_ms });
        Self { edge, settings, snapshot, trunk, base, unix_ms, flows: Vec::new(), told: 0 }
    }

    /// Feeds one message and tells what was decided.
    pub(super) fn play(&mut self, captured: &Captured, at_ms: Option<u64>) -> Told {
        self.told += 1;
        let unix_ms = at_ms.or(captured.at_ms).unwrap_or(self.unix_ms);
        let mut told = Told { number: self.told, place: captured.place.clone(), ..Told::default() };
        told.notes.clone_from(&captured.notes);
        told.at = i64::try_from(unix_ms)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
            .map_or_else(String::new, |at| at.to_string());
        told.start = first_line(&captured.octets);
        let (peer, flow) = self.peer(captured.source, &mut told);
        let peer = Arc::new(peer);
        match self.read(&captured.octets) {
            Read::Incomplete(missing) => {
                told.fault = Some(fault(&captured.octets, Malformed::Truncated, "the message is not whole"));
                let text = format!(
                    "nothing is answered: on {} the end of the message is waited for ({missing} octets at least), then the \
                     connection is closed",
                    self.trunk.transport.via_token()
                );
                told.notes
                    .push("correct Content-Length, or remove what lacks: the body is shorter than it says".to_owned());
                told.decision = Decision { kind: Kind::Dropped, status: None, text };
            }
            Read::Malformed(request, malformed) => {
                told.initial = true;
                told.fault = Some(fault(&captured.octets, malformed, &malformed.to_string()));
                let input = Input::Malformed { request, fault: malformed, flow, peer: peer.clone() };
                let outcome = self.feed(input, unix_ms);
                self.conclude(&mut told, None, outcome);
            }
            Read::Whole(message) => {
                let in_dialog = message.header(Name::To).and_then(tag).is_some();
                told.initial =
                    message.is_request() && !in_dialog && !matches!(message.method(), Method::Cancel | Method::Ack);
                let input = Input::Message { message: Message::clone(&message), flow, peer: peer.clone() };
                let outcome = self.feed(input, unix_ms);
                if told.initial {
                    let (snapshot, from) = (&self.snapshot, self.trunk.id);
                    let heard = Heard { snapshot, from, peer: &peer, message: &message, unix_ms };
                    explain::explain(&heard, &outcome, &mut told);
                }
                self.conclude(&mut told, Some(&message), outcome);
                if in_dialog || !message.is_request() {
                    belongs(&message, &mut told);
                }
            }
        }
        told
    }

    /// As the transport of the trunk reads it: a datagram is a message, a stream says where one ends.
    fn read(&self, octets: &Bytes) -> Read {
        let mut message = octets.clone();
        if self.trunk.transport.is_reliable() {
            let mut buffer = BytesMut::from(&octets[..]);
            match Framer::default().next(&mut buffer) {
                Ok(Some(crate::sip::Frame::Message(whole))) => message = whole,
                Ok(Some(crate::sip::Frame::Ping)) => {}
                Ok(None) => return missing(octets),
                Err(error) => {
                    let (request, fault) = unframed(error, octets.clone());
                    return Read::Malformed(request, fault);
                }
            }
        }
        match Message::parse(message) {
            Ok(message) => Read::Whole(Box::new(message)),
            Err(rejected) => Read::Malformed(rejected.request, rejected.fault),
        }
    }

    /// The peer that the trunk is, at the address that was captured where that is one of the trunk's.
    fn peer(&mut self, captured: Option<SocketAddr>, told: &mut Told) -> (Peer, FlowId) {
        let trunk = &self.trunk;
        let own = trunk
            .sources
            .first()
            .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |range| range.hosts().next().unwrap_or(range.addr()));
        let source = match captured {
            Some(captured) if trunk.covers(captured.ip()) => captured,
            Some(captured) => {
                told.notes.push(format!(
                    "it came from {captured}, which is no address of trunk {}: in operation it is not taken from there",
                    trunk.name
                ));
                SocketAddr::new(own, PEER_PORT)
            }
            None => SocketAddr::new(own, PEER_PORT),
        };
        let listeners = self.settings.listeners.iter().filter(|listener| match trunk.listeners.as_slice() {
            [] => listener.transport == trunk.transport,
            own => own.contains(&listener.id),
        });
        let listener = listeners.map(|listener| (listener.id, listener.bind)).next();
        let names: Vec<String> = match trunk.mutual {
            true => trunk.expected_names.iter().map(|name| name.trim_start_matches("*.").to_owned()).collect(),
            false => Vec::new(),
        };
        let trunks = self.trunks(source, listener.map(|(id, _)| id), &names);
        if trunks.is_empty() || !trunks.contains(&trunk.id) {
            told.notes.push(format!("nobody can call as trunk {}: no address or no listener is its own", trunk.name));
        }
        told.peer = PeerTold {
            source: source.to_string(),
            transport: trunk.transport.uri_value(),
            listener: listener.map(|(_, bind)| bind.to_string()),
            names: names.clone(),
        };
        let at = self.flows.iter().position(|flow| *flow == source).unwrap_or_else(|| {
            self.flows.push(source);
            self.flows.len() - 1
        });
        let flow = FlowId { node: NODE, worker: 0, n: u64::try_from(at).unwrap_or(0) + 1 };
        let trunks = if trunks.contains(&trunk.id) { trunks } else { SmallVec::from_iter([trunk.id]) };
        (Peer { source, listener: listener.map(|(id, _)| id), transport: trunk.transport, names, trunks }, flow)
    }

    /// The trunks that the peer may be: those of its address and listener that share the trunk's TLS.
    fn trunks(&self, source: SocketAddr, listener: Option<ListenerId>, names: &[String]) -> SmallVec<[TrunkId; 4]> {
        let Some(listener) = listener else { return SmallVec::new() };
        let policy = |id: TrunkId| self.settings.trunks.get(usize::from(id.0)).and_then(|trunk| trunk.tls.as_ref());
        let own = policy(self.trunk.id);
        let mut trunks = callers(&self.snapshot, source, listener, self.trunk.transport);
        trunks.retain(|id| {
            let fits = self.snapshot.trunk(*id).is_some_and(|trunk| own.is_none() || names_fit(trunk, names));
            fits && policy(*id) == own
        });
        trunks
    }

    /// One input, and everything that comes of it at once.
    fn feed(&mut self, input: Input, unix_ms: u64) -> Outcome {
        let now = Now { monotonic: self.base, unix_ms };
        let mut outcome = Outcome::default();
        self.edge.handle_input(now, input);
        while let Some(output) = self.edge.poll_output() {
            match output {
                Output::Send { to, octets, .. } => outcome.sent.push(Leaving::new(to, octets)),
                Output::Event(event) => outcome.events.push(event),
                Output::Ask { question, what, .. } => {
                    let result = match what {
                        // As without a media relay; and no other worker has any call.
                        Question::Media { sdp, .. } => Answer::Media(sdp),
                        Question::Load { .. } => Answer::Absent,
                    };
                    self.edge.handle_input(now, Input::Answer { question, result });
                }
                Output::Close { .. } | Output::Save { .. } | Output::Forget { .. } | Output::Surrender { .. } => {}
            }
        }
        outcome
    }

    fn rule(&self, place: u16) -> RuleTold {
        RuleTold { rule: usize::from(place) + 1, name: self.snapshot.rules.name(place) }
    }

    /// What was sent, what rules and guard did, and the decision.
    fn conclude(&self, told: &mut Told, message: Option<&Message>, outcome: Outcome) {
        let name = |id: TrunkId| self.snapshot.trunk(id).map(|trunk| trunk.name.to_string()).unwrap_or_default();
        for event in &outcome.events {
            match &event.kind {
                EventKind::RulesApplied { trunk, received, rules, change } => told.rules.push(Ruled {
                    trunk: name(*trunk),
                    direction: if *received { "in" } else { "out" },
                    message: change.as_ref().map(|change| first_line(&change[1])).unwrap_or_default(),
                    rules: rules.iter().map(|place| self.rule(*place)).collect(),
                    changes: change.as_deref().map(changed).unwrap_or_default(),
                }),
                EventKind::Repaired { trunk, change } => told.guard.push(Guarded::Repaired {
                    trunk: name(*trunk),
                    message: change.as_ref().map(|change| first_line(&change[1])).unwrap_or_default(),
                    changes: change.as_deref().map(changed).unwrap_or_default(),
                }),
                EventKind::RulesPassedOver { trunk, text, .. } => {
                    told.notes.push(format!("rules of trunk {} are passed over: {text}", name(*trunk)));
                }
                EventKind::Withheld { trunk, rule, text } => {
                    told.guard.push(Guarded::Withheld { trunk: name(*trunk), rule, text: text.clone() });
                }
                _ => {}
            }
        }
        told.decision = decision(message, &outcome);
        for leaving in outcome.sent {
            let (trunk, to, resolved) = match leaving.to {
                Destination::Flow(_) => (self.trunk.name.to_string(), "flow".to_owned(), None),
                Destination::Hop(hop) => {
                    let to = format!("{}:{}:{}", hop.transport.uri_value(), hop.host, hop.port);
                    (name(hop.trunk), to, Some(!hop.addresses.is_empty()))
                }
            };
            told.sent.push(Sent { trunk, to, resolved, octets: diff::text(&leaving.octets) });
        }
    }
}

/// The same with room on every trunk: what a running element has of calls is not known here. A limit of none stays.
/// Nor is what its nonces were made with: no proof that was captured could be right again, so none is asked for.
fn idle(mut snapshot: Snapshot) -> Snapshot {
    for trunk in &mut snapshot.trunks {
        let none = |limit: Option<u32>| limit.filter(|limit| *limit == 0);
        let limits = (none(trunk.max_calls), none(trunk.max_call_rate));
        let mut settled = Trunk::clone(trunk);
        (settled.max_calls, settled.max_call_rate) = limits;
        settled.authentication = None;
        *trunk = Arc::new(settled);
    }
    snapshot.slots = Arc::new([0; 256]);
    snapshot
}

/// How many octets a stream would still have to bring.
fn missing(octets: &Bytes) -> Read {
    match Message::parse(octets.clone()) {
        Err(rejected) if rejected.fault != Malformed::Truncated => Read::Malformed(rejected.request, rejected.fault),
        _ => {
            let head = memchr::memmem::find(octets, b"\r\n\r\n").map_or(octets.len(), |end| end + 4);
            let lines = octets[..head].split(|octet| *octet == b'\n');
            let mut length = lines.filter_map(|line| {
                let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
                (Name::of(name.trim()) == Name::ContentLength).then(|| value.trim().parse::<usize>().ok()).flatten()
            });
            Read::Incomplete(length.next().unwrap_or(0).saturating_sub(octets.len() - head).max(1))
        }
    }
}

fn fault(octets: &[u8], fault: Malformed, text: &str) -> Fault {
    let octet = place(octets, fault);
    let before = octets.get(..octet).unwrap_or(octets);
    Fault {
        text: text.to_owned(),
        octet,
        line: memchr::memchr_iter(b'\n', before).count() + 1,
        content: first_line(octets.get(octet..).unwrap_or_default()),
    }
}

fn first_line(octets: &[u8]) -> String {
    let line = octets.split(|octet| *octet == b'\n').next().unwrap_or_default();
    diff::text(line.trim_ascii_end())
}

fn changed([before, after]: &[Bytes; 2]) -> Vec<super::told::Change> {
    match (Message::parse(before.clone()), Message::parse(after.clone())) {
        (Ok(before), Ok(after)) => diff::differences(&before, &after),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::process::snapshot_of;
    use std::path::Path;

    const INVITE: &str = include_str!("../../../tests/simulate/invite.sip");

    fn settings() -> Arc<Settings> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/tandem.toml");
        Arc::new(config::load_without_certificates(&path).unwrap().settings)
    }

    fn snapshot(settings: &Arc<Settings>) -> Snapshot {
        let read = config::directory_file::of_settings(settings).unwrap();
        snapshot_of(settings.clone(), Arc::new(read.directory), Default::default(), Vec::new())
    }

    proptest::proptest! {
        /// What is told is what an element sends: nothing of the simulation is its own.
        #[test]
        fn the_invite_is_the_one_that_a_core_with_the_same_seed_sends(
            hops in 1_u32..255, called in 0_usize..4, tag in "[a-z0-9]{1,12}", extra in "[A-Za-z0-9 ]{0,30}",
        ) {
            let called = ["+496955501007", "06955501008", "+4969555019", "+14255550123"][called];
            let text = INVITE
                .replace("+496955501007", called)
                .replace("Max-Forwards: 68", &format!("Max-Forwards: {hops}\r\nSubject: {extra}"))
                .replace("tag=gc-1", &format!("tag={tag}"));
            let octets = Bytes::from(text);
            let settings = settings();
            let snapshot = idle(snapshot(&settings));
            let trunk = snapshot.trunk_named("genesys").unwrap().clone();
            let mut stage = Stage::new(settings.clone(), snapshot.clone(), trunk.clone(), 1);
            let told = stage.play(&Captured { octets: octets.clone(), ..Captured::default() }, None);

            let base = Instant::now();
            let now = Now { monotonic: base, unix_ms: 1 };
            let start = EdgeStart {
                node: NODE, worker: 0, epoch: 1, seed: SEED, slots: (0..=u8::MAX).collect(), speaks: false,
                admission: Arc::new(Share::new(Tally::new(base))),
            };
            // An element observes nothing unless somebody asks.
            let mut quiet = snapshot;
            quiet.edge.observe = false;
            let mut edge = Edge::new(start, Arc::new(quiet), now);
            let peer = Arc::new(Peer {
                source: "192.0.2.1:40000".parse().unwrap(),
                listener: Some(ListenerId(0)),
                transport: trunk.transport,
                names: Vec::new(),
                trunks: SmallVec::from_iter([trunk.id]),
            });
            let message = Message::parse(octets).unwrap();
            edge.handle_input(now, Input::Message { message, flow: FlowId { node: NODE, worker: 0, n: 1 }, peer });
            let mut sent = Vec::new();
            while let Some(output) = edge.poll_output() {
                if let Output::Send { octets, .. } = output {
                    sent.push(diff::text(&octets));
                }
            }
            let told: Vec<String> = told.sent.into_iter().map(|sent| sent.octets).collect();
            proptest::prop_assert!(!sent.is_empty());
            proptest::prop_assert_eq!(told, sent);
        }

        #[test]
        fn no_octets_make_it_panic(octets: Vec<u8>, cut in 0_usize..1200, line in "[ -~]{0,60}") {
            let settings = settings();
            let snapshot = snapshot(&settings);
            for name in ["teams", "genesys"] {
                let trunk = snapshot.trunk_named(name).unwrap().clone();
                let mut stage = Stage::new(settings.clone(), snapshot.clone(), trunk, 1);
                let cut = cut.min(INVITE.len());
                let spoilt = [&INVITE.as_bytes()[..cut], line.as_bytes(), &octets, &INVITE.as_bytes()[cut..]].concat();
                for octets in [octets.clone(), spoilt] {
                    stage.play(&Captured { octets: octets.into(), ..Captured::default() }, None);
                }
            }
        }
    }
}
