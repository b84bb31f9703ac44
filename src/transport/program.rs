//! Whether our own certificate leads to a root that Microsoft takes from an SBC (TDR-9).
//!
//! The file of an identity holds leaf and intermediates and, as a rule, no root (TDR-6): the root is
//! looked for in the system's store, by name first and then by signature. Cross-signed authorities lead
//! to several; one that is taken is enough. What is known of Microsoft's program is a list of
//! fingerprints as of one day: a root on it is taken, a root that is not on it may be.

use super::certificates::CertificateError;
use super::tls::{provider, read_chain};
use ::aws_lc_rs::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use std::path::Path;
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The list: where it comes from stands at its head.
const PROGRAM: &str = include_str!("microsoft_program.txt");

/// The day of that list, for those who have to judge it.
pub const PROGRAM_DATE: &str = "2025-07-27";

/// The only roots of GCC High and DoD: DigiCert Global Root CA, DigiCert High Assurance EV Root CA (TDR-9).
const GOVERNMENT: [&str; 2] = [
    "4348a0e9444c78cb265e058d5e8944b4d84f9662bd26db257f8934a443c70161",
    "7431e5f4c3c1ce4690774f0b61e05440883ba9a01ed00ba6abd7806ed3b118cf",
];

/// A root certificate that a chain leads to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Root {
    /// Its subject, as RFC 4514 text.
    pub subject: String,
    /// SHA-256 of the certificate: lower-case hexadecimal.
    pub fingerprint: String,
}

impl Root {
    /// Whether it is known to be in the Microsoft Trusted Root Program.
    pub fn in_program(&self) -> bool {
        program().any(|(fingerprint, _)| fingerprint == self.fingerprint)
    }

    /// Whether the government clouds take certificates under it (TDR-9).
    pub fn for_government(&self) -> bool {
        GOVERNMENT.contains(&&*self.fingerprint)
    }
}

/// The roots of the system's store that the chain in `certificate` leads to at `unix_seconds`; empty
/// when it leads to none.
///
/// # Errors
///
/// A [`CertificateError`] when the file cannot be read.
pub fn system_roots(certificate: &Path, unix_seconds: u64) -> Result<Vec<Root>, CertificateError> {
    let chain = read_chain(certificate)?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(unix_seconds));
    Ok(reached(&chain, &rustls_native_certs::load_native_certs().certs, now))
}

/// Those of `roots` that `chain`, leaf first, leads to.
fn reached(chain: &[CertificateDer<'_>], roots: &[CertificateDer<'_>], now: UnixTime) -> Vec<Root> {
    let parsed = |der| X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate);
    let issuers: Vec<_> =
        chain.iter().filter_map(|der| parsed(der)).map(|one| one.issuer().as_raw().to_vec()).collect();
    let mut found: Vec<Root> = Vec::new();
    for der in roots {
        let Some(root) = parsed(der).filter(|root| issuers.iter().any(|issuer| issuer == root.subject().as_raw()))
        else {
            continue;
        };
        if signs(der, chain, now) {
            let fingerprint = digest(&SHA256, der).as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
            found.push(Root { subject: root.subject().to_string(), fingerprint });
        }
    }
    found
}

/// Whether `chain` holds when `root`, and nothing else, is trusted.
fn signs(root: &CertificateDer<'_>, chain: &[CertificateDer<'_>], now: UnixTime) -> bool {
    let mut trusted = RootCertStore::empty();
    let algorithms = provider().signature_verification_algorithms.all;
    let Some((leaf, intermediates)) = chain.split_first() else { return false };
    trusted.add(root.clone()).is_ok()
        && ParsedCertificate::try_from(leaf).is_ok_and(|leaf| {
            verify_server_cert_signed_by_trust_anchor(&leaf, &trusted, intermediates, now, algorithms).is_ok()
        })
}

