//! The process as the kernel sees it, by the names that Prometheus' own clients give.
//!
//! `prometheus` has a collector of its own, which brings a second `rustix`.

use std::fs;

use prometheus::proto::MetricFamily;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::scraped::{fractional_counter, gauge, wide};

/// Linux counts times in `/proc` in hundredths on every architecture that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// What can be read of it.
pub(super) fn families() -> Vec<MetricFamily> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = |name: &str| number_after(&status, name).map(|count| count * 1_024.0);
    let open = fs::read_dir("/proc/self/fd").map(|all| wide(all.count() as u64)).ok();
    let most = getrlimit(Resource::Nofile).current.map(wide);
    let gauges = [
        ("process_max_fds", "Files that may be open.", most),
        ("process_open_fds", "Files that are open.", open),
        ("process_resident_memory_bytes", "Memory in use.", kilobytes("VmRSS:")),
        (
            "process_start_time_seconds",
            "When the process began, in seconds since 1970.",
            start_time(),
        ),
        ("process_threads", "Threads.", number_after(&status, "Threads:")),
        ("process_virtual_memory_bytes", "Memory that was asked for.", kilobytes("VmSize:")),
    ];
    let gauges =
        gauges.into_iter().filter_map(|(name, help, value)| Some(gauge(name, help, value?)));
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "seconds and nanoseconds fit")]
    let seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
    let cpu = fractional_counter("process_cpu_seconds_total", "CPU time, of all threads.", seconds);
    std::iter::once(cpu).chain(gauges).collect()
}

/// The number that follows `name` in a file of lines.
fn number_after(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn start_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // proc(5): field 22; the second one, in parentheses, may hold spaces.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: f64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    let booted = number_after(&fs::read_to_string("/proc/stat").ok()?, "btime ")?;
    Some(booted + ticks / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_all_of_it_here() {
        let families = families();
        let value = |name: &str| {
            let family = families.iter().find(|family| family.name() == name).unwrap();
            let metric = family.get_metric().first().unwrap();
            metric.get_gauge().get_value() + metric.get_counter().get_value()
        };
        assert_eq!(families.len(), 7);
        assert!(value("process_cpu_seconds_total") > 0.0);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") > value("process_open_fds"));
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
        assert!(value("process_threads") >= 1.0);
        // 2020 and later: after the kernel began, which is not in 1970.
        assert!(value("process_start_time_seconds") > 1_577_836_800.0);
    }
}
