//! What `init` makes, `serve` loads, and what is missing or changed is named.

use std::os::unix::fs::PermissionsExt as _;

use cvm_core::ports::Issuer as _;
use cvm_core::time::Span;
use tempfile::TempDir;

use super::*;
use crate::vault::{Protection, VaultError};

const NOW: Timestamp = Timestamp(1_772_366_400);
const CRL: &str = "http://localhost:8080";

fn made(root_key_out: Option<&Path>) -> (TempDir, Created) {
    let scratch = tempfile::tempdir().unwrap();
    let vault = Vault::create(&scratch.path().join("vault"), Protection::Unsealed).unwrap();
    let created = create(scratch.path(), &vault, root_key_out).unwrap();
    (scratch, created)
}

fn create(
    data_dir: &Path,
    vault: &Vault,
    root_key_out: Option<&Path>,
) -> Result<Created, PkiError> {
    let hostnames = ["localhost".to_owned()];
    let server = ServerOptions { hostnames: &hostnames, algorithm: KeyAlgorithm::EcP256 };
    let options =
        CreateOptions { data_dir, server, devices: DevicesCa::Made, root_key_out, now: NOW };
    Pki::create(vault, &options)
}

fn load(data_dir: &Path) -> Result<Pki, PkiError> {
    Pki::load(data_dir, &Vault::open(&data_dir.join("vault"), None).unwrap(), CRL)
}

