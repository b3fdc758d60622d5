//! What is told of a request that was refused: the last step is the one that refused, whatever
//! refused it.

use std::sync::Arc;

use async_trait::async_trait;
use cvm_core::attempt::Attempt;
use cvm_core::id::{AttemptCode, Name, SerialNumber, ThingName};
use cvm_core::key::{CheckedCsr, CsrError, KeyAlgorithm, PrivateKey, PublicKey};
use cvm_core::ports::{
    CarryOutError, Change, IssueOrder, Issued, IssuerError, KeyMaker, Platform, Ports, Sought,
};
use cvm_core::provisioning::{Ask, Refusal};
use cvm_core::testing::test_csr;

use super::use_cases::{World, caller, request};

/// A platform before which somebody else has always written.
struct Overtaken;

#[async_trait]
impl Platform for Overtaken {
    fn request_judge(&self, _: &CheckedCsr, _: &ThingName) -> Result<(), CsrError> {
        Ok(())
    }

    fn owe(&self, _: &mut Change) {}

    async fn certificate_issue(&self, _: IssueOrder<'_>) -> Result<Issued, CarryOutError> {
        Err(CarryOutError::Conflict)
    }

    async fn certificate_complete(
        &self,
        _: &SerialNumber,
        _: AttemptCode,
    ) -> Result<(), CarryOutError> {
        Ok(())
    }

    async fn device_settle(
        &self,
        _: &SerialNumber,
        _: AttemptCode,
    ) -> Result<Vec<Sought>, CarryOutError> {
        Ok(Vec::new())
    }

    async fn orphans_end(&self, _: &[Sought]) -> Result<usize, CarryOutError> {
        Ok(0)
    }

    async fn policy_is_known(&self, _: &Name) -> Result<bool, CarryOutError> {
        Ok(false)
    }
}

/// A maker of keys that makes none.
struct Idle;

#[async_trait]
impl KeyMaker for Idle {
    async fn key_make(&self, _: KeyAlgorithm) -> Result<(PrivateKey, PublicKey), IssuerError> {
        Err(IssuerError::Unavailable("told to make none".into()))
    }

    fn csr_make(&self, _: &PrivateKey) -> Result<Vec<u8>, IssuerError> {
        Err(IssuerError::Unavailable("told to make none".into()))
    }
}

impl World {
    /// The newest attempt of the device, whose last step has to have refused, and no other.
    async fn refused(&self, serial: &str) -> Attempt {
        let attempts = self.ports.attempts.attempts_of(&serial.parse().unwrap()).await.unwrap();
        let attempt = attempts[0].clone();
        let passed: Vec<bool> = attempt.steps.iter().map(|step| step.passed).collect();
        let (last, before) = passed.split_last().unwrap();
        assert!(!last && before.iter().all(|passed| *passed), "{attempt:?}");
        attempt
    }
}

#[tokio::test]
async fn a_record_that_moves_under_every_decision_is_told_as_that() {
    let world = World::new().await;
    world.register("SN-1").await;
    let ports = Ports { platform: Arc::new(Overtaken), ..world.ports.clone() };
    let overtaken = world.through(ports);
    let ask = Ask::Csr(test_csr("K"));
    let (vended, after) = overtaken.vend(request("SN-1", ask), &caller()).await;
    assert!(matches!(vended, Err(Refusal::Unavailable { .. })));
    overtaken.follow(after).await;
    let told = world.refused("SN-1").await;
    assert_eq!((told.outcome.as_str(), told.reason.as_str()), ("unavailable", "contended"));

    let held = world.issued("SN-1", "K").await;
    world.confirm(held).await.unwrap();
    let csr = test_csr("L");
    let (renewed, after) = overtaken.renew(Some(held), Some(&csr), &caller()).await;
    assert!(matches!(renewed, Err(Refusal::Unavailable { .. })));
    overtaken.follow(after).await;
    let told = world.refused("SN-1").await;
    assert_eq!((told.act.as_str(), told.reason.as_str()), ("renew", "contended"));
}

#[tokio::test]
async fn what_failed_after_the_decision_is_a_step_too() {
    let world = World::new().await;
    world.register("SN-1").await;
    let ports = Ports { key_maker: Arc::new(Idle), ..world.ports.clone() };
    let idle = world.through(ports);
    let ask = Ask::ServerKey(KeyAlgorithm::EcP256);
    let (vended, after) = idle.vend(request("SN-1", ask), &caller()).await;
    assert!(matches!(vended, Err(Refusal::Unavailable { .. })));
    idle.follow(after).await;
    let told = world.refused("SN-1").await;
    assert_eq!((told.outcome.as_str(), told.reason.as_str()), ("unavailable", ""));
}
