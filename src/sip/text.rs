//! What the grammars of header field values have in common: parameters, quoted strings, numbers
//! (RFC 3261 §7.3.1, §25.1).
//!
//! Text comes in that a [`Message`](super::Message) gave out; slices of it go out. Lenient in: blanks
//! around separators, empty parameters and values where none belongs are read over. Strict out:
//! [`quote`] writes what every parser accepts.

use std::borrow::Cow;

/// Why a header field value cannot be read; one variant per rule broken (RFC 3261 §25.1).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum ValueError {
    /// There is no value, or the part that all else hangs on is empty.
    #[error("value missing")]
    Empty,
    /// A URI does not begin with a scheme and a colon (§19.1.1).
    #[error("URI without scheme")]
    Scheme,
    /// A host is neither a name, an IPv4 address, nor an IPv6 address in brackets (§19.1.1, RFC 5118).
    #[error("host malformed")]
    Host,
    /// A port is not a number from 0 to 65535 (§19.1.1).
    #[error("port malformed")]
    Port,
    /// A quoted string or an angle bracket does not end (§20.10).
    #[error("quote or bracket without end")]
    Unbalanced,
    /// Something other than parameters stands behind a value.
    #[error("text behind the value")]
    Trailing,
    /// A Via is of another protocol or version than SIP/2.0 (§20.42).
    #[error("Via is not SIP/2.0")]
    Version,
    /// A token is expected and something else, or nothing, stands there.
    #[error("token malformed")]
    Token,
    /// A number is expected and something else stands there, or it does not fit 32 bits.
    #[error("number malformed")]
    Number,
    /// A parameter that the field has to have is missing or stands twice.
    #[error("parameter missing or repeated")]
    Parameter,
}

impl ValueError {
    /// The status of the response to a request that cannot go on without this value (§21.4.1).
    pub fn status(self) -> u16 {
        match self {
            Self::Empty
            | Self::Scheme
            | Self::Host
            | Self::Port
            | Self::Unbalanced
            | Self::Trailing
            | Self::Version
            | Self::Token
            | Self::Number
            | Self::Parameter => 400,
        }
    }
}

/// Parameters: what stands behind the first semicolon of a value or a URI (RFC 3261 §7.3.1, §19.1.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Params<'a>(&'a str);

impl<'a> Params<'a> {
    /// The parameters in `text`: separated by semicolons, with or without one in front.
    pub fn new(text: &'a str) -> Self {
        Self(text.trim_ascii())
    }

    /// The parameters as written, without the semicolon in front of the first.
    pub fn as_str(&self) -> &'a str {
        self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Name and value of each, in order. The value is `None` for a flag; a quoted value keeps its quotes.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        split_unquoted(self.0, b';').filter_map(|part| {
            let (name, value) = match split_at(part, b'=') {
                Some((name, value)) => (name.trim_ascii(), Some(value.trim_ascii())),
                None => (part.trim_ascii(), None),
            };
            (!name.is_empty()).then_some((name, value))
        })
    }

    /// The value of the first parameter with this name in any case; empty for a flag, quotes kept.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.unwrap_or(""))
    }

    /// The same as [`get`](Self::get) without quotes and escapes.
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).map(unquote)
    }

    /// Whether there is a parameter with this name in any case.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// `display` as a quoted string that can stand in front of `<` (RFC 3261 §25.1); control characters
/// become blanks.
pub fn quote(display: &str) -> String {
    let mut out = String::with_capacity(display.len() + 2);
    out.push('"');
    for character in display.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            _ if character.is_control() => out.push(' '),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

/// The text of a quoted string without its quotes and escapes; anything else as it stands.
pub fn unquote(value: &str) -> Cow<'_, str> {
    match value.strip_prefix('"') {
        Some(rest) => resolve(rest.strip_suffix('"').unwrap_or(rest)),
        None => Cow::Borrowed(value),
    }
}

/// The inside of a quoted string with its quoted pairs resolved.
pub(super) fn resolve(inside: &str) -> Cow<'_, str> {
    if !inside.contains('\\') {
        return Cow::Borrowed(inside);
    }
    let mut out = String::with_capacity(inside.len());
    let mut characters = inside.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.extend(characters.next()),
            _ => out.push(character),
        }
    }
    Cow::Owned(out)
}

/// A number with nothing behind it but blanks, parameters or a comment: Max-Forwards, Expires, Min-SE,
/// RSeq and Retry-After (RFC 3261 §20.19, §20.22, §20.33).
///
/// # Errors
///
/// [`ValueError::Number`] when it is not a decimal number below 2³².
pub fn decimal(value: &str) -> Result<u32, ValueError> {
    let value = value.trim();
    let end = value.bytes().position(|octet| !octet.is_ascii_digit()).unwrap_or(value.len());
    let behind = value[end..].trim_start();
    if end == 0 || !(behind.is_empty() || behind.starts_with([';', '('])) {
        return Err(ValueError::Number);
    }
    value[..end].parse().map_err(|_| ValueError::Number)
}

