//! One SIP message over the octets it came in (RFC 3261 §7).
//!
//! [`Message::parse`] finds every header field line, names it and bounds its value, checks what no
//! element can do without (§8.1.1), and copies nothing. Values are decoded when somebody asks, by the
//! types of the sibling modules. The octets are never changed: [`Edits`](super::Edits) says how what
//! leaves differs from what came.
//!
//! Lenient in: folded lines read as one line, octets that are not UTF-8 read as `?`, blanks around
//! colons do not matter, the header names may have any case or their compact form. The octets
//! themselves still pass as they are.

use super::framing::{MAX_HEAD, MAX_MESSAGE};
use super::index::{Index, Lines, Span, Start, index};
use super::{Method, Name};
use bytes::Bytes;
use bytestring::ByteString;
use std::ops::Range;

/// The most header field lines accepted in one message.
pub const MAX_LINES: usize = 512;

/// Why octets are not a SIP message that can be acted on; one variant per rule broken.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// Not `Method SP Request-URI SP SIP-Version` or `SIP-Version SP Status-Code SP Reason-Phrase` (§7.1, §7.2).
    #[error("start line malformed")]
    StartLine,
    /// A SIP version other than 2.0 (§21.5.6).
    #[error("SIP version not supported")]
    Version,
    /// No empty line ends the header section (§7).
    #[error("header section without end")]
    NoEnd,
    /// A line without a colon, or with a name that is not a token (§7.3.1).
    #[error("header field line malformed")]
    HeaderLine,
    /// A bare CR or LF, or a NUL, within the header section (§7.3.1).
    #[error("control character in header section")]
    ControlCharacter,
    /// More than [`MAX_LINES`] lines, or a head or message above the limits of framing.
    #[error("message too large")]
    TooLarge,
    /// A field that every message has is missing (§8.1.1).
    #[error("{} missing", .0.as_str())]
    Missing(Name),
    /// A field that stands once stands twice (§7.3.1).
    #[error("{} repeated", .0.as_str())]
    Repeated(Name),
    /// CSeq is not a number below 2³² and a method (§20.16).
    #[error("CSeq malformed")]
    CSeq,
    /// CSeq names another method than the start line (§8.1.1.5).
    #[error("CSeq method differs from request method")]
    CSeqMethod,
    /// Content-Length is not a number (§20.14).
    #[error("Content-Length malformed")]
    ContentLength,
    /// A datagram ends before its Content-Length (§18.3).
    #[error("body shorter than Content-Length")]
    Truncated,
}

impl Malformed {
    /// The status of the response to a request with this fault (§21.4.1, §21.5.6, §21.5.7).
    pub fn status(self) -> u16 {
        match self {
            Self::Version => 505,
            Self::TooLarge => 513,
            Self::StartLine
            | Self::NoEnd
            | Self::HeaderLine
            | Self::ControlCharacter
            | Self::Missing(_)
            | Self::Repeated(_)
            | Self::CSeq
            | Self::CSeqMethod
            | Self::ContentLength
            | Self::Truncated => 400,
        }
    }
}

/// Octets that are refused, and what of them can still be read.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// The first rule broken.
    pub fault: Malformed,
    /// The message as far as it could be indexed, from which a response can be made. `None` where
    /// not even start line and header lines could be told apart, and for responses.
    pub request: Option<Box<Message>>,
}

/// The CSeq header field (RFC 3261 §20.16).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CSeq {
    /// The sequence number.
    pub number: u32,
    /// The method; in a response the method of its request.
    pub method: Method,
}

/// One header field line as it stands.
#[derive(Clone, Copy, Debug)]
pub struct HeaderLine<'m> {
    /// Which field it is.
    pub name: Name,
    /// The name as written.
    pub text: &'m str,
    /// The value without blanks around it; what was folded is joined by blanks.
    pub value: &'m str,
    /// The octets of the value, as they came: what is no text stands as it is, and folds with their CRLF.
    pub raw: &'m [u8],
    /// The whole line with its CRLF, as it came.
    pub octets: &'m [u8],
}

