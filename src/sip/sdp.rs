//! Session descriptions, line by line (RFC 8866, RFC 3264).
//!
//! [`Sdp::parse`] checks that a body is one and copies nothing; views tell what it says. The `with_…`
//! functions give a body that differs in the named lines and nowhere else: codecs, keys, candidates and
//! what nobody here understands pass octet for octet. Lenient in: lines may end in LF alone, and empty
//! lines at the end do not matter.

use super::text::legible;
use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// Why a body is not a session description.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum SdpError {
    /// There are no octets.
    #[error("session description empty")]
    Empty,
    /// A line is not a letter, an equals sign and a value (§5).
    #[error("session description line malformed")]
    Line,
    /// The first line is not `v=0` (§5.1).
    #[error("session description version missing or unknown")]
    Version,
    /// There is no `o=` line with six fields ahead of the media (§5.2).
    #[error("origin missing or malformed")]
    Origin,
    /// An `m=` line has no kind, port, protocol and format (§5.14).
    #[error("media line malformed")]
    Media,
}

impl SdpError {
    /// The status of the response to a request whose body this is (RFC 3261 §21.4.26, §13.3.1.3).
    pub fn status(self) -> u16 {
        match self {
            Self::Empty | Self::Line | Self::Version | Self::Origin | Self::Media => 488,
        }
    }
}

/// Who sends media, as the writer of a description sees it (RFC 3264 §5.1).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Direction {
    /// Both. The default where nothing is said.
    #[default]
    SendRecv,
    /// Only the writer sends: the other side is on hold.
    SendOnly,
    /// Only the writer receives.
    RecvOnly,
    /// Nobody sends.
    Inactive,
}

impl Direction {
    /// The name of the attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The direction whose attribute has this name.
    pub fn of(attribute: &str) -> Option<Self> {
        // All four have as many letters, and most other attributes have not.
        let all = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];
        let known = attribute.len() == Self::SendRecv.as_str().len();
        all.into_iter().find(|direction| known && direction.as_str().eq_ignore_ascii_case(attribute))
    }

    /// The same direction seen from the other side.
    pub fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// What an answer may say when this is what the answerer wishes (RFC 3264 §6.1).
    pub fn answer_to(self, offer: Self) -> Self {
        Self::new(self.sends() && offer.receives(), self.receives() && offer.sends())
    }

    /// Whether the writer sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the writer receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The `o=` line (RFC 8866 §5.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Origin<'a> {
    /// The user, `-` for none.
    pub username: &'a str,
    /// The session id, as text: writers use more digits than 64 bits hold.
    pub session_id: &'a str,
    /// The version, as text for the same reason.
    pub version: &'a str,
    /// The network type, `IN`.
    pub nettype: &'a str,
    /// The address type, `IP4` or `IP6`.
    pub addrtype: &'a str,
    /// The address or name of the writer.
    pub address: &'a str,
}

/// One `m=` line and what belongs to it (RFC 8866 §5.14).
#[derive(Clone, Copy, Debug)]
pub struct MediaView<'a> {
    /// `audio`, `video`, `image`, …
    pub kind: &'a str,
    /// The port; 0 for media that is refused or given up.
    pub port: u16,
    /// The protocol, like `RTP/SAVP`.
    pub protocol: &'a str,
    /// The formats with blanks between them, as written.
    pub formats: &'a str,
    /// The address of its own `c=` line, else of the session's; `None` when neither is there.
    pub connection: Option<&'a str>,
    /// Its own direction, else the session's, else [`Direction::SendRecv`].
    pub direction: Direction,
    section: &'a str,
}

impl<'a> MediaView<'a> {
    /// Name and value of each of its own attributes, in order; the value is `None` for a property.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        attributes(self.section)
    }

    /// The value of its first attribute with this name; empty for a property.
    pub fn attribute(&self, name: &str) -> Option<&'a str> {
        self.attributes().find(|(own, _)| *own == name).map(|(_, value)| value.unwrap_or(""))
    }
}

