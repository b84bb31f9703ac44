//! What a certificate says: for `tandem check`, for metrics, and for the names of a peer.
//!
//! Facts only. What they mean (a key too short for Teams, a name that does not cover the FQDN, an
//! expiry that is near) is for the reader of the facts: configuration and metrics (TDR-4, 6 to 10, 15).

use super::tls::{provider, read_chain, read_key, roots};
use crate::settings::{IdentityFiles, Trust};
use crate::trunk::name_matches;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

/// Which key a certificate is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyKind {
    /// RSA, with the bits of its modulus.
    Rsa(usize),
    /// Elliptic curve, with the bits of its field.
    Ec(usize),
    /// Anything else.
    Other,
}

/// What one certificate says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateFacts {
    /// Whom it is for, as RFC 4514 text.
    pub subject: String,
    /// Who signed it, as RFC 4514 text.
    pub issuer: String,
    /// The serial number: hexadecimal pairs with colons.
    pub serial: String,
    /// The first common name of the subject, lower case; `None` without one.
    pub common_name: Option<String>,
    /// The DNS names of the subjectAltName, lower case.
    pub names: Vec<String>,
    /// The addresses of the subjectAltName.
    pub addresses: Vec<IpAddr>,
    /// First second of its validity, since the Unix epoch.
    pub not_before: i64,
    /// Last second of its validity, since the Unix epoch (TDR-15).
    pub not_after: i64,
    /// Which key it is for (TDR-4, GEN-32).
    pub key: KeyKind,
    /// The usages that are named, such as `serverAuth`, or as object identifiers; empty: none are, any is meant.
    pub usages: Vec<String>,
    /// Whether it may be a TLS server's: the usage is named, or no usage is (TDR-10).
    pub server_auth: bool,
    /// Whether it may be a TLS client's: the usage is named, or no usage is (TDR-10).
    pub client_auth: bool,
    /// Whether it is a certification authority's.
    pub authority: bool,
    /// Whether subject and issuer are the same.
    pub self_issued: bool,
}

/// What an identity's files hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IdentityFacts {
    /// The certificates in the order of the file: leaf first (TDR-6). Never empty.
    pub chain: Vec<CertificateFacts>,
    /// Whether the private key belongs to the leaf.
    pub key_matches: bool,
    /// The first certificate that was not signed by the next in the file, as far as names tell.
    pub broken_at: Option<usize>,
}

impl IdentityFacts {
    /// The certificate that names us.
    pub fn leaf(&self) -> Option<&CertificateFacts> {
        self.chain.first()
    }
}

impl CertificateFacts {
    /// Whether a subjectAltName covers `fqdn` (TDR-7; one label for a wildcard, TDR-8).
    pub fn covers(&self, fqdn: &str) -> bool {
        self.names.iter().any(|name| name_matches(fqdn, name))
    }

    /// Reads one certificate.
    ///
    /// # Errors
    ///
    /// [`CertificateError::Unreadable`] when the octets are no X.509 certificate.
    pub fn read(der: &[u8]) -> Result<Self, CertificateError> {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|error| CertificateError::Unreadable(error.to_string()))?;
        let usage = certificate.extended_key_usage().ok().flatten().map(|usage| usage.value);
        let key = match certificate.public_key().parsed() {
            // The modulus is an ASN.1 integer: a leading zero octet keeps it positive.
            Ok(PublicKey::RSA(key)) => KeyKind::Rsa(key.key_size()),
            Ok(PublicKey::EC(point)) => KeyKind::Ec(point.key_size()),
            _ => KeyKind::Other,
        };
        let (names, addresses) = alternative_names(&certificate);
        Ok(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            serial: certificate.raw_serial_as_string(),
            common_name: certificate
                .subject()
                .iter_common_name()
                .find_map(|name| name.as_str().ok())
                .map(str::to_ascii_lowercase),
            names,
            addresses,
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            key,
            usages: usage.map(usages).unwrap_or_default(),
            server_auth: usage.is_none_or(|usage| usage.server_auth || usage.any),
            client_auth: usage.is_none_or(|usage| usage.client_auth || usage.any),
            authority: certificate.is_ca(),
            self_issued: certificate.subject() == certificate.issuer(),
        })
    }
}

