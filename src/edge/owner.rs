//! Which worker a message is for, by the identifiers of ours that it carries (design: "Identifiers").

use super::Edge;
use crate::identifier::Identity;
use crate::sip::{Message, Method, Name};

/// Which worker a message is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Owner {
    /// This one.
    Here,
    /// Another: its call or transaction lives there.
    Worker(u16),
    /// Any: it begins something.
    Anyone,
    /// A CANCEL whose INVITE is not here: every worker is asked before 481.
    UnmatchedCancel,
}

impl Edge {
    /// Which worker `message` is for, by the identifiers of ours that it carries.
    pub fn owner(&self, message: &Message) -> Owner {
        let minted = if message.is_request() {
            crate::sip::tag(message.header(Name::To).unwrap_or("")).and_then(Identity::of)
        } else {
            crate::sip::top_via(message).ok().and_then(|via| via.branch()).and_then(Identity::of)
        };
        if let Some(worker) = minted.and_then(|minted| self.worker_of_identity(minted)) {
            return if worker == self.worker { Owner::Here } else { Owner::Worker(worker) };
        }
        match message.method() {
            Method::Cancel if message.is_request() && !self.cx.transactions.owns(message) => Owner::UnmatchedCancel,
            Method::Invite if message.is_request() => Owner::Anyone,
            _ => Owner::Here,
        }
    }

    /// Whether a transaction here is concerned by `message`: a repetition, a response, an ACK, a CANCEL.
    pub fn owns(&self, message: &Message) -> bool {
        self.cx.transactions.owns(message)
    }

    /// The worker of this node that minted `tag`; `None`: nobody here did.
    pub fn worker_of(&self, tag: &str) -> Option<u16> {
        self.worker_of_identity(Identity::of(tag)?)
    }

    fn worker_of_identity(&self, minted: Identity) -> Option<u16> {
        (minted.node == self.node).then(|| self.cx.snapshot.slots[usize::from(minted.slot)])
    }
}
