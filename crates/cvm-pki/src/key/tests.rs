//! One key, one form, one identity.

use super::*;

fn spki(algorithm: &[&[u8]], bits: &[u8]) -> Vec<u8> {
    let algorithm = der::element(der::SEQUENCE, algorithm);
    der::element(der::SEQUENCE, &[&algorithm, &der::element(der::BIT_STRING, &[&[0], bits])])
}

fn rsa_bits(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let integer = |content| der::element(der::INTEGER, &[content]);
    der::element(der::SEQUENCE, &[&integer(modulus), &integer(exponent)])
}

fn modulus(octets: usize) -> Vec<u8> {
    [&[0][..], &vec![0xC5; octets]].concat()
}

#[test]
fn null_parameters_make_no_other_rsa_key() {
    let name = der::element(der::OBJECT_IDENTIFIER, &[oid::RSA]);
    let bits = rsa_bits(&modulus(256), RSA_EXPONENT);
    let with = SubjectKey::read(&spki(&[&name, &[5, 0]], &bits)).unwrap();
    let without = SubjectKey::read(&spki(&[&name], &bits)).unwrap();
    assert_eq!(with.public_key(), without.public_key());
    assert_eq!(with.spki(), spki(&[&name, &[5, 0]], &bits));
}

#[test]
fn rsa_keys_have_2048_to_4096_bits_and_one_exponent() {
    let name = der::element(der::OBJECT_IDENTIFIER, &[oid::RSA]);
    let read = |modulus: &[u8], exponent: &[u8]| {
        SubjectKey::read(&spki(&[&name, &[5, 0]], &rsa_bits(modulus, exponent))).map(|_| ())
    };
    assert_eq!(read(&modulus(256), RSA_EXPONENT), Ok(()));
    assert_eq!(read(&modulus(512), RSA_EXPONENT), Ok(()));
    assert_eq!(read(&[&[0x7F], &[1; 255][..]].concat(), RSA_EXPONENT), Err(weak(WeakKey::Size)));
    assert_eq!(read(&[&[1], &[1; 512][..]].concat(), RSA_EXPONENT), Err(weak(WeakKey::Size)));
    for exponent in [&[1][..], &[3], &[1, 0, 3], &[1, 0, 0, 0, 1]] {
        assert_eq!(read(&modulus(256), exponent), Err(weak(WeakKey::Exponent)), "{exponent:?}");
    }
    let negative = read(&[0xC5; 256], RSA_EXPONENT);
    assert_eq!(negative, Err(CsrError::Encoding("an RSA number is negative")));
}

#[test]
fn other_algorithms_and_parameters_are_refused() {
    let name = |oid| der::element(der::OBJECT_IDENTIFIER, &[oid]);
    let (ec, p256, ed) = (name(oid::EC_PUBLIC_KEY), name(oid::P256), name(oid::ED25519));
    let explicit = der::element(der::SEQUENCE, &[]);
    for algorithm in [
        &[&ec[..]][..],
        &[&ec, &[5, 0]],
        &[&ec, &explicit],
        &[&ed, &[5, 0]],
        &[&name(oid::RSA), &p256],
        &[&name(oid::RSA_PSS)],
        &[&name(oid::MGF1)],
    ] {
        let refused = SubjectKey::read(&spki(algorithm, &[4; 65])).unwrap_err();
        assert_eq!(refused, CsrError::KeyAlgorithm, "{algorithm:02x?}");
    }
}

#[test]
fn ed25519_points_of_small_order_are_refused_in_each_form() {
    let order_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let mut encoded = cvm_core::id::digest_from_hex(order_8).unwrap();
    assert!(is_small_order(encoded));
    encoded[31] |= 0x80;
    assert!(is_small_order(encoded), "with the sign bit");
    let mut high = [0xFF; 32];
    high[31] = 0x7F;
    for (first, expected) in
        [(0xEB, false), (0xEC, true), (0xED, true), (0xEE, true), (0xEF, false)]
    {
        high[0] = first;
        assert_eq!(is_small_order(high), expected, "{first:x}");
    }
    assert!(!is_small_order([9; 32]));
}
