//! A message read by the simplest code there is: lines split at CRLF, values at their first colon.
//!
//! This is the twin's own reading and shares nothing with [`crate::sip`]. It knows the messages that
//! Tandem writes, not all of SIP: full header names, no folded lines, one URI syntax. What it cannot
//! read in a message from Tandem is a breach of "strict out".

/// A message taken apart; every value is text as it stood.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plain {
    /// The start line without its CRLF.
    pub start: String,
    /// Header field lines: name as written, value without blanks around it.
    pub lines: Vec<(String, String)>,
    /// What follows the empty line.
    pub body: Vec<u8>,
}

impl Plain {
    /// Takes `octets` apart. What is not UTF-8 becomes U+FFFD.
    ///
    /// # Errors
    ///
    /// In words, the first thing that is not as it must be on the wire (RFC 3261 §7, TDR-60).
    pub fn read(octets: &[u8]) -> Result<Self, String> {
        let end =
            octets.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no empty line ends the header section")?;
        let head = std::str::from_utf8(&octets[..end]).map_err(|_| "header section is not UTF-8")?;
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or("").to_owned();
        let mut plain = Self { start, lines: Vec::new(), body: octets[end + 4..].to_vec() };
        if plain.start.contains(['\r', '\n']) {
            return Err("bare CR or LF in the start line".into());
        }
        for line in lines {
            if line.starts_with([' ', '\t']) {
                return Err("folded header line".into());
            }
            if line.contains(['\r', '\n', '\0']) {
                return Err(format!("control character in line {line:?}"));
            }
            let (name, value) = line.split_once(':').ok_or(format!("line without colon: {line:?}"))?;
            if name.is_empty() || name.contains([' ', '\t']) {
                return Err(format!("blank in header name {name:?}"));
            }
            plain.lines.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(plain)
    }

    /// Whether this is a response.
    pub fn is_response(&self) -> bool {
        self.start.starts_with("SIP/")
    }

    /// The method of a request, or what CSeq names in a response; empty when neither can be read.
    pub fn method(&self) -> &str {
        if self.is_response() {
            self.first("CSeq").split(' ').nth(1).unwrap_or("")
        } else {
            self.start.split(' ').next().unwrap_or("")
        }
    }

    /// The Request-URI; empty in a response.
    pub fn request_uri(&self) -> &str {
        if self.is_response() { "" } else { self.start.split(' ').nth(1).unwrap_or("") }
    }

    /// The status code; 0 in a request.
    pub fn status(&self) -> u16 {
        let code = self.start.split(' ').nth(1).filter(|_| self.is_response());
        code.and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// All values of the lines named `name`, in order, lists not taken apart.
    pub fn all<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> + 'p {
        self.lines.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The first value of `name`; empty when there is none.
    pub fn first<'p>(&'p self, name: &'p str) -> &'p str {
        self.all(name).next().unwrap_or("")
    }

    /// Whether there is a line of this name.
    pub fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// The values of `name` with lists taken apart at commas outside quotes and angle brackets.
    pub fn list<'p>(&'p self, name: &'p str) -> Vec<&'p str> {
        self.all(name)
            .flat_map(|value| split_outside(value, ','))
            .map(str::trim)
            .filter(|one| !one.is_empty())
            .collect()
    }

    /// Whether a comma-separated field has this token, without regard to case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.list(name).iter().any(|own| own.eq_ignore_ascii_case(token))
    }

    /// The number in CSeq; 0 when there is none.
    pub fn cseq(&self) -> u32 {
        self.first("CSeq").split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// The branch of the top Via; empty when there is none.
    pub fn branch(&self) -> &str {
        self.list("Via").first().and_then(|via| param(via, "branch")).unwrap_or("")
    }

    /// The body as text, when its type is `application/sdp`.
    pub fn sdp(&self) -> Option<&str> {
        let kind = self.first("Content-Type").split(';').next().unwrap_or("").trim();
        let sdp = kind.eq_ignore_ascii_case("application/sdp") && !self.body.is_empty();
        sdp.then(|| std::str::from_utf8(&self.body).ok()).flatten()
    }

    /// The tag of From or To; empty when there is none.
    pub fn tag<'p>(&'p self, name: &'p str) -> &'p str {
        address(self.first(name)).params.iter().find(|(own, _)| *own == "tag").map_or("", |(_, value)| value)
    }
}

/// Splits at `separator` where neither quotes nor angle brackets are open.
pub fn split_outside(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut from, mut quoted, mut angle, mut escaped) = (Vec::new(), 0, false, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => angle = true,
            '>' if !quoted => angle = false,
            _ if letter == separator && !quoted && !angle => {
                parts.push(&text[from..at]);
                from = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

/// The value of a parameter behind `;`: empty for a flag, `None` when it is not there.
pub fn param<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    params_of(text.split_once(';')?.1)
        .into_iter()
        .find(|(own, _)| own.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

fn params_of(text: &str) -> Vec<(&str, &str)> {
    let parts = split_outside(text, ';').into_iter().map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect()
}

/// A From, To, Contact or Route value.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Address<'t> {
    /// What stands before `<`, quotes included.
    pub display: &'t str,
    /// What stands between `<` and `>`, or the whole up to the first `;`.
    pub uri: &'t str,
    /// Parameters of the header field.
    pub params: Vec<(&'t str, &'t str)>,
}

/// Takes an address apart; never fails, what is missing is empty.
pub fn address(value: &str) -> Address<'_> {
    let open = split_outside_quotes(value, '<');
    match open.and_then(|open| value[open..].find('>').map(|close| (open, open + close))) {
        Some((open, close)) => Address {
            display: value[..open].trim(),
            uri: &value[open + 1..close],
            params: params_of(value[close + 1..].trim_start_matches([' ', ';'])),
        },
        None => {
            let (uri, rest) = value.split_once(';').unwrap_or((value, ""));
            Address { display: "", uri: uri.trim(), params: params_of(rest) }
        }
    }
}

fn split_outside_quotes(text: &str, wanted: char) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.char_indices().find_map(|(at, letter)| {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if letter == wanted && !quoted => return Some(at),
            _ => {}
        }
        None
    })
}

/// A SIP URI taken apart; never fails, what is missing is empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PlainUri<'t> {
    /// `sip`, `sips`, `tel` as written.
    pub scheme: &'t str,
    /// Whether there is an `@`.
    pub at: bool,
    /// The user with its parameters (`+1555;ext=7`).
    pub user: &'t str,
    /// Name or address, brackets of IPv6 included.
    pub host: &'t str,
    /// The port; empty when none is written.
    pub port: &'t str,
    /// Parameters behind the host.
    pub params: Vec<(&'t str, &'t str)>,
    /// What follows `?`.
    pub headers: &'t str,
}

