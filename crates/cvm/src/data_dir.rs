//! The data directory: where its files are, and who holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::failure::{Exit, Failure};

/// The paths of one data directory.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The directory itself.
    pub(crate) root: PathBuf,
}

impl Layout {
    /// The layout below `root`.
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.root.join("cvm.toml")
    }

    pub(crate) fn admin_token(&self) -> PathBuf {
        self.root.join("admin-token")
    }

    pub(crate) fn root_ca(&self) -> PathBuf {
        self.root.join("root-ca.pem")
    }

    pub(crate) fn ready(&self) -> PathBuf {
        self.root.join("ready.json")
    }

    fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }
}

/// The hold on a data directory; it ends with the process, however that ends.
#[derive(Debug)]
pub(crate) struct Hold {
    _lock: File,
}

/// Takes hold of the data directory, or says who has it.
pub(crate) fn hold(layout: &Layout) -> Result<Hold, Failure> {
    let path = layout.lock();
    let mut lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| no_data_dir(layout, &error))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _unreadable = lock.read_to_string(&mut holder);
            let what = format!("{} is served by process {}", layout.root.display(), holder.trim());
            return Err(Failure::new(Exit::Failed, what).cure("stop that one first"));
        }
        Err(TryLockError::Error(error)) => return Err(Failure::file("locking", &path, &error)),
    }
    let write = |lock: &mut File| {
        lock.set_len(0)?;
        lock.rewind()?;
        writeln!(lock, "{}", std::process::id())?;
        lock.flush()
    };
    write(&mut lock).map_err(|error| Failure::file("writing", &path, &error))?;
    Ok(Hold { _lock: lock })
}

fn no_data_dir(layout: &Layout, error: &std::io::Error) -> Failure {
    let failure = Failure::file("opening", &layout.root, error);
    if error.kind() == std::io::ErrorKind::NotFound {
        let dir = layout.root.display();
        return failure.cure(format!("make it with `cvm init --data-dir {dir}`"));
    }
    failure
}

/// The first line of a file that holds one secret, called `what`.
pub(crate) fn read_secret(what: &str, path: &Path) -> Result<zeroize::Zeroizing<String>, Failure> {
    let text = std::fs::read_to_string(path).map(zeroize::Zeroizing::new);
    let text =
        text.map_err(|error| Failure::file(&format!("reading {what} from"), path, &error))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(zeroize::Zeroizing::new(line.to_owned())),
        _ => {
            let what = format!("{} is empty", path.display());
            Err(Failure::new(Exit::Failed, what).cure("put the secret on its first line"))
        }
    }
}