/// A session description over the octets it came in.
#[derive(Clone, Debug)]
pub struct Sdp {
    octets: Bytes,
    /// The octets as text of the same length: what is not UTF-8 reads as `?`.
    text: ByteString,
    /// Where the first `m=` line begins; the length where there is none.
    session_end: usize,
}

impl Sdp {
    /// Checks that `octets` are a session description.
    ///
    /// # Errors
    ///
    /// [`SdpError`] names the first rule broken.
    pub fn parse(octets: Bytes) -> Result<Self, SdpError> {
        let text = text_of(&octets);
        let mut session_end = text.len();
        let (mut first, mut origin, mut ended) = (true, false, false);
        for line in lines(&text) {
            if line.text.is_empty() {
                ended = true;
                continue;
            }
            let value = line
                .text
                .get(2..)
                .filter(|_| !ended && line.text.as_bytes()[0].is_ascii_alphabetic() && line.text.as_bytes()[1] == b'=');
            let value = value.ok_or(if first { SdpError::Version } else { SdpError::Line })?;
            match line.kind() {
                _ if first && (line.kind() != b'v' || value.trim() != "0") => return Err(SdpError::Version),
                b'o' if session_end == text.len() => {
                    origin_of(value).ok_or(SdpError::Origin)?;
                    origin = true;
                }
                b'm' => {
                    session_end = session_end.min(line.start);
                    media_of(value).ok_or(SdpError::Media)?;
                }
                _ => {}
            }
            first = false;
        }
        match (first, origin) {
            (true, _) => Err(SdpError::Empty),
            (false, false) => Err(SdpError::Origin),
            (false, true) => Ok(Self { octets, text, session_end }),
        }
    }

    /// The octets.
    pub fn octets(&self) -> Bytes {
        self.octets.clone()
    }

