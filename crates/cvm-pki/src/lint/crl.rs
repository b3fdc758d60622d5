//! What must hold of every CRL before it is signed: a table of rules, one function each.
//!
//! As for certificates, a rule reads the `TBSCertList` that is about to be signed, with another
//! library than the one that wrote it, and the first that does not hold ends the matter.

use cvm_core::certificate::shard_of;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension, X509Extension};
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::TbsCertList;
use x509_parser::x509::{ReasonCode, X509Version};

use super::{Finding, ensure, extensions, rfc5280};
use crate::der::{self, DerError, Element, Reader};

/// What the signing CA expects to find.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) issuer_name: &'a [u8],
    pub(crate) issuer_id: &'a [u8],
    pub(crate) signature_algorithm: &'a [u8],
    /// The `AlgorithmIdentifier` that will stand outside, DER.
    pub(crate) outer_algorithm: &'a [u8],
    /// What the leaves of the shard name.
    pub(crate) url: &'a str,
    pub(crate) shard: u8,
}

/// A CRL under judgement: as x509-parser reads it, and the fields as they are encoded.
struct Subject<'a> {
    tbs: TbsCertList<'a>,
    fields: Fields<'a>,
    facts: &'a Facts<'a>,
}

/// The fields whose encoding matters.
struct Fields<'a> {
    whole: &'a [u8],
    algorithm: &'a [u8],
    issuer: &'a [u8],
    this_update: Element<'a>,
    next_update: Element<'a>,
    /// `None` where the list is absent.
    entries: Option<Vec<Entry<'a>>>,
    extensions: &'a [u8],
}

/// A revoked certificate.
struct Entry<'a> {
    /// The content of the INTEGER.
    serial: &'a [u8],
    revoked_at: Element<'a>,
    /// The list of extensions, DER; `None` where it is absent.
    extensions: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    /// RFC 5280 §5.1, in its order; nextUpdate and the extensions have to be there.
    fn split(whole: &'a [u8]) -> Result<Self, DerError> {
        let mut tbs = der::single(whole, der::SEQUENCE, "it is not a SEQUENCE")?;
        tbs.expect(der::INTEGER, "it has no version")?;
        let algorithm = tbs.expect(der::SEQUENCE, "it has no signature algorithm")?;
        let issuer = tbs.expect(der::SEQUENCE, "it has no issuer")?;
        let (this_update, next_update) = (tbs.any()?, tbs.any()?);
        let entries = tbs.optional(der::SEQUENCE)?.map(|list| Entry::all(list.content));
        let extensions = tbs.expect(0xA0, "something else stands where the extensions do")?;
        tbs.end()?;
        Ok(Self {
            whole,
            algorithm: algorithm.raw,
            issuer: issuer.raw,
            this_update,
            next_update,
            entries: entries.transpose()?,
            extensions: extensions.content,
        })
    }

    fn entries(&self) -> impl Iterator<Item = &Entry<'a>> {
        self.entries.iter().flatten()
    }
}

impl<'a> Entry<'a> {
    fn all(list: &'a [u8]) -> Result<Vec<Self>, DerError> {
        let mut list = Reader::new(list);
        let mut entries = Vec::new();
        while !list.is_empty() {
            let entry = list.expect(der::SEQUENCE, "an entry is not a SEQUENCE")?;
            let mut fields = Reader::new(entry.content);
            let serial = fields.expect(der::INTEGER, "an entry has no serial number")?;
            let revoked_at = fields.any()?;
            let extensions = fields.optional(der::SEQUENCE)?.map(|list| list.raw);
            fields.end()?;
            entries.push(Self { serial: serial.content, revoked_at, extensions });
        }
        Ok(entries)
    }
}

