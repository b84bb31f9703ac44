//! The control plane's thread: from settings to open sockets, then one loop until the process ends.

use super::admin::Admin;
use super::begin::begin;
use super::files::Files;
use super::retired::Retired;
use super::{Shared, StartError, alarms, status};
use crate::config;
use crate::config::directory_file::{self, ReadDirectory};
use crate::journal::unix_ms;
use crate::settings::Settings;
use crate::transport::TlsTable;
use crate::trunk::Kind;
use crate::worker::{Order, Phase, restart_alarm};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};

/// How long after a change of a file its neighbours may still change: certificate and key are two.
const SETTLE: Duration = Duration::from_millis(500);

/// How often what no event tells is looked at: files on network mounts, certificates, silent workers.
const LOOK: Duration = Duration::from_secs(30);

/// How many findings of a refused configuration an alarm and the log repeat.
const MAX_TOLD: usize = 20;

/// How long a restart of a worker stays an alarm.
const RECENT: Duration = Duration::from_secs(3600);

/// How long the BYEs of the end may take.
const ENDING: Duration = Duration::from_secs(10);

/// How long the last octets may take to leave once no call is left.
const FLUSH: Duration = Duration::from_millis(250);

/// What operators ask of the control plane.
#[derive(Debug)]
pub(super) enum Command {
    /// Read the configuration again, and say what came of it to whoever wants to know.
    Reload(Option<oneshot::Sender<Reloaded>>),
}

/// What came of a reload.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
pub struct Reloaded {
    /// Whether the new configuration is in force.
    pub accepted: bool,
    /// Why it is not; the old one is still in force. Empty when it is.
    pub error: String,
    /// Changed keys that need a restart; their old values are still in force.
    pub restart_keys: Vec<String>,
    /// What else an operator should know.
    pub warnings: Vec<String>,
}

impl Reloaded {
    pub(super) fn refused(error: String) -> Self {
        Self { error, ..Self::default() }
    }
}

/// The thread: begins, reports, lives, ends.
pub(super) fn run(
    settings: Settings,
    commands: mpsc::Sender<Command>,
    inbox: mpsc::Receiver<Command>,
    ready: &SyncSender<Result<Arc<Shared>, StartError>>,
) {
    let (runtime, mut control) = match begin(settings, commands) {
        Ok(begun) => begun,
        // `start` waits for exactly one word.
        Err(error) => return drop(ready.send(Err(error))),
    };
    let shared = control.shared.clone();
    tracing::info!(listeners = ?shared.addresses, http = ?shared.http, workers = shared.exchange.workers(), "serving");
    let _ = ready.send(Ok(shared.clone()));
    runtime.block_on(control.live(inbox));
    for worker in control.workers {
        // A worker's panics are dealt with in its own thread.
        let _ = worker.join();
    }
    shared.journal.close();
    drop(control.admin);
    runtime.shutdown_timeout(Duration::from_secs(1));
    tracing::info!("ended");
}

/// What the thread holds for as long as the process runs.
pub(super) struct Control {
    /// What all parts share.
    pub(super) shared: Arc<Shared>,
    /// The threads of the workers.
    pub(super) workers: Vec<JoinHandle<()>>,
    /// The local socket.
    pub(super) admin: Admin,
    /// The files of the configuration in force.
    pub(super) files: Files,
    /// Notified when something happened near one of them.
    pub(super) near: Arc<Notify>,
}

impl Control {
    /// The loop, until every worker has been told to return.
    async fn live(&mut self, mut commands: mpsc::Receiver<Command>) {
        let mut phase = self.shared.phase.subscribe();
        let mut look = tokio::time::interval(LOOK);
        let mut retired = Retired::default();
        let interval = |shared: &Shared| Retired::interval(&shared.composer.in_force().settings);
        let mut release = tokio::time::Instant::now() + interval(&self.shared);
        loop {
            tokio::select! {
                // An error cannot be: the sender is in `shared`.
                _ = phase.wait_for(|phase| *phase == Phase::Stopped) => return,
                Some(command) = commands.recv() => match command {
                    Command::Reload(answer) => {
                        let reloaded = self.reload();
                        // Who asked may have stopped waiting.
                        let _ = answer.map(|answer| answer.send(reloaded));
                    }
                },
                () = self.shared.journal.health().changed() => self.shared.composer.change(|_| {}),
                () = self.near.notified() => {
                    tokio::time::sleep(SETTLE).await;
                    if self.files.changed() {
                        self.reload();
                    }
                }
                () = tokio::time::sleep_until(release) => {
                    retired.look(&self.shared).await;
                    release = tokio::time::Instant::now() + interval(&self.shared);
                }
                _ = look.tick() => {
                    if self.files.changed() {
                        self.reload();
                    }
                    self.look();
                }
            }
        }
    }

