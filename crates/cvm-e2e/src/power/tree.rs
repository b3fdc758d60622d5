//! Files and directories as they lie on a disk.

use std::collections::{BTreeMap, HashMap};
use std::fs::{DirBuilder, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};

/// What a name stands for.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub(super) enum Entry {
    Directory {
        mode: u32,
    },
    /// Entries with one id are one file.
    File {
        id: usize,
        mode: u32,
        bytes: Vec<u8>,
    },
}

/// A directory's contents, by their paths from it.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub struct Tree {
    pub(super) entries: BTreeMap<String, Entry>,
}

impl Tree {
    /// The contents of a file.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        match self.entries.get(path)? {
            Entry::Directory { .. } => None,
            Entry::File { bytes, .. } => Some(bytes),
        }
    }

    /// All paths, in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The same without the entries whose path begins so.
    #[must_use]
    pub fn without(mut self, start: &str) -> Self {
        self.entries.retain(|path, _| !path.starts_with(start));
        self
    }

    /// The same for the same contents, and hardly for others.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// Puts all of it in the place of what is in a directory.
    ///
    /// # Errors
    /// Where that cannot be written.
    pub fn write_to(&self, root: &Path) -> Result<()> {
        for entry in std::fs::read_dir(root)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => std::fs::remove_dir_all(entry.path())?,
                false => std::fs::remove_file(entry.path())?,
            }
        }
        let mut written = HashMap::new();
        for (path, entry) in &self.entries {
            let path = root.join(path);
            let told = || format!("writing {}", path.display());
            match entry {
                Entry::Directory { mode } => {
                    DirBuilder::new().mode(*mode).create(&path).with_context(told)?;
                }
                Entry::File { id, mode, bytes } => {
                    if let Some(first) = written.insert(*id, path.clone()) {
                        std::fs::hard_link(first, &path).with_context(told)?;
                        continue;
                    }
                    let mut options = OpenOptions::new();
                    let file = options.write(true).create_new(true).mode(*mode).open(&path);
                    file.with_context(told)?.write_all(bytes).with_context(told)?;
                }
            }
        }
        Ok(())
    }
}
