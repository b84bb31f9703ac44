//! One host looked at step by step: name, connection, certificate, handshake, one request (TDR-16).
//!
//! The steps are those of a connection that carries calls, by the same resolver, rules and judgement; but
//! what a connection forgets is kept here, even when a step fails: the certificates of a peer that is not
//! trusted are what the operator has to see. Nothing is shared with a running element.

use super::dial::server_name;
use super::fault;
use super::resolver::may_reach;
use super::tls::{provider, roots};
use super::verify::{ServerJudge, is_wrong_name};
use super::{CertificateError, CertificateFacts, ResolveError, Resolver, TlsTable};
use crate::flow::Transport;
use crate::settings::{Settings, TrunkSettings, Trust};
use crate::sip::{Frame, Framer, Message, top_via};
use crate::trunk::Trunk;
use crate::trunk::diagnosis::Symptom;
use bytes::{Bytes, BytesMut};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError as Untrusted, ClientConfig, DigitallySignedStruct, SignatureScheme};
use smallvec::SmallVec;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsConnector;

/// Room for one read, and for any datagram.
const READ: usize = 65_536;

/// What is dialled, and by whose rules.
#[derive(Debug)]
pub struct ProbeTarget {
    /// Name or address as the operator wrote it.
    pub host: String,
    /// The port that was written; `None` leaves it to the DNS (RFC 3263 §4.2).
    pub port: Option<u16>,
    /// How.
    pub transport: Transport,
    /// Whose hosts and ranges bound what is dialled; `None`: anything may be.
    pub trunk: Option<Arc<Trunk>>,
    /// For TLS.
    pub tls: Option<ProbeTls>,
    /// How long each step may take.
    pub patience: Duration,
}

/// TLS as a trunk speaks it, or as anybody would.
#[derive(Debug)]
pub struct ProbeTls {
    client: ClientConfig,
    presented: Arc<Mutex<Vec<CertificateDer<'static>>>>,
}

/// What was found, as far as it went.
#[derive(Debug, Default)]
pub struct Probed {
    /// Where the name leads, best first.
    pub addresses: SmallVec<[SocketAddr; 4]>,
    /// Addresses that could not be connected, and why.
    pub unreachable: Vec<(SocketAddr, String)>,
    /// The address that was connected, and how long that took.
    pub connected: Option<(SocketAddr, Duration)>,
    /// The certificates that the peer presented, leaf first, whether they are trusted or not.
    pub chain: Vec<CertificateFacts>,
    /// What was agreed.
    pub agreed: Option<Agreed>,
    /// Status and reason of the final response, and how long it took.
    pub answer: Option<(u16, String, Duration)>,
}

/// What a TLS handshake came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Agreed {
    /// Such as `TLSv1_2`.
    pub version: String,
    /// Such as `TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384`.
    pub suite: String,
    /// Such as `secp384r1`.
    pub group: String,
    /// How long the handshake took.
    pub took: Duration,
}

/// The step at which it failed, and why.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProbeFailure {
    /// The trunk does not let us dial this name.
    #[error("trunk {trunk} has no host {host}, and no suffix that it is below")]
    ForeignName {
        /// The trunk.
        trunk: Arc<str>,
        /// The name.
        host: String,
    },
    /// The name did not resolve.
    #[error("the name did not resolve: {0}")]
    NotResolved(ResolveError),
    /// The trunk lets us dial none of the addresses.
    #[error("{addresses} outside the sources of trunk {trunk}")]
    ForeignAddresses {
        /// The trunk.
        trunk: Arc<str>,
        /// The addresses.
        addresses: String,
    },
    /// No address could be connected; each is named in [`Probed::unreachable`].
    #[error("no address could be connected")]
    NotConnected,
    /// The peer ended the handshake with an alert.
    #[error("the peer ended the TLS handshake with the alert {0:?}")]
    Alert(AlertDescription),
    /// The handshake failed for another reason.
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
    /// We do not trust the certificate.
    #[error("the certificate is not trusted: {reason}")]
    Untrusted {
        /// By which rule.
        rule: TrustRule,
        /// In the words of the judge.
        reason: String,
    },
    /// No final response came in time.
    #[error("no answer to OPTIONS within {0:?}")]
    NoAnswer(Duration),
    /// The connection ended before a final response.
    #[error("the connection ended without an answer to OPTIONS: {0}")]
    Ended(String),
    /// What came is no SIP.
    #[error("the answer is no SIP: {0}")]
    NotSip(String),
}

