//! One whole call through the core, without sockets: INVITE, 100, 180, 200, ACK, BYE, 200 on both legs.
//!
//! Of the caller's side come what Genesys sends, of the called side what Teams answers.

use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tandem::call::{Admission, Admit};
use tandem::directory::{Directory, Entry};
use tandem::edge::{Edge, EdgeStart};
use tandem::flow::{FlowId, ListenerId, Now, Peer, Transport, TrunkId};
use tandem::io::{Input, Output};
use tandem::number::Number;
use tandem::pii::Pii;
use tandem::sip::{Draft, Message, Method, Name};
use tandem::snapshot::{EdgeSettings, NumberMatch, Route, Snapshot};
use tandem::trunk::Termination;
use tandem::trunk::platforms::{Cloud, Generation, Platform, defaults};

/// A call without limit.
struct Unlimited;

impl Admission for Unlimited {
    fn admit(&self, _: TrunkId, _: Now, _: Option<u32>, _: Option<u32>) -> Admit {
        Admit::Yes
    }

    fn release(&self, _: TrunkId) {}

    fn enter(&self, _: u64) {}

    fn exit(&self, _: u64) {}

    fn entered(&self, _: u64) -> u32 {
        0
    }
}

const SDP: &str = "v=0\r\no=gc 1000 1 IN IP4 198.51.100.131\r\ns=-\r\nc=IN IP4 198.51.100.131\r\nt=0 0\r\n\
    m=audio 52344 RTP/SAVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n\
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk\r\na=sendrecv\r\n";

const FROM: &str = "\"Erika\" <sip:+491705550144@198.51.100.21>;tag=gc-3e55";

/// A core with both trunks, and the platforms on either side of it.
pub struct World {
    /// The core.
    pub edge: Edge,
    /// Called with each piece of work of the core, which it has to do: what is measured is measured there.
    around: fn(&mut dyn FnMut()),
    now: Now,
    genesys: Arc<Peer>,
    teams: Arc<Peer>,
    calls: u64,
}

impl World {
    /// A core without calls.
    pub fn new(around: fn(&mut dyn FnMut())) -> Self {
        let genesys = defaults(&Platform::Genesys {
            generation: Generation::Classic,
            region: "eu-central-1",
            identifier: "acme-sbc",
            termination: Termination::Fqdn,
        });
        let mut genesys = genesys.expect("known region").into_trunk(TrunkId(0), "genesys", "sbc1.example.com", 5061);
        genesys.sources = vec!["198.51.100.0/24".parse().expect("range")];
        let teams = defaults(&Platform::Teams { cloud: Cloud::Worldwide }).expect("known cloud");
        let teams = teams.into_trunk(TrunkId(1), "teams", "sbc1.example.com", 5061);
        let number = Number::normalise("+496955501007", "49").expect("number");
        let (directory, _) = Directory::new([Entry { number, user: Pii::new("alice".to_owned()), active: true }]);
        let snapshot = Arc::new(Snapshot {
            revision: 1,
            edge: EdgeSettings {
                product: "Tandem".into(),
                max_call: Duration::from_secs(43_200),
                probe_interval: Duration::from_secs(900),
                ask_timeout: Duration::from_secs(2),
                country_code: "49".into(),
                emergency: Arc::default(),
                max_calls: 100_000,
                t1: Duration::from_millis(500),
                observe: false,
                max_transactions: tandem::transaction::MAX_TRANSACTIONS,
                ask_media: false,
                ask_load: false,
            },
            trunks: vec![Arc::new(genesys), Arc::new(teams)],
            rules: Arc::default(),
            routes: vec![Route {
                from: Some(TrunkId(0)),
                number: NumberMatch::Directory,
                to: vec![TrunkId(1)],
                ..Route::default()
            }],
            directory: Arc::new(directory),
            addresses: Default::default(),
            down: Vec::new(),
            nonce_key: tandem::authentication::NonceKey::new([7; 32]),
            slots: Arc::new([0; 256]),
        });
        let now = Now { monotonic: Instant::now(), unix_ms: 1_700_000_000_000 };
        let start = EdgeStart {
            node: 1,
            worker: 0,
            epoch: 1,
            seed: [7; 32],
            slots: (0..=255).collect(),
            speaks: false,
            admission: Arc::new(Unlimited),
        };
        let peer = |id| {
            Arc::new(Peer {
                source: "198.51.100.21:5061".parse().expect("address"),
                listener: Some(ListenerId(0)),
                transport: Transport::Tls,
                names: Vec::new(),
                trunks: [TrunkId(id)].into_iter().collect(),
            })
        };
        Self { edge: Edge::new(start, snapshot, now), around, now, genesys: peer(0), teams: peer(1), calls: 0 }
    }

