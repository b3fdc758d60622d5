//! The `openssl` command verifies every chain strictly, and prints what we meant to write.

use cvm_core::key::KeyAlgorithm;
use cvm_core::time::{Span, Timestamp};

use crate::support::{Home, KEY_KINDS, NOW, run, text};

fn verify(home: &Home, purpose: &str, between: &str, leaf: &str) {
    let root = home.file("root.pem", &home.created.root_pem);
    let between = home.file("between.pem", between);
    let leaf = home.file("leaf.pem", leaf);
    let time = NOW.0.to_string();
    let arguments =
        ["verify", "-x509_strict", "-check_ss_sig", "-purpose", purpose, "-attime", &time];
    let files = ["-CAfile", text(&root), "-untrusted", text(&between), text(&leaf)];
    let said = run("openssl", &[&arguments[..], &files].concat());
    assert!(said.ends_with(": OK\n"), "{said}");
}

/// `openssl x509 -text`, with what differs each time replaced.
fn printed(pem: &str, home: &Home) -> String {
    let path = home.file("printed.pem", pem);
    let shown = run(
        "openssl",
        &[
            "x509",
            "-in",
            text(&path),
            "-noout",
            "-text",
            "-nameopt",
            "rfc2253",
            "-certopt",
            "no_sigdump,ext_parse",
        ],
    );
    let mut lines: Vec<String> = Vec::new();
    let mut is_hidden_next = false;
    for line in shown.lines() {
        let indent = line.len() - line.trim_start().len();
        let content = line.trim_start();
        let is_hexadecimal =
            content.len() > 8 && content.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
        let line = if content.starts_with("othername:") {
            // Each version of openssl shows it in its own way; the bytes are judged elsewhere.
            format!("{}[other name]", " ".repeat(indent))
        } else if is_hexadecimal || is_hidden_next {
            format!("{}[bytes]", " ".repeat(indent))
        } else {
            redact(line)
        };
        is_hidden_next = content == "Serial Number:";
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }
    lines.join("\n")
}

/// Replaces hexadecimal of eight digits and more, and the shard.
fn redact(line: &str) -> String {
    let mut out = String::new();
    for word in line.split_inclusive([' ', '/', ',', '.']) {
        let (body, end) = word.split_at(word.trim_end_matches([' ', '/', ',', '.']).len());
        let is_hexadecimal = body.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
        let is_shard = body.len() == 2 && line.contains("/v1/crl/") && end == ".";
        out += if is_hexadecimal && (body.len() >= 8 || is_shard) { "[hex]" } else { body };
        out += end;
    }
    out
}

fn pem(der: &[u8]) -> String {
    cvm_pki::pem::certificate(der)
}

#[test]
fn every_leaf_verifies_strictly_as_a_tls_client() {
    let home = Home::new();
    for (_, leaf) in home.leaf_of_each_kind() {
        verify(&home, "sslclient", &home.created.devices_ca_pem, &pem(&leaf.der));
    }
}

#[test]
fn the_server_certificate_verifies_strictly_as_a_tls_server() {
    for algorithm in [KeyAlgorithm::EcP256, KeyAlgorithm::Rsa2048] {
        let home = Home::with(NOW, None, algorithm);
        let chain = home.server_chain(algorithm);
        verify(&home, "sslserver", &pem(&chain[1]), &pem(&chain[0]));
    }
}

#[test]
fn the_printed_certificates_are_as_recorded() {
    let home = Home::new();
    let (_, csr) = home.request("k", KEY_KINDS[0].1);
    let leaf = home.leaf(&home.check(&csr).key);
    insta::assert_snapshot!("root", printed(&home.created.root_pem, &home));
    insta::assert_snapshot!("devices_ca", printed(&home.created.devices_ca_pem, &home));
    insta::assert_snapshot!("servers_ca", printed(&home.created.servers_ca_pem, &home));
    insta::assert_snapshot!("leaf", printed(&pem(&leaf.der), &home));
    let chain = home.server_chain(KeyAlgorithm::EcP256);
    insta::assert_snapshot!("server", printed(&pem(&chain[0]), &home));
    let journal = std::fs::read_to_string(home.scratch.path().join("vault/journal.pem")).unwrap();
    insta::assert_snapshot!("journal", printed(&journal, &home));
}

