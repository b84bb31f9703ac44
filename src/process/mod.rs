//! The whole element as a process: workers, and the control plane that feeds them.
//!
//! [`Running::start`] takes a settled configuration, opens every socket or none, and returns once
//! calls can come. From then on the control plane, on a runtime of its own, makes a new snapshot of
//! whatever changes ([`Composer`]): configuration and files (`reload`), addresses, health of hosts. It
//! serves `/metrics` and the local socket, and ends the process in order (`drain`). Nothing in it is
//! on the way of a call.
//!
//! `tandem run`, the demo and the tests start the element this way and no other.

mod admin;
mod alarms;
mod begin;
mod composer;
mod control;
mod files;
mod own_names;
mod retired;
mod status;

pub use admin::{AdminError, Answer as AdminAnswer, Request as AdminRequest, ask};
pub use composer::{Composer, snapshot_of};
pub use control::Reloaded;
pub use status::{CallStatus, HostStatus, Status, TrunkStatus, WorkerStatus};

use crate::config::Finding;
use crate::flow::ListenerId;
use crate::journal::{Journal, Observation};
use crate::settings::Settings;
use crate::snapshot::Snapshot;
use crate::transport::{Counters, ResolveError, Resolver, TlsFault};
use crate::worker::{Exchange, Phase, Tally};
use control::Command;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use uuid::Uuid;

/// The most commands that wait for the control plane; each comes from an operator.
const COMMANDS: usize = 64;

/// Why the element did not start. No socket is left open.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Identities or trust of trunks cannot be used.
    #[error("TLS: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Tls(Vec<TlsFault>),
    /// The directory file cannot be used.
    #[error("directory: {0}")]
    Directory(Box<Finding>),
    /// The record file cannot be opened.
    #[error("call records {path}: {error}")]
    Records {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A listener cannot be bound.
    #[error("listen on {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The local socket cannot be used; another process may serve it.
    #[error("local socket {path}: {error}")]
    Admin {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Names cannot be resolved at all.
    #[error("DNS: {0}")]
    Resolver(#[from] ResolveError),
    /// A thread or a runtime cannot be started, or the system gave no random octets.
    #[error("system: {0}")]
    System(#[from] io::Error),
}

impl StartError {
    /// The exit code after this error (sysexits).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Tls(_) | Self::Directory(_) => 78,
            Self::Records { .. } => 73,
            Self::Listen { .. } | Self::Admin { .. } | Self::Resolver(_) => 69,
            Self::System(_) => 71,
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        use io::ErrorKind::{AddrInUse, AddrNotAvailable, NotFound, PermissionDenied};
        match self {
            Self::Tls(_) | Self::Directory(_) => "run tandem check, and correct what it finds",
            Self::Records { error, .. } if error.kind() == NotFound => "make its folder, or change path in [records]",
            Self::Records { .. } => "change path in [records], or let the user that runs Tandem write there",
            Self::Listen { error, .. } if error.kind() == AddrInUse => {
                "another process has this port, perhaps another Tandem (ss -tulpn shows it): stop it, or listen elsewhere"
            }
            Self::Listen { error, .. } if error.kind() == AddrNotAvailable => {
                "no interface of this machine has this address (ip address shows them): listen on one that is there"
            }
            Self::Listen { error, .. } if error.kind() == PermissionDenied => {
                "ports below 1024 need CAP_NET_BIND_SERVICE: grant it, or listen on another port"
            }
            Self::Listen { .. } => "correct listen, and start again",
            Self::Admin { error, .. } if error.kind() == NotFound => "make its folder, or change socket in [admin]",
            Self::Admin { error, .. } if error.kind() == AddrInUse => {
                "stop that one first (tandem drain), or give this one a socket of its own in [admin]"
            }
            Self::Admin { .. } => "change socket in [admin], or let the user that runs Tandem write there",
            Self::Resolver(_) => "correct servers in [dns], or /etc/resolv.conf",
            Self::System(_) => "look at the limits of the system (ulimit -a, cgroups), and start again",
        }
    }
}

/// What every part of the control plane shares.
#[derive(Debug)]
struct Shared {
    exchange: Arc<Exchange>,
    journal: Arc<Journal>,
    composer: Arc<Composer>,
    counters: Arc<Counters>,
    resolver: Arc<Resolver>,
    tally: Arc<Tally>,
    phase: watch::Sender<Phase>,
    started: Instant,
    /// The addresses of the listeners, in their order.
    addresses: Vec<(ListenerId, SocketAddr)>,
    /// The address of `/metrics`.
    http: Option<SocketAddr>,
}

impl Shared {
    /// Moves the process on in its life; never back.
    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let forward = *phase < to;
            *phase = to.max(*phase);
            forward
        });
    }
}

