//! From a TOML file to [`Settings`], with findings that point at the line.
//!
//! [`load`] reads a file, gives every key that is absent its default, and checks what the keys mean
//! together: certificates against names, ranges against each other, routes against trunks. It reports
//! all it finds at once as [`Finding`]s and gives settings only when none of them is an error. A
//! running process asks [`reload`], which keeps the identity of trunks and listeners and says which
//! changes wait for a restart. The directory's own file is read by [`directory_file`], since a broken
//! one must not stop a configuration.

mod check;
mod defaults;
mod dial_plan;
pub mod directory_file;
mod finding;
mod gateway;
mod identity;
mod numbering;
mod own_name;
mod policy;
mod proof;
mod read;
mod reload;
mod report;
mod route;
mod rules;
mod section;
#[cfg(test)]
mod tests;
mod trunk;
mod value;

pub use crate::settings::*;
pub use finding::{Finding, Severity, Source};
pub use gateway::check_gateways;
pub use own_name::{OwnName, REMEDY as OWN_NAME_REMEDY, own_names};
pub use reload::{Reload, close_trunk, diff, reload, vacate_trunk};
pub use report::{examine, has_errors, print_json, print_text};
pub use section::advice;

use finding::Findings;
use section::Section;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use toml::de::DeTable;

/// A configuration that can be run.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it means.
    pub settings: Settings,
    /// What the operator should know all the same.
    pub warnings: Vec<Finding>,
}

/// The longest configuration read, in octets: thousands of trunks and routes.
const MAX_FILE: u64 = 4 << 20;

/// Reads and checks the configuration at `path`. Paths in it are relative to its folder.
///
/// # Errors
///
/// All findings, warnings included, when at least one is an error.
pub fn load(path: &Path) -> Result<Loaded, Vec<Finding>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    settle(source(path)?, now)
}

/// The same, without a look at certificates and keys: for who asks what the configuration decides on another machine.
///
/// # Errors
///
/// As [`load`].
pub fn load_without_certificates(path: &Path) -> Result<Loaded, Vec<Finding>> {
    settle_at(source(path)?, None)
}

/// The same of a text that need not stand in any file; `path` is where findings say that it does.
///
/// # Errors
///
/// As [`load`].
pub fn load_text(path: &Path, text: String) -> Result<Loaded, Vec<Finding>> {
    settle_at(Source { path: path.to_owned(), text }, None)
}

fn source(path: &Path) -> Result<Source, Vec<Finding>> {
    let text = utf8(read_input(path, MAX_FILE)).map_err(|error| {
        let message = format!("the configuration cannot be read: {error}");
        let remedy = remedy_unread(&error, "name the file with --config, or check its path and who may read it");
        vec![Finding::of_file(Severity::Error, path, message).remedy(remedy)]
    })?;
    Ok(Source { path: path.to_owned(), text })
}

/// The local socket that the configuration at `path` names, whatever else is wrong with it.
///
/// # Errors
///
/// What the system says when the file cannot be read.
pub fn admin_socket(path: &Path) -> std::io::Result<PathBuf> {
    let source = Arc::new(Source { path: path.to_owned(), text: utf8(read_input(path, MAX_FILE))? });
    let findings = Findings::new(Arc::clone(&source));
    let (table, _) = DeTable::parse_recoverable(&source.text);
    Ok(read::read_admin(&Section::root(table.get_ref(), &findings), path.parent().unwrap_or(Path::new(""))))
}

/// The text of a file that may have `limit` octets.
fn read_text(path: &Path, limit: u64) -> std::io::Result<String> {
    utf8(read_file(path, limit))
}

fn utf8(octets: std::io::Result<Vec<u8>>) -> std::io::Result<String> {
    String::from_utf8(octets?).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(good).filter(|octet| **octet == b'\n').count() + 1;
        std::io::Error::new(std::io::ErrorKind::InvalidData, format!("line {line} is not UTF-8"))
    })
}

/// What to do about a file that [`read_text`] could not read; `absent` where it is about the path.
fn remedy_unread<'a>(error: &std::io::Error, absent: &'a str) -> &'a str {
    match error.kind() {
        std::io::ErrorKind::InvalidData => {
            "save it as UTF-8 text: special characters of other encodings cannot be read"
        }
        std::io::ErrorKind::FileTooLarge => "is it the right file?",
        _ => absent,
    }
}

/// The configuration that `source` holds, at `now` in seconds since the Unix epoch.
fn settle(source: Source, now: u64) -> Result<Loaded, Vec<Finding>> {
    settle_at(source, Some(now))
}

/// `now`: when the certificates are looked at; `None`: they are not.
fn settle_at(source: Source, now: Option<u64>) -> Result<Loaded, Vec<Finding>> {
    let source = Arc::new(source);
    let findings = Findings::new(Arc::clone(&source));
    let (table, faults) = DeTable::parse_recoverable(&source.text);
    if !faults.is_empty() {
        for fault in faults {
            let noted = findings.error(fault.span().unwrap_or(0..0), format!("this is not TOML: {}", fault.message()));
            if fault.message() == "duplicate key" {
                noted.remedy("each table and each key stands once: rename or remove the one or the other");
            }
        }
        // What follows a fault of grammar may have been read wrong: no second-guessing.
        return Err(findings.into_sorted());
    }
    let base = source.path.parent().unwrap_or(Path::new("")).to_owned();
    let draft = read::read(Section::root(table.get_ref(), &findings), &source.path, &base);
    check::check(&draft, &findings);
    if let Some(now) = now {
        identity::check(&draft, &findings, now);
    }
    let settings = draft.settings.clone();
    draft.finish();
    let found = findings.into_sorted();
    if found.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(found);
    }
    Ok(Loaded { settings, warnings: found })
}