/// What a certificate has to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TrustRule {
    /// Its chain leads to a trusted root (TDR-11, GEN-34).
    Root,
    /// It carries the dialled name or one that the trunk expects (TDR-13, GEN-33).
    Name,
    /// It is valid now.
    Dates,
    /// It may be a server's.
    Purpose,
    /// It is sound: signatures, form, revocation.
    Form,
}

impl ProbeFailure {
    /// The step: `resolve`, `connect`, `handshake`, `certificate` or `options`.
    pub fn step(&self) -> &'static str {
        match self {
            Self::ForeignName { .. } | Self::NotResolved(_) => "resolve",
            Self::ForeignAddresses { .. } | Self::NotConnected => "connect",
            Self::Alert(_) | Self::Handshake(_) => "handshake",
            Self::Untrusted { .. } => "certificate",
            Self::NoAnswer(_) | Self::Ended(_) | Self::NotSip(_) => "options",
        }
    }

    /// What it says about the host.
    pub fn symptom(&self) -> Symptom {
        match self {
            Self::ForeignName { .. } | Self::ForeignAddresses { .. } => Symptom::Foreign,
            Self::NotResolved(_) => Symptom::NotResolved,
            Self::NotConnected => Symptom::NotConnected,
            Self::Alert(alert) => fault::of_alert(*alert),
            Self::Handshake(_) => Symptom::NoTls,
            Self::Untrusted { rule, .. } => match rule {
                TrustRule::Root => Symptom::UnknownRoot,
                TrustRule::Name => Symptom::WrongName,
                TrustRule::Dates => Symptom::NotValidNow,
                TrustRule::Purpose => Symptom::WrongPurpose,
                TrustRule::Form => Symptom::Unsound,
            },
            Self::NoAnswer(_) => Symptom::Silent,
            Self::Ended(_) => Symptom::Lost,
            Self::NotSip(_) => Symptom::NotSip,
        }
    }

    /// From an error of a TLS stream; `other` is what it is when TLS itself has no fault.
    fn of(error: &io::Error, other: impl FnOnce(String) -> Self) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::AlertReceived(alert)) => Self::Alert(*alert),
            Some(rustls::Error::InvalidCertificate(fault)) => {
                let rule = if is_wrong_name(error) { TrustRule::Name } else { TrustRule::of(fault) };
                Self::Untrusted { rule, reason: fault.to_string() }
            }
            Some(fault) => Self::Handshake(fault.to_string()),
            None => other(error.to_string()),
        }
    }
}

impl TrustRule {
    fn of(fault: &Untrusted) -> Self {
        match fault {
            Untrusted::UnknownIssuer => Self::Root,
            Untrusted::Expired
            | Untrusted::ExpiredContext { .. }
            | Untrusted::NotValidYet
            | Untrusted::NotValidYetContext { .. } => Self::Dates,
            Untrusted::InvalidPurpose | Untrusted::InvalidPurposeContext { .. } => Self::Purpose,
            _ => Self::Form,
        }
    }
}

impl ProbeTls {
    /// As a trunk of `settings` dials: its identity, its trust, the names that it expects.
    ///
    /// # Errors
    ///
    /// A [`CertificateError`] when its files cannot be used.
    pub fn of_trunk(settings: &Settings, trunk: &TrunkSettings) -> Result<Option<Self>, CertificateError> {
        let Some(policy) = &trunk.tls else { return Ok(None) };
        let (table, faults) = TlsTable::of(&settings.identities, std::slice::from_ref(trunk), None);
        match (table.trunk(trunk.trunk.id), faults.into_iter().next()) {
            (Some(tls), _) => Self::new((*tls.client).clone(), &policy.trust, &trunk.trunk.expected_names).map(Some),
            (None, Some(fault)) => Err(fault.error),
            (None, None) => Ok(None),
        }
    }

