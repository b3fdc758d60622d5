//! A PKI in a scratch directory, keys and requests by the `openssl` command.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cvm_core::key::{CheckedCsr, KeyAlgorithm, PublicKey};
use cvm_core::ports::{CrlTemplate, Issuer as _, LeafTemplate, RevokedEntry, SignedLeaf};
use cvm_core::time::{Span, Timestamp};
use cvm_pki::{
    CreateOptions, Created, DevicesCa, ImportedCa, LocalIssuer, Pki, Protection, ServerOptions,
    Vault,
};
use std::sync::Arc;
use tempfile::TempDir;

/// 2026-03-01T12:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp(1_772_366_400);

/// The kinds of keys that devices have, as `openssl genpkey` takes them.
pub(crate) const KEY_KINDS: [(&str, &[&str]); 4] = [
    ("p256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    ("p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
    ("ed25519", &["-algorithm", "ED25519"]),
    ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
];

/// What `init` made, loaded again.
pub(crate) struct Home {
    pub(crate) scratch: TempDir,
    pub(crate) created: Created,
    pub(crate) pki: Pki,
    pub(crate) issuer: Arc<LocalIssuer>,
    now: Timestamp,
    hostnames: Vec<String>,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self::with(NOW, None, KeyAlgorithm::EcP256)
    }

    pub(crate) fn with(
        now: Timestamp,
        import: Option<ImportedCa<'_>>,
        algorithm: KeyAlgorithm,
    ) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let hostnames =
            ["localhost", "cvm.example.com", "127.0.0.1", "::1"].map(String::from).to_vec();
        let vault = Vault::create(&scratch.path().join("vault"), Protection::Unsealed).unwrap();
        let options = CreateOptions {
            data_dir: scratch.path(),
            server: ServerOptions { hostnames: &hostnames, algorithm },
            devices: import.map_or(DevicesCa::Made, DevicesCa::Imported),
            root_key_out: None,
            now,
        };
        let created = Pki::create(&vault, &options).unwrap();
        let vault = Vault::open(&scratch.path().join("vault"), None).unwrap();
        let pki = Pki::load(scratch.path(), &vault, "http://crl.example.com:8080").unwrap();
        let issuer = pki.issuer();
        Self { scratch, created, pki, issuer, now, hostnames }
    }

    pub(crate) fn server_options(&self, algorithm: KeyAlgorithm) -> ServerOptions<'_> {
        ServerOptions { hostnames: &self.hostnames, algorithm }
    }

    /// A file with this content; its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.scratch.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Issues to the device SN-0001 for a year.
    pub(crate) fn leaf(&self, key: &PublicKey) -> SignedLeaf {
        self.leaf_named("SN-0001", "SN-0001", key, self.now.plus(Span(365 * Span::DAY.0)))
    }

    pub(crate) fn leaf_named(
        &self,
        serial: &str,
        thing: &str,
        key: &PublicKey,
        not_after: Timestamp,
    ) -> SignedLeaf {
        let template = LeafTemplate {
            serial_number: &serial.parse().unwrap(),
            thing_name: &thing.parse().unwrap(),
            key,
            not_before: self.now.minus(Span(300)),
            not_after,
        };
        wait(self.issuer.leaf_sign(template)).unwrap()
    }

    /// The CRL of a shard, DER, signed at `at` and good for a day.
    pub(crate) fn crl(&self, shard: u8, at: Timestamp, entries: Vec<RevokedEntry>) -> Vec<u8> {
        let template = CrlTemplate {
            issuer: self.issuer.issuer_id(),
            shard,
            number: u64::try_from(at.0).unwrap(),
            this_update: at,
            next_update: at.plus(Span::DAY),
            entries,
        };
        wait(self.issuer.crl_sign(template)).unwrap()
    }

    /// Parses and checks a request.
    pub(crate) fn check(&self, pem: &str) -> CheckedCsr {
        self.issuer.csr_check(&self.issuer.csr_parse(pem).unwrap()).unwrap()
    }

    /// A new key and a request for it by openssl; the paths are of the key and of the request.
    pub(crate) fn request(&self, name: &str, genpkey: &[&str]) -> (PathBuf, String) {
        let key = self.scratch.path().join(format!("{name}.key"));
        run("openssl", &[&["genpkey", "-out", text(&key)], genpkey].concat());
        let csr = run("openssl", &["req", "-new", "-key", text(&key), "-subj", "/CN=whatever"]);
        (key, csr)
    }

    /// A leaf for each kind of key, with its name.
    pub(crate) fn leaf_of_each_kind(&self) -> Vec<(&'static str, SignedLeaf)> {
        let leaf = |(name, options): (&'static str, &[&str])| {
            let (_, csr) = self.request(name, options);
            (name, self.leaf(&self.check(&csr).key))
        };
        KEY_KINDS.into_iter().map(leaf).collect()
    }

    /// The server's chain, DER.
    pub(crate) fn server_chain(&self, algorithm: KeyAlgorithm) -> Vec<Vec<u8>> {
        let options = self.server_options(algorithm);
        self.pki.server_certificate_renew(&options, NOW).unwrap().0.chain
    }
}

/// Runs a future on a small runtime.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs a command that must succeed; its standard output.
pub(crate) fn run(program: impl Into<OsString>, arguments: &[&str]) -> String {
    let program = program.into();
    let output = Command::new(&program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{} {arguments:?}:\n{out}{err}", program.display());
    out.into_owned()
}

/// The Python that has badkeys and pkilint (`xtask/requirements.txt`): the one that is named, or the
/// one that `cargo xtask test` made.
pub(crate) fn python() -> PathBuf {
    if let Some(named) = std::env::var_os("CVM_TEST_PYTHON") {
        return PathBuf::from(named);
    }
    let tests = std::env::current_exe().unwrap();
    let made = tests.ancestors().map(|above| above.join("venv/bin/python")).find(|it| it.exists());
    made.expect(
        "there is no Python with the packages of xtask/requirements.txt: run `cargo xtask test`",
    )
}