/// A SIP request or response.
#[derive(Clone, Debug)]
pub struct Message {
    octets: Bytes,
    /// The octets up to the body, as text of the same length: see the module's story.
    head: ByteString,
    start: Start,
    start_end: u16,
    lines: Lines,
    cseq: CSeq,
    body: Range<usize>,
}

impl Message {
    /// Indexes one whole message: what [`Framer`](super::Framer) split off a stream, or a datagram.
    ///
    /// Octets after Content-Length are ignored, as UDP demands (RFC 3261 §18.3).
    ///
    /// # Errors
    ///
    /// [`Rejected`] names the first rule broken and holds what is needed for a response.
    pub fn parse(octets: Bytes) -> Result<Self, Rejected> {
        let refused = |fault| Rejected { fault, request: None };
        if octets.len() > MAX_MESSAGE {
            return Err(refused(Malformed::TooLarge));
        }
        let mut lines = Lines::new();
        let Index { start, start_end, head, fault } = match index(&octets, &mut lines) {
            Ok(index) => index,
            Err(fault @ Malformed::TooLarge) => return Err(Rejected { fault, request: beginning(&octets) }),
            Err(fault) => return Err(refused(fault)),
        };
        let body = head.len()..octets.len();
        let cseq = CSeq { number: 0, method: Method::Other(ByteString::new()) };
        let mut message = Self { octets, head, start, start_end, lines, cseq, body };
        match fault.map_or_else(|| message.check(), Err) {
            Ok(()) => Ok(message),
            Err(fault) => {
                let request = message.is_request().then(|| Box::new(message));
                Err(Rejected { fault, request })
            }
        }
    }

    /// What every message must have (§8.1.1), and what must not stand twice (§7.3.1).
    fn check(&mut self) -> Result<(), Malformed> {
        let (mut via, mut seen, mut repeated, mut length) = (false, 0_u8, 0_u8, None);
        for line in &self.lines {
            let once = match line.name {
                Name::Via => {
                    via = true;
                    continue;
                }
                Name::ContentLength => {
                    let value = self.head.get(line.value.range()).unwrap_or("");
                    let digits = !value.is_empty() && value.bytes().all(|octet| octet.is_ascii_digit());
                    let found =
                        digits.then(|| value.parse::<usize>().ok()).flatten().ok_or(Malformed::ContentLength)?;
                    if length.is_some_and(|earlier| earlier != found) {
                        return Err(Malformed::Repeated(Name::ContentLength));
                    }
                    length = Some(found);
                    continue;
                }
                Name::From => 0,
                Name::To => 1,
                Name::CallId => 2,
                Name::CSeq => 3,
                Name::MaxForwards => 4,
                Name::ContentType => 5,
                _ => continue,
            };
            repeated |= seen & 1 << once;
            seen |= 1 << once;
        }
        if !via {
            return Err(Malformed::Missing(Name::Via));
        }
        let missing = !seen & 0b1111;
        if missing | repeated != 0 {
            let first = (missing | repeated).trailing_zeros();
            let name =
                [Name::From, Name::To, Name::CallId, Name::CSeq, Name::MaxForwards, Name::ContentType][first as usize];
            let absent = missing & 1 << first != 0;
            return Err(if absent { Malformed::Missing(name) } else { Malformed::Repeated(name) });
        }
        if let Some(length) = length {
            let available = self.body.len();
            if length > available {
                return Err(Malformed::Truncated);
            }
            self.body.end = self.body.start + length;
        }
        self.cseq = cseq(self.header(Name::CSeq).unwrap_or("")).ok_or(Malformed::CSeq)?;
        match &self.start {
            Start::Request { method, .. } if *method != self.cseq.method => Err(Malformed::CSeqMethod),
            _ => Ok(()),
        }
    }