/// Fingerprint and name of each root of the list.
fn program() -> impl Iterator<Item = (&'static str, &'static str)> {
    PROGRAM.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use std::collections::BTreeSet;

    /// An authority: its certificate, signed by `issuer` or by itself, and what signs with it.
    fn authority(
        name: &str,
        key: KeyPair,
        issuer: Option<&Issuer<'_, KeyPair>>,
    ) -> (CertificateDer<'static>, Issuer<'static, KeyPair>) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let signed = match issuer {
            Some(issuer) => params.signed_by(&key, issuer).unwrap(),
            None => params.self_signed(&key).unwrap(),
        };
        (signed.der().clone(), Issuer::new(params, key))
    }

    fn leaf(issuer: &Issuer<'_, KeyPair>) -> CertificateDer<'static> {
        let params = CertificateParams::new(vec!["sbc1.example.com".to_owned()]).unwrap();
        params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().clone()
    }

    fn key() -> KeyPair {
        KeyPair::generate().unwrap()
    }

    fn names(chain: &[CertificateDer<'_>], roots: &[CertificateDer<'_>]) -> Vec<String> {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
        reached(chain, roots, now).into_iter().map(|root| root.subject).collect()
    }

    #[test]
    fn tdr_9_a_chain_without_its_root_is_followed_into_the_store() {
        let (root, of_root) = authority("Root", key(), None);
        let (between, of_between) = authority("Between", key(), Some(&of_root));
        let (stranger, _) = authority("Stranger", key(), None);
        let store = [stranger, root.clone()];
        let whole = [leaf(&of_between), between];
        assert_eq!(names(&whole, &store), ["CN=Root"]);
        assert_eq!(names(&whole[..1], &store), [""; 0], "the intermediate is missing (TDR-6)");
        assert_eq!(names(&[leaf(&of_root), root], &store), ["CN=Root"], "a file may hold the root");
        assert_eq!(names(&[], &store), [""; 0]);
    }

    #[test]
    fn tdr_9_a_root_of_the_right_name_and_another_key_is_not_reached() {
        let (_, of_root) = authority("Root", key(), None);
        let (impostor, _) = authority("Root", key(), None);
        assert_eq!(names(&[leaf(&of_root)], &[impostor]), [""; 0]);
    }

    #[test]
    fn tdr_9_a_cross_signed_authority_leads_to_both_its_roots() {
        let (old, of_old) = authority("Old", key(), None);
        let young = key();
        let same = KeyPair::from_pem(&young.serialize_pem()).unwrap();
        let (root, _) = authority("Young", young, None);
        let (crossed, of_young) = authority("Young", same, Some(&of_old));
        assert_eq!(names(&[leaf(&of_young), crossed], &[old, root]), ["CN=Old", "CN=Young"]);
    }

    #[test]
    fn tdr_9_the_list_is_fingerprints_each_once_and_holds_what_it_is_asked_for() {
        let all: Vec<&str> = program().map(|(fingerprint, _)| fingerprint).collect();
        let hex =
            |text: &&str| text.len() == 64 && text.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f'));
        assert!(all.len() > 100 && all.iter().all(hex));
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert!(PROGRAM.contains(PROGRAM_DATE));
        let root = |fingerprint: &str| Root { subject: String::new(), fingerprint: fingerprint.to_owned() };
        for government in GOVERNMENT {
            assert!(root(government).in_program() && root(government).for_government());
        }
        let (fingerprint, _) = program().find(|(_, name)| *name == "ISRG Root X1").unwrap();
        assert!(root(fingerprint).in_program() && !root(fingerprint).for_government());
        assert!(!root(&"0".repeat(64)).in_program());
    }

    #[test]
    fn tdr_9_fingerprints_are_those_of_the_certificates_themselves() {
        // Where the system has a root of that name, it is the one that the list means.
        let named = |der: &&CertificateDer<'_>| {
            X509Certificate::from_der(der)
                .is_ok_and(|(_, root)| root.subject().to_string().contains("DigiCert Global Root CA"))
        };
        let all = rustls_native_certs::load_native_certs().certs;
        for der in all.iter().filter(named) {
            let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
            let found = reached(std::slice::from_ref(der), std::slice::from_ref(der), now);
            assert!(found.iter().all(Root::for_government));
            let fingerprint: String =
                digest(&SHA256, der).as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
            assert!(Root { subject: String::new(), fingerprint }.for_government());
        }
    }
}
