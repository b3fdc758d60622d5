//! Each rule is broken alone, and found alone.

use cvm_core::certificate::Reason;
use cvm_core::ports::{CrlTemplate, RevokedEntry};
use cvm_core::time::{Span, Timestamp};

use super::*;
use crate::ca::Authority;
use crate::{crl, oid};

const NOW: Timestamp = Timestamp(1_772_366_400);
const URL: &str = "http://x/v1/crl/0909090909090909090909090909090909090909/9a.crl";

/// A CA, whose lists are changed after they were written.
struct Bench(Authority);

fn entry(last: u8, reason: Option<Reason>) -> RevokedEntry {
    let certificate_serial = [&[0x9A; 16][..], &[last]].concat();
    RevokedEntry { certificate_serial, revoked_at: NOW, reason }
}

impl Bench {
    fn new() -> Self {
        Self(Authority::create_root(NOW).unwrap().create_devices(NOW).unwrap())
    }

    fn template(&self) -> CrlTemplate {
        CrlTemplate {
            issuer: self.0.certificate.id,
            shard: 0x9A,
            number: u64::MAX,
            this_update: NOW,
            next_update: NOW.plus(Span::DAY),
            entries: vec![entry(2, Some(Reason::KeyCompromise)), entry(1, None)],
        }
    }

    /// The names of the rules that a list breaks.
    fn broken(&self, tbs: &[u8]) -> Vec<&'static str> {
        let (_, algorithm) =
            crl::write(&self.0.certificate, self.0.key.algorithm(), URL, self.template()).unwrap();
        let facts = Facts {
            issuer_name: &self.0.certificate.name,
            issuer_id: &self.0.certificate.id.0,
            signature_algorithm: oid::ECDSA_SHA256,
            outer_algorithm: &algorithm,
            url: URL,
            shard: 0x9A,
        };
        let first = run(tbs, &facts).err().map(|finding| finding.rule);
        let found: Vec<_> = match Subject::read(tbs, &facts) {
            Ok(subject) => findings(&subject).map(|finding| finding.rule).collect(),
            Err(finding) => vec![finding.rule],
        };
        assert_eq!(first, found.first().copied());
        found
    }

    /// What a list breaks whose contents were changed.
    fn contents(&self, change: impl FnOnce(&mut CrlTemplate)) -> Vec<&'static str> {
        let mut template = self.template();
        change(&mut template);
        self.broken(
            &crl::write(&self.0.certificate, self.0.key.algorithm(), URL, template).unwrap().0,
        )
    }

    /// What a list breaks whose encoded fields were changed.
    fn fields(&self, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<&'static str> {
        let (tbs, _) =
            crl::write(&self.0.certificate, self.0.key.algorithm(), URL, self.template()).unwrap();
        let mut fields = elements(&tbs);
        change(&mut fields);
        self.broken(&sequence(&fields))
    }

    /// What a list breaks whose encoded extensions were changed: authority key identifier, number,
    /// issuing distribution point.
    fn extensions(&self, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<&'static str> {
        self.fields(|fields| {
            let tagged = fields.pop().unwrap();
            let mut list = elements(Reader::new(&tagged).any().unwrap().content);
            change(&mut list);
            fields.push(der::element(0xA0, &[&sequence(&list)]));
        })
    }

    /// What a list breaks whose second entry's fields were changed: serial number, date, extensions.
    fn entry(&self, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<&'static str> {
        self.fields(|fields| {
            let mut entries = elements(&fields[ENTRIES]);
            let mut entry = elements(&entries[1]);
            change(&mut entry);
            entries[1] = sequence(&entry);
            fields[ENTRIES] = sequence(&entries);
        })
    }
}

const ALGORITHM: usize = 1;
const ISSUER: usize = 2;
const THIS_UPDATE: usize = 3;
const NEXT_UPDATE: usize = 4;
const ENTRIES: usize = 5;

