//! What an error of a socket or of TLS says about the host: its [`Symptom`] (TDR-30 to 41).

use super::verify::is_wrong_name;
use crate::trunk::diagnosis::Symptom;
use rustls::{AlertDescription as Alert, CertificateError as Untrusted, Error};
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
