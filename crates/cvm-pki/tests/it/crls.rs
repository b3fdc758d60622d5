//! CRLs before `openssl` and Python's `cryptography`: what is printed is what was meant, and what is
//! revoked is refused, by the list of its own shard and by no other.

use std::process::Command;

use cvm_core::certificate::{Reason, shard_of};
use cvm_core::id::hex;
use cvm_core::key::KeyAlgorithm;
use cvm_core::ports::{Issuer as _, RevokedEntry, SignedLeaf};
use cvm_core::time::{Span, Timestamp};

use crate::support::{Home, KEY_KINDS, NOW, python, run, text};

/// Entries of shard 9a, one for each reason and one without.
pub(crate) fn entries_of_each_reason() -> Vec<RevokedEntry> {
    let reasons = [None].into_iter().chain(Reason::ALL.map(Some));
    let entry = |(n, reason): (u8, Option<Reason>)| RevokedEntry {
        certificate_serial: [&[0x9A; 16][..], &[n]].concat(),
        revoked_at: NOW.minus(Span(i64::from(n))),
        reason,
    };
    (0..).zip(reasons).map(entry).collect()
}

fn revoked(leaf: &SignedLeaf) -> RevokedEntry {
    RevokedEntry {
        certificate_serial: leaf.certificate_serial.clone(),
        revoked_at: NOW,
        reason: Some(Reason::KeyCompromise),
    }
}

/// `openssl crl -text`.
fn printed(home: &Home, crl: &[u8]) -> String {
    let path = home.file("list.crl", crl);
    run("openssl", &["crl", "-inform", "DER", "-in", text(&path), "-noout", "-text"])
}

/// Whether `openssl verify -crl_check` accepts the leaf at `at` by this CRL, and what it says.
fn verify(home: &Home, leaf: &SignedLeaf, crl: &[u8], at: Timestamp) -> (bool, String) {
    let pem = cvm_pki::pem::certificate;
    let list = home.file("list.crl", crl);
    let list_pem = run("openssl", &["crl", "-inform", "DER", "-in", text(&list)]);
    let list = home.file("list.pem", list_pem);
    let root = home.file("root.pem", &home.created.root_pem);
    let between = home.file("between.pem", &home.created.devices_ca_pem);
    let leaf = home.file("leaf.pem", pem(&leaf.der));
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-crl_check", "-extended_crl", "-attime"])
        .args([&at.0.to_string(), "-CAfile", text(&root), "-untrusted", text(&between)])
        .args(["-CRLfile", text(&list), text(&leaf)])
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.success(), said)
}

fn leaf_of(home: &Home) -> SignedLeaf {
    let (_, csr) = home.request("k", KEY_KINDS[0].1);
    home.leaf(&home.check(&csr).key)
}

/// Two leaves of one shard.
fn two_of_one_shard(home: &Home) -> (SignedLeaf, SignedLeaf) {
    let (_, csr) = home.request("k", KEY_KINDS[0].1);
    let key = home.check(&csr).key;
    let first = home.leaf(&key);
    let shard = shard_of(&first.certificate_serial);
    let others = std::iter::repeat_with(|| home.leaf(&key));
    (first, others.into_iter().find(|leaf| shard_of(&leaf.certificate_serial) == shard).unwrap())
}

#[test]
fn openssl_refuses_what_is_revoked_and_accepts_its_neighbour_in_the_shard() {
    let home = Home::new();
    let (bad, good) = two_of_one_shard(&home);
    let crl = home.crl(shard_of(&bad.certificate_serial), NOW, vec![revoked(&bad)]);
    let (is_good, said) = verify(&home, &good, &crl, NOW);
    assert!(is_good, "{said}");
    let (is_good, said) = verify(&home, &bad, &crl, NOW);
    assert!(!is_good && said.contains("certificate revoked"), "{said}");
}

#[test]
fn the_list_of_another_shard_says_nothing_of_a_leaf() {
    let home = Home::new();
    let leaf = leaf_of(&home);
    let other = shard_of(&leaf.certificate_serial) ^ 1;
    let (is_good, said) = verify(&home, &leaf, &home.crl(other, NOW, Vec::new()), NOW);
    assert!(!is_good && said.contains("ifferent CRL scope"), "{said}");
}

#[test]
fn a_list_is_good_until_its_next_update() {
    let home = Home::new();
    let leaf = leaf_of(&home);
    let crl = home.crl(shard_of(&leaf.certificate_serial), NOW, Vec::new());
    let (is_good, said) = verify(&home, &leaf, &crl, NOW.plus(Span(Span::DAY.0 - 1)));
    assert!(is_good, "{said}");
    let (is_good, said) = verify(&home, &leaf, &crl, NOW.plus(Span(Span::DAY.0 + 1)));
    assert!(!is_good && said.contains("CRL has expired"), "{said}");
}

