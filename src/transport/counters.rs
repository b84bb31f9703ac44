//! What the transport counts, for metrics and status; one table names every counter once.

use super::inbound::Inbound;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts one kind of happening since the process started.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($field:ident: $help:literal,)*) => {
        /// What happened on the sockets, counted over all workers.
        #[derive(Debug, Default)]
        pub struct Counters {
            $(#[doc = $help] pub $field: Counter,)*
            /// Trunks whose callers do not get through TLS.
            pub inbound: Inbound,
        }

        impl Counters {
            /// Every counter as (name, meaning, count).
            pub fn all(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($field), $help, self.$field.count())),*].into_iter()
            }
        }
    };
}

counters! {
    accepted: "Connections accepted and dealt to a worker.",
    accept_errors: "Failures of accept itself, such as too many open files.",
    strangers: "Connections and datagrams dropped because no trunk has their source address there.",
    overload_refused: "Connections closed because the worker, or their trunk in it, had its most connections or handshakes.",
    handshakes: "TLS handshakes completed, either role.",
    handshake_failures: "TLS handshakes that failed, either role.",
    handshake_timeouts: "TLS handshakes that took too long, either role.",
    wrong_names: "TLS peers whose certificate carries no expected name.",
    dials: "Connections opened by us.",
    dial_failures: "Hops that could not be connected at any address.",
    forbidden_addresses: "Addresses outside a trunk's ranges that a name led to or a request asked for.",
    resolve_failures: "Names that could not be resolved.",
    stale_answers: "Resolutions answered from the last good set because DNS failed.",
    slow_peers: "Connections cut because too many octets waited to be written.",
    idle_closed: "Connections closed because they were silent too long.",
    stalled: "Connections closed because a message begun on them did not end in time.",
    recycled: "Connections closed because their identity or trust was replaced.",
    lost: "Connections that ended in an error or by the peer.",
    framing_errors: "Connections closed because the end of a message could not be known.",
    malformed: "Messages that could not be parsed.",
    messages_in: "Messages received.",
    messages_out: "Messages written.",
    pings: "Keep-alives answered.",
    pongs: "Keep-alives of ours that were answered.",
    unanswered: "Connections closed because a peer that answers keep-alives did not answer one.",
    failed: "Connections ended and datagrams dropped because of an error of Tandem's own.",
    datagrams_dropped: "Datagrams dropped because the worker was behind or the socket was full.",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_listed_with_its_meaning() {
        let counters = Counters::default();
        counters.slow_peers.add();
        let (_, help, count) = counters.all().find(|(name, ..)| *name == "slow_peers").expect("listed");
        assert!(help.starts_with("Connections cut") && count == 1);
    }
}
