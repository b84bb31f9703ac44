//! Platforms that we call: whose certificate is good, what we show, which address is used.

use super::*;

/// Dials `host` at a platform with this leaf; the reason when that fails.
fn dialled(site: Site, host: &str, leaf: Leaf<'_>) -> Result<(), String> {
    run(async {
        let mut site = site.start();
        let (listener, address) = platform().await;
        let acceptor = tokio_rustls::TlsAcceptor::from(server(&site, leaf, false));
        site.send(1, &hop(Transport::Tls, host, &[address])).unwrap();
        let serve = async {
            let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await?;
            read_options(&mut stream).await
        };
        tokio::select! {
            biased;
            Arrival::SendFailed { reason, .. } = site.arrival() => Err(reason),
            Ok(()) = serve => Ok(()),
        }
    })
}

#[test]
fn tdr_16_the_dialled_name_on_the_certificate_is_enough() {
    dialled(Site::genesys(), HUB, Leaf::named(&[HUB])).unwrap();
}

#[test]
fn gen_33_a_platforms_own_name_needs_to_be_expected() {
    let voice = Leaf::named(&["voice.example.com"]);
    let error = dialled(Site::genesys(), HUB, voice).unwrap_err();
    assert!(error.contains(HUB) && error.contains("voice.example.com"), "both names are told: {error}");
    let site =
        Site::new().with(Transport::Tls, false, |trunk, _| trunk.expected_names = vec!["voice.example.com".into()]);
    dialled(site, HUB, voice).unwrap();
    let site =
        Site::new().with(Transport::Tls, false, |trunk, _| trunk.expected_names = vec!["other.example.com".into()]);
    let error = dialled(site, HUB, voice).unwrap_err();
    assert!(error.contains("other.example.com") && error.contains("voice.example.com"), "{error}");
}

#[test]
fn tdr_13_hosts_of_the_hub_show_the_one_promised_name() {
    dialled(Site::teams(), "sip-du-a-eu.pstnhub.example.com", Leaf { client_auth: false, ..Leaf::named(&[HUB]) })
        .unwrap();
}

#[test]
fn tdr_8_a_wildcard_of_a_server_covers_one_label() {
    dialled(Site::genesys(), HUB, Leaf::named(&["*.pstnhub.example.com"])).unwrap();
    dialled(Site::genesys(), HUB, Leaf::named(&["*.example.com"])).unwrap_err();
}

#[test]
fn a_server_that_is_expired_or_for_clients_only_is_refused() {
    for leaf in [Leaf { expired: true, ..Leaf::named(&[HUB]) }, Leaf { server_auth: false, ..Leaf::named(&[HUB]) }] {
        let error = dialled(Site::teams(), HUB, leaf).unwrap_err();
        assert!(error.contains("certificate"), "{error}");
    }
}

#[test]
fn gen_34_roots_are_trusted_and_nothing_below_them() {
    let mut site = Site::genesys();
    let (foreign, ours) = (Authority::new(), std::mem::replace(&mut site.authority, Authority::new()));
    // Trust stays with the first authority; the platform now has another's certificate.
    site.authority = foreign;
    let error = dialled(site, HUB, Leaf::named(&[HUB])).unwrap_err();
    assert!(error.contains("UnknownIssuer"), "{error}");
    drop(ours);
}

#[test]
fn gen_34_leaf_and_intermediate_may_be_issued_anew_under_one_root_while_we_run() {
    run(async {
        let mut site = Site::genesys().start();
        for token in 1..=2 {
            let (listener, address) = platform().await;
            let acceptor = tokio_rustls::TlsAcceptor::from(server(&site, Leaf::named(&[HUB]), false));
            let flow = site.send(token, &hop(Transport::Tls, HUB, &[address])).unwrap();
            let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
            read_options(&mut stream).await.unwrap();
            // The platform hangs up, and comes back with certificates that nobody has seen before.
            drop(stream);
            site.lost(flow).await;
            site.site.authority.renew_intermediate();
        }
    });
}

#[test]
fn tdr_5_and_16_our_certificate_and_the_dialled_name_are_shown() {
    run(async {
        let site = Site::teams().start();
        let (listener, address) = platform().await;
        let acceptor = tokio_rustls::TlsAcceptor::from(server(&site, Leaf::named(&[HUB]), true));
        site.send(1, &hop(Transport::Tls, "sip2.pstnhub.example.com", &[address])).unwrap();
        let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        read_options(&mut stream).await.unwrap();
        let session = stream.get_ref().1;
        assert_eq!(session.server_name(), Some("sip2.pstnhub.example.com"));
        let shown = session.peer_certificates().unwrap();
        assert_eq!((names_of(&shown[0]), shown.len()), (vec![SBC.to_owned()], 2));
    });
}

