//! The machine under the store: on what it lies, how much room is left, how long its log became,
//! and what the server's process may do.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{statfs, statvfs};
use rustix::process::{Resource, getrlimit};

use super::Patient;
use super::check::Check;
use super::report::{Finding, Report};
use crate::config::Config;
use crate::serve;

/// With less, the next minutes may fail: a log may grow to that before it is cut.
const FREE_BYTES_MIN: u64 = 64 << 20;
/// New files are logs and what replaces a file.
const FREE_FILES_MIN: u64 = 100;
/// Four times what a log is cut to.
const LOG_BYTES_MAX: u64 = 256 << 20;

/// Looks at the machine; before anything opens the store, which would cut its log.
pub(super) fn check(patient: &Patient<'_>, report: &mut Report) {
    let Some(config) = &patient.config else { return };
    let Some(url) = config.sqlite_url() else { return process(patient, config, report) };
    let Ok([(_, registry), (_, log), (_, attempts)]) = cvm_store::files(url, &patient.layout.root)
    else {
        return;
    };
    let directory = registry.parent().map_or_else(PathBuf::new, Path::to_owned);
    report.extend(file_system(&directory));
    report.extend(disk(&directory, [&registry, &log, &attempts].map(size).iter().sum()));
    report.add(log_size(size(&log)));
    process(patient, config, report);
}

fn size(path: impl AsRef<Path>) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn file_system(directory: &Path) -> Option<Finding> {
    let kind = u64::try_from(statfs(directory).ok()?.f_type).unwrap_or_default() & 0xFFFF_FFFF;
    Some(judge_file_system(kind, directory))
}

/// By the numbers of `statfs(2)`.
fn judge_file_system(kind: u64, directory: &Path) -> Finding {
    let shown = directory.display();
    let over_network = |name: &str| {
        let what = format!(
            "{shown} lies on {name}: SQLite's log needs memory that all of a machine's processes \
             share, and locks that hold"
        );
        let cure = "move the data directory to a disk of this machine, or name one in [store] url";
        Finding::failed(Check::FileSystem, what, cure)
    };
    let passing = |name: &str, what: &str| {
        let what = format!("{shown} lies on {name}: {what}");
        let cure = "move the data directory to a disk, or a volume, that stays";
        Finding::warning(Check::FileSystem, what, cure)
    };
    match kind {
        0x6969 => over_network("NFS"),
        0x517B | 0xFE53_4D42 | 0xFF53_4D42 => over_network("SMB"),
        0x0102_1997 => over_network("9p"),
        0x00C3_6400 => over_network("Ceph"),
        0x5346_414F => over_network("AFS"),
        0x0102_1994 | 0x8584_58F6 => passing("memory", "it is gone after the next start"),
        0x794C_7630 => passing("a container's own layer", "it goes with the container"),
        _ => Finding::ok(Check::FileSystem, format!("{shown} lies on a file system that stays")),
    }
}

fn disk(directory: &Path, store: u64) -> Option<Finding> {
    let room = statvfs(directory).ok()?;
    let files = (room.f_files > 0).then_some(room.f_favail);
    Some(judge_room(room.f_bavail.saturating_mul(room.f_frsize), files, store, directory))
}

