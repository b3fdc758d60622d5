//! Each rule is broken alone, and found alone.

use cvm_core::certificate::IssuerId;
use cvm_core::key::KeyAlgorithm;
use cvm_core::ports::LeafTemplate;
use cvm_core::time::Span;
use rcgen::{
    CertificateParams, CrlDistributionPoint, DnType, DnValue, ExtendedKeyUsagePurpose, SerialNumber,
};

mod extensions;

use super::*;
use crate::ca_key::CaKey;
use crate::host::Host;
use crate::issue::{Signer, write};
use crate::key::SubjectKey;
use crate::{oid, profile};

const NOW: Timestamp = Timestamp(1_772_366_400);
const BASE: &str = "http://x/v1/crl/0909090909090909090909090909090909090909/";
const SERIAL: [u8; 17] = [0x5A; 17];

/// A CA, and a key that it certifies.
struct Bench {
    ca: CaKey,
    key: SubjectKey,
    name: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let make = || CaKey::generate(KeyAlgorithm::EcP256).unwrap();
        let text = der::element(der::UTF8_STRING, &[b"CA"]);
        let name = der::element(der::OBJECT_IDENTIFIER, &[oid::COMMON_NAME]);
        let name = der::element(der::SEQUENCE, &[&name, &text]);
        let name = der::element(der::SEQUENCE, &[&der::element(der::SET, &[&name])]);
        Self { ca: make(), key: make().public(), name }
    }

    fn write(&self, params: CertificateParams, profile: Profile) -> Vec<u8> {
        let id = IssuerId([9; 20]);
        let signer = Signer {
            algorithm: self.ca.algorithm(),
            name: &self.name,
            id,
            not_after: later(1_000),
        };
        write(params, &self.key, profile, &signer).unwrap().0
    }

    /// The names of the rules that a certificate breaks.
    fn broken(&self, tbs: &[u8], profile: Profile) -> Vec<&'static str> {
        let facts = Facts {
            profile,
            issuer_name: &self.name,
            issuer_id: &[9; 20],
            issuer_not_after: later(1_000),
            signature_algorithm: oid::ECDSA_SHA256,
        };
        let first = run(tbs, &facts).err().map(|finding| finding.rule);
        let found: Vec<_> = match Subject::read(tbs, &facts) {
            Ok(subject) => findings(&subject).map(|finding| finding.rule).collect(),
            Err(finding) => vec![finding.rule],
        };
        assert_eq!(first, found.first().copied());
        found
    }

    /// What a leaf breaks whose parameters were changed.
    fn leaf(&self, change: impl FnOnce(&mut CertificateParams)) -> Vec<&'static str> {
        let mut params = leaf_params();
        change(&mut params);
        self.broken(&self.write(params, Profile::Leaf), Profile::Leaf)
    }

    /// What a leaf breaks whose encoded fields were changed.
    fn fields(&self, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<&'static str> {
        let tbs = self.write(leaf_params(), Profile::Leaf);
        let mut fields = elements(Reader::new(&tbs).any().unwrap().content);
        change(&mut fields);
        self.broken(&sequence(&fields), Profile::Leaf)
    }

    /// What a leaf breaks whose encoded extensions were changed.
    fn extensions(&self, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<&'static str> {
        self.fields(|fields| {
            let tagged = fields.pop().unwrap();
            let list = Reader::new(&tagged).any().unwrap().content;
            let mut list = elements(Reader::new(list).any().unwrap().content);
            change(&mut list);
            fields.push(der::element(0xA3, &[&sequence(&list)]));
        })
    }

    /// What another profile's certificate breaks whose parameters were changed.
    fn other(
        &self,
        profile: Profile,
        params: CertificateParams,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Vec<&'static str> {
        let mut params = params;
        change(&mut params);
        self.broken(&self.write(params, profile), profile)
    }
}

fn later(days: i64) -> Timestamp {
    NOW.plus(Span(days * Span::DAY.0))
}

fn leaf_params() -> CertificateParams {
    let template = LeafTemplate {
        serial_number: &"SN-1".parse().unwrap(),
        thing_name: &"thing".parse().unwrap(),
        key: &cvm_core::key::PublicKey {
            identity: cvm_core::id::KeyIdentity([0; 32]),
            spki: Vec::new(),
        },
        not_before: NOW,
        not_after: later(365),
    };
    profile::leaf(&template, &SERIAL, template.not_after, BASE).unwrap()
}

fn ca_params() -> CertificateParams {
    profile::ca("CA 2", ExtendedKeyUsagePurpose::ClientAuth, NOW, later(365)).unwrap()
}

