//! The alarms of the control plane, in words and with their remedies.

use crate::config::{Finding, OWN_NAME_REMEDY, own_names};
use crate::event::{Alarm, Severity};
use crate::settings::{Settings, TrunkSettings};
use std::net::SocketAddr;
use std::time::Duration;

/// When the end of a certificate becomes a warning (TDR-15), and when it becomes critical.
const EXPIRY: [(Duration, Severity); 2] =
    [(Duration::from_secs(7 * 86_400), Severity::Critical), (Duration::from_secs(30 * 86_400), Severity::Warning)];

/// A new configuration that is not in force.
pub(super) fn configuration(error: Option<&String>) -> Alarm {
    Alarm {
        key: "configuration".into(),
        severity: Severity::Warning,
        raised: error.is_some(),
        text: error.map_or("configuration is in force".into(), |error| format!("new configuration refused: {error}")),
        remedy: "run tandem check and correct the file; the old configuration is still in force",
    }
}

/// A directory file that is not in force.
pub(super) fn directory(finding: Option<&Finding>) -> Alarm {
    Alarm {
        key: "directory".into(),
        severity: Severity::Critical,
        raised: finding.is_some(),
        text: finding.map_or("directory is in force".into(), |finding| finding.to_string()),
        remedy: "correct the directory file; the last good directory is still in force",
    }
}

/// A new path of the record file that cannot be used.
pub(super) fn moved_records(error: Option<&std::io::Error>) -> Alarm {
    let text = |error| format!("call records are still written where they were: {error}");
    Alarm {
        key: "records_path".into(),
        severity: Severity::Warning,
        raised: error.is_some(),
        text: error.map_or("call records are written where the configuration says".into(), text),
        remedy: "correct path in [records], or make its folder, and reload",
    }
}

/// Identity or trust of a trunk that are not in force.
pub(super) fn tls(trunk: &str, fault: Option<String>) -> Alarm {
    Alarm {
        key: format!("tls:{trunk}"),
        severity: Severity::Critical,
        raised: fault.is_some(),
        text: fault.unwrap_or_else(|| "identity and trust are in force".into()),
        remedy: "correct the certificate files; the last good ones are still in force",
    }
}

/// The alarm about the end of a certificate at `not_after`, in seconds since the Unix epoch (TDR-15).
pub(super) fn expiry(identity: &str, not_after: i64, unix_ms: u64) -> Alarm {
    let end = Duration::from_secs(u64::try_from(not_after).unwrap_or(0));
    let left = end.saturating_sub(Duration::from_millis(unix_ms));
    let near = EXPIRY.iter().find(|(limit, _)| left <= *limit);
    Alarm {
        key: format!("certificate_expiry:{identity}"),
        severity: near.map_or(Severity::Warning, |(_, severity)| *severity),
        raised: near.is_some(),
        text: match left.as_secs() / 86_400 {
            _ if left.is_zero() => format!("certificate of identity {identity} has expired"),
            days => format!("certificate of identity {identity} ends in {days} days"),
        },
        remedy: "renew the certificate; new files are taken without a restart",
    }
}

/// A name of ours that does not lead to us (TDR-24).
pub(super) fn own_name(fqdn: &str, fault: Option<String>) -> Alarm {
    Alarm {
        key: format!("own_name:{fqdn}"),
        severity: Severity::Warning,
        raised: fault.is_some(),
        text: fault.unwrap_or_else(|| format!("{fqdn} leads here")),
        remedy: OWN_NAME_REMEDY,
    }
}

/// A worker that shows no sign of life.
pub(super) fn stuck(worker: u16, raised: bool) -> Alarm {
    Alarm {
        key: format!("worker_stuck:{worker}"),
        severity: Severity::Critical,
        raised,
        text: format!("worker {worker} shows no sign of life"),
        remedy: "restart Tandem, and report what it did last",
    }
}

/// A listener that cannot accept any more.
pub(super) fn listener(address: SocketAddr, error: &std::io::Error) -> Alarm {
    Alarm {
        key: format!("listener:{address}"),
        severity: Severity::Critical,
        raised: true,
        text: format!("the listener of {address} takes no connections: {error}"),
        remedy: "restart Tandem",
    }
}

/// Whether an alarm is about a trunk, host or identity that `settings` have no more: nothing else would
/// clear it.
pub(super) fn is_stale(key: &str, settings: &Settings) -> bool {
    let trunks = || settings.trunks.iter().filter(|trunk| !trunk.trunk.retired);
    let probed = |name: &str, host: &str| {
        let same = |trunk: &&TrunkSettings| &*trunk.trunk.name == name && trunk.trunk.options_interval.is_some();
        trunks().filter(same).any(|trunk| trunk.trunk.hosts.iter().any(|known| known.to_string() == host))
    };
    let asked = |name: &str| trunks().any(|trunk| &*trunk.trunk.name == name && trunk.trunk.options_interval.is_some());
    match key.split_once(':') {
        Some(("host", rest)) => !rest.split_once(':').is_some_and(|(trunk, host)| probed(trunk, host)),
        Some(("trunk_down", name)) => !asked(name),
        Some(("tls", name)) => !trunks().any(|trunk| &*trunk.trunk.name == name),
        Some(("own_name", name)) => !own_names(settings).iter().any(|known| &*known.fqdn == name),
        Some(("certificate_expiry", name)) => !settings.identities.contains_key(name),
        _ => false,
    }
}

/// Clears an alarm whose subject is gone.
pub(super) fn gone(key: String) -> Alarm {
    let text = "not configured any more".into();
    Alarm { key, severity: Severity::Warning, raised: false, text, remedy: "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_warns_a_month_ahead_and_is_critical_a_week_ahead() {
        let day: i64 = 86_400;
        let at = |days: i64| expiry("public", days * day, 0);
        assert!(!at(31).raised);
        assert!(at(30).raised && at(30).severity == Severity::Warning);
        assert!(at(7).raised && at(7).severity == Severity::Critical);
        assert!(at(0).raised && at(0).text.contains("has expired"));
        assert!(at(-5).raised && at(-5).text.contains("has expired"));
    }
}
