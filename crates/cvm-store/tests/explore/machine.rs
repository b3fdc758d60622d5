//! Plays a step: runs the real use cases on the stage, and takes note of what they answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cvm_core::device::Verdict;
use cvm_core::id::{AttemptCode, CertificateId, SerialNumber};
use cvm_core::limit::Rate;
use cvm_core::ports::{Ports, Store as _};
use cvm_core::profile::Profiles;
use cvm_core::provisioning::{
    Ask, Caller, Confirmed, FollowUp, GiveToken, NewDevice, NewToken, OperatorRefusal,
    Provisioning, Refusal, ThingFate, VendRequest, Vended, Whom,
};
use cvm_core::registry::EmbeddedPlatform;
use cvm_core::testing::{
    TestAlarms, TestClock, TestIssuer, TestKeyMaker, TestSecrets, default_policy_put, test_csr,
};
use cvm_core::time::{Span, Timestamp};
use cvm_store::MemoryStore;
use futures_util::FutureExt as _;

use super::act::{Act, Step, Trouble};
use super::ghost::Ghost;
use super::invariants::{self, Given, Violation};
use super::nowhere::{Counting, Nowhere};
use super::sabotage::Sabotage;
use super::scene::{KEYS, START, Scene, World, token};
use super::stage::Stage;
use super::view::at_once;

/// The use cases on a stage.
pub(crate) struct Machine {
    pub(crate) scene: Arc<Scene>,
    stage: Arc<Stage>,
    provisioning: Provisioning,
    clock: Arc<TestClock>,
    asked: AtomicU64,
}

/// What became of a step.
pub(crate) struct Run {
    pub(crate) world: World,
    /// What was answered, in words.
    pub(crate) answer: String,
    /// Whether the answer told who asked of a certificate that it did not have.
    pub(crate) has_taught: bool,
    /// How often the step's own act came to the store.
    pub(crate) accesses: usize,
    /// How many commits it asked for.
    pub(crate) commits: usize,
    /// Whether anything was written.
    pub(crate) has_written: bool,
    pub(crate) violations: Vec<Violation>,
    has_waited: bool,
}

impl Run {
    /// Nothing was played.
    pub(crate) fn none(world: &World) -> Self {
        Self {
            world: world.clone(),
            answer: String::new(),
            has_taught: false,
            accesses: 0,
            commits: 0,
            has_written: false,
            violations: Vec::new(),
            has_waited: false,
        }
    }

    /// Whether it may have led to another state.
    pub(crate) fn has_moved(&self) -> bool {
        self.has_written || self.has_taught || self.has_waited
    }
}

/// How an act ended: in words, and whether it taught somebody of a certificate.
struct Ended {
    answer: String,
    has_taught: bool,
}

impl Machine {
    pub(crate) fn new(scene: Arc<Scene>, sabotage: Option<Sabotage>) -> Arc<Self> {
        let stage = Arc::new(Stage::new(scene.clone(), sabotage));
        let clock = Arc::new(TestClock::at(START));
        let issuer = Arc::new(TestIssuer::new(Timestamp(0)));
        let elsewhere = Arc::new(MemoryStore::new());
        let ports = Ports {
            alarms: Arc::new(TestAlarms::default()),
            attempts: Arc::new(Nowhere),
            catalogue: stage.clone(),
            clock: clock.clone(),
            entropy: Arc::new(Counting::default()),
            issuer: issuer.clone(),
            journal: Arc::new(Nowhere),
            key_maker: Arc::new(TestKeyMaker::default()),
            nonces: elsewhere.clone(),
            operators: elsewhere.clone(),
            platform: Arc::new(EmbeddedPlatform::new(issuer, stage.clone())),
            policies: elsewhere.clone(),
            revocations: elsewhere,
            secrets: Arc::new(TestSecrets::default()),
            store: stage.clone(),
        };
        at_once(default_policy_put(&ports, START)).unwrap();
        let profiles = Profiles { default: scene.profile.clone(), named: BTreeMap::new() };
        let provisioning = Provisioning::new(ports, profiles, Rate::OFF);
        Arc::new(Self { scene, stage, provisioning, clock, asked: AtomicU64::new(0) })
    }

