//! A message while rules work on it: its lines, each as it came or as a rule wrote it.

use super::{Action, Target};
use crate::sip::{Field, HeaderLine, Malformed, Message, Method, Name, NameAddr, Scheme, Uri, quote};
use bytes::{BufMut, Bytes, BytesMut};

/// The longest header line that leaves or is read, in octets (TDR-72, GEN-64).
pub(super) const MAX_LINE: usize = 8 * 1024;

/// A message under work.
pub(super) struct Work<'m> {
    message: &'m Message,
    request_uri: Option<String>,
    lines: Vec<Line<'m>>,
    /// Why what came of it cannot be a message any more.
    spoilt: Option<String>,
}

enum Line<'m> {
    Kept(HeaderLine<'m>),
    Written { field: Field, value: String },
}

impl Line<'_> {
    fn is(&self, field: &Field) -> bool {
        match (self, field) {
            (Self::Kept(line), Field::Known(name)) => line.name == *name,
            (Self::Kept(line), Field::Extension(text)) => {
                line.name == Name::Other && line.text.eq_ignore_ascii_case(text)
            }
            (Self::Written { field: Field::Extension(own), .. }, Field::Extension(text)) => {
                own.eq_ignore_ascii_case(text)
            }
            (Self::Written { field: own, .. }, field) => own == field,
        }
    }

    fn value(&self) -> &str {
        match self {
            Self::Kept(line) => line.value,
            Self::Written { value, .. } => value,
        }
    }
}

impl<'m> Work<'m> {
    pub(super) fn of(message: &'m Message) -> Self {
        Self { message, request_uri: None, lines: message.lines().map(Line::Kept).collect(), spoilt: None }
    }

    /// Whether the parties may still be changed: an INVITE that begins a dialog.
    fn is_initial(&self) -> bool {
        let to = self.message.header(Name::To).unwrap_or("");
        self.message.is_request() && *self.message.method() == Method::Invite && crate::sip::tag(to).is_none()
    }

    /// The values of a part: of a header field each line's.
    pub(super) fn values(&self, target: &Target) -> impl Iterator<Item = &str> {
        let (lines, one) = match target {
            Target::Header(field) => (Some(field.clone()), None),
            part => (None, self.part(part)),
        };
        let lines = lines.into_iter().flat_map(|field| self.lines.iter().filter(move |line| line.is(&field)));
        lines.map(Line::value).chain(one)
    }

    fn part(&self, target: &Target) -> Option<&str> {
        let party = |name: Name| self.lines.iter().find(|line| line.is(&Field::Known(name))).map(Line::value);
        match target {
            Target::Header(_) => None,
            Target::RequestUri => {
                self.message.is_request().then(|| self.request_uri.as_deref().unwrap_or(self.message.request_uri()))
            }
            Target::FromUri => party(Name::From).map(|value| pieces(value).uri),
            Target::ToUri => party(Name::To).map(|value| pieces(value).uri),
            Target::FromDisplay => party(Name::From).map(|value| pieces(value).shown()).filter(|text| !text.is_empty()),
            Target::ToDisplay => party(Name::To).map(|value| pieces(value).shown()).filter(|text| !text.is_empty()),
        }
    }

    /// One more line. Returns whether anything changed.
    pub(super) fn add(&mut self, field: &Field, value: String) -> bool {
        if value.is_empty() {
            return false;
        }
        self.lines.push(Line::Written { field: field.clone(), value });
        true
    }

    /// All lines of a field become the one value, where the first stands; or the part becomes it.
    pub(super) fn set(&mut self, target: &Target, value: String) -> bool {
        match target {
            Target::Header(_) if value.is_empty() => false,
            Target::Header(field) => {
                let mut lines = self.lines.iter().enumerate().filter(|(_, line)| line.is(field)).map(|(at, _)| at);
                let (first, more) = (lines.next(), lines.next().is_some());
                let Some(first) = first else { return self.add(field, value) };
                if !more && self.lines.get(first).is_some_and(|line| line.value() == value) {
                    return false;
                }
                let mut at = 0;
                self.lines.retain(|line| {
                    at += 1;
                    at - 1 == first || !line.is(field)
                });
                if let Some(line) = self.lines.get_mut(first) {
                    *line = Line::Written { field: field.clone(), value };
                }
                true
            }
            part => self.set_part(part, value),
        }
    }

    fn set_part(&mut self, part: &Target, value: String) -> bool {
        let display = matches!(part, Target::FromDisplay | Target::ToDisplay);
        if !self.is_initial() || (value.is_empty() && !display) || self.part(part).unwrap_or("") == value {
            return false;
        }
        if value.len() > MAX_LINE {
            self.spoilt.get_or_insert(format!("{} becomes longer than {MAX_LINE} octets", part.as_str()));
            return true;
        }
        if !display && let Err(why) = readable(&value, part.as_str()) {
            self.spoilt.get_or_insert(why);
            return true;
        }
        let name = match part {
            Target::Header(_) => return false,
            Target::RequestUri => {
                self.request_uri = Some(value);
                return true;
            }
            Target::FromUri | Target::FromDisplay => Name::From,
            Target::ToUri | Target::ToDisplay => Name::To,
        };
        let Some(line) = self.lines.iter_mut().find(|line| line.is(&Field::Known(name))) else { return false };
        let old = pieces(line.value());
        let (shown, uri) = if display {
            (quote_unless_empty(&value), old.uri)
        } else {
            (quote_unless_empty(&crate::sip::unquote(old.display)), &*value)
        };
        let value = format!("{shown}<{uri}>{}", old.rest);
        *line = Line::Written { field: Field::Known(name), value };
        true
    }

