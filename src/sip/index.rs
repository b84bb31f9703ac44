//! Where the parts of a message lie (RFC 3261 §7): one walk over the lines of its header section.
//!
//! The walk copies nothing. Only a head with folded lines, with octets outside UTF-8, or with a NUL that a quoted pair
//! allows (RFC 4475 §3.1.1.2) is copied once, so that it reads as text of the same length.

use super::framing::MAX_HEAD;
use super::message::{MAX_LINES, Malformed};
use super::text::{is_token, legible};
use super::{Method, Name};
use bytes::Bytes;
use bytestring::ByteString;
use smallvec::SmallVec;
use std::ops::Range;

/// Positions within the octets of a message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) start: u16,
    pub(super) end: u16,
}

impl Span {
    /// Positions in a head are below [`MAX_HEAD`], which 16 bits hold.
    fn new(start: usize, end: usize) -> Self {
        Self { start: start as u16, end: end as u16 }
    }

    pub(super) fn range(self) -> Range<usize> {
        usize::from(self.start)..usize::from(self.end)
    }
}

/// One header field line with what is folded into it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) name: Name,
    pub(super) text: Span,
    pub(super) value: Span,
    /// After the CRLF that ends the line.
    pub(super) end: u16,
}

/// Longer than any name that is in use. A line with a longer one is read all the same.
const LONGEST_NAME: usize = 64;

/// The lines of a head. More of them than any platform writes cost an allocation.
pub(super) type Lines = SmallVec<[Line; 32]>;

#[derive(Clone, Debug)]
pub(super) enum Start {
    Request { method: Method, uri: Span },
    Response { status: u16, reason: Span },
}

/// What the walk found.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) start: Start,
    pub(super) start_end: u16,
    /// The head as text, up to the empty line and with it.
    pub(super) head: ByteString,
    /// The first rule broken that leaves the message readable.
    pub(super) fault: Option<Malformed>,
}

/// Walks over the head of a message; its header field lines go to `lines`.
///
/// # Errors
///
/// [`Malformed`] where not even start line and header field lines can be told apart, and
/// [`Malformed::TooLarge`] where the head does not end within [`MAX_HEAD`].
pub(super) fn index(octets: &Bytes, lines: &mut Lines) -> Result<Index, Malformed> {
    let window = &octets[..octets.len().min(MAX_HEAD)];
    let endless = if octets.len() > MAX_HEAD { Malformed::TooLarge } else { Malformed::NoEnd };
    let mut walk = Walk {
        octets: window,
        endless,
        lines,
        fault: None,
        folded: false,
        nuls: SmallVec::new(),
        quoting: Quoting::default(),
    };
    let first = walk.start_line()?;
    let start = start_line(&window[..first], &mut walk.fault)?;
    let end = walk.lines(first + 2)?;
    let Walk { fault, folded, nuls, .. } = walk;
    let head = match ByteString::try_from(octets.slice(..end)) {
        Ok(text) if !folded && nuls.is_empty() => text,
        _ => masked(&octets[..end], &nuls),
    };
    Ok(Index { start, start_end: (first + 2) as u16, head, fault })
}

/// The walk over the lines of a head.
struct Walk<'o> {
    /// As much of the message as a head may be long.
    octets: &'o [u8],
    /// What it is called when the head does not end.
    endless: Malformed,
    lines: &'o mut Lines,
    fault: Option<Malformed>,
    /// Some line is folded (§7.3.1).
    folded: bool,
    /// Where a NUL stands in a quoted pair.
    nuls: SmallVec<[u16; 2]>,
    quoting: Quoting,
}

/// What a line begins with that does not begin as most do.
enum Odd {
    /// A colon, what is in front of it ending at `end`; `None` when that is no name.
    Name { colon: usize, end: usize, name: Option<Name> },
    /// Nothing that a colon would end: the line itself ends at `end`.
    Line { end: usize },
}

