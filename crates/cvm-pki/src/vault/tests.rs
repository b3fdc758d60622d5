//! What is sealed opens again, for the right passphrase, whole, under its own name.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(Zeroizing::new(text.to_owned())).unwrap()
}

fn sealed(directory: &Path) -> Vault {
    Vault::create(directory, Protection::Sealed(&passphrase("correct horse"))).unwrap()
}

#[test]
fn entries_survive_and_are_listed() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("vault");
    let vault = sealed(&directory);
    vault.put("b-key", b"two", Overwrite::Refuse).unwrap();
    vault.put("a-key", b"", Overwrite::Refuse).unwrap();
    drop(vault);
    let vault = Vault::open(&directory, Some(&passphrase("correct horse\n"))).unwrap();
    assert!(vault.is_sealed());
    assert_eq!(vault.list().unwrap(), ["a-key", "b-key"]);
    assert_eq!(*vault.get("b-key").unwrap(), b"two");
    assert_eq!(*vault.get("a-key").unwrap(), b"");
    assert_eq!(vault.get("c-key").unwrap_err().to_string(), "the vault has no entry `c-key`");
}

#[test]
fn everything_is_private() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("vault");
    let vault = Vault::create(&directory, Protection::Unsealed).unwrap();
    vault.put("key", b"secret", Overwrite::Refuse).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for entry in fs::read_dir(&directory).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn a_wrong_passphrase_says_so() {
    let scratch = tempfile::tempdir().unwrap();
    drop(sealed(scratch.path()));
    let error = Vault::open(scratch.path(), Some(&passphrase("wrong"))).unwrap_err();
    assert!(matches!(error, VaultError::WrongPassphrase(_)));
    assert!(error.to_string().starts_with("the passphrase is wrong"), "{error}");
    assert!(matches!(Vault::open(scratch.path(), None), Err(VaultError::PassphraseNeeded)));
    let empty = Passphrase::new(Zeroizing::new("\r\n".to_owned()));
    assert!(matches!(empty, Err(VaultError::EmptyPassphrase)));
}

#[test]
fn a_changed_entry_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let vault = sealed(scratch.path());
    vault.put("key", b"secret", Overwrite::Refuse).unwrap();
    let path = scratch.path().join("key.sealed");
    let whole = fs::read(&path).unwrap();
    assert!(!whole.windows(6).any(|window| window == b"secret"));
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x80;
        fs::write(&path, changed).unwrap();
        let error = vault.get("key").unwrap_err().to_string();
        assert!(error.starts_with("the vault entry `key` was changed or damaged"), "{error}");
    }
    for cut in [0, 11, 12, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(matches!(vault.get("key"), Err(VaultError::Tampered(name)) if name == "key"));
    }
}

#[test]
fn entries_cannot_be_exchanged_nor_moved_to_another_vault() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let vault = sealed(one.path());
    vault.put("a", b"secret", Overwrite::Refuse).unwrap();
    fs::copy(one.path().join("a.sealed"), one.path().join("b.sealed")).unwrap();
    assert!(matches!(vault.get("b"), Err(VaultError::Tampered(_))));
    let other = sealed(two.path());
    fs::copy(one.path().join("a.sealed"), two.path().join("a.sealed")).unwrap();
    assert!(matches!(other.get("a"), Err(VaultError::Tampered(_))));
}

#[test]
fn nothing_is_overwritten_unasked() {
    let scratch = tempfile::tempdir().unwrap();
    let vault = sealed(scratch.path());
    vault.put("key", b"one", Overwrite::Refuse).unwrap();
    let again = vault.put("key", b"two", Overwrite::Refuse);
    assert!(matches!(again, Err(VaultError::AlreadyExists(_))));
    assert_eq!(*vault.get("key").unwrap(), b"one");
    vault.put("key", b"two", Overwrite::Replace).unwrap();
    assert_eq!(*vault.get("key").unwrap(), b"two");
    let again = Vault::create(scratch.path(), Protection::Unsealed);
    assert!(matches!(again, Err(VaultError::AlreadyExists(_))));
}

#[test]
fn names_are_file_names_and_nothing_else() {
    let scratch = tempfile::tempdir().unwrap();
    let vault = sealed(scratch.path());
    for name in ["", "..", "a/b", "A", "a.b", &"a".repeat(65)] {
        let put = vault.put(name, b"", Overwrite::Refuse);
        assert!(matches!(put, Err(VaultError::EntryName)), "{name}");
        assert!(matches!(vault.get(name), Err(VaultError::EntryName)), "{name}");
    }
}

#[test]
fn an_unsealed_vault_warns_in_its_header() {
    let scratch = tempfile::tempdir().unwrap();
    let vault = Vault::create(scratch.path(), Protection::Unsealed).unwrap();
    vault.put("key", b"one", Overwrite::Refuse).unwrap();
    let header = fs::read_to_string(scratch.path().join("vault.json")).unwrap();
    insta::assert_snapshot!(header);
    let vault = Vault::open(scratch.path(), None).unwrap();
    assert!(!vault.is_sealed());
    assert_eq!(*vault.get("key").unwrap(), b"one");
    fs::write(scratch.path().join("master.key"), b"short").unwrap();
    assert!(matches!(Vault::open(scratch.path(), None), Err(VaultError::Header { .. })));
}

