//! What an operator has of messages, taken apart: one message, a log with several, or packets.
//!
//! Text may be the octets of one message, or a log (of sngrep, of SIPp, of anything that writes messages one behind the
//! other): whatever stands between messages is passed over. Packets are read by [`pcap`](super::pcap).

use super::pcap;
use crate::sip::{MAX_MESSAGE, Name, decimal, is_token};
use bytes::Bytes;
use std::net::SocketAddr;

/// The most messages read of one input: a look at decisions, not a load test. What is told of each takes some ten KiB.
pub(super) const MAX_MESSAGES: usize = 2000;

/// One message as it was captured.
#[derive(Clone, Debug, Default)]
pub(super) struct Captured {
    /// Its octets.
    pub(super) octets: Bytes,
    /// Where it stands: `line 12`, `packet 7`.
    pub(super) place: String,
    /// Who sent it, where the capture says so.
    pub(super) source: Option<SocketAddr>,
    /// When it was sent, in milliseconds since the Unix epoch, where the capture says so.
    pub(super) at_ms: Option<u64>,
    /// What was done to it so that it could be read.
    pub(super) notes: Vec<String>,
}

/// All messages of an input.
#[derive(Clone, Debug, Default)]
pub(super) struct Capture {
    /// The messages, in order.
    pub(super) messages: Vec<Captured>,
    /// What else was there and is not simulated, in words.
    pub(super) left_out: Vec<String>,
}

/// Why an input has no messages.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Unreadable {
    /// No octets but blanks.
    #[error("there is no message: the input is empty")]
    Empty,
    /// Text in UTF-16, as editors and shells of Windows write it.
    #[error("the input is UTF-16, and SIP is not")]
    Encoded,
    /// A compressed file.
    #[error("the input is compressed")]
    Compressed,
    /// Nothing in it begins like a SIP message.
    #[error(
        "no SIP message is in the input: octet {octet}, line {line} is neither a request line nor a status line: `{content}`"
    )]
    NoMessage {
        /// Where the first line that is not blank begins.
        octet: usize,
        /// Its number, from 1.
        line: usize,
        /// What it says.
        content: String,
    },
    /// Packets of which none can be read as SIP.
    #[error("no SIP message is in the capture{}", .0.iter().map(|why| format!("; {why}")).collect::<String>())]
    NoPacket(Vec<String>),
    /// A capture that breaks its own format.
    #[error("the capture cannot be read: {0}")]
    Broken(String),
}

impl Unreadable {
    /// What to do about it.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::Empty => "name a file with a SIP message, or a capture",
            Self::Encoded => "save it as UTF-8",
            Self::Compressed => "unpack it first (gunzip, zstd -d)",
            Self::NoMessage { .. } => "a message begins with its request line, such as INVITE sip:… SIP/2.0",
            Self::NoPacket(_) => "capture what is not encrypted: export the decrypted messages as text, or log them",
            Self::Broken(_) => "save it again as pcap or pcapng",
        }
    }
}

/// Takes an input apart.
///
/// # Errors
///
/// [`Unreadable`] when there is not one message in it.
pub(super) fn read(octets: &Bytes) -> Result<Capture, Unreadable> {
    if octets.trim_ascii().is_empty() {
        return Err(Unreadable::Empty);
    }
    if octets.starts_with(b"\x1f\x8b") || octets.starts_with(b"\x28\xb5\x2f\xfd") {
        return Err(Unreadable::Compressed);
    }
    if let Some(read) = pcap::read(octets) {
        let capture = read.map_err(Unreadable::Broken)?;
        return if capture.messages.is_empty() { Err(Unreadable::NoPacket(capture.left_out)) } else { Ok(capture) };
    }
    if octets.starts_with(b"\xff\xfe") || octets.starts_with(b"\xfe\xff") {
        return Err(Unreadable::Encoded);
    }
    // Editors of Windows put a mark in front, which belongs to no message.
    let octets = &octets.slice(if octets.starts_with("\u{feff}".as_bytes()) { 3 } else { 0 }..);
    let capture = text(octets);
    if capture.messages.is_empty() {
        let octet = octets.len() - octets.trim_ascii_start().len();
        let first = octets[octet..].split(|octet| matches!(octet, b'\r' | b'\n')).next().unwrap_or_default();
        let content = String::from_utf8_lossy(first).chars().filter(|c| !c.is_control()).take(80).collect();
        let line = memchr::memchr_iter(b'\n', &octets[..octet]).count() + 1;
        return Err(Unreadable::NoMessage { octet, line, content });
    }
    Ok(capture)
}

