//! Whether the files a configuration was made from have changed.
//!
//! Directories are watched, not files: editors and certificate clients replace a file by renaming
//! another over it, and Kubernetes swaps a symbolic link. Whatever happens there, the files' own
//! fingerprints decide whether it is news; a slow look at them also finds what a watch cannot see.

use crate::settings::{Settings, Trust};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Notify;

/// What tells one version of a file from another: device, inode, size, and moment of the change.
type Fingerprint = Option<(u64, u64, u64, i64, i64)>;

/// The files of a configuration and the version they were last seen in.
#[derive(Debug)]
pub(super) struct Files {
    seen: Vec<(PathBuf, Fingerprint)>,
    /// Ends the watch when it is dropped.
    _watcher: Option<RecommendedWatcher>,
}

impl Files {
    /// Watches every file that `settings` came from; `changed` is notified when something happens near one.
    /// What `before` has seen counts as seen: a file that changed since, while it was read, is news yet.
    pub(super) fn watch(settings: &Settings, changed: Arc<Notify>, before: Option<&Self>) -> Self {
        let files = files(settings);
        let directories: BTreeSet<PathBuf> = files.iter().map(|file| directory(file)).collect();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too, and a reload reads them all.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                changed.notify_one();
            }
        });
        let watcher = watcher.and_then(|mut watcher| {
            for directory in &directories {
                watcher.watch(directory, RecursiveMode::NonRecursive)?;
            }
            Ok(watcher)
        });
        let watcher = watcher.inspect_err(|error| tracing::warn!(%error, "files are looked at now and then only"));
        let seen = seen(files, before);
        Self { seen, _watcher: watcher.ok() }
    }

    /// Whether a file is another than when this was last asked.
    pub(super) fn changed(&mut self) -> bool {
        let mut changed = false;
        for (file, seen) in &mut self.seen {
            let now = fingerprint(file);
            changed |= *seen != now;
            *seen = now;
        }
        changed
    }
}

fn files(settings: &Settings) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::from([settings.path.clone()]);
    files.extend(settings.directory.clone());
    for identity in settings.identities.values() {
        files.extend([identity.certificate.clone(), identity.key.clone()]);
    }
    files.extend(settings.trunks.iter().flat_map(|trunk| trunk.secrets.iter().cloned()));
    for policy in settings.trunks.iter().filter_map(|trunk| trunk.tls.as_ref()) {
        if let Trust::Files(trusted) = &policy.trust {
            files.extend(trusted.iter().cloned());
        }
    }
    files
}

/// The files with the version that `before` has seen, and those it does not know as they are now.
fn seen(files: BTreeSet<PathBuf>, before: Option<&Files>) -> Vec<(PathBuf, Fingerprint)> {
    let known = |file: &PathBuf| before?.seen.iter().find(|(known, _)| known == file).map(|(_, seen)| *seen);
    let look = |file: PathBuf| {
        let seen = known(&file).unwrap_or_else(|| fingerprint(&file));
        (file, seen)
    };
    files.into_iter().map(look).collect()
}

fn directory(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn fingerprint(file: &Path) -> Fingerprint {
    let facts = std::fs::metadata(file).ok()?;
    Some((facts.dev(), facts.ino(), facts.size(), facts.mtime(), facts.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_while_it_is_read_is_news_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tandem.toml");
        std::fs::write(&file, "as it is read").unwrap();
        let names = BTreeSet::from([file.clone()]);
        let files = Files { seen: seen(names.clone(), None), _watcher: None };
        std::fs::write(&file, "as it is a moment later").unwrap();
        let mut files = Files { seen: seen(names, Some(&files)), _watcher: None };
        assert!(files.changed() && !files.changed());
    }

    #[test]
    fn replacing_appearing_and_vanishing_are_changes_and_reading_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let (file, other) = (directory.path().join("a"), directory.path().join("b"));
        std::fs::write(&file, "1").unwrap();
        let seen = vec![(file.clone(), fingerprint(&file)), (other.clone(), fingerprint(&other))];
        let mut files = Files { seen, _watcher: None };
        std::fs::read(&file).unwrap();
        assert!(!files.changed());
        std::fs::write(&other, "22").unwrap();
        assert!(files.changed() && !files.changed());
        std::fs::rename(&other, &file).unwrap();
        assert!(files.changed() && !files.changed());
        std::fs::remove_file(&file).unwrap();
        assert!(files.changed());
    }
}