#[test]
fn requests_that_come_back_on_a_dialled_connection_are_the_trunks() {
    run(async {
        let mut site = Site::teams().start();
        let (listener, address) = platform().await;
        let acceptor = tokio_rustls::TlsAcceptor::from(server(&site, Leaf::named(&[HUB]), false));
        let flow = site.send(1, &hop(Transport::Tls, HUB, &[address])).unwrap();
        let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        stream.write_all(OPTIONS).await.unwrap();
        let (_, came_on, peer) = site.message().await;
        assert_eq!((came_on, peer.source, peer.listener), (flow, address, None));
        assert_eq!((&peer.names[..], &peer.trunks[..]), (&[HUB.to_owned()][..], &[TrunkId(0)][..]));
    });
}

#[test]
fn gen_37_fifty_messages_use_one_connection_and_its_loss_makes_a_new_one() {
    run(async {
        let mut site = Site::tcp().start();
        let (listener, address) = platform().await;
        let hop = hop(Transport::Tcp, HUB, &[address]);
        let flows: Vec<_> = (0..50).map(|n| site.send(n, &hop).unwrap()).collect();
        assert!(flows.iter().all(|flow| *flow == flows[0]));
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..50 {
            read_options(&mut stream).await.unwrap();
        }
        assert_eq!((site.endpoint.gauges().connections, site.counters.dials.count()), (1, 1));
        drop(stream);
        assert_eq!(site.lost(flows[0]).await, "closed by the peer");
        let again = site.send(50, &hop).unwrap();
        assert_ne!(again, flows[0]);
        read_options(&mut listener.accept().await.unwrap().0).await.unwrap();
    });
}

#[test]
fn another_address_is_tried_while_no_octet_has_left() {
    run(async {
        let mut site = Site::tcp().start();
        let (closed, nobody) = platform().await;
        drop(closed);
        let (listener, address) = platform().await;
        let hop = hop(Transport::Tcp, HUB, &[nobody, address]);
        let flow = site.send(1, &hop).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        read_options(&mut stream).await.unwrap();
        // The address that failed is passed over for a while: the connection serves on.
        assert_eq!(site.send(2, &hop).unwrap(), flow);
        read_options(&mut stream).await.unwrap();
        drop(stream);
        site.lost(flow).await;
    });
}

#[test]
fn what_waits_for_a_connection_that_fails_is_reported_then_the_flow() {
    run(async {
        let mut site = Site::tcp().start();
        let (closed, nobody) = platform().await;
        drop(closed);
        let hop = hop(Transport::Tcp, HUB, &[nobody]);
        let flow = site.send(1, &hop).unwrap();
        assert_eq!(site.send(2, &hop).unwrap(), flow);
        assert!(site.failed(1).await.contains("refused"));
        site.failed(2).await;
        site.lost(flow).await;
        assert_eq!((site.endpoint.gauges().connections, site.counters.dial_failures.count()), (0, 1));
    });
}

#[test]
fn a_handshake_that_hangs_lets_the_next_address_have_its_turn() {
    run(async {
        let mut site = Site::genesys();
        site.connections.handshake_timeout = Duration::from_millis(50);
        let site = site.start();
        let (_silent, hanging) = platform().await;
        let (listener, address) = platform().await;
        let acceptor = tokio_rustls::TlsAcceptor::from(server(&site, Leaf::named(&[HUB]), false));
        site.send(1, &hop(Transport::Tls, HUB, &[hanging, address])).unwrap();
        let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        read_options(&mut stream).await.unwrap();
        assert_eq!(site.counters.handshake_timeouts.count(), 1);
    });
}

#[test]
fn tdr_125_a_connect_that_hangs_lets_the_next_address_have_its_turn() {
    run(async {
        let mut site = Site::tcp();
        site.connections.connect_timeout = Duration::from_millis(50);
        let site = site.start();
        // Its queue holds one connection that nobody takes: a SYN for another goes unanswered.
        let full = tokio::net::TcpSocket::new_v4().unwrap();
        full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = full.listen(0).unwrap();
        let hanging = full.local_addr().unwrap();
        let _queued = tokio::net::TcpStream::connect(hanging).await.unwrap();
        let (listener, address) = platform().await;
        site.send(1, &hop(Transport::Tcp, HUB, &[hanging, address])).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        read_options(&mut stream).await.unwrap();
    });
}

#[test]
fn addresses_outside_the_trunks_ranges_are_refused_and_counted() {
    run(async {
        let mut site = Site::tcp();
        site.hosts
            .insert("sip-du-a-eu.pstnhub.example.com".into(), SmallVec::from_iter([IpAddr::from([127, 0, 0, 99])]));
        let mut site = site.start();
        let outside = SocketAddr::from(([127, 0, 0, 99], 5060));
        assert_eq!(site.send(1, &hop(Transport::Tcp, HUB, &[outside])), Err(SendError::Forbidden));
        // A name of mid-dialog that the snapshot does not know is resolved first, under the same rule (TDR-83).
        let flow = site.send(2, &hop(Transport::Tcp, "sip-du-a-eu.pstnhub.example.com", &[])).unwrap();
        assert!(site.failed(2).await.contains("ranges"));
        site.lost(flow).await;
        assert_eq!(site.counters.forbidden_addresses.count(), 2);
    });
}

