//! Each policy as far as the time of a test run allows, `same-key` farthest. `CVM_EXPLORE_DEPTH`
//! goes so many acts deeper everywhere.

use cvm_core::device::Fate;
use cvm_core::profile::Reissue;

use super::act::{Act, Cert};
use super::explorer::{Explored, explore};
use super::scene::{Depth, Scene};

/// Explores, and asserts that nothing broke, and that so many states and these answers were seen: an
/// exploration that goes nowhere finds nothing.
fn holds(scene: Scene, states: usize, answers: &[&str]) -> Explored {
    let explored = explore(scene, None);
    assert_eq!(explored.broken.as_ref().map(|broken| &broken.trace), None);
    assert!(explored.states >= states, "{} states", explored.states);
    for answer in answers {
        assert!(explored.answers.contains(*answer), "{answer}: {:?}", explored.answers);
    }
    explored
}

#[expect(clippy::disallowed_methods, reason = "how deep to go is named by the environment")]
fn depth(acts: usize, faults: usize, windows: usize) -> Depth {
    let deeper = std::env::var("CVM_EXPLORE_DEPTH").map_or(0, |text| text.parse().unwrap());
    Depth { acts: acts + deeper, faults: faults + deeper, windows: windows + deeper }
}

const ALWAYS_SEEN: [&str; 8] = [
    "accepted",
    "access-denied",
    "answered again C",
    "certificate-inactive",
    "done",
    "issued C",
    "the process ended",
    "unavailable",
];

fn seen(more: &[&'static str]) -> Vec<&'static str> {
    ALWAYS_SEEN.iter().chain(more).copied().collect()
}

#[test]
fn same_key_without_an_operator_in_every_state_there_is() {
    let scene = Scene::of("no operator", Reissue::SameKey, 1_000, depth(40, 5, 5));
    let answers = ["accepted", "already-issued", "answered again C", "issued C", "unavailable"];
    let explored = holds(scene.without_operator(), 5_000, &answers);
    assert!(explored.closed_at.is_some(), "no act leads to another state");
}

#[test]
fn same_key() {
    let scene = Scene::of("same-key", Reissue::SameKey, 1_000, depth(7, 4, 4));
    drop(holds(scene, 10_000, &seen(&["already-issued", "token-pending"])));
}

#[test]
fn same_key_at_work_with_a_second_token() {
    let scene = Scene::of("same-key at work", Reissue::SameKey, 1_000, depth(5, 3, 3)).after(&[
        Act::Vend { device: 0, generation: 1, key: 0 },
        Act::Confirm(Cert { device: 0, number: 0 }),
        Act::NewToken(0, Fate::Keep),
    ]);
    drop(holds(scene, 5_000, &seen(&["already-issued", "token-pending"])));
}

#[test]
fn same_key_with_a_second_device() {
    let scene = Scene::of("two devices", Reissue::SameKey, 1_000, depth(5, 4, 3));
    let more = seen(&["already-issued", "certificate-revoked", "key-not-acceptable"]);
    drop(holds(scene.with_a_second_device(), 5_000, &more));
}

#[test]
fn never() {
    // Ten minutes and a second.
    let scene = Scene::of("never", Reissue::Never, 601, depth(6, 3, 3));
    drop(holds(scene, 5_000, &seen(&["already-issued", "token-pending"])));
}

#[test]
fn until_confirmed() {
    let scene = Scene::of("until-confirmed", Reissue::UntilConfirmed, 1_000, depth(6, 3, 3));
    drop(holds(scene, 5_000, &seen(&["token-pending"])));
}

#[test]
fn approval() {
    // The seven days of an approval and a second.
    let scene = Scene::of("approval", Reissue::Approval, 604_801, depth(6, 3, 3));
    drop(holds(scene, 5_000, &seen(&["already-issued", "pending-approval", "token-pending"])));
}

#[test]
fn always() {
    let scene = Scene::of("always", Reissue::Always, 1_000, depth(6, 3, 3));
    drop(holds(scene, 5_000, &seen(&["token-pending"])));
}
