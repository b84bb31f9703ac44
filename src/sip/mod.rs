//! The SIP language: octets in, facts out, octets out again (RFC 3261 §7, §18.3, §19, §20, §25).
//!
//! - [`Framer`] splits a stream into messages; a datagram is one.
//! - [`Message`] indexes one without copying; [`Name`] and [`Method`] are its vocabulary.
//! - Typed values ([`Uri`], [`NameAddr`], [`Via`], [`Params`], …) are decoded when asked for.
//! - [`sdp`] reads and edits session descriptions line by line.
//! - [`Edits`] and [`Draft`] write what leaves, in one pass.
//!
//! Nothing here knows calls, peers or platforms.

mod edit;
mod framing;
mod message;
mod method;
mod name;

pub use edit::{Draft, Edits, Field};
pub use framing::{Frame, Framer, FramingError, MAX_HEAD, MAX_MESSAGE};
pub use message::{CSeq, HeaderLine, MAX_LINES, Malformed, Message, Rejected, is_token, split_list};
pub use method::Method;
pub use name::Name;

/// x
pub fn tag(_: &str) -> Option<&str> {
    None
}
/// x
pub struct Via;
impl Via {
    /// x
    pub fn received_from() {}
}
