//! What of a message an operator's rule may touch, and what is machinery.

use crate::sip::{Field, Keeper, Name, is_token, keeper};

/// A part of a message that a rule reads or writes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// A header field by its name.
    Header(Field),
    /// `request-uri`
    RequestUri,
    /// `from-uri`
    FromUri,
    /// `from-display`
    FromDisplay,
    /// `to-uri`
    ToUri,
    /// `to-display`
    ToDisplay,
}

/// The parts that are no header field, by the names that a configuration gives them.
pub const PARTS: [(&str, Target); 5] = [
    ("request-uri", Target::RequestUri),
    ("from-uri", Target::FromUri),
    ("from-display", Target::FromDisplay),
    ("to-uri", Target::ToUri),
    ("to-display", Target::ToDisplay),
];

impl Target {
    /// Reads the name of a header field or of one of [`PARTS`].
    ///
    /// # Errors
    ///
    /// In words, when it is no name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some((_, part)) = PARTS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            return Ok(part.clone());
        }
        if is_token(text) {
            return Ok(Self::Header(Field::from(text)));
        }
        let parts: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
        Err(format!("`{text}` is no name of a header field, nor one of {}", parts.join(", ")))
    }

    /// As a configuration writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Header(field) => field.as_str(),
            part => PARTS.iter().find(|(_, own)| own == part).map_or("", |(name, _)| name),
        }
    }

    /// Whether it is there in the INVITE that begins a call only: afterwards the parties are agreed (RFC 3261 §12.2).
    pub fn initial_only(&self) -> bool {
        !matches!(self, Self::Header(_))
    }

    /// Why a rule may not write it; `None`: it may.
    pub fn denied(&self) -> Option<&'static str> {
        let Self::Header(field) = self else { return None };
        match field {
            Field::Known(name) => machinery(*name),
            Field::Extension(name) => reserved(name),
        }
    }
}

/// What keeps dialogs, transactions and the body together, and is nobody's to change.
fn machinery(name: Name) -> Option<&'static str> {
    match name {
        Name::Via
        | Name::CallId
        | Name::CSeq
        | Name::MaxForwards
        | Name::Route
        | Name::RecordRoute
        | Name::Timestamp => Some("it holds the transaction and the dialog together"),
        Name::From | Name::To => {
            Some("write from-uri, from-display, to-uri or to-display: the tag is not yours to change")
        }
        Name::Contact => Some("it is our name toward the trunk (TDR-44, TDR-53, GEN-24)"),
        Name::ContentLength
        | Name::ContentType
        | Name::ContentEncoding
        | Name::ContentDisposition
        | Name::MimeVersion => Some("it describes the body"),
        Name::Allow | Name::Supported | Name::Unsupported | Name::Require | Name::ProxyRequire | Name::AllowEvents => {
            Some("it says what Tandem can do (TDR-56, TDR-57)")
        }
        Name::SessionExpires | Name::MinSe | Name::Expires | Name::MinExpires | Name::RSeq | Name::RAck => {
            Some("a timer or a sequence hangs on it")
        }
        Name::Authorization | Name::ProxyAuthorization | Name::WwwAuthenticate | Name::ProxyAuthenticate => {
            Some("credentials are configured in the trunk")
        }
        Name::Replaces | Name::ReferTo | Name::ReferredBy | Name::ReferSub | Name::Event | Name::SubscriptionState => {
            Some("transfers hang on it (TDR-58, TDR-103)")
        }
        _ => None,
    }
}

/// Names that a platform keeps for itself (GEN-61, GEN-63, TDR-61, TDR-150).
fn reserved(name: &str) -> Option<&'static str> {
    match keeper(name)? {
        Keeper::Genesys => Some("Genesys keeps names that begin so for itself (GEN-63)"),
        Keeper::Microsoft if name.eq_ignore_ascii_case("X-MS-SBC") => Some("it is the trunk's: x_ms_sbc (TDR-61)"),
        Keeper::Microsoft => Some("Microsoft keeps names that begin so for itself (TDR-150)"),
        Keeper::Tandem => Some("Tandem finds calls that go in a circle by it (GEN-79)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_form() {
        for (text, expected) in [("t", "To"), ("x-acme", "x-acme"), ("From-URI", "from-uri"), ("Subject", "Subject")] {
            assert_eq!(Target::parse(text).unwrap().as_str(), expected);
        }
        assert!(Target::parse("X Acme").is_err() && Target::parse("").is_err());
    }

    #[test]
    fn machinery_and_reserved_names_are_not_the_operator_s_gen_63_tdr_150() {
        for name in [
            "Via",
            "v",
            "Call-ID",
            "CSeq",
            "l",
            "Contact",
            "To",
            "Require",
            "x-inin-cnv",
            "X-MS-SBC",
            "X-Genesys-A",
            "X-Tandem-Hops",
        ] {
            assert!(Target::parse(name).unwrap().denied().is_some(), "{name}");
        }
        for name in ["Subject", "X-Acme", "P-Asserted-Identity", "Diversion", "from-uri", "request-uri", "Reason"] {
            assert_eq!(Target::parse(name).unwrap().denied(), None, "{name}");
        }
    }
}
