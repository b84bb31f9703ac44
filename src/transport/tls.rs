//! TLS policy and identity of each trunk: made from settings and files, replaced whole at a reload.
//!
//! Trunks with the same policy and identity form a group with one server configuration; a connection is
//! given the group that its listener, source and SNI choose, and its trunks are those of the group. Each
//! trunk dials with a client configuration of its own. Sessions can be resumed only within the
//! configuration that made them, because a resumed session skips the check of the certificate.
//!
//! [`TlsTable::build`] reads files and keeps what it had where they are bad: a reload never takes away
//! an identity that works.

use super::certificates::{CertificateError, CertificateFacts};
use super::verify::{ClientJudge, ServerJudge};
use crate::flow::TrunkId;
use crate::settings::{IdentityFiles, Settings, TlsPolicy, TlsVersion, TrunkSettings, Trust, read_file};
use crate::snapshot::Snapshot;
use crate::trunk::Trunk;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor};
use rustls::server::ServerSessionMemoryCache;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

/// Sessions that a group's clients may resume; a platform has some tens of machines.
const SESSIONS: usize = 1024;

/// The longest file of certificates or keys, in octets: a system's whole store is a tenth of it.
const MAX_PEM: u64 = 4 << 20;

/// How TLS is spoken with one trunk, in both roles.
#[derive(Clone, Debug)]
pub struct TrunkTls {
    /// For connections from the trunk; shared by its group.
    pub server: Arc<ServerConfig>,
    /// For connections to the trunk.
    pub client: Arc<ClientConfig>,
    /// Rises when identity, trust or policy changed; older connections are recycled (TDR-14).
    pub generation: u64,
    /// What the leaf of the identity says.
    pub certificate: CertificateFacts,
    basis: Basis,
}

/// Everything a configuration was made from, to see whether a reload changed it.
#[derive(Clone, Debug, PartialEq)]
struct Basis {
    policy: TlsPolicy,
    chain: Vec<CertificateDer<'static>>,
    roots: Vec<TrustAnchor<'static>>,
    /// Of the trunk; the second is the group's.
    expected: Vec<Arc<str>>,
    expected_of_group: Vec<Arc<str>>,
}

/// A trunk whose TLS could not be built from its files.
#[derive(Clone, Debug, thiserror::Error)]
#[error("trunk {trunk}, identity {identity}: {error}")]
pub struct TlsFault {
    /// The trunk's name.
    pub trunk: Arc<str>,
    /// The identity's name.
    pub identity: String,
    /// Whether what was there before stays in force; otherwise the trunk has no TLS at all.
    pub kept: bool,
    /// What is wrong.
    pub error: CertificateError,
}

/// TLS of every trunk that uses it.
#[derive(Clone, Debug, Default)]
pub struct TlsTable {
    trunks: HashMap<TrunkId, Arc<TrunkTls>>,
}

impl TlsTable {
    /// Builds the table from settings and the files they name. Where nothing changed since `previous`, its
    /// configurations are taken over, and with them the sessions that peers may resume; where a file is
    /// bad, the previous configuration stays.
    ///
    /// At start, without `previous`, every fault means that a trunk would have no TLS: do not start.
    pub fn build(settings: &Settings, previous: Option<&Self>) -> (Self, Vec<TlsFault>) {
        Self::of(&settings.identities, &settings.trunks, previous)
    }

    pub(super) fn of(
        files: &BTreeMap<String, IdentityFiles>,
        trunks: &[TrunkSettings],
        previous: Option<&Self>,
    ) -> (Self, Vec<TlsFault>) {
        let mut builder = Builder { files, trunks, identities: BTreeMap::new(), roots: Vec::new(), groups: Vec::new() };
        let (mut table, mut faults) = (Self::default(), Vec::new());
        for settings in trunks {
            let Some(policy) = &settings.tls else { continue };
            let trunk = &settings.trunk;
            let before = previous.and_then(|previous| previous.trunks.get(&trunk.id));
            match builder.trunk(trunk, policy, before) {
                Ok(tls) => drop(table.trunks.insert(trunk.id, tls)),
                Err(error) => {
                    let identity = policy.identity.clone();
                    faults.push(TlsFault { trunk: trunk.name.clone(), identity, kept: before.is_some(), error });
                    table.trunks.extend(before.map(|before| (trunk.id, before.clone())));
                }
            }
        }
        (table, faults)
    }

    /// The same without these trunks, which are gone.
    pub fn without(&self, gone: &[TrunkId]) -> Self {
        let mut trunks = self.trunks.clone();
        trunks.retain(|id, _| !gone.contains(id));
        Self { trunks }
    }