    /// The world in which each device is registered with its first token.
    pub(crate) fn first(&self) -> World {
        let ghost = Ghost::of(self.scene.serials.len());
        let world = World { store: Arc::new(MemoryStore::new()), now: START, ghost };
        self.stage.set(world, None, None);
        self.clock.set(START);
        self.stage.enter(Act::Sweep);
        for (device, serial) in self.scene.serials.iter().enumerate() {
            let new = NewDevice {
                serial_number: serial.clone(),
                token: NewToken::Brought(token(device, 1)),
                token_expires: None,
                thing_name: None,
                policy: None,
                profile: None,
                attributes: BTreeMap::new(),
                again: false,
            };
            at_once(self.provisioning.device_register(new, "test")).unwrap();
        }
        self.stage.clear().world
    }

    /// Plays a step in `world`.
    pub(crate) fn run(self: &Arc<Self>, world: World, step: &Step) -> Run {
        self.clock.set(world.now);
        let intrusion = step.intruder.map(|(access, act)| {
            let machine = self.clone();
            let intrude = move || drop(machine.perform(act, Delivery::Arrives));
            (access, Box::new(intrude) as Box<dyn FnOnce() + Send>)
        });
        let delivery = match step.trouble {
            Some(Trouble::AnswerLost) => Delivery::IsLost,
            Some(Trouble::Commit(..)) | None => Delivery::Arrives,
        };
        self.stage.set(world, intrusion, step.trouble);
        let ended = self.perform(step.act, delivery);
        let play = self.stage.clear();
        Run {
            world: play.world,
            answer: ended.answer,
            has_taught: ended.has_taught,
            accesses: play.accesses,
            commits: play.commits,
            has_written: play.written > 0,
            violations: play.violations,
            has_waited: matches!(step.act, Act::Wait { .. }),
        }
    }

    /// Carries out an act; the process may end in the middle of it.
    fn perform(&self, act: Act, delivery: Delivery) -> Ended {
        self.stage.enter(act);
        let ended = match act {
            Act::Wait { steps } => Some(self.wait(steps)),
            Act::Sweep => self.sweep(),
            Act::Vend { device, generation, key } => {
                self.vend(act, device, generation, key, delivery)
            }
            Act::Renew(..) => self.renew(act, delivery),
            Act::Confirm(_) | Act::Connect(_) => self.use_certificate(act),
            Act::Delete(_)
            | Act::Disable(_)
            | Act::Enable(_)
            | Act::NewToken(..)
            | Act::Review(..)
            | Act::Revoke(..) => self.operate(act),
        };
        self.stage.leave();
        ended.unwrap_or_else(|| Ended::with("the process ended"))
    }

    fn wait(&self, steps: i64) -> Ended {
        let span: Span = self.scene.span(steps);
        self.stage.with(|play| {
            play.world.now = play.world.now.plus(span);
            play.world.ghost.waited(play.world.now);
        });
        Ended::with("")
    }

    fn sweep(&self) -> Option<Ended> {
        let swept = self.provisioning.sweep().now_or_never()?;
        Some(Ended::with(&format!("{} written, {} failed", swept.devices, swept.failures.len())))
    }

    fn vend(
        &self,
        act: Act,
        device: usize,
        generation: u32,
        key: usize,
        delivery: Delivery,
    ) -> Option<Ended> {
        let request = VendRequest {
            serial_number: self.scene.serials[device].to_string(),
            token: token(device, generation),
            ask: Ask::Csr(test_csr(KEYS[key])),
        };
        let caller = self.caller();
        let (result, after) = self.provisioning.vend(request, &caller).now_or_never()?;
        let ended = self.answered(act, result, &caller, delivery);
        self.follow(after)?;
        Some(ended)
    }

    fn renew(&self, act: Act, delivery: Delivery) -> Option<Ended> {
        let Act::Renew(cert, key) = act else { return None };
        let caller = self.caller();
        let csr = test_csr(KEYS[key]);
        let shown = Some(self.id_of(cert.device, cert.number));
        let (result, after) = self.provisioning.renew(shown, Some(&csr), &caller).now_or_never()?;
        let ended = self.answered(act, result, &caller, delivery);
        self.follow(after)?;
        Some(ended)
    }