impl Walk<'_> {
    /// The lines from `at` to the empty one; returns what is behind that.
    fn lines(&mut self, mut at: usize) -> Result<usize, Malformed> {
        loop {
            match self.octets.get(at).ok_or(self.endless)? {
                b'\r' if self.octets.get(at + 1) == Some(&b'\n') => return Ok(at + 2),
                _ if self.lines.len() == MAX_LINES => {
                    // Those before it suffice for a response.
                    self.fault.get_or_insert(Malformed::TooLarge);
                    let end = memchr::memmem::find(&self.octets[at - 2..], b"\r\n\r\n").ok_or(self.endless)?;
                    return Ok(at - 2 + end + 4);
                }
                _ => at = self.line(at)? + 2,
            }
        }
    }

    /// One header field line and what is folded into it; returns where its CRLF stands.
    fn line(&mut self, at: usize) -> Result<usize, Malformed> {
        let octets = self.octets;
        // Most names end right in front of their colon, and soon. That nothing else is in front of it, the name tells.
        let near = &octets[at..octets.len().min(at + LONGEST_NAME)];
        let near = memchr::memchr(b':', near).and_then(|length| Some((at + length, name(&near[..length])?)));
        let (colon, text_end, name) = match near {
            Some((colon, name)) => (colon, colon, Some(name)),
            None => match self.odd_name(at)? {
                Odd::Name { colon, end, name } => (colon, end, name),
                Odd::Line { end } => return Ok(end),
            },
        };
        let end = self.value_end(colon + 1)?;
        let Some(name) = name else {
            self.fault.get_or_insert(Malformed::HeaderLine);
            return Ok(end);
        };
        let (mut start, mut stop) = (colon + 1, end);
        while start < stop && is_blank(octets[start]) {
            start += 1;
        }
        while stop > start && is_blank(octets[stop - 1]) {
            stop -= 1;
        }
        let value = Span::new(start, stop);
        self.lines.push(Line { name, text: Span::new(at, text_end), value, end: (end + 2) as u16 });
        Ok(end)
    }

    /// A name that is long, or has something between it and its colon.
    #[cold]
    fn odd_name(&mut self, at: usize) -> Result<Odd, Malformed> {
        let stop = self.colon(at)?;
        let text = without_blanks(&self.octets[at..stop]);
        let name = name(text);
        if name.is_none() && memchr::memchr(0, text).is_some() {
            return Err(Malformed::ControlCharacter);
        }
        if self.octets[stop] == b':' {
            return Ok(Odd::Name { colon: stop, end: at + text.len(), name });
        }
        self.fault.get_or_insert(Malformed::HeaderLine);
        Ok(Odd::Line { end: stop })
    }

    /// Where the colon stands that ends a name with blanks behind it, or else the CRLF of the line. RFC 2543 let it be
    /// folded there: what is folded is looked through once, whether it has a colon or not.
    fn colon(&mut self, mut at: usize) -> Result<usize, Malformed> {
        loop {
            at += memchr::memchr3(b':', b'\r', b'\n', &self.octets[at..]).ok_or(self.endless)?;
            match self.octets[at..] {
                [b':', ..] => return Ok(at),
                [b'\r', b'\n', b' ' | b'\t', ..] => {
                    self.folded = true;
                    at += 2;
                }
                [b'\r', b'\n', ..] => return Ok(at),
                [b'\r'] => return Err(self.endless),
                _ => return Err(Malformed::ControlCharacter),
            }
        }
    }

    /// Where the CRLF of the start line stands.
    fn start_line(&self) -> Result<usize, Malformed> {
        let end = memchr::memchr3(b'\r', b'\n', 0, self.octets).ok_or(self.endless)?;
        match self.octets[end..] {
            [b'\r', b'\n', ..] => Ok(end),
            [b'\r'] => Err(self.endless),
            _ => Err(Malformed::ControlCharacter),
        }
    }

    /// Where the CRLF stands that ends the value from `from` on: no blank follows it. Any other CR or LF stands nowhere,
    /// and a NUL only in a quoted pair.
    fn value_end(&mut self, from: usize) -> Result<usize, Malformed> {
        let mut at = from;
        loop {
            at += memchr::memchr3(b'\r', b'\n', 0, &self.octets[at..]).ok_or(self.endless)?;
            match self.octets[at..] {
                [b'\r', b'\n', b' ' | b'\t', ..] => {
                    self.folded = true;
                    at += 2;
                }
                [b'\r', b'\n', ..] => return Ok(at),
                [b'\r'] => return Err(self.endless),
                [0, ..] if self.quoting.pairs(self.octets, from, at) => {
                    self.nuls.push(at as u16);
                    at += 1;
                }
                _ => return Err(Malformed::ControlCharacter),
            }
        }
    }
}

