//! `cvm rehearse` against the real server: what goes well, what was broken on purpose, and what it
//! leaves behind.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use cvm_e2e::Environment;
use serde_json::{Value, json};

/// What a run said: exit code, report, standard error.
fn rehearse(environment: &Environment, arguments: &[&str]) -> (i32, Value, String) {
    let all = [&["rehearse", "--output", "json"][..], arguments].concat();
    let (code, stdout, stderr) = environment.run(&all).unwrap();
    (code, serde_json::from_str(&stdout).unwrap_or_default(), stderr)
}

/// The serial numbers that are there and not deleted.
fn devices(environment: &Environment) -> Vec<String> {
    let answer = environment.operate("GET", "/v1/devices?limit=1000", None).unwrap();
    let list = answer.json().unwrap();
    let items = list["items"].as_array().unwrap().iter();
    let living = items.filter(|device| device["state"] != "deleted");
    living.map(|device| device["serialNumber"].as_str().unwrap().to_owned()).collect()
}

fn act<'a>(report: &'a Value, name: &str) -> &'a Value {
    let acts = report["acts"].as_array().unwrap();
    acts.iter().find(|act| act["act"] == name).unwrap_or_else(|| panic!("{name}: {report}"))
}

fn lost(report: &Value) -> u64 {
    let acts = report["acts"].as_array().unwrap().iter();
    let counts = acts.flat_map(|act| act["lost"].as_object().unwrap().values());
    counts.map(|count| count.as_u64().unwrap()).sum()
}

/// A run that goes on beside the test, and what it has said of its phases.
struct Running {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn start(environment: &Environment, arguments: &[&str]) -> Self {
        let all = [&["rehearse", "--output", "json", "--phases"][..], arguments].concat();
        let mut command = environment.command(&all).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr }
    }

    /// Reads on until the phase begins.
    fn until_begun(&mut self, phase: &str) {
        loop {
            let mut line = String::new();
            assert!(self.stderr.read_line(&mut line).unwrap() > 0, "it ended before {phase}");
            let said: Value = serde_json::from_str(&line).unwrap_or_default();
            if said["phase"] == phase && said["event"] == "began" {
                assert!(said["atUnixMs"].as_u64().unwrap() > 1_700_000_000_000);
                return;
            }
        }
    }

    /// What `act` does while the rehearsal stands still.
    fn meanwhile<T>(&self, act: impl FnOnce() -> T) -> T {
        self.signal("-STOP");
        let done = act();
        self.signal("-CONT");
        done
    }

    fn interrupt(&self) {
        self.signal("-INT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    fn end(mut self) -> (i32, Value, String) {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stderr.read_to_string(&mut stderr).unwrap();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        let code = self.child.wait().unwrap().code().unwrap();
        (code, serde_json::from_str(&stdout).unwrap_or_default(), stderr)
    }
}

#[test]
fn two_hundred_devices_lose_answers_and_nothing_else_under_the_default_limits() {
    let limits = [("limits.issues_per_serial", "10/1h"), ("limits.refusals_per_address", "60/1m")];
    let environment = Environment::start(&limits).unwrap();
    let run = ["--devices", "200", "--loss", "5%", "--confirm", "--renew", "--seed", "11"];
    let (code, report, stderr) = rehearse(&environment, &run);
    assert_eq!(code, 0, "{stderr}\n{report}");
    assert!(lost(&report) >= 20, "about 40 of 800 answers are lost: {report}");
    let audit = &report["audit"];
    assert_eq!((&audit["given"], &audit["stored"]), (&json!(400), &json!(400)));
    for count in ["duplicates", "orphans", "lost", "broken"] {
        assert_eq!(audit[count], 0, "{count}");
    }
    assert_eq!(report["unfinishedDevices"], 0);
    for name in ["register", "vend", "confirm", "renew", "prove"] {
        assert!(act(&report, name)["answered"].as_u64().unwrap() >= 200, "{name}");
        let latency = &act(&report, name)["latency"];
        assert!(latency["p50Ms"].as_f64().unwrap() <= latency["p99Ms"].as_f64().unwrap());
    }
    let phases: Vec<&str> = report["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|phase| {
            assert!(phase["beganUnixMs"].as_u64() <= phase["endedUnixMs"].as_u64());
            phase["name"].as_str().unwrap()
        })
        .collect();
    let all = ["keys", "register", "vend", "check", "confirm", "renew", "audit", "clean"];
    assert_eq!(phases, all);
    assert_eq!(report["server"]["keyExchange"], "X25519MLKEM768");
    assert_eq!(devices(&environment), Vec::<String>::new(), "the devices are deleted");
}

