//! File modes and owners: what is secret is its owner's alone, and all of it one user's.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use cvm_pki::VAULT_DIRECTORY;

use super::check::Check;
use super::report::{Finding, Report};
use crate::data_dir::Layout;

const CHECK: Check = Check::Files;

/// Directories that are 0700, with everything in them 0600.
const DIRECTORIES: [&str; 2] = [VAULT_DIRECTORY, "server"];
/// Files of the data directory that are 0600, where they are there.
const FILES: [&str; 6] =
    ["admin-token", "cvm.db", "cvm.db-wal", "cvm.db-shm", "attempts.db", "attempts.db-wal"];

/// Looks at the modes of the data directory and what is in it; `false` where there is none to see.
pub(super) fn check(layout: &Layout, report: &mut Report) -> bool {
    let root = layout.root.display();
    if let Err(error) = fs::read_dir(&layout.root) {
        let what = format!("reading {root}: {error}");
        let cure = if error.kind() == io::ErrorKind::NotFound {
            format!("make it with `cvm init --data-dir {root}`, or name another with --data-dir")
        } else {
            String::from("run this as the user that the server runs as")
        };
        report.add(Finding::failed(CHECK, what, cure));
        return false;
    }
    let owner = fs::metadata(&layout.root).map_or(0, |metadata| metadata.uid());
    let mut wrong = Vec::new();
    look(&layout.root, 0o700, owner, &mut wrong);
    for name in FILES {
        look(&layout.root.join(name), 0o600, owner, &mut wrong);
    }
    for name in DIRECTORIES {
        let directory = layout.root.join(name);
        look(&directory, 0o700, owner, &mut wrong);
        for path in entries(&directory) {
            look(&path, 0o600, owner, &mut wrong);
        }
    }
    report.add_all(
        wrong,
        Finding::ok(CHECK, format!("what is secret in {root} is its owner's alone")),
    );
    true
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Whether others than the owner may do anything with what is at `path`, if anything is.
fn look(path: &Path, wanted: u32, owner: u32, wrong: &mut Vec<Finding>) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    if metadata.is_symlink() {
        return;
    }
    wrong.extend(stranger(path, metadata.uid(), owner));
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return;
    }
    let shown = path.display();
    let what = format!("{shown} has mode {mode:04o}: others than its owner may use it");
    wrong.push(Finding::failed(CHECK, what, format!("chmod {wanted:04o} {shown}")));
}

/// A file that another user made, such as root for a command that a service's user should have run:
/// the server cannot write it, or the other can read what comes into it.
fn stranger(path: &Path, of: u32, owner: u32) -> Option<Finding> {
    let shown = path.display();
    let what = format!("{shown} belongs to user {of}, and the data directory to user {owner}");
    let cure = format!("chown {owner} {shown}");
    (of != owner).then(|| Finding::failed(CHECK, what, cure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_user_is_told_with_the_command_that_gives_it_back() {
        let path = Path::new("/var/lib/cvm/cvm.db");
        assert!(stranger(path, 999, 999).is_none());
        let told = format!("{:?}", stranger(path, 0, 999));
        assert!(told.contains("chown 999 /var/lib/cvm/cvm.db"), "{told}");
    }
}
