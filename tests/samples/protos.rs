//! The INVITEs of PROTOS c07-sip, unpacked from the corpus.

use std::path::{Path, PathBuf};
use std::process::Command;

/// How many the archive holds.
const INVITES: usize = 3395;

/// Number and octets of each INVITE, in order; `None` when the corpus is not there.
///
/// # Panics
///
/// When the archive is there and `tar` or `xz` is not.
pub fn invites() -> Option<Vec<(u32, Vec<u8>)>> {
    let root = std::env::var_os("TANDEM_CORPUS").map_or_else(|| PathBuf::from("../shared/corpus"), PathBuf::from);
    let archive = root.join("protos/c07-sip-r2-rendered-invite.tar.xz");
    if !archive.exists() {
        let required = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!required, "no archive {}", archive.display());
        println!("no archive {}: {INVITES} INVITEs did not run", archive.display());
        return None;
    }
    let place = Place(std::env::temp_dir().join(format!("tandem-protos-{}", std::process::id())));
    std::fs::create_dir_all(&place.0).expect("a directory for temporary files");
    let unpacked = Command::new("tar").arg("-xJf").arg(&archive).arg("-C").arg(&place.0).output();
    let unpacked = unpacked.expect("tar, which unpacks the archive: install it");
    assert!(unpacked.status.success(), "tar (is xz installed?): {}", String::from_utf8_lossy(&unpacked.stderr));
    let mut invites: Vec<(u32, Vec<u8>)> = std::fs::read_dir(place.0.join("invite"))
        .expect("the directory of the archive")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (number(&path), std::fs::read(&path).expect("a file")))
        .collect();
    invites.sort();
    assert_eq!(invites.len(), INVITES, "the archive is another one");
    Some(invites)
}

fn number(path: &Path) -> u32 {
    path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).expect("a number for a name")
}

/// A directory that goes when it is no longer needed.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
