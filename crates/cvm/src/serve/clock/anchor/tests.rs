//! Each sentence of section 11, at its edges.

use super::*;

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;
/// 2026-01-01.
const T: i64 = 1_767_225_600;

fn moment(system: i64, up: i64) -> Moment {
    Moment { system: Timestamp(system), up: Span(up) }
}

/// A server that started at T, up for 1,000 s, and has ticked.
fn ticked() -> Anchor {
    let start = moment(T, 1_000);
    Anchor::at_start(Some(Timestamp(T)), start).ticked(start).recorded(Timestamp(T))
}

/// A server that starts `ahead` of its mark.
fn started(ahead: i64) -> Anchor {
    Anchor::at_start(Some(Timestamp(T)), moment(T + ahead, 1_000))
}

/// Doubt and time at a moment after the one at T.
fn seen(anchor: Anchor, system: i64, up: i64) -> (Option<ClockDoubt>, i64) {
    let status = anchor.judge(moment(T + system, 1_000 + up));
    assert_eq!(status.system, Timestamp(T + system));
    (status.doubt, status.now.0 - T)
}

#[test]
fn a_clock_that_goes_as_it_should_is_believed() {
    assert_eq!(seen(ticked(), 0, 0), (None, 0));
    assert_eq!(seen(ticked(), 60, 60), (None, 60));
    // Ten years between two looks, as long as the other clock saw them: the machine slept.
    assert_eq!(seen(ticked(), 3_650 * DAY, 3_650 * DAY), (None, 3_650 * DAY));
}

#[test]
fn behind_the_mark_by_more_than_five_minutes_nothing_is_issued() {
    assert_eq!(seen(ticked(), -5 * MINUTE, 0), (None, -5 * MINUTE));
    let behind = (Some(ClockDoubt::BehindMark), -5 * MINUTE - 1);
    assert_eq!(seen(ticked(), -5 * MINUTE - 1, 0), behind);
    assert_eq!(seen(started(0), -5 * MINUTE - 1, 0), behind);
    let in_1970 = started(0).judge(moment(DAY, 1_000));
    assert_eq!(in_1970.doubt, Some(ClockDoubt::BehindMark));
    assert_eq!(in_1970.now, Timestamp(DAY));
}

#[test]
fn a_step_forward_of_more_than_a_day_that_the_other_clock_did_not_see_is_suspicious() {
    assert_eq!(seen(ticked(), 10 * MINUTE, 0), (None, 10 * MINUTE));
    assert_eq!(seen(ticked(), DAY, 0), (None, DAY));
    assert_eq!(seen(ticked(), DAY + 60, 60), (None, DAY + 60));
    let stepped = Some(ClockDoubt::SteppedForward);
    assert_eq!(seen(ticked(), DAY + 1, 0), (stepped, 0));
    assert_eq!(seen(ticked(), DAY + 61, 60), (stepped, 60));
}

#[test]
fn after_a_suspicious_step_it_is_judged_by_the_time_that_passed() {
    let stepped = Some(ClockDoubt::SteppedForward);
    assert_eq!(seen(ticked(), 2 * DAY, 0), (stepped, 0));
    assert_eq!(seen(ticked(), 2 * DAY + 500, 500), (stepped, 500));
    let ahead = Some(ClockDoubt::AheadOfMark);
    assert_eq!(seen(started(40 * DAY), 40 * DAY + 500, 500), (ahead, 500));
}

#[test]
fn at_start_more_than_thirty_days_ahead_of_the_mark_is_suspicious() {
    assert_eq!(seen(started(30 * DAY), 30 * DAY, 0), (None, 30 * DAY));
    let ahead = Some(ClockDoubt::AheadOfMark);
    assert_eq!(seen(started(30 * DAY + 1), 30 * DAY + 1, 0), (ahead, 0));
}

#[test]
fn a_suspicious_time_is_not_recorded_and_does_not_become_believed_by_ticking() {
    let jumped = moment(T + 2 * DAY, 1_060);
    assert_eq!(ticked().ticked(jumped), ticked());
    let started_late = started(40 * DAY);
    assert_eq!(started_late.ticked(moment(T + 40 * DAY, 1_000)), started_late);
    let fell_back = moment(T - 3_600, 1_060);
    assert_eq!(ticked().ticked(fell_back), ticked());
}

#[test]
fn a_clock_that_comes_back_by_itself_is_believed_again() {
    let jumped = ticked().ticked(moment(T + 2 * DAY, 1_060));
    assert_eq!(seen(jumped, 120, 120), (None, 120));
    let fell_back = ticked().ticked(moment(T - 3_600, 1_060));
    assert_eq!(seen(fell_back, 120, 120), (None, 120));
    // A machine without a battery starts in 1970 and is set once there is a network.
    let in_1970 =
        Anchor::at_start(Some(Timestamp(T)), moment(DAY, 1_000)).ticked(moment(DAY, 1_000));
    assert_eq!(seen(in_1970, 3 * DAY, 60), (None, 3 * DAY));
    assert_eq!(seen(in_1970, 31 * DAY, 60).0, Some(ClockDoubt::AheadOfMark));
}

#[test]
fn a_slow_drift_and_small_steps_are_followed_from_tick_to_tick() {
    let mut anchor = ticked();
    for tick in 1..=2_000 {
        // Ten minutes fast each minute: after all of it two weeks ahead.
        let now = moment(T + tick * 11 * MINUTE, 1_000 + tick * MINUTE);
        assert_eq!(anchor.judge(now).doubt, None, "{tick}");
        anchor = anchor.ticked(now).recorded(now.system);
    }
    let end = 2_000 * 11 * MINUTE;
    assert_eq!(seen(anchor, end, 2_000 * MINUTE), (None, end));
}

#[test]
fn the_mark_only_rises_by_recording() {
    let anchor = ticked().recorded(Timestamp(T + 3_600)).recorded(Timestamp(5));
    assert_eq!(seen(anchor, 0, 0).0, Some(ClockDoubt::BehindMark));
    assert_eq!(seen(anchor, 3_600 - 5 * MINUTE, 0).0, None);
}

#[test]
fn what_an_operator_accepts_is_believed_forward_and_back() {
    for system in [T + 400 * DAY, T - 400 * DAY] {
        let accepted = Anchor::accepted(moment(system, 1_000));
        let one_minute_on = accepted.judge(moment(system + 60, 1_060));
        assert_eq!((one_minute_on.doubt, one_minute_on.now), (None, Timestamp(system + 60)));
        assert!(accepted.judge(moment(system + DAY + 1, 1_000)).doubt.is_some());
        assert!(accepted.judge(moment(system - 301, 1_000)).doubt.is_some());
    }
}

#[test]
fn without_a_mark_the_first_time_is_believed() {
    let start = moment(T, 1_000);
    assert_eq!(seen(Anchor::at_start(None, start), 0, 0), (None, 0));
}

#[test]
fn the_ends_of_time_are_judged_without_overflow() {
    for system in [i64::MIN, i64::MAX] {
        for up in [i64::MIN, 1_000] {
            assert!(ticked().judge(moment(system, up)).doubt.is_some());
        }
    }
}
