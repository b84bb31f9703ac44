//! What workers know of each other: a desk each, with a queue for what is handed over.
//!
//! Handing over never waits. A queue that is full refuses: the worker that holds the message answers
//! 503, drops an ACK, or tells its core that sending failed. A desk outlives its worker: after a panic
//! the next one takes over the queue, the saved calls and the knowledge of who follows which flow.

use crate::call::CallSummary;
use crate::flow::{FlowId, ListenerId, Peer, Transport, TrunkId};
use crate::io::Token;
use crate::journal::{WorkerGauges, unix_ms};
use crate::sip::Message;
use crate::transport::Accepted;
use crate::trunk::diagnosis::Symptom;
use bytes::Bytes;
use bytestring::ByteString;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::{BTreeSet, VecDeque};
use std::net::UdpSocket;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot};
use uuid::Uuid;

/// The most messages that wait for a worker: a quarter of a second at 16 000 messages a second.
const MAIL: usize = 4096;

/// How many calls more than the least loaded a worker keeps, beside an eighth: short calls come in bunches,
/// and each hand-over costs several wake-ups.
const SLACK: usize = 8;

/// The most orders of the control plane that wait for a worker; connections are among them.
const ORDERS: usize = 1024;

/// The most calls that live elsewhere than their tags say; beyond it a call stays where it is.
const MAX_MOVED: usize = 1 << 16;

/// The most workers: an identifier's slot is one of 256.
pub const MAX_WORKERS: u16 = 256;

/// The worker that reads datagrams: a repeated request must meet its transaction.
pub const UDP_WORKER: u16 = 0;

/// What one worker hands to another.
#[derive(Debug)]
pub enum Mail {
    /// A message that arrived at another worker.
    Message {
        /// The message.
        message: Message,
        /// The flow it came on, which stays where it is.
        flow: FlowId,
        /// Who sent it.
        peer: Arc<Peer>,
    },
    /// A request within the dialog of a call that has moved: a repetition belongs to who had the first.
    Moved {
        /// The request.
        message: Message,
        /// The flow it came on.
        flow: FlowId,
        /// Who sent it.
        peer: Arc<Peer>,
        /// Who has not been asked yet, this one first; the last has the call.
        homes: Homes,
    },
    /// A CANCEL whose INVITE is nowhere known yet.
    Cancel {
        /// The CANCEL.
        message: Message,
        /// The flow it came on.
        flow: FlowId,
        /// Who sent it.
        peer: Arc<Peer>,
        /// How many workers have not been asked yet, after this one.
        left: u16,
    },
    /// Send this on a flow of yours.
    Send {
        /// Who wants to hear of a failure.
        from: u16,
        /// The sender's name for it.
        token: Token,
        /// The flow.
        flow: FlowId,
        /// The message.
        octets: Bytes,
    },
    /// What you asked to send did not leave.
    SendFailed {
        /// Your name for it.
        token: Token,
        /// Why.
        reason: String,
        /// What that says about the host.
        symptom: Symptom,
    },
    /// Close a flow of yours.
    Close(FlowId),
    /// A flow that you were handed messages from is gone.
    FlowLost(FlowId),
    /// A worker asks for the call of this tag.
    Wanted {
        /// A tag of ours.
        tag: ByteString,
        /// Who asks.
        by: u16,
    },
    /// A call that you asked for.
    Call {
        /// The call.
        call: Uuid,
        /// As it was saved last.
        octets: Bytes,
    },
}

/// What the control plane wants of a worker.
pub enum Order {
    /// Take over a connection.
    Accept(Accepted),
    /// End a call.
    HangUp(Uuid),
    /// Say which calls there are.
    Calls(oneshot::Sender<Vec<CallSummary>>),
    /// Say which trunks are in use.
    Held(oneshot::Sender<Held>),
    /// Hold connections against what was reloaded: identities, trust, trunks (TDR-14).
    Recycle,
    /// Panic: the test of the restart.
    #[cfg(debug_assertions)]
    Panic,
    /// Give every call to another worker, as if that had asked for them: the test of moving. Answered with how many
    /// calls are left.
    #[cfg(debug_assertions)]
    Yield(u16, oneshot::Sender<usize>),
}

/// The trunks that a worker needs.
#[derive(Clone, Debug)]
pub struct Held {
    /// The revision of the snapshot that its core decides by.
    pub revision: u64,
    /// Trunks of its calls.
    pub calls: BTreeSet<TrunkId>,
    /// Trunks that its connections lead to, or that their peers may be.
    pub connections: BTreeSet<TrunkId>,
}

