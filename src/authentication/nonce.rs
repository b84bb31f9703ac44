//! Nonces that say by themselves whose they are, how old, and how often their client has failed.
//!
//! ```text
//! 2 digits: failures before it │ 12: when, milliseconds since the Unix epoch │ 8: random │ 32: HMAC-SHA-256 over the others and the realm
//! ```
//!
//! Any worker and node with the key can check one (design: Identifiers). The realm keeps those of one trunk from
//! being used on another.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt::{self, Write};
use subtle::ConstantTimeEq;

/// What nonces are made with; all workers have the same.
#[derive(Clone)]
pub struct NonceKey([u8; 32]);

/// What a nonce of ours says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Nonce {
    /// How many wrong answers led to it.
    pub(super) failures: u8,
    /// When it was made, milliseconds since the Unix epoch.
    pub(super) made_ms: u64,
}

/// Where the HMAC begins.
const SIGNED: usize = 2 + 12 + 8;

/// The octets of the HMAC that are kept: 128 bits are not guessed in the life of a nonce.
const KEPT: usize = 16;

impl NonceKey {
    /// A key of 32 octets from a generator that nobody can predict.
    pub fn new(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// A nonce made now. `random` makes two of one millisecond differ.
    pub(super) fn mint(&self, realm: &str, nonce: Nonce, random: u64) -> String {
        let (made_ms, random) = (nonce.made_ms & 0xffff_ffff_ffff, random & 0xffff_ffff);
        let mut text = format!("{:02x}{made_ms:012x}{random:08x}", nonce.failures);
        for octet in self.mac(realm, &text) {
            // Writing into a String cannot fail.
            let _ = write!(text, "{octet:02x}");
        }
        text
    }

    /// What a nonce says; `None`: it is none of ours.
    pub(super) fn read(&self, realm: &str, text: &str) -> Option<Nonce> {
        let (signed, mac) = text.split_at_checked(SIGNED)?;
        let expected = self.mac(realm, signed).iter().fold(String::new(), |mut text, octet| {
            let _ = write!(text, "{octet:02x}");
            text
        });
        if !bool::from(expected.as_bytes().ct_eq(mac.as_bytes())) {
            return None;
        }
        let failures = u8::from_str_radix(signed.get(..2)?, 16).ok()?;
        let made_ms = u64::from_str_radix(signed.get(2..14)?, 16).ok()?;
        Some(Nonce { failures, made_ms })
    }

    fn mac(&self, realm: &str, text: &str) -> [u8; KEPT] {
        let mut kept = [0; KEPT];
        // HMAC takes keys of any length.
        if let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0) {
            mac.update(text.as_bytes());
            mac.update(realm.as_bytes());
            let whole = mac.finalize().into_bytes();
            kept.copy_from_slice(&whole[..KEPT]);
        }
        kept
    }
}

impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_known_by_its_key_and_realm_alone() {
        let (key, nonce) = (NonceKey::new([1; 32]), Nonce { failures: 2, made_ms: 1_764_000_000_123 });
        let text = key.mint("sbc1.example.com", nonce, 9);
        assert_eq!(text.len(), SIGNED + 2 * KEPT);
        assert_eq!(NonceKey::new([1; 32]).read("sbc1.example.com", &text), Some(nonce));
        assert_eq!(NonceKey::new([2; 32]).read("sbc1.example.com", &text), None);
        assert_eq!(key.read("other.example.com", &text), None);
        assert_ne!(key.mint("sbc1.example.com", nonce, 10), text);
        for spoilt in ["", "00", &text[1..], &text.replace('0', "1"), &format!("{text}0"), "äöü"] {
            assert_eq!(key.read("sbc1.example.com", spoilt), None, "{spoilt}");
        }
    }
}
