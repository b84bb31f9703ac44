//! What the operator sees of a running element: the answers of `tandem status` and `tandem calls`.

use super::Shared;
use crate::call::{self, CallSummary};
use crate::journal::{Raised, unix_ms};
use crate::snapshot::address_key;
use crate::transport::Counters;
use crate::worker::{Order, Phase};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use uuid::Uuid;

/// How long a worker may take to say which calls it has.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a worker may be silent before it counts as stuck: several of its longest sleeps.
const STUCK: Duration = Duration::from_secs(15);

/// The element as a whole.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct Status {
    /// Product and version.
    pub product: String,
    /// When this was asked, milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// `serving`, `draining`, `ending`.
    pub phase: String,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// The configuration file.
    pub configuration: String,
    /// Calls over all workers.
    pub calls: usize,
    /// Numbers in the directory.
    pub directory_entries: usize,
    /// Trunks in the order of the configuration.
    pub trunks: Vec<TrunkStatus>,
    /// Workers in their order.
    pub workers: Vec<WorkerStatus>,
    /// Alarms that are raised.
    pub alarms: Vec<Raised>,
    /// What the sockets counted: name and count.
    pub counters: Vec<(String, u64)>,
}

/// A trunk.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct TrunkStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Whether a reload removed it: no new calls.
    pub retired: bool,
    /// Calls that it began, over all workers.
    pub calls: u32,
    /// Its hosts in the order calls try them.
    pub hosts: Vec<HostStatus>,
    /// Hosts of the platform that send OPTIONS, by the name that they give, and when each last did, milliseconds
    /// since the Unix epoch (TDR-37).
    pub asked_by: Vec<(String, u64)>,
}

/// A host of a trunk.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct HostStatus {
    /// Its name, with the port where one is written.
    pub name: String,
    /// Whether calls may go there; `None`: nothing was heard yet, or it is not probed.
    pub up: Option<bool>,
    /// Why it is up or down.
    pub why: String,
    /// Its last answer to OPTIONS: status, and when, milliseconds since the Unix epoch.
    pub last_answer: Option<(u16, u64)>,
    /// `up` or `failed`; empty where TLS is not spoken or was not tried.
    pub tls: String,
    /// Where the name leads.
    pub addresses: Vec<String>,
}

/// A worker.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct WorkerStatus {
    /// Its number.
    pub worker: u16,
    /// Calls it holds.
    pub calls: usize,
    /// Connections it holds.
    pub connections: usize,
    /// How often it was started anew after a panic.
    pub restarts: u64,
    /// Whether it shows signs of life.
    pub alive: bool,
}

/// A call.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct CallStatus {
    /// The call.
    pub id: Uuid,
    /// The worker that holds it.
    pub worker: u16,
    /// Trunk of the caller.
    pub from: String,
    /// Trunk of the called party; empty before one is tried.
    pub to: String,
    /// How far it is: `proceeding`, `answered`, `ending`.
    pub state: String,
    /// When the INVITE came, milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// When it was answered, milliseconds since the Unix epoch.
    pub answered_ms: Option<u64>,
}

/// The word for a phase.
pub(super) fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Serving => "serving",
        Phase::Draining => "draining",
        Phase::Ending | Phase::Stopped => "ending",
    }
}

/// The workers that show no sign of life.
pub(super) fn stuck(shared: &Shared) -> Vec<u16> {
    let now = unix_ms();
    let limit = u64::try_from(STUCK.as_millis()).unwrap_or(u64::MAX);
    let desks = shared.exchange.desks();
    desks.filter(|(_, desk)| now.saturating_sub(desk.alive_ms()) > limit).map(|(worker, _)| worker).collect()
}

