//! Challenges and credentials of HTTP authentication in SIP (RFC 3261 §22, RFC 7616, RFC 8760).
//!
//! A header field line holds one of them, although its parameters are separated by commas: the lists of
//! these fields are never taken apart (RFC 3261 §7.3.1). Use [`Message::headers`](super::Message::headers).
//! Nothing is hashed here.

use super::message::split_list;
use super::text::{ValueError, is_token, unquote};
use std::borrow::Cow;
use std::fmt;

/// A scheme and its parameters as both fields have them.
#[derive(Clone, Copy, Debug)]
struct Scheme<'a> {
    name: &'a str,
    params: &'a str,
}

impl<'a> Scheme<'a> {
    fn parse(value: &'a str) -> Result<Self, ValueError> {
        let value = value.trim();
        let (name, params) = value.split_once([' ', '\t']).unwrap_or((value, ""));
        if !is_token(name) {
            return Err(ValueError::Token);
        }
        Ok(Self { name, params: params.trim() })
    }

    fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        split_list(self.params)
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim()))
            .filter(|(name, _)| is_token(name))
    }

    fn get(self, name: &str) -> Option<Cow<'a, str>> {
        self.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| unquote(value))
    }

    fn need(self, names: &[&str]) -> Result<Self, ValueError> {
        let digest = self.name.eq_ignore_ascii_case("Digest");
        let missing = digest && names.iter().any(|name| self.get(name).is_none());
        if missing { Err(ValueError::Parameter) } else { Ok(self) }
    }
}

impl fmt::Display for Scheme<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if self.iter().next().is_none() && !self.params.is_empty() {
            return write!(f, " {}", self.params);
        }
        for (at, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{name}={value}", if at == 0 { " " } else { ", " })?;
        }
        Ok(())
    }
}

/// WWW-Authenticate or Proxy-Authenticate (RFC 3261 §20.44, §20.27). Printed with one blank after each comma.
#[derive(Clone, Copy, Debug)]
pub struct Challenge<'a>(Scheme<'a>);

impl<'a> Challenge<'a> {
    /// Reads the value of one line.
    ///
    /// # Errors
    ///
    /// [`ValueError::Token`] without a scheme, [`ValueError::Parameter`] when Digest lacks realm or nonce.
    pub fn parse(value: &'a str) -> Result<Self, ValueError> {
        Scheme::parse(value)?.need(&["realm", "nonce"]).map(Self)
    }

    /// The scheme, like `Digest`; compared without case.
    pub fn scheme(&self) -> &'a str {
        self.0.name
    }

    /// A parameter by name in any case, without quotes: `realm`, `nonce`, `opaque`, `domain`, …
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.0.get(name)
    }

    /// The algorithm; `MD5` when none is named (RFC 7616 §3.3).
    pub fn algorithm(&self) -> Cow<'a, str> {
        self.0.get("algorithm").unwrap_or(Cow::Borrowed("MD5"))
    }

    /// Whether the credentials were right and only their nonce is too old.
    pub fn stale(&self) -> bool {
        self.0.get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true"))
    }

    /// Whether `quality` (`auth`, `auth-int`) is among the offered qualities of protection.
    pub fn offers(&self, quality: &str) -> bool {
        self.0.get("qop").is_some_and(|list| list.split(',').any(|own| own.trim().eq_ignore_ascii_case(quality)))
    }
}

impl fmt::Display for Challenge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Authorization or Proxy-Authorization (RFC 3261 §20.7, §20.28). Printed with one blank after each comma.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a>(Scheme<'a>);

impl<'a> Credentials<'a> {
    /// Reads the value of one line.
    ///
    /// # Errors
    ///
    /// [`ValueError::Token`] without a scheme, [`ValueError::Parameter`] when Digest lacks username, realm,
    /// nonce, uri or response.
    pub fn parse(value: &'a str) -> Result<Self, ValueError> {
        Scheme::parse(value)?.need(&["username", "realm", "nonce", "uri", "response"]).map(Self)
    }

    /// The scheme, like `Digest`; compared without case.
    pub fn scheme(&self) -> &'a str {
        self.0.name
    }

    /// A parameter by name in any case, without quotes: `username`, `realm`, `nonce`, `uri`, `response`, `cnonce`, …
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.0.get(name)
    }

    /// The algorithm; `MD5` when none is named (RFC 7616 §3.4).
    pub fn algorithm(&self) -> Cow<'a, str> {
        self.0.get("algorithm").unwrap_or(Cow::Borrowed("MD5"))
    }

    /// How often the nonce has been used, this time included; `None` when absent or not 8 hexadecimal digits.
    pub fn nonce_count(&self) -> Option<u32> {
        let count = self.0.get("nc")?;
        let digits = count.len() == 8 && count.bytes().all(|octet| octet.is_ascii_hexdigit());
        digits.then(|| u32::from_str_radix(&count, 16).ok()).flatten()
    }
}

impl fmt::Display for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read() {
        let value = "Digest  realm=\"atlanta.example.com\",domain=\"sip:a.example.com, sip:b.example.com\" ,\
                     qop=\"auth,auth-int\", nonce=\"f84f\\\"1\", stale=TRUE,algorithm=SHA-256";
        let challenge = Challenge::parse(value).expect("reads");
        assert_eq!((challenge.scheme(), &*challenge.algorithm(), challenge.stale()), ("Digest", "SHA-256", true));
        assert_eq!(challenge.get("Realm").as_deref(), Some("atlanta.example.com"));
        assert_eq!(challenge.get("nonce").as_deref(), Some("f84f\"1"));
        assert!(challenge.offers("auth") && challenge.offers("auth-int") && !challenge.offers("int"));
        assert_eq!(challenge.get("opaque"), None);
        assert_eq!(
            challenge.to_string(),
            "Digest realm=\"atlanta.example.com\", domain=\"sip:a.example.com, sip:b.example.com\", \
             qop=\"auth,auth-int\", nonce=\"f84f\\\"1\", stale=TRUE, algorithm=SHA-256"
        );
    }

    #[test]
    fn credentials_are_read() {
        let value =
            "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"sip:b@example.com\", response=\"00\", nc=0000000a";
        let credentials = Credentials::parse(value).expect("reads");
        assert_eq!(
            (credentials.scheme(), &*credentials.algorithm(), credentials.nonce_count()),
            ("Digest", "MD5", Some(10))
        );
        assert_eq!(credentials.get("uri").as_deref(), Some("sip:b@example.com"));
        assert_eq!(credentials.to_string(), value);
        for count in ["", "1", "+0000001", "0000000g"] {
            let value = value.replace("0000000a", count);
            assert_eq!(Credentials::parse(&value).expect("reads").nonce_count(), None, "{count}");
        }
    }

    #[test]
    fn digest_without_its_parameters_is_refused_and_other_schemes_pass() {
        for (value, error) in [
            ("", ValueError::Token),
            ("=", ValueError::Token),
            ("Digest", ValueError::Parameter),
            ("Digest realm=\"r\"", ValueError::Parameter),
        ] {
            assert_eq!(Challenge::parse(value).map(drop), Err(error), "{value}");
            assert_eq!(Credentials::parse(value).map(drop), Err(error), "{value}");
        }
        assert_eq!(
            Credentials::parse("Bearer abc.def").map(|value| value.to_string()).as_deref(),
            Ok("Bearer abc.def")
        );
        assert_eq!(
            Challenge::parse("Basic realm=\"r\"").map(|value| value.to_string()).as_deref(),
            Ok("Basic realm=\"r\"")
        );
    }
}
