//! Each policy, as far as the time of a test run allows.

use cvm_core::profile::Reissue;

use super::explorer::explore;
use super::scene::{Depth, Scene};

#[test]
fn same_key_holds_every_invariant() {
    let depth = Depth { acts: env("A", 4), faults: env("F", 3), windows: env("W", 2) };
    let explored = explore(Scene::of("same-key", Reissue::SameKey, 1_000, depth), None);
    assert!(explored.broken.is_none());
}

fn env(n: &str, d: usize) -> usize { std::env::var(n).ok().and_then(|t| t.parse().ok()).unwrap_or(d) }
