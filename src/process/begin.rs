//! From settings to an element that takes calls: everything that can fail, in the order in which it is
//! cheapest to have failed. Files are read before sockets are opened, sockets before threads are started.

use super::admin::Admin;
use super::control::{Command, Control, end};
use super::files::Files;
use super::status::{self, TransportCounters};
use super::{Composer, Shared, StartError, alarms, own_names};
use crate::authentication::NonceKey;
use crate::config::directory_file::{self, ReadDirectory};
use crate::flow::Transport;
use crate::http::{self, Probes};
use crate::journal::{Journal, unix_ms};
use crate::settings::{ListenerSettings, Settings};
use crate::transport::{self, Bound, Counters, Resolver, TlsTable};
use crate::worker::{self, Exchange, Phase, Tally, WorkerStart};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, watch};

/// Number of this node in identifiers; clusters come with their own issue.
const NODE: u16 = 1;

/// Does it all.
///
/// # Errors
///
/// The first thing that is in the way; what was opened before it is closed again.
pub(super) fn begin(settings: Settings, commands: mpsc::Sender<Command>) -> Result<(Runtime, Control), StartError> {
    let settings = Arc::new(settings);
    raise_file_limit();
    let (tls, faults) = TlsTable::build(&settings, None);
    if !faults.is_empty() {
        return Err(StartError::Tls(faults));
    }
    let ReadDirectory { directory, findings, overlaps } =
        directory_file::of_settings(&settings).map_err(|finding| StartError::Directory(Box::new(finding)))?;
    let mut seeds = StdRng::from_seed(random_seed()?);
    let records = settings.records.as_ref();
    let journal = Journal::open(records).map_err(|error| {
        let path = records.map(|records| records.path.clone()).unwrap_or_default();
        StartError::Records { path, error }
    })?;
    for finding in findings {
        tracing::warn!("{}", finding.to_string());
    }
    journal.metrics().directory(directory.len(), &overlaps);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("tandem-control-worker")
        .enable_all()
        .build()?;
    let counters = Arc::new(Counters::default());
    let (name_servers, hosts) = (&settings.name_servers, settings.hosts.clone());
    let handle = runtime.handle().clone();
    let resolver = Resolver::new(handle, name_servers, hosts, seeds.next_u64(), counters.clone())?;

    let bound = listen(&settings.listeners)?;
    let admin = Admin::bind(&settings.admin_socket)
        .map_err(|error| StartError::Admin { path: settings.admin_socket.clone(), error })?;
    let http = settings.http.map(bind_http).transpose()?;

    let mut addresses = Vec::new();
    let mut datagrams = Vec::new();
    for listener in &bound {
        addresses.push((listener.listener, listener.local_address()?));
        if listener.transport == Transport::Udp {
            datagrams.push((listener.udp_socket()?, listener.listener));
        }
    }
    let mut nonce_key = [0; 32];
    seeds.fill_bytes(&mut nonce_key);
    let (directory, tls, nonce_key) = (Arc::new(directory), Arc::new(tls), NonceKey::new(nonce_key));
    let composer = Composer::new(settings.clone(), directory, tls, journal.clone(), nonce_key);
    let shared = Arc::new(Shared {
        exchange: Exchange::new(settings.workers, datagrams),
        http: http.as_ref().and_then(|http| http.local_addr().ok()),
        composer: Arc::new(composer),
        tally: Tally::new(Instant::now()),
        phase: watch::Sender::new(Phase::Serving),
        started: Instant::now(),
        journal,
        counters,
        resolver,
        addresses,
    });
    shared.journal.metrics().collect(Box::new(TransportCounters(shared.counters.clone())));

    let workers = start_workers(&shared, &mut seeds)?;
    let near = Arc::new(Notify::new());
    let files = Files::watch(&settings, near.clone(), None);
    let control = Control { shared, workers, admin, files, near };
    start_tasks(&control, &runtime, bound, http, commands)?;
    Ok((runtime, control))
}

