//! What a host is told to fail of, when it fails in one of the known ways (TDR-30 to 41).

use super::*;
use crate::trunk::diagnosis::Symptom;

impl Running {
    /// What the next message failed of.
    async fn symptom(&mut self) -> Symptom {
        loop {
            match self.arrival().await {
                // TLS 1.3 takes what is sent before it tells what it thinks of our certificate.
                Arrival::SendFailed { symptom, .. } | Arrival::FlowLost { symptom, .. } => return symptom,
                Arrival::Message { .. } | Arrival::Malformed { .. } => {}
            }
        }
    }
}

/// The symptom of a platform with this leaf, which takes connections and, `mutual`, wants a certificate of the site's
/// first authority.
fn of(mut site: Site, foreign: Option<Authority>, leaf: Leaf<'_>, mutual: bool) -> Symptom {
    // Its files have to stay.
    let _ours = foreign.map(|foreign| std::mem::replace(&mut site.authority, foreign));
    run(async {
        let mut site = site.start();
        let (listener, address) = platform().await;
        let acceptor = tokio_rustls::TlsAcceptor::from(server(&site, leaf, mutual));
        site.send(1, &hop(Transport::Tls, HUB, &[address])).unwrap();
        let serve = async {
            let stream = acceptor.accept(listener.accept().await.unwrap().0).await;
            // A stream that is up stays so.
            if let Ok(mut stream) = stream {
                let _ = read_options(&mut stream).await;
                std::future::pending::<()>().await;
            }
            std::future::pending::<()>().await
        };
        tokio::select! {
            symptom = site.symptom() => symptom,
            () = serve => unreachable!("it never ends"),
        }
    })
}

#[test]
fn what_is_wrong_with_the_certificate_of_a_host_is_told_tdr_11_to_13() {
    let hub = Leaf::named(&[HUB]);
    assert_eq!(of(Site::teams(), None, Leaf::named(&["other.example.com"]), false), Symptom::WrongName);
    assert_eq!(of(Site::teams(), None, Leaf { expired: true, ..hub }, false), Symptom::NotValidNow);
    assert_eq!(of(Site::teams(), None, Leaf { server_auth: false, ..hub }, false), Symptom::WrongPurpose);
    assert_eq!(of(Site::teams(), Some(Authority::new()), hub, false), Symptom::UnknownRoot);
}

#[test]
fn a_host_that_does_not_take_our_certificate_says_so_in_both_versions_tdr_5_to_9() {
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let mut site = Site::new().with(Transport::Tls, true, |trunk, policy| {
            trunk.expected_names = vec![HUB.into()];
            (policy.min_version, policy.max_version) = (version, version);
        });
        // Our identity is of an authority that the platform does not know.
        let stranger = Authority::new();
        site.identities.insert("public".into(), stranger.issue("public", Leaf::named(&[SBC])));
        assert_eq!(of(site, None, Leaf::named(&[HUB]), true), Symptom::OurCertificate, "{version:?}");
    }
}

#[test]
fn a_port_without_listener_without_tls_or_without_a_word_is_told_tdr_23() {
    run(async {
        let mut site = Site::teams();
        site.connections.handshake_timeout = Duration::from_millis(50);
        let mut site = site.start();
        let (closed, nobody) = platform().await;
        drop(closed);
        site.send(1, &hop(Transport::Tls, HUB, &[nobody])).unwrap();
        assert_eq!(site.symptom().await, Symptom::Refused);
        assert_eq!(site.symptom().await, Symptom::Refused, "of the flow as well");
        let (_silent, hanging) = platform().await;
        site.send(2, &hop(Transport::Tls, HUB, &[hanging])).unwrap();
        assert_eq!(site.symptom().await, Symptom::HandshakeTimeout);
        site.symptom().await;
        let (listener, plain) = platform().await;
        site.send(3, &hop(Transport::Tls, HUB, &[plain])).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SIP/2.0 400 Bad Request\r\n\r\n").await.unwrap();
        assert_eq!(site.symptom().await, Symptom::NoTls);
    });
}

#[test]
fn a_name_that_leads_nowhere_or_to_strangers_is_told_tdr_20_tdr_21() {
    run(async {
        let mut site = Site::tcp();
        let name = "sip-du-a-eu.pstnhub.example.com";
        site.hosts.insert(name.into(), SmallVec::from_iter([IpAddr::from([127, 0, 0, 99])]));
        let mut site = site.start();
        site.send(1, &hop(Transport::Tcp, name, &[])).unwrap();
        assert_eq!(site.symptom().await, Symptom::Foreign);
        site.symptom().await;
        site.send(2, &hop(Transport::Tcp, "sip.invalid", &[])).unwrap();
        assert_eq!(site.symptom().await, Symptom::NotResolved);
        let outside = hop(Transport::Tcp, HUB, &[SocketAddr::from(([127, 0, 0, 99], 5060))]);
        assert_eq!(site.send(3, &outside).unwrap_err().symptom(), Symptom::Foreign);
    });
}
