//! Whom an agent tells what: nothing secret to anybody but its server.

use cvm_e2e::{Receiver, Reply};

use super::*;

#[test]
fn a_server_that_is_not_the_pinned_one_hears_no_secret() {
    let site = Site::new(&[]);
    let device = site.device("SN-1");
    let stranger = Receiver::https().unwrap();
    let root = site.environment.data().join("root-ca.pem");
    device.configure(&stranger.url(""), &format!("root_ca = {root:?}\n"));
    let (code, told) = device.once();
    assert_eq!(code, 76, "{told}");
    assert!(stranger.received().is_empty(), "{:?}", stranger.received());

    let fingerprint = site.environment.ready("rootFingerprint");
    device.configure(&stranger.url(""), &format!("fingerprint = {fingerprint:?}\n"));
    let (code, told) = device.once();
    assert_eq!(code, 76, "{told}");
    let heard = stranger.received();
    assert!(!heard.is_empty(), "it may be asked for its roots");
    for request in &heard {
        assert_eq!((request.line.as_str(), request.body.as_str()), ("GET /v1/trust-bundle", ""));
        assert!(!format!("{request:?}").contains(&device.token()));
    }
    // A daemon goes on, as networks come and go.
    let mut daemon = device.daemon();
    daemon.wait_for_log("next try in");
    assert!(daemon.log().contains("is not the pinned server"), "{}", daemon.log());
    // With the right address, the fingerprint is as good as the file.
    let fingerprint = format!("fingerprint = {fingerprint:?}\n");
    device.configure(&site.environment.device_url(), &fingerprint);
    daemon.signal("-HUP");
    daemon.wait_for_log("is in use");
    site.assert_works(&device);
}

#[test]
fn an_agent_that_waits_for_an_answer_ends_at_once_when_asked() {
    let silent = Receiver::https_with(&[Reply::Never, Reply::Never]).unwrap();
    let site = Site::new(&[]);
    let device = site.device("SN-1");
    let root = device.home.join("root.pem");
    std::fs::write(&root, &silent.root).unwrap();
    device.configure(&silent.url(""), &format!("root_ca = {root:?}\n"));
    let mut daemon = device.daemon();
    wait_for("the request", BOUND, || Ok((silent.holding() == 1).then_some(()))).unwrap();
    assert_eq!(daemon.end("-TERM"), Some(0));
    // A timer's run was not done, and says so.
    let mut command = device.command(&["run", "--once"]);
    let child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut once = Daemon { child, log: device.home.join("none") };
    wait_for("the request", BOUND, || Ok((silent.received().len() == 2).then_some(()))).unwrap();
    assert_eq!(once.end("-TERM"), Some(75));
}
