//! The secrets of a trunk and the header fields of its INVITEs: `authentication`, `credentials`, `required_header`,
//! `headers` (GEN-16, 25 to 27, 69).
//!
//! A secret stands in a file of its own, which not everybody may read, or in the environment. What it is never
//! appears in a finding.

use super::identity::may_be_read_by_all;
use super::section::{Section, advice};
use super::{read_text, remedy_unread};
use crate::authentication::{Account, Authentication, RequiredHeader, Secret};
use crate::rules::Target;
use crate::sip::digest::{ALGORITHMS, Algorithm, Hash, Quality};
use crate::sip::{Field, is_token};
use crate::trunk::Kind;
use smallvec::{SmallVec, smallvec};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// What a trunk asks of its peer, and says when it is asked.
#[derive(Default)]
pub(super) struct Proofs {
    pub(super) authentication: Option<Arc<Authentication>>,
    pub(super) account: Option<Arc<Account>>,
    pub(super) required_header: Option<Arc<RequiredHeader>>,
    pub(super) headers: Vec<(Field, String)>,
    /// The files that secrets came from.
    pub(super) files: Vec<PathBuf>,
}

/// The longest file of a secret, in octets.
const MAX_SECRET: u64 = 4096;

/// The longest value of a header field of an operator, in octets: nobody's limits are near (GEN-64).
const MAX_VALUE: usize = 1024;

/// The longest they are together: what else an INVITE says has to fit beside them.
const MAX_VALUES: usize = 8 * 1024;

/// How long a nonce holds by default: well beyond the set-up of a call, and too short to be worth stealing.
const NONCE_LIFETIME: Duration = Duration::from_secs(300);

/// Reads the keys. `fqdn` is our name toward the trunk, and the realm by default.
pub(super) fn read_proofs(section: &Section<'_>, base: &Path, kind: Option<Kind>, fqdn: &str) -> Proofs {
    let mut proofs = Proofs { headers: headers(section), ..Proofs::default() };
    let (asks, answers) = (section.table("authentication"), section.table("credentials"));
    for table in [&asks, &answers] {
        if kind == Some(Kind::Teams) && table.is_present() {
            let message = format!("Teams proves itself by its certificate, {} has no effect", table.name());
            section.findings().error(table.span(), message).remedy("remove the table").rule("TDR-5");
        }
    }
    proofs.authentication = authentication(&asks, base, kind, fqdn, &mut proofs.files);
    proofs.account = account(&answers, base, &mut proofs.files);
    let required = section.table("required_header");
    proofs.required_header = required_header(&required, base, &mut proofs.files);
    for table in [asks, answers, required] {
        table.finish();
    }
    proofs
}

fn authentication(
    table: &Section<'_>,
    base: &Path,
    kind: Option<Kind>,
    fqdn: &str,
    files: &mut Vec<PathBuf>,
) -> Option<Arc<Authentication>> {
    let realm = table.text("realm").map_or(fqdn, Spanned::into_inner).to_owned();
    let username = table.text("username").map(Spanned::into_inner);
    let known: Vec<&str> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
    let algorithm = |name: &str| {
        Algorithm::of(name).ok_or_else(|| format!("`{name}` is no algorithm of RFC 8760; {}", advice(name, &known)))
    };
    let listed = table.list("algorithms", algorithm);
    let listed = listed.map(|list| list.into_iter().map(Spanned::into_inner).collect::<SmallVec<[Algorithm; 3]>>());
    let mut algorithms = listed.unwrap_or_else(|| {
        let plain = |hash| Algorithm { hash, session: false };
        match kind {
            // Of Genesys nothing but MD5 is documented (GEN-26), and RFC 3261 knew nothing else.
            Some(Kind::Genesys) => smallvec![plain(Hash::Md5)],
            Some(Kind::Teams | Kind::Generic) | None => smallvec![plain(Hash::Sha256), plain(Hash::Md5)],
        }
    });
    // The strongest first (RFC 8760 §2.3), whatever their order in the file.
    algorithms.sort_by_key(|own| ALGORITHMS.iter().position(|(_, algorithm)| algorithm == own));
    algorithms.dedup();
    let quality = |text: &str| match text {
        "auth" => Ok(Quality::Auth),
        "auth-int" => Ok(Quality::AuthInt),
        _ => Err(format!("`{text}` is no quality of protection; known: auth, auth-int")),
    };
    let qualities = table.list("qop", quality);
    let qualities = qualities.map(|list| list.into_iter().map(Spanned::into_inner).collect());
    let qualities: SmallVec<[Quality; 2]> = qualities.unwrap_or_else(|| smallvec![Quality::Auth]);
    let bounds = Duration::from_secs(10)..=Duration::from_secs(3600);
    let lifetime = table.duration("nonce_lifetime", bounds).unwrap_or(NONCE_LIFETIME);
    let hashed = table.text("ha1_file");
    let password = match &hashed {
        Some(_) => None,
        None => secret(table, base, "password_file", "password_env", files),
    };
    if !table.is_present() {
        return None;
    }
    if algorithms.is_empty() || qualities.is_empty() {
        let key = if algorithms.is_empty() { "algorithms" } else { "qop" };
        let message = format!("{}.{key} offers nothing", table.name());
        table.findings().error(table.place(key), message).remedy("name one, or remove the key for the default");
    }
    quotable(table, "realm", &realm);
    let Some(username) = username else {
        table.missing("username", "say who the trunk is: username = \"acme\"");
        return None;
    };
    quotable(table, "username", username);
    let secrets = match &hashed {
        Some(file) => hashes(table, base, file, &algorithms, files)?,
        None => {
            let password = password?;
            let ha1 = |hash: Hash| Secret::new(&hash.ha1(username, &realm, password.reveal()));
            algorithms.iter().map(|algorithm| (algorithm.hash, ha1(algorithm.hash))).collect()
        }
    };
    let (realm, username) = (Arc::from(realm), Arc::from(username));
    Some(Arc::new(Authentication { realm, username, secrets, algorithms, qualities, lifetime }))
}

