//! Whether a peer's certificate is good: chain, purpose, name (RFC 5922, TDR-12, TDR-13, GEN-33).
//!
//! Chains and signatures are checked by rustls and webpki. What is ours is the judgement around them:
//! the hub proves itself as a client with a certificate for servers only, and a platform's certificate
//! may carry names of the platform instead of the name that was dialled. Nothing here ever passes a
//! certificate that does not lead to a trusted root.

use super::certificates::names_of;
use crate::trunk::name_matches;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme,
};
use std::io;
use std::sync::Arc;

/// Whether one of `names` is one of `expected`, where either may begin with `*.` for one label.
fn any_expected(expected: &[Arc<str>], names: &[String]) -> bool {
    names.iter().any(|name| expected.iter().any(|expected| name_matches(expected, name)))
}

/// A certificate that is good but carries other names than those expected; both are told, because the
/// operator has to choose between them (GEN-33).
#[derive(Clone, Debug, thiserror::Error)]
#[error("certificate is for {presented:?}, expected is one of {expected:?}")]
struct WrongNames {
    presented: Vec<String>,
    expected: Vec<Arc<str>>,
}

impl WrongNames {
    fn error(expected: &[Arc<str>], presented: Vec<String>) -> Error {
        let wrong = Self { presented, expected: expected.to_vec() };
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(wrong))))
    }
}

/// Whether a handshake failed over the names of the certificate and nothing else.
pub(super) fn is_wrong_name(error: &io::Error) -> bool {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(CertificateError::Other(OtherError(inner)))) => inner.is::<WrongNames>(),
        Some(Error::InvalidCertificate(error)) => {
            matches!(error, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })
        }
        _ => false,
    }
}

/// Judges the certificate of a TLS client: a trusted chain, either purpose, an expected name.
#[derive(Debug)]
pub(super) struct ClientJudge {
    webpki: Arc<dyn ClientCertVerifier>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    /// Names one of which has to be on the certificate; empty: any name, the chain decides.
    expected: Vec<Arc<str>>,
}

impl ClientJudge {
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        provider: Arc<CryptoProvider>,
        expected: Vec<Arc<str>>,
    ) -> Result<Self, String> {
        let webpki = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { webpki, roots, provider, expected })
    }
}

impl ClientCertVerifier for ClientJudge {
    /// No hints: a peer with one certificate sends it anyway, and a system's store of roots would fill
    /// ten kilobytes of each handshake.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.webpki.verify_client_cert(end_entity, intermediates, now) {
            Ok(_) => {}
            // Public authorities stopped issuing clientAuth in 2026: the hub shows a certificate for
            // servers in both roles (TDR-12). Everything but the purpose is still checked.
            Err(Error::InvalidCertificate(
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
            )) => verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(end_entity)?,
                &self.roots,
                intermediates,
                now,
                self.provider.signature_verification_algorithms.all,
            )?,
            Err(error) => return Err(error),
        }
        let names = names_of(end_entity);
        if self.expected.is_empty() || any_expected(&self.expected, &names) {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(WrongNames::error(&self.expected, names))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Judges the certificate of a TLS server: a trusted chain for servers, and the dialled name or an
/// expected one.
#[derive(Debug)]
pub(super) struct ServerJudge {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) provider: Arc<CryptoProvider>,
    /// Names that stand for the dialled one; empty: only the dialled name will do.
    pub(super) expected: Vec<Arc<str>>,
}

impl ServerCertVerifier for ServerJudge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        let dialled = verify_server_name(&certificate, server_name);
        if dialled.is_ok() || self.expected.is_empty() {
            return dialled.map(|()| ServerCertVerified::assertion());
        }
        // The platforms promise names of their own, not the name that was dialled (TDR-13, GEN-33).
        let names = names_of(end_entity);
        if any_expected(&self.expected, &names) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(WrongNames::error(&self.expected, names))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
