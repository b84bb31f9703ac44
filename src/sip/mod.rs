//! The SIP language: octets in, facts out, octets out again (RFC 3261 §7, §18.3, §19, §20, §25).
//!
//! - [`Framer`] splits a stream into messages; a datagram is one.
//! - [`Message`] indexes one without copying; [`Name`] and [`Method`] are its vocabulary.
//! - Typed values ([`Uri`], [`NameAddr`], [`Via`], [`Params`], …) are decoded when asked for.
//! - [`sdp`] reads and edits session descriptions line by line.
//! - [`Edits`] and [`Draft`] write what leaves, in one pass.
//!
//! Nothing here knows calls, peers or platforms.

mod address;
mod auth;
pub mod digest;
mod edit;
mod essentials;
mod framing;
mod index;
mod message;
mod method;
mod name;
mod part;
mod place;
mod reserved;
pub mod sdp;
mod text;
mod uri;
mod values;
mod via;

pub use address::{NameAddr, tag};
pub use auth::{Challenge, Credentials};
pub use edit::{Draft, Edits, Field};
pub use essentials::{Essentials, Unreadable};
pub use framing::{Frame, Framer, FramingError, MAX_HEAD, MAX_MESSAGE};
pub use message::{CSeq, HeaderLine, MAX_LINES, Malformed, Message, Rejected, split_list};
pub use method::Method;
pub use name::Name;
pub use part::{is_media_type, media_type, sdp_part, with_sdp};
pub use place::place;
pub use reserved::{Keeper, keeper};
pub use text::{Params, ValueError, decimal, is_token, legible, quote, unquote};
pub use uri::{Scheme, Uri, host_ip};
pub use values::{
    Diversion, HistoryInfo, RAck, Reason, Refresher, Replaces, SessionExpires, UserToUser, has_option, option_tags,
    privacy, reasons,
};
pub use via::{Via, top_via};
