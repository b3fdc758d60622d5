//! One agent for a directory: a lock that is held as long as the process runs, and that the system
//! takes back from a dead one.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;

use super::Failure;
use crate::error::Error;
use crate::files::{self, Directory};

/// Whose directory it is.
const LOCK_FILE: &str = "agent.lock";

/// A directory's lock.
#[derive(Debug)]
pub(super) struct Lock {
    _held: File,
}

impl Lock {
    pub(super) fn take(directory: &Directory) -> Result<Self, Failure> {
        let path = directory.file(LOCK_FILE);
        let local = |source| Error::local(format!("locking {}", path.display()), source);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(local)?;
        if files::lock(&file) == files::Lock::Theirs {
            let mut holder = String::new();
            // Its name is a help, not a need.
            let _unread = file.take(20).read_to_string(&mut holder);
            let directory = directory.path().to_owned();
            return Err(Failure::Busy { directory, holder: holder.trim().to_owned() });
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(local)?;
        writeln!(file, "{}", std::process::id()).map_err(local)?;
        Ok(Self { _held: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_agent_and_the_next_one_is_told_which() {
        let home = tempfile::tempdir().unwrap();
        let directory = Directory::open(home.path()).unwrap();
        let first = Lock::take(&directory).unwrap();
        let refused = Lock::take(&directory).unwrap_err();
        assert_eq!(refused.exit_code(), 75);
        let pid = std::process::id().to_string();
        assert!(refused.to_string().contains(&pid), "{refused}");
        drop(first);
        Lock::take(&directory).unwrap();
    }
}