#[test]
fn init_makes_every_entry_and_file_once() {
    let (scratch, created) = made(None);
    let vault = Vault::open(&scratch.path().join("vault"), None).unwrap();
    assert_eq!(
        vault.list().unwrap(),
        [
            entry::ADMIN_MAC_KEY,
            entry::DEVICES_CA_KEY,
            entry::IDEMPOTENCY_KEY,
            entry::JOURNAL_KEY,
            entry::REPLAY_SECRET,
            entry::ROOT_KEY,
            entry::SERVERS_CA_KEY,
            entry::TOKEN_MAC_KEY,
        ]
    );
    for file in ["root-ca.pem", "server/cert.pem", "server/key.pem", "vault/devices-ca.pem"] {
        let mode = fs::metadata(scratch.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(created.server_not_after, NOW.plus(Span(90 * Span::DAY.0)));
    let again = create(scratch.path(), &vault, None).unwrap_err().to_string();
    assert!(again.starts_with("writing ") && again.ends_with("/root-ca.pem"), "{again}");
}

#[test]
fn what_was_made_is_loaded() {
    let (scratch, created) = made(None);
    let pki = load(scratch.path()).unwrap();
    assert_eq!(pki.root_fingerprint(), created.root_fingerprint);
    assert_eq!(created.root_fingerprint.len(), 64);
    assert_eq!(*pki.issuer().trust_bundle(), created.root_pem);
    let chain = pki.issuer().chain(&pki.issuer().issuer_id()).unwrap();
    assert_eq!(chain.intermediate, created.devices_ca_pem);
    // The same secrets after each start.
    let token = || cvm_core::token::Token::unchecked(Zeroizing::new("t".to_owned()));
    let mac = |pki: &Pki| cvm_core::ports::Secrets::token_mac(&*pki.secrets(), "S", &token()).0;
    assert_eq!(mac(&pki), mac(&load(scratch.path()).unwrap()));
}

#[test]
fn several_roots_are_trusted_and_the_first_is_ours() {
    let (scratch, created) = made(None);
    let ours = fs::read_to_string(scratch.path().join(ROOT_FILE)).unwrap();
    let older = Authority::create_root(NOW).unwrap().certificate;
    let put = |text: String| fs::write(scratch.path().join(ROOT_FILE), text).unwrap();
    put(format!("our root\n{ours}\nthe one before\n{}", older.pem()));
    let pki = load(scratch.path()).unwrap();
    assert_eq!(pki.root_fingerprint(), created.root_fingerprint);
    let bundle = format!("{ours}{}", older.pem());
    assert_eq!(*pki.issuer().trust_bundle(), bundle);
    assert_eq!(pki.issuer().chain(&pki.issuer().issuer_id()).unwrap().root, bundle);
    let key = crate::ca::public_key_of("older", &older.der).unwrap();
    assert!(pki.issuer().owns_key(&key.public_key().identity), "no device may have it");

    // After a rotation the CAs of the older root go on.
    put(format!("{}{ours}", older.pem()));
    let pki = load(scratch.path()).unwrap();
    assert_eq!(pki.root_fingerprint(), fingerprint(&older));

    put(older.pem());
    let error = load(scratch.path()).unwrap_err().to_string();
    assert_eq!(error, "vault/servers-ca.pem: it was not signed by root-ca.pem");
    put(format!("{ours}{}", created.servers_ca_pem));
    let error = load(scratch.path()).unwrap_err().to_string();
    assert_eq!(error, "root-ca.pem: it was not signed by root-ca.pem", "no root");
    put(String::new());
    let error = load(scratch.path()).unwrap_err().to_string();
    assert_eq!(error, "root-ca.pem: it has no PEM block CERTIFICATE");
}

#[test]
fn the_root_key_can_be_taken_away() {
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("root.key");
    let (scratch, created) = made(Some(&path));
    let vault = Vault::open(&scratch.path().join("vault"), None).unwrap();
    assert!(matches!(vault.get(entry::ROOT_KEY), Err(VaultError::NoEntry(_))));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let key = CaKey::from_pem(&fs::read_to_string(&path).unwrap()).unwrap();
    let root = CaCertificate::read_pem("root", &created.root_pem).unwrap();
    assert!(root.fits(&key));
    assert!(load(scratch.path()).is_ok(), "serving needs no root key");
}

#[test]
fn the_server_certificate_is_renewed_when_due_and_its_key_is_ours() {
    let (scratch, _) = made(None);
    let pki = load(scratch.path()).unwrap();
    let hostnames = ["localhost".to_owned()];
    let options = ServerOptions { hostnames: &hostnames, algorithm: KeyAlgorithm::EcP256 };
    let renew = |now| pki.server_certificate_renew(&options, now).unwrap();
    let (first, renewed) = renew(NOW);
    assert_eq!(renewed, Renewed::NotDue);
    let (second, renewed) = renew(NOW.plus(Span(61 * Span::DAY.0)));
    assert_eq!(renewed, Renewed::Reissued);
    assert_ne!(first.chain, second.chain);
    for identity in [first, second] {
        let key = crate::ca::public_key_of("leaf", &identity.chain[0]).unwrap();
        assert!(pki.issuer().owns_key(&key.public_key().identity));
    }
    fs::write(scratch.path().join("server/cert.pem"), "").unwrap();
    assert_eq!(renew(NOW).1, Renewed::Reissued, "a damaged file is mended");
}

#[test]
fn every_ca_key_is_our_own() {
    let (scratch, created) = made(None);
    let pki = load(scratch.path()).unwrap();
    let journal = fs::read_to_string(scratch.path().join(JOURNAL_FILE)).unwrap();
    for text in [&created.root_pem, &created.devices_ca_pem, &created.servers_ca_pem, &journal] {
        let certificate = CaCertificate::read_pem("ours", text).unwrap();
        let key = crate::ca::public_key_of("ours", &certificate.der).unwrap();
        assert!(pki.issuer().owns_key(&key.public_key().identity));
    }
}

#[test]
fn what_was_exchanged_is_refused_by_name() {
    let (other, _) = made(None);
    for file in [ROOT_FILE, DEVICES_FILE, SERVERS_FILE, JOURNAL_FILE] {
        let (scratch, _) = made(None);
        fs::copy(other.path().join(file), scratch.path().join(file)).unwrap();
        assert!(load(scratch.path()).is_err(), "{file}");
        fs::remove_file(scratch.path().join(file)).unwrap();
        let error = load(scratch.path()).unwrap_err().to_string();
        assert!(error.starts_with("reading ") && error.ends_with(file), "{error}");
    }
    let (scratch, _) = made(None);
    fs::write(scratch.path().join("vault/devices-ca-key.sealed"), [0; 99]).unwrap();
    let error = load(scratch.path()).unwrap_err().to_string();
    assert!(error.starts_with("the vault entry `devices-ca-key` was changed"), "{error}");
}
