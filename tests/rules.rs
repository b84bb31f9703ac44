//! `docs/rules.md` is true: every rule of the two platforms has one row, and every test it names exists.

#![allow(clippy::unwrap_used, reason = "a test of its own: a panic is a failure")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// How many rules each reference has; they are numbered without a gap.
const RULES: [(&str, usize); 2] = [("TDR", 164), ("GEN", 110)];

/// What may stand in place of a test, or beside one that proves a part.
const REASONS: [&str; 6] = ["open: ", "media: ", "transfer: ", "directory: ", "operator: ", "none: "];

struct Row {
    rule: String,
    location: String,
    tests: String,
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(root().join("docs/rules.md")).expect("docs/rules.md");
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        let [rule, _, location, tests] = cells.as_slice() else { return None };
        let known = RULES.iter().any(|(family, _)| rule.starts_with(&format!("{family}-")));
        known.then(|| Row { rule: (*rule).to_owned(), location: (*location).to_owned(), tests: (*tests).to_owned() })
    });
    rows.collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What is wrong with an item of the last column: the test it names is not there.
fn fault(item: &str, files: &mut BTreeMap<String, String>) -> Option<String> {
    if let Some(reason) = REASONS.iter().find(|reason| item.starts_with(**reason)) {
        return (item.len() == reason.len()).then(|| format!("{item} says nothing"));
    }
    let Some((path, name)) = item.strip_prefix('`').and_then(|rest| rest.split_once("` ")) else {
        return Some(format!("{item:?} names no test and no reason"));
    };
    let text =
        files.entry(path.to_owned()).or_insert_with(|| fs::read_to_string(root().join(path)).unwrap_or_default());
    let found = match name.strip_prefix('"').and_then(|title| title.strip_suffix('"')) {
        Some(title) => text.lines().any(|line| line.strip_prefix("== ").is_some_and(|line| line.starts_with(title))),
        None => text.contains(&format!("fn {name}(")) || text.lines().any(|line| made_by_macro(line, name)),
    };
    (!found).then(|| format!("{path} has no test {name}"))
}

/// Whether `line` is an argument that makes a test of this name: `name: script` or `name Scenario,` (tests/sipp, tests/twin.rs), in a
/// file of tests or one step further in, in a `mod tests`.
fn made_by_macro(line: &str, name: &str) -> bool {
    let inner = line.strip_prefix("        ").or_else(|| line.strip_prefix("    "));
    inner.and_then(|line| line.strip_prefix(name)).is_some_and(|rest| {
        rest.starts_with(": ") || rest.strip_prefix(' ').is_some_and(|scenario| scenario.ends_with(','))
    })
}

#[test]
fn every_rule_has_one_row() {
    let rows = rows();
    let expected: Vec<String> =
        RULES.iter().flat_map(|(family, count)| (1..=*count).map(move |n| format!("{family}-{n}"))).collect();
    let found: Vec<&str> = rows.iter().map(|row| row.rule.as_str()).collect();
    assert_eq!(found, expected);
}

#[test]
fn every_test_and_file_that_the_table_names_exists() {
    let mut files = BTreeMap::new();
    let mut faults = Vec::new();
    for row in rows() {
        let paths = row.location.split('`').skip(1).step_by(2);
        let missing = paths.filter(|path| !root().join(path).exists());
        faults.extend(missing.map(|path| format!("{}: there is no {path}", row.rule)));
        let items = row.tests.split("; ").filter_map(|item| fault(item, &mut files));
        faults.extend(items.map(|fault| format!("{}: {fault}", row.rule)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
