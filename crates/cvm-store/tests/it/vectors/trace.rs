//! A trace, run through the real use cases on one store with a set clock.
//!
//! The tests of other stores include this file, too.

#[path = "acts.rs"]
mod acts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cvm_core::id::{CertificateId, SerialNumber};
use cvm_core::ports::Ports;
use cvm_core::profile::{Profile, Profiles, Reissue};
use cvm_core::provisioning::Provisioning;
use cvm_core::registry::EmbeddedPlatform;
use cvm_core::testing::{
    TestAlarms, TestClock, TestEntropy, TestIssuer, TestKeyMaker, TestSecrets, default_policy_put,
};
use cvm_core::time::{Span, Timestamp};
use cvm_store::Stores;
use serde_json::{Value, json};

/// Second 0 of every trace.
const START: i64 = 1_800_000_000;

/// What a step was answered.
#[derive(Debug, Default)]
struct Answer {
    status: u16,
    slug: Option<&'static str>,
    certificate: Option<CertificateId>,
    private_key: bool,
    alarm: bool,
}

struct World {
    provisioning: Provisioning,
    ports: Ports,
    clock: Arc<TestClock>,
    labels: BTreeMap<String, CertificateId>,
    tokens: BTreeMap<String, Vec<String>>,
}

/// Runs a trace, and says where it differs.
pub(crate) async fn run(trace: &Value, stores: Stores) -> Result<(), String> {
    let mut world = World::new(trace, stores).await;
    for (number, step) in trace["steps"].as_array().unwrap().iter().enumerate() {
        let answer = world.act(step).await;
        world
            .compare(step, &answer)
            .await
            .map_err(|what| format!("step {number} {}: {what}\n  got {answer:?}", step["act"]))?;
    }
    Ok(())
}

impl World {
    async fn new(trace: &Value, stores: Stores) -> Self {
        let clock = Arc::new(TestClock::at(Timestamp(START)));
        let issuer = Arc::new(TestIssuer::new(Timestamp(START - 1_000)));
        let ports = Ports {
            alarms: Arc::new(TestAlarms::default()),
            attempts: stores.attempts,
            catalogue: stores.catalogue,
            clock: clock.clone(),
            entropy: Arc::new(TestEntropy::default()),
            issuer: issuer.clone(),
            journal: stores.journal,
            key_maker: Arc::new(TestKeyMaker::default()),
            nonces: stores.nonces,
            operators: stores.operators,
            platform: Arc::new(EmbeddedPlatform::new(issuer, stores.store.clone())),
            policies: stores.policies,
            revocations: stores.revocations,
            secrets: Arc::new(TestSecrets::default()),
            store: stores.store,
        };
        default_policy_put(&ports, Timestamp(START)).await.unwrap();
        let profiles = Profiles { default: profile(trace), ..Profiles::default() };
        let provisioning =
            Provisioning::new(ports.clone(), profiles, "1000000/1s".parse().unwrap());
        Self { provisioning, ports, clock, labels: BTreeMap::new(), tokens: BTreeMap::new() }
    }

    async fn compare(&self, step: &Value, answer: &Answer) -> Result<(), String> {
        let label = |id: &CertificateId| {
            self.labels.iter().find(|(_, known)| *known == id).map(|(label, _)| label.clone())
        };
        let got = json!({
            "status": answer.status,
            "slug": answer.slug,
            "certificate": answer.certificate.as_ref().and_then(label),
            "privateKey": answer.private_key,
            "alarm": answer.alarm,
        });
        if got != step["expect"] {
            return Err(format!("expected {}", step["expect"]));
        }
        let mut after = self.shown("SN-1").await;
        if step["after"].get("SN-2").is_some() {
            after["SN-2"] = self.shown("SN-2").await;
        }
        if after != step["after"] {
            return Err(format!("expected after {}\n  got after {after}", step["after"]));
        }
        Ok(())
    }

    async fn shown(&self, serial: &str) -> Value {
        let number: SerialNumber = serial.parse().unwrap();
        let Some(shown) = self.provisioning.device_show(&number).await.unwrap() else {
            return json!({"device": null, "disabled": false, "tokens": {}, "certificates": {}});
        };
        let names = self.tokens.get(serial).into_iter().flatten().rev();
        // What has no slot any more is burnt; that it is, a test of its own shows.
        let states = shown.device.tokens.iter().map(|token| token.state.as_str());
        let states = states.chain(std::iter::repeat("burnt"));
        let tokens: BTreeMap<&String, &str> = names.zip(states).collect();
        let mut certificates = BTreeMap::new();
        for certificate in &shown.certificates {
            let label = self.labels.iter().find(|(_, id)| **id == certificate.record.id).unwrap().0;
            certificates.insert(label, certificate.state.as_str());
            let alone = self.provisioning.certificate_show(&certificate.record.id).await.unwrap();
            assert_eq!(alone.unwrap().state, certificate.state, "two readers, one truth");
        }
        let unique: BTreeSet<_> =
            shown.device.live.iter().map(|live| live.state.as_str()).collect();
        assert_eq!(unique.len(), shown.device.live.len(), "I1");
        json!({
            "device": shown.device.state().as_str(),
            "disabled": shown.device.disabled,
            "tokens": tokens,
            "certificates": certificates,
        })
    }
}

fn profile(trace: &Value) -> Profile {
    let reissue = match trace["policy"].as_str().unwrap() {
        "always" => Reissue::Always,
        "approval" => Reissue::Approval,
        "never" => Reissue::Never,
        "same-key" => Reissue::SameKey,
        "until-confirmed" => Reissue::UntilConfirmed,
        policy => panic!("policy {policy}"),
    };
    let mut profile = Profile { reissue, ..Profile::default() };
    for (key, value) in trace["config"].as_object().unwrap() {
        let span = value.as_i64().map(Span);
        match (key.as_str(), span) {
            ("server_keys", _) => profile.server_keys = value.as_bool().unwrap(),
            ("lifetime", Some(span)) => profile.lifetime = span,
            ("key_replay", Some(span)) => profile.key_replay = span,
            ("token_life", Some(span)) => profile.token_life = span,
            ("backdate", Some(span)) => profile.backdate = span,
            ("overlap", Some(span)) => profile.overlap = span,
            ("grace_after_confirm", Some(span)) => profile.grace_after_confirm = span,
            ("renew_after_expiry", Some(span)) => profile.renew_after_expiry = span,
            _ => panic!("config {key}"),
        }
    }
    profile
}
