//! Identities and trust that change under connections that live (TDR-14).

use super::*;
use crate::settings::Trust;

impl Running {
    /// What the control plane does at a reload.
    fn reload(&self) -> Vec<TlsFault> {
        let (state, faults) = self.site.state(Some(&self.state.load().tls));
        self.state.store(Arc::new(state));
        self.endpoint.recycle();
        faults
    }

    fn generation(&self) -> u64 {
        self.state.load().tls.trunk(TrunkId(0)).unwrap().generation
    }

    fn serial(&self) -> String {
        self.state.load().tls.trunk(TrunkId(0)).unwrap().certificate.serial.clone()
    }
}

fn serial_shown(stream: &tokio_rustls::client::TlsStream<TcpStream>) -> String {
    CertificateFacts::read(&stream.get_ref().1.peer_certificates().unwrap()[0]).unwrap().serial
}

#[test]
fn tdr_14_a_renewed_identity_is_shown_at_once_and_old_connections_end_in_time() {
    run(async {
        let mut site = Site::genesys();
        site.recycle_timeout = Duration::from_millis(50);
        let mut site = site.start();
        let mut old = site.call(site.client(None), SBC).await.unwrap();
        let before = site.serial();
        assert_eq!(serial_shown(&old), before);
        let (listener, address) = platform().await;
        let acceptor = tokio_rustls::TlsAcceptor::from(server(&site, Leaf::named(&[HUB]), false));
        let hop = hop(Transport::Tls, HUB, &[address]);
        let dialled = site.send(1, &hop).unwrap();
        let mut platform = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        read_options(&mut platform).await.unwrap();

        site.site.authority.issue("public", Leaf::named(&[SBC]));
        assert!(site.reload().is_empty());
        assert_ne!(site.serial(), before);
        let new = site.call(site.client(None), SBC).await.unwrap();
        assert_eq!(serial_shown(&new), site.serial());
        assert_ne!(site.send(2, &hop).unwrap(), dialled, "new requests use a new connection");
        // The old ones work until the time is over.
        assert_eq!(old.read(&mut [0; 8]).await.unwrap_or(0), 0);
        let mut lost = 0;
        while lost < 2 {
            if let Arrival::FlowLost { reason, .. } = site.arrival().await {
                assert_eq!(reason, "identity or trust was replaced");
                lost += 1;
            }
        }
        assert_eq!(site.counters.recycled.count(), 2);
    });
}

#[test]
fn a_reload_that_changes_nothing_keeps_connections_and_generation() {
    run(async {
        let site = Site::teams().start();
        let mut stream = site.call(site.client(Some(Leaf::named(&[HUB]))), SBC).await.unwrap();
        let server = site.state.load().tls.trunk(TrunkId(0)).unwrap().server.clone();
        assert!(site.reload().is_empty());
        assert_eq!(site.generation(), 1);
        assert!(Arc::ptr_eq(&server, &site.state.load().tls.trunk(TrunkId(0)).unwrap().server));
        ping(&mut stream).await.unwrap();
    });
}

#[test]
fn a_bad_pair_leaves_the_old_identity_in_force_and_says_so() {
    run(async {
        let site = Site::genesys().start();
        let files = site.site.identities["public"].clone();
        let other = site.site.authority.issue("other", Leaf { ecdsa: true, ..Leaf::named(&[SBC]) });
        std::fs::copy(other.key, &files.key).unwrap();
        let faults = site.reload();
        assert!(faults[0].kept && faults[0].to_string().contains("public"), "{faults:?}");
        assert!(!read_identity(&files).unwrap().key_matches);
        site.call(site.client(None), SBC).await.unwrap();
        assert_eq!(site.generation(), 1);
        std::fs::remove_file(&files.certificate).unwrap();
        assert!(matches!(site.reload()[0].error, CertificateError::File { .. }));
        site.call(site.client(None), SBC).await.unwrap();
    });
}

#[test]
fn without_anything_before_a_bad_identity_is_a_fault_that_keeps_nothing() {
    let mut site = Site::genesys();
    site.identities.clear();
    let (state, faults) = site.state(None);
    assert!(!faults[0].kept && state.tls.trunk(TrunkId(0)).is_none());
}

