//! `[[rule]]`: the operator's rules, compiled, and what is wrong with them.
//!
//! A rule that cannot be compiled refuses the configuration, with the column within its value. Rules that compile and
//! make no sense are findings: they never fire, undo each other, or want what a platform rejects or the guard undoes.

use super::finding::Findings;
use super::section::{Section, advice};
use crate::number::Pattern;
use crate::rules::{Action, Condition, Direction, PARTS, Rule, Rules, Target, Template, Test};
use crate::settings::TrunkSettings;
use crate::sip::{Field, Keeper, Method, Name, Scheme, Uri, keeper};
use crate::trunk::{Kind, Trunk};
use regex::{Regex, RegexBuilder};
use std::sync::Arc;
use toml::Spanned;

/// The most memory of one compiled expression, in octets: those of people take some KiB.
const MAX_REGEX: usize = 1 << 20;

/// The most rules: each is looked at for every message of its trunk.
const MAX_RULES: usize = 1000;

/// The actions, each a key whose value is what it acts on.
const ACTIONS: [&str; 6] = ["add", "set", "remove", "rename", "copy", "replace"];

/// Messages that leave from templates: no rule touches them on their way out.
const TEMPLATES: [Method; 5] = [Method::Ack, Method::Bye, Method::Cancel, Method::Prack, Method::Notify];

/// The rules, and the table of each, in order.
pub(super) fn read<'a>(root: &Section<'a>, trunks: &[TrunkSettings]) -> (Rules, Vec<Section<'a>>) {
    let mut sections = root.repeated("rule");
    if let Some(first) = sections.get(MAX_RULES) {
        first.findings().error(first.span(), format!("more than {MAX_RULES} rules")).remedy("join some of them");
        // Each is held against all before it, so the rest is not looked at.
        sections.truncate(MAX_RULES);
    }
    // A rule with a fault leaves a place, so that what is found of the others names the right table.
    let rules: Vec<Option<Rule>> = sections.iter().map(|section| read_rule(section, trunks)).collect();
    if rules.iter().all(Option::is_some) {
        let rules: Vec<Rule> = rules.into_iter().flatten().collect();
        check(&rules, &sections, trunks);
        return (Rules::new(rules), sections);
    }
    (Rules::default(), sections)
}

fn read_rule(section: &Section<'_>, trunks: &[TrunkSettings]) -> Option<Rule> {
    let name = section.text("name").map_or("", Spanned::into_inner);
    let condition = read_condition(section, trunks);
    let captures = condition.as_ref().and_then(|condition| match &condition.part {
        Some((_, Test::Matches(regex))) => Some(regex.captures_len() - 1),
        Some((_, Test::Present(_))) | None => None,
    });
    let action = read_action(section, captures);
    Some(Rule { name: Arc::from(name), condition: condition?, action: action? })
}

fn read_condition(section: &Section<'_>, trunks: &[TrunkSettings]) -> Option<Condition> {
    let names: Vec<&str> = trunks.iter().map(|trunk| &*trunk.trunk.name).collect();
    let trunk = |name: &str| {
        let found = trunks.iter().find(|trunk| &*trunk.trunk.name == name).map(|trunk| trunk.trunk.id);
        found.ok_or_else(|| format!("there is no trunk `{name}`; {}", advice(name, &names)))
    };
    let pattern = |text: &str| Pattern::parse(text).map_err(|error| format!("`{text}`: {error}"));
    let direction = section.choice("direction", &[("in", Direction::In), ("out", Direction::Out)]);
    if section.text("direction").is_none() {
        section.missing("direction", "\"in\": what comes from the trunk; \"out\": what is about to leave toward it");
    }
    let when = section.table("when");
    let part = read_part(&when);
    let wanted = when.is_present();
    let whole = !wanted || part.is_some();
    when.finish();
    let condition = Condition {
        trunks: section.some("trunk", trunk),
        direction: direction?,
        request: section.choice("message", &[("request", true), ("response", false)]),
        methods: section.some("method", method),
        statuses: section.some("status", statuses),
        called: section.some("called", pattern),
        caller: section.some("caller", pattern),
        part,
    };
    whole.then_some(condition)
}

