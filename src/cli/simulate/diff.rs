//! What differs between two messages, line by line.
//!
//! Header fields are held against those of the same name, whatever their order, since what leaves is written anew; the
//! bodies line by line in their order.

use super::told::{Change, Mark};
use crate::sip::{Message, Name};

/// Above this many lines bodies are not held against each other line by line: the work grows with their product.
const MAX_LINES: usize = 1000;

/// Every line of both messages: gone, new or in both.
pub(super) fn changes(before: &Message, after: &Message) -> Vec<Change> {
    let mut found = Vec::new();
    let start = |message: &Message| vec![text(message.start_line().trim_ascii_end())];
    in_order(&start(before), &start(after), &mut found);
    let mut done: Vec<String> = Vec::new();
    for line in before.lines().chain(after.lines()) {
        let key = key(line.name, line.text);
        if !done.contains(&key) {
            in_order(&fields(before, &key), &fields(after, &key), &mut found);
            done.push(key);
        }
    }
    let body = |message: &Message| -> Vec<String> {
        let body = message.body();
        let lines = body.split_inclusive(|octet| *octet == b'\n');
        lines.map(|line| text(line.trim_ascii_end())).collect()
    };
    let (before, after) = (body(before), body(after));
    if !before.is_empty() || !after.is_empty() {
        found.push(Change { mark: Mark::Same, text: String::new() });
        in_order(&before, &after, &mut found);
    }
    found
}

/// Only the lines that are gone or new.
pub(super) fn differences(before: &Message, after: &Message) -> Vec<Change> {
    let mut found = changes(before, after);
    found.retain(|change| change.mark != Mark::Same);
    found
}

/// What a field is known by: compact form and case do not matter.
fn key(name: Name, text: &str) -> String {
    if name == Name::Other { text.to_ascii_lowercase() } else { name.as_str().to_owned() }
}

/// The lines of one field, its name in the usual spelling.
fn fields(message: &Message, wanted: &str) -> Vec<String> {
    let lines = message.lines().filter(|line| key(line.name, line.text) == wanted);
    let name = |line: &crate::sip::HeaderLine<'_>| {
        if line.name == Name::Other { line.text.to_owned() } else { wanted.to_owned() }
    };
    lines.map(|line| format!("{}: {}", name(&line), line.value)).collect()
}

pub(super) fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// The shortest way from `before` to `after` (longest common subsequence).
fn in_order(before: &[String], after: &[String], found: &mut Vec<Change>) {
    let change = |mark, text: &String| Change { mark, text: text.clone() };
    if before.len() > MAX_LINES || after.len() > MAX_LINES {
        found.extend(before.iter().map(|line| change(Mark::Gone, line)));
        found.extend(after.iter().map(|line| change(Mark::New, line)));
        return;
    }
    let width = after.len() + 1;
    let mut common = vec![0_u16; (before.len() + 1) * width];
    for (old, line) in before.iter().enumerate().rev() {
        for (new, other) in after.iter().enumerate().rev() {
            common[old * width + new] = if line == other {
                common[(old + 1) * width + new + 1] + 1
            } else {
                common[(old + 1) * width + new].max(common[old * width + new + 1])
            };
        }
    }
    let (mut old, mut new) = (0, 0);
    while let (Some(line), Some(other)) = (before.get(old), after.get(new)) {
        if line == other {
            found.push(change(Mark::Same, line));
            (old, new) = (old + 1, new + 1);
        } else if common[(old + 1) * width + new] >= common[old * width + new + 1] {
            found.push(change(Mark::Gone, line));
            old += 1;
        } else {
            found.push(change(Mark::New, other));
            new += 1;
        }
    }
    found.extend(before[old..].iter().map(|line| change(Mark::Gone, line)));
    found.extend(after[new..].iter().map(|line| change(Mark::New, line)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn message(lines: &[&str], body: &str) -> Message {
        let text = format!("{}\r\nContent-Length: {}\r\n\r\n{body}", lines.join("\r\n"), body.len());
        Message::parse(Bytes::from(text)).unwrap()
    }

    #[test]
    fn fields_are_held_against_those_of_their_name_and_bodies_line_by_line() {
        let common =
            ["Via: SIP/2.0/TLS a.example.com;branch=z9hG4bK1", "t: <sip:b@example.com>", "i: 1", "CSeq: 1 INVITE"];
        let before = [&["INVITE sip:b@example.com SIP/2.0", "From: <sip:a@example.com>;tag=1"][..], &common].concat();
        let after =
            [&["INVITE sip:b@example.com SIP/2.0"][..], &common, &["FROM: <sip:c@example.com>;tag=1", "X-A: 1"]]
                .concat();
        let changes = changes(&message(&before, "v=0\r\na=1\r\nb=2\r\n"), &message(&after, "v=0\r\nb=2\r\nc=3\r\n"));
        let told: Vec<String> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "  INVITE sip:b@example.com SIP/2.0",
                "- From: <sip:a@example.com>;tag=1",
                "+ From: <sip:c@example.com>;tag=1",
                "  Via: SIP/2.0/TLS a.example.com;branch=z9hG4bK1",
                "  To: <sip:b@example.com>",
                "  Call-ID: 1",
                "  CSeq: 1 INVITE",
                "  Content-Length: 15",
                "+ X-A: 1",
                "  ",
                "  v=0",
                "- a=1",
                "  b=2",
                "+ c=3",
            ]
            .iter()
            .map(|line| (*line).to_owned())
            .collect::<Vec<_>>()
        );
    }
}
