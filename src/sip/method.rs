//! Request methods (RFC 3261 §7.1 and the RFCs that added to it).
//!
//! A method is a token compared case-sensitively. Those that the core acts on have a variant; the
//! rest pass as text.

use bytestring::ByteString;
use std::fmt;

/// A request method.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub enum Method {
    /// RFC 3261 §13
    Invite,
    /// RFC 3261 §13.2.2.4
    Ack,
    /// RFC 3261 §9
    Cancel,
    /// RFC 3261 §15
    Bye,
    /// RFC 3261 §11
    Options,
    /// RFC 3261 §10
    Register,
    /// RFC 6086
    Info,
    /// RFC 3311
    Update,
    /// RFC 3262
    Prack,
    /// RFC 3515
    Refer,
    /// RFC 6665
    Notify,
    /// RFC 6665
    Subscribe,
    /// RFC 3428
    Message,
    /// RFC 3903
    Publish,
    /// Any other token, as it was written.
    Other(ByteString),
}

impl Method {
    /// The method as it stands in a start line.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Cancel => "CANCEL",
            Self::Bye => "BYE",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Info => "INFO",
            Self::Update => "UPDATE",
            Self::Prack => "PRACK",
            Self::Refer => "REFER",
            Self::Notify => "NOTIFY",
            Self::Subscribe => "SUBSCRIBE",
            Self::Message => "MESSAGE",
            Self::Publish => "PUBLISH",
            Self::Other(text) => text,
        }
    }

    /// The known method written as `text`, or `None`. Case matters (RFC 3261 §7.1).
    pub fn known(text: &str) -> Option<Self> {
        Some(match text {
            "INVITE" => Self::Invite,
            "ACK" => Self::Ack,
            "CANCEL" => Self::Cancel,
            "BYE" => Self::Bye,
            "OPTIONS" => Self::Options,
            "REGISTER" => Self::Register,
            "INFO" => Self::Info,
            "UPDATE" => Self::Update,
            "PRACK" => Self::Prack,
            "REFER" => Self::Refer,
            "NOTIFY" => Self::Notify,
            "SUBSCRIBE" => Self::Subscribe,
            "MESSAGE" => Self::Message,
            "PUBLISH" => Self::Publish,
            _ => return None,
        })
    }

    /// The method written as `text`, known or not; `None` when that is no token.
    pub fn of(text: &str) -> Option<Self> {
        Self::known(text).or_else(|| super::is_token(text).then(|| Self::Other(ByteString::from(text))))
    }
}

impl From<&str> for Method {
    fn from(text: &str) -> Self {
        Self::known(text).unwrap_or_else(|| Self::Other(ByteString::from(text)))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
