//! A disk as a power cut leaves it, by the strictest reading of POSIX.
//!
//! A sync of a file keeps its bytes and its size, and no name of it. A sync of a directory keeps the
//! names in it, and what went with them to another directory. Of what was not synced anything may
//! be lost; what is kept of the names in one directory is what was done to them first (ext4, XFS and
//! btrfs keep that order over the whole file system), and a rename is done or not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::file::{File, mix};
use super::log::Change;
use super::tree::{Entry, Tree};

/// What a power cut takes of that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The contents of files, and no name: a journal without the data it speaks of.
    Contents,
    /// All of it.
    Everything,
    /// Nothing: what a kill leaves, and the page cache still has.
    Nothing,
    /// What this seed says.
    Some(u64),
}

/// A file or directory; a number is given once, other than an inode's.
type Id = usize;

/// What happens to names at once.
#[derive(Clone, Debug)]
struct NameChange {
    takes: Option<(Id, String)>,
    puts: Option<(Id, String, Id)>,
}

impl NameChange {
    fn directories(&self) -> impl Iterator<Item = Id> + use<> {
        let takes = self.takes.as_ref().map(|(directory, _)| *directory);
        takes.into_iter().chain(self.puts.as_ref().map(|(directory, ..)| *directory))
    }

    fn apply(&self, names: &mut Names) {
        if let Some((directory, name)) = &self.takes {
            names.entry(*directory).or_default().remove(name);
        }
        if let Some((directory, name, id)) = &self.puts {
            names.entry(*directory).or_default().insert(name.clone(), *id);
        }
    }
}

type Names = BTreeMap<Id, BTreeMap<String, Id>>;

/// The disk, with all that a process sees and what of it is durable.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    files: BTreeMap<Id, File>,
    /// With their modes; 0 is the root.
    directories: BTreeMap<Id, u32>,
    inodes: HashMap<u64, Id>,
    live: Names,
    durable: Names,
    since: Vec<NameChange>,
}

