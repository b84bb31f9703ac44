//! How numbers are written on a trunk, where that is not E.164: a carrier that wants national numbers, a PBX that dials
//! 0 for a line. What came is rewritten before it is read as a number, what leaves after all is decided.

use super::{Number, digits, unescape};
use regex::Regex;
use std::borrow::Cow;

/// The dial plan of a trunk: in each direction the first step that fits rewrites a number, the others do not.
#[derive(Clone, Debug, Default)]
pub struct DialPlan {
    /// For called and calling numbers that come from the trunk.
    pub inbound: Vec<Step>,
    /// For those that leave toward it.
    pub outbound: Vec<Step>,
}

/// One step: which numbers, and what becomes of them.
#[derive(Clone, Debug)]
pub struct Step {
    /// Which numbers it is for.
    pub fits: Fits,
    /// What stands in place of the prefix, or of what the expression matches, with its captures: `+49$1`.
    pub replacement: Box<str>,
}

/// Which numbers a step of a dial plan is for.
#[derive(Clone, Debug)]
pub enum Fits {
    /// Those that begin so.
    Prefix(Box<str>),
    /// Those that the expression matches.
    Pattern(Regex),
}

impl DialPlan {
    /// What is to be read where a trunk wrote `base`, the front of a user part: rewritten when it is digits, with or
    /// without `+`, separators taken out.
    pub(super) fn arriving<'a>(&self, base: &'a str) -> Cow<'a, str> {
        if self.inbound.is_empty() {
            return Cow::Borrowed(base);
        }
        let plain = match digits(base) {
            Ok((plus, digits)) => format!("{}{digits}", if plus { "+" } else { "" }),
            Err(_) => unescape(base).into_owned(),
        };
        match rewritten(&self.inbound, &plain) {
            Some(text) => Cow::Owned(text),
            None => Cow::Borrowed(base),
        }
    }

    /// The user part of a URI for `number` toward the trunk.
    pub fn leaving(&self, number: &Number) -> String {
        match rewritten(&self.outbound, &number.digits) {
            None => number.user_part(),
            Some(text) => match &number.extension {
                None => text,
                Some(extension) => format!("{text};ext={extension}"),
            },
        }
    }
}

/// `text` after the first step that fits. `None`: none does, or nothing that can stand in a URI would be left.
fn rewritten(steps: &[Step], text: &str) -> Option<String> {
    let text = steps.iter().find_map(|step| match &step.fits {
        Fits::Prefix(prefix) => text.strip_prefix(&**prefix).map(|rest| [&step.replacement, rest].concat()),
        Fits::Pattern(pattern) => {
            pattern.is_match(text).then(|| pattern.replace(text, &*step.replacement).into_owned())
        }
    })?;
    (!text.is_empty() && text.bytes().all(stands_in_number)).then(|| text.replace('#', "%23"))
}

/// Whether a dial plan may write `octet` into a number: it stands in a user part as it is, but for `#`.
pub fn stands_in_number(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"+-_.!~*'()#".contains(&octet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Uri;

    fn prefix(prefix: &str, replacement: &str) -> Step {
        Step { fits: Fits::Prefix(prefix.into()), replacement: replacement.into() }
    }

    fn pattern(pattern: &str, replacement: &str) -> Step {
        Step { fits: Fits::Pattern(Regex::new(pattern).unwrap()), replacement: replacement.into() }
    }

    #[test]
    fn what_a_pbx_dials_is_rewritten_before_it_is_read() {
        let inbound = vec![prefix("000", "+"), pattern("^00([1-9].*)$", "0$1"), pattern("^(1[0-9]{3})$", "+4969555$1")];
        let plan = DialPlan { inbound, outbound: Vec::new() };
        let read = |user: &str| {
            let uri = format!("sip:{user}@example.com");
            Number::planned(&Uri::parse(&uri).unwrap(), "49", &plan).map(|number| number.user_part())
        };
        assert_eq!(read("00014255550123"), Ok("+14255550123".to_owned()));
        assert_eq!(read("0069-55501007"), Ok("+496955501007".to_owned()), "separators are no part of it");
        assert_eq!(read("1007"), Ok("+49695551007".to_owned()));
        assert_eq!(read("1007;ext=12"), Ok("+49695551007;ext=12".to_owned()));
        assert_eq!(read("%2B14255550123"), Ok("+14255550123".to_owned()), "what no step fits is read as it came");
    }

    #[test]
    fn what_leaves_has_the_form_that_a_carrier_wants() {
        let number = |text: &str| Number::normalise(text, "49").unwrap();
        let outbound = vec![prefix("+49", "0"), prefix("+", "00")];
        let national = DialPlan { inbound: Vec::new(), outbound };
        assert_eq!(national.leaving(&number("+496955501007")), "06955501007");
        assert_eq!(national.leaving(&number("+14255550123;ext=7")), "0014255550123;ext=7");
        assert_eq!(national.leaving(&number("112")), "112");
        assert_eq!(DialPlan::default().leaving(&number("+14255550123")), "+14255550123");
        let spoilt = DialPlan { inbound: Vec::new(), outbound: vec![prefix("+49", "a b@"), prefix("+1425", "")] };
        assert_eq!(spoilt.leaving(&number("+496955501007")), "+496955501007", "which could not stand in a URI");
    }
}
