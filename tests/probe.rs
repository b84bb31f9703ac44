//! `tandem probe` against the played platforms, and against whoever fails at one of its steps.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tandem::twin::Side;
use tandem::twin::lab::{self, Lab};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

/// What a command came to.
struct Ran {
    code: i32,
    out: String,
    error: String,
}

impl Ran {
    /// Asserts the exit code, and that every text stands where people look.
    fn failed(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, code, "{}{}", self.out, self.error);
        for text in texts {
            assert!(self.error.contains(text), "{text} is missing in\n{}{}", self.out, self.error);
        }
        assert!(self.error.contains("\n  help: "), "{}", self.error);
    }
}

/// Runs `tandem probe`. The platform that is probed lives in this process, so nothing may block it.
async fn probe(arguments: &[&str], environment: &[(&str, &Path)]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.arg("probe").args(arguments);
    for (name, value) in environment {
        command.env(name, value);
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), error: text(output.stderr) }
}

/// Probes as a trunk of the lab's configuration.
async fn as_trunk(lab: &Lab, trunk: &str, host: &str) -> Ran {
    probe(&[host, "--trunk", trunk, "--config", lab.configuration.to_str().unwrap()], &[]).await
}

/// The lab's configuration with another text in place of one that stands in it.
fn changed(lab: &Lab, from: &str, to: &str) -> PathBuf {
    let text = std::fs::read_to_string(&lab.configuration).unwrap();
    assert!(text.contains(from), "{from}");
    let path = lab.directory().join("changed.toml");
    std::fs::write(&path, text.replace(from, to)).unwrap();
    path
}

const HUB: &str = "sip.pstnhub.microsoft.com";

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_is_shown_step_by_step() {
    let lab = Lab::start("").await.unwrap();
    let ran = as_trunk(&lab, "teams", HUB).await;
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.error);
    let port = lab.hub.address().port();
    for text in [
        &format!("{HUB}:{port} over TLS, as trunk teams"),
        &format!("resolved     127.0.0.11:{port}"),
        &format!("connected    127.0.0.11:{port} in "),
        "usages     serverAuth\n",
        "names      sip.pstnhub.microsoft.com",
        "not after  4096-01-01T00:00:00Z",
        "handshake    TLS 1.2, TLS_ECDHE_RSA_WITH_AES_",
        "OPTIONS      200 OK in ",
    ] {
        assert!(ran.out.contains(text), "{text} is missing in\n{}", ran.out);
    }
    assert_eq!(ran.out.matches("  certificate  ").count(), 2, "leaf and intermediate:\n{}", ran.out);
    assert_eq!(lab.hub.breaches(), vec![], "OPTIONS like those of the health check (TDR-33, 34)");
}

