//! The conformance vectors: traces made by an independent model of the protocol, run through the
//! real use cases on the memory and the `SQLite` store with a set clock.
//!
//! `CVM_VECTORS` names another file of the same format.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cvm_core::certificate::Reason;
use cvm_core::device::{Fate, Verdict};
use cvm_core::id::{CertificateId, SerialNumber};
use cvm_core::key::KeyAlgorithm;
use cvm_core::ports::Ports;
use cvm_core::profile::{Profile, Profiles, Reissue};
use cvm_core::provisioning::{
    Ask, Caller, Confirmed, FollowUp, GiveToken, NewDevice, NewToken, OperatorRefusal,
    Provisioning, Refusal, ThingFate, VendRequest, Vended, Whom,
};
use cvm_core::registry::EmbeddedPlatform;
use cvm_core::testing::{
    TestAlarms, TestClock, TestEntropy, TestIssuer, TestKeyMaker, TestSecrets, default_policy_put,
    test_bad_csr, test_csr,
};
use cvm_core::time::{Span, Timestamp};
use cvm_core::token::Token;
use cvm_store::Stores;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// How many traces our own file has: it may only grow.
const OURS: usize = 695;

/// Second 0 of every trace.
const START: i64 = 1_800_000_000;

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the file to run is named by the environment")]
async fn vectors() {
    let named = std::env::var("CVM_VECTORS").ok();
    let text = match &named {
        Some(path) => std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}")),
        None => String::from(include_str!("../vectors/vending.jsonl")),
    };
    let traces = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let traces: Vec<Value> = traces.filter(|trace| trace.get("steps").is_some()).collect();
    let least = if named.is_some() { 1 } else { OURS };
    assert!(traces.len() >= least, "{} traces", traces.len());
    let mut failures = Vec::new();
    for trace in &traces {
        for (store, stores, _directory) in stores() {
            if let Err(what) = run(trace, stores).await {
                failures.push(format!("{} on {store}: {what}", trace["name"]));
            }
        }
    }
    println!("{} traces, each on two stores", traces.len());
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

fn stores() -> Vec<(&'static str, Stores, Option<tempfile::TempDir>)> {
    let directory = tempfile::tempdir().unwrap();
    let sqlite = cvm_store::open("sqlite:cvm.db", directory.path()).unwrap();
    vec![("memory", Stores::in_memory(), None), ("sqlite", sqlite, Some(directory))]
}

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

