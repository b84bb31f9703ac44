//! One worker: a thread with its own connections and its own core (design: "Workers, Envoy style").
//!
//! The loop is short: an input goes to the core, the core is drained of its outputs, the worker sleeps
//! until the next input or the core's next timer. What belongs to a call of another worker is handed
//! over through the [`Exchange`]; nothing here waits for another worker.
//!
//! A worker that panics is started anew by its own thread with the same slots: its connections are
//! lost, its confirmed calls come back from what the core had saved.

mod admission;
mod dealt;
mod exchange;
mod life;

pub use admission::{Share, Tally};
pub use exchange::{Desk, Exchange, Held, Homes, MAX_WORKERS, Mail, Order, Saved, UDP_WORKER};

use crate::event::{Alarm, Severity};
use crate::journal::{Journal, unix_ms};
use crate::snapshot::Snapshot;
use crate::transport::{Counters, Resolver, SharedState};
use life::Worker;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Arrivals that wait for the core before connections stop reading.
const ARRIVALS: usize = 1024;

/// How far the process is in its life; a worker that is started anew learns where it stands.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Phase {
    /// New calls are taken.
    Serving,
    /// No new calls; those that exist go on.
    Draining,
    /// Every call is being ended.
    Ending,
    /// Workers return.
    Stopped,
}

/// What a worker is started with; kept for the next start after a panic.
#[derive(Clone)]
pub struct WorkerStart {
    /// Number of the node in identifiers.
    pub node: u16,
    /// Number of the worker.
    pub worker: u16,
    /// First epoch of its identifiers; a restart takes the next.
    pub epoch: u32,
    /// All desks, its own among them.
    pub exchange: Arc<Exchange>,
    /// What connections need.
    pub state: SharedState,
    /// Names to addresses.
    pub resolver: Arc<Resolver>,
    /// What connections count.
    pub counters: Arc<Counters>,
    /// Where events go.
    pub journal: Arc<Journal>,
    /// How many calls trunks hold over all workers.
    pub tally: Arc<Tally>,
    /// The core's snapshot.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// How far the process is.
    pub phase: watch::Receiver<Phase>,
    /// 32 octets that nobody can guess; each life of the worker draws its own seed from them.
    pub seed: [u8; 32],
}

/// The virtual slots of identifiers, dealt to workers in turn.
pub fn slots(workers: u16) -> Arc<[u16; 256]> {
    let workers = workers.clamp(1, MAX_WORKERS);
    let mut slots = [0; 256];
    for (slot, worker) in slots.iter_mut().zip((0..workers).cycle()) {
        *slot = worker;
    }
    Arc::new(slots)
}

/// Starts the thread of a worker. It ends in [`Phase::Stopped`].
///
/// # Errors
///
/// The thread cannot be started.
pub fn spawn(start: WorkerStart) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("tandem-worker-{}", start.worker)).spawn(move || supervise(&start))
}

/// Runs the worker again after each panic.
fn supervise(start: &WorkerStart) {
    let Some(desk) = start.exchange.desk(start.worker) else { return };
    loop {
        match catch_unwind(AssertUnwindSafe(|| run(start, desk))) {
            Ok(Ok(())) => break,
            Ok(Err(error)) => tracing::error!(worker = start.worker, %error, "worker cannot start"),
            Err(_) => {}
        }
        let restarts = desk.restarts.fetch_add(1, Ordering::Relaxed) + 1;
        desk.restarted_ms.store(unix_ms(), Ordering::Relaxed);
        start.journal.alarm(restart_alarm(start.worker, Some(restarts)));
        for (flow, followers) in desk.unfollow_all() {
            for follower in followers {
                start.exchange.tell(follower, Mail::FlowLost(flow));
            }
        }
        // A worker that fails at once each time must not take the processor from the others.
        std::thread::sleep(Duration::from_millis(100 * restarts.min(10)));
    }
    desk.calls.store(0, Ordering::Relaxed);
    start.exchange.quiet.notify_waiters();
}

/// The alarm about a worker that was started anew; `None`: long ago.
pub fn restart_alarm(worker: u16, restarts: Option<u64>) -> Alarm {
    let times = restarts.unwrap_or_default();
    Alarm {
        key: format!("worker_restart:{worker}"),
        severity: Severity::Critical,
        raised: restarts.is_some(),
        text: format!("worker {worker} failed and was started anew ({times} times so far)"),
        remedy: "report the panic from the log; calls that were not yet confirmed are lost",
    }
}

/// One life of a worker.
fn run(start: &WorkerStart, desk: &Desk) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let mut inbox = desk.inbox.lock().await;
        let (mail, orders) = &mut *inbox;
        let (arrived, arrivals) = mpsc::channel(ARRIVALS);
        let mut worker = Worker::new(start, desk, arrived);
        worker.attach(&start.exchange)?;
        worker.restore();
        worker.live(mail, orders, arrivals).await;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_a_worker_and_workers_have_equal_shares() {
        let slots = slots(3);
        for worker in 0..3 {
            assert!((85..=86).contains(&slots.iter().filter(|owner| **owner == worker).count()));
        }
    }
}
