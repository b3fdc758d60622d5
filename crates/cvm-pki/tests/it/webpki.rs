//! webpki, as rustls uses it, builds and accepts every chain for its one purpose and no other.

use std::time::Duration;

use ::webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};
use cvm_core::key::KeyAlgorithm;
use cvm_core::time::Timestamp;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::support::{Home, NOW};

fn der(pem: &str) -> CertificateDer<'static> {
    use rustls_pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn verify(
    leaf: &[u8],
    anchor: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    usage: KeyUsage,
    at: Timestamp,
) -> Result<(), Error> {
    let leaf = CertificateDer::from(leaf);
    let anchors = [anchor_from_trusted_cert(anchor)?];
    let time = UnixTime::since_unix_epoch(Duration::from_secs(at.0.try_into().unwrap()));
    EndEntityCert::try_from(&leaf)?
        .verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, between, time, usage, None, None)
        .map(|_| ())
}

#[test]
fn every_leaf_is_a_client_under_the_root_and_under_its_ca_alone() {
    let home = Home::new();
    let (root, ca) = (der(&home.created.root_pem), der(&home.created.devices_ca_pem));
    assert_eq!(home.issuer.ca_certificates(), [ca.to_vec()]);
    for (name, leaf) in home.leaf_of_each_kind() {
        let between = [ca.clone()];
        verify(&leaf.der, &root, &between, KeyUsage::client_auth(), NOW).expect(name);
        verify(&leaf.der, &ca, &[], KeyUsage::client_auth(), NOW).expect(name);
        let as_server = verify(&leaf.der, &root, &between, KeyUsage::server_auth(), NOW);
        assert!(matches!(as_server, Err(Error::RequiredEkuNotFoundContext(_))), "{as_server:?}");
    }
}

#[test]
fn the_last_second_of_a_leaf_is_its_not_after() {
    let home = Home::new();
    let ca = der(&home.created.devices_ca_pem);
    let (_, csr) = home.request("k", crate::support::KEY_KINDS[0].1);
    let leaf = home.leaf(&home.check(&csr).key);
    let at = |time| verify(&leaf.der, &ca, &[], KeyUsage::client_auth(), time);
    assert!(at(leaf.not_before).is_ok() && at(leaf.not_after).is_ok());
    assert!(matches!(at(Timestamp(leaf.not_before.0 - 1)), Err(Error::CertNotValidYet { .. })));
    assert!(matches!(at(Timestamp(leaf.not_after.0 + 1)), Err(Error::CertExpired { .. })));
}

#[test]
fn the_server_certificate_is_a_server_for_each_of_its_names() {
    for algorithm in [KeyAlgorithm::EcP256, KeyAlgorithm::Rsa2048] {
        let home = Home::with(NOW, None, algorithm);
        let root = der(&home.created.root_pem);
        let chain = home.server_chain(algorithm);
        let between = [CertificateDer::from(chain[1].as_slice())];
        verify(&chain[0], &root, &between, KeyUsage::server_auth(), NOW).unwrap();
        let as_client = verify(&chain[0], &root, &between, KeyUsage::client_auth(), NOW);
        assert!(matches!(as_client, Err(Error::RequiredEkuNotFoundContext(_))), "{as_client:?}");
        let leaf = CertificateDer::from(chain[0].as_slice());
        let leaf = EndEntityCert::try_from(&leaf).unwrap();
        let is_valid_for = |name: &str| {
            leaf.verify_is_valid_for_subject_name(&ServerName::try_from(name).unwrap())
        };
        for name in ["localhost", "cvm.example.com", "127.0.0.1", "::1"] {
            is_valid_for(name).expect(name);
        }
        assert!(is_valid_for("example.com").is_err() && is_valid_for("127.0.0.2").is_err());
    }
}

#[test]
fn a_device_cannot_stand_under_the_servers_ca_nor_the_journal_in_tls() {
    let home = Home::new();
    let servers = der(&home.created.servers_ca_pem);
    let (_, csr) = home.request("k", crate::support::KEY_KINDS[0].1);
    let leaf = home.leaf(&home.check(&csr).key);
    assert!(verify(&leaf.der, &servers, &[], KeyUsage::client_auth(), NOW).is_err());
    let journal = std::fs::read_to_string(home.scratch.path().join("vault/journal.pem")).unwrap();
    let root = der(&home.created.root_pem);
    for usage in [KeyUsage::client_auth(), KeyUsage::server_auth()] {
        let result = verify(&der(&journal), &root, &[], usage, NOW);
        assert!(matches!(result, Err(Error::RequiredEkuNotFoundContext(_))), "{result:?}");
    }
}
