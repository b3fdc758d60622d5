//! The calls of IoT Core, judged by the stand-in, which holds them against AWS's service models.

use std::sync::Arc;

use aws_sdk_iot::Client;
use cvm_aws::iot::IotCalls;
use cvm_core::id::{CertificateId, Name, ThingName};
use cvm_core::key::{KeyAlgorithm, PublicKey};
use cvm_core::policy::DEFAULT_DOCUMENT;
use cvm_core::ports::{
    IotBindings as _, IotCertificates as _, IotError, IotStatus, Issuer as _, KeyMaker as _,
    LeafTemplate,
};
use cvm_core::time::Span;
use cvm_e2e::aws::{Fault, FaultProxy, IotStandIn, Lasting};
use cvm_pki::{Bundle, DevicesCa, KeyPool, LocalIssuer, Pki, Protection, Vault};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{NOW, account, at, make};

/// An account of its own behind a proxy.
struct Bench {
    iot: IotCalls,
    theirs: Client,
    proxy: FaultProxy,
    stand_in: IotStandIn,
}

impl Bench {
    async fn new() -> Self {
        let stand_in = IotStandIn::start().unwrap();
        let endpoint = stand_in.endpoint();
        let proxy = FaultProxy::start(&[("iot", &endpoint)]).unwrap();
        let account = account().await;
        let iot = IotCalls::new(&account, &at(&proxy.endpoint("iot").unwrap()));
        let theirs = Client::new(&account.at(&at(&endpoint)));
        Self { iot, theirs, proxy, stand_in }
    }

    fn kept(&self, kind: &str) -> Vec<Value> {
        self.stand_in.state().unwrap()[kind].as_array().unwrap().clone()
    }

    /// What the stand-in keeps of one certificate.
    fn certificate(&self, id: &CertificateId) -> Value {
        let id = id.to_string();
        self.kept("certificates").into_iter().find(|kept| kept["id"] == *id).unwrap()
    }

    async fn made(&self) -> CertificateId {
        self.iot.certificate_create(&csr().await.1).await.unwrap().id
    }
}

impl Drop for Bench {
    /// It answered nothing that AWS's models do not know.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.kept("faults").is_empty(), "{:?}", self.kept("faults"));
        }
    }
}

async fn csr() -> (PublicKey, Vec<u8>) {
    let pool = KeyPool::new(1, 1).unwrap();
    let (private, public) = pool.key_make(KeyAlgorithm::EcP256).await.unwrap();
    (public, pool.csr_make(&private).unwrap())
}

fn thing(name: &str) -> ThingName {
    name.parse().unwrap()
}

fn policy() -> Name {
    "cvm-default".parse().unwrap()
}

/// Our own CA, its leaf, and where both lie.
async fn own_leaf() -> (Arc<LocalIssuer>, Vec<u8>, TempDir) {
    let (scratch, bundle) = (tempfile::tempdir().unwrap(), Arc::new(Bundle::new("memory")));
    make(&bundle, scratch.path(), DevicesCa::Made, Protection::Unsealed).unwrap();
    let vault = Vault::open_in(bundle, None).unwrap();
    let issuer = Pki::load(scratch.path(), &vault, "http://crl.example").unwrap().issuer();
    let (key, _) = csr().await;
    let template = LeafTemplate {
        serial_number: &"SN-1".parse().unwrap(),
        thing_name: &thing("SN-1"),
        key: &key,
        not_before: NOW,
        not_after: NOW.plus(Span(365 * Span::DAY.0)),
    };
    let leaf = issuer.leaf_sign(template).await.unwrap().der;
    (issuer, leaf, scratch)
}

#[tokio::test]
async fn a_certificate_of_awss_certifies_the_requests_key_and_opens_nothing_yet() {
    let bench = Bench::new().await;
    let (key, csr) = csr().await;
    let made = bench.iot.certificate_create(&csr).await.unwrap();
    assert_eq!((made.key, made.status), (key.identity, IotStatus::Inactive));
    assert!(made.not_after > made.not_before);
    assert_eq!(bench.iot.certificate_describe(&made.id).await.unwrap(), Some(made.clone()));
    for status in [IotStatus::Active, IotStatus::Inactive, IotStatus::Revoked] {
        bench.iot.certificate_status_set(&made.id, status).await.unwrap();
        let told = bench.iot.certificate_describe(&made.id).await.unwrap().unwrap();
        assert_eq!(told.status, status);
    }
    let nobodys = CertificateId([7; 32]);
    assert_eq!(bench.iot.certificate_describe(&nobodys).await.unwrap(), None);
    let told = bench.iot.certificate_status_set(&nobodys, IotStatus::Active).await;
    assert!(matches!(told, Err(IotError::NotFound(_))), "{told:?}");
}

#[tokio::test]
async fn the_call_that_makes_a_certificate_is_tried_again_only_where_it_was_throttled() {
    let bench = Bench::new().await;
    let create = async || bench.iot.certificate_create(&csr().await.1).await;
    let lost = [Fault::AnswerLost, Fault::ErrorAfterEffect, Fault::NotSent, Fault::ServerError];
    for (made, fault) in [1, 2, 2, 2].into_iter().zip(lost) {
        bench.proxy.clear();
        bench.proxy.fail(0, fault, Lasting::Once);
        let told = create().await;
        assert!(matches!(told, Err(IotError::Unknown(_))), "{fault:?}: {told:?}");
        assert_eq!(bench.kept("certificates").len(), made, "{fault:?}");
    }
    bench.proxy.clear();
    bench.proxy.fail(0, Fault::Throttled, Lasting::Once);
    create().await.unwrap();
    assert_eq!(bench.kept("certificates").len(), 3);
    bench.proxy.clear();
    bench.proxy.fail(0, Fault::Throttled, Lasting::Onwards);
    let told = create().await;
    assert!(matches!(told, Err(IotError::NotNow(_))), "{told:?}");
}

