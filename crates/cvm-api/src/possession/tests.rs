//! Which certificates can be somebody's, and that no bytes are too odd to be looked at.

use rustls::crypto::aws_lc_rs;

use super::*;

fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let mut value = match length {
        0..0x80 => vec![tag, u8::try_from(length).unwrap()],
        _ => vec![tag, 0x82, u8::try_from(length >> 8).unwrap(), (length & 0xFF) as u8],
    };
    value.extend_from_slice(contents);
    value
}

/// A certificate of which nothing is right but the place of its key.
fn certificate(version: &[u8], algorithm: &[u8], public_key: &[u8]) -> Vec<u8> {
    let bits = der(0x03, &[&[0], public_key].concat());
    let spki = der(0x30, &[der(0x30, algorithm), bits].concat());
    let five = der(0x30, &[]).repeat(5);
    let tbs = der(0x30, &[version, &five, &spki, b"whatever comes then"].concat());
    der(0x30, &[tbs, b"and no signature at all".to_vec()].concat())
}

fn rsa(bits: usize) -> Vec<u8> {
    let mut modulus = vec![0xFF; bits.div_ceil(8)];
    modulus[0] = 0xFF >> (modulus.len() * 8 - bits);
    let modulus = der(0x02, &[vec![0], modulus].concat());
    let key = der(0x30, &[modulus, der(0x02, &[1, 0, 1])].concat());
    certificate(&der(0xA0, &der(0x02, &[2])), alg_id::RSA_ENCRYPTION.as_ref(), &key)
}

fn identity(certificate: &[u8]) -> Option<CertificateId> {
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    possessed(Some(&[CertificateDer::from(certificate)]), &algorithms)
}

#[test]
fn a_certificate_is_named_by_the_hash_of_all_its_bytes() {
    let algorithm = alg_id::ECDSA_P256.as_ref();
    for version in [&der(0xA0, &der(0x02, &[2]))[..], &[]] {
        let certificate = certificate(version, algorithm, &[4; 65]);
        let expected =
            digest(&SHA256, &certificate).as_ref().try_into().map(CertificateId).unwrap();
        assert_eq!(identity(&certificate), Some(expected));
    }
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    assert_eq!(possessed(None, &algorithms), None);
    assert_eq!(possessed(Some(&[]), &algorithms), None);
}

#[test]
fn a_key_that_cannot_be_verified_is_nobodys() {
    for (bits, is_somebodys) in [(2_047, false), (2_048, true), (8_192, true), (8_193, false)] {
        assert_eq!(identity(&rsa(bits)).is_some(), is_somebodys, "{bits}");
    }
    assert_eq!(identity(&certificate(&[], b"\x06\x01\x2A", &[4; 65])), None);
}

#[test]
fn cut_and_changed_bytes_are_looked_at_without_harm() {
    let whole = rsa(2_048);
    for end in 0..whole.len() {
        let _cut = identity(&whole[..end]);
    }
    for at in 0..40 {
        for value in 0..=u8::MAX {
            let mut changed = whole.clone();
            changed[at] = value;
            let _changed = identity(&changed);
        }
    }
}
