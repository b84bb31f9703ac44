//! Personal data that must not reach a log line.

use std::fmt;

/// A number or a name of a person. Printing it shows at most its last two characters; what may show
/// it whole (a call record, a message on the wire) says so with [`reveal`](Self::reveal).
#[derive(Clone, Default, Eq, Hash, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Pii<T>(T);

impl<T> Pii<T> {
    /// Wraps personal data.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The data itself.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T: AsRef<str>> fmt::Display for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.as_ref();
        match text.char_indices().rev().nth(1) {
            Some((at, _)) if text.chars().count() > 4 => write!(f, "…{}", &text[at..]),
            _ => f.write_str("…"),
        }
    }
}

impl<T: AsRef<str>> fmt::Debug for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_shows_only_the_end() {
        assert_eq!(format!("{} {:?}", Pii::new("+14255550123"), Pii::new("Ada")), "…23 …");
        assert_eq!(Pii::new("+14255550123").reveal(), &"+14255550123");
    }
}
