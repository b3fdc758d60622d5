//! Which of many RSA moduli share a factor: who has both has the private keys of both.
//!
//! Bernstein's batch GCD: the product of all moduli is taken modulo the square of each, by trees of
//! products. It is done for blocks of moduli, each against itself and each other, so memory is
//! bounded by a block's: 16,384 moduli of 2048 bits take 190 MiB and half a minute of one core. The
//! numbers are public; nothing here is secret or takes constant time.

use std::collections::BTreeSet;

use dashu_int::UBig;
use dashu_int::ops::Gcd as _;

/// How many moduli are taken at once.
pub(crate) const BLOCK: usize = 1 << 15;
/// Among so many that share a factor it is told which with which.
const PAIRED_MAX: usize = 4_096;

/// A modulus that shares a factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// Its place.
    pub index: usize,
    /// The places of the others; empty where more than 4,096 moduli share factors.
    pub with: Vec<usize>,
}

/// Finds them among `moduli`, which are distinct and greater than one. `step` is told how many of
/// how many parts of the work are done.
pub(crate) fn find(
    moduli: &[UBig],
    block: usize,
    step: &mut dyn FnMut(usize, usize),
) -> Vec<Common> {
    let blocks: Vec<&[UBig]> = moduli.chunks(block.max(1)).collect();
    let parts = blocks.len() * (blocks.len() + 1);
    let products: Vec<UBig> = blocks
        .iter()
        .enumerate()
        .map(|(done, block)| {
            step(done, parts);
            tree(block).pop().and_then(|mut top| top.pop()).unwrap_or(UBig::ONE)
        })
        .collect();
    let mut done = blocks.len();
    let mut sharing = BTreeSet::new();
    for (of, members) in blocks.iter().enumerate() {
        let levels = tree(members);
        for (other, product) in products.iter().enumerate() {
            step(done, parts);
            let found = match other == of {
                true => within(&levels, product),
                false => across(&levels, product),
            };
            sharing.extend(found.into_iter().map(|index| of * block + index));
            done += 1;
        }
    }
    paired(moduli, &sharing)
}

/// Products of two each, level over level; the first is `leaves`, the last has one number.
fn tree(leaves: &[UBig]) -> Vec<Vec<UBig>> {
    let mut levels = vec![leaves.to_vec()];
    while let Some(last) = levels.last().filter(|last| last.len() > 1) {
        let next =
            last.chunks(2).map(|pair| pair.iter().fold(UBig::ONE, |product, it| product * it));
        let next = next.collect();
        levels.push(next);
    }
    levels
}

/// Places of the leaves that share a factor with another leaf of the same tree.
fn within(levels: &[Vec<UBig>], product: &UBig) -> Vec<usize> {
    let remainders = remainders(levels, product, |node| node.sqr());
    let shares =
        |(modulus, remainder): (&UBig, UBig)| modulus.gcd(&(remainder / modulus)) != UBig::ONE;
    places(levels, remainders, shares)
}

/// Places of the leaves that share a factor with `product`, of other moduli.
fn across(levels: &[Vec<UBig>], product: &UBig) -> Vec<usize> {
    let remainders = remainders(levels, product, UBig::clone);
    let shares = |(modulus, remainder): (&UBig, UBig)| {
        // gcd(n, 0) is n: all of its factors are in there.
        remainder == UBig::ZERO || modulus.gcd(&remainder) != UBig::ONE
    };
    places(levels, remainders, shares)
}

fn places(
    levels: &[Vec<UBig>],
    remainders: Vec<UBig>,
    shares: impl Fn((&UBig, UBig)) -> bool,
) -> Vec<usize> {
    let leaves = levels.first().into_iter().flatten();
    let pairs = leaves.zip(remainders).enumerate();
    pairs.filter_map(|(index, pair)| shares(pair).then_some(index)).collect()
}

