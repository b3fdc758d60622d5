//! CAs and their keys belong together. What openssl and others say of them is in `tests/it`.

use super::*;

const NOW: Timestamp = Timestamp(1_772_366_400);

#[test]
fn certificates_verify_under_their_own_issuer_only() {
    let (root, other) =
        (Authority::create_root(NOW).unwrap(), Authority::create_root(NOW).unwrap());
    let devices = root.create_devices(NOW).unwrap().certificate;
    assert!(devices.verify_signed_by(&root.certificate, "devices").is_ok());
    let error = devices.verify_signed_by(&other.certificate, "devices").unwrap_err();
    assert_eq!(error.to_string(), "devices: it was not signed by root-ca.pem");
    let mut same_name = other.certificate;
    same_name.name.clone_from(&root.certificate.name);
    assert!(devices.verify_signed_by(&same_name, "devices").is_err(), "another key");
    assert!(root.certificate.verify_signed_by(&root.certificate, "root").is_ok());
}

#[test]
fn names_and_keys_are_new_each_time() {
    let (one, two) = (Authority::create_root(NOW).unwrap(), Authority::create_root(NOW).unwrap());
    assert_ne!(one.certificate.name, two.certificate.name);
    assert_ne!(one.certificate.id, two.certificate.id);
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (one, two) = (Authority::create_root(NOW).unwrap(), Authority::create_root(NOW).unwrap());
    assert!(Authority::load(one.certificate.clone(), two.key).is_err());
    assert!(Authority::load(one.certificate, one.key).is_ok());
}

#[test]
fn lives_are_as_the_contract_has_them_and_end_with_the_root() {
    let root = Authority::create_root(NOW).unwrap();
    assert_eq!(root.certificate.not_before, NOW.minus(Span::DAY));
    assert_eq!(root.certificate.not_after, NOW.plus(Span(7_300 * Span::DAY.0)));
    let devices = root.create_devices(NOW).unwrap().certificate;
    assert_eq!(devices.not_after, NOW.plus(Span(1_825 * Span::DAY.0)));
    let late = NOW.plus(Span(7_000 * Span::DAY.0));
    assert_eq!(
        root.create_servers(late).unwrap().certificate.not_after,
        root.certificate.not_after
    );
}

#[test]
fn keys_survive_pkcs8_and_are_never_printed() {
    for algorithm in [KeyAlgorithm::EcP256, KeyAlgorithm::Rsa2048] {
        let key = CaKey::generate(algorithm).unwrap();
        let text = pem::private_key(&key.to_pkcs8().unwrap());
        let read = CaKey::from_pem(&text).unwrap();
        assert_eq!(read.public().spki(), key.public().spki());
        let signature = read.sign(b"message").unwrap();
        let name = der::element(der::OBJECT_IDENTIFIER, &[key.algorithm().oid()]);
        signature::verify(&key.public(), &name, b"message", &signature).unwrap();
        assert!(format!("{key:?}").ends_with("redacted)"));
    }
}

#[test]
fn key_files_that_are_none_say_why() {
    let refused = |text: &str| CaKey::from_pem(text).unwrap_err().to_string();
    let block = |label: &str| pem::encode(label, &[0x30, 0]).to_string();
    for (text, expected) in [
        (String::new(), "the file has no PEM block `PRIVATE KEY`"),
        (block("PUBLIC KEY"), "the file has no PEM block `PRIVATE KEY`"),
        (block("PRIVATE KEY"), "it is none of P-256, P-384, RSA 2048 and more"),
        (block("EC PRIVATE KEY"), "it is neither a P-256 nor a P-384 key"),
        (block("RSA PRIVATE KEY"), "it is not an RSA key of 2048 bits or more"),
        (block("OPENSSH PRIVATE KEY"), "it is none of PKCS #8, SEC 1 and PKCS #1"),
        (block("ENCRYPTED PRIVATE KEY"), "it is encrypted: decrypt it first (openssl pkey)"),
        (block("PRIVATE KEY").repeat(2), "the file has more than one private key"),
    ] {
        assert_eq!(refused(&text), format!("the private key cannot be used: {expected}"));
    }
}
