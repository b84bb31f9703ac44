//! Telephone numbers: from what a URI or a file says to E.164, and back (RFC 3966, TDR-47, 68, 130 to 133, GEN-19, 20, 89).
//!
//! A [`Number`] is what routing compares: `+` and digits, or a short code of at most five digits that
//! keeps its form. It is made from the user part of a URI or from a line of a file by the dial plan of
//! the configured country. [`Pattern`] is the operator's way to name numbers in a route.
//!
//! Numbers are personal data: printing one with `{:?}` shows its end only. What goes on the wire takes
//! [`user_part`](Number::user_part).

mod countries;
mod emergency;
mod plan;

use crate::pii::Pii;
use crate::sip::{Scheme, Uri};
use bytestring::ByteString;
use std::borrow::Cow;
use std::fmt;

pub use countries::{calling_code, calling_codes};
pub use emergency::emergency_numbers;
pub use plan::{DialPlan, Fits, Step, stands_in_number};

/// The most digits of a number. E.164 has 15; number plans of Genesys reach 20 (GEN-89).
pub const MAX_DIGITS: usize = 20;

/// The most digits of a number without `+` that is left as it is (GEN-89).
pub const SHORT_DIGITS: usize = 5;

/// A telephone number in the form that routes and the directory compare.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Serialize, serde::Deserialize)]
pub struct Number {
    /// `+` and 1 to [`MAX_DIGITS`] digits, or a short code: 1 to [`SHORT_DIGITS`] digits without `+`.
    pub digits: ByteString,
    /// The digits of `;ext=`: one of several that share a base number (TDR-47).
    pub extension: Option<ByteString>,
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Pii::new(&*self.digits), f)
    }
}

/// Why text is not a number.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum NumberError {
    /// There is no digit.
    #[error("number without digits")]
    Empty,
    /// A character that no number has, or a country code that begins with 0.
    #[error("not a telephone number")]
    NotANumber,
    /// More than [`MAX_DIGITS`] digits.
    #[error("number too long")]
    TooLong,
}