/// `number` modulo what `of` makes of each leaf.
fn remainders(levels: &[Vec<UBig>], number: &UBig, of: impl Fn(&UBig) -> UBig) -> Vec<UBig> {
    let mut above = vec![number.clone()];
    for level in levels.iter().rev() {
        // The node over two neighbours stands at half of their place; over the top is the number.
        let both = above.iter().flat_map(|it| [it, it]);
        above = level.iter().zip(both).map(|(node, above)| above % of(node)).collect();
    }
    above
}

/// Which of those that share a factor share it with which.
fn paired(moduli: &[UBig], sharing: &BTreeSet<usize>) -> Vec<Common> {
    let sharing: Vec<(usize, &UBig)> =
        sharing.iter().filter_map(|index| Some((*index, moduli.get(*index)?))).collect();
    let with = |of: usize, modulus: &UBig| {
        let others = sharing.iter().filter(|(index, _)| *index != of);
        let others = others.filter(|(_, other)| modulus.gcd(*other) != UBig::ONE);
        others.map(|(index, _)| *index).collect()
    };
    let is_told = sharing.len() <= PAIRED_MAX;
    let common = |(index, modulus): &(usize, &UBig)| Common {
        index: *index,
        with: if is_told { with(*index, modulus) } else { Vec::new() },
    };
    sharing.iter().map(common).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pair by pair, as slow as it is plain.
    fn plainly(moduli: &[UBig]) -> Vec<Common> {
        let with = |of: usize| {
            let shares = |other: &usize| {
                *other != of && moduli[of].clone().gcd(&moduli[*other]) != UBig::ONE
            };
            (0..moduli.len()).filter(shares).collect::<Vec<_>>()
        };
        let all = (0..moduli.len()).map(|index| Common { index, with: with(index) });
        all.filter(|common| !common.with.is_empty()).collect()
    }

    fn found(moduli: &[UBig], block: usize) -> Vec<Common> {
        let (mut last, mut parts) = (0, 0);
        let found = find(moduli, block, &mut |done, of| {
            assert!(done < of && done >= last);
            (last, parts) = (done, of);
        });
        assert_eq!(last + 1, parts.max(1));
        found
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_every_pair_by_itself_says(
            numbers in prop::collection::btree_set(2_u64.., 1..40),
            block in 1_usize..50,
        ) {
            // Small numbers share small factors all the time.
            let moduli: Vec<UBig> = numbers.into_iter().map(UBig::from).collect();
            prop_assert_eq!(found(&moduli, block), plainly(&moduli));
        }

        #[test]
        fn so_it_is_where_few_share_one(
            primes in prop::collection::vec(0..PRIMES.len(), 2..60),
            block in 1_usize..12,
        ) {
            let moduli = primes.chunks_exact(2).map(|pair| {
                UBig::from(PRIMES[pair[0]]) * UBig::from(PRIMES[pair[1]])
            });
            let moduli: Vec<UBig> = moduli.collect::<BTreeSet<_>>().into_iter().collect();
            prop_assert_eq!(found(&moduli, block), plainly(&moduli));
        }
    }

    /// 2^61 - 1, and others below 2^32 and above 2^31.
    const PRIMES: [u64; 10] = [
        2_305_843_009_213_693_951,
        4_294_967_291,
        4_294_967_279,
        4_294_967_231,
        2_147_483_647,
        2_147_483_659,
        2_147_483_693,
        3_000_000_019,
        3_000_000_037,
        3_000_000_077,
    ];

    #[test]
    fn none_and_one_share_nothing() {
        assert_eq!(find(&[], BLOCK, &mut |_, _| ()), []);
        assert_eq!(found(&[UBig::from(15_u8)], BLOCK), []);
    }

    #[test]
    fn a_modulus_whose_every_factor_is_another_ones_too_is_found() {
        let moduli = [15_u32, 21, 35, 11 * 13].map(UBig::from);
        for block in 1..=4 {
            let indices: Vec<_> = found(&moduli, block).iter().map(|it| it.index).collect();
            assert_eq!(indices, [0, 1, 2], "{block}");
        }
    }
}
