//! When a daemon takes its next step: never sooner than asked for, never much later than due.

use cvm_agent::service::Daemon;

use super::*;

const NAP: Duration = Duration::from_secs(60);

impl Device {
    fn daemon(&self) -> Daemon {
        Daemon::new(self.open(self.config()).unwrap())
    }

    fn step(&self, daemon: &mut Daemon) -> Duration {
        daemon.step(&self.world.told)
    }
}

#[test]
fn a_daemon_looks_at_the_clock_every_minute_and_renews_when_that_shows_the_time() {
    let device = Device::new();
    let mut daemon = device.daemon();
    assert_eq!(device.step(&mut daemon), NAP);
    assert_eq!(device.step(&mut daemon), NAP);
    assert_eq!(device.asked(), ["", "/confirm"]);
    // 30 s before its time, however the clock came there.
    device.clock.0.store(1_798_761_600 - 30, Ordering::SeqCst);
    assert_eq!(device.step(&mut daemon), Duration::from_secs(30));
    assert!(device.asked().is_empty());
    device.clock.0.store(1_798_761_600, Ordering::SeqCst);
    device.step(&mut daemon);
    assert_eq!(device.asked(), ["/renew", "/confirm"]);
    assert_eq!(device.hooked(), ["enrolled SN-0001", "renewed SN-0001"]);
}

#[test]
fn a_clock_that_is_set_back_renews_nothing_and_loses_nothing() {
    let device = Device::new();
    let mut daemon = device.daemon();
    device.step(&mut daemon);
    device.asked();
    device.clock.0.store(0, Ordering::SeqCst);
    assert_eq!(device.step(&mut daemon), NAP);
    assert!(device.asked().is_empty());
}

#[test]
fn the_server_is_not_asked_sooner_than_it_wants_whoever_wakes_the_daemon() {
    let device = Device::new();
    let refusal = problem(429, "slow-down", "retry-after: 1000\r\n");
    device.registry.instead.lock().push(refusal);
    let mut daemon = device.daemon();
    let wait = device.step(&mut daemon);
    assert!((1000..=1250).contains(&wait.as_secs()), "{wait:?}");
    assert_eq!(device.asked(), [""]);
    daemon.reconfigure(device.config()).unwrap();
    let left = device.step(&mut daemon);
    assert!(left <= wait && left.as_secs() > 900, "{left:?}");
    assert!(device.asked().is_empty());
    // Another server asked for nothing.
    let mut config = device.config();
    config.server = device.server.url().replace("https://", "");
    daemon.reconfigure(config).unwrap();
    assert_eq!(device.step(&mut daemon), NAP);
    assert_eq!(device.asked(), ["", "/confirm"]);
}

#[test]
fn a_server_that_asks_for_years_is_asked_again_the_next_day() {
    let device = Device::new();
    for years in ["retry-after: 31536000\r\n", "retry-after: 18446744073709551615\r\n"] {
        device.registry.instead.lock().push(problem(429, "slow-down", years));
        let wait = device.step(&mut device.daemon());
        assert!((86_400..=108_000).contains(&wait.as_secs()), "{wait:?}");
    }
}

#[test]
fn a_server_that_is_away_is_tried_later_and_at_once_after_a_reload() {
    let device = Device::new();
    let mut daemon = device.daemon();
    device.registry.instead.lock().push(Answer::HangUp);
    let wait = device.step(&mut daemon);
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
    assert_eq!(device.asked(), [""]);
    daemon.reconfigure(device.config()).unwrap();
    assert_eq!(device.step(&mut daemon), NAP);
    assert_eq!(device.asked(), ["", "/confirm"]);
}

#[test]
fn what_is_due_again_at_once_is_not_renewed_in_a_circle() {
    let device = Device::new();
    let mut daemon = device.daemon();
    device.step(&mut daemon);
    device.asked();
    // The registry's certificates are due from then on, as with a clock that is far ahead.
    device.clock.0.store(DUE_SECONDS, Ordering::SeqCst);
    let wait = device.step(&mut daemon);
    assert_eq!(device.asked(), ["/renew", "/confirm"]);
    assert!(wait > Duration::ZERO && device.step(&mut daemon) > Duration::ZERO);
    assert!(device.asked().is_empty());
    let told = device.world.told.text();
    assert!(told.contains("check the clock"), "{told}");
}

#[test]
fn what_only_a_human_can_change_is_not_asked_all_the_time() {
    let device = Device::new();
    device.registry.token_is_good.store(false, Ordering::SeqCst);
    let mut daemon = device.daemon();
    let first = device.step(&mut daemon);
    assert!(first < NAP, "a first refusal may be a matter of order: {first:?}");
    let told = device.world.told.text();
    assert!(told.contains("access-denied") && told.contains("cvm explain"), "{told}");
    device.assert_told_no_secret();
}

#[test]
fn a_reload_changes_neither_directory_nor_device() {
    let device = Device::new();
    let mut daemon = device.daemon();
    device.step(&mut daemon);
    let mut other = device.config();
    other.directory = device.home("elsewhere");
    assert_eq!(daemon.reconfigure(other).unwrap_err().exit_code(), 64);
    let mut other = device.config();
    other.serial_number = "SN-0002".to_owned();
    assert_eq!(daemon.reconfigure(other).unwrap_err().exit_code(), 64);
    assert_eq!(daemon.config().serial_number, "SN-0001");
}
