//! What is wrong with a configuration: where, why, and what to do about it.
//!
//! A check never stops at the first fault. Each one becomes a [`Finding`] that knows the file, the
//! line and the octets it is about, so it can print itself with a caret under them or as one JSON
//! object. Findings are gathered in [`Findings`], which every part of the reading shares.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It works, though not as the operator may think, or not for long.
    Warning,
    /// Nothing starts with it.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A text file that findings point into.
#[derive(Debug, Eq, PartialEq)]
pub struct Source {
    /// Where it was read.
    pub path: PathBuf,
    /// Its whole text; empty when it could not be read.
    pub text: String,
}

impl Source {
    /// Line and column of an octet, both from 1; a column counts characters.
    pub fn position(&self, octet: usize) -> (usize, usize) {
        let before = self.text.get(..octet).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        (line, before.get(start..).map_or(0, |line| line.chars().count()) + 1)
    }
}

/// One fault, with its place and its remedy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What the operator should do; absent where the message says it.
    pub remedy: Option<String>,
    /// The rule behind it (`TDR-7`, `GEN-32`); absent where it is plain sense.
    pub rule: Option<&'static str>,
    /// The file it is about.
    pub source: Arc<Source>,
    /// The octets it is about; `None`: the file as a whole.
    pub span: Option<Range<usize>>,
}

impl Finding {
    /// A finding about a file as a whole.
    pub fn of_file(severity: Severity, path: &Path, message: impl Into<String>) -> Self {
        let source = Arc::new(Source { path: path.to_owned(), text: String::new() });
        Self { severity, message: message.into(), remedy: None, rule: None, source, span: None }
    }

    /// The same, with advice.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Line and column of its first octet, from 1; `None` for a whole file.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.span.as_ref().map(|span| self.source.position(span.start))
    }

    /// Several lines: what, where, the line with carets, and the remedy.
    pub fn render(&self, colour: bool) -> String {
        let level = match self.severity {
            Severity::Warning => Level::WARNING,
            Severity::Error => Level::ERROR,
        };
        let mut title = level.primary_title(self.message.as_str());
        if let Some(rule) = self.rule {
            title = title.id(rule);
        }
        let path = self.source.path.display().to_string();
        let group = match &self.span {
            Some(span) => title.element(
                Snippet::source(self.source.text.as_str())
                    .path(path)
                    .annotation(AnnotationKind::Primary.span(span.clone())),
            ),
            None => title.element(annotate_snippets::Origin::path(path)),
        };
        let group = match &self.remedy {
            Some(remedy) => group.element(Level::HELP.message(remedy.as_str())),
            None => group,
        };
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

/// One line: `file:line:column: error: message [rule]; remedy`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.source.path.display())?;
        if let Some((line, column)) = self.position() {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}: {}", self.severity, self.message)?;
        if let Some(rule) = self.rule {
            write!(f, " [{rule}]")?;
        }
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// A JSON object: file, line, column, severity, message, rule, remedy.
impl serde::Serialize for Finding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let position = self.position();
        let mut object = serializer.serialize_struct("Finding", 7)?;
        object.serialize_field("file", &self.source.path.display().to_string())?;
        object.serialize_field("line", &position.map(|(line, _)| line))?;
        object.serialize_field("column", &position.map(|(_, column)| column))?;
        object.serialize_field("severity", &self.severity)?;
        object.serialize_field("message", &self.message)?;
        object.serialize_field("rule", &self.rule)?;
        object.serialize_field("remedy", &self.remedy)?;
        object.end()
    }
}

/// How many findings of one file are told: who has more corrects these and asks again.
const MAX_FINDINGS: usize = 500;

/// The longest message of a finding about one file, in octets: some quote the operator's text.
const LONGEST: usize = 600;

/// Where the findings about one file gather, shared by all that read it.
#[derive(Debug)]
pub(super) struct Findings {
    source: Arc<Source>,
    found: RefCell<Vec<Finding>>,
    #[cfg(test)]
    pub(super) asked: RefCell<std::collections::BTreeSet<String>>,
}

impl Findings {
    /// None yet, about `source`.
    pub(super) fn new(source: Arc<Source>) -> Self {
        Self {
            source,
            found: RefCell::default(),
            #[cfg(test)]
            asked: RefCell::default(),
        }
    }

