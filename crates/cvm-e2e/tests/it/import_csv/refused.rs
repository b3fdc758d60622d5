//! Rows that the real server refuses, and what is kept of them.

use cvm_e2e::Environment;

use super::{assert_vends, import, imported, registered, tokens, write};

const ARGUMENTS: [&str; 3] = ["devices.csv", "--tokens-out", "tokens.csv"];

#[test]
fn a_refused_row_is_told_by_its_line_and_nothing_of_it_is_kept() {
    let environment = Environment::start(&[]).unwrap();
    let text = "serial,policy,thing_name\nSN-1,,lamp\nSN-2,nobody-made-this,\nSN-3,,lamp\nSN-4,,\n";
    write(&environment, "devices.csv", text);
    let (code, _, stderr) = import(&environment, &ARGUMENTS);
    assert_eq!(code, 1);
    assert!(stderr.contains("line 3 SN-2: unknown-policy"), "{stderr}");
    assert!(stderr.contains("line 4 SN-3: thing-name-taken"), "{stderr}");
    assert_eq!(registered(&environment), ["SN-1", "SN-4"]);
    let kept = tokens(&environment, "tokens.csv");
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["SN-1", "SN-4"]);

    // Corrected, the same command does the rest.
    let text = "serial,policy,thing_name\nSN-1,,lamp\nSN-2,,\nSN-3,,lamp-3\nSN-4,,\n";
    write(&environment, "devices.csv", text);
    let summary = imported(&environment, &ARGUMENTS);
    assert_eq!((&summary["registered"], &summary["registeredBefore"]), (&2.into(), &2.into()));
    let all = tokens(&environment, "tokens.csv");
    assert!(kept.iter().all(|(serial, token)| all[serial] == *token));
    for (serial, token) in &all {
        assert_vends(&environment, serial, token);
    }
}

#[test]
fn a_row_that_was_changed_is_refused_and_its_device_keeps_its_token() {
    let environment = Environment::start(&[]).unwrap();
    write(&environment, "devices.csv", "serial,attributes\nSN-1,a=1\nSN-2,a=1\n");
    imported(&environment, &ARGUMENTS);
    let before = tokens(&environment, "tokens.csv");
    write(&environment, "devices.csv", "serial,attributes\nSN-1,a=2\nSN-2,a=1\n");
    let (code, _, stderr) = import(&environment, &ARGUMENTS);
    assert_eq!(code, 1);
    assert!(stderr.contains("line 2 SN-1: already-exists"), "{stderr}");
    assert_eq!(tokens(&environment, "tokens.csv"), before);
    assert_vends(&environment, "SN-1", &before["SN-1"]);
}

#[test]
fn of_many_doubtful_tokens_those_go_that_no_device_has() {
    const COUNT: usize = 50;
    let environment = Environment::start(&[]).unwrap();
    let rows: String = (0..COUNT).map(|n| format!("SN-{n:02},p=1\n")).collect();
    write(&environment, "devices.csv", &format!("serial,attributes\n{rows}"));
    imported(&environment, &ARGUMENTS);
    let registered = tokens(&environment, "tokens.csv");
    // Every other token is lost, and another stands there, as of a run that came to nothing.
    let mixed = registered.iter().enumerate().map(|(n, (serial, token))| match n % 2 {
        0 => format!("{serial},{token}\n"),
        _ => format!("{serial},another token of {serial}\n"),
    });
    write(&environment, "tokens.csv", &format!("serial,token\n{}", mixed.collect::<String>()));
    write(&environment, "devices.csv", &format!("serial,attributes\n{rows}").replace("p=1", "p=2"));
    let (code, _, stderr) = import(&environment, &ARGUMENTS);
    assert_eq!(code, 1, "{stderr}");
    let kept = registered.into_iter().step_by(2).collect();
    assert_eq!(tokens(&environment, "tokens.csv"), kept);
}

#[test]
fn tokens_that_a_killed_run_left_for_rows_that_are_refused_go_as_well() {
    let environment = Environment::start(&[]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    // As a kill between the sync and the first answer leaves it: nobody ever had these tokens.
    let other = "another token 01234";
    let left = format!("serial,token\nSN-1,{other}\nSN-2,{other}\nSN-3,{other}\n");
    write(&environment, "tokens.csv", &left);
    let text = "serial,policy\nSN-1,\nSN-2,nobody-made-this\nSN-3,\n";
    write(&environment, "devices.csv", text);
    let (code, _, stderr) = import(&environment, &ARGUMENTS);
    assert_eq!(code, 1);
    assert!(stderr.contains("line 2 SN-1: already-exists"), "{stderr}");
    let kept = tokens(&environment, "tokens.csv");
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["SN-3"]);
    assert_vends(&environment, "SN-3", other);
    assert_vends(&environment, "SN-1", &token);
}
