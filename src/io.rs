//! The core's contract: everything that goes in, everything that comes out.
//!
//! [`Edge`](crate::edge::Edge) takes one [`Input`] at a time and is then drained of its [`Output`]s.
//! There is no other way in or out, so a test or a simulation is the core's shell as much as the
//! real one is.

use crate::event::Event;
use crate::flow::{FlowId, Hop, Peer};
use crate::sip::{Malformed, Message};
use crate::snapshot::Snapshot;
use crate::trunk::diagnosis::Symptom;
use bytes::Bytes;
use bytestring::ByteString;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

/// Names a message that was sent, for [`Input::Sent`] and [`Input::SendFailed`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Token(pub u64);

/// The token of messages that belong to no transaction: the ACK of a 2xx, the answer to octets that are
/// no message. Nobody waits for their fate.
pub const UNTRACKED: Token = Token(0);

/// Something the core has to know.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every input is a message: a box for each would cost more")]
pub enum Input {
    /// A message arrived.
    Message {
        /// The message, parsed.
        message: Message,
        /// The flow it came on.
        flow: FlowId,
        /// Who sent it.
        peer: Arc<Peer>,
    },
    /// Octets arrived that are no message; where a request could be read, it is answered.
    Malformed {
        /// What could be read.
        request: Option<Box<Message>>,
        /// What is wrong with it.
        fault: Malformed,
        /// The flow it came on.
        flow: FlowId,
        /// Who sent it.
        peer: Arc<Peer>,
    },
    /// A request to a hop was put on a flow: the answer, or the loss, concerns that flow.
    Sent {
        /// From [`Output::Send`].
        token: Token,
        /// The flow that carries it, perhaps still connecting.
        flow: FlowId,
    },
    /// A message could not be sent: no octet of it left.
    SendFailed {
        /// From [`Output::Send`].
        token: Token,
        /// What went wrong, in words without personal data.
        reason: String,
        /// What that says about the host.
        symptom: Symptom,
    },
    /// A flow is gone, with whatever was on it.
    FlowLost {
        /// The flow.
        flow: FlowId,
        /// What that says about the host.
        symptom: Symptom,
    },
    /// What an [`Output::Ask`] asked for. Late answers are ignored.
    Answer {
        /// From [`Output::Ask`].
        question: QuestionId,
        /// The result.
        result: Answer,
    },
    /// A save is where a failure of this worker does not reach it.
    Saved {
        /// The call.
        call: Uuid,
        /// From [`Output::Save`].
        revision: u32,
    },
    /// A call that another worker, or this one before it failed, had saved: it lives here from now on.
    Restored {
        /// The call.
        call: Uuid,
        /// From [`Output::Save`].
        octets: Bytes,
    },
    /// Another worker asks for a call ([`Question::Load`]). It goes ([`Output::Surrender`]) as soon as nothing is under
    /// way in it; one without an answer stays, and who asks hears nothing.
    Wanted {
        /// A tag of ours in one of its dialogs.
        tag: ByteString,
        /// Who asks.
        by: u16,
    },
    /// Configuration, directory, addresses or health changed.
    Snapshot(Arc<Snapshot>),
    /// No new calls from now on. With `now`, calls that exist are ended too.
    Drain {
        /// End everything at once.
        now: bool,
    },
    /// The operator ends a call.
    HangUp {
        /// The call.
        call: Uuid,
    },
}

/// Something the core wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a message.
    Send {
        /// Comes back in [`Input::Sent`] (hops only) and [`Input::SendFailed`].
        token: Token,
        /// Where to.
        to: Destination,
        /// The message.
        octets: Bytes,
    },
    /// Close a flow.
    Close {
        /// The flow.
        flow: FlowId,
    },
    /// Find something out; without an [`Input::Answer`] by the deadline the core goes on without.
    Ask {
        /// Comes back with the answer.
        question: QuestionId,
        /// What is asked.
        what: Question,
        /// When the core stops waiting.
        deadline: Instant,
    },
    /// Keep this state of a call, replacing what an earlier epoch or, in this one, an earlier revision had.
    Save {
        /// The call.
        call: Uuid,
        /// Counts the owners of the call: one that was taken up elsewhere can no longer be saved by who had it before.
        epoch: u32,
        /// Counts the saves of the call, over all its owners.
        revision: u32,
        /// The call as versioned octets.
        octets: Bytes,
    },
    /// Drop what was kept of a call, unless it is newer.
    Forget {
        /// The call.
        call: Uuid,
        /// The last revision that may be dropped.
        revision: u32,
    },
    /// A call leaves for who asked for it: give it what was saved last as [`Input::Restored`], and from now on every
    /// request of these dialogs. A call that cannot be delivered comes back as [`Input::Restored`].
    Surrender {
        /// The call.
        call: Uuid,
        /// From [`Input::Wanted`].
        to: u16,
        /// Our tags in its dialogs, the caller's leg first.
        tags: [ByteString; 2],
    },
    /// Something happened.
    Event(Event),
}

/// Where a message goes.
#[derive(Clone, Debug)]
pub enum Destination {
    /// Back on a flow; if that is gone the send fails.
    Flow(FlowId),
    /// To a host, over a connection that is there or a new one.
    Hop(Arc<Hop>),
}

/// Names a question.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct QuestionId(pub u64);

/// What the core can ask.
#[derive(Clone, Debug)]
pub enum Question {
    /// The description that crosses from one leg to another.
    Media {
        /// The call.
        call: Uuid,
        /// The leg it came from: 0 the caller's, 1 the called one.
        leg: u8,
        /// Whether it is an offer or an answer (RFC 3264).
        offer: bool,
        /// The description as received.
        sdp: Bytes,
    },
    /// The call of a dialog that is ours by its tag and not here. It comes as [`Answer::Call`], or from another worker
    /// that surrenders it, as [`Input::Restored`].
    Load {
        /// Our tag.
        tag: ByteString,
    },
}

/// What the shell found out.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The description to send on.
    Media(Bytes),
    /// The call that was asked for; it lives here from now on.
    Call {
        /// The call.
        call: Uuid,
        /// From [`Output::Save`].
        octets: Bytes,
    },
    /// There is no such call.
    Absent,
    /// It could not be found out; the text says why.
    Failed(String),
}