async fn run(trace: &Value, stores: Stores) -> Result<(), String> {
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

    fn caller(&self) -> Caller {
        Caller { address: "192.0.2.1".into(), attempt: self.provisioning.attempt_code() }
    }

    async fn act(&mut self, step: &Value) -> Answer {
        self.clock.set(Timestamp(START + step["at"].as_i64().unwrap()));
        match step["act"].as_str().unwrap() {
            "add" => self.add(step).await,
            "vend" => self.vend(step).await,
            "confirm" => self.confirm(step, 204).await,
            "connect" => self.connect(step).await,
            "renew" => self.renew(step).await,
            "new_token" => self.new_token(step).await,
            "revoke" => self.revoke(step).await,
            "disable" => {
                let serial = text(step, "serial").parse().unwrap();
                operated(self.provisioning.device_disable(&serial, "test").await)
            }
            "enable" => {
                let serial = text(step, "serial").parse().unwrap();
                operated(self.provisioning.device_enable(&serial, "test").await)
            }
            "delete" => {
                let serial = text(step, "serial").parse().unwrap();
                operated(self.provisioning.device_delete(&serial, ThingFate::Remove, "test").await)
            }
            "approve" => self.decide(step, Verdict::Approve).await,
            "deny" => self.decide(step, Verdict::Deny).await,
            "clock" => {
                self.clock.trust(step["is"] == "ok");
                Answer { status: 200, ..Answer::default() }
            }
            "sweep" => {
                let swept = self.provisioning.sweep().await;
                assert!(swept.failures.is_empty(), "{swept:?}");
                Answer { status: 200, ..Answer::default() }
            }
            act => panic!("{act}"),
        }
    }

    async fn add(&mut self, step: &Value) -> Answer {
        let (serial, label) = (text(step, "serial"), text(step, "token"));
        let new = NewDevice {
            serial_number: serial.parse().unwrap(),
            token: NewToken::Brought(token(&label)),
            token_expires: None,
            thing_name: None,
            policy: None,
            profile: None,
            attributes: BTreeMap::new(),
            again: step["again"] == true,
        };
        match self.provisioning.device_register(new, "test").await {
            Ok(registered) => {
                if registered.is_new {
                    self.tokens.entry(serial).or_default().push(label);
                }
                Answer { status: if registered.is_new { 201 } else { 200 }, ..Answer::default() }
            }
            Err(refusal) => refused(&refusal),
        }
    }

    async fn new_token(&mut self, step: &Value) -> Answer {
        let (serial, label) = (text(step, "serial"), text(step, "token"));
        let fate = if step["revoke"] == true { Fate::Revoke } else { Fate::Keep };
        let token = NewToken::Brought(token(&label));
        let give = GiveToken { token, expires: None, fate, whom: Whom::Any };
        let number = serial.parse().unwrap();
        let given = self.provisioning.device_new_token(&number, give, "test").await;
        if given.is_ok() && self.tokens[&serial].last() != Some(&label) {
            self.tokens.get_mut(&serial).unwrap().push(label);
        }
        operated(given)
    }

    async fn revoke(&self, step: &Value) -> Answer {
        let nobody = CertificateId([0xC9; 32]);
        let id = self.labels.get(&text(step, "certificate")).copied().unwrap_or(nobody);
        let Ok(reason) = text(step, "reason").parse::<Reason>() else {
            return Answer { status: 400, slug: Some("invalid-request"), ..Answer::default() };
        };
        operated(self.provisioning.certificate_revoke(&id, reason, "test").await)
    }

    async fn decide(&self, step: &Value, verdict: Verdict) -> Answer {
        let serial = text(step, "serial").parse().unwrap();
        let device = self.ports.store.device_find(&serial).await.unwrap().unwrap();
        let id = device.review.expect("a review").id;
        operated(self.provisioning.review_decide(id, verdict, "test").await)
    }

    async fn renew(&mut self, step: &Value) -> Answer {
        let id = self.labels[step["certificate"].as_str().unwrap()];
        let csr = step.get("key").and_then(Value::as_str).map(|key| match step["csr"] == "bad" {
            true => test_bad_csr(key),
            false => test_csr(key),
        });
        let caller = self.caller();
        let answered = self.provisioning.renew(Some(id), csr.as_deref(), &caller).await;
        self.vended(answered).await
    }

    async fn connect(&self, step: &Value) -> Answer {
        let id = self.labels[step["certificate"].as_str().unwrap()];
        let used = self.provisioning.connect(Some(id), &self.caller()).await;
        self.used(used, 200).await
    }

    async fn vend(&mut self, step: &Value) -> Answer {
        let ask = match step.get("key").and_then(Value::as_str) {
            Some(key) if step["csr"] == "bad" => Ask::Csr(test_bad_csr(key)),
            Some(key) => Ask::Csr(test_csr(key)),
            None => {
                let algorithm = step.get("keyAlgorithm").and_then(Value::as_str);
                Ask::ServerKey(algorithm.unwrap_or("EC_P256").parse::<KeyAlgorithm>().unwrap())
            }
        };
        let request = VendRequest {
            serial_number: text(step, "serial"),
            token: token(&text(step, "token")),
            ask,
        };
        let answered = self.provisioning.vend(request, &self.caller()).await;
        self.vended(answered).await
    }

    async fn vended(&mut self, answered: (Result<Vended, Refusal>, FollowUp)) -> Answer {
        let (result, follow_up) = answered;
        let followed = self.provisioning.follow(follow_up).await;
        assert!(followed.failures.is_empty(), "{followed:?}");
        let answer = Answer { alarm: followed.alarms_asked > 0, ..Answer::default() };
        match result {
            Ok(vended) => {
                let row = self.ports.store.holding_find(&vended.certificate.id).await.unwrap();
                assert_eq!(row.unwrap().certificate.der, vended.certificate.der, "stored bytes");
                if vended.is_new {
                    let label = format!("C{}", self.labels.len() + 1);
                    self.labels.insert(label, vended.certificate.id);
                }
                Answer {
                    status: if vended.is_new { 201 } else { 200 },
                    certificate: Some(vended.certificate.id),
                    private_key: vended.private_key.is_some(),
                    ..answer
                }
            }
            Err(refusal) => {
                Answer { status: status(&refusal), slug: Some(refusal.slug()), ..answer }
            }
        }
    }

    async fn confirm(&self, step: &Value, done: u16) -> Answer {
        let id = self.labels[step["certificate"].as_str().unwrap()];
        let used = self.provisioning.confirm(Some(id), &self.caller()).await;
        self.used(used, done).await
    }

    async fn used(&self, used: (Result<Confirmed, Refusal>, FollowUp), done: u16) -> Answer {
        let (result, follow_up) = used;
        let followed = self.provisioning.follow(follow_up).await;
        let answer = Answer { alarm: followed.alarms_asked > 0, ..Answer::default() };
        match result {
            Ok(_) => Answer { status: done, ..answer },
            Err(refusal) => {
                Answer { status: status(&refusal), slug: Some(refusal.slug()), ..answer }
            }
        }
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

fn status(refusal: &Refusal) -> u16 {
    match refusal {
        Refusal::AccessDenied(_)
        | Refusal::CertificateExpired
        | Refusal::CertificateInactive
        | Refusal::CertificateRevoked
        | Refusal::CertificateSuperseded
        | Refusal::CertificateUnknown => 403,
        Refusal::AlreadyIssued(_) | Refusal::TokenPending => 409,
        Refusal::PendingApproval { .. } => 202,
        Refusal::CertificateRequired => 401,
        Refusal::CsrRequired
        | Refusal::InvalidCsr(_)
        | Refusal::KeyNotAcceptable
        | Refusal::WeakKey(_) => 400,
        Refusal::SlowDown { .. } => 429,
        Refusal::Unavailable { .. } => 503,
    }
}

fn operated<T>(result: Result<T, OperatorRefusal>) -> Answer {
    match result {
        Ok(_) => Answer { status: 200, ..Answer::default() },
        Err(refusal) => refused(&refusal),
    }
}

fn refused(refusal: &OperatorRefusal) -> Answer {
    let (status, slug) = match refusal {
        OperatorRefusal::AlreadyExists => (409, "already-exists"),
        OperatorRefusal::DeviceDeleted => (409, "device-deleted"),
        OperatorRefusal::NotFound(_) => (404, "not-found"),
        OperatorRefusal::TokenReused => (409, "token-reused"),
        OperatorRefusal::WrongState(_) => (409, "wrong-state"),
        OperatorRefusal::Invalid(_)
        | OperatorRefusal::NotUnissued
        | OperatorRefusal::ThingNameTaken
        | OperatorRefusal::Unavailable(_)
        | OperatorRefusal::UnknownPolicy(_)
        | OperatorRefusal::UnknownProfile(_) => panic!("{refusal}"),
    };
    Answer { status, slug: Some(slug), ..Answer::default() }
}

fn token(label: &str) -> Token {
    Token::brought(Zeroizing::new(format!("token-called-{label}-of-the-trace"))).unwrap()
}

fn text(step: &Value, key: &str) -> String {
    step[key].as_str().unwrap().to_owned()
}
