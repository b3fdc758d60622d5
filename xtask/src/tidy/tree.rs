//! The text files of the repository: those git tracks, and those it would offer to add.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Result;

use crate::process::{command, output};
use crate::workspace;

/// Path from the root, with forward slashes, to text.
#[derive(Default)]
pub(super) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    pub(super) fn read() -> Result<Self> {
        let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let paths = output(&mut command("git", &arguments))?;
        let mut files = BTreeMap::new();
        for path in paths.split_terminator('\0') {
            // Not there or not text: a deletion that is not yet committed, a link, a binary file.
            if let Ok(text) = fs::read_to_string(workspace::root().join(path)) {
                files.insert(path.to_owned(), text);
            }
        }
        Ok(Self { files })
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let owned = |(path, text): &(&str, &str)| (String::from(*path), String::from(*text));
        Self { files: files.iter().map(owned).collect() }
    }

    pub(super) fn get(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }
}
