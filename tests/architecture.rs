//! The floors of the house: a module uses floors beneath its own, the core has no socket, clock, task
//! or lock, and no file outgrows what can be read at once (docs of the crate, `src/lib.rs`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, lowest first; modules of one line may not use each other.
const FLOORS: &[&[&str]] = &[
    &["pii", "timer", "identifier"],
    &["sip"],
    &["flow"],
    &["authentication"],
    &["number", "event"],
    &["trunk"],
    &["directory", "rules"],
    &["snapshot"],
    &["io"],
    &["transaction"],
    &["routing"],
    &["normalize"],
    &["call"],
    &["health", "screen"],
    &["edge"],
    // ── the line ──
    &["settings"],
    &["journal", "transport"],
    &["config"],
    &["worker", "http"],
    &["process"],
    &["twin"],
    &["cli"],
    &["main"],
];

/// The highest floor below the line.
const LINE: &str = "edge";

/// What no file of the core may say outside its tests.
const SHELL_WORDS: &[&str] = &[
    "tokio",
    "async fn",
    ".await",
    "Instant::now",
    "SystemTime",
    "std::thread",
    "thread_local",
    "Mutex",
    "RwLock",
    "Condvar",
    "std::fs",
    "std::process",
    "TcpStream",
    "UdpSocket",
    "TcpListener",
    "static mut",
    "OnceLock",
    "LazyLock",
];

/// The most lines of a file before its tests, and of a file of tests.
const MAX_LINES: usize = 600;

/// The most lines of the composition: it only composes.
const MAX_EDGE: usize = 400;

#[test]
fn every_module_uses_only_floors_beneath_its_own() {
    let floors: BTreeMap<&str, usize> =
        FLOORS.iter().enumerate().flat_map(|(floor, names)| names.iter().map(move |&name| (name, floor))).collect();
    let mut breaches = Vec::new();
    for (path, module, text) in sources() {
        let Some(&own) = floors.get(module.as_str()) else {
            breaches.push(format!("{}: module {module} stands on no floor", path.display()));
            continue;
        };
        for used in uses(&text) {
            match floors.get(used.as_str()) {
                _ if used == module => {}
                Some(&floor) if floor < own => {}
                Some(_) => breaches.push(format!("{}: {module} uses {used}, which is not beneath it", path.display())),
                None => breaches.push(format!("{}: {module} uses {used}, which stands on no floor", path.display())),
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn the_core_has_no_socket_clock_task_or_lock() {
    let line = FLOORS.iter().position(|names| names.contains(&LINE)).expect("the line");
    let core: Vec<&str> = FLOORS[..=line].concat();
    let mut breaches = Vec::new();
    for (path, module, text) in sources() {
        if core.contains(&module.as_str()) {
            let found = SHELL_WORDS.iter().filter(|word| code(&text).any(|line| line.contains(**word)));
            breaches.extend(found.map(|word| format!("{}: {word}", path.display())));
        }
    }
    assert!(breaches.is_empty(), "below the line:\n{}", breaches.join("\n"));
}

#[test]
fn no_file_outgrows_what_can_be_read_at_once() {
    let sources = ["src", "tests", "benches", "fuzz/fuzz_targets"].into_iter().flat_map(|root| {
        let paths = files(Path::new(env!("CARGO_MANIFEST_DIR")).join(root)).into_iter();
        paths.map(|path| (fs::read_to_string(&path).expect("source"), path))
    });
    let long: Vec<String> = sources
        .map(|(text, path)| (before_tests(&text).lines().count(), path))
        .filter(|(lines, path)| *lines > if path.ends_with("src/edge.rs") { MAX_EDGE } else { MAX_LINES })
        .map(|(lines, path)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn nothing_is_unsafe_unfinished_or_switched_off() {
    let mut breaches = Vec::new();
    for root in ["src", "tests", "benches"] {
        for path in files(Path::new(env!("CARGO_MANIFEST_DIR")).join(root)) {
            let text = fs::read_to_string(&path).expect("source");
            for word in [
                concat!("to", "do!("),
                concat!("unimplem", "ented!("),
                concat!("#[ig", "nore"),
                concat!("uns", "afe {"),
            ] {
                if text.contains(word) {
                    breaches.push(format!("{}: {word}", path.display()));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

/// Every source file: path, top module, text before its tests. Files of tests are passed over.
fn sources() -> impl Iterator<Item = (PathBuf, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    files(root.clone()).into_iter().filter_map(move |path| {
        let inner = path.strip_prefix(&root).expect("below src").to_path_buf();
        let first = inner.components().next()?.as_os_str().to_str()?.trim_end_matches(".rs").to_owned();
        let is_test = inner.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests.rs" | "tests")));
        if is_test || first == "lib" {
            return None;
        }
        let text = fs::read_to_string(&path).expect("source");
        Some((path, first, before_tests(&text).to_owned()))
    })
}

fn before_tests(text: &str) -> &str {
    &text[..text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len())]
}

fn files(folder: PathBuf) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .flat_map(|entry| if entry.path().is_dir() { files(entry.path()) } else { vec![entry.path()] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    found.sort();
    found
}

/// The lines that are not comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// The top modules of this crate that a text names.
fn uses(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in code(text) {
        for prefix in ["crate::", "tandem::"] {
            for (at, _) in line.match_indices(prefix) {
                let rest = &line[at + prefix.len()..];
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') || name.is_empty() {
                    continue;
                }
                found.push(name);
            }
        }
    }
    found.sort();
    found.dedup();
    found
}
