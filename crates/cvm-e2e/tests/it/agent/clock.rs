//! Agents whose clock says 1970 (`protocol.md`, section 11): the server is judged at the latest of
//! that clock, the date of the build, and the last time that the server told.

use super::*;

const LOST: &str = "1970-01-02T00:00:00Z";

/// The date of the build, as the agent has it.
fn build() -> Timestamp {
    Timestamp(i64::try_from(cvm_agent::clock::earliest().as_secs()).unwrap())
}

#[test]
fn without_a_clock_the_date_of_the_build_lets_a_device_enroll() {
    // Its certificate, backdated, begins before the build.
    let site = Site::at(build().plus(Span(60)), &[]);
    let mut device = site.device("SN-1");
    device.set_clock(LOST.parse().unwrap());
    device.succeed();
    assert_eq!(site.states(&device), ["current"]);
    assert_eq!(device.succeed(), "", "and nothing is due by a clock that forgot");
}

#[test]
fn without_a_clock_a_server_that_began_after_the_build_waits_for_the_time() {
    let now = build().plus(Span(30 * Span::DAY.0));
    let site = Site::at(now, &[]);
    let mut device = site.device("SN-1");
    device.set_clock(LOST.parse().unwrap());
    let (code, told) = device.once();
    assert_eq!(code, 76, "{told}");
    assert!(told.contains("set this machine's clock"), "{told}");
    assert_eq!(site.shown(&device)["tokenState"], "unused");
    // The network sets it, and a daemon follows.
    let mut daemon = device.daemon();
    daemon.wait_for_log("next try in");
    device.set_clock(now);
    daemon.signal("-HUP");
    daemon.wait_for_log("is in use");
    drop(daemon);
    // From then on the time that the server told is known, whatever the clock forgets.
    std::fs::remove_file(device.file("agent.json")).unwrap();
    device.set_clock(LOST.parse().unwrap());
    let told = device.succeed();
    assert!(told.contains("confirmed the certificate"), "{told}");
}
