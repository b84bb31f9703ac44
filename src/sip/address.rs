//! Values that name a party: From, To, Contact, Route, Record-Route, Refer-To, Referred-By, Reply-To,
//! P-Asserted-Identity, Diversion, History-Info (RFC 3261 §20.10, §20.20, §25.1).
//!
//! A display name, a URI, header parameters. Without angle brackets, all that follows the first
//! semicolon belongs to the header field and not to the URI (§20.10). Teams writes display names with
//! blanks and no quotes (TDR-64): they are read as one name.

use super::text::{Params, ValueError, find_unquoted, is_closed, resolve, split_at};
use super::uri::Uri;
use std::borrow::Cow;

/// One `name-addr` or `addr-spec` with its header parameters.
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'a> {
    display: Display<'a>,
    uri: &'a str,
    params: Params<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Display<'a> {
    None,
    /// As written.
    Plain(&'a str),
    /// The inside of a quoted string.
    Quoted(&'a str),
}

impl<'a> NameAddr<'a> {
    /// Reads one value; of a list only one element (see [`Message::values`](super::Message::values)).
    /// The URI itself is not looked into: see [`uri`](Self::uri).
    ///
    /// # Errors
    ///
    /// [`ValueError::Unbalanced`] for a quote or bracket without end, [`ValueError::Trailing`] for text that
    /// is not parameters behind the bracket, [`ValueError::Token`] for a display name with a semicolon and
    /// no quotes and for a `?` without brackets (§20.10), [`ValueError::Empty`] where there is no URI.
    pub fn parse(value: &'a str) -> Result<Self, ValueError> {
        let value = value.trim_ascii();
        let open = find_unquoted(value, b'<');
        let Some(behind) = value.get(open + 1..) else { return Self::bare(value) };
        let before = value[..open].trim_ascii();
        let display = match before.strip_prefix('"') {
            Some(rest) => match rest.get(find_quote(rest)..).map(str::len) {
                Some(1) => Display::Quoted(&rest[..rest.len() - 1]),
                // More than one quoted string, or words beside it: shown as they stand.
                _ => Display::Plain(before),
            },
            None if before.is_empty() => Display::None,
            None if before.contains(';') => return Err(ValueError::Token),
            None => Display::Plain(before),
        };
        let (uri, rest) = split_at(behind, b'>').ok_or(ValueError::Unbalanced)?;
        let (uri, rest) = (uri.trim_ascii(), rest.trim_ascii());
        if uri.is_empty() {
            return Err(ValueError::Empty);
        }
        let params = match rest.strip_prefix(';') {
            Some(params) if !is_closed(params) => return Err(ValueError::Unbalanced),
            Some(params) => Params::new(params),
            None if rest.is_empty() => Params::default(),
            None => return Err(ValueError::Trailing),
        };
        Ok(Self { display, uri, params })
    }

    fn bare(value: &'a str) -> Result<Self, ValueError> {
        let (uri, params) = split_at(value, b';').unwrap_or((value, ""));
        let uri = uri.trim_ascii_end();
        match uri {
            _ if uri.contains('"') || !is_closed(params) => Err(ValueError::Unbalanced),
            "" => Err(ValueError::Empty),
            _ if uri.contains([' ', '\t', '>', ',']) => Err(ValueError::Trailing),
            // RFC 4475 §3.1.2.13
            _ if uri.contains('?') => Err(ValueError::Token),
            _ => Ok(Self { display: Display::None, uri, params: Params::new(params) }),
        }
    }

    /// The display name without quotes and escapes; `None` when there is none or it is empty.
    pub fn display(&self) -> Option<Cow<'a, str>> {
        let name = match self.display {
            Display::None => return None,
            Display::Plain(name) => Cow::Borrowed(name),
            Display::Quoted(inside) => resolve(inside),
        };
        (!name.trim().is_empty()).then_some(name)
    }

    /// The URI as written, without angle brackets. `*` in the one form of Contact that is no URI (§10.2.2).
    pub fn uri_text(&self) -> &'a str {
        self.uri
    }

    /// The URI, taken apart.
    ///
    /// # Errors
    ///
    /// As [`Uri::parse`].
    pub fn uri(&self) -> Result<Uri<'a>, ValueError> {
        Uri::parse(self.uri)
    }

    /// The parameters of the header field, not those of the URI.
    pub fn params(&self) -> Params<'a> {
        self.params
    }

    /// The tag of a From or To; `None` when there is none or it is empty.
    pub fn tag(&self) -> Option<&'a str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }
}