fn listen(listeners: &[ListenerSettings]) -> Result<Vec<Bound>, StartError> {
    let bind = |listener: &ListenerSettings| {
        transport::bind(listener).map_err(|error| StartError::Listen { address: listener.bind, error })
    };
    listeners.iter().map(bind).collect()
}

fn bind_http(address: std::net::SocketAddr) -> Result<TcpListener, StartError> {
    let listen = |error| StartError::Listen { address, error };
    let listener = TcpListener::bind(address).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    Ok(listener)
}

fn start_workers(shared: &Arc<Shared>, seeds: &mut StdRng) -> io::Result<Vec<JoinHandle<()>>> {
    let epoch = u32::try_from(unix_ms() / 1000).unwrap_or(u32::MAX);
    let mut workers = Vec::new();
    for worker in 0..shared.exchange.workers() {
        let mut seed = [0; 32];
        seeds.fill_bytes(&mut seed);
        let start = WorkerStart {
            node: NODE,
            worker,
            epoch,
            seed,
            exchange: shared.exchange.clone(),
            state: shared.composer.state(),
            resolver: shared.resolver.clone(),
            counters: shared.counters.clone(),
            journal: shared.journal.clone(),
            tally: shared.tally.clone(),
            snapshots: shared.composer.snapshots(),
            phase: shared.phase.subscribe(),
        };
        match worker::spawn(start) {
            Ok(thread) => workers.push(thread),
            Err(error) => {
                shared.advance(Phase::Stopped);
                return Err(error);
            }
        }
    }
    Ok(workers)
}

/// 32 octets from the system's generator: every identifier of the process is as good as they are.
fn random_seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random.fill(&mut seed).map_err(|_| io::Error::other("no random octets"))?;
    Ok(seed)
}

/// As many open files as the system lets us have: each connection is one.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) });
    if let Err(error) = raised {
        tracing::warn!(%error, "limit of open files not raised");
    }
}

fn start_tasks(
    control: &Control,
    runtime: &Runtime,
    bound: Vec<Bound>,
    http: Option<TcpListener>,
    commands: mpsc::Sender<Command>,
) -> io::Result<()> {
    let _inside = runtime.enter();
    let shared = &control.shared;
    for listener in bound {
        if listener.transport == Transport::Udp {
            continue;
        }
        let address = listener.local_address()?;
        let (deal_to, state, counters) = (shared.clone(), shared.composer.state(), shared.counters.clone());
        let deal = move |accepted| {
            if !deal_to.exchange.deal(accepted) {
                deal_to.journal.metrics().connections_refused.inc();
            }
        };
        let journal = shared.journal.clone();
        runtime.spawn(async move {
            if let Err(error) = transport::accept_loop(listener, state, counters, deal).await {
                journal.alarm(alarms::listener(address, &error));
            }
        });
    }
    let composer = shared.composer.clone();
    let changed = move |addresses| composer.change(|in_force| in_force.addresses = addresses);
    runtime.spawn(shared.resolver.clone().run(shared.composer.state(), changed));
    runtime.spawn(own_names::watch(shared.clone()));
    if let Some(http) = http {
        let listener = tokio::net::TcpListener::from_std(http)?;
        runtime.spawn(http::serve(listener, probes(shared)));
    }
    control.admin.serve(shared.clone(), commands)?;
    runtime.spawn(end(shared.clone()));
    Ok(())
}

fn probes(shared: &Arc<Shared>) -> Probes {
    let (metrics, health, ready) = (shared.clone(), shared.clone(), shared.clone());
    Probes {
        metrics: Box::new(move || {
            metrics.journal.metrics().render(&metrics.exchange.gauges(), metrics.journal.alarms())
        }),
        health: Box::new(move || match status::stuck(&health).as_slice() {
            [] => Ok(()),
            stuck => Err(format!("workers without sign of life: {stuck:?}")),
        }),
        ready: Box::new(move || match *ready.phase.borrow() {
            Phase::Serving => Ok(()),
            phase => Err(status::phase_word(phase).into()),
        }),
    }
}
