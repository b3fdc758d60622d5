//! `cvm-agent run`: enrolls, renews in time, follows signals, tries until the server is there.

use super::*;

#[test]
fn a_daemon_enrolls_renews_when_woken_after_its_time_and_ends_when_asked() {
    let now = Environment::new(&[]).unwrap().now();
    let mut site = Site::at(now, &[HOUR]);
    let mut device = site.device("SN-1");
    device.set_clock(now);
    device.configure_also(&device.hook());
    let mut daemon = device.daemon();
    daemon.wait_for_log("is in use");
    let first = device.certificate_id();
    site.environment.set_clock(now.plus(DUE)).unwrap();
    device.set_clock(now.plus(DUE));
    // It would look by itself within a minute.
    daemon.signal("-HUP");
    daemon.wait_for_log("put the new files in place");
    let hooked = || Ok((device.hooked().len() == 2).then_some(()));
    wait_for("the hook", BOUND, hooked).unwrap();
    assert_eq!(device.hooked()[1], format!("renewed {}", device.certificate_id()));
    assert_ne!(device.certificate_id(), first);
    assert_eq!(daemon.end("-TERM"), Some(0));
    site.assert_works(&device);
}

#[test]
fn a_second_agent_is_told_who_has_the_directory() {
    let site = Site::new(&[]);
    let device = site.device("SN-1");
    let mut daemon = device.daemon();
    daemon.wait_for_log("is in use");
    for arguments in [&["run", "--once"][..], &["run"]] {
        let (code, told) = device.run(arguments);
        assert_eq!(code, 75, "{told}");
        let holder = format!("another cvm-agent (process {})", daemon.child.id());
        assert!(told.contains(&holder), "{told}");
    }
    // `cvm device renew` shares the files, and takes turns with it.
    let renew = ["device", "renew", "--dir", "SN-1/files"];
    site.environment.succeed(&renew).unwrap();
    assert_eq!(daemon.end("-INT"), Some(0));
    device.succeed();
    site.assert_works(&device);
}

#[test]
fn a_server_that_is_down_is_tried_until_it_is_up() {
    let mut site = Site::new(&[]);
    let device = site.device("SN-1");
    site.environment.kill().unwrap();
    let mut daemon = device.daemon();
    daemon.wait_for_log("next try in");
    site.environment.serve().unwrap();
    // It has another port now, so this is a reload as well.
    let root = site.environment.data().join("root-ca.pem");
    device.configure(&site.environment.device_url(), &format!("root_ca = {root:?}\n"));
    daemon.signal("-HUP");
    daemon.wait_for_log("is in use");
    site.assert_works(&device);
    // A broken configuration changes nothing.
    std::fs::write(device.config(), "server = 1\n").unwrap();
    daemon.signal("-HUP");
    daemon.wait_for_log("going on by the old configuration");
    assert_eq!(daemon.end("-TERM"), Some(0));
}

#[test]
fn a_server_that_asks_for_time_is_given_it() {
    let now = Environment::new(&[]).unwrap().now();
    let mut site = Site::at(now, &[HOUR, ("limits.issues_per_serial", "\"1/10h\"")]);
    let mut device = site.device("SN-1");
    device.set_clock(now);
    device.succeed();
    site.environment.set_clock(now.plus(DUE)).unwrap();
    device.set_clock(now.plus(DUE));
    let (code, told) = device.once();
    assert_eq!(code, 75, "{told}");
    assert!(told.contains("slow-down"), "{told}");
    let asked: u64 = number_after(&told, "try again in ");
    assert!(asked > 300, "more than a run waits for: {told}");
    let mut daemon = device.daemon();
    daemon.wait_for_log("next try in");
    let log = daemon.log();
    let (asked, wait) = (number_after(&log, "try again in "), number_after(&log, "next try in "));
    assert!(wait >= asked, "{log}");
    // It takes one thing after the other: at the second one, it has done what the first one asks.
    for times in 1..=2 {
        daemon.signal("-HUP");
        let log = daemon.log.clone();
        let is_read = || {
            let log = std::fs::read_to_string(&log)?;
            Ok((log.matches("reading the configuration again").count() == times).then_some(()))
        };
        wait_for("the reload", BOUND, is_read).unwrap();
    }
    assert_eq!(daemon.log().matches("next try in").count(), 1, "{}", daemon.log());
    assert_eq!(daemon.end("-TERM"), Some(0));
}

fn number_after(text: &str, words: &str) -> u64 {
    let at = text.find(words).unwrap_or_else(|| panic!("{words} in {text}")) + words.len();
    let digits: String = text[at..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}