#[tokio::test]
async fn what_aws_does_not_take_is_told_as_refused() {
    let bench = Bench::new().await;
    let told = bench.iot.certificate_create(b"not a request").await;
    assert!(matches!(told, Err(IotError::Refused(_))), "{told:?}");
}

#[tokio::test]
async fn certificates_are_listed_newest_first_and_deleted_once() {
    let bench = Bench::new().await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(bench.made().await);
    }
    let page = bench.iot.certificate_page(None).await.unwrap();
    let listed: Vec<_> = page.certificates.iter().map(|it| it.id).collect();
    assert_eq!((listed.first(), listed.len()), (made.last(), 3));
    assert!(page.certificates.iter().all(|it| it.status == IotStatus::Inactive));
    for _ in 0..2 {
        bench.iot.certificate_delete(&made[0]).await.unwrap();
    }
    bench.iot.certificate_status_set(&made[1], IotStatus::Active).await.unwrap();
    let told = bench.iot.certificate_delete(&made[1]).await;
    assert!(matches!(told, Err(IotError::Conflict(_))), "{told:?}");
}

#[tokio::test]
async fn our_own_leaf_is_registered_under_our_ca_which_registers_nobody_by_itself() {
    let bench = Bench::new().await;
    let (issuer, leaf, _scratch) = own_leaf().await;
    let ca = issuer.ca_certificate(&issuer.issuer_id()).unwrap();
    for _ in 0..2 {
        bench.iot.certificate_register(&leaf, &ca).await.unwrap();
    }
    let kept = bench.kept("certificates");
    assert_eq!((kept.len(), kept[0]["status"].as_str()), (1, Some("INACTIVE")));
    let cas = bench.kept("cas");
    assert_eq!(cas.len(), 1);
    let told = bench.theirs.list_ca_certificates().send().await.unwrap();
    let id = told.certificates()[0].certificate_id().unwrap().to_owned();
    let told = bench.theirs.describe_ca_certificate().certificate_id(id).send().await.unwrap();
    let told = told.certificate_description.unwrap();
    assert_eq!(told.status.unwrap().as_str(), "ACTIVE");
    assert_eq!(told.auto_registration_status.unwrap().as_str(), "DISABLE");
}

#[tokio::test]
async fn a_thing_is_made_once_and_one_of_others_is_left_alone() {
    let bench = Bench::new().await;
    for _ in 0..2 {
        bench.iot.thing_create(&thing("SN-1")).await.unwrap();
    }
    let told = bench.theirs.describe_thing().thing_name("SN-1").send().await.unwrap();
    assert_eq!(told.attributes().unwrap()["RegistrationWay"], "CVM");
    bench.theirs.create_thing().thing_name("theirs").send().await.unwrap();
    let told = bench.iot.thing_create(&thing("theirs")).await;
    assert!(matches!(&told, Err(IotError::Conflict(what)) if what.contains("RegistrationWay")));
}

#[tokio::test]
async fn a_certificate_is_bound_and_loosened_as_often_as_it_is_asked_for() {
    let bench = Bench::new().await;
    let id = bench.made().await;
    let told = bench.iot.policy_attach(&policy(), &id).await;
    assert!(matches!(told, Err(IotError::NotFound(_))), "{told:?}");
    assert!(!bench.iot.policy_exists(&policy()).await.unwrap());
    for _ in 0..2 {
        bench.iot.policy_create(&policy(), DEFAULT_DOCUMENT).await.unwrap();
        bench.iot.policy_attach(&policy(), &id).await.unwrap();
        bench.iot.thing_create(&thing("SN-1")).await.unwrap();
        bench.iot.thing_attach(&thing("SN-1"), &id).await.unwrap();
    }
    assert!(bench.iot.policy_exists(&policy()).await.unwrap());
    let kept = bench.certificate(&id);
    assert_eq!(kept["things"], serde_json::json!(["SN-1"]));
    assert_eq!(kept["policies"], serde_json::json!(["cvm-default"]));
    for _ in 0..2 {
        bench.iot.policy_detach(&policy(), &id).await.unwrap();
    }
    assert_eq!(bench.certificate(&id)["policies"], serde_json::json!([]));
}

#[tokio::test]
async fn a_thing_goes_with_its_shadow_unless_others_have_bound_something_to_it() {
    let bench = Bench::new().await;
    let (ours, theirs) = (bench.made().await, bench.made().await);
    bench.iot.thing_create(&thing("SN-1")).await.unwrap();
    for id in [ours, theirs] {
        bench.iot.thing_attach(&thing("SN-1"), &id).await.unwrap();
    }
    let told = bench.iot.thing_delete(&thing("SN-1"), &[ours]).await;
    assert!(matches!(told, Err(IotError::Conflict(_))), "{told:?}");
    for _ in 0..2 {
        bench.iot.thing_delete(&thing("SN-1"), &[ours, theirs]).await.unwrap();
    }
    assert!(bench.kept("things").is_empty());
}

#[tokio::test]
async fn a_session_is_ended_by_its_things_name() {
    let bench = Bench::new().await;
    bench.stand_in.client_connect("SN-1").unwrap();
    for _ in 0..2 {
        bench.iot.connection_delete(&thing("SN-1")).await.unwrap();
    }
    assert!(bench.kept("connections").is_empty());
}

#[tokio::test]
async fn devices_are_told_the_ats_endpoint() {
    let bench = Bench::new().await;
    let host = bench.iot.data_host().await.unwrap();
    assert!(host.contains("-ats.iot."), "{host}");
}