    /// How TLS is spoken with a trunk; `None` when it is not.
    pub fn trunk(&self, id: TrunkId) -> Option<&Arc<TrunkTls>> {
        self.trunks.get(&id)
    }

    /// Every trunk that speaks TLS.
    pub fn trunks(&self) -> impl Iterator<Item = (TrunkId, &Arc<TrunkTls>)> {
        self.trunks.iter().map(|(id, tls)| (*id, tls))
    }

    /// The trunks among `candidates` that a connection with this SNI belongs to; they share one server
    /// configuration. A name that is no trunk's FQDN, and no name at all, choose the first (GEN-35).
    pub(super) fn choose(
        &self,
        snapshot: &Snapshot,
        candidates: &[TrunkId],
        sni: Option<&str>,
    ) -> Option<(Arc<TrunkTls>, SmallVec<[TrunkId; 4]>)> {
        let named = sni.and_then(|sni| {
            let meant = |id: &&TrunkId| snapshot.trunk(**id).is_some_and(|trunk| trunk.fqdn.eq_ignore_ascii_case(sni));
            candidates.iter().filter(meant).find_map(|id| self.trunk(*id))
        });
        let chosen = named.or_else(|| candidates.iter().find_map(|id| self.trunk(*id)))?;
        Some((chosen.clone(), self.same_group(chosen, candidates)))
    }

    /// The trunks among `candidates` that share the server configuration of `chosen`.
    pub(super) fn same_group(&self, chosen: &TrunkTls, candidates: &[TrunkId]) -> SmallVec<[TrunkId; 4]> {
        let shares = |id: &TrunkId| self.trunk(*id).is_some_and(|tls| Arc::ptr_eq(&tls.server, &chosen.server));
        candidates.iter().copied().filter(shares).collect()
    }
}

/// Whether the names that a peer proved make it the trunk's. A trunk without mutual TLS, or without
/// expected names, is known by its addresses alone (GEN-29).
pub fn names_fit(trunk: &Trunk, names: &[String]) -> bool {
    !trunk.mutual || trunk.expected_names.is_empty() || trunk.expects(names)
}

struct Builder<'a> {
    files: &'a BTreeMap<String, IdentityFiles>,
    trunks: &'a [TrunkSettings],
    identities: BTreeMap<&'a str, Result<Arc<CertifiedKey>, CertificateError>>,
    roots: Vec<(&'a Trust, Arc<RootCertStore>)>,
    groups: Vec<(&'a TlsPolicy, Arc<ServerConfig>)>,
}

impl<'a> Builder<'a> {
    fn trunk(
        &mut self,
        trunk: &Trunk,
        policy: &'a TlsPolicy,
        before: Option<&Arc<TrunkTls>>,
    ) -> Result<Arc<TrunkTls>, CertificateError> {
        let identity = self.identity(&policy.identity)?;
        let roots = self.roots(&policy.trust)?;
        let basis = Basis {
            policy: policy.clone(),
            chain: identity.cert.clone(),
            roots: roots.roots.clone(),
            expected: trunk.expected_names.clone(),
            expected_of_group: self.expected_of_group(policy),
        };
        if let Some(before) = before.filter(|before| before.basis == basis) {
            // Trunks that join the group later find this configuration too.
            if !self.groups.iter().any(|(group, _)| *group == policy) {
                self.groups.push((policy, before.server.clone()));
            }
            return Ok(before.clone());
        }
        let server = match self.groups.iter().find(|(group, _)| *group == policy) {
            Some((_, server)) => server.clone(),
            None => {
                let server = Arc::new(server_config(policy, &identity, &roots, basis.expected_of_group.clone())?);
                self.groups.push((policy, server.clone()));
                server
            }
        };
        let client = Arc::new(client_config(policy, &identity, roots, trunk.expected_names.clone())?);
        let leaf = identity.end_entity_cert().map_err(|error| CertificateError::Unreadable(error.to_string()))?;
        let certificate = CertificateFacts::read(leaf)?;
        let generation = before.map_or(1, |before| before.generation + 1);
        Ok(Arc::new(TrunkTls { server, client, generation, certificate, basis }))
    }

    /// The names expected of clients of any trunk with this policy; empty when one of them expects none.
    fn expected_of_group(&self, policy: &TlsPolicy) -> Vec<Arc<str>> {
        let members = || self.trunks.iter().filter(|other| other.tls.as_ref() == Some(policy));
        if members().any(|member| member.trunk.expected_names.is_empty()) {
            return Vec::new();
        }
        members().flat_map(|member| member.trunk.expected_names.iter().cloned()).collect()
    }

    fn identity(&mut self, name: &'a str) -> Result<Arc<CertifiedKey>, CertificateError> {
        let files = self.files.get(name);
        let read = || match files {
            Some(files) => certified_key(files).map(Arc::new),
            None => Err(CertificateError::Unreadable(format!("no identity is called {name}"))),
        };
        self.identities.entry(name).or_insert_with(read).clone()
    }

    fn roots(&mut self, trust: &'a Trust) -> Result<Arc<RootCertStore>, CertificateError> {
        if let Some((_, known)) = self.roots.iter().find(|(known, _)| *known == trust) {
            return Ok(known.clone());
        }
        let (store, _) = roots(trust)?;
        self.roots.push((trust, store.clone()));
        Ok(store)
    }
}

fn server_config(
    policy: &TlsPolicy,
    identity: &Arc<CertifiedKey>,
    roots: &Arc<RootCertStore>,
    expected: Vec<Arc<str>>,
) -> Result<ServerConfig, CertificateError> {
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(policy))
        .map_err(|error| CertificateError::Unreadable(error.to_string()))?;
    let builder = if policy.mutual {
        let judge = ClientJudge::new(roots.clone(), provider, expected).map_err(CertificateError::NoRoots)?;
        builder.with_client_cert_verifier(Arc::new(judge))
    } else {
        // Genesys has no client certificate to show: asking for one would end the handshake (GEN-29).
        builder.with_no_client_auth()
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.clone())));
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    config.send_tls13_tickets = 1;
    Ok(config)
}

