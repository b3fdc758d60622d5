//! A `devices` CA whose key is in KMS: what it signs is judged by openssl, and when it cannot be
//! used nothing is issued.

use std::sync::Arc;

use aws_sdk_kms::Client;
use aws_sdk_kms::types::{KeySpec, KeyUsageType};
use cvm_aws::kms::KmsKey;
use cvm_core::certificate::Reason;
use cvm_core::key::KeyAlgorithm;
use cvm_core::ports::{
    CrlTemplate, Issuer as _, IssuerError, KeyMaker as _, LeafTemplate, RevokedEntry,
};
use cvm_core::time::{Span, Timestamp};
use cvm_e2e::aws::{Fault, FaultProxy, Lasting, Moto};
use cvm_pki::{
    Bundle, DevicesCa, KeyPool, LocalIssuer, Pki, PkiError, Protection, RemotePublicKey, Vault, pem,
};
use tempfile::TempDir;

use crate::support::{NOW, account, at, file, make, openssl};

const CRL: &str = "http://crl.example";

/// A CA whose key is at moto behind a proxy.
struct Bench {
    control: Client,
    proxy: FaultProxy,
    key_id: String,
    bundle: Arc<Bundle>,
    root_pem: String,
    devices_pem: String,
    scratch: TempDir,
}

impl Bench {
    async fn new(spec: KeySpec) -> Self {
        let moto = Moto::shared().unwrap().endpoint();
        let account = account().await;
        let control = Client::new(&account.at(&at(&moto)));
        let key_id = new_key(&control, spec, KeyUsageType::SignVerify).await;
        let told = KmsKey::new(&account, &at(&moto), &key_id).describe().await.unwrap();
        assert!(told.reference.starts_with("kms:arn:aws:kms:eu-central-1:"), "{}", told.reference);

        let scratch = tempfile::tempdir().unwrap();
        let bundle = Arc::new(Bundle::new("memory"));
        let remote = RemotePublicKey { spki: &told.spki, reference: &told.reference };
        let devices = DevicesCa::Remote(remote);
        let made = make(&bundle, scratch.path(), devices, Protection::Unsealed).unwrap();
        let proxy = FaultProxy::start(&[("kms", &moto)]).unwrap();
        let (root_pem, devices_pem) = (made.root_pem, made.devices_ca_pem);
        Self { control, proxy, key_id, bundle, root_pem, devices_pem, scratch }
    }

    fn vault(&self) -> Vault {
        Vault::open_in(self.bundle.clone(), None).unwrap()
    }

    /// The issuer as `serve` has it, or one that is sent to another key.
    async fn issuer(&self, other_key: Option<&str>) -> Arc<LocalIssuer> {
        let vault = self.vault();
        let reference = Pki::devices_key_reference(&vault).unwrap().unwrap();
        let place = at(&self.proxy.endpoint("kms").unwrap());
        let key = KmsKey::new(&account().await, &place, other_key.unwrap_or(&reference));
        let pki = Pki::load_remote(self.scratch.path(), &vault, CRL, Arc::new(key)).unwrap();
        pki.issuer()
    }
}

async fn new_key(control: &Client, spec: KeySpec, usage: KeyUsageType) -> String {
    let made = control.create_key().key_spec(spec).key_usage(usage).send().await.unwrap();
    made.key_metadata.unwrap().key_id
}

async fn leaf(issuer: &LocalIssuer) -> Result<Vec<u8>, IssuerError> {
    let (_, key) = KeyPool::new(1, 1).unwrap().key_make(KeyAlgorithm::EcP256).await.unwrap();
    let template = LeafTemplate {
        serial_number: &"SN-0001".parse().unwrap(),
        thing_name: &"SN-0001".parse().unwrap(),
        key: &key,
        not_before: NOW,
        not_after: NOW.plus(Span(365 * Span::DAY.0)),
    };
    issuer.leaf_sign(template).await.map(|leaf| leaf.der)
}