pub(super) fn status(shared: &Shared) -> Status {
    let (snapshot, in_force) = (shared.composer.snapshot(), shared.composer.in_force());
    let stuck = stuck(shared);
    let trunks = snapshot.trunks.iter().filter(|trunk| !trunk.is_vacant()).map(|trunk| {
        let hosts = trunk.hosts.iter().map(|host| {
            // A customer's trunk is as well as its carrier's (TDR-40).
            let asked = snapshot.asked(trunk);
            let heard = shared.journal.health().host(asked, host);
            let last = shared.journal.health().last_asked(asked, host);
            let key = address_key(trunk.transport, &host.name, host.port);
            let addresses = snapshot.addresses.get(&key).into_iter().flatten();
            HostStatus {
                name: host.to_string(),
                up: heard.as_ref().map(|state| state.up),
                why: heard.map(|state| state.why).unwrap_or_default(),
                last_answer: last.answer,
                tls: last.tls.map_or("", |up| if up { "up" } else { "failed" }).into(),
                addresses: addresses.map(ToString::to_string).collect(),
            }
        });
        let askers = shared.journal.health().askers(trunk.id);
        TrunkStatus {
            name: trunk.name.to_string(),
            retired: trunk.retired,
            calls: shared.tally.calls(trunk.id),
            hosts: hosts.collect(),
            asked_by: askers.into_iter().map(|(host, at)| (host.to_string(), at)).collect(),
        }
    });
    let workers = shared.exchange.gauges().into_iter().map(|gauges| WorkerStatus {
        worker: gauges.worker,
        calls: gauges.calls,
        connections: gauges.connections,
        restarts: gauges.restarts,
        alive: !stuck.contains(&gauges.worker),
    });
    Status {
        product: snapshot.edge.product.to_string(),
        now_ms: unix_ms(),
        phase: phase_word(*shared.phase.borrow()).into(),
        uptime_seconds: shared.started.elapsed().as_secs(),
        configuration: in_force.settings.path.display().to_string(),
        calls: shared.exchange.calls(),
        directory_entries: snapshot.directory.len(),
        trunks: trunks.collect(),
        workers: workers.collect(),
        alarms: shared.journal.alarms().raised(),
        counters: shared.counters.all().map(|(name, _, count)| (name.into(), count)).collect(),
    }
}

/// The calls of every worker that answers in time, oldest first.
pub(super) async fn calls(shared: &Shared) -> Vec<CallStatus> {
    let asked: Vec<_> = shared
        .exchange
        .desks()
        .filter_map(|(worker, desk)| {
            let (answer, calls) = oneshot::channel();
            desk.order(Order::Calls(answer)).then_some((worker, calls))
        })
        .collect();
    let mut all = Vec::new();
    for (worker, calls) in asked {
        if let Ok(Ok(calls)) = tokio::time::timeout(PATIENCE, calls).await {
            all.extend(calls.into_iter().map(|call| call_status(worker, call)));
        }
    }
    all.sort_by_key(|call| call.started_ms);
    all
}

fn call_status(worker: u16, call: CallSummary) -> CallStatus {
    let state = match call.phase {
        call::Phase::Proceeding => "proceeding",
        call::Phase::Answered => "answered",
        call::Phase::Ending => "ending",
    };
    CallStatus {
        id: call.id,
        worker,
        from: call.from,
        to: call.to,
        state: state.into(),
        started_ms: call.started_ms,
        answered_ms: call.answered_ms,
    }
}

/// Has whichever worker holds the call end it.
pub(super) fn hang_up(shared: &Shared, call: Uuid) {
    for (worker, desk) in shared.exchange.desks() {
        if !desk.order(Order::HangUp(call)) {
            tracing::warn!(worker, %call, "hang-up not delivered: worker is busy");
        }
    }
}

/// The transport's counters as metrics, read when they are asked for.
#[derive(Debug)]
pub(super) struct TransportCounters(pub(super) Arc<Counters>);

impl Collector for TransportCounters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, count) in self.0.all() {
            let counter = ConstCounter::new(count);
            let name = format!("transport_{name}");
            counter.encode(encoder.encode_descriptor(&name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}
