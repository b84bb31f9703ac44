//! How numbers are written on a trunk: `country` and `dial_plan`.

use super::section::Section;
use crate::number::{DialPlan, Fits, MAX_DIGITS, Step, calling_code, stands_in_number};
use crate::trunk::Kind;
use std::sync::Arc;

/// The calling code of `country`; empty: that of [numbers].
pub(super) fn read_country(section: &Section<'_>) -> Arc<str> {
    let country = section.parsed("country", |country| {
        calling_code(country).ok_or_else(|| format!("`{country}` is no country of ISO 3166; write for example \"DE\""))
    });
    Arc::from(country.map_or("", toml::Spanned::into_inner))
}

/// The steps of a trunk's dial plan, in the order of the file.
pub(super) fn read_dial_plan(section: &Section<'_>, kind: Option<Kind>) -> DialPlan {
    let table = section.table("dial_plan");
    let plan = DialPlan { inbound: read_steps(&table, "in"), outbound: read_steps(&table, "out") };
    if kind == Some(Kind::Teams) && !plan.outbound.is_empty() {
        let message = "Teams takes E.164 with + and nothing else";
        let remedy = "remove out from dial_plan, or make the change a translation rule of the tenant";
        section.findings().error(table.place("out"), message).remedy(remedy).rule("TDR-130");
    }
    table.finish();
    plan
}

fn read_steps(table: &Section<'_>, key: &'static str) -> Vec<Step> {
    let read = table.repeated(key).into_iter().filter_map(|step| {
        let prefix = step.parsed("prefix", prefix_of);
        let pattern = step.parsed("match", |text| {
            regex::Regex::new(text).map_err(|error| format!("`{text}` is no regular expression: {}", told(&error)))
        });
        let replacement = step.text("replace");
        if replacement.is_none() {
            step.missing("replace", "say what stands there instead, \"\" for nothing: replace = \"+49$1\"");
        }
        if step.text("prefix").is_some() == step.text("match").is_some() {
            let message = "a step of a dial plan has either prefix or match";
            let remedy = "write prefix = \"00\", or match = \"a regular expression\"";
            step.findings().error(step.span(), message).remedy(remedy);
        }
        step.finish();
        let prefix = prefix.map(|prefix| Fits::Prefix(prefix.into_inner().into()));
        let fits = prefix.or(pattern.map(|pattern| Fits::Pattern(pattern.into_inner())))?;
        let replacement = replacement?;
        let groups = match &fits {
            Fits::Prefix(_) => None,
            Fits::Pattern(pattern) => Some(pattern),
        };
        if let Err(fault) = replaceable(replacement.get_ref(), groups) {
            let remedy =
                "write what may stand in a number, and groups of match as $1, or ${1} before letters and digits";
            table.findings().error(replacement.span(), fault).remedy(remedy);
            return None;
        }
        Some(Step { fits, replacement: replacement.into_inner().into() })
    });
    read.collect()
}

/// The front of a number: digits, perhaps behind `+`. Separators are taken out of numbers before they are compared.
fn prefix_of(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let plain = digits.bytes().all(|octet| octet.is_ascii_digit() || b"*#".contains(&octet));
    match plain && !text.is_empty() && digits.len() <= MAX_DIGITS {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is no prefix; write digits, such as \"00\" or \"+49\"")),
    }
}

/// Whether `text` makes a number: what cannot stand in one would leave the number as it was, and a group that is not
/// there would cut it short, both without a word.
fn replaceable(text: &str, groups: Option<&regex::Regex>) -> Result<(), String> {
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('$') {
        literal(before)?;
        let Some(groups) = groups else { return Err("a step with prefix has no groups".to_owned()) };
        let word = |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        let (name, after) = match behind.strip_prefix('{').map(|inner| inner.split_once('}')) {
            Some(Some(braced)) => braced,
            Some(None) => return Err("`${` without `}`".to_owned()),
            None => behind.split_at(word(behind)),
        };
        let known = match name.parse::<usize>() {
            Ok(number) => number < groups.captures_len(),
            Err(_) => groups.capture_names().flatten().any(|known| known == name),
        };
        if !known {
            return Err(format!("match has no group `${name}`"));
        }
        rest = after;
    }
    literal(rest)
}

fn literal(text: &str) -> Result<(), String> {
    match text.chars().find(|c| u8::try_from(*c).map_or(true, |octet| !stands_in_number(octet))) {
        Some(wrong) => Err(format!("{wrong:?} cannot stand in a number")),
        None => Ok(()),
    }
}

/// What a regular expression has wrong, on one line.
pub(super) fn told(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
