//! What a rehearsal tells afterwards.

use std::collections::BTreeMap;

use serde::Serialize;

pub use crate::audit::{Finding, Kind};
use crate::device::Device;
use crate::plan::Plan;
use crate::site::Site;
use crate::tally::{Act, Counted, Tally};
use crate::worker::Setback;

/// A server that broke everything is not told device by device.
const LISTED_MAX: usize = 1_000;

/// What a rehearsal found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What chose the losses, and named the devices.
    pub seed: u64,
    /// How many devices there were.
    pub devices: u32,
    /// How many at once.
    pub concurrency: u32,
    /// How many answers were to be lost.
    pub loss: String,
    /// The server.
    pub server: Server,
    /// Its phases, in order.
    pub phases: Vec<Phase>,
    /// What was asked for.
    pub acts: Vec<ActReport>,
    /// What is there afterwards.
    pub audit: Audit,
    /// The devices that did not get there, without anything being broken; at most 1,000.
    pub unfinished: Vec<Unfinished>,
    /// How many devices did not get there.
    pub unfinished_devices: usize,
}

/// What shows of the server.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// The device API.
    pub device: String,
    /// The operator API.
    pub operator: String,
    /// The version of TLS that was agreed upon.
    pub tls: Option<String>,
    /// The group of the key exchange.
    pub key_exchange: Option<String>,
}

/// One phase, which every device went through before the next one began.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// When it began, in milliseconds since 1970.
    pub began_unix_ms: u64,
    /// When it ended.
    pub ended_unix_ms: u64,
    /// How long it took, by a clock that nobody sets.
    pub seconds: f64,
}

/// What was asked for, and how it went.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActReport {
    /// `register`, `vend`, `confirm`, `renew` or `prove`.
    pub act: String,
    /// How many exchanges were answered.
    pub answered: usize,
    /// How often each status was answered.
    pub statuses: BTreeMap<u16, u64>,
    /// How often an answer was lost on purpose, by how.
    pub lost: BTreeMap<&'static str, u64>,
    /// How often there was no answer and nobody meant it.
    pub broken: u64,
    /// Why, the last time.
    pub broken_by: Option<String>,
    /// Answers in each second of its phase.
    pub per_second: f64,
    /// From connect to answer, in milliseconds.
    pub latency: Latency,
}

/// From connect to answer, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// Half of them were faster.
    pub p50_ms: f64,
    /// 90 of a hundred.
    pub p90_ms: f64,
    /// 99 of a hundred.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

/// What is there afterwards.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// How many certificates devices were given, kept or forgotten.
    pub given: usize,
    /// How many the server has of them.
    pub stored: usize,
    /// How often there were two where there must be one.
    pub duplicates: usize,
    /// How many no device was ever given.
    pub orphans: usize,
    /// How many were given and are not in the store.
    pub lost: usize,
    /// How often an invariant broke, in whatever way.
    pub broken: usize,
    /// Which, and whose; at most 1,000.
    pub findings: Vec<Finding>,
}

/// A device that did not get there.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unfinished {
    /// Which one.
    pub serial_number: String,
    /// At what it gave up.
    pub act: &'static str,
    /// What happened the last time.
    pub last: String,
    /// Whether a limit of the server was in its way.
    pub is_limited: bool,
}

impl Report {
    pub(crate) fn new(
        (site, plan): (&Site, &Plan),
        phases: Vec<Phase>,
        tally: Tally,
        devices: &[Device],
    ) -> Self {
        let seconds: BTreeMap<&str, f64> =
            phases.iter().map(|phase| (phase.name.as_str(), phase.seconds)).collect();
        let unfinished: Vec<Unfinished> = devices.iter().filter_map(unfinished).collect();
        let (tls, key_exchange) = tally.agreed.unzip();
        Self {
            seed: plan.seed,
            devices: plan.devices,
            concurrency: plan.concurrency,
            loss: plan.loss.to_string(),
            server: Server {
                device: site.device.to_string(),
                operator: site.operator.to_string(),
                tls,
                key_exchange,
            },
            acts: tally.acts.into_iter().map(|(act, it)| act_report(act, it, &seconds)).collect(),
            phases,
            audit: audit(devices, tally.stored),
            unfinished_devices: unfinished.len(),
            unfinished: unfinished.into_iter().take(LISTED_MAX).collect(),
        }
    }
}

fn audit(devices: &[Device], stored: usize) -> Audit {
    let all = || devices.iter().flat_map(|device| &device.account.noticed);
    let count = |kind: Kind| all().filter(|finding| finding.kind == kind).count();
    Audit {
        given: devices.iter().map(|device| device.account.given.len()).sum(),
        stored,
        duplicates: count(Kind::Double),
        orphans: count(Kind::Orphan),
        lost: count(Kind::Lost),
        broken: all().count(),
        findings: all().take(LISTED_MAX).cloned().collect(),
    }
}

fn unfinished(device: &Device) -> Option<Unfinished> {
    let Some(Setback::Impatient { act, last, is_limited }) = &device.setback else { return None };
    Some(Unfinished {
        serial_number: device.account.serial.clone(),
        act: act.name(),
        last: last.clone(),
        is_limited: *is_limited,
    })
}

fn act_report(act: Act, counted: Counted, seconds: &BTreeMap<&str, f64>) -> ActReport {
    let Counted { mut micros, statuses, lost, broken, broken_by } = counted;
    micros.sort_unstable();
    // The next certificate is used in the phase in which it is asked for.
    let phase = if act == Act::Prove { Act::Renew.name() } else { act.name() };
    let took = seconds.get(phase).copied().filter(|seconds| *seconds > 0.0);
    let answered = micros.len();
    ActReport {
        act: act.name().to_owned(),
        answered,
        statuses,
        lost,
        broken,
        broken_by,
        per_second: took.map_or(0.0, |took| rounded(f64::from(count(answered)) / took)),
        latency: latency(&micros),
    }
}

fn latency(sorted_micros: &[u32]) -> Latency {
    // The nearest rank: the smallest that so many of a hundred do not exceed.
    let at = |percent: usize| {
        let rank = (sorted_micros.len() * percent).div_ceil(100).max(1);
        let micros = sorted_micros.get(rank - 1).copied().unwrap_or(0);
        rounded(f64::from(micros) / 1_000.0)
    };
    Latency { p50_ms: at(50), p90_ms: at(90), p99_ms: at(99), max_ms: at(100) }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let micros: Vec<u32> = (1..=100).map(|n| n * 1_000).collect();
        let found = latency(&micros);
        assert_eq!((found.p50_ms, found.p90_ms, found.p99_ms), (50.0, 90.0, 99.0));
        assert_eq!(found.max_ms, 100.0);
        assert_eq!(latency(&[7_000]).p50_ms, 7.0);
        assert_eq!(latency(&[]).max_ms, 0.0);
    }
}