#[test]
fn the_same_seed_again_begins_another_life_of_its_devices_with_the_same_losses() {
    let environment = Environment::start(&[]).unwrap();
    let run = ["--devices", "30", "--loss", "30%", "--confirm", "--seed", "5"];
    let [first, second] = [(); 2].map(|()| {
        let (code, report, stderr) = rehearse(&environment, &run);
        assert_eq!(code, 0, "{stderr}\n{report}");
        report
    });
    for name in ["vend", "confirm"] {
        assert_eq!(act(&first, name)["lost"], act(&second, name)["lost"]);
    }
    assert!(lost(&first) > 10, "{first}");
    let register = &act(&second, "register")["statuses"];
    assert_eq!(register, &json!({"201": 30, "409": 30}), "tombstones ask for `again`");
}

#[test]
fn vends_alone_over_kept_connections_with_the_other_key_exchange() {
    let environment = Environment::start(&[]).unwrap();
    let run = ["--devices", "40", "--keep-alive", "--key-exchange", "x25519", "--concurrency", "4"];
    let (code, report, stderr) = rehearse(&environment, &run);
    assert_eq!(code, 0, "{stderr}\n{report}");
    assert_eq!(report["server"]["keyExchange"], "X25519");
    assert_eq!(report["audit"]["stored"], 40);
}

