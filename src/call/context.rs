//! What a call may use: the moment, the snapshot, transactions, timers, identifiers, and a way out.
//!
//! One [`Context`] serves all calls of an [`Edge`](crate::edge::Edge). A call borrows it for the length
//! of one event; nothing here waits.

use super::authorize::Sent;
use super::leaving::Story;
use super::{Admission, CallKey, Side};
use crate::authentication::{Attempts, Sessions};
use crate::event::{Event, EventKind};
use crate::flow::{FlowId, Hop, Now, Transport};
use crate::identifier::Minter;
use crate::io::{Destination, Output, Question, QuestionId, UNTRACKED};
use crate::sip::Method;
use crate::snapshot::Snapshot;
use crate::timer::Timers;
use crate::transaction::{ClientId, Effect, Transactions};
use bytes::Bytes;
use bytestring::ByteString;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// What a timer of a call is for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Timer {
    /// No response at all from the host that is tried (TDR-125).
    Response,
    /// The called party has rung long enough (GEN-82).
    Ring,
    /// The caller hears that it rings, though the called side says nothing (TDR-71).
    Progress,
    /// The last provisional response is repeated each minute (RFC 3261 §13.3.1.1).
    Provisional,
    /// A reliable provisional response is repeated until its PRACK (RFC 3262 §3).
    Reliable,
    /// A 2xx is repeated until its ACK (RFC 3261 §13.3.1.4).
    Repeat(Side),
    /// The session timer of a leg: refresh, or give up (RFC 4028 §10).
    Session(Side),
    /// A leg without session timer is asked whether it still lives.
    Probe(Side),
    /// A re-INVITE of our own is due, or due again after a 491 (RFC 3261 §14.1).
    Offer(Side),
    /// A BYE whose connection broke is due again.
    Bye(Side),
    /// A re-INVITE of ours has no final response for too long.
    Overdue(Side),
    /// The call has lasted as long as any may.
    MaxCall,
    /// A question stays unanswered.
    Ask,
    /// No 2xx of a call that is over can come again.
    Forks,
}

/// The longest request that goes as a datagram where TCP may be used: what a path of unknown MTU takes (RFC 3261 §18.1.1).
const LONGEST_DATAGRAM: usize = 1300;

/// How the Via of our own requests begins, and what it is to be.
const VIA_UDP: &[u8] = b"\r\nVia: SIP/2.0/UDP ";
const VIA_TCP: &[u8] = b"\r\nVia: SIP/2.0/TCP ";

/// Shared by all calls of one core.
pub struct Context {
    /// The moment of the event at hand.
    pub now: Now,
    /// The newest snapshot.
    pub snapshot: Arc<Snapshot>,
    /// The transaction layer.
    pub transactions: Transactions,
    /// The timers of all calls.
    pub timers: Timers<(CallKey, Timer)>,
    /// Where identifiers come from.
    pub minter: Minter,
    /// Our tags: which leg of which call each names.
    pub dialogs: HashMap<ByteString, (CallKey, Side), foldhash::fast::RandomState>,
    /// Limits that hold over all workers.
    pub admission: Arc<dyn Admission + Send + Sync>,
    /// Whether new calls are refused.
    pub draining: bool,
    /// The call whose event is at hand.
    pub call: Option<Uuid>,
    /// What the operator's rules may know of it; `None` where there are no rules.
    pub story: Option<Story>,
    /// The flow that the response at hand came on; `None`: the event is something else.
    pub heard_on: Option<FlowId>,
    /// Challenges of trunks that we have answered.
    pub sessions: Sessions,
    /// Requests of no call that may be asked for credentials.
    pub(super) alone: Vec<Sent>,
    /// What came back to challenges of ours.
    pub attempts: Attempts,
    outputs: VecDeque<Output>,
    /// Flows that end with what was sent on them.
    closing: Vec<FlowId>,
    questions: HashMap<QuestionId, CallKey, foldhash::fast::RandomState>,
    last_question: u64,
    /// Answers of the direct mode, not given yet.
    direct: VecDeque<(QuestionId, Bytes)>,
}

impl Context {
    /// A context without calls.
    pub fn new(
        now: Now,
        snapshot: Arc<Snapshot>,
        transactions: Transactions,
        minter: Minter,
        admission: Arc<dyn Admission + Send + Sync>,
    ) -> Self {
        Self {
            now,
            snapshot,
            transactions,
            timers: Timers::default(),
            minter,
            dialogs: HashMap::default(),
            admission,
            draining: false,
            call: None,
            story: None,
            heard_on: None,
            sessions: Sessions::default(),
            alone: Vec::new(),
            attempts: Attempts::default(),
            outputs: VecDeque::new(),
            closing: Vec::new(),
            questions: HashMap::default(),
            last_question: 0,
            direct: VecDeque::new(),
        }
    }

