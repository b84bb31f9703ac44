//! Certificates of the tests: an authority, an intermediate, leaves good and bad.

use crate::settings::IdentityFiles;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, SanType, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Making an RSA key costs more than the rest of a test.
fn rsa_key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap().serialize_pem())
}

/// Numbers that tell certificates and authorities apart.
fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What a leaf is like.
#[derive(Clone, Copy)]
pub(crate) struct Leaf<'a> {
    pub(crate) names: &'a [&'a str],
    pub(crate) server_auth: bool,
    pub(crate) client_auth: bool,
    pub(crate) expired: bool,
    pub(crate) ecdsa: bool,
}

impl<'a> Leaf<'a> {
    pub(crate) fn named(names: &'a [&'a str]) -> Self {
        Self { names, server_auth: true, client_auth: true, expired: false, ecdsa: false }
    }
}

/// A root with an intermediate that signs the leaves, in a directory of their own.
pub(crate) struct Authority {
    pub(crate) directory: tempfile::TempDir,
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

fn issuer_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let root = CertifiedIssuer::self_signed(issuer_params(&format!("Test Root {}", next())), key()).unwrap();
        let intermediate =
            CertifiedIssuer::signed_by(issuer_params(&format!("Test Intermediate {}", next())), key(), &root).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("root.pem"), root.pem()).unwrap();
        Self { directory, root, intermediate }
    }

    /// Another intermediate under the same root, for the leaves from now on.
    pub(crate) fn renew_intermediate(&mut self) {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let params = issuer_params(&format!("Test Intermediate {}", next()));
        self.intermediate = CertifiedIssuer::signed_by(params, key, &self.root).unwrap();
    }

    pub(crate) fn root_file(&self) -> PathBuf {
        self.directory.path().join("root.pem")
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        roots
    }

    /// Writes chain and key of a leaf; a second call under the same name replaces them.
    pub(crate) fn issue(&self, file: &str, leaf: Leaf<'_>) -> IdentityFiles {
        let key = if leaf.ecdsa {
            KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
        } else {
            KeyPair::from_pem_and_sign_algo(rsa_key(), &PKCS_RSA_SHA256).unwrap()
        };
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = leaf
            .names
            .iter()
            .map(|name| match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        params.distinguished_name.push(DnType::CommonName, leaf.names.first().copied().unwrap_or("nobody"));
        if leaf.server_auth {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        if leaf.client_auth {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        if leaf.expired {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        params.serial_number = Some(next().into());
        let certificate = params.signed_by(&key, &self.intermediate).unwrap();
        let path = |extension: &str| self.directory.path().join(format!("{file}.{extension}"));
        let files = IdentityFiles { certificate: path("pem"), key: path("key") };
        std::fs::write(&files.certificate, certificate.pem() + &self.intermediate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}

pub(crate) fn load(files: &IdentityFiles) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    (chain(&files.certificate), PrivateKeyDer::from_pem_file(&files.key).unwrap())
}

pub(crate) fn chain(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap).collect()
}
