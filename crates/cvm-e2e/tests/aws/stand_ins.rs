//! What the judges are worth.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use cvm_e2e::aws::{DynamoDbLocal, Fault, FaultProxy, IotStandIn, Lasting, Moto, run_python};

const BOUND: Duration = Duration::from_secs(60);

#[test]
fn the_stand_in_for_iot_answers_awss_own_client_as_aws_does() -> Result<()> {
    let iot = IotStandIn::start()?;
    run_python("iot_test.py", &[&iot.endpoint()])?;
    assert!(!iot.state()?["calls"].as_array().unwrap().is_empty());
    Ok(())
}

#[test]
fn dynamodb_kms_and_s3_answer_awss_own_client() -> Result<()> {
    let (dynamodb, moto) = (DynamoDbLocal::shared()?, Moto::shared()?);
    run_python("others_test.py", &[&dynamodb.endpoint(), &moto.endpoint()])?;
    Ok(())
}

/// Asks for a certificate through the proxy, without retries, and says what the caller saw.
fn create(proxy: &FaultProxy) -> Result<String> {
    Ok(run_python("create.py", &[&proxy.endpoint("iot")?])?.trim().to_owned())
}

fn made(iot: &IotStandIn) -> Result<usize> {
    Ok(iot.state()?["certificates"].as_array().context("no certificates")?.len())
}

#[test]
fn each_fault_has_its_effect_and_its_answer() -> Result<()> {
    let iot = IotStandIn::start()?;
    let proxy = FaultProxy::start(&[("iot", &iot.endpoint())])?;
    assert_eq!((create(&proxy)?.as_str(), made(&iot)?), ("made", 1));
    let cases = [
        (Fault::NotSent, "ConnectionClosedError", 0),
        (Fault::AnswerLost, "ConnectionClosedError", 1),
        (Fault::NeverAnswered, "ReadTimeoutError", 0),
        (Fault::AnswerNeverComes, "ReadTimeoutError", 1),
        (Fault::Throttled, "ThrottlingException", 0),
        (Fault::ServerError, "InternalFailureException", 0),
        (Fault::ErrorAfterEffect, "InternalFailureException", 1),
        (Fault::Twice, "made", 2),
    ];
    assert_eq!(cases.map(|(fault, ..)| fault), Fault::ALL);
    for (fault, answer, effect) in cases {
        let before = made(&iot)?;
        proxy.clear();
        proxy.fail_operation("CreateCertificateFromCsr", 0, fault, Lasting::Once);
        assert_eq!((create(&proxy)?.as_str(), made(&iot)? - before), (answer, effect), "{fault:?}");
        assert_eq!((create(&proxy)?.as_str(), proxy.struck()), ("made", 1), "{fault:?}");
        assert_eq!(proxy.calls(), ["CreateCertificateFromCsr"; 2]);
    }
    proxy.clear();
    proxy.fail(0, Fault::NotSent, Lasting::Onwards);
    assert_eq!([create(&proxy)?, create(&proxy)?], ["ConnectionClosedError"; 2]);
    proxy.heal();
    assert_eq!((create(&proxy)?.as_str(), proxy.struck()), ("made", 2));
    Ok(())
}

#[test]
fn a_frozen_call_goes_on_when_the_proxy_is_healed() -> Result<()> {
    let iot = IotStandIn::start()?;
    let proxy = FaultProxy::start(&[("iot", &iot.endpoint())])?;
    proxy.fail(0, Fault::Frozen, Lasting::Once);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let frozen = scope.spawn(|| {
            let answer = create(&proxy);
            ended.store(true, Ordering::SeqCst);
            answer
        });
        proxy.wait_frozen(BOUND)?;
        // Another goes past it meanwhile.
        assert_eq!((create(&proxy)?.as_str(), made(&iot)?), ("made", 1));
        assert!(!ended.load(Ordering::SeqCst));
        proxy.heal();
        assert_eq!((frozen.join().unwrap()?.as_str(), made(&iot)?), ("made", 2));
        Ok(())
    })
}
