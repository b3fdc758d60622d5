//! The file of the tokens that are made here: CSV `serial,token`, private, locked while an import
//! runs, and synced before a row is sent. Appended to; only tokens that never came to be registered
//! are taken out again.

mod read;

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cvm_core::id::SerialNumber;
use cvm_core::token::Token;
use cvm_pki::SystemEntropy;
use zeroize::Zeroizing;

use super::block::{Origin, ROWS_MAX};
use crate::failure::{Exit, Failure};

const PRIVATE: u32 = 0o600;
/// A serial number, a comma, a token as they are made here, a line's end.
const LINE_BYTES_MAX: usize = 64 + 1 + 35 + 1;
/// How often a file that others replace at the same moment is opened again.
const OPENS_MAX: usize = 8;

/// The tokens file, locked for as long as this lives.
pub(super) struct Tokens {
    path: PathBuf,
    file: File,
    length: u64,
    /// What was in it and no row has asked for yet.
    known: HashMap<Box<str>, Token>,
    unwritten: Zeroizing<String>,
}

impl Tokens {
    /// Opens the file or makes it, reads it, and mends what a power cut left of its end; says what
    /// was mended.
    ///
    /// # Errors
    /// Where it is no tokens file, another import has it, or it cannot be used.
    pub(super) fn open(path: &Path) -> Result<(Self, Option<String>), Failure> {
        let file = open_locked(path)?;
        let fault = |error: io::Error| Failure::file("using the tokens file", path, &error);
        // What is replaced later is the file itself, wherever a link to it lies.
        let path = path.canonicalize().map_err(fault)?;
        let unwritten = Zeroizing::new(String::with_capacity(ROWS_MAX * LINE_BYTES_MAX));
        let mut tokens = Self { path, file, length: 0, known: HashMap::new(), unwritten };
        let mended = tokens.load()?;
        // Only now: a file that is something else keeps its mode.
        let private = Permissions::from_mode(PRIVATE);
        tokens.file.set_permissions(private).map_err(|error| tokens.fault(&error))?;
        Ok((tokens, mended))
    }

    fn load(&mut self) -> Result<Option<String>, Failure> {
        let size = self.file.metadata().map_err(|error| self.fault(&error))?.len();
        let room = usize::try_from(size).unwrap_or_default().saturating_add(1);
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        self.file.read_to_end(&mut bytes).map_err(|error| self.fault(&error))?;
        let torn_max = ROWS_MAX * LINE_BYTES_MAX;
        let found = read::lines(&bytes, torn_max).map_err(|what| {
            Failure::new(Exit::Failed, format!("{} {what}", self.path.display()))
        })?;
        self.known = found.tokens;
        self.length = found.whole as u64;
        let is_torn = found.whole < bytes.len();
        if is_torn {
            self.file.set_len(self.length).map_err(|error| self.fault(&error))?;
        }
        self.unwritten.push_str(found.missing);
        self.sync()?;
        // A run that was killed may have written what it did not come to sync.
        let synced = self.file.sync_all().and_then(|()| sync_directory(&self.path));
        synced.map_err(|error| self.fault(&error))?;
        Ok(is_torn.then(|| {
            format!(
                "{}: its last {} bytes were written when the power went, and never used: they are \
                 cut off",
                self.path.display(),
                bytes.len() - found.whole
            )
        }))
    }

    /// The token of a device: the one that the file has, or a new one, which [`Self::sync`] writes.
    pub(super) fn token_of(&mut self, serial: &SerialNumber) -> (Token, Origin) {
        if let Some(token) = self.known.remove(serial.as_str()) {
            return (token, Origin::FoundHere);
        }
        let token = Token::generate(&SystemEntropy);
        self.unwritten.push_str(serial.as_str());
        self.unwritten.push(',');
        self.unwritten.push_str(token.expose());
        self.unwritten.push('\n');
        (token, Origin::MadeNow)
    }

    /// Returns when every token that was made will survive a power cut.
    ///
    /// # Errors
    /// Where it is not so: then none of those tokens may be sent.
    pub(super) fn sync(&mut self) -> Result<(), Failure> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(self.unwritten.as_bytes());
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            // The error above is the one to tell; a torn end is mended by the next run too.
            drop(self.file.set_len(self.length));
            return Err(self.fault(&error));
        }
        self.length += self.unwritten.len() as u64;
        // Zeroizes what was there, and keeps the room: a text that grows leaves copies behind.
        self.unwritten.replace_range(.., "");
        Ok(())
    }

    /// Takes the tokens of `serials` out, in one step: a kill leaves the old file or the new one.
    ///
    /// # Errors
    /// Where the file cannot be written anew; it is as it was.
    pub(super) fn forget(&mut self, serials: &HashSet<&str>) -> Result<(), Failure> {
        if serials.is_empty() {
            return Ok(());
        }
        self.rewrite(serials).map_err(|error| self.fault(&error))
    }

    fn rewrite(&mut self, serials: &HashSet<&str>) -> io::Result<()> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        // Of a run that was killed here; nobody else writes it while we hold the lock.
        if let Err(error) = std::fs::remove_file(&beside)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut options = OpenOptions::new();
        let new = options.read(true).append(true).create_new(true).mode(PRIVATE).open(&beside)?;
        // Ours from its first moment in its place.
        let _no_locks_here = new.try_lock();
        let mut writer = BufWriter::new(&new);
        self.file.seek(SeekFrom::Start(0))?;
        let mut lines = BufReader::new(&self.file);
        let mut line = Zeroizing::new(String::with_capacity(512));
        while lines.read_line(&mut line)? > 0 {
            let serial = line.split_once(',').map_or("", |(serial, _)| serial);
            if !serials.contains(serial) {
                writer.write_all(line.as_bytes())?;
            }
            line.clear();
        }
        writer.flush()?;
        drop(writer);
        new.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        self.length = new.metadata()?.len();
        self.file = new;
        sync_directory(&self.path)
    }

    fn fault(&self, error: &io::Error) -> Failure {
        Failure::file("using the tokens file", &self.path, error)
    }
}

/// Opens the file and takes its lock; another import may replace it between the two.
fn open_locked(path: &Path) -> Result<File, Failure> {
    let fault = |error: io::Error| Failure::file("opening the tokens file", path, &error);
    for _ in 0..OPENS_MAX {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(PRIVATE).open(path);
        let file = file.map_err(fault)?;
        // A file system that knows no locks is no reason to refuse.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let what = format!("another import is at work with {}", path.display());
            return Err(Failure::new(Exit::Failed, what).cure("wait for its end"));
        }
        let (ours, there) = (file.metadata().map_err(fault)?, std::fs::metadata(path));
        if !ours.is_file() {
            let what = format!("{} is no file that tokens can be kept in", path.display());
            return Err(Failure::new(Exit::Failed, what));
        }
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            return Ok(file);
        }
    }
    let what = format!("{} is replaced again and again while it is opened", path.display());
    Err(Failure::new(Exit::Failed, what))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
