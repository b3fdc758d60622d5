//! Devices whose TLS ends at a proxy: the device side signs by itself, and what signs or verifies
//! with it is code of others.

mod proxy;

use std::path::PathBuf;
use std::process::Command;

use cvm_e2e::test_python;
use serde_json::{Value, json};

use proxy::{Passed, Site};

const CONFIRM: &str = "/v1/certificates/confirm";
const RENEW: &str = "/v1/certificates/renew";

/// What it printed, where it ended well.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/signed").join(name)
}

fn python(arguments: &[&str]) -> String {
    output(Command::new(test_python().unwrap()).arg(script("jws.py")).args(arguments))
}

impl Site {
    /// Enrolls a device in a directory of its name.
    fn enroll(&self, serial: &str, algorithm: &str) {
        let token = format!("{serial}.token");
        let add = ["device", "add", serial, "--token-out", &token];
        self.environment.succeed(&add).unwrap();
        let root = self.root();
        let enroll = [
            "device",
            "enroll",
            "--server",
            &self.url,
            "--serial",
            serial,
            "--token-file",
            &token,
            "--root-ca",
            root.to_str().unwrap(),
            "--key-algorithm",
            algorithm,
            "--out",
            serial,
        ];
        self.environment.succeed(&enroll).unwrap();
    }

    fn file(&self, serial: &str, name: &str) -> String {
        self.environment.scratch().join(serial).join(name).to_str().unwrap().to_owned()
    }

