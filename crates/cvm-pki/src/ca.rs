//! Our CAs: created, imported, loaded; each a certificate with the key that fits it.

use cvm_core::certificate::IssuerId;
use cvm_core::id::hex;
use cvm_core::key::KeyAlgorithm;
use cvm_core::time::{Span, Timestamp};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;

use crate::approved::SigningAlgorithm;
use crate::ca_key::CaKey;
use crate::entropy::random;
use crate::error::PkiError;
use crate::issue::{Signer, approve, subject_name};
use crate::key::SubjectKey;
use crate::lint::Profile;
use crate::remote_key::unfit_key;
use crate::weak::RsaJudge;
use crate::{der, pem, profile, signature};

/// CAs begin a day before they are made: leaves are backdated, and clocks are wrong.
const BACKDATE: Span = Span::DAY;

/// A certificate of ours and what others need of it.
#[derive(Clone, Debug)]
pub(crate) struct CaCertificate {
    pub(crate) der: Vec<u8>,
    /// The subject, DER.
    pub(crate) name: Vec<u8>,
    /// The issuer, DER.
    pub(crate) issuer: Vec<u8>,
    pub(crate) id: IssuerId,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// A CA that can sign.
#[derive(Debug)]
pub(crate) struct Authority<K = CaKey> {
    pub(crate) certificate: CaCertificate,
    pub(crate) key: K,
}

impl CaCertificate {
    /// Reads a certificate of ours, or one that we certified; `name` says which, for the error.
    pub(crate) fn read(name: &'static str, der: &[u8]) -> Result<Self, PkiError> {
        let parsed = parse(name, der)?;
        let id = key_identifier(&parsed)
            .ok_or_else(|| PkiError::certificate(name, "it has no key identifier of 20 octets"))?;
        Ok(Self {
            der: der.to_vec(),
            name: parsed.subject().as_raw().to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
            id: IssuerId(id),
            not_before: Timestamp(parsed.validity().not_before.timestamp()),
            not_after: Timestamp(parsed.validity().not_after.timestamp()),
        })
    }

    /// Reads every certificate of a PEM file, in its order; there is at least one.
    pub(crate) fn read_pem_bundle(name: &'static str, text: &str) -> Result<Vec<Self>, PkiError> {
        let blocks = pem::all(text).map_err(|problem| PkiError::certificate(name, problem))?;
        if blocks.is_empty() {
            return Err(PkiError::certificate(name, "it has no PEM block CERTIFICATE"));
        }
        let read = |(label, der): &pem::Labelled<'_>| match *label {
            "CERTIFICATE" => Self::read(name, der),
            _ => Err(PkiError::certificate(name, "a PEM block is not a CERTIFICATE")),
        };
        blocks.iter().map(read).collect()
    }

    /// Reads the one certificate of a PEM file.
    pub(crate) fn read_pem(name: &'static str, text: &str) -> Result<Self, PkiError> {
        let (label, der) =
            pem::single(text).map_err(|problem| PkiError::certificate(name, problem))?;
        if label != "CERTIFICATE" {
            return Err(PkiError::certificate(name, "the PEM block is not a CERTIFICATE"));
        }
        Self::read(name, &der)
    }

    /// The facts that certificates under this one repeat.
    pub(crate) fn signer(&self, algorithm: SigningAlgorithm) -> Signer<'_> {
        Signer { algorithm, name: &self.name, id: self.id, not_after: self.not_after }
    }

    pub(crate) fn pem(&self) -> String {
        pem::certificate(&self.der)
    }

    /// Whether `issuer` signed this; files are in an operator's hands, keys in the vault.
    pub(crate) fn verify_signed_by(
        &self,
        issuer: &Self,
        name: &'static str,
    ) -> Result<(), PkiError> {
        let verify = || {
            let key = public_key_of(name, &issuer.der).ok()?;
            let mut outer = der::single(&self.der, der::SEQUENCE, "").ok()?;
            let (tbs, algorithm) = (outer.any().ok()?, outer.any().ok()?);
            let (_, signature) = outer.any().ok()?.content.split_first()?;
            signature::verify(&key, algorithm.content, tbs.raw, signature).ok()
        };
        verify().filter(|()| self.issuer == issuer.name).ok_or_else(|| Self::not_ours(name))
    }

    pub(crate) fn not_ours(name: &'static str) -> PkiError {
        PkiError::certificate(name, "it was not signed by root-ca.pem")
    }

    /// Whether `key` is the key that is certified here.
    pub(crate) fn fits(&self, key: &CaKey) -> bool {
        parse("CA", &self.der).is_ok_and(|c| c.public_key().raw == key.public().spki())
    }
}

