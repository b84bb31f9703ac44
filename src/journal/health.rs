//! Which hosts of trunks are up: what the speaking worker found out by OPTIONS (TDR-39, GEN-84).

use crate::flow::TrunkId;
use crate::trunk::Host;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
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

/// The last state of every host that was heard of, by trunk, name and port. [`retain`](Self::retain) keeps it
/// to those of the configuration.
#[derive(Debug, Default)]
pub struct Health {
    hosts: Mutex<BTreeMap<(TrunkId, Host), HostState>>,
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
