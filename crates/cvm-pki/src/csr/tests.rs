//! What a request must look like, and at which limit it is refused.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

use super::*;
use crate::key::KeyKind;
use crate::oid;

/// A request made of parts, signed with a new P-256 key.
struct Draft {
    version: Vec<u8>,
    attributes: Vec<u8>,
    algorithm: Vec<u8>,
    spki: Option<Vec<u8>>,
    after: Vec<u8>,
}

impl Draft {
    fn new() -> Self {
        Self {
            version: der::element(der::INTEGER, &[&[0]]),
            attributes: der::element(ATTRIBUTES, &[]),
            algorithm: der::element(der::OBJECT_IDENTIFIER, &[oid::ECDSA_SHA256]),
            spki: None,
            after: Vec::new(),
        }
    }

    fn der(&self) -> Vec<u8> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let bits = pair.public_key().as_ref().to_vec();
        let key = SubjectKey { kind: KeyKind::P256, bits, modulus: None };
        let spki = self.spki.clone().unwrap_or_else(|| key.spki());
        let parts: [&[u8]; 4] = [&self.version, &[0x30, 0], &spki, &self.attributes];
        let info = der::element(der::SEQUENCE, &parts);
        let signature = pair.sign(&SystemRandom::new(), &info).unwrap();
        let signature = der::element(der::BIT_STRING, &[&[0], signature.as_ref()]);
        let algorithm = der::element(der::SEQUENCE, &[&self.algorithm]);
        der::element(der::SEQUENCE, &[&info, &algorithm, &signature, &self.after])
    }

    fn check(&self) -> Result<CheckedCsr, CsrError> {
        parse_der(&self.der()).and_then(|csr| check(&csr, &RsaJudge::new()))
    }
}

fn attributes(number: usize, each: &[u8]) -> Vec<u8> {
    let list: Vec<&[u8]> = std::iter::repeat_n(each, number).collect();
    der::element(ATTRIBUTES, &list)
}

#[test]
fn a_request_proves_its_key() {
    assert!(Draft::new().check().is_ok());
    let without = Draft { attributes: Vec::new(), ..Draft::new() };
    assert!(without.check().is_ok(), "some tools leave the attributes out");
}

#[test]
fn the_signature_covers_the_request() {
    let mut der = Draft::new().der();
    // The last byte of the signature's s.
    *der.last_mut().unwrap() ^= 1;
    let refused = parse_der(&der).and_then(|csr| check(&csr, &RsaJudge::new()));
    assert_eq!(refused.unwrap_err(), CsrError::Signature);
}

#[test]
fn what_a_request_claims_is_the_key_that_it_may_prove() {
    let csr = parse_der(&Draft::new().der()).unwrap();
    let proven = check(&csr, &RsaJudge::new()).unwrap().key.identity;
    assert_eq!(claimed_key(&csr), Some(proven));
    let no_key = Draft { spki: Some(vec![0x30, 0]), ..Draft::new() };
    assert_eq!(claimed_key(&parse_der(&no_key.der()).unwrap()), None);
}

#[test]
fn a_point_that_is_on_no_curve_is_named_and_proves_nothing() {
    let bits = [&[4][..], &[1; 64]].concat();
    let key = SubjectKey { kind: KeyKind::P256, bits, modulus: None };
    let draft = Draft { spki: Some(key.spki()), ..Draft::new() };
    let claimed = claimed_key(&parse_der(&draft.der()).unwrap());
    assert_eq!(claimed, Some(key.public_key().identity));
    assert!(draft.check().is_err());
}

#[test]
fn only_the_labels_of_a_request_are_read() {
    let der = Draft::new().der();
    for (label, expected) in [
        ("CERTIFICATE REQUEST", Ok(())),
        ("NEW CERTIFICATE REQUEST", Ok(())),
        ("CERTIFICATE", Err(CsrError::Pem("it has another label"))),
    ] {
        assert_eq!(parse(&pem::encode(label, &der)).map(|_| ()), expected);
    }
    let text = pem::encode("CERTIFICATE REQUEST", &der);
    for (bad, why) in [
        (format!("{}{}", *text, *text), "something follows the block"),
        (format!("hello\n{}", *text), "it does not begin with -----BEGIN"),
        (String::new(), "it does not begin with -----BEGIN"),
    ] {
        assert_eq!(parse(&bad).unwrap_err(), CsrError::Pem(why));
    }
}

#[test]
fn sizes_are_bounded_at_their_limits() {
    let sized = |attribute: usize| {
        let filler = der::element(der::OCTET_STRING, &[&vec![0; attribute]]);
        let each = der::element(der::SEQUENCE, &[&filler]);
        let csr = Draft { attributes: attributes(1, &each), ..Draft::new() };
        csr.der()
    };
    // The signature has 70 to 72 bytes: aim at the limit by what is left.
    let overhead = sized(16_000).len() - 16_000;
    let largest = sized(DER_BYTES_MAX - overhead - 4);
    assert!(largest.len() <= DER_BYTES_MAX && largest.len() > DER_BYTES_MAX - 16);
    assert!(parse(&pem::encode("CERTIFICATE REQUEST", &largest)).is_ok());
    let over = pem::encode("CERTIFICATE REQUEST", &vec![0; DER_BYTES_MAX + 1]);
    assert_eq!(parse(&over).unwrap_err(), CsrError::TooLarge("16 KiB of DER"));
    let padded = format!("{}{}", *over, " ".repeat(PEM_BYTES_MAX));
    assert_eq!(parse(&padded).unwrap_err(), CsrError::TooLarge("24 KiB of PEM"));
}

