//! The directory of a device's files: private, locked while we write, and durable.
//!
//! A file is written beside its place, synced, renamed, and its directory synced, so that a power
//! cut leaves the old file or the new one. A key is never written over.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::error::Error;

/// None of our files comes near it.
const FILE_BYTES_MAX: usize = 1024 * 1024;

/// How long another may hold a lock that it takes for a few writes, or has inherited by a fork.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// A power cut that a test asks for: from some operation on files on, none happens any more.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    left: Option<Arc<AtomicU32>>,
}

impl Faults {
    /// So many operations happen, and no more.
    #[must_use]
    pub fn after(operations: u32) -> Self {
        Self { left: Some(Arc::new(AtomicU32::new(operations))) }
    }

    fn pass(&self) -> io::Result<()> {
        let Some(left) = &self.left else {
            return Ok(());
        };
        let took =
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        took.map(|_| ()).map_err(|_| io::Error::other("a test cut the power"))
    }
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Private,
    Public,
}

impl Mode {
    fn bits(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Public => 0o644,
        }
    }
}

/// A directory that we alone write to until this is dropped.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    handle: File,
    faults: Faults,
}

impl Directory {
    /// Opens it, makes it (0700) if need be, and takes its lock.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with_faults(path, &Faults::default())
    }

    pub(crate) fn open_with_faults(path: &Path, faults: &Faults) -> Result<Self, Error> {
        create_directories(path)
            .map_err(|source| Error::local(format!("making {}", path.display()), source))?;
        let handle = File::open(path)
            .map_err(|source| Error::local(format!("opening {}", path.display()), source))?;
        if lock(&handle) == Lock::Theirs {
            return Err(Error::TryLater {
                what: format!("another process is at work in {}", path.display()),
                retry_after: None,
                refusal: None,
            });
        }
        Ok(Self { path: path.to_owned(), handle, faults: faults.clone() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Puts a new file in place and never an old one out of it.
    pub(crate) fn create(&self, name: &str, bytes: &[u8], mode: Mode) -> Result<(), Error> {
        let target = self.file(name);
        self.put(name, bytes, mode, |temporary| {
            self.faults.pass()?;
            match std::fs::hard_link(temporary, &target) {
                Ok(()) => self.faults.pass().and_then(|()| std::fs::remove_file(temporary)),
                Err(fault) if fault.kind() == ErrorKind::AlreadyExists => Err(fault),
                // No hard links here (FAT): under our lock, looking first is as good.
                Err(_) if target.symlink_metadata().is_ok() => {
                    Err(io::Error::from(ErrorKind::AlreadyExists))
                }
                Err(_) => std::fs::rename(temporary, &target),
            }
        })
    }

    /// Puts a file in place, of an old one too.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8], mode: Mode) -> Result<(), Error> {
        let target = self.file(name);
        self.put(name, bytes, mode, |temporary| {
            self.faults.pass()?;
            std::fs::rename(temporary, &target)
        })
    }

    /// Renames a file if it is there, over another if need be; [`Self::sync`] makes it last.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        let (source, target) = (self.file(from), self.file(to));
        let renamed = self.faults.pass().and_then(|()| std::fs::rename(&source, target));
        match renamed {
            Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(()),
            other => other.map_err(|fault| {
                Error::local(format!("renaming {} to {to}", source.display()), fault)
            }),
        }
    }

    /// Returns when everything that was done to names will survive a power cut.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.sync_names()
            .map_err(|fault| Error::local(format!("syncing {}", self.path.display()), fault))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.faults.pass()?;
        self.handle.sync_all()
    }

    /// Takes a file away; it need not be there.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        let target = self.file(name);
        self.faults
            .pass()
            .and_then(|()| remove_if_there(&target))
            .and_then(|()| self.sync_names())
            .map_err(|source| Error::local(format!("removing {}", target.display()), source))
    }

    fn put(
        &self,
        name: &str,
        bytes: &[u8],
        mode: Mode,
        place: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), Error> {
        let temporary = self.file(&temporary(name));
        let written = self
            .write_synced(&temporary, bytes, mode)
            .and_then(|()| place(&temporary))
            .and_then(|()| self.sync_names());
        written.map_err(|source| {
            let what = format!("writing {}", self.file(name).display());
            // What is left over is removed by the next run, if not now.
            drop(self.faults.pass().and_then(|()| std::fs::remove_file(&temporary)));
            Error::local(what, source)
        })
    }

    fn write_synced(&self, path: &Path, bytes: &[u8], mode: Mode) -> io::Result<()> {
        self.faults.pass()?;
        remove_if_there(path)?;
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(mode.bits()).open(path)?;
        let (first, second) = bytes.split_at(bytes.len() / 2);
        file.write_all(first)?;
        self.faults.pass()?;
        file.write_all(second)?;
        file.sync_all()
    }
}

/// Whose lock it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Ours, until the file is closed.
    Ours,
    /// Somebody else's, and not only for a moment.
    Theirs,
}

/// Takes a file's lock, for which others may need a moment.
pub(crate) fn lock(file: &File) -> Lock {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if begun.elapsed() >= LOCK_PATIENCE => {
                return Lock::Theirs;
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PATIENCE / 100),
            // A file system that knows no locks is no reason to refuse.
            Ok(()) | Err(TryLockError::Error(_)) => return Lock::Ours,
        }
    }
}

/// Where a file is written before it is put in its place.
pub(crate) fn temporary(name: &str) -> String {
    format!(".{name}.tmp")
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn create_directories(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(io::Error::from(ErrorKind::NotFound)),
    };
    create_directories(parent)?;
    DirBuilder::new().mode(0o700).create(path)?;
    File::open(parent)?.sync_all()
}

/// Whether there was a file to remove.
#[cfg(feature = "service")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    /// There was one.
    Gone,
    /// There was none.
    NotThere,
}

/// Takes any file away, so that it does not come back after a power cut.
#[cfg(feature = "service")]
pub(crate) fn remove_for_good(path: &Path) -> io::Result<Removed> {
    match std::fs::remove_file(path) {
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(Removed::NotThere),
        other => other?,
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
    Ok(Removed::Gone)
}

/// The contents of a file, or `None` if it is not there.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    let failed = |source| Error::local(format!("reading {}", path.display()), source);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(None),
        Err(fault) => return Err(failed(fault)),
    };
    let length = file.metadata().map_err(failed)?.len();
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    // Full size from the start: a buffer that grows leaves copies of a key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.min(FILE_BYTES_MAX) + 1));
    let bound = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX) + 1;
    file.take(bound).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(failed(io::Error::from(ErrorKind::FileTooLarge)));
    }
    Ok(Some(bytes))
}

/// The contents of a file that has to be there.
pub(crate) fn read_needed(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    read(path)?.ok_or_else(|| {
        let what = format!("reading {}", path.display());
        Error::local(what, io::Error::from(ErrorKind::NotFound))
    })
}

/// Whether anybody but its owner may read a file.
pub(crate) fn is_open_to_others(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
}

#[cfg(test)]
mod tests;
