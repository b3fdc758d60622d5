//! That the exploration sees: with a rule taken out it finds the invariants that the rule holds up,
//! by a shortest trace, and no other.

use std::collections::BTreeSet;

use cvm_core::profile::Reissue;

use super::explorer::explore;
use super::invariants::Invariant::{self, I1, I2, I3, I4, I5, I9, I10, I11, I12};
use super::sabotage::Sabotage;
use super::scene::{Depth, Scene};

/// Deep enough for each of them; an exploration ends at the first violation.
const DEPTH: Depth = Depth { acts: 7, faults: 0, windows: 1 };

/// Asserts that without the rule exactly these invariants break first, within so many acts.
fn breaks(scene: Scene, rule: Sabotage, invariants: &[Invariant], acts: usize) {
    let broken = explore(scene, Some(rule)).broken.expect("a violation");
    let found: BTreeSet<_> = broken.violations.iter().map(|it| it.invariant).collect();
    assert_eq!(found, invariants.iter().copied().collect(), "{}", broken.trace);
    assert_eq!(broken.acts, acts, "{}", broken.trace);
}

fn same_key() -> Scene {
    Scene::of("same-key", Reissue::SameKey, 1_000, DEPTH)
}

fn never() -> Scene {
    Scene::of("never", Reissue::Never, 601, DEPTH)
}

fn until_confirmed() -> Scene {
    Scene::of("until-confirmed", Reissue::UntilConfirmed, 1_000, DEPTH)
}

#[test]
fn i1_falls_where_a_second_promotion_leaves_the_retiring_one() {
    breaks(same_key(), Sabotage::RetiringOnesStay, &[I1], 4);
}

#[test]
fn i1_falls_where_what_is_displaced_stays_and_with_it_what_asks_again() {
    breaks(same_key(), Sabotage::DisplacedStays, &[I1, I4], 3);
    breaks(until_confirmed(), Sabotage::DisplacedStays, &[I1, I2, I4], 2);
}

#[test]
fn i2_falls_where_a_token_is_not_bound_to_its_key() {
    breaks(same_key(), Sabotage::BindingIsForgotten, &[I2], 2);
    breaks(never(), Sabotage::BindingIsForgotten, &[I2], 2);
}

#[test]
fn i2_falls_in_a_race_where_a_store_takes_no_heed_of_versions() {
    breaks(same_key(), Sabotage::VersionsAreForgotten, &[I2], 2);
}

#[test]
fn i3_falls_where_a_row_is_not_written() {
    breaks(same_key(), Sabotage::RowsAreForgotten, &[I3], 1);
}

#[test]
fn i4_falls_where_a_token_forgets_what_it_obtained() {
    breaks(same_key(), Sabotage::ObtainedIsForgotten, &[I4], 1);
}

#[test]
fn i5_falls_where_the_current_one_ends_before_its_candidate_is_used() {
    breaks(same_key(), Sabotage::CurrentEndsAtTakeUp, &[I5], 2);
}

#[test]
fn i9_falls_where_a_first_use_burns_no_token() {
    breaks(same_key(), Sabotage::UsedTokensLive, &[I9], 2);
}

#[test]
fn i9_falls_where_a_burnt_token_issues() {
    breaks(same_key(), Sabotage::BurntTokensIssue, &[I9], 3);
}

#[test]
fn i10_falls_where_a_new_token_leaves_what_the_old_one_asked_for() {
    breaks(same_key(), Sabotage::NewTokenEndsNothing, &[I10], 2);
}

#[test]
fn i10_falls_where_revoking_burns_no_token() {
    breaks(same_key(), Sabotage::RevokedTokensLive, &[I10], 3);
}

#[test]
fn i10_falls_where_disabling_is_forgotten() {
    breaks(same_key(), Sabotage::DisablingIsForgotten, &[I10], 2);
}

#[test]
fn i11_falls_where_nobody_owns_a_key() {
    breaks(same_key().with_a_second_device(), Sabotage::OwnersAreForgotten, &[I11], 3);
}

#[test]
fn i12_falls_where_a_retiring_one_has_no_grace() {
    breaks(same_key(), Sabotage::GraceIsForgotten, &[I12], 4);
}

#[test]
fn i12_falls_where_a_candidate_has_no_overlap() {
    breaks(same_key(), Sabotage::OverlapIsForgotten, &[I12], 3);
}

#[test]
fn i12_falls_where_never_forgets_when_it_began() {
    breaks(never(), Sabotage::FirstIssueIsForgotten, &[I12], 3);
}

#[test]
fn i12_falls_where_the_last_tenth_of_a_life_is_handed_out() {
    breaks(same_key(), Sabotage::YouthIsEternal, &[I12], 2);
}
