//! SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966), with the user-part parameters of RFC 4904.
//!
//! [`Uri::parse`] finds the components and copies nothing; what no rule of ours needs stays text, so
//! that a Contact can come back as a Request-URI octet for octet. A URI of another scheme is accepted
//! as it is, for whoever answers 416.

use super::text::{Params, ValueError, split_at};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The scheme of a URI; compared without case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scheme<'a> {
    /// `sip`
    Sip,
    /// `sips`
    Sips,
    /// `tel` (RFC 3966)
    Tel,
    /// Any other, as written.
    Other(&'a str),
}

/// A URI, taken apart where its scheme is known.
#[derive(Clone, Copy, Debug)]
pub struct Uri<'a> {
    text: &'a str,
    scheme: Scheme<'a>,
    userinfo: Option<&'a str>,
    host: &'a str,
    port: Option<u16>,
    params: &'a str,
    headers: &'a str,
}

impl<'a> Uri<'a> {
    /// Takes a URI apart. Blanks around it are dropped.
    ///
    /// # Errors
    ///
    /// [`ValueError::Scheme`], [`ValueError::Host`], [`ValueError::Port`] or [`ValueError::Empty`] (a tel URI
    /// without number) name the first component that is malformed; [`ValueError::Token`] is for blanks,
    /// quotes, angle brackets and control characters, which no URI has.
    pub fn parse(text: &'a str) -> Result<Self, ValueError> {
        let text = text.trim_ascii();
        let (scheme, rest) = match text.strip_prefix("sip:") {
            Some(rest) => ("sip", rest),
            None => split_at(text, b':').ok_or(ValueError::Scheme)?,
        };
        let scheme = match scheme.as_bytes() {
            b"sip" => Scheme::Sip,
            b"tel" => Scheme::Tel,
            _ if scheme.eq_ignore_ascii_case("sip") => Scheme::Sip,
            _ if scheme.eq_ignore_ascii_case("sips") => Scheme::Sips,
            _ if scheme.eq_ignore_ascii_case("tel") => Scheme::Tel,
            [first, rest @ ..]
                if first.is_ascii_alphabetic()
                    && rest.iter().all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(octet)) =>
            {
                Scheme::Other(scheme)
            }
            _ => return Err(ValueError::Scheme),
        };
        // All octets are looked at, many at a time, rather than one after the other up to the first.
        let forbidden = |octet: u8| (octet <= b' ') | matches!(octet, 0x7f | b'"' | b'<' | b'>');
        if text.bytes().fold(false, |found, octet| found | forbidden(octet)) {
            return Err(ValueError::Token);
        }
        let mut uri = Self { text, scheme, userinfo: None, host: "", port: None, params: "", headers: "" };
        match scheme {
            Scheme::Sip | Scheme::Sips => {
                // `@` is reserved everywhere else, so the first one ends the user part, whatever is in it.
                let rest = match split_at(rest, b'@') {
                    Some((userinfo, rest)) => {
                        uri.userinfo = Some(userinfo);
                        rest
                    }
                    None => rest,
                };
                let host_end = memchr::memchr2(b';', b'?', rest.as_bytes()).unwrap_or(rest.len());
                (uri.host, uri.port) = host_port_of(&rest[..host_end])?;
                if let Some(behind) = rest.get(host_end + 1..) {
                    (uri.params, uri.headers) = match rest.as_bytes()[host_end] {
                        b';' => split_at(behind, b'?').unwrap_or((behind, "")),
                        _ => ("", behind),
                    };
                }
            }
            Scheme::Tel => {
                if rest.split(';').next().is_none_or(str::is_empty) {
                    return Err(ValueError::Empty);
                }
                uri.userinfo = Some(rest);
                uri.params = rest.split_once(';').map_or("", |(_, params)| params);
            }
            Scheme::Other(_) => {}
        }
        Ok(uri)
    }

    /// The URI as written.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme<'a> {
        self.scheme
    }

    /// The user, or the number of a tel URI: without password and user-part parameters, escapes as written
    /// (see [`unescape`](Self::unescape)). `None` when there is none or it is empty.
    pub fn user(&self) -> Option<&'a str> {
        let userinfo = self.userinfo?;
        let end = match self.scheme {
            Scheme::Tel => userinfo.find(';'),
            _ => userinfo.find([';', ':']),
        };
        Some(&userinfo[..end.unwrap_or(userinfo.len())]).filter(|user| !user.is_empty())
    }

    /// The parameters within the user part, before `@`: `ext`, `phone-context` (RFC 3966), `tgrp`,
    /// `trunk-context` (RFC 4904). For a tel URI all its parameters.
    pub fn user_params(&self) -> Params<'a> {
        let params = self.userinfo.and_then(|userinfo| userinfo.split_once(';')).map_or("", |(_, params)| params);
        Params::new(params)
    }

    /// The host as written, an IPv6 address with its brackets; empty for a tel URI or an unknown scheme.
    pub fn host(&self) -> &'a str {
        self.host
    }

    /// The port, where one is written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The URI parameters, behind the host; for a tel URI the same as [`user_params`](Self::user_params).
    pub fn params(&self) -> Params<'a> {
        Params::new(self.params)
    }

    /// Name and value of each header behind `?`, escapes as written (RFC 3261 §19.1.1).
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.headers
            .split('&')
            .map(|header| header.split_once('=').unwrap_or((header, "")))
            .filter(|(name, _)| !name.is_empty())
    }

    /// The value of the first header behind `?` with this name in any case, without escapes.
    pub fn header(&self, name: &str) -> Option<Cow<'a, str>> {
        self.headers().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| Self::unescape(value))
    }

    /// Whether both URIs mean the same resource (RFC 3261 §19.1.4; for tel RFC 3966 §5). Not transitive.
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        match (self.scheme, other.scheme) {
            (Scheme::Sip, Scheme::Sip) | (Scheme::Sips, Scheme::Sips) => {
                same_text(self.userinfo.unwrap_or(""), other.userinfo.unwrap_or(""), Case::Significant)
                    && self.userinfo.is_some() == other.userinfo.is_some()
                    && same_host(self.host, other.host)
                    && self.port == other.port
                    && same_params(self.params(), other.params())
                    && same_headers(self, other)
            }
            (Scheme::Tel, Scheme::Tel) => {
                let (one, two) = (self.user_params(), other.user_params());
                same_number(self.user().unwrap_or(""), other.user().unwrap_or(""))
                    && covers(one, two)
                    && covers(two, one)
            }
            (Scheme::Other(one), Scheme::Other(two)) => {
                one.eq_ignore_ascii_case(two) && self.text[one.len()..] == other.text[two.len()..]
            }
            (Scheme::Sip | Scheme::Sips | Scheme::Tel | Scheme::Other(_), _) => false,
        }
    }

    /// `text` with each `%HH` replaced by its octet, once (RFC 3261 §19.1.2). Text whose octets would not
    /// be UTF-8 stays as it is.
    pub fn unescape(text: &str) -> Cow<'_, str> {
        if !text.contains('%') {
            return Cow::Borrowed(text);
        }
        let mut octets = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&first, behind)) = rest.split_first() {
            match escaped(rest) {
                Some(octet) => {
                    octets.push(octet);
                    rest = &rest[3..];
                }
                None => {
                    octets.push(first);
                    rest = behind;
                }
            }
        }
        String::from_utf8(octets).map_or(Cow::Borrowed(text), Cow::Owned)
    }
}

