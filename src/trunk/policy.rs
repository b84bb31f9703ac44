//! What an operator lets a trunk see and say beyond its kind's rules: who is asserted, who forwarded, which further
//! header fields cross (TDR-62, 66, 119; GEN-58, 59, 65).

use std::sync::Arc;
use std::time::Duration;

/// What becomes of the identity that a trunk asserts in its calls (TDR-66).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AssertedIdentity {
    /// The far side gets an assertion of ours: the number that From shows.
    #[default]
    Rewrite,
    /// A generic far side gets what was asserted, as it came; the platforms want the number of From (GEN-57).
    Keep,
    /// The far side gets none.
    Strip,
    /// The asserted number becomes the caller, also where From shows another one or nobody: what the hub's ForwardPai
    /// is for (Teams only).
    Promote,
}

/// How a trunk hears who forwarded a call (TDR-119, GEN-59).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Forwarding {
    /// Not at all.
    None,
    /// In Diversion (RFC 5806). Between generic trunks whatever came passes as it is.
    Diversion,
    /// In History-Info (RFC 7044).
    HistoryInfo,
}

/// How a trunk gets user-to-user information (GEN-65).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UserToUserForm {
    /// Not at all.
    None,
    /// As it came.
    AsReceived,
    /// `User-to-User`, hex, the protocol discriminator in front of the data.
    Prefixed,
    /// `User-to-User`, hex, the protocol discriminator in `pd`.
    Discriminator,
    /// `x-User-to-User`, hex, without discriminator.
    Extension,
    /// `x-User-to-User`, as text; in hex where the data is no text.
    ExtensionText,
}

/// A name or a number, or the beginning of some.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wildcard {
    /// The text, without the `*` at its end.
    pub text: Arc<str>,
    /// Whether everything that begins so is meant.
    pub prefix: bool,
}

impl Wildcard {
    /// Reads `X-Acme-*` or `X-Acme-Site`.
    pub fn new(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(front) => Self { text: Arc::from(front), prefix: true },
            None => Self { text: Arc::from(text), prefix: false },
        }
    }

    /// Whether `text` is meant, in any case.
    pub fn matches(&self, text: &str) -> bool {
        match text.get(..self.text.len()) {
            Some(front) => front.eq_ignore_ascii_case(&self.text) && (self.prefix || front.len() == text.len()),
            None => false,
        }
    }
}

/// The operator's keys of a trunk that say what crosses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// What becomes of the identity that it asserts.
    pub asserted_identity: AssertedIdentity,
    /// Whether it is trusted with the number of an anonymous caller, in P-Asserted-Identity beside Privacy
    /// (RFC 3325 §7, GEN-58), and with who forwarded a call privately.
    pub trusted_delivery: bool,
    /// Further header fields of INVITEs that it gets (TDR-62).
    pub pass: Vec<Wildcard>,
    /// How it gets user-to-user information.
    pub user_to_user: UserToUserForm,
    /// How it hears who forwarded a call.
    pub forwarding: Forwarding,
    /// Called numbers, with `+`, whose calls go straight to the user's voicemail (Teams only, TDR-164).
    pub voicemail: Vec<Wildcard>,
    /// After how long a caller of this trunk hears that it rings, though the far side says nothing (TDR-71);
    /// `None`: not before the far side says so.
    pub progress_after: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            asserted_identity: AssertedIdentity::Rewrite,
            trusted_delivery: false,
            pass: Vec::new(),
            user_to_user: UserToUserForm::None,
            forwarding: Forwarding::Diversion,
            voicemail: Vec::new(),
            progress_after: None,
        }
    }
}

impl Policy {
    /// Whether the operator lets header fields of this name cross to it.
    pub fn passes(&self, name: &str) -> bool {
        self.pass.iter().any(|pass| pass.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_means_what_begins_so_in_any_case() {
        let (all, one) = (Wildcard::new("X-Acme-*"), Wildcard::new("X-Acme-Site"));
        assert!(all.matches("x-acme-site") && all.matches("X-ACME-") && one.matches("x-acme-site"));
        assert!(!all.matches("X-Acme") && !one.matches("X-Acme-Site-2") && !one.matches("X-Acme") && !one.matches("ä"));
    }
}
