//! Where one SIP message ends and the next begins on a byte stream (RFC 3261 §18.3, RFC 5626 §4.4.1).
//!
//! A connection carries messages back to back, with CRLF keep-alives between them. [`Framer`] splits
//! the first whole message off the read buffer without copying, and looks at nothing but the end of
//! the header section and Content-Length. What is inside is the business of
//! [`Message::parse`](super::Message::parse). A datagram needs no framing: it is one message.

use super::Name;
use super::index::{is_blank, without_blanks};
use bytes::{Bytes, BytesMut};
use memchr::memmem;

/// The longest header section accepted, in octets (spans are 16 bits wide; TDR-72 asks for 64 KiB messages).
pub const MAX_HEAD: usize = u16::MAX as usize;

/// The longest message accepted with its body, in octets (TDR-72, GEN-64: 64 KiB and above).
pub const MAX_MESSAGE: usize = 256 * 1024;

/// What the front of a stream holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Frame {
    /// One whole message, from start line to the end of its body.
    Message(Bytes),
    /// A double CRLF: the peer asks for a single CRLF in return (RFC 5626 §4.4.1).
    Ping,
}

/// Why the end of a message cannot be known. The connection has to be closed after any of these.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FramingError {
    /// The header section is longer than [`MAX_HEAD`], or the message longer than [`MAX_MESSAGE`].
    #[error("message too large")]
    TooLarge,
    /// Content-Length is absent, which a stream does not allow (RFC 3261 §18.3).
    #[error("Content-Length missing on a stream")]
    NoContentLength,
    /// Content-Length is not a number, or two of them differ.
    #[error("Content-Length not a single number")]
    BadContentLength,
}

impl FramingError {
    /// The status of the response, where one can be made before the connection is closed.
    pub fn status(self) -> u16 {
        match self {
            Self::TooLarge => 513,
            Self::NoContentLength | Self::BadContentLength => 400,
        }
    }
}

/// Splits a stream into messages; keeps how far the buffer has been searched, so that a message that
/// arrives in many pieces is not searched from its start each time.
#[derive(Debug, Default)]
pub struct Framer {
    searched: usize,
    whole: Option<usize>,
}

impl Framer {
    /// Splits the first frame off the front of `buffer`; `None` while it is incomplete.
    ///
    /// A lone CRLF ahead of a start line is dropped (RFC 3261 §7.5).
    ///
    /// # Errors
    ///
    /// After any [`FramingError`] the end of the message cannot be known: close the connection.
    /// `buffer` still holds the octets, so that a response can be made from them.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FramingError> {
        if self.searched == 0 && self.whole.is_none() {
            if buffer.starts_with(b"\r\n\r\n") {
                let _ = buffer.split_to(4);
                return Ok(Some(Frame::Ping));
            }
            // One CRLF may be the first half of a ping: only what follows it tells.
            if buffer.len() > 2 && buffer.starts_with(b"\r\n") && buffer[2] != b'\r' {
                let _ = buffer.split_to(2);
            }
            if buffer.first().is_none_or(|&octet| octet == b'\r') && buffer.len() < 4 {
                return Ok(None);
            }
        }
        let whole = match self.whole {
            Some(whole) => whole,
            None => match self.length(buffer)? {
                Some(whole) => *self.whole.insert(whole),
                None => return Ok(None),
            },
        };
        if buffer.len() < whole {
            return Ok(None);
        }
        *self = Self::default();
        Ok(Some(Frame::Message(buffer.split_to(whole).freeze())))
    }

    /// Takes a single CRLF off the front of `buffer`, where a peer that was sent a double one puts its answer
    /// (RFC 5626 §4.4.1); `false` when something else is there. Only who waits for an answer may ask: the
    /// CRLF can be the first half of a keep-alive.
    pub fn take_pong(&self, buffer: &mut BytesMut) -> bool {
        let between = self.searched == 0 && self.whole.is_none();
        let single = buffer.starts_with(b"\r\n") && buffer.get(2) != Some(&b'\r');
        if between && single {
            let _ = buffer.split_to(2);
        }
        between && single
    }

    /// The length of the first message, once its header section is complete.
    fn length(&mut self, buffer: &BytesMut) -> Result<Option<usize>, FramingError> {
        let from = self.searched.saturating_sub(3);
        let Some(end) = memmem::find(&buffer[from..], b"\r\n\r\n") else {
            self.searched = buffer.len();
            return if buffer.len() > MAX_HEAD { Err(FramingError::TooLarge) } else { Ok(None) };
        };
        let head = from + end + 4;
        if head > MAX_HEAD {
            return Err(FramingError::TooLarge);
        }
        let body = content_length(&buffer[..head])?.ok_or(FramingError::NoContentLength)?;
        match head.checked_add(body) {
            Some(whole) if whole <= MAX_MESSAGE => Ok(Some(whole)),
            _ => Err(FramingError::TooLarge),
        }
    }
}

/// The Content-Length of a header section, in octets; `None` when no line has it.
///
/// Lines are told apart as [`Message::parse`](super::Message::parse) does it, folds of name and value included (RFC 3261
/// §7.3.1), and every bare LF begins one, too: what it hides may contradict, and never goes unseen.
fn content_length(head: &[u8]) -> Result<Option<usize>, FramingError> {
    let mut found = None;
    let mut rest = after_line(head);
    while !rest.is_empty() {
        let behind = after_line(rest);
        let line = &rest[..rest.len() - behind.len()];
        rest = behind;
        if !matches!(line.first(), Some(b'C' | b'c' | b'L' | b'l')) {
            continue;
        }
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        if Name::of_octets(without_blanks(&line[..colon])) != Name::ContentLength {
            continue;
        }
        let length = number(&line[colon + 1..])?;
        if found.is_some_and(|earlier| earlier != length) {
            return Err(FramingError::BadContentLength);
        }
        found = Some(length);
    }
    Ok(found)
}

