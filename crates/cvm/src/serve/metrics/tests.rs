use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cvm_api::{Answered, Limit, Notice, Side};
use cvm_core::journal::{Event, EventClass, JournalRow};
use cvm_core::operator::Actor;
use cvm_core::page::{Page, PageRequest};
use cvm_core::ports::{Journal, StoreError};
use cvm_core::testing::{TestClock, TestIssuer, test_ports};
use cvm_core::time::{Span, Timestamp};
use cvm_store::MemoryStore;
use prometheus::TextEncoder;

use super::*;

fn text(metrics: &Metrics) -> String {
    TextEncoder::new().encode_to_string(&metrics.registry.gather()).unwrap()
}

fn lines(text: &str, beginning: &str) -> Vec<String> {
    text.lines().filter(|line| line.starts_with(beginning)).map(str::to_owned).collect()
}

#[test]
fn every_kind_of_alarm_and_of_loss_is_there_from_the_start() {
    let text = text(&Metrics::new().unwrap());
    assert_eq!(
        [lines(&text, "cvm_alarms_total"), lines(&text, "cvm_notify_failures_total")].concat(),
        [
            "cvm_alarms_total{kind=\"another-key-issued\"} 0",
            "cvm_alarms_total{kind=\"another-key-pending\"} 0",
            "cvm_alarms_total{kind=\"another-key-refused\"} 0",
            "cvm_alarms_total{kind=\"burnt-token-shown\"} 0",
            "cvm_alarms_total{kind=\"revoked-certificate-used\"} 0",
            "cvm_notify_failures_total{reason=\"gave-up\"} 0",
            "cvm_notify_failures_total{reason=\"queue-full\"} 0",
            "cvm_notify_failures_total{reason=\"shutdown\"} 0",
        ]
    );
}

#[test]
fn requests_are_counted_by_route_method_and_status_from_many_threads() {
    let metrics = Metrics::new().unwrap();
    let door = metrics.observer();
    let answer = |status, millis| {
        let took = Duration::from_millis(millis);
        let problem = (status == 503).then_some("unavailable");
        let (method, route) = ("GET", "/readyz");
        door.request_answered(Answered { method, route, status, problem, took });
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..250).for_each(|_| answer(200, 3)));
        }
    });
    answer(503, 700);
    let text = text(&metrics);
    assert_eq!(
        lines(&text, "cvm_requests_total"),
        [
            "cvm_requests_total{method=\"GET\",route=\"/readyz\",status=\"200\"} 1000",
            "cvm_requests_total{method=\"GET\",route=\"/readyz\",status=\"503\"} 1",
        ]
    );
    let bucket =
        |le| format!("cvm_request_duration_seconds_bucket{{route=\"/readyz\",le=\"{le}\"}}");
    assert_eq!(lines(&text, &bucket("0.005")), [bucket("0.005") + " 1000"]);
    assert_eq!(lines(&text, &bucket("1")), [bucket("1") + " 1001"]);
    let refused = "cvm_refusals_total{problem=\"unavailable\"}";
    assert_eq!(lines(&text, refused), [format!("{refused} 1")]);
}

#[test]
fn the_clock_is_told_of_as_issuing_takes_it() {
    let now = Timestamp(1_800_000_000);
    let clock = Arc::new(TestClock::at(now));
    let issuer = Arc::new(TestIssuer::new(now));
    let ports = test_ports(&Arc::new(MemoryStore::new()), clock.clone(), issuer);
    let metrics = Metrics::new().unwrap();
    let told = || {
        let families = metrics.gather(&ports);
        lines(&TextEncoder::new().encode_to_string(&families).unwrap(), "cvm_clock_trusted")
    };
    assert_eq!(told(), ["cvm_clock_trusted 1"]);
    clock.trust(false);
    assert_eq!(told(), ["cvm_clock_trusted 0"]);
    clock.trust(true);
    clock.set(now.minus(Span(1)));
    assert_eq!(told(), ["cvm_clock_trusted 0"], "the CA that signs begins later");
}

struct Broken;

#[async_trait]
impl Journal for Broken {
    async fn event_record(&self, _: Event) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("the disk is full".into()))
    }

    async fn journal_page(&self, _: &PageRequest) -> Result<Page<JournalRow>, StoreError> {
        Ok(Page { items: Vec::new(), next: None })
    }
}

#[tokio::test]
async fn a_row_that_is_not_written_is_counted_and_still_told() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let journal: Arc<dyn Journal> = Arc::new(Broken);
    let event = Event {
        at: Timestamp(0),
        class: EventClass::Decision,
        kind: EventKind::RequestDecided,
        serial_number: None,
        certificate: None,
        attempt: None,
        actor: Actor::Server,
        detail: String::new(),
    };
    let told = Counted::new(journal, &metrics).event_record(event).await;
    assert!(told.is_err());
    assert_eq!(lines(&text(&metrics), "cvm_journal"), ["cvm_journal_failures_total 1"]);
}

#[test]
fn every_problem_limit_and_usual_outcome_is_there_from_the_start() {
    let text = text(&Metrics::new().unwrap());
    for problem in cvm_api::problems() {
        let sample = format!("cvm_refusals_total{{problem=\"{problem}\"}}");
        assert_eq!(lines(&text, &sample), [format!("{sample} 0")]);
    }
    assert_eq!(lines(&text, "cvm_limits_reached_total{").len(), Limit::ALL.len());
    assert_eq!(lines(&text, "cvm_attempts_total{").len(), USUAL_OUTCOMES.len());
}

#[test]
fn what_is_open_goes_up_and_down_on_its_listener_alone() {
    let metrics = Metrics::new().unwrap();
    let door = metrics.observer();
    door.noticed(Side::Device, Notice::ConnectionOpened);
    door.noticed(Side::Device, Notice::ConnectionOpened);
    door.noticed(Side::Device, Notice::RequestBegun);
    door.noticed(Side::Device, Notice::ConnectionClosed);
    door.noticed(Side::Operator, Notice::HandshakeFailed);
    let text = text(&metrics);
    let on = |name: &str| {
        ["device", "operator", "plain"].map(|listener| {
            let sample = format!("{name}{{listener=\"{listener}\"}} ");
            lines(&text, &sample).concat().replace(&sample, "")
        })
    };
    assert_eq!(on("cvm_connections_open"), ["1", "0", "0"]);
    assert_eq!(on("cvm_connections_total"), ["2", "0", "0"]);
    assert_eq!(on("cvm_requests_in_flight"), ["1", "0", "0"]);
    assert_eq!(on("cvm_handshakes_failed_total"), ["0", "1", "0"]);
}

#[test]
fn attempts_are_counted_by_what_became_of_them() {
    let metrics = Metrics::new().unwrap();
    for (outcome, reason) in
        [("issued", ""), ("access-denied", "wrong-token"), ("access-denied", "wrong-token")]
    {
        metrics.attempt(Act::Vend, outcome, reason).inc();
    }
    let of = |outcome: &str, reason: &str| {
        format!("cvm_attempts_total{{act=\"vend\",outcome=\"{outcome}\",reason=\"{reason}\"}} ")
    };
    let text = text(&metrics);
    assert_eq!(lines(&text, &of("issued", "")), [of("issued", "") + "1"]);
    let denied = of("access-denied", "wrong-token");
    assert_eq!(lines(&text, &denied), [denied + "2"]);
}
