//! The commands as a user types them: results, errors with their cure, exit codes.

use cvm_e2e::{Environment, Key};
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn init_says_what_it_made_and_never_overwrites() {
    let environment = Environment::new(&[]).unwrap();
    let made = json(&environment.init(&["--unsealed", "--output", "json"]).unwrap());
    assert_eq!(made["rootFingerprint"].as_str().unwrap().len(), 64);
    assert_eq!(made["sealed"], false);
    let before = std::fs::read(environment.data().join("root-ca.pem")).unwrap();
    let (code, stdout, stderr) = environment.run(&["init", "--unsealed"]).unwrap();
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("not overwritten"), "{stderr}");
    assert_eq!(std::fs::read(environment.data().join("root-ca.pem")).unwrap(), before);
    let (code, _, stderr) = Environment::new(&[]).unwrap().run(&["init"]).unwrap();
    assert_eq!(code, 2, "no terminal and no passphrase");
    assert!(stderr.contains("--unsealed"), "{stderr}");
}

#[test]
fn the_root_key_can_be_taken_away_and_the_server_does_not_miss_it() {
    let mut environment = Environment::new(&[]).unwrap();
    let key = environment.scratch().join("root.key");
    environment.init(&["--unsealed", "--root-key-out", key.to_str().unwrap()]).unwrap();
    assert!(std::fs::read_to_string(&key).unwrap().contains("PRIVATE KEY"));
    assert!(!environment.data().join("vault/root-key.sealed").exists());
    environment.serve().unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let csr = Key::new().unwrap().csr().unwrap();
    assert_eq!(environment.vend("SN-1", &token, &csr).unwrap().status, 201);
}

#[test]
fn an_init_that_fails_leaves_nothing_that_a_second_try_trips_over() {
    let environment = Environment::new(&[]).unwrap();
    let root_key = environment.scratch().join("root.key");
    let out = ["--root-key-out", "root.key", "--admin-token-out", "nowhere/token"];
    let wrong = [&["init", "--unsealed"][..], &out].concat();
    let (code, _, stderr) = environment.run(&wrong).unwrap();
    assert_eq!(code, 1);
    assert!(stderr.contains("nowhere/token"), "{stderr}");
    assert!(!root_key.exists() && !environment.data().exists());
    environment.init(&["--unsealed", "--root-key-out", "root.key"]).unwrap();
    assert!(root_key.exists());
}