#[test]
fn openssl_prints_what_was_meant() {
    let home = Home::new();
    let crl = home.crl(0x9A, NOW, entries_of_each_reason());
    let shown = printed(&home, &crl);
    let ski = home.issuer.issuer_id();
    for expected in [
        "Version 2 (0x1)",
        "Last Update: Mar  1 12:00:00 2026 GMT",
        "Next Update: Mar  2 12:00:00 2026 GMT",
        "X509v3 Issuing Distribution Point: critical",
        &format!("URI:http://crl.example.com:8080/v1/crl/{ski}/9a.crl"),
        "Only User Certificates",
        &format!("X509v3 CRL Number: \n                {}\n", NOW.0),
        "AA Compromise",
        "Affiliation Changed",
        "CA Compromise",
        "Cessation Of Operation",
        "Key Compromise",
        "Privilege Withdrawn",
        "Superseded",
        "Serial Number: 9A9A9A9A9A9A9A9A9A9A9A9A9A9A9A9A04\n        Revocation Date: Mar  1 11:59:56 2026 GMT",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let bytes: Vec<String> = ski.0.iter().map(|octet| format!("{octet:02X}")).collect();
    assert!(shown.contains(&bytes.join(":")), "{shown}");
    assert_eq!(shown.matches("X509v3 CRL Reason Code").count(), 7, "{shown}");
    assert!(!shown.contains("Unspecified"), "{shown}");
    assert!(printed(&home, &home.crl(0x9A, NOW, Vec::new())).contains("No Revoked Certificates."));
}

#[test]
fn times_change_their_type_between_2049_and_2050() {
    let home = Home::with("2049-06-01T00:00:00Z".parse().unwrap(), None, KeyAlgorithm::EcP256);
    let at = "2049-12-31T23:59:59Z".parse().unwrap();
    let entry = |n: u8, revoked_at| RevokedEntry {
        certificate_serial: vec![0x9A, n],
        revoked_at,
        reason: None,
    };
    let crl = home.crl(0x9A, at, vec![entry(1, at), entry(2, at.plus(Span(1)))]);
    let path = home.file("list.crl", &crl);
    let parsed = run("openssl", &["asn1parse", "-inform", "DER", "-in", text(&path)]);
    let times: Vec<&str> = parsed.lines().filter(|line| line.contains("TIME")).collect();
    let wanted = [
        ("UTCTIME", "491231235959Z"),
        ("GENERALIZEDTIME", "20500101235959Z"),
        ("UTCTIME", "491231235959Z"),
        ("GENERALIZEDTIME", "20500101000000Z"),
    ];
    assert_eq!(times.len(), wanted.len(), "{parsed}");
    for (line, (kind, time)) in times.iter().zip(wanted) {
        assert!(line.contains(kind) && line.ends_with(time), "{line}");
    }
}

#[test]
fn every_kind_of_ca_key_signs_lists_that_openssl_verifies() {
    for (name, genpkey) in [KEY_KINDS[0], KEY_KINDS[1], KEY_KINDS[3]] {
        let (home, now) = crate::imported::home(genpkey);
        let crl = home.crl(0x9A, now, entries_of_each_reason());
        let (list, ca) =
            (home.file("list.crl", &crl), home.file("ca.pem", &home.created.devices_ca_pem));
        let arguments =
            ["crl", "-inform", "DER", "-in", text(&list), "-CAfile", text(&ca), "-noout"];
        let output = Command::new("openssl").args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && said.contains("verify OK"), "{name}: {said}");
    }
}

/// Prints number, distribution point and entries of a list, once the CA's key has verified it.
const JUDGE: &str = r#"
import sys
from cryptography import x509
from cryptography.x509.oid import ExtensionOID
crl = x509.load_der_x509_crl(open(sys.argv[1], "rb").read())
ca = x509.load_pem_x509_certificate(open(sys.argv[2], "rb").read())
assert crl.is_signature_valid(ca.public_key())
assert crl.issuer == ca.subject
of = lambda oid: crl.extensions.get_extension_for_oid(oid)
number, point = of(ExtensionOID.CRL_NUMBER), of(ExtensionOID.ISSUING_DISTRIBUTION_POINT)
assert point.critical and not number.critical
assert point.value.only_contains_user_certs and not point.value.indirect_crl
print(number.value.crl_number, point.value.full_name[0].value, len(crl))
for entry in crl:
    reasons = [e.value.reason.value for e in entry.extensions]
    print(f"{entry.serial_number:x}", *reasons)
"#;

#[test]
fn cryptography_reads_what_was_meant() {
    let home = Home::new();
    let entries = entries_of_each_reason();
    let list = home.file("list.crl", home.crl(0x9A, NOW, entries.iter().rev().cloned().collect()));
    let ca = home.file("ca.pem", &home.created.devices_ca_pem);
    let said = run(python(), &["-c", JUDGE, text(&list), text(&ca)]);
    let url = home.issuer.crl_url(&home.issuer.issuer_id(), 0x9A).unwrap();
    let mut expected = format!("{} {url} 9\n", NOW.0);
    for entry in entries {
        let reason = entry.reason.filter(|reason| *reason != Reason::Unspecified);
        let reason = reason.map_or(String::new(), |reason| format!(" {}", reason.as_str()));
        expected += &format!("{}{reason}\n", hex(&entry.certificate_serial));
    }
    assert_eq!(said, expected);
}
