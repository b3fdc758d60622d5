//! Files that must survive a power cut and be read by nobody else: written beside, synced, renamed,
//! directory synced. Directories are 0700, files 0600.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use cvm_core::id::hex;

use crate::entropy::random;

/// Makes `path` a directory of mode 0700; one that exists is kept and its mode set.
pub(crate) fn directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        }
        Err(error) => Err(error),
        // The entry in the parent is durable too.
        Ok(()) => path.parent().map_or(Ok(()), sync_directory),
    }
}

/// Makes `path` a directory where there is none, and what leads to it, of mode 0700 and with durable
/// names. One that exists is left as it is.
///
/// # Errors
/// Whatever the file system answers.
pub fn directories(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        directories(parent)?;
    }
    directory(path)
}

/// Writes a file that does not exist yet: afterwards all of it is there, or nothing.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] where it exists: it is left as it is.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A hard link fails where the name exists, which a rename would not.
    write_with(path, bytes, |temporary| {
        fs::hard_link(temporary, path)?;
        fs::remove_file(temporary)
    })
}

/// Writes a file in the place of what is there: afterwards the old or the new one is, whole.
///
/// # Errors
/// Whatever the file system answers.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, bytes, |temporary| fs::rename(temporary, path))
}

fn write_with(
    path: &Path,
    bytes: &[u8],
    publish: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(io::Error::from(io::ErrorKind::InvalidInput)),
    };
    let temporary = temporary(directory);
    let written = write_temporary(&temporary, bytes).and_then(|()| publish(&temporary));
    if let Err(error) = written {
        // The first error is the one to tell; the leftover is harmless.
        drop(fs::remove_file(&temporary));
        return Err(error);
    }
    sync_directory(directory)
}

fn temporary(directory: &Path) -> PathBuf {
    directory.join(format!(".new-{}", hex(&random::<8>())))
}

fn write_temporary(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_private_and_never_overwrites() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        write_new(&path, b"one").unwrap();
        assert_eq!(mode(&path), 0o600);
        let error = write_new(&path, b"two").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        replace(&path, b"three").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"three".to_vec(), 0o600));
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn directories_that_exist_are_left_as_they_are_and_others_are_private() {
        let scratch = tempfile::tempdir().unwrap();
        let open = scratch.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        directories(&open.join("a/b")).unwrap();
        directories(&open.join("a/b")).unwrap();
        let modes = ["", "a", "a/b"].map(|path| mode(&open.join(path)));
        assert_eq!(modes, [0o755, 0o700, 0o700]);
        fs::write(open.join("file"), b"").unwrap();
        assert!(directories(&open.join("file/a")).is_err());
    }

    #[test]
    fn a_directory_is_private_even_where_it_existed() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("dir");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        directory(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        fs::write(scratch.path().join("file"), b"").unwrap();
        assert!(directory(&scratch.path().join("file")).is_err());
    }
}
