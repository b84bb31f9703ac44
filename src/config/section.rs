//! A table of the file, read key by key.
//!
//! Whoever reads a [`Section`] asks for the keys it knows, each with the form its value must have.
//! A value of another form becomes a finding and reads as absent, so that reading goes on and the
//! operator hears of every fault at once. [`finish`](Section::finish) then reports each key that
//! nobody asked for, with the nearest one that somebody did: the list of known keys is the code that
//! reads them and cannot fall behind it.

use super::finding::Findings;
use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Keys further apart than this are no typing errors of each other.
const NEAR: usize = 3;

/// One table, or the absence of one: then every key reads as absent.
pub(super) struct Section<'a> {
    name: String,
    #[cfg(test)]
    pattern: String,
    span: Range<usize>,
    table: Option<&'a DeTable<'a>>,
    asked: RefCell<Vec<&'static str>>,
    findings: &'a Findings,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn root(table: &'a DeTable<'a>, findings: &'a Findings) -> Self {
        Self {
            name: String::new(),
            #[cfg(test)]
            pattern: String::new(),
            span: 0..0,
            table: Some(table),
            asked: RefCell::default(),
            findings,
        }
    }

    /// Its dotted name, such as `trunk.teams`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where its heading stands; the start of the file when it is absent.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Whether the file has it.
    pub(super) fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// Where findings go.
    pub(super) fn findings(&self) -> &'a Findings {
        self.findings
    }

    /// Reports that a key is missing that has to be there.
    pub(super) fn missing(&self, key: &str, remedy: impl Into<String>) {
        let message = format!("{} is missing", self.dotted(key));
        self.findings.error(self.span(), message).remedy(remedy);
    }

    /// Where a value stands; its section's heading when it is absent.
    pub(super) fn place(&self, key: &str) -> Range<usize> {
        self.table.and_then(|table| table.get(key)).map_or(self.span(), Spanned::span)
    }

    /// A string.
    pub(super) fn text(&self, key: &'static str) -> Option<Spanned<&'a str>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(Spanned::new(value.span(), text)),
            other => self.wrong_form(key, value.span(), "a string", other),
        }
    }

    /// A string that `parse` understands; what it says of one that it does not is the finding.
    pub(super) fn parsed<T>(&self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<Spanned<T>> {
        self.understood(self.text(key)?, parse)
    }

    /// A list of strings that `parse` understands; a single string is a list of one.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<Spanned<T>>> {
        let value = self.value(key)?;
        let texts: Vec<Spanned<&str>> = match value.get_ref() {
            DeValue::String(text) => vec![Spanned::new(value.span(), text)],
            DeValue::Array(items) => items.iter().filter_map(|item| self.item(key, item)).collect(),
            other => return self.wrong_form(key, value.span(), "a string or a list of strings", other),
        };
        Some(texts.into_iter().filter_map(|text| self.understood(text, &parse)).collect())
    }

    /// What a condition asks for, one of which is enough; absent, it is none. An empty list is a fault: nobody can tell
    /// whether it is meant to hold always or never.
    pub(super) fn some<T>(&self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        if self.items(key).is_some_and(|items| items.is_empty()) {
            let message = format!("{} is an empty list", self.dotted(key));
            self.findings
                .error(self.place(key), message)
                .remedy("name something, or leave it out where it does not matter");
        }
        self.list(key, parse).unwrap_or_default().into_iter().map(Spanned::into_inner).collect()
    }

    /// The items of a list, or the one value that stands in place of a list.
    pub(super) fn items(&self, key: &'static str) -> Option<Vec<&'a Spanned<DeValue<'a>>>> {
        let value = self.value(key)?;
        Some(match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        })
    }

    /// A value that has to be a string, from [`items`](Self::items).
    pub(super) fn item(&self, key: &str, value: &'a Spanned<DeValue<'a>>) -> Option<Spanned<&'a str>> {
        match value.get_ref() {
            DeValue::String(text) => Some(Spanned::new(value.span(), text)),
            other => self.wrong_form(key, value.span(), "a string", other),
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let chosen = words.iter().find(|(word, _)| word == text.get_ref()).map(|(_, meaning)| *meaning);
        if chosen.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let message = format!("`{}` is no value of {}", text.get_ref(), self.dotted(key));
            self.findings.error(text.span(), message).remedy(advice(text.get_ref(), &known));
        }
        chosen
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            other => self.wrong_form(key, value.span(), "true or false", other),
        }
    }

    /// A whole number within bounds.
    pub(super) fn integer(&self, key: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let value = self.value(key)?;
        let DeValue::Integer(integer) = value.get_ref() else {
            return self.wrong_form(key, value.span(), "a whole number", value.get_ref());
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let within = number.filter(|number| bounds.contains(number));
        if within.is_none() {
            let (least, most) = bounds.into_inner();
            let message = format!("{} has to be between {least} and {most}", self.dotted(key));
            self.findings.error(value.span(), message);
        }
        within
    }

    /// A length of time within bounds, such as `"30 min"` or `"500ms"`.
    pub(super) fn duration(&self, key: &'static str, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        let value = self.value(key)?;
        let DeValue::String(text) = value.get_ref() else {
            let form = "a length of time in quotes, with its unit (\"30 s\")";
            return self.wrong_form(key, value.span(), form, value.get_ref());
        };
        let duration = self.understood(Spanned::new(value.span(), text.as_ref()), duration_of)?;
        let within = Some(duration.into_inner()).filter(|duration| bounds.contains(duration));
        if within.is_none() {
            let (least, most) = bounds.into_inner();
            let message = format!("{} has to be between {} and {}", self.dotted(key), shown(least), shown(most));
            self.findings.error(value.span(), message);
        }
        within
    }

    /// The same, or `"off"`, which reads as `Some(None)`.
    pub(super) fn duration_or_off(
        &self,
        key: &'static str,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Option<Duration>> {
        match self.value(key)?.get_ref() {
            DeValue::String(text) if text == "off" => Some(None),
            _ => self.duration(key, bounds).map(Some),
        }
    }

    /// A table within this one; absent, all its keys read as absent.
    pub(super) fn table(&self, key: &'static str) -> Section<'a> {
        let found = self.value(key);
        let table = found.and_then(|value| match value.get_ref() {
            DeValue::Table(table) => Some(table),
            other => self.wrong_form(key, value.span(), "a table", other),
        });
        self.within(key, key, found.map_or(self.span(), Spanned::span), table)
    }

    /// The tables of a table by their own names, in the order of the file.
    pub(super) fn named(&self, key: &'static str) -> Vec<(Spanned<&'a str>, Section<'a>)> {
        let outer = self.table(key);
        let mut named: Vec<_> = outer
            .table
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| {
                let DeValue::Table(table) = value.get_ref() else {
                    return outer.wrong_form(name.get_ref(), value.span(), "a table", value.get_ref());
                };
                let section = outer.within(name.get_ref(), "NAME", name.span(), Some(table));
                Some((Spanned::new(name.span(), name.get_ref().as_ref()), section))
            })
            .collect();
        named.sort_by_key(|(name, _)| name.span().start);
        named
    }

    /// The tables of an array of tables (`[[route]]`), in order.
    pub(super) fn repeated(&self, key: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_form::<()>(key, value.span(), &format!("an array of tables, [[{key}]]"), value.get_ref());
            return Vec::new();
        };
        let tables = items.iter().filter_map(|item| match item.get_ref() {
            DeValue::Table(table) => Some(self.within(key, key, item.span(), Some(table))),
            other => self.wrong_form(key, item.span(), "a table", other),
        });
        tables.collect()
    }

    /// A table that stands as an item of a list.
    pub(super) fn inline(&self, key: &'static str, value: &'a Spanned<DeValue<'a>>) -> Option<Section<'a>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(self.within(key, key, value.span(), Some(table))),
            _ => None,
        }
    }

    /// All keys with their values, for a table whose keys are the operator's own.
    pub(super) fn entries(&self) -> Vec<(&'a str, &'a Spanned<DeValue<'a>>)> {
        self.table.into_iter().flatten().map(|(key, value)| (key.get_ref().as_ref(), value)).collect()
    }

    /// Reports every key that was not asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table.into_iter().flatten().filter(|(key, _)| !asked.contains(&key.get_ref().as_ref())) {
            let message = match self.name.as_str() {
                "" => format!("unknown key `{}`", key.get_ref()),
                name => format!("unknown key `{}` in [{name}]", key.get_ref()),
            };
            self.findings.error(key.span(), message).remedy(advice(key.get_ref(), &asked));
        }
    }

    fn within(&self, key: &str, _pattern: &str, span: Range<usize>, table: Option<&'a DeTable<'a>>) -> Section<'a> {
        Section {
            name: self.dotted(key),
            #[cfg(test)]
            pattern: if self.pattern.is_empty() { _pattern.to_owned() } else { format!("{}.{_pattern}", self.pattern) },
            span,
            table,
            asked: RefCell::default(),
            findings: self.findings,
        }
    }

    fn value(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        #[cfg(test)]
        self.findings.asked.borrow_mut().insert(format!("{}.{key}", self.pattern).trim_start_matches('.').to_owned());
        self.table?.get(key)
    }

    fn understood<T>(&self, text: Spanned<&str>, parse: impl Fn(&str) -> Result<T, String>) -> Option<Spanned<T>> {
        match parse(text.get_ref()) {
            Ok(value) => Some(Spanned::new(text.span(), value)),
            Err(fault) => {
                self.findings.error(text.span(), fault);
                None
            }
        }
    }

    fn wrong_form<T>(&self, key: &str, span: Range<usize>, form: &str, found: &DeValue<'_>) -> Option<T> {
        let message = format!("{} has to be {form}, not {}", self.dotted(key), form_of(found));
        self.findings.error(span, message);
        None
    }

    fn dotted(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

/// What to do about a word that is not among the known ones.
pub fn advice(word: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|known| (distance(word, known), *known)).min();
    match nearest {
        Some((distance, nearest)) if distance <= NEAR.min(word.len().max(2) / 2 + 1) => {
            format!("did you mean `{nearest}`?")
        }
        Some(_) => format!("known: {}", known.join(", ")),
        None => "nothing of this kind is known here".to_owned(),
    }
}