    /// Something for the shell to do.
    pub fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Closes a flow once all that is to be sent now has been sent.
    pub fn close(&mut self, flow: FlowId) {
        self.closing.push(flow);
    }

    /// Everything that is to be sent now is out: what has to close may do so.
    pub fn close_flows(&mut self) {
        self.outputs.extend(self.closing.drain(..).map(|flow| Output::Close { flow }));
    }

    /// Something happened.
    pub fn event(&mut self, call: Option<Uuid>, kind: EventKind) {
        self.output(Output::Event(Event { call, kind }));
    }

    /// The next thing for the shell to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Passes a message of the transaction layer on; what is not a message comes back.
    pub fn poll_transactions(&mut self) -> Option<Effect> {
        loop {
            match self.transactions.poll()? {
                Effect::Send { token, to, octets } => self.output(Output::Send { token, to, octets }),
                other => return Some(other),
            }
        }
    }

    /// Sends a request as a client transaction for `key`.
    pub fn request(&mut self, key: CallKey, method: &Method, branch: &str, hop: &Arc<Hop>, octets: Bytes) -> ClientId {
        let (now, to) = (self.now.monotonic, Destination::Hop(hop.clone()));
        if let Some((stream, larger)) = self.as_stream(hop, &octets) {
            let (over, transport) = (Destination::Hop(Arc::new(stream)), Transport::Tcp);
            let id = self.transactions.request(now, larger, method, branch, over, transport, key.0);
            self.transactions.or_datagram(id, octets, to);
            return id;
        }
        self.transactions.request(now, octets, method, branch, to, hop.transport, key.0)
    }

    /// A request that is too long for a datagram on a trunk that takes it over TCP: the hop and the request with its
    /// Via changed, as RFC 3261 §18.1.1 wants it (TDR-72, GEN-64).
    fn as_stream(&self, hop: &Hop, octets: &Bytes) -> Option<(Hop, Bytes)> {
        if hop.transport != Transport::Udp || octets.len() <= LONGEST_DATAGRAM {
            return None;
        }
        self.snapshot.trunk(hop.trunk).filter(|trunk| trunk.large_over_tcp)?;
        // The first is our own Via: a B2BUA's requests have no other.
        let at = memchr::memmem::find(octets, VIA_UDP)?;
        let larger = [&octets[..at], VIA_TCP, &octets[at + VIA_UDP.len()..]].concat();
        Some((Hop { transport: Transport::Tcp, ..hop.clone() }, larger.into()))
    }

    /// Sends an ACK of a 2xx, which belongs to no transaction (RFC 3261 §13.2.2.4).
    pub fn send_ack(&mut self, hop: &Arc<Hop>, octets: Bytes) {
        self.output(Output::Send { token: UNTRACKED, to: Destination::Hop(hop.clone()), octets });
    }

    /// Asks the shell, or about a description in direct mode answers with that itself; the answer finds who asked
    /// through [`asked_by`](Self::asked_by), or [`Timer::Ask`] comes.
    pub fn ask(&mut self, key: CallKey, what: Question) -> QuestionId {
        self.last_question += 1;
        let question = QuestionId(self.last_question);
        self.questions.insert(question, key);
        if let Question::Media { sdp, .. } = &what
            && !self.snapshot.edge.ask_media
        {
            self.direct.push_back((question, sdp.clone()));
            return question;
        }
        let deadline = self.now.monotonic + self.snapshot.edge.ask_timeout;
        self.timers.set((key, Timer::Ask), deadline);
        self.output(Output::Ask { question, what, deadline });
        question
    }

    /// The next answer of the direct mode.
    pub fn direct_answer(&mut self) -> Option<(QuestionId, Bytes)> {
        self.direct.pop_front()
    }

    /// Which call asked, once; `None` when nobody waits any more.
    pub fn asked_by(&mut self, question: QuestionId) -> Option<CallKey> {
        self.questions.remove(&question)
    }

    /// Nobody waits for the answer any more.
    pub fn forget_question(&mut self, key: CallKey, question: QuestionId) {
        self.questions.remove(&question);
        self.timers.cancel(&(key, Timer::Ask));
    }

    /// Starts, or starts again, a timer of a call.
    pub fn set_timer(&mut self, key: CallKey, timer: Timer, after: Duration) {
        self.timers.set((key, timer), self.now.monotonic + after);
    }

    /// Stops a timer of a call.
    pub fn cancel_timer(&mut self, key: CallKey, timer: Timer) {
        self.timers.cancel(&(key, timer));
    }

    /// T1 of the snapshot; T2 is eight times as long (RFC 3261 §17.1.1.2, 500 ms and 4 s).
    pub fn t1(&self) -> Duration {
        self.snapshot.edge.t1
    }

    /// How many questions wait for an answer.
    pub fn questions(&self) -> usize {
        self.questions.len()
    }
}