fn client_config(
    policy: &TlsPolicy,
    identity: &Arc<CertifiedKey>,
    roots: Arc<RootCertStore>,
    expected: Vec<Arc<str>>,
) -> Result<ClientConfig, CertificateError> {
    let provider = provider();
    let judge = ServerJudge { roots, provider: provider.clone(), expected };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(policy))
        .map_err(|error| CertificateError::Unreadable(error.to_string()))?
        .dangerous() // rustls' word for a judge of one's own; ours always asks for a trusted chain
        .with_custom_certificate_verifier(Arc::new(judge))
        // Shown when asked for: the hub asks (TDR-5), Genesys does not (GEN-29).
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.clone()))))
}

/// rustls has nothing below 1.2 (TDR-2); 1.3 is spoken where the policy allows it (GEN-28).
fn versions(policy: &TlsPolicy) -> Vec<&'static SupportedProtocolVersion> {
    let spoken = |version| policy.min_version <= version && version <= policy.max_version;
    let all = [(TlsVersion::V1_3, &version::TLS13), (TlsVersion::V1_2, &version::TLS12)];
    all.into_iter().filter(|(version, _)| spoken(*version)).map(|(_, supported)| supported).collect()
}

/// The cryptography: ECDHE with AES-GCM and ChaCha20 (TDR-3), P-384 among the groups (GEN-31).
pub(super) fn provider() -> Arc<CryptoProvider> {
    use aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
    // The classic groups first: the key share of the hybrid one would double every ClientHello for peers
    // that do not take it.
    let kx_groups = vec![X25519, SECP256R1, SECP384R1, X25519MLKEM768];
    Arc::new(CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() })
}

fn certified_key(files: &IdentityFiles) -> Result<CertifiedKey, CertificateError> {
    let chain = read_chain(&files.certificate)?;
    let key = read_key(&files.key)?;
    CertifiedKey::from_der(chain, key, &provider())
        .map_err(|error| CertificateError::Key { path: files.key.clone(), reason: error.to_string() })
}

/// The certificates of a PEM file in its order; at least one.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let octets = read_pem(path)?;
    let chain = CertificateDer::pem_slice_iter(&octets).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| file_error(path, &error))?;
    if chain.is_empty() { Err(CertificateError::NoCertificate(path.to_path_buf())) } else { Ok(chain) }
}

/// The first private key of a PEM file.
pub(super) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    PrivateKeyDer::from_pem_slice(&read_pem(path)?).map_err(|error| match error {
        pem::Error::NoItemsFound => CertificateError::NoKey(path.to_path_buf()),
        error => file_error(path, &error),
    })
}

fn read_pem(path: &Path) -> Result<Vec<u8>, CertificateError> {
    read_file(path, MAX_PEM).map_err(|error| file_error(path, &pem::Error::Io(error)))
}

fn file_error(path: &Path, error: &pem::Error) -> CertificateError {
    CertificateError::File { path: path.to_path_buf(), reason: error.to_string() }
}

