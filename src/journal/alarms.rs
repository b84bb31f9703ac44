//! Conditions an operator should act on, as long as they last.

use crate::event::{Alarm, Severity};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The most alarms kept; more keys than this means that something makes up keys.
const MAX_ALARMS: usize = 1024;

/// An alarm that is raised.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct Raised {
    /// What it is about, stable.
    pub key: String,
    /// `warning` or `critical`.
    pub severity: String,
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    pub remedy: String,
    /// When it was raised first, milliseconds since the Unix epoch.
    pub since_ms: u64,
}

/// The alarms that are raised, by key. Raising and clearing are logged once each.
#[derive(Debug, Default)]
pub struct Alarms {
    raised: Mutex<BTreeMap<String, Raised>>,
}

impl Alarms {
    /// Raises or clears; repeats change text and remedy, since the same thing may fail in another way by now, and the
    /// severity of what has become worse or better.
    pub fn apply(&self, alarm: &Alarm, unix_ms: u64) {
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        let Alarm { key, severity, text, remedy, .. } = alarm;
        if !alarm.raised {
            if raised.remove(key).is_some() {
                tracing::info!(key, text, "alarm cleared");
            }
            return;
        }
        let full = raised.len() >= MAX_ALARMS;
        match raised.get_mut(key) {
            Some(known) => {
                known.text.clone_from(text);
                (*remedy).clone_into(&mut known.remedy);
                if known.severity != severity_word(*severity) {
                    known.severity = severity_word(*severity).into();
                    log(alarm);
                }
            }
            None if full => tracing::error!(key, text, "alarm not kept: too many"),
            None => {
                log(alarm);
                let entry = Raised {
                    key: key.clone(),
                    severity: severity_word(*severity).into(),
                    text: text.clone(),
                    remedy: (*remedy).into(),
                    since_ms: unix_ms,
                };
                raised.insert(key.clone(), entry);
            }
        }
    }

    /// Clears the alarm `kind:of`, if it is raised; costs nothing while there is none at all.
    pub fn clear(&self, kind: &str, of: &str, text: &str) {
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        if raised.is_empty() {
            return;
        }
        let key = format!("{kind}:{of}");
        if raised.remove(&key).is_some() {
            tracing::info!(key, text, "alarm cleared");
        }
    }

    /// All that are raised, by key.
    pub fn raised(&self) -> Vec<Raised> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Whether this one is raised.
    pub fn is_raised(&self, key: &str) -> bool {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).contains_key(key)
    }
}

fn log(Alarm { key, severity, text, remedy, .. }: &Alarm) {
    match severity {
        Severity::Warning => tracing::warn!(key, text, remedy, "alarm raised"),
        Severity::Critical => tracing::error!(key, text, remedy, "alarm raised"),
    }
}

fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(key: &str, raised: bool, text: &str) -> Alarm {
        Alarm { key: key.into(), severity: Severity::Warning, raised, text: text.into(), remedy: "look" }
    }

    #[test]
    fn a_repeated_alarm_keeps_its_first_moment_and_takes_the_newest_text() {
        let alarms = Alarms::default();
        alarms.apply(&alarm("a", true, "one"), 10);
        alarms.apply(&alarm("a", true, "two"), 20);
        let raised = alarms.raised();
        assert_eq!((raised.len(), raised[0].since_ms, raised[0].text.as_str()), (1, 10, "two"));
        alarms.apply(&alarm("a", false, ""), 30);
        assert!(!alarms.is_raised("a"));
    }

    #[test]
    fn what_fails_in_another_way_by_now_has_another_remedy() {
        let alarms = Alarms::default();
        alarms.apply(&alarm("host:teams:a", true, "the name does not resolve"), 10);
        alarms.apply(&Alarm { remedy: "renew", ..alarm("host:teams:a", true, "expired") }, 20);
        assert_eq!(alarms.raised()[0].remedy, "renew");
    }

    #[test]
    fn a_warning_that_becomes_critical_is_shown_as_that() {
        let alarms = Alarms::default();
        alarms.apply(&alarm("certificate_expiry:public", true, "ends in 30 days"), 10);
        let worse =
            Alarm { severity: Severity::Critical, ..alarm("certificate_expiry:public", true, "ends in 7 days") };
        alarms.apply(&worse, 20);
        let raised = alarms.raised();
        assert_eq!((raised[0].severity.as_str(), raised[0].since_ms), ("critical", 10));
    }

    #[test]
    fn the_table_is_bounded() {
        let alarms = Alarms::default();
        for n in 0..MAX_ALARMS + 10 {
            alarms.apply(&alarm(&format!("{n}"), true, ""), 0);
        }
        assert_eq!(alarms.raised().len(), MAX_ALARMS);
    }
}
