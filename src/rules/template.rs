//! Values that a rule writes: text with `${variables}` and `$1` captures.

use super::Facts;
use crate::sip::{Message, Name, NameAddr, Uri};
use regex::Captures;
use std::fmt;

/// A value with places to fill in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Text(String),
    Capture(usize),
    Variable(Variable),
}

/// What `${…}` may name.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Variable {
    Header(String),
    Called,
    Caller,
    User,
    Call,
    Conversation,
    FromTrunk,
    ToTrunk,
    RequestUser,
    FromUser,
    FromDisplay,
    ToUser,
}

/// The variables by name, `header:NAME` aside.
const VARIABLES: [(&str, Variable); 11] = [
    ("called", Variable::Called),
    ("caller", Variable::Caller),
    ("user", Variable::User),
    ("call", Variable::Call),
    ("conversation", Variable::Conversation),
    ("from.trunk", Variable::FromTrunk),
    ("to.trunk", Variable::ToTrunk),
    ("request.user", Variable::RequestUser),
    ("from.user", Variable::FromUser),
    ("from.display", Variable::FromDisplay),
    ("to.user", Variable::ToUser),
];

/// What is wrong with a template, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TemplateError {
    /// Octets from the beginning of the text.
    pub at: usize,
    /// What is wrong and what to write.
    pub text: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Template {
    /// Reads `text`; `captures` is how many groups the rule's expression has, `None` without an expression.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] for a variable or capture that there is not, and for characters that no value may have.
    pub fn parse(text: &str, captures: Option<usize>) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        if let Some(at) = text.find(|c: char| c.is_control() && c != '\t') {
            return Err(TemplateError { at, text: "a control character, which no header field may have".to_owned() });
        }
        while let Some(dollar) = rest.find('$') {
            plain.push_str(&rest[..dollar]);
            let at = text.len() - rest.len() + dollar;
            let behind = &rest[dollar + 1..];
            let (part, length) = match behind.chars().next() {
                Some('$') => (None, 1),
                Some('{') => {
                    let end = behind.find('}').ok_or_else(|| TemplateError {
                        at,
                        text: "`${` without `}`; a dollar sign is written `$$`".to_owned(),
                    })?;
                    (Some(Part::Variable(variable(&behind[1..end], at)?)), end + 1)
                }
                Some('0'..='9') => {
                    let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
                    let number = behind[..digits].parse().unwrap_or(usize::MAX);
                    let known = captures.unwrap_or(0);
                    if number > known || captures.is_none() {
                        let text = match captures {
                            None => format!("`${number}`, and the rule has no expression that captures anything"),
                            Some(known) => format!("`${number}`, and the expression has {known} groups"),
                        };
                        return Err(TemplateError { at, text });
                    }
                    (Some(Part::Capture(number)), digits)
                }
                _ => {
                    let text = "a single `$`; write `$$` for a dollar sign, `$1` or `${called}`".to_owned();
                    return Err(TemplateError { at, text });
                }
            };
            match part {
                None => plain.push('$'),
                Some(part) => {
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(part);
                }
            }
            rest = &behind[length..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// The text, where nothing has to be filled in.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// How long it is at least, in octets: what has not to be filled in.
    pub fn fixed(&self) -> usize {
        let text = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.len(),
            Part::Capture(_) | Part::Variable(_) => 0,
        });
        text.sum()
    }

    /// The value for `message`. Nothing that could end a line is in it.
    pub(super) fn render(&self, message: &Message, facts: &Facts<'_>, captures: Option<&Captures<'_>>) -> String {
        self.fill(message, facts, captures).trim().to_owned()
    }

    /// The same with the blanks at its ends, as part of a value.
    pub(super) fn fill(&self, message: &Message, facts: &Facts<'_>, captures: Option<&Captures<'_>>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Capture(number) => {
                    let found = captures.and_then(|captures| captures.get(*number));
                    out.push_str(found.map_or("", |found| found.as_str()));
                }
                Part::Variable(variable) => variable.push(message, facts, &mut out),
            }
        }
        // Whatever a message said: no value of a rule ends its line early.
        out.retain(|c| !c.is_control() || c == '\t');
        out
    }
}

fn variable(name: &str, at: usize) -> Result<Variable, TemplateError> {
    if let Some(header) = name.strip_prefix("header:") {
        if crate::sip::is_token(header) {
            return Ok(Variable::Header(header.to_owned()));
        }
        return Err(TemplateError { at, text: format!("`{header}` is no name of a header field") });
    }
    let found = VARIABLES.iter().find(|(known, _)| *known == name).map(|(_, variable)| variable.clone());
    found.ok_or_else(|| {
        let known: Vec<&str> = VARIABLES.iter().map(|(known, _)| *known).collect();
        TemplateError { at, text: format!("there is no variable `{name}`; known: {}, header:NAME", known.join(", ")) }
    })
}

impl Variable {
    fn push(&self, message: &Message, facts: &Facts<'_>, out: &mut String) {
        let party = |name: Name| message.header(name).and_then(|value| NameAddr::parse(value).ok());
        let user = |uri: Option<Uri<'_>>| uri.and_then(|uri| uri.user().map(str::to_owned)).unwrap_or_default();
        match self {
            Self::Header(name) => match Name::of(name) {
                Name::Other => out.push_str(message.extension(name).next().unwrap_or("")),
                known => out.push_str(message.header(known).unwrap_or("")),
            },
            Self::Called => out.push_str(&facts.called.map(|number| number.user_part()).unwrap_or_default()),
            Self::Caller => out.push_str(&facts.caller.map(|number| number.user_part()).unwrap_or_default()),
            Self::User => out.push_str(facts.user),
            Self::Call => out.push_str(&facts.call.map(|call| call.to_string()).unwrap_or_default()),
            Self::Conversation => out.push_str(facts.conversation),
            Self::FromTrunk => out.push_str(facts.from_trunk),
            Self::ToTrunk => out.push_str(facts.to_trunk),
            Self::RequestUser => {
                let uri = message.is_request().then(|| Uri::parse(message.request_uri()).ok()).flatten();
                out.push_str(&user(uri));
            }
            Self::FromUser => out.push_str(&user(party(Name::From).and_then(|from| from.uri().ok()))),
            Self::ToUser => out.push_str(&user(party(Name::To).and_then(|to| to.uri().ok()))),
            Self::FromDisplay => {
                out.push_str(
                    &party(Name::From).and_then(|from| Some(from.display()?.into_owned())).unwrap_or_default(),
                );
            }
        }
    }
}
