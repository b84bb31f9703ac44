//! `tandem status`: how a running element is.

use super::{Local, print, print_json, unexpected};
use crate::process::{AdminAnswer, AdminRequest, Status};
use std::fmt::Write;
use std::process::ExitCode;

/// Asks and shows.
pub(super) fn run(arguments: &Local) -> ExitCode {
    match arguments.ask(&AdminRequest::Status) {
        Ok(AdminAnswer::Status(status)) if arguments.json => print_json(&status),
        Ok(AdminAnswer::Status(status)) => print(&text(&status)),
        Ok(_) => unexpected(),
        Err(code) => code,
    }
}

fn text(status: &Status) -> String {
    let mut out = String::new();
    let Status { product, phase, uptime_seconds, calls, directory_entries, configuration, .. } = status;
    // Writing into a String cannot fail.
    let _ = writeln!(out, "{product}, {phase} for {}, {calls} calls", duration(*uptime_seconds));
    let _ = writeln!(out, "configuration {configuration}, {directory_entries} numbers in the directory");
    let status_age = |at: u64| status.now_ms.saturating_sub(at) / 1000;
    for trunk in &status.trunks {
        let retired = if trunk.retired { ", retired" } else { "" };
        let _ = writeln!(out, "trunk {}: {} calls begun by it{retired}", trunk.name, trunk.calls);
        for host in &trunk.hosts {
            let state = match host.up {
                Some(true) => "up",
                Some(false) => "DOWN",
                None => "not heard of",
            };
            let why = if host.why.is_empty() { String::new() } else { format!(" ({})", host.why) };
            let last = host
                .last_answer
                .map_or_else(String::new, |(status, at)| format!(", last {status} {} ago", duration(status_age(at))));
            let tls = if host.tls.is_empty() { String::new() } else { format!(", TLS {}", host.tls) };
            let _ = writeln!(out, "  {}: {state}{why}{last}{tls} {}", host.name, host.addresses.join(" "));
        }
        for (asker, at) in &trunk.asked_by {
            let asker = if asker.is_empty() { "a nameless host" } else { asker };
            let _ = writeln!(out, "  OPTIONS of {asker} {} ago", duration(status_age(*at)));
        }
    }
    for worker in &status.workers {
        let alive = if worker.alive { "" } else { ", NO SIGN OF LIFE" };
        let _ = writeln!(
            out,
            "worker {}: {} calls, {} connections, {} restarts{alive}",
            worker.worker, worker.calls, worker.connections, worker.restarts
        );
    }
    if status.alarms.is_empty() {
        let _ = writeln!(out, "no alarms");
    }
    for alarm in &status.alarms {
        let _ = writeln!(out, "ALARM {} {}: {}\n  help: {}", alarm.severity, alarm.key, alarm.text, alarm.remedy);
    }
    out
}

/// Seconds for people: `2d 3h`, `3h 12m`, `12m 5s`.
pub(super) fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Raised;
    use crate::process::{HostStatus, TrunkStatus};

    #[test]
    fn durations_have_two_units() {
        for (seconds, text) in [(59, "59s"), (60, "1m 0s"), (3660, "1h 1m"), (90_000, "1d 1h")] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn a_host_that_is_down_and_an_alarm_stand_out_with_reason_and_remedy() {
        let host = HostStatus {
            name: "sip.example.com".into(),
            up: Some(false),
            why: "503".into(),
            last_answer: Some((503, 58_000)),
            tls: "up".into(),
            addresses: vec![],
        };
        let trunk = TrunkStatus {
            name: "teams".into(),
            retired: false,
            calls: 3,
            hosts: vec![host],
            asked_by: vec![("sip-du-a-eu.example.com".into(), 30_000)],
        };
        let alarm = Raised {
            key: "records".into(),
            severity: "critical".into(),
            text: "call records are lost".into(),
            remedy: "make room".into(),
            since_ms: 0,
        };
        let status = Status {
            product: "Tandem/0".into(),
            now_ms: 60_000,
            phase: "serving".into(),
            uptime_seconds: 1,
            configuration: "tandem.toml".into(),
            calls: 3,
            directory_entries: 2,
            trunks: vec![trunk],
            workers: vec![],
            alarms: vec![alarm],
            counters: vec![],
        };
        let text = text(&status);
        assert!(text.contains("sip.example.com: DOWN (503), last 503 2s ago, TLS up"), "{text}");
        assert!(text.contains("OPTIONS of sip-du-a-eu.example.com 30s ago"), "{text}");
        assert!(text.contains("ALARM critical records: call records are lost\n  help: make room"), "{text}");
    }
}
