//! The journal: one stream of what happened, from core and shell, and what derives from it.
//!
//! Workers and the control plane [`write`](Journal::write) events; each gets a sequence number, the
//! wall time and its worker. Log lines, [`Metrics`], [`Alarms`], call records and the health of hosts
//! derive from them here, and whoever [`observe`](Journal::observe)s gets the stream itself. Writing
//! never waits: what cannot be taken is dropped and counted.

mod alarms;
mod health;
mod metrics;
mod records;

pub use alarms::{Alarms, Raised};
pub use health::{Health, HostState, LastAsked};
pub use metrics::{Metrics, WorkerGauges};
pub use records::{Records, Taken};

use crate::event::{Alarm, Event, EventKind};
use crate::flow::TrunkId;
use crate::settings::RecordSettings;
use crate::snapshot::Snapshot;
use crate::trunk::{Host, Trunk};
use arc_swap::{ArcSwap, ArcSwapOption};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::SystemTime;
use tokio::sync::broadcast;

/// How many observations a slow observer may lag behind before it loses some.
const OBSERVER_QUEUE: usize = 16 * 1024;

/// An event with its place in the stream.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Counts the events of the process.
    pub sequence: u64,
    /// Wall time, milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// The worker it happened in; `None` for the control plane.
    pub worker: Option<u16>,
    /// What happened.
    pub event: Event,
}

/// The stream of events and what derives from it. One a process, shared by reference.
#[derive(Debug)]
pub struct Journal {
    /// For the writer of records, which reports to the journal it belongs to.
    own: Weak<Self>,
    sequence: AtomicU64,
    /// Names of the trunks in their order, for labels.
    trunks: ArcSwap<Vec<Arc<str>>>,
    metrics: Metrics,
    alarms: Alarms,
    health: Health,
    records: ArcSwapOption<Records>,
    observers: broadcast::Sender<Arc<Observation>>,
}

impl Journal {
    /// Opens the record file, where there is one, and begins the stream.
    ///
    /// # Errors
    ///
    /// The record file cannot be opened for appending, or its thread not be started.
    pub fn open(records: Option<&RecordSettings>) -> io::Result<Arc<Self>> {
        let journal = Arc::new_cyclic(|own| Self {
            own: own.clone(),
            sequence: AtomicU64::new(0),
            trunks: ArcSwap::default(),
            metrics: Metrics::new(),
            alarms: Alarms::default(),
            health: Health::default(),
            records: ArcSwapOption::empty(),
            observers: broadcast::Sender::new(OBSERVER_QUEUE),
        });
        journal.write_records_to(records)?;
        Ok(journal)
    }

    /// Writes records there from now on; `None`: nowhere. What is queued still goes where it went.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); then records go where they went.
    pub fn write_records_to(&self, settings: Option<&RecordSettings>) -> io::Result<()> {
        let journal = self.own.clone();
        let report = move |trouble: Option<&io::Error>| {
            if let Some(journal) = journal.upgrade() {
                journal.alarm(records::alarm(trouble));
            }
        };
        let opened = settings.map(|settings| Records::open(settings, report)).transpose()?;
        if let Some(before) = self.records.swap(opened.map(Arc::new)) {
            before.close();
        }
        // What was wrong with the file before is nobody's concern now, and the new writer knows nothing of it.
        self.alarm(records::alarm(None));
        Ok(())
    }

    /// The names behind trunk ids, from now on.
    pub fn name_trunks(&self, snapshot: &Snapshot) {
        self.trunks.store(Arc::new(snapshot.trunks.iter().map(|trunk| trunk.name.clone()).collect()));
    }

