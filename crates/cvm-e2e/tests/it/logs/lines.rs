//! A line of the log, taken apart again.

use serde_json::Value;

/// How lines are written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Json,
    Text,
}

/// What a line says; empty where it does not say it.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) attempt: String,
    pub(super) method: String,
    pub(super) route: String,
    pub(super) peer: String,
    pub(super) status: Option<u16>,
    pub(super) message: String,
}

impl Form {
    pub(super) fn setting(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
    }

    pub(super) fn parse(self, line: &str) -> Line {
        match self {
            Self::Json => Line::of_json(line),
            Self::Text => Line::of_text(line),
        }
    }
}

impl Line {
    fn of_json(line: &str) -> Self {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        for name in ["timestamp", "level", "message"] {
            assert!(value[name].is_string(), "{line}");
        }
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Self {
            attempt: text("attempt"),
            method: text("method"),
            route: text("route"),
            peer: text("peer"),
            status: value["status"].as_u64().and_then(|status| u16::try_from(status).ok()),
            message: text("message"),
        }
    }

    /// `2026-01-01T00:00:00.000000Z  INFO request{attempt=… method="…" …}: answered status=201 …`
    fn of_text(line: &str) -> Self {
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{line}");
        let (level, mut rest) = rest.trim_start().split_once(' ').unwrap();
        assert!(["DEBUG", "INFO", "WARN", "ERROR"].contains(&level), "{line}");
        let mut read = Self::default();
        if rest.starts_with("request{") {
            let (spans, event) = rest.split_once("}: ").or_else(|| rest.split_once(": ")).unwrap();
            let request = spans.split_once('}').map_or(spans, |(request, _)| request);
            let value = |name: &str| {
                let (_, after) = request.split_once(&format!("{name}=")).unwrap();
                after.split(' ').next().unwrap().trim_matches('"').to_owned()
            };
            read.attempt = value("attempt");
            read.method = value("method");
            read.route = value("route");
            read.peer = value("peer");
            rest = event;
        }
        let status = rest.split(' ').find_map(|word| word.strip_prefix("status="));
        let first_value = rest.split(' ').find(|word| word.contains('='));
        let message = first_value.and_then(|word| rest.split_once(word)).map_or(rest, |it| it.0);
        Self {
            status: status.map(|status| status.parse().unwrap()),
            message: message.trim_end().to_owned(),
            ..read
        }
    }

    /// The life of the process and of connections.
    pub(super) fn is_of_no_request(&self) -> bool {
        const OTHERS: &[&str] = &[
            "connection ended",
            "connection{peer",
            "fewer files may be open",
            "handshake failed",
            "ready",
            "the limit of open files",
            "the store has recovered",
        ];
        OTHERS.iter().any(|beginning| self.message.starts_with(beginning))
    }
}
