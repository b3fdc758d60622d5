//! Agents that are killed, after everything they say and at any other time: the next run goes on.

use std::io::{BufRead, BufReader};

use super::*;

/// More lines than a run says.
const LINES_MAX: usize = 30;

/// Runs, reads so many lines, and kills; whether it was too late for that.
fn kill_after(device: &Device, lines: usize) -> bool {
    let mut command = device.command(&["run", "--once"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stderr.take().unwrap()).lines();
    let read = reader.by_ref().take(lines).count();
    child.kill().unwrap();
    child.wait().unwrap();
    read < lines
}

#[test]
fn an_agent_that_is_killed_after_any_line_gets_there_with_one_certificate_each_time() {
    let now = Environment::new(&[]).unwrap().now();
    let mut site = Site::at(now, &[HOUR]);
    let mut devices = Vec::new();
    for lines in 0..LINES_MAX {
        let mut device = site.device(&format!("SN-{lines}"));
        device.set_clock(now);
        device.configure_also(&device.hook());
        let is_over = kill_after(&device, lines);
        device.succeed();
        site.assert_works(&device);
        assert_eq!(site.states(&device), ["current"], "after {lines} lines");
        devices.push(device);
        if is_over {
            break;
        }
    }
    assert!((5..LINES_MAX).contains(&devices.len()), "{} lines", devices.len());
    site.environment.set_clock(now.plus(DUE)).unwrap();
    for (lines, device) in devices.iter_mut().enumerate() {
        device.set_clock(now.plus(DUE));
        let first = device.certificate_id();
        kill_after(device, lines);
        device.succeed();
        site.assert_works(device);
        assert_ne!(device.certificate_id(), first, "after {lines} lines");
        assert_eq!(site.states(device), ["retiring", "current"], "after {lines} lines");
        // Once, or twice where it was killed before it could note that it had.
        let told = format!("renewed {}", device.certificate_id());
        let count = device.hooked().iter().filter(|line| **line == told).count();
        assert!((1..=2).contains(&count), "after {lines} lines: {:?}", device.hooked());
    }
}

#[test]
fn an_agent_that_is_killed_again_and_again_gets_there() {
    let site = Site::new(&[]);
    let device = site.device("SN-1");
    let mut milliseconds = 0;
    loop {
        let mut command = device.command(&["run", "--once"]);
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        let is_done = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        if let Some(status) = is_done {
            assert!(status.success(), "after {milliseconds} ms: {status}");
            break;
        }
        milliseconds += 1 + milliseconds / 10;
    }
    assert_eq!(site.states(&device), ["current"]);
    site.assert_works(&device);
}