    fn record(&self, serial: &str) -> Value {
        let text = std::fs::read_to_string(self.file(serial, "device.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn states(&self, serial: &str) -> Vec<String> {
        let show = ["device", "show", serial, "--output", "json"];
        let shown: Value = serde_json::from_str(&self.environment.succeed(&show).unwrap()).unwrap();
        let certificates = shown["certificates"].as_array().unwrap();
        certificates.iter().map(|it| it["state"].as_str().unwrap().to_owned()).collect()
    }

    /// `curl` through the proxy: status and body.
    fn curl(&self, path: &str, more: &[&str]) -> (String, Value) {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--write-out", "\n%{http_code}", "--cacert"]);
        curl.arg(self.root()).args(more).arg(format!("{}{path}", self.url));
        let said = output(&mut curl);
        let (body, status) = said.rsplit_once('\n').unwrap();
        (status.to_owned(), serde_json::from_str(body).unwrap_or_default())
    }

    fn nonce(&self) -> String {
        self.curl("/v1/nonce", &[]).1["nonce"].as_str().unwrap().to_owned()
    }

    /// Sends what somebody has signed.
    fn send(&self, path: &str, body: &str) -> (String, Value) {
        self.curl(path, &["--header", "Content-Type: application/jose+json", "--data", body])
    }
}

fn header_of(Passed { request, .. }: &Passed) -> Value {
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
    let text = BASE64_URL_SAFE_NO_PAD.decode(request["protected"].as_str().unwrap()).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[test]
fn devices_of_every_kind_of_key_enroll_and_renew_through_a_proxy_and_others_verify_what_they_sign()
{
    let site = Site::start(&[]);
    let kinds =
        [("EC_P256", "ES256"), ("EC_P384", "ES384"), ("ED25519", "EdDSA"), ("RSA_2048", "RS256")];
    for (algorithm, alg) in kinds {
        site.enroll(algorithm, algorithm);
        let old = site.environment.scratch().join(format!("{algorithm}-old.pem"));
        std::fs::copy(site.file(algorithm, "device.pem"), &old).unwrap();
        let before = site.passed().len();
        site.environment.succeed(&["device", "renew", "--dir", algorithm]).unwrap();
        assert_eq!(site.states(algorithm), ["retiring", "current"]);
        let passed = &site.passed()[before..];
        let paths: Vec<_> = passed.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, [RENEW, CONFIRM]);
        let new = PathBuf::from(site.file(algorithm, "device.pem"));
        for (signed, certificate) in passed.iter().zip([&old, &new]) {
            let file = site.environment.scratch().join("request.json");
            std::fs::write(&file, signed.request.to_string()).unwrap();
            let [certificate, file] = [certificate, &file].map(|it| it.to_str().unwrap());
            let verified: Value =
                serde_json::from_str(&python(&["verify", certificate, file])).unwrap();
            assert_eq!(verified["header"], header_of(signed));
            assert_eq!(verified["header"]["alg"], alg);
            assert_eq!(verified["header"]["url"], format!("{}{}", site.url, signed.path));
            assert_eq!(verified["header"].as_object().unwrap().len(), 4);
        }
    }
}

#[test]
fn what_jwcrypto_signs_is_taken_once() {
    let site = Site::start(&[]);
    for (algorithm, algs) in [
        ("EC_P256", ["ES256"].as_slice()),
        ("EC_P384", &["ES384"]),
        ("ED25519", &["EdDSA"]),
        ("RSA_2048", &["RS256", "PS256"]),
    ] {
        site.enroll(algorithm, algorithm);
        let id = site.record(algorithm)["certificateId"].as_str().unwrap().to_owned();
        for alg in algs {
            let (key, url) = (site.file(algorithm, "device.key"), format!("{}{CONFIRM}", site.url));
            let body = python(&["sign", &key, "", alg, &id, &site.nonce(), &url]);
            assert_eq!(site.send(CONFIRM, &body).0, "204", "{alg}");
            let (status, problem) = site.send(CONFIRM, &body);
            assert_eq!((status.as_str(), &problem["signed"]), ("401", &json!(true)));
        }
        assert_eq!(site.states(algorithm), ["current"]);
    }
}

#[test]
fn what_openssl_and_a_shell_sign_is_taken_as_well() {
    let site = Site::start(&[]);
    for (algorithm, alg) in [("EC_P256", "ES256"), ("RSA_2048", "RS256")] {
        site.enroll(algorithm, algorithm);
        let id = site.record(algorithm)["certificateId"].as_str().unwrap().to_owned();
        let sign = |path: &str, payload: &str| {
            let url = format!("{}{path}", site.url);
            let key = site.file(algorithm, "device.key");
            let mut sign = Command::new("sh");
            sign.arg(script("sign.sh")).args([&key, payload, alg, &id, &site.nonce(), &url]);
            output(&mut sign)
        };
        // Numbers of fewer bytes are as good, and come up once in a hundred times or so.
        for _ in 0..20 {
            assert_eq!(site.send(CONFIRM, &sign(CONFIRM, "")).0, "204", "{alg}");
        }
        let csr = cvm_e2e::Key::new().unwrap().csr().unwrap();
        let (status, vended) = site.send(RENEW, &sign(RENEW, &json!({"csr": csr}).to_string()));
        assert_eq!((status.as_str(), &vended["thingName"]), ("201", &json!(algorithm)));
    }
}

#[test]
fn the_log_and_the_limits_have_the_address_behind_the_proxy_and_nobodys_own_word() {
    let site = Site::start(&[("limits.refusals_per_address", "2/1h")]);
    let ask = |from: &str| {
        let body = ["--header", "Content-Type: application/json", "--data", "{"];
        let lies =
            ["--header", "X-Forwarded-For: 192.0.2.1", "--header", "Forwarded: for=192.0.2.1"];
        let whence = ["--interface", from];
        site.curl("/v1/certificates", &[&body[..], &lies, &whence].concat()).0
    };
    assert_eq!([ask("127.0.0.2"), ask("127.0.0.2"), ask("127.0.0.2")], ["400", "400", "429"]);
    assert_eq!(ask("127.0.0.3"), "400");
    let log = site.environment.log();
    assert!(log.contains("127.0.0.2") && log.contains("127.0.0.3"), "{log}");
    assert!(!log.contains("192.0.2.1"), "{log}");
}
