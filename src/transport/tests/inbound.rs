//! Peers that call us: identity, policy, certificate, names.

use super::*;
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpSocket;

/// A certificate like the hub's since 2026: for servers only.
fn hub() -> Leaf<'static> {
    Leaf { client_auth: false, ..Leaf::named(&[HUB]) }
}

fn refused(site: Site, client: impl FnOnce(&Running) -> ClientConfig) -> (String, Arc<Counters>) {
    run(async {
        let site = site.start();
        let error = site.call(client(&site), SBC).await.expect_err("refused");
        // The peer may know of its refusal before the task that refused it has counted.
        while site.counters.handshake_failures.count() == 0 {
            tokio::task::yield_now().await;
        }
        (error.to_string(), site.counters.clone())
    })
}

#[test]
fn tdr_5_the_hub_must_prove_a_certificate() {
    let (_, counters) = refused(Site::teams(), |site| site.client(None));
    assert_eq!(counters.handshake_failures.count(), 1);
}

#[test]
fn tdr_12_a_client_certificate_for_servers_only_is_accepted() {
    run(async {
        let mut site = Site::teams().start();
        let mut stream = site.call(site.client(Some(hub())), SBC).await.unwrap();
        stream.write_all(OPTIONS).await.unwrap();
        let (message, _, peer) = site.message().await;
        assert_eq!(message.octets(), OPTIONS);
        assert_eq!(peer.names, [HUB]);
        assert_eq!(peer.trunks[..], [TrunkId(0)]);
        assert_eq!(peer.listener, Some(ListenerId(0)));
    });
}

#[test]
fn tdr_12_a_client_certificate_for_clients_only_is_accepted() {
    run(async {
        let site = Site::teams().start();
        let leaf = Leaf { server_auth: false, ..Leaf::named(&[HUB]) };
        site.call(site.client(Some(leaf)), SBC).await.unwrap();
    });
}

#[test]
fn tdr_13_a_client_certificate_without_the_hubs_name_is_refused() {
    let (error, counters) = refused(Site::teams(), |site| site.client(Some(Leaf::named(&["sip.evil.example.net"]))));
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    assert_eq!(counters.wrong_names.count(), 1);
}

#[test]
fn tdr_8_a_wildcard_covers_one_label_and_no_more() {
    run(async {
        let site = Site::teams().start();
        site.call(site.client(Some(Leaf::named(&["*.pstnhub.example.com"]))), SBC).await.unwrap();
        let deep = site.client(Some(Leaf::named(&["*.example.com"])));
        site.call(deep, SBC).await.expect_err("two labels");
    });
}

#[test]
fn tdr_11_a_client_certificate_of_a_foreign_authority_is_refused() {
    refused(Site::teams(), |site| {
        let (chain, key) = load(&Authority::new().issue("foreign", hub()));
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(site.site.authority.roots())
            .with_client_auth_cert(chain, key)
            .unwrap()
    });
}

#[test]
fn an_expired_client_certificate_is_refused_whatever_its_purpose() {
    for client_auth in [false, true] {
        refused(Site::teams(), |site| site.client(Some(Leaf { expired: true, client_auth, ..Leaf::named(&[HUB]) })));
    }
}

#[test]
fn gen_29_genesys_needs_no_certificate() {
    run(async {
        let mut site = Site::genesys().start();
        let mut stream = site.call(site.client(None), SBC).await.unwrap();
        stream.write_all(OPTIONS).await.unwrap();
        let (.., peer) = site.message().await;
        assert!(peer.names.is_empty() && peer.trunks[..] == [TrunkId(0)]);
    });
}

#[test]
fn gen_28_a_trunk_can_be_pinned_to_tls_1_2() {
    run(async {
        let site = Site::genesys().start();
        let stream = site.call(site.client(None), SBC).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
        site.call(site.client_speaking(None, &[&TLS13]), SBC).await.expect_err("1.3 only");
    });
}