/// Whether an octet stands around values and does not belong to them, the ends of folded lines included.
pub(super) fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

/// A name without the blanks behind it, folds included. Nothing else is a blank: what one parser passes over and another
/// does not would give one line two names.
pub(super) fn without_blanks(name: &[u8]) -> &[u8] {
    let end = name.iter().rposition(|&octet| !is_blank(octet)).map_or(0, |last| last + 1);
    &name[..end]
}

/// The name that `text` is; `None` when it is no token.
fn name(text: &[u8]) -> Option<Name> {
    let name = Name::of_octets(text);
    (name != Name::Other || is_token(text)).then_some(name)
}

/// How far a value has been looked through for quoted strings; only a NUL in it makes anyone look.
#[derive(Default)]
struct Quoting {
    /// Where the value begins.
    from: usize,
    at: usize,
    quoted: bool,
    escaped: bool,
}

impl Quoting {
    /// Whether what stands at `to`, in a value that begins at `from`, is the second half of a quoted pair (§25.1).
    #[cold]
    fn pairs(&mut self, octets: &[u8], from: usize, to: usize) -> bool {
        if self.from != from {
            *self = Self { from, at: from, ..Self::default() };
        }
        for octet in &octets[self.at..to] {
            match octet {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.quoted => self.escaped = true,
                b'"' => self.quoted = !self.quoted,
                _ => {}
            }
        }
        self.at = to;
        self.escaped
    }
}

/// The head as text of the same length: blanks for the ends of lines that are folded, `?` for what is no text.
fn masked(head: &[u8], nuls: &[u16]) -> ByteString {
    let mut octets = head.to_vec();
    for at in memchr::memchr_iter(b'\n', head) {
        if matches!(head.get(at + 1), Some(b' ' | b'\t')) {
            octets[at - 1..=at].fill(b' ');
        }
    }
    for &at in nuls {
        octets[usize::from(at)] = b'?';
    }
    ByteString::from(legible(&octets))
}

/// Reads the start line. A fault that leaves the message readable goes to `fault`.
fn start_line(line: &[u8], fault: &mut Option<Malformed>) -> Result<Start, Malformed> {
    // All octets are looked at, many at a time, rather than one after the other up to the first.
    if line.iter().fold(false, |found, octet| found | octet.is_ascii_control()) {
        return Err(Malformed::ControlCharacter);
    }
    if let Some(rest) = line.strip_prefix(b"SIP/2.0 ") {
        // The blank before an empty reason phrase is sometimes left out.
        let ([hundreds @ b'1'..=b'6', tens, ones] | [hundreds @ b'1'..=b'6', tens, ones, b' ', ..]) = rest else {
            return Err(Malformed::StartLine);
        };
        if !(tens.is_ascii_digit() && ones.is_ascii_digit()) {
            return Err(Malformed::StartLine);
        }
        let status = [hundreds, tens, ones].iter().fold(0, |status, digit| status * 10 + u16::from(**digit - b'0'));
        return Ok(Start::Response {
            status,
            reason: Span::new(line.len() - rest.len().saturating_sub(4), line.len()),
        });
    }
    if line.starts_with(b"SIP/") {
        return Err(Malformed::Version);
    }
    let first = memchr::memchr(b' ', line).ok_or(Malformed::StartLine)?;
    let last = memchr::memrchr(b' ', line).filter(|&last| last > first + 1).ok_or(Malformed::StartLine)?;
    let (method, uri, version) = (&line[..first], &line[first + 1..last], &line[last + 1..]);
    let method = std::str::from_utf8(method).ok().and_then(Method::of).ok_or(Malformed::StartLine)?;
    if version != b"SIP/2.0" && !version.eq_ignore_ascii_case(b"SIP/2.0") {
        let known = version.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"SIP/"));
        fault.get_or_insert(if known { Malformed::Version } else { Malformed::StartLine });
    }
    if uri.iter().fold(false, |found, octet| found | matches!(octet, b' ' | b'<' | b'>' | b'"')) {
        fault.get_or_insert(Malformed::StartLine);
    }
    Ok(Start::Request { method, uri: Span::new(first + 1, last) })
}
