//! A vault in a bucket is made once, read in one call, and never overwritten unseen.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_s3::config::Builder;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cvm_aws::s3::{S3Vault, S3VaultError};
use cvm_e2e::aws::{Fault, FaultProxy, Lasting, Moto, REGION, run_python};
use cvm_pki::{
    Bundle, DevicesCa, Item, Overwrite, Passphrase, Pki, Protection, Vault, VaultStorage as _,
    entry,
};
use serde::Deserialize;
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::support::{account, at, make};

const CRL: &str = "http://crl.example";

/// A bucket at moto behind a proxy.
struct Bench {
    bucket: &'static str,
    proxy: FaultProxy,
    vault: S3Vault,
    scratch: TempDir,
}

impl Bench {
    async fn new(bucket: &'static str) -> Self {
        let moto = Moto::shared().unwrap().endpoint();
        let proxy = FaultProxy::start(&[("s3", &moto)]).unwrap();
        let account = account().await;
        let config = Builder::from(&account.at(&at(&moto))).force_path_style(true).build();
        let region = BucketLocationConstraint::from(REGION);
        let region = CreateBucketConfiguration::builder().location_constraint(region).build();
        let client = aws_sdk_s3::Client::from_conf(config);
        let make = client.create_bucket().bucket(bucket).create_bucket_configuration(region);
        make.send().await.unwrap();
        let place = at(&proxy.endpoint("s3").unwrap());
        let vault = S3Vault::new(&account, &place, bucket, "cvm/prod/");
        Self { bucket, proxy, vault, scratch: tempfile::tempdir().unwrap() }
    }

    /// A PKI that is in no bucket yet, and its root's fingerprint.
    fn made(&self, protection: Protection<'_>) -> (Arc<Bundle>, String) {
        let bundle = Arc::new(self.vault.empty());
        let made = make(&bundle, self.scratch.path(), DevicesCa::Made, protection).unwrap();
        (bundle, made.root_fingerprint)
    }

    /// What another client reads.
    fn read_back(&self) -> BTreeMap<String, ReadBack> {
        let moto = Moto::shared().unwrap().endpoint();
        let told = run_python("s3_read_back.py", &[&moto, self.bucket]).unwrap();
        serde_json::from_str(&told).unwrap()
    }

