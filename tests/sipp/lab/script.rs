//! Scenario files for SIPp, put together from a flow (`flows/*.xml`) and a platform's messages (`teams/`, `genesys/`).
//!
//! A line `@FILE|KEY=VALUE|…@` of a flow stands for that file of the platform, or of the flows, with its keys filled in.
//! `{key}` is filled in from the line, else from what the lab says. `[key]` is SIPp's own and stays.

use std::fs;
use std::path::{Path, PathBuf};

/// Values by key.
pub type Keys = Vec<(&'static str, String)>;

/// The scenario `flow` as `platform` plays it.
pub fn scenario(platform: &str, flow: &str, keys: &Keys) -> String {
    let text = read(platform, &format!("{flow}.xml"));
    let body = fill(&expand(platform, &text, keys), keys);
    format!("<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n{body}")
}

/// A file with its `{keys}` filled in. A key that nobody gave stays, and shows.
pub fn fill(text: &str, keys: &Keys) -> String {
    keys.iter().fold(text.to_owned(), |text, (key, value)| text.replace(&format!("{{{key}}}"), value))
}

/// What matches exactly `text` in a regular expression inside XML.
pub fn pattern(text: &str) -> String {
    let escape = |c: char| if ".+*?()[]|^$\\".contains(c) { format!("\\{c}") } else { c.to_string() };
    text.chars().map(escape).collect::<String>().replace('&', "&amp;").replace('<', "&lt;")
}

fn expand(platform: &str, text: &str, keys: &Keys) -> String {
    let mut out = String::new();
    for line in text.lines() {
        match line.strip_prefix('@').and_then(|line| line.strip_suffix('@')) {
            Some(reference) => out.push_str(&included(platform, reference, keys)),
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

fn included(platform: &str, reference: &str, keys: &Keys) -> String {
    let mut parts = reference.split('|');
    let name = parts.next().unwrap_or_default();
    let mut text = read(platform, name);
    for (key, value) in parts.filter_map(|part| part.split_once('=')) {
        text = text.replace(&format!("{{{key}}}"), value);
    }
    let text = expand(platform, text.trim_end(), keys);
    // A message without a body ends with an empty line of its own.
    let bare = name.ends_with(".sip") && !text.trim_end().contains("\n\n");
    if bare { format!("{}\n\n", text.trim_end()) } else { text }
}

fn read(platform: &str, name: &str) -> String {
    let folder = home();
    let path = [platform, "flows"].map(|of| folder.join(of).join(name)).into_iter().find(|path| path.is_file());
    let path = path.unwrap_or_else(|| panic!("no {name} of {platform} or of the flows"));
    fs::read_to_string(path).expect("a file of the repository")
}

/// Where the files beside this one are.
pub fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sipp")
}