/// The address that a host is written as: IPv4, or IPv6 with or without brackets; `None` for a name.
pub fn host_ip(host: &str) -> Option<IpAddr> {
    let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inside {
        // The grammar of RFC 3261 lets three colons stand where two are meant (RFC 5118 §4.10).
        Some(inside) if inside.contains(":::") => {
            inside.replacen(":::", "::", 1).parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
        Some(inside) => inside.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None if host.contains(':') => host.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// `host [":" port]`, blanks around the colon tolerated (Via has them, §20.42).
pub(super) fn host_port_of(text: &str) -> Result<(&str, Option<u16>), ValueError> {
    let text = text.trim_ascii();
    let host_end = match text.strip_prefix('[') {
        Some(rest) => rest.find(']').map(|at| at + 2).ok_or(ValueError::Host)?,
        None => text.bytes().position(|octet| !HOST[usize::from(octet)]).unwrap_or(text.len()),
    };
    let (host, behind) = text.split_at(host_end);
    if host.is_empty() || (host.starts_with('[') && host_ip(host).is_none()) {
        return Err(ValueError::Host);
    }
    let port = match behind.trim_ascii_start().strip_prefix(':') {
        Some(port) => Some(port_of(port.trim_ascii()).ok_or(ValueError::Port)?),
        None if behind.trim_ascii().is_empty() => None,
        None => return Err(ValueError::Host),
    };
    Ok((host, port))
}

/// The octets that a host name may have. An underscore is none of them, yet operators use it.
static HOST: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut octet = 0;
    while octet < 128 {
        allowed[octet] = (octet as u8).is_ascii_alphanumeric() || matches!(octet as u8, b'-' | b'.' | b'_');
        octet += 1;
    }
    allowed
};

/// A port number: digits only, as `u16::from_str` would take a sign.
pub(super) fn port_of(text: &str) -> Option<u16> {
    text.bytes().all(|octet| octet.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[derive(Clone, Copy, PartialEq)]
enum Case {
    Significant,
    Ignored,
}

/// The octet that `%HH` at the front of `text` stands for.
fn escaped(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*high)? << 4 | digit(*low)?)
}

/// Each octet of `text` and whether it is an escaped reserved one: those differ from their plain form (§19.1.4).
fn units(text: &str, case: Case) -> impl Iterator<Item = (bool, u8)> + '_ {
    const RESERVED: &[u8] = b";/?:@&=+$,";
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (&first, behind) = rest.split_first()?;
        let (apart, octet) = match escaped(rest) {
            Some(octet) => {
                rest = &rest[3..];
                (RESERVED.contains(&octet), octet)
            }
            None => {
                rest = behind;
                (false, first)
            }
        };
        Some((apart, if case == Case::Ignored { octet.to_ascii_lowercase() } else { octet }))
    })
}

