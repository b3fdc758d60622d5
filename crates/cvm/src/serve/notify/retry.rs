//! When a message that was not delivered is sent again: after growing pauses with jitter, and not
//! for ever.

use std::time::Duration;

use super::webhook::Fault;

/// Before the second try.
const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// Between two tries, at most: how long after its receiver is back a message may come.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How often a message is tried whose receiver does not answer, or says that it cannot now.
const TRIES_MAX: u32 = 100;

/// How often a message is tried that its receiver refuses. It has no better chance later, and
/// others wait behind it.
const TRIES_REFUSED_MAX: u32 = 5;

/// After this a message is not tried again.
const AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// How long to wait after the try called `number`, from 1 on, which failed by `fault` when the
/// message was `age` old; `None` is to give up. `random` spreads what failed together: from half
/// of a pause to the whole of it.
pub(super) fn pause(number: u32, fault: &Fault, age: Duration, random: u8) -> Option<Duration> {
    let most = if fault.is_refusal() { TRIES_REFUSED_MAX } else { TRIES_MAX };
    if number >= most || age >= AGE_MAX {
        return None;
    }
    let doubled = 2_u32.saturating_pow(number.saturating_sub(1));
    let whole = PAUSE_FIRST.saturating_mul(doubled).min(PAUSE_MAX);
    Some(whole.mul_f64(0.5 + f64::from(random) / 510.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const YOUNG: Duration = Duration::ZERO;

    fn silent() -> Fault {
        Fault::NoAnswer(String::from("no answer"))
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_chance_takes_up_to_half() {
        let whole = |number| pause(number, &silent(), YOUNG, 255).unwrap().as_secs();
        assert_eq!([1, 2, 3, 6, 7, 99].map(whole), [1, 2, 4, 32, 60, 60]);
        let least = pause(7, &silent(), YOUNG, 0).unwrap();
        assert_eq!(least.as_secs(), 30);
    }

    #[test]
    fn tries_end_by_their_number() {
        let unready = Fault::Status(503);
        assert!(pause(99, &unready, YOUNG, 0).is_some());
        assert_eq!(pause(100, &unready, YOUNG, 0), None);
        let refused = Fault::Status(400);
        assert!(pause(4, &refused, YOUNG, 0).is_some());
        assert_eq!(pause(5, &refused, YOUNG, 0), None);
    }

    #[test]
    fn tries_end_after_an_hour() {
        assert!(pause(1, &silent(), Duration::from_secs(3_599), 0).is_some());
        assert_eq!(pause(1, &silent(), Duration::from_secs(3_600), 0), None);
    }

    #[test]
    fn what_may_be_otherwise_later_is_no_refusal() {
        let is_refusal = |status| Fault::Status(status).is_refusal();
        assert!([301, 308, 400, 401, 404, 410, 413].into_iter().all(is_refusal));
        assert!(![408, 425, 429, 500, 502, 503].into_iter().any(is_refusal));
    }
}