#[test]
fn a_wrong_passphrase_is_told_and_opens_nothing() {
    let environment = Environment::new(&[]).unwrap();
    let file = |name: &str, text: &str| {
        let path = environment.scratch().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    environment.init(&["--passphrase-file", &file("right", "right horse\n")]).unwrap();
    let wrong = file("wrong", "wrong horse\n");
    let (code, _, stderr) = environment.run(&["serve", "--passphrase-file", &wrong]).unwrap();
    assert_eq!(code, 1);
    assert!(stderr.contains("passphrase"), "{stderr}");
}

#[test]
fn a_second_server_on_the_same_directory_is_refused_with_the_firsts_pid() {
    let environment = Environment::start(&[]).unwrap();
    let (code, _, stderr) = environment.run(&["serve"]).unwrap();
    assert_eq!(code, 1);
    assert!(stderr.contains(&environment.pid().unwrap().to_string()), "{stderr}");
}

#[test]
fn a_port_that_is_taken_is_told_with_its_cure() {
    let environment = Environment::start(&[]).unwrap();
    let taken = environment.ready("http");
    let other = Environment::new(&[("http.listen", &taken)]).unwrap();
    other.init(&["--unsealed"]).unwrap();
    let (code, _, stderr) = other.run(&["serve"]).unwrap();
    assert_eq!(code, 1);
    assert!(stderr.contains("[http] listen") && stderr.contains("another port"), "{stderr}");
}

#[test]
fn a_road_that_this_version_has_not_is_refused() {
    let environment = Environment::start(&[]).unwrap();
    let add = |roads: Value| {
        let body = serde_json::json!({"serialNumber": "SN-1", "roads": roads});
        environment.operate("POST", "/v1/devices", Some(&body)).unwrap()
    };
    assert_eq!(add(serde_json::json!(["claim"])).slug(), "invalid-request");
    assert_eq!(add(serde_json::json!(["vend"])).status, 201);
}

#[test]
fn devices_are_added_listed_and_shown() {
    let environment = Environment::start(&[]).unwrap();
    let added = environment.succeed(&[
        "device",
        "add",
        "line/7:A+1",
        "--attribute",
        "line=2",
        "--token-expires",
        "30d",
        "--output",
        "json",
    ]);
    let added = json(&added.unwrap());
    assert_eq!(added["thingName"], "line_2f7:A_2b1");
    assert_eq!(added["attributes"]["line"], "2");
    assert!(added["token"].as_str().unwrap().starts_with("cvm1-"));
    let shown =
        json(&environment.succeed(&["device", "show", "line/7:A+1", "--output", "json"]).unwrap());
    assert!(shown.get("token").is_none());
    assert_eq!(shown["tokenState"], "unused");
    for number in 0..5 {
        environment.succeed(&["device", "add", &format!("SN-{number}")]).unwrap();
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let mut command = vec!["device", "list", "--limit", "2", "--output", "json"];
        if !cursor.is_empty() {
            command.extend(["--cursor", &cursor]);
        }
        let page = json(&environment.succeed(&command).unwrap());
        let items = page["items"].as_array().unwrap().clone();
        seen.extend(items.iter().map(|item| item["serialNumber"].as_str().unwrap().to_owned()));
        match page["cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, ["SN-0", "SN-1", "SN-2", "SN-3", "SN-4", "line/7:A+1"]);
    let table = environment.succeed(&["device", "list"]).unwrap();
    assert!(table.starts_with("SERIAL"), "{table}");
}

#[test]
fn a_token_file_survives_a_failure_and_no_two_devices_share_one() {
    let environment = Environment::start(&[]).unwrap();
    let token = environment.scratch().join("token");
    let wrong = ["device", "add", "SN-1", "--token-out", "token", "--attribute", "no equals sign"];
    assert_eq!(environment.run(&wrong).unwrap().0, 2);
    assert!(!token.exists(), "nothing is written for a command that cannot be");
    let refused = ["device", "add", "SN-1", "--token-out", "token", "--policy", "nope"];
    assert_eq!(environment.run(&refused).unwrap().0, 1);
    let written = std::fs::read_to_string(&token).unwrap();
    let again = ["device", "add", "SN-1", "--token-out", "token"];
    let (code, _, stderr) = environment.run(&again).unwrap();
    assert_eq!(code, 1);
    assert!(stderr.contains("cvm device add SN-1 --token-stdin < token"), "{stderr}");
    for _ in 0..2 {
        let mut cured = environment.command(&["device", "add", "SN-1", "--token-stdin"]).unwrap();
        let cured = cured.stdin(std::fs::File::open(&token).unwrap()).output().unwrap();
        assert!(cured.status.success(), "{}", String::from_utf8_lossy(&cured.stderr));
    }
    let csr = Key::new().unwrap().csr().unwrap();
    assert_eq!(environment.vend("SN-1", written.trim(), &csr).unwrap().status, 201);
}

#[test]
fn a_token_that_cannot_be_printed_is_not_lost() {
    let environment = Environment::start(&[]).unwrap();
    let mut add = environment.command(&["device", "add", "SN-1"]).unwrap();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = add.stdout(full).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let at = stderr.find("cvm1-").unwrap();
    let csr = Key::new().unwrap().csr().unwrap();
    assert_eq!(environment.vend("SN-1", &stderr[at..at + 35], &csr).unwrap().status, 201);
}

#[test]
fn operators_commands_reach_a_listener_on_any_address() {
    for listen in ["127.0.0.2:0", "0.0.0.0:0", "[::1]:0"] {
        let environment = Environment::start(&[("operator.listen", listen)]).unwrap();
        environment.succeed(&["device", "add", "SN-1"]).unwrap();
    }
}

#[test]
fn refusals_of_an_operators_command_are_told_with_exit_1() {
    let environment = Environment::start(&[]).unwrap();
    environment.succeed(&["device", "add", "SN-1"]).unwrap();
    let cases: [(&[&str], &str); 7] = [
        (&["device", "add", "SN-1"], "already-exists"),
        (&["device", "add", "SN 2"], "serial number"),
        (&["device", "add", "SN-3", "--thing-name", "SN-1"], "thing-name-taken"),
        (&["device", "add", "SN-4", "--policy", "nope"], "unknown-policy"),
        (&["device", "add", "SN-5", "--profile", "nope"], "unknown-profile"),
        (&["device", "show", "SN-9"], "not-found"),
        (&["policy", "show", "nope"], "not-found"),
    ];
    for (command, wanted) in cases {
        let (code, stdout, stderr) = environment.run(command).unwrap();
        assert_eq!((code, stdout.as_str()), (1, ""), "{command:?}: {stderr}");
        assert!(stderr.contains(wanted), "{command:?}: {stderr}");
    }
    let long = format!("{}a", "/".repeat(43));
    let (code, _, stderr) = environment.run(&["device", "add", &long]).unwrap();
    assert_eq!(code, 1);
    assert!(stderr.contains("--thing-name"), "{stderr}");
}

#[test]
fn a_server_that_is_not_the_pinned_one_gets_no_secret_and_exit_76() {
    let environment = Environment::start(&[]).unwrap();
    let other = Environment::start(&[]).unwrap();
    let server = format!("https://{}", other.ready("operator"));
    let wrong = ["device", "list", "--server", &server];
    let (code, _, stderr) = environment.run(&wrong).unwrap();
    assert_eq!(code, 76, "{stderr}");
    let zeros = "0".repeat(64);
    let (code, _, stderr) =
        environment.run(&["device", "list", "--server", &server, "--fingerprint", &zeros]).unwrap();
    assert_eq!(code, 76, "{stderr}");
    let nowhere = Environment::new(&[]).unwrap();
    let (code, _, stderr) = nowhere.run(&["device", "list", "--server", &server]).unwrap();
    assert_eq!(code, 76, "{stderr}");
    assert!(stderr.contains("--fingerprint"), "{stderr}");
    let fingerprint = other.ready("rootFingerprint");
    let (code, _, stderr) = environment
        .run(&["device", "list", "--server", &server, "--fingerprint", &fingerprint])
        .unwrap();
    assert_eq!(code, 1, "the right server, another's admin token: {stderr}");
    assert!(stderr.contains("unauthenticated"), "{stderr}");
}

#[test]
fn enroll_writes_the_device_files_and_can_be_run_again() {
    let environment = Environment::start(&[]).unwrap();
    let scratch = environment.scratch().to_owned();
    environment.succeed(&["device", "add", "SN-1", "--token-out", "token"]).unwrap();
    let server = environment.device_url();
    let fingerprint = environment.ready("rootFingerprint").to_uppercase();
    let enroll = [
        "device",
        "enroll",
        "--server",
        &server,
        "--serial",
        "SN-1",
        "--token-file",
        "token",
        "--fingerprint",
        &fingerprint,
        "--out",
        "sn-1",
        "--output",
        "json",
    ];
    let first = json(&environment.succeed(&enroll).unwrap());
    for name in ["device.key", "device.pem", "chain.pem", "root-ca.pem", "device.json"] {
        assert!(scratch.join("sn-1").join(name).exists(), "{name}");
    }
    let key = std::fs::read(scratch.join("sn-1/device.key")).unwrap();
    std::fs::remove_file(scratch.join("sn-1/device.json")).unwrap();
    let again = json(&environment.succeed(&enroll).unwrap());
    assert_eq!(again["certificateId"], first["certificateId"]);
    assert_eq!(std::fs::read(scratch.join("sn-1/device.key")).unwrap(), key);

    std::fs::write(scratch.join("wrong"), "no token of this device\n").unwrap();
    let mut refused = enroll;
    (refused[7], refused[11]) = ("wrong", "sn-1-again");
    let (code, _, stderr) = environment.run(&refused).unwrap();
    assert_eq!(code, 1, "{stderr}");
    let code_at = stderr.find("[attempt ").unwrap() + 9;
    let told = environment.succeed(&["explain", &stderr[code_at..code_at + 11]]).unwrap();
    assert!(told.contains("REFUSED") && told.contains("wrong-token"), "{told}");
    assert!(told.contains("What to do:"), "{told}");
}

#[test]
fn explain_tells_of_serial_numbers_that_nobody_registered() {
    let environment = Environment::start(&[]).unwrap();
    let csr = Key::new().unwrap().csr().unwrap();
    let refused = environment.vend("SN-mistyped", "whatever token it has", &csr).unwrap();
    for what in ["SN-mistyped", &refused.text("attempt")] {
        let told = environment.succeed(&["explain", what]).unwrap();
        assert!(
            told.contains("REFUSED  serial-number") && told.contains("byte for byte"),
            "{told}"
        );
        assert!(told.contains("`cvm device add SN-mistyped`"), "{told}");
    }
    let (code, told, stderr) = environment.run(&["explain", "SN-meant"]).unwrap();
    assert_eq!(code, 1, "{stderr}");
    let no_device = told.contains("No device is registered");
    assert!(no_device && told.contains("127.0.0.1 asked 1 time"), "{told}");
}

#[test]
fn policies_are_put_listed_and_shown() {
    let environment = Environment::start(&[]).unwrap();
    let listed = environment.succeed(&["policy", "list"]).unwrap();
    assert!(listed.contains("cvm-default"), "{listed}");
    let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}]}"#;
    std::fs::write(environment.scratch().join("policy.json"), document).unwrap();
    environment.succeed(&["policy", "put", "line-2", "policy.json"]).unwrap();
    let shown =
        json(&environment.succeed(&["policy", "show", "line-2", "--output", "json"]).unwrap());
    assert_eq!(shown["document"], json(document));
    environment.succeed(&["device", "add", "SN-1", "--policy", "line-2"]).unwrap();
    std::fs::write(environment.scratch().join("policy.json"), "{}").unwrap();
    let (code, _, stderr) = environment.run(&["policy", "put", "line-2", "policy.json"]).unwrap();
    assert_eq!(code, 1);
    assert!(stderr.contains("Version"), "{stderr}");
}