#[test]
fn a_certificate_that_is_revoked_meanwhile_is_a_broken_invariant_with_its_name() {
    let environment = Environment::start(&[]).unwrap();
    let run = ["--devices", "60", "--confirm", "--concurrency", "1", "--seed", "3", "--keep"];
    let mut running = Running::start(&environment, &run);
    running.until_begun("confirm");
    let serial = "rehearse-3-000059";
    let revoked = running.meanwhile(|| {
        let path = format!("/v1/devices/{serial}");
        let shown = environment.operate("GET", &path, None).unwrap().json().unwrap();
        let id = shown["certificates"][0]["certificateId"].as_str().unwrap().to_owned();
        let path = format!("/v1/certificates/{id}:revoke");
        environment.operate("POST", &path, Some(&json!({}))).unwrap().status
    });
    assert_eq!(revoked, 200);
    let (code, report, stderr) = running.end();
    assert_eq!(code, 1, "{stderr}\n{report}");
    assert!(stderr.contains("an invariant broke") && stderr.contains(serial), "{stderr}");
    let findings = report["audit"]["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| finding["serialNumber"] == serial), "{report}");
    assert!(findings.iter().any(|finding| finding["invariant"] == "I5"), "{report}");
    assert_eq!(devices(&environment).len(), 60, "--keep");
    assert!(environment.succeed(&["rehearse", "--clean"]).unwrap().contains("60 devices"));
    assert_eq!(devices(&environment).len(), 0);
}

#[test]
fn a_device_whose_token_is_taken_away_meanwhile_is_told_by_its_name() {
    let environment = Environment::start(&[]).unwrap();
    let run = ["--devices", "60", "--concurrency", "1", "--seed", "4"];
    let mut running = Running::start(&environment, &run);
    running.until_begun("vend");
    let last = "rehearse-4-000059";
    let path = format!("/v1/devices/{last}:new-token");
    let given =
        running.meanwhile(|| environment.operate("POST", &path, Some(&json!({}))).unwrap().status);
    assert_eq!(given, 200);
    let (code, report, stderr) = running.end();
    assert_eq!(code, 1, "{stderr}\n{report}");
    let findings = report["audit"]["findings"].as_array().unwrap();
    // Whether it had its certificate already, which was revoked then, or never got one.
    assert!(findings.iter().any(|it| it["kind"] == "stuck" || it["kind"] == "taken"), "{report}");
    assert!(findings.iter().all(|finding| finding["serialNumber"] == last), "{report}");
}

#[test]
fn a_server_with_other_devices_is_left_alone_without_yes() {
    let environment = Environment::start(&[]).unwrap();
    for serial in ["A-1", "z-1"] {
        environment.device_add(serial).unwrap();
        let (code, _, stderr) = rehearse(&environment, &["--devices", "2"]);
        assert_eq!(code, 1);
        assert!(stderr.contains("--yes"), "{stderr}");
        let registered = devices(&environment);
        assert!(registered.iter().all(|it| !it.starts_with("rehearse-")), "{registered:?}");
        let deleted = format!("/v1/devices/{serial}");
        assert_eq!(environment.operate("DELETE", &deleted, None).unwrap().status, 200);
    }
    environment.device_add("A-2").unwrap();
    let (code, report, stderr) = rehearse(&environment, &["--devices", "2", "--yes"]);
    assert_eq!(code, 0, "{stderr}\n{report}");
    assert_eq!(devices(&environment), ["A-2"], "other devices stay");
}

#[test]
fn what_rehearsals_left_is_cleaned_by_seed_or_all_of_it_and_nothing_else() {
    let environment = Environment::start(&[]).unwrap();
    for seed in ["1", "11", "2"] {
        let run = ["--devices", "3", "--keep", "--seed", seed];
        let (code, report, stderr) = rehearse(&environment, &run);
        assert_eq!(code, 0, "{stderr}\n{report}");
        assert!(stderr.contains(&format!("--clean --seed {seed}")), "{stderr}");
    }
    let (code, _, stderr) = rehearse(&environment, &["--devices", "3", "--seed", "1"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("there already") && stderr.contains("--clean --seed 1"), "{stderr}");
    environment.device_add("rehearse-1-mine").unwrap();
    let cleaned = |arguments: &[&str]| rehearse(&environment, arguments).1["deleted"].clone();
    assert_eq!(cleaned(&["--clean", "--seed", "1"]), 3);
    assert_eq!(devices(&environment).len(), 7);
    assert_eq!(cleaned(&["--clean"]), 6);
    assert_eq!(devices(&environment), ["rehearse-1-mine"], "it has another profile");
    assert_eq!(cleaned(&["--clean"]), 0);
}

#[test]
fn an_interrupted_rehearsal_deletes_its_devices_and_a_killed_one_is_cleaned_later() {
    let environment = Environment::start(&[]).unwrap();
    let run = ["--devices", "60", "--concurrency", "1", "--seed", "8", "--confirm"];
    let mut running = Running::start(&environment, &run);
    running.until_begun("vend");
    running.interrupt();
    let (code, _, stderr) = running.end();
    assert_eq!(code, 1);
    assert!(stderr.contains("interrupted"), "{stderr}");
    assert_eq!(devices(&environment), Vec::<String>::new());

    let mut killed = Running::start(&environment, &run);
    killed.until_begun("vend");
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    assert_eq!(devices(&environment).len(), 60);
    let (code, cleaned, stderr) = rehearse(&environment, &["--clean", "--seed", "8"]);
    assert_eq!((code, &cleaned["deleted"]), (0, &json!(60)), "{stderr}");
    assert_eq!(devices(&environment), Vec::<String>::new());
}

#[test]
fn a_server_that_is_killed_and_started_again_is_waited_for() {
    let mut environment = Environment::start(&[]).unwrap();
    let ports = [environment.ready("http"), environment.ready("operator")];
    environment.kill().unwrap();
    environment.set("http.listen", &ports[0]);
    environment.set("operator.listen", &ports[1]);
    environment.serve().unwrap();
    let run = ["--devices", "100", "--confirm", "--renew", "--concurrency", "8"];
    let mut running = Running::start(&environment, &run);
    for phase in ["vend", "confirm", "renew"] {
        running.until_begun(phase);
        environment.kill().unwrap();
        environment.serve().unwrap();
    }
    let (code, report, stderr) = running.end();
    assert_eq!(code, 0, "{stderr}\n{report}");
    assert_eq!((&report["audit"]["given"], &report["audit"]["stored"]), (&json!(200), &json!(200)));
}

#[test]
fn a_limit_in_the_way_is_named_and_is_no_broken_invariant() {
    let limits = [("limits.issues_per_serial", "1/1h")];
    let environment = Environment::start(&limits).unwrap();
    let run = ["--devices", "4", "--confirm", "--renew", "--patience", "2s", "--loss", "0%"];
    let (code, report, stderr) = rehearse(&environment, &run);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("no invariant broke") && stderr.contains("issues_per_serial"),
        "{stderr}"
    );
    assert_eq!(report["audit"]["broken"], 0, "{report}");
    assert_eq!(report["unfinishedDevices"], 4);
    assert_eq!(report["unfinished"][0]["isLimited"], true);
}

#[test]
fn a_rehearsal_prints_no_secret() {
    let environment = Environment::start(&[]).unwrap();
    let (code, stdout, stderr) = environment.run(&["rehearse", "--devices", "3"]).unwrap();
    assert_eq!(code, 0, "{stderr}");
    let said = format!("{stdout}{stderr}");
    assert!(said.contains("broken invariants") && said.contains("duplicates"), "{said}");
    for secret in ["cvm1-", "PRIVATE KEY", environment.admin_token().unwrap().as_str()] {
        assert!(!said.contains(secret));
    }
}
