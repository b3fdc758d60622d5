//! Requests as openssl writes them are read; requests as nobody writes them never panic.

use cvm_core::key::{CsrError, WeakKey};
use cvm_core::ports::Issuer as _;
use proptest::prelude::*;

use crate::support::{Home, KEY_KINDS, run, text};

#[test]
fn openssl_requests_of_every_kind_prove_their_key() {
    let home = Home::new();
    for (name, options) in KEY_KINDS {
        let (key, csr) = home.request(name, options);
        let checked = home.check(&csr);
        // The identity is SHA-256 over the normal form, which is what openssl writes.
        let spki = home.scratch.path().join("spki.der");
        run(
            "openssl",
            &["pkey", "-in", text(&key), "-pubout", "-outform", "DER", "-out", text(&spki)],
        );
        let digest = run("openssl", &["dgst", "-sha256", "-r", text(&spki)]);
        assert_eq!(digest.split(' ').next().unwrap(), checked.key.identity.to_string(), "{name}");
        assert_eq!(checked.key.spki, std::fs::read(&spki).unwrap(), "{name}");
    }
}

#[test]
fn other_digests_and_paddings_of_sha2_are_taken() {
    let home = Home::new();
    let (rsa, _) = home.request("rsa", KEY_KINDS[3].1);
    let (p256, _) = home.request("p256", KEY_KINDS[0].1);
    let (p384, _) = home.request("p384", KEY_KINDS[1].1);
    let pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"];
    for (key, options) in [
        (&rsa, &["-sha384"][..]),
        (&rsa, &["-sha512"]),
        (&rsa, &[&["-sha256"], &pss[..]].concat()),
        (&rsa, &[&["-sha384"], &pss[..]].concat()),
        (&rsa, &[&["-sha512"], &pss[..]].concat()),
        (&p256, &["-sha384"]),
        (&p256, &["-sha512"]),
        (&p384, &["-sha256"]),
        (&p384, &["-sha512"]),
    ] {
        let request = ["req", "-new", "-key", text(key), "-subj", "/CN=x"];
        home.check(&run("openssl", &[&request[..], options].concat()));
    }
    let sha1 = run("openssl", &["req", "-new", "-key", text(&rsa), "-subj", "/CN=x", "-sha1"]);
    assert_eq!(refusal(&home, &sha1), CsrError::SignatureAlgorithm);
}

fn refusal(home: &Home, csr: &str) -> CsrError {
    home.issuer.csr_check(&home.issuer.csr_parse(csr).unwrap()).unwrap_err()
}

#[test]
fn other_kinds_and_sizes_of_keys_are_refused() {
    let home = Home::new();
    let curve = |name: &'static str| ["-algorithm", "EC", "-pkeyopt", name];
    let bits = |number: &'static str| ["-algorithm", "RSA", "-pkeyopt", number];
    for (options, expected) in [
        (&curve("ec_paramgen_curve:P-521")[..], CsrError::KeyAlgorithm),
        (&curve("ec_paramgen_curve:secp256k1"), CsrError::KeyAlgorithm),
        (
            &[&curve("ec_paramgen_curve:P-256")[..], &["-pkeyopt", "ec_param_enc:explicit"]]
                .concat(),
            CsrError::KeyAlgorithm,
        ),
        (&["-algorithm", "ED448"], CsrError::KeyAlgorithm),
        (&bits("rsa_keygen_bits:1024"), CsrError::Weak(WeakKey::Size)),
        (&bits("rsa_keygen_bits:2047"), CsrError::Weak(WeakKey::Size)),
        (&bits("rsa_keygen_bits:4098"), CsrError::Weak(WeakKey::Size)),
        (
            &[&bits("rsa_keygen_bits:2048")[..], &["-pkeyopt", "rsa_keygen_pubexp:3"]].concat(),
            CsrError::Weak(WeakKey::Exponent),
        ),
    ] {
        let (_, csr) = home.request("k", options);
        assert_eq!(refusal(&home, &csr), expected, "{options:?}");
    }
    let (_, csr) = home.request("k", &bits("rsa_keygen_bits:4096"));
    home.check(&csr);
}

#[test]
fn a_compressed_point_is_the_same_key() {
    let home = Home::new();
    for (name, options) in &KEY_KINDS[..2] {
        let (key, csr) = home.request(name, options);
        let compressed = home.scratch.path().join("compressed.key");
        let convert = ["-conv_form", "compressed", "-out", text(&compressed)];
        run("openssl", &[&["ec", "-in", text(&key)], &convert[..]].concat());
        let short = run("openssl", &["req", "-new", "-key", text(&compressed), "-subj", "/CN=x"]);
        assert!(short.len() < csr.len(), "the point is compressed");
        assert_eq!(home.check(&short).key, home.check(&csr).key);
    }
}

fn flip(pem: &str, at: usize, bit: u32) -> String {
    let (_, mut der) = decoded(pem);
    let at = at % der.len();
    der[at] ^= 1 << (bit % 8);
    encoded(&der)
}

fn decoded(pem: &str) -> (String, Vec<u8>) {
    use rustls_pki_types::pem::PemObject as _;
    let csr = rustls_pki_types::CertificateSigningRequestDer::from_pem_slice(pem.as_bytes());
    (pem.to_owned(), csr.unwrap().to_vec())
}

fn encoded(der: &[u8]) -> String {
    cvm_pki::pem::certificate(der).replace("CERTIFICATE", "CERTIFICATE REQUEST")
}

#[test]
fn no_flipped_bit_leaves_a_request_that_proves_anything() {
    let home = Home::new();
    let (_, csr) = home.request("k", KEY_KINDS[0].1);
    let length = decoded(&csr).1.len();
    for at in 0..length {
        for bit in 0..8 {
            let flipped = flip(&csr, at, bit);
            let checked = home.issuer.csr_parse(&flipped).and_then(|c| home.issuer.csr_check(&c));
            // Only the length of a hash that openssl would refuse too could pass; none does.
            assert!(checked.is_err(), "byte {at}, bit {bit}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_requests_are_refused_and_never_panic(
        edits in prop::collection::vec((any::<usize>(), any::<u8>()), 1..8),
        cut in any::<usize>(),
        tail in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let home = &*SHARED;
        let mut der = home.1.clone();
        for (at, byte) in edits {
            let at = at % der.len();
            der[at] = byte;
        }
        der.truncate(1 + cut % der.len());
        der.extend(tail);
        if der != home.1 {
            let parsed = home.0.issuer.csr_parse(&encoded(&der));
            prop_assert!(parsed.and_then(|csr| home.0.issuer.csr_check(&csr)).is_err());
        }
    }

    #[test]
    fn any_text_is_refused_and_never_panics(text in ".{0,400}") {
        prop_assert!(SHARED.0.issuer.csr_parse(&text).is_err());
    }
}

static SHARED: std::sync::LazyLock<(Home, Vec<u8>)> = std::sync::LazyLock::new(|| {
    let home = Home::new();
    let (_, csr) = home.request("k", KEY_KINDS[0].1);
    let der = decoded(&csr).1;
    (home, der)
});
