//! The transport over real sockets of the loopback, against peers made of plain tokio and rustls.

mod authority;
mod dns;
mod flows;
mod inbound;
mod openssl;
mod outbound;
mod reload;
mod symptoms;
mod time;

use self::authority::{Authority, Leaf, load};
use super::tls::provider;
use super::*;
use crate::flow::{Hop, ListenerId, Transport, TrunkId};
use crate::io::{Destination, Token};
use crate::settings::{IdentityFiles, ListenerSettings, TlsPolicy, TlsVersion, TrunkSettings, Trust};
use crate::snapshot::EdgeSettings;
use crate::trunk::{EarlyMedia, Host, Kind, Termination, Trunk};
use bytes::Bytes;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::timeout;

/// A test that waits longer than this waits for ever.
const PATIENCE: Duration = Duration::from_secs(20);
const HUB: &str = "sip.pstnhub.example.com";
const SBC: &str = "sbc1.example.com";
const OPTIONS: &[u8] = b"OPTIONS sip:sbc1.example.com SIP/2.0\r\n\
    Via: SIP/2.0/TLS sip.pstnhub.example.com:5061;branch=z9hG4bK1;alias\r\n\
    From: <sip:sip.pstnhub.example.com>;tag=1\r\nTo: <sip:sbc1.example.com>\r\nCall-ID: 1@example.com\r\n\
    CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n";

/// Runs a test on a worker's kind of runtime; returns what it returns.
fn run<R>(test: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(LocalSet::new().run_until(async { timeout(PATIENCE, test).await.expect("in time") }))
}

fn trunk(id: u16, transport: Transport) -> Trunk {
    Trunk {
        id: TrunkId(id),
        name: format!("trunk{id}").into(),
        kind: Kind::Generic,
        fqdn: SBC.into(),
        port: 5061,
        transport,
        large_over_tcp: false,
        hosts: vec![Host { name: HUB.into(), port: None }],
        request_host: HUB.into(),
        request_uri_host: crate::trunk::RequestUriHost::First,
        termination: Termination::Fqdn,
        termination_identifier: "".into(),
        suffixes: vec!["pstnhub.example.com".into()],
        ip: None,
        sources: vec!["127.0.0.1/32".parse().unwrap(), "127.0.0.2/32".parse().unwrap()],
        listeners: Vec::new(),
        mutual: false,
        expected_names: Vec::new(),
        methods: Vec::new(),
        session_expires: None,
        min_se: 90,
        early_media: EarlyMedia::None,
        ring_timeout: Duration::from_secs(110),
        response_timeout: Duration::from_secs(5),
        options_interval: None,
        sbc: None,
        policy: Default::default(),
        max_calls: None,
        max_call_rate: None,
        country_code: Arc::from(""),
        dial_plan: Default::default(),
        number_source: crate::trunk::NumberSource::RequestUri,
        headers: Vec::new(),
        required_header: None,
        authentication: None,
        account: None,
        retired: false,
    }
}

/// Tandem's side of a test: listeners, one worker's endpoint, and everything they read.
struct Site {
    authority: Authority,
    identities: BTreeMap<String, IdentityFiles>,
    trunks: Vec<TrunkSettings>,
    connections: ConnectionSettings,
    recycle_timeout: Duration,
    hosts: BTreeMap<String, SmallVec<[IpAddr; 4]>>,
    name_servers: Vec<SocketAddr>,
}

impl Site {
    /// A site with identity `public` for the FQDN and no trunk yet.
    fn new() -> Self {
        let authority = Authority::new();
        let public = authority.issue("public", Leaf::named(&[SBC]));
        let connections = ConnectionSettings {
            connect_timeout: Duration::from_secs(2),
            handshake_timeout: Duration::from_secs(5),
            max_handshakes: 8,
            max_connections: 100,
            write_queue: 1 << 20,
            message_timeout: Duration::from_secs(32),
            keepalive: Duration::from_secs(60),
            pong_timeout: Some(Duration::from_secs(10)),
            idle_timeout: Duration::from_secs(60),
            dscp: 24,
        };
        // Names must never reach the real DNS from a test: nobody listens here.
        let name_servers = vec![SocketAddr::from(([127, 0, 0, 1], 1))];
        Self {
            authority,
            identities: BTreeMap::from([("public".to_owned(), public)]),
            trunks: Vec::new(),
            connections,
            recycle_timeout: Duration::from_secs(60),
            hosts: BTreeMap::new(),
            name_servers,
        }
    }

