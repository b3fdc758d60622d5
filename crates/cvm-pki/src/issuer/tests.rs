//! What a leaf is made of, and when it is not made.

use std::collections::HashSet;

use cvm_core::id::hex;
use cvm_core::key::KeyAlgorithm;
use cvm_core::time::Span;

use super::*;
use crate::ca_key::CaKey;
use crate::der;

const NOW: Timestamp = Timestamp(1_772_366_400);

fn issuer() -> LocalIssuer {
    let root = Authority::create_root(NOW).unwrap();
    let devices = root.create_devices(NOW).unwrap();
    LocalIssuer::new(devices.into(), &[root.certificate], "http://host:8080/")
}

fn key() -> cvm_core::key::PublicKey {
    CaKey::generate(KeyAlgorithm::EcP256).unwrap().public().public_key()
}

fn sign(issuer: &LocalIssuer, life: (Timestamp, Timestamp)) -> Result<SignedLeaf, IssuerError> {
    signed(
        issuer,
        &LeafTemplate {
            serial_number: &"SN-0001".parse().unwrap(),
            thing_name: &"SN-0001".parse().unwrap(),
            key: &key(),
            not_before: life.0,
            not_after: life.1,
        },
    )
}

fn signed(issuer: &LocalIssuer, template: &LeafTemplate<'_>) -> Result<SignedLeaf, IssuerError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(issuer.leaf_sign(*template))
}

fn year() -> (Timestamp, Timestamp) {
    (NOW, NOW.plus(Span(365 * Span::DAY.0)))
}

#[test]
fn serial_numbers_are_long_and_different_and_fill_every_shard_but_zero() {
    let issuer = issuer();
    let mut serials = HashSet::new();
    let mut shards = HashSet::new();
    for _ in 0..4_000 {
        let leaf = sign(&issuer, year()).unwrap();
        assert_eq!(leaf.certificate_serial.len(), 17);
        shards.insert(leaf.certificate_serial[0]);
        assert!(serials.insert(leaf.certificate_serial));
    }
    // Of 255 shards each is missed by 4000 draws with a chance of e^-15.7.
    assert!(!shards.contains(&0));
    assert!(shards.len() > 250, "{}", shards.len());
}

#[test]
fn the_record_says_what_the_certificate_says() {
    let issuer = issuer();
    let leaf = sign(&issuer, year()).unwrap();
    let read = CaCertificate::read("leaf", &leaf.der).unwrap();
    assert_eq!((read.not_before, read.not_after), year());
    assert_eq!((leaf.not_before, leaf.not_after), year());
    assert_eq!(leaf.id.0, sha256(&leaf.der));
    assert_eq!(leaf.issuer, issuer.issuer_id());
    let serial = der::element(der::INTEGER, &[&leaf.certificate_serial]);
    let is_in = |needle: &[u8]| leaf.der.windows(needle.len()).any(|window| window == needle);
    assert!(is_in(&serial) || leaf.certificate_serial[0] >= 0x80);
    assert!(is_in(&leaf.certificate_serial));
    let url = format!(
        "http://host:8080/v1/crl/{}/{}.crl",
        leaf.issuer,
        hex(&leaf.certificate_serial[..1])
    );
    assert!(is_in(url.as_bytes()));
}

#[test]
fn the_permanent_identifier_is_the_serial_number_alone() {
    let leaf = sign(&issuer(), year()).unwrap();
    // [0] { 1.3.6.1.5.5.7.8.3, [0] { SEQUENCE { UTF8String SN-0001 } } }
    let expected = [
        &[0xA0, 0x17, 0x06, 0x08, 0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x08, 0x03][..],
        &[0xA0, 0x0B, 0x30, 0x09, 0x0C, 0x07],
        b"SN-0001",
    ]
    .concat();
    assert!(leaf.der.windows(expected.len()).any(|window| window == expected));
}

#[test]
fn a_leaf_is_cut_to_its_ca_and_not_made_after_it() {
    let issuer = issuer();
    let end = issuer.authority.certificate.not_after;
    let leaf = sign(&issuer, (NOW, end.plus(Span(1)))).unwrap();
    assert_eq!(leaf.not_after, end);
    let late = sign(&issuer, (end, end.plus(Span::DAY))).unwrap_err();
    assert!(matches!(late, IssuerError::Unavailable(_)), "{late}");
    let backwards = sign(&issuer, (NOW, NOW)).unwrap_err();
    assert!(matches!(backwards, IssuerError::Unavailable(_)), "{backwards}");
}

#[test]
fn what_breaks_a_rule_is_not_signed() {
    let mut issuer = issuer();
    // Over https a CRL could not be fetched by who needs it to check https.
    issuer.crl_base = "ldap://x/".to_owned();
    let refused = sign(&issuer, year()).unwrap_err().to_string();
    assert_eq!(
        refused,
        "not signed: a certificate was not signed: \
         rule crl-distribution-points (RFC 5280 §4.2.1.13): \
         the CRL distribution point is not its shard's"
    );
}

#[test]
fn a_key_that_cannot_be_certified_is_a_bug() {
    let issuer = issuer();
    let mut key = key();
    key.spki.truncate(20);
    let refused = signed(
        &issuer,
        &LeafTemplate {
            serial_number: &"SN".parse().unwrap(),
            thing_name: &"SN".parse().unwrap(),
            key: &key,
            not_before: NOW,
            not_after: year().1,
        },
    );
    assert!(matches!(refused, Err(IssuerError::Bug(_))));
}

#[test]
fn chain_and_bundle_are_of_our_own_ca() {
    let issuer = issuer();
    let chain = issuer.chain(&issuer.issuer_id()).unwrap();
    assert_eq!(chain.intermediate, issuer.authority.certificate.pem());
    assert_eq!(*issuer.trust_bundle(), chain.root);
    assert!(issuer.chain(&IssuerId([0; 20])).is_none());
    assert_eq!(issuer.not_before(), NOW.minus(Span::DAY));
    let leaf = sign(&issuer, year()).unwrap();
    let key = public_key_of("leaf", &leaf.der).unwrap().public_key().identity;
    assert!(!issuer.owns_key(&key));
    issuer.own_key_add(&leaf.der).unwrap();
    assert!(issuer.owns_key(&key));
}
