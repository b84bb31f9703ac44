//! The platforms against a hand-played SBC: what they take, what they refuse and by which rule.

use super::certificates::{self, Certificates};
use super::checks::{Breach, genesys, hub};
use super::network::{self, Arrival, Connection};
use super::octets::{Plain, address};
use super::text::Text;
use super::tls::Tls;
use super::{Placed, Platform, Setup, Side, tls};
use crate::trunk::Termination;
use bytes::Bytes;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

const FQDN: &str = "sbc1.example.com";
const ALICE: &str = "+14255550123";
const QUEUE: &str = "+496955501000";

/// An SBC played by hand: what the tests say is what it sends.
struct Sbc {
    tls: Tls,
    arrivals: mpsc::Sender<(Arc<Connection>, Arrival)>,
    inbox: mpsc::Receiver<(Arc<Connection>, Arrival)>,
    at: SocketAddr,
}

fn lab() -> (tempfile::TempDir, Certificates) {
    let directory = tempfile::tempdir().expect("a directory");
    let made = certificates::make(directory.path(), FQDN, &["voice.mypurecloud.de"]).expect("certificates");
    (directory, made)
}

async fn sbc(made: &Certificates) -> Sbc {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    let root = std::fs::read(&made.root).expect("root");
    let root = <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(&root)
        .expect("PEM");
    roots.add(root).expect("a root");
    let (chain, key) = made.sbc.load().expect("identity");
    let client = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_client_auth_cert(chain.clone(), key.clone_key())
        .expect("identity");
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("identity");
    let tls = Tls { client: Arc::new(client), server: Arc::new(server) };
    let (arrivals, inbox) = mpsc::channel(64);
    let listener = network::bind(&[IpAddr::from([127, 0, 0, 1])], 0).await.expect("binds").remove(0);
    let at = listener.local_addr().expect("address");
    tokio::spawn(network::accept(listener, Some(tls.clone()), arrivals.clone()));
    Sbc { tls, arrivals, inbox, at }
}

impl Sbc {
    async fn dial(&self, to: SocketAddr, name: &str) -> Arc<Connection> {
        let from = IpAddr::from([127, 0, 0, 1]);
        network::dial(from, to, name, Some(&self.tls), self.arrivals.clone()).await.expect("connects")
    }

    async fn next(&mut self) -> (Arc<Connection>, Plain) {
        loop {
            let arrival = tokio::time::timeout(Duration::from_secs(5), self.inbox.recv()).await.expect("in time");
            if let Some((connection, Arrival::Message(octets))) = arrival {
                return (connection, Plain::read(&octets).expect("reads"));
            }
        }
    }
}

async fn hub(made: &Certificates, sbc: SocketAddr) -> Platform {
    let addresses = [11, 14].map(|last| IpAddr::from([127, 0, 0, last]));
    let listeners = network::bind(&addresses, 0).await.expect("binds");
    let hub_port = listeners[0].local_addr().expect("address").port();
    let trunk = hub::Trunk {
        fqdn: FQDN.into(),
        port: sbc.port(),
        hosts: vec!["sip.pstnhub.microsoft.com".into()],
        hub_port,
        users: vec![ALICE.into()],
    };
    let tls = Some(tls::hub(made, false).expect("TLS"));
    let sources = [11, 12, 13].map(|last| IpAddr::from([127, 0, 0, last])).into();
    Platform::start(Setup { side: Side::Hub(trunk), tls, listeners, sources, sbc }).expect("starts")
}

async fn genesys(made: &Certificates, sbc: SocketAddr) -> Platform {
    let addresses = [21, 22, 23].map(|last| IpAddr::from([127, 0, 0, last]));
    let listeners = network::bind(&addresses, 0).await.expect("binds");
    let trunk = genesys::Trunk {
        fqdn: FQDN.into(),
        port: sbc.port(),
        identifier: "acme-sbc".into(),
        domain: "byoc.mypurecloud.de".into(),
        termination: Termination::Fqdn,
        dids: vec![QUEUE.into()],
        srtp: true,
    };
    let tls = Some(tls::genesys(made).expect("TLS"));
    let sources = [21, 23].map(|last| IpAddr::from([127, 0, 0, last])).into();
    Platform::start(Setup { side: Side::Genesys(trunk), tls, listeners, sources, sbc }).expect("starts")
}

fn invite(port: u16, offer: &str) -> String {
    format!(
        "INVITE sip:{ALICE}@sip.pstnhub.microsoft.com:5061;user=phone;transport=tls SIP/2.0\r\n\
         Via: SIP/2.0/TLS {FQDN}:{port};branch=z9hG4bK1;alias\r\nMax-Forwards: 69\r\n\
         From: <sip:+12065550144@{FQDN}>;tag=a\r\nTo: <sip:{ALICE}@{FQDN}>\r\nCall-ID: one@{FQDN}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:{FQDN}:{port};transport=tls>\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{offer}",
        offer.len()
    )
}