/// Where `stop` first stands in `text` outside quoted strings; the length of `text` when it does not.
pub(super) fn find_unquoted(text: &str, stop: u8) -> usize {
    let mut at = 0;
    loop {
        match memchr::memchr2(stop, b'"', &text.as_bytes()[at..]).map(|found| at + found) {
            None => return text.len(),
            Some(found) if text.as_bytes()[found] == stop => return found,
            Some(quote) => match quoted_end(text, quote + 1) {
                Some(end) => at = end,
                None => return text.len(),
            },
        }
    }
}

/// What is behind the quoted string whose inside begins at `at`; `None` when it does not end.
pub(super) fn quoted_end(text: &str, mut at: usize) -> Option<usize> {
    loop {
        at += memchr::memchr2(b'"', b'\\', text.as_bytes().get(at..)?)?;
        match text.as_bytes()[at] {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

/// What stands in front of the first `separator`, an ASCII character, and what behind it.
pub(super) fn split_at(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(separator, text.as_bytes())?;
    Some((&text[..at], &text[at + 1..]))
}

/// Whether every quoted string in `text` ends: else what is behind it could be read in two ways.
pub(super) fn is_closed(text: &str) -> bool {
    let mut at = 0;
    while let Some(quote) = memchr::memchr(b'"', &text.as_bytes()[at..]) {
        match quoted_end(text, at + quote + 1) {
            Some(end) => at = end,
            None => return false,
        }
    }
    true
}

/// The pieces of `text` between separators outside quoted strings, empty ones and blanks included.
pub(super) fn split_unquoted(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = find_unquoted(text, separator);
        rest = text.get(end + 1..);
        Some(&text[..end])
    })
}

/// Whether `text` is a token (RFC 3261 §25.1).
pub fn is_token(text: impl AsRef<[u8]>) -> bool {
    let text = text.as_ref();
    !text.is_empty() && text.iter().all(|&octet| TOKEN[usize::from(octet)])
}

/// The octets that a token may have.
static TOKEN: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut octet = 0;
    while octet < 128 {
        allowed[octet] = (octet as u8).is_ascii_alphanumeric();
        octet += 1;
    }
    let marks = b"-.!%*_+`'~";
    let mut at = 0;
    while at < marks.len() {
        allowed[marks[at] as usize] = true;
        at += 1;
    }
    allowed
};

/// `octets` as text of the same length: what is not UTF-8 reads as `?`, octet for octet.
pub fn legible(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_come_apart_at_semicolons_outside_quotes() {
        let params = Params::new(r#"tag=a1 ; text="a;b\";c" ;; flag; empty= ;=x"#);
        let all: Vec<_> = params.iter().collect();
        assert_eq!(all, [("tag", Some("a1")), ("text", Some(r#""a;b\";c""#)), ("flag", None), ("empty", Some(""))]);
        assert_eq!(params.get("TAG"), Some("a1"));
        assert_eq!(params.get("flag"), Some(""));
        assert_eq!(params.get("none"), None);
        assert_eq!(params.text("text").as_deref(), Some(r#"a;b";c"#));
        assert!(params.has("Flag") && !params.has("x"));
        assert!(Params::new(" ;; ").is_empty());
    }

    #[test]
    fn the_first_of_two_parameters_counts() {
        assert_eq!(Params::new("a=1;A=2").get("a"), Some("1"));
    }

    #[test]
    fn what_is_quoted_comes_back_unquoted() {
        for text in ["", "Alice", "Bell, Alexander", r#"The "Boss" \o/"#, "Ünïcode"] {
            assert_eq!(unquote(&quote(text)), text);
        }
        assert_eq!(quote("a\r\nVia: b"), "\"a  Via: b\"");
        assert_eq!(unquote("plain"), "plain");
        assert_eq!(unquote(r#"""#), "");
        assert_eq!(unquote(r#""open"#), "open");
    }

    #[test]
    fn numbers_may_have_parameters_and_comments_behind_them() {
        for (text, number) in [
            ("70", Ok(70)),
            (" 3600 ", Ok(3600)),
            ("18000;duration=3600", Ok(18000)),
            ("120 (I'm in a meeting)", Ok(120)),
            ("4294967295", Ok(u32::MAX)),
            ("4294967296", Err(ValueError::Number)),
            ("+70", Err(ValueError::Number)),
            ("-1", Err(ValueError::Number)),
            ("", Err(ValueError::Number)),
            ("70x", Err(ValueError::Number)),
            ("7 0", Err(ValueError::Number)),
        ] {
            assert_eq!(decimal(text), number, "{text}");
        }
    }
}
