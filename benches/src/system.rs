//! What the kernel knows of a process: CPU, memory, what it keeps on disk, and flushes.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// `USER_HZ`: what /proc counts CPU in, on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// CPU that this process has used, exactly.
pub(crate) fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// CPU that a process and its living descendants have used, in steps of 10 ms.
pub(crate) fn cpu_of_tree(root: u32) -> Duration {
    let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let all: HashMap<u32, Stat> = ids.filter_map(|id| Some((id, Stat::read(id)?))).collect();
    let is_below = |id: u32| {
        let mut above = std::iter::successors(Some(id), |id| all.get(id).map(|stat| stat.parent));
        above.any(|id| id == root)
    };
    let ticks: u64 = all.iter().filter(|(id, _)| is_below(**id)).map(|(_, stat)| stat.ticks).sum();
    Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
}

struct Stat {
    parent: u32,
    ticks: u64,
}

impl Stat {
    fn read(id: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name before it may hold anything, spaces and brackets too.
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self { parent: fields.get(1)?.parse().ok()?, ticks: number(11)? + number(12)? })
    }
}

/// Memory of a process that is not swapped out.
pub(crate) fn resident_bytes(id: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1_024
}

/// What a file or a directory has allocated.
pub(crate) fn disk_bytes(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    let below = fs::read_dir(path).into_iter().flatten().flatten();
    metadata.blocks() * 512 + below.map(|entry| disk_bytes(&entry.path())).sum::<u64>()
}

/// How often the block device under `path` was flushed; `None` where the kernel does not say.
pub(crate) fn flushes(path: &Path) -> Option<u64> {
    let device = fs::metadata(path).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let text = fs::read_to_string("/proc/diskstats").ok()?;
    let fields = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let of_device = |fields: &Vec<&str>| {
        let is = |index: usize, number: u32| fields.get(index) == Some(&&*number.to_string());
        is(0, major) && is(1, minor)
    };
    // Documentation/admin-guide/iostats.rst: field 16, behind three names.
    fields.into_iter().find(of_device)?.get(18)?.parse().ok()
}

/// Whether somebody else uses more than a third of a core for two seconds.
pub(crate) fn is_busy() -> bool {
    let before = machine_ticks();
    std::thread::sleep(Duration::from_secs(2));
    machine_ticks().saturating_sub(before) > 2 * TICKS_PER_SECOND / 3
}

/// Waits for a quiet machine, at most for `bound`; whether it became one.
pub(crate) fn wait_until_quiet(bound: Duration) -> bool {
    let began = std::time::Instant::now();
    while is_busy() {
        if began.elapsed() > bound {
            return false;
        }
    }
    true
}

/// user, nice, system, irq, softirq, steal of the first line of /proc/stat.
fn machine_ticks() -> u64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let fields: Vec<u64> = line.split_whitespace().filter_map(|it| it.parse().ok()).collect();
    [0, 1, 2, 5, 6, 7].iter().filter_map(|index| fields.get(*index)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_in_its_own_tree_with_memory_and_time() {
        let id = std::process::id();
        let began = own_cpu();
        while own_cpu() < began + Duration::from_millis(50) {}
        assert!(cpu_of_tree(id) >= Duration::from_millis(40));
        assert!(resident_bytes(id) > 100_000);
    }

    #[test]
    fn a_directory_counts_what_is_below_it() {
        let directory = tempfile::tempdir().unwrap();
        let empty = disk_bytes(directory.path());
        fs::write(directory.path().join("file"), [1; 100_000]).unwrap();
        assert!(disk_bytes(directory.path()) >= empty + 100_000);
    }
}