fn offer() -> String {
    super::media::Media::genesys(1, true).offer(super::Flow::SendRecv)
}

fn request(method: &str, response: &Plain, port: u16, cseq: u32, branch: &str) -> Bytes {
    let mut text = Text::request(false, method, address(response.first("Contact")).uri);
    text.line("Via", &format!("SIP/2.0/TLS {FQDN}:{port};branch={branch}")).line("Max-Forwards", "70");
    text.line("From", response.first("From"))
        .line("To", response.first("To"))
        .line("Call-ID", response.first("Call-ID"));
    text.line("CSeq", &format!("{cseq} {method}"));
    let routes: Vec<&str> = response.list("Record-Route").into_iter().rev().collect();
    text.lines(routes.into_iter().map(|route| ("Route", route)));
    text.finish(None)
}

#[tokio::test]
async fn the_hub_takes_a_good_call_rings_answers_and_ends() {
    let (_directory, made) = lab();
    let mut sbc = sbc(&made).await;
    let hub = hub(&made, sbc.at).await;
    let connection = sbc.dial(hub.address(), "sip.pstnhub.microsoft.com").await;
    connection.send(Bytes::from(invite(sbc.at.port(), &offer())));
    assert_eq!(sbc.next().await.1.status(), 100);
    let mut call = hub.incoming().await.expect("a call");
    call.ring("a", 180, false);
    call.ring("b", 183, true);
    let ((_, ringing), (_, early)) = (sbc.next().await, sbc.next().await);
    assert_eq!((ringing.status(), early.status(), early.sdp().is_some()), (180, 183, true));
    assert_ne!(ringing.tag("To"), early.tag("To"));
    let port = sbc.at.port();
    let script = tokio::spawn(async move { call.answer("c").await.map(|()| call) });
    let (_, ok) = sbc.next().await;
    assert_eq!((ok.status(), ok.start.as_str()), (200, "SIP/2.0 200 OK"));
    // ACK and BYE go to the Record-Route host: the second listener.
    let route = SocketAddr::new(IpAddr::from([127, 0, 0, 14]), hub.address().port());
    let second = sbc.dial(route, "sip.pstnhub.microsoft.com").await;
    second.send(request("ACK", &ok, port, 1, "z9hG4bK2"));
    let mut call = script.await.expect("no panic").expect("answered");
    second.send(request("BYE", &ok, port, 2, "z9hG4bK3"));
    assert_eq!(sbc.next().await.1.status(), 200);
    call.hung_up().await.expect("BYE");
    assert_eq!(hub.breaches(), vec![]);
}

#[tokio::test]
async fn the_hub_refuses_and_names_the_rule() {
    let (_directory, made) = lab();
    let mut sbc = sbc(&made).await;
    let hub = hub(&made, sbc.at).await;
    let connection = sbc.dial(hub.address(), "sip.pstnhub.microsoft.com").await;
    let good = invite(sbc.at.port(), &offer());
    for (index, (old, new, rule, status)) in [
        (format!("Contact: <sip:{FQDN}"), "Contact: <sip:192.0.2.1".to_owned(), "TDR-44", 403),
        (format!("INVITE sip:{ALICE}"), "INVITE sip:14255550123".to_owned(), "TDR-48", 404),
        ("INVITE sip:".to_owned(), "INVITE sips:".to_owned(), "TDR-1", 416),
        ("Content-Type: application/sdp".to_owned(), "Content-Type: multipart/mixed".to_owned(), "TDR-59", 415),
        ("SAVP".to_owned(), "AVPX".to_owned(), "TDR-134", 488),
    ]
    .into_iter()
    .enumerate()
    {
        let bad = good.replacen(&old, &new, 1).replace("z9hG4bK1", &format!("z9hG4bKbad{index}"));
        connection.send(Bytes::from(bad));
        let (_, refusal) = sbc.next().await;
        assert_eq!(refusal.status(), status, "{old} → {new}");
        assert!(refusal.first("Reason").contains(rule), "{}", refusal.first("Reason"));
        assert!(hub.breaches().iter().any(|breach| breach.rule == rule && breach.status == Some(status)));
        hub.forget();
    }
    assert!(hub.no_call().await);
}