/// An element that runs. Dropping it ends every call at once, without waiting for that.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    stopped: watch::Receiver<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts the element and returns once it takes calls. Blocks for the time that takes, which is short:
    /// nothing on the network is waited for.
    ///
    /// # Errors
    ///
    /// [`StartError`] says what is in the way; nothing is left behind.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let orders = commands.clone();
        let (done, stopped) = watch::channel(false);
        let (ready, begun) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("tandem-control".into()).spawn(move || {
            control::run(settings, orders, inbox, &ready);
            // Nobody may be left who waits.
            let _ = done.send(true);
        })?;
        match begun.recv() {
            Ok(Ok(shared)) => Ok(Self { shared, commands, stopped, thread: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::System(io::Error::other("the control plane ended while it started"))),
        }
    }

    /// The stream of events with every message as it came and left, from now on.
    pub fn observe(&self) -> broadcast::Receiver<Arc<Observation>> {
        let observer = self.shared.journal.observe();
        self.shared.composer.change(|in_force| in_force.observe = true);
        observer
    }

    /// Where the listeners listen, in their order, with the ports that the system chose.
    pub fn addresses(&self) -> &[(ListenerId, SocketAddr)] {
        &self.shared.addresses
    }

    /// Where `/metrics` listens; `None`: nowhere.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.shared.http
    }

    /// What the core reads now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.composer.snapshot()
    }

    /// Snapshots as they are made.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shared.composer.snapshots()
    }

    /// The stream's far end: metrics, alarms, health.
    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// What `tandem status` shows.
    pub fn status(&self) -> Status {
        status::status(&self.shared)
    }

    /// The calls of all workers, oldest first.
    pub async fn calls(&self) -> Vec<CallStatus> {
        status::calls(&self.shared).await
    }

    /// Ends a call. A call that does not exist is none's to end.
    pub fn hang_up(&self, call: Uuid) {
        status::hang_up(&self.shared, call);
    }

    /// Reads the configuration file again, with all the files it names.
    pub async fn reload(&self) -> Reloaded {
        let (answer, reloaded) = oneshot::channel();
        // When the control plane is gone, so is the receiver's other end.
        let _ = self.commands.send(Command::Reload(Some(answer))).await;
        reloaded.await.unwrap_or_else(|_| Reloaded::refused("the process is ending".into()))
    }

    /// Opens the file of call records anew, after it was renamed.
    pub fn reopen_records(&self) {
        self.shared.journal.reopen_records();
    }

    /// Begins to end: no new calls; with `now` calls that exist are ended too. Returns at once.
    pub fn drain(&self, now: bool) {
        self.shared.advance(if now { Phase::Ending } else { Phase::Draining });
    }

    /// Returns once the process has ended in order.
    pub async fn stopped(&self) {
        let mut stopped = self.stopped.clone();
        // An error says that the control plane is gone, which is what is waited for.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// Drains, waits for the end, and leaves nothing behind. Without `now`, calls have the drain time-out
    /// of the configuration to end by themselves.
    pub async fn stop(mut self, now: bool) {
        self.drain(now);
        self.stopped().await;
        if let Some(thread) = self.thread.take() {
            // The thread has said its last word already.
            let _ = thread.join();
        }
    }

    /// Makes a worker panic: for tests of the restart.
    #[cfg(debug_assertions)]
    pub fn panic_worker(&self, worker: u16) {
        if let Some(desk) = self.shared.exchange.desk(worker) {
            desk.order(crate::worker::Order::Panic);
        }
    }

    /// Makes a worker give its calls to another; how many are left, which is not all gone before they are quiet:
    /// for tests of moving.
    #[cfg(debug_assertions)]
    pub async fn yield_calls(&self, worker: u16, to: u16) -> Option<usize> {
        let (left, answer) = tokio::sync::oneshot::channel();
        let desk = self.shared.exchange.desk(worker)?;
        desk.order(crate::worker::Order::Yield(to, left)).then_some(())?;
        answer.await.ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.advance(Phase::Ending);
    }
}