    /// One message in; the messages out.
    fn exchange(&mut self, octets: Bytes, from_teams: bool) -> Vec<Bytes> {
        let peer = if from_teams { self.teams.clone() } else { self.genesys.clone() };
        let flow = FlowId { node: 1, worker: 0, n: u64::from(from_teams) };
        let mut sent = Vec::with_capacity(4);
        let (edge, now, mut arrived) = (&mut self.edge, self.now, Some((octets, peer)));
        (self.around)(&mut || {
            let Some((octets, peer)) = arrived.take() else { return };
            let message = Message::parse(octets).expect("parses");
            edge.handle_input(now, Input::Message { message, flow, peer });
            while let Some(output) = edge.poll_output() {
                if let Output::Send { octets, .. } = output {
                    sent.push(octets);
                }
            }
        });
        sent
    }

    /// A request of Genesys' side.
    fn request(&self, method: &Method, cseq: u32, to: &str) -> Draft {
        let mut draft = Draft::request(method, "sip:+496955501007@sbc1.example.com:5061;transport=tls");
        draft.put(Name::Via, &format!("SIP/2.0/TLS 198.51.100.21:5061;branch=z9hG4bK{}{method}", self.calls));
        draft.put(Name::RecordRoute, "<sip:198.51.100.21:5061;transport=tls;lr;gcv=2>");
        draft.put(Name::MaxForwards, "68").put(Name::From, FROM).put(Name::To, to);
        draft.put(Name::CallId, &format!("{}-gc@198.51.100.34", self.calls));
        draft.put(Name::CSeq, &format!("{cseq} {method}"));
        draft.put(Name::Contact, "<sip:+491705550144@198.51.100.34:5061;transport=tls;gc-node=c9d0;ob>");
        draft.put(Name::Allow, "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY");
        draft
    }

    /// A call from INVITE to the last 200.
    pub fn call(&mut self) {
        self.calls += 1;
        // Ended transactions leave after 64·T1; time passes so that tables stay as under a steady load.
        self.now.monotonic += Duration::from_millis(10);
        let (edge, now) = (&mut self.edge, self.now);
        (self.around)(&mut || edge.handle_timeout(now));
        let mut invite = self.request(&Method::Invite, 1, "<sip:+496955501007@sbc1.example.com>");
        invite.body("application/sdp", Bytes::from_static(SDP.as_bytes()));
        let sent = self.exchange(invite.finish(), false);
        let invite = find(&sent, b"INVITE ");
        self.exchange(answer(&invite, 180, false), true);
        let sent = self.exchange(answer(&invite, 200, true), true);
        let ok = find(&sent, b"SIP/2.0 200");
        let to = ok.header(Name::To).expect("To").to_owned();
        self.exchange(self.request(&Method::Ack, 1, &to).finish(), false);
        let sent = self.exchange(self.request(&Method::Bye, 2, &to).finish(), false);
        let bye = find(&sent, b"BYE ");
        self.exchange(answer(&bye, 200, false), true);
    }

    /// The peers' part of a call alone: their messages are made, none is handled.
    pub fn peers(&mut self) -> [Bytes; 4] {
        self.calls += 1;
        let mut invite = self.request(&Method::Invite, 1, "<sip:+496955501007@sbc1.example.com>");
        invite.body("application/sdp", Bytes::from_static(SDP.as_bytes()));
        let invite = Message::parse(invite.finish()).expect("parses");
        let ack = self.request(&Method::Ack, 1, "<sip:b@example.com>;tag=1").finish();
        let bye = Message::parse(self.request(&Method::Bye, 2, "<sip:b@example.com>;tag=1").finish()).expect("parses");
        [answer(&invite, 180, false), answer(&invite, 200, true), ack, answer(&bye, 200, false)]
    }
}

fn find(sent: &[Bytes], start: &[u8]) -> Message {
    let octets = sent.iter().find(|octets| octets.starts_with(start)).expect("was sent");
    Message::parse(octets.clone()).expect("parses")
}

/// A response of Teams' side.
fn answer(request: &Message, status: u16, sdp: bool) -> Bytes {
    let mut draft = Draft::response(request, status, "OK", "b1", None);
    draft.put(Name::RecordRoute, "<sip:sip-du-a-us.pstnhub.microsoft.com:5061;transport=tls;lr>");
    draft.put(Name::Contact, "<sip:api-du-a-usea.pstnhub.microsoft.com:443;x-i=109abb90;x-c=64ce308b/d/8/f071fe23>");
    if sdp {
        draft.body("application/sdp", Bytes::from_static(SDP.as_bytes()));
    }
    draft.finish()
}