/// The messages that stand one behind the other in text.
fn text(octets: &Bytes) -> Capture {
    let mut capture = Capture::default();
    let (mut at, mut line_number, mut source) = (0, 1, None);
    while let Some(end) = line_end(octets, at) {
        let line = &octets[at..end];
        if !is_start(line) {
            source = sender(line).or(source);
            (at, line_number) = (end, line_number + 1);
            continue;
        }
        if capture.messages.len() == MAX_MESSAGES {
            capture.left_out.push(format!("what follows the first {MAX_MESSAGES} messages"));
            break;
        }
        let (mut message, behind) = message(octets, at);
        message.place = format!("line {line_number}");
        message.source = source.take();
        line_number += memchr::memchr_iter(b'\n', &octets[at..behind]).count();
        at = behind;
        capture.messages.push(message);
    }
    capture
}

/// The end of the line that begins at `at`, behind its LF; `None` at the end.
fn line_end(octets: &[u8], at: usize) -> Option<usize> {
    let rest = octets.get(at..).filter(|rest| !rest.is_empty())?;
    Some(memchr::memchr(b'\n', rest).map_or(octets.len(), |lf| at + lf + 1))
}

/// Whether a line is the first of a message: a request line or a status line, of any version.
pub(super) fn is_start(line: &[u8]) -> bool {
    let Ok(line) = std::str::from_utf8(line.trim_ascii_end()) else { return false };
    let version =
        |text: &str| text.strip_prefix("SIP/").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let (Some((first, rest)), Some((_, last))) = (line.split_once(' '), line.rsplit_once(' ')) else { return false };
    let status = || version(first) && rest.bytes().take(3).filter(u8::is_ascii_digit).count() == 3;
    let request = || is_token(first) && version(last) && rest.len() > last.len();
    status() || request()
}

/// Who sent the next message, as sngrep and others write it: `192.0.2.7:5061 -> 198.51.100.1:5061`.
fn sender(line: &[u8]) -> Option<SocketAddr> {
    let line = std::str::from_utf8(line).ok()?;
    let (from, _) = line.split_once(" -> ")?;
    from.split_whitespace().next_back()?.parse().ok()
}

/// Whether a line of a log ends the message before it.
fn is_separator(line: &[u8]) -> bool {
    line.starts_with(b"----") || line.starts_with(b"<---") || sender(line).is_some()
}

/// The message whose start line begins at `start`, and where it ends.
fn message(octets: &Bytes, start: usize) -> (Captured, usize) {
    let mut head_end = octets.len();
    let (mut at, mut bare, mut length, mut whole) = (start, false, None, false);
    while let Some(end) = line_end(octets, at) {
        let line = &octets[at..end];
        if at > start && is_start(line) {
            head_end = at;
            break;
        }
        bare |= line.ends_with(b"\n") && !line.ends_with(b"\r\n");
        at = end;
        if line.trim_ascii().is_empty() {
            (head_end, whole) = (end, true);
            break;
        }
        length = length.or(content_length(line));
    }
    let mut captured = Captured::default();
    if !whole {
        captured.octets = octets.slice(start..head_end);
        return (captured, head_end);
    }
    if !bare {
        let end = match length.and_then(|length| head_end.checked_add(length)) {
            Some(end) if end <= octets.len() => end,
            _ => undelimited(octets, head_end),
        };
        captured.octets = octets.slice(start..end);
        return (captured, end);
    }
    // Text that an editor or a terminal has had in between: its line ends are not those of the wire.
    let body_end = bare_body(octets, head_end, length).unwrap_or_else(|| undelimited(octets, head_end));
    let mut written = with_crlf(&octets[start..head_end]);
    let body = with_crlf(&octets[head_end..body_end]);
    captured.notes.push("its lines end in LF alone: read as CRLF".to_owned());
    if let Some(length) = length.filter(|length| *length != body.len()) {
        written = with_length(&written, body.len());
        captured.notes.push(format!("Content-Length {length} does not fit such text: read as {}", body.len()));
    }
    captured.octets = [written, body].concat().into();
    (captured, body_end)
}

fn content_length(line: &[u8]) -> Option<usize> {
    let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
    let length = (Name::of(name.trim()) == Name::ContentLength).then(|| decimal(value.trim()).ok()).flatten()?;
    usize::try_from(length).ok().filter(|length| *length <= MAX_MESSAGE)
}

/// The end of a body whose length is not known: where the next message, or a line of a log, begins.
fn undelimited(octets: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(end) = line_end(octets, at) {
        let line = &octets[at..end];
        if is_start(line) || is_separator(line) {
            break;
        }
        at = end;
    }
    // Blank lines at its end are the log's.
    let body = octets[from..at].trim_ascii_end();
    let end = from + body.len();
    if body.is_empty() { from } else { line_end(octets, end).map_or(end, |line| line.min(at)) }
}

/// The end of a body of `length` octets whose CRLF have become LF, or have always been such.
fn bare_body(octets: &[u8], from: usize, length: Option<usize>) -> Option<usize> {
    let length = length?;
    let mut counted = 0;
    for (at, octet) in octets.iter().enumerate().skip(from) {
        if counted >= length {
            return (counted == length).then_some(at);
        }
        counted += if *octet == b'\n' { 2 } else { 1 };
    }
    (counted == length).then_some(octets.len())
}