    fn policy(&self, mutual: bool) -> TlsPolicy {
        TlsPolicy {
            identity: "public".into(),
            mutual,
            trust: Trust::Files(vec![self.authority.root_file()]),
            min_version: TlsVersion::V1_2,
            max_version: TlsVersion::V1_3,
        }
    }

    /// Adds a trunk; `change` makes it what the test needs.
    fn with(mut self, transport: Transport, mutual: bool, change: impl FnOnce(&mut Trunk, &mut TlsPolicy)) -> Self {
        let id = u16::try_from(self.trunks.len()).unwrap();
        let (mut trunk, mut policy) = (trunk(id, transport), self.policy(mutual));
        trunk.mutual = mutual;
        change(&mut trunk, &mut policy);
        let tls = (transport == Transport::Tls).then_some(policy);
        self.trunks.push(TrunkSettings {
            trunk: Arc::new(trunk),
            tls,
            next_hop: None,
            dids: Vec::new(),
            secrets: Vec::new(),
        });
        self
    }

    /// A trunk like Teams': mutual, known by the name of the hub.
    fn teams() -> Self {
        Self::new().with(Transport::Tls, true, |trunk, _| trunk.expected_names = vec![HUB.into()])
    }

    /// A trunk like Genesys': one-way TLS 1.2.
    fn genesys() -> Self {
        Self::new().with(Transport::Tls, false, |_, policy| policy.max_version = TlsVersion::V1_2)
    }

    fn tcp() -> Self {
        Self::new().with(Transport::Tcp, false, |_, _| {})
    }

    fn state(&self, previous: Option<&TlsTable>) -> (TransportState, Vec<TlsFault>) {
        let (tls, faults) = TlsTable::of(&self.identities, &self.trunks, previous);
        let edge = EdgeSettings {
            product: "Tandem".into(),
            max_call: Duration::from_secs(3600),
            probe_interval: Duration::from_secs(900),
            ask_timeout: Duration::from_secs(2),
            country_code: "49".into(),
            emergency: Arc::default(),
            max_calls: 100,
            t1: Duration::from_millis(500),
            observe: false,
            max_transactions: 1000,
            ask_media: false,
            ask_load: false,
        };
        let snapshot = Snapshot {
            revision: 1,
            edge,
            trunks: self.trunks.iter().map(|settings| settings.trunk.clone()).collect(),
            routes: Vec::new(),
            rules: Arc::default(),
            directory: Arc::default(),
            addresses: hashbrown::HashMap::new(),
            down: Vec::new(),
            nonce_key: crate::authentication::NonceKey::new([7; 32]),
            slots: Arc::new([0; 256]),
        };
        let (connections, recycle_timeout) = (self.connections.clone(), self.recycle_timeout);
        (TransportState { snapshot: Arc::new(snapshot), tls: Arc::new(tls), connections, recycle_timeout }, faults)
    }

    fn start(self) -> Running {
        let (state, faults) = self.state(None);
        assert!(faults.is_empty(), "{faults:?}");
        let state: SharedState = Arc::new(ArcSwap::from_pointee(state));
        let counters = Arc::new(Counters::default());
        let runtime = tokio::runtime::Handle::current();
        let resolver = Resolver::new(runtime, &self.name_servers, self.hosts.clone(), 1, counters.clone()).unwrap();
        let (sender, arrivals) = mpsc::channel(256);
        let endpoint = Endpoint::new(1, 0, state.clone(), resolver.clone(), sender, counters.clone());
        let mut addresses = Vec::new();
        for (id, transport) in [Transport::Tls, Transport::Tcp, Transport::Udp].into_iter().enumerate() {
            let id = ListenerId(u16::try_from(id).unwrap());
            let bind_to = SocketAddr::from(([127, 0, 0, 1], 0));
            let bound = bind(&ListenerSettings { id, transport, bind: bind_to, advertise: None }).unwrap();
            addresses.push(bound.local_address().unwrap());
            if transport == Transport::Udp {
                endpoint.attach_udp(bound.udp_socket().unwrap(), id, true).unwrap();
                continue;
            }
            let (state, counters, endpoint) = (state.clone(), counters.clone(), endpoint.clone());
            tokio::task::spawn_local(async move {
                accept_loop(bound, state, counters, |accepted| endpoint.adopt(accepted)).await.unwrap();
            });
        }
        let [tls, tcp, udp] = addresses[..] else { panic!("three listeners") };
        Running { site: self, endpoint, arrivals, state, resolver, counters, tls, tcp, udp }
    }
}

