//! Which hosts of trunks are up: what the speaking worker found out by OPTIONS (TDR-39, GEN-84).

use crate::flow::TrunkId;
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

/// The last state of every host that was heard of. Hosts come from the configuration, which bounds it.
#[derive(Debug, Default)]
pub struct Health {
    hosts: Mutex<BTreeMap<(TrunkId, Arc<str>), HostState>>,
    changed: Notify,
}

impl Health {
    /// Takes what was found out, and wakes who waits in [`changed`](Self::changed) when it is news.
    pub fn set(&self, trunk: TrunkId, host: &Arc<str>, state: HostState) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = hosts.insert((trunk, host.clone()), state.clone());
        if before.is_none_or(|before| before.up) != state.up {
            self.changed.notify_one();
        }
    }

    /// The state of a host; `None` while nothing was heard.
    pub fn host(&self, trunk: TrunkId, host: &str) -> Option<HostState> {
        let key = (trunk, Arc::from(host));
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    /// The hosts that are down.
    pub fn down(&self) -> Vec<(TrunkId, Arc<str>)> {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.iter().filter(|(_, state)| !state.up).map(|(key, _)| key.clone()).collect()
    }

    /// Returns when a host went up or down since the last call. For one waiter.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_went_down_and_up_again_is_not_down() {
        let health = Health::default();
        let host: Arc<str> = Arc::from("sip.example.com");
        let state = |up| HostState { up, why: String::new(), since_ms: 0 };
        health.set(TrunkId(0), &host, state(false));
        assert_eq!(health.down(), [(TrunkId(0), host.clone())]);
        health.set(TrunkId(0), &host, state(true));
        assert!(health.down().is_empty());
        assert_eq!(health.host(TrunkId(1), "sip.example.com"), None);
    }
}
