//! Servers that lose connections, are busy, answer nonsense or nothing: a stand-in plays them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde_json::Value;

use super::stand_in::{Say, StandIn};
use super::{fleet, tokens, write};

/// How often each row was seen, with the token that it had.
type Seen = Arc<Mutex<HashMap<String, Vec<String>>>>;

/// Notes a row, and returns how often it was seen before.
fn note(seen: &Seen, row: &Value) -> usize {
    let text = |name: &str| row[name].as_str().unwrap().to_owned();
    let mut seen = seen.lock();
    let tokens = seen.entry(text("serialNumber")).or_default();
    tokens.push(text("token"));
    tokens.len() - 1
}

fn assert_all_seen_with_the_tokens_of_the_file(stand_in: &StandIn, seen: &Seen, count: usize) {
    let kept = tokens(&stand_in.environment, "tokens.csv");
    let seen = seen.lock();
    assert_eq!((kept.len(), seen.len()), (count, count));
    for (serial, shown) in &*seen {
        assert!(shown.iter().all(|token| *token == kept[serial]), "{serial} had two tokens");
    }
}

#[test]
fn no_row_is_sent_before_its_token_is_in_the_file() {
    const ROWS: usize = 20_000;
    let place = Arc::new(Mutex::new(None::<std::path::PathBuf>));
    let (missing, looked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (file, missed, looks) = (place.clone(), missing.clone(), looked.clone());
    let stand_in = StandIn::start(move |row| {
        let serial = row["serialNumber"].as_str().unwrap();
        if serial.ends_with("99") || serial == "SN-0" {
            let text = std::fs::read_to_string(file.lock().as_ref().unwrap()).unwrap();
            let line = format!("\n{serial},{}\n", row["token"].as_str().unwrap());
            looks.fetch_add(1, Ordering::SeqCst);
            missed.fetch_add(usize::from(!text.contains(&line)), Ordering::SeqCst);
        }
        Say::Answer(201)
    });
    fleet(&stand_in.environment, ROWS);
    *place.lock() = Some(stand_in.environment.scratch().join("tokens.csv"));
    let (code, _, stderr) = stand_in.import(&["fleet.csv", "--tokens-out", "tokens.csv"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(looked.load(Ordering::SeqCst), ROWS / 100 + 1);
    assert_eq!(missing.load(Ordering::SeqCst), 0);
}

#[test]
fn what_was_not_answered_is_sent_again_over_a_new_connection() {
    let seen = Seen::default();
    let noted = seen.clone();
    let stand_in =
        StandIn::start(move |row| match (note(&noted, row), row["serialNumber"].as_str()) {
            (0, Some("SN-3" | "SN-7")) => Say::HangUp,
            _ => Say::Answer(201),
        });
    fleet(&stand_in.environment, 10);
    let (code, stdout, stderr) = stand_in.import(&["fleet.csv", "--tokens-out", "tokens.csv"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("registered         10"), "{stdout}");
    assert_eq!(stderr.matches("going on in").count(), 2, "{stderr}");
    assert_all_seen_with_the_tokens_of_the_file(&stand_in, &seen, 10);
}

#[test]
fn rows_that_a_busy_server_cannot_take_are_sent_again_and_no_others() {
    let seen = Seen::default();
    let noted = seen.clone();
    let stand_in =
        StandIn::start(move |row| match (note(&noted, row), row["serialNumber"].as_str()) {
            (0 | 1, Some("SN-2" | "SN-5")) => Say::Answer(503),
            _ => Say::Answer(201),
        });
    fleet(&stand_in.environment, 10);
    let (code, _, stderr) = stand_in.import(&["fleet.csv", "--tokens-out", "tokens.csv"]);
    assert_eq!(code, 0, "{stderr}");
    let times = |serial: &str| seen.lock()[serial].len();
    assert_eq!(["SN-1", "SN-2", "SN-5", "SN-9"].map(times), [1, 3, 3, 1]);
    assert_all_seen_with_the_tokens_of_the_file(&stand_in, &seen, 10);
}

#[test]
fn a_row_that_is_never_taken_is_given_up_by_its_line_and_the_others_go_on() {
    const COUNT: usize = 20_000;
    let stand_in = StandIn::start(move |row| match row["serialNumber"].as_str() {
        Some("SN-7" | "SN-9") => Say::Answer(503),
        _ => Say::Answer(201),
    });
    fleet(&stand_in.environment, COUNT);
    let arguments = ["fleet.csv", "--tokens-out", "tokens.csv", "--retry-for", "1s"];
    let (code, stdout, stderr) = stand_in.import(&arguments);
    assert_eq!(code, 1, "{stderr}");
    assert!(stdout.contains(&format!("registered         {}", COUNT - 2)), "{stdout}");
    assert!(stdout.contains("refused            2"), "{stdout}");
    assert!(stderr.contains("line 9 SN-7: given up, while others were taken"), "{stderr}");
    // It may have been taken, for all that anybody knows.
    assert_eq!(tokens(&stand_in.environment, "tokens.csv").len(), COUNT);
}

#[test]
fn an_import_that_is_given_up_goes_on_with_the_same_tokens() {
    let seen = Seen::default();
    let is_up = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (noted, up) = (seen.clone(), is_up.clone());
    let stand_in = StandIn::start(move |row| {
        note(&noted, row);
        let is_first = row["serialNumber"] == "SN-0";
        if is_first || up.load(Ordering::SeqCst) { Say::Answer(201) } else { Say::HangUp }
    });
    fleet(&stand_in.environment, 5);
    let arguments = ["fleet.csv", "--tokens-out", "tokens.csv", "--retry-for", "1s"];
    let (code, _, stderr) = stand_in.import(&arguments);
    assert_eq!(code, 1);
    assert!(stderr.contains("the same command again goes on"), "{stderr}");
    let before = tokens(&stand_in.environment, "tokens.csv");
    assert_eq!(before.len(), 5, "every row that was sent has its token");
    is_up.store(true, Ordering::SeqCst);
    let (code, _, stderr) = stand_in.import(&arguments);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(tokens(&stand_in.environment, "tokens.csv"), before);
    assert_all_seen_with_the_tokens_of_the_file(&stand_in, &seen, 5);
}

#[test]
fn answers_are_read_while_rows_are_sent() {
    // More than all buffers between the two hold: who sends first and reads later never ends.
    let stand_in = StandIn::start(|_| Say::AtLength(201, 2000));
    fleet(&stand_in.environment, 12_000);
    let (code, stdout, stderr) = stand_in.import(&["fleet.csv", "--tokens-out", "tokens.csv"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("registered         12000"), "{stdout}");
}

#[test]
fn answers_that_do_not_fit_the_rows_end_the_import_and_every_token_stays() {
    let wrong = [
        r#"{"line": 1, "status": 201, "serialNumber": "SN-8"}"#,
        r#"{"line": 2, "status": 201, "serialNumber": "SN-0"}"#,
        "hello",
    ];
    for line in wrong {
        let stand_in = StandIn::start(move |_| Say::Line(line.to_owned()));
        fleet(&stand_in.environment, 2);
        let (code, _, stderr) = stand_in.import(&["fleet.csv", "--tokens-out", "tokens.csv"]);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains("cannot be used"), "{stderr}");
        assert_eq!(tokens(&stand_in.environment, "tokens.csv").len(), 2);
    }
}

#[test]
fn of_a_row_that_the_server_refuses_no_token_is_kept() {
    let stand_in = StandIn::start(|row| match row["serialNumber"].as_str() {
        Some("SN-1") => Say::Answer(400),
        _ => Say::Answer(201),
    });
    write(&stand_in.environment, "devices.csv", "serial\nSN-0\nSN-1\nSN 2\nSN-3\n");
    let arguments = ["devices.csv", "--tokens-out", "tokens.csv", "--refused-out", "refused.csv"];
    let (code, stdout, stderr) = stand_in.import(&arguments);
    assert_eq!(code, 1);
    assert!(stdout.contains("refused            2"), "{stdout}");
    assert!(stderr.contains("line 3 SN-1: unknown-policy: says the test"), "{stderr}");
    let kept = tokens(&stand_in.environment, "tokens.csv");
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["SN-0", "SN-3"]);
    let refused = stand_in.environment.scratch().join("refused.csv");
    let refused = std::fs::read_to_string(refused).unwrap();
    let lines: Vec<&str> = refused.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[1].starts_with("3,SN-1,") && lines[2].starts_with("4,,"), "{refused}");
}

#[test]
fn two_imports_do_not_share_a_tokens_file_at_once() {
    let stand_in = StandIn::start(|_| Say::Answer(201));
    fleet(&stand_in.environment, 2);
    let path = write(&stand_in.environment, "tokens.csv", "serial,token\n");
    let held = std::fs::File::open(path).unwrap();
    held.lock().unwrap();
    let arguments = ["fleet.csv", "--tokens-out", "tokens.csv"];
    let (code, _, stderr) = stand_in.import(&arguments);
    assert_eq!(code, 1);
    assert!(stderr.contains("another import"), "{stderr}");
    drop(held);
    assert_eq!(stand_in.import(&arguments).0, 0);
}
