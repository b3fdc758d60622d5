//! Whether the refusals that must look alike take alike long: every kind of 403 over connections
//! that are kept, in a random order, and how well each pair can be told apart by time alone.
//!
//! The measure is the area under the ROC curve: 0.5 is a coin, 1 is certainty, and what lies
//! between 0.45 and 0.55 is noise.

mod burnt;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rcgen::KeyPair;
use serde_json::json;

use crate::client::{Client, tls};
use crate::fill::{Filling, Standing};
use crate::plan::{Connections, Groups};
use crate::registry::{serial_number, token};
use crate::request::{csr, http};
use crate::servers::{Cvm, Server};

/// Devices of each kind, so that no one's record is always the last that was read.
const DEVICES_EACH: u64 = 250;

/// Rounds that warm everything up.
const WARMING: usize = 200;

/// What is noise.
const NOISE: std::ops::RangeInclusive<f64> = 0.45..=0.55;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Burnt,
    Deleted,
    Disabled,
    Expired,
    UnknownSerialNumber,
    WrongToken,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Burnt,
        Self::Deleted,
        Self::Disabled,
        Self::Expired,
        Self::UnknownSerialNumber,
        Self::WrongToken,
    ];

    /// The numbers of the devices that are refused for it.
    fn devices(self) -> std::ops::Range<u64> {
        let place = match self {
            Self::Burnt => 0,
            Self::Deleted => 1,
            Self::Disabled => 2,
            Self::Expired => 3,
            Self::WrongToken => 4,
            // Nobody registered these.
            Self::UnknownSerialNumber => 5,
        };
        place * DEVICES_EACH..(place + 1) * DEVICES_EACH
    }

    /// How a device of this kind is registered.
    fn standing(number: u64) -> Standing {
        let kind = Self::ALL.into_iter().find(|kind| kind.devices().contains(&number));
        match kind {
            Some(Self::Deleted) => Standing::Deleted,
            Some(Self::Disabled) => Standing::Disabled,
            Some(Self::Expired) => Standing::Expired,
            Some(Self::Burnt | Self::UnknownSerialNumber | Self::WrongToken) | None => {
                Standing::Waiting
            }
        }
    }
}

/// Times `each` refusals of every kind and tells how far they can be told apart.
pub(crate) fn run(binary: &Path, each: usize, place: &Path) -> Result<()> {
    std::fs::create_dir_all(place)?;
    let place = tempfile::tempdir_in(place)?;
    let cvm = Cvm::init(binary, place.path())?;
    let registered = 0..Kind::UnknownSerialNumber.devices().start;
    Filling::open(cvm.data())?.fill(registered, Kind::standing)?;
    let (server, _) = cvm.serve()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let times = runtime.block_on(async {
        burnt::make(&server, Kind::Burnt.devices()).await?;
        ask(&server, each).await
    })?;
    let mut worst = 0.5_f64;
    for (index, (first, of_first)) in times.iter().enumerate() {
        println!("{first:?}: median {:.1} µs", micros(of_first));
        for (second, of_second) in times.iter().skip(index + 1) {
            let area = area_under_curve(of_first, of_second);
            let verdict = if NOISE.contains(&area) { "noise" } else { "CAN BE TOLD APART" };
            println!("    against {second:?}: {area:.3} {verdict}");
            worst = if (area - 0.5).abs() > (worst - 0.5).abs() { area } else { worst };
        }
    }
    println!("the farthest from 0.5 is {worst:.3}");
    Ok(())
}

/// The times of each kind.
async fn ask(server: &Server, each: usize) -> Result<Vec<(Kind, Vec<Duration>)>> {
    let csr = csr(&KeyPair::generate()?, None)?;
    let mut client = Client::new(server.address, tls(&server.roots, Groups::X25519)?, 0);
    let mut times = Kind::ALL.map(|kind| (kind, Vec::with_capacity(each))).to_vec();
    let mut order: Vec<usize> = (0..Kind::ALL.len()).collect();
    for round in 0..WARMING + each {
        shuffle(&mut order)?;
        for &index in &order {
            let Some((kind, of_kind)) = times.get_mut(index) else { continue };
            let request = request(*kind, u64::try_from(round)?, &csr);
            let asked = Instant::now();
            let answer = client.ask(&request).await?;
            let took = asked.elapsed();
            ensure!(answer.status == 403, "{kind:?} was answered {}", answer.status);
            if round >= WARMING {
                of_kind.push(took);
            }
        }
    }
    Ok(times)
}

fn request(kind: Kind, round: u64, csr: &str) -> Vec<u8> {
    let devices = kind.devices();
    let device = devices.start + round % DEVICES_EACH;
    let shown = match kind {
        Kind::WrongToken => device + 1_000_000,
        Kind::Burnt
        | Kind::Deleted
        | Kind::Disabled
        | Kind::Expired
        | Kind::UnknownSerialNumber => device,
    };
    let body = json!({
        "serialNumber": serial_number(device), "token": token(shown).expose(), "csr": csr,
    });
    http("/v1/certificates", Connections::Kept, &body)
}

fn shuffle(order: &mut [usize]) -> Result<()> {
    for last in (1..order.len()).rev() {
        let mut byte = [0];
        aws_lc_rs::rand::fill(&mut byte)?;
        order.swap(last, usize::from(byte[0]) % (last + 1));
    }
    Ok(())
}

/// How likely a time of `first` is longer than one of `second`; ties count half.
fn area_under_curve(first: &[Duration], second: &[Duration]) -> f64 {
    let mut all: Vec<(Duration, bool)> = first.iter().map(|time| (*time, true)).collect();
    all.extend(second.iter().map(|time| (*time, false)));
    all.sort_unstable();
    let (mut below, mut wins) = (0.0, 0.0);
    for group in all.chunk_by(|a, b| a.0 == b.0) {
        let ours = group.iter().filter(|(_, is_first)| *is_first).count() as f64;
        let theirs = group.len() as f64 - ours;
        wins += ours * (below + theirs / 2.0);
        below += theirs;
    }
    wins / (first.len() as f64 * second.len() as f64)
}

fn micros(times: &[Duration]) -> f64 {
    let micros: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e6).collect();
    crate::report::median(&micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(from: u64, to: u64) -> Vec<Duration> {
        (from..to).map(Duration::from_micros).collect()
    }

    #[test]
    fn what_takes_alike_long_is_a_coin_and_what_does_not_is_told_apart() {
        assert!((area_under_curve(&times(0, 100), &times(0, 100)) - 0.5).abs() < 1e-9);
        assert!((area_under_curve(&times(100, 200), &times(0, 100)) - 1.0).abs() < 1e-9);
        assert!((area_under_curve(&times(0, 100), &times(100, 200))).abs() < 1e-9);
        let shifted = area_under_curve(&times(50, 150), &times(0, 100));
        assert!((0.8..0.9).contains(&shifted), "{shifted}");
    }
}