/// The roots that `trust` means, and how many certificates among them were unusable.
pub(super) fn roots(trust: &Trust) -> Result<(Arc<RootCertStore>, usize), CertificateError> {
    let mut store = RootCertStore::empty();
    let (certificates, reason) = match trust {
        Trust::System => {
            let found = rustls_native_certs::load_native_certs();
            let reason = found.errors.first().map_or_else(|| "the system has none".into(), ToString::to_string);
            (found.certs, reason)
        }
        Trust::Microsoft => {
            let found = rustls_native_certs::load_native_certs().certs;
            (only_microsoft(found), "the system has none of the roots that Microsoft names".to_owned())
        }
        Trust::Files(paths) => {
            let mut all = Vec::new();
            for path in paths {
                all.extend(read_chain(path)?);
            }
            (all, "none of the files' certificates can be a root".to_owned())
        }
    };
    // A system's store holds odd certificates; one that cannot be parsed must not take the rest away.
    let (_, unusable) = store.add_parsable_certificates(certificates);
    if store.is_empty() { Err(CertificateError::NoRoots(reason)) } else { Ok((Arc::new(store), unusable)) }
}

/// Of these certificates, the roots that Microsoft's certificates lead to.
fn only_microsoft(mut certificates: Vec<CertificateDer<'static>>) -> Vec<CertificateDer<'static>> {
    certificates.retain(|certificate| MICROSOFT_ROOTS.iter().any(|(_, known)| *known == fingerprint(certificate)));
    certificates
}

/// The names of those roots of Microsoft that the system's root store lacks; empty when it has all.
pub fn missing_microsoft_roots() -> Vec<&'static str> {
    let found: Vec<String> = rustls_native_certs::load_native_certs().certs.iter().map(fingerprint).collect();
    MICROSOFT_ROOTS.iter().filter(|(_, known)| !found.iter().any(|one| one == known)).map(|(name, _)| *name).collect()
}

/// SHA-1 of a certificate in hexadecimal, as Microsoft publishes it.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, certificate);
    digest.as_ref().iter().map(|octet| format!("{octet:02X}")).collect()
}

/// The roots that an SBC has to trust toward the hub, by SHA-1 fingerprint (TDR-11).
const MICROSOFT_ROOTS: [(&str, &str); 7] = [
    ("DigiCert Global Root CA", "A8985D3A65E5E5C4B2D7D66D40C6DD2FB19C5436"),
    ("DigiCert Global Root G2", "DF3C24F9BFD666761B268073FE06D1CC8D4F82A4"),
    ("DigiCert Global Root G3", "7E04DE896A3E666D00E687D33FFAD93BE83D349E"),
    ("DigiCert TLS ECC P384 Root G5", "17F3DE5E9F0F19E98EF61F32266E20C407AE30EE"),
    ("DigiCert TLS RSA 4096 Root G5", "A78849DC5D7C758C8CDE399856B3AAD0B2A57135"),
    ("Microsoft ECC Root CA 2017", "999A64C37FF47D9FAB95F14769891460EEC4C3C5"),
    ("Microsoft RSA Root CA 2017", "73A5E64A3BFF8316FF0EDCCC618A906E4EAE4D74"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tdr_11_of_a_public_store_only_the_roots_that_microsoft_names_are_trusted() {
        let all = rustls_native_certs::load_native_certs().certs;
        let (total, kept) = (all.len(), only_microsoft(all));
        assert_eq!(kept.len() + missing_microsoft_roots().len(), MICROSOFT_ROOTS.len());
        assert!(total == 0 || kept.len() < total, "an eighth root is not trusted");
    }

    #[test]
    fn tdr_11_the_seven_roots_are_known_by_their_names_and_fingerprints() {
        // Whichever of them this system has: a fingerprint that is not the root's would leave it out.
        let named = |certificate: &CertificateDer<'_>| {
            let facts = crate::transport::CertificateFacts::read(certificate).ok()?;
            MICROSOFT_ROOTS.iter().find(|(name, _)| facts.common_name.as_deref() == Some(name)).copied()
        };
        let all = rustls_native_certs::load_native_certs().certs;
        for (certificate, (name, expected)) in all.iter().filter_map(|one| Some((one, named(one)?))) {
            assert_eq!(fingerprint(certificate), expected, "{name}");
        }
        let mut fingerprints: Vec<&str> = MICROSOFT_ROOTS.iter().map(|(_, fingerprint)| *fingerprint).collect();
        fingerprints.sort_unstable();
        fingerprints.dedup();
        assert_eq!(fingerprints.len(), 7);
    }

    #[test]
    fn tdr_11_a_root_that_microsoft_does_not_name_is_left_out() {
        let key = rcgen::KeyPair::generate().unwrap();
        let stranger = rcgen::CertificateParams::new(vec!["ca.example.com".into()]).unwrap().self_signed(&key).unwrap();
        assert!(only_microsoft(vec![stranger.der().clone()]).is_empty());
    }
}