    pub(super) fn remove(&mut self, field: &Field) -> bool {
        let before = self.lines.len();
        self.lines.retain(|line| !line.is(field));
        self.lines.len() < before
    }

    /// Every line of `field` bears the name `to` from now on.
    pub(super) fn rename(&mut self, field: &Field, to: &Field) -> bool {
        let mut renamed = false;
        for line in self.lines.iter_mut().filter(|line| line.is(field)) {
            *line = Line::Written { field: to.clone(), value: line.value().to_owned() };
            renamed = true;
        }
        renamed
    }

    /// Every value of a part through `change`, which says `None` where nothing is to change.
    pub(super) fn replace(&mut self, target: &Target, change: impl Fn(&str) -> Option<String>) -> bool {
        let Target::Header(field) = target else {
            let new = self.part(target).and_then(change);
            return new.is_some_and(|new| self.set_part(target, new));
        };
        let mut changed = false;
        for line in self.lines.iter_mut().filter(|line| line.is(field)) {
            if let Some(value) = change(line.value()) {
                *line = Line::Written { field: field.clone(), value };
                changed = true;
            }
        }
        // A value of which nothing is left is no value.
        self.lines.retain(|line| !matches!(line, Line::Written { value, .. } if value.is_empty()));
        changed
    }

    /// The message as it stands now.
    ///
    /// # Errors
    ///
    /// In words, why it cannot be sent or read so.
    pub(super) fn finish(self) -> Result<Message, String> {
        if let Some(why) = self.spoilt {
            return Err(why);
        }
        let body = self.message.body();
        let mut out = BytesMut::with_capacity(self.message.octets().len() + 256);
        match &self.request_uri {
            Some(uri) => {
                for part in [self.message.method().as_str(), " ", uri, " SIP/2.0\r\n"] {
                    out.put_slice(part.as_bytes());
                }
            }
            None => out.put_slice(self.message.start_line()),
        }
        for line in &self.lines {
            let before = out.len();
            match line {
                Line::Kept(line) => out.put_slice(line.octets),
                Line::Written { field, value } => {
                    for part in [field.as_str(), ": ", value, "\r\n"] {
                        out.put_slice(part.as_bytes());
                    }
                    if out.len() - before > MAX_LINE {
                        return Err(format!("{} becomes longer than {MAX_LINE} octets", field.as_str()));
                    }
                }
            }
        }
        out.put_slice(b"\r\n");
        out.put_slice(&body);
        Message::parse(Bytes::from(out)).map_err(|rejected| match rejected.fault {
            Malformed::TooLarge => "the message becomes too long".to_owned(),
            fault => format!("the message cannot be read any more: {fault}"),
        })
    }
}

impl Action {
    /// Why every message that it is done to would be spoilt, as far as that is known before there is one.
    pub fn spoils(&self) -> Option<String> {
        let (place, template) = match self {
            Self::Add(field, template) => (field.as_str(), template),
            Self::Set(target, template) => (target.as_str(), template),
            Self::Remove(_) | Self::Rename(..) | Self::Copy(..) | Self::Replace(..) => return None,
        };
        if template.fixed() > MAX_LINE {
            return Some(format!("{place} becomes longer than {MAX_LINE} octets"));
        }
        let party = matches!(self, Self::Set(Target::RequestUri | Target::FromUri | Target::ToUri, _));
        // What comes out empty writes nothing.
        let literal = template.literal().map(str::trim).filter(|text| party && !text.is_empty());
        literal.and_then(|uri| readable(uri, place).err())
    }
}

/// A party has to be reachable: `sip:` and nothing else (TDR-1).
fn readable(uri: &str, place: &str) -> Result<(), String> {
    if uri.contains(['<', '>', '"', ' ', '\t']) {
        return Err(format!("{place} gets something that is no URI"));
    }
    match Uri::parse(uri).map(|uri| uri.scheme()) {
        Ok(Scheme::Sip | Scheme::Tel) => Ok(()),
        Ok(Scheme::Sips | Scheme::Other(_)) => Err(format!("{place} gets a URI that is neither sip: nor tel:")),
        Err(_) => Err(format!("{place} gets something that is no URI")),
    }
}

struct Pieces<'v> {
    /// As written, with its quotes.
    display: &'v str,
    uri: &'v str,
    /// The parameters of the header field, tag included, from the first `;`.
    rest: &'v str,
}

impl<'v> Pieces<'v> {
    /// The display name without its quotes.
    fn shown(&self) -> &'v str {
        self.display.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(self.display)
    }
}

/// The value of From or To taken apart.
fn pieces(value: &str) -> Pieces<'_> {
    let whole = Pieces { display: "", uri: value, rest: "" };
    let Ok(parsed) = NameAddr::parse(value) else { return whole };
    let uri = parsed.uri_text();
    let Some(start) = (uri.as_ptr() as usize).checked_sub(value.as_ptr() as usize) else { return whole };
    let (Some(front), Some(behind)) = (value.get(..start), value.get(start + uri.len()..)) else { return whole };
    let display = front.trim().trim_end_matches('<').trim();
    Pieces { display, uri, rest: behind.trim_start().trim_start_matches('>').trim() }
}

fn quote_unless_empty(display: &str) -> String {
    if display.is_empty() { String::new() } else { format!("{} ", quote(display)) }
}
