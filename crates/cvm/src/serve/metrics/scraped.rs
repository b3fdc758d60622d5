//! What is read when somebody asks: the store's own counts, the files, the process.

use std::path::PathBuf;
use std::sync::Arc;

use cvm_core::ports::Ports;
use cvm_pki::{Kept, inventory, validity};
use cvm_store::{Counters, Observed};
use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use super::{Metrics, process};
use crate::config::Config;
use crate::data_dir::Layout;
use crate::failure::{Exit, Failure};

/// Everything that metrics are read from.
pub(crate) struct Source {
    metrics: Arc<Metrics>,
    ports: Ports,
    counters: Arc<Counters>,
    store_files: Vec<(&'static str, PathBuf)>,
    certificates: Vec<(&'static str, PathBuf)>,
    connections_max: usize,
}

impl Source {
    /// What runs by `config` in the directory of `layout`.
    pub(crate) fn new(
        (layout, config): (&Layout, &Config),
        metrics: Arc<Metrics>,
        ports: Ports,
        counters: Arc<Counters>,
    ) -> Result<Self, Failure> {
        let store_files = match config.sqlite_url() {
            Some(url) => Vec::from(
                cvm_store::files(url, &layout.root)
                    .map_err(|error| Failure::new(Exit::Failed, format!("[store] url: {error}")))?,
            ),
            None => Vec::new(),
        };
        let ours = inventory().map(|(kept, path)| (name_of(kept), layout.root.join(path)));
        let brought =
            config.http.brought.iter().map(|(file, _)| ("brought", layout.root.join(file)));
        let certificates = ours.into_iter().chain(brought).collect();
        let connections_max = config.limits.door.connections_max;
        Ok(Self { metrics, ports, counters, store_files, certificates, connections_max })
    }

    /// Everything, in Prometheus' text format 0.0.4; blocks for as long as small files take.
    pub(super) fn text(&self) -> Result<String, prometheus::Error> {
        let mut families = self.metrics.gather(&self.ports);
        families.extend(self.of_store());
        families.push(self.of_files());
        families.push(self.of_certificates());
        let most = "Connections that each listener may have open: [limits] connections.";
        families.push(gauge("cvm_connections_max", most, number(self.connections_max)));
        families.extend(process::families());
        TextEncoder::new().encode_to_string(&families)
    }

    fn of_store(&self) -> Vec<MetricFamily> {
        let counters = &*self.counters;
        let rows = counters
            .journal_rows()
            .map(|(kind, count)| counted(vec![label("kind", kind.as_str())], wide(count)));
        let dropped = "Attempts that were lost because too many came at once or the disk failed.";
        let commits = "Transactions that were committed, each with one sync.";
        let sizes = "Writes that shared one transaction.";
        let took = "How long a transaction took, its sync included.";
        let failures = "How often the store failed; what it wrote then was not acknowledged.";
        let up = "Whether the store can be written to (1) or not (0).";
        let waiting = "Writes that were asked for and have no answer yet.";
        vec![
            counter("cvm_attempts_dropped_total", dropped, counters.attempts_dropped()),
            family(
                "cvm_journal_rows_total",
                "Journal rows that were written, by what happened.",
                MetricType::COUNTER,
                rows.collect(),
            ),
            counter("cvm_store_commits_total", commits, counters.commits()),
            histogram("cvm_store_commit_writes", sizes, &counters.group_sizes(), 1.0),
            histogram("cvm_store_commit_duration_seconds", took, &counters.commit_micros(), 1e6),
            counter("cvm_store_failures_total", failures, counters.failures()),
            gauge("cvm_store_up", up, if counters.is_down() { 0.0 } else { 1.0 }),
            gauge("cvm_store_writes_waiting", waiting, wide(counters.writes_waiting())),
        ]
    }

    fn of_files(&self) -> MetricFamily {
        let sizes = self.store_files.iter().filter_map(|(name, path)| {
            let size = std::fs::metadata(path).ok()?.len();
            Some(gauged(vec![label("file", name)], wide(size)))
        });
        let help = "The sizes of the store's files.";
        family("cvm_store_file_bytes", help, MetricType::GAUGE, sizes.collect())
    }

    fn of_certificates(&self) -> MetricFamily {
        let ends = self.certificates.iter().filter_map(|(name, path)| {
            let not_after = validity(path).ok()?.not_after;
            #[expect(clippy::cast_precision_loss, reason = "seconds of this millennium fit")]
            Some(gauged(vec![label("certificate", name)], not_after.0 as f64))
        });
        let (name, help) =
            ("cvm_certificate_not_after_timestamp_seconds", "When a certificate of ours ends.");
        family(name, help, MetricType::GAUGE, ends.collect())
    }
}

fn name_of(kept: Kept) -> &'static str {
    match kept {
        Kept::DevicesCa => "devices-ca",
        Kept::Journal => "journal",
        Kept::Root => "root",
        Kept::Server => "server",
        Kept::ServersCa => "servers-ca",
    }
}

/// A family with one sample, which rises.
fn counter(name: &str, help: &str, value: u64) -> MetricFamily {
    family(name, help, MetricType::COUNTER, vec![counted(Vec::new(), wide(value))])
}

/// A family with one sample, which rises and falls.
pub(super) fn gauge(name: &str, help: &str, value: f64) -> MetricFamily {
    family(name, help, MetricType::GAUGE, vec![gauged(Vec::new(), value)])
}

/// A family with one sample that rises, in fractions.
pub(super) fn fractional_counter(name: &str, help: &str, value: f64) -> MetricFamily {
    family(name, help, MetricType::COUNTER, vec![counted(Vec::new(), value)])
}

fn family(name: &str, help: &str, kind: MetricType, samples: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(samples);
    family
}

fn histogram(name: &str, help: &str, observed: &Observed, unit: f64) -> MetricFamily {
    let buckets = observed.buckets.iter().map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(wide(*bound) / unit);
        bucket.set_cumulative_count(*count);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(observed.count);
    histogram.set_sample_sum(wide(observed.sum) / unit);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    family(name, help, MetricType::HISTOGRAM, vec![metric])
}

fn counted(labels: Vec<LabelPair>, value: f64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = Metric::from_label(labels);
    metric.set_counter(counter);
    metric
}

fn gauged(labels: Vec<LabelPair>, value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::from_label(labels);
    metric.set_gauge(gauge);
    metric
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    label
}

/// As Prometheus counts: exactly up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "the format has no other numbers")]
pub(super) fn wide(count: u64) -> f64 {
    count as f64
}

fn number(count: usize) -> f64 {
    wide(u64::try_from(count).unwrap_or(u64::MAX))
}