impl Disk {
    /// What is in a directory now, all of it durable.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(root: &Path) -> Result<Self> {
        let mut disk = Self::default();
        let found = root.metadata()?;
        let id = disk.add_directory(found.ino(), found.mode() & 0o7777);
        disk.read_directory(id, root)?;
        disk.durable.clone_from(&disk.live);
        Ok(disk)
    }

    fn read_directory(&mut self, directory: Id, path: &Path) -> Result<()> {
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name().into_string().ok().context("a name that is no text")?;
            if name.ends_with("-shm") {
                continue;
            }
            let found = entry.metadata()?;
            let mode = found.permissions().mode() & 0o7777;
            let id = match self.inodes.get(&found.ino()) {
                Some(known) => *known,
                None if found.is_dir() => self.add_directory(found.ino(), mode),
                None => self.add_file(found.ino(), File::new(mode, std::fs::read(entry.path())?)),
            };
            self.live.entry(directory).or_default().insert(name, id);
            if found.is_dir() {
                self.read_directory(id, &entry.path())?;
            }
        }
        Ok(())
    }

    fn add_file(&mut self, inode: u64, file: File) -> Id {
        let id = self.files.len() + self.directories.len();
        self.files.insert(id, file);
        self.inodes.insert(inode, id);
        id
    }

    fn add_directory(&mut self, inode: u64, mode: u32) -> Id {
        let id = self.files.len() + self.directories.len();
        self.directories.insert(id, mode);
        self.inodes.insert(inode, id);
        id
    }

    /// Does what the log says.
    ///
    /// # Errors
    /// Where that makes no sense here.
    pub fn apply(&mut self, change: Change) -> Result<()> {
        match change {
            Change::Create { path, inode, mode } => {
                let id = self.add_file(inode, File::new(mode, Vec::new()));
                self.name(None, Some((&path, id)))?;
            }
            Change::MakeDirectory { path, inode, mode } => {
                let id = self.add_directory(inode, mode);
                self.name(None, Some((&path, id)))?;
            }
            Change::Link { from, to } => {
                let id = self.find(&from)?;
                self.name(None, Some((&to, id)))?;
            }
            Change::Remove { path } => self.name(Some(&path), None)?,
            Change::Rename { from, to } => {
                let id = self.find(&from)?;
                self.name(Some(&from), Some((&to, id)))?;
            }
            Change::Speak => {}
            Change::Sync { inode } => self.sync(inode)?,
            Change::SyncAll => {
                self.files.values_mut().for_each(File::sync);
                self.durable.clone_from(&self.live);
                self.since.clear();
            }
            Change::Truncate { inode, length } => self.file(inode)?.truncate(length),
            Change::Write { inode, offset, bytes } => self.file(inode)?.write(offset, bytes),
        }
        Ok(())
    }

    fn file(&mut self, inode: u64) -> Result<&mut File> {
        let id = self.inodes.get(&inode).with_context(|| format!("no inode {inode}"))?;
        self.files.get_mut(id).with_context(|| format!("inode {inode} is no file"))
    }

    fn sync(&mut self, inode: u64) -> Result<()> {
        let id = *self.inodes.get(&inode).with_context(|| format!("no inode {inode}"))?;
        if let Some(file) = self.files.get_mut(&id) {
            file.sync();
            return Ok(());
        }
        // What went with a name to or from another directory, and what happened there before.
        let mut synced = BTreeSet::from([id]);
        let mut is_kept: Vec<bool> = Vec::new();
        for change in self.since.iter().rev() {
            let is_one = change.directories().any(|directory| synced.contains(&directory));
            if is_one {
                synced.extend(change.directories());
            }
            is_kept.push(is_one);
        }
        let since = std::mem::take(&mut self.since);
        for (change, is_kept) in since.into_iter().zip(is_kept.into_iter().rev()) {
            match is_kept {
                true => change.apply(&mut self.durable),
                false => self.since.push(change),
            }
        }
        Ok(())
    }

    fn find(&self, path: &str) -> Result<Id> {
        let parts = path.split('/').filter(|part| !part.is_empty());
        let found = parts.into_iter().try_fold(0, |directory, part| {
            self.live.get(&directory).and_then(|names| names.get(part)).copied()
        });
        found.with_context(|| format!("{path} is not there"))
    }

    fn place(&self, path: &str) -> Result<(Id, String)> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.find(directory)?, name.to_owned()))
    }

    fn name(&mut self, takes: Option<&str>, puts: Option<(&str, Id)>) -> Result<()> {
        let takes = takes.map(|path| self.place(path)).transpose()?;
        let puts = match puts {
            Some((path, id)) => {
                let (directory, name) = self.place(path)?;
                // Two names of one file: rename(2) does nothing.
                if takes.is_some()
                    && self.live.get(&directory).and_then(|names| names.get(&name)) == Some(&id)
                {
                    return Ok(());
                }
                Some((directory, name, id))
            }
            None => None,
        };
        let change = NameChange { takes, puts };
        change.apply(&mut self.live);
        self.since.push(change);
        Ok(())
    }

    /// What a power cut now would leave.
    ///
    /// # Errors
    /// Where names lead in a circle.
    pub fn after_power_cut(&self, loss: Loss) -> Result<Tree> {
        let names = self.names_after(loss);
        let mut tree = Tree::default();
        self.gather(&names, loss, (0, String::new()), &mut tree)?;
        Ok(tree)
    }

    fn names_after(&self, loss: Loss) -> Names {
        let seed = match loss {
            Loss::Everything => return self.durable.clone(),
            Loss::Contents | Loss::Nothing => return self.live.clone(),
            Loss::Some(seed) => seed,
        };
        let mut names = self.durable.clone();
        let mut lost = BTreeSet::new();
        // From one in two, which loses most, to one in sixteen, which keeps most.
        let odds = 2 << (mix(&[seed]) % 4);
        for (number, change) in (0_u64..).zip(&self.since) {
            let is_behind = change.directories().any(|directory| lost.contains(&directory));
            if is_behind || mix(&[seed, number]).is_multiple_of(odds) {
                lost.extend(change.directories());
            } else {
                change.apply(&mut names);
            }
        }
        names
    }

    fn gather(
        &self,
        names: &Names,
        loss: Loss,
        (directory, path): (Id, String),
        tree: &mut Tree,
    ) -> Result<()> {
        if path.len() > 4_096 {
            bail!("a directory is in itself: {path}");
        }
        for (name, id) in names.get(&directory).into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            if let Some(mode) = self.directories.get(id) {
                tree.entries.insert(path.clone(), Entry::Directory { mode: *mode });
                self.gather(names, loss, (*id, path), tree)?;
            } else if let Some(file) = self.files.get(id) {
                let bytes = file.after(loss, u64::try_from(*id)?);
                tree.entries.insert(path, Entry::File { id: *id, mode: file.mode, bytes });
            }
        }
        Ok(())
    }
}
