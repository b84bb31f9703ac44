//! What must not bring the element down: a trunk's peer, a local client or a system that misbehaves.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;
use tandem::process::{AdminAnswer, AdminRequest, Running, ask};
use tandem::twin::Lab;
use tandem::twin::lab::{ALICE, CUSTOMER, FQDN};
use tandem::twin::scenario::{connect, hang_up};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

async fn start() -> (Lab, Running) {
    let lab = Lab::start("").await.unwrap();
    let running = Running::start(tandem::config::load(&lab.configuration).unwrap().settings).unwrap();
    (lab, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_socket_answers_behind_more_silent_clients_than_it_has_places() {
    let (lab, running) = start().await;
    let socket = lab.directory().join("tandem.sock");
    let silent: Vec<UnixStream> = (0..20).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let mut garbage = UnixStream::connect(&socket).unwrap();
    let status = tokio::task::spawn_blocking(move || ask(&socket, &AdminRequest::Status));
    assert!(matches!(status.await.unwrap().unwrap(), AdminAnswer::Status(_)));
    garbage.write_all(b"\xff\xfe\n").unwrap();
    garbage.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    // The place may be gone already: then there is an end in place of an answer, and never a wait.
    let _ = garbage.read_to_string(&mut answer);
    assert!(answer.is_empty() || answer.contains("not understood"), "{answer}");
    drop(silent);
    running.stop(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_long_gets_513_before_its_connection_ends() {
    let (lab, running) = start().await;
    let tls = tandem::twin::tls::hub(&lab.certificates, false).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.11:0".parse().unwrap()).unwrap();
    let stream = socket.connect(lab.sbc).await.unwrap();
    let name = FQDN.try_into().unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(tls.client).connect(name, stream).await.unwrap();
    let request = format!(
        "OPTIONS sip:{FQDN} SIP/2.0\r\nVia: SIP/2.0/TLS sip.pstnhub.microsoft.com;branch=z9hG4bK1\r\n\
        From: <sip:sip.pstnhub.microsoft.com>;tag=1\r\nTo: <sip:{FQDN}>\r\nCall-ID: 1@example.com\r\n\
        CSeq: 1 OPTIONS\r\nX-Long: {}",
        "x".repeat(100_000)
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("SIP/2.0 513 message too large\r\nVia: "), "{answer}");
    assert!(
        answer.contains("\r\nCSeq: 1 OPTIONS\r\n") && answer.contains("\r\nCall-ID: 1@example.com\r\n"),
        "{answer}"
    );
    running.stop(true).await;
}

/// The binary under limits that a shell sets, and its log.
struct Process {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Process {
    fn start(limits: &str, lab: &Lab) -> Self {
        let command = format!("{limits}; exec \"$0\" run --config \"$1\"");
        let mut child = Command::new("sh")
            .args(["-c", &command, env!("CARGO_BIN_EXE_tandem")])
            .arg(&lab.configuration)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut process = Self { child, log };
        process.until("serving");
        process
    }

    /// Reads the log up to a line with `text`.
    fn until(&mut self, text: &str) {
        let mut read = String::new();
        loop {
            let start = read.len();
            assert!(self.log.read_line(&mut read).unwrap() > 0, "the log ended without {text}:\n{read}");
            if read[start..].contains(text) {
                return;
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_file_size_costs_records_and_no_call() {
    let lab = Lab::start("[records]\npath = \"calls.jsonl\"\n").await.unwrap();
    // One block holds a record or two; the signal that follows would end a process that does not expect it.
    let mut process = Process::start("ulimit -f 1", &lab);
    for _ in 0..4 {
        let (mut caller, mut callee) = connect(&lab.genesys, &lab.hub, CUSTOMER, ALICE).await.unwrap();
        hang_up(&mut caller, &mut callee).await.unwrap();
    }
    process.until("call records are lost");
    let (mut caller, mut callee) = connect(&lab.genesys, &lab.hub, CUSTOMER, ALICE).await.unwrap();
    hang_up(&mut callee, &mut caller).await.unwrap();
    let records = std::fs::read_to_string(lab.directory().join("calls.jsonl")).unwrap();
    assert!(records.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{records}");
}
