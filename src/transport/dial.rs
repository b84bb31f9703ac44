//! How a connection comes to be: the handshake of a peer that called, and the dialling of a hop.

use super::endpoint::{Flow, Link, Shared};
use super::fault;
use super::listen::{Accepted, tune};
use super::names_of;
use super::places::Place;
use super::resolver::written_port;
use super::tls::names_fit;
use super::verify::is_wrong_name;
use crate::flow::{Hop, Peer, Transport};
use crate::trunk::diagnosis::Symptom;
use rustls::pki_types::ServerName;
use rustls::server::Acceptor;
use smallvec::SmallVec;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};

/// Completes and serves a connection that a peer opened, which holds its place until it ends.
pub(super) async fn welcome(shared: Rc<Shared>, accepted: Accepted, mut place: Place) {
    let Accepted { stream, listener, transport, source, trunks } = accepted;
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    tune(&stream, shared.state.load().connections.dscp);
    let peer = Peer { source, listener: Some(listener), transport, names: Vec::new(), trunks };
    if transport != Transport::Tls {
        let link = Link { peer: Arc::new(peer), identity: None, open: true };
        return shared.serve_accepted(listener, None, link, stream).await;
    }
    let limit = shared.state.load().connections.handshake_timeout;
    let callers = peer.trunks.clone();
    let done = match timeout(limit, secure(&shared, stream, peer)).await {
        Ok(done) => done,
        Err(_) => {
            shared.counters.handshake_timeouts.add();
            shared.counters.inbound.note(&callers, Some("not finished in time"));
            tracing::info!(%source, "TLS handshake of a peer took too long");
            return;
        }
    };
    place.secured();
    match done {
        Ok((stream, link, sni)) => {
            shared.counters.handshakes.add();
            shared.counters.inbound.note(&link.peer.trunks, None);
            shared.serve_accepted(listener, sni, link, stream).await;
        }
        Err(error) => {
            shared.counters.handshake_failures.add();
            shared.counters.inbound.note(&callers, Some(&error));
            tracing::info!(%source, %error, "TLS handshake of a peer failed");
        }
    }
}

type Secured = (tokio_rustls::server::TlsStream<TcpStream>, Link, Option<String>);

/// The handshake of a peer: its ClientHello chooses identity and policy, its certificate its trunks.
async fn secure(shared: &Rc<Shared>, stream: TcpStream, mut peer: Peer) -> Result<Secured, String> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await.map_err(|error| error.to_string())?;
    let sni = start.client_hello().server_name().map(str::to_owned);
    let state = shared.state.load_full();
    let chosen = state.tls.choose(&state.snapshot, &peer.trunks, sni.as_deref());
    let (tls, mut trunks) = chosen.ok_or("no trunk of this source has TLS")?;
    let stream = start.into_stream(tls.server.clone()).await.map_err(|error| told(shared, &error))?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    peer.names = certificates.first().map(names_of).unwrap_or_default();
    // Also for a resumed session, whose certificate was checked under the names of another day.
    trunks.retain(|id| state.snapshot.trunk(*id).is_some_and(|trunk| names_fit(trunk, &peer.names)));
    let Some(first) = trunks.first() else {
        shared.counters.wrong_names.add();
        return Err(format!("no trunk expects the names {:?}", peer.names));
    };
    let generation = state.tls.trunk(*first).map_or(tls.generation, |tls| tls.generation);
    let identity = Some((*first, generation));
    peer.trunks = trunks;
    Ok((stream, Link { peer: Arc::new(peer), identity, open: true }, sni))
}

