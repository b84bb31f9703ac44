//! What the certificates say against what the trunks need of them (TDR-4, 6 to 10, 15; GEN-30, 32).
//!
//! The facts come from [`transport`](crate::transport), which presents the same files on the wire.

use super::check::is_government;
use super::defaults;
use super::finding::Findings;
use super::read::Draft;
use super::section::Section;
use crate::settings::*;
use crate::transport::{
    CertificateError, CertificateFacts, IdentityFacts, KeyKind, PROGRAM_DATE, Root, chain_fault,
    missing_microsoft_roots, read_identity, system_roots,
};
use crate::trunk::{Kind, Trunk, name_matches};
use std::path::Path;

/// Adds what it finds to `findings`; `now` in seconds since the Unix epoch.
pub(super) fn check(draft: &Draft<'_>, findings: &Findings, now: u64) {
    for (name, section) in &draft.identities {
        let given = section.text("certificate").is_some() && section.text("key").is_some();
        let Some(files) = draft.settings.identities.get(name).filter(|_| given) else { continue };
        let facts = match read_identity(files) {
            Ok(facts) => facts,
            Err(error) => {
                unreadable(section, files, &error);
                continue;
            }
        };
        of_itself(section, files, &facts, now);
        let Some(leaf) = facts.leaf() else { continue };
        for (settings, trunk_section) in draft.settings.trunks.iter().zip(&draft.trunks) {
            let Some(policy) = settings.tls.as_ref().filter(|policy| policy.identity == *name) else { continue };
            for_trunk(section, leaf, &settings.trunk);
            let lab = trusted(section, trunk_section, files, policy, &settings.trunk, now, findings);
            if settings.trunk.kind == Kind::Teams && !lab {
                let roots = system_roots(&files.certificate, now).unwrap_or_default();
                public(section, &facts, &roots, &settings.trunk);
            }
        }
    }
}

fn unreadable(section: &Section<'_>, files: &IdentityFiles, error: &CertificateError) {
    let (path, remedy) = match error {
        CertificateError::File { path, .. } => (path.as_path(), "check the path and who may read it"),
        CertificateError::NoCertificate(path) => (path.as_path(), "it has to be PEM: leaf first, then intermediates"),
        CertificateError::NoKey(path) => (path.as_path(), "it has to be PEM, without a pass phrase"),
        CertificateError::Key { path, .. } => (path.as_path(), "use an RSA key of 2048 bits or more"),
        CertificateError::Unreadable(_) | CertificateError::NoRoots(_) => (files.certificate.as_path(), "renew it"),
    };
    let key = if path == files.key { "key" } else { "certificate" };
    section.findings().error(section.place(key), error.to_string()).remedy(remedy);
}

/// What is wrong with an identity, whoever it is shown to.
fn of_itself(section: &Section<'_>, files: &IdentityFiles, facts: &IdentityFacts, now: u64) {
    let (findings, place) = (section.findings(), section.place("certificate"));
    if !facts.key_matches {
        let message = "the key does not belong to the certificate";
        findings.error(section.place("key"), message).remedy("use the key that the certificate was requested with");
    }
    if let Some(index) = facts.broken_at {
        let message = format!("certificate {} of the file is not signed by the next one", index + 1);
        let remedy = "put the leaf first, then each certificate's issuer, and no others";
        findings.warning(place.clone(), message).remedy(remedy).rule("TDR-6");
    }
    if may_be_read_by_all(&files.key) {
        let message = "everybody on this machine may read the key";
        findings.warning(section.place("key"), message).remedy(format!("chmod 640 {}", files.key.display()));
    }
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    for certificate in &facts.chain {
        let days = (certificate.not_after - now) / 86_400;
        let notice = i64::try_from(defaults::EXPIRY_NOTICE.as_secs()).unwrap_or(i64::MAX);
        if certificate.not_after < now {
            let ago = match -days {
                0 => "less than a day ago".to_owned(),
                1 => "a day ago".to_owned(),
                days => format!("{days} days ago"),
            };
            let message = format!("the certificate of {} expired {ago}", certificate.subject);
            findings.error(place.clone(), message).remedy("renew it").rule("TDR-15");
        } else if certificate.not_after < now.saturating_add(notice) {
            let message = format!("the certificate of {} expires in {days} days", certificate.subject);
            findings.warning(place.clone(), message).remedy("renew it; the files are read again").rule("TDR-15");
        }
        if certificate.not_before > now {
            let message = format!("the certificate of {} is not valid yet", certificate.subject);
            findings.error(place.clone(), message).remedy("check this machine's clock").rule("TDR-15");
        }
    }
    let Some(leaf) = facts.leaf() else { return };
    if !leaf.server_auth {
        let message = "the certificate may not be used by a server (extended key usage)";
        findings.error(place.clone(), message).remedy("request one for server authentication").rule("TDR-10");
    }
    if let KeyKind::Rsa(bits) = leaf.key
        && bits < defaults::RSA_BITS
    {
        let message = format!("the certificate's key has {bits} bits");
        findings.error(place, message).remedy("request one with an RSA key of 2048 bits or more").rule("TDR-4");
    }
}

