//! CRLs of the real server as relying parties use them: `curl` fetches what the certificate names,
//! `openssl` judges by it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use cvm_e2e::{Client, Environment, Key, Response, test_python, wait_for};
use serde_json::{Value, json};

fn run(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Output {
    Command::new(program.as_ref()).args(arguments).output().unwrap()
}

/// Standard output of a command that has to succeed.
fn succeed(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A server that serves CRLs without TLS at the URL that certificates name.
fn environment() -> Environment {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (listen, url) = (free.to_string(), format!("http://{free}"));
    Environment::start(&[("http.plain_listen", &listen), ("http.crl_url", &url)]).unwrap()
}

/// A file in the test's directory.
fn file(environment: &Environment, name: &str, content: &str) -> PathBuf {
    let path = environment.scratch().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// Where the certificate says that its CRL is.
fn crl_url(environment: &Environment, answer: &Response) -> String {
    let leaf = file(environment, "leaf.pem", &answer.text("certificate"));
    let arguments = ["x509", "-in", text(&leaf), "-noout", "-ext", "crlDistributionPoints"];
    let shown = succeed("openssl", &arguments);
    let url = shown.lines().find_map(|line| line.trim().strip_prefix("URI:"));
    url.unwrap_or_else(|| panic!("{shown}")).to_owned()
}

/// Fetches the CRL that the certificate names; its path.
fn fetched(environment: &Environment, url: &str) -> PathBuf {
    let path = environment.scratch().join("list.crl");
    let format = "%{http_code} %{content_type}";
    let said = succeed("curl", &["-s", "-o", text(&path), "-w", format, url]);
    assert_eq!(said, "200 application/pkix-crl");
    path
}

/// What `openssl verify -crl_check` says of the certificate, by the CRL that it names.
fn judged(environment: &Environment, answer: &Response) -> Result<(), String> {
    let list = fetched(environment, &crl_url(environment, answer));
    let list = succeed("openssl", &["crl", "-inform", "DER", "-in", text(&list)]);
    let list = file(environment, "list.pem", &list);
    let root = file(environment, "root.pem", &environment.root_ca().unwrap());
    let chain = file(environment, "chain.pem", &answer.text("chain"));
    let leaf = file(environment, "leaf.pem", &answer.text("certificate"));
    let strictly = ["verify", "-x509_strict", "-crl_check", "-extended_crl"];
    let files = ["-CAfile", text(&root), "-untrusted", text(&chain), "-CRLfile", text(&list)];
    let output = run("openssl", &[&strictly[..], &files, &[text(&leaf)]].concat());
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    if output.status.success() { Ok(()) } else { Err(said) }
}

fn vended(environment: &Environment, serial: &str, key: &Key) -> Response {
    let token = environment.device_add(serial).unwrap();
    let answer = environment.vend(serial, &token, &key.csr().unwrap()).unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    answer
}

fn confirm(environment: &Environment, answer: &Response, key: &Key) {
    let chain = format!("{}{}", answer.text("certificate"), answer.text("chain"));
    let root = environment.root_ca().unwrap();
    let client =
        Client::with_certificate(&environment.ready("http"), &root, &chain, &key.pem()).unwrap();
    let confirmed = client.request("POST", "/v1/certificates/confirm", &[], None).unwrap();
    assert_eq!(confirmed.status, 204, "{confirmed:?}");
}

fn certificate(environment: &Environment, answer: &Response) -> Value {
    let path = format!("/v1/certificates/{}", answer.text("certificateId"));
    environment.operate("GET", &path, None).unwrap().json().unwrap()
}

#[test]
fn what_an_operator_revoked_is_in_the_crl_that_it_names_at_once() {
    let environment = environment();
    let (key, other) = (Key::new().unwrap(), Key::new().unwrap());
    let (bad, good) = (vended(&environment, "SN-1", &key), vended(&environment, "SN-2", &other));
    confirm(&environment, &bad, &key);
    assert_eq!(judged(&environment, &bad), Ok(()), "not yet");
    let path = format!("/v1/certificates/{}:revoke", bad.text("certificateId"));
    let revoked = environment.operate("POST", &path, Some(&json!({"reason": "keyCompromise"})));
    assert_eq!(revoked.unwrap().status, 200);
    let said = judged(&environment, &bad).unwrap_err();
    assert!(said.contains("certificate revoked"), "{said}");
    assert_eq!(judged(&environment, &good), Ok(()));
    let list = environment.scratch().join("list.crl");
    fetched(&environment, &crl_url(&environment, &bad));
    let shown =
        succeed("openssl", &["crl", "-inform", "DER", "-in", text(&list), "-noout", "-text"]);
    assert!(shown.contains("Key Compromise"), "{shown}");
}

#[test]
fn what_lost_its_key_to_another_device_is_in_the_crl_also_after_a_crash() {
    let mut environment = environment();
    let key = Key::new().unwrap();
    let (loser, winner) = (vended(&environment, "SN-1", &key), vended(&environment, "SN-2", &key));
    assert_eq!(judged(&environment, &loser), Ok(()));
    confirm(&environment, &winner, &key);
    let is_written =
        || Ok((!certificate(&environment, &loser)["revokedAt"].is_null()).then_some(()));
    wait_for("the loser's end", Duration::from_secs(30), is_written).unwrap();
    let said = judged(&environment, &loser).unwrap_err();
    assert!(said.contains("certificate revoked"), "{said}");
    environment.kill().unwrap();
    environment.serve().unwrap();
    let said = judged(&environment, &loser).unwrap_err();
    assert!(said.contains("certificate revoked"), "{said}");
    assert_eq!(judged(&environment, &winner), Ok(()));
}

#[test]
fn without_tls_there_are_crls_and_cas_and_nothing_else() {
    let environment = environment();
    let answer = vended(&environment, "SN-1", &Key::new().unwrap());
    let url = crl_url(&environment, &answer);
    let (base, rest) = url.split_once("/v1/crl/").unwrap();
    assert_eq!(base, format!("http://{}", environment.ready("plain")));
    let issuer = rest.split('/').next().unwrap();
    let ca = environment.scratch().join("ca.cer");
    succeed("curl", &["-sf", "-o", text(&ca), &format!("{base}/v1/ca/{issuer}.cer")]);
    let pem = succeed("openssl", &["x509", "-inform", "DER", "-in", text(&ca)]);
    assert_eq!(pem, answer.text("chain"));
    for path in ["/healthz", "/v1/trust-bundle", "/v1/devices", "/v1/journal", "/"] {
        let url = format!("{base}{path}");
        let said = succeed("curl", &["-s", "-o", "/dev/null", "-w", "%{http_code}", &url]);
        assert_eq!(said, "404", "{path}");
    }
    let over_tls = environment.scratch().join("over-tls.crl");
    let (root, url_over_tls) = (
        file(&environment, "root.pem", &environment.root_ca().unwrap()),
        format!("{}/v1/crl/{rest}", environment.device_url()),
    );
    let trusted = ["-sf", "--cacert", text(&root), "-o", text(&over_tls)];
    succeed("curl", &[&trusted[..], &[&url_over_tls]].concat());
    let read = |path: &Path| std::fs::read(path).unwrap();
    assert_eq!(read(&over_tls), read(&fetched(&environment, &url)));
}

#[test]
fn what_is_served_without_tls_is_off_unless_it_is_told_where() {
    let environment = Environment::start(&[]).unwrap();
    assert_eq!(environment.ready("plain"), "");
}

/// Writes a million revoked certificates beside one that is there, in one transaction.
const MILLION: &str = r#"
import os, sqlite3, sys
registry = sqlite3.connect(sys.argv[1], isolation_level=None)
registry.create_function("serial", 1, lambda shard: bytes([shard]) + os.urandom(16))
for pragma in ["journal_mode = DELETE", "journal_mode = OFF", "synchronous = OFF", "cache_size = -800000"]:
    registry.execute("PRAGMA " + pragma).fetchall()
other = {
    "id": "CAST(printf('%032d', n) AS BLOB)",
    "certificate_serial": "serial(n % 255 + 1)",
    "shard": "n % 255 + 1",
    "state": "'revoked'",
    "reason": "'keyCompromise'",
    "ended_at": "issued_at",
    "der": "x''",
}
names = [row[1] for row in registry.execute("PRAGMA table_info(certificate)")]
registry.execute(f"""
    INSERT INTO certificate ({", ".join(names)})
    WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < 1000000)
    SELECT {", ".join(other.get(name, name) for name in names)}
    FROM series, (SELECT * FROM certificate LIMIT 1)
""")
"#;

#[test]
fn among_a_million_revoked_certificates_a_crl_stays_small_and_quick() {
    let mut environment = environment();
    let url = crl_url(&environment, &vended(&environment, "SN-1", &Key::new().unwrap()));
    environment.terminate().unwrap();
    let began = Instant::now();
    let registry = environment.data().join("cvm.db");
    succeed(test_python().unwrap(), &["-c", MILLION, text(&registry)]);
    eprintln!("a million rows: {:?}", began.elapsed());
    environment.serve().unwrap();
    let began = Instant::now();
    let list = fetched(&environment, &url);
    let took = began.elapsed();
    eprintln!("the CRL: {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let bytes = std::fs::metadata(&list).unwrap().len();
    assert!(bytes < 300_000, "{bytes}");
    let shown =
        succeed("openssl", &["crl", "-inform", "DER", "-in", text(&list), "-noout", "-text"]);
    let entries = shown.matches("    Serial Number: ").count();
    assert!((3_921..=3_922).contains(&entries), "{entries}");
}