fn same_text(one: &str, two: &str, case: Case) -> bool {
    units(one, case).eq(units(two, case))
}

fn same_host(one: &str, two: &str) -> bool {
    match (host_ip(one), host_ip(two)) {
        (Some(one), Some(two)) => one == two,
        (None, None) => one.eq_ignore_ascii_case(two),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Parameters in both have to match; some may not be in one only, as their absence has a meaning of its own.
fn same_params(one: Params<'_>, two: Params<'_>) -> bool {
    const NEVER_IGNORED: [&str; 5] = ["transport", "user", "method", "ttl", "maddr"];
    // Of a parameter that is repeated the first counts, here as everywhere.
    let (one_by_name, others) = (ByName::of(one), ByName::of(two));
    let shared = one_by_name
        .0
        .iter()
        .all(|(name, value)| others.get(name).is_none_or(|other| same_text(value, other, Case::Ignored)));
    shared && NEVER_IGNORED.iter().all(|name| one.has(name) == two.has(name))
}

/// The first parameter of each name, in the order of the names: thousands are compared as quickly as a few.
struct ByName<'a>(Vec<(&'a str, &'a str)>);

impl<'a> ByName<'a> {
    fn of(params: Params<'a>) -> Self {
        let mut sorted: Vec<_> = params.iter().map(|(name, value)| (name, value.unwrap_or(""))).collect();
        sorted.sort_by(|one, two| compare(one.0, two.0));
        sorted.dedup_by(|later, first| compare(later.0, first.0).is_eq());
        Self(sorted)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.binary_search_by(|(own, _)| compare(own, name)).ok().map(|at| self.0[at].1)
    }
}

fn compare(one: &str, two: &str) -> Ordering {
    one.bytes().map(|octet| octet.to_ascii_lowercase()).cmp(two.bytes().map(|octet| octet.to_ascii_lowercase()))
}

/// Headers are never ignored and their order does not matter.
fn same_headers(one: &Uri<'_>, two: &Uri<'_>) -> bool {
    let (one, two) = (ordered_headers(one), ordered_headers(two));
    one.len() == two.len() && one.iter().zip(&two).all(|(one, two)| compare_headers(one, two).is_eq())
}

fn ordered_headers<'a>(uri: &Uri<'a>) -> Vec<(&'a str, &'a str)> {
    let mut headers: Vec<_> = uri.headers().collect();
    headers.sort_unstable_by(compare_headers);
    headers
}

fn compare_headers(one: &(&str, &str), two: &(&str, &str)) -> Ordering {
    let units = |text| units(text, Case::Ignored);
    units(one.0).cmp(units(two.0)).then_with(|| units(one.1).cmp(units(two.1)))
}

fn same_number(one: &str, two: &str) -> bool {
    let digits = |text| units(text, Case::Ignored).map(|(_, octet)| octet).filter(|octet| !b"-.()".contains(octet));
    digits(one).eq(digits(two))
}

/// Whether every tel parameter of `inner` is in `outer` with the same value (RFC 3966 §5).
fn covers(inner: Params<'_>, outer: Params<'_>) -> bool {
    let outer = ByName::of(outer);
    ByName::of(inner).0.iter().all(|&(name, value)| {
        let number = name.eq_ignore_ascii_case("ext") || value.starts_with('+');
        outer.get(name).is_some_and(|other| match number {
            true => same_number(value, other),
            false => same_text(value, other, Case::Ignored),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text).expect(text)
    }

    #[test]
    fn thousands_of_parameters_and_headers_are_compared_in_any_order() {
        let list = |mark: &str, backwards: bool| -> String {
            let one = |n: usize| format!("{mark}p{}=1", if backwards { 9_999 - n } else { n });
            (0..10_000).map(one).collect()
        };
        let text = |backwards| format!("sip:a@example.com{}?x=1{}", list(";", backwards), list("&", backwards));
        let (one, two) = (text(false), text(true));
        assert!(uri(&one).equivalent(&uri(&two)) && uri(&two).equivalent(&uri(&one)));
        let other = two.replacen(";p7=1", ";p7=2", 1);
        assert!(!uri(&one).equivalent(&uri(&other)) && !uri(&other).equivalent(&uri(&one)));
        let other = two.replacen("&p7=1", "&p7=2", 1);
        assert!(!uri(&one).equivalent(&uri(&other)) && !uri(&other).equivalent(&uri(&one)));
        let (one, two) = (format!("tel:1{}", list(";", false)), format!("tel:1{}", list(";", true)));
        assert!(uri(&one).equivalent(&uri(&two)));
    }

    #[test]
    fn every_component_is_found() {
        let all = uri(
            "sip:+14255550123;ext=7;phone-context=+1:secret@SBC1.example.com:5061;transport=tls;lr?Replaces=a%40b&x=",
        );
        assert_eq!((all.scheme(), all.user()), (Scheme::Sip, Some("+14255550123")));
        assert_eq!(all.user_params().get("ext"), Some("7"));
        assert_eq!((all.host(), all.port()), ("SBC1.example.com", Some(5061)));
        assert_eq!((all.params().get("transport"), all.params().get("lr")), (Some("tls"), Some("")));
        assert_eq!(all.headers().collect::<Vec<_>>(), [("Replaces", "a%40b"), ("x", "")]);
        assert_eq!(all.header("replaces").as_deref(), Some("a@b"));
    }

    #[test]
    fn a_contact_of_the_hub_keeps_its_parameters_with_colons_and_slashes() {
        let text =
            "sip:api-du-a-euwe.pstnhub.microsoft.com:443;x-i=00000000-0000-0000-0000-000000000000;x-c=abc/s/1/def:0";
        let contact = uri(text);
        assert_eq!((contact.host(), contact.port()), ("api-du-a-euwe.pstnhub.microsoft.com", Some(443)));
        assert_eq!(contact.params().get("x-c"), Some("abc/s/1/def:0"));
        assert_eq!((contact.user(), contact.as_str()), (None, text));
    }

    #[test]
    fn the_trunk_group_of_a_user_part_is_found() {
        let group =
            uri("sip:+14255550123;tgrp=acme-sbc;trunk-context=byoc.mypurecloud.de@byoc.mypurecloud.de;user=phone");
        assert_eq!(group.user(), Some("+14255550123"));
        assert_eq!(group.user_params().get("tgrp"), Some("acme-sbc"));
        assert_eq!(group.user_params().get("trunk-context"), Some("byoc.mypurecloud.de"));
        assert_eq!(group.params().get("user"), Some("phone"));
        assert!(!group.params().has("tgrp"));
    }

    #[test]
    fn users_are_found() {
        for (text, user) in [
            ("sip:alice@example.com", Some("alice")),
            ("sip:john.doe@example.com", Some("john.doe")),
            ("sip:alice:pw@example.com", Some("alice")),
            ("sip:example.com", None),
            ("sip:@example.com", None),
            ("sip:user;par=u%40example.net@example.com", Some("user")),
            ("sip:sips%3Auser%40example.com@example.net", Some("sips%3Auser%40example.com")),
            ("sip:a?b/c@example.com", Some("a?b/c")),
            ("tel:+1-425-555-0123;ext=5", Some("+1-425-555-0123")),
            ("tel:7042;phone-context=example.com", Some("7042")),
            ("urn:service:sos", None),
        ] {
            assert_eq!(uri(text).user(), user, "{text}");
        }
        assert_eq!(Uri::unescape("sips%3Auser%40example.com"), "sips:user@example.com");
        assert_eq!(uri("tel:7042;phone-context=example.com").params().get("phone-context"), Some("example.com"));
    }

    #[test]
    fn malformed_uris_are_refused() {
        for (text, error) in [
            ("", ValueError::Scheme),
            ("alice", ValueError::Scheme),
            ("<sip:alice@example.com>", ValueError::Scheme),
            ("1sip:alice@example.com", ValueError::Scheme),
            ("sip:", ValueError::Host),
            ("sip:alice@", ValueError::Host),
            ("sip:alice@bob@example.com", ValueError::Host),
            ("sip:alice@exa!mple.com", ValueError::Host),
            ("sip:alice@[2001:db8::1", ValueError::Host),
            ("sip:alice@[2001:db8::1]x", ValueError::Host),
            ("sip:alice@[example.com]", ValueError::Host),
            ("sip:2001:db8::10", ValueError::Port),
            ("sip:alice@example.com:", ValueError::Port),
            ("sip:alice@example.com:65536", ValueError::Port),
            ("sip:alice@example.com:+5060", ValueError::Port),
            ("sip:ali ce@example.com", ValueError::Token),
            ("sip:alice@ex\u{e9}mple.com", ValueError::Host),
            ("sip:alice\0@example.com", ValueError::Token),
            ("tel:", ValueError::Empty),
            ("tel:;ext=1", ValueError::Empty),
        ] {
            assert_eq!(Uri::parse(text).map(|_| ()), Err(error), "{text}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        assert_eq!(host_ip("192.0.2.1"), "192.0.2.1".parse().ok());
        assert_eq!(host_ip("[2001:db8::1]"), "2001:db8::1".parse().ok());
        assert_eq!(host_ip("2001:db8::1"), "2001:db8::1".parse().ok());
        assert_eq!(host_ip("[2001:db8:::192.0.2.1]"), "2001:db8::192.0.2.1".parse().ok());
        for name in ["example.com", "[192.0.2.1]", "", "[", "[]", "1.2.3"] {
            assert_eq!(host_ip(name), None, "{name}");
        }
        assert_eq!(
            (uri("sip:[2001:db8::1]:5061").host(), uri("sip:[2001:db8::1]:5061").port()),
            ("[2001:db8::1]", Some(5061))
        );
    }

    #[test]
    fn escapes_are_resolved_once() {
        for (text, plain) in [
            ("alice", "alice"),
            ("%61lice", "alice"),
            ("value%2541", "value%41"),
            ("nul%00nul", "nul\0nul"),
            ("half%4", "half%4"),
            ("%zz", "%zz"),
            ("%ff", "%ff"),
            ("%C3%A9", "é"),
        ] {
            assert_eq!(Uri::unescape(text), plain, "{text}");
        }
    }

    /// The sets of RFC 3261 §19.1.4, with the names of its examples.
    #[test]
    fn the_examples_of_the_rfc_are_equivalent() {
        for (one, two) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
            ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("sip:[2001:db8::1]", "sip:[2001:DB8:0::0:1]"),
            ("tel:+1-425-555-0123;ext=5;isub=1", "tel:+14255550123;isub=1;ext=5"),
            ("tel:7042;phone-context=Example.COM", "tel:70.42;phone-context=example.com"),
            ("urn:service:sos", "URN:service:sos"),
        ] {
            assert!(uri(one).equivalent(&uri(two)), "{one} {two}");
            assert!(uri(two).equivalent(&uri(one)), "{two} {one}");
        }
    }

    /// Found by the fuzz target `uri`.
    #[test]
    fn a_uri_with_a_parameter_twice_is_its_own_equal() {
        for text in ["tel:+14255550123;ext=7;ext=8", "sip:a@example.com;lr;user=phone;user=ip"] {
            assert!(uri(text).equivalent(&uri(text)), "{text}");
        }
        assert!(!uri("tel:+14255550123;ext=7;ext=8").equivalent(&uri("tel:+14255550123;ext=8;ext=7")));
    }

    #[test]
    fn the_counterexamples_of_the_rfc_are_not_equivalent() {
        for (one, two) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:alice@example.com", "sips:alice@example.com"),
            ("sip:alice@example.com", "sip:example.com"),
            ("sip:alice:a@example.com", "sip:alice:A@example.com"),
            ("sip:alice@example.com", "sip:alice@example.com;maddr=192.0.2.1"),
            ("sip:alice@example.com;ttl=1", "sip:alice@example.com"),
            // An escaped reserved character is not that character.
            ("sip:a%3Bb@example.com", "sip:a;b@example.com"),
            ("tel:+14255550123", "tel:+14255550123;ext=5"),
            ("tel:7042;phone-context=+1425", "tel:7042;phone-context=+1206"),
            ("tel:+14255550123", "sip:+14255550123@example.com"),
            ("urn:service:sos", "urn:service:SOS"),
        ] {
            assert!(!uri(one).equivalent(&uri(two)), "{one} {two}");
            assert!(!uri(two).equivalent(&uri(one)), "{two} {one}");
        }
    }
}
