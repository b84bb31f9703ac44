//! Both legs of what was played on one time line, and what Tandem changed between them.

use super::checks::Breach;
use super::octets::{Plain, address};
use super::platform::Traced;
use std::fmt::Write;

/// Width of a leg's column in letters.
const COLUMN: usize = 34;

/// Fields that each leg has of its own, whatever the message says.
const OWN: [&str; 7] = ["Via", "Call-ID", "CSeq", "Content-Length", "Max-Forwards", "Route", "Date"];

/// Fields that say nothing new after the INVITE: a response gives them back, a later request repeats them.
const REPEATED: [&str; 10] = [
    "From",
    "To",
    "Contact",
    "Record-Route",
    "Allow",
    "Supported",
    "Server",
    "User-Agent",
    "Session-Expires",
    "Min-SE",
];

/// A leg.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Leg {
    /// Between Genesys and Tandem.
    Genesys,
    /// Between Tandem and Teams.
    Teams,
}

/// One message.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Row {
    /// Since the first message, in milliseconds.
    pub ms: u64,
    /// The leg it is on.
    pub leg: Leg,
    /// Whether Tandem sent it.
    pub from_tandem: bool,
    /// Method, or status with reason and method.
    pub message: String,
    /// Direction of its description: `sendrecv`, `inactive`, …; `None` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<String>,
    /// The rules it broke.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub breaches: Vec<String>,
}

/// One difference between a message that Tandem got and the one it sent for it.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Change {
    /// Header field, `Request-URI`, or `SDP` and its line.
    pub what: String,
    /// What came; `None`: Tandem added it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What left; `None`: Tandem took it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The changes of one message.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Crossing {
    /// Method, or status and method.
    pub message: String,
    /// Where it came from.
    pub from: Leg,
    /// What was changed.
    pub changes: Vec<Change>,
}

/// Both legs.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Ladder {
    /// Every message, in time.
    pub rows: Vec<Row>,
    /// What Tandem changed, per message that crossed.
    pub crossings: Vec<Crossing>,
}

/// Puts the two platforms' traces on one time line.
pub fn draw(genesys: &[Traced], teams: &[Traced]) -> Ladder {
    let both =
        genesys.iter().map(|traced| (Leg::Genesys, traced)).chain(teams.iter().map(|traced| (Leg::Teams, traced)));
    let mut all: Vec<(Leg, &Traced)> = both.collect();
    all.sort_by_key(|(_, traced)| traced.at);
    let Some(first) = all.first().map(|(_, traced)| traced.at) else { return Ladder::default() };
    let rows = all.iter().map(|(leg, traced)| Row {
        ms: u64::try_from(traced.at.duration_since(first).as_millis()).unwrap_or(u64::MAX),
        leg: *leg,
        from_tandem: !traced.sent,
        message: label(&traced.plain),
        media: traced.plain.sdp().map(direction),
        breaches: traced.breaches.iter().map(Breach::to_string).collect(),
    });
    Ladder { rows: rows.collect(), crossings: crossings(&all) }
}

/// Finds for every message that Tandem sent the one on the other leg that it was made from: the last of
/// the same kind. What Tandem made by itself (100, ACK, OPTIONS) has none.
fn crossings(all: &[(Leg, &Traced)]) -> Vec<Crossing> {
    let mut found: Vec<Crossing> = Vec::new();
    for (at, (leg, traced)) in all.iter().enumerate().filter(|(_, (_, traced))| !traced.sent) {
        let kind = |plain: &Plain| (plain.method().to_owned(), plain.status());
        let own = kind(&traced.plain);
        if matches!(own.0.as_str(), "ACK" | "OPTIONS" | "") || own.1 == 100 {
            continue;
        }
        let origin = all[..at].iter().rev().find(|(other, from)| other != leg && from.sent && kind(&from.plain) == own);
        let Some((from, origin)) = origin else { continue };
        let initial = own.1 == 0 && traced.plain.tag("To").is_empty();
        let mut changes = changes(&origin.plain, &traced.plain);
        if !initial {
            changes.retain(|change| !REPEATED.contains(&change.what.as_str()));
        }
        let crossing = Crossing { message: label(&traced.plain), from: *from, changes };
        // The same change again teaches nothing.
        let known = |earlier: &Crossing| earlier.message == crossing.message && earlier.changes == crossing.changes;
        if !crossing.changes.is_empty() && !found.iter().any(known) {
            found.push(crossing);
        }
    }
    found
}

