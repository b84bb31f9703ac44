//! Counters for Prometheus (OpenMetrics 1.0 text). No label holds a number, a name of a person or
//! anything a peer can make up, so the number of series is bounded by the configuration.

use super::Alarms;
use crate::event::{CallRecord, DropReason, EndedBy};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::{Arc, Mutex, PoisonError};

type Labels<const N: usize> = [(&'static str, String); N];

/// Upper ends of the set-up time's buckets, in seconds: a direct answer, ringing, the 120 s of GEN-82.
const SETUP_SECONDS: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 90.0, 120.0];

/// Upper ends of the call length's buckets, in seconds.
const CALL_SECONDS: [f64; 10] = [1.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 14_400.0, 43_200.0];

/// What a worker measures of itself, read when metrics are asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct WorkerGauges {
    /// The worker.
    pub worker: u16,
    /// Calls it holds.
    pub calls: usize,
    /// Connections it holds.
    pub connections: usize,
    /// Client and server transactions it holds.
    pub transactions: usize,
    /// Messages that other workers handed over and that still wait.
    pub waiting: usize,
    /// Calls whose last state is kept for a restart.
    pub saved: usize,
    /// How often it was started anew after a panic.
    pub restarts: u64,
}

/// The counters of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    started: Family<Labels<1>, Counter>,
    emergency: Family<Labels<1>, Counter>,
    answered: Family<Labels<1>, Counter>,
    ended: Family<Labels<4>, Counter>,
    setup: Family<Labels<1>, Histogram, fn() -> Histogram>,
    length: Family<Labels<1>, Histogram, fn() -> Histogram>,
    refused: Family<Labels<2>, Counter>,
    unknown_numbers: Family<Labels<1>, Counter>,
    dropped: Family<Labels<1>, Counter>,
    repaired: Family<Labels<1>, Counter>,
    withheld: Family<Labels<2>, Counter>,
    authentication: Family<Labels<2>, Counter>,
    host: Family<Labels<2>, Gauge>,
    answered_at: Family<Labels<2>, Gauge>,
    asked_at: Family<Labels<1>, Gauge>,
    alarm: Family<Labels<2>, Gauge>,
    calls: Family<Labels<1>, Gauge>,
    connections: Family<Labels<1>, Gauge>,
    transactions: Family<Labels<1>, Gauge>,
    waiting: Family<Labels<1>, Gauge>,
    saved: Family<Labels<1>, Gauge>,
    restarts: Family<Labels<1>, Gauge>,
    certificate: Family<Labels<1>, Gauge>,
    directory: Gauge,
    overlaps: Family<Labels<1>, Gauge>,
    cpu: Gauge<f64, std::sync::atomic::AtomicU64>,
    memory: Gauge,
    /// Records that were not written.
    pub records_lost: Counter,
    /// Records of refused INVITEs that were left out because there were too many in a second.
    pub refused_records_skipped: Counter,
    /// Messages that were handed to another worker.
    pub handed_over: Counter,
    /// Messages that could not be handed over because the other worker's queue was full.
    pub handover_refused: Counter,
    /// Connections that no worker had room for.
    pub connections_refused: Counter,
    /// Configurations that came into force after the first.
    pub reloads: Counter,
    /// Configurations that were refused while running.
    pub reloads_failed: Counter,
}

