//! The importer is killed, again and again, and so is the server: in the end every device is there
//! once, with the token that the file has.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use cvm_e2e::{Environment, wait_for};

use super::{assert_vends, fleet, imported, registered, tokens};

const WITHIN: Duration = Duration::from_secs(120);
const ARGUMENTS: [&str; 3] = ["fleet.csv", "--tokens-out", "tokens.csv"];

fn spawn(environment: &Environment) -> Child {
    let arguments = [&["device", "import"], &ARGUMENTS[..]].concat();
    let mut command = environment.command(&arguments).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits for something that happens while an import runs, or before it ends.
fn wait_while(import: &mut Child, what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, WITHIN, || {
        let is_ended = import.try_wait()?.is_some();
        let holds = condition();
        anyhow::ensure!(holds || !is_ended, "the import ended");
        Ok(holds.then_some(()))
    })
    .unwrap();
}

fn is_any_registered(environment: &Environment) -> bool {
    let page = environment.operate("GET", "/v1/devices?limit=1", None).unwrap().json().unwrap();
    page["items"].as_array().is_some_and(|items| !items.is_empty())
}

fn assert_all_registered_once(environment: &Environment, count: usize) {
    let serials = registered(environment);
    let distinct: BTreeSet<&String> = serials.iter().collect();
    assert_eq!((serials.len(), distinct.len()), (count, count));
    let kept = tokens(environment, "tokens.csv");
    assert_eq!(kept.len(), count);
    for number in [0, 1, count / 3, count / 2, count - 2, count - 1] {
        let serial = format!("SN-{number}");
        assert_vends(environment, &serial, &kept[&serial]);
    }
}

#[test]
fn an_importer_that_is_killed_again_and_again_loses_no_token_and_doubles_no_device() {
    const ROWS: usize = 4000;
    let environment = Environment::start(&[]).unwrap();
    fleet(&environment, ROWS);
    let began = Instant::now();
    let file = environment.scratch().join("tokens.csv");
    for kill in 0..8_u32 {
        let mut import = spawn(&environment);
        if kill == 0 {
            wait_while(&mut import, "the tokens file", || file.exists());
        } else if kill == 1 {
            wait_while(&mut import, "the first device", || is_any_registered(&environment));
        } else {
            // Somewhere, a little later each time.
            std::thread::sleep(Duration::from_millis(u64::from(kill * kill) * 8));
        }
        import.kill().unwrap();
        import.wait().unwrap();
        assert!(began.elapsed() < WITHIN * 2);
    }
    imported(&environment, &ARGUMENTS);
    assert_all_registered_once(&environment, ROWS);
}

#[test]
fn a_server_that_is_killed_in_the_middle_is_waited_for() {
    const ROWS: usize = 30_000;
    let mut environment = Environment::start(&[]).unwrap();
    fleet(&environment, ROWS);
    let mut import = spawn(&environment);
    wait_while(&mut import, "the first device", || is_any_registered(&environment));
    environment.kill().unwrap();
    // It comes back elsewhere: the importer finds it by the data directory.
    environment.serve().unwrap();
    let ended = wait_for("the import's end", WITHIN, || Ok(import.try_wait()?)).unwrap();
    assert!(ended.success(), "{ended}");
    assert_all_registered_once(&environment, ROWS);
}
