//! The loopback HTTP face: `/metrics`, `/healthz`, `/readyz`. More comes with its own issue.
//!
//! It knows nothing of the element: [`Probes`] ask for it. Requests are small and answered at once.

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use tokio::net::TcpListener;

/// The media type of OpenMetrics 1.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

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
    if let Err(error) = axum::serve(listener, router(probes)).await {
        tracing::error!(%error, "http ended");
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