impl Number {
    /// Reads the user part of a URI, or a number as people write it.
    ///
    /// `user` may carry escapes (`%2B49…`), visual separators (`-`, `.`, `(`, `)`, blanks) and the
    /// parameters `;ext=` and `;phone-context=` (RFC 3966 §5); other parameters (`;tgrp=`) are passed
    /// over. `country_code` is the calling code of numbers without `+`, digits only; empty: such a
    /// number is taken for an international one that lost its `+` (GEN-19).
    ///
    /// # Errors
    ///
    /// [`NumberError`] says what is wrong with it.
    pub fn normalise(user: &str, country_code: &str) -> Result<Self, NumberError> {
        let mut parts = user.split(';');
        let base = parts.next().unwrap_or("");
        let (mut extension, mut context) = (None, None);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if name.eq_ignore_ascii_case("ext") {
                extension = Some(value);
            } else if name.eq_ignore_ascii_case("phone-context") {
                context = Some(value);
            }
        }
        Self::read(base, extension, context, country_code)
    }

    /// Reads the number that a `sip:` or `tel:` URI names.
    ///
    /// An extension counts in the user part, and behind the host where some write it (TDR-47).
    ///
    /// # Errors
    ///
    /// [`NumberError::Empty`] without a user part; [`NumberError::NotANumber`] also for other schemes.
    pub fn of_uri(uri: &Uri<'_>, country_code: &str) -> Result<Self, NumberError> {
        Self::planned(uri, country_code, &DialPlan::default())
    }

    /// The same, on a trunk with a dial plan.
    ///
    /// # Errors
    ///
    /// As [`of_uri`](Self::of_uri).
    pub fn planned(uri: &Uri<'_>, country_code: &str, plan: &DialPlan) -> Result<Self, NumberError> {
        match uri.scheme() {
            Scheme::Sip | Scheme::Sips | Scheme::Tel => {}
            Scheme::Other(_) => return Err(NumberError::NotANumber),
        }
        let user = uri.user().ok_or(NumberError::Empty)?;
        let extension = uri.user_params().get("ext").or_else(|| uri.params().get("ext"));
        let context = uri.user_params().get("phone-context");
        Self::read(&plan.arriving(user), extension, context, country_code)
    }

    fn read(
        base: &str,
        extension: Option<&str>,
        context: Option<&str>,
        country_code: &str,
    ) -> Result<Self, NumberError> {
        let (plus, digits) = digits(base)?;
        if digits.is_empty() {
            return Err(NumberError::Empty);
        }
        if digits.len() > MAX_DIGITS {
            return Err(NumberError::TooLong);
        }
        // A context that begins with `+` is the front of the number (RFC 3966 §5.1.5); a domain says
        // whose plan it is, and the only plan known here is our own.
        let front = context.map(unescape).filter(|context| context.starts_with('+'));
        let number = match (plus, front) {
            (true, _) => ["+", &digits].concat(),
            (false, Some(front)) => format!("+{}{digits}", self::digits(&front)?.1),
            (false, None) if digits.len() <= SHORT_DIGITS => digits,
            (false, None) => countries::international(&digits, country_code),
        };
        if number.len() > MAX_DIGITS + 1 {
            return Err(NumberError::TooLong);
        }
        if number.starts_with("+0") {
            return Err(NumberError::NotANumber);
        }
        let extension = match extension.map(self::digits).transpose()? {
            None => None,
            Some((false, digits)) if (1..=MAX_DIGITS).contains(&digits.len()) => Some(ByteString::from(digits)),
            // Ringing the base number instead would ring somebody else.
            Some(_) => return Err(NumberError::NotANumber),
        };
        Ok(Self { digits: ByteString::from(number), extension })
    }

    /// The number without its extension.
    pub fn as_str(&self) -> &str {
        &self.digits
    }

    /// Whether the number is a short code, which has no `+`.
    pub fn is_short(&self) -> bool {
        !self.digits.starts_with('+')
    }

    /// The user part of a URI for this number: `+14255550100;ext=1001` (TDR-47).
    pub fn user_part(&self) -> String {
        match &self.extension {
            None => self.digits.to_string(),
            Some(extension) => format!("{};ext={extension}", self.digits),
        }
    }
}

/// Takes `text` apart into whether it begins with `+`, and its digits without separators.
fn digits(text: &str) -> Result<(bool, String), NumberError> {
    let text = unescape(text);
    let text = text.trim();
    let (plus, rest) = match text.strip_prefix('+') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut digits = String::with_capacity(rest.len());
    for character in rest.chars() {
        match character {
            '0'..='9' => digits.push(character),
            '-' | '.' | '(' | ')' | ' ' | '/' | '\u{a0}' => {}
            _ => return Err(NumberError::NotANumber),
        }
    }
    Ok((plus, digits))
}

/// `text` with its `%` escapes resolved; an escape that is none stays.
fn unescape(text: &str) -> Cow<'_, str> {
    if text.contains('%') { Uri::unescape(text) } else { Cow::Borrowed(text) }
}

/// Which numbers an operator means: one, or all that begin alike.
#[derive(Clone, Eq, Hash, PartialEq)]
pub enum Pattern {
    /// One number. A short code also stands for itself behind `+`: `911` is `+911` (TDR-133).
    Exact(ByteString),
    /// All numbers that begin so: `+4969123*`. A text without `+` means short codes only.
    Prefix(ByteString),
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => fmt::Display::fmt(&Pii::new(&**text), f),
            Self::Prefix(text) => write!(f, "{text}*"),
        }
    }
}

/// Why text is not a [`Pattern`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// Something else than `+`, digits, separators and one `*` at the end.
    #[error("a pattern is `+` and digits, with `*` at the end for all numbers that begin so")]
    Malformed,
    /// More than [`SHORT_DIGITS`] digits without `+`: could be read in more than one way.
    #[error("write the number with `+` and country code; only short codes of at most 5 digits go without")]
    WithoutPlus,
}

