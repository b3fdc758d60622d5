//! Files that are no imports, or only to be looked at: no server is needed to say so.

use cvm_e2e::Environment;

use super::{import, write};

/// An import of `text` that no server is asked about: exit code and standard error.
fn refused(text: &str, arguments: &[&str]) -> (i32, String) {
    let environment = Environment::new(&[]).unwrap();
    write(&environment, "devices.csv", text);
    let (code, _, stderr) = import(&environment, &[&["devices.csv"], arguments].concat());
    let names = std::fs::read_dir(environment.scratch()).unwrap().count();
    assert_eq!(names, 1, "nothing is made");
    (code, stderr)
}

#[test]
fn tokens_that_could_be_written_nowhere_are_not_made() {
    let (code, stderr) = refused("serial\nSN-1\n", &[]);
    assert_eq!(code, 2);
    assert!(stderr.contains("--tokens-out FILE"), "{stderr}");
}

#[test]
fn a_header_that_cannot_be_used_is_told() {
    let check = |text: &str, expected: &str| {
        let (code, stderr) = refused(text, &["--tokens-out", "tokens.csv"]);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
    };
    check("", "empty");
    check("serial,colour\nSN-1,red\n", "\"colour\"");
    check("serial,serial\nSN-1,SN-1\n", "twice");
    check("thing_name\nlamp\n", "no column serial");
}

#[test]
fn a_check_tells_bad_rows_by_their_lines_and_makes_nothing() {
    let text = "serial,policy\nSN-1,p\nSN 2,p\n\"SN-3\",\"a\nb\"\nSN-1,p\nSN-4\nSN-5,p\n";
    let (code, stderr) = refused(text, &["--check"]);
    assert_eq!(code, 1);
    let told: Vec<&str> = stderr.lines().filter(|line| line.starts_with("line ")).collect();
    let begin = |line: &str| line.split([':', ' ']).nth(1).unwrap_or_default().to_owned();
    assert_eq!(told.iter().map(|line| begin(line)).collect::<Vec<_>>(), ["3", "4", "6", "7"]);
    assert!(stderr.contains("4 of 6 rows are bad"), "{stderr}");
    let (code, stderr) = refused("serial\nSN-1\nSN-2\n", &["--check"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("2 rows, none of them bad"), "{stderr}");
}

#[test]
fn a_check_for_scripts_tells_its_bad_rows_as_json() {
    let environment = Environment::new(&[]).unwrap();
    write(&environment, "devices.csv", "serial\nSN-1\nSN 2\n");
    let arguments = ["devices.csv", "--check", "--output", "json"];
    let (code, stdout, stderr) = import(&environment, &arguments);
    assert_eq!(code, 1, "{stderr}");
    let summary: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&summary["rows"], &summary["refused"]), (&2.into(), &1.into()), "{summary}");
    assert_eq!(summary["refusals"][0]["line"], 3);
}
