//! What `tandem check` has to say: every finding about configuration, certificates and directory, at once.

use super::{Finding, Severity, directory_file, load};
use std::io::{self, Write};
use std::path::Path;

/// Everything there is to say about the configuration at `path` and the directory it names.
pub fn examine(path: &Path) -> Vec<Finding> {
    let loaded = match load(path) {
        Ok(loaded) => loaded,
        Err(findings) => return findings,
    };
    let mut findings = loaded.warnings;
    match directory_file::of_settings(&loaded.settings) {
        Ok(read) => findings.extend(read.findings),
        Err(finding) => findings.push(finding),
    }
    findings
}

/// Whether one of them is an error.
pub fn has_errors(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

/// Prints findings for people: each with its line, then how many there are.
///
/// # Errors
///
/// Those of `out`.
pub fn print_text(out: &mut impl Write, findings: &[Finding], colour: bool) -> io::Result<()> {
    for finding in findings {
        writeln!(out, "{}\n", finding.render(colour))?;
    }
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let counted = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    match (errors, findings.len() - errors) {
        (0, 0) => writeln!(out, "no findings"),
        (errors, warnings) => writeln!(out, "{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    }
}

/// Prints findings for machines: `{"errors": 1, "warnings": 0, "findings": […]}`.
///
/// # Errors
///
/// Those of `out`.
pub fn print_json(out: &mut impl Write, findings: &[Finding]) -> io::Result<()> {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let all = serde_json::json!({ "errors": errors, "warnings": findings.len() - errors, "findings": findings });
    writeln!(out, "{all:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faulty() -> Vec<Finding> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tandem.toml");
        std::fs::write(&path, "[edge]\nfqdn = \"sbc1.example.com\"\nworker = 1\n").unwrap();
        examine(&path)
    }

    #[test]
    fn text_shows_each_finding_and_how_many_there_are() {
        let mut out = Vec::new();
        print_text(&mut out, &faulty(), false).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("tandem.toml:3:1") && text.contains("did you mean `workers`?"), "{text}");
        assert!(text.trim_end().ends_with("3 errors, 0 warnings"), "{text}");
        assert!(has_errors(&faulty()));
    }

    #[test]
    fn json_is_one_object() {
        let mut out = Vec::new();
        print_json(&mut out, &faulty()).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&json["errors"], json["findings"].as_array().map(Vec::len)), (&3.into(), Some(3)));
    }

    #[test]
    fn nothing_found_says_so() {
        let mut out = Vec::new();
        print_text(&mut out, &[], false).unwrap();
        assert_eq!(out, b"no findings\n");
        assert!(!has_errors(&[]));
    }
}
