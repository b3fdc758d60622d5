//! Every call of every use case fails in every way, then the device asks again: exactly one ACTIVE
//! certificate, bound and recorded; none that nobody recorded; none that should be revoked and is not.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cvm_e2e::aws::{Fault, Lasting};
use cvm_e2e::{Environment, wait_for};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::device::{Act, Device};
use crate::site::{LEASE, POLICY, Signer, Site, is_live, text};

/// Servers that walk side by side: most of a walk is waiting.
const WALKERS: usize = 8;

const BOUND: Duration = Duration::from_secs(60);

/// Some rounds of the sweeper's, which come once a minute.
const SWEPT_WITHIN: Duration = Duration::from_secs(400);

/// What befalls one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Fault(Fault, Lasting),
    /// The server is killed with it on its way: it has its effect, and nobody hears of it.
    Kill,
    /// The server is frozen before it is sent, and goes on when another has answered.
    Freeze,
}

/// What may befall a call. To one that only reads, losing its answer is the same as not sending it.
fn blows(operation: &str) -> Vec<Blow> {
    let once = |fault| Blow::Fault(fault, Lasting::Once);
    let onwards = |fault| Blow::Fault(fault, Lasting::Onwards);
    let mut blows = if is_read(operation) {
        [Fault::NotSent, Fault::Throttled, Fault::ServerError].map(once).to_vec()
    } else {
        Fault::ALL.map(once).to_vec()
    };
    blows.push(onwards(Fault::NotSent));
    if !is_read(operation) {
        blows.push(onwards(Fault::AnswerLost));
    }
    blows.extend([Blow::Kill, Blow::Freeze]);
    blows
}

fn is_read(operation: &str) -> bool {
    let reads = ["Get", "Query", "BatchGet", "TransactGet", "Describe", "List"];
    reads.iter().any(|prefix| operation.starts_with(prefix))
}

#[derive(Clone, Copy, Debug)]
struct Scenario {
    act: Act,
    call: usize,
    blow: Blow,
}

#[test]
fn every_call_of_every_use_case_may_fail_where_aws_signs() -> Result<()> {
    walk(Signer::Aws, &Act::ALL)
}

#[test]
fn every_call_of_every_use_case_may_fail_where_we_sign() -> Result<()> {
    // The rest is as where AWS signs.
    walk(Signer::OwnCa, &[Act::Vend, Act::Renew])
}

#[test]
fn every_call_of_every_use_case_may_fail_where_the_table_alone_is_on_aws() -> Result<()> {
    walk(Signer::Home, &[Act::Vend, Act::Confirm, Act::Renew, Act::ConfirmRenewal])
}

fn walk(signer: Signer, acts: &[Act]) -> Result<()> {
    let scenarios = Mutex::new(scenarios(&Site::start(signer)?, acts)?);
    std::thread::scope(|scope| {
        let walkers: Vec<_> = (0..WALKERS)
            .map(|walker| {
                scope.spawn({
                    let scenarios = &scenarios;
                    move || {
                        let walked = walk_with(signer, walker, scenarios);
                        if walked.is_err() {
                            // The others need not go on.
                            scenarios.lock().clear();
                        }
                        walked
                    }
                })
            })
            .collect();
        for walker in walkers {
            walker.join().expect("a walker panicked")?;
        }
        Ok(())
    })
}

/// One for each call that the use cases make when nothing fails, and each blow; of the same read
/// several times over, the first.
fn scenarios(site: &Site, acts: &[Act]) -> Result<VecDeque<Scenario>> {
    let mut all = VecDeque::new();
    for &act in acts {
        let serial = format!("clean-{act:?}");
        let mut device = Device::ready_for(act, &site.server, &serial)?;
        site.quiesce()?;
        device.insist(act, &site.server)?;
        let calls = site.proxy.calls();
        judge(site, &device, act)?;
        println!("{act:?}: {}", calls.join(" "));
        let mut before = "";
        for (call, operation) in calls.iter().enumerate() {
            if operation != before || !is_read(operation) {
                let blows = blows(operation).into_iter();
                all.extend(blows.map(|blow| Scenario { act, call, blow }));
            }
            before = operation;
        }
    }
    Ok(all)
}

fn walk_with(signer: Signer, walker: usize, left: &Mutex<VecDeque<Scenario>>) -> Result<()> {
    let mut site = Site::start(signer)?;
    let mut another = site.another()?;
    for number in 0.. {
        let Some(scenario) = left.lock().pop_front() else { break };
        let Scenario { act, .. } = scenario;
        let serial = format!("{walker}-{number}");
        let mut device = Device::ready_for(act, &site.server, &serial)
            .with_context(|| format!("before {scenario:?}"))?;
        site.quiesce()?;
        let begun = std::time::Instant::now();
        let outcome = match scenario.blow {
            Blow::Fault(fault, lasting) => {
                site.proxy.fail(scenario.call, fault, lasting);
                // Whatever comes of it.
                if let Ok(answer) = device.ask(act, &site.server)
                    && answer.status < 300
                {
                    device.take(act, &answer)?;
                }
                site.proxy.heal();
                Ok(())
            }
            Blow::Kill => kill(&mut site, &mut another, &device, scenario),
            Blow::Freeze => freeze(&site, &another, &mut device, scenario),
        };
        let struck = begun.elapsed();
        // What is cut off for long cannot give its lease back: another waits for its end.
        let is_cut_off = matches!(scenario.blow, Blow::Fault(_, Lasting::Onwards));
        outcome
            .and_then(|()| if is_cut_off { device.insist(act, &another) } else { Ok(()) })
            .and_then(|()| device.insist(act, &site.server))
            .and_then(|()| judge(&site, &device, act))
            .with_context(|| format!("{scenario:?}\n{}", site.server.log()))?;
        println!("{:5} ms, {:5} ms: {scenario:?}", struck.as_millis(), begun.elapsed().as_millis());
    }
    site.proxy.heal();
    nothing_is_left(&site)
}