/// The last saved state of a call.
#[derive(Clone, Debug)]
pub struct Saved {
    /// Counts the owners of the call.
    pub epoch: u32,
    /// Counts the saves of the call.
    pub revision: u32,
    /// The call as versioned octets.
    pub octets: Bytes,
}

/// One worker as the others see it.
#[derive(Debug)]
pub struct Desk {
    mail: mpsc::Sender<Mail>,
    orders: mpsc::Sender<Order>,
    /// Taken by the running worker for as long as it runs.
    pub(super) inbox: tokio::sync::Mutex<(mpsc::Receiver<Mail>, mpsc::Receiver<Order>)>,
    /// Calls it holds.
    pub(super) calls: AtomicUsize,
    /// Connections it holds.
    pub(super) connections: AtomicUsize,
    /// Among them those that peers opened.
    pub(super) accepted: AtomicUsize,
    /// Transactions it holds.
    pub(super) transactions: AtomicUsize,
    /// When it last went through its loop, milliseconds since the Unix epoch.
    pub(super) alive_ms: AtomicU64,
    /// How often it was started anew.
    pub(super) restarts: AtomicU64,
    /// When it was last, milliseconds since the Unix epoch; 0: never.
    pub(super) restarted_ms: AtomicU64,
    saved: Mutex<HashMap<Uuid, Saved>>,
    /// The call being restored: one that makes the worker panic again is given up.
    restoring: Mutex<Option<Uuid>>,
    /// Workers that were handed messages of a flow of this one.
    followers: Mutex<HashMap<FlowId, SmallVec<[u16; 4]>>>,
}

impl Desk {
    fn new() -> Self {
        let (mail, inbox) = mpsc::channel(MAIL);
        let (orders, ordered) = mpsc::channel(ORDERS);
        Self {
            mail,
            orders,
            inbox: tokio::sync::Mutex::new((inbox, ordered)),
            calls: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
            transactions: AtomicUsize::new(0),
            alive_ms: AtomicU64::new(unix_ms()),
            restarts: AtomicU64::new(0),
            restarted_ms: AtomicU64::new(0),
            saved: Mutex::default(),
            restoring: Mutex::default(),
            followers: Mutex::default(),
        }
    }

    /// Hands something over.
    ///
    /// # Errors
    ///
    /// The queue is full, or the worker gone for good: the mail comes back.
    pub fn post(&self, mail: Mail) -> Result<(), Box<Mail>> {
        self.mail.try_send(mail).map_err(|error| match error {
            mpsc::error::TrySendError::Full(mail) | mpsc::error::TrySendError::Closed(mail) => Box::new(mail),
        })
    }

    /// Gives an order; `false` when the queue is full.
    pub fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }

    /// Calls and messages that wait to become some.
    pub fn load(&self) -> usize {
        self.calls.load(Ordering::Relaxed) + self.mail.max_capacity() - self.mail.capacity()
    }

    /// When it last went through its loop, milliseconds since the Unix epoch; at first when it was made.
    pub fn alive_ms(&self) -> u64 {
        self.alive_ms.load(Ordering::Relaxed)
    }

    /// How often it was started anew after a panic.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// When it was last started anew, milliseconds since the Unix epoch; 0: never.
    pub fn restarted_ms(&self) -> u64 {
        self.restarted_ms.load(Ordering::Relaxed)
    }

    /// Keeps the state of a call unless a later one is kept.
    pub(super) fn save(&self, call: Uuid, saved: Saved) {
        let mut all = lock(&self.saved);
        if all.get(&call).is_none_or(|known| (known.epoch, known.revision) <= (saved.epoch, saved.revision)) {
            all.insert(call, saved);
        }
    }

    /// Drops what was kept of a call, unless that is later than `revision`.
    pub(super) fn forget(&self, call: Uuid, revision: u32) {
        let mut all = lock(&self.saved);
        if all.get(&call).is_some_and(|known| known.revision <= revision) {
            all.remove(&call);
        }
    }

    /// Whether something is kept of a call.
    pub(super) fn keeps(&self, call: Uuid) -> bool {
        lock(&self.saved).contains_key(&call)
    }

    /// Takes out what is kept of a call that leaves.
    pub(super) fn take(&self, call: Uuid) -> Option<Saved> {
        lock(&self.saved).remove(&call)
    }

    /// The calls that are kept, for the worker that starts. The one whose restoring went wrong is left out.
    pub(super) fn kept(&self) -> Vec<(Uuid, Saved)> {
        let mut all = lock(&self.saved);
        if let Some(poison) = lock(&self.restoring).take() {
            all.remove(&poison);
            tracing::error!(call = %poison, "call given up: it could not be restored");
        }
        all.iter().map(|(call, saved)| (*call, saved.clone())).collect()
    }

    /// Says which call is being restored now; `None`: it went well.
    pub(super) fn restoring(&self, call: Option<Uuid>) {
        *lock(&self.restoring) = call;
    }

    /// Notes that `worker` was handed a message of `flow` and wants to hear of its end. Datagrams have
    /// none: noting their flows, which a sender of forged addresses makes at will, would have no bound.
    pub(super) fn follow(&self, flow: FlowId, transport: Transport, worker: u16) {
        if transport == Transport::Udp {
            return;
        }
        let mut followers = lock(&self.followers);
        let known = followers.entry(flow).or_default();
        if !known.contains(&worker) {
            known.push(worker);
        }
    }

    /// Who follows a flow that is gone.
    pub(super) fn unfollow(&self, flow: FlowId) -> SmallVec<[u16; 4]> {
        lock(&self.followers).remove(&flow).unwrap_or_default()
    }

    /// All flows that were followed: they died with their worker.
    pub(super) fn unfollow_all(&self) -> Vec<(FlowId, SmallVec<[u16; 4]>)> {
        lock(&self.followers).drain().collect()
    }
}

