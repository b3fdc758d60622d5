//! The devices of a registry that is filled for a benchmark: their names, tokens and order.
//!
//! Everything follows from a device's number, so that who fills and who asks agree without a list.

use cvm_core::token::Token;
use serde::{Deserialize, Serialize};

/// Coprime to every size that is no multiple of it: steps over the whole registry.
const STRIDE: u64 = 7_368_787;

/// Devices of a registry, in an order that jumps all over its trees.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Pick {
    /// How many devices the registry has.
    pub(crate) of: u64,
    /// How many of the order are used up already.
    pub(crate) from: u64,
}

impl Pick {
    /// The number of the device that comes `offset` places later; `None` once all were used.
    pub(crate) fn device(self, offset: u64) -> Option<u64> {
        let place = self.from.checked_add(offset).filter(|place| *place < self.of)?;
        Some(place.wrapping_mul(STRIDE) % self.of)
    }
}

/// A device's serial number.
pub(crate) fn serial_number(device: u64) -> String {
    format!("SN-{device:010}")
}

/// A device's token: as long as a real one, and as secret as its number.
pub(crate) fn token(device: u64) -> Token {
    let mut characters = [0; 26];
    for (place, character) in (0_u32..).zip(&mut characters) {
        let byte = device.rotate_right(5 * place).to_le_bytes();
        *character = byte.first().copied().unwrap_or_default();
    }
    Token::from_random(&characters)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_order_has_every_device_once() {
        for of in [1, 10, 1_000, 4_096] {
            let pick = Pick { of, from: 0 };
            let all: BTreeSet<u64> = (0..of).filter_map(|n| pick.device(n)).collect();
            assert_eq!(all.len() as u64, of);
            assert_eq!(pick.device(of), None);
        }
    }

    #[test]
    fn tokens_differ() {
        let tokens: BTreeSet<String> = (0..1_000).map(|n| token(n).expose().to_owned()).collect();
        assert_eq!(tokens.len(), 1_000);
    }
}
