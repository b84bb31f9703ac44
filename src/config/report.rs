//! What `tandem check` has to say: every finding about configuration, certificates and directory, at once.

use super::{Finding, OWN_NAME_REMEDY, Settings, Severity, directory_file, load, own_names};
use crate::transport::Resolver;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long the DNS may take: an answer that does not come is no finding.
const PATIENCE: Duration = Duration::from_secs(5);

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
    findings.extend(of_files(&loaded.settings));
    findings.extend(of_own_names(&loaded.settings));
    findings
}

/// What is wrong with the places of the files that a start makes. Warnings: this may be another machine.
fn of_files(settings: &Settings) -> Vec<Finding> {
    let records = settings.records.as_ref().map(|records| (&records.path, "path in [records]"));
    let files = records.into_iter().chain([(&settings.admin_socket, "socket in [admin]")]);
    let finding = |(file, key): (&std::path::PathBuf, &str)| {
        let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let (message, remedy) = if file.is_dir() {
            (format!("{} is a folder", file.display()), format!("name a file as {key}"))
        } else if !folder.is_dir() {
            let remedy = format!("make it before the start, or change {key}");
            (format!("the folder of {} does not exist", file.display()), remedy)
        } else {
            return None;
        };
        Some(Finding::of_file(Severity::Warning, &settings.path, message).remedy(remedy))
    };
    files.filter_map(finding).collect()
}

/// What is wrong with where our own names lead (TDR-24), as far as the DNS says so now.
fn of_own_names(settings: &Settings) -> Vec<Finding> {
    let names = own_names(settings);
    let ask = async {
        let mut faults = Vec::new();
        let runtime = tokio::runtime::Handle::current();
        // The lots of RFC 2782 settle nothing here: a port is written.
        let resolver = Resolver::new(runtime, &settings.name_servers, settings.hosts.clone(), 0, Arc::default());
        for name in &names {
            let Ok(resolver) = &resolver else { break };
            let looked = tokio::time::timeout(PATIENCE, name.look(resolver)).await;
            faults.extend(looked.ok().flatten().and_then(Result::err));
        }
        faults
    };
    // On a thread of its own: who calls this may have a runtime already.
    let faults = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_or_else(|_| Vec::new(), |runtime| runtime.block_on(ask))
        });
        asking.join().unwrap_or_default()
    });
    let finding = |message| {
        let finding = Finding::of_file(Severity::Warning, &settings.path, message).remedy(OWN_NAME_REMEDY);
        Finding { rule: Some("TDR-24"), ..finding }
    };
    faults.into_iter().map(finding).collect()
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
    use crate::settings::{RecordNumbers, RecordSettings};

    fn faulty() -> Vec<Finding> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tandem.toml");
        std::fs::write(&path, "[edge]\nfqdn = \"sbc1.example.com\"\nworker = 1\n").unwrap();
        examine(&path)
    }

    #[test]
    fn tdr_24_names_of_ours_that_lead_elsewhere_are_found() {
        let lab = crate::config::tests::lab_with("hosts", "\"sbc1.example.com\" = [\"192.0.2.1\", \"192.0.2.2\"]");
        let found = of_own_names(&lab);
        assert_eq!((found.len(), found[0].rule), (1, Some("TDR-24")));
        assert!(found[0].to_string().contains("leads to 192.0.2.1 and 192.0.2.2"), "{}", found[0]);
        let fine = crate::config::tests::lab_with("hosts", "\"sbc1.example.com\" = \"127.0.0.1\"");
        assert!(of_own_names(&fine).is_empty(), "where the lab listens");
        assert!(own_names(&crate::config::tests::lab_with("numbers", "country = \"DE\"")).is_empty(), "not asked");
    }

    #[test]
    fn places_where_no_file_can_be_made_are_found_before_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (folder.path().display(), folder.path().join("none/calls.jsonl"));
        let mut lab = crate::config::tests::lab_with("admin", &format!("socket = \"{here}\""));
        lab.records = Some(RecordSettings { path: there, numbers: RecordNumbers::Full, refused: true });
        let found: Vec<String> = of_files(&lab).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2, "{found:#?}");
        assert!(found[0].contains("does not exist; make it") && found[1].contains("is a folder"), "{found:#?}");
        lab.admin_socket = folder.path().join("t.sock");
        lab.records = None;
        assert!(of_files(&lab).is_empty());
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