    /// The name of a trunk, `unknown` for one that is not in the configuration.
    pub fn trunk(&self, id: TrunkId) -> Arc<str> {
        self.trunks.load().get(usize::from(id.0)).cloned().unwrap_or_else(|| Arc::from("unknown"))
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The alarms that are raised.
    pub fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// Which hosts of trunks are up.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Forgets what was heard of hosts that `trunks` do not ask any more: nothing would ever
    /// change it.
    pub fn forget_hosts(&self, trunks: &[Arc<Trunk>]) {
        let asked = |id: TrunkId, host: &Host| {
            let trunk = trunks.get(usize::from(id.0));
            trunk.is_some_and(|trunk| trunk.options_interval.is_some() && !trunk.retired && trunk.hosts.contains(host))
        };
        for (trunk, host) in self.health.retain(asked) {
            self.metrics.forget_host(&self.trunk(trunk), &host.to_string());
        }
    }

    /// The stream from now on. A receiver that lags loses the oldest and is told so.
    pub fn observe(&self) -> broadcast::Receiver<Arc<Observation>> {
        self.observers.subscribe()
    }

    /// How many observe now.
    pub fn observers(&self) -> usize {
        self.observers.receiver_count()
    }

    /// Closes the record file and opens it again (after it was renamed).
    pub fn reopen_records(&self) {
        if let Some(records) = self.records.load().as_ref() {
            records.reopen();
        }
    }

    /// Writes out what is queued and ends the writer of records.
    pub fn close(&self) {
        if let Some(records) = self.records.load().as_ref() {
            records.close();
        }
    }

    /// Raises or clears an alarm from the control plane.
    pub fn alarm(&self, alarm: Alarm) {
        self.write(None, unix_ms(), Event { call: None, kind: EventKind::Alarm(alarm) });
    }

    /// Takes one event of `worker` (`None`: the control plane) at `unix_ms`.
    pub fn write(&self, worker: Option<u16>, unix_ms: u64, event: Event) {
        self.derive(worker, unix_ms, &event);
        if self.observers.receiver_count() > 0 {
            let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
            // An error only says that the last observer has just left.
            let _ = self.observers.send(Arc::new(Observation { sequence, unix_ms, worker, event }));
        }
    }

    fn derive(&self, worker: Option<u16>, unix_ms: u64, event: &Event) {
        let call = event.call.map(tracing::field::display);
        match &event.kind {
            EventKind::CallStarted { from, emergency } => {
                let from = self.trunk(*from);
                tracing::debug!(call, worker, %from, emergency, "call started");
                self.metrics.call_started(&from, *emergency);
            }
            EventKind::CallAnswered { to, after_ms } => {
                let to = self.trunk(*to);
                tracing::debug!(call, worker, %to, after_ms, "call answered");
                self.metrics.call_answered(&to, *after_ms);
                self.alarms.clear("not_acceptable", &to, "a call was taken");
            }
            EventKind::CallEnded(record) => {
                // Without the reason: its words are the peer's, who may put anything into them.
                tracing::info!(
                    call, worker, from = record.from_trunk, to = record.to_trunk, status = record.status, ended_by = ?record.ended_by, caller = %record.caller, callee = %record.callee,
                    answered = record.answered_ms.is_some(), callee_status = record.callee_status, microsoft = record.microsoft, duration_ms = record.ended_ms.saturating_sub(record.started_ms),
                    "call ended"
                );
                self.metrics.call_ended(record);
                if let Some(records) = self.records.load().as_ref()
                    && !records.write(record.clone())
                {
                    self.metrics.records_lost.inc();
                }
            }
            EventKind::CallRefused(record) => {
                if let Some(records) = self.records.load().as_ref() {
                    match records.write_refused(record, unix_ms) {
                        Taken::Queued => {}
                        Taken::LeftOut => drop(self.metrics.refused_records_skipped.inc()),
                        Taken::Lost => drop(self.metrics.records_lost.inc()),
                    }
                }
            }
            EventKind::Refused { trunk, status, reason } => {
                let trunk = trunk.map(|trunk| self.trunk(trunk)).unwrap_or_else(|| Arc::from("unknown"));
                tracing::info!(call, worker, %trunk, status, reason, "request refused");
                self.metrics.refused(&trunk, *status);
            }
            EventKind::CallForwarded { from, reason, times } => {
                tracing::debug!(call, worker, from = %self.trunk(*from), reason, times, "call was forwarded");
            }
            EventKind::FieldsDropped { trunk, names, why } => {
                tracing::info!(call, worker, trunk = %self.trunk(*trunk), ?names, why, "header fields dropped");
            }
            EventKind::UnknownNumber { trunk, number } => {
                let trunk = self.trunk(*trunk);
                tracing::info!(call, worker, %trunk, %number, "number unknown to Teams: correct it in Entra (GEN-95)");
                self.metrics.unknown_number(&trunk);
            }
            EventKind::RulesApplied { trunk, received, rules, .. } => {
                tracing::debug!(call, worker, trunk = %self.trunk(*trunk), received, ?rules, "rules applied");
            }
            EventKind::RulesPassedOver { trunk, received, text } => {
                tracing::warn!(call, worker, trunk = %self.trunk(*trunk), received, text, "rules passed over");
            }
            EventKind::Repaired { trunk, .. } => {
                let trunk = self.trunk(*trunk);
                tracing::debug!(call, worker, %trunk, "message repaired before it left");
                self.metrics.repaired(&trunk);
            }
            EventKind::Withheld { trunk, rule, text } => {
                let trunk = self.trunk(*trunk);
                tracing::warn!(call, worker, %trunk, rule, text, "message kept from leaving");
                self.metrics.withheld(&trunk, rule);
            }
            EventKind::Authentication { trunk, proof } => {
                let (trunk, proof_word) = (self.trunk(*trunk), proof.label());
                match proof.is_fault() {
                    true => tracing::warn!(call, worker, %trunk, proof = proof_word, "authentication failed"),
                    false => tracing::debug!(call, worker, %trunk, proof = proof_word, "authentication"),
                }
                self.metrics.authentication(&trunk, proof_word);
            }
            EventKind::Dropped { reason } => {
                tracing::debug!(call, worker, ?reason, "message dropped");
                self.metrics.dropped(*reason);
            }
            EventKind::Alarm(alarm) => self.alarms.apply(alarm, unix_ms),
            EventKind::Host { trunk, port, host, up, why } => {
                let (name, host) = (self.trunk(*trunk), Host { name: host.clone(), port: *port });
                if *up {
                    tracing::info!(trunk = %name, %host, why, "host up");
                } else {
                    tracing::warn!(trunk = %name, %host, why, "host down");
                }
                self.metrics.host(&name, &host.to_string(), *up);
                self.health.set(*trunk, host, HostState { up: *up, why: why.clone(), since_ms: unix_ms });
            }
            EventKind::Asked { trunk, port, host, status, tls } => {
                let host = Host { name: host.clone(), port: *port };
                if status.is_some() {
                    self.metrics.host_answered(&self.trunk(*trunk), &host.to_string(), unix_ms);
                }
                self.health.asked(*trunk, host, *status, *tls, unix_ms);
            }
            EventKind::AskedBy { trunk, host } => {
                self.metrics.asked_by(&self.trunk(*trunk), unix_ms);
                self.health.asked_by(*trunk, host.clone(), unix_ms);
            }
            EventKind::UnknownName { trunk, host } => {
                let name = self.trunk(*trunk);
                tracing::warn!(worker, trunk = %name, %host, "no trunk has the name that the hub means");
                self.health.unknown_name(*trunk, host.clone(), unix_ms);
            }
            EventKind::Message(_) => {}
        }
    }
}

/// The wall time in milliseconds since the Unix epoch; 0 before it.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Severity;
    use crate::settings::RecordNumbers;
    use uuid::Uuid;

