//! TLS as each platform speaks it (TDR-2, 3, 5, 10; GEN-28, 29, 31).

use super::certificates::{Certificates, Identity};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What a platform needs to connect and to be connected to.
#[derive(Clone, Debug)]
pub struct Tls {
    /// As the side that dials.
    pub client: Arc<ClientConfig>,
    /// As the side that is dialled.
    pub server: Arc<ServerConfig>,
}

/// The hub: certificates both ways, TLS 1.2 with the two GCM suites; TLS 1.3 only with `newer`, for no
/// text promises it (TDR-2, 3, 5).
///
/// # Errors
///
/// When a certificate cannot be read.
pub fn hub(certificates: &Certificates, newer: bool) -> io::Result<Tls> {
    let provider = provider(None);
    let versions: &[_] = if newer { &[&TLS13, &TLS12] } else { &[&TLS12] };
    let roots = roots(&certificates.root)?;
    let (chain, key) = certificates.hub.load()?;
    let client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(io::Error::other)?
        .with_root_certificates(roots.clone())
        .with_client_auth_cert(chain, key)
        .map_err(io::Error::other)?;
    let verifier = EitherUsage::new(roots, &provider)?;
    let (chain, key) = certificates.hub.load()?;
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(io::Error::other)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(chain, key)
        .map_err(io::Error::other)?;
    Ok(Tls { client: Arc::new(client), server: Arc::new(server) })
}

/// Genesys: the server alone proves itself, TLS 1.2 only, for ECDHE only secp384r1 (GEN-28, 29, 31).
///
/// # Errors
///
/// When a certificate cannot be read.
pub fn genesys(certificates: &Certificates) -> io::Result<Tls> {
    one_way(&certificates.root, &certificates.genesys, Some(rustls::NamedGroup::secp384r1))
}

fn one_way(root: &Path, identity: &Identity, group: Option<rustls::NamedGroup>) -> io::Result<Tls> {
    let provider = provider(group);
    let client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS12])
        .map_err(io::Error::other)?
        .with_root_certificates(roots(root)?)
        .with_no_client_auth();
    let (chain, key) = identity.load()?;
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12])
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(io::Error::other)?;
    Ok(Tls { client: Arc::new(client), server: Arc::new(server) })
}

/// The suites that both platforms have in common with rustls, and every TLS 1.3 suite.
fn provider(group: Option<rustls::NamedGroup>) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| {
        use CipherSuite::{TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384};
        let documented = [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384];
        documented.contains(&suite.suite()) || suite.tls13().is_some()
    });
    if let Some(group) = group {
        provider.kx_groups.retain(|own| own.name() == group);
    }
    Arc::new(provider)
}

fn roots(path: &Path) -> io::Result<Arc<RootCertStore>> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(io::Error::other)? {
        store.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    Ok(Arc::new(store))
}

/// Takes the SBC's certificate whether it says clientAuth or serverAuth alone (TDR-10).
#[derive(Debug)]
struct EitherUsage {
    strict: Arc<dyn ClientCertVerifier>,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl EitherUsage {
    fn new(roots: Arc<RootCertStore>, provider: &Arc<CryptoProvider>) -> io::Result<Self> {
        let strict = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
        let strict = strict.build().map_err(io::Error::other)?;
        Ok(Self { strict, roots, algorithms: provider.signature_verification_algorithms })
    }
}

impl ClientCertVerifier for EitherUsage {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.strict.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.strict.verify_client_cert(leaf, chain, now).or_else(|_| {
            let parsed = ParsedCertificate::try_from(leaf)?;
            let algorithms = self.algorithms.all;
            rustls::client::verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, chain, now, algorithms)?;
            Ok(ClientCertVerified::assertion())
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.strict.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.strict.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.strict.supported_verify_schemes()
    }
}