#[tokio::test]
async fn in_dialog_requests_of_the_sbc_are_judged_by_target_route_and_place() {
    let (_directory, made) = lab();
    let mut sbc = sbc(&made).await;
    let hub = hub(&made, sbc.at).await;
    let connection = sbc.dial(hub.address(), "sip.pstnhub.microsoft.com").await;
    let port = sbc.at.port();
    connection.send(Bytes::from(invite(port, &offer())));
    let mut call = hub.incoming().await.expect("a call");
    let script = tokio::spawn(async move { call.answer("").await });
    let (_, _trying) = sbc.next().await;
    let (_, ok) = sbc.next().await;
    let ack = String::from_utf8(request("ACK", &ok, port, 1, "z9hG4bK2").to_vec()).expect("text");
    connection.send(Bytes::from(ack.replacen("x-i=", "x-I=", 1)));
    script.await.expect("no panic").expect("answered");
    let rules: Vec<&str> = hub.breaches().iter().map(|breach| breach.rule).collect();
    // The parameters of Contact were touched, and the ACK came to the wrong host.
    assert_eq!(rules, ["TDR-83", "TDR-83"]);
    // A CSeq that does not grow is refused; a dialog that is not there gets 481.
    hub.forget();
    connection.send(request("BYE", &ok, port, 1, "z9hG4bK3"));
    assert_eq!(sbc.next().await.1.status(), 500);
    let lost = String::from_utf8(request("BYE", &ok, port, 2, "z9hG4bK4").to_vec()).expect("text");
    connection.send(Bytes::from(lost.replace("Call-ID: one", "Call-ID: two")));
    assert_eq!(sbc.next().await.1.status(), 481);
    assert!(hub.breaches().iter().any(|breach| breach.rule == "RFC 3261 §12.2.2" && breach.status == Some(500)));
}

#[tokio::test]
async fn genesys_places_a_call_acknowledges_from_elsewhere_and_hangs_up() {
    let (_directory, made) = lab();
    let mut sbc = sbc(&made).await;
    let genesys = genesys(&made, sbc.at).await;
    let mut call = genesys.place(&Placed::new("+4917155501234", ALICE)).await.expect("placed");
    let (connection, invite) = sbc.next().await;
    assert_eq!((invite.list("Via").len(), invite.has("x-inin-cnv")), (2, true));
    let port = sbc.at.port();
    let answer = super::media::Media::hub(1).answer(invite.sdp().expect("an offer")).expect("an answer");
    let respond = |status: u16, sdp: Option<&str>| {
        let mut text = Text::response(false, &invite, status, super::text::phrase(status), "ours");
        text.lines(invite.all("Record-Route").map(|route| ("Record-Route", route)));
        text.line("Contact", &format!("<sip:{FQDN}:{port};transport=tls>")).line("Allow", "INVITE, ACK, BYE");
        text.finish(sdp)
    };
    connection.send(respond(180, None));
    connection.send(respond(200, Some(&answer)));
    call.ringing(180).await.expect("rings");
    call.answered().await.expect("answered");
    let (other, ack) = sbc.next().await;
    assert_eq!((ack.method(), ack.cseq()), ("ACK", 1));
    assert_ne!(other.remote.ip(), connection.remote.ip(), "the ACK comes from another address");
    // The 2xx once more gets its ACK once more.
    connection.send(respond(200, Some(&answer)));
    assert_eq!(sbc.next().await.1.method(), "ACK");
    let script = tokio::spawn(async move { call.hang_up().await });
    let (on, bye) = sbc.next().await;
    assert_eq!((bye.method(), bye.cseq(), bye.request_uri()), ("BYE", 2, &*format!("sip:{FQDN}:{port};transport=tls")));
    on.send(Text::response(false, &bye, 200, "OK", "").finish(None));
    script.await.expect("no panic").expect("hung up");
    assert_eq!(genesys.breaches(), vec![]);
}

#[tokio::test]
async fn genesys_judges_the_responses_it_gets() {
    let (_directory, made) = lab();
    let mut sbc = sbc(&made).await;
    let genesys = genesys(&made, sbc.at).await;
    let mut call = genesys.place(&Placed::new("+4917155501234", ALICE)).await.expect("placed");
    let (connection, invite) = sbc.next().await;
    let ring = |tag: &str| {
        let mut text = Text::response(false, &invite, 180, "Ringing", tag);
        text.line("Contact", &format!("<sip:{FQDN}:{};transport=tls>", sbc.at.port()));
        text.finish(None)
    };
    connection.send(ring("a"));
    connection.send(ring("b"));
    let busy = Text::response(false, &invite, 486, "Busy Here", "b").finish(None);
    connection.send(busy);
    call.refused(486).await.expect("busy");
    assert_eq!(sbc.next().await.1.method(), "ACK");
    let breaches = genesys.breaches();
    let rules: Vec<&str> = breaches.iter().map(|Breach { rule, .. }| *rule).collect();
    // No Record-Route in either, and the second has another tag.
    assert_eq!(rules, ["GEN-38", "GEN-38", "GEN-44"]);
}