/// What is behind the first line of `head` and all that is folded into it. Each octet is looked at once, whatever the
/// lines are made of.
fn after_line(head: &[u8]) -> &[u8] {
    let mut ends = memchr::memchr_iter(b'\n', head).map(|end| &head[end + 1..]);
    ends.find(|behind| !matches!(behind.first(), Some(b' ' | b'\t'))).unwrap_or(&[])
}

/// A decimal number with blanks around it and nothing else.
fn number(text: &[u8]) -> Result<usize, FramingError> {
    let start = text.iter().position(|&octet| !is_blank(octet)).unwrap_or(text.len());
    let digits = without_blanks(&text[start..]);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(FramingError::BadContentLength);
    }
    // More digits than any length has: too large rather than malformed.
    let text = std::str::from_utf8(digits).map_err(|_| FramingError::BadContentLength)?;
    text.parse().map_err(|_| FramingError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"OPTIONS sip:a@example.com SIP/2.0\r\nl: 3\r\n\r\nabc";

    fn frames(octets: &[u8]) -> Vec<Frame> {
        let mut buffer = BytesMut::from(octets);
        let mut framer = Framer::default();
        std::iter::from_fn(|| framer.next(&mut buffer).expect("frames")).collect()
    }

    #[test]
    fn pipelined_messages_come_apart() {
        let found = frames(&[MESSAGE, MESSAGE, b"\r\n", MESSAGE].concat());
        assert_eq!(found, vec![Frame::Message(Bytes::from_static(MESSAGE)); 3]);
    }

    #[test]
    fn a_message_in_single_octets_comes_together() {
        let mut buffer = BytesMut::new();
        let mut framer = Framer::default();
        for (i, octet) in MESSAGE.iter().enumerate() {
            buffer.extend_from_slice(&[*octet]);
            let frame = framer.next(&mut buffer).expect("frames");
            assert_eq!(frame.is_some(), i + 1 == MESSAGE.len());
        }
    }

    #[test]
    fn a_double_crlf_is_a_ping_and_a_single_one_is_nothing() {
        assert_eq!(frames(b"\r\n\r\n"), [Frame::Ping]);
        assert_eq!(frames(b"\r\n"), []);
        assert_eq!(frames(&[b"\r\n\r\n", MESSAGE].concat())[0], Frame::Ping);
    }

    #[test]
    fn a_single_crlf_between_messages_can_be_taken_for_an_answer() {
        for (octets, taken) in [("\r\n", true), ("\r\nOPTIONS", true), ("\r\n\r\n", false), ("\r", false), ("", false)]
        {
            let mut buffer = BytesMut::from(octets);
            assert_eq!(Framer::default().take_pong(&mut buffer), taken, "{octets:?}");
            assert_eq!(buffer.len(), if taken { octets.len() - 2 } else { octets.len() });
        }
        let (mut framer, mut buffer) = (Framer::default(), BytesMut::from("OPTIONS"));
        assert_eq!(framer.next(&mut buffer), Ok(None));
        buffer = BytesMut::from("\r\n");
        assert!(!framer.take_pong(&mut buffer), "within a message");
    }

    #[test]
    fn lengths_that_cannot_be_trusted_end_the_stream() {
        for (head, error) in [
            ("", FramingError::NoContentLength),
            ("Content-Length: -1\r\n", FramingError::BadContentLength),
            ("Content-Length: 3\r\nl: 4\r\n", FramingError::BadContentLength),
            ("Content-Length: 99999999999999999999999999\r\n", FramingError::TooLarge),
            ("Content-Length: 18446744073709551615\r\n", FramingError::TooLarge),
        ] {
            let text = format!("OPTIONS sip:a@example.com SIP/2.0\r\n{head}\r\n");
            assert_eq!(Framer::default().next(&mut BytesMut::from(text.as_bytes())), Err(error), "{head}");
        }
    }

    #[test]
    fn a_length_may_be_folded_and_stands_alone_all_the_same() {
        for (line, length) in [
            ("Content-Length:\r\n 3", Ok(3)),
            ("l \r\n\t:\r\n 3\r\n ", Ok(3)),
            ("Content-Length: 3\r\n 4", Err(FramingError::BadContentLength)),
            ("Content-Length: 3\r\n\t, 3", Err(FramingError::BadContentLength)),
            ("X-Field: 1\r\n Content-Length: 3", Err(FramingError::NoContentLength)),
        ] {
            let head = format!("OPTIONS sip:a@example.com SIP/2.0\r\n{line}\r\n\r\n");
            let found = Framer::default().length(&BytesMut::from(head.as_bytes()));
            assert_eq!(found, length.map(|length| Some(head.len() + length)), "{line}");
        }
    }

    #[test]
    fn a_header_section_without_end_is_refused() {
        let mut buffer = BytesMut::from(vec![b'a'; MAX_HEAD + 1].as_slice());
        assert_eq!(Framer::default().next(&mut buffer), Err(FramingError::TooLarge));
    }
}
