//! Moduli made badly on purpose. That others call the same ones weak is shown in `tests/it`.

use std::time::{Duration, Instant};

use super::*;
use crate::entropy::random;

/// An odd number of 1024 bits without small factors; whether it is prime does not matter here.
fn rough(judge: &RsaJudge, change: impl Fn(BigUint) -> BigUint) -> BigUint {
    loop {
        let mut bytes = random::<128>();
        (bytes[0], bytes[127]) = (bytes[0] | 0xC0, bytes[127] | 1);
        let number = change(BigUint::from_bytes_be(&bytes));
        if number.bit(0) && judge.judge_residues(&number) != Err(WeakKey::SmallFactor) {
            return number;
        }
    }
}

fn same(number: BigUint) -> BigUint {
    number
}

#[test]
fn the_tables_hold_every_odd_prime_below_2_to_the_16_once() {
    let judge = RsaJudge::new();
    let primes: Vec<u64> = judge
        .blocks
        .iter()
        .flat_map(|block| &block.packs)
        .flat_map(|pack| pack.primes.iter().copied())
        .collect();
    // There are 6542 primes below 65536, one of them even.
    assert_eq!((primes.len(), primes.first(), primes.last()), (6_541, Some(&3), Some(&65_521)));
    assert!(primes.is_sorted());
    assert_eq!(judge.roca.len(), 38);
}

#[test]
fn a_product_of_two_unrelated_numbers_is_taken() {
    let judge = RsaJudge::new();
    assert_eq!(judge.judge(&(rough(&judge, same) * rough(&judge, same))), Ok(()));
}

#[test]
fn small_factors_are_found_up_to_the_last() {
    let judge = RsaJudge::new();
    for factor in [2_u64, 3, 65_521] {
        let modulus = rough(&judge, same) * rough(&judge, same) * factor;
        assert_eq!(judge.judge(&modulus), Err(WeakKey::SmallFactor), "{factor}");
    }
    // 65537 is the first prime that is not looked for.
    assert_eq!(judge.judge(&(rough(&judge, same) * rough(&judge, same) * 65_537_u64)), Ok(()));
}

#[test]
fn the_roca_fingerprint_is_found() {
    let judge = RsaJudge::new();
    let primes = std::iter::once(2).chain(odd_primes().into_iter().take(38));
    let primorial: BigUint = primes.map(BigUint::from).product();
    // k·M + (65537^a mod M), as the flawed library makes its primes.
    let flawed = |number: BigUint| {
        let power = BigUint::from(65_537_u64).modpow(&BigUint::from(random::<1>()[0]), &primorial);
        (&number / &primorial) * &primorial + power
    };
    let modulus = rough(&judge, flawed) * rough(&judge, flawed);
    assert_eq!(judge.judge(&modulus), Err(WeakKey::Roca));
}

#[test]
fn close_primes_are_found_within_a_hundred_steps() {
    let judge = RsaJudge::new();
    let first = rough(&judge, same);
    assert!(judge.has_close_primes(&(&first * &first)), "the same prime twice");
    assert!(judge.has_close_primes(&(&first * (&first + 2_u32))));
    let near = &first + (BigUint::from(1_u32) << 500) + 2_u32;
    assert!(judge.has_close_primes(&(&first * near)));
    // With p = a - b, q = a + b the method ends after a - ceil(√(a² - b²)) steps.
    let (a, n) = (BigUint::from(1_000_000_u32), |b: u32| {
        BigUint::from(1_000_000_u64.pow(2) - u64::from(b).pow(2))
    });
    let steps = |b: u32| {
        let root = n(b).sqrt();
        let root = if &root * &root == n(b) { root } else { root + 1_u32 };
        &a - root
    };
    assert_eq!((steps(14_106), steps(14_212)), (99_u32.into(), 100_u32.into()));
    assert!(judge.has_close_primes(&n(14_106)) && !judge.has_close_primes(&n(14_212)));
}

#[test]
fn judging_is_cheap() {
    let judge = RsaJudge::new();
    let modulus = rough(&judge, same) * rough(&judge, same);
    let fastest = (0..8)
        .map(|_| {
            let begin = Instant::now();
            judge.judge(&modulus).unwrap();
            begin.elapsed()
        })
        .min()
        .unwrap();
    // 0.25 ms optimised, many times that without; the bound leaves room for a busy machine.
    assert!(fastest < Duration::from_millis(40), "{fastest:?}");
}
