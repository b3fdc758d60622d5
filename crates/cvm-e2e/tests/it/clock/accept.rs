//! `cvm doctor --accept-time`, with and without a server.

use super::*;

#[test]
fn without_a_server_the_time_is_accepted_in_the_store() {
    let mut environment = started();
    environment.terminate().unwrap();
    step(&mut environment, days(120));
    // By now the server's certificate has ended, so no command reaches the server.
    environment.serve().unwrap();
    let (code, report, _) = environment.run(&["doctor"]).unwrap();
    assert_eq!(code, 1, "{report}");
    for wanted in ["FAILED   clock", "FAILED   server", "stop it, run `cvm doctor --accept-time`"] {
        assert!(report.contains(wanted), "{wanted}: {report}");
    }
    let (code, _, stderr) = environment.run(&["doctor", "--accept-time"]).unwrap();
    assert_ne!(code, 0);
    assert!(stderr.contains("stop it, run `cvm doctor --accept-time`"), "{stderr}");

    environment.terminate().unwrap();
    let (code, report, stderr) = environment.run(&["doctor", "--accept-time"]).unwrap();
    assert_eq!(code, 0, "{report}{stderr}");
    assert!(stderr.contains("The latest time on record was"), "{stderr}");
    environment.serve().unwrap();
    assert_issues(&environment);
    let journal = environment.operate("GET", "/v1/journal?limit=1000", None).unwrap();
    assert!(journal.body.contains("while no server ran"), "{}", journal.body);
}

#[test]
fn a_time_that_was_accepted_by_mistake_is_taken_back() {
    let mut environment = started();
    let right = environment.now();
    step(&mut environment, days(20));
    environment.accept_clock().unwrap();
    assert_issues(&environment);
    environment.set_clock(right.plus(HOUR)).unwrap();
    assert_issues_nothing(&environment, "behind-mark");
    environment.succeed(&["doctor", "--accept-time"]).unwrap();
    assert_issues(&environment);
}

#[test]
fn nothing_is_made_where_there_is_no_registry() {
    let environment = Environment::new(&[]).unwrap();
    let (code, _, stderr) = environment.run(&["doctor", "--accept-time"]).unwrap();
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("cvm init"), "{stderr}");
    assert!(!environment.data().exists());
    std::fs::create_dir(environment.data()).unwrap();
    let (code, _, stderr) = environment.run(&["doctor", "--accept-time"]).unwrap();
    assert_eq!(code, 1, "{stderr}");
    assert!(!environment.data().join("cvm.db").exists());
}
