//! What a CRL is made of, and when it is not made. What openssl and others say is in `tests/it`.

use cvm_core::certificate::IssuerId;
use cvm_core::ports::{Issuer as _, IssuerError};
use cvm_core::time::{Span, Timestamp};

use super::*;
use crate::ca::Authority;
use crate::issuer::LocalIssuer;

const NOW: Timestamp = Timestamp(1_772_366_400);

fn issuer() -> LocalIssuer {
    let root = Authority::create_root(NOW).unwrap();
    let devices = root.create_devices(NOW).unwrap();
    LocalIssuer::new(devices.into(), &[root.certificate], "http://host:8080/")
}

fn template(issuer: IssuerId, entries: Vec<RevokedEntry>) -> CrlTemplate {
    let (this_update, next_update) = (NOW, NOW.plus(Span::DAY));
    CrlTemplate { issuer, shard: 0x9A, number: 7, this_update, next_update, entries }
}

fn entry(serial: &[u8], reason: Option<Reason>) -> RevokedEntry {
    RevokedEntry { certificate_serial: serial.to_vec(), revoked_at: NOW, reason }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn a_crl_is_signed_with_the_cas_key() {
    let root = Authority::create_root(NOW).unwrap();
    let devices = root.create_devices(NOW).unwrap();
    let entries = vec![entry(&[0x9A; 17], Some(Reason::Superseded))];
    let template = template(devices.certificate.id, entries);
    let approved =
        approve(&devices.certificate, devices.key.algorithm(), "http://x", template).unwrap();
    let crl = approved.sign(&devices.key).unwrap();
    let mut outer = der::single(&crl, der::SEQUENCE, "").unwrap();
    let (tbs, algorithm) = (outer.any().unwrap(), outer.any().unwrap());
    let signature = &outer.any().unwrap().content[1..];
    let verify = |key: &crate::ca_key::CaKey| {
        crate::signature::verify(&key.public(), algorithm.content, tbs.raw, signature)
    };
    verify(&devices.key).unwrap();
    verify(&root.key).unwrap_err();
}

#[test]
fn it_is_found_where_the_leaves_of_its_shard_say() {
    let issuer = issuer();
    let id = issuer.issuer_id();
    let url = format!("http://host:8080/v1/crl/{id}/9a.crl");
    assert_eq!(issuer.crl_url(&id, 0x9A), Some(url.clone()));
    let crl = wait(issuer.crl_sign(template(id, Vec::new()))).unwrap();
    assert!(crl.windows(url.len()).any(|window| window == url.as_bytes()));
}

#[test]
fn a_ca_that_is_not_ours_has_no_crl() {
    let issuer = issuer();
    let other = IssuerId([7; 20]);
    assert_eq!(issuer.crl_url(&other, 1), None);
    assert_eq!(issuer.ca_certificate(&other), None);
    let refused = wait(issuer.crl_sign(template(other, Vec::new()))).unwrap_err();
    assert!(matches!(refused, IssuerError::Bug(_)), "{refused}");
}

#[test]
fn what_breaks_a_rule_is_not_signed() {
    let issuer = issuer();
    let entries = vec![entry(&[0x5A; 17], None)];
    let refused = wait(issuer.crl_sign(template(issuer.issuer_id(), entries))).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "not signed: a CRL was not signed: rule entry-serial-number \
         (RFC 5280 §4.1.2.2 and §5.1.2.6): a serial number of another shard"
    );
}

#[test]
fn a_hundred_thousand_entries_are_signed_within_seconds() {
    let issuer = issuer();
    let entries = (0_u32..100_000).rev().map(|n| {
        let serial = [&[0x9A][..], &n.to_be_bytes(), &[0xC3; 12]].concat();
        entry(&serial, Some(Reason::Superseded))
    });
    let began = std::time::Instant::now();
    let signing = issuer.crl_sign(template(issuer.issuer_id(), entries.collect()));
    let crl = wait(signing).unwrap();
    let took = began.elapsed();
    assert!(crl.len() < 6_000_000, "{}", crl.len());
    // Without optimisation and on a busy machine; what grows with the square takes minutes.
    assert!(took.as_secs() < 20, "{took:?}");
}