/// What an element holds, each as it stands.
fn elements(element: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = Reader::new(Reader::new(element).any().unwrap().content);
    let mut list = Vec::new();
    while !reader.is_empty() {
        list.push(reader.any().unwrap().raw.to_vec());
    }
    list
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    der::element(der::SEQUENCE, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// The extension `2.5.29.last`.
fn extension(last: u8, critical: &[u8], value: &[u8]) -> Vec<u8> {
    let name = der::element(der::OBJECT_IDENTIFIER, &[&[0x55, 0x1D, last]]);
    let value = der::element(der::OCTET_STRING, &[value]);
    der::element(der::SEQUENCE, &[&name, critical, &value])
}

fn reason(critical: &[u8], code: u8) -> Vec<u8> {
    sequence(&[extension(21, critical, &[0x0A, 1, code])])
}

fn point(critical: &[u8], url: &str, rest: &[u8]) -> Vec<u8> {
    let name = der::element(0x86, &[url.as_bytes()]);
    let name = der::element(0xA0, &[&der::element(0xA0, &[&name])]);
    extension(28, critical, &der::element(der::SEQUENCE, &[&name, rest]))
}

const TRUE: &[u8] = &[1, 1, 0xFF];
const FALSE: &[u8] = &[1, 1, 0];
const ABSENT: &[u8] = &[];
const USERS_ONLY: &[u8] = &[0x81, 1, 0xFF];

#[test]
fn a_list_breaks_no_rule() {
    let bench = Bench::new();
    assert_eq!(bench.contents(|_| {}), [""; 0]);
    assert_eq!(bench.contents(|crl| crl.entries.clear()), [""; 0]);
    assert_eq!(bench.contents(|crl| crl.number = 0), [""; 0]);
    assert_eq!(bench.extensions(|list| list[2] = point(TRUE, URL, USERS_ONLY)), [""; 0]);
    assert_eq!(bench.entry(|fields| fields[2] = reason(ABSENT, 1)), [""; 0]);
}

#[test]
fn encoding() {
    let bench = Bench::new();
    assert_eq!(bench.broken(&[0x30, 0x81, 0x02, 0x05, 0x00]), ["encoding"]);
    assert_eq!(bench.fields(|fields| drop(fields.pop())), ["encoding"], "no extensions");
    assert_eq!(bench.fields(|fields| fields.push(vec![5, 0])), ["encoding"]);
    assert_eq!(bench.entry(|fields| fields.push(vec![5, 0])), ["encoding"]);
    let ber_true = bench.extensions(|list| list[2] = point(&[1, 1, 1], URL, USERS_ONLY));
    assert_eq!(ber_true, ["encoding"]);
}

#[test]
fn version() {
    let bench = Bench::new();
    assert_eq!(bench.fields(|fields| fields[0] = vec![2, 1, 0]), ["version"]);
}

#[test]
fn signature_algorithm() {
    let bench = Bench::new();
    let algorithm = |name: &[u8], parameters: &[u8]| {
        let name = der::element(der::OBJECT_IDENTIFIER, &[name]);
        der::element(der::SEQUENCE, &[&name, parameters])
    };
    for other in [algorithm(oid::ECDSA_SHA384, &[]), algorithm(oid::ECDSA_SHA256, &[5, 0])] {
        assert_eq!(bench.fields(|fields| fields[ALGORITHM] = other), ["signature-algorithm"]);
    }
}

#[test]
fn issuer() {
    let bench = Bench::new();
    assert_eq!(bench.fields(|fields| fields[ISSUER] = sequence(&[])), ["issuer"]);
    let root = bench.0.certificate.issuer.clone();
    assert_eq!(bench.fields(|fields| fields[ISSUER] = root), ["issuer"]);
}

#[test]
fn update_form() {
    let bench = Bench::new();
    let general = |text: &[u8]| der::element(der::GENERALIZED_TIME, &[text]);
    let early = bench.fields(|fields| fields[THIS_UPDATE] = general(b"20260301120000Z"));
    assert_eq!(early, ["update-form"]);
    let early = bench.fields(|fields| fields[NEXT_UPDATE] = general(b"20270301120000Z"));
    assert_eq!(early, ["update-form"]);
    let late = bench.fields(|fields| fields[NEXT_UPDATE] = general(b"20500101000000Z"));
    assert_eq!(late, [""; 0]);
    let missing = bench.fields(|fields| drop(fields.remove(NEXT_UPDATE)));
    assert_eq!(missing, ["update-form", "update-order"]);
}

#[test]
fn update_order() {
    let bench = Bench::new();
    let same = bench.fields(|fields| fields[NEXT_UPDATE] = fields[THIS_UPDATE].clone());
    assert_eq!(same, ["update-order"]);
}

#[test]
fn entries_present() {
    let bench = Bench::new();
    assert_eq!(bench.fields(|fields| fields[ENTRIES] = sequence(&[])), ["entries-present"]);
}

#[test]
fn entry_serial_number() {
    let bench = Bench::new();
    let with = |serial: &[u8]| bench.entry(|fields| fields[0] = der::element(2, &[serial]));
    assert_eq!(with(&[&[0, 0x9A][..], &[0xFF; 18]].concat()), [""; 0]);
    for (serial, why) in [
        (&[&[0, 0x9A][..], &[0xFF; 19]].concat()[..], "21 octets"),
        (&[0x9A; 17], "negative"),
        (&[0], "zero"),
        (&[0x5A; 17], "another shard"),
        (&[&[0][..], &[0x9A; 16], &[1]].concat(), "twice"),
        (&[0, 0x9A], "not in order"),
    ] {
        assert_eq!(with(serial), ["entry-serial-number"], "{why}");
    }
}

#[test]
fn entry_date_form() {
    let bench = Bench::new();
    let general = der::element(der::GENERALIZED_TIME, &[b"20260301120000Z"]);
    assert_eq!(bench.entry(|fields| fields[1] = general), ["entry-date-form"]);
}

#[test]
fn entry_extensions() {
    let bench = Bench::new();
    for (extensions, why) in [
        (reason(TRUE, 1), "critical"),
        (reason(FALSE, 1), "FALSE is written"),
        (reason(ABSENT, 0), "unspecified"),
        (reason(ABSENT, 6), "certificateHold"),
        (reason(ABSENT, 7), "no reason has this number"),
        (reason(ABSENT, 8), "removeFromCRL"),
        (sequence(&[]), "empty"),
        (sequence(&[extension(29, TRUE, &[0x30, 0])]), "another issuer's certificate"),
    ] {
        let broken = bench.entry(|fields| fields[2] = extensions);
        assert_eq!(broken, ["entry-extensions"], "{why}");
    }
}

#[test]
fn extensions_known() {
    let bench = Bench::new();
    let twice = bench.extensions(|list| list.push(list[1].clone()));
    assert_eq!(twice, ["extensions-known"]);
    let delta = bench.extensions(|list| list.push(extension(27, TRUE, &[2, 1, 1])));
    assert_eq!(delta, ["extensions-known"]);
}

#[test]
fn critical_default() {
    let bench = Bench::new();
    let number = extension(20, FALSE, &[2, 1, 1]);
    assert_eq!(bench.extensions(|list| list[1] = number), ["critical-default"]);
}

#[test]
fn authority_key_identifier() {
    let bench = Bench::new();
    let rule = ["authority-key-identifier"];
    let identifier = |critical: &[u8], id: &[u8], rest: &[u8]| {
        extension(35, critical, &der::element(der::SEQUENCE, &[&der::element(0x80, &[id]), rest]))
    };
    let id = bench.0.certificate.id.0;
    assert_eq!(bench.extensions(|list| list[0] = identifier(ABSENT, &id, &[])), [""; 0]);
    assert_eq!(bench.extensions(|list| drop(list.remove(0))), rule);
    assert_eq!(bench.extensions(|list| list[0] = identifier(TRUE, &id, &[])), rule);
    assert_eq!(bench.extensions(|list| list[0] = identifier(ABSENT, &[8; 20], &[])), rule);
    let serial = der::element(0x82, &[&[1]]);
    assert_eq!(bench.extensions(|list| list[0] = identifier(ABSENT, &id, &serial)), rule);
}

#[test]
fn crl_number() {
    let bench = Bench::new();
    let number = |critical: &[u8], number: &[u8]| {
        let number = extension(20, critical, &der::element(der::INTEGER, &[number]));
        bench.extensions(|list| list[1] = number)
    };
    assert_eq!(number(ABSENT, &[0x7F; 20]), [""; 0]);
    assert_eq!(number(ABSENT, &[&[0][..], &[0xFF; 20]].concat()), ["crl-number"]);
    assert_eq!(number(TRUE, &[1]), ["crl-number"]);
    assert_eq!(bench.extensions(|list| drop(list.remove(1))), ["crl-number"]);
}

#[test]
fn issuing_distribution_point() {
    let bench = Bench::new();
    let some_reasons = [USERS_ONLY, &[0x83, 2, 6, 0x40]].concat();
    let indirect = [USERS_ONLY, &[0x84, 1, 0xFF]].concat();
    for (point, why) in [
        (point(ABSENT, URL, USERS_ONLY), "not critical"),
        (point(TRUE, "http://x/9a.crl", USERS_ONLY), "another URL"),
        (point(TRUE, URL, &[]), "CAs too"),
        (point(TRUE, URL, &[0x82, 1, 0xFF]), "CAs only"),
        (point(TRUE, URL, &some_reasons), "some reasons"),
        (point(TRUE, URL, &indirect), "indirect"),
        (extension(28, TRUE, &der::element(der::SEQUENCE, &[USERS_ONLY])), "no name"),
    ] {
        let broken = bench.extensions(|list| list[2] = point);
        assert_eq!(broken, ["issuing-distribution-point"], "{why}");
    }
    let missing = bench.extensions(|list| drop(list.pop()));
    assert_eq!(missing, ["issuing-distribution-point"]);
}

#[test]
fn every_rule_has_a_test_of_its_name() {
    let source = include_str!("tests.rs");
    for rule in &RULES {
        let test = format!("fn {}()", rule.name.replace('-', "_"));
        assert!(source.contains(&test), "{test}");
    }
}
