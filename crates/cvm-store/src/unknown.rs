//! How attempts on serial numbers that nobody registered are counted, the same in every store: per
//! address and minute.

use std::collections::HashMap;

use cvm_core::time::Timestamp;

/// The most addresses that are told at once.
pub(crate) const ADDRESSES_MAX: usize = 100;

/// The minute that `at` lies in, counted since 1970.
pub(crate) fn minute_of(at: Timestamp) -> i64 {
    at.0.div_euclid(60)
}

/// Addresses and their counts, most first.
pub(crate) fn most_first(sums: HashMap<String, u64>) -> Vec<(String, u64)> {
    let mut list: Vec<_> = sums.into_iter().collect();
    list.sort_by(|(address_a, a), (address_b, b)| b.cmp(a).then_with(|| address_a.cmp(address_b)));
    list.truncate(ADDRESSES_MAX);
    list
}