    /// The `o=` line.
    pub fn origin(&self) -> Origin<'_> {
        let value = self.session_line(b'o').map_or("", |line| line.value());
        origin_of(value).unwrap_or(Origin {
            username: "-",
            session_id: "0",
            version: "0",
            nettype: "IN",
            addrtype: "IP4",
            address: "0.0.0.0",
        })
    }

    /// Each `m=` section, in order.
    pub fn media(&self) -> impl Iterator<Item = MediaView<'_>> + '_ {
        let session = &self.text[..self.session_end];
        let connection = connection_of(session);
        let direction = direction_of(session);
        self.sections().filter_map(move |section| {
            let section = &self.text[section];
            let (kind, port, protocol, formats) = media_of(lines(section).next()?.value())?;
            Some(MediaView {
                kind,
                port,
                protocol,
                formats,
                connection: connection_of(section).or(connection),
                direction: direction_of(section).or(direction).unwrap_or_default(),
                section,
            })
        })
    }

    /// Name and value of each attribute ahead of the media, in order.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        attributes(&self.text[..self.session_end])
    }

    /// The direction of the call: of the first audio that is not refused, else of the first media, else the
    /// session's own.
    pub fn direction(&self) -> Direction {
        match self.main() {
            Some(media) => media.direction,
            None => direction_of(&self.text[..self.session_end]).unwrap_or_default(),
        }
    }

    /// Whether this is a hold by the address 0.0.0.0, the form of RFC 2543 (RFC 3264 §8.4, TDR-93).
    pub fn is_hold_0000(&self) -> bool {
        self.main().is_some_and(|media| is_unspecified(&media))
    }

    /// Whether this is a hold in any form: by the address 0.0.0.0, or by a direction other than both.
    pub fn is_hold(&self) -> bool {
        match self.main() {
            Some(media) => is_unspecified(&media) || media.direction != Direction::SendRecv,
            None => self.direction() != Direction::SendRecv,
        }
    }

    /// Whether every media is refused or given up. `false` without any media.
    pub fn rejects_all(&self) -> bool {
        self.media().next().is_some() && self.media().all(|media| media.port == 0)
    }

    /// Whether `other` says the same but for session id and version of its `o=` line: then it is the same
    /// offer or answer again (RFC 3264 §8). Line ends do not matter.
    pub fn same_session(&self, other: &Sdp) -> bool {
        let (one, two) = (self.origin(), other.origin());
        let origin = Origin { session_id: one.session_id, version: one.version, ..two } == one;
        let rest = |sdp| content(sdp).filter(|line| !line.starts_with(b"o="));
        origin && rest(self).eq(rest(other))
    }

    /// This description with another session id and version in its `o=` line (RFC 3264 §8).
    pub fn with_origin(&self, session_id: u64, version: u64) -> Bytes {
        let Some(line) = self.session_line(b'o') else { return self.octets() };
        // The user name may have blanks in it: the fields are counted from the end.
        let fields = fields(line.text);
        let [.., id, own_version, _, _, _] = fields.as_slice() else { return self.octets() };
        let place = |field: &Range<usize>| line.start + field.start..line.start + field.end;
        self.splice(&[
            (place(id), Cow::Owned(session_id.to_string().into_bytes())),
            (place(own_version), Cow::Owned(version.to_string().into_bytes())),
        ])
    }

    /// This description with `line` in place of its `o=` line.
    pub fn with_origin_line(&self, line: &str) -> Bytes {
        let Some(own) = self.session_line(b'o') else { return self.octets() };
        self.splice(&[(own.start..own.end, Cow::Owned([line, "\r\n"].concat().into_bytes()))])
    }

    /// This description with one direction on every media: what each says is replaced or added, what the
    /// session says goes (RFC 3264 §8.4).
    pub fn with_direction(&self, direction: Direction) -> Bytes {
        let mut changes = Vec::new();
        for line in self.lines_of(0..self.session_end).filter(is_direction) {
            changes.push((line.start..line.end, Cow::Borrowed(&b""[..])));
        }
        for section in self.sections() {
            let mut said = false;
            for line in self.lines_of(section.clone()).filter(is_direction) {
                if std::mem::replace(&mut said, true) {
                    changes.push((line.start..line.end, Cow::Borrowed(&b""[..])));
                } else {
                    let value = line.start + 2..line.start + line.text.len();
                    changes.push((value, Cow::Borrowed(direction.as_str().as_bytes())));
                }
            }
            if !said {
                // Behind the last line that says something, with the line end that the description uses.
                let last = self.lines_of(section.clone()).filter(|line| !line.text.is_empty()).last();
                let Some(last) = last else { continue };
                let end = if self.octets[..section.start].ends_with(b"\r\n") { "\r\n" } else { "\n" };
                let added = format!("{end}a={direction}{end}");
                changes.push((last.start + last.text.len()..last.end, Cow::Owned(added.into_bytes())));
            }
        }
        self.splice(&changes)
    }

    /// This description with `address` in every `c=` line that has 0.0.0.0 (TDR-93). An address with a
    /// colon is IPv6.
    pub fn with_connection(&self, address: &str) -> Bytes {
        let mut changes = Vec::new();
        for line in self.lines_of(0..self.text.len()).filter(|line| line.kind() == b'c') {
            let fields = fields(line.value());
            let [_, kind, own, ..] = fields.as_slice() else { continue };
            if line.value()[own.clone()].split('/').next() == Some(UNSPECIFIED) {
                let addrtype = if address.contains(':') { "IP6" } else { "IP4" };
                let place = line.start + 2 + kind.start..line.start + 2 + own.end;
                changes.push((place, Cow::Owned(format!("{addrtype} {address}").into_bytes())));
            }
        }
        self.splice(&changes)
    }

    /// The media that tells the state of the call.
    fn main(&self) -> Option<MediaView<'_>> {
        let audio = |media: &MediaView<'_>| media.kind.eq_ignore_ascii_case("audio");
        self.media()
            .find(|media| audio(media) && media.port != 0)
            .or_else(|| self.media().find(audio))
            .or_else(|| self.media().next())
    }

    /// Where each `m=` section lies.
    fn sections(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut starts = self.lines_of(self.session_end..self.text.len()).filter(|line| line.kind() == b'm').peekable();
        std::iter::from_fn(move || {
            let start = starts.next()?.start;
            Some(start..starts.peek().map_or(self.text.len(), |next| next.start))
        })
    }

    fn lines_of(&self, range: Range<usize>) -> impl Iterator<Item = Line<'_>> + '_ {
        let from = range.start;
        lines(&self.text[range]).map(move |line| Line { start: line.start + from, end: line.end + from, ..line })
    }

    fn session_line(&self, kind: u8) -> Option<Line<'_>> {
        self.lines_of(0..self.session_end).find(|line| line.kind() == kind)
    }

    /// The octets with these ranges, in order and apart, replaced.
    fn splice(&self, changes: &[(Range<usize>, Cow<'_, [u8]>)]) -> Bytes {
        let added: usize = changes.iter().map(|(_, octets)| octets.len()).sum();
        let mut out = BytesMut::with_capacity(self.octets.len() + added);
        let mut at = 0;
        for (range, octets) in changes {
            out.put_slice(&self.octets[at..range.start]);
            out.put_slice(octets);
            at = range.end;
        }
        out.put_slice(&self.octets[at..]);
        out.freeze()
    }
}

fn is_unspecified(media: &MediaView<'_>) -> bool {
    media.port != 0 && media.connection == Some(UNSPECIFIED)
}

/// The address that means nobody (RFC 3264 §8.4).
const UNSPECIFIED: &str = "0.0.0.0";

/// One line: its text without line end, where it begins, and where the next begins.
#[derive(Clone, Copy)]
struct Line<'a> {
    text: &'a str,
    start: usize,
    end: usize,
}

