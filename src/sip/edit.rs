//! What leaves: edits against the octets of a message, or a message from nothing, in one pass.
//!
//! A relayed message is its octets with a list of [`Edits`]; a message of our own is a [`Draft`].
//! Both end in one buffer with a Content-Length that is always right: a relayed one stays as it came where it is the only
//! one, nobody can misread it and the body is the same, else it is ours. Strict out: full header names,
//! one blank after the colon, nothing that could end a line early (a value with CR or LF is cut there).

use super::{HeaderLine, Message, Method, Name};
use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use smallvec::SmallVec;
use std::borrow::Cow;

/// A header field by name: one the core knows, or an extension's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Field {
    /// A known name; written in its canonical spelling.
    Known(Name),
    /// Any other; written as it stands, compared without case.
    Extension(ByteString),
}

impl From<Name> for Field {
    fn from(name: Name) -> Self {
        Self::Known(name)
    }
}

impl From<&str> for Field {
    fn from(text: &str) -> Self {
        match Name::of(text) {
            Name::Other => Self::Extension(ByteString::from(text)),
            name => Self::Known(name),
        }
    }
}

impl Field {
    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(name) => name.as_str(),
            Self::Extension(text) => text,
        }
    }

    fn same(&self, other: &Field) -> bool {
        match other {
            Self::Known(name) => self.is(*name, ""),
            Self::Extension(text) => self.is(Name::Other, text),
        }
    }

    fn is(&self, name: Name, text: &str) -> bool {
        match self {
            Self::Known(known) => *known == name,
            Self::Extension(own) => name == Name::Other && own.eq_ignore_ascii_case(text),
        }
    }
}