    /// Adds an error about these octets.
    pub(super) fn error(&self, span: Range<usize>, message: impl Into<String>) -> Noted<'_> {
        self.add(Severity::Error, span, message.into())
    }

    /// Adds a warning about these octets.
    pub(super) fn warning(&self, span: Range<usize>, message: impl Into<String>) -> Noted<'_> {
        self.add(Severity::Warning, span, message.into())
    }

    /// The place of octet `at` of the string that is written at `span`; the whole of it where that cannot be told.
    pub(super) fn within(&self, span: Range<usize>, at: usize) -> Range<usize> {
        let text = &self.source.text;
        let written = text.get(span.clone()).unwrap_or("");
        let quote = written.get(..1).unwrap_or("");
        let inside = written.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)).unwrap_or("");
        if inside.starts_with(['"', '\'']) {
            return span; // Three quotes: the value may begin a line later.
        }
        let (mut place, mut read) = (span.start + 1, 0);
        while read < at {
            let Some((long, worth)) = text.get(place..span.end).and_then(|rest| spelling(rest, quote == "\"")) else {
                return span;
            };
            (place, read) = (place + long, read + worth);
        }
        match text.get(place..span.end - 1).and_then(|rest| spelling(rest, quote == "\"")) {
            Some((long, _)) => place..place + long,
            None => span,
        }
    }

    fn add(&self, severity: Severity, span: Range<usize>, mut message: String) -> Noted<'_> {
        if message.len() > LONGEST {
            message.truncate(message.floor_char_boundary(LONGEST));
            message.push('…');
        }
        let (source, span) = (Arc::clone(&self.source), Some(span));
        let mut found = self.found.borrow_mut();
        found.push(Finding { severity, message, remedy: None, rule: None, source, span });
        Noted { findings: self, index: found.len() - 1 }
    }

    /// All of them in the order of the file.
    pub(super) fn into_sorted(self) -> Vec<Finding> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|finding| finding.span.as_ref().map_or((0, 0), |span| (span.start, span.end)));
        found.dedup();
        if found.len() > MAX_FINDINGS {
            // Errors first, since nothing starts with them; then in the order of the file.
            found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
            let more = found.len() - MAX_FINDINGS;
            found.truncate(MAX_FINDINGS);
            found.sort_by_key(|finding| finding.span.as_ref().map_or((0, 0), |span| (span.start, span.end)));
            let severity = found.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Error);
            let message = format!("{more} more findings are not shown");
            found.push(Finding::of_file(severity, &self.source.path, message).remedy("correct those above first"));
        }
        found
    }
}

/// How many octets of a TOML string stand for its next character, and how many that has as UTF-8.
fn spelling(rest: &str, escapes: bool) -> Option<(usize, usize)> {
    let first = rest.chars().next()?;
    if !escapes || first != '\\' {
        return Some((first.len_utf8(), first.len_utf8()));
    }
    let digits = match rest.as_bytes().get(1)? {
        b'u' => 4,
        b'U' => 8,
        b'x' => 2,
        _ => return Some((2, 1)),
    };
    let code = u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok()?;
    Some((2 + digits, char::from_u32(code)?.len_utf8()))
}

/// A finding just added, for what else there is to say about it.
pub(super) struct Noted<'a> {
    findings: &'a Findings,
    index: usize,
}

impl Noted<'_> {
    /// Says what to do.
    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        if let Some(finding) = self.findings.found.borrow_mut().get_mut(self.index) {
            finding.remedy = Some(remedy.into());
        }
        self
    }

    /// Says which rule is behind it.
    pub(super) fn rule(self, rule: &'static str) -> Self {
        if let Some(finding) = self.findings.found.borrow_mut().get_mut(self.index) {
            finding.rule = Some(rule);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding() -> Finding {
        let text = "[edge]\nfqdn = \"ä\"\nworker = 1\n".to_owned();
        let span = text.find("worker").map(|at| at..at + 6);
        let source = Arc::new(Source { path: "tandem.toml".into(), text });
        let (message, remedy) = ("unknown key".to_owned(), Some("did you mean `workers`?".to_owned()));
        Finding { severity: Severity::Error, message, remedy, rule: Some("TDR-7"), source, span }
    }

    #[test]
    fn a_finding_names_file_line_column_rule_and_remedy_on_one_line() {
        let line = "tandem.toml:3:1: error: unknown key [TDR-7]; did you mean `workers`?";
        assert_eq!(finding().to_string(), line);
    }

    #[test]
    fn a_column_counts_characters_not_octets() {
        let source = finding().source;
        let quote = source.text.find("\"\nworker").unwrap();
        assert_eq!(source.position(quote), (2, 10));
        assert_eq!(source.position(usize::MAX).0, 4, "an octet past the end is the end");
    }

    #[test]
    fn a_rendered_finding_shows_the_line_and_carets() {
        let text = finding().render(false);
        assert!(text.contains("tandem.toml:3:1") && text.contains("worker = 1") && text.contains("^^^^^^"), "{text}");
        assert!(text.contains("did you mean"), "{text}");
    }

    #[test]
    fn json_names_everything_a_machine_needs() {
        let json = serde_json::to_value(finding()).unwrap();
        assert_eq!(json["line"], 3);
        assert_eq!(json["severity"], "error");
        assert_eq!(json["rule"], "TDR-7");
    }
}