    /// Whether this is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// The method: of the start line, or for a response of its CSeq.
    pub fn method(&self) -> &Method {
        match &self.start {
            Start::Request { method, .. } => method,
            Start::Response { .. } => &self.cseq.method,
        }
    }

    /// The status code of a response, 100 to 699; `None` for a request.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(status),
        }
    }

    /// The reason phrase of a response; empty for a request.
    pub fn reason(&self) -> &str {
        match self.start {
            Start::Request { .. } => "",
            Start::Response { reason, .. } => self.text(reason),
        }
    }

    /// The Request-URI as written; empty for a response.
    pub fn request_uri(&self) -> &str {
        match self.start {
            Start::Request { uri, .. } => self.text(uri),
            Start::Response { .. } => "",
        }
    }

    /// The value of the first line with `name`; `None` when there is none. Not for [`Name::Other`].
    pub fn header(&self, name: Name) -> Option<&str> {
        self.headers(name).next()
    }

    /// The values of all lines with `name`, in order, lists not taken apart.
    pub fn headers(&self, name: Name) -> impl Iterator<Item = &str> + '_ {
        self.lines.iter().filter(move |line| line.name == name).map(|line| self.text(line.value))
    }

    /// The values with `name`, in order, comma-separated lists taken apart (§7.3.1).
    pub fn values(&self, name: Name) -> impl Iterator<Item = &str> + '_ {
        self.headers(name).flat_map(split_list)
    }

    /// The values of all lines whose name is `text` in any case: for fields without a [`Name`].
    pub fn extension<'m>(&'m self, text: &'m str) -> impl Iterator<Item = &'m str> + 'm {
        self.lines().filter(move |line| line.text.eq_ignore_ascii_case(text)).map(|line| line.value)
    }

    /// Every header field line, in order.
    pub fn lines(&self) -> impl Iterator<Item = HeaderLine<'_>> + '_ {
        self.lines.iter().map(|line| HeaderLine {
            name: line.name,
            text: self.text(line.text),
            value: self.text(line.value),
            raw: &self.octets[line.value.range()],
            octets: &self.octets[usize::from(line.text.start)..usize::from(line.end)],
        })
    }

    /// The start line with its CRLF, as it came.
    pub fn start_line(&self) -> &[u8] {
        &self.octets[..usize::from(self.start_end)]
    }

    /// CSeq, checked against the start line when the message was parsed.
    pub fn cseq(&self) -> &CSeq {
        &self.cseq
    }

    /// Call-ID; empty only in a [`Rejected`] message.
    pub fn call_id(&self) -> &str {
        self.header(Name::CallId).unwrap_or("")
    }

    /// The body, empty when there is none.
    pub fn body(&self) -> Bytes {
        self.octets.slice(self.body.clone())
    }

    /// All octets, from start line to end of body.
    pub fn octets(&self) -> Bytes {
        self.octets.slice(..self.body.end)
    }

    /// A piece of this message as a value that outlives it, without a copy.
    ///
    /// `piece` has to be a slice of what this message gave out; anything else is copied.
    pub fn keep(&self, piece: &str) -> ByteString {
        let head = self.head.as_bytes().as_ptr_range();
        let within = piece.as_bytes().as_ptr_range();
        if head.start <= within.start && within.end <= head.end {
            self.head.slice_ref(piece)
        } else {
            ByteString::from(piece)
        }
    }

    fn text(&self, span: Span) -> &str {
        self.head.get(span.range()).unwrap_or("")
    }
}

/// What can be read of a request whose header section is too long: the fields that end within the limit.
/// `None` unless all that a response repeats is among them (§8.2.6.2).
fn beginning(octets: &[u8]) -> Option<Box<Message>> {
    const REPEATED: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];
    // The last field may go on in a folded line that is beyond the limit.
    let ends = |&at: &usize| !matches!(octets.get(at + 2), None | Some(b' ' | b'\t'));
    let end = memchr::memmem::rfind_iter(octets.get(..MAX_HEAD - 2)?, b"\r\n").find(ends)?;
    let head = [&octets[..end], b"\r\n\r\n"].concat();
    let request = match Message::parse(Bytes::from(head)) {
        Ok(message) => message.is_request().then(|| Box::new(message)),
        Err(rejected) => rejected.request,
    };
    request.filter(|request| REPEATED.iter().all(|&name| request.header(name).is_some()))
}