/// How many single-character edits lie between two words.
pub(super) fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, left) in left.chars().enumerate() {
        let mut diagonal = above;
        let mut before = above + 1;
        for (cell, right) in row.iter_mut().skip(1).zip(&right) {
            let edit = (diagonal + usize::from(left != *right)).min(before + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, edit);
            before = edit;
        }
        if let Some(first) = row.first_mut() {
            *first = above + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

fn form_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A length of time written for people: `30 min`, `1h 30m`, `500ms`.
fn duration_of(text: &str) -> Result<Duration, String> {
    let fault = || format!("`{text}` is no length of time; write for example \"30 s\", \"500ms\" or \"12 h\"");
    let duration: jiff::SignedDuration = text.parse().map_err(|_| fault())?;
    Duration::try_from(duration).map_err(|_| fault())
}

/// A length of time as an operator would write it.
pub(super) fn shown(duration: Duration) -> String {
    jiff::SignedDuration::try_from(duration).map_or_else(|_| format!("{duration:?}"), |signed| format!("{signed:#}"))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Source;
    use super::*;
    use std::sync::Arc;

    /// Reads `text` with `read` and returns the one-line findings.
    fn findings(text: &str, read: impl Fn(&Section<'_>)) -> Vec<String> {
        let source = Arc::new(Source { path: "t".into(), text: text.to_owned() });
        let findings = Findings::new(Arc::clone(&source));
        let table = DeTable::parse(&source.text).unwrap();
        let root = Section::root(table.get_ref(), &findings);
        read(&root);
        root.finish();
        findings.into_sorted().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_unknown_key_is_reported_with_the_nearest_known_one() {
        let found = findings("worker = 1\nzzzzzzzz = 2", |root| {
            root.integer("workers", 0..=9);
            root.text("fqdn");
        });
        let expected = [
            "t:1:1: error: unknown key `worker`; did you mean `workers`?",
            "t:2:1: error: unknown key `zzzzzzzz`; known: workers, fqdn",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn every_wrong_form_is_reported_and_reading_goes_on() {
        let found = findings("a = 1\nb = \"x\"\nc = 10\nd = \"soon\"\ne = 5\nf = [1]\ng = 3", |root| {
            assert!(root.text("a").is_none() && root.flag("b").is_none() && root.integer("c", 1..=9).is_none());
            assert!(root.duration("d", Duration::ZERO..=Duration::MAX).is_none());
            assert!(root.duration("e", Duration::ZERO..=Duration::MAX).is_none());
            assert!(root.list("f", |text| Ok(text.to_owned())).is_some_and(|list| list.is_empty()));
            assert!(root.table("g").text("h").is_none());
        });
        assert_eq!(found.len(), 7, "{found:#?}");
        assert!(found[2].contains("between 1 and 9"), "{found:#?}");
    }

    #[test]
    fn durations_are_written_for_people() {
        findings("a = \"30 min\"\nb = \"500ms\"\nc = \"12h\"\nd = \"off\"", |root| {
            let all = Duration::ZERO..=Duration::MAX;
            assert_eq!(root.duration("a", all.clone()), Some(Duration::from_secs(1800)));
            assert_eq!(root.duration("b", all.clone()), Some(Duration::from_millis(500)));
            assert_eq!(root.duration_or_off("c", all.clone()), Some(Some(Duration::from_secs(43200))));
            assert_eq!(root.duration_or_off("d", all), Some(None));
        });
        assert_eq!(shown(Duration::from_secs(90)), "1m 30s");
    }

    #[test]
    fn the_distance_counts_edits() {
        assert_eq!(distance("worker", "workers"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