fn judge_room(free: u64, files: Option<u64>, store: u64, directory: &Path) -> Finding {
    let shown = directory.display();
    let cure = "make room; the server goes on by itself";
    if free < FREE_BYTES_MIN {
        let what = format!("{shown} has room for {} more", mebibytes(free));
        return Finding::failed(Check::Disk, what, cure);
    }
    if let Some(files) = files.filter(|files| *files < FREE_FILES_MIN) {
        let what = format!("{shown} has room for {files} more files");
        return Finding::failed(Check::Disk, what, cure);
    }
    if free < store {
        let what = format!(
            "{shown} has room for {} more, and the store has {}: there can be no copy of it",
            mebibytes(free),
            mebibytes(store)
        );
        return Finding::warning(Check::Disk, what, "make room before the next upgrade or backup");
    }
    Finding::ok(Check::Disk, format!("{shown} has room for {} more", mebibytes(free)))
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn log_size(bytes: u64) -> Finding {
    if bytes <= LOG_BYTES_MAX {
        return Finding::ok(Check::Log, format!("the store's log has {}", mebibytes(bytes)));
    }
    let what =
        format!("the store's log has {}: something keeps it from being cut", mebibytes(bytes));
    let cure = "end what has the store open for long, such as a shell or a backup; else start the \
                server again, which cuts it";
    Finding::warning(Check::Log, what, cure)
}

/// What the process of the server that runs here may do; without one, what it could.
fn process(patient: &Patient<'_>, config: &Config, report: &mut Report) {
    let pid = patient.ready().and_then(|ready| ready.get("pid")?.as_u64());
    let limits = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/limits")).ok());
    let granted = match &limits {
        Some(limits) => limit(limits, "Max open files"),
        // A server raises it as far as it may.
        None => getrlimit(Resource::Nofile).maximum,
    };
    report.add(judge_descriptors(granted, serve::files_needed(config)));
    let (Some(pid), Some(limits)) = (pid, limits) else { return };
    report.add(match limit(&limits, "Max core file size") {
        Some(0) => Finding::ok(Check::CoreDumps, "a crash writes no memory to a disk"),
        _ => {
            let what = format!(
                "a crash of the server (process {pid}) writes its memory to a disk, CA keys and all"
            );
            let cure = format!("prlimit --pid {pid} --core=0");
            Finding::warning(Check::CoreDumps, what, cure)
        }
    });
}

/// The soft limit called `name` in `/proc/PID/limits`; `None` is unlimited.
fn limit(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|soft| soft.parse().ok())
}

fn judge_descriptors(granted: Option<u64>, needed: u64) -> Finding {
    let Some(granted) = granted.filter(|granted| *granted < needed) else {
        let what = format!("as many files may be open as connections are ({needed})");
        return Finding::ok(Check::Descriptors, what);
    };
    let what = format!(
        "{granted} files may be open, and [limits] connections on all listeners need {needed}: the \
         last of them wait, an operator's perhaps"
    );
    let cure = format!(
        "allow {needed} (`ulimit -Hn`, or LimitNOFILE= of a unit) and start the server again, or \
         lower [limits] connections"
    );
    Finding::warning(Check::Descriptors, what, cure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(finding: Finding) -> String {
        let mut report = Report::default();
        report.add(finding);
        format!("{:?}", report.checks)
    }

    #[test]
    fn a_disk_is_full_before_it_is_full() {
        let place = Path::new("/var/lib/cvm");
        let mebi = 1 << 20;
        let judge = |free, files, store| told(judge_room(free, files, store, place));
        assert!(judge(63 * mebi, None, 0).contains("Failed"));
        assert!(judge(64 * mebi, Some(99), 0).contains("Failed"));
        assert!(judge(64 * mebi, Some(100), 65 * mebi).contains("Warning"));
        assert!(judge(64 * mebi, None, 64 * mebi).contains("Ok"));
    }

    #[test]
    fn a_file_system_of_another_machine_is_told() {
        let place = Path::new("/srv");
        for (kind, state, word) in [
            (0x6969, "Failed", "NFS"),
            (0xFE53_4D42, "Failed", "SMB"),
            (0x0102_1994, "Warning", "memory"),
            (0x794C_7630, "Warning", "container"),
            (0xEF53, "Ok", "stays"),
        ] {
            let told = told(judge_file_system(kind, place));
            assert!(told.contains(state) && told.contains(word), "{told}");
        }
    }

    #[test]
    fn limits_are_read_as_the_kernel_writes_them() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max core file size        0                    unlimited            bytes     \n\
                      Max open files            1024                 524288               files     \n\
                      Max locked memory         unlimited            unlimited            bytes     \n";
        assert_eq!(limit(limits, "Max core file size"), Some(0));
        assert_eq!(limit(limits, "Max open files"), Some(1_024));
        assert_eq!(limit(limits, "Max locked memory"), None);
        assert!(told(judge_descriptors(None, 5)).contains("Ok"));
        assert!(told(judge_descriptors(Some(5), 5)).contains("Ok"));
        assert!(told(judge_descriptors(Some(4), 5)).contains("ulimit"));
    }
}