/// A file with one line `ALGORITHM HASH` for each algorithm: what a password is worth within its realm.
fn hashes(
    table: &Section<'_>,
    base: &Path,
    file: &Spanned<&str>,
    algorithms: &[Algorithm],
    files: &mut Vec<PathBuf>,
) -> Option<SmallVec<[(Hash, Secret); 3]>> {
    let text = secret_file(table, base, "ha1_file", file, files)?;
    let mut secrets = SmallVec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let read = line.split_once([' ', '\t', ':']).and_then(|(name, digits)| {
            let (hash, digits) = (Algorithm::of(name.trim())?.hash, digits.trim());
            let fits = digits.len() == hash.digits() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            fits.then(|| (hash, Secret::new(&digits.to_ascii_lowercase())))
        });
        match read {
            Some(read) => secrets.push(read),
            None => {
                let message = format!("line {} of {} is no hash", number + 1, file.get_ref());
                let remedy = "write the algorithm and the hash of username:realm:password, such as `MD5 0123…`";
                table.findings().error(file.span(), message).remedy(remedy);
                return None;
            }
        }
    }
    let missing = algorithms.iter().find(|algorithm| !secrets.iter().any(|(hash, _)| *hash == algorithm.hash));
    if let Some(missing) = missing {
        let message = format!("{} has no hash for {missing}", file.get_ref());
        table.findings().error(file.span(), message).remedy("add its line, or take it from algorithms");
        return None;
    }
    Some(secrets)
}

fn account(table: &Section<'_>, base: &Path, files: &mut Vec<PathBuf>) -> Option<Arc<Account>> {
    let username = table.text("username").map(Spanned::into_inner);
    let realm = table.text("realm").map(Spanned::into_inner);
    let password = secret(table, base, "password_file", "password_env", files);
    if !table.is_present() {
        return None;
    }
    let Some(username) = username else {
        table.missing("username", "say who we are to the trunk: username = \"acme\"");
        return None;
    };
    quotable(table, "username", username);
    if let Some(realm) = realm {
        quotable(table, "realm", realm);
    }
    Some(Arc::new(Account { username: Arc::from(username), password: password?, realm: realm.map(Arc::from) }))
}

fn required_header(table: &Section<'_>, base: &Path, files: &mut Vec<PathBuf>) -> Option<Arc<RequiredHeader>> {
    let name = table.text("name");
    let value = secret(table, base, "value_file", "value_env", files);
    if !table.is_present() {
        return None;
    }
    let Some(name) = name else {
        table.missing("name", "name the header field with the token: name = \"X-Acme-Token\"");
        return None;
    };
    if let Err(why) = own_name(name.get_ref()) {
        table.findings().error(name.span(), why).rule("GEN-63");
        return None;
    }
    Some(Arc::new(RequiredHeader { name: Arc::from(name.into_inner()), value: value? }))
}