    #[test]
    fn observations_are_numbered_in_order_and_cost_nothing_without_an_observer() {
        let journal = Journal::open(None).unwrap();
        let refused = |status| Event {
            call: Some(Uuid::nil()),
            kind: EventKind::Refused { trunk: None, status, reason: "x".into() },
        };
        journal.write(Some(0), 1, refused(404));
        let mut observer = journal.observe();
        journal.write(Some(0), 2, refused(404));
        journal.write(None, 3, refused(503));
        let (first, second) = (observer.try_recv().unwrap(), observer.try_recv().unwrap());
        assert_eq!((first.sequence, first.worker, first.unix_ms), (0, Some(0), 2));
        assert_eq!((second.sequence, second.worker), (1, None));
        let text = journal.metrics().render(&[], journal.alarms());
        assert!(text.contains("tandem_requests_refused_total{trunk=\"unknown\",status=\"404\"} 2"), "{text}");
    }

    #[test]
    fn the_alarm_about_a_record_file_ends_with_its_use() {
        let directory = tempfile::tempdir().unwrap();
        let records = |path: std::path::PathBuf| RecordSettings { path, numbers: RecordNumbers::Full, refused: true };
        let journal = Journal::open(Some(&records("/dev/full".into()))).unwrap();
        let ended = || EventKind::CallEnded(Arc::default());
        journal.write(Some(0), 1, Event { call: None, kind: ended() });
        journal.close();
        assert!(journal.alarms().is_raised("records"));
        journal.write_records_to(Some(&records(directory.path().join("calls.jsonl")))).unwrap();
        assert!(!journal.alarms().is_raised("records"));
        journal.close();
    }

    #[test]
    fn the_alarm_about_a_488_ends_with_the_next_answered_call_of_its_trunk_gen_48() {
        let journal = Journal::open(None).unwrap();
        let alarm = Alarm {
            key: "not_acceptable:unknown".into(),
            severity: Severity::Critical,
            raised: true,
            text: "488".into(),
            remedy: "mend it",
        };
        journal.alarm(alarm);
        journal.alarms().clear("not_acceptable", "other", "");
        assert!(journal.alarms().is_raised("not_acceptable:unknown"));
        let kind = EventKind::CallAnswered { to: TrunkId(0), after_ms: 1 };
        journal.write(Some(0), 1, Event { call: None, kind });
        assert!(!journal.alarms().is_raised("not_acceptable:unknown"));
    }

    #[test]
    fn an_alarm_of_the_core_is_raised_and_cleared() {
        let journal = Journal::open(None).unwrap();
        let mut alarm = Alarm {
            key: "x".into(),
            severity: Severity::Critical,
            raised: true,
            text: "broken".into(),
            remedy: "mend it",
        };
        journal.alarm(alarm.clone());
        assert_eq!(journal.alarms().raised().len(), 1);
        alarm.raised = false;
        journal.alarm(alarm);
        assert!(journal.alarms().raised().is_empty());
    }
}
