//! Randomness from the operating system's generator, through aws-lc.

use cvm_core::ports::Entropy;

/// The generator of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // A process that can get no randomness must not go on: every key would be guessable.
        aws_lc_rs::rand::fill(bytes).expect("the operating system gives randomness");
    }
}

/// `N` random bytes.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemEntropy.fill(&mut bytes);
    bytes
}
