//! The validated meaning of a configuration file: what every module of the shell and the core is
//! started from. Nothing here is optional by accident: defaults are already filled in.

use crate::flow::{ListenerId, Transport};
use crate::number::Pattern;
use crate::routing::Route;
use crate::rules::Rules;
use crate::snapshot::EdgeSettings;
use crate::trunk::Trunk;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The most trunks at once, those that were removed and still have calls included: each has its place in
/// the counters of admission. Far above what one machine's calls come from.
pub const MAX_TRUNKS: usize = 1024;

/// A whole configuration, settled.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it was read.
    pub path: PathBuf,
    /// Settings of the element itself, for the core.
    pub edge: EdgeSettings,
    /// Number of worker threads, at least 1.
    pub workers: u16,
    /// What to listen on; [`ListenerId`] is the index.
    pub listeners: Vec<ListenerSettings>,
    /// The TLS identities by name.
    pub identities: BTreeMap<String, IdentityFiles>,
    /// The trunks; [`TrunkId`](crate::flow::TrunkId) is the index.
    pub trunks: Vec<TrunkSettings>,
    /// First match wins.
    pub routes: Vec<Route>,
    /// The operator's rules, compiled.
    pub rules: Arc<Rules>,
    /// The directory's CSV file; `None`: an empty directory.
    pub directory: Option<PathBuf>,
    /// Call records; `None`: none are written.
    pub records: Option<RecordSettings>,
    /// Where `/metrics`, `/healthz` and `/readyz` listen; `None`: nowhere. Loopback only.
    pub http: Option<SocketAddr>,
    /// The local socket of `tandem status`, `calls` and `drain`.
    pub admin_socket: PathBuf,
    /// Names answered from here instead of DNS: lower-case name to addresses (labs).
    pub hosts: BTreeMap<String, SmallVec<[std::net::IpAddr; 4]>>,
    /// DNS servers; empty: those of the system.
    pub name_servers: Vec<SocketAddr>,
    /// How logs are written.
    pub log: LogSettings,
    /// How long a drain waits for calls to end by themselves.
    pub drain_timeout: Duration,
    /// How long connections made with an old identity may live on (TDR-14).
    pub recycle_timeout: Duration,
    /// Bounds of connections.
    pub connections: ConnectionSettings,
}

/// One listener.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListenerSettings {
    /// Its index.
    pub id: ListenerId,
    /// What it speaks.
    pub transport: Transport,
    /// Where it binds.
    pub bind: SocketAddr,
    /// Host and port that peers see, where NAT is in front.
    pub advertise: Option<(String, u16)>,
}

/// The files of a TLS identity.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IdentityFiles {
    /// PEM: leaf, then intermediates (TDR-6).
    pub certificate: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
}

/// A trunk and the TLS policy of its connections.
#[derive(Clone, Debug)]
pub struct TrunkSettings {
    /// What the core knows.
    pub trunk: Arc<Trunk>,
    /// `None` unless the trunk's transport is TLS.
    pub tls: Option<TlsPolicy>,
    /// A fixed next hop instead of the trunk's hosts (GEN-6); already among `trunk.hosts`.
    pub next_hop: Option<String>,
    /// The numbers that the platform behind the trunk owns (GEN-90); empty: not said.
    pub dids: Vec<Pattern>,
    /// The files that its secrets came from.
    pub secrets: Vec<PathBuf>,
}

/// How TLS is spoken with a trunk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsPolicy {
    /// Name of the identity presented in both roles (TDR-5).
    pub identity: String,
    /// Whether its clients have to prove a certificate (TDR: yes; GEN-29: no).
    pub mutual: bool,
    /// Whose signature is trusted.
    pub trust: Trust,
    /// Lowest version spoken.
    pub min_version: TlsVersion,
    /// Highest version spoken (GEN-28: 1.2).
    pub max_version: TlsVersion,
}

/// Where trust comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Trust {
    /// The system's root store.
    System,
    /// Those of the system's root store that Microsoft's certificates lead to (TDR-11), and no other.
    Microsoft,
    /// Only the certificates in these PEM files.
    Files(Vec<PathBuf>),
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum TlsVersion {
    /// RFC 5246
    V1_2,
    /// RFC 8446
    V1_3,
}

/// Where call records go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecordSettings {
    /// The JSON Lines file; made with mode 0600.
    pub path: PathBuf,
    /// Whether numbers stand whole or as pseudonyms.
    pub numbers: RecordNumbers,
    /// Whether INVITEs that were refused before they became calls have records, too.
    pub refused: bool,
}

/// How call records show numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RecordNumbers {
    /// As they are.
    Full,
    /// As a keyed hash, equal for equal numbers within one process.
    Pseudonym,
}

/// How logs are written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogSettings {
    /// JSON objects instead of text.
    pub json: bool,
    /// A filter such as `info,tandem::transport=debug`.
    pub filter: String,
}

/// Bounds of connections.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConnectionSettings {
    /// How long a TCP connect may take (TDR-125: 2 to 3 s).
    pub connect_timeout: Duration,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// The most handshakes under way at once in a worker; the peers of one trunk have half of them.
    pub max_handshakes: usize,
    /// The most connections of a worker; the peers of one trunk have half of them.
    pub max_connections: usize,
    /// The most octets waiting to be written on one connection; above it the peer is too slow and is cut.
    pub write_queue: usize,
    /// How long a message may take from its first octet to its last; a peer must not hold a place with half of one.
    pub message_timeout: Duration,
    /// Interval of double-CRLF keep-alives on connections that we opened (RFC 5626 §4.4.1).
    pub keepalive: Duration,
    /// How long a peer that has answered a keep-alive on a connection may leave a later one unanswered there
    /// before the connection counts as lost; `None`: for ever.
    pub pong_timeout: Option<Duration>,
    /// How long a connection may be silent before it is closed.
    pub idle_timeout: Duration,
    /// The DSCP of what leaves, 0 to 63; 0 marks nothing (GEN-53).
    pub dscp: u8,
}

/// Reads what a configuration names, of at most `limit` octets: a name may lead to a device without end, or to a pipe
/// that nobody writes to, which would be waited for.
///
/// # Errors
///
/// What the system says, [`FileTooLarge`](std::io::ErrorKind::FileTooLarge), or
/// [`Unsupported`](std::io::ErrorKind::Unsupported) for a pipe.
pub fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.file_type().is_fifo() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "it is a pipe, and has to be a file"));
    }
    read_input(path, limit)
}

/// The same of what a command was given, which may be a pipe.
///
/// # Errors
///
/// What the system says, or [`FileTooLarge`](std::io::ErrorKind::FileTooLarge).
pub fn read_input(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    let read = std::fs::File::open(path)?.take(limit + 1).read_to_end(&mut octets)?;
    if u64::try_from(read).is_ok_and(|read| read <= limit) {
        return Ok(octets);
    }
    let longest = if limit < 1 << 20 { format!("{limit} octets") } else { format!("{} MiB", limit >> 20) };
    Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {longest}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        assert_eq!(read_file(Path::new("/dev/zero"), 1 << 20).unwrap_err().kind(), std::io::ErrorKind::FileTooLarge);
        assert!(read_file(Path::new("/dev/null"), 0).unwrap().is_empty());
        assert_eq!(read_file(Path::new("/dev/zero"), 4096).unwrap_err().to_string(), "longer than 4096 octets");
    }
}