#[test]
fn the_header_says_how_it_is_sealed() {
    let scratch = tempfile::tempdir().unwrap();
    drop(sealed(scratch.path()));
    let path = scratch.path().join("vault.json");
    let header: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mut shown = header.clone();
    shown["sealed"]["salt"] = "[16 bytes]".into();
    shown["sealed"]["masterKey"] = "[60 bytes]".into();
    insta::assert_json_snapshot!(shown);
    for (from, to) in [
        ("\"version\": 1", "\"version\": 2"),
        ("argon2id", "argon2i"),
        ("19456", "1048577"),
        ("\"iterations\": 2", "\"iterations\": 17"),
        ("\"version\"", "\"surprise\": 1, \"version\""),
    ] {
        let changed = serde_json::to_string_pretty(&header).unwrap().replace(from, to);
        fs::write(&path, changed).unwrap();
        let opened = Vault::open(scratch.path(), Some(&passphrase("correct horse")));
        assert!(matches!(opened, Err(VaultError::Header { .. })), "{to}");
    }
    let missing = Vault::open(&scratch.path().join("none"), None);
    assert!(matches!(missing, Err(VaultError::File { operation: "reading", .. })));
}

#[test]
fn nothing_secret_is_printed() {
    let scratch = tempfile::tempdir().unwrap();
    let shown = format!("{:?} {:?}", sealed(scratch.path()), passphrase("hidden words"));
    assert!(!shown.contains("hidden") && !shown.contains("master"), "{shown}");
}

fn bundled(protection: Protection<'_>) -> Arc<Bundle> {
    let bundle = Arc::new(Bundle::new("s3://b/vault.json"));
    let vault = Vault::create_in(bundle.clone(), protection).unwrap();
    vault.put("a-key", b"secret", Overwrite::Refuse).unwrap();
    vault.put("root-key", b"the root's", Overwrite::Refuse).unwrap();
    vault.certificate_put("root-ca.pem", "a certificate").unwrap();
    bundle
}

fn read_again(bundle: &Bundle) -> Arc<Bundle> {
    Arc::new(Bundle::read("s3://b/vault.json", &bundle.to_json().unwrap()).unwrap())
}

#[test]
fn a_bundle_is_read_as_it_was_written_but_for_the_roots_key() {
    let words = passphrase("correct horse");
    for protection in [Protection::Sealed(&words), Protection::Unsealed] {
        let written = bundled(protection);
        let read = read_again(&written);
        let vault = Vault::open_in(read.clone(), Some(&words)).unwrap();
        assert_eq!(vault.is_sealed(), matches!(protection, Protection::Sealed(_)));
        assert_eq!(vault.list().unwrap(), ["a-key"]);
        assert_eq!(*vault.get("a-key").unwrap(), b"secret");
        assert_eq!(vault.certificate("root-ca.pem").unwrap(), "a certificate");
        assert!(vault.has_certificate("root-ca.pem").unwrap());
        assert!(!vault.has_certificate("other.pem").unwrap());
        assert!(matches!(vault.get("root-key"), Err(VaultError::NoEntry(_))));

        let root_key = written.root_key().unwrap();
        read.put_new(Item::Entry("root-key"), &root_key).unwrap();
        assert_eq!(*vault.get("root-key").unwrap(), b"the root's");
    }
}

#[test]
fn a_sealed_bundle_gives_nothing_away() {
    let bundle = bundled(Protection::Sealed(&passphrase("correct horse")));
    let json = String::from_utf8(bundle.to_json().unwrap().to_vec()).unwrap();
    assert!(json.contains("argon2id") && !json.contains("masterKey\": \"AAAA"), "{json}");
    let open = |words: Option<&Passphrase>| Vault::open_in(read_again(&bundle), words);
    assert!(matches!(open(None), Err(VaultError::PassphraseNeeded)));
    let wrong = open(Some(&passphrase("wrong"))).unwrap_err();
    assert_eq!(wrong.to_string(), "the passphrase is wrong (or s3://b/vault.json was changed)");
    let unsealed = bundled(Protection::Unsealed).to_json().unwrap();
    let unsealed = String::from_utf8(unsealed.to_vec()).unwrap();
    assert!(unsealed.contains("NOT SEALED: whoever can read this object has every key in it"));
    assert!(!format!("{bundle:?}").contains("secret"));
}

#[test]
fn a_bundle_keeps_the_storages_contract() {
    let bundle = bundled(Protection::Unsealed);
    let vault = Vault::open_in(bundle.clone(), None).unwrap();
    let again = vault.put("a-key", b"two", Overwrite::Refuse).unwrap_err();
    assert_eq!(again.to_string(), "s3://b/vault.json#a-key exists already: it is not overwritten");
    vault.put("a-key", b"two", Overwrite::Replace).unwrap();
    assert_eq!(*vault.get("a-key").unwrap(), b"two");
    let second = Vault::create_in(bundle, Protection::Unsealed);
    assert!(matches!(second, Err(VaultError::AlreadyExists(_))));
}

#[test]
fn what_is_no_bundle_says_so() {
    let json =
        String::from_utf8(bundled(Protection::Unsealed).to_json().unwrap().to_vec()).unwrap();
    for (from, to) in [
        ("{", "["),
        ("\"version\": 1,\n  \"vault\"", "\"version\": 2,\n  \"vault\""),
        ("\"entries\"", "\"surprises\""),
        ("\"a-key\": \"", "\"a-key\": \"!"),
    ] {
        let changed = json.replacen(from, to, 1);
        assert_ne!(changed, json, "{from}");
        let error = Bundle::read("s3://b/vault.json", changed.as_bytes()).unwrap_err();
        assert!(matches!(error, VaultError::Header { .. }), "{from}");
        assert!(error.to_string().starts_with("s3://b/vault.json is not"), "{error}");
    }
    let long = vec![b' '; bundle::DOCUMENT_BYTES_MAX + 1];
    assert!(Bundle::read("s3://b/vault.json", &long).is_err());
    assert!(Bundle::new("s3://b/vault.json").to_json().is_err(), "nothing was made in it");
}
