//! Requests and their responses: the four machines of RFC 3261 §17, as amended by RFC 6026 and RFC 4320.
//!
//! [`Transactions`] holds all transactions of one worker. Its user, the call core, sends requests and
//! responses through it and shows it every message that comes: repeats end here, what is new is the
//! user's. It knows no socket and no clock: time is an argument, what is to be done comes out of
//! [`Transactions::poll`], to be drained after every call that takes `now`, a token or a flow.
//!
//! What it leaves to others: the ACK of a 2xx and the repeats of a 2xx (the dialog's, RFC 6026 §8.5),
//! the 100 that answers an INVITE, where a response goes whose flow is gone
//! ([`Effect::ResponseUnsendable`]), and every next attempt after a failure.
//!
//! - `invite_client`, `non_invite_client`, `invite_server`, `non_invite_server`: the machines,
//!   status and time in, one action out;
//! - `matching`: which of them a message belongs to;
//! - `client`, `server`: the machines with their messages and flows.

mod client;
mod derived;
mod flows;
mod invite_client;
mod invite_server;
mod machine;
mod matching;
mod non_invite_client;
mod non_invite_server;
mod server;
#[cfg(test)]
mod tests;

use crate::flow::FlowId;
use crate::io::{Destination, Token};
use crate::sip::Message;
use crate::timer::Timers;
use bytes::Bytes;
use foldhash::quality::FixedState;
use matching::{Index, Table};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most client and the most server transactions of one worker. A call needs two of each, most of them for the
/// 64·T1 after it was answered: this is enough for some 4000 calls a second and stays below a gigabyte.
pub const MAX_TRANSACTIONS: usize = 1 << 18;

/// Names a client transaction; harmless once that is gone.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ClientId(u64);

/// Names a server transaction; harmless once that is gone.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ServerId(u64);

/// What a request turned out to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Received {
    /// A new request; the user answers it with [`Transactions::respond`].
    New(ServerId),
    /// A repeat; the last response, if there is one, was sent again.
    Absorbed,
    /// An ACK without INVITE transaction that waits for one: that of a 2xx, for the dialog.
    Ack,
    /// The ACK of a response other than 2xx.
    AckAbsorbed,
    /// A CANCEL, to be answered under its own transaction.
    Cancel {
        /// The transaction of the CANCEL.
        cancel: ServerId,
        /// The INVITE it cancels; `None` when that is not, or no longer, here (481).
        invite: Option<ServerId>,
    },
    /// A request that came before on another way (RFC 3261 §8.2.2.2): to be answered 482.
    Merged(ServerId),
    /// There is no room for its transaction: an INVITE that would begin a call finds an eighth less than the bound,
    /// so that what calls need goes on. It is answered without one (§8.2.7), or dropped as if it had been lost.
    Overload,
}

/// A response with the transaction it belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Matched {
    /// The transaction; gone already after a final response over a reliable transport.
    pub id: ClientId,
    /// What the user gave to [`Transactions::request`].
    pub user: u64,
    /// What the response is to the transaction.
    pub kind: Kind,
}

/// What a response is to its transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A 1xx.
    Provisional,
    /// The first final response; other than 2xx to an INVITE it has been acknowledged.
    Final,
    /// A further 2xx to an INVITE: a repeat, or another fork's (RFC 6026 §7.2).
    Repeated2xx,
}

/// Something the transactions want done or known.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send a message.
    Send {
        /// Comes back in [`Transactions::sent`] and [`Transactions::send_failed`]; at or above [`TOKENS`].
        token: Token,
        /// Where to.
        to: Destination,
        /// The message.
        octets: Bytes,
    },
    /// A response whose flow is gone: [`Transactions::redirect`] says where else, by the top Via (RFC 3261 §18.2.2).
    ResponseUnsendable {
        /// The transaction.
        id: ServerId,
        /// The response.
        octets: Bytes,
    },
    /// A non-INVITE request waits so long for its answer that it has to get a 100 (RFC 4320 §4.1).
    TryingDue {
        /// The transaction.
        id: ServerId,
        /// From [`Transactions::set_server_user`].
        user: u64,
    },
    /// No final response came in time: Timer B, Timer F, or 64·T1 after CANCEL. The transaction is gone.
    TimedOut {
        /// The transaction.
        id: ClientId,
        /// From [`Transactions::request`].
        user: u64,
    },
    /// The request could not be sent, its flow was lost before any response, or there was no room for its transaction
    /// ([`MAX_TRANSACTIONS`]). The transaction is gone, but for that of an INVITE whose flow was lost: it may be answered over another one, or [times out](Self::TimedOut).
    Unreachable {
        /// The transaction.
        id: ClientId,
        /// From [`Transactions::request`].
        user: u64,
        /// Whether octets of it may have left.
        left: bool,
    },
    /// No ACK came for a response other than 2xx (Timer H). The transaction is gone.
    NoAck {
        /// The transaction.
        id: ServerId,
        /// From [`Transactions::set_server_user`].
        user: u64,
    },
}