/// The differences that Tandem made, tags and the fields of a leg's own left out.
pub fn changes(came: &Plain, left: &Plain) -> Vec<Change> {
    let mut found = Vec::new();
    let mut compare = |what: &str, before: Option<String>, after: Option<String>| {
        if before != after {
            found.push(Change { what: what.to_owned(), before, after });
        }
    };
    let text = |value: &str| Some(value.to_owned()).filter(|value| !value.is_empty());
    compare("Request-URI", text(came.request_uri()), text(left.request_uri()));
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in came.lines.iter().chain(&left.lines) {
        let known = names.iter().any(|known| known.eq_ignore_ascii_case(name));
        if !known && !OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            names.push(name);
        }
    }
    for name in names {
        let value = |plain: &Plain| {
            let values: Vec<String> = plain.all(name).map(|value| without_tag(name, value)).collect();
            (!values.is_empty()).then(|| values.join(", "))
        };
        compare(&canonical(name), value(came), value(left));
    }
    let sdp = |plain: &Plain| -> Vec<String> { plain.sdp().unwrap_or("").lines().map(str::to_owned).collect() };
    let (before, after) = (sdp(came), sdp(left));
    if before.is_empty() != after.is_empty() {
        compare(
            "SDP",
            text(&before.join(" ")).map(|_| "present".into()),
            text(&after.join(" ")).map(|_| "present".into()),
        );
    } else {
        let gone: Vec<&String> = before.iter().filter(|line| !after.contains(line)).collect();
        let new: Vec<&String> = after.iter().filter(|line| !before.contains(line)).collect();
        for at in 0..gone.len().max(new.len()) {
            compare("SDP", gone.get(at).map(ToString::to_string), new.get(at).map(ToString::to_string));
        }
    }
    found
}

/// The usual spelling of a name that the hub writes in capitals.
fn canonical(name: &str) -> String {
    let known = crate::sip::Name::of(name).as_str();
    if known.is_empty() { name.to_owned() } else { known.to_owned() }
}

fn without_tag(name: &str, value: &str) -> String {
    if !name.eq_ignore_ascii_case("From") && !name.eq_ignore_ascii_case("To") {
        return value.to_owned();
    }
    let read = address(value);
    let blank = if read.display.is_empty() { "" } else { " " };
    format!("{}{blank}<{}>", read.display, read.uri)
}

fn label(plain: &Plain) -> String {
    match plain.status() {
        0 => plain.method().to_owned(),
        _ => {
            let line = plain.start.strip_prefix("SIP/2.0 ").unwrap_or(&plain.start);
            // Most responses are to INVITE: only the others say to what.
            if plain.method() == "INVITE" { line.to_owned() } else { format!("{line} ({})", plain.method()) }
        }
    }
}

fn direction(sdp: &str) -> String {
    let lines = super::checks::description::lines(sdp).unwrap_or_default();
    let held = lines.address(0) == "0.0.0.0";
    if held { "0.0.0.0".into() } else { lines.direction(0).to_owned() }
}

