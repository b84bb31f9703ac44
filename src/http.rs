//! The loopback HTTP face: `/metrics`, `/healthz`, `/readyz`. More comes with its own issue.
//!
//! It knows nothing of the element: [`Probes`] ask for it. Requests are small and answered at once;
//! connections are few and short, so that a client that dawdles takes no file from calls.

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// The media type of OpenMetrics 1.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The most connections at once: scrapers and probes are a handful.
const MAX_CONNECTIONS: usize = 64;

/// How long a connection may last: as long as scrapers wait for an answer; they open another for the next.
/// Dawdlers that hold every place keep a probe waiting no longer than this.
const LIFETIME: Duration = Duration::from_secs(10);

/// How long accepting pauses when the system has no file for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// A question that is answered yes, or no with a reason.
pub type Probe = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Where the answers come from.
pub struct Probes {
    /// The text of `/metrics`.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// Whether the process is alive: a supervisor should restart it otherwise.
    pub health: Probe,
    /// Whether it takes new calls: a load balancer should pass it by otherwise.
    pub ready: Probe,
}

/// Serves until the runtime ends.
pub async fn serve(listener: TcpListener, probes: Probes) {
    serve_within(listener, probes, LIFETIME).await;
}

async fn serve_within(listener: TcpListener, probes: Probes, lifetime: Duration) {
    let bounded = Bounded { listener, places: Arc::new(Semaphore::new(MAX_CONNECTIONS)), lifetime };
    if let Err(error) = axum::serve(bounded, router(probes)).await {
        tracing::error!(%error, "http ended");
    }
}

/// Accepts no more than [`MAX_CONNECTIONS`]; the others wait in the system's queue.
struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    lifetime: Duration,
}

impl Listener for Bounded {
    type Io = Timed;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Timed, SocketAddr) {
        loop {
            let place = self.places.clone().acquire_owned().await;
            match (place, self.listener.accept().await) {
                (Ok(place), Ok((stream, source))) => {
                    return (Timed { stream, end: Box::pin(sleep(self.lifetime)), _place: place }, source);
                }
                _ => sleep(PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends with its time, and gives its place back.
struct Timed {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Timed {
    fn in_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.end.as_mut().poll(cx).is_ready() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Timed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Timed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.in_time(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn router(probes: Probes) -> Router {
    let probes = Arc::new(probes);
    let (metrics, health, ready) = (probes.clone(), probes.clone(), probes);
    Router::new()
        .route("/metrics", get(async move || ([(CONTENT_TYPE, OPEN_METRICS)], (metrics.metrics)())))
        .route("/healthz", get(async move || verdict((health.health)())))
        .route("/readyz", get(async move || verdict((ready.ready)())))
}

fn verdict(answer: Result<(), String>) -> Response {
    match answer {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()).into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn fetch(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }

    #[tokio::test]
    async fn clients_that_dawdle_are_let_go_and_then_others_are_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let probes = Probes { metrics: Box::new(String::new), health: Box::new(|| Ok(())), ready: Box::new(|| Ok(())) };
        tokio::spawn(serve_within(listener, probes, Duration::from_millis(200)));
        let mut dawdlers = Vec::new();
        for _ in 0..=MAX_CONNECTIONS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nX-").await.unwrap();
            dawdlers.push(stream);
        }
        assert!(fetch(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        // Those that were let go read the end.
        assert_eq!(dawdlers[0].read(&mut [0; 64]).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn the_three_paths_answer_what_their_probes_say() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let probes = Probes {
            metrics: Box::new(|| "tandem_x 1\n# EOF\n".into()),
            health: Box::new(|| Ok(())),
            ready: Box::new(|| Err("draining".into())),
        };
        tokio::spawn(serve(listener, probes));
        let metrics = fetch(address, "/metrics").await;
        assert!(metrics.contains(OPEN_METRICS) && metrics.ends_with("tandem_x 1\n# EOF\n"), "{metrics}");
        assert!(fetch(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let ready = fetch(address, "/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 503") && ready.ends_with("draining\n"), "{ready}");
        assert!(fetch(address, "/else").await.starts_with("HTTP/1.1 404"));
    }
}