#[test]
fn a_configuration_is_checked_whole_and_shown_with_its_origins() {
    let environment = Environment::new(&[("log.level", "debug")]).unwrap();
    environment.init(&["--unsealed", "--hostname", "cvm.example"]).unwrap();
    let good = environment.succeed(&["config", "check"]).unwrap();
    assert!(good.contains("good"), "{good}");
    let shown = environment.succeed(&["config", "show"]).unwrap();
    assert!(shown.contains("hostnames = [\"cvm.example\"]"), "{shown}");
    assert!(shown.contains("# $CVM_LOG__LEVEL") && shown.contains("# default"), "{shown}");
    let bad = environment.scratch().join("bad.toml");
    std::fs::write(&bad, "[http]\nlisten = \"x\"\nlitsen = \"y\"\n").unwrap();
    for command in [["config", "check"], ["config", "show"]] {
        let arguments = [&command[..], &["--config", bad.to_str().unwrap()]].concat();
        let (code, stdout, stderr) = environment.run(&arguments).unwrap();
        assert_eq!((code, stdout.as_str()), (64, ""), "{stderr}");
        // The environment overrides the first fault; the second is the file's.
        assert!(stderr.contains("litsen"), "{stderr}");
    }
    let (code, _, stderr) = environment.run(&["serve", "--config", bad.to_str().unwrap()]).unwrap();
    assert_eq!(code, 64, "{stderr}");
}