impl<'a> Subject<'a> {
    /// What cannot even be read breaks the first rule.
    fn read(whole: &'a [u8], facts: &'a Facts<'a>) -> Result<Self, Finding> {
        let citation = "RFC 5280 §5.1, X.690 §10 and §11";
        let unreadable = |why| Finding { rule: "encoding", citation, why };
        let fields = Fields::split(whole).map_err(|error| unreadable(error.0))?;
        let (_, tbs) =
            TbsCertList::from_der(whole).map_err(|_| unreadable("x509-parser cannot read it"))?;
        Ok(Self { tbs, fields, facts })
    }

    /// The one extension that `pick` takes, and whether it is critical.
    fn extension<'s, T: 's>(
        &'s self,
        pick: impl Fn(&'s ParsedExtension<'s>) -> Option<T>,
    ) -> Option<(bool, T)> {
        self.tbs
            .iter_extensions()
            .find_map(|extension| Some((extension.critical, pick(extension.parsed_extension())?)))
    }
}

/// One rule: its name, where it is written, and how it is judged.
struct Rule {
    name: &'static str,
    citation: &'static str,
    check: fn(&Subject<'_>) -> Result<(), &'static str>,
}

const RULES: [Rule; 15] = [
    rule("encoding", "RFC 5280 §5.1, X.690 §10 and §11", encoding),
    rule("version", "RFC 5280 §5.1.2.1", version),
    rule("signature-algorithm", "RFC 5280 §5.1.1.2 and §5.1.2.2", signature_algorithm),
    rule("issuer", "RFC 5280 §5.1.2.3", issuer),
    rule("update-form", "RFC 5280 §5.1.2.4 and §5.1.2.5", update_form),
    rule("update-order", "RFC 5280 §5.1.2.5", update_order),
    rule("entries-present", "RFC 5280 §5.1.2.6", entries_present),
    rule("entry-serial-number", "RFC 5280 §4.1.2.2 and §5.1.2.6", entry_serial_number),
    rule("entry-date-form", "RFC 5280 §5.1.2.6", entry_date_form),
    rule("entry-extensions", "RFC 5280 §5.3 and §5.3.1", entry_extensions),
    rule("extensions-known", "RFC 5280 §5.2", known),
    rule("critical-default", "X.690 §11.5", critical_default),
    rule("authority-key-identifier", "RFC 5280 §5.2.1", authority_key_identifier),
    rule("crl-number", "RFC 5280 §5.2.3", crl_number),
    rule("issuing-distribution-point", "RFC 5280 §5.2.5", issuing_distribution_point),
];

const fn rule(
    name: &'static str,
    citation: &'static str,
    check: fn(&Subject<'_>) -> Result<(), &'static str>,
) -> Rule {
    Rule { name, citation, check }
}

/// Judges a `TBSCertList` by every rule; the first that does not hold is returned.
pub(crate) fn run(tbs: &[u8], facts: &Facts<'_>) -> Result<(), Finding> {
    let subject = Subject::read(tbs, facts)?;
    findings(&subject).next().map_or(Ok(()), Err)
}

fn findings(subject: &Subject<'_>) -> impl Iterator<Item = Finding> {
    RULES.iter().filter_map(|rule| {
        let why = (rule.check)(subject).err()?;
        Some(Finding { rule: rule.name, citation: rule.citation, why })
    })
}

/// §5.1: a CRL is encoded in DER.
fn encoding(subject: &Subject<'_>) -> Result<(), &'static str> {
    der::check(subject.fields.whole).map_err(|error| error.0)
}

/// §5.1.2.1: with extensions, the version is 2.
fn version(subject: &Subject<'_>) -> Result<(), &'static str> {
    ensure(subject.tbs.version == Some(X509Version::V2), "the version is not 2")
}

/// §5.1.1.2, §5.1.2.2: inside and outside the same, the one that the CA's key is used with.
fn signature_algorithm(subject: &Subject<'_>) -> Result<(), &'static str> {
    let facts = subject.facts;
    ensure(
        subject.tbs.signature.algorithm.as_bytes() == facts.signature_algorithm,
        "the signature algorithm is not the issuer's",
    )?;
    ensure(
        subject.fields.algorithm == facts.outer_algorithm,
        "the signature algorithms inside and outside differ",
    )
}

/// §5.1.2.3: not empty, and byte for byte the CA's subject.
fn issuer(subject: &Subject<'_>) -> Result<(), &'static str> {
    let issuer = subject.fields.issuer;
    ensure(issuer.len() > 2, "the issuer is empty")?;
    ensure(issuer == subject.facts.issuer_name, "the issuer is not the CA's subject")
}

/// §5.1.2.4, §5.1.2.5: `UTCTime` through 2049, `GeneralizedTime` from 2050, in whole seconds.
fn update_form(subject: &Subject<'_>) -> Result<(), &'static str> {
    rfc5280::time_form(&subject.fields.this_update, subject.tbs.this_update)?;
    let next = subject.tbs.next_update.ok_or("nextUpdate is missing")?;
    rfc5280::time_form(&subject.fields.next_update, next)
}

/// §5.1.2.5: the next one comes after this one.
fn update_order(subject: &Subject<'_>) -> Result<(), &'static str> {
    let is_later = subject.tbs.next_update.is_some_and(|next| next > subject.tbs.this_update);
    ensure(is_later, "nextUpdate is not after thisUpdate")
}

/// §5.1.2.6: where nobody is revoked, the list is absent.
fn entries_present(subject: &Subject<'_>) -> Result<(), &'static str> {
    ensure(subject.fields.entries.as_ref().is_none_or(|list| !list.is_empty()), "an empty list")
}

/// §4.1.2.2, §5.1.2.6: positive, at most 20 octets, each once; and of this shard, in order, so that
/// the same list has the same bytes.
fn entry_serial_number(subject: &Subject<'_>) -> Result<(), &'static str> {
    let mut before: &[u8] = &[];
    for Entry { serial, .. } in subject.fields.entries() {
        ensure(serial.len() <= 20, "a serial number has more than 20 octets")?;
        ensure(
            serial.first().is_some_and(|octet| octet & 0x80 == 0),
            "a serial number is negative",
        )?;
        let magnitude = serial.strip_prefix(&[0]).unwrap_or(serial);
        ensure(!magnitude.is_empty(), "a serial number is zero")?;
        ensure(shard_of(magnitude) == subject.facts.shard, "a serial number of another shard")?;
        ensure(before != magnitude, "a serial number stands twice")?;
        ensure(before < magnitude, "the serial numbers are not in order")?;
        before = magnitude;
    }
    Ok(())
}

/// §5.1.2.6: as thisUpdate.
fn entry_date_form(subject: &Subject<'_>) -> Result<(), &'static str> {
    let parsed = &subject.tbs.revoked_certificates;
    let mut pairs = subject.fields.entries().zip(parsed);
    pairs.try_for_each(|(entry, parsed)| {
        rfc5280::time_form(&entry.revoked_at, parsed.revocation_date)
    })
}

/// §5.3: a reason code and nothing else, not critical (§5.3.1), never `unspecified`; and none that
/// would ever take the certificate from the list again.
fn entry_extensions(subject: &Subject<'_>) -> Result<(), &'static str> {
    for (entry, parsed) in subject.fields.entries().zip(&subject.tbs.revoked_certificates) {
        let Some(list) = entry.extensions else { continue };
        extensions::critical_as_der_has_it(list)?;
        let [extension] = parsed.extensions() else {
            return Err("an entry has not one extension");
        };
        ensure(!extension.critical, "a reason code is critical")?;
        let ParsedExtension::ReasonCode(code) = extension.parsed_extension() else {
            return Err("an entry has an extension that is no reason code");
        };
        let is_final = matches!(
            *code,
            ReasonCode::KeyCompromise
                | ReasonCode::CACompromise
                | ReasonCode::AffiliationChanged
                | ReasonCode::Superseded
                | ReasonCode::CessationOfOperation
                | ReasonCode::PrivilegeWithdrawn
                | ReasonCode::AACompromise
        );
        ensure(is_final, "a reason code that does not end a certificate for good")?;
    }
    Ok(())
}

/// §5.2: what a reader would have to understand, it does: these three, each once. Above all no
/// delta CRL indicator: the list is complete.
fn known(subject: &Subject<'_>) -> Result<(), &'static str> {
    extensions::each_once(subject.tbs.extensions())?;
    let is_known = |extension: &X509Extension<'_>| {
        matches!(
            extension.parsed_extension(),
            ParsedExtension::AuthorityKeyIdentifier(_)
                | ParsedExtension::CRLNumber(_)
                | ParsedExtension::IssuingDistributionPoint(_)
        )
    };
    ensure(
        subject.tbs.iter_extensions().all(is_known),
        "an extension that we do not write, or that cannot be read",
    )
}

/// X.690 §11.5: a default value is not encoded, so `critical` is TRUE or absent.
fn critical_default(subject: &Subject<'_>) -> Result<(), &'static str> {
    extensions::critical_as_der_has_it(subject.fields.extensions)
}

/// §5.2.1: the CA's key identifier and nothing else, not critical.
fn authority_key_identifier(subject: &Subject<'_>) -> Result<(), &'static str> {
    let (is_critical, value) = subject
        .extension(|parsed| {
            if let ParsedExtension::AuthorityKeyIdentifier(value) = parsed {
                Some(value)
            } else {
                None
            }
        })
        .ok_or("the authority key identifier is missing")?;
    ensure(!is_critical, "the authority key identifier is critical")?;
    let is_issuer = value.key_identifier.as_ref().is_some_and(|id| id.0 == subject.facts.issuer_id);
    ensure(is_issuer, "the authority key identifier is not the issuer's")?;
    ensure(
        value.authority_cert_issuer.is_none() && value.authority_cert_serial.is_none(),
        "the authority key identifier names a certificate",
    )
}

/// §5.2.3: there, not critical, at most 20 octets; that it rises is the store's to see to.
fn crl_number(subject: &Subject<'_>) -> Result<(), &'static str> {
    let (is_critical, number) = subject
        .extension(|parsed| {
            if let ParsedExtension::CRLNumber(number) = parsed { Some(number) } else { None }
        })
        .ok_or("the CRL number is missing")?;
    ensure(!is_critical, "the CRL number is critical")?;
    // A sign bit more than the magnitude.
    ensure(number.bits() < 160, "the CRL number has more than 20 octets")
}

/// §5.2.5: critical; the one URL that the leaves name, user certificates only, for every reason,
/// and of this CA alone.
fn issuing_distribution_point(subject: &Subject<'_>) -> Result<(), &'static str> {
    let (is_critical, point) = subject
        .extension(|parsed| {
            if let ParsedExtension::IssuingDistributionPoint(point) = parsed {
                Some(point)
            } else {
                None
            }
        })
        .ok_or("the issuing distribution point is missing")?;
    ensure(is_critical, "the issuing distribution point is not critical")?;
    let Some(DistributionPointName::FullName(names)) = &point.distribution_point else {
        return Err("the issuing distribution point has no full name");
    };
    let [GeneralName::URI(url)] = names.as_slice() else {
        return Err("the issuing distribution point is not one URL");
    };
    ensure(*url == subject.facts.url, "the issuing distribution point is not what leaves name")?;
    ensure(point.only_contains_user_certs, "the list is not of user certificates only")?;
    ensure(
        !point.only_contains_ca_certs
            && !point.only_contains_attribute_certs
            && !point.indirect_crl
            && point.only_some_reasons.is_none(),
        "the list is of other certificates, reasons or issuers",
    )
}

#[cfg(test)]
mod tests;