/// The tag of a From or To value (RFC 3261 §19.3); `None` when there is none or it is empty. Finds it in
/// values that are malformed in front of their parameters too, as a response has to repeat them.
pub fn tag(value: &str) -> Option<&str> {
    match NameAddr::parse(value) {
        Ok(address) => address.tag(),
        Err(_) => {
            let behind = value.rsplit_once('>').map_or(value, |(_, behind)| behind);
            let params = behind.split_once(';').map(|(_, params)| Params::new(params))?;
            params.get("tag").filter(|tag| !tag.is_empty())
        }
    }
}

/// Where the quote that ends a quoted string stands, looking from behind its opening quote.
fn find_quote(rest: &str) -> usize {
    let mut escaped = false;
    for (at, octet) in rest.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_address_is_read() {
        for (value, display, uri, tag) in [
            ("sip:a@example.com", None, "sip:a@example.com", None),
            ("sip:a@example.com;tag=1", None, "sip:a@example.com", Some("1")),
            ("<sip:a@example.com;x=1>;TAG=2", None, "sip:a@example.com;x=1", Some("2")),
            ("\"Alice\" <sip:a@example.com> ; tag = 3", Some("Alice"), "sip:a@example.com", Some("3")),
            ("\"A \\\"B\\\" <C>\"<sip:a@example.com>", Some("A \"B\" <C>"), "sip:a@example.com", None),
            ("\"\" <sip:a@example.com>;tag=", None, "sip:a@example.com", None),
            ("Anonymous <sip:a@anonymous.invalid>", Some("Anonymous"), "sip:a@anonymous.invalid", None),
            // TDR-64: the hub writes names with blanks, without quotes and without a blank behind them.
            (
                "Adele Vance<sip:+14255550123@example.com:5061>;tag=x",
                Some("Adele Vance"),
                "sip:+14255550123@example.com:5061",
                Some("x"),
            ),
            ("Bell, Alexander <sip:a@example.com>", Some("Bell, Alexander"), "sip:a@example.com", None),
            ("caller<sip:caller@example.com>;tag=323", Some("caller"), "sip:caller@example.com", Some("323")),
            (
                "<sip:b@example.com?Replaces=c%40d%3Bto-tag%3D1>",
                None,
                "sip:b@example.com?Replaces=c%40d%3Bto-tag%3D1",
                None,
            ),
            ("< sip:a@example.com >", None, "sip:a@example.com", None),
            ("tel:+14255550123;ext=5", None, "tel:+14255550123", None),
            ("*", None, "*", None),
        ] {
            let address = NameAddr::parse(value).expect(value);
            assert_eq!(address.display().as_deref(), display, "{value}");
            assert_eq!((address.uri_text(), address.tag()), (uri, tag), "{value}");
            assert_eq!(super::tag(value), tag, "{value}");
        }
    }

    #[test]
    fn without_brackets_parameters_are_the_header_fields() {
        let address = NameAddr::parse("sip:a@example.com;unknownparam").expect("reads");
        assert!(address.params().has("unknownparam"));
        assert!(!address.uri().expect("reads").params().has("unknownparam"));
        let address = NameAddr::parse("<sip:a@example.com;unknownparam>").expect("reads");
        assert!(!address.params().has("unknownparam"));
        assert!(address.uri().expect("reads").params().has("unknownparam"));
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for (value, error) in [
            ("", ValueError::Empty),
            ("<>", ValueError::Empty),
            (";tag=1", ValueError::Empty),
            ("<sip:a@example.com", ValueError::Unbalanced),
            ("\"Mr. J. User <sip:j.user@example.com>", ValueError::Unbalanced),
            ("\"Alice\"", ValueError::Unbalanced),
            ("<sip:a@example.com>;x=\"y", ValueError::Unbalanced),
            ("<sip:a@example.com> x", ValueError::Trailing),
            ("sip:a@example.com?Route=%3Csip:b.example.com%3E", ValueError::Token),
            ("<sip:a@example.com>, <sip:b@example.com>", ValueError::Trailing),
            ("sip:a@example.com, sip:b@example.com", ValueError::Trailing),
            ("sip:a@example.com;x=<sip:b@example.com>", ValueError::Token),
        ] {
            assert_eq!(NameAddr::parse(value).map(|_| ()), Err(error), "{value}");
        }
    }

    #[test]
    fn the_tag_of_a_malformed_value_is_found_all_the_same() {
        assert_eq!(tag("\"Mr. J. User <sip:j.user@example.com>;tag=1"), Some("1"));
        assert_eq!(tag("<sip:a@example.com> x;tag=2"), Some("2"));
        assert_eq!(tag(""), None);
    }
}
