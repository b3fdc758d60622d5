//! What must hold of every certificate before it is signed: a table of rules, one function each.
//!
//! A rule reads the `TBSCertificate` that is about to be signed, not the parameters it was made of,
//! and reads it with another library than the one that wrote it. The first rule that does not hold
//! ends the matter: the certificate is not signed.

pub(crate) mod crl;
mod extensions;
mod rfc5280;

use std::fmt;

use cvm_core::time::Timestamp;
use x509_parser::certificate::TbsCertificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;

use crate::der::{self, DerError, Element, Reader};

/// What a certificate is for; decides what it has to contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// The CA that signs devices.
    DevicesCa,
    /// The signer of the journal's checkpoints.
    Journal,
    /// A device.
    Leaf,
    /// The root.
    Root,
    /// Our own listeners.
    Server,
    /// The CA that signs our own listeners.
    ServersCa,
}

/// What the signing CA knows about itself and expects to find.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) profile: Profile,
    pub(crate) issuer_name: &'a [u8],
    pub(crate) issuer_id: &'a [u8],
    pub(crate) issuer_not_after: Timestamp,
    pub(crate) signature_algorithm: &'a [u8],
}

/// A certificate under judgement: as x509-parser reads it, and the fields as they are encoded.
struct Subject<'a> {
    tbs: TbsCertificate<'a>,
    fields: Fields<'a>,
    facts: &'a Facts<'a>,
}

/// The fields whose encoding matters.
struct Fields<'a> {
    whole: &'a [u8],
    serial: &'a [u8],
    issuer: &'a [u8],
    not_before: Element<'a>,
    not_after: Element<'a>,
    subject: &'a [u8],
    spki: &'a [u8],
    extensions: &'a [u8],
}

impl<'a> Fields<'a> {
    /// RFC 5280 §4.1, in its order; what may not be there is not looked for.
    fn split(whole: &'a [u8]) -> Result<Self, DerError> {
        let mut tbs = der::single(whole, der::SEQUENCE, "it is not a SEQUENCE")?;
        tbs.expect(0xA0, "it has no version")?;
        let serial = tbs.expect(der::INTEGER, "it has no serial number")?;
        tbs.expect(der::SEQUENCE, "it has no signature algorithm")?;
        let issuer = tbs.expect(der::SEQUENCE, "it has no issuer")?;
        let validity = tbs.expect(der::SEQUENCE, "it has no validity")?;
        let subject = tbs.expect(der::SEQUENCE, "it has no subject")?;
        let spki = tbs.expect(der::SEQUENCE, "it has no public key")?;
        // RFC 5280 §4.1.2.8: conforming CAs MUST NOT generate unique identifiers.
        let extensions = tbs.expect(0xA3, "something else stands where the extensions do")?;
        tbs.end()?;
        let mut times = Reader::new(validity.content);
        Ok(Self {
            whole,
            serial: serial.content,
            issuer: issuer.raw,
            not_before: times.any()?,
            not_after: times.any()?,
            subject: subject.content,
            spki: spki.raw,
            extensions: extensions.content,
        })
    }
}

impl<'a> Subject<'a> {
    /// What cannot even be read breaks the first rule.
    fn read(whole: &'a [u8], facts: &'a Facts<'a>) -> Result<Self, Finding> {
        let unreadable =
            |why| Finding {
                rule: "encoding", citation: "RFC 5280 §4.1, X.690 §10 and §11", why
            };
        let fields = Fields::split(whole).map_err(|error| unreadable(error.0))?;
        let (_, tbs) = TbsCertificate::from_der(whole)
            .map_err(|_| unreadable("x509-parser cannot read it"))?;
        Ok(Self { tbs, fields, facts })
    }

    /// The one extension that `pick` takes, and whether it is critical.
    fn extension<'s, T: 's>(
        &'s self,
        pick: impl Fn(&'s ParsedExtension<'a>) -> Option<T>,
    ) -> Option<(bool, T)> {
        self.tbs
            .extensions()
            .iter()
            .find_map(|extension| Some((extension.critical, pick(extension.parsed_extension())?)))
    }
}

/// One rule: its name, where it is written, and how it is judged.
struct Rule {
    name: &'static str,
    citation: &'static str,
    check: fn(&Subject<'_>) -> Result<(), &'static str>,
}

const RULES: [Rule; 19] = [
    rule("encoding", "RFC 5280 §4.1, X.690 §10 and §11", rfc5280::encoding),
    rule("version", "RFC 5280 §4.1.2.1", rfc5280::version),
    rule("serial-number", "RFC 5280 §4.1.2.2", rfc5280::serial_number),
    rule("signature-algorithm", "RFC 5280 §4.1.2.3", rfc5280::signature_algorithm),
    rule("issuer", "RFC 5280 §4.1.2.4", rfc5280::issuer),
    rule("validity-form", "RFC 5280 §4.1.2.5", rfc5280::validity_form),
    rule("validity-order", "RFC 5280 §4.1.2.5", rfc5280::validity_order),
    rule("subject", "RFC 5280 §4.1.2.6 and Appendix A.1", rfc5280::subject),
    rule("public-key", "RFC 5280 §4.1.2.7", rfc5280::public_key),
    rule("extensions-once", "RFC 5280 §4.2", extensions::once),
    rule("extensions-known", "RFC 5280 §4.2", extensions::known),
    rule("critical-default", "X.690 §11.5", extensions::critical_default),
    rule("authority-key-identifier", "RFC 5280 §4.2.1.1", extensions::authority_key_identifier),
    rule("subject-key-identifier", "RFC 5280 §4.2.1.2", extensions::subject_key_identifier),
    rule("key-usage", "RFC 5280 §4.2.1.3", extensions::key_usage),
    rule("subject-alternative-name", "RFC 5280 §4.2.1.6, RFC 4043", extensions::alternative_name),
    rule("basic-constraints", "RFC 5280 §4.2.1.9", extensions::basic_constraints),
    rule("extended-key-usage", "RFC 5280 §4.2.1.12", extensions::extended_key_usage),
    rule("crl-distribution-points", "RFC 5280 §4.2.1.13", extensions::crl_distribution_points),
];

const fn rule(
    name: &'static str,
    citation: &'static str,
    check: fn(&Subject<'_>) -> Result<(), &'static str>,
) -> Rule {
    Rule { name, citation, check }
}

/// A rule that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) rule: &'static str,
    pub(crate) citation: &'static str,
    pub(crate) why: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} ({}): {}", self.rule, self.citation, self.why)
    }
}

/// Judges a `TBSCertificate` by every rule; the first that does not hold is returned.
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

/// `Ok` where `holds`, else the reason.
fn ensure(holds: bool, why: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(why) }
}

#[cfg(test)]
mod tests;