impl Pattern {
    /// Reads `+4969123*`, `+496912345000` or `112`.
    ///
    /// # Errors
    ///
    /// [`PatternError`] says what to write instead.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (text, prefix) = match text.trim().strip_suffix('*') {
            Some(text) => (text, true),
            None => (text.trim(), false),
        };
        let (plus, digits) = digits(text).map_err(|_| PatternError::Malformed)?;
        if digits.is_empty() && !(plus && prefix) || digits.len() > MAX_DIGITS || plus && digits.starts_with('0') {
            return Err(PatternError::Malformed);
        }
        if !plus && digits.len() > SHORT_DIGITS {
            return Err(PatternError::WithoutPlus);
        }
        let text = ByteString::from(if plus { format!("+{digits}") } else { digits });
        Ok(if prefix { Self::Prefix(text) } else { Self::Exact(text) })
    }

    /// Whether `number` is meant, whatever its extension.
    pub fn matches(&self, number: &Number) -> bool {
        match self {
            Self::Exact(text) if text.starts_with('+') => *text == number.digits,
            Self::Exact(text) => *number.digits.strip_prefix('+').unwrap_or(&number.digits) == **text,
            Self::Prefix(text) => number.digits.starts_with(&**text),
        }
    }

    /// Whether every number that `other` means is meant by this pattern too.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(own), Self::Exact(other)) => own == other,
            (Self::Exact(_), Self::Prefix(_)) => false,
            // A short code matches behind `+` too, which a prefix without `+` does not.
            (Self::Prefix(own), Self::Exact(other)) => own.starts_with('+') && other.starts_with(&**own),
            (Self::Prefix(own), Self::Prefix(other)) => other.starts_with(&**own),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(user: &str, country: &str) -> String {
        Number::normalise(user, country).map_or_else(|error| format!("{error:?}"), |number| number.user_part())
    }

    #[test]
    fn numbers_become_e164_by_the_plan_of_the_country() {
        for (user, country, expected) in [
            // GEN-18, TDR-130: as it should be.
            ("+496955501007", "49", "+496955501007"),
            ("+14255550123", "", "+14255550123"),
            // GEN-20: escapes; people write separators.
            ("%2B4969555010", "49", "+4969555010"),
            ("+1-425-555-0123", "49", "+14255550123"),
            ("+1 (425) 555.0123", "49", "+14255550123"),
            // GEN-19: the trunk omits the `+`.
            ("496955501007", "49", "+496955501007"),
            ("14255550123", "49", "+14255550123"),
            ("496955501007", "", "+496955501007"),
            // TDR-68: national forms.
            ("069555010", "49", "+4969555010"),
            ("004969555010", "49", "+4969555010"),
            ("0014255550123", "49", "+14255550123"),
            ("4255550123", "1", "+14255550123"),
            ("14255550123", "1", "+14255550123"),
            ("0114969555010", "1", "+4969555010"),
            ("4969555010", "1", "+14969555010"),
            ("496955501007", "1", "+496955501007"),
            ("0655501000", "39", "+390655501000"),
            ("912345678", "34", "+34912345678"),
            ("34912345678", "34", "+34912345678"),
            ("001114255550123", "61", "+14255550123"),
            ("0255501000", "61", "+61255501000"),
            ("88005550100", "7", "+78005550100"),
        ] {
            assert_eq!(read(user, country), expected, "{user} in {country:?}");
        }
    }

    #[test]
    fn short_codes_stay_as_they_are_gen_89_tdr_131() {
        for code in ["911", "112", "0123", "1001", "55555"] {
            assert_eq!(read(code, "49"), code);
        }
        assert_eq!(read("+1001", "49"), "+1001");
        assert_eq!(read("+911", "1"), "+911");
    }

    #[test]
    fn extensions_stay_in_the_user_part_tdr_47() {
        assert_eq!(read("+14255550100;ext=1001", "1"), "+14255550100;ext=1001");
        assert_eq!(read("4255550100;EXT=10-01;tgrp=x", "1"), "+14255550100;ext=1001");
        assert_eq!(read("+14255550100;ext=abc", "1"), "NotANumber");
        assert_eq!(read("+14255550100;ext=", "1"), "NotANumber");
    }

    #[test]
    fn uris_name_numbers_tdr_47_tdr_132_gen_20() {
        for (uri, expected) in [
            ("sip:+14255550100;ext=1001@sbc1.example.com;user=phone", "+14255550100;ext=1001"),
            ("sip:+14255550100@sbc1.example.com;ext=1001", "+14255550100;ext=1001"),
            ("tel:+14255550100;ext=1001", "+14255550100;ext=1001"),
            ("tel:555010;phone-context=+4969", "+4969555010"),
            ("tel:069555010;phone-context=example.com", "+4969555010"),
            ("sip:+496955501007@sbc1.example.com:5061;transport=tls;language=en-US", "+496955501007"),
            ("sip:+496955501007;tgrp=a;trunk-context=b@sbc1.example.com;cause=302", "+496955501007"),
            ("sip:sbc1.example.com", "Empty"),
            ("sip:alice@sbc1.example.com", "NotANumber"),
            ("urn:service:sos", "NotANumber"),
        ] {
            let uri = Uri::parse(uri).unwrap();
            let found = Number::of_uri(&uri, "49").map_or_else(|error| format!("{error:?}"), |found| found.user_part());
            assert_eq!(found, expected, "{}", uri.as_str());
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for (user, expected) in [
            ("", "Empty"),
            ("+", "Empty"),
            ("--", "Empty"),
            ("alice", "NotANumber"),
            ("*31#", "NotANumber"),
            ("+0123456", "NotANumber"),
            ("++14255550123", "NotANumber"),
            ("%zz", "NotANumber"),
            ("123456789012345678901", "TooLong"),
        ] {
            assert_eq!(read(user, "49"), expected, "{user:?}");
        }
    }

    #[test]
    fn patterns_name_one_number_or_all_that_begin_alike() {
        let number = |text: &str| Number::normalise(text, "49").unwrap();
        for (pattern, yes, no) in [
            ("+4969123*", "+496912345000", "+496922345000"),
            ("+496912345000", "+496912345000", "+4969123450001"),
            ("+49 69 123*", "069123456", "069223456"),
            ("+*", "+14255550123", "112"),
            ("911", "+911", "9111"),
            ("911", "911", "+9111"),
            ("1*", "1001", "+14255550123"),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            assert!(pattern.matches(&number(yes)), "{pattern:?} {yes}");
            assert!(!pattern.matches(&number(no)), "{pattern:?} {no}");
        }
        assert!(Pattern::parse("+14255550100").unwrap().matches(&number("+14255550100;ext=7")));
        for (text, error) in [
            ("", PatternError::Malformed),
            ("*", PatternError::Malformed),
            ("+49*69", PatternError::Malformed),
            ("+0*", PatternError::Malformed),
            ("directory", PatternError::Malformed),
            ("4969123*", PatternError::WithoutPlus),
        ] {
            assert_eq!(Pattern::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_pattern_knows_what_it_leaves_for_later_routes() {
        let pattern = |text| Pattern::parse(text).unwrap();
        assert!(pattern("+49*").covers(&pattern("+4969123*")));
        assert!(pattern("+49*").covers(&pattern("+4969555010")));
        assert!(!pattern("+4969123*").covers(&pattern("+49*")));
        assert!(!pattern("1*").covers(&pattern("112")), "112 means +112 too");
    }

    #[test]
    fn printing_a_number_shows_its_end_only() {
        assert_eq!(format!("{:?}", Number::normalise("+14255550123", "").unwrap()), "…23");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_every_number_reads_as_itself(user in "[+0-9%;=a-z(). -]{0,30}|\\PC{0,30}", country in "|1|39|49|7|34") {
            if let Ok(number) = Number::normalise(&user, &country) {
                prop_assert_eq!(Number::normalise(&number.user_part(), &country), Ok(number));
            }
            let _ = Pattern::parse(&user);
        }
    }
}