/// What is wrong with an identity for this trunk.
fn for_trunk(section: &Section<'_>, leaf: &CertificateFacts, trunk: &Trunk) {
    let (findings, place) = (section.findings(), section.place("certificate"));
    if !leaf.covers(&trunk.fqdn) {
        let names = if leaf.names.is_empty() { "no name".to_owned() } else { leaf.names.join(", ") };
        let message = format!("the certificate carries {names}, and trunk `{}` knows us as {}", trunk.name, trunk.fqdn);
        let remedy = format!("request one with {} as subject alternative name, or correct fqdn", trunk.fqdn);
        let common = leaf.common_name.as_deref().is_some_and(|name| name_matches(&trunk.fqdn, name));
        let (found, rule) = match trunk.kind {
            Kind::Teams if common => (findings.warning(place.clone(), message), "TDR-7"),
            Kind::Teams => (findings.error(place.clone(), message), "TDR-7"),
            Kind::Genesys => (findings.error(place.clone(), message), "GEN-22"),
            Kind::Generic => (findings.warning(place.clone(), message), "RFC 5922"),
        };
        found.remedy(remedy).rule(rule);
    }
    let rsa = matches!(leaf.key, KeyKind::Rsa(_));
    match trunk.kind {
        Kind::Genesys if !rsa => {
            let message = format!("trunk `{}` needs an RSA key: Genesys offers no other suites", trunk.name);
            let remedy = "request a certificate with an RSA key, or give this trunk an identity of its own";
            findings.error(place.clone(), message).remedy(remedy).rule("GEN-32");
        }
        Kind::Teams if !rsa => {
            let message = format!("trunk `{}` should be shown an RSA key: Teams lists no other suites", trunk.name);
            findings.warning(place.clone(), message).remedy("request a certificate with an RSA key").rule("TDR-4");
        }
        Kind::Teams | Kind::Genesys | Kind::Generic => {}
    }
    if trunk.kind == Kind::Teams && !leaf.client_auth {
        let message = "the certificate lacks client authentication, which Teams documents as required";
        let remedy = "nothing to do while calls to Teams work: public authorities no longer issue it";
        findings.warning(place, message).remedy(remedy).rule("TDR-10");
    }
}

