//! A message, edited, written and read again: it shows the edits and nothing else.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use tandem::sip::{Edits, Field, Malformed, Message, Name};

/// Parses what is in front of the first NUL of `data`, and edits it as what is behind that chooses.
///
/// # Panics
///
/// When the edited message is anything else than the model says.
pub fn drive(data: &[u8]) {
    let end = memchr::memchr(0, data).unwrap_or(data.len());
    let (message, choices) = (&data[..end], data.get(end + 1..).unwrap_or(&[]));
    let Ok(message) = Message::parse(Bytes::copy_from_slice(message)) else { return };
    let mut model = Model::of(&message);
    let edits = edited(&message, &mut model, &mut Unstructured::new(choices)).unwrap_or_default();
    let octets = edits.write(&message);
    let again = match Message::parse(octets.clone()) {
        Ok(again) => again,
        // Lines were added where there was no room.
        Err(rejected) => return assert_eq!(rejected.fault, Malformed::TooLarge, "{}", octets.escape_ascii()),
    };
    assert_eq!(Model::of(&again), model.settled(), "{}", octets.escape_ascii());
    assert_eq!(again.lines().filter(|line| line.name == Name::ContentLength).count(), 1);
    assert_eq!(again.octets(), octets, "the message ends where its octets do");
}

/// What a message says, apart from how it is spelled.
#[derive(Debug, Eq, PartialEq)]
struct Model {
    start: String,
    /// Name and value, and whether the line has come by an edit that takes the place of others.
    lines: Vec<(Field, String)>,
    /// Edited lines that had no line to take the place of, in the order of the edits.
    behind: Vec<(Field, String)>,
    body: Bytes,
}

impl Model {
    fn of(message: &Message) -> Self {
        let start = String::from_utf8_lossy(message.start_line()).trim_end_matches(['\r', '\n']).to_owned();
        let lines = message.lines().filter(|line| line.name != Name::ContentLength);
        let lines = lines.map(|line| (field(line.text), line.value.to_owned())).collect();
        Self { start, lines, behind: Vec::new(), body: message.body() }
    }

    fn settled(mut self) -> Self {
        self.lines.append(&mut self.behind);
        self
    }
}

/// A field whose name compares without case.
fn field(text: &str) -> Field {
    Field::from(text.to_ascii_lowercase().as_str())
}

/// Fields that may go, come and be repeated; `Via` may not go.
const FIELDS: &[&str] = &[
    "X-Acme",
    "x-acme",
    "Subject",
    "P-Asserted-Identity",
    "Contact",
    "Supported",
    "Record-Route",
    "Diversion",
    "X",
    "Content-Length",
    "l",
];

/// Values that nobody cuts.
const VALUES: &[&str] = &["", "1", "<sip:+14255550123@example.com>", "a, b;c=\"d, e\"", "Dänä"];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wanted {
    Set,
    Remove,
    Add,
}

/// Draws edits; `model` becomes what they make of the message.
fn edited(message: &Message, model: &mut Model, choices: &mut Unstructured<'_>) -> Result<Edits<'static>> {
    let mut edits = Edits::new();
    let mut wanted: Vec<(Wanted, Field, String)> = Vec::new();
    for _ in 0..choices.int_in_range(0..=12)? {
        let kind = choices.int_in_range(0..=5_u8)?;
        if kind == 4 {
            restart(message, &mut edits, model, choices)?;
            continue;
        }
        if kind == 5 {
            let length = choices.int_in_range(0..=40_usize)?.min(choices.len());
            model.body = Bytes::copy_from_slice(choices.bytes(length)?);
            edits.body(model.body.clone());
            continue;
        }
        let name = *choices.choose(FIELDS)?;
        let value = if choices.ratio(1_u8, 3_u8)? { text(choices)? } else { (*choices.choose(VALUES)?).to_owned() };
        let wanted_kind = match kind {
            0 | 1 => Wanted::Set,
            2 => Wanted::Remove,
            _ => Wanted::Add,
        };
        match wanted_kind {
            Wanted::Set => edits.set(name, value.clone()),
            Wanted::Remove => edits.remove(name),
            Wanted::Add => edits.add(name, value.clone()),
        };
        if wanted_kind != Wanted::Add {
            wanted.retain(|(kind, other, _)| *kind == Wanted::Add || *other != field(name));
        }
        wanted.push((wanted_kind, field(name), one_line(&value).to_owned()));
    }
    for (kind, name, value) in wanted {
        // Content-Length is nobody's but the writer's.
        if name != Field::Known(Name::ContentLength) {
            apply(model, kind, name, value);
        }
    }
    Ok(edits)
}

fn apply(model: &mut Model, kind: Wanted, name: Field, value: String) {
    let at = model.lines.iter().position(|(own, _)| *own == name);
    match (kind, at) {
        (Wanted::Add, _) | (Wanted::Set, None) => model.behind.push((name, value)),
        (Wanted::Set | Wanted::Remove, _) => {
            model.lines.retain({
                let mut first = kind == Wanted::Set;
                move |(own, _)| *own != name || std::mem::take(&mut first)
            });
            if let (Wanted::Set, Some(at)) = (kind, at) {
                model.lines[at].1 = value;
            }
        }
    }
}

/// Another start line, of the same kind.
fn restart(message: &Message, edits: &mut Edits<'_>, model: &mut Model, choices: &mut Unstructured<'_>) -> Result<()> {
    if message.is_request() {
        let uri = *choices.choose(&["sip:b@example.com", "tel:+14255550123", "sips:example.com;lr"])?;
        edits.request_line(message.method(), uri);
        model.start = format!("{} {uri} SIP/2.0", message.method());
    } else {
        let (status, reason) =
            *choices.choose(&[(200, "OK"), (486, "Busy Here"), (699, ""), (180, "Klingelt gleich")])?;
        edits.status_line(status, reason);
        model.start = format!("SIP/2.0 {status} {reason}");
    }
    Ok(())
}

/// Any text without control characters but CR and LF.
fn text(choices: &mut Unstructured<'_>) -> Result<String> {
    let length = choices.int_in_range(0..=24_usize)?.min(choices.len());
    let text = String::from_utf8_lossy(choices.bytes(length)?).into_owned();
    Ok(text.replace(|letter: char| letter.is_ascii_control() && !matches!(letter, '\r' | '\n' | '\t'), ""))
}

/// What is left of a value: nothing of ours ends a line early.
fn one_line(text: &str) -> &str {
    text.split(['\r', '\n']).next().unwrap_or("").trim_matches([' ', '\t'])
}