    /// As anybody dials who trusts what the system trusts and has no certificate.
    ///
    /// # Errors
    ///
    /// A [`CertificateError`] when the system has no roots.
    pub fn of_nobody() -> Result<Self, CertificateError> {
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| CertificateError::Unreadable(error.to_string()))?
            .with_root_certificates(rustls::RootCertStore::empty()) // replaced below
            .with_no_client_auth();
        Self::new(client, &Trust::System, &[])
    }

    fn new(mut client: ClientConfig, trust: &Trust, expected: &[Arc<str>]) -> Result<Self, CertificateError> {
        let (roots, _) = roots(trust)?;
        let presented = Arc::<Mutex<Vec<_>>>::default();
        let judge = ServerJudge { roots, provider: provider(), expected: expected.to_vec() };
        client.dangerous().set_certificate_verifier(Arc::new(Witness { judge, presented: presented.clone() }));
        // A handshake that is resumed shows no certificate.
        client.resumption = Resumption::disabled();
        Ok(Self { client, presented })
    }
}

/// Looks at a host. `request` makes the OPTIONS for a host and port, given our own address; what is found
/// goes to `found`, step by step.
///
/// # Errors
///
/// The [`ProbeFailure`] of the first step that failed. A final response of any status is no failure.
pub async fn probe(
    target: &ProbeTarget,
    resolver: &Arc<Resolver>,
    request: impl FnOnce(SocketAddr, u16) -> Bytes,
    found: &mut Probed,
) -> Result<(), ProbeFailure> {
    let allowed = resolve(target, resolver, found).await?;
    if target.transport == Transport::Udp {
        return over_udp(target, &allowed, request, found).await;
    }
    let (stream, address) = connect(target, &allowed, found).await?;
    let own = stream.local_addr().map_err(|error| ProbeFailure::Ended(error.to_string()))?;
    let octets = request(own, address.port());
    let Some(tls) = &target.tls else { return exchange(target, stream, &octets, found).await };
    let begun = Instant::now();
    let name = server_name(&target.host).map_err(ProbeFailure::Handshake)?;
    let connector = TlsConnector::from(Arc::new(tls.client.clone()));
    let shaken = timeout(target.patience, connector.connect(name, stream)).await;
    // Also of a handshake that failed: it is what it failed over.
    let presented = tls.presented.lock().unwrap_or_else(PoisonError::into_inner).clone();
    found.chain = presented.iter().filter_map(|der| CertificateFacts::read(der).ok()).collect();
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(ProbeFailure::of(&error, ProbeFailure::Handshake)),
        Err(_) => return Err(ProbeFailure::Handshake(format!("not finished within {:?}", target.patience))),
    };
    let connection = stream.get_ref().1;
    found.agreed = Some(Agreed {
        version: connection.protocol_version().map_or_else(String::new, |version| format!("{version:?}")),
        suite: connection.negotiated_cipher_suite().map_or_else(String::new, |suite| format!("{:?}", suite.suite())),
        group: connection
            .negotiated_key_exchange_group()
            .map_or_else(String::new, |group| format!("{:?}", group.name())),
        took: begun.elapsed(),
    });
    exchange(target, stream, &octets, found).await
}

/// The addresses of the target that its trunk lets us dial.
async fn resolve(
    target: &ProbeTarget,
    resolver: &Arc<Resolver>,
    found: &mut Probed,
) -> Result<SmallVec<[SocketAddr; 4]>, ProbeFailure> {
    let host = &target.host;
    let literal = crate::sip::host_ip(host).is_some();
    if let Some(trunk) = target.trunk.as_ref().filter(|trunk| !literal && !trunk.may_dial(host)) {
        return Err(ProbeFailure::ForeignName { trunk: trunk.name.clone(), host: host.clone() });
    }
    let addresses = resolver.resolve(target.transport, host, target.port).await.map_err(ProbeFailure::NotResolved)?;
    found.addresses.clone_from(&addresses);
    let Some(trunk) = &target.trunk else { return Ok(addresses) };
    let reachable = |address: &SocketAddr| may_reach(trunk, host, address.ip());
    let allowed: SmallVec<[SocketAddr; 4]> = addresses.iter().copied().filter(reachable).collect();
    if allowed.is_empty() {
        let addresses: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
        return Err(ProbeFailure::ForeignAddresses { trunk: trunk.name.clone(), addresses: addresses.join(", ") });
    }
    Ok(allowed)
}

/// The first address that can be connected.
async fn connect(
    target: &ProbeTarget,
    addresses: &[SocketAddr],
    found: &mut Probed,
) -> Result<(TcpStream, SocketAddr), ProbeFailure> {
    for &address in addresses {
        let begun = Instant::now();
        let reason = match timeout(target.patience, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                found.connected = Some((address, begun.elapsed()));
                return Ok((stream, address));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {:?}", target.patience),
        };
        found.unreachable.push((address, reason));
    }
    Err(ProbeFailure::NotConnected)
}

