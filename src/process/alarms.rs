//! The alarms of the control plane, in words and with their remedies.

use crate::config::{Finding, OWN_NAME_REMEDY, own_names};
use crate::event::{Alarm, Severity};
use crate::settings::{Settings, TrunkSettings};
use crate::trunk::Kind;
use crate::trunk::diagnosis::{Symptom, diagnosis};
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

/// How long a hub that answers may stay without OPTIONS of its own: it sends one a minute and more, and shows the
/// trunk as unhealthy after 3 minutes (TDR-37, TDR-38).
const UNASKED: Duration = Duration::from_secs(180);

/// A hub that takes our OPTIONS and sends none. `up_since_ms`: since when one of its hosts is up; `None`: none is,
/// which has alarms of its own. `asked_ms`: when it last sent OPTIONS.
pub(super) fn unasked(trunk: &str, up_since_ms: Option<u64>, asked_ms: Option<u64>, now_ms: u64) -> Alarm {
    let quiet = up_since_ms.map(|up| now_ms.saturating_sub(up.max(asked_ms.unwrap_or(0))));
    let raised = quiet.is_some_and(|quiet| u128::from(quiet) > UNASKED.as_millis());
    let symptom = if asked_ms.is_some() { Symptom::AsksNoMore } else { Symptom::NeverAsked };
    Alarm {
        key: format!("unasked:{trunk}"),
        severity: Severity::Warning,
        raised,
        text: match raised {
            true => format!("the hub of trunk {trunk} {}", symptom.words()),
            false => format!("the hub of trunk {trunk} sends OPTIONS"),
        },
        remedy: diagnosis(Kind::Teams, symptom).remedy,
    }
}

/// How long a request for a name that nobody has stays an alarm: nothing tells that there will be no more.
const UNKNOWN_NAME: Duration = Duration::from_secs(3600);

/// Requests of the hub for a name that no trunk has (TDR-158). `last`: the last such name, and when it was meant.
pub(super) fn unknown_name(trunk: &str, last: Option<(&str, u64)>, known: bool, now_ms: u64) -> Alarm {
    let lately = |at: u64| u128::from(now_ms.saturating_sub(at)) <= UNKNOWN_NAME.as_millis();
    let last = last.filter(|(_, at)| !known && lately(*at));
    Alarm {
        key: format!("unknown_name:{trunk}"),
        severity: Severity::Warning,
        raised: last.is_some(),
        text: match last {
            Some((host, _)) => format!("the hub calls {host}, and no trunk has that name: its calls get 404"),
            None => "every name that the hub calls is a trunk's".into(),
        },
        remedy: "add a Teams trunk with this fqdn, or have the customer's trunk removed or renamed in Teams (TDR-158)",
    }
}

/// Callers of a trunk that do not get through TLS.
pub(super) fn handshake(trunk: &str, kind: Kind, fault: Option<&str>) -> Alarm {
    Alarm {
        key: format!("handshake:{trunk}"),
        severity: Severity::Warning,
        raised: fault.is_some(),
        text: match fault {
            Some(fault) => format!("{} of trunk {trunk}: {fault}", Symptom::Inbound.words()),
            None => format!("callers of trunk {trunk} get through TLS"),
        },
        remedy: diagnosis(kind, Symptom::Inbound).remedy,
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
        Some(("host" | "demotion", rest)) => !rest.split_once(':').is_some_and(|(trunk, host)| probed(trunk, host)),
        Some(("trunk_down" | "unasked", name)) => !asked(name),
        Some(("tls" | "handshake" | "not_acceptable" | "unknown_name", name)) => {
            !trunks().any(|trunk| &*trunk.trunk.name == name)
        }
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
    fn a_hub_that_answers_and_does_not_ask_has_an_alarm_after_three_minutes_tdr_37() {
        let minute = 60_000;
        assert!(!unasked("teams", None, None, 10 * minute).raised, "no host is up");
        assert!(!unasked("teams", Some(0), None, 3 * minute).raised);
        let never = unasked("teams", Some(0), None, 3 * minute + 1);
        assert!(never.raised && never.remedy.contains("SendSipOptions"), "{never:?}");
        assert!(!unasked("teams", Some(0), Some(minute), 4 * minute).raised);
        let no_more = unasked("teams", Some(0), Some(minute), 4 * minute + 1);
        assert!(no_more.raised && no_more.text.contains("no more"), "{no_more:?}");
    }

    #[test]
    fn a_name_that_no_trunk_has_is_an_alarm_for_an_hour_or_until_one_has_it_tdr_158() {
        let last = Some(("c9.customers.example.com", 1000));
        let alarm = unknown_name("teams", last, false, 2000);
        assert!(alarm.raised && alarm.text.contains("c9.customers.example.com") && alarm.remedy.contains("fqdn"));
        assert!(!unknown_name("teams", last, true, 2000).raised);
        assert!(!unknown_name("teams", last, false, 1000 + 3_600_001).raised);
        assert!(!unknown_name("teams", None, false, 2000).raised);
    }

    #[test]
    fn callers_that_fail_in_tls_have_an_alarm_with_the_fault_tdr_37() {
        let alarm = handshake("teams", Kind::Teams, Some("no trunk expects the names"));
        assert!(alarm.raised && alarm.text.ends_with("no trunk expects the names") && alarm.remedy.contains("TDR-13"));
        assert!(!handshake("teams", Kind::Teams, None).raised);
    }

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