impl Metrics {
    /// All at zero, registered.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("tandem");
        let setup = Family::new_with_constructor((|| Histogram::new(SETUP_SECONDS)) as fn() -> Histogram);
        let length = Family::new_with_constructor((|| Histogram::new(CALL_SECONDS)) as fn() -> Histogram);
        let metrics = Self {
            registry: Mutex::new(Registry::default()),
            started: Family::default(),
            emergency: Family::default(),
            answered: Family::default(),
            ended: Family::default(),
            setup,
            length,
            refused: Family::default(),
            unknown_numbers: Family::default(),
            dropped: Family::default(),
            repaired: Family::default(),
            withheld: Family::default(),
            authentication: Family::default(),
            host: Family::default(),
            answered_at: Family::default(),
            asked_at: Family::default(),
            alarm: Family::default(),
            calls: Family::default(),
            connections: Family::default(),
            transactions: Family::default(),
            waiting: Family::default(),
            saved: Family::default(),
            restarts: Family::default(),
            certificate: Family::default(),
            directory: Gauge::default(),
            overlaps: Family::default(),
            cpu: Gauge::default(),
            memory: Gauge::default(),
            records_lost: Counter::default(),
            refused_records_skipped: Counter::default(),
            handed_over: Counter::default(),
            handover_refused: Counter::default(),
            connections_refused: Counter::default(),
            reloads: Counter::default(),
            reloads_failed: Counter::default(),
        };
        registry.register("calls_started", "Initial INVITEs taken for routing", metrics.started.clone());
        registry.register("emergency_calls_started", "Those to emergency numbers", metrics.emergency.clone());
        registry.register("calls_answered", "Calls that were answered", metrics.answered.clone());
        registry.register("calls_ended", "Calls that ended, by the class of the final status", metrics.ended.clone());
        registry.register("call_setup_seconds", "From INVITE to the 2xx that crosses", metrics.setup.clone());
        registry.register("call_length_seconds", "From 2xx to the end of an answered call", metrics.length.clone());
        registry.register("requests_refused", "Requests that we refused ourselves", metrics.refused.clone());
        registry.register(
            "unknown_numbers",
            "Calls to numbers that Teams does not know, though they were routed there",
            metrics.unknown_numbers.clone(),
        );
        registry.register("messages_dropped", "Messages without an answer", metrics.dropped.clone());
        registry.register("messages_repaired", "Messages the egress guard repaired", metrics.repaired.clone());
        registry.register("messages_withheld", "Messages the egress guard kept", metrics.withheld.clone());
        let authentication = metrics.authentication.clone();
        registry.register("authentications", "Challenges and tokens, by what came of them", authentication);
        registry.register("host_up", "Whether calls may go to a host of a trunk", metrics.host.clone());
        registry.register(
            "host_answer_timestamp_seconds",
            "When a host last answered OPTIONS, Unix time",
            metrics.answered_at.clone(),
        );
        registry.register(
            "options_received_timestamp_seconds",
            "When a trunk's platform last sent OPTIONS, Unix time",
            metrics.asked_at.clone(),
        );
        registry.register("alarm", "Alarms that are raised", metrics.alarm.clone());
        registry.register("worker_calls", "Calls that a worker holds", metrics.calls.clone());
        registry.register("worker_connections", "Connections that a worker holds", metrics.connections.clone());
        registry.register("worker_transactions", "Transactions that a worker holds", metrics.transactions.clone());
        registry.register("worker_waiting", "Messages handed over that wait", metrics.waiting.clone());
        registry.register("worker_saved_calls", "Calls kept for a worker's restart", metrics.saved.clone());
        registry.register("worker_restarts", "Restarts of a worker after a panic", metrics.restarts.clone());
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When the certificate of an identity ends, Unix time",
            metrics.certificate.clone(),
        );
        registry.register("directory_entries", "Numbers in the directory", metrics.directory.clone());
        registry.register(
            "directory_overlaps",
            "Numbers of the directory that another platform says it owns, by its trunk",
            metrics.overlaps.clone(),
        );
        registry.register("records_lost", "Call records not written", metrics.records_lost.clone());
        registry.register(
            "refused_records_skipped",
            "Records of refused calls left out, too many in a second",
            metrics.refused_records_skipped.clone(),
        );
        registry.register(
            "messages_handed_over",
            "Messages handed to the worker of their call",
            metrics.handed_over.clone(),
        );
        registry.register(
            "handovers_refused",
            "Messages not handed over because a queue was full",
            metrics.handover_refused.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections no worker had room for",
            metrics.connections_refused.clone(),
        );
        registry.register("reloads", "Configurations that came into force while running", metrics.reloads.clone());
        registry.register("reloads_failed", "Configurations refused while running", metrics.reloads_failed.clone());
        registry.register("process_cpu_seconds", "Processor time, user and system", metrics.cpu.clone());
        registry.register("process_resident_bytes", "Resident memory", metrics.memory.clone());
        *metrics.registry.lock().unwrap_or_else(PoisonError::into_inner) = registry;
        metrics
    }

    /// Shows what somebody else counts, too.
    pub fn collect(&self, collector: Box<dyn Collector>) {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).register_collector(collector);
    }

    pub(super) fn call_started(&self, from: &str, emergency: bool) {
        if emergency {
            self.emergency.get_or_create(&[("from", from.into())]).inc();
        }
        self.started.get_or_create(&[("from", from.into())]).inc();
    }

    pub(super) fn call_answered(&self, to: &str, after_ms: u64) {
        self.answered.get_or_create(&[("to", to.into())]).inc();
        self.setup.get_or_create(&[("to", to.into())]).observe(seconds(after_ms));
    }

    pub(super) fn call_ended(&self, record: &CallRecord) {
        let status = format!("{}xx", record.status / 100);
        let by = match record.ended_by {
            EndedBy::Caller => "caller",
            EndedBy::Callee => "callee",
            EndedBy::Tandem => "tandem",
        };
        let labels = [
            ("from", record.from_trunk.clone()),
            ("to", record.to_trunk.clone()),
            ("status", status),
            ("ended_by", by.into()),
        ];
        self.ended.get_or_create(&labels).inc();
        if let Some(answered) = record.answered_ms {
            let length = record.ended_ms.saturating_sub(answered);
            self.length.get_or_create(&[("to", record.to_trunk.clone())]).observe(seconds(length));
        }
    }

    pub(super) fn refused(&self, trunk: &str, status: u16) {
        self.refused.get_or_create(&[("trunk", trunk.into()), ("status", status.to_string())]).inc();
    }

    /// By trunk only: a label must not hold a number. The log shows the ends of them, the records them all.
    pub(super) fn unknown_number(&self, trunk: &str) {
        self.unknown_numbers.get_or_create(&[("trunk", trunk.into())]).inc();
    }

    pub(super) fn dropped(&self, reason: DropReason) {
        let reason = match reason {
            DropReason::StrayResponse => "stray_response",
            DropReason::StrayAck => "stray_ack",
            DropReason::Malformed => "malformed",
            DropReason::ForbiddenDestination => "forbidden_destination",
            DropReason::Overload => "overload",
        };
        self.dropped.get_or_create(&[("reason", reason.into())]).inc();
    }

    pub(super) fn repaired(&self, trunk: &str) {
        self.repaired.get_or_create(&[("trunk", trunk.into())]).inc();
    }

    pub(super) fn authentication(&self, trunk: &str, proof: &'static str) {
        self.authentication.get_or_create(&[("trunk", trunk.into()), ("proof", proof.into())]).inc();
    }

    pub(super) fn withheld(&self, trunk: &str, rule: &str) {
        self.withheld.get_or_create(&[("trunk", trunk.into()), ("rule", rule.into())]).inc();
    }

    pub(super) fn host(&self, trunk: &str, host: &str, up: bool) {
        self.host.get_or_create(&[("trunk", trunk.into()), ("host", host.into())]).set(up.into());
    }

    /// A host has answered OPTIONS of ours.
    pub(super) fn host_answered(&self, trunk: &str, host: &str, unix_ms: u64) {
        self.answered_at.get_or_create(&[("trunk", trunk.into()), ("host", host.into())]).set(whole_seconds(unix_ms));
    }

    /// A platform has sent OPTIONS. Without the sender's name: it is the peer's own word.
    pub(super) fn asked_by(&self, trunk: &str, unix_ms: u64) {
        self.asked_at.get_or_create(&[("trunk", trunk.into())]).set(whole_seconds(unix_ms));
    }

    /// A host that is not asked any more has no state to show.
    pub(super) fn forget_host(&self, trunk: &str, host: &str) {
        self.answered_at.remove(&[("trunk", trunk.into()), ("host", host.into())]);
        self.host.remove(&[("trunk", trunk.into()), ("host", host.into())]);
    }

    /// When the certificate of `identity` ends, in seconds since the Unix epoch.
    pub fn certificate_expiry(&self, identity: &str, unix_seconds: i64) {
        self.certificate.get_or_create(&[("identity", identity.into())]).set(unix_seconds);
    }

    /// How many numbers the directory holds, and how many of them are in dids of a trunk (GEN-90).
    pub fn directory(&self, count: usize, overlaps: &[(Arc<str>, usize)]) {
        self.directory.set(gauge(count));
        self.overlaps.clear();
        for (trunk, count) in overlaps {
            self.overlaps.get_or_create(&[("trunk", trunk.to_string())]).set(gauge(*count));
        }
    }

    /// The text of `/metrics`.
    pub fn render(&self, workers: &[WorkerGauges], alarms: &Alarms) -> String {
        for worker in workers {
            let labels = [("worker", worker.worker.to_string())];
            self.calls.get_or_create(&labels).set(gauge(worker.calls));
            self.connections.get_or_create(&labels).set(gauge(worker.connections));
            self.transactions.get_or_create(&labels).set(gauge(worker.transactions));
            self.waiting.get_or_create(&labels).set(gauge(worker.waiting));
            self.saved.get_or_create(&labels).set(gauge(worker.saved));
            self.restarts.get_or_create(&labels).set(i64::try_from(worker.restarts).unwrap_or(i64::MAX));
        }
        self.alarm.clear();
        for raised in alarms.raised() {
            self.alarm.get_or_create(&[("key", raised.key), ("severity", raised.severity)]).set(1);
        }
        if let Some((cpu, memory)) = process_usage() {
            self.cpu.set(cpu);
            self.memory.set(memory);
        }
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner));
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn whole_seconds(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX)
}