#[test]
fn tdr_2_tls_1_2_and_1_3_are_spoken_with_the_hub() {
    run(async {
        let site = Site::teams().start();
        for (versions, spoken) in [(&[&TLS12], "TLSv1_2"), (&[&TLS13], "TLSv1_3")] {
            let stream = site.call(site.client_speaking(Some(hub()), versions), SBC).await.unwrap();
            assert_eq!(format!("{:?}", stream.get_ref().1.protocol_version().unwrap()), spoken);
        }
    });
}

#[test]
fn tdr_2_tls_1_1_is_refused_with_an_alert() {
    run(async {
        let site = Site::teams().start();
        let mut stream = TcpStream::connect(site.tls).await.unwrap();
        // A ClientHello of TLS 1.1 with one suite, RSA with AES-128-CBC, and no extensions.
        let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
        hello.extend([7; 32]);
        hello.extend([0, 0, 2, 0x00, 0x2f, 1, 0]);
        stream.write_all(&hello).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer.first(), Some(&0x15), "an alert record");
    });
}

#[test]
fn gen_31_and_tdr_3_p_384_with_either_rsa_gcm_suite_suffices() {
    use rustls::crypto::aws_lc_rs::{cipher_suite, kx_group};
    run(async {
        let site = Site::genesys().start();
        for suite in
            [cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]
        {
            let narrow = rustls::crypto::CryptoProvider {
                kx_groups: vec![kx_group::SECP384R1],
                cipher_suites: vec![suite],
                ..(*provider()).clone()
            };
            let config = ClientConfig::builder_with_provider(Arc::new(narrow))
                .with_protocol_versions(&[&TLS12])
                .unwrap()
                .with_root_certificates(site.site.authority.roots())
                .with_no_client_auth();
            let stream = site.call(config, SBC).await.unwrap();
            assert_eq!(stream.get_ref().1.negotiated_cipher_suite().unwrap().suite(), suite.suite());
        }
    });
}

#[test]
fn tdr_6_the_full_chain_is_sent() {
    run(async {
        let site = Site::genesys().start();
        // The client knows the root only: without the intermediate it could not get here.
        let stream = site.call(site.client(None), SBC).await.unwrap();
        assert_eq!(stream.get_ref().1.peer_certificates().unwrap().len(), 2);
    });
}

#[test]
fn gen_32_an_ecdsa_identity_fails_clients_that_speak_rsa_only() {
    use rustls::crypto::aws_lc_rs::cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384;
    let mut site = Site::genesys();
    let files = site.authority.issue("ecdsa", Leaf { ecdsa: true, ..Leaf::named(&[SBC]) });
    assert!(matches!(read_identity(&files).unwrap().leaf().unwrap().key, KeyKind::Ec(256)));
    site.identities.insert("public".into(), files);
    refused(site, |site| {
        let rsa = rustls::crypto::CryptoProvider {
            cipher_suites: vec![TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384],
            ..(*provider()).clone()
        };
        ClientConfig::builder_with_provider(Arc::new(rsa))
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .with_root_certificates(site.site.authority.roots())
            .with_no_client_auth()
    });
}

#[test]
fn gen_35_sni_chooses_the_identity_and_without_one_the_first_is_used() {
    run(async {
        let mut site = Site::genesys();
        let other = site.authority.issue("other", Leaf::named(&["other.example.com", "127.0.0.1"]));
        site.identities.insert("other".into(), other);
        let first = site.authority.issue("first", Leaf::named(&[SBC, "127.0.0.1", "unknown.example.com"]));
        site.identities.insert("public".into(), first);
        let mut site = site
            .with(Transport::Tls, false, |trunk, policy| {
                trunk.fqdn = "other.example.com".into();
                policy.identity = "other".into();
            })
            .start();
        let mut open = Vec::new();
        // An address is dialled without SNI.
        for (name, trunk) in [("other.example.com", 1), ("127.0.0.1", 0), ("unknown.example.com", 0), (SBC, 0)] {
            let mut stream = site.call(site.client(None), name).await.unwrap();
            stream.write_all(OPTIONS).await.unwrap();
            let (.., peer) = site.message().await;
            assert_eq!(peer.trunks[..], [TrunkId(trunk)], "{name}");
            open.push(stream);
        }
    });
}