    fn calls(&self, method: &str) -> usize {
        self.proxy.calls().iter().filter(|call| call.starts_with(method)).count()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadBack {
    encryption: Option<String>,
    encryption_key: Option<String>,
    content: String,
}

impl ReadBack {
    fn content(&self) -> Vec<u8> {
        STANDARD.decode(&self.content).unwrap()
    }
}

#[tokio::test]
async fn what_init_made_is_loaded_in_one_call() {
    let bench = Bench::new("loaded").await;
    let passphrase = Passphrase::new(Zeroizing::new("correct horse".to_owned())).unwrap();
    let (bundle, fingerprint) = bench.made(Protection::Sealed(&passphrase));
    let written = bench.vault.create(&bundle, &fingerprint).await.unwrap();
    bench.proxy.clear();

    let (read, version) = bench.vault.load().await.unwrap();
    assert_eq!(bench.proxy.calls(), ["GET /loaded/cvm/prod/vault.json"]);
    assert_eq!(version, written);
    let vault = Vault::open_in(Arc::new(read), Some(&passphrase)).unwrap();
    assert!(vault.is_sealed());
    let pki = Pki::load(bench.scratch.path(), &vault, CRL).unwrap();
    assert_eq!(pki.root_fingerprint(), fingerprint);
}

#[tokio::test]
async fn another_client_finds_both_objects_encrypted_and_the_roots_key_apart() {
    let bench = Bench::new("read-back").await;
    let (bundle, fingerprint) = bench.made(Protection::Unsealed);
    bench.vault.create(&bundle, &fingerprint).await.unwrap();
    let found = bench.read_back();
    let root_key = format!("cvm/prod/root-key-{fingerprint}.sealed");
    assert_eq!(found.keys().collect::<Vec<_>>(), [&root_key, "cvm/prod/vault.json"]);
    for (name, object) in &found {
        assert_eq!(object.encryption.as_deref(), Some("aws:kms"), "{name}");
    }
    let read = Bundle::read("vault.json", &found["cvm/prod/vault.json"].content()).unwrap();
    assert!(read.root_key().is_none(), "what functions read has no root key");
    read.put_new(Item::Entry(entry::ROOT_KEY), &found[&root_key].content()).unwrap();
    let vault = Vault::open_in(Arc::new(read), None).unwrap();
    assert!(vault.get(entry::ROOT_KEY).is_ok(), "whoever has both objects has the root's key");
}

#[tokio::test]
async fn the_operators_key_encrypts_where_one_is_named() {
    let bench = Bench::new("own-key").await;
    let key = "arn:aws:kms:eu-central-1:123456789012:key/11112222-3333-4444-5555-666677778888";
    let (bundle, fingerprint) = bench.made(Protection::Unsealed);
    let vault =
        S3Vault::new(&account().await, &at(&Moto::shared().unwrap().endpoint()), bench.bucket, "");
    vault.encrypted_with(key.to_owned()).create(&bundle, &fingerprint).await.unwrap();
    for (name, object) in bench.read_back() {
        assert_eq!(object.encryption_key.as_deref(), Some(key), "{name}");
        assert!(!name.contains('/'), "without a prefix: {name}");
    }
}

#[tokio::test]
async fn a_second_init_is_refused_and_changes_nothing() {
    let bench = Bench::new("second").await;
    let (first, fingerprint) = bench.made(Protection::Unsealed);
    bench.vault.create(&first, &fingerprint).await.unwrap();
    let (second, other) = bench.made(Protection::Unsealed);
    let refused = bench.vault.create(&second, &other).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "s3://second/cvm/prod/vault.json exists already: it is not overwritten"
    );
    let found = bench.read_back();
    assert_eq!(found["cvm/prod/vault.json"].content(), *first.to_json().unwrap());
}

#[tokio::test]
async fn one_of_two_who_replace_the_same_version_is_refused() {
    let bench = Bench::new("replaced").await;
    let (bundle, fingerprint) = bench.made(Protection::Unsealed);
    bench.vault.create(&bundle, &fingerprint).await.unwrap();
    let (read, version) = bench.vault.load().await.unwrap();
    let read = Arc::new(read);
    let vault = Vault::open_in(read.clone(), None).unwrap();
    vault.put("journal-mark", b"7", Overwrite::Replace).unwrap();
    let newer = bench.vault.replace(&read, &version).await.unwrap();
    vault.put("journal-mark", b"8", Overwrite::Replace).unwrap();
    let refused = bench.vault.replace(&read, &version).await.unwrap_err();
    assert!(matches!(refused, S3VaultError::Changed(_)), "{refused}");
    bench.vault.replace(&read, &newer).await.unwrap();
    let (last, _) = bench.vault.load().await.unwrap();
    let vault = Vault::open_in(Arc::new(last), None).unwrap();
    assert_eq!(*vault.get("journal-mark").unwrap(), b"8");
}

/// A lost answer makes the retry meet what the first try wrote, which is no second init.
#[tokio::test]
async fn a_write_whose_answer_was_lost_is_known_as_our_own() {
    for (bucket, fault) in
        [("lost", Fault::AnswerLost), ("error", Fault::ErrorAfterEffect), ("twice", Fault::Twice)]
    {
        let bench = Bench::new(bucket).await;
        let (bundle, fingerprint) = bench.made(Protection::Unsealed);
        bench.proxy.fail(0, fault, Lasting::Once);
        bench.vault.create(&bundle, &fingerprint).await.unwrap();
        assert_eq!(bench.proxy.struck(), 1, "{bucket}");
        bench.proxy.clear();
        let (_, version) = bench.vault.load().await.unwrap();
        bench.proxy.clear();
        bench.proxy.fail(0, fault, Lasting::Once);
        bench.vault.replace(&bundle, &version).await.unwrap();
        assert_eq!(bench.proxy.struck(), 1, "{bucket}");
    }
}

#[tokio::test]
async fn what_is_throttled_or_breaks_on_its_way_is_tried_again() {
    let bench = Bench::new("again").await;
    let (bundle, fingerprint) = bench.made(Protection::Unsealed);
    for (number, fault) in [(0, Fault::Throttled), (2, Fault::ServerError)] {
        bench.proxy.fail(number, fault, Lasting::Once);
    }
    bench.vault.create(&bundle, &fingerprint).await.unwrap();
    assert_eq!((bench.proxy.struck(), bench.calls("PUT")), (2, 4));
    for fault in [Fault::NotSent, Fault::NeverAnswered, Fault::Throttled] {
        bench.proxy.clear();
        bench.proxy.fail(0, fault, Lasting::Once);
        bench.vault.load().await.unwrap();
        assert_eq!(bench.calls("GET"), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_says_what_to_do() {
    let bench = Bench::new("nothing").await;
    let absent = bench.vault.load().await.unwrap_err();
    assert!(matches!(absent, S3VaultError::Absent(_)), "{absent}");
    let said = absent.to_string();
    assert!(said.starts_with("there is no s3://nothing/cvm/prod/vault.json: make one"), "{said}");
    let place = at(&bench.proxy.endpoint("s3").unwrap());
    let elsewhere = S3Vault::new(&account().await, &place, "no-such-bucket", "p");
    let said = elsewhere.load().await.unwrap_err().to_string();
    assert!(said.contains("NoSuchBucket") && said.contains("make the bucket first"), "{said}");
    bench.proxy.clear();
    bench.proxy.fail(0, Fault::ServerError, Lasting::Onwards);
    let down = bench.vault.load().await.unwrap_err();
    assert!(matches!(down, S3VaultError::Service { .. }), "{down}");
    assert!((2..=5).contains(&bench.calls("GET")), "tried again, and not for ever");
}
