//! What becomes of a connection as time passes; the time is the test's own, so the connections are pipes.

use super::*;
use crate::sip::{MAX_HEAD, Malformed};
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

/// What arrives of a request that is sent in this form, after it is answered with these octets: what the peer
/// reads to the end.
async fn answered(site: &mut Running, octets: String, half_close: bool) -> (Malformed, String) {
    let (mut reader, mut writer) = tokio::io::split(site.endpoint.pipe(None));
    // Written to the end before anything is read: a peer that is not read would wait for ever.
    let writing = tokio::task::spawn_local(async move {
        writer.write_all(octets.as_bytes()).await.unwrap();
        if half_close {
            writer.shutdown().await.unwrap();
        }
        writer
    });
    let Arrival::Malformed { request: Some(request), fault, flow, .. } = site.arrival().await else {
        panic!("a request can be read");
    };
    assert_eq!(request.call_id(), "1@example.com");
    let _writer = writing.await.unwrap();
    sleep(Duration::from_millis(1)).await;
    site.endpoint.send(Token(1), &Destination::Flow(flow), Bytes::from_static(b"answer")).unwrap();
    let mut read = String::new();
    reader.read_to_string(&mut read).await.unwrap();
    assert_eq!(site.lost(flow).await, "not SIP");
    (fault, read)
}

#[test]
fn rfc_3261_21_5_7_a_request_that_is_too_long_is_answered_and_its_connection_closed() {
    paused(async {
        let mut site = patient();
        let text = String::from_utf8(OPTIONS.to_vec()).unwrap();
        // The header section has no end, or one beyond the limit; the body is longer than any may be.
        let endless = text.replace("Content-Length: 0\r\n\r\n", &format!("X: {}", "x".repeat(2 << 20)));
        let ending = text.replace("Max-Forwards: 70", &format!("X: {}", "x".repeat(MAX_HEAD)));
        let body = text.replace("Content-Length: 0", "Content-Length: 2000000") + &"x".repeat(2_000_000);
        for octets in [endless, ending, body] {
            assert_eq!(answered(&mut site, octets, false).await, (Malformed::TooLarge, "answer".to_owned()));
        }
        assert_eq!(site.counters.framing_errors.count(), 3);
    });
}

#[test]
fn an_answer_reaches_a_peer_that_has_closed_its_half() {
    paused(async {
        let mut site = patient();
        let text = String::from_utf8(OPTIONS.to_vec()).unwrap().replace("Content-Length: 0", "Content-Length: many");
        assert_eq!(answered(&mut site, text, true).await, (Malformed::ContentLength, "answer".to_owned()));
    });
}

/// A connection that we opened, over which keep-alives come every minute; after the first one.
async fn pinged(site: &Running) -> DuplexStream {
    let mut pipe = site.endpoint.pipe(Some(hop(Transport::Tcp, HUB, &[SocketAddr::from(([127, 0, 0, 1], 9))])));
    read_ping(&mut pipe).await;
    pipe
}

async fn read_ping(pipe: &mut DuplexStream) {
    let mut ping = [0; 4];
    pipe.read_exact(&mut ping).await.unwrap();
    assert_eq!(&ping, b"\r\n\r\n");
}

#[test]
fn rfc_5626_a_connection_whose_peer_stops_answering_keep_alives_is_lost() {
    paused(async {
        let mut site = patient();
        let mut pipe = pinged(&site).await;
        for _ in 0..3 {
            pipe.write_all(b"\r\n").await.unwrap();
            // Nothing comes back: two answers are no keep-alive.
            read_ping(&mut pipe).await;
        }
        assert_eq!((site.counters.pongs.count(), site.counters.pings.count()), (3, 0));
        assert_eq!(life(pipe).await.as_secs(), 10);
        assert_eq!(site.counters.unanswered.count(), 1);
        let Arrival::FlowLost { reason, .. } = site.arrival().await else { panic!("lost") };
        assert_eq!(reason, "keep-alive not answered");
    });
}

#[test]
fn whoever_never_answered_a_keep_alive_need_not() {
    paused(async {
        let mut site = patient();
        let mut pipe = pinged(&site).await;
        // A keep-alive of the peer's own is no answer.
        pipe.write_all(b"\r\n\r\n").await.unwrap();
        pipe.read_exact(&mut [0; 2]).await.unwrap();
        for _ in 0..3 {
            read_ping(&mut pipe).await;
        }
        pipe.write_all(OPTIONS).await.unwrap();
        site.message().await;
        assert_eq!((site.counters.pongs.count(), site.counters.unanswered.count()), (0, 0));
    });
}

#[test]
fn a_message_in_place_of_the_answer_shows_that_the_peer_is_there() {
    paused(async {
        let mut site = patient();
        let mut pipe = pinged(&site).await;
        pipe.write_all(b"\r\n").await.unwrap();
        for _ in 0..2 {
            read_ping(&mut pipe).await;
            pipe.write_all(OPTIONS).await.unwrap();
            site.message().await;
        }
        assert_eq!(site.counters.unanswered.count(), 0);
    });
}

#[test]
fn watching_for_answers_can_be_switched_off() {
    paused(async {
        let mut site = Site::tcp();
        site.connections.pong_timeout = None;
        site.connections.idle_timeout = Duration::from_secs(86_400);
        let site = site.start();
        let mut pipe = pinged(&site).await;
        pipe.write_all(b"\r\n").await.unwrap();
        for _ in 0..3 {
            read_ping(&mut pipe).await;
        }
        assert_eq!((site.counters.pongs.count(), site.counters.unanswered.count()), (1, 0));
    });
}
