//! What an error of a socket or of TLS says about the host: its [`Symptom`] (TDR-30 to 41).

use super::verify::is_wrong_name;
use crate::trunk::diagnosis::Symptom;
use rustls::{AlertDescription as Alert, CertificateError as Untrusted, Error, PeerIncompatible as Incompatible};
use std::io;

/// Of connecting, before TLS.
pub(super) fn of_connecting(error: &io::Error) -> Symptom {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Symptom::Refused,
        _ => Symptom::NotConnected,
    }
}

/// Of a TLS stream; `other` where TLS itself has no fault.
pub(super) fn of_tls(error: &io::Error, other: Symptom) -> Symptom {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::AlertReceived(alert)) => of_alert(*alert),
        Some(Error::InvalidCertificate(_)) if is_wrong_name(error) => Symptom::WrongName,
        Some(Error::InvalidCertificate(fault)) => of_certificate(fault),
        // It speaks TLS, and answers with what we do not offer instead of an alert.
        Some(Error::PeerIncompatible(
            Incompatible::ServerDoesNotSupportTls12Or13 | Incompatible::ServerTlsVersionIsDisabledByOurConfig,
        )) => Symptom::NoVersion,
        Some(Error::PeerIncompatible(_)) => Symptom::NoSuite,
        Some(_) => Symptom::NoTls,
        None => other,
    }
}

/// What a peer says that ends TLS.
pub(super) fn of_alert(alert: Alert) -> Symptom {
    match alert {
        Alert::HandshakeFailure | Alert::InsufficientSecurity => Symptom::NoSuite,
        Alert::ProtocolVersion => Symptom::NoVersion,
        Alert::UnrecognisedName => Symptom::NoSuchName,
        Alert::CertificateExpired => Symptom::OursExpired,
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied
        | Alert::CertificateRequired => Symptom::OurCertificate,
        _ => Symptom::NoTls,
    }
}

fn of_certificate(fault: &Untrusted) -> Symptom {
    match fault {
        Untrusted::UnknownIssuer => Symptom::UnknownRoot,
        Untrusted::Expired
        | Untrusted::ExpiredContext { .. }
        | Untrusted::NotValidYet
        | Untrusted::NotValidYetContext { .. } => Symptom::NotValidNow,
        Untrusted::InvalidPurpose | Untrusted::InvalidPurposeContext { .. } => Symptom::WrongPurpose,
        _ => Symptom::Unsound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: Error) -> Symptom {
        of_tls(&io::Error::new(io::ErrorKind::InvalidData, error), Symptom::Lost)
    }

    #[test]
    fn what_a_peer_says_tells_version_suite_name_and_our_certificate_apart() {
        for (alert, symptom) in [
            (Alert::ProtocolVersion, Symptom::NoVersion),
            (Alert::HandshakeFailure, Symptom::NoSuite),
            (Alert::UnrecognisedName, Symptom::NoSuchName),
            (Alert::CertificateExpired, Symptom::OursExpired),
            (Alert::UnknownCA, Symptom::OurCertificate),
            (Alert::CertificateRequired, Symptom::OurCertificate),
            (Alert::InternalError, Symptom::NoTls),
        ] {
            assert_eq!(told(Error::AlertReceived(alert)), symptom, "{alert:?}");
        }
    }

    #[test]
    fn a_peer_that_answers_in_an_old_version_is_no_peer_without_tls_tdr_2_tdr_3() {
        let old = Incompatible::ServerDoesNotSupportTls12Or13;
        assert_eq!(told(Error::PeerIncompatible(old)), Symptom::NoVersion);
        let disabled = Incompatible::ServerTlsVersionIsDisabledByOurConfig;
        assert_eq!(told(Error::PeerIncompatible(disabled)), Symptom::NoVersion);
        assert_eq!(told(Error::PeerIncompatible(Incompatible::NoKxGroupsInCommon)), Symptom::NoSuite);
        assert_eq!(told(Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)), Symptom::NoTls);
    }

    #[test]
    fn what_is_no_fault_of_tls_is_what_the_caller_knows() {
        assert_eq!(of_tls(&io::ErrorKind::ConnectionReset.into(), Symptom::Lost), Symptom::Lost);
        assert_eq!(of_connecting(&io::ErrorKind::ConnectionRefused.into()), Symptom::Refused);
        assert_eq!(of_connecting(&io::ErrorKind::TimedOut.into()), Symptom::NotConnected);
    }
}