    /// What no event tells.
    fn look(&self) {
        let shared = &self.shared;
        let in_force = shared.composer.in_force();
        if in_force.observe && shared.journal.observers() == 0 {
            shared.composer.change(|in_force| in_force.observe = false);
        }
        for trunk in &in_force.settings.trunks {
            if let (Some(policy), Some(tls)) = (&trunk.tls, in_force.tls.trunk(trunk.trunk.id)) {
                shared.journal.metrics().certificate_expiry(&policy.identity, tls.certificate.not_after);
                shared.journal.alarm(alarms::expiry(&policy.identity, tls.certificate.not_after, unix_ms()));
            }
        }
        self.look_at_callers();
        for raised in shared.journal.alarms().raised() {
            if alarms::is_stale(&raised.key, &in_force.settings) {
                shared.journal.alarm(alarms::gone(raised.key));
            }
        }
        let stuck = status::stuck(shared);
        for (worker, desk) in shared.exchange.desks() {
            let quiet_ms = unix_ms().saturating_sub(desk.restarted_ms());
            if desk.restarts() > 0 && u128::from(quiet_ms) > RECENT.as_millis() {
                shared.journal.alarm(restart_alarm(worker, None));
            }
            shared.journal.alarm(alarms::stuck(worker, stuck.contains(&worker)));
        }
    }

    /// Whether the platforms that have to call us do, and get through (TDR-37).
    fn look_at_callers(&self) {
        let (journal, snapshot) = (&self.shared.journal, self.shared.composer.snapshot());
        for trunk in snapshot.trunks.iter().filter(|trunk| !trunk.retired) {
            let fault = self.shared.counters.inbound.fault(trunk.id);
            journal.alarm(alarms::handshake(&trunk.name, trunk.kind, fault.as_deref()));
            let unknown = journal.health().last_unknown_name(trunk.id);
            let named =
                |host: &str| snapshot.trunks.iter().any(|own| !own.retired && own.fqdn.eq_ignore_ascii_case(host));
            let known = unknown.as_ref().is_some_and(|(host, _)| named(host));
            let last = unknown.as_ref().map(|(host, at)| (&**host, *at));
            journal.alarm(alarms::unknown_name(&trunk.name, last, known, unix_ms()));
            if trunk.kind != Kind::Teams || trunk.options_interval.is_none() {
                continue;
            }
            let states = trunk.hosts.iter().filter_map(|host| journal.health().host(trunk.id, host));
            let up_since = states.filter(|state| state.up).map(|state| state.since_ms).min();
            let asked = journal.health().askers(trunk.id).into_iter().map(|(_, at)| at).max();
            journal.alarm(alarms::unasked(&trunk.name, up_since, asked, unix_ms()));
        }
    }

