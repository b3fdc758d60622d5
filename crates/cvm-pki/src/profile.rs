//! Certificate profiles: what each kind of certificate contains.
//!
//! The profiles say it once here for writing and once in [`crate::lint`] for checking.

use cvm_core::certificate::shard_of;
use cvm_core::id::hex;
use cvm_core::ports::LeafTemplate;
use cvm_core::time::{Span, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, CustomExtension, DistinguishedName,
    DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SerialNumber,
};
use time::OffsetDateTime;

use crate::entropy::random;
use crate::error::PkiError;
use crate::host::Host;
use crate::{der, oid};

/// Contract, section 6: root 20 years, issuing CA 5 years, server certificate 90 days.
pub(crate) const ROOT_LIFE: Span = Span(20 * 365 * Span::DAY.0);
pub(crate) const CA_LIFE: Span = Span(5 * 365 * Span::DAY.0);
pub(crate) const SERVER_LIFE: Span = Span(90 * Span::DAY.0);
/// The longest that a serial number or a name in a subject may be (RFC 5280 Appendix A.1).
const NAME_CHARACTERS_MAX: usize = 64;

/// A certificate's serial number: 17 octets, the first of them uniformly one of 1 to 255.
///
/// More than 128 random bits (log2 255 + 128). It is kept as a magnitude, without leading zero;
/// where the first octet has its top bit, DER puts a zero before it, and 18 octets stand in the
/// certificate, within the 20 of RFC 5280 §4.1.2.2. The first octet *of the magnitude*, which is
/// what `openssl x509 -serial` prints first, is the CRL shard; shard 00 stays empty.
pub(crate) fn serial_number() -> [u8; 17] {
    loop {
        let serial = random::<17>();
        if serial.first() != Some(&0) {
            return serial;
        }
    }
}

/// RFC 5280 §4.1.2.5.2 ends with the year 9999; beyond it nothing is written.
pub(crate) fn moment(time: Timestamp) -> Result<OffsetDateTime, PkiError> {
    OffsetDateTime::from_unix_timestamp(time.0)
        .map_err(|_| PkiError::Lint("a time is out of range".to_owned()))
}

fn empty(
    serial: &[u8],
    not_before: Timestamp,
    not_after: Timestamp,
) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from_slice(serial));
    params.not_before = moment(not_before)?;
    params.not_after = moment(not_after)?;
    Ok(params)
}

/// A device's certificate.
pub(crate) fn leaf(
    template: &LeafTemplate<'_>,
    serial: &[u8],
    not_after: Timestamp,
    crl_base: &str,
) -> Result<CertificateParams, PkiError> {
    let mut params = empty(serial, template.not_before, not_after)?;
    let (name, number) = (template.thing_name.as_str(), template.serial_number.as_str());
    if name.len() <= NAME_CHARACTERS_MAX {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    // X.520 §6.2.9: a PrintableString; `_` is the one character of ours that it lacks.
    if number.len() <= NAME_CHARACTERS_MAX
        && let Ok(printable) = number.try_into()
    {
        let value = DnValue::PrintableString(printable);
        params.distinguished_name.push(DnType::from_oid(oid::SERIAL_NUMBER_ARCS), value);
    }
    let is_nameless = params.distinguished_name.iter().next().is_none();
    params.custom_extensions.push(alternative_names(&[permanent_identifier(number)], is_nameless));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.crl_distribution_points =
        vec![CrlDistributionPoint { uris: vec![crl_url(crl_base, shard_of(serial))] }];
    Ok(params)
}

/// Where the CRL of a shard is found.
pub(crate) fn crl_url(crl_base: &str, shard: u8) -> String {
    format!("{crl_base}{shard:02x}.crl")
}

/// What stands before `<shard>.crl` in every leaf of a CA.
pub(crate) fn crl_base(crl_url: &str, issuer: &[u8]) -> String {
    format!("{}/v1/crl/{}/", crl_url.trim_end_matches('/'), hex(issuer))
}

/// The certificate of our own listeners.
pub(crate) fn server(
    hosts: &[Host],
    serial: &[u8],
    not_before: Timestamp,
    not_after: Timestamp,
) -> Result<CertificateParams, PkiError> {
    let mut params = empty(serial, not_before, not_after)?;
    let first = hosts.iter().find_map(|host| match host {
        Host::Dns(name) if name.len() <= NAME_CHARACTERS_MAX => Some(name.as_str()),
        Host::Dns(_) | Host::Ip(_) => None,
    });
    if let Some(name) = first {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    let names: Vec<Vec<u8>> = hosts.iter().map(host_name).collect();
    params.custom_extensions.push(alternative_names(&names, first.is_none()));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

/// The signer of the journal's checkpoints. Its purpose (RFC 9336) keeps TLS from taking it.
pub(crate) fn journal(
    name: &str,
    not_before: Timestamp,
    not_after: Timestamp,
) -> Result<CertificateParams, PkiError> {
    let mut params = named(name, not_before, not_after)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::Other(oid::DOCUMENT_SIGNING_ARCS.to_vec())];
    Ok(params)
}

/// The root: no path length and no purpose, so that what stands under it can change.
pub(crate) fn root(
    name: &str,
    not_before: Timestamp,
    not_after: Timestamp,
) -> Result<CertificateParams, PkiError> {
    let mut params = named(name, not_before, not_after)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// A CA under the root: it signs end entities for one purpose.
pub(crate) fn ca(
    name: &str,
    purpose: ExtendedKeyUsagePurpose,
    not_before: Timestamp,
    not_after: Timestamp,
) -> Result<CertificateParams, PkiError> {
    let mut params = root(name, not_before, not_after)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.extended_key_usages = vec![purpose];
    Ok(params)
}

fn named(
    name: &str,
    not_before: Timestamp,
    not_after: Timestamp,
) -> Result<CertificateParams, PkiError> {
    let mut params = empty(&serial_number(), not_before, not_after)?;
    params.distinguished_name.push(DnType::OrganizationName, "CVM");
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

/// RFC 5280 §4.2.1.6: critical where the subject is empty.
fn alternative_names(names: &[Vec<u8>], is_critical: bool) -> CustomExtension {
    let parts: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let content = der::element(der::SEQUENCE, &parts);
    let mut extension = CustomExtension::from_oid_content(oid::SUBJECT_ALT_NAME_ARCS, content);
    extension.set_criticality(is_critical);
    extension
}

/// RFC 4043 §2, as `otherName [0]`: the value alone, no assigner.
fn permanent_identifier(value: &str) -> Vec<u8> {
    let value = der::element(der::UTF8_STRING, &[value.as_bytes()]);
    let identifier = der::element(der::SEQUENCE, &[&value]);
    let name = der::element(der::OBJECT_IDENTIFIER, &[oid::PERMANENT_IDENTIFIER]);
    der::element(0xA0, &[&name, &der::element(0xA0, &[&identifier])])
}

/// `dNSName [2]` or `iPAddress [7]`.
fn host_name(host: &Host) -> Vec<u8> {
    match host {
        Host::Dns(name) => der::element(0x82, &[name.as_bytes()]),
        Host::Ip(std::net::IpAddr::V4(address)) => der::element(0x87, &[&address.octets()]),
        Host::Ip(std::net::IpAddr::V6(address)) => der::element(0x87, &[&address.octets()]),
    }
}