struct Running {
    site: Site,
    endpoint: Endpoint,
    arrivals: mpsc::Receiver<Arrival>,
    state: SharedState,
    resolver: Arc<Resolver>,
    counters: Arc<Counters>,
    tls: SocketAddr,
    tcp: SocketAddr,
    udp: SocketAddr,
}

impl Running {
    async fn arrival(&mut self) -> Arrival {
        self.arrivals.recv().await.unwrap()
    }

    /// The next arrival, which has to be a message.
    async fn message(&mut self) -> (Message, FlowId, Arc<Peer>) {
        match self.arrival().await {
            Arrival::Message { message, flow, peer } => (message, flow, peer),
            other => panic!("{other:?}"),
        }
    }

    /// The next arrival, which has to be the loss of a flow; returns the reason.
    async fn lost(&mut self, lost: FlowId) -> String {
        match self.arrival().await {
            Arrival::FlowLost { flow, reason, .. } if flow == lost => reason,
            other => panic!("{other:?}"),
        }
    }

    /// The next arrival, which has to be the failure of this message; returns the reason.
    async fn failed(&mut self, failed: u64) -> String {
        match self.arrival().await {
            Arrival::SendFailed { token, reason, .. } if token == Token(failed) => reason,
            other => panic!("{other:?}"),
        }
    }

    fn send(&self, token: u64, hop: &Hop) -> Result<FlowId, SendError> {
        let to = Destination::Hop(Arc::new(hop.clone()));
        self.endpoint.send(Token(token), &to, Bytes::from_static(OPTIONS))
    }

    /// A rustls client that trusts the test's root, with or without a certificate.
    fn client(&self, certificate: Option<Leaf<'_>>) -> ClientConfig {
        self.client_speaking(certificate, rustls::DEFAULT_VERSIONS)
    }

    fn client_speaking(
        &self,
        certificate: Option<Leaf<'_>>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.site.authority.roots());
        match certificate {
            Some(leaf) => {
                let (chain, key) = load(&self.site.authority.issue("client", leaf));
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        }
    }

    /// Connects over TLS and has a keep-alive answered: handshake and trunk are accepted.
    async fn call(&self, config: ClientConfig, sni: &str) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.tls).await?;
        let name = ServerName::try_from(sni.to_owned()).unwrap();
        let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        ping(&mut stream).await?;
        Ok(stream)
    }
}

/// Sends a keep-alive and waits for its answer (RFC 5626 §4.4.1).
async fn ping<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.write_all(b"\r\n\r\n").await?;
    stream.flush().await?;
    let mut pong = [0; 2];
    stream.read_exact(&mut pong).await?;
    assert_eq!(&pong, b"\r\n");
    Ok(())
}

/// Reads one message of the length of [`OPTIONS`].
async fn read_options<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<()> {
    let mut message = vec![0; OPTIONS.len()];
    stream.read_exact(&mut message).await?;
    assert_eq!(message, OPTIONS);
    Ok(())
}

/// A platform's listener of the test's own.
async fn platform() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn hop(transport: Transport, host: &str, addresses: &[SocketAddr]) -> Hop {
    let port = addresses.first().map_or(transport.default_port(), SocketAddr::port);
    let addresses = addresses.iter().copied().collect();
    Hop { trunk: TrunkId(0), transport, host: host.into(), port, addresses }
}

/// A rustls server with this leaf; with `mutual` it wants a certificate of the test's root.
fn server(site: &Running, leaf: Leaf<'_>, mutual: bool) -> Arc<ServerConfig> {
    let (chain, key) = load(&site.site.authority.issue("server", leaf));
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let builder = if mutual {
        let roots = Arc::new(site.site.authority.roots());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots, provider()).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}
