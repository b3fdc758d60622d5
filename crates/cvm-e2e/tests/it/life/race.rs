//! Everybody at once on one device: renewals, new tokens, revocations, first uses. Whatever comes
//! of it, the invariants hold at every moment, and nothing that ended is accepted.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::operator::Told;
use super::*;

/// How often each writer builds something up, and how often it takes something down.
const BUILDS: usize = 10;
const WORDS: usize = 3;

/// How many certificates the writers obtain, or there was no race to speak of.
const CERTIFICATES_MIN: usize = 5;

/// What the writers share.
struct Race<'a> {
    environment: &'a Environment,
    operator: &'a Operator<'a>,
    hand: &'a Hand<'a>,
    token: Mutex<String>,
    held: Mutex<Vec<Held>>,
}

impl Race<'_> {
    fn newest(&self) -> Held {
        self.held.lock().last().unwrap().clone()
    }

    /// Keeps what was issued; whoever raced may be refused in every known way.
    fn take(&self, answer: &Response, key: &Key, then: Then) {
        match answer.status {
            200 | 201 => {
                let held = self.hand.hold(answer, key);
                self.held.lock().push(held.clone());
                if then == Then::Use {
                    self.check_known(&self.hand.confirm(&held));
                }
            }
            _ => self.check_known(answer),
        }
    }

    fn check_known(&self, answer: &Response) {
        let known = [
            (204, ""),
            (403, "access-denied"),
            (403, "certificate-revoked"),
            (403, "certificate-superseded"),
            (409, "already-issued"),
            (409, "token-pending"),
            (503, "unavailable"),
        ];
        assert!(known.contains(&(answer.status, answer.slug().as_str())), "{answer:?}");
    }

    fn renew(&self, then: Then) {
        let key = self.hand.key();
        self.take(&self.hand.renew(&self.newest(), &key), &key, then);
    }

    fn vend(&self, then: Then) {
        let (key, token) = (self.hand.key(), self.token.lock().clone());
        self.take(&self.hand.vend(&token, &key), &key, then);
    }

    fn give_token(&self, fate: Fate) {
        self.wait_for_more();
        let before = self.newest();
        let Some(device) = self.acknowledged(self.operator.try_new_token("SN-1", fate)) else {
            return;
        };
        *self.token.lock() = operator::token_of(&device);
        if fate == Fate::Revoke {
            self.check_ended(&before);
        }
        self.vend(Then::Use);
    }

    fn revoke(&self) {
        self.wait_for_more();
        let newest = self.newest();
        if self.acknowledged(self.operator.revoke(&newest.id, "unspecified")).is_some() {
            self.check_ended(&newest);
        }
    }

    /// Lets the others obtain something that can be ended, if they still can.
    fn wait_for_more(&self) {
        let count = || self.held.lock().len();
        let before = count();
        let is_more = || Ok((count() > before + 1).then_some(()));
        let _nothing_more = wait_for("more", std::time::Duration::from_secs(1), is_more);
    }

    /// The answer, unless the record moved under every attempt: then nothing was said.
    fn acknowledged(&self, told: Told) -> Option<Value> {
        told.inspect_err(|refused| assert!(refused.contains("unavailable"), "{refused}")).ok()
    }

    /// An acknowledged word holds at once.
    fn check_ended(&self, held: &Held) {
        assert_eq!(self.hand.confirm(held).status, 403);
    }

    /// I1, whenever it is looked at.
    fn check_shape(&self) {
        let device = self.environment.operate("GET", "/v1/devices/SN-1", None).unwrap();
        let device = device.json().unwrap();
        let count = |state: &str| {
            let all = device["certificates"].as_array().unwrap().iter();
            all.filter(|it| it["state"] == state).count()
        };
        let (current, candidate) = (count("current"), count("candidate"));
        assert!(count("unconfirmed") + current <= 1, "{device}");
        assert!(candidate <= current && candidate <= 1 && count("retiring") <= 1, "{device}");
    }
}

/// What becomes of a certificate that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Use,
    Wait,
}

#[test]
fn eight_writers_at_once_leave_one_of_each_and_nothing_ended_is_accepted() {
    let environment = Environment::start(&[]).unwrap();
    let [_, operator] = Operator::both(&environment);
    let hand = Hand::new(&environment, "SN-1");
    let token = operator.add("SN-1");
    let first = hand.enroll_and_confirm(&token, &hand.key());
    let race = Race {
        environment: &environment,
        operator: &operator,
        hand: &hand,
        token: Mutex::new(token),
        held: Mutex::new(vec![first]),
    };
    let writers: [(usize, &(dyn Fn() + Sync)); 8] = [
        (BUILDS, &|| race.renew(Then::Use)),
        (BUILDS, &|| race.renew(Then::Wait)),
        (BUILDS, &|| race.renew(Then::Use)),
        (BUILDS, &|| race.vend(Then::Use)),
        (BUILDS, &|| race.vend(Then::Wait)),
        (WORDS, &|| race.give_token(Fate::Keep)),
        (WORDS, &|| race.give_token(Fate::Revoke)),
        (WORDS, &|| race.revoke()),
    ];
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                race.check_shape();
            }
        });
        let writing =
            writers.map(|(rounds, write)| scope.spawn(move || (0..rounds).for_each(|_| write())));
        let ended: Vec<_> = writing.into_iter().map(|writer| writer.join().is_ok()).collect();
        is_over.store(true, Ordering::SeqCst);
        assert!(watching.join().is_ok() && ended.iter().all(|is_fine| *is_fine));
    });
    race.check_shape();
    check_the_end(&race);
}

/// What every certificate that left the server is, in the end, and what it is answered.
fn check_the_end(race: &Race<'_>) {
    let held = race.held.lock();
    assert!(held.len() >= CERTIFICATES_MIN, "only {}", held.len());
    let mut live = Vec::new();
    for held in held.iter() {
        let state = certificate(race.environment, held)["state"].as_str().unwrap().to_owned();
        let refused = match state.as_str() {
            "revoked" => "certificate-revoked",
            "superseded" | "dropped" | "retiring" => "certificate-superseded",
            _ => {
                live.push((held, state));
                continue;
            }
        };
        assert_eq!(said(&race.hand.confirm(held)), no(403, refused), "{state}");
    }
    // Whatever is left is used, and whatever else is left then is not.
    for (held, state) in &live {
        assert_eq!(said(&race.hand.confirm(held)), yes(), "{state}");
    }
    let device = race.environment.operate("GET", "/v1/devices/SN-1", None).unwrap();
    let issued: Vec<Value> = device.json().unwrap()["certificates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["certificateId"].clone())
        .collect();
    for held in held.iter() {
        assert!(issued.contains(&held.id.as_str().into()), "what left is on record");
    }
}