impl<'a> Line<'a> {
    /// The letter in front of `=`; 0 for an empty line.
    fn kind(&self) -> u8 {
        self.text.as_bytes().first().copied().unwrap_or(0)
    }

    fn value(&self) -> &'a str {
        self.text.get(2..).unwrap_or("")
    }
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = &text[start..];
        if rest.is_empty() {
            return None;
        }
        let length = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |at| at + 1);
        let octets = &rest.as_bytes()[..length];
        let mut end = length;
        while end > 0 && matches!(octets[end - 1], b'\r' | b'\n') {
            end -= 1;
        }
        let line = Line { text: &rest[..end], start, end: start + length };
        start += length;
        Some(line)
    })
}

/// The octets of each line without its end, for comparison: what is not UTF-8 differs here.
fn content(sdp: &Sdp) -> impl Iterator<Item = &[u8]> {
    lines(&sdp.text).map(|line| &sdp.octets[line.start..line.start + line.text.len()]).filter(|line| !line.is_empty())
}

fn text_of(octets: &Bytes) -> ByteString {
    ByteString::try_from(octets.clone()).unwrap_or_else(|_| ByteString::from(legible(octets)))
}

/// Where the fields of a line lie, blanks between them.
fn fields(text: &str) -> SmallVec<[Range<usize>; 8]> {
    let mut fields = SmallVec::new();
    let mut start = None;
    for (at, octet) in text.bytes().chain([b' ']).enumerate() {
        match (octet, start) {
            (b' ' | b'\t', Some(from)) => {
                fields.push(from..at);
                start = None;
            }
            (b' ' | b'\t', None) => {}
            (_, None) => start = Some(at),
            (_, Some(_)) => {}
        }
    }
    fields
}

fn origin_of(value: &str) -> Option<Origin<'_>> {
    let fields = fields(value);
    let [first, .., id, version, nettype, addrtype, address] = fields.as_slice() else { return None };
    Some(Origin {
        username: value[first.start..id.start].trim_end(),
        session_id: &value[id.clone()],
        version: &value[version.clone()],
        nettype: &value[nettype.clone()],
        addrtype: &value[addrtype.clone()],
        address: &value[address.clone()],
    })
}

