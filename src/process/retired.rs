//! Trunks that a reload removed, from the removal until their place is free.
//!
//! A trunk's index is its place in the snapshot, in the counters of admission and in what a connection
//! knows of its peer, so a place may have a new owner only when nothing anywhere means the old one:
//!
//! ```text
//! retired ── no call on any worker ──▶ closed ── no connection on any worker ──▶ vacant
//! (no new calls)                       (no sources, no hosts, no TLS)            (for the next new trunk)
//! ```
//!
//! Each step takes two looks in a row, further apart than a transaction or a handshake may last. A look
//! counts only when every worker answered out of the newest snapshot: one that is being started anew may
//! hold saved calls. A trunk that comes back meanwhile takes its place again, by its name.

use super::{Shared, control};
use crate::config::{close_trunk, vacate_trunk};
use crate::flow::TrunkId;
use crate::settings::Settings;
use crate::trunk::Trunk;
use crate::worker::{Held, Order};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long the workers may take to say what they hold.
const PATIENCE: Duration = Duration::from_secs(2);

/// The trunks that were on their way out, and unused, when last looked at.
#[derive(Debug, Default)]
pub(super) struct Retired {
    /// The very trunks: a reload makes new ones, and what it may have let in counts from the beginning.
    unused: Vec<Arc<Trunk>>,
}

impl Retired {
    /// How far apart the looks have to be: what an earlier snapshot began is over by then.
    pub(super) fn interval(settings: &Settings) -> Duration {
        (settings.edge.t1 * 64).max(settings.connections.handshake_timeout)
    }

    /// Looks, and moves on what was unused the last time, too.
    pub(super) async fn look(&mut self, shared: &Shared) {
        let snapshot = shared.composer.snapshot();
        let leaving: Vec<&Arc<Trunk>> =
            snapshot.trunks.iter().filter(|trunk| trunk.retired && !trunk.is_vacant()).collect();
        if leaving.is_empty() {
            return self.unused.clear();
        }
        let held = tokio::time::timeout(PATIENCE, held(shared)).await.ok().flatten();
        let newest = |held: &Vec<Held>| held.iter().all(|held| held.revision >= snapshot.revision);
        let Some(held) = held.filter(newest) else { return self.unused.clear() };
        let in_use = |trunk: &Trunk| {
            let connected = |held: &Held| trunk.is_closed() && held.connections.contains(&trunk.id);
            held.iter().any(|held| held.calls.contains(&trunk.id) || connected(held))
        };
        let unused = leaving.iter().filter(|trunk| !in_use(trunk)).map(|trunk| Arc::clone(trunk));
        let before = |trunk: &Arc<Trunk>| self.unused.iter().any(|known| Arc::ptr_eq(known, trunk));
        let (moving, waiting): (Vec<_>, Vec<_>) = unused.partition(before);
        self.unused = waiting;
        if moving.is_empty() {
            // A handshake that was under way when its trunk was closed may have come to its end since.
            if leaving.iter().any(|trunk| trunk.is_closed()) {
                control::recycle(shared);
            }
            return;
        }
        let mut settings = (*shared.composer.in_force().settings).clone();
        for trunk in &moving {
            if trunk.is_closed() {
                vacate_trunk(&mut settings, trunk.id);
                tracing::info!(trunk = %trunk.name, "removed trunk is forgotten");
            } else {
                close_trunk(&mut settings, trunk.id);
                tracing::info!(trunk = %trunk.name, "last call of a removed trunk has ended: its sources are strangers now");
            }
        }
        let gone: Vec<TrunkId> = moving.iter().map(|trunk| trunk.id).collect();
        let settings = Arc::new(settings);
        shared.composer.change(|in_force| {
            in_force.settings = settings;
            in_force.tls = Arc::new(in_force.tls.without(&gone));
        });
        control::recycle(shared);
    }
}

/// What every worker holds; `None` unless all of them answer.
async fn held(shared: &Shared) -> Option<Vec<Held>> {
    let mut asked = Vec::new();
    for (_, desk) in shared.exchange.desks() {
        let (answer, held) = oneshot::channel();
        asked.push(desk.order(Order::Held(answer)).then_some(held)?);
    }
    let mut all = Vec::new();
    for held in asked {
        all.push(held.await.ok()?);
    }
    Some(all)
}