fn seconds(milliseconds: u64) -> f64 {
    std::time::Duration::from_millis(milliseconds).as_secs_f64()
}

/// Processor seconds and resident octets of this process, from the kernel's own accounting.
fn process_usage() -> Option<(f64, i64)> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).ok()?;
    let time = |value: nix::sys::time::TimeVal| {
        let micros = u32::try_from(value.tv_usec()).unwrap_or(0);
        u32::try_from(value.tv_sec()).map(|seconds| f64::from(seconds) + f64::from(micros) / 1e6).unwrap_or(0.0)
    };
    let memory = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident = memory.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = resident.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some((time(usage.user_time()) + time(usage.system_time()), kibibytes * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_open_metrics_and_names_trunks_and_workers() {
        let metrics = Metrics::new();
        metrics.call_started("genesys", true);
        metrics.call_answered("teams", 1500);
        let record = CallRecord {
            from_trunk: "genesys".into(),
            to_trunk: "teams".into(),
            status: 200,
            answered_ms: Some(1000),
            ended_ms: 61_000,
            ended_by: EndedBy::Callee,
            ..CallRecord::default()
        };
        metrics.call_ended(&record);
        metrics.dropped(DropReason::StrayAck);
        metrics.host_answered("teams", "sip.example.com:5061", 7_900);
        metrics.asked_by("teams", 8_100);
        metrics.unknown_number("teams");
        metrics.directory(5, &[("gone".into(), 9)]);
        metrics.directory(3, &[("genesys".into(), 2)]);
        let worker = WorkerGauges { worker: 1, calls: 7, restarts: 2, ..WorkerGauges::default() };
        let text = metrics.render(&[worker], &Alarms::default());
        for line in [
            "tandem_calls_started_total{from=\"genesys\"} 1",
            "tandem_emergency_calls_started_total{from=\"genesys\"} 1",
            "tandem_call_setup_seconds_bucket{le=\"2.5\",to=\"teams\"} 1",
            "tandem_calls_ended_total{from=\"genesys\",to=\"teams\",status=\"2xx\",ended_by=\"callee\"} 1",
            "tandem_unknown_numbers_total{trunk=\"teams\"} 1",
            "tandem_directory_entries 3",
            "tandem_directory_overlaps{trunk=\"genesys\"} 2",
            "tandem_messages_dropped_total{reason=\"stray_ack\"} 1",
            "tandem_host_answer_timestamp_seconds{trunk=\"teams\",host=\"sip.example.com:5061\"} 7",
            "tandem_options_received_timestamp_seconds{trunk=\"teams\"} 8",
            "tandem_worker_calls{worker=\"1\"} 7",
            "tandem_worker_restarts{worker=\"1\"} 2",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("gone"), "a trunk that shares no number any more");
        assert!(text.ends_with("# EOF\n"));
        assert!(process_usage().is_some_and(|(_, memory)| memory > 0));
    }
}