fn with_crlf(octets: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(octets.len() + octets.len() / 32);
    for (at, octet) in octets.iter().enumerate() {
        if *octet == b'\n' && (at == 0 || octets[at - 1] != b'\r') {
            written.push(b'\r');
        }
        written.push(*octet);
    }
    written
}

/// A header section with another Content-Length.
fn with_length(head: &[u8], length: usize) -> Vec<u8> {
    let mut written = Vec::with_capacity(head.len());
    let mut at = 0;
    while let Some(end) = line_end(head, at) {
        match content_length(&head[at..end]) {
            Some(_) => written.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes()),
            None => written.extend_from_slice(&head[at..end]),
        }
        at = end;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &str = "OPTIONS sip:sbc1.example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.7;branch=z9hG4bK1\r\n\
        From: <sip:a@example.com>;tag=1\r\nTo: <sip:sbc1.example.com>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n";

    fn with_body(body: &str) -> String {
        format!("{OPTIONS}Content-Length: {}\r\n\r\n{body}", body.len())
    }

    fn read_text(text: &str) -> Vec<Captured> {
        read(&Bytes::from(text.to_owned())).unwrap().messages
    }

    #[test]
    fn a_message_is_its_octets() {
        let message = with_body("v=0\r\n");
        let read = read_text(&message);
        assert_eq!((read.len(), &read[0].octets[..], &*read[0].place), (1, message.as_bytes(), "line 1"));
        assert!(read[0].notes.is_empty());
    }

    #[test]
    fn the_mark_that_an_editor_puts_in_front_is_no_part_of_a_message() {
        let message = with_body("v=0\r\n");
        assert_eq!(&read_text(&format!("\u{feff}{message}"))[0].octets[..], message.as_bytes());
        let wide: Vec<u8> = format!("\u{feff}{message}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(read(&Bytes::from(wide)).err(), Some(Unreadable::Encoded));
    }

    #[test]
    fn a_log_is_taken_apart_and_a_body_is_no_message() {
        let sipfrag = with_body("SIP/2.0 200 OK\r\n");
        let log = format!(
            "2026/01/05 08:00:00.1 192.0.2.7:5061 -> 198.51.100.1:5061\n{sipfrag}\n\n\
             ----------------------------------------------- 2026-01-05 08:00:01\nTCP message sent (300 bytes):\n\n{}\n",
            with_body("")
        );
        let read = read_text(&log);
        let places: Vec<_> = read.iter().map(|message| &*message.place).collect();
        assert_eq!(places, ["line 2", "line 16"]);
        assert_eq!(read[0].source, Some("192.0.2.7:5061".parse().unwrap()));
        assert_eq!((&read[0].octets[..], read[1].source), (sipfrag.as_bytes(), None));
    }

    #[test]
    fn text_with_lf_alone_is_put_right_and_says_so() {
        let body = "v=0\r\ns=-\r\n";
        let pasted = with_body(body).replace('\r', "");
        let message = &read_text(&format!("{pasted}{pasted}"))[1];
        assert_eq!((&message.octets[..], message.notes.len()), (with_body(body).as_bytes(), 1));
        let edited = pasted.replace("Content-Length: 10", "Content-Length: 99");
        let message = &read_text(&edited)[0];
        assert_eq!((&message.octets[..], message.notes.len()), (with_body(body).as_bytes(), 2));
    }

    #[test]
    fn what_is_no_message_says_what_it_is() {
        let fault = |octets: &'static [u8]| read(&Bytes::from_static(octets)).unwrap_err();
        assert_eq!(fault(b""), Unreadable::Empty);
        assert_eq!(fault(b" \r\n\n"), Unreadable::Empty);
        assert_eq!(fault(b"\x1f\x8b\x08\x00"), Unreadable::Compressed);
        let told = fault(b"\n\x00\xffhello\r\nworld").to_string();
        assert!(told.contains("octet 1, line 2"), "{told}");
        assert_eq!(
            fault(b"GET / HTTP/1.1\r\n\r\n").remedy(),
            "a message begins with its request line, such as INVITE sip:… SIP/2.0"
        );
    }

    #[test]
    fn broken_messages_are_messages_all_the_same() {
        for broken in
            ["INVITE sip:a@example.com SIP/3.0\r\n\r\n", "OPTIONS sip:a@example.com SIP/2.0\r\nVia", "SIP/2.0 200 OK\n"]
        {
            assert_eq!(read_text(broken).len(), 1, "{broken}");
        }
        let unended = format!("{OPTIONS}{}", with_body(""));
        assert_eq!(read_text(&unended).len(), 2, "the first has no end");
    }

    proptest::proptest! {
        #[test]
        fn no_octets_make_it_panic(octets: Vec<u8>, cut in 0_usize..400) {
            let _ = read(&Bytes::from(octets.clone()));
            let text = with_body("v=0\r\n").repeat(2);
            let mut mixed = text.as_bytes()[..cut.min(text.len())].to_vec();
            mixed.extend(octets);
            let _ = read(&Bytes::from(mixed));
        }
    }
}
