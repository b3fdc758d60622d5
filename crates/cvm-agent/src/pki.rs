//! Certificates as the device side needs them: out of PEM, into PEM, and up to a root.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::keys::DeviceKey;

/// A bundle with more is not one of ours.
const CERTIFICATES_MAX: usize = 64;
/// RFC 7468, section 2.
const PEM_LINE: usize = 64;

/// The certificates in a PEM text, in order; other sections are skipped.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(pem).take(CERTIFICATES_MAX + 1).collect();
    let found = found.map_err(|fault| format!("is not PEM: {fault}"))?;
    match found.len() {
        0 => Err("holds no certificate".to_owned()),
        1..=CERTIFICATES_MAX => Ok(found),
        _ => Err(format!("holds more than {CERTIFICATES_MAX} certificates")),
    }
}

/// PEM, one section after the other.
pub(crate) fn to_pem(certificates: &[CertificateDer<'_>]) -> String {
    let mut pem = String::new();
    for certificate in certificates {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut rest = STANDARD.encode(certificate);
        while !rest.is_empty() {
            let tail = rest.split_off(rest.len().min(PEM_LINE));
            pem.push_str(&rest);
            pem.push('\n');
            rest = tail;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}

/// Why a certificate is not the one we asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChainError {
    #[error("the certificate is for another key than ours")]
    AnotherKey,
    #[error("the certificate leads neither to the pinned root nor to the CA it came with: {0}")]
    NoPath(String),
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
}

/// The root among `roots` under which `leaf` stands as a client certificate for the key `spki`, by
/// way of `chain`.
///
/// `None` where it stands under the CA it came with instead: the pinned root proves the server, and
/// an operator may have devices signed by a CA of their own. `None` too where it came with no CA at
/// all, as from AWS IoT, which shows nobody by whom it has signed; its key and its life are judged.
pub(crate) fn verify<'r>(
    leaf: &CertificateDer<'_>,
    chain: &[CertificateDer<'_>],
    roots: &'r [CertificateDer<'static>],
    spki: &[u8],
    now: UnixTime,
) -> Result<Option<&'r CertificateDer<'static>>, ChainError> {
    let parsed =
        EndEntityCert::try_from(leaf).map_err(|fault| ChainError::Unreadable(fault.to_string()))?;
    if parsed.subject_public_key_info().as_ref() != spki {
        return Err(ChainError::AnotherKey);
    }
    let stands_under = |root: &CertificateDer<'_>| {
        anchor_from_trusted_cert(root).and_then(|anchor| {
            let (algorithms, usage) = (webpki::ALL_VERIFICATION_ALGS, KeyUsage::client_auth());
            let anchors = [anchor];
            parsed.verify_for_usage(algorithms, &anchors, chain, now, usage, None, None).map(|_| ())
        })
    };
    let (mut fault, mut is_of_nobody_known) = ("no root is pinned".to_owned(), false);
    for root in roots {
        match stands_under(root) {
            Ok(()) => return Ok(Some(root)),
            Err(error) => {
                // webpki looks at validity and usage before it looks for an issuer.
                is_of_nobody_known = error == webpki::Error::UnknownIssuer;
                fault = error.to_string();
            }
        }
    }
    let is_shown_none = chain.is_empty() && is_of_nobody_known;
    if is_shown_none || chain.iter().any(|issuer| stands_under(issuer).is_ok()) {
        return Ok(None);
    }
    Err(ChainError::NoPath(fault))
}

/// Whether a certificate is for a key.
pub(crate) fn is_for(certificate: &CertificateDer<'_>, key: &DeviceKey) -> bool {
    EndEntityCert::try_from(certificate).is_ok_and(|parsed| {
        parsed.subject_public_key_info().as_ref() == key.public_key_der().as_slice()
    })
}

/// Whether a certificate is one of a CA (RFC 5280, section 4.2.1.9), expired or not.
pub(crate) fn is_ca(certificate: &CertificateDer<'_>) -> bool {
    let Ok(parsed) = EndEntityCert::try_from(certificate) else {
        return false;
    };
    let Ok(anchor) = anchor_from_trusted_cert(certificate) else {
        return false;
    };
    // webpki tells by refusing a CA's certificate as that of an end entity, after its validity.
    let fault_at = |seconds| {
        let (algorithms, usage) = (webpki::ALL_VERIFICATION_ALGS, KeyUsage::client_auth());
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        parsed
            .verify_for_usage(algorithms, std::slice::from_ref(&anchor), &[], at, usage, None, None)
            .map(|_| ())
            .err()
    };
    let fault = match fault_at(0) {
        Some(webpki::Error::CertNotValidYet { not_before, .. }) => fault_at(not_before.as_secs()),
        other => other,
    };
    fault == Some(webpki::Error::CaUsedAsEndEntity)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(is_ca: IsCa, until: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.is_ca = is_ca;
        params.not_before = date_time_ymd(2010, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_ca_is_told_by_its_certificate_whatever_the_time() {
        for until in [2011, 2100] {
            let ca = IsCa::Ca(BasicConstraints::Unconstrained);
            assert!(is_ca(&certificate(ca, until)), "{until}");
            let ca = IsCa::Ca(BasicConstraints::Constrained(0));
            assert!(is_ca(&certificate(ca, until)), "{until}");
            assert!(!is_ca(&certificate(IsCa::NoCa, until)), "{until}");
            assert!(!is_ca(&certificate(IsCa::ExplicitNoCa, until)), "{until}");
        }
        assert!(!is_ca(&CertificateDer::from(vec![0x30, 0])));
    }

    #[test]
    fn a_certificate_is_for_the_key_in_it() {
        let key = DeviceKey::generate(crate::keys::KeyAlgorithm::EcP256).unwrap();
        let other = DeviceKey::generate(crate::keys::KeyAlgorithm::EcP256).unwrap();
        let leaf = CertificateParams::default().self_signed(&key).unwrap();
        assert!(is_for(leaf.der(), &key));
        assert!(!is_for(leaf.der(), &other));
    }
}
