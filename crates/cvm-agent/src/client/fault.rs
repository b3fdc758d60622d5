//! From what TLS and HTTP libraries say to who has to act.

use std::io;

use rustls::CertificateError;
use rustls_pki_types::UnixTime;

use super::address::Address;
use crate::clock;
use crate::error::{Distrust, Error};

/// Why an exchange with `address` failed.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a foreign, open enum: what is not named here needs no words of its own"
)]
pub(super) fn from_ureq(fault: ureq::Error, address: &Address) -> Error {
    let server = address.to_string();
    let later = |why: String| Error::TryLater {
        what: format!("{server}: {why}; try again later"),
        retry_after: None,
        refusal: None,
    };
    if let Some(tls) = rustls_fault(&fault) {
        return from_rustls(tls, server);
    }
    match &fault {
        ureq::Error::Timeout(which) => later(format!("no answer in time ({which})")),
        ureq::Error::HostNotFound => later("the host name is not known here".to_owned()),
        ureq::Error::ConnectionFailed => later("no connection".to_owned()),
        ureq::Error::Io(source) => later(io_text(source)),
        ureq::Error::BodyExceedsLimit(bytes) => {
            Error::BadAnswer { server, what: format!("the answer is longer than {bytes} bytes") }
        }
        other => Error::BadAnswer { server, what: format!("the exchange failed: {other}") },
    }
}

fn io_text(fault: &io::Error) -> String {
    match fault.kind() == io::ErrorKind::UnexpectedEof {
        true => "the connection ended before the answer".to_owned(),
        false => fault.to_string(),
    }
}

fn rustls_fault(fault: &ureq::Error) -> Option<&rustls::Error> {
    if let ureq::Error::Rustls(inner) = fault {
        return Some(inner);
    }
    let ureq::Error::Io(outer) = fault else {
        return None;
    };
    outer.get_ref()?.downcast_ref()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a foreign, open enum: what is not named here needs no words of its own"
)]
fn from_rustls(fault: &rustls::Error, server: String) -> Error {
    if let rustls::Error::AlertReceived(alert) = fault {
        return Error::BadAnswer {
            server,
            what: format!("it ended the TLS connection: {alert:?}"),
        };
    }
    let distrust = match fault {
        rustls::Error::InvalidCertificate(inner) => from_certificate(inner),
        rustls::Error::InvalidMessage(_) => Distrust::NotTls,
        other => Distrust::Handshake(other.to_string()),
    };
    Error::NotPinned { server, distrust }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a foreign, open enum: what is not named here needs no words of its own"
)]
fn from_certificate(fault: &CertificateError) -> Distrust {
    let unknown = || "an unknown time".to_owned();
    let at = |time: &UnixTime| clock::text(*time);
    match fault {
        CertificateError::Expired => Distrust::Expired { not_after: unknown(), now: unknown() },
        CertificateError::ExpiredContext { time, not_after } => {
            Distrust::Expired { not_after: at(not_after), now: at(time) }
        }
        CertificateError::NotValidYet => {
            Distrust::NotValidYet { not_before: unknown(), now: unknown() }
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            Distrust::NotValidYet { not_before: at(not_before), now: at(time) }
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Distrust::UnknownIssuer,
        CertificateError::NotValidForNameContext { expected, presented } => Distrust::WrongName {
            expected: expected.to_str().into_owned(),
            presented: presented.join(", "),
        },
        other => Distrust::Unacceptable(other.to_string()),
    }
}