/// Splits a header field value at the commas that stand outside quotes and angle brackets (§7.3.1).
/// Blanks around the parts are dropped; empty parts are passed over.
pub fn split_list(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        loop {
            let text = rest?;
            let end = list_end(text);
            rest = text.get(end + 1..);
            let part = text[..end].trim_ascii();
            if !part.is_empty() {
                return Some(part);
            }
        }
    })
}

fn list_end(text: &str) -> usize {
    // Most values have no comma at all.
    if memchr::memchr(b',', text.as_bytes()).is_none() {
        return text.len();
    }
    let (mut quoted, mut escaped, mut angle) = (false, false, false);
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !angle => quoted = !quoted,
            b'<' if !quoted => angle = true,
            b'>' if !quoted => angle = false,
            b',' if !quoted && !angle => return at,
            _ => {}
        }
    }
    text.len()
}

/// `1*DIGIT LWS Method`, the number below 2³² (§20.16, §8.1.1.5).
fn cseq(value: &str) -> Option<CSeq> {
    let blank = memchr::memchr2(b' ', b'\t', value.as_bytes())?;
    let (number, method) = (&value[..blank], value[blank..].trim_ascii());
    let digits = number.bytes().all(|octet| octet.is_ascii_digit());
    Some(CSeq { number: digits.then(|| number.parse().ok()).flatten()?, method: Method::of(method)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &str = "Via: SIP/2.0/TLS a.example.com;branch=z9hG4bK1\r\nFrom: <sip:a.example.com>;tag=1\r\n\
        To: <sip:b.example.com>\r\nCall-ID: 1@a.example.com\r\nCSeq: 1 OPTIONS\r\n";

    fn refused(rest: &str) -> Rejected {
        let text = format!("OPTIONS sip:b.example.com SIP/2.0\r\n{rest}");
        Message::parse(Bytes::from(text)).unwrap_err()
    }

    #[test]
    fn what_a_response_repeats_is_read_of_a_header_section_that_is_too_long() {
        let long = "x".repeat(MAX_HEAD);
        let folded = "\r\n x".repeat(MAX_HEAD / 4 + 1);
        let many = "X-Field: 1\r\n".repeat(MAX_HEAD / 10);
        for rest in [
            format!("{FIELDS}X-Field: {long}"),
            format!("{FIELDS}X-Field: {long}\r\n\r\n"),
            format!("{FIELDS}X-Field: {folded}\r\n\r\n"),
            format!("{FIELDS}{many}"),
            format!("{FIELDS}{}\r\n", "X-Field: 1\r\n".repeat(MAX_LINES)),
        ] {
            let rejected = refused(&rest);
            assert_eq!((rejected.fault, rejected.fault.status()), (Malformed::TooLarge, 513));
            let request = rejected.request.expect("a request");
            assert_eq!((request.call_id(), request.header(Name::CSeq)), ("1@a.example.com", Some("1 OPTIONS")));
        }
    }

    #[test]
    fn without_what_a_response_repeats_there_is_nothing_to_answer() {
        let long = "x".repeat(MAX_HEAD);
        for rest in [
            format!("X-Field: {long}\r\n{FIELDS}\r\n"),
            format!("Via: {long}\r\n{FIELDS}\r\n"),
            // The last field goes on beyond the limit.
            format!("{FIELDS} x{long}"),
            long,
        ] {
            let rejected = refused(&rest);
            assert!(rejected.request.is_none() && rejected.fault == Malformed::TooLarge, "{}", &rest[..40]);
        }
    }
}
