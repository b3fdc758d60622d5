//! Rules for the fields before the extensions (RFC 5280 §4.1).

use x509_parser::x509::{AttributeTypeAndValue, X509Version};

use super::{Profile, Subject, ensure};
use crate::der::{self, Element};
use crate::{key, oid};

/// §4.1: a certificate is encoded in DER.
pub(super) fn encoding(subject: &Subject<'_>) -> Result<(), &'static str> {
    der::check(subject.fields.whole).map_err(|error| error.0)
}

/// §4.1.2.1: with extensions, the version is 3.
pub(super) fn version(subject: &Subject<'_>) -> Result<(), &'static str> {
    ensure(subject.tbs.version() == X509Version::V3, "the version is not 3")
}

/// §4.1.2.2: positive, at most 20 octets; and at least 128 random bits, so that nobody can choose
/// what is signed (CA/Browser Forum BR §7.1 asks for 64). 17 octets are the shortest we write, and
/// the first of them is a CRL shard: never zero.
pub(super) fn serial_number(subject: &Subject<'_>) -> Result<(), &'static str> {
    let serial = subject.fields.serial;
    ensure(serial.len() <= 20, "the serial number has more than 20 octets")?;
    ensure(serial.first().is_some_and(|octet| octet & 0x80 == 0), "the serial number is negative")?;
    ensure(serial.len() >= 17, "the serial number has less than 128 random bits")
}

/// §4.1.2.3: the signature algorithm is the one that the CA's key is used with.
pub(super) fn signature_algorithm(subject: &Subject<'_>) -> Result<(), &'static str> {
    ensure(
        subject.tbs.signature.algorithm.as_bytes() == subject.facts.signature_algorithm,
        "the signature algorithm is not the issuer's",
    )
}

/// §4.1.2.4 and §7.1: the issuer is not empty, and byte for byte the CA's subject; of the root,
/// its own.
pub(super) fn issuer(subject: &Subject<'_>) -> Result<(), &'static str> {
    let issuer = subject.fields.issuer;
    ensure(issuer.len() > 2, "the issuer is empty")?;
    ensure(issuer == subject.facts.issuer_name, "the issuer is not the CA's subject")?;
    let is_self_issued = subject.tbs.subject.as_raw() == issuer;
    ensure(
        is_self_issued == (subject.facts.profile == Profile::Root),
        "issuer and subject are the same, or differ in a root",
    )
}

/// §4.1.2.5: `UTCTime` through 2049, `GeneralizedTime` from 2050, in UTC, with seconds and without
/// fractions.
pub(super) fn validity_form(subject: &Subject<'_>) -> Result<(), &'static str> {
    time_form(&subject.fields.not_before, subject.tbs.validity.not_before)?;
    time_form(&subject.fields.not_after, subject.tbs.validity.not_after)
}

pub(super) fn time_form(
    element: &Element<'_>,
    time: x509_parser::time::ASN1Time,
) -> Result<(), &'static str> {
    let (tag, length) = match time.to_datetime().year() {
        1950..=2049 => (der::UTC_TIME, "YYMMDDHHMMSSZ".len()),
        2050..=9999 => (der::GENERALIZED_TIME, "YYYYMMDDHHMMSSZ".len()),
        _ => return Err("a time before 1950"),
    };
    ensure(element.tag == tag, "a time has the type of the other half of the century")?;
    let digits = element.content.strip_suffix(b"Z").ok_or("a time is not in UTC")?;
    ensure(
        element.content.len() == length && digits.iter().all(u8::is_ascii_digit),
        "a time is not in whole seconds",
    )
}

/// §4.1.2.5: it begins before it ends; and it does not outlive its CA, whose end would be its own.
pub(super) fn validity_order(subject: &Subject<'_>) -> Result<(), &'static str> {
    let validity = &subject.tbs.validity;
    let (begin, end) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    ensure(begin < end, "notAfter is not after notBefore")?;
    ensure(end <= subject.facts.issuer_not_after.0, "it outlives its CA")
}

/// §4.1.2.6 and the upper bounds of Appendix A.1: a CA has a name; an attribute stands once, is not
/// longer than allowed, and has the type of string that it must have.
pub(super) fn subject(subject: &Subject<'_>) -> Result<(), &'static str> {
    let may_be_empty = matches!(subject.facts.profile, Profile::Leaf | Profile::Server);
    ensure(may_be_empty || !subject.fields.subject.is_empty(), "a CA without a name")?;
    let mut seen = Vec::new();
    for attribute in subject.tbs.subject.iter_attributes() {
        let name = attribute.attr_type().as_bytes();
        ensure(!seen.contains(&name), "a subject attribute stands twice")?;
        seen.push(name);
        attribute_form(name, attribute)?;
    }
    Ok(())
}

fn attribute_form(name: &[u8], attribute: &AttributeTypeAndValue<'_>) -> Result<(), &'static str> {
    let text = attribute.as_str().map_err(|_| "a subject attribute is not text")?;
    ensure(
        (1..=64).contains(&text.chars().count()),
        "a subject attribute has not 1 to 64 characters",
    )?;
    let tag = attribute.attr_value().tag().0;
    match name {
        oid::COMMON_NAME | oid::ORGANIZATION => {
            ensure(tag == u32::from(der::UTF8_STRING), "a name is not a UTF8String (§4.1.2.4)")
        }
        // X.520: serialNumber is a PrintableString.
        oid::SERIAL_NUMBER => ensure(
            tag == 0x13 && text.bytes().all(is_printable),
            "serialNumber is not a PrintableString",
        ),
        _ => Err("a subject attribute that we do not write"),
    }
}

/// X.680 §41.4.
pub(crate) fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}

/// §4.1.2.7 with RFC 5480, RFC 8410, RFC 3279: a kind of key that we certify, in its normal form.
pub(super) fn public_key(subject: &Subject<'_>) -> Result<(), &'static str> {
    let (kind, bits) =
        key::split(subject.fields.spki).map_err(|_| "a kind of key that we refuse")?;
    let normal = key::SubjectKey { kind, bits: bits.to_vec(), modulus: None };
    ensure(normal.spki() == subject.fields.spki, "the key is not in its normal form")?;
    let is_point = match kind {
        key::KeyKind::P256 => bits.first() == Some(&4) && bits.len() == 65,
        key::KeyKind::P384 => bits.first() == Some(&4) && bits.len() == 97,
        key::KeyKind::Ed25519 => bits.len() == 32,
        key::KeyKind::Rsa => bits.len() > 256,
    };
    ensure(is_point, "the key has a wrong length")
}