fn server_params() -> CertificateParams {
    let hosts = [Host::Dns("a.example".to_owned()), Host::Ip([127, 0, 0, 1].into())];
    profile::server(&hosts, &SERIAL, NOW, later(90)).unwrap()
}

fn elements(content: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = Reader::new(content);
    let mut list = Vec::new();
    while !reader.is_empty() {
        list.push(reader.any().unwrap().raw.to_vec());
    }
    list
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    der::element(der::SEQUENCE, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn times(not_before: (u8, &[u8]), not_after: (u8, &[u8])) -> Vec<u8> {
    let time = |(tag, text): (u8, &[u8])| der::element(tag, &[text]);
    sequence(&[time(not_before), time(not_after)])
}

/// An extension as it stands, by its identifier under id-ce (2.5.29).
fn index_of(list: &[Vec<u8>], last: u8) -> usize {
    let is_it = |raw: &Vec<u8>| raw.windows(5).any(|w| w == [6, 3, 0x55, 0x1D, last]);
    list.iter().position(is_it).unwrap()
}

/// The extension with its `critical` field replaced.
fn with_critical(raw: &[u8], critical: &[u8]) -> Vec<u8> {
    let fields = elements(Reader::new(raw).any().unwrap().content);
    sequence(&[fields.first().unwrap().clone(), critical.to_vec(), fields.last().unwrap().clone()])
}

const TRUE: &[u8] = &[1, 1, 0xFF];
const FALSE: &[u8] = &[1, 1, 0];

#[test]
fn every_profile_breaks_no_rule() {
    let bench = Bench::new();
    assert_eq!(bench.leaf(|_| {}), [""; 0]);
    assert_eq!(bench.other(Profile::DevicesCa, ca_params(), |_| {}), [""; 0]);
    assert_eq!(bench.other(Profile::Server, server_params(), |_| {}), [""; 0]);
    let journal = profile::journal("J", NOW, later(90)).unwrap();
    assert_eq!(bench.other(Profile::Journal, journal, |_| {}), [""; 0]);
    let servers = profile::ca("S", ExtendedKeyUsagePurpose::ServerAuth, NOW, later(90)).unwrap();
    assert_eq!(bench.other(Profile::ServersCa, servers, |_| {}), [""; 0]);
}

#[test]
fn encoding() {
    let bench = Bench::new();
    // A length in two octets where one is enough; no extensions; a unique identifier.
    assert_eq!(bench.broken(&[0x30, 0x81, 0x02, 0x05, 0x00], Profile::Leaf), ["encoding"]);
    assert_eq!(bench.fields(|fields| drop(fields.pop())), ["encoding"]);
    assert_eq!(bench.fields(|fields| fields.insert(7, vec![0x81, 2, 0, 1])), ["encoding"]);
    // A BOOLEAN that is true in BER only; x509-parser may refuse it first.
    let ber = bench.extensions(|list| {
        let at = index_of(list, 15);
        list[at] = with_critical(&list[at], &[1, 1, 1]);
    });
    assert_eq!(ber, ["encoding"]);
}

#[test]
fn version() {
    let bench = Bench::new();
    assert_eq!(bench.fields(|fields| fields[0] = vec![0xA0, 3, 2, 1, 1]), ["version"]);
}

#[test]
fn serial_number() {
    let bench = Bench::new();
    let shard =
        |serial: &[u8]| CrlDistributionPoint { uris: vec![format!("{BASE}{:02x}.crl", serial[0])] };
    for serial in [&[1; 16][..], &[1; 21], &[0xFF; 20]] {
        let broken = bench.leaf(|params| {
            params.serial_number = Some(SerialNumber::from_slice(serial));
            params.crl_distribution_points = vec![shard(serial)];
        });
        assert_eq!(broken, ["serial-number"], "{serial:02x?}");
    }
    let negative = bench.fields(|fields| {
        fields[1] = der::element(der::INTEGER, &[&[0x9A; 17]]);
        replace_text(fields, b"/5a.crl", b"/9a.crl");
    });
    assert_eq!(negative, ["serial-number"]);
}

/// Replaces text of the same length in the extensions.
fn replace_text(fields: &mut [Vec<u8>], from: &[u8], to: &[u8]) {
    let extensions = fields.last_mut().unwrap();
    let at = extensions.windows(from.len()).position(|window| window == from).unwrap();
    extensions[at..at + to.len()].copy_from_slice(to);
}

#[test]
fn signature_algorithm() {
    let bench = Bench::new();
    let other = sequence(&[der::element(der::OBJECT_IDENTIFIER, &[oid::ECDSA_SHA384])]);
    assert_eq!(bench.fields(|fields| fields[2] = other), ["signature-algorithm"]);
}

#[test]
fn issuer() {
    let bench = Bench::new();
    assert_eq!(bench.fields(|fields| fields[3] = sequence(&[])), ["issuer"]);
    let subject = bench.fields(|fields| fields[3] = fields[5].clone());
    assert_eq!(subject, ["issuer"]);
    let root = profile::root("not CA", NOW, later(90)).unwrap();
    assert_eq!(bench.other(Profile::Root, root, |_| {}), ["issuer"]);
}

#[test]
fn validity_form() {
    let bench = Bench::new();
    let (utc, general) = (der::UTC_TIME, der::GENERALIZED_TIME);
    let good = (utc, &b"260301120000Z"[..]);
    for end in [
        (general, &b"20270301120000Z"[..]),
        (general, b"20270301120000.5Z"),
        (utc, b"270301120000+0000"),
        (utc, b"2703011200Z"),
    ] {
        let broken = bench.fields(|fields| fields[4] = times(good, end));
        let is_found = broken == ["validity-form"] || broken == ["encoding"];
        assert!(is_found, "{broken:?} {:?}", std::str::from_utf8(end.1));
    }
    let first = (general, &b"20260301120000Z"[..]);
    let broken = bench.fields(|fields| fields[4] = times(first, (utc, b"270301120000Z")));
    assert_eq!(broken, ["validity-form"]);
}

#[test]
fn validity_order() {
    let bench = Bench::new();
    let same = bench.leaf(|params| params.not_after = params.not_before);
    assert_eq!(same, ["validity-order"]);
    let longer = time::Duration::days(1_000);
    assert_eq!(bench.leaf(|params| params.not_after = params.not_before + longer), [""; 0]);
    let longer = longer + time::Duration::seconds(1);
    let outlives = bench.leaf(|params| params.not_after = params.not_before + longer);
    assert_eq!(outlives, ["validity-order"]);
}

#[test]
fn subject() {
    let bench = Bench::new();
    let push = |kind: DnType, value: DnValue| {
        bench.leaf(|params| params.distinguished_name.push(kind, value))
    };
    let utf8 = |text: &str| DnValue::Utf8String(text.to_owned());
    assert_eq!(push(DnType::CommonName, utf8(&"x".repeat(64))), [""; 0]);
    assert_eq!(push(DnType::CommonName, utf8(&"x".repeat(65))), ["subject"]);
    assert_eq!(push(DnType::CommonName, utf8("")), ["subject"]);
    assert_eq!(push(DnType::CustomDnType(vec![2, 5, 4, 3]), utf8("y")), ["subject"]);
    assert_eq!(push(DnType::from_oid(oid::SERIAL_NUMBER_ARCS), utf8("SN")), ["subject"]);
    assert_eq!(push(DnType::CountryName, utf8("DE")), ["subject"]);
    let printable = DnValue::PrintableString("x".try_into().unwrap());
    assert_eq!(push(DnType::CommonName, printable), ["subject"]);
    let nameless = bench.other(Profile::DevicesCa, ca_params(), |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
    });
    assert_eq!(nameless, ["subject"]);
}

#[test]
fn public_key() {
    // Another key has another identifier too.
    let expected = ["public-key", "subject-key-identifier"];
    let bench = Bench::new();
    let with = |spki: Vec<u8>| bench.fields(|fields| fields[6] = spki);
    let rsa = SubjectKey { kind: crate::key::KeyKind::Rsa, bits: vec![7; 270], modulus: None };
    assert_eq!(with(rsa.spki()), ["subject-key-identifier"]);
    let name = sequence(&[der::element(der::OBJECT_IDENTIFIER, &[oid::RSA])]);
    let without_null = sequence(&[name, der::element(der::BIT_STRING, &[&[0], &rsa.bits])]);
    assert_eq!(with(without_null), expected);
    let mut cut = bench.key.clone();
    cut.bits.pop();
    assert_eq!(with(cut.spki()), expected);
}

#[test]
fn every_rule_has_a_test_of_its_name() {
    let source = concat!(include_str!("tests.rs"), include_str!("tests/extensions.rs"));
    for rule in &RULES {
        let test = format!("fn {}()", rule.name.replace('-', "_"));
        assert!(source.contains(&test), "{test}");
    }
}