/// All desks of the process.
#[derive(Debug)]
pub struct Exchange {
    desks: Vec<Arc<Desk>>,
    /// The sockets for datagrams, kept here so that a restarted worker gets them again.
    pub(super) datagrams: Vec<(UdpSocket, ListenerId)>,
    /// Notified when a worker's last call ended, and at the end of a worker.
    pub(super) quiet: Notify,
    moved: Mutex<Moved>,
    /// How many calls have moved; none, as nearly always, costs nobody a lock.
    moves: AtomicUsize,
}

/// Calls that live elsewhere than their tags say.
#[derive(Debug, Default)]
struct Moved {
    homes: HashMap<ByteString, Homes>,
    tags: HashMap<Uuid, [ByteString; 2]>,
    /// Calls that have ended, and until when their requests may be repeated.
    ended: VecDeque<(Instant, Uuid)>,
}

impl Moved {
    fn forget_ended(&mut self, now: Instant) {
        while let Some((_, call)) = self.ended.pop_front_if(|(until, _)| *until <= now) {
            for tag in self.tags.remove(&call).iter().flatten() {
                self.homes.remove(tag);
            }
        }
    }
}

/// The workers that had a call, in order; the one that has it is the last.
pub type Homes = SmallVec<[u16; 4]>;

impl Exchange {
    /// Desks for `workers` workers, at least 1 and at most [`MAX_WORKERS`].
    pub fn new(workers: u16, datagrams: Vec<(UdpSocket, ListenerId)>) -> Arc<Self> {
        let desks = (0..workers.clamp(1, MAX_WORKERS)).map(|_| Arc::new(Desk::new())).collect();
        let (moved, moves) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Self { desks, datagrams, quiet: Notify::new(), moved, moves })
    }

    /// The desk of a worker; `None` for a worker that does not exist.
    pub fn desk(&self, worker: u16) -> Option<&Arc<Desk>> {
        self.desks.get(usize::from(worker))
    }

    /// Posts what only informs; when the queue is full the other's timers find out.
    pub(super) fn tell(&self, worker: u16, mail: Mail) {
        let _ = self.desk(worker).map(|desk| desk.post(mail));
    }

    /// Whether any call lives elsewhere than its tags say: looked at for each message.
    pub(super) fn any_moved(&self) -> bool {
        self.moves.load(Ordering::Acquire) > 0
    }

    /// Where a call has been that has moved, by a tag of ours.
    pub(super) fn homes(&self, tag: &str) -> Option<Homes> {
        if !self.any_moved() {
            return None;
        }
        lock(&self.moved).homes.get(tag).cloned()
    }

    /// A call moves; `false` when so many have that it has to stay.
    pub(super) fn move_call(&self, call: Uuid, tags: [ByteString; 2], from: u16, to: u16) -> bool {
        let mut moved = lock(&self.moved);
        moved.forget_ended(Instant::now());
        if moved.tags.len() >= MAX_MOVED && !moved.tags.contains_key(&call) {
            return false;
        }
        for tag in &tags {
            let homes = moved.homes.entry(tag.clone()).or_default();
            homes.retain(|home| *home != from && *home != to);
            homes.extend([from, to]);
        }
        moved.tags.insert(call, tags);
        self.moves.store(moved.tags.len(), Ordering::Release);
        true
    }

    /// A call has ended, wherever it lived; its requests may be repeated for `keep` (64·T1).
    pub(super) fn settle(&self, now: Instant, call: Uuid, keep: Duration) {
        if !self.any_moved() {
            return;
        }
        let mut moved = lock(&self.moved);
        moved.forget_ended(now);
        if moved.tags.contains_key(&call) {
            moved.ended.push_back((now + keep, call));
        }
        self.moves.store(moved.tags.len(), Ordering::Release);
    }

    /// All desks in the order of their workers.
    pub fn desks(&self) -> impl Iterator<Item = (u16, &Arc<Desk>)> {
        (0..).zip(&self.desks)
    }

    /// How many workers there are.
    pub fn workers(&self) -> u16 {
        u16::try_from(self.desks.len()).unwrap_or(MAX_WORKERS)
    }

    /// Calls over all workers.
    pub fn calls(&self) -> usize {
        self.desks.iter().map(|desk| desk.calls.load(Ordering::Relaxed)).sum()
    }

    /// Returns once no worker holds a call.
    pub async fn no_calls(&self) {
        loop {
            let quiet = self.quiet.notified();
            tokio::pin!(quiet);
            // Registered before looking: a notification in between is not lost.
            quiet.as_mut().enable();
            if self.calls() == 0 {
                return;
            }
            quiet.await;
        }
    }

    /// Where a new call that arrived at `here` should live. It stays unless `here` is above its share:
    /// a hand-over costs a wake-up, so small differences are not worth one.
    pub fn place(&self, here: u16) -> u16 {
        let Some(own) = self.desk(here).map(|desk| desk.load()) else { return here };
        let least = self.desks().map(|(worker, desk)| (desk.load(), worker)).min();
        match least {
            Some((load, worker)) if own > load + load / 8 + SLACK => worker,
            _ => here,
        }
    }

    /// Gives a new connection to the worker with the fewest; `false` when that one has no room.
    pub fn deal(&self, accepted: Accepted) -> bool {
        self.least_called().is_some_and(|desk| desk.order(Order::Accept(accepted)))
    }

    /// The worker with the fewest connections of peers: those bring the calls. What it dialled itself counts only
    /// between equals; the worker that speaks for all dials more than the others and is not busier for it.
    fn least_called(&self) -> Option<&Arc<Desk>> {
        self.desks.iter().min_by_key(|desk| {
            let ordered = desk.orders.max_capacity() - desk.orders.capacity();
            (desk.accepted.load(Ordering::Relaxed) + ordered, desk.connections.load(Ordering::Relaxed))
        })
    }

    /// What every worker measures of itself.
    pub fn gauges(&self) -> Vec<WorkerGauges> {
        let gauges = |(worker, desk): (u16, &Arc<Desk>)| WorkerGauges {
            worker,
            calls: desk.calls.load(Ordering::Relaxed),
            connections: desk.connections.load(Ordering::Relaxed),
            transactions: desk.transactions.load(Ordering::Relaxed),
            waiting: desk.mail.max_capacity() - desk.mail.capacity(),
            saved: lock(&desk.saved).len(),
            restarts: desk.restarts(),
        };
        self.desks().map(gauges).collect()
    }
}