fn parse<'a>(name: &'static str, der: &'a [u8]) -> Result<X509Certificate<'a>, PkiError> {
    match X509Certificate::from_der(der) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err(PkiError::certificate(name, "it is not a certificate in DER")),
    }
}

/// The key that a certificate certifies.
pub(crate) fn public_key_of(name: &'static str, der: &[u8]) -> Result<SubjectKey, PkiError> {
    SubjectKey::read(spki_of(name, der)?)
        .map_err(|error| PkiError::certificate(name, error.to_string()))
}

/// The `SubjectPublicKeyInfo` of a certificate.
pub(crate) fn spki_of<'a>(name: &'static str, der: &'a [u8]) -> Result<&'a [u8], PkiError> {
    Ok(parse(name, der)?.tbs_certificate.subject_pki.raw)
}

/// RFC 5280 §4.2.1.2; the path of a CRL has room for 20 octets.
fn key_identifier(certificate: &X509Certificate<'_>) -> Option<[u8; 20]> {
    certificate.extensions().iter().find_map(|extension| {
        if let ParsedExtension::SubjectKeyIdentifier(id) = extension.parsed_extension() {
            id.0.try_into().ok()
        } else {
            None
        }
    })
}

impl Authority {
    /// A new root.
    pub(crate) fn create_root(now: Timestamp) -> Result<Self, PkiError> {
        let key = CaKey::generate(KeyAlgorithm::EcP256)?;
        let public = key.public();
        let (not_before, not_after) = life(now, profile::ROOT_LIFE);
        // A suffix of its own, so that two installations' roots are told apart in a trust store.
        let name = format!("CVM Root CA {}", hex(&random::<4>()));
        let params = profile::root(&name, not_before, not_after)?;
        let der_name = subject_name(&params, &public)?;
        let id = IssuerId(public.key_identifier());
        let signer = Signer { algorithm: key.algorithm(), name: &der_name, id, not_after };
        let der = approve(params, &public, Profile::Root, &signer)?.sign(&key)?;
        Ok(Self { certificate: CaCertificate::read("the root", &der)?, key })
    }

    /// A new CA for devices, under this root.
    pub(crate) fn create_devices(&self, now: Timestamp) -> Result<Self, PkiError> {
        let key = CaKey::generate(KeyAlgorithm::EcP256)?;
        let certificate = self.certify_devices(&key.public(), now)?;
        Ok(Self { certificate, key })
    }

    /// The certificate of a new CA for devices that has this key.
    pub(crate) fn certify_devices(
        &self,
        key: &SubjectKey,
        now: Timestamp,
    ) -> Result<CaCertificate, PkiError> {
        let purpose = ExtendedKeyUsagePurpose::ClientAuth;
        self.certify_ca("CVM Devices CA", Profile::DevicesCa, purpose, key, now)
    }

    /// A new CA for our own listeners, under this root.
    pub(crate) fn create_servers(&self, now: Timestamp) -> Result<Self, PkiError> {
        let key = CaKey::generate(KeyAlgorithm::EcP256)?;
        let (profile, purpose) = (Profile::ServersCa, ExtendedKeyUsagePurpose::ServerAuth);
        let certificate =
            self.certify_ca("CVM Servers CA", profile, purpose, &key.public(), now)?;
        Ok(Self { certificate, key })
    }

    fn certify_ca(
        &self,
        name: &str,
        profile: Profile,
        purpose: ExtendedKeyUsagePurpose,
        key: &SubjectKey,
        now: Timestamp,
    ) -> Result<CaCertificate, PkiError> {
        let name = format!("{name} {}", hex(&random::<4>()));
        let (not_before, not_after) = life(now, profile::CA_LIFE);
        let params = profile::ca(&name, purpose, not_before, self.cut(not_after))?;
        CaCertificate::read("the new CA", &self.certify(params, key, profile)?)
    }

    /// Certifies the journal's key, as long as the root lives.
    pub(crate) fn certify_journal(&self, key: &CaKey, now: Timestamp) -> Result<Vec<u8>, PkiError> {
        let name = format!("CVM Journal {}", hex(&random::<4>()));
        let not_after = self.certificate.not_after;
        let params = profile::journal(&name, now.minus(BACKDATE), not_after)?;
        self.certify(params, &key.public(), Profile::Journal)
    }

