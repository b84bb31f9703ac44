//! The operator's rules: changes to header fields beyond what a trunk's kind demands.

use crate::flow::TrunkId;
use crate::number::Number;
use crate::sip::Message;
use smallvec::SmallVec;
use uuid::Uuid;

/// Which way a message goes, as a rule names it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Direction {
    /// It came from the trunk.
    In,
    /// It is about to leave toward the trunk.
    Out,
}

/// What a rule may know beside the message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The call, once there is one.
    pub call: Option<Uuid>,
    /// Genesys' name of the conversation (GEN-61); empty when unknown.
    pub conversation: &'a str,
    /// The caller's number, also where it must not be shown.
    pub caller: Option<&'a Number>,
    /// The called number.
    pub called: Option<&'a Number>,
    /// Who has the called number, as the directory says; empty when nobody.
    pub user: &'a str,
    /// Name of the trunk that the call came from; empty outside calls.
    pub from_trunk: &'a str,
    /// Name of the trunk that the call goes to; empty before one is chosen.
    pub to_trunk: &'a str,
}

/// A message that rules changed.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The message as it is now.
    pub message: Message,
    /// Which rules fired, by their places in the configuration, in order.
    pub fired: SmallVec<[u16; 4]>,
}

/// All rules of a configuration, compiled.
#[derive(Clone, Debug, Default)]
pub struct Rules {}

impl Rules {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        true
    }

    /// Whether any rule is for messages of this trunk and direction: cheap, asked for every message.
    pub fn concern(&self, _trunk: TrunkId, _direction: Direction) -> bool {
        false
    }

    /// Applies the rules to `message`; `None`: none fired, or none changed anything.
    pub fn apply(
        &self,
        _trunk: TrunkId,
        _direction: Direction,
        _message: &Message,
        _facts: &Facts<'_>,
    ) -> Option<Applied> {
        None
    }
}