/// A worker that panicked while it held the lock left whole entries behind: each change is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(worker: u16, n: u64) -> FlowId {
        FlowId { node: 0, worker, n }
    }

    #[test]
    fn a_full_queue_gives_the_mail_back() {
        let exchange = Exchange::new(2, Vec::new());
        let desk = exchange.desk(1).unwrap();
        for n in 0..MAIL {
            desk.post(Mail::Close(flow(1, n as u64))).unwrap();
        }
        let back = desk.post(Mail::Close(flow(1, 77))).unwrap_err();
        assert!(matches!(*back, Mail::Close(FlowId { n: 77, .. })));
        assert_eq!(desk.load(), MAIL);
    }

    #[test]
    fn a_call_moves_only_when_its_worker_is_well_above_the_least_loaded() {
        let exchange = Exchange::new(3, Vec::new());
        let calls = |worker, calls| exchange.desk(worker).unwrap().calls.store(calls, Ordering::Relaxed);
        calls(0, SLACK);
        assert_eq!(exchange.place(0), 0);
        calls(0, SLACK + 1);
        calls(1, 3);
        assert_eq!(exchange.place(0), 2);
        calls(2, 100);
        calls(1, 100);
        calls(0, 112);
        assert_eq!(exchange.place(0), 0);
        assert_eq!(exchange.place(9), 9, "an unknown worker keeps what it has");
    }

    #[test]
    fn a_new_connection_goes_to_the_worker_that_peers_called_least() {
        let exchange = Exchange::new(2, Vec::new());
        let holds = |worker, accepted, connections| {
            let desk = exchange.desk(worker).unwrap();
            desk.accepted.store(accepted, Ordering::Relaxed);
            desk.connections.store(connections, Ordering::Relaxed);
        };
        let goes_to = |worker| Arc::ptr_eq(exchange.least_called().unwrap(), exchange.desk(worker).unwrap());
        // The first speaks for all, and has dialled every host for it.
        holds(0, 0, 5);
        holds(1, 1, 1);
        assert!(goes_to(0));
        holds(0, 1, 6);
        assert!(goes_to(1), "between equals what was dialled counts");
        exchange.desk(1).unwrap().order(Order::Recycle);
        assert!(goes_to(0), "what waits for it counts");
    }

    #[test]
    fn an_older_save_never_replaces_a_later_one() {
        let desk = Desk::new();
        let saved = |epoch, revision| Saved { epoch, revision, octets: Bytes::new() };
        desk.save(Uuid::nil(), saved(0, 2));
        desk.save(Uuid::nil(), saved(0, 1));
        assert_eq!(desk.kept()[0].1.revision, 2);
        desk.save(Uuid::nil(), saved(1, 3));
        desk.save(Uuid::nil(), saved(0, 4));
        assert_eq!(desk.kept()[0].1.revision, 3, "who had the call before can no longer save it");
        desk.forget(Uuid::nil(), 2);
        assert_eq!(desk.kept().len(), 1, "nor end it");
        desk.forget(Uuid::nil(), 3);
        assert!(desk.kept().is_empty());
    }

    #[test]
    fn a_call_that_moved_is_found_by_its_tags_until_it_ends() {
        let exchange = Exchange::new(3, Vec::new());
        let (call, tags) = (Uuid::from_u128(7), [ByteString::from("a"), ByteString::from("b")]);
        let homes = |tag: &str| exchange.homes(tag).map(|homes| homes.to_vec());
        assert!(exchange.move_call(call, tags.clone(), 0, 1));
        assert_eq!((homes("a"), homes("b"), homes("c")), (Some(vec![0, 1]), Some(vec![0, 1]), None));
        assert!(exchange.move_call(call, tags.clone(), 1, 2) && exchange.move_call(call, tags, 2, 0), "and back");
        assert_eq!(homes("a"), Some(vec![1, 2, 0]));
        let (now, keep) = (Instant::now(), Duration::from_secs(32));
        exchange.settle(now, call, keep);
        assert!(homes("a").is_some(), "a repetition may come");
        exchange.settle(now + keep, Uuid::nil(), keep);
        assert_eq!((homes("a"), exchange.moves.load(Ordering::Relaxed)), (None, 0));
    }

    #[test]
    fn a_call_that_cannot_be_restored_is_given_up() {
        let desk = Desk::new();
        desk.save(Uuid::nil(), Saved { epoch: 0, revision: 1, octets: Bytes::new() });
        desk.restoring(Some(Uuid::nil()));
        assert!(desk.kept().is_empty());
    }

    #[test]
    fn followers_hear_of_a_flow_once() {
        let desk = Desk::new();
        desk.follow(flow(0, 1), Transport::Tls, 2);
        desk.follow(flow(0, 1), Transport::Tls, 2);
        desk.follow(flow(0, 1), Transport::Tls, 3);
        assert_eq!(desk.unfollow(flow(0, 1)).as_slice(), [2, 3]);
        assert!(desk.unfollow(flow(0, 1)).is_empty() && desk.unfollow_all().is_empty());
    }

    #[test]
    fn flows_of_datagrams_are_not_noted_since_they_never_end() {
        let desk = Desk::new();
        desk.follow(flow(0, 1), Transport::Udp, 2);
        assert!(desk.unfollow_all().is_empty());
    }
}
