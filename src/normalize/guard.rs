//! The egress guard: the last look at what is about to leave.

use crate::sip::Message;
use crate::trunk::Trunk;
use std::fmt;

/// Why a message must not leave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejection {
    /// The rule that the platform would enforce: `TDR-55`.
    pub rule: &'static str,
    /// What is wrong, in words, with the value.
    pub text: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

/// Checks what is about to leave toward `to`. `Ok(None)`: it may leave as it is; `Ok(Some)`: it may leave so, repaired.
///
/// # Errors
///
/// [`Rejection`]: the platform is documented to reject it and there is no one right repair.
pub fn inspect(_to: &Trunk, _message: &Message) -> Result<Option<Message>, Rejection> {
    Ok(None)
}
