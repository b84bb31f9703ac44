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
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::LocalOptions;
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
    std::thread::Builder::new()
        .name(format!("tandem-worker-{}", start.worker))
        .spawn(move || supervise(&Arc::new(start)))
}

/// Runs the worker again after each panic.
fn supervise(start: &Arc<WorkerStart>) {
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
fn run(start: &Arc<WorkerStart>, desk: &Arc<Desk>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let (start, desk) = (start.clone(), desk.clone());
    let life = async move {
        let mut inbox = desk.inbox.lock().await;
        let (mail, orders) = &mut *inbox;
        let (arrived, arrivals) = mpsc::channel(ARRIVALS);
        let mut worker = Worker::new(start.clone(), desk.clone(), arrived);
        worker.attach(&start.exchange)?;
        worker.restore();
        worker.live(mail, orders, arrivals).await;
        Ok(())
    };
    // A task like those of the connections: woken by one of them it has its turn behind them, while the future
    // that `block_on` is given costs a look at the sockets each time that it is woken.
    let ended = runtime.block_on(runtime.spawn_local(life));
    ended.unwrap_or_else(|failed| match failed.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::flow::{ListenerId, Transport, TrunkId};
    use crate::identifier::Minter;
    use crate::transport::{Accepted, TransportState};
    use arc_swap::ArcSwap;
    use smallvec::SmallVec;
    use std::collections::BTreeMap;
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Instant;

    /// What the control plane would make of a configuration with one trunk of TCP.
    fn state(host: &str) -> TransportState {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tandem.toml");
        let text = format!(
            "[edge]\nfqdn = \"sbc1.example.com\"\nlisten = [\"tcp:127.0.0.1:5060\"]\n\
             [trunk.carrier]\nkind = \"generic\"\ntransport = \"tcp\"\nhosts = [\"{host}\"]\n\
             sources = [\"127.0.0.1/32\"]\noptions_interval = \"off\"\n[[route]]\nto = [\"carrier\"]\n"
        );
        std::fs::write(&path, text).unwrap();
        let settings = config::load(&path).unwrap().settings;
        let snapshot = Snapshot {
            revision: 1,
            edge: settings.edge,
            trunks: settings.trunks.iter().map(|own| own.trunk.clone()).collect(),
            routes: settings.routes,
            rules: settings.rules,
            directory: Arc::default(),
            addresses: hashbrown::HashMap::new(),
            down: Vec::new(),
            nonce_key: crate::authentication::NonceKey::new([7; 32]),
            slots: slots(2),
        };
        TransportState {
            snapshot: Arc::new(snapshot),
            tls: Arc::default(),
            connections: settings.connections,
            recycle_timeout: settings.recycle_timeout,
        }
    }

    /// The next response: status line and CSeq, and whether Retry-After is there.
    fn response(stream: &mut BufReader<TcpStream>) -> (String, String, bool) {
        let lines: Vec<String> = stream.lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
        let field = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        (lines[0].clone(), field("CSeq: ").unwrap(), field("Retry-After: ").is_some())
    }

    /// Worker 0 of two at work; worker 1 is never started: nobody empties its queue but the test.
    struct Lab {
        exchange: Arc<Exchange>,
        journal: Arc<Journal>,
        phase: watch::Sender<Phase>,
        worker: JoinHandle<()>,
        /// A worker ends when nobody can tell it anything new.
        _snapshots: watch::Sender<Arc<Snapshot>>,
        _runtime: tokio::runtime::Runtime,
    }

    impl Lab {
        fn new(state: TransportState) -> Self {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let counters = Arc::new(Counters::default());
            let name_servers = [([127, 0, 0, 1], 1).into()];
            let resolver =
                Resolver::new(runtime.handle().clone(), &name_servers, BTreeMap::new(), 1, counters.clone()).unwrap();
            let phase = watch::Sender::new(Phase::Serving);
            let snapshots = watch::Sender::new(state.snapshot.clone());
            let exchange = Exchange::new(2, Vec::new());
            let journal = Journal::open(None).unwrap();
            let start = WorkerStart {
                node: 1,
                worker: 0,
                epoch: 1,
                exchange: exchange.clone(),
                state: Arc::new(ArcSwap::from_pointee(state)),
                resolver,
                counters,
                journal: journal.clone(),
                tally: Tally::new(Instant::now()),
                snapshots: snapshots.subscribe(),
                phase: phase.subscribe(),
                seed: [7; 32],
            };
            let worker = spawn(start).unwrap();
            Self { exchange, journal, phase, worker, _snapshots: snapshots, _runtime: runtime }
        }

        /// A connection of the trunk's to worker 0.
        fn connect(&self) -> TcpStream {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let (accepted, source) = listener.accept().unwrap();
            accepted.set_nonblocking(true).unwrap();
            let (listener, transport) = (ListenerId(0), Transport::Tcp);
            let trunks = SmallVec::from_iter([TrunkId(0)]);
            let accepted = Accepted { stream: accepted, listener, transport, source, trunks };
            assert!(self.exchange.desk(0).unwrap().order(Order::Accept(accepted)));
            stream
        }

        fn end(self) {
            self.phase.send_replace(Phase::Stopped);
            self.worker.join().unwrap();
        }
    }

    #[test]
    fn a_host_that_refuses_the_connection_is_passed_over_and_nothing_waits_for_it() {
        // A port that was free a moment ago.
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let lab = Lab::new(state(&closed.to_string()));
        let mut stream = lab.connect();
        let request = |method: &str, tag: &str| {
            format!(
                "{method} sip:+14255550123@sbc1.example.com SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1\r\n\
                 From: <sip:+14255550100@127.0.0.1>;tag=1\r\nTo: <sip:+14255550123@sbc1.example.com>{tag}\r\n\
                 Call-ID: 1\r\nCSeq: 1 {method}\r\nContact: <sip:127.0.0.1>\r\nMax-Forwards: 70\r\n\
                 Content-Length: 0\r\n\r\n"
            )
        };
        stream.write_all(request("INVITE", "").as_bytes()).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        assert_eq!(response(&mut reader).0, "SIP/2.0 100 Trying");
        assert_eq!(response(&mut reader).0, "SIP/2.0 503 Service Unavailable");
        // The call is over with its last leg: the INVITE never left, so no late answer is waited for.
        let (answer, calls) = tokio::sync::oneshot::channel();
        assert!(lab.exchange.desk(0).unwrap().order(Order::Calls(answer)));
        assert_eq!(calls.blocking_recv().unwrap().len(), 0);
        lab.end();
    }

    #[test]
    fn a_full_queue_between_workers_is_503_to_a_request_and_silence_to_an_ack() {
        let lab = Lab::new(state("127.0.0.1"));
        let other = lab.exchange.desk(1).unwrap();
        while other.post(Mail::Close(crate::flow::FlowId { node: 1, worker: 1, n: 0 })).is_ok() {}

        let mut stream = lab.connect();
        // Slot 1 is worker 1's: these belong to a call of its.
        let tag = Minter::new(1, 1, vec![1], [9; 32]).tag(1);
        let request = |method: &str, cseq: u32| {
            format!(
                "{method} sip:sbc1.example.com SIP/2.0\r\nVia: SIP/2.0/TCP a.example.com;branch=z9hG4bK{cseq}\r\n\
                 From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>;tag={tag}\r\nCall-ID: 1\r\n\
                 CSeq: {cseq} {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            )
        };
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        for octets in [request("BYE", 1), request("ACK", 2), request("INVITE", 3)] {
            stream.write_all(octets.as_bytes()).unwrap();
        }
        let unavailable = |cseq: &str| ("SIP/2.0 503 Service Unavailable".to_owned(), cseq.to_owned(), true);
        assert_eq!(response(&mut reader), unavailable("1 BYE"));
        assert_eq!(response(&mut reader), unavailable("3 INVITE"));
        assert_eq!(lab.journal.metrics().handover_refused.get(), 3);

        // With room for one, the next is handed over.
        let mut inbox = other.inbox.blocking_lock();
        assert!(inbox.0.try_recv().is_ok());
        stream.write_all(request("BYE", 4).as_bytes()).unwrap();
        let handed = std::iter::from_fn(|| inbox.0.blocking_recv()).find_map(|mail| match mail {
            Mail::Message { message, .. } => Some(message),
            _ => None,
        });
        assert_eq!(handed.unwrap().cseq().number, 4);
        drop(inbox);
        lab.end();
    }

    #[test]
    fn every_slot_has_a_worker_and_workers_have_equal_shares() {
        let slots = slots(3);
        for worker in 0..3 {
            assert!((85..=86).contains(&slots.iter().filter(|owner| **owner == worker).count()));
        }
    }
}
