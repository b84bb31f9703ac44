//! The files of the corpus that lies outside the repository: in `$TANDEM_CORPUS`, else in `../shared/corpus`. Its
//! `manifest.tsv` says what each is. Where it is absent, tests say how many rows did not run; with `CI=true` they fail.

use bytes::Bytes;
use std::path::PathBuf;

/// The rows of the manifest that this was written against.
const ROWS: usize = 573;

/// One file.
pub struct Row {
    /// Its place in the corpus.
    pub path: String,
    eol: String,
    /// What is in it.
    pub octets: Vec<u8>,
}

/// Where the corpus is, if it is.
pub fn root() -> PathBuf {
    std::env::var_os("TANDEM_CORPUS").map_or_else(|| PathBuf::from("../shared/corpus"), PathBuf::from)
}

/// The rows of the corpus whose class is among `classes`; `None` when the corpus is not there.
pub fn rows(classes: &[&str]) -> Option<Vec<Row>> {
    let root = root();
    let Ok(manifest) = std::fs::read_to_string(root.join("manifest.tsv")) else {
        let required = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!required, "no corpus at {}", root.display());
        println!("no corpus at {}: {ROWS} rows did not run", root.display());
        return None;
    };
    let mut rows = Vec::new();
    let mut unread = 0;
    for line in manifest.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [path, _, _, eol, class, ..] = fields.as_slice() else { panic!("manifest line: {line}") };
        if !classes.contains(class) {
            continue;
        }
        // Archives are for tests/protos.rs.
        match std::fs::read(root.join(path)).ok().filter(|_| !path.ends_with(".xz")) {
            Some(octets) => {
                rows.push(Row { path: (*path).into(), eol: (*eol).into(), octets });
            }
            None => unread += 1,
        }
    }
    println!("{} rows of {classes:?} run, {unread} did not run", rows.len());
    Some(rows)
}

impl Row {
    /// The message as it would come off the wire: the repairs that the manifest's votes were taken after.
    pub fn on_the_wire(&self) -> Bytes {
        let start = self.octets.iter().position(|octet| !b"\r\n".contains(octet)).unwrap_or(0);
        let octets = &self.octets[start..];
        if self.eol != "LF" {
            return whole(octets);
        }
        let mut out = Vec::new();
        for &octet in octets {
            if octet == b'\n' && !out.ends_with(b"\r") {
                out.push(b'\r');
            }
            out.push(octet);
        }
        whole(&out)
    }
}

fn whole(octets: &[u8]) -> Bytes {
    let mut octets = octets.to_vec();
    if memchr::memmem::find(&octets, b"\r\n\r\n").is_none() {
        octets.extend_from_slice(if octets.ends_with(b"\r\n") { b"\r\n" } else { b"\r\n\r\n" });
    }
    Bytes::from(octets)
}