#[derive(Clone, Debug)]
enum Edit<'e> {
    /// All lines go.
    Remove(Field),
    /// The first line gets this value, further ones go; without a line it is added.
    Set(Field, Cow<'e, str>),
    /// A line is added behind all others.
    Add(Field, Cow<'e, str>),
}

/// A list of differences between a message that came and the one that leaves. Later edits of the same
/// field win over earlier [`set`](Self::set) and [`remove`](Self::remove); additions add up.
#[derive(Clone, Debug, Default)]
pub struct Edits<'e> {
    start: Option<String>,
    edits: SmallVec<[Edit<'e>; 16]>,
    body: Option<Bytes>,
}

impl<'e> Edits<'e> {
    /// No difference.
    pub fn new() -> Self {
        Self::default()
    }

    /// The start line becomes `METHOD uri SIP/2.0`.
    pub fn request_line(&mut self, method: &Method, uri: &str) -> &mut Self {
        self.start = Some(format!("{method} {} SIP/2.0", one_line(uri)));
        self
    }

    /// The start line becomes `SIP/2.0 status reason`.
    pub fn status_line(&mut self, status: u16, reason: &str) -> &mut Self {
        self.start = Some(format!("SIP/2.0 {status} {}", one_line(reason)));
        self
    }

    /// All lines of `field` become the one value; where there is none it is added.
    pub fn set(&mut self, field: impl Into<Field>, value: impl Into<Cow<'e, str>>) -> &mut Self {
        let field = field.into();
        self.forget(&field);
        self.edits.push(Edit::Set(field, value.into()));
        self
    }

    /// All lines of `field` go.
    pub fn remove(&mut self, field: impl Into<Field>) -> &mut Self {
        let field = field.into();
        self.forget(&field);
        self.edits.push(Edit::Remove(field));
        self
    }

    /// One more line of `field`, behind all others.
    pub fn add(&mut self, field: impl Into<Field>, value: impl Into<Cow<'e, str>>) -> &mut Self {
        self.edits.push(Edit::Add(field.into(), value.into()));
        self
    }

    /// The body becomes `body`; the Content-Type is the caller's business.
    pub fn body(&mut self, body: Bytes) -> &mut Self {
        self.body = Some(body);
        self
    }

    fn forget(&mut self, field: &Field) {
        self.edits.retain(|edit| !matches!(edit, Edit::Set(other, _) | Edit::Remove(other) if other.same(field)));
    }

    /// What to write for a line: `None` copies it.
    fn of(&self, name: Name, text: &str) -> Option<(usize, &Edit<'e>)> {
        self.edits.iter().enumerate().find(|(_, edit)| match edit {
            Edit::Remove(field) | Edit::Set(field, _) => field.is(name, text),
            Edit::Add(..) => false,
        })
    }

    /// `message` with these edits, in one pass; without any and with a plain Content-Length, its octets.
    /// A Content-Length that had to be written is the last line.
    pub fn write(&self, message: &Message) -> Bytes {
        let original = message.octets();
        let body = self.body.clone().unwrap_or_else(|| message.body());
        let mut out = BytesMut::with_capacity(original.len() + 256 + body.len());
        match &self.start {
            Some(start) => put_line(&mut out, start, None),
            None => out.put_slice(message.start_line()),
        }
        let kept = plain_length(message).filter(|&length| length == body.len());
        let mut done: SmallVec<[usize; 16]> = SmallVec::new();
        for line in message.lines() {
            if line.name == Name::ContentLength {
                if kept.is_some() {
                    out.put_slice(line.octets);
                }
                continue;
            }
            match self.of(line.name, line.text) {
                None => out.put_slice(line.octets),
                Some((at, Edit::Set(field, value))) if !done.contains(&at) => {
                    done.push(at);
                    put_line(&mut out, field.as_str(), Some(value));
                }
                Some(_) => {}
            }
        }
        for (at, edit) in self.edits.iter().enumerate() {
            match edit {
                Edit::Set(Field::Known(Name::ContentLength), _) | Edit::Add(Field::Known(Name::ContentLength), _) => {}
                Edit::Set(field, value) if !done.contains(&at) => put_line(&mut out, field.as_str(), Some(value)),
                Edit::Add(field, value) => put_line(&mut out, field.as_str(), Some(value)),
                Edit::Set(..) | Edit::Remove(_) => {}
            }
        }
        match kept {
            Some(_) => {
                out.put_slice(b"\r\n");
                out.put_slice(&body);
                out.freeze()
            }
            None => finish(out, &body),
        }
    }
}

/// The Content-Length that `message` has once, and in a way that every parser reads alike: without folds, blanks in
/// front of the colon or zeros in front of the number.
fn plain_length(message: &Message) -> Option<usize> {
    let mut lines = message.lines().filter(|line| line.name == Name::ContentLength);
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    let behind = line.octets.get(line.text.len()..)?.strip_prefix(b":")?.strip_suffix(b"\r\n")?;
    let digits = behind.strip_prefix(b" ").unwrap_or(behind);
    let plain = digits.iter().all(u8::is_ascii_digit) && (digits == b"0" || !digits.starts_with(b"0"));
    plain.then(|| line.value.parse().ok()).flatten()
}

/// A message written from nothing, line by line.
#[derive(Clone, Debug)]
pub struct Draft {
    out: BytesMut,
    body: Bytes,
}

impl Draft {
    /// Begins a request.
    pub fn request(method: &Method, uri: &str) -> Self {
        let mut draft = Self { out: BytesMut::with_capacity(1024), body: Bytes::new() };
        for part in [method.as_str(), " ", one_line(uri), " SIP/2.0\r\n"] {
            draft.out.put_slice(part.as_bytes());
        }
        draft
    }

    /// Begins a response of our own to `request`: Vias, From, To, Call-ID, CSeq and, for a response
    /// that can make a dialog, Record-Route are copied unaltered (RFC 3261 §8.2.6.2, §12.1.1, GEN-38, 39).
    ///
    /// `to_tag` is put on To when it has none and the status is not 100. `source` is where the request
    /// came from when the top Via has to say so (§18.2.1, RFC 3581): see
    /// [`Via::received_from`](super::Via::received_from).
    pub fn response(request: &Message, status: u16, reason: &str, to_tag: &str, top_via: Option<&str>) -> Self {
        let mut draft = Self { out: BytesMut::with_capacity(1024), body: Bytes::new() };
        draft.out.put_slice(b"SIP/2.0 ");
        draft.out.put_slice(itoa::Buffer::new().format(status).as_bytes());
        draft.out.put_u8(b' ');
        draft.out.put_slice(one_line(reason).as_bytes());
        draft.out.put_slice(b"\r\n");
        let dialog = (101..300).contains(&status);
        let mut first_via = true;
        for line in request.lines() {
            match line.name {
                Name::Via => match top_via.filter(|_| std::mem::take(&mut first_via)) {
                    Some(via) => draft.put(Name::Via, via),
                    None => {
                        first_via = false;
                        draft.copy(&line, "", "")
                    }
                },
                Name::RecordRoute if dialog => draft.copy(&line, "", ""),
                // §8.2.6.1: a 100 gives it back, at once as it goes out here.
                Name::Timestamp if status == 100 => draft.copy(&line, "", ""),
                Name::From | Name::CallId | Name::CSeq => draft.copy(&line, "", ""),
                Name::To if status > 100 && !to_tag.is_empty() && super::tag(line.value).is_none() => {
                    draft.copy(&line, ";tag=", to_tag)
                }
                Name::To => draft.copy(&line, "", ""),
                _ => &mut draft,
            };
        }
        draft
    }

    /// A line of the request, its value octet for octet, but that what was folded is joined.
    fn copy(&mut self, line: &HeaderLine<'_>, behind: &str, more: &str) -> &mut Self {
        let folded = memchr::memchr(b'\n', line.raw).is_some();
        let value = if folded { line.value.as_bytes() } else { line.raw };
        for part in [line.name.as_str().as_bytes(), b": ", value, behind.as_bytes(), one_line(more).as_bytes(), b"\r\n"]
        {
            self.out.put_slice(part);
        }
        self
    }

    /// One header field line.
    pub fn put(&mut self, field: impl Into<Field>, value: &str) -> &mut Self {
        self.put_parts(field, &[value])
    }

    /// One header field line whose value is these parts, one behind the other.
    pub fn put_parts(&mut self, field: impl Into<Field>, parts: &[&str]) -> &mut Self {
        self.out.put_slice(field.into().as_str().as_bytes());
        self.out.put_slice(b": ");
        for part in parts {
            self.out.put_slice(one_line(part).as_bytes());
        }
        self.out.put_slice(b"\r\n");
        self
    }

    /// One header field line with a number.
    pub fn put_number(&mut self, field: impl Into<Field>, number: u32) -> &mut Self {
        self.put(field, itoa::Buffer::new().format(number))
    }

    /// The body with its Content-Type.
    pub fn body(&mut self, content_type: &str, body: Bytes) -> &mut Self {
        self.body = body;
        self.put(Name::ContentType, content_type)
    }

    /// The octets, with Content-Length.
    pub fn finish(self) -> Bytes {
        finish(self.out, &self.body)
    }
}

fn finish(mut out: BytesMut, body: &[u8]) -> Bytes {
    out.put_slice(b"Content-Length: ");
    out.put_slice(itoa::Buffer::new().format(body.len()).as_bytes());
    out.put_slice(b"\r\n\r\n");
    out.put_slice(body);
    out.freeze()
}

/// `text`, or `text: value`, with its CRLF.
fn put_line(out: &mut BytesMut, text: &str, value: Option<&str>) {
    out.put_slice(text.as_bytes());
    if let Some(value) = value {
        out.put_slice(b": ");
        out.put_slice(one_line(value).as_bytes());
    }
    out.put_slice(b"\r\n");
}

/// `text` up to the first CR or LF: no value of ours may end a line early.
fn one_line(text: &str) -> &str {
    memchr::memchr2(b'\r', b'\n', text.as_bytes()).map_or(text, |end| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(edits: &Edits<'_>) -> String {
        let text = "BYE sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/TLS a.example.com;branch=z9hG4bK1\r\n\
            From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 BYE\r\n\
            X-Acme: one\r\nl: 0\r\n\r\n";
        let message = Message::parse(Bytes::from_static(text.as_bytes())).expect("a BYE");
        let octets = edits.write(&message);
        let fields = memchr::memmem::find(&octets, b"CSeq: 1 BYE\r\n").expect("CSeq") + 13;
        String::from_utf8(octets[fields..].to_vec()).expect("text")
    }

    /// Found by the fuzz target `edits`.
    #[test]
    fn content_length_is_written_once_whatever_is_edited() {
        let mut edits = Edits::new();
        edits.set(Name::ContentLength, "7").add("l", "8").set("x-other", "1");
        assert_eq!(edited(&edits), "X-Acme: one\r\nl: 0\r\nx-other: 1\r\n\r\n");
    }

    /// Found by the fuzz target `edits`.
    #[test]
    fn a_later_edit_wins_over_an_earlier_one_whose_field_has_another_case() {
        let mut edits = Edits::new();
        edits.set("X-Acme", "two").remove("x-acme");
        assert_eq!(edited(&edits), "l: 0\r\n\r\n");
    }
}
