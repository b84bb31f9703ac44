//! What must not bring the element down: a trunk's peer, a local client or a system that misbehaves.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tandem::process::{AdminAnswer, AdminRequest, Running, ask};
use tandem::twin::Lab;

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
