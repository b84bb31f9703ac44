//! Whether a number that an operator writes can exist: the numbering plans of the countries, from the `phonenumber`
//! crate. What it doubts is a warning and never more: plans change, and a private number may be any.

use crate::number::{Number, Pattern, calling_codes};

/// Numbers of no more digits, with `+` or without, are a company's own and follow no plan (TDR-131).
const INTERNAL: usize = 6;

/// What is wrong with `number` by the numbering plan of its country; `None`: nothing, or it follows none.
pub(super) fn doubt(number: &Number) -> Option<&'static str> {
    let digits = number.as_str().strip_prefix('+').filter(|digits| digits.len() > INTERNAL)?;
    if !is_called(digits) {
        return Some("no country has this calling code");
    }
    match phonenumber::parse(None, number.as_str()) {
        Ok(parsed) if parsed.is_valid() => None,
        Ok(_) | Err(_) => Some("no number of its country has this form"),
    }
}

/// The same for the numbers that a pattern means: of those that begin alike, whether any country is meant.
pub(super) fn doubt_of(pattern: &Pattern) -> Option<&'static str> {
    match pattern {
        Pattern::Exact(text) => doubt(&Number { digits: text.clone(), extension: None }),
        Pattern::Prefix(text) => {
            let digits = text.strip_prefix('+')?;
            let meant = is_called(digits) || calling_codes().any(|code| code.starts_with(digits));
            (!meant).then_some("no country has this calling code")
        }
    }
}

/// Whether `digits` begin with the calling code of a country, or with one of the world's own: +800 freephone, +808, +870
/// satellites, +878, +88x networks, +979.
fn is_called(digits: &str) -> bool {
    let shared = ["800", "808", "870", "878", "881", "882", "883", "888", "979"];
    calling_codes().chain(shared).any(|code| digits.starts_with(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<&'static str> {
        doubt(&Number::normalise(text, "49").unwrap())
    }

    #[test]
    fn numbers_that_cannot_exist_are_doubted() {
        for fine in ["+496955501007", "+14255550123", "+442071838750", "+1001", "112", "+80012345678"] {
            assert_eq!(of(fine), None, "{fine}");
        }
        assert_eq!(of("+2101234567"), Some("no country has this calling code"));
        for odd in ["+1425555012", "+142555501234", "+11255550123", "+44207183875012"] {
            assert_eq!(of(odd), Some("no number of its country has this form"), "{odd}");
        }
    }

    #[test]
    fn patterns_are_doubted_by_their_calling_code() {
        let of = |text: &str| doubt_of(&Pattern::parse(text).unwrap());
        for fine in ["+*", "+4*", "+4969123*", "+1*", "11*", "112"] {
            assert_eq!(of(fine), None, "{fine}");
        }
        assert!(of("+2109*").is_some() && of("+1425555012").is_some());
    }
}
