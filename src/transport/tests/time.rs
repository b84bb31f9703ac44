//! What becomes of a connection as time passes; the time is the test's own, so the connections are pipes.

use super::*;
use tokio::io::DuplexStream;
use tokio::time::{Instant, sleep};

/// Runs a test whose clock goes on only while everybody waits.
fn paused<R>(test: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(LocalSet::new().run_until(test))
}

/// A site whose connections never end for being quiet.
fn patient() -> Running {
    let mut site = Site::tcp();
    site.connections.idle_timeout = Duration::from_secs(86_400);
    site.start()
}

/// How long the connection lives on from now.
async fn life(mut pipe: DuplexStream) -> Duration {
    let start = Instant::now();
    let mut rest = Vec::new();
    pipe.read_to_end(&mut rest).await.unwrap();
    start.elapsed()
}

#[test]
fn half_a_message_does_not_hold_a_connection() {
    paused(async {
        let mut site = patient();
        let mut pipe = site.endpoint.pipe(None);
        let start = Instant::now();
        // One octet a second is never silent, and never a message.
        for octet in OPTIONS.iter().cycle().take(31) {
            pipe.write_all(&[*octet]).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
        life(pipe).await;
        assert_eq!(start.elapsed().as_secs(), 32);
        assert_eq!(site.counters.stalled.count(), 1);
        assert!(
            matches!(site.arrival().await, Arrival::FlowLost { reason, .. } if reason == "message not ended in time")
        );
    });
}

#[test]
fn a_body_that_does_not_come_ends_the_connection_too() {
    paused(async {
        let site = patient();
        let mut pipe = site.endpoint.pipe(None);
        let text = String::from_utf8(OPTIONS.to_vec()).unwrap().replace("Content-Length: 0", "Content-Length: 9");
        pipe.write_all(text.as_bytes()).await.unwrap();
        assert_eq!(life(pipe).await.as_secs(), 32);
        assert_eq!(site.counters.stalled.count(), 1);
    });
}

#[test]
fn a_long_message_may_take_its_time_and_each_has_a_time_of_its_own() {
    paused(async {
        let mut site = patient();
        let mut pipe = site.endpoint.pipe(None);
        let body = vec![b'x'; 200 * 1024];
        let length = format!("Content-Length: {}", body.len());
        let head = String::from_utf8(OPTIONS.to_vec()).unwrap().replace("Content-Length: 0", &length);
        let long = [head.as_bytes(), &body].concat();
        // The end of each piece of the stream is the start of the next message: between two there is no pause.
        let stream = long.repeat(3);
        for piece in stream.chunks(long.len() / 20) {
            pipe.write_all(piece).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
        for _ in 0..3 {
            assert_eq!(site.message().await.0.body().len(), body.len());
        }
        assert_eq!(site.counters.stalled.count(), 0);
        // Half a keep-alive is no message: a single CRLF answers one of ours.
        pipe.write_all(b"\r\n").await.unwrap();
        sleep(Duration::from_secs(3600)).await;
        ping(&mut pipe).await.unwrap();
    });
}