#[test]
fn an_imported_ca_signs_devices() {
    let mut environment = Environment::new(&[]).unwrap();
    let scratch = environment.scratch().to_owned();
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "3650",
            "-subj",
            "/CN=Factory CA",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-addext",
            "basicConstraints=critical,CA:TRUE,pathlen:0",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        ])
        .current_dir(&scratch)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    environment.init(&["--unsealed", "--import-ca", "ca.pem", "ca.key"]).unwrap();
    environment.serve().unwrap();
    environment.succeed(&["device", "add", "SN-1", "--token-out", "token"]).unwrap();
    let server = environment.device_url();
    let fingerprint = environment.ready("rootFingerprint");
    environment
        .succeed(&[
            "device",
            "enroll",
            "--server",
            &server,
            "--serial",
            "SN-1",
            "--token-file",
            "token",
            "--fingerprint",
            &fingerprint,
            "--out",
            "sn-1",
        ])
        .unwrap();
    let verified = std::process::Command::new("openssl")
        .args(["verify", "-x509_strict", "-CAfile", "ca.pem", "sn-1/device.pem"])
        .current_dir(&scratch)
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

#[test]
fn completions_are_printed_for_every_shell() {
    let environment = Environment::new(&[]).unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let text = environment.succeed(&["completions", shell]).unwrap();
        assert!(text.contains("enroll"), "{shell}");
    }
    let (code, _, _) = environment.run(&["device", "ad"]).unwrap();
    assert_eq!(code, 2);
}
