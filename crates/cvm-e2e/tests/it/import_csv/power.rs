//! The importer is killed at each of its steps, the same command is run to its end, and then the
//! power goes: what the killed run wrote and did not come to sync was not used before it was synced.

use std::process::{Output, Stdio};

use cvm_e2e::{Change, Environment, Loss, Power};

use super::assert_vends;

const IMPORT: [&str; 5] = ["device", "import", "fleet.csv", "--tokens-out", "tokens.csv"];

#[test]
fn tokens_that_were_sent_survive_a_kill_and_then_a_power_cut() {
    let environment = Environment::start(&[]).unwrap();
    for step in 1_usize.. {
        let serial = format!("SN-{step}");
        let home = environment.scratch().join(&serial);
        std::fs::create_dir(&home).unwrap();
        std::fs::write(home.join("fleet.csv"), format!("serial\n{serial}\n")).unwrap();
        let mut power = Power::watch(&home, environment.scratch()).unwrap();
        let import = |variables: Vec<_>| -> Output {
            let mut command = environment.command(&IMPORT).unwrap();
            command.current_dir(&home).stdin(Stdio::null()).envs(variables).output().unwrap()
        };
        let is_over = import(power.variables_until(step)).status.success();
        let is_moment = matches!(power.changes().unwrap().last(), Some(Change::Write { .. }));
        if !is_moment && !is_over {
            continue;
        }
        let again = import(power.variables());
        assert!(again.status.success(), "{step}: {}", String::from_utf8_lossy(&again.stderr));
        power.cut(Loss::Everything).unwrap();
        let kept = std::fs::read_to_string(home.join("tokens.csv")).unwrap_or_default();
        let token = kept.lines().find_map(|line| line.strip_prefix(&format!("{serial},")));
        let token = token.unwrap_or_else(|| panic!("step {step}: the token is lost: {kept:?}"));
        assert_vends(&environment, &serial, token);
        if is_over {
            assert!(step > 5, "{step} steps are not what an import takes: was it recorded?");
            return;
        }
    }
}