#[test]
fn trunks_with_one_policy_are_told_apart_by_names_or_left_to_the_core() {
    run(async {
        let mut site = Site::teams()
            .with(Transport::Tls, true, |trunk, _| trunk.expected_names = vec![HUB.into()])
            .with(Transport::Tls, true, |trunk, _| trunk.expected_names = vec!["lab.example.com".into()])
            .start();
        let mut stream = site.call(site.client(Some(hub())), SBC).await.unwrap();
        stream.write_all(OPTIONS).await.unwrap();
        let (.., peer) = site.message().await;
        assert_eq!(peer.trunks[..], [TrunkId(0), TrunkId(1)]);
    });
}

#[test]
fn a_stranger_is_dropped_before_tls() {
    run(async {
        let site =
            Site::new().with(Transport::Tls, false, |trunk, _| trunk.sources = vec!["192.0.2.0/24".parse().unwrap()]);
        let site = site.start();
        let mut stream = TcpStream::connect(site.tls).await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
        assert_eq!((site.counters.strangers.count(), site.counters.accepted.count()), (1, 0));
    });
}

#[test]
fn a_handshake_that_never_comes_is_ended() {
    run(async {
        let mut site = Site::teams();
        site.connections.handshake_timeout = Duration::from_millis(30);
        let site = site.start();
        let mut stream = TcpStream::connect(site.tls).await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
        assert_eq!(site.counters.handshake_timeouts.count(), 1);
        assert_eq!(site.endpoint.gauges(), Gauges::default());
    });
}

#[test]
fn handshakes_beyond_the_bound_are_refused() {
    run(async {
        let mut site = Site::teams();
        site.connections.max_handshakes = 1;
        let site = site.start();
        let _first = TcpStream::connect(site.tls).await.unwrap();
        let mut second = TcpStream::connect(site.tls).await.unwrap();
        assert_eq!(second.read(&mut [0; 1]).await.unwrap_or(0), 0);
        assert_eq!(site.counters.overload_refused.count(), 1);
    });
}

#[test]
fn the_peers_of_one_trunk_leave_half_of_the_places_to_the_others() {
    run(async {
        for transport in [Transport::Tls, Transport::Tcp] {
            let from = |source: &str| vec![format!("{source}/32").parse().unwrap()];
            let mut site = Site::new().with(transport, false, |trunk, _| trunk.sources = from("127.0.0.1")).with(
                transport,
                false,
                |trunk, _| trunk.sources = from("127.0.0.2"),
            );
            (site.connections.max_handshakes, site.connections.max_connections) = match transport {
                Transport::Tls => (3, 100),
                _ => (8, 3),
            };
            let site = site.start();
            let address = if transport == Transport::Tls { site.tls } else { site.tcp };
            let connect = async |source: &str| {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
                socket.connect(address).await.unwrap()
            };
            let (first, _second) = (connect("127.0.0.1").await, connect("127.0.0.1").await);
            let mut third = connect("127.0.0.1").await;
            assert_eq!(third.read(&mut [0; 1]).await.unwrap_or(0), 0);
            assert_eq!(site.counters.overload_refused.count(), 1);
            // Answered in the order in which they came: what is refused after it shows that the other was not.
            let _other = connect("127.0.0.2").await;
            let mut last = connect("127.0.0.2").await;
            assert_eq!(last.read(&mut [0; 1]).await.unwrap_or(0), 0);
            assert_eq!(site.counters.overload_refused.count(), 2);
            drop(first);
            let held = || site.endpoint.gauges().handshakes + site.endpoint.gauges().connections;
            while held() > 2 {
                tokio::task::yield_now().await;
            }
            let _again = connect("127.0.0.1").await;
            while held() < 3 {
                tokio::task::yield_now().await;
            }
        }
    });
}