async fn crl(issuer: &LocalIssuer, entries: u32) -> Result<Vec<u8>, IssuerError> {
    let entry = |n: u32| RevokedEntry {
        certificate_serial: [&[0x9A][..], &n.to_be_bytes(), &[0xC3; 12]].concat(),
        revoked_at: NOW,
        reason: Some(Reason::Superseded),
    };
    let template = CrlTemplate {
        issuer: issuer.issuer_id(),
        shard: 0x9A,
        number: 7,
        this_update: NOW,
        next_update: NOW.plus(Span::DAY),
        entries: (0..entries).map(entry).collect(),
    };
    issuer.crl_sign(template).await
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn openssl_verifies_what_each_kind_of_key_signs() {
    for spec in [KeySpec::EccNistP256, KeySpec::EccNistP384, KeySpec::Rsa2048] {
        let bench = Bench::new(spec.clone()).await;
        let issuer = bench.issuer(None).await;
        issuer.key_check().await.unwrap();
        let leaf = leaf(&issuer).await.unwrap();
        // Longer than what KMS hashes itself.
        let list = crl(&issuer, 200).await.unwrap();
        assert!(list.len() > 4_096);

        let directory = bench.scratch.path();
        let root = file(directory, "root.pem", &bench.root_pem);
        let devices = file(directory, "devices.pem", &bench.devices_pem);
        let leaf = file(directory, "leaf.pem", pem::certificate(&leaf));
        let list = file(directory, "list.crl", &list);
        let Timestamp(now) = NOW;
        let now = now.to_string();
        let chain = ["verify", "-x509_strict", "-attime", &now, "-CAfile", text(&root)];
        let said = openssl(&[&chain[..], &["-untrusted", text(&devices), text(&leaf)]].concat());
        assert!(said.ends_with("leaf.pem: OK\n"), "{spec:?}: {said}");
        let checked = ["crl", "-inform", "DER", "-in", text(&list), "-CAfile", text(&devices)];
        openssl(&[&checked[..], &["-noout", "-verify"]].concat());
        assert_eq!(bench.proxy.calls(), ["GetPublicKey", "Sign", "Sign"], "{spec:?}");
    }
}

#[tokio::test]
async fn the_vault_has_the_keys_name_and_no_key() {
    let bench = Bench::new(KeySpec::EccNistP256).await;
    let vault = bench.vault();
    let names = vault.list().unwrap();
    assert!(!names.iter().any(|name| name == cvm_pki::entry::DEVICES_CA_KEY), "{names:?}");
    let reference = Pki::devices_key_reference(&vault).unwrap().unwrap();
    assert!(reference.ends_with(&bench.key_id), "{reference}");
    let refused = Pki::load(bench.scratch.path(), &vault, CRL).unwrap_err();
    assert!(matches!(refused, PkiError::RemoteKey(_)), "{refused}");
}

#[tokio::test]
async fn what_is_throttled_or_lost_is_signed_at_the_next_try() {
    let bench = Bench::new(KeySpec::EccNistP256).await;
    let issuer = bench.issuer(None).await;
    for fault in [
        Fault::Throttled,
        Fault::ServerError,
        Fault::NotSent,
        Fault::AnswerLost,
        Fault::NeverAnswered,
        Fault::Twice,
    ] {
        bench.proxy.clear();
        bench.proxy.fail_operation("Sign", 0, fault, Lasting::Once);
        leaf(&issuer).await.unwrap();
        assert_eq!(bench.proxy.struck(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_kms_that_is_down_makes_the_signer_unavailable_within_bounds() {
    let bench = Bench::new(KeySpec::EccNistP256).await;
    let issuer = bench.issuer(None).await;
    for fault in [Fault::Throttled, Fault::NeverAnswered] {
        bench.proxy.clear();
        bench.proxy.fail(0, fault, Lasting::Onwards);
        let refused = leaf(&issuer).await.unwrap_err();
        assert!(matches!(refused, IssuerError::Unavailable(_)), "{refused}");
        assert!((2..=5).contains(&bench.proxy.struck()), "{fault:?}: {}", bench.proxy.struck());
    }
    bench.proxy.clear();
    leaf(&issuer).await.unwrap();
}

#[tokio::test]
async fn a_disabled_key_says_so_and_signs_again_once_it_is_enabled() {
    let bench = Bench::new(KeySpec::EccNistP256).await;
    let issuer = bench.issuer(None).await;
    bench.control.disable_key().key_id(&bench.key_id).send().await.unwrap();
    for refused in [leaf(&issuer).await, crl(&issuer, 1).await] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, IssuerError::Unavailable(_)), "{refused}");
        let said = refused.to_string();
        assert!(
            said.contains("DisabledException") && said.contains("aws kms enable-key"),
            "{said}"
        );
    }
    assert_eq!(bench.proxy.calls(), ["Sign", "Sign"], "a refusal is not tried again");
    bench.control.enable_key().key_id(&bench.key_id).send().await.unwrap();
    leaf(&issuer).await.unwrap();
}

#[tokio::test]
async fn the_key_of_another_ca_is_found_out_at_the_start_and_signs_nothing() {
    let bench = Bench::new(KeySpec::EccNistP256).await;
    let (spec, usage) = (KeySpec::EccNistP256, KeyUsageType::SignVerify);
    let other = new_key(&bench.control, spec, usage).await;
    let issuer = bench.issuer(Some(&other)).await;
    let said = issuer.key_check().await.unwrap_err().to_string();
    assert!(said.contains("is not the key of the devices CA's certificate"), "{said}");
    let refused = leaf(&issuer).await.unwrap_err();
    assert!(matches!(refused, IssuerError::Unavailable(_)), "{refused}");
}

#[tokio::test]
async fn no_ca_is_made_for_a_key_that_cannot_sign_it() {
    let moto = Moto::shared().unwrap().endpoint();
    let account = account().await;
    let control = Client::new(&account.at(&at(&moto)));
    let describe = async |id: &str| KmsKey::new(&account, &at(&moto), id).describe().await;
    let absent = describe("11112222-3333-4444-5555-666677778888").await.unwrap_err().to_string();
    assert!(absent.contains("NotFoundException") && absent.contains("its region"), "{absent}");
    let encrypts = new_key(&control, KeySpec::Rsa2048, KeyUsageType::EncryptDecrypt).await;
    let said = describe(&encrypts).await.unwrap_err().to_string();
    assert!(said.ends_with("is not a key for signing: make one with SIGN_VERIFY"), "{said}");
    let (spec, usage) = (KeySpec::EccNistP521, KeyUsageType::SignVerify);
    let told = describe(&new_key(&control, spec, usage).await).await.unwrap();
    let remote = RemotePublicKey { spki: &told.spki, reference: &told.reference };
    let (scratch, bundle) = (tempfile::tempdir().unwrap(), Arc::new(Bundle::new("memory")));
    let refused =
        make(&bundle, scratch.path(), DevicesCa::Remote(remote), Protection::Unsealed).unwrap_err();
    assert!(matches!(refused, PkiError::Import(_)), "{refused}");
}
