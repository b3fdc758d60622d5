//! pkilint's rules for RFC 5280 find no error in any profile.

use std::fmt::Write as _;

use cvm_core::key::KeyAlgorithm;
use cvm_core::time::Span;

use crate::crls::entries_of_each_reason;
use crate::support::{Home, KEY_KINDS, NOW, python, run, text};

/// Findings that we know and keep, each by severity, code and what it is about.
///
/// The one error is pkilint's reading: RFC 1034 §3.5, which RFC 5280 §4.2.1.6 names, has names of
/// one label; pkilint's library wants a public suffix. `localhost` is our default host name.
const TOLERATED: [&str; 1] =
    [r#",ERROR,pkix.invalid_domain_name_syntax,"Invalid domain name syntax: ""localhost"""#];

/// Every finding of ERROR, FATAL or WARNING in a certificate, one a line.
fn findings(home: &Home, pem: &str) -> String {
    said(home, "lint_pkix_cert", &[], pem.as_bytes())
}

/// The same of a CRL.
fn findings_in_crl(home: &Home, crl: &[u8]) -> String {
    let options = ["-t", "CRL", "-p", "PKIX", "--document-format", "DER"];
    said(home, "lint_crl", &options, crl)
}

fn said(home: &Home, program: &str, options: &[&str], document: &[u8]) -> String {
    let path = home.file("lint.document", document);
    let program = python().with_file_name(program);
    let arguments = [&["lint", "-s", "WARNING", "-f", "CSV"], options, &[text(&path)]].concat();
    // pkilint's exit code is the number of findings.
    let output = std::process::Command::new(&program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(said.starts_with("node_path,validator,severity,code,message"), "{output:?}");
    let is_tolerated = |line: &str| TOLERATED.iter().any(|known| line.contains(known));
    said.lines().skip(1).filter(|line| !line.is_empty() && !is_tolerated(line)).fold(
        String::new(),
        |mut all, line| {
            writeln!(all, "{line}").unwrap();
            all
        },
    )
}

#[test]
fn no_profile_has_an_error() {
    let home = Home::new();
    let pem = cvm_pki::pem::certificate;
    let mut certificates = vec![
        ("root", home.created.root_pem.clone()),
        ("devices", home.created.devices_ca_pem.clone()),
        ("servers", home.created.servers_ca_pem.clone()),
        ("server", pem(&home.server_chain(KeyAlgorithm::EcP256)[0])),
        ("server-rsa", pem(&home.server_chain(KeyAlgorithm::Rsa2048)[0])),
        (
            "journal",
            std::fs::read_to_string(home.scratch.path().join("vault/journal.pem")).unwrap(),
        ),
    ];
    for (name, leaf) in home.leaf_of_each_kind() {
        certificates.push((name, pem(&leaf.der)));
    }
    let (_, csr) = home.request("k", KEY_KINDS[0].1);
    let key = home.check(&csr).key;
    let nameless = home.leaf_named("SN_1", &"t".repeat(65), &key, NOW.plus(Span::DAY));
    certificates.push(("nameless", pem(&nameless.der)));
    for (name, certificate) in certificates {
        assert_eq!(findings(&home, &certificate), "", "{name}");
    }
}

#[test]
fn no_crl_has_an_error() {
    let late = Home::with("2049-06-01T00:00:00Z".parse().unwrap(), None, KeyAlgorithm::EcP256);
    for (home, at) in [(Home::new(), NOW), (late, "2050-01-01T00:00:00Z".parse().unwrap())] {
        assert_eq!(findings_in_crl(&home, &home.crl(0x9A, at, Vec::new())), "");
        let crl = home.crl(0x9A, at, entries_of_each_reason());
        assert_eq!(findings_in_crl(&home, &crl), "");
    }
}

#[test]
fn the_judge_does_find_what_is_wrong_in_a_crl() {
    let home = Home::new();
    let mut crl = home.crl(0x9A, NOW, entries_of_each_reason());
    // The type of the CRL number becomes that of a delta CRL indicator, which has to be critical.
    let number = [6, 3, 0x55, 0x1D, 20];
    let at = crl.windows(5).position(|window| window == number).unwrap();
    crl[at + 4] = 27;
    assert!(findings_in_crl(&home, &crl).contains(",ERROR,"));
}

#[test]
fn the_judge_does_find_what_is_wrong() {
    // A certificate by openssl without key usage in a CA, as a control.
    let home = Home::new();
    let (key, _) = home.request("k", KEY_KINDS[0].1);
    let bad = run(
        "openssl",
        &[
            "req",
            "-x509",
            "-new",
            "-key",
            text(&key),
            "-subj",
            "/CN=x",
            "-addext",
            "basicConstraints=CA:TRUE",
        ],
    );
    assert!(findings(&home, &bad).contains(",ERROR,"), "{}", findings(&home, &bad));
}