/// Kind, port, protocol and formats of an `m=` value; a number of ports behind a slash is passed over.
fn media_of(value: &str) -> Option<(&str, u16, &str, &str)> {
    let fields = fields(value);
    let [kind, port, protocol, formats, ..] = fields.as_slice() else { return None };
    let port = &value[port.clone()];
    let port = port.split('/').next().unwrap_or(port);
    let digits = port.bytes().all(|octet| octet.is_ascii_digit());
    let port = digits.then(|| port.parse().ok()).flatten()?;
    Some((&value[kind.clone()], port, &value[protocol.clone()], value[formats.start..].trim_end()))
}

/// The address of the first `c=` line, without time to live and count.
fn connection_of(section: &str) -> Option<&str> {
    let value = lines(section).find(|line| line.kind() == b'c')?.value();
    let address = &value[fields(value).get(2)?.clone()];
    Some(address.split('/').next().unwrap_or(address))
}

fn direction_of(section: &str) -> Option<Direction> {
    lines(section).filter(|line| line.kind() == b'a').find_map(|line| Direction::of(line.value().trim_ascii()))
}

fn is_direction(line: &Line<'_>) -> bool {
    line.kind() == b'a' && Direction::of(line.value().trim_ascii()).is_some()
}

fn attributes(section: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    lines(section).filter(|line| line.kind() == b'a').map(|line| match line.value().split_once(':') {
        Some((name, value)) => (name, Some(value)),
        None => (line.value().trim_end(), None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An offer as the hub makes it (TDR-134), shortened.
    const OFFER: &str = "v=0\r\no=- 180000 0 IN IP4 52.112.1.1\r\ns=session\r\nc=IN IP4 52.112.1.1\r\nb=CT:10000000\r\n\
        t=0 0\r\nm=audio 49170 RTP/SAVP 111 8 0 101\r\nc=IN IP4 52.112.1.2\r\na=rtcp:49171\r\na=sendrecv\r\n\
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA|2^31\r\na=rtpmap:101 telephone-event/8000\r\n";

    fn sdp(text: &str) -> Sdp {
        Sdp::parse(Bytes::from(text.to_owned())).expect(text)
    }

    fn text(octets: Bytes) -> String {
        String::from_utf8(octets.to_vec()).expect("text")
    }

    #[test]
    fn a_description_tells_what_it_says() {
        let sdp = sdp(OFFER);
        let origin = sdp.origin();
        assert_eq!((origin.username, origin.session_id, origin.version), ("-", "180000", "0"));
        assert_eq!((origin.nettype, origin.addrtype, origin.address), ("IN", "IP4", "52.112.1.1"));
        let media: Vec<_> = sdp.media().collect();
        let [audio] = media.as_slice() else { panic!("{media:?}") };
        assert_eq!(
            (audio.kind, audio.port, audio.protocol, audio.formats),
            ("audio", 49170, "RTP/SAVP", "111 8 0 101")
        );
        assert_eq!((audio.connection, audio.direction), (Some("52.112.1.2"), Direction::SendRecv));
        assert_eq!(audio.attribute("rtpmap"), Some("101 telephone-event/8000"));
        assert_eq!((audio.attribute("sendrecv"), audio.attribute("x")), (Some(""), None));
        assert!(!sdp.is_hold_0000() && !sdp.rejects_all());
    }

    #[test]
    fn what_the_session_says_holds_for_media_that_say_nothing() {
        let sdp = sdp(
            "v=0\no=- 1 1 IN IP6 2001:db8::1\ns=-\nc=IN IP4 233.252.0.1/127/3\na=sendonly\na=group:BUNDLE 0\nt=0 0\n\
             m=video 2/4 RTP/AVP 31\na=inactive\nm=audio 3 RTP/AVP 0\nm=audio 5 RTP/AVP 0\na=recvonly\n\n\n",
        );
        let media: Vec<_> = sdp.media().map(|media| (media.port, media.connection, media.direction)).collect();
        let group = Some("233.252.0.1");
        assert_eq!(
            media,
            [(2, group, Direction::Inactive), (3, group, Direction::SendOnly), (5, group, Direction::RecvOnly)]
        );
        assert_eq!(sdp.direction(), Direction::SendOnly);
        assert_eq!(sdp.attributes().collect::<Vec<_>>(), [("sendonly", None), ("group", Some("BUNDLE 0"))]);
    }

    #[test]
    fn bodies_that_are_no_description_are_refused() {
        for (text, error) in [
            ("", SdpError::Empty),
            ("\r\n\r\n", SdpError::Empty),
            ("hello", SdpError::Version),
            ("v=1\r\n", SdpError::Version),
            ("o=- 1 1 IN IP4 192.0.2.1\r\nv=0\r\n", SdpError::Version),
            ("v=0\r\ns=-\r\n", SdpError::Origin),
            ("v=0\r\no=- 1 IN IP4 192.0.2.1\r\n", SdpError::Origin),
            ("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm=audio\r\n", SdpError::Media),
            ("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm=audio 65536 RTP/AVP 0\r\n", SdpError::Media),
            ("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm=audio -1 RTP/AVP 0\r\n", SdpError::Media),
            ("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nx\r\n", SdpError::Line),
            ("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n\r\ns=-\r\n", SdpError::Line),
            ("v=0\r\nm=audio 1 RTP/AVP 0\r\no=- 1 1 IN IP4 192.0.2.1\r\n", SdpError::Origin),
        ] {
            let found = Sdp::parse(Bytes::from_static(text.as_bytes())).map(drop);
            assert_eq!(found, Err(error), "{text:?}");
        }
    }

    #[test]
    fn only_id_and_version_of_the_origin_change() {
        assert_eq!(text(sdp(OFFER).with_origin(7, 8)), OFFER.replace("- 180000 0 IN", "- 7 8 IN"));
        // A user name with blanks in it, as some telephones have.
        let odd = "v=0\no=My Phone 1  2 IN IP4 192.0.2.1 \ns=-";
        assert_eq!(sdp(odd).origin().username, "My Phone");
        assert_eq!(text(sdp(odd).with_origin(30, 40)), "v=0\no=My Phone 30  40 IN IP4 192.0.2.1 \ns=-");
    }

    #[test]
    fn octets_outside_utf8_pass() {
        let octets = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=caf\xe9\r\n";
        let sdp = Sdp::parse(Bytes::from_static(octets)).expect("reads");
        assert_eq!(&sdp.with_origin(1, 2)[..], b"v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=caf\xe9\r\n");
        let other = Sdp::parse(Bytes::from_static(b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=caf\xe8\r\n")).expect("reads");
        assert!(!sdp.same_session(&other));
    }

    #[test]
    fn every_hold_becomes_inactive() {
        // TDR-93: what media say is replaced, what the session says goes, what is missing is added.
        let head = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\n";
        for (body, expected) in [
            (
                "m=audio 4 RTP/AVP 0\r\na=sendonly\r\na=ptime:20\r\n",
                "m=audio 4 RTP/AVP 0\r\na=inactive\r\na=ptime:20\r\n",
            ),
            ("a=sendonly\r\nt=0 0\r\nm=audio 4 RTP/AVP 0\r\n", "t=0 0\r\nm=audio 4 RTP/AVP 0\r\na=inactive\r\n"),
            (
                "m=audio 4 RTP/AVP 0\r\na=ptime:20\r\nm=video 0 RTP/AVP 31\r\na=recvonly\r\na=sendonly\r\n",
                "m=audio 4 RTP/AVP 0\r\na=ptime:20\r\na=inactive\r\nm=video 0 RTP/AVP 31\r\na=inactive\r\n",
            ),
            ("m=audio 4 RTP/AVP 0", "m=audio 4 RTP/AVP 0\r\na=inactive\r\n"),
            ("m=audio 4 RTP/AVP 0\r\n\r\n", "m=audio 4 RTP/AVP 0\r\na=inactive\r\n\r\n"),
            ("t=0 0\r\n", "t=0 0\r\n"),
        ] {
            let changed = text(sdp(&format!("{head}{body}")).with_direction(Direction::Inactive));
            assert_eq!(changed, format!("{head}{expected}"), "{body}");
        }
        let lf = "v=0\no=- 1 1 IN IP4 192.0.2.1\nm=audio 4 RTP/AVP 0\n";
        assert_eq!(text(sdp(lf).with_direction(Direction::SendRecv)), format!("{lf}a=sendrecv\n"));
    }

    #[test]
    fn a_hold_by_address_gets_an_address() {
        let head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\n";
        let hold = sdp(&format!("{head}c=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 4 RTP/AVP 0\r\n"));
        assert!(hold.is_hold_0000());
        let changed = text(hold.with_connection("192.0.2.9"));
        assert_eq!(changed, format!("{head}c=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4 RTP/AVP 0\r\n"));
        assert!(text(hold.with_connection("2001:db8::9")).contains("c=IN IP6 2001:db8::9\r\n"));
        assert_eq!(text(sdp(OFFER).with_connection("192.0.2.9")), OFFER);
        // Another address at the media counts, and refused media is not on hold.
        let own = sdp(&format!("{head}c=IN IP4 0.0.0.0\r\nm=audio 4 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\n"));
        assert!(!own.is_hold_0000());
        assert!(!sdp(&format!("{head}c=IN IP4 0.0.0.0\r\nm=audio 0 RTP/AVP 0\r\n")).is_hold_0000());
    }

    #[test]
    fn the_same_description_again_is_known() {
        let one = sdp(OFFER);
        assert!(one.same_session(&sdp(&OFFER.replace("180000 0", "5 6"))));
        assert!(one.same_session(&sdp(&OFFER.replace("\r\n", "\n"))));
        assert!(!one.same_session(&sdp(&OFFER.replace("a=sendrecv", "a=inactive"))));
        assert!(!one.same_session(&sdp(&OFFER.replace("0 IN IP4 52.112.1.1", "0 IN IP4 52.112.1.9"))));
        assert!(!one.same_session(&sdp(&format!("{OFFER}a=x\r\n"))));
    }

    /// Found by the fuzz target `sdp`.
    #[test]
    fn a_direction_stands_on_a_line_of_its_own_where_half_a_line_end_is_last() {
        let cut = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm=audio 4 RTP/AVP 0\r";
        let whole = format!("{cut}\na=inactive\r\n");
        assert_eq!(sdp(cut).with_direction(Direction::Inactive), Bytes::from(whole));
    }

    /// Found by the fuzz target `sdp`.
    #[test]
    fn a_hold_by_address_is_read_where_it_can_be_undone_tdr_93() {
        let held = sdp("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nc=IN IP4 0.0.0.0\r0\r\nm=audio 4 RTP/AVP 0\r\n");
        assert!(!held.is_hold_0000() && held.with_connection("192.0.2.1") == held.octets(), "a CR is no blank");
    }

    #[test]
    fn a_description_without_a_port_rejects_all() {
        assert!(sdp(&OFFER.replace("49170", "0")).rejects_all());
        assert!(!sdp(&format!("{}m=video 4 RTP/AVP 31\r\n", OFFER.replace("49170", "0"))).rejects_all());
        assert!(!sdp("v=0\no=- 1 1 IN IP4 192.0.2.1\n").rejects_all());
    }

    /// RFC 3264 §6.1.
    #[test]
    fn an_answer_never_exceeds_its_offer() {
        use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
        for (offer, answers) in [
            (SendRecv, [SendRecv, SendOnly, RecvOnly, Inactive]),
            (SendOnly, [RecvOnly, Inactive, RecvOnly, Inactive]),
            (RecvOnly, [SendOnly, SendOnly, Inactive, Inactive]),
            (Inactive, [Inactive; 4]),
        ] {
            for (wish, answer) in [SendRecv, SendOnly, RecvOnly, Inactive].into_iter().zip(answers) {
                assert_eq!(wish.answer_to(offer), answer, "{wish} to {offer}");
            }
        }
        assert_eq!(
            [SendRecv, SendOnly, RecvOnly, Inactive].map(Direction::reversed),
            [SendRecv, RecvOnly, SendOnly, Inactive]
        );
        assert_eq!(Direction::of("SendOnly"), Some(SendOnly));
        assert_eq!(Direction::of("sendonly "), None);
    }
}
