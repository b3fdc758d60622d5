//! Rules for the extensions (RFC 5280 §4.2).

use cvm_core::id::hex;
use x509_parser::extensions::{
    BasicConstraints, DistributionPointName, ExtendedKeyUsage, GeneralName, ParsedExtension,
    X509Extension,
};

use super::{Profile, Subject, ensure};
use crate::der::{self, Reader};
use crate::{key, oid};

/// §4.2: no extension stands twice.
pub(super) fn once(subject: &Subject<'_>) -> Result<(), &'static str> {
    each_once(subject.tbs.extensions())
}

pub(super) fn each_once(extensions: &[X509Extension<'_>]) -> Result<(), &'static str> {
    let is_twice = extensions.iter().enumerate().any(|(index, extension)| {
        extensions.iter().skip(index + 1).any(|other| other.oid == extension.oid)
    });
    ensure(!is_twice, "an extension stands twice")
}

/// §4.2: what a reader would have to understand, it does: we write no other extension than these.
pub(super) fn known(subject: &Subject<'_>) -> Result<(), &'static str> {
    let is_known = |parsed: &ParsedExtension<'_>| {
        matches!(
            parsed,
            ParsedExtension::AuthorityKeyIdentifier(_)
                | ParsedExtension::SubjectKeyIdentifier(_)
                | ParsedExtension::KeyUsage(_)
                | ParsedExtension::SubjectAlternativeName(_)
                | ParsedExtension::BasicConstraints(_)
                | ParsedExtension::ExtendedKeyUsage(_)
                | ParsedExtension::CRLDistributionPoints(_)
        )
    };
    ensure(
        subject.tbs.extensions().iter().all(|extension| is_known(extension.parsed_extension())),
        "an extension that we do not write, or that cannot be read",
    )
}

/// X.690 §11.5: a default value is not encoded, so `critical` is TRUE or absent.
pub(super) fn critical_default(subject: &Subject<'_>) -> Result<(), &'static str> {
    critical_as_der_has_it(subject.fields.extensions)
}

/// `extensions` is the list, DER.
pub(super) fn critical_as_der_has_it(extensions: &[u8]) -> Result<(), &'static str> {
    let list = der::single(extensions, der::SEQUENCE, "the extensions are no SEQUENCE");
    let mut list = list.map_err(|error| error.0)?;
    while !list.is_empty() {
        let extension = list.any().map_err(|error| error.0)?;
        let mut fields = Reader::new(extension.content);
        fields.any().map_err(|error| error.0)?;
        let critical = fields.optional(der::BOOLEAN).map_err(|error| error.0)?;
        ensure(critical.is_none_or(|flag| flag.content != [0]), "critical is written as FALSE")?;
    }
    Ok(())
}

/// §4.2.1.1: the issuer's key identifier and nothing else, not critical; a root may do without.
pub(super) fn authority_key_identifier(subject: &Subject<'_>) -> Result<(), &'static str> {
    let found = subject.extension(|parsed| {
        if let ParsedExtension::AuthorityKeyIdentifier(value) = parsed { Some(value) } else { None }
    });
    let Some((is_critical, value)) = found else {
        return ensure(
            subject.facts.profile == Profile::Root,
            "the authority key identifier is missing",
        );
    };
    ensure(!is_critical, "the authority key identifier is critical")?;
    let is_issuer = value.key_identifier.as_ref().is_some_and(|id| id.0 == subject.facts.issuer_id);
    ensure(is_issuer, "the authority key identifier is not the issuer's")?;
    ensure(
        value.authority_cert_issuer.is_none() && value.authority_cert_serial.is_none(),
        "the authority key identifier names a certificate",
    )
}

/// §4.2.1.2 with RFC 7093 §2 method 1: always there, not critical, 160 bits of SHA-256.
pub(super) fn subject_key_identifier(subject: &Subject<'_>) -> Result<(), &'static str> {
    let (is_critical, value) = subject
        .extension(|parsed| {
            if let ParsedExtension::SubjectKeyIdentifier(value) = parsed {
                Some(value)
            } else {
                None
            }
        })
        .ok_or("the subject key identifier is missing")?;
    ensure(!is_critical, "the subject key identifier is critical")?;
    let (kind, bits) = key::split(subject.fields.spki).map_err(|_| "the key cannot be read")?;
    let expected = key::SubjectKey { kind, bits: bits.to_vec(), modulus: None }.key_identifier();
    ensure(value.0 == expected, "the subject key identifier is not the key's")
}

/// §4.2.1.3: critical; a CA signs certificates and CRLs, everything else signs and no more (no RSA
/// key transport: our TLS has ECDHE only).
pub(super) fn key_usage(subject: &Subject<'_>) -> Result<(), &'static str> {
    let (is_critical, usage) = subject
        .extension(
            |parsed| if let ParsedExtension::KeyUsage(value) = parsed { Some(value) } else { None },
        )
        .ok_or("the key usage is missing")?;
    ensure(is_critical, "the key usage is not critical")?;
    const DIGITAL_SIGNATURE: u16 = 1;
    const CERT_AND_CRL_SIGN: u16 = 1 << 5 | 1 << 6;
    let expected = match subject.facts.profile {
        Profile::DevicesCa | Profile::Root | Profile::ServersCa => CERT_AND_CRL_SIGN,
        Profile::Journal | Profile::Leaf | Profile::Server => DIGITAL_SIGNATURE,
    };
    ensure(usage.flags == expected, "the key usage is not the profile's")
}

/// §4.2.1.6: critical where and only where the subject is empty; a leaf has one permanent
/// identifier, a server host names and addresses, a CA none.
pub(super) fn alternative_name(subject: &Subject<'_>) -> Result<(), &'static str> {
    let found = subject.extension(|parsed| {
        if let ParsedExtension::SubjectAlternativeName(value) = parsed {
            Some(&value.general_names)
        } else {
            None
        }
    });
    let needs_names = matches!(subject.facts.profile, Profile::Leaf | Profile::Server);
    let Some((is_critical, names)) = found else {
        return ensure(!needs_names, "the subject alternative name is missing");
    };
    ensure(needs_names, "a subject alternative name where none belongs")?;
    ensure(
        is_critical == subject.fields.subject.is_empty(),
        "the subject alternative name is critical, or is not, against the subject (§4.1.2.6)",
    )?;
    if subject.facts.profile == Profile::Server {
        ensure(!names.is_empty() && names.iter().all(is_host), "a name that is no host")
    } else {
        match names.as_slice() {
            [GeneralName::OtherName(name, value)]
                if name.as_bytes() == oid::PERMANENT_IDENTIFIER =>
            {
                permanent_identifier(value).map_err(|error| error.0)
            }
            _ => Err("the subject alternative name is not one permanent identifier"),
        }
    }
}

fn is_host(name: &GeneralName<'_>) -> bool {
    match name {
        GeneralName::DNSName(name) => crate::host::is_dns_name(name),
        GeneralName::IPAddress(octets) => matches!(octets.len(), 4 | 16),
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::URI(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => false,
    }
}

/// RFC 4043 §2: a value and no assigner.
fn permanent_identifier(value: &[u8]) -> Result<(), der::DerError> {
    let explicit = der::single(value, 0xA0, "the permanent identifier is not tagged")?;
    let mut explicit = explicit;
    let identifier = explicit.expect(der::SEQUENCE, "the permanent identifier is no SEQUENCE")?;
    explicit.end()?;
    let mut fields = Reader::new(identifier.content);
    let text = fields.expect(der::UTF8_STRING, "the permanent identifier has no value")?;
    fields.end()?;
    if text.content.is_empty() {
        return Err(der::DerError("the permanent identifier is empty"));
    }
    Ok(())
}

/// §4.2.1.9: critical and always there; no path length but in the CAs under the root, which sign
/// end entities only.
pub(super) fn basic_constraints(subject: &Subject<'_>) -> Result<(), &'static str> {
    let (is_critical, value) = subject
        .extension(|parsed| {
            if let ParsedExtension::BasicConstraints(value) = parsed { Some(value) } else { None }
        })
        .ok_or("the basic constraints are missing")?;
    ensure(is_critical, "the basic constraints are not critical")?;
    let expected = match subject.facts.profile {
        Profile::DevicesCa | Profile::ServersCa => {
            BasicConstraints { ca: true, path_len_constraint: Some(0) }
        }
        Profile::Root => BasicConstraints { ca: true, path_len_constraint: None },
        Profile::Journal | Profile::Leaf | Profile::Server => {
            BasicConstraints { ca: false, path_len_constraint: None }
        }
    };
    ensure(*value == expected, "the basic constraints are not the profile's")
}

/// §4.2.1.12: exactly the one purpose of the profile; the root has none, so that it bounds nothing.
pub(super) fn extended_key_usage(subject: &Subject<'_>) -> Result<(), &'static str> {
    let found = subject.extension(|parsed| {
        if let ParsedExtension::ExtendedKeyUsage(value) = parsed { Some(value) } else { None }
    });
    let Some((is_critical, usage)) = found else {
        return ensure(subject.facts.profile == Profile::Root, "the extended key usage is missing");
    };
    ensure(!is_critical, "the extended key usage is critical")?;
    let purposes = purposes(usage);
    let is_expected = match subject.facts.profile {
        Profile::DevicesCa | Profile::Leaf => purposes == [CLIENT_AUTH],
        Profile::Server | Profile::ServersCa => purposes == [SERVER_AUTH],
        Profile::Journal => purposes == [oid::DOCUMENT_SIGNING],
        Profile::Root => false,
    };
    ensure(is_expected, "the extended key usage is not the profile's")
}

const CLIENT_AUTH: &[u8] = b"clientAuth";
const SERVER_AUTH: &[u8] = b"serverAuth";

fn purposes<'u>(usage: &'u ExtendedKeyUsage<'_>) -> Vec<&'u [u8]> {
    let flags = [
        (usage.any, &b"any"[..]),
        (usage.server_auth, SERVER_AUTH),
        (usage.client_auth, CLIENT_AUTH),
        (usage.code_signing, b"codeSigning"),
        (usage.email_protection, b"emailProtection"),
        (usage.time_stamping, b"timeStamping"),
        (usage.ocsp_signing, b"OCSPSigning"),
    ];
    let named = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name);
    named.chain(usage.other.iter().map(|other| other.as_bytes())).collect()
}

/// §4.2.1.13: every leaf names the one CRL that would list it, its issuer's shard of the first byte
/// of its serial number, over http (§4.2.1.13: over https it could not be checked); nothing else
/// has a CRL yet.
pub(super) fn crl_distribution_points(subject: &Subject<'_>) -> Result<(), &'static str> {
    let found = subject.extension(|parsed| {
        if let ParsedExtension::CRLDistributionPoints(value) = parsed { Some(value) } else { None }
    });
    let is_leaf = subject.facts.profile == Profile::Leaf;
    let Some((is_critical, points)) = found else {
        return ensure(!is_leaf, "the CRL distribution point is missing");
    };
    ensure(is_leaf, "a CRL distribution point where none belongs")?;
    ensure(!is_critical, "the CRL distribution points are critical")?;
    let [point] = points.points.as_slice() else {
        return Err("there is not one CRL distribution point");
    };
    ensure(
        point.reasons.is_none() && point.crl_issuer.is_none(),
        "the CRL distribution point has reasons or an issuer",
    )?;
    let Some(DistributionPointName::FullName(names)) = &point.distribution_point else {
        return Err("the CRL distribution point has no full name");
    };
    let [GeneralName::URI(url)] = names.as_slice() else {
        return Err("the CRL distribution point is not one URL");
    };
    let serial = subject.fields.serial;
    let shard = serial.iter().find(|octet| **octet != 0).copied().unwrap_or(0);
    let path = format!("/v1/crl/{}/{shard:02x}.crl", hex(subject.facts.issuer_id));
    ensure(
        url.starts_with("http") && url.ends_with(&path),
        "the CRL distribution point is not its shard's",
    )
}