/// Where the tokens of transactions begin: those of messages without one, such as the ACK of
/// a 2xx, stay below.
pub const TOKENS: u64 = 1 << matching::ID_BITS;

/// The bits of a token: the shell has those above for itself.
pub const TOKEN_BITS: u32 = matching::ID_BITS + 2;

/// What a token was for: its two highest bits. The rest is the transaction's id.
const REQUEST: u64 = 1;
const ACKNOWLEDGEMENT: u64 = 2;
const RESPONSE: u64 = 3;

fn token(kind: u64, id: u64) -> Token {
    Token(kind << matching::ID_BITS | id)
}

/// What T1 may be: zero would never let time pass, more than a minute would be nobody's round trip.
const T1_RANGE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(60));

/// Whose deadline comes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Owner {
    Client(u64),
    Server(u64),
}

/// All transactions of one worker.
#[derive(Debug)]
pub struct Transactions {
    t1: Duration,
    hasher: FixedState,
    clients: Table<client::Client>,
    servers: Table<server::Server>,
    /// Client transactions by branch and method.
    by_branch: Index,
    /// Server transactions by what their repeats have in common.
    by_request: Index,
    /// Server transactions by what other branches of the same request have in common.
    by_origin: Index,
    flows: flows::Flows,
    timers: Timers<Owner>,
    effects: VecDeque<Effect>,
    /// [`MAX_TRANSACTIONS`], less in a test of it.
    bound: usize,
}

impl Transactions {
    /// No transactions. `t1` is the base of all timers, 500 ms by RFC 3261 §17.1.1.1 and at least 1 ms,
    /// at most a minute;
    /// `hash_seed` must not be known to peers, who choose the keys of the tables.
    pub fn new(t1: Duration, hash_seed: u64) -> Self {
        Self {
            t1: t1.clamp(T1_RANGE.0, T1_RANGE.1),
            hasher: FixedState::with_seed(hash_seed),
            clients: Table::new(),
            servers: Table::new(),
            by_branch: Index::new(),
            by_request: Index::new(),
            by_origin: Index::new(),
            flows: flows::Flows::new(),
            timers: Timers::new(),
            effects: VecDeque::new(),
            bound: MAX_TRANSACTIONS,
        }
    }

    /// The base of the timers of transactions that begin from now on.
    pub fn set_t1(&mut self, t1: Duration) {
        self.t1 = t1.clamp(T1_RANGE.0, T1_RANGE.1);
    }

    /// Whether a transaction in here is concerned by `message`: a repeat, a response to a request of ours,
    /// the ACK of a final response of ours, or a CANCEL of an INVITE that is here.
    pub fn owns(&self, message: &Message) -> bool {
        if message.is_request() { self.owns_request(message) } else { self.client_of(message).is_some() }
    }

    /// A message went out on `flow`: its answer, or its loss, concerns that flow. Tokens of others are ignored.
    pub fn sent(&mut self, token: Token, flow: FlowId) {
        if token.0 >> matching::ID_BITS == REQUEST {
            self.request_sent(token.0 & (TOKENS - 1), flow);
        }
    }

    /// A message could not be sent. Tokens of others are ignored.
    pub fn send_failed(&mut self, now: Instant, token: Token) {
        let id = token.0 & (TOKENS - 1);
        match token.0 >> matching::ID_BITS {
            REQUEST => self.request_failed(now, id),
            RESPONSE => self.response_failed(id),
            // A lost ACK is asked for again by the repeated response.
            _ => {}
        }
    }

    /// A flow is gone. Fails only client transactions that wait for their first response on it; those that
    /// have had one go on, as the rest may come over another connection (TDR-80). A server transaction
    /// remembers it for its next response.
    pub fn flow_lost(&mut self, _now: Instant, flow: FlowId) {
        for id in self.flows.lose(flow) {
            self.request_lost(id);
        }
    }

    /// Something may be due; early and repeated calls are harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(owner) = self.timers.expired(now) {
            match owner {
                Owner::Client(id) => self.client_timeout(now, id),
                Owner::Server(id) => self.server_timeout(now, id),
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None` when nothing is running.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.poll()
    }

    /// The next effect, in order; `None` when all are taken.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// How many client and server transactions there are.
    pub fn gauges(&self) -> (usize, usize) {
        (self.clients.len(), self.servers.len())
    }

    /// The most client transactions, and the most server transactions, from now on.
    pub fn set_bound(&mut self, bound: usize) {
        self.bound = bound;
    }

    /// Whether a new call would find room for its transactions.
    pub fn has_room(&self) -> bool {
        self.clients.len() < self.room_for_calls()
    }

    /// An eighth is kept for what existing calls need: an INVITE beyond it is refused, a BYE is not.
    fn room_for_calls(&self) -> usize {
        self.bound - self.bound / 8
    }

    fn schedule(&mut self, owner: Owner, at: Option<Instant>) {
        match at {
            Some(at) => self.timers.set(owner, at),
            None => self.timers.cancel(&owner),
        }
    }
}
