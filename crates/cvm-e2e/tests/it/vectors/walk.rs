//! Traces side by side: the steps of all of them by their seconds, in turns.

use std::collections::BTreeMap;
use std::rc::Rc;

use cvm_core::time::Span;
use cvm_e2e::{Key, Response};
use serde_json::{Value, json};

use super::alarms::Asked;
use super::site::Site;
use super::trace::Trace;

/// Walks through all steps. A trace that failed is left where it is, and told of.
pub(super) fn walk(site: &mut Site, traces: &[&Trace]) {
    let start = site.now().plus(Span::DAY);
    let mut walkers: Vec<Walker<'_>> = traces.iter().map(|trace| Walker::new(trace)).collect();
    for (at, walker, step) in order(traces) {
        site.move_to(start.plus(Span(at)));
        let walker = &mut walkers[walker];
        if walker.has_failed {
            continue;
        }
        site.counts.steps += 1;
        if let Err(what) = walker.step(site, step) {
            walker.has_failed = true;
            let act = &walker.trace.steps[step];
            let name = &walker.trace.name;
            site.failures.push(format!("{name}: step {step} {}: {what}", act["act"]));
        }
    }
    site.set_clock("ok");
}

/// At every second the first steps of all traces, then the second ones, and so on.
fn order(traces: &[&Trace]) -> Vec<(i64, usize, usize)> {
    let mut all = Vec::new();
    for (walker, trace) in traces.iter().enumerate() {
        let mut turn = 0;
        for step in 0..trace.steps.len() {
            let at = trace.at(step);
            turn = if step > 0 && trace.at(step - 1) == at { turn + 1 } else { 0 };
            all.push((at, turn, walker, step));
        }
    }
    all.sort_unstable();
    all.into_iter().map(|(at, _, walker, step)| (at, walker, step)).collect()
}

/// A certificate as it was first answered.
pub(super) struct Held {
    pub(super) id: String,
    /// Whose it is, by the trace's own name.
    pub(super) serial: String,
    pub(super) certificate: String,
    pub(super) chain: String,
    pub(super) private_key: String,
    pub(super) key: Rc<Key>,
}

/// A trace on its way: what its labels stand for.
pub(super) struct Walker<'a> {
    pub(super) trace: &'a Trace,
    pub(super) certificates: BTreeMap<String, Held>,
    pub(super) keys: BTreeMap<String, Rc<Key>>,
    /// By serial number, in order.
    pub(super) tokens: BTreeMap<String, Vec<String>>,
    /// By serial number, the one that was last told of.
    pub(super) reviews: BTreeMap<String, String>,
    has_failed: bool,
}

/// What a step was answered.
pub(super) struct Outcome {
    pub(super) answer: Response,
    /// Status and slug in the place of those that the trace expects of an act that HTTP has not.
    pub(super) instead: Option<(u16, &'static str)>,
}

impl<'a> Walker<'a> {
    fn new(trace: &'a Trace) -> Self {
        Self {
            trace,
            certificates: BTreeMap::new(),
            keys: BTreeMap::new(),
            tokens: BTreeMap::new(),
            reviews: BTreeMap::new(),
            has_failed: false,
        }
    }

    fn step(&mut self, site: &mut Site, number: usize) -> Result<(), String> {
        let trace = self.trace;
        let step = &trace.steps[number];
        if let Some(outcome) = self.act(site, step)? {
            let serial = self.serial_of(step);
            site.asked.push(Asked::new(trace, number, site.shown(), serial, &outcome.answer));
            self.compare(step, &outcome)?;
        }
        self.compare_after(site, &step["after"])
    }

    fn compare(&self, step: &Value, outcome: &Outcome) -> Result<(), String> {
        let Outcome { answer, instead } = outcome;
        let said = json!([answer.status, answer.slug()]);
        let expect = &step["expect"];
        let expected = match instead {
            Some((status, slug)) => json!([status, slug]),
            None => json!([expect["status"], expect["slug"].as_str().unwrap_or_default()]),
        };
        if said != expected {
            return Err(format!("expected {expected}, got {answer:?}"));
        }
        if !answer.slug().is_empty() && answer.json().unwrap()["status"] != answer.status {
            return Err(format!("a problem of another status: {answer:?}"));
        }
        self.compare_certificate(expect, answer)
    }

    /// Whether the answer has the bytes that are expected, the same as at first, and no others.
    fn compare_certificate(&self, expect: &Value, answer: &Response) -> Result<(), String> {
        let is_vended = !answer.text("certificate").is_empty() && answer.text("state").is_empty();
        let Some(label) = expect["certificate"].as_str() else {
            return if is_vended { Err(format!("a certificate: {answer:?}")) } else { Ok(()) };
        };
        let held = &self.certificates.get(label).ok_or_else(|| format!("no {label} yet"))?;
        let same = held.certificate == answer.text("certificate")
            && held.chain == answer.text("chain")
            && held.id == answer.text("certificateId");
        if !same {
            return Err(format!("these are not the bytes of {label}: {answer:?}"));
        }
        let private_key = answer.text("privateKey");
        if expect["privateKey"] == private_key.is_empty() {
            return Err(format!("expected privateKey {}", expect["privateKey"]));
        }
        if !private_key.is_empty() && private_key != held.private_key {
            return Err(format!("this is not the key of {label}"));
        }
        Ok(())
    }
}