/// Opens a connection to a hop and serves it; reports what waited when no address can be connected.
pub(super) async fn dial(shared: Rc<Shared>, flow: Rc<Flow>, hop: Arc<Hop>) {
    let mut reason = match addresses(&shared, &hop).await {
        Ok(addresses) => {
            let mut reason = "no address inside the trunk's ranges".to_owned();
            flow.symptom.set(Symptom::Foreign);
            for address in addresses {
                match connect(&shared, &hop, address).await {
                    Ok(stream) => match stream {
                        (Stream::Plain(stream), link) => {
                            flow.symptom.set(Symptom::Lost);
                            return shared.serve_dialled(&flow, &hop, link, stream).await;
                        }
                        (Stream::Secure(stream), link) => {
                            flow.symptom.set(Symptom::Lost);
                            return shared.serve_dialled(&flow, &hop, link, *stream).await;
                        }
                    },
                    Err((symptom, error)) => {
                        tracing::warn!(host = %hop.host, %address, %error, "connecting failed");
                        shared.address_failed(address);
                        flow.symptom.set(symptom);
                        reason = error;
                    }
                }
            }
            reason
        }
        Err(error) => {
            flow.symptom.set(Symptom::NotResolved);
            error
        }
    };
    shared.counters.dial_failures.add();
    reason.insert_str(0, "not connected: ");
    shared.leave(&flow, reason).await;
}

/// The addresses to try, best first: those of the hop, or those of its name.
async fn addresses(shared: &Rc<Shared>, hop: &Hop) -> Result<SmallVec<[SocketAddr; 4]>, String> {
    let trunk = shared.state.load().snapshot.trunk(hop.trunk).cloned().ok_or("the trunk is gone")?;
    let found = if hop.addresses.is_empty() {
        let port = written_port(&trunk, hop);
        shared.resolver.resolve(hop.transport, &hop.host, port).await.map_err(|error| error.to_string())?
    } else {
        hop.addresses.clone()
    };
    Ok(shared.resolver.allowed(&trunk, &hop.host, found))
}

enum Stream {
    Plain(TcpStream),
    Secure(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// One attempt at one address.
async fn connect(shared: &Rc<Shared>, hop: &Hop, address: SocketAddr) -> Result<(Stream, Link), (Symptom, String)> {
    let state = shared.state.load_full();
    let stream = timeout(state.connections.connect_timeout, TcpStream::connect(address))
        .await
        .map_err(|_| (Symptom::NotConnected, "connect timed out".to_owned()))?
        .map_err(|error| (fault::of_connecting(&error), error.to_string()))?;
    tune(&stream, state.connections.dscp);
    shared.counters.dials.add();
    let link = |names: Vec<String>, identity| {
        let trunks = shared.trunks_behind(hop.trunk, address, hop.transport, &names);
        let peer = Peer { source: address, listener: None, transport: hop.transport, names, trunks };
        Link { peer: Arc::new(peer), identity, open: true }
    };
    if hop.transport != Transport::Tls {
        return Ok((Stream::Plain(stream), link(Vec::new(), None)));
    }
    let tls = state.tls.trunk(hop.trunk).ok_or((Symptom::NoTls, "the trunk has no TLS".to_owned()))?;
    let name = server_name(&hop.host).map_err(|error| (Symptom::NoSuchName, error))?;
    let connector = TlsConnector::from(tls.client.clone());
    let stream = match timeout(state.connections.handshake_timeout, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            shared.counters.handshake_failures.add();
            return Err((fault::of_tls(&error, Symptom::NoTls), format!("TLS: {}", told(shared, &error))));
        }
        Err(_) => {
            shared.counters.handshake_timeouts.add();
            return Err((Symptom::HandshakeTimeout, "TLS handshake timed out".into()));
        }
    };
    shared.counters.handshakes.add();
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let names = certificates.first().map(names_of).unwrap_or_default();
    let link = link(names, Some((hop.trunk, tls.generation)));
    Ok((Stream::Secure(Box::new(stream)), link))
}

/// SNI and the name to verify: the host, never the address it led to (TDR-16, RFC 5922).
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.trim_end_matches('.').to_owned()).map_err(|error| error.to_string())
}

/// The error in words; one over names is counted.
fn told(shared: &Shared, error: &std::io::Error) -> String {
    if is_wrong_name(error) {
        shared.counters.wrong_names.add();
    }
    error.to_string()
}