/// Whether the chain is whole and leads to a root: the system's, or one the trunk trusts (a lab's own).
/// Returns whether it is a lab's: who trusts our authority by file has his certificates from it, too.
fn trusted(
    section: &Section<'_>,
    trunk_section: &Section<'_>,
    files: &IdentityFiles,
    policy: &TlsPolicy,
    trunk: &Trunk,
    now: u64,
    findings: &Findings,
) -> bool {
    let own = chain_fault(&files.certificate, &policy.trust, now);
    if let Err(error) = &own {
        let remedy = match policy.trust {
            Trust::System | Trust::Microsoft => "install the package ca-certificates, or name files in trust",
            Trust::Files(_) => "check the path; the file has to hold root certificates as PEM",
        };
        findings.error(trunk_section.place("trust"), error.to_string()).remedy(remedy).rule("TDR-11");
    }
    if policy.trust == Trust::Microsoft {
        let missing = missing_microsoft_roots();
        if !missing.is_empty() {
            let message = format!("roots of Microsoft are missing here: {}", missing.join(", "));
            let remedy = "update the package ca-certificates: the hub's next certificate may lead to any of them";
            findings.warning(trunk_section.place("trust"), message).remedy(remedy).rule("TDR-11");
        }
    }
    let fault = match own {
        Ok(None) => return matches!(policy.trust, Trust::Files(_)),
        Ok(Some(fault)) => fault,
        Err(_) => return false,
    };
    let public =
        policy.trust != Trust::System && matches!(chain_fault(&files.certificate, &Trust::System, now), Ok(None));
    if !public && trunk.kind == Kind::Genesys {
        let message = format!("the certificate does not lead to a root that is known here ({fault})");
        let remedy = "put all intermediates into the file; the platforms trust public authorities only";
        findings.warning(section.place("certificate"), message).remedy(remedy).rule("GEN-30");
    }
    false
}

/// Whether Teams takes the authority behind the certificate, whose chain leads to `roots` of the system
/// (TDR-9). Never an error: the list of the program has a date, the system's store may lack a root, and an
/// SBC that Teams takes must start.
pub(super) fn public(section: &Section<'_>, facts: &IdentityFacts, roots: &[Root], trunk: &Trunk) {
    let government = is_government(trunk);
    let taken = |root: &Root| if government { root.for_government() } else { root.in_program() };
    if roots.iter().any(taken) {
        return;
    }
    let reached = roots.iter().map(|root| root.subject.as_str()).collect::<Vec<_>>().join(" and to ");
    let last = facts.chain.last().map_or("", |last| last.issuer.as_str());
    let itself = facts.leaf().is_some_and(|leaf| leaf.self_issued);
    let (message, remedy) = match (roots.is_empty(), government) {
        (true, _) if itself => {
            let message = "the certificate is signed by itself, which Teams refuses".to_owned();
            (message, "request one from a public authority of the Microsoft Trusted Root Program")
        }
        (true, government) => {
            let message =
                format!("the certificate leads to no root of this system: the last issuer in its file is {last}");
            let remedy = match government {
                true => {
                    "put all intermediates into the file, and update ca-certificates; this cloud takes nothing but \
                     DigiCert Global Root CA and DigiCert High Assurance EV Root CA (where the system has dropped \
                     those two, a good chain cannot be told from a bad one here)"
                }
                false => {
                    "put all intermediates into the file, and update ca-certificates; Teams refuses authorities \
                     outside the Microsoft Trusted Root Program, private ones among them"
                }
            };
            (message, remedy)
        }
        (false, true) => {
            let message = format!("the certificate leads to {reached}, which this cloud refuses");
            let remedy = "request one that leads to DigiCert Global Root CA or to DigiCert High Assurance EV Root CA";
            (message, remedy)
        }
        (false, false) => {
            let message = format!(
                "the certificate leads to {reached}, trusted by this system, but not among the roots of the \
                 Microsoft Trusted Root Program as known here (list of {PROGRAM_DATE})"
            );
            let remedy = "look for it in the list of included CA certificates that Microsoft publishes; \
                 if it is not there, Teams refuses the certificate: request one from an authority that is";
            (message, remedy)
        }
    };
    section.findings().warning(section.place("certificate"), message).remedy(remedy).rule("TDR-9");
}

/// Whether everybody on this machine may read the file.
#[cfg(unix)]
pub(super) fn may_be_read_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|facts| facts.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
pub(super) fn may_be_read_by_all(_: &Path) -> bool {
    false
}