/// The names of extended key usages, as RFC 5280 §4.2.1.12 spells them.
fn usages(usage: &ExtendedKeyUsage<'_>) -> Vec<String> {
    let named = [
        (usage.any, "anyExtendedKeyUsage"),
        (usage.server_auth, "serverAuth"),
        (usage.client_auth, "clientAuth"),
        (usage.code_signing, "codeSigning"),
        (usage.email_protection, "emailProtection"),
        (usage.time_stamping, "timeStamping"),
        (usage.ocsp_signing, "OCSPSigning"),
    ];
    let named = named.iter().filter(|(set, _)| *set).map(|(_, name)| (*name).to_owned());
    named.chain(usage.other.iter().map(ToString::to_string)).collect()
}

/// Why the files of an identity or of trust cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A file holds no certificate.
    #[error("{}: no certificate in it", .0.display())]
    NoCertificate(PathBuf),
    /// A file holds no private key.
    #[error("{}: no private key in it", .0.display())]
    NoKey(PathBuf),
    /// The key is not the certificate's, or of a kind that cannot sign here.
    #[error("{}: {reason}", path.display())]
    Key {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Octets are no X.509 certificate.
    #[error("not a certificate: {0}")]
    Unreadable(String),
    /// No root is there to trust.
    #[error("no root certificate to trust: {0}")]
    NoRoots(String),
}

/// Reads the files of an identity.
///
/// # Errors
///
/// The first [`CertificateError`]; a key that does not belong to the leaf is a fact, not an error.
pub fn read_identity(files: &IdentityFiles) -> Result<IdentityFacts, CertificateError> {
    let chain = read_chain(&files.certificate)?;
    let key = read_key(&files.key)?;
    let facts = chain.iter().map(|der| CertificateFacts::read(der)).collect::<Result<Vec<_>, _>>()?;
    let broken_at = facts.windows(2).position(|pair| pair[0].issuer != pair[1].subject);
    let key_matches = CertifiedKey::from_der(chain, key, &provider()).is_ok();
    Ok(IdentityFacts { chain: facts, key_matches, broken_at })
}

/// Why the chain in `certificate` does not lead to a root of `trust` at `unix_seconds`; `None`: it does.
///
/// Expiry is found here too. Only what the file holds is used: a missing intermediate is a fault (TDR-6).
///
/// # Errors
///
/// A [`CertificateError`] when the file or the roots cannot be read.
pub fn chain_fault(certificate: &Path, trust: &Trust, unix_seconds: u64) -> Result<Option<String>, CertificateError> {
    let chain = read_chain(certificate)?;
    let (roots, _) = roots(trust)?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(unix_seconds));
    let algorithms = provider().signature_verification_algorithms.all;
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Err(CertificateError::NoCertificate(certificate.to_path_buf()));
    };
    let fault = ParsedCertificate::try_from(leaf)
        .and_then(|leaf| verify_server_cert_signed_by_trust_anchor(&leaf, &roots, intermediates, now, algorithms))
        .err();
    Ok(fault.map(|error| error.to_string()))
}

/// The DNS names and addresses of a certificate's subjectAltName, as lower-case text; empty where it has
/// none. The common name is no name (RFC 6125 §6.4.4, TDR-7).
pub fn names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let (mut names, addresses) = alternative_names(&certificate);
    names.extend(addresses.iter().map(IpAddr::to_string));
    names
}

fn alternative_names(certificate: &X509Certificate<'_>) -> (Vec<String>, Vec<IpAddr>) {
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    for name in alternatives.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => names.push(name.to_ascii_lowercase()),
            GeneralName::IPAddress(octets) => {
                let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
                addresses.extend(v4.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from)));
            }
            _ => {}
        }
    }
    (names, addresses)
}
