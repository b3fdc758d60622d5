//! What a client certificate proves at the handshake: possession of its key, and nothing else.
//!
//! The request names no CAs and any certificate is taken, however odd, because TLS stacks send old
//! ones by themselves and most routes need none. Which certificate is good for what, the registry
//! says at every request. Only [`possessed`] turns a certificate into an identity.
//!
//! A key of a kind that cannot be verified here (RSA of 1024 bits, a foreign curve) proves nothing:
//! the handshake goes on as if no certificate had come. That is safe on resumed connections too,
//! because whether a key can be verified is read from the certificate alone, each time, and a key
//! that can be has always been.

use aws_lc_rs::digest::{SHA256, digest};
use cvm_core::id::CertificateId;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime, alg_id};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

/// RSA moduli that the provider verifies with, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// The identity that the peer of a finished handshake has proven, if it has.
pub(crate) fn possessed(
    chain: Option<&[CertificateDer<'_>]>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Option<CertificateId> {
    let leaf = chain?.first()?;
    VerifiableKey::of(leaf, algorithms)?;
    digest(&SHA256, leaf).as_ref().try_into().ok().map(CertificateId)
}

/// Asks for a certificate, demands none, trusts no CA, and verifies possession.
#[derive(Debug)]
pub(crate) struct PossessionVerifier {
    algorithms: WebPkiSupportedAlgorithms,
    chain_bytes_max: usize,
}

impl PossessionVerifier {
    pub(crate) fn new(algorithms: WebPkiSupportedAlgorithms, chain_bytes_max: usize) -> Self {
        Self { algorithms, chain_bytes_max }
    }
}

impl ClientCertVerifier for PossessionVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // The chain is kept as long as the connection, and travels in its tickets.
        let bytes = leaf.len() + others.iter().map(|other| other.len()).sum::<usize>();
        if bytes > self.chain_bytes_max {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Some(key) = VerifiableKey::of(certificate, &self.algorithms) else {
            return Ok(HandshakeSignatureValid::assertion());
        };
        let mapping = self.algorithms.mapping.iter();
        let fitting = mapping
            .filter(|(scheme, _)| *scheme == signed.scheme)
            .flat_map(|(_, algorithms)| algorithms.iter())
            .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == key.algorithm);
        for algorithm in fitting {
            if algorithm.verify_signature(key.public_key, message, signed.signature()).is_ok() {
                return Ok(HandshakeSignatureValid::assertion());
            }
        }
        Err(CertificateError::BadSignature.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Some(key) = VerifiableKey::of(certificate, &self.algorithms) else {
            return Ok(HandshakeSignatureValid::assertion());
        };
        let spki = SubjectPublicKeyInfoDer::from(key.spki);
        verify_tls13_signature_with_raw_key(message, &spki, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A certificate's key, if it is of a kind whose signatures can be verified here.
pub(crate) struct VerifiableKey<'a> {
    spki: &'a [u8],
    /// The contents of its `AlgorithmIdentifier`.
    pub(crate) algorithm: &'a [u8],
    pub(crate) public_key: &'a [u8],
}

impl<'a> VerifiableKey<'a> {
    fn of(certificate: &'a [u8], algorithms: &WebPkiSupportedAlgorithms) -> Option<Self> {
        let key = Self::read(certificate)?;
        let is_known =
            |id: &[u8]| algorithms.all.iter().any(|a| a.public_key_alg_id().as_ref() == id);
        let is_strong = key.algorithm != alg_id::RSA_ENCRYPTION.as_ref()
            || rsa_bits(key.public_key).is_some_and(|bits| RSA_BITS.contains(&bits));
        (is_known(key.algorithm) && is_strong).then_some(key)
    }

    /// RFC 5280 §4.1: down to `subjectPublicKeyInfo`, looking at nothing else.
    pub(crate) fn read(certificate: &'a [u8]) -> Option<Self> {
        let (certificate, _) = Der::read(certificate)?;
        let (tbs, _) = Der::read(certificate.contents_of(0x30)?)?;
        let mut rest = tbs.contents_of(0x30)?;
        if rest.first() == Some(&0xA0) {
            (_, rest) = Der::read(rest)?;
        }
        // serialNumber, signature, issuer, validity, subject.
        for _ in 0..5 {
            (_, rest) = Der::read(rest)?;
        }
        let (spki, _) = Der::read(rest)?;
        let (algorithm, rest) = Der::read(spki.contents_of(0x30)?)?;
        let (bits, _) = Der::read(rest)?;
        let public_key = bits.contents_of(0x03)?.strip_prefix(&[0])?;
        Some(Self { spki: spki.whole, algorithm: algorithm.contents_of(0x30)?, public_key })
    }
}

fn rsa_bits(public_key: &[u8]) -> Option<usize> {
    let (sequence, _) = Der::read(public_key)?;
    let (modulus, _) = Der::read(sequence.contents_of(0x30)?)?;
    let bytes = modulus.contents_of(0x02)?;
    let leading = bytes.iter().take_while(|byte| **byte == 0).count();
    let significant = bytes.get(leading..)?;
    let first = significant.first()?;
    let unused = usize::try_from(first.leading_zeros()).ok()?;
    (significant.len() * 8).checked_sub(unused)
}

/// One DER value.
struct Der<'a> {
    tag: u8,
    contents: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Der<'a> {
    /// The first value and what follows it.
    fn read(input: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (tag, rest) = input.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match *first {
            short @ 0..=0x7F => (usize::from(short), rest),
            long @ 0x81..=0x83 => {
                let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7F))?;
                (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        let whole = input.get(..input.len() - rest.len())?;
        Some((Self { tag: *tag, contents, whole }, rest))
    }

    fn contents_of(&self, tag: u8) -> Option<&'a [u8]> {
        (self.tag == tag).then_some(self.contents)
    }
}

#[cfg(test)]
mod tests;