/// Header fields that initial INVITEs carry as they are.
fn headers(section: &Section<'_>) -> Vec<(Field, String)> {
    let table = section.table("headers");
    let mut headers: Vec<(Field, String)> = Vec::new();
    for (name, value) in table.entries() {
        let DeValue::String(text) = value.get_ref() else {
            let message = format!("{}.{name} has to be a string", table.name());
            section.findings().error(value.span(), message);
            continue;
        };
        let known = headers.iter().any(|(own, _)| own.as_str().eq_ignore_ascii_case(name));
        let fault = match own_name(name) {
            Err(why) => Some(why),
            Ok(()) if known => Some(format!("`{name}` stands here twice")),
            Ok(()) if text.trim().is_empty() => Some(format!("`{name}` has no value")),
            Ok(()) if text.len() > MAX_VALUE => Some(format!("`{name}` is longer than {MAX_VALUE} octets")),
            Ok(()) if text.chars().any(char::is_control) => Some(format!("`{name}` has a control character in it")),
            Ok(()) => None,
        };
        match fault {
            Some(fault) => drop(section.findings().error(value.span(), fault).rule("GEN-63")),
            None => headers.push((Field::from(name), text.trim().to_owned())),
        }
    }
    if headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() > MAX_VALUES {
        let message = format!("{} is longer than {MAX_VALUES} octets in all", table.name());
        section
            .findings()
            .error(section.place("headers"), message)
            .remedy("keep what the other side reads")
            .rule("GEN-64");
    }
    headers
}

/// Whether a header field may have this name: one that no platform keeps for itself and that nothing here writes.
fn own_name(name: &str) -> Result<(), String> {
    if !is_token(name) {
        return Err(format!("`{name}` is no name of a header field"));
    }
    let target = Target::parse(name)?;
    match (target.denied(), target) {
        (Some(why), _) => Err(format!("`{name}` cannot be used: {why}")),
        (None, Target::Header(Field::Extension(_))) => Ok(()),
        (None, _) => Err(format!("`{name}` has a meaning of its own in SIP; choose a name such as X-Acme-{name}")),
    }
}

/// A secret out of a file or the environment, whichever key is there.
fn secret(
    table: &Section<'_>,
    base: &Path,
    file: &'static str,
    variable: &'static str,
    files: &mut Vec<PathBuf>,
) -> Option<Secret> {
    let (by_file, by_variable) = (table.text(file), table.text(variable));
    match (by_file, by_variable) {
        (None, None) => {
            if table.is_present() {
                table.missing(file, format!("put the secret into a file, or into the environment with {variable}"));
            }
            None
        }
        (Some(_), Some(name)) => {
            let message = format!("{file} and {variable} both name the secret");
            table.findings().error(name.span(), message).remedy("remove one");
            None
        }
        (Some(path), None) => {
            let text = secret_file(table, base, file, &path, files)?;
            let text = text.trim_end_matches(['\r', '\n']);
            if text.is_empty() || text.contains(['\r', '\n']) {
                let message = format!("{} has to hold the secret, on one line", path.get_ref());
                table.findings().error(path.span(), message);
                return None;
            }
            // None could stand in a header field, and nobody types one into a password.
            if text.chars().any(char::is_control) {
                let message = format!("{} has a control character in the secret", path.get_ref());
                table.findings().error(path.span(), message).remedy("write it anew, as plain text");
                return None;
            }
            Some(Secret::new(text))
        }
        (None, Some(name)) => match std::env::var(name.get_ref()) {
            Ok(text) if !text.is_empty() => Some(Secret::new(&text)),
            Ok(_) | Err(_) => {
                let message = format!("the environment has no text in {}", name.get_ref());
                table.findings().error(name.span(), message).remedy("set it for the service that runs Tandem");
                None
            }
        },
    }
}

fn secret_file(
    table: &Section<'_>,
    base: &Path,
    key: &'static str,
    file: &Spanned<&str>,
    files: &mut Vec<PathBuf>,
) -> Option<String> {
    let path = base.join(file.get_ref());
    files.push(path.clone());
    let text = read_text(&path, MAX_SECRET).map_err(|error| {
        let message = format!("{}.{key} cannot be read: {error}", table.name());
        let remedy = remedy_unread(&error, "check its path and who may read it");
        table.findings().error(file.span(), message).remedy(remedy);
    });
    if text.is_ok() && may_be_read_by_all(&path) {
        let message = format!("everybody on this machine may read {}", file.get_ref());
        table.findings().error(file.span(), message).remedy(format!("chmod 640 {}", path.display()));
    }
    // Editors of Windows put a mark in front, which is no part of any secret.
    text.ok().map(|text| text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// What stands in quotes in a challenge and is hashed has to be plain text.
fn quotable(table: &Section<'_>, key: &'static str, text: &str) {
    if text.is_empty() || text.contains(['"', '\\']) || text.chars().any(char::is_control) {
        let message = format!("{}.{key} has to be text without quotes and backslashes", table.name());
        table.findings().error(table.place(key), message);
    }
}
