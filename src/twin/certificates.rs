//! Certificates made on the spot: a public CA played by a root and an intermediate, and the leaves of
//! the three elements (TDR-6, 12, 13; GEN-32, 33).
//!
//! They live in a directory that the caller removes; nothing of them is ever trusted elsewhere.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, SigningKey,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// File of the issuing CA's certificate.
const ISSUER: &str = "issuer.pem";

/// File of its key.
const ISSUER_KEY: &str = "issuer.key";

/// A certificate chain with its key, in PEM files.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Leaf, then intermediate.
    pub certificate: PathBuf,
    /// The private key (PKCS #8).
    pub key: PathBuf,
}

impl Identity {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or is not PEM.
    pub fn load(&self) -> io::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let chain = CertificateDer::pem_file_iter(&self.certificate).map_err(io::Error::other)?;
        let chain = chain.collect::<Result<_, _>>().map_err(io::Error::other)?;
        Ok((chain, PrivateKeyDer::from_pem_file(&self.key).map_err(io::Error::other)?))
    }
}

/// All certificates of a lab.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The root that everyone trusts.
    pub root: PathBuf,
    /// The hub's: SAN `sip.pstnhub.microsoft.com`, serverAuth only (TDR-12, 13).
    pub hub: Identity,
    /// Genesys': SAN `voice.<region>`, not the trunk's FQDN (GEN-33).
    pub genesys: Identity,
    /// The SBC's: RSA 2048, serverAuth and clientAuth (TDR-4, 10; GEN-32).
    pub sbc: Identity,
}

/// What stands in a leaf.
#[derive(Clone, Copy, Debug)]
struct Leaf<'n> {
    names: &'n [&'n str],
    usages: &'n [ExtendedKeyUsagePurpose],
}

/// Makes all certificates below `directory`. `sbc` is the FQDN of the SBC, `genesys` the names in the
/// certificate of the Genesys proxies.
///
/// # Errors
///
/// When a key cannot be made or a file not be written.
pub fn make(directory: &Path, sbc: &str, genesys: &[&str]) -> io::Result<Certificates> {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    let root = authority("Twin Root CA", BasicConstraints::Unconstrained)?;
    let root_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
    let root_certificate = root.self_signed(&root_key).map_err(io::Error::other)?;
    let root_issuer = Issuer::new(root, root_key);
    let middle = authority("Twin Issuing CA", BasicConstraints::Constrained(0))?;
    let middle_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
    let middle_certificate = middle.signed_by(&middle_key, &root_issuer).map_err(io::Error::other)?;
    let chain = middle_certificate.pem();
    let issuer = Issuer::new(middle, middle_key);

    fs::create_dir_all(directory)?;
    let root = directory.join("root.pem");
    fs::write(&root, root_certificate.pem())?;
    // The issuing CA's key stays beside what it issued, for renewals.
    fs::write(directory.join(ISSUER), &chain)?;
    fs::write(directory.join(ISSUER_KEY), issuer.key().serialize_pem())?;
    let write = |name: &str, leaf: Leaf<'_>| leaf.write(directory, name, &issuer, &chain);
    Ok(Certificates {
        root,
        hub: write("hub", Leaf { names: &["sip.pstnhub.microsoft.com"], usages: &[ServerAuth] })?,
        genesys: write("genesys", Leaf { names: genesys, usages: &[ServerAuth] })?,
        sbc: write("sbc", Leaf { names: &[sbc], usages: &[ServerAuth, ClientAuth] })?,
    })
}

/// Issues the SBC's certificate anew, with a new key, in place of the old one (TDR-14).
///
/// # Errors
///
/// When a file cannot be read or written, or a key not be made.
pub fn renew(certificates: &Certificates) -> io::Result<()> {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    let directory = certificates.root.parent().unwrap_or(Path::new("."));
    let chain = fs::read_to_string(directory.join(ISSUER))?;
    let key = KeyPair::from_pem(&fs::read_to_string(directory.join(ISSUER_KEY))?).map_err(io::Error::other)?;
    let issuer = Issuer::from_ca_cert_pem(&chain, key).map_err(io::Error::other)?;
    let (old, _) = certificates.sbc.load()?;
    let names = old.first().map(names).unwrap_or_default();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Leaf { names: &names, usages: &[ServerAuth, ClientAuth] }.write(directory, "sbc", &issuer, &chain).map(drop)
}

fn authority(name: &str, constraints: BasicConstraints) -> io::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

impl Leaf<'_> {
    fn write(
        self,
        directory: &Path,
        name: &str,
        issuer: &Issuer<'_, impl SigningKey>,
        chain: &str,
    ) -> io::Result<Identity> {
        let names: Vec<String> = self.names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
        params.distinguished_name.push(DnType::CommonName, self.names.first().copied().unwrap_or(name));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = self.usages.to_vec();
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(io::Error::other)?;
        let leaf = params.signed_by(&key, issuer).map_err(io::Error::other)?;
        let identity =
            Identity { certificate: directory.join(format!("{name}.pem")), key: directory.join(format!("{name}.key")) };
        fs::write(&identity.certificate, leaf.pem() + chain)?;
        fs::write(&identity.key, key.serialize_pem())?;
        Ok(identity)
    }
}

/// The DNS names in a certificate's SAN, lower case; empty when it cannot be read.
pub fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else { return Vec::new() };
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|extension| extension.value.general_names.iter());
    names
        .filter_map(|name| match name {
            x509_parser::extensions::GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lab_has_full_chains_with_the_names_of_the_platforms() {
        let directory = tempfile::tempdir().expect("a directory");
        let made = make(directory.path(), "sbc1.example.com", &["voice.mypurecloud.de"]).expect("certificates");
        for (identity, name) in [
            (&made.hub, "sip.pstnhub.microsoft.com"),
            (&made.genesys, "voice.mypurecloud.de"),
            (&made.sbc, "sbc1.example.com"),
        ] {
            let (chain, _) = identity.load().expect("loads");
            assert_eq!((chain.len(), names(&chain[0])), (2, vec![name.to_owned()]));
        }
    }
}
