//! An operator's own CA as the `devices` CA, made by openssl.

use cvm_core::key::KeyAlgorithm;
use cvm_core::ports::Issuer as _;
use cvm_core::time::{Span, Timestamp};
use cvm_pki::{DevicesCa, ImportedCa, Pki, PkiError, Protection, ServerOptions, Vault};
use std::path::Path;
use tempfile::TempDir;

use crate::support::{Home, KEY_KINDS, run, text};

/// A self-signed CA by openssl: certificate and key, PEM, and a time a day after its begin.
fn ca(scratch: &TempDir, genpkey: &[&str], extensions: &[&str]) -> (String, String, Timestamp) {
    let key = scratch.path().join("ca.key");
    run("openssl", &[&["genpkey", "-out", text(&key)], genpkey].concat());
    let subject = "/DC=com/DC=example/O=Äpfel AG/OU=one/OU=two/CN=Fleet CA";
    let path = scratch.path().join("ca.pem");
    let request = ["req", "-x509", "-new", "-utf8", "-key", text(&key), "-subj", subject];
    let out = ["-days", "5000", "-out", text(&path)];
    run("openssl", &[&request, &out[..], extensions].concat());
    let show = ["x509", "-in", text(&path), "-noout", "-startdate", "-dateopt", "iso_8601"];
    let shown = run("openssl", &show);
    let begin = shown.trim().trim_start_matches("notBefore=").replace(' ', "T");
    let now = begin.parse::<Timestamp>().unwrap().plus(Span::DAY);
    (read(&path), read(&key), now)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

const GOOD: [&str; 4] = [
    "-addext",
    "basicConstraints=critical,CA:TRUE,pathlen:0",
    "-addext",
    "keyUsage=critical,keyCertSign,cRLSign",
];

/// A home whose `devices` CA is an imported one with such a key, and the time there.
pub(crate) fn home(genpkey: &[&str]) -> (Home, Timestamp) {
    let scratch = tempfile::tempdir().unwrap();
    let (certificate, key, now) = ca(&scratch, genpkey, &GOOD);
    let import = ImportedCa { certificate_pem: &certificate, key_pem: &key };
    (Home::with(now, Some(import), KeyAlgorithm::EcP256), now)
}

#[test]
fn leaves_of_an_imported_ca_chain_to_it_byte_for_byte() {
    for (name, genpkey) in [KEY_KINDS[0], KEY_KINDS[1], KEY_KINDS[3]] {
        let scratch = tempfile::tempdir().unwrap();
        let (certificate, key, now) = ca(&scratch, genpkey, &GOOD);
        let import = ImportedCa { certificate_pem: &certificate, key_pem: &key };
        let home = Home::with(now, Some(import), KeyAlgorithm::EcP256);
        assert_eq!(home.created.devices_ca_pem, certificate, "{name}");
        let (_, csr) = home.request("k", KEY_KINDS[0].1);
        let leaf = home.leaf(&home.check(&csr).key);
        let (anchor, leaf) = (
            home.file("ca.pem", &certificate),
            home.file("leaf.pem", cvm_pki::pem::certificate(&leaf.der)),
        );
        let time = now.0.to_string();
        let verify = ["verify", "-x509_strict", "-purpose", "sslclient", "-attime", &time];
        run("openssl", &[&verify[..], &["-CAfile", text(&anchor), text(&leaf)]].concat());
        let chain = home.issuer.chain(&home.issuer.issuer_id()).unwrap();
        assert_eq!((&chain.intermediate, &chain.root), (&certificate, &home.created.root_pem));
    }
}

#[test]
fn keys_in_their_older_forms_are_read() {
    for (index, form) in [(0, ["ec", "-in"]), (3, ["rsa", "-traditional"])] {
        let scratch = tempfile::tempdir().unwrap();
        let (certificate, _, now) = ca(&scratch, KEY_KINDS[index].1, &GOOD);
        let path = scratch.path().join("ca.key");
        let key = match form {
            ["ec", _] => run("openssl", &["ec", "-in", text(&path)]),
            _ => run("openssl", &["rsa", "-traditional", "-in", text(&path)]),
        };
        assert!(!key.contains("BEGIN PRIVATE KEY"));
        let import = ImportedCa { certificate_pem: &certificate, key_pem: &key };
        drop(Home::with(now, Some(import), KeyAlgorithm::EcP256));
    }
}

fn refusal(certificate: &str, key: &str, now: Timestamp) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let vault = Vault::create(&scratch.path().join("vault"), Protection::Unsealed).unwrap();
    let options = cvm_pki::CreateOptions {
        data_dir: scratch.path(),
        server: ServerOptions {
            hostnames: &["localhost".to_owned()],
            algorithm: KeyAlgorithm::EcP256,
        },
        devices: DevicesCa::Imported(ImportedCa { certificate_pem: certificate, key_pem: key }),
        root_key_out: None,
        now,
    };
    let error: PkiError = Pki::create(&vault, &options).unwrap_err();
    assert_eq!(vault.list().unwrap(), Vec::<String>::new(), "nothing was written");
    error.to_string()
}

#[test]
fn what_cannot_sign_devices_is_refused_before_anything_is_written() {
    let scratch = tempfile::tempdir().unwrap();
    let (good, key, now) = ca(&scratch, KEY_KINDS[0].1, &GOOD);
    let (_, other_key, _) = ca(&scratch, KEY_KINDS[0].1, &GOOD);
    assert_eq!(
        refusal(&good, &other_key, now),
        "the private key cannot be used: it is not the key of the certificate"
    );
    assert_eq!(refusal("", &key, now), "the CA cannot be imported: the file has no certificate");
    for (extensions, expected) in [
        (&["-addext", "basicConstraints=critical,CA:FALSE"][..], "it is no CA (basicConstraints)"),
        (
            &["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=cRLSign"],
            "its keyUsage does not allow signing certificates (keyCertSign)",
        ),
        (
            &["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign"],
            "its keyUsage does not allow signing CRLs (cRLSign)",
        ),
        (
            &[
                "-addext",
                "basicConstraints=critical,CA:TRUE",
                "-addext",
                "extendedKeyUsage=serverAuth",
            ],
            "its extendedKeyUsage leaves out clientAuth",
        ),
        (
            &[
                "-addext",
                "basicConstraints=critical,CA:TRUE",
                "-addext",
                "subjectKeyIdentifier=none",
            ],
            "it has no subjectKeyIdentifier of 20 octets (RFC 5280 §4.2.1.2)",
        ),
        (
            &[&GOOD[..], &["-addext", "nameConstraints=critical,permitted;DNS:example.com"]]
                .concat(),
            "it has nameConstraints, which devices' names would break: use a CA without",
        ),
        (
            &[&GOOD[..], &["-addext", "1.2.3.4=critical,DER:0500"]].concat(),
            "it has a critical extension that verifiers of devices may not know",
        ),
    ] {
        let (certificate, key, now) = ca(&scratch, KEY_KINDS[0].1, extensions);
        assert_eq!(
            refusal(&certificate, &key, now),
            format!("the CA cannot be imported: {expected}")
        );
    }
    for genpkey in
        [&["-algorithm", "ED25519"][..], &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]]
    {
        let (certificate, key, now) = ca(&scratch, genpkey, &GOOD);
        assert!(refusal(&certificate, &key, now).contains("key"), "{genpkey:?}");
    }
}
