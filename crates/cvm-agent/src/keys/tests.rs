//! Keys: made, written, read again, in the forms that `openssl` writes.

use std::process::Command;

use rcgen::CertificateSigningRequestParams;

use super::*;

fn openssl(arguments: &[&str]) -> String {
    let made = Command::new("openssl").args(arguments).output().unwrap();
    assert!(made.status.success(), "openssl {arguments:?}");
    String::from_utf8(made.stdout).unwrap()
}

#[test]
fn every_algorithm_survives_its_file() {
    for algorithm in KeyAlgorithm::ALL {
        let key = DeviceKey::generate(algorithm).unwrap();
        let again = DeviceKey::from_pem(key.to_pem().as_bytes()).unwrap();
        assert_eq!(again.public_key_der(), key.public_key_der(), "{algorithm}");
        assert_eq!(*again.to_pem(), *key.to_pem(), "{algorithm}");
        assert_eq!(again.algorithm_name(), algorithm.name());
        assert!(key.to_pem().lines().all(|line| line.len() <= 64));
    }
}

#[test]
fn every_algorithm_signs_a_request_with_an_empty_subject() {
    for algorithm in KeyAlgorithm::ALL {
        let key = DeviceKey::generate(algorithm).unwrap();
        let request = key.certificate_request().unwrap();
        // Verifies the signature as well.
        let parsed = CertificateSigningRequestParams::from_pem(&request).unwrap();
        assert_eq!(parsed.params.distinguished_name, DistinguishedName::new());
        assert!(parsed.params.subject_alt_names.is_empty());
        assert_eq!(
            parsed.public_key.subject_public_key_info(),
            key.public_key_der(),
            "{algorithm}"
        );
    }
}

#[test]
fn what_openssl_writes_is_read() {
    let check = |arguments: &[&str], algorithm: &str| {
        let pem = openssl(arguments);
        let key = DeviceKey::from_pem(pem.as_bytes()).unwrap();
        assert_eq!(key.algorithm_name(), algorithm, "{arguments:?}");
    };
    // SEC 1, behind a section with the parameters.
    check(&["ecparam", "-genkey", "-name", "prime256v1"], "EC_P256");
    check(&["ecparam", "-genkey", "-name", "secp384r1"], "EC_P384");
    check(&["genrsa", "-traditional", "2048"], "RSA_2048");
    check(&["genrsa", "3072"], "RSA_3072");
    check(&["genpkey", "-algorithm", "ed25519"], "ED25519");
    let p256 = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    check(&p256, "EC_P256");
}

#[test]
fn what_asks_for_a_passphrase_is_told_apart() {
    let new = ["genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:xxxx"];
    let old = ["genrsa", "-traditional", "-aes128", "-passout", "pass:xxxx", "2048"];
    for arguments in [&new[..], &old[..]] {
        let pem = openssl(arguments);
        let fault = DeviceKey::from_pem(pem.as_bytes()).unwrap_err();
        assert_eq!(fault, KeyError::Encrypted, "{arguments:?}");
    }
}

#[test]
fn what_is_no_key_of_ours_is_told_apart() {
    let check = |text: &str, fault| {
        assert_eq!(DeviceKey::from_pem(text.as_bytes()).unwrap_err(), fault);
    };
    check("", KeyError::NotPem);
    check("-----BEGIN PRIVATE KEY-----\nAAAA\n", KeyError::NotPem);
    check("-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n", KeyError::NotPem);
    check("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", KeyError::Unsupported);
    assert_eq!(DeviceKey::from_pem(&[0xff, 0xfe]).unwrap_err(), KeyError::NotPem);
}

#[test]
fn a_key_cannot_be_printed() {
    let key = DeviceKey::generate(KeyAlgorithm::EcP256).unwrap();
    assert_eq!(format!("{key:?}"), "DeviceKey(EC_P256, redacted)");
}

#[test]
fn algorithms_are_named_as_in_the_api() {
    for algorithm in KeyAlgorithm::ALL {
        assert_eq!(algorithm.name().parse(), Ok(algorithm));
        assert_eq!(algorithm.name().to_lowercase().parse(), Ok(algorithm));
    }
    assert_eq!("dsa".parse::<KeyAlgorithm>(), Err(KeyError::UnknownAlgorithm));
}

#[test]
fn another_key_of_the_same_kind_is_another_key() {
    for algorithm in KeyAlgorithm::ALL {
        let key = DeviceKey::generate(algorithm).unwrap();
        let other = key.generate_alike().unwrap();
        assert_eq!(other.algorithm_name(), key.algorithm_name());
        assert_ne!(other.public_key_der(), key.public_key_der());
    }
    // A kind that is brought, and never made from nothing.
    let pair = RsaKeyPair::generate(KeySize::Rsa3072).unwrap();
    let key = DeviceKey::new(Pair::Rsa(pair)).unwrap();
    assert_eq!(key.generate_alike().unwrap().algorithm_name(), "RSA_3072");
}