#[test]
fn names_that_do_not_fit_the_subject_stand_in_the_alternative_name_alone() {
    let home = Home::new();
    let (_, csr) = home.request("k", KEY_KINDS[0].1);
    let key = home.check(&csr).key;
    let end = NOW.plus(Span::DAY);
    // `_` is not in a PrintableString, and a thing name may have 128 characters.
    let nameless = home.leaf_named("SN_1", &"t".repeat(65), &key, end);
    verify(&home, "sslclient", &home.created.devices_ca_pem, &pem(&nameless.der));
    let shown = printed(&pem(&nameless.der), &home);
    assert!(shown.contains("Subject: \n") || shown.contains("Subject:\n"), "{shown}");
    assert!(shown.contains("X509v3 Subject Alternative Name: critical"), "{shown}");
    let longest = home.leaf_named(&"S".repeat(64), &"t".repeat(64), &key, end);
    let shown = printed(&pem(&longest.der), &home);
    assert!(
        shown.contains(&format!("serialNumber={},CN={}", "S".repeat(64), "t".repeat(64))),
        "{shown}"
    );
}

#[test]
fn times_change_their_type_between_2049_and_2050() {
    // 2046-06-01: the CA made then outlives 2050.
    let home = Home::with(Timestamp(2_411_424_000), None, KeyAlgorithm::EcP256);
    let (_, csr) = home.request("k", KEY_KINDS[0].1);
    let key = home.check(&csr).key;
    let last_of_2049: Timestamp = "2049-12-31T23:59:59Z".parse().unwrap();
    for (not_after, kind, shown) in [
        (last_of_2049, "UTCTIME", "491231235959Z"),
        (Timestamp(last_of_2049.0 + 1), "GENERALIZEDTIME", "20500101000000Z"),
    ] {
        let leaf = home.leaf_named("SN-0001", "SN-0001", &key, not_after);
        assert_eq!(leaf.not_after, not_after);
        let path = home.file("leaf.der", &leaf.der);
        let parsed = run("openssl", &["asn1parse", "-inform", "DER", "-in", text(&path)]);
        let line = parsed.lines().find(|line| line.contains(shown)).expect(shown);
        assert!(line.contains(kind), "{line}");
    }
}

#[test]
fn a_leaf_ends_with_its_ca_at_the_latest() {
    let home = Home::new();
    let (_, csr) = home.request("k", KEY_KINDS[0].1);
    let leaf =
        home.leaf_named("SN-0001", "SN-0001", &home.check(&csr).key, Timestamp(4_102_444_800));
    assert_eq!(leaf.not_after, NOW.plus(Span(5 * 365 * Span::DAY.0)));
    verify(&home, "sslclient", &home.created.devices_ca_pem, &pem(&leaf.der));
}

#[test]
fn the_serial_number_and_its_shard_are_what_openssl_prints() {
    let home = Home::new();
    let (_, csr) = home.request("k", KEY_KINDS[0].1);
    let key = home.check(&csr).key;
    let ski = home.issuer.issuer_id();
    for _ in 0..16 {
        let leaf = home.leaf(&key);
        let path = home.file("leaf.pem", pem(&leaf.der));
        let shown = run("openssl", &["x509", "-in", text(&path), "-noout", "-serial", "-text"]);
        let serial = cvm_core::id::hex(&leaf.certificate_serial);
        assert!(shown.contains(&format!("serial={}\n", serial.to_uppercase())), "{shown}");
        let url = format!("URI:http://crl.example.com:8080/v1/crl/{ski}/{}.crl\n", &serial[..2]);
        assert!(shown.contains(&url), "{shown}");
    }
}