/// Sends the request and waits for its final response.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    target: &ProbeTarget,
    mut stream: S,
    request: &Bytes,
    found: &mut Probed,
) -> Result<(), ProbeFailure> {
    let begun = Instant::now();
    let answered = async {
        stream.write_all(request).await?;
        stream.flush().await?;
        let (mut framer, mut buffer) = (Framer::default(), BytesMut::with_capacity(READ));
        loop {
            // TLS 1.3 tells only here what it thinks of our certificate.
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            loop {
                match framer.next(&mut buffer) {
                    Ok(Some(Frame::Message(octets))) => {
                        if let Some(answer) = final_answer(octets, request) {
                            return Ok(answer);
                        }
                    }
                    Ok(Some(Frame::Ping)) => stream.write_all(b"\r\n").await?,
                    Ok(None) => break,
                    Err(fault) => return Ok(Err(ProbeFailure::NotSip(fault.to_string()))),
                }
            }
        }
    };
    let answered = timeout(target.patience, answered).await.map_err(|_| ProbeFailure::NoAnswer(target.patience))?;
    let (status, reason) = answered.map_err(|error: io::Error| {
        let ended = error.kind() == io::ErrorKind::UnexpectedEof;
        ProbeFailure::of(&error, |text| ProbeFailure::Ended(if ended { "closed by the peer".into() } else { text }))
    })??;
    found.answer = Some((status, reason, begun.elapsed()));
    let _ = timeout(target.patience, stream.shutdown()).await;
    Ok(())
}

/// Sends the request to the first address, again and again until the final response (RFC 3261 §17.1.2.1).
async fn over_udp(
    target: &ProbeTarget,
    addresses: &[SocketAddr],
    request: impl FnOnce(SocketAddr, u16) -> Bytes,
    found: &mut Probed,
) -> Result<(), ProbeFailure> {
    let ended = |error: io::Error| ProbeFailure::Ended(error.to_string());
    let &address = addresses.first().ok_or(ProbeFailure::NotConnected)?;
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await.map_err(ended)?;
    socket.connect(address).await.map_err(ended)?;
    let octets = request(socket.local_addr().map_err(ended)?, address.port());
    let (begun, mut interval) = (Instant::now(), Duration::from_millis(500));
    let end = tokio::time::Instant::now() + target.patience;
    let mut buffer = vec![0; READ];
    while tokio::time::Instant::now() < end {
        socket.send(&octets).await.map_err(ended)?;
        let again = end.min(tokio::time::Instant::now() + interval);
        while let Ok(received) = timeout_at(again, socket.recv(&mut buffer)).await {
            let length = received.map_err(ended)?;
            if let Some(answer) = final_answer(Bytes::copy_from_slice(&buffer[..length]), &octets) {
                let (status, reason) = answer?;
                found.answer = Some((status, reason, begun.elapsed()));
                return Ok(());
            }
        }
        interval = (interval * 2).min(Duration::from_secs(4));
    }
    Err(ProbeFailure::NoAnswer(target.patience))
}

/// Status and reason, when `octets` are the final response to `request`; `None` for anything else in SIP.
fn final_answer(octets: Bytes, request: &Bytes) -> Option<Result<(u16, String), ProbeFailure>> {
    let message = match Message::parse(octets) {
        Ok(message) => message,
        Err(rejected) => return Some(Err(ProbeFailure::NotSip(rejected.fault.to_string()))),
    };
    let request = Message::parse(request.clone()).ok()?;
    let status = message.status().filter(|status| *status >= 200)?;
    let branch = |message: &Message| top_via(message).ok().and_then(|via| via.branch().map(str::to_owned));
    (branch(&message) == branch(&request)).then(|| Ok((status, message.reason().to_owned())))
}

/// Judges like [`ServerJudge`], and keeps what was presented.
#[derive(Debug)]
struct Witness {
    judge: ServerJudge,
    presented: Arc<Mutex<Vec<CertificateDer<'static>>>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let all = std::iter::once(end_entity).chain(intermediates).map(|der| der.clone().into_owned());
        *self.presented.lock().unwrap_or_else(PoisonError::into_inner) = all.collect();
        self.judge.verify_server_cert(end_entity, intermediates, server_name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}
