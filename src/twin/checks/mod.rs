//! What the platforms demand of a message, one function per rule or group of rules.
//!
//! - [`wire`]: what any message must be (TDR-60, RFC 3261 §7 and §8.1.1).
//! - [`hub`]: what Teams demands of requests and responses (TDR).
//! - [`genesys`]: what Genesys demands (GEN).
//! - [`dialog`]: sequence, tags, route set and remote target of requests within a dialog.
//! - [`response`]: what a response owes to its request.
//! - [`description`]: what an SDP has to be.
//!
//! Each is a pure function from octets already taken apart to the rules broken.

pub mod description;
pub mod dialog;
pub mod genesys;
pub mod hub;
pub mod response;
pub mod wire;

use std::fmt;

/// A rule that a message broke.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Breach {
    /// The rule's name: `TDR-44`, `GEN-40`, or a section such as `RFC 3261 §12.2.1.1`.
    pub rule: &'static str,
    /// What is wrong, with the value that is wrong.
    pub text: String,
    /// The status with which the platform refuses such a request; `None` where it is not documented
    /// to refuse, and for responses.
    pub status: Option<u16>,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)?;
        self.status.map_or(Ok(()), |status| write!(f, " ({status})"))
    }
}

/// Collects breaches.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub(crate) Vec<Breach>);

impl Findings {
    /// Notes a breach unless `holds`; the platform refuses the request with `status`.
    pub(crate) fn refuse(&mut self, holds: bool, rule: &'static str, status: u16, text: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Breach { rule, text: text(), status: Some(status) });
        }
    }

    /// Notes a breach unless `holds`; the platform is not documented to refuse it.
    pub(crate) fn note(&mut self, holds: bool, rule: &'static str, text: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Breach { rule, text: text(), status: None });
        }
    }
}

/// The status to refuse with: that of the first breach that has one.
pub fn refusal(breaches: &[Breach]) -> Option<&Breach> {
    breaches.iter().find(|breach| breach.status.is_some())
}

/// Whether `text` is a global number: `+`, then 4 to 15 digits of which the first is not 0
/// (TDR-48; short ones by TDR-131).
pub(crate) fn is_global(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or("");
    (4..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|octet| octet.is_ascii_digit())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::twin::octets::Plain;

    /// The rules that `breaches` name, for comparison.
    pub(crate) fn rules(breaches: &[Breach]) -> Vec<&'static str> {
        breaches.iter().map(|breach| breach.rule).collect()
    }

    /// A message with one piece of text replaced; the piece must be there.
    pub(crate) fn with(message: &str, old: &str, new: &str) -> Plain {
        assert!(message.contains(old), "{old:?} is not in the message");
        Plain::read(message.replacen(old, new, 1).as_bytes()).expect("reads")
    }

    #[test]
    fn global_numbers_begin_with_plus_and_have_digits_only() {
        for (text, expected) in [
            ("+14255550123", true),
            ("+1001", true),
            ("14255550123", false),
            ("+0123", false),
            ("+1-425", false),
            ("", false),
        ] {
            assert_eq!(is_global(text), expected, "{text}");
        }
    }
}