#[test]
fn trust_that_changed_ends_sessions_that_could_be_resumed() {
    run(async {
        let mut site = Site::teams().start();
        let client = site.client(Some(Leaf::named(&[HUB])));
        site.call(client.clone(), SBC).await.unwrap();
        // The same client, with its session, after its authority was taken away.
        let foreign = Authority::new();
        let mut settings = site.site.trunks[0].clone();
        settings.tls.as_mut().unwrap().trust = Trust::Files(vec![foreign.root_file()]);
        site.site.trunks[0] = settings;
        assert!(site.reload().is_empty());
        assert_eq!(site.generation(), 2);
        site.call(client, SBC).await.expect_err("the session must not be resumed");
    });
}

#[test]
fn a_peer_that_is_no_trunks_any_more_is_cut_and_another_gets_its_new_trunks() {
    run(async {
        let mut site =
            Site::tcp().with(Transport::Tcp, false, |trunk, _| trunk.sources = vec!["192.0.2.1/32".parse().unwrap()]);
        site.recycle_timeout = Duration::from_secs(60);
        let mut site = site.start();
        let mut stream = TcpStream::connect(site.tcp).await.unwrap();
        stream.write_all(OPTIONS).await.unwrap();
        assert_eq!(site.message().await.2.trunks[..], [TrunkId(0)]);
        let sources = |site: &mut Running, at: usize, range: &str| {
            let mut trunk = Trunk::clone(&site.site.trunks[at].trunk);
            trunk.sources = vec![range.parse().unwrap()];
            site.site.trunks[at].trunk = Arc::new(trunk);
        };
        sources(&mut site, 1, "127.0.0.0/8");
        site.reload();
        stream.write_all(OPTIONS).await.unwrap();
        let (_, flow, peer) = site.message().await;
        assert_eq!(peer.trunks[..], [TrunkId(0), TrunkId(1)]);
        sources(&mut site, 0, "192.0.2.1/32");
        sources(&mut site, 1, "192.0.2.1/32");
        site.reload();
        assert_eq!(site.lost(flow).await, "no trunk has this peer any more");
    });
}

#[test]
fn facts_of_an_identity_tell_what_check_needs() {
    let authority = Authority::new();
    let files = authority.issue("facts", Leaf { client_auth: false, ..Leaf::named(&["*.example.com"]) });
    let facts = read_identity(&files).unwrap();
    let leaf = facts.leaf().unwrap();
    assert_eq!((leaf.key, facts.chain.len(), facts.broken_at), (KeyKind::Rsa(2048), 2, None));
    assert!(leaf.covers(SBC) && !leaf.covers("a.sbc1.example.com") && !leaf.covers("example.com"));
    assert!(leaf.server_auth && !leaf.client_auth && !leaf.authority && !leaf.self_issued && facts.key_matches);
    assert_eq!(leaf.common_name.as_deref(), Some("*.example.com"));
    assert!(facts.chain[1].authority);
    let trust = Trust::Files(vec![authority.root_file()]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(chain_fault(&files.certificate, &trust, now).unwrap(), None);
    let expiry = u64::try_from(leaf.not_after).unwrap();
    assert!(chain_fault(&files.certificate, &trust, expiry + 1).unwrap().unwrap().contains("xpired"));
    let other = Authority::new();
    let foreign = Trust::Files(vec![other.root_file()]);
    assert!(chain_fault(&files.certificate, &foreign, now).unwrap().unwrap().contains("UnknownIssuer"));
    // Without the intermediate the chain does not lead anywhere (TDR-6).
    let whole = std::fs::read_to_string(&files.certificate).unwrap();
    let end = "-----END CERTIFICATE-----";
    let leaf_only = &whole[..whole.find(end).unwrap() + end.len()];
    std::fs::write(&files.certificate, leaf_only).unwrap();
    assert!(chain_fault(&files.certificate, &trust, now).unwrap().is_some());
}