impl Ladder {
    /// The ladder as text: Genesys on the left, Teams on the right, Tandem between them.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String does not fail.
        let _ = writeln!(out, "{:>9}  {:<COLUMN$}{:^8}{:>COLUMN$}", "", "Genesys", "Tandem", "Teams");
        for row in &self.rows {
            let media = row.media.as_ref().map(|media| format!(" [{media}]")).unwrap_or_default();
            let toward_teams = (row.leg == Leg::Genesys) != row.from_tandem;
            let arrow = arrow(&format!("{}{media}", row.message), toward_teams);
            let line = match row.leg {
                Leg::Genesys => format!("{arrow}   │"),
                Leg::Teams => format!("{:COLUMN$}   │    {arrow}", ""),
            };
            let _ = writeln!(out, "{:>6} ms  {line}", row.ms);
            for breach in &row.breaches {
                let _ = writeln!(out, "           !! {breach}");
            }
        }
        out
    }

    /// What Tandem changed, as text.
    pub fn changes_text(&self) -> String {
        let mut out = String::new();
        for crossing in &self.crossings {
            let _ = writeln!(out, "  {} from {:?}:", crossing.message, crossing.from);
            for Change { what, before, after } in &crossing.changes {
                let _ = match (before, after) {
                    (Some(before), Some(after)) => {
                        writeln!(out, "    ~ {what}: {before}\n      {:>width$}  {after}", "→", width = what.len())
                    }
                    (Some(before), None) => writeln!(out, "    - {what}: {before}"),
                    (None, Some(after)) => writeln!(out, "    + {what}: {after}"),
                    (None, None) => Ok(()),
                };
            }
        }
        out
    }
}

/// A message on an arrow that fills a column.
fn arrow(text: &str, right: bool) -> String {
    let text: String = text.chars().take(COLUMN - 6).collect();
    let rest = "─".repeat((COLUMN - 4).saturating_sub(text.chars().count()));
    if right { format!("─ {text} {rest}▶") } else { format!("◀ {text} {rest}─") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn plain(text: &str) -> Plain {
        Plain::read(text.as_bytes()).expect("reads")
    }

    fn traced(sent: bool, at: Instant, text: &str) -> Traced {
        let end = ([127, 0, 0, 1], 5061).into();
        Traced {
            at,
            sent,
            local: end,
            remote: end,
            octets: text.to_owned().into(),
            plain: plain(text),
            breaches: vec![],
        }
    }

    const CAME: &str = "INVITE sip:+1@sbc1.example.com SIP/2.0\r\nVia: a\r\nFrom: \"E\" <sip:+2@198.51.100.21>;tag=1\r\n\
        Call-ID: x\r\nx-inin-cnv: 1\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n\r\nv=0\r\no=a 1 1 IN IP4 a\r\n";
    const LEFT: &str = "INVITE sip:+1@sip.pstnhub.microsoft.com SIP/2.0\r\nVia: b\r\nFrom: \"E\" <sip:+2@sbc1.example.com>;tag=2\r\n\
        Call-ID: y\r\nX-MS-SBC: T\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n\r\nv=0\r\no=a 7 1 IN IP4 a\r\n";

    #[test]
    fn changes_name_what_was_changed_added_and_taken_away() {
        let found = changes(&plain(CAME), &plain(LEFT));
        let what: Vec<(&str, bool, bool)> = found
            .iter()
            .map(|change| (change.what.as_str(), change.before.is_some(), change.after.is_some()))
            .collect();
        assert_eq!(
            what,
            [
                ("Request-URI", true, true),
                ("From", true, true),
                ("x-inin-cnv", true, false),
                ("X-MS-SBC", false, true),
                ("SDP", true, true)
            ]
        );
    }

    #[test]
    fn a_ladder_has_both_legs_in_time() {
        let start = Instant::now();
        let later = start + Duration::from_millis(3);
        let ladder = draw(&[traced(true, start, CAME)], &[traced(false, later, LEFT)]);
        let text = ladder.text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("Genesys") && lines[0].contains("Tandem") && lines[0].contains("Teams"));
        assert!(lines[1].contains("0 ms  ─ INVITE [sendrecv]") && lines[1].contains("▶   │"), "{text}");
        assert!(lines[2].contains("3 ms") && lines[2].contains("│    ─ INVITE"), "{text}");
        assert_eq!(ladder.crossings.len(), 1);
        assert!(ladder.changes_text().contains("- x-inin-cnv: 1"), "{}", ladder.changes_text());
    }
}