fn kill(
    site: &mut Site,
    another: &mut Environment,
    device: &Device,
    scenario: Scenario,
) -> Result<()> {
    site.proxy.fail(scenario.call, Fault::Frozen, Lasting::Once);
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| device.ask(scenario.act, &site.server).map(drop));
        let stopped = frozen_or(site, || asked.is_finished());
        let pid = site.server.pid().context("no server")?.to_string();
        let killed = std::process::Command::new("kill").args(["-KILL", &pid]).status()?;
        ensure!(killed.success(), "kill -KILL");
        stopped
    })?;
    site.restart_after_a_lease()?;
    // It stays ahead.
    another.set_clock(site.server.now().plus(LEASE))
}

fn freeze(
    site: &Site,
    another: &Environment,
    device: &mut Device,
    Scenario { act, call, .. }: Scenario,
) -> Result<()> {
    site.proxy.fail(call, Fault::Frozen, Lasting::Once);
    let asking = &*device;
    let (answer, late) = std::thread::scope(|scope| -> Result<_> {
        let frozen = scope.spawn(|| asking.ask(act, &site.server));
        let stopped = frozen_or(site, || frozen.is_finished());
        let answer = asking.answered(act, another);
        site.proxy.heal();
        stopped?;
        Ok((answer?, frozen.join().expect("the frozen request panicked")))
    })?;
    device.take(act, &answer)?;
    match late {
        Ok(late) if late.status < 300 => device.take(act, &late),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Waits for a frozen call. Where fewer calls are made than before none may come, and the request
/// ends.
fn frozen_or(site: &Site, is_ended: impl Fn() -> bool) -> Result<()> {
    wait_for("a call to freeze", BOUND, || {
        let is_frozen = site.proxy.wait_frozen(Duration::from_millis(20)).is_ok();
        Ok((is_frozen || is_ended()).then_some(()))
    })
}

/// What has to be so as soon as the device has its answer.
fn judge(site: &Site, device: &Device, act: Act) -> Result<()> {
    let wanted = device.active_after(act);
    let is_word = matches!(act, Act::Revoke | Act::Disable | Act::Enable);
    let active = if is_word {
        // It is told to AWS after its commit, by the sweeper at the latest.
        wait_for("AWS to be told", SWEPT_WITHIN, || {
            Ok(Some(site.active_of(&device.serial)?).filter(|active| *active == wanted))
        })
        .context(format!("wanted {wanted:?}"))?
    } else {
        site.active_of(&device.serial)?
    };
    ensure!(active == wanted, "ACTIVE are {active:?}, wanted {wanted:?}");
    for certificate in site.certificates()? {
        if !active.contains(&text(&certificate, "id")) {
            continue;
        }
        ensure!(certificate["things"] == json!([device.serial]), "{certificate}");
        ensure!(certificate["policies"] == json!([POLICY]), "{certificate}");
        let recorded = site.recorded(&text(&certificate, "id"))?;
        ensure!(recorded.is_some(), "nobody recorded {certificate}");
    }
    Ok(())
}

/// What has to be so once the sweeper has been: every certificate is on record, and as it says.
fn nothing_is_left(site: &Site) -> Result<()> {
    let mut wrong = Vec::new();
    let swept = wait_for("the sweeper", SWEPT_WITHIN, || {
        wrong.clear();
        for certificate in site.certificates()? {
            let recorded = site.recorded(&text(&certificate, "id"))?;
            if !is_as_recorded(&certificate, recorded.as_ref()) {
                wrong.push(format!("{certificate} is {recorded:?}"));
            }
        }
        Ok(wrong.is_empty().then_some(()))
    });
    swept.with_context(|| wrong.join("\n"))
}

fn is_as_recorded(certificate: &Value, recorded: Option<&Value>) -> bool {
    let status = text(certificate, "status");
    let has_policies = certificate["policies"] != json!([]);
    match recorded.map(|it| text(it, "state")).as_deref() {
        // Those of a disabled device are INACTIVE.
        Some(state) if is_live(state) => ["ACTIVE", "INACTIVE"].contains(&status.as_str()),
        Some("superseded" | "dropped" | "revoked") => status == "REVOKED" && !has_policies,
        Some(_) | None => false,
    }
}

#[test]
fn a_certificate_that_nobody_recorded_or_revoked_is_seen() {
    let certificate =
        |status: &str, policies: Value| json!({"status": status, "policies": policies});
    let state = |state: &str| json!({"state": state});
    let (active, revoked) =
        (certificate("ACTIVE", json!([POLICY])), certificate("REVOKED", json!([])));
    assert!(is_as_recorded(&active, Some(&state("current"))));
    assert!(is_as_recorded(&revoked, Some(&state("superseded"))));
    for unrecorded in [&active, &revoked, &certificate("INACTIVE", json!([]))] {
        assert!(!is_as_recorded(unrecorded, None));
    }
    assert!(!is_as_recorded(&active, Some(&state("revoked"))));
    assert!(!is_as_recorded(&revoked, Some(&state("current"))));
    let with_policy = certificate("REVOKED", json!([POLICY]));
    assert!(!is_as_recorded(&with_policy, Some(&state("revoked"))));
}