impl<'t> PlainUri<'t> {
    /// Takes a URI apart.
    pub fn read(text: &'t str) -> Self {
        let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
        let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
        let (rest, headers) = rest.split_once('?').unwrap_or((rest, ""));
        let (place, params) = rest.split_once(';').unwrap_or((rest, ""));
        let bracket = place.find(']').map_or(0, |at| at + 1);
        let (host, port) = match place[bracket..].find(':') {
            Some(colon) => (&place[..bracket + colon], &place[bracket + colon + 1..]),
            None => (place, ""),
        };
        let params = params_of(params);
        Self { scheme, at: user.is_some(), user: user.unwrap_or(""), host, port, params, headers }
    }

    /// The value of a URI parameter: empty for a flag, `None` when it is not there.
    pub fn param(&self, name: &str) -> Option<&'t str> {
        self.params.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// The user up to its first parameter.
    pub fn number(&self) -> &'t str {
        self.user.split(';').next().unwrap_or("")
    }

    /// Whether the host is an address and not a name.
    pub fn is_address(&self) -> bool {
        is_address(self.host)
    }
}

/// Whether a host is an IPv4 or IPv6 address, by its letters alone.
pub fn is_address(host: &str) -> bool {
    host.starts_with('[') || (!host.is_empty() && host.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_apart_into_lines_and_body() {
        let plain = Plain::read(
            b"INVITE sip:+14255550123@example.com SIP/2.0\r\nVia: SIP/2.0/TLS a.example.com:5061;alias;branch=z9hG4bK1, \
              SIP/2.0/TLS b\r\nFrom: \"A, <B>\" <sip:+14255550100;ext=7@example.com>;tag=x\r\nCSeq: 4 INVITE\r\n\
              Content-Type: application/sdp\r\n\r\nv=0\r\n",
        )
        .expect("a message");
        assert_eq!((plain.method(), plain.request_uri()), ("INVITE", "sip:+14255550123@example.com"));
        assert_eq!((plain.cseq(), plain.branch(), plain.tag("from")), (4, "z9hG4bK1", "x"));
        assert_eq!(plain.list("via").len(), 2);
        assert_eq!(plain.sdp(), Some("v=0\r\n"));
        let from = address(plain.first("From"));
        assert_eq!((from.display, from.uri), ("\"A, <B>\"", "sip:+14255550100;ext=7@example.com"));
        assert_eq!(PlainUri::read(from.uri).number(), "+14255550100");
    }

    #[test]
    fn what_is_not_strict_is_refused() {
        for (octets, reason) in [
            (&b"OPTIONS sip:a SIP/2.0\r\n"[..], "no empty line"),
            (b"OPTIONS sip:a SIP/2.0\r\nVia: a\nb\r\n\r\n", "control character"),
            (b"OPTIONS sip:a SIP/2.0\r\nVia: a\r\n b\r\n\r\n", "folded"),
            (b"OPTIONS sip:a SIP/2.0\r\nVia\r\n\r\n", "without colon"),
            (b"OPTIONS sip:a SIP/2.0\r\nVia : x\r\n\r\n", "blank in header name"),
        ] {
            let found = Plain::read(octets).expect_err(reason);
            assert!(found.contains(reason), "{found}");
        }
    }

    #[test]
    fn uris_come_apart() {
        let uri = PlainUri::read("sip:api-du-a-usea.pstnhub.microsoft.com:443;x-i=1/2;x-c=a:b/d");
        assert_eq!((uri.host, uri.port, uri.at), ("api-du-a-usea.pstnhub.microsoft.com", "443", false));
        assert_eq!((uri.param("x-i"), uri.param("X-C"), uri.param("lr")), (Some("1/2"), Some("a:b/d"), None));
        let uri = PlainUri::read("sip:+1;ext=2@[2001:db8::1]:5061;transport=tls?Replaces=a%3Bb");
        assert_eq!(
            (uri.user, uri.host, uri.port, uri.headers),
            ("+1;ext=2", "[2001:db8::1]", "5061", "Replaces=a%3Bb")
        );
        assert!(uri.is_address() && is_address("192.0.2.1") && !is_address("example.com"));
    }
}