#[test]
fn a_name_of_mid_dialog_is_resolved_when_needed() {
    run(async {
        let mut site = Site::tcp();
        site.hosts
            .insert("sip-du-a-eu.pstnhub.example.com".into(), SmallVec::from_iter([IpAddr::from([127, 0, 0, 1])]));
        let site = site.start();
        let (listener, address) = platform().await;
        let hop = Hop { port: address.port(), ..hop(Transport::Tcp, "sip-du-a-eu.pstnhub.example.com", &[]) };
        let flow = site.send(1, &hop).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        read_options(&mut stream).await.unwrap();
        assert_eq!(site.send(2, &hop).unwrap(), flow, "the connection is found by its name");
        read_options(&mut stream).await.unwrap();
    });
}

#[test]
fn rfc_5923_a_connection_offered_with_alias_carries_requests_to_the_name_it_proved() {
    run(async {
        let mut site = Site::teams().start();
        let mut stream = site.call(site.client(Some(Leaf::named(&[HUB]))), SBC).await.unwrap();
        stream.write_all(OPTIONS).await.unwrap();
        let (_, flow, _) = site.message().await;
        let back = hop(Transport::Tls, HUB, &[SocketAddr::from(([127, 0, 0, 1], 5061))]);
        assert_eq!(site.send(1, &back).unwrap(), flow);
        read_options(&mut stream).await.unwrap();
        // Another name is not proved, so that one would be dialled.
        let other = hop(Transport::Tls, "sip2.pstnhub.example.com", &[]);
        assert_ne!(site.send(2, &other).unwrap(), flow);
    });
}

#[test]
fn gen_37_a_connection_offered_without_alias_carries_answers_only() {
    run(async {
        let mut site = Site::teams().start();
        let mut stream = site.call(site.client(Some(Leaf::named(&[HUB]))), SBC).await.unwrap();
        let plain = String::from_utf8(OPTIONS.to_vec()).unwrap().replace(";alias", "");
        assert_ne!(plain.as_bytes(), OPTIONS);
        stream.write_all(plain.as_bytes()).await.unwrap();
        let (_, flow, _) = site.message().await;
        let back = hop(Transport::Tls, HUB, &[SocketAddr::from(([127, 0, 0, 1], 5061))]);
        assert_ne!(site.send(1, &back).unwrap(), flow, "a request of ours is dialled");
        let answer = Bytes::from_static(b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(site.endpoint.send(Token(2), &Destination::Flow(flow), answer).unwrap(), flow);
        let mut octets = [0; 14];
        stream.read_exact(&mut octets).await.unwrap();
        assert_eq!(&octets, b"SIP/2.0 200 OK");
    });
}

#[test]
fn keep_alives_go_out_on_connections_that_we_opened() {
    run(async {
        let mut site = Site::tcp();
        site.connections.keepalive = Duration::from_millis(20);
        let site = site.start();
        let (listener, address) = platform().await;
        site.send(1, &hop(Transport::Tcp, HUB, &[address])).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        read_options(&mut stream).await.unwrap();
        for _ in 0..2 {
            let mut ping = [0; 4];
            stream.read_exact(&mut ping).await.unwrap();
            assert_eq!(&ping, b"\r\n\r\n");
            stream.write_all(b"\r\n").await.unwrap();
        }
    });
}

#[test]
fn a_peer_that_does_not_read_is_cut() {
    run(async {
        let mut site = Site::tcp();
        site.connections.write_queue = 64 * 1024;
        let mut site = site.start();
        let (listener, address) = platform().await;
        let hop = Arc::new(hop(Transport::Tcp, HUB, &[address]));
        let to = Destination::Hop(hop);
        let octets = Bytes::from(vec![b'x'; 16 * 1024]);
        let mut sent = 0;
        let mut stream = None;
        // The system's own buffers take some megabytes first.
        let error = loop {
            match site.endpoint.send(Token(sent), &to, octets.clone()) {
                Ok(_) => sent += 1,
                Err(error) => break error,
            }
            match &stream {
                None => stream = Some(listener.accept().await.unwrap()),
                Some(_) => tokio::task::yield_now().await,
            }
            assert!(sent < 4096, "never cut");
        };
        assert_eq!(error, SendError::SlowPeer);
        let reason = loop {
            match site.arrival().await {
                Arrival::SendFailed { .. } => {}
                Arrival::FlowLost { reason, .. } => break reason,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((reason.as_str(), site.counters.slow_peers.count()), ("peer too slow", 1));
    });
}
