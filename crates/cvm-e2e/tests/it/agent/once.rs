//! `cvm-agent run --once`, as a timer calls it, and `check`.

use super::*;

#[test]
fn the_first_run_enrolls_and_proves_it_and_the_next_has_nothing_to_do() {
    let site = Site::new(&[]);
    let device = site.device("SN-1");
    device.configure_also(&device.hook());
    device.succeed();
    assert_eq!(site.states(&device), ["current"]);
    assert_eq!(site.shown(&device)["tokenState"], "burnt");
    assert_eq!(device.hooked(), [format!("enrolled {}", device.certificate_id())]);
    for (name, bits) in [
        ("device.key", 0o600),
        ("device.pem", 0o644),
        ("chain.pem", 0o644),
        ("root-ca.pem", 0o644),
        ("device.json", 0o644),
        ("", 0o700),
    ] {
        assert_eq!(mode(&device.file(name)), bits, "{name}");
    }
    let before = device.read("device.pem");
    assert_eq!(device.succeed(), "");
    assert_eq!((device.read("device.pem"), device.hooked().len()), (before, 1));
    site.assert_works(&device);
}

#[test]
fn a_run_after_renew_after_renews_and_the_hook_runs_once_for_it() {
    let now = Environment::new(&[]).unwrap().now();
    let mut site = Site::at(now, &[HOUR]);
    let mut device = site.device("SN-1");
    device.set_clock(now);
    device.configure_also(&device.hook());
    device.succeed();
    let first = device.certificate_id();
    site.environment.set_clock(now.plus(DUE)).unwrap();
    device.set_clock(now.plus(DUE));
    device.succeed();
    let second = device.certificate_id();
    assert_ne!(second, first);
    device.succeed();
    assert_eq!(device.hooked(), [format!("enrolled {first}"), format!("renewed {second}")]);
    assert_eq!(site.states(&device), ["retiring", "current"]);
    site.assert_works(&device);
}

#[test]
fn a_hook_that_fails_is_told_by_the_exit_code_and_runs_again() {
    let site = Site::new(&[]);
    let device = site.device("SN-1");
    let flag = device.home.join("flag");
    let hook =
        format!("test -e {} && echo done >> {}/hook.log", flag.display(), device.home.display());
    let run = ["run", "--once", "--on-renewed", &hook];
    for _ in 0..2 {
        let (code, told) = device.run(&run);
        assert_eq!(code, 1, "{told}");
        assert!(told.contains("the hook exited 1"), "{told}");
        assert_eq!(site.states(&device), ["current"], "its certificate is none the worse");
    }
    std::fs::write(flag, "").unwrap();
    for _ in 0..2 {
        assert_eq!(device.run(&run).0, 0);
        assert_eq!(device.hooked(), ["done"]);
    }
}

#[test]
fn a_token_from_the_environment_or_a_credential_does_and_the_hook_does_not_see_it() {
    let site = Site::new(&[]);
    for (serial, variable) in [("SN-1", "CVM_TOKEN"), ("SN-2", "CREDENTIALS_DIRECTORY")] {
        let device = site.device(serial);
        let token = device.token();
        std::fs::remove_file(device.home.join("token")).unwrap();
        let credentials = device.home.join("credentials");
        std::fs::create_dir(&credentials).unwrap();
        std::fs::write(credentials.join("token"), &token).unwrap();
        let value = match variable {
            "CVM_TOKEN" => token.clone().into(),
            _ => credentials.clone().into_os_string(),
        };
        let seen = device.home.join("seen");
        let hook = format!("env > {}", seen.display());
        let mut command = device.command(&["run", "--once", "--on-renewed", &hook]);
        let output = command.env(variable, value).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && !told.contains(&token), "{told}");
        let seen = std::fs::read_to_string(seen).unwrap();
        assert!(!seen.contains(&token) && !seen.contains("credentials"), "{seen}");
        let certificate = device.file("device.pem");
        assert!(seen.contains(&format!("CVM_CERTIFICATE_FILE={}\n", certificate.display())));
        site.assert_works(&device);
    }
}

#[test]
fn a_used_token_is_removed_where_that_is_asked_for() {
    let site = Site::new(&[]);
    let device = site.device("SN-1");
    device.configure_also("remove_token = true");
    device.succeed();
    assert!(!device.home.join("token").exists());
    device.succeed();
    site.assert_works(&device);
}

#[test]
fn a_revoked_device_comes_back_with_a_new_token_in_its_place() {
    let site = Site::new(&[]);
    let device = site.device("SN-1");
    device.succeed();
    let revoke = format!("/v1/certificates/{}:revoke", device.certificate_id());
    let body = serde_json::json!({"reason": "superseded"});
    assert_eq!(site.environment.operate("POST", &revoke, Some(&body)).unwrap().status, 200);
    let token = device.home.join("token");
    let renewed = ["device", "new-token", "SN-1", "--token-out", "new-token"];
    site.environment.succeed(&renewed).unwrap();
    std::fs::rename(site.environment.scratch().join("new-token"), token).unwrap();
    device.succeed();
    assert_eq!(site.states(&device), ["revoked", "current"]);
    site.assert_works(&device);
}

#[test]
fn every_fault_of_the_configuration_is_named_and_nothing_is_done() {
    let site = Site::new(&[]);
    let device = site.device("SN-1");
    let (code, told) = device.run(&["check"]);
    assert_eq!((code, told.as_str()), (0, ""));
    std::fs::write(device.config(), "server = 'http://x'\nserial = 'a b'\nroot = 'x'\n").unwrap();
    for arguments in [&["check"][..], &["run", "--once"], &["run"]] {
        let (code, told) = device.run(arguments);
        assert_eq!(code, 64, "{told}");
        for key in ["server: ", "serial: ", "fingerprint: ", "root: is no key"] {
            assert!(told.contains(key), "{key} in {told}");
        }
    }
    assert!(!device.file("").exists());
    assert_eq!(device.run(&["serve"]).0, 2);
}
