//! Challenges and credentials of HTTP authentication in SIP (RFC 3261 §22, RFC 7616, RFC 8760).
//!
//! A header field line holds one of them, although its parameters are separated by commas: the lists of
//! these fields are never taken apart (RFC 3261 §7.3.1). Use [`Message::headers`](super::Message::headers).
//! Nothing is hashed here.

use super::message::{is_token, split_list};
use super::text::{ValueError, unquote};
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