fn read_part(when: &Section<'_>) -> Option<(Target, Test)> {
    if !when.is_present() {
        return None;
    }
    let target = when.parsed("header", Target::parse);
    if when.text("header").is_none() {
        when.missing("header", "name what is asked about: when = { header = \"X-Site\", present = true }");
    }
    let (matches, present) = (when.text("matches"), when.flag("present"));
    let test = match (&matches, present) {
        (Some(text), None) => Some(Test::Matches(expression(when.findings(), text)?)),
        (None, Some(present)) => Some(Test::Present(present)),
        _ => {
            let message = format!("{} needs either `matches` or `present`", when.name());
            when.findings().error(when.span(), message).remedy("matches = \"^ber\", or present = false");
            None
        }
    };
    Some((target?.into_inner(), test?))
}

fn method(text: &str) -> Result<Method, String> {
    let known = [Method::Invite, Method::Update, Method::Info, Method::Options, Method::Refer];
    let known: Vec<Method> = known.into_iter().chain(TEMPLATES).collect();
    let names: Vec<&str> = known.iter().map(Method::as_str).collect();
    let found = known.iter().find(|method| method.as_str() == text).cloned();
    found.ok_or_else(|| format!("`{text}` is no method that rules can name; {}", advice(text, &names)))
}

/// `486`, `4xx`.
fn statuses(text: &str) -> Result<(u16, u16), String> {
    let fault = || format!("`{text}` is no status; write for example \"486\" or \"4xx\"");
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok().filter(|class| (1..=6).contains(class)).ok_or_else(fault)?;
        return Ok((class * 100, class * 100 + 99));
    }
    let status = text.parse().ok().filter(|status| (100..700).contains(status)).ok_or_else(fault)?;
    Ok((status, status))
}

/// Compiles an expression; a fault is reported where it is.
fn expression(findings: &Findings, text: &Spanned<&str>) -> Option<Regex> {
    match RegexBuilder::new(text.get_ref()).size_limit(MAX_REGEX).dfa_size_limit(MAX_REGEX).build() {
        Ok(regex) => Some(regex),
        Err(error) => {
            let shown = error.to_string();
            // The library draws several lines, the caret on the last but one; the last says what is wrong.
            let why = shown.lines().last().unwrap_or("").trim_start_matches("error: ").to_owned();
            let column = shown
                .lines()
                .find_map(|line| line.trim_end().strip_suffix('^').map(|front| front.trim_end_matches('^').len()));
            // Its columns are characters; four blanks stand in front of the expression.
            let before = column.map_or(0, |column| column.saturating_sub(4));
            let at = text.get_ref().chars().take(before).map(char::len_utf8).sum();
            let remedy =
                "the expressions of Rust's regex: no look-around, no back-references; in TOML best in 'single quotes'";
            findings
                .error(findings.within(text.span(), at), format!("this expression cannot be compiled: {why}"))
                .remedy(remedy);
            None
        }
    }
}

fn template(section: &Section<'_>, key: &'static str, captures: Option<usize>) -> Option<Template> {
    let text = section.text(key)?;
    match Template::parse(text.get_ref(), captures) {
        Ok(template) => Some(template),
        Err(error) => {
            let findings = section.findings();
            findings.error(findings.within(text.span(), error.at), error.text);
            None
        }
    }
}

fn read_action(section: &Section<'_>, captures: Option<usize>) -> Option<Action> {
    let said: Vec<&str> = ACTIONS.into_iter().filter(|key| section.text(key).is_some()).collect();
    let [action] = said.as_slice() else {
        let message = match said.len() {
            0 => "this rule does nothing".to_owned(),
            _ => format!("a rule does one thing, and this one wants to {}", said.join(" and ")),
        };
        let remedy = "one of add, set, remove, rename, copy and replace, with the name of the header field";
        section.findings().error(section.span(), message).remedy(remedy);
        return None;
    };
    let needed = |key: &'static str, remedy: &str| {
        if section.text(key).is_none() {
            section.missing(key, remedy);
        }
    };
    match *action {
        "add" => {
            needed("value", "what it says: value = \"text ${called}\"");
            Some(Action::Add(field(section, "add", true)?, template(section, "value", captures)?))
        }
        "set" => {
            needed("value", "what it says: value = \"text ${called}\"");
            Some(Action::Set(written(section, "set")?, template(section, "value", captures)?))
        }
        "remove" => Some(Action::Remove(field(section, "remove", false)?)),
        "rename" => {
            needed("to", "the new name: to = \"X-Other\"");
            Some(Action::Rename(field(section, "rename", false)?, field(section, "to", true)?))
        }
        "copy" => {
            needed("to", "where to: to = \"X-Other\"");
            let from = section.parsed("copy", Target::parse)?.into_inner();
            Some(Action::Copy(from, written(section, "to")?))
        }
        _ => {
            needed("pattern", "what is replaced: pattern = '^0([1-9])'");
            needed("with", "what stands in its place: with = \"+49$1\"");
            let regex = expression(section.findings(), &section.text("pattern")?)?;
            let with = template(section, "with", Some(regex.captures_len() - 1));
            Some(Action::Replace(written(section, "replace")?, regex, with?))
        }
    }
}

