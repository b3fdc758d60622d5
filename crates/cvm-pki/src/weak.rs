//! RSA moduli that were made badly: small factors, the ROCA flaw, primes too close.
//!
//! All of it together costs a quarter of a millisecond for 2048 bits and half of one for 4096 (the
//! test `judging_is_cheap` has a bound), by reducing the modulus in two steps, first by products of
//! many primes. What it does not find: factors shared between two devices' moduli (`cvm doctor
//! --keys`), and moduli with more than two primes or with one small one above 2^16.

use cvm_core::key::WeakKey;
use num_bigint::BigUint;

/// Trial division ends here: larger factors are for ECM, not for a server.
const PRIMES_BELOW: u32 = 1 << 16;
/// How many 64-bit products are gathered into one that the modulus is reduced by first.
const PACKS_PER_BLOCK: usize = 8;
/// Fermat's method finds primes whose difference is below about 2^(bits/4) at once; each further
/// step reaches a little farther. 100 is what badkeys does.
const FERMAT_STEPS: u64 = 100;
/// The last prime of the ROCA fingerprint (Nemec et al., "The Return of Coppersmith's Attack").
const ROCA_LAST_PRIME: u64 = 167;
/// 64 · 63 · 65 · 11 / 1: squares are rare modulo these, so few candidates need a square root.
const SQUARE_MODULI: [u64; 4] = [64, 63, 65, 11];
const SQUARE_PERIOD: u64 = 64 * 63 * 65 * 11;

/// Tables for judging RSA moduli; built once, in a few milliseconds.
pub(crate) struct RsaJudge {
    blocks: Vec<Block>,
    /// For each odd prime up to 167: which residues are powers of 65537.
    roca: Vec<Vec<bool>>,
    /// For each of [`SQUARE_MODULI`]: which residues are squares.
    squares: Vec<Vec<bool>>,
}

struct Block {
    product: BigUint,
    packs: Vec<Pack>,
}

struct Pack {
    product: u64,
    primes: Vec<u64>,
}

impl std::fmt::Debug for RsaJudge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RsaJudge").finish_non_exhaustive()
    }
}

impl RsaJudge {
    pub(crate) fn new() -> Self {
        let primes = odd_primes();
        Self {
            roca: primes
                .iter()
                .take_while(|p| **p <= ROCA_LAST_PRIME)
                .map(|p| powers(*p))
                .collect(),
            squares: SQUARE_MODULI.iter().map(|modulus| squares(*modulus)).collect(),
            blocks: blocks(&primes),
        }
    }

    /// Refuses a modulus that was made badly.
    pub(crate) fn judge(&self, modulus: &BigUint) -> Result<(), WeakKey> {
        if !modulus.bit(0) {
            return Err(WeakKey::SmallFactor);
        }
        self.judge_residues(modulus)?;
        if self.has_close_primes(modulus) { Err(WeakKey::ClosePrimes) } else { Ok(()) }
    }

    /// Trial division, and the fingerprint of CVE-2017-15361: a modulus made by the flawed library
    /// is a power of 65537 modulo each of the first primes. A good one is that by chance once in
    /// about 2^27.
    fn judge_residues(&self, modulus: &BigUint) -> Result<(), WeakKey> {
        let mut fingerprint = self.roca.iter();
        let mut has_fingerprint = true;
        for block in &self.blocks {
            let reduced = modulus % &block.product;
            for pack in &block.packs {
                let residue = low_u64(&(&reduced % pack.product));
                for prime in &pack.primes {
                    let residue = residue % prime;
                    if residue == 0 {
                        return Err(WeakKey::SmallFactor);
                    }
                    if let Some(is_power) = fingerprint.next() {
                        has_fingerprint &= at(is_power, residue);
                    }
                }
            }
        }
        if has_fingerprint { Err(WeakKey::Roca) } else { Ok(()) }
    }

    /// Fermat's method: n = a² - b² with a just above √n.
    ///
    /// a and a² - n are carried along as small residues; only where a² - n may be a square is it
    /// computed, about once in a hundred steps.
    fn has_close_primes(&self, modulus: &BigUint) -> bool {
        let mut first = modulus.sqrt();
        if &(&first * &first) < modulus {
            first += 1_u32;
        }
        let difference = &first * &first - modulus;
        let mut a = low_u64(&(&first % SQUARE_PERIOD));
        let mut d = low_u64(&(&difference % SQUARE_PERIOD));
        for step in 0..FERMAT_STEPS {
            if self.may_be_square(d) {
                // (first + step)² - n
                let exact = &difference + &first * (2 * step) + step * step;
                let root = exact.sqrt();
                if &root * &root == exact {
                    return true;
                }
            }
            d = (d + 2 * a + 1) % SQUARE_PERIOD;
            a = (a + 1) % SQUARE_PERIOD;
        }
        false
    }

    fn may_be_square(&self, residue: u64) -> bool {
        SQUARE_MODULI
            .iter()
            .zip(&self.squares)
            .all(|(modulus, is_square)| at(is_square, residue % modulus))
    }
}

fn at(table: &[bool], index: u64) -> bool {
    usize::try_from(index).ok().and_then(|index| table.get(index).copied()).unwrap_or(false)
}

fn low_u64(number: &BigUint) -> u64 {
    number.iter_u64_digits().next().unwrap_or(0)
}

fn odd_primes() -> Vec<u64> {
    let mut primes: Vec<u64> = Vec::with_capacity(6_542);
    for candidate in (3..u64::from(PRIMES_BELOW)).step_by(2) {
        let mut below_root = primes.iter().take_while(|prime| *prime * *prime <= candidate);
        if below_root.all(|prime| candidate % prime != 0) {
            primes.push(candidate);
        }
    }
    primes
}

fn blocks(primes: &[u64]) -> Vec<Block> {
    let mut packs: Vec<Pack> = Vec::new();
    for prime in primes {
        match packs.last_mut().and_then(|pack| Some((pack.product.checked_mul(*prime)?, pack))) {
            Some((product, pack)) => {
                pack.product = product;
                pack.primes.push(*prime);
            }
            None => packs.push(Pack { product: *prime, primes: vec![*prime] }),
        }
    }
    let mut blocks = Vec::new();
    let mut packs = packs.into_iter().peekable();
    while packs.peek().is_some() {
        let packs: Vec<Pack> = packs.by_ref().take(PACKS_PER_BLOCK).collect();
        let product = packs.iter().map(|pack| BigUint::from(pack.product)).product();
        blocks.push(Block { product, packs });
    }
    blocks
}

/// Which residues modulo `prime` are powers of 65537.
fn powers(prime: u64) -> Vec<bool> {
    residues(prime, std::iter::successors(Some(1), |power| Some(power * 65_537 % prime)))
}

/// Which residues modulo `modulus` are squares.
fn squares(modulus: u64) -> Vec<bool> {
    residues(modulus, (0..modulus).map(|root| root * root % modulus))
}

fn residues(modulus: u64, members: impl Iterator<Item = u64>) -> Vec<bool> {
    let mut table: Vec<bool> = (0..modulus).map(|_| false).collect();
    for member in members.take(table.len()) {
        if let Some(place) = usize::try_from(member).ok().and_then(|index| table.get_mut(index)) {
            *place = true;
        }
    }
    table
}

#[cfg(test)]
mod tests;
