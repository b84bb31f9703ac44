//! A simulation for people: a section for each step, the decision last.

use super::told::{Change, Decision, Fate, Guarded, Kind, Mark, Party, Report, Ruled, Told};
use std::fmt::Write;

/// Bold, red, green, yellow, faint; and back.
const STYLES: [&str; 6] = ["\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[2m", "\x1b[0m"];

#[derive(Clone, Copy)]
enum Style {
    Bold,
    Red,
    Green,
    Yellow,
    Faint,
}

/// What is written so far.
struct Page {
    text: String,
    colour: bool,
}

/// The whole simulation as text.
pub(super) fn render(report: &Report, colour: bool) -> String {
    let mut page = Page { text: String::new(), colour };
    for told in &report.messages {
        page.message(told, report);
    }
    for what in &report.left_out {
        page.line(Style::Yellow, &format!("left out: {what}"));
    }
    if report.messages.len() > 1 {
        page.summary(report);
    }
    page.text
}

impl Page {
    /// One line. What a peer wrote must not reach the terminal as a command.
    fn line(&mut self, style: impl Into<Option<Style>>, text: &str) {
        let style = style.into().filter(|_| self.colour);
        let safe = text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c });
        let safe: String = safe.collect();
        let safe = safe.trim_end();
        // Writing into a string does not fail.
        let _ = match style {
            Some(style) => writeln!(self.text, "{}{safe}{}", STYLES[style as usize], STYLES[5]),
            None => writeln!(self.text, "{safe}"),
        };
    }

    fn heading(&mut self, title: &str) {
        self.text.push('\n');
        self.line(Style::Bold, title);
    }

    fn message(&mut self, told: &Told, report: &Report) {
        if told.number > 1 {
            self.text.push('\n');
        }
        let count = report.messages.len();
        let title = format!("── message {} of {count}, {}: {}", told.number, told.place, told.start);
        self.line(Style::Bold, &title);
        for note in &told.notes {
            self.line(Style::Yellow, &format!("   note: {note}"));
        }
        if let Some(fault) = &told.fault {
            self.heading("Fault");
            self.line(Style::Red, &format!("  {} at octet {}, line {}:", fault.text, fault.octet, fault.line));
            self.line(None, &format!("  | {}", fault.content));
        }
        self.trunk(told);
        let ruled = |direction| told.rules.iter().filter(move |ruled| ruled.direction == direction);
        self.rules("Operator rules, on the way in", ruled("in"));
        if told.called.is_some() && told.rules.is_empty() {
            self.heading("Operator rules");
            self.line(None, "  none fired");
        }
        self.parties(told);
        self.routes(told);
        self.rules("Operator rules, on the way out", ruled("out"));
        self.guard(told);
        self.fields(told);
        if !told.changes.is_empty() {
            self.heading("Before and after");
            self.changes(&told.changes);
        }
        if !told.sent.is_empty() {
            self.heading("Would be sent");
            for sent in &told.sent {
                let to = match (sent.to.as_str(), sent.resolved) {
                    ("flow", _) => format!("back to {}", sent.trunk),
                    (to, Some(true)) => format!("to {} at {to}", sent.trunk),
                    (to, _) => format!("to {} at {to} (a name; the DNS is not asked)", sent.trunk),
                };
                self.line(Style::Bold, &format!("  → {to}"));
                for line in sent.octets.lines() {
                    self.line(None, &format!("  | {line}"));
                }
            }
        }
        self.heading("Decision");
        self.decision("  ", &told.decision);
    }

    fn trunk(&mut self, told: &Told) {
        self.heading("Trunk");
        let peer = &told.peer;
        let listener = peer.listener.as_deref().unwrap_or("no listener");
        let names = if peer.names.is_empty() { String::new() } else { format!(", proving {}", peer.names.join(", ")) };
        self.line(None, &format!("  a peer at {} over {} to {listener}{names}", peer.source, peer.transport));
        let Some(trunk) = &told.trunk else { return };
        for candidate in &trunk.candidates {
            let named = if candidate.named { "named" } else { "not named" };
            let group = if candidate.in_group { ", tgrp fits" } else { "" };
            self.line(
                None,
                &format!("  may be {}: {named} by the Request-URI ({}){group}", candidate.trunk, candidate.fqdn),
            );
        }
        match &trunk.chosen {
            Some(chosen) => self.line(Style::Green, &format!("  it is {chosen}: {}", trunk.why)),
            None => self.line(Style::Red, &format!("  it is none: {}", trunk.why)),
        }
    }

    fn rules<'r>(&mut self, title: &str, rules: impl Iterator<Item = &'r Ruled>) {
        for (at, ruled) in rules.enumerate() {
            if at == 0 {
                self.heading(title);
            }
            let names: Vec<&str> = ruled.rules.iter().map(|rule| &*rule.name).collect();
            self.line(Style::Yellow, &format!("  {} on {} ({})", names.join(", "), ruled.trunk, ruled.message));
            self.changes(&ruled.changes);
        }
    }

    fn parties(&mut self, told: &Told) {
        if told.called.is_none() && told.caller.is_none() {
            return;
        }
        self.heading("Who calls whom");
        for (what, party) in [("called", &told.called), ("caller", &told.caller)] {
            let Some(party) = party else { continue };
            self.line(party.number.is_none().then_some(Style::Yellow), &format!("  {what}  {}", party_text(party)));
        }
        let text = match &told.directory {
            None => return,
            Some(directory) if !directory.found => "the called number is not in it".to_owned(),
            Some(directory) => {
                let active = if directory.active == Some(true) { "active" } else { "not active" };
                format!("the called number is {}, {active}", directory.user.as_deref().unwrap_or("nobody's"))
            }
        };
        self.heading("Directory");
        self.line(None, &format!("  {text}"));
    }

    fn routes(&mut self, told: &Told) {
        if told.called.as_ref().is_none_or(|called| called.number.is_none()) {
            return;
        }
        self.heading("Routes");
        for route in &told.routes {
            let style = if route.matches { Some(Style::Green) } else { None };
            self.line(style, &format!("  {}  {}: {}", route.route, route.text, route.why));
        }
        if !told.routes.iter().any(|route| route.matches) {
            self.line(Style::Red, "  no route matches");
        }
        if !told.hosts.is_empty() {
            self.heading("Hosts, in the order in which they are tried");
        }
        for host in &told.hosts {
            let addresses = match host.addresses.as_slice() {
                [] => "not resolved: the DNS is not asked".to_owned(),
                addresses => addresses.join(", "),
            };
            let why = host.why.map(|why| format!("; {why}")).unwrap_or_default();
            let style = if host.tried { None } else { Some(Style::Faint) };
            self.line(style, &format!("  {}  {} over {} ({addresses}){why}", host.trunk, host.host, host.transport));
        }
    }

    fn guard(&mut self, told: &Told) {
        if told.guard.is_empty() && told.fields.is_empty() {
            return;
        }
        self.heading("Egress guard");
        if told.guard.is_empty() {
            self.line(None, "  nothing to put right, nothing to keep back");
        }
        for guarded in &told.guard {
            match guarded {
                Guarded::Repaired { trunk, message, changes } => {
                    self.line(Style::Yellow, &format!("  put right on its way to {trunk} ({message})"));
                    self.changes(changes);
                }
                Guarded::Withheld { trunk, rule, text } => {
                    self.line(Style::Red, &format!("  kept from leaving to {trunk} by {rule}: {text}"));
                }
            }
        }
    }

    fn fields(&mut self, told: &Told) {
        if told.fields.is_empty() {
            return;
        }
        self.heading("Header fields");
        for field in &told.fields {
            let (style, fate) = match field.fate {
                Fate::Crosses => (Some(Style::Green), "crosses"),
                Fate::Anew => (None, "anew"),
                Fate::Stays => (Some(Style::Faint), "stays"),
                Fate::Added => (Some(Style::Green), "added"),
            };
            let why = field.why.map(|why| format!("  [{why}]")).unwrap_or_default();
            self.line(style, &format!("  {fate:<7}  {}: {}{why}", field.name, field.value));
        }
    }

    fn changes(&mut self, changes: &[Change]) {
        for change in changes {
            let style = match change.mark {
                Mark::Same => None,
                Mark::Gone => Some(Style::Red),
                Mark::New => Some(Style::Green),
            };
            self.line(style, &format!("  {change}"));
        }
    }

    fn decision(&mut self, indent: &str, decision: &Decision) {
        let (style, word) = match decision.kind {
            Kind::Forwarded => (Style::Green, "accepted"),
            Kind::Answered => (Style::Green, "answered"),
            Kind::Refused => (Style::Red, "refused"),
            Kind::Absorbed => (Style::Faint, "absorbed"),
            Kind::Dropped => (Style::Red, "dropped"),
        };
        self.line(style, &format!("{indent}{word}: {}", decision.text));
    }

    /// One line a message.
    fn summary(&mut self, report: &Report) {
        self.heading("All messages");
        for told in &report.messages {
            self.decision(&format!("  {:>4}  {}  ", told.number, told.start), &told.decision);
        }
    }
}

fn party_text(party: &Party) -> String {
    let Some(number) = &party.number else {
        return party.why.clone().unwrap_or_default();
    };
    let mut text = number.clone();
    if let Some(display) = &party.display {
        text.push_str(&format!(" \"{display}\""));
    }
    match party.said_in.as_slice() {
        [] => {}
        [place] => text.push_str(&format!(", as {place} says")),
        places => text.push_str(&format!(", as {} say", places.join(" and "))),
    }
    if party.anonymous {
        text.push_str(", not to be shown");
    }
    text
}