    fn use_certificate(&self, act: Act) -> Option<Ended> {
        let cert = act.shown()?;
        let shown = Some(self.id_of(cert.device, cert.number));
        let caller = self.caller();
        let (result, after): (Result<Confirmed, Refusal>, FollowUp) = match act {
            Act::Confirm(_) => self.provisioning.confirm(shown, &caller).now_or_never()?,
            _ => self.provisioning.connect(shown, &caller).now_or_never()?,
        };
        let answer = match result {
            Ok(_) => {
                self.judge(|scene, world| invariants::accepted(scene, world, act));
                String::from("accepted")
            }
            Err(refusal) => refusal.slug().to_owned(),
        };
        self.follow(after)?;
        Some(Ended { answer, has_taught: false })
    }

    fn operate(&self, act: Act) -> Option<Ended> {
        let serial = |device: usize| -> &SerialNumber { &self.scene.serials[device] };
        let it = &self.provisioning;
        let answer = match act {
            Act::Delete(device) => {
                told(it.device_delete(serial(device), ThingFate::Remove, "test").now_or_never()?)
            }
            Act::Disable(device) => told(it.device_disable(serial(device), "test").now_or_never()?),
            Act::Enable(device) => told(it.device_enable(serial(device), "test").now_or_never()?),
            Act::NewToken(device, fate) => {
                let token = NewToken::Brought(token(device, 2));
                let give = GiveToken { token, expires: None, fate, whom: Whom::Any };
                told(it.device_new_token(serial(device), give, "test").now_or_never()?)
            }
            Act::Review(device, verdict) => self.review(device, verdict)?,
            Act::Revoke(cert, reason) => {
                let id = self.id_of(cert.device, cert.number);
                told(it.certificate_revoke(&id, reason, "test").now_or_never()?)
            }
            other => panic!("{other} is no operator's act"),
        };
        Some(Ended::with(&answer))
    }

    fn review(&self, device: usize, verdict: Verdict) -> Option<String> {
        let store = self.stage.with(|play| play.world.store.clone());
        let device = at_once(store.device_find(&self.scene.serials[device])).unwrap().unwrap();
        let Some(review) = device.review else { return Some(String::from("no review")) };
        Some(told(self.provisioning.review_decide(review.id, verdict, "test").now_or_never()?))
    }

    /// Takes note of an answer that leaves, and judges it.
    fn answered(
        &self,
        act: Act,
        result: Result<Vended, Refusal>,
        caller: &Caller,
        delivery: Delivery,
    ) -> Ended {
        let vended = match result {
            Ok(vended) => vended,
            Err(refusal) => {
                self.judge(|scene, world| invariants::refused(scene, world, act, &refusal));
                return Ended::with(refusal.slug());
            }
        };
        let given = Given { certificate: vended.certificate, is_new: vended.is_new };
        self.judge(|scene, world| invariants::answered(scene, world, act, &given, caller.attempt));
        let device = act.device().expect("it is a device's act");
        self.stage.with(|play| {
            let certs = &mut play.world.ghost.devices[device].certs;
            let number = certs.iter().position(|cert| cert.id == given.certificate.id);
            let cert = &mut certs[number.expect("it was recorded")];
            cert.has_left = true;
            let has_taught = !cert.is_known;
            cert.is_known |= delivery == Delivery::Arrives;
            let what = if given.is_new { "issued" } else { "answered again" };
            let number = number.map_or(0, |number| number + 1);
            Ended { answer: format!("{what} C{number}"), has_taught }
        })
    }

    fn judge(&self, judge: impl FnOnce(&Scene, &World) -> Vec<Violation>) {
        self.stage.with(|play| {
            let found = judge(&self.scene, &play.world);
            play.violations.extend(found);
        });
    }

    fn follow(&self, after: FollowUp) -> Option<()> {
        self.provisioning.follow(after).now_or_never().map(drop)
    }

    fn caller(&self) -> Caller {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        Caller { address: String::from("192.0.2.1"), attempt: AttemptCode::from_random(number) }
    }

    fn id_of(&self, device: usize, number: usize) -> CertificateId {
        self.stage.with(|play| play.world.ghost.devices[device].certs[number].id)
    }
}

/// Whether an answer arrives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Delivery {
    Arrives,
    IsLost,
}

impl Ended {
    fn with(answer: &str) -> Self {
        Self { answer: answer.to_owned(), has_taught: false }
    }
}

fn told<T>(result: Result<T, OperatorRefusal>) -> String {
    match result {
        Ok(_) => String::from("done"),
        Err(refusal) => refusal.to_string(),
    }
}
