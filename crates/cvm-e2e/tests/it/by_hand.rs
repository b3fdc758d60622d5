//! Clients that others wrote: `openssl s_client` and `curl` against the real listeners.

use std::process::{Command, Stdio};

use cvm_e2e::Environment;
use serde_json::json;

/// Runs a program to its end with `input`; its output, both streams.
fn run(program: &str, arguments: &[&str], input: &str) -> (bool, String) {
    use std::io::Write;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _closed = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn openssl_speaks_tls_1_2_and_1_3_and_nothing_older() {
    let environment = Environment::start(&[]).unwrap();
    let root = environment.data().join("root-ca.pem");
    let address = environment.ready("http");
    let connect = |version: &str| {
        let arguments = [
            "s_client",
            "-connect",
            &address,
            "-servername",
            "localhost",
            "-CAfile",
            root.to_str().unwrap(),
            "-verify_return_error",
            "-verify_hostname",
            "localhost",
            version,
        ];
        run("openssl", &arguments, "")
    };
    for (version, cipher) in [("-tls1_3", "TLS_AES_"), ("-tls1_2", "ECDHE-ECDSA-AES")] {
        let (ok, said) = connect(version);
        assert!(ok && said.contains("Verify return code: 0 (ok)"), "{version}: {said}");
        assert!(said.contains(cipher), "{version}: {said}");
        assert!(said.contains("No client certificate CA names sent"), "{version}: {said}");
        assert!(!said.contains("Early data was accepted"), "{version}");
    }
    for version in ["-tls1_1", "-tls1"] {
        let (ok, said) = connect(version);
        assert!(!ok, "{version}: {said}");
    }
}

#[test]
fn a_server_key_may_be_rsa() {
    let environment = Environment::start(&[("http.server_key", "RSA_2048")]).unwrap();
    let root = environment.data().join("root-ca.pem");
    let address = environment.ready("http");
    let arguments = [
        "s_client",
        "-connect",
        &address,
        "-CAfile",
        root.to_str().unwrap(),
        "-verify_return_error",
        "-tls1_2",
    ];
    let (ok, said) = run("openssl", &arguments, "");
    assert!(ok && said.contains("ECDHE-RSA-"), "{said}");
}

#[test]
fn curl_vends_for_every_kind_of_key_over_http_1_1_and_2() {
    let environment = Environment::start(&[]).unwrap();
    let kinds: [&[&str]; 5] = [
        &["ecparam", "-name", "prime256v1", "-genkey", "-noout"],
        &["ecparam", "-name", "secp384r1", "-genkey", "-noout"],
        &["genpkey", "-algorithm", "ed25519"],
        &["genrsa", "2048"],
        &["genrsa", "4096"],
    ];
    for (number, kind) in kinds.into_iter().enumerate() {
        ByHand::new(&environment, number).go_all_the_way(kind);
    }
}

/// One device that has only `openssl` and `curl`.
struct ByHand<'a> {
    environment: &'a Environment,
    serial: String,
    root: String,
    base: String,
}

impl<'a> ByHand<'a> {
    fn new(environment: &'a Environment, number: usize) -> Self {
        let root = environment.data().join("root-ca.pem").to_str().unwrap().to_owned();
        let base = format!("{}/v1/certificates", environment.device_url());
        Self { environment, serial: format!("SN-{number}"), root, base }
    }

    fn path(&self, name: &str) -> String {
        let file = format!("{}-{name}", self.serial);
        self.environment.scratch().join(file).to_str().unwrap().to_owned()
    }

    fn openssl(&self, arguments: &[&str]) -> String {
        let (ok, said) = run("openssl", arguments, "");
        assert!(ok, "openssl {arguments:?}: {said}");
        said
    }

    fn curl(&self, arguments: &[&str], url: &str, input: &str) -> String {
        let all = [&["-sS", "--cacert", &self.root], arguments, &[url]].concat();
        let (ok, said) = run("curl", &all, input);
        assert!(ok, "curl {all:?}: {said}");
        said
    }

    fn go_all_the_way(&self, kind: &[&str]) {
        let token = self.environment.device_add(&self.serial).unwrap();
        let made = self.openssl(kind);
        let begin = made.find("-----BEGIN").unwrap();
        let end = made.rfind("-----\n").unwrap() + 6;
        std::fs::write(self.path("key"), &made[begin..end]).unwrap();
        let subject = "/CN=what the device says";
        let csr = self.openssl(&["req", "-new", "-key", &self.path("key"), "-subj", subject]);
        let body = json!({"serialNumber": self.serial, "token": token, "csr": csr}).to_string();
        for (version, status) in [("--http1.1", "201 1.1"), ("--http2", "200 2")] {
            let answer = self.path("answer");
            let arguments = [
                version,
                "-H",
                "Content-Type: application/json",
                "--data",
                "@-",
                "-o",
                &answer,
                "-w",
                "%{http_code} %{http_version}",
            ];
            assert_eq!(self.curl(&arguments, &self.base, &body), status, "{kind:?}");
        }
        self.check_the_certificate(subject);
        for (version, tls) in [("--http1.1", "1.3"), ("--http2", "1.2")] {
            let (least, most) = (format!("--tlsv{tls}"), tls);
            let arguments = [
                version,
                &least,
                "--tls-max",
                most,
                "--cert",
                &self.path("both"),
                "--key",
                &self.path("key"),
                "-X",
                "POST",
                "-w",
                "%{http_code}",
            ];
            let url = format!("{}/confirm", self.base);
            assert_eq!(self.curl(&arguments, &url, ""), "204", "{kind:?} {version} {tls}");
        }
    }

    /// `openssl` verifies it strictly, and its names come from the registry.
    fn check_the_certificate(&self, subject: &str) {
        let answer = std::fs::read_to_string(self.path("answer")).unwrap();
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let part = |name: &str| answer[name].as_str().unwrap().to_owned();
        std::fs::write(self.path("leaf"), part("certificate")).unwrap();
        std::fs::write(self.path("chain"), part("chain")).unwrap();
        std::fs::write(self.path("both"), part("certificate") + &part("chain")).unwrap();
        self.openssl(&[
            "verify",
            "-x509_strict",
            "-purpose",
            "sslclient",
            "-CAfile",
            &self.root,
            "-untrusted",
            &self.path("chain"),
            &self.path("leaf"),
        ]);
        let text = self.openssl(&["x509", "-in", &self.path("leaf"), "-noout", "-text"]);
        assert!(text.contains(&format!("CN = {}", self.serial)), "{text}");
        assert!(!text.contains(&subject[4..]), "{text}");
    }
}

#[test]
fn one_kept_connection_serves_many_requests() {
    let environment = Environment::start(&[]).unwrap();
    let root = environment.data().join("root-ca.pem");
    let url = format!("{}/healthz", environment.device_url());
    let arguments =
        ["-sSv", "--cacert", root.to_str().unwrap(), &url, &url, &url, "-o", "/dev/null"];
    let (ok, said) = run("curl", &arguments, "");
    assert!(ok, "{said}");
    assert_eq!(said.matches("SSL connection using").count(), 1, "{said}");
}
