use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use super::*;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `work` logs.
fn logged(format: LogFormat, level: LogLevel, work: impl FnOnce()) -> String {
    let written = Written::default();
    let writer = written.clone();
    let lines = lines(format, false, move || writer.clone());
    tracing::subscriber::with_default(Registry::default().with(which(level)).with(lines), work);
    written.text()
}

fn request() -> tracing::Span {
    let (attempt, peer) = ("K7QF2-M8WXA", "192.0.2.1");
    tracing::error_span!(parent: None, "request", %attempt, method = "GET", %peer)
}

const HOSTILE: &str = "x\n2026-01-01 ERROR forged\u{1b}[2J\r\u{9b}";

fn hostile_lines() {
    request().in_scope(|| {
        tracing::warn!(shown = %HOSTILE, quoted = HOSTILE, debug = ?HOSTILE, "said {HOSTILE}");
        tracing::debug_span!("inner", hostile = %HOSTILE).in_scope(|| tracing::debug!("inside"));
    });
}

#[test]
fn a_line_of_text_stays_one_line_and_has_its_requests_code() {
    let text = logged(LogFormat::Text, LogLevel::Debug, hostile_lines);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    let codes = text.matches("request{attempt=K7QF2-M8WXA method=\"GET\" peer=192.0.2.1}");
    assert_eq!(codes.count(), 2, "{text}");
    assert!(text.contains(": said x\\n2026"), "{text}");
}

#[test]
fn a_line_of_json_is_one_flat_object_with_its_requests_code() {
    let text = logged(LogFormat::Json, LogLevel::Debug, hostile_lines);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert_eq!([&line["attempt"], &line["peer"]], ["K7QF2-M8WXA", "192.0.2.1"]);
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }
    assert_eq!([&lines[0]["level"], &lines[0]["shown"]], ["WARN", HOSTILE]);
    assert_eq!(lines[0]["message"], format!("said {HOSTILE}"));
    assert_eq!(lines[1]["hostile"], HOSTILE);
}

#[test]
fn the_code_is_there_at_every_level_and_libraries_tell_what_goes_wrong_alone() {
    let text = logged(LogFormat::Text, LogLevel::Error, || {
        request().in_scope(|| tracing::error!("failed"));
        tracing::warn!("not told");
    });
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("attempt=K7QF2-M8WXA"));
    let text = logged(LogFormat::Text, LogLevel::Debug, || {
        tracing::debug!(target: "h2::codec", "a frame");
        tracing::warn!(target: "h2::codec", "a fault");
    });
    assert_eq!((text.contains("a frame"), text.contains("a fault")), (false, true));
}
