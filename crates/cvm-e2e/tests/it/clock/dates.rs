//! Dates at which others break: 1970, the end of 31 bits, of `UTCTime`, and a century without its
//! leap day. Certificates are judged by `openssl`.

use std::path::Path;
use std::process::Command;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A server that is made and run at `time`.
fn started_at(time: &str) -> Environment {
    let mut environment = Environment::new(&[]).unwrap();
    environment.set_clock(at(time)).unwrap();
    environment.init(&["--unsealed"]).unwrap();
    environment.serve().unwrap();
    environment
}

fn openssl(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).current_dir(directory).output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "openssl {arguments:?}: {text}");
    text
}

/// Vends and confirms, lets `openssl` verify the certificate by the clock, and returns the forms of
/// its notBefore and notAfter.
fn enroll(environment: &Environment, serial: &str) -> (String, Vec<String>) {
    let asker = Asker::new(environment, serial);
    let answer = asker.vend(environment);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(asker.confirm(environment, &answer).status, 204);
    let directory = environment.scratch();
    for (name, field) in
        [("leaf.pem", "certificate"), ("chain.pem", "chain"), ("root.pem", "rootCa")]
    {
        std::fs::write(directory.join(name), answer.text(field)).unwrap();
    }
    let now = environment.now().0.to_string();
    let verify = ["verify", "-x509_strict", "-attime", now.as_str(), "-CAfile", "root.pem"];
    openssl(directory, &[&verify[..], &["-untrusted", "chain.pem", "leaf.pem"]].concat());
    let parsed = openssl(directory, &["asn1parse", "-in", "leaf.pem"]);
    let is_time = |line: &&str| line.contains("UTCTIME") || line.contains("GENERALIZEDTIME");
    let form = |line: &str| {
        let (_, form) = line.rsplit_once("prim: ").unwrap();
        form.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    (answer.text("notBefore"), parsed.lines().filter(is_time).map(form).collect())
}

#[test]
fn in_1970_nothing_is_made_and_what_was_made_before_issues_nothing() {
    let mut lost = Environment::new(&[]).unwrap();
    lost.set_clock(at("1970-01-02T00:00:00Z")).unwrap();
    let (code, _, stderr) = lost.run(&["init", "--unsealed"]).unwrap();
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("1970-01-02") && stderr.contains("set the clock"), "{stderr}");
    let left: Vec<_> = std::fs::read_dir(lost.scratch()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing but the test's clock: {left:?}");

    let mut environment = started();
    let now = environment.now();
    let token = environment.device_add("SN-1").unwrap();
    environment.terminate().unwrap();
    environment.set_clock(at("1970-01-02T00:00:00Z")).unwrap();
    environment.serve().unwrap();
    assert!(environment.log().contains("behind-mark"), "{}", environment.log());
    let (code, report, _) = environment.run(&["doctor"]).unwrap();
    assert_eq!(code, 1);
    assert!(report.contains("FAILED   clock") && report.contains("1970-01-02"), "{report}");
    // The server is set right by the network, as it comes.
    environment.set_clock(now.plus(days(3))).unwrap();
    let csr = Key::new().unwrap().csr().unwrap();
    assert_eq!(environment.vend("SN-1", &token, &csr).unwrap().status, 201);
    assert_issues(&environment);
}

#[test]
fn the_end_of_31_bits_is_a_second_like_others() {
    let mut environment = started_at("2038-01-19T03:14:00Z");
    enroll(&environment, "SN-1");
    environment.set_clock(at("2038-01-19T03:14:09Z")).unwrap();
    enroll(&environment, "SN-2");
    environment.terminate().unwrap();
    // It stands still: the forms below are of this second, however slow the machine is.
    environment.freeze_clock(at("2038-01-19T03:20:00Z")).unwrap();
    environment.serve().unwrap();
    let (not_before, forms) = enroll(&environment, "SN-3");
    assert_eq!(not_before, "2038-01-19T03:15:00Z");
    assert_eq!(forms, ["UTCTIME :380119031500Z", "UTCTIME :390119032000Z"]);
    assert_issues(&environment);
}

#[test]
fn from_2050_on_times_are_generalized() {
    let mut environment = started_at("2049-12-31T23:50:00Z");
    let (_, forms) = enroll(&environment, "SN-1");
    assert_eq!(forms.len(), 2, "{forms:?}");
    assert!(forms[0].starts_with("UTCTIME :4912312345"), "{forms:?}");
    assert!(forms[1].starts_with("GENERALIZEDTIME :2050123123"), "{forms:?}");
    environment.set_clock(at("2050-01-01T00:10:00Z")).unwrap();
    let (_, forms) = enroll(&environment, "SN-2");
    assert!(forms[0].starts_with("GENERALIZEDTIME :2050010100"), "{forms:?}");
    assert!(forms[1].starts_with("GENERALIZEDTIME :20510101"), "{forms:?}");
    let (server, fingerprint) = (environment.device_url(), environment.ready("rootFingerprint"));
    environment.succeed(&["device", "add", "SN-3", "--token-out", "token"]).unwrap();
    let enroll = ["device", "enroll", "--serial", "SN-3", "--token-file", "token", "--out", "sn-3"];
    let there = ["--server", &server, "--fingerprint", &fingerprint];
    environment.succeed(&[&enroll[..], &there].concat()).unwrap();
    assert_issues(&environment);
}

#[test]
fn the_year_2100_has_no_leap_day() {
    let mut environment = started_at("2100-02-28T23:50:00Z");
    enroll(&environment, "SN-1");
    environment.freeze_clock(at("2100-03-01T00:05:00Z")).unwrap();
    let (not_before, forms) = enroll(&environment, "SN-2");
    assert_eq!(not_before, "2100-03-01T00:00:00Z");
    assert_eq!(forms[1], "GENERALIZEDTIME :21010301000500Z");
    assert_issues(&environment);
}