    /// A CA whose key and certificate fit.
    pub(crate) fn load(certificate: CaCertificate, key: CaKey) -> Result<Self, PkiError> {
        if certificate.fits(&key) {
            Ok(Self { certificate, key })
        } else {
            Err(PkiError::PrivateKey("it is not the key of the certificate"))
        }
    }

    /// An operator's CA as the `devices` CA: it may sign devices, with a key that we would take.
    pub(crate) fn import(
        certificate_pem: &str,
        key_pem: &str,
        now: Timestamp,
    ) -> Result<Self, PkiError> {
        const NAME: &str = "the CA to import";
        let blocks = pem::all(certificate_pem).map_err(PkiError::Import)?;
        let mut certificates = blocks.iter().filter(|(label, _)| *label == "CERTIFICATE");
        let (_, der) =
            certificates.next().ok_or(PkiError::Import("the file has no certificate"))?;
        judge_import(&parse(NAME, der)?, now)?;
        let key = CaKey::from_pem(key_pem)?;
        Self::load(CaCertificate::read(NAME, der)?, key)
    }

    pub(crate) fn certify(
        &self,
        params: CertificateParams,
        key: &SubjectKey,
        profile: Profile,
    ) -> Result<Vec<u8>, PkiError> {
        let signer = self.certificate.signer(self.key.algorithm());
        approve(params, key, profile, &signer)?.sign(&self.key)
    }
}

impl<K> Authority<K> {
    /// A certificate ends with its CA at the latest.
    pub(crate) fn cut(&self, not_after: Timestamp) -> Timestamp {
        not_after.min(self.certificate.not_after)
    }
}

fn life(now: Timestamp, life: Span) -> (Timestamp, Timestamp) {
    (now.minus(BACKDATE), now.plus(life))
}

/// RFC 5280 §6.1.4 (k) to (n), and the purpose: every verifier would refuse its leaves otherwise.
fn judge_import(certificate: &X509Certificate<'_>, now: Timestamp) -> Result<(), PkiError> {
    let fail = |problem| Err(PkiError::Import(problem));
    match certificate.basic_constraints() {
        Ok(Some(constraints)) if constraints.value.ca => {}
        _ => return fail("it is no CA (basicConstraints)"),
    }
    match certificate.key_usage() {
        Ok(Some(usage)) if !usage.value.key_cert_sign() => {
            return fail("its keyUsage does not allow signing certificates (keyCertSign)");
        }
        Ok(Some(usage)) if !usage.value.crl_sign() => {
            return fail("its keyUsage does not allow signing CRLs (cRLSign)");
        }
        Ok(_) => {}
        Err(_) => return fail("its keyUsage cannot be read"),
    }
    match certificate.extended_key_usage() {
        Ok(Some(usage)) if !usage.value.client_auth && !usage.value.any => {
            return fail("its extendedKeyUsage leaves out clientAuth");
        }
        Ok(_) => {}
        Err(_) => return fail("its extendedKeyUsage cannot be read"),
    }
    judge_import_extensions(certificate)?;
    if certificate.validity().not_after.timestamp() <= now.0 {
        return fail("it has expired");
    }
    if certificate.validity().not_before.timestamp() > now.0 {
        return fail("it is not valid yet");
    }
    if key_identifier(certificate).is_none() {
        return fail("it has no subjectKeyIdentifier of 20 octets (RFC 5280 §4.2.1.2)");
    }
    let key = SubjectKey::read(certificate.public_key().raw).map_err(|_| unfit_key())?;
    if key.modulus.is_some_and(|modulus| RsaJudge::new().judge(&modulus).is_err()) {
        return fail("its RSA key is weak: make a new CA");
    }
    Ok(())
}

/// RFC 5280 §4.2: a verifier refuses what stands under a critical extension that it does not know,
/// and §4.2.1.10: under name constraints that the names of our leaves do not keep.
fn judge_import_extensions(certificate: &X509Certificate<'_>) -> Result<(), PkiError> {
    for extension in certificate.extensions() {
        let parsed = extension.parsed_extension();
        if matches!(parsed, ParsedExtension::NameConstraints(_)) {
            return Err(PkiError::Import(
                "it has nameConstraints, which devices' names would break: use a CA without",
            ));
        }
        let is_known_to_all = matches!(
            parsed,
            ParsedExtension::BasicConstraints(_)
                | ParsedExtension::CertificatePolicies(_)
                | ParsedExtension::ExtendedKeyUsage(_)
                | ParsedExtension::KeyUsage(_)
                | ParsedExtension::SubjectAlternativeName(_)
        );
        if extension.critical && !is_known_to_all {
            return Err(PkiError::Import(
                "it has a critical extension that verifiers of devices may not know",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
