//! TLS with the other stack of this world: `openssl s_client` calls us, `openssl s_server` is called.
//!
//! What rustls says of itself is tested elsewhere; here an independent peer says what it saw.

use super::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The suites for TLS 1.2 that both platforms list and rustls has (TDR-3, GEN-31).
const SUITES: [&str; 2] = ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"];

/// Those that Genesys lists besides: no forward secrecy, or CBC.
const FOREGONE: [&str; 4] = ["AES256-SHA", "AES128-GCM-SHA256", "AES256-GCM-SHA384", "ECDHE-RSA-AES256-SHA"];

/// The groups, as options name them and as `s_client` tells them.
const GROUPS: [(&str, &str); 3] =
    [("P-256", "ECDH, prime256v1, 256 bits"), ("P-384", "ECDH, secp384r1, 384 bits"), ("X25519", "X25519, 253 bits")];

fn openssl(arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a process says until it ends, on both streams.
fn told(mut child: Child, mut out: impl Read) -> String {
    let (mut text, mut error) = (Vec::new(), Vec::new());
    out.read_to_end(&mut text).unwrap();
    child.stderr.take().unwrap().read_to_end(&mut error).unwrap();
    child.wait().unwrap();
    String::from_utf8_lossy(&[text, error].concat()).into_owned()
}

impl Running {
    /// Is called by `s_client`, which sends one OPTIONS; what `s_client` says, as an error when the OPTIONS
    /// did not arrive.
    async fn called(&mut self, arguments: &[&str]) -> Result<String, String> {
        let (address, root) = (self.tls.to_string(), self.site.authority.root_file());
        let mut command = openssl(&["s_client", "-connect", &address, "-brief", "-ign_eof", "-verify_return_error"]);
        command.arg("-CAfile").arg(root).args(["-verify_hostname", SBC]).args(arguments);
        let mut child = command.spawn().expect("openssl is installed by scripts/setup.sh");
        let mut client = tokio::task::spawn_blocking(move || {
            // A client that was refused may be gone already.
            let _ = child.stdin.take().unwrap().write_all(OPTIONS);
            let out = child.stdout.take().unwrap();
            told(child, out)
        });
        let flow = tokio::select! {
            Some(Arrival::Message { flow, .. }) = self.arrivals.recv() => flow,
            told = &mut client => return Err(told.unwrap()),
        };
        self.endpoint.close(flow);
        self.lost(flow).await;
        Ok(client.await.unwrap())
    }

    /// Calls `s_server`, which has this identity, with one OPTIONS; what `s_server` says, or why we ended it.
    async fn calls(&mut self, identity: &IdentityFiles, arguments: &[&str]) -> Result<String, String> {
        let mut command = openssl(&["s_server", "-accept", "127.0.0.1:0", "-naccept", "1"]);
        command.arg("-cert_chain").arg(&identity.certificate).arg("-cert").arg(&identity.certificate);
        command.arg("-key").arg(&identity.key).args(arguments);
        let mut child = command.spawn().expect("openssl is installed by scripts/setup.sh");
        let mut out = BufReader::new(child.stdout.take().unwrap());
        // It takes the end of its input for the end of the connection.
        let input = child.stdin.take();
        let mut line = String::new();
        while !line.starts_with("ACCEPT ") {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0, "{}", told(child, out));
        }
        let address: SocketAddr = line["ACCEPT ".len()..].trim().parse().unwrap();
        let server = tokio::task::spawn_blocking(move || told(child, out));
        let flow = self.send(1, &hop(Transport::Tls, HUB, &[address])).unwrap();
        self.endpoint.close(flow); // once it is sent
        let failure = match self.arrival().await {
            Arrival::SendFailed { reason, .. } => {
                self.lost(flow).await;
                Some(reason)
            }
            Arrival::FlowLost { .. } => None,
            other => panic!("{other:?}"),
        };
        let told = server.await.unwrap();
        drop(input);
        match failure {
            None if told.contains("OPTIONS sip:sbc1.example.com SIP/2.0") => Ok(told),
            None => Err(told),
            Some(reason) => Err(reason),
        }
    }

    fn identity(&self, leaf: Leaf<'_>) -> IdentityFiles {
        self.site.authority.issue("peer", leaf)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The arguments by which a client shows an identity.
fn shown(identity: &IdentityFiles) -> [&str; 6] {
    let (certificate, key) = (text(&identity.certificate), text(&identity.key));
    ["-cert", certificate, "-key", key, "-cert_chain", certificate]
}

fn with_ecdsa(mut site: Site) -> Site {
    let identity = site.authority.issue("public", Leaf { ecdsa: true, ..Leaf::named(&[SBC]) });
    site.identities.insert("public".into(), identity);
    site
}

#[test]
fn tdr_3_and_gen_31_either_gcm_suite_will_do_and_the_others_are_refused() {
    run(async {
        let mut site = Site::genesys().start();
        for suite in SUITES {
            let told = site.called(&["-tls1_2", "-cipher", suite]).await.unwrap();
            assert!(told.contains(&format!("Ciphersuite: {suite}")), "{told}");
        }
        for suite in FOREGONE {
            let told = site.called(&["-tls1_2", "-cipher", suite]).await.unwrap_err();
            assert!(told.contains("alert handshake failure"), "{told}");
        }
        let identity = site.identity(Leaf::named(&[HUB]));
        for suite in SUITES {
            let told = site.calls(&identity, &["-tls1_2", "-cipher", suite]).await.unwrap();
            assert!(told.contains(&format!("CIPHER is {suite}")), "{told}");
        }
        for suite in FOREGONE {
            let reason = site.calls(&identity, &["-tls1_2", "-cipher", suite]).await.unwrap_err();
            assert!(reason.contains("HandshakeFailure"), "{reason}");
        }
    });
}

#[test]
fn tdr_2_tls_1_2_alone_and_1_3_alone_are_spoken_and_nothing_below() {
    run(async {
        let mut site = Site::new().with(Transport::Tls, false, |_, _| {}).start();
        let identity = site.identity(Leaf::named(&[HUB]));
        for (option, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let told = site.called(&[option]).await.unwrap();
            assert!(told.contains(&format!("Protocol version: {version}")), "{told}");
            site.calls(&identity, &[option]).await.unwrap();
        }
        for option in ["-tls1_1", "-tls1"] {
            // Of its own accord OpenSSL does not speak it any more either.
            let old = [option, "-cipher", "ALL:@SECLEVEL=0"];
            let told = site.called(&old).await.unwrap_err();
            assert!(told.contains("SSL alert number"), "{told}");
            let reason = site.calls(&identity, &old).await.unwrap_err();
            assert!(reason.contains("ProtocolVersion"), "{reason}");
        }
    });
}

#[test]
fn gen_28_a_trunk_of_tls_1_2_speaks_no_other() {
    run(async {
        let mut site = Site::genesys().start();
        let told = site.called(&[]).await.unwrap();
        assert!(told.contains("Protocol version: TLSv1.2"), "{told}");
        assert!(site.called(&["-tls1_3"]).await.unwrap_err().contains("alert protocol version"));
        let identity = site.identity(Leaf::named(&[HUB]));
        assert!(site.calls(&identity, &["-tls1_3"]).await.unwrap_err().contains("ProtocolVersion"));
    });
}

#[test]
fn gen_31_each_group_alone_suffices() {
    run(async {
        let mut site = Site::new().with(Transport::Tls, false, |_, _| {}).start();
        let identity = site.identity(Leaf::named(&[HUB]));
        for version in ["-tls1_2", "-tls1_3"] {
            for (group, name) in GROUPS {
                let told = site.called(&[version, "-groups", group]).await.unwrap();
                assert!(told.contains(&format!("Server Temp Key: {name}")), "{told}");
                site.calls(&identity, &[version, "-groups", group]).await.unwrap();
            }
        }
    });
}

#[test]
fn identities_may_be_rsa_or_ecdsa() {
    run(async {
        for (site, kind) in [(Site::genesys(), "RSA"), (with_ecdsa(Site::genesys()), "ECDSA")] {
            let mut site = site.start();
            let told = site.called(&[]).await.unwrap();
            assert!(told.contains(&format!("Ciphersuite: ECDHE-{kind}-")), "{told}");
            let identity = site.identity(Leaf { ecdsa: kind == "ECDSA", ..Leaf::named(&[HUB]) });
            let told = site.calls(&identity, &[]).await.unwrap();
            assert!(told.contains(&format!("CIPHER is ECDHE-{kind}-")), "{told}");
        }
    });
}

#[test]
fn gen_32_a_client_of_rsa_suites_is_refused_by_an_ecdsa_identity() {
    run(async {
        let mut site = with_ecdsa(Site::genesys()).start();
        let told = site.called(&["-tls1_2", "-cipher", "aRSA"]).await.unwrap_err();
        assert!(told.contains("alert handshake failure"), "{told}");
    });
}

#[test]
fn tdr_6_the_chain_is_sent_whole_and_without_its_root() {
    run(async {
        let mut site = Site::genesys().start();
        // The root is all that the client knows.
        let told = site.called(&["-showcerts"]).await.unwrap();
        assert!(told.contains("Verification: OK"), "{told}");
        let mut site = Site::teams().start();
        let root = site.site.authority.root_file();
        let strict = ["-Verify", "3", "-verify_return_error", "-CAfile", text(&root)];
        let told = site.calls(&site.identity(Leaf::named(&[HUB])), &strict).await.unwrap();
        // TDR-5: ours, shown as a client.
        assert!(told.contains("Client certificate") && told.contains("subject=CN = sbc1.example.com"), "{told}");
    });
}

#[test]
fn tdr_16_the_dialled_name_is_the_sni() {
    run(async {
        let mut site = Site::genesys().start();
        let identity = site.identity(Leaf::named(&[HUB]));
        let (certificate, key) = (text(&identity.certificate), text(&identity.key));
        // Only a server with several names tells which one was asked for.
        let named = ["-servername", "other.example.com", "-cert2", certificate, "-key2", key];
        let told = site.calls(&identity, &named).await.unwrap();
        assert!(told.contains(&format!("Hostname in TLS extension: \"{HUB}\"")), "{told}");
    });
}

#[test]
fn gen_35_without_sni_the_default_identity_is_shown() {
    run(async {
        let mut site = Site::genesys();
        let other = site.authority.issue("other", Leaf::named(&["other.example.com"]));
        site.identities.insert("other".into(), other);
        let site = site.with(Transport::Tls, false, |trunk, policy| {
            trunk.fqdn = "other.example.com".into();
            policy.identity = "other".into();
        });
        let mut site = site.start();
        for (arguments, name) in [
            (&["-noservername"][..], SBC),
            (&["-servername", "unknown.example.com"], SBC),
            (&["-servername", "other.example.com", "-verify_hostname", "other.example.com"], "other.example.com"),
        ] {
            let told = site.called(arguments).await.unwrap();
            assert!(told.contains(&format!("Peer certificate: CN = {name}")), "{told}");
        }
    });
}

#[test]
fn tdr_12_and_13_the_hub_proves_its_name_with_a_certificate_for_servers() {
    run(async {
        let mut site = Site::teams().start();
        let hub = site.identity(Leaf { client_auth: false, ..Leaf::named(&[HUB]) });
        for version in ["-tls1_2", "-tls1_3"] {
            site.called(&[&[version], &shown(&hub)[..]].concat()).await.unwrap();
        }
        let wrong = site.identity(Leaf::named(&["sip.example.net"]));
        let told = site.called(&shown(&wrong)).await.unwrap_err();
        assert!(told.contains("alert"), "{told}");
        assert_eq!(site.counters.wrong_names.count(), 1);
        let unknown = Authority::new();
        let identity = unknown.issue("unknown", Leaf::named(&[HUB]));
        assert!(site.called(&shown(&identity)).await.unwrap_err().contains("alert"), "of an unknown root");
        assert!(site.called(&["-tls1_2"]).await.unwrap_err().contains("alert"), "without one");
        assert_eq!(site.counters.messages_in.count(), 2);
    });
}

#[test]
fn servers_of_another_name_or_of_an_unknown_root_are_refused() {
    run(async {
        let mut site = Site::teams().start();
        let wrong = site.identity(Leaf::named(&["sip.example.net"]));
        let reason = site.calls(&wrong, &[]).await.unwrap_err();
        assert!(reason.contains("sip.example.net") && reason.contains(HUB), "{reason}");
        let unknown = Authority::new();
        let identity = unknown.issue("unknown", Leaf::named(&[HUB]));
        let reason = site.calls(&identity, &[]).await.unwrap_err();
        assert!(reason.contains("UnknownIssuer"), "{reason}");
    });
}
