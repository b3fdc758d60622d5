//! What each act of a trace is, in calls of the use cases, and what it was answered.

use std::collections::BTreeMap;

use cvm_core::certificate::Reason;
use cvm_core::device::{Fate, Verdict};
use cvm_core::id::CertificateId;
use cvm_core::key::KeyAlgorithm;
use cvm_core::provisioning::{
    Ask, Caller, Confirmed, FollowUp, GiveToken, NewDevice, NewToken, OperatorRefusal, Refusal,
    ThingFate, VendRequest, Vended, Whom,
};
use cvm_core::testing::{test_bad_csr, test_csr};
use cvm_core::time::Timestamp;
use cvm_core::token::Token;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Answer, START, World};

impl World {
    fn caller(&self) -> Caller {
        Caller { address: "192.0.2.1".into(), attempt: self.provisioning.attempt_code() }
    }

    pub(super) async fn act(&mut self, step: &Value) -> Answer {
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
        Refusal::CertificateRequired | Refusal::Unproven(_) => 401,
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
