//! A rehearsal's report for people.

use cvm_rehearse::report::{ActReport, Finding, Report};

use crate::output::Text;

/// So many findings are told; JSON has more.
const FINDINGS_MAX: usize = 20;

const HEADINGS: [&str; 9] =
    ["ACT", "ANSWERED", "LOST", "BROKEN", "PER SECOND", "P50 MS", "P99 MS", "MAX MS", "STATUSES"];

pub(super) fn write(report: &Report, text: &mut Text) {
    let rows: Vec<Vec<String>> = report.acts.iter().map(row).collect();
    text.table(&HEADINGS, &rows);
    text.line("");
    let agreed = [&report.server.tls, &report.server.key_exchange].map(|it| it.clone());
    let agreed = agreed.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let audit = &report.audit;
    text.facts(&[
        ("devices", format!("{}, {} at once", report.devices, report.concurrency)),
        ("seed, loss", format!("{}, {}", report.seed, report.loss)),
        ("TLS", agreed),
        ("certificates given", audit.given.to_string()),
        ("in the store", audit.stored.to_string()),
        ("duplicates", audit.duplicates.to_string()),
        ("orphans", audit.orphans.to_string()),
        ("lost", audit.lost.to_string()),
        ("broken invariants", audit.broken.to_string()),
        ("unfinished devices", report.unfinished_devices.to_string()),
    ]);
    for it in audit.findings.iter().take(FINDINGS_MAX) {
        text.line(finding(it));
    }
    if audit.broken > FINDINGS_MAX {
        text.line(format!("and {} more; --output json has them", audit.broken - FINDINGS_MAX));
    }
}

/// A broken invariant in a line.
pub(super) fn finding(finding: &Finding) -> String {
    let Finding { invariant, serial_number, certificate_id, what, .. } = finding;
    let certificate = certificate_id.as_ref().map(|id| format!(", {id}")).unwrap_or_default();
    format!("{invariant}: {serial_number}{certificate}: {what}")
}

fn row(act: &ActReport) -> Vec<String> {
    let statuses: Vec<String> =
        act.statuses.iter().map(|(status, count)| format!("{status}: {count}")).collect();
    vec![
        act.act.clone(),
        act.answered.to_string(),
        act.lost.values().sum::<u64>().to_string(),
        act.broken.to_string(),
        format!("{:.1}", act.per_second),
        format!("{:.1}", act.latency.p50_ms),
        format!("{:.1}", act.latency.p99_ms),
        format!("{:.1}", act.latency.max_ms),
        statuses.join(", "),
    ]
}