/// Something that a rule may write.
fn written(section: &Section<'_>, key: &'static str) -> Option<Target> {
    let target = section.parsed(key, Target::parse)?;
    let span = target.span();
    let target = target.into_inner();
    if let Some(why) = target.denied() {
        let message = format!("`{}` is not for rules to change", target.as_str());
        section.findings().error(span, message).remedy(why);
        return None;
    }
    Some(target)
}

/// A header field; what is taken away may have a name that a platform keeps, what is written may not.
fn field(section: &Section<'_>, key: &'static str, writes: bool) -> Option<Field> {
    let place = section.place(key);
    let target = match writes {
        true => written(section, key)?,
        false => section.parsed(key, Target::parse)?.into_inner(),
    };
    let Target::Header(field) = target else {
        let parts: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
        let message = format!("{} can be set, copied and replaced, and nothing else", parts.join(", "));
        section.findings().error(place, message);
        return None;
    };
    // What a platform keeps for itself may be taken away; what holds calls together, ours included, may not.
    let theirs = match &field {
        Field::Known(_) => false,
        Field::Extension(name) => matches!(keeper(name), Some(Keeper::Genesys | Keeper::Microsoft)),
    };
    if !writes && !theirs && Target::Header(field.clone()).denied().is_some() {
        return written(section, key).and(None);
    }
    Some(field)
}