    /// Reads the configuration and all its files again. What is bad leaves what was there in force.
    fn reload(&mut self) -> Reloaded {
        let shared = self.shared.clone();
        // Seen from here on: what changes while it is read is looked at once more.
        let _ = self.files.changed();
        let (journal, before) = (&shared.journal, shared.composer.in_force());
        let loaded = config::reload(&before.settings.path, &before.settings);
        let loaded = loaded.map_err(|findings| {
            let mut lines: Vec<String> = findings.iter().take(MAX_TOLD).map(ToString::to_string).collect();
            if let Some(more) = findings.len().checked_sub(MAX_TOLD).filter(|more| *more > 0) {
                lines.push(format!("{more} more; tandem check shows them"));
            }
            lines.join("\n")
        });
        journal.alarm(alarms::configuration(loaded.as_ref().err()));
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                journal.metrics().reloads_failed.inc();
                // The alarm is told once; who corrects a file and asks again has to hear of each answer.
                tracing::warn!(error, "configuration not reloaded");
                return Reloaded::refused(error);
            }
        };
        let mut warnings: Vec<String> = loaded.warnings.iter().map(|finding| finding.to_string()).collect();
        warnings.extend(loaded.retired.iter().map(|trunk| format!("trunk {trunk} takes no new calls")));
        let (mut settings, restart_keys) = (loaded.settings, loaded.restart_keys);
        let moved = match settings.records != before.settings.records {
            true => journal.write_records_to(settings.records.as_ref()),
            false => Ok(()),
        };
        journal.alarm(alarms::moved_records(moved.as_ref().err()));
        if let Err(error) = moved {
            warnings.push(format!("call records are still written where they were: {error}"));
            // What is in force, so that the next reload tries again.
            settings.records.clone_from(&before.settings.records);
        }
        let settings = Arc::new(settings);
        let read = directory_file::of_settings(&settings);
        journal.alarm(alarms::directory(read.as_ref().err()));
        let directory = match read {
            Ok(ReadDirectory { directory, findings, overlaps }) => {
                warnings.extend(findings.iter().map(|finding| finding.to_string()));
                journal.metrics().directory(directory.len(), &overlaps);
                Arc::new(directory)
            }
            Err(finding) => {
                warnings.push(finding.to_string());
                before.directory.clone()
            }
        };
        let (tls, faults) = TlsTable::build(&settings, Some(&before.tls));
        for trunk in settings.trunks.iter().filter(|trunk| trunk.tls.is_some()) {
            let fault = faults.iter().find(|fault| fault.trunk == trunk.trunk.name);
            journal.alarm(alarms::tls(&trunk.trunk.name, fault.map(ToString::to_string)));
            warnings.extend(fault.map(ToString::to_string));
        }
        shared.composer.change(|in_force| {
            in_force.settings = settings.clone();
            in_force.directory = directory;
            in_force.tls = Arc::new(tls);
        });
        shared.resolver.set_hosts(settings.hosts.clone());
        recycle(&shared);
        self.files = Files::watch(&settings, self.near.clone(), Some(&self.files));
        self.look();
        journal.metrics().reloads.inc();
        // Most reloads are asked for by a signal or by a file: nobody else hears of them.
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        tracing::info!(?restart_keys, warnings = warnings.len(), "configuration reloaded");
        Reloaded { accepted: true, error: String::new(), restart_keys, warnings }
    }
}

/// Has every worker hold its connections against what is in force now.
pub(super) fn recycle(shared: &Shared) {
    for (worker, desk) in shared.exchange.desks() {
        if !desk.order(Order::Recycle) {
            tracing::warn!(worker, "connections not looked at: worker is busy");
        }
    }
}

/// The end in order: calls get their time, then their BYEs, then the workers return.
pub(super) async fn end(shared: Arc<Shared>) {
    let mut phase = shared.phase.subscribe();
    // Errors cannot be: the sender is in `shared`.
    let _ = phase.wait_for(|phase| *phase >= Phase::Draining).await;
    if *phase.borrow() == Phase::Draining {
        let patience = shared.composer.in_force().settings.drain_timeout;
        tracing::info!(calls = shared.exchange.calls(), ?patience, "draining");
        tokio::select! {
            () = shared.exchange.no_calls() => {}
            () = tokio::time::sleep(patience) => {}
            _ = phase.wait_for(|phase| *phase >= Phase::Ending) => {}
        }
    }
    tracing::info!(calls = shared.exchange.calls(), "ending");
    shared.advance(Phase::Ending);
    if tokio::time::timeout(ENDING, shared.exchange.no_calls()).await.is_err() {
        tracing::warn!(calls = shared.exchange.calls(), "calls left without an answer to their BYE");
    }
    tokio::time::sleep(FLUSH).await;
    shared.advance(Phase::Stopped);
}
