//! throwaway
use cvm_core::key::*;
use cvm_core::ports::*;
use cvm_core::time::*;
use cvm_pki::*;
use std::time::Instant;
fn t<R>(name: &str, n: u32, mut f: impl FnMut() -> R) {
    let mut best = f64::MAX;
    for _ in 0..7 {
        let b = Instant::now();
        for _ in 0..n {
            std::hint::black_box(f());
        }
        best = best.min(b.elapsed().as_secs_f64() * 1e6 / f64::from(n));
    }
    eprintln!("{name}: {best:.1} us");
}
#[test]
fn m() {
    let d = tempfile::tempdir().unwrap();
    let v = Vault::create(&d.path().join("vault"), Protection::Unsealed).unwrap();
    let h = ["localhost".to_owned()];
    let now = Timestamp(1_772_366_400);
    Pki::create(
        &v,
        &CreateOptions {
            data_dir: d.path(),
            server: ServerOptions { hostnames: &h, algorithm: KeyAlgorithm::EcP256 },
            import: None,
            root_key_out: None,
            now,
        },
    )
    .unwrap();
    let p = Pki::load(d.path(), &v, "http://localhost:8080").unwrap();
    let i = p.issuer();
    let sh = |a: &[&str]| {
        String::from_utf8(std::process::Command::new("openssl").args(a).output().unwrap().stdout)
            .unwrap()
    };
    let k = d.path().join("k");
    let k = k.to_str().unwrap();
    let rt = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (n, a) in [
        (
            "P-256",
            &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", k][..],
        ),
        (
            "P-384",
            &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", k],
        ),
        ("Ed25519", &["genpkey", "-algorithm", "ED25519", "-out", k]),
        (
            "RSA-2048",
            &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", k],
        ),
        (
            "RSA-4096",
            &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096", "-out", k],
        ),
    ] {
        sh(a);
        let csr = sh(&["req", "-new", "-key", k, "-subj", "/CN=x"]);
        t(&format!("csr_parse {n}"), 500, || i.csr_parse(&csr).unwrap());
        let c = i.csr_parse(&csr).unwrap();
        t(&format!("csr_check {n}"), 200, || i.csr_check(&c).unwrap());
        let c = i.csr_check(&c).unwrap();
        let (s, th) = ("SN-0001".parse().unwrap(), "SN-0001".parse().unwrap());
        t(&format!("leaf_sign {n}"), 500, || {
            rt.block_on(i.leaf_sign(LeafTemplate {
                serial_number: &s,
                thing_name: &th,
                key: &c.key,
                not_before: now,
                not_after: now.plus(Span(365 * 86400)),
            }))
            .unwrap()
        });
    }
    let pair = aws_lc_rs::signature::EcdsaKeyPair::generate(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING,
    )
    .unwrap();
    let r = aws_lc_rs::rand::SystemRandom::new();
    t("raw p256 sign", 500, || pair.sign(&r, &[7; 500]).unwrap());
    let mut b = [0u8; 17];
    t("rand 17", 500, || SystemEntropy.fill(&mut b));
    let tok = cvm_core::token::Token::generate(&SystemEntropy);
    t("token_mac", 500, || p.secrets().token_mac("SN-0001", &tok));
}