#[test]
fn at_most_64_attributes_are_read() {
    let with = |number| Draft { attributes: attributes(number, &[0x30, 0]), ..Draft::new() };
    assert!(with(64).check().is_ok());
    assert_eq!(with(65).check().unwrap_err(), CsrError::TooLarge("64 attributes"));
    assert_eq!(with(5_000).check().unwrap_err(), CsrError::TooLarge("64 attributes"));
}

#[test]
fn what_is_not_a_request_in_der_is_refused() {
    let refused = |draft: Draft| draft.check().unwrap_err();
    let version = |content: &[u8]| Draft { version: content.to_vec(), ..Draft::new() };
    assert_eq!(refused(version(&[2, 1, 1])), CsrError::Encoding("the version is not 0"));
    assert_eq!(refused(version(&[2, 2, 0, 0])), CsrError::Encoding("the version is not 0"));
    let after = |after: &[u8]| Draft { after: after.to_vec(), ..Draft::new() };
    assert_eq!(refused(after(&[5, 0])), CsrError::Encoding("there are trailing bytes"));
    let ber = [0x30, 4, 1, 1, 2, 0];
    let nested = Draft { attributes: attributes(1, &ber), ..Draft::new() };
    assert!(matches!(refused(nested), CsrError::Encoding(_)));
    let mut der = Draft::new().der();
    der.push(0);
    assert_eq!(parse_der(&der).unwrap_err(), CsrError::Encoding("there are trailing bytes"));
}

#[test]
fn signature_algorithms_are_taken_by_name_and_parameters() {
    let algorithm = |parts: &[&[u8]]| {
        let draft = Draft { algorithm: parts.concat(), ..Draft::new() };
        draft.check().map(|_| ())
    };
    let name = |oid| der::element(der::OBJECT_IDENTIFIER, &[oid]);
    assert_eq!(algorithm(&[&name(oid::ECDSA_SHA256)]), Ok(()));
    // As mbedTLS 2 writes it.
    assert_eq!(algorithm(&[&name(oid::ECDSA_SHA256), &[5, 0]]), Ok(()));
    for parts in [
        &[&name(oid::ECDSA_SHA256)[..], &[5, 0, 5, 0]][..],
        &[&name(oid::ECDSA_SHA256), &[4, 0]],
        &[&name(oid::RSA_SHA256), &[5, 0]],
        &[&name(oid::ED25519)],
        // ecdsa-with-SHA1
        &[&name(&[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x01])],
    ] {
        assert_eq!(algorithm(parts), Err(CsrError::SignatureAlgorithm));
    }
}

#[test]
fn no_point_is_no_key() {
    let with = |kind: KeyKind, bits: &[u8]| {
        let key = SubjectKey { kind, bits: bits.to_vec(), modulus: None };
        let draft = Draft { spki: Some(key.spki()), ..Draft::new() };
        draft.check().unwrap_err()
    };
    let point = CsrError::Weak(cvm_core::key::WeakKey::Point);
    let infinity = with(KeyKind::P256, &[0]);
    assert_eq!(infinity, point);
    let mut off_curve = [1; 65];
    off_curve[0] = 4;
    assert_eq!(with(KeyKind::P256, &off_curve), point);
    off_curve[0] = 6;
    assert_eq!(with(KeyKind::P256, &off_curve), point, "the hybrid form");
    assert_eq!(with(KeyKind::P256, &[2; 34]), point);
    // x = 7 is on no point of P-256 (checked with another library).
    let mut no_root = [0; 33];
    (no_root[0], no_root[32]) = (2, 7);
    assert_eq!(with(KeyKind::P256, &no_root), point);
    assert_eq!(with(KeyKind::P384, &[4; 65]), point);
    for small_order in [[0; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }] {
        assert_eq!(with(KeyKind::Ed25519, &small_order), point);
    }
    assert_eq!(with(KeyKind::Ed25519, &[7; 31]), point);
}

#[test]
fn a_subject_is_nothing_one_common_name_or_something_else() {
    let subject = |names: &[(rcgen::DnType, &str)]| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, name) in names {
            parameters.distinguished_name.push(kind.clone(), *name);
        }
        let der = parameters.serialize_request(&key).unwrap().der().to_vec();
        check(&UncheckedCsr { der }, &RsaJudge::new()).unwrap().subject
    };
    let (common, organization) = (rcgen::DnType::CommonName, rcgen::DnType::OrganizationName);
    assert_eq!(subject(&[]), Subject::Empty);
    assert_eq!(subject(&[(common.clone(), "SN-1")]), Subject::CommonName(String::from("SN-1")));
    assert_eq!(subject(&[(organization.clone(), "SN-1")]), Subject::Other);
    assert_eq!(subject(&[(common, "SN-1"), (organization, "Acme")]), Subject::Other);
}