/// What compiles and makes no sense.
fn check(rules: &[Rule], sections: &[Section<'_>], trunks: &[TrunkSettings]) {
    for (at, (rule, section)) in rules.iter().zip(sections).enumerate() {
        if let Some(why) = rule.action.spoils() {
            let message = format!("{why}: no message that this rule fires on would get through");
            section.findings().error(section.place("value"), message).remedy("correct the value, or remove the rule");
        }
        never(rule, section, trunks);
        platforms(rule, section, trunks);
        // One that it undoes is enough to look at the rule again.
        rules.iter().take(at).enumerate().any(|(before, other)| undone(rule, other, before, section));
    }
}

/// Conditions that contradict each other or the action.
fn never(rule: &Rule, section: &Section<'_>, trunks: &[TrunkSettings]) {
    let condition = &rule.condition;
    let findings = section.findings();
    if !condition.statuses.is_empty() && condition.request == Some(true) {
        findings.error(section.place("status"), "this rule never fires: requests have no status").remedy("remove one");
    }
    let needs_invite = [rule.action.writes(), condition.part.as_ref().map(|(target, _)| target.clone())];
    let initial = rule.action.writes().is_some_and(|target| target.initial_only());
    let names_invite = condition.methods.is_empty() || condition.methods.contains(&Method::Invite);
    if initial && (condition.request == Some(false) || !condition.statuses.is_empty() || !names_invite) {
        let message =
            "this rule never fires: the parties are changed in the INVITE that begins a call, and nowhere else";
        findings
            .error(section.span(), message)
            .remedy("message = \"request\", method = \"INVITE\"")
            .rule("RFC 3261 §12.2");
    }
    let uri_of_response = needs_invite.iter().flatten().any(|target| *target == Target::RequestUri);
    if uri_of_response && !initial && (condition.request == Some(false) || !condition.statuses.is_empty()) {
        findings
            .error(section.span(), "this rule never fires: responses have no request-uri")
            .remedy("message = \"request\"");
    }
    let methods = &condition.methods;
    let only = |known: &[Method]| !methods.is_empty() && methods.iter().all(|method| known.contains(method));
    if only(&[Method::Ack]) && (condition.request == Some(false) || !condition.statuses.is_empty()) {
        findings.error(section.place("method"), "this rule never fires: an ACK has no response").remedy("remove one");
        return;
    }
    if condition.direction == Direction::In {
        if only(&[Method::Ack, Method::Cancel]) {
            let message =
                "this rule never fires: ACK and CANCEL are read as they come, and the answer to a CANCEL is not read";
            findings.error(section.place("method"), message).remedy("name INVITE, UPDATE, INFO, BYE or OPTIONS");
        }
        return;
    }
    if only(&TEMPLATES) {
        let message = "this rule never fires: ACK, BYE, CANCEL, PRACK and NOTIFY leave as they have to be";
        findings.error(section.place("method"), message).remedy("name INVITE, UPDATE, INFO or OPTIONS");
    }
    let requests = condition.request != Some(false) && condition.statuses.is_empty();
    let named = trunks.iter().filter(|trunk| condition.trunks.contains(&trunk.trunk.id));
    let deaf = |trunk: &Trunk| condition.methods.iter().all(|method| !trunk.takes(method));
    let mut named = named.peekable();
    if requests
        && condition.request == Some(true)
        && !condition.methods.is_empty()
        && named.peek().is_some()
        && named.all(|trunk| deaf(&trunk.trunk))
    {
        let message = "this rule never fires: these methods are never sent to the trunk";
        findings.warning(section.place("method"), message).remedy("remove it").rule("TDR-90");
    }
}

/// A later rule against an earlier one: whether there is something to say, which is said.
fn undone(rule: &Rule, earlier: &Rule, at: usize, section: &Section<'_>) -> bool {
    let findings = section.findings();
    let name = if earlier.name.is_empty() { format!("rule {}", at + 1) } else { format!("rule `{}`", earlier.name) };
    let covers = rule.condition.covers(&earlier.condition);
    if let (Action::Rename(from, to), Action::Rename(back, origin)) = (&earlier.action, &rule.action)
        && same(from, origin)
        && same(to, back)
        && covers
    {
        let message = format!("this rule undoes {name}: it gives the field its old name back");
        findings.warning(section.span(), message).remedy("remove both");
        return true;
    }
    if let (Some(written), Some(removed)) = (earlier.action.writes(), rule.action.removes())
        && same_target(&written, &removed)
        && covers
        && matches!(rule.action, Action::Remove(_))
    {
        let message = format!("this rule undoes {name}: it removes what that writes");
        findings.warning(section.span(), message).remedy("put it first, or remove one of them");
        return true;
    }
    if let (Action::Set(one, _), Action::Set(other, _)) = (&earlier.action, &rule.action)
        && same_target(one, other)
        && covers
    {
        let message = format!("this rule undoes {name}: it writes the same field on every message that has it");
        findings.warning(section.span(), message).remedy("remove one of them, or narrow the conditions");
        return true;
    }
    // What is gone cannot be there.
    if let (Action::Remove(removed), Some((target, test))) = (&earlier.action, &rule.condition.part)
        && same_target(&Target::Header(removed.clone()), target)
        && !matches!(test, Test::Present(false))
        && earlier.condition.covers(&Condition { part: None, ..rule.condition.clone() })
    {
        let message = format!("this rule never fires: {name} has removed the field it asks for");
        findings.warning(section.place("when"), message).remedy("put it before that one");
        return true;
    }
    false
}

fn same(one: &Field, other: &Field) -> bool {
    one.as_str().eq_ignore_ascii_case(other.as_str())
}

fn same_target(one: &Target, other: &Target) -> bool {
    one.as_str().eq_ignore_ascii_case(other.as_str())
}

/// What the platform of a trunk rejects, or the guard undoes.
fn platforms(rule: &Rule, section: &Section<'_>, trunks: &[TrunkSettings]) {
    let condition = &rule.condition;
    if condition.direction == Direction::In {
        return;
    }
    let findings = section.findings();
    let concerned = trunks.iter().map(|trunk| &trunk.trunk);
    let concerned = concerned.filter(|trunk| condition.trunks.is_empty() || condition.trunks.contains(&trunk.id));
    let concerned = concerned.filter(|trunk| trunk.kind != Kind::Generic);
    for trunk in concerned.clone().filter(|trunk| trunk.kind == Kind::Genesys) {
        if let Some((rule, message, remedy)) = spoilt_for_genesys(&rule.action) {
            let message = format!("trunk `{}`: {message}", trunk.name);
            findings.warning(section.span(), message).remedy(remedy).rule(rule);
        }
    }
    let Some(target) = rule.action.writes() else { return };
    let literal = match &rule.action {
        Action::Add(_, template) | Action::Set(_, template) => template.literal(),
        Action::Remove(_) | Action::Rename(..) | Action::Copy(..) | Action::Replace(..) => None,
    };
    if literal.is_some_and(|text| text.to_ascii_lowercase().contains("sips:")) {
        let message = "neither platform takes a sips: URI: the message would be kept from leaving";
        findings.error(section.place("value"), message).remedy("write sip:").rule("TDR-1");
    }
    for trunk in concerned {
        if let Some((rule, message, remedy)) = broken(trunk, &target, literal) {
            let message = format!("trunk `{}`: {message}", trunk.name);
            findings.warning(section.span(), message).remedy(remedy).rule(rule);
        }
    }
}

type Broken = (&'static str, String, &'static str);

/// What Genesys reads otherwise than it is meant, whatever the value.
fn spoilt_for_genesys(action: &Action) -> Option<Broken> {
    let takes = |name: Name| action.removes() == Some(Target::Header(Field::Known(name)));
    let user_to_user = |field: &Field| match field {
        Field::Known(name) => *name == Name::UserToUser,
        Field::Extension(name) => name.eq_ignore_ascii_case("x-User-to-User"),
    };
    match action {
        Action::Add(field, _) if user_to_user(field) => {
            let message =
                "beside one that is there already Genesys discards both: the guard keeps the first".to_owned();
            Some(("GEN-66", message, "set it, instead of adding one"))
        }
        _ if takes(Name::PAssertedIdentity) => {
            let message = "without an asserted number it is open who Genesys takes for the caller".to_owned();
            Some((
                "GEN-57",
                message,
                "remove it where it comes in: direction = \"in\", or asserted_identity = \"strip\" there",
            ))
        }
        _ => None,
    }
}

fn broken(trunk: &Trunk, target: &Target, literal: Option<&str>) -> Option<Broken> {
    let hub = match trunk.kind {
        Kind::Teams => true,
        Kind::Genesys => false,
        Kind::Generic => return None,
    };
    let narrow = "name other trunks in the rule, or remove it";
    match target {
        Target::Header(Field::Known(Name::PAssertedIdentity)) => {
            let rule = if hub { "TDR-66" } else { "GEN-57" };
            let message = "the asserted number has to be that of From: the guard makes it so again".to_owned();
            Some((rule, message, "change the caller where the call comes in: direction = \"in\""))
        }
        Target::Header(Field::Known(Name::RemotePartyId)) => {
            let rule = if hub { "TDR-62" } else { "GEN-57" };
            Some((rule, "the guard removes Remote-Party-ID".to_owned(), narrow))
        }
        Target::Header(Field::Known(Name::Diversion | Name::CallInfo | Name::UserToUser)) if hub => {
            Some(("TDR-62", format!("the hub uses no {}: the guard removes it", target.as_str()), narrow))
        }
        Target::RequestUri if !hub => {
            let message = "what no longer names the trunk in the Request-URI is kept from leaving".to_owned();
            Some(("GEN-12", message, "change the number where the call comes in: direction = \"in\""))
        }
        Target::RequestUri if hub => {
            let uri = literal.map(Uri::parse);
            let named = |host: &str| {
                let own = trunk.hosts.iter().map(|own| &*own.name).chain([&*trunk.request_host]);
                own.into_iter().any(|own| own.eq_ignore_ascii_case(host))
            };
            let good = uri.is_none_or(|uri| uri.is_ok_and(|uri| uri.scheme() == Scheme::Sip && named(uri.host())));
            let message = "the Request-URI names no host of the hub: the call is kept from leaving".to_owned();
            (!good).then_some(("TDR-48", message, "write the hub's name, or change the number where the call comes in"))
        }
        _ => None,
    }
}
