//! Who proves what to whom by a shared secret (RFC 3261 §22, RFC 7616, RFC 8760; GEN-25 to 27).
//!
//! - [`Authentication`]: we ask. A trunk's INVITEs have to carry the right Digest; nothing of a challenge is kept,
//!   since its nonce says by itself when it was made and by whom ([`NonceKey`]).
//! - [`Account`]: we are asked. [`Sessions`] answers the challenges of a trunk, and answers ahead of being asked
//!   as long as a nonce holds.
//! - [`RequiredHeader`]: a header field with a token that only the platform knows (GEN-27).
//!
//! When a request is asked for proof, and sent again after a challenge, is the business of
//! [`screen`](crate::screen) and [`call`](crate::call). No secret is ever printed.

mod answer;
mod ask;
mod nonce;

pub use answer::{Account, Lines, Said, Sessions};
pub use ask::{Attempts, Authentication, Verdict, Why};
pub use nonce::NonceKey;

use crate::sip::Message;
use bytes::{Bytes, BytesMut};
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// A password, a token, or what is as good as one. Printing it shows nothing.
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The secret itself, to be hashed.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `text` is it; how much of it is right does not show in how long that takes.
    pub fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// A header field that a trunk's INVITEs have to carry with this value, and that nobody else gets to see (GEN-27).
#[derive(Clone, Debug)]
pub struct RequiredHeader {
    /// Its name; none that the core knows.
    pub name: Arc<str>,
    /// Its value.
    pub value: Secret,
}

impl RequiredHeader {
    /// Whether the message carries it, once and with the right value.
    pub fn fits(&self, message: &Message) -> bool {
        let mut values = message.extension(&self.name);
        matches!((values.next(), values.next()), (Some(value), None) if self.value.is(value))
    }

    /// `octets` as they may be shown: asterisks wherever the value stands.
    pub fn hide(&self, octets: Bytes) -> Bytes {
        let value = self.value.reveal().as_bytes();
        let places: Vec<usize> = memchr::memmem::find_iter(&octets, value).collect();
        if places.is_empty() || value.is_empty() {
            return octets;
        }
        let mut shown = BytesMut::from(&octets[..]);
        for at in places {
            shown[at..at + value.len()].fill(b'*');
        }
        shown.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn invite(lines: &str) -> Message {
        let text = format!(
            "INVITE sip:+14255550123@sbc1.example.com SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.7;branch=z9hG4bK1\r\n\
             From: <sip:+14255550144@example.com>;tag=1\r\nTo: <sip:+14255550123@sbc1.example.com>\r\nCall-ID: 1\r\n\
             CSeq: 7 INVITE\r\n{lines}Content-Length: 3\r\n\r\nv=0"
        );
        Message::parse(Bytes::from(text)).expect("parses")
    }

    #[test]
    fn no_secret_is_printed() {
        let header = RequiredHeader { name: "X-Acme-Token".into(), value: Secret::new("hunter2") };
        let account = Account { username: "a".into(), password: Secret::new("hunter2"), realm: None };
        let key = NonceKey::new([7; 32]);
        let printed = format!("{header:?} {account:?} {key:?} {:?}", Secret::new("hunter2"));
        assert!(!printed.contains("hunter2") && !printed.contains('7'), "{printed}");
    }

    #[test]
    fn a_token_has_to_be_there_once_and_right_gen_27() {
        let header = RequiredHeader { name: "X-Acme-Token".into(), value: Secret::new("hunter2") };
        for (lines, fits) in [
            ("x-acme-token: hunter2\r\n", true),
            ("X-Acme-Token: hunter\r\n", false),
            ("X-Acme-Token: Hunter2\r\n", false),
            ("X-Acme-Token: hunter2\r\nX-Acme-Token: hunter2\r\n", false),
            ("", false),
        ] {
            let invite = invite(lines);
            assert_eq!(header.fits(&invite), fits, "{lines}");
            let shown = header.hide(invite.octets());
            assert_eq!(shown.len(), invite.octets().len());
            assert!(!String::from_utf8_lossy(&shown).contains("hunter2"));
        }
    }
}
