//! Which hosts of trunks are up: what the speaking worker found out by OPTIONS (TDR-39, GEN-84), and which hosts of
//! the platforms ask us (TDR-37).

use crate::flow::TrunkId;
use crate::trunk::Host;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// What is known of a host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostState {
    /// Whether calls may go there.
    pub up: bool,
    /// Why, in words.
    pub why: String,
    /// Since when, milliseconds since the Unix epoch.
    pub since_ms: u64,
}

/// What came of our last OPTIONS to a host.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LastAsked {
    /// Its last final response: status, and when, milliseconds since the Unix epoch.
    pub answer: Option<(u16, u64)>,
    /// Whether TLS was up; `None`: it is not spoken, or was not tried.
    pub tls: Option<bool>,
}

/// The most askers of a trunk that are remembered: a hub has a host for each of its regions. Their names are the
/// peer's own words, so the one heard least lately makes room.
const MOST_ASKERS: usize = 16;

/// The hosts of a trunk that ask us, and when they last did, milliseconds since the Unix epoch.
type Askers = BTreeMap<Arc<str>, u64>;

/// The last state of every host that was heard of, by trunk, name and port. [`retain`](Self::retain) keeps it
/// to those of the configuration.
#[derive(Debug, Default)]
pub struct Health {
    hosts: Mutex<BTreeMap<(TrunkId, Host), HostState>>,
    asked: Mutex<BTreeMap<(TrunkId, Host), LastAsked>>,
    askers: Mutex<BTreeMap<TrunkId, Askers>>,
    /// The last name of ours that the hub meant and no trunk has, by the trunk its sender may be.
    unknown: Mutex<BTreeMap<TrunkId, (Arc<str>, u64)>>,
    changed: Notify,
}

impl Health {
    /// Takes what was found out, and wakes who waits in [`changed`](Self::changed) when it is news.
    pub fn set(&self, trunk: TrunkId, host: Host, state: HostState) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = hosts.insert((trunk, host), state.clone());
        if before.is_none_or(|before| before.up) != state.up {
            self.changed.notify_one();
        }
    }

    /// Takes what came of an OPTIONS of ours.
    pub fn asked(&self, trunk: TrunkId, host: Host, status: Option<u16>, tls: Option<bool>, unix_ms: u64) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let last = asked.entry((trunk, host)).or_default();
        last.tls = tls;
        last.answer = status.map(|status| (status, unix_ms)).or(last.answer);
    }

    /// What came of our last OPTIONS to a host.
    pub fn last_asked(&self, trunk: TrunkId, host: &Host) -> LastAsked {
        let key = (trunk, host.clone());
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied().unwrap_or_default()
    }

    /// Takes that a host of a platform asks us.
    pub fn asked_by(&self, trunk: TrunkId, host: Arc<str>, unix_ms: u64) {
        let mut askers = self.askers.lock().unwrap_or_else(PoisonError::into_inner);
        let askers = askers.entry(trunk).or_default();
        askers.insert(host, unix_ms);
        if askers.len() > MOST_ASKERS
            && let Some(oldest) = askers.iter().min_by_key(|(_, at)| **at).map(|(host, _)| host.clone())
        {
            askers.remove(&oldest);
        }
    }

    /// Who asks on a trunk, and when each last did, milliseconds since the Unix epoch.
    pub fn askers(&self, trunk: TrunkId) -> Vec<(Arc<str>, u64)> {
        let askers = self.askers.lock().unwrap_or_else(PoisonError::into_inner);
        askers.get(&trunk).into_iter().flatten().map(|(host, at)| (host.clone(), *at)).collect()
    }

    /// Takes that the hub means a name of ours that no trunk has.
    pub fn unknown_name(&self, trunk: TrunkId, host: Arc<str>, unix_ms: u64) {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner).insert(trunk, (host, unix_ms));
    }

    /// The last such name, and when it was meant, milliseconds since the Unix epoch.
    pub fn last_unknown_name(&self, trunk: TrunkId) -> Option<(Arc<str>, u64)> {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner).get(&trunk).cloned()
    }

    /// The state of a host; `None` while nothing was heard.
    pub fn host(&self, trunk: TrunkId, host: &Host) -> Option<HostState> {
        let key = (trunk, host.clone());
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    /// The hosts that are down.
    pub fn down(&self) -> Vec<(TrunkId, Host)> {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.iter().filter(|(_, state)| !state.up).map(|(key, _)| key.clone()).collect()
    }

    /// Forgets the hosts that `known` does not know any more, and says which.
    pub fn retain(&self, known: impl Fn(TrunkId, &Host) -> bool) -> Vec<(TrunkId, Host)> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<_> = hosts.keys().filter(|(trunk, host)| !known(*trunk, host)).cloned().collect();
        hosts.retain(|key, _| !gone.contains(key));
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).retain(|(trunk, host), _| known(*trunk, host));
        gone
    }

    /// Returns when a host went up or down since the last call. For one waiter.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(up: bool) -> HostState {
        HostState { up, why: String::new(), since_ms: 0 }
    }

    #[test]
    fn a_host_that_went_down_and_up_again_is_not_down() {
        let health = Health::default();
        let host = Host { name: "sip.example.com".into(), port: Some(5061) };
        health.set(TrunkId(0), host.clone(), state(false));
        assert_eq!(health.down(), [(TrunkId(0), host.clone())]);
        health.set(TrunkId(0), host.clone(), state(true));
        assert!(health.down().is_empty());
        assert_eq!(health.host(TrunkId(1), &host), None);
    }

    #[test]
    fn a_failure_leaves_the_last_answer_and_says_how_tls_is() {
        let health = Health::default();
        let host = Host { name: "sip.example.com".into(), port: Some(5061) };
        health.asked(TrunkId(0), host.clone(), Some(200), Some(true), 10);
        health.asked(TrunkId(0), host.clone(), None, Some(false), 20);
        assert_eq!(health.last_asked(TrunkId(0), &host), LastAsked { answer: Some((200, 10)), tls: Some(false) });
    }

    #[test]
    fn those_who_ask_are_remembered_up_to_a_bound_and_the_oldest_goes_first() {
        let health = Health::default();
        for at in 0..20 {
            health.asked_by(TrunkId(1), format!("{at}.example.com").into(), at);
        }
        let askers = health.askers(TrunkId(1));
        assert_eq!(askers.len(), MOST_ASKERS);
        assert!(askers.iter().all(|(_, at)| *at >= 4) && health.askers(TrunkId(0)).is_empty());
    }

    #[test]
    fn a_host_that_is_not_configured_any_more_is_forgotten_and_another_port_is_another_host() {
        let health = Health::default();
        let host = |port| Host { name: "sip.example.com".into(), port };
        health.set(TrunkId(0), host(Some(5061)), state(false));
        health.set(TrunkId(0), host(None), state(true));
        assert_eq!(health.down(), [(TrunkId(0), host(Some(5061)))]);
        assert_eq!(health.retain(|_, known| *known == host(None)), [(TrunkId(0), host(Some(5061)))]);
        assert!(health.down().is_empty() && health.host(TrunkId(0), &host(None)).is_some());
    }
}