#[tokio::test(flavor = "multi_thread")]
async fn genesys_is_shown_to_a_machine() {
    let lab = Lab::start("").await.unwrap();
    let Side::Genesys(side) = lab.genesys.side() else { panic!("Genesys") };
    let (host, configuration) = (side.host(), lab.configuration.to_str().unwrap());
    let ran = probe(&[&host, "--trunk", "genesys", "--config", configuration, "--json"], &[]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.error);
    let found: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&found["host"], &found["transport"]), (&host.into(), &"tls".into()));
    assert_eq!(found["connected"]["address"], lab.genesys.address().to_string());
    assert_eq!((&found["tls"]["version"], &found["tls"]["group"]), (&"TLSv1_2".into(), &"secp384r1".into()));
    assert_eq!(found["certificates"][0]["names"][0], "voice.mypurecloud.de");
    assert_eq!((&found["options"]["status"], &found["failure"]), (&200.into(), &serde_json::Value::Null));
    assert_eq!(lab.genesys.breaches(), vec![]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_hub_answers_decides() {
    let lab = Lab::start("").await.unwrap();
    lab.hub.answer_options(403);
    as_trunk(&lab, "teams", HUB).await.failed(77, &["options: ", "403", "TDR-35"]);
    lab.hub.answer_options(503);
    as_trunk(&lab, "teams", HUB).await.failed(69, &["options: ", "503"]);
    // GEN-84: any answer shows that Genesys is there.
    lab.genesys.answer_options(404);
    let Side::Genesys(side) = lab.genesys.side() else { panic!("Genesys") };
    assert_eq!(as_trunk(&lab, "genesys", &side.host()).await.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_addresses_are_those_that_the_trunk_lets_us_dial() {
    // A name server to which every name is unknown.
    let name_server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = name_server.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = name_server.recv_from(&mut query).await {
            (query[2], query[3]) = (query[2] | 0x80, 0x83);
            name_server.send_to(&query[..length], from).await.unwrap();
        }
    });
    let further = format!("\"moved.pstnhub.microsoft.com\" = \"192.0.2.1\"\n[dns]\nservers = [\"{address}\"]\n");
    let lab = Lab::start(&further).await.unwrap();
    as_trunk(&lab, "teams", "sip.example.net").await.failed(77, &["resolve: ", "sip.example.net", "suffix"]);
    as_trunk(&lab, "teams", "moved.pstnhub.microsoft.com").await.failed(77, &["connect: ", "192.0.2.1", "sources"]);
    as_trunk(&lab, "teams", "192.0.2.2").await.failed(77, &["connect: ", "192.0.2.2"]);
    let unknown = as_trunk(&lab, "teams", "unknown.pstnhub.microsoft.com").await;
    unknown.failed(68, &["resolve: ", "unknown.pstnhub.microsoft.com", "[dns]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_nobody_listens_on_refuses() {
    let lab = Lab::start("").await.unwrap();
    let ran = as_trunk(&lab, "teams", &format!("{HUB}:1")).await;
    ran.failed(69, &["connect: ", "firewall"]);
    assert!(ran.out.contains("unreachable  127.0.0.11:1: Connection refused"), "{}", ran.out);
}

/// An authority that nobody knows, and an identity of ours that it signed; files in the lab's directory.
struct Foreign {
    root: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

fn foreign(lab: &Lab) -> Foreign {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Foreign Root");
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let names = vec![lab::FQDN.to_owned(), "127.0.0.1".to_owned()];
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &root).unwrap();
    let write = |name: &str, text: String| {
        let path = lab.directory().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    Foreign {
        certificate: write("foreign.pem", leaf.pem() + &root.pem()),
        key: write("foreign.key", key.serialize_pem()),
        root: write("foreign-root.pem", root.pem()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_of_the_peer_is_named() {
    let lab = Lab::start("").await.unwrap();
    let (ours, foreign) = (&lab.certificates.sbc, foreign(&lab));
    let identity = |certificate: &Path, key: &Path| {
        format!("certificate = \"{}\"\nkey = \"{}\"", certificate.display(), key.display())
    };
    let theirs = identity(&foreign.certificate, &foreign.key);
    let path = changed(&lab, &identity(&ours.certificate, &ours.key), &theirs);
    let ran = probe(&[HUB, "--trunk", "teams", "-c", path.to_str().unwrap()], &[]).await;
    ran.failed(77, &["handshake: ", "alert UnknownCA", "TDR-5"]);
    assert_eq!(ran.out.matches("  certificate  ").count(), 2, "what the hub showed is told:\n{}", ran.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_trusted_is_shown_with_the_rule() {
    let lab = Lab::start("").await.unwrap();
    let (root, foreign) = (lab.certificates.root.display().to_string(), foreign(&lab).root.display().to_string());
    let path = changed(&lab, &root, &foreign);
    let ran = probe(&[HUB, "--trunk", "teams", "-c", path.to_str().unwrap()], &[]).await;
    ran.failed(77, &["certificate: ", "UnknownIssuer", "TDR-11"]);
    assert!(ran.out.contains("names      sip.pstnhub.microsoft.com"), "{}", ran.out);
    // Without a configuration: what the system trusts, and the dialled name alone.
    let address = lab.genesys.address().to_string();
    let trusting = [("SSL_CERT_FILE", lab.certificates.root.as_path())];
    let ran = probe(&[&address], &trusting).await;
    ran.failed(77, &["certificate: ", "127.0.0.21", "GEN-33"]);
    assert!(ran.out.starts_with(&format!("{address} over TLS\n")), "{}", ran.out);
}

/// A listener on the address that the lab's carrier has, and the configuration that has that carrier.
fn carrier(lab: &Lab) -> (TcpListener, PathBuf) {
    let listener = TcpListener::bind("127.0.0.24:0").unwrap();
    let trunk = format!(
        "[trunk.carrier]\nkind = \"generic\"\ntransport = \"tcp\"\nhosts = [\"{}\"]\nsources = [\"127.0.0.24/32\"]\n\n[hosts]",
        listener.local_addr().unwrap()
    );
    let path = changed(lab, "[hosts]", &trunk);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("listen = [", "listen = [\"tcp:127.0.0.2:5060\", ")).unwrap();
    (listener, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_and_what_is_no_sip_are_told_apart() {
    let lab = Lab::start("").await.unwrap();
    let (listener, path) = carrier(&lab);
    let configuration = path.to_str().unwrap();
    // The system takes the connection; nobody takes it from the system.
    let silent = ["127.0.0.24", "--trunk", "carrier", "-c", configuration, "--timeout", "200ms"];
    probe(&silent, &[]).await.failed(75, &["options: ", "no answer", "200ms"]);
    let answering = std::thread::spawn(move || {
        let (first, _) = listener.accept().unwrap();
        drop(first);
        for answer in ["HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", ""] {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let asked = ["127.0.0.24", "--trunk", "carrier", "-c", configuration];
    probe(&asked, &[]).await.failed(76, &["options: ", "no SIP"]);
    probe(&asked, &[]).await.failed(75, &["options: ", "ended"]);
    answering.join().unwrap();
    // Nothing there speaks TLS.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 mail.example.com ESMTP\r\n").unwrap();
        let _ = stream.read(&mut [0; 4096]);
    });
    let trusting = [("SSL_CERT_FILE", lab.certificates.root.as_path())];
    probe(&[&address], &trusting).await.failed(76, &["handshake: ", "TLS port"]);
    answering.join().unwrap();
}

/// 200 to a request, by plain formatting.
fn ok_to(request: &[u8]) -> String {
    let request = std::str::from_utf8(request).unwrap();
    assert!(request.starts_with("OPTIONS sip:127.0.0."), "{request}");
    let repeated =
        |line: &&str| ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name));
    let lines: Vec<&str> = request.split("\r\n").filter(repeated).collect();
    assert_eq!(lines.len(), 5, "{request}");
    format!("SIP/2.0 200 Fine\r\n{}\r\nContent-Length: 0\r\n\r\n", lines.join("\r\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_trunk_a_host_of_the_public_internet_is_called_by_anybody() {
    let lab = Lab::start("").await.unwrap();
    let foreign = foreign(&lab);
    let chain: Vec<_> = CertificateDer::pem_file_iter(&foreign.certificate).unwrap().map(Result::unwrap).collect();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = |mutual: bool| {
        let builder = rustls::ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(chain[1].clone()).unwrap();
        let judge = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
        let builder = if mutual { builder.with_client_cert_verifier(judge) } else { builder.with_no_client_auth() };
        let key = PrivateKeyDer::from_pem_file(&foreign.key).unwrap();
        tokio_rustls::TlsAcceptor::from(Arc::new(builder.with_single_cert(chain.clone(), key).unwrap()))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (open, mutual) = (server(false), server(true));
    let serving = tokio::spawn(async move {
        let mut stream = open.accept(listener.accept().await.unwrap().0).await.unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        stream.write_all(ok_to(&request[..length]).as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(stream.read(&mut request).await.unwrap(), 0, "one request, then the end");
        mutual.accept(listener.accept().await.unwrap().0).await.expect_err("no certificate");
    });
    let trusting = [("SSL_CERT_FILE", foreign.root.as_path())];
    let ran = probe(&[&address], &trusting).await;
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.error);
    for text in ["handshake    TLS 1.3, TLS13_AES_", "OPTIONS      200 Fine in ", "usages     not limited"] {
        assert!(ran.out.contains(text), "{text} is missing in\n{}", ran.out);
    }
    // TLS 1.3 tells only after the handshake what it thinks of who has no certificate.
    let ran = probe(&[&address], &trusting).await;
    ran.failed(77, &["handshake: ", "alert CertificateRequired", "--trunk"]);
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn over_udp_the_request_is_repeated_until_it_is_answered() {
    let lab = Lab::start("").await.unwrap();
    let socket = UdpSocket::bind("127.0.0.24:0").await.unwrap();
    let trunk = format!(
        "[trunk.carrier]\nkind = \"generic\"\ntransport = \"udp\"\nhosts = [\"{}\"]\nsources = [\"127.0.0.24/32\"]\n\n[hosts]",
        socket.local_addr().unwrap()
    );
    let path = changed(&lab, "[hosts]", &trunk);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("listen = [", "listen = [\"udp:127.0.0.2:5060\", ")).unwrap();
    let serving = tokio::spawn(async move {
        let mut request = vec![0; 4096];
        let (first, _) = socket.recv_from(&mut request).await.unwrap();
        let lost = request[..first].to_vec();
        let (length, from) = socket.recv_from(&mut request).await.unwrap();
        assert_eq!(lost, request[..length], "the same again");
        socket.send_to(ok_to(&lost).as_bytes(), from).await.unwrap();
    });
    let ran = probe(&["127.0.0.24", "-t", "carrier", "-c", path.to_str().unwrap()], &[]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.error);
    assert!(ran.out.contains("over UDP, as trunk carrier") && ran.out.contains("200 Fine"), "{}", ran.out);
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_and_configuration_are_checked_first() {
    let lab = Lab::start("").await.unwrap();
    as_trunk(&lab, "nobody", HUB).await.failed(64, &["no trunk is called nobody", "known: teams, genesys"]);
    let missing = lab.directory().join("missing.toml");
    let ran = probe(&[HUB, "--trunk", "teams", "-c", missing.to_str().unwrap()], &[]).await;
    assert_eq!(ran.code, 78, "{}", ran.error);
    for bad in ["", "sip:x@y", "a b", "host:port", "host;lr"] {
        assert_eq!(probe(&[bad], &[]).await.code, 64, "{bad}");
    }
    let help = probe(&["--help"], &[]).await.out;
    for endpoint in ["sip.mspki.pstnhub.microsoft.com:5061", "sip.g1.pstnhub.microsoft.com:5061"] {
        assert!(help.contains(endpoint), "TDR-16: {endpoint}");
    }
}
