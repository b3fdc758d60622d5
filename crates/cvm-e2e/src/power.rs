//! Power cuts without a power switch: a recorder under the real programs (`power/power.c`, preloaded)
//! logs every change to the files below a directory, and a model of a disk says what a cut at any
//! moment of the log would have left. Needs a C compiler and no privileges.

mod disk;
mod file;
mod log;
mod tree;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

pub use disk::{Disk, Loss};
pub use log::Change;
pub use tree::Tree;

/// A directory that is watched, from a moment on.
#[derive(Debug)]
pub struct Power {
    root: PathBuf,
    layer: PathBuf,
    log: PathBuf,
    before: Disk,
}

impl Power {
    /// Watches what programs with [`Self::variables`] do to the files below `root`, which exists.
    /// The recorder, if it is not there, and its log are put into `scratch`, which is not below it.
    ///
    /// # Errors
    /// Where there is no C compiler.
    pub fn watch(root: &Path, scratch: &Path) -> Result<Self> {
        let (layer, log) = (scratch.join("power.so"), scratch.join("power.log"));
        if !layer.exists() {
            compile(&layer)?;
        }
        let mut power = Self { root: root.to_owned(), layer, log, before: Disk::default() };
        power.again()?;
        Ok(power)
    }

    /// Begins anew with what is there now. Nobody may be at work below the root.
    ///
    /// # Errors
    /// Where the root cannot be read.
    pub fn again(&mut self) -> Result<()> {
        std::fs::write(&self.log, b"")?;
        self.before = Disk::read(&self.root)?;
        Ok(())
    }

    /// What a program is to have in its environment.
    #[must_use]
    pub fn variables(&self) -> Vec<(OsString, OsString)> {
        let pairs =
            [("LD_PRELOAD", &self.layer), ("POWER_LOG", &self.log), ("POWER_ROOT", &self.root)];
        pairs.map(|(name, value)| (name.into(), value.as_os_str().to_owned())).to_vec()
    }

    /// The same, for a process that ends as by `kill -9` right after so many steps, counted from 1.
    /// Steps are what is done to files, and what is about to be told to others.
    #[must_use]
    pub fn variables_until(&self, steps: usize) -> Vec<(OsString, OsString)> {
        let mut variables = self.variables();
        variables.push(("POWER_STEPS".into(), steps.to_string().into()));
        variables
    }

    /// What lay below the root when watching began.
    #[must_use]
    pub fn before(&self) -> Disk {
        self.before.clone()
    }

    /// What was done since.
    ///
    /// # Errors
    /// Where the log is damaged, or something was done that it has no words for.
    pub fn changes(&self) -> Result<Vec<Change>> {
        Ok(self.timed_changes()?.into_iter().map(|(_, change)| change).collect())
    }

    /// The same, each with what [`Self::log`] was long after it.
    ///
    /// # Errors
    /// As [`Self::changes`].
    pub fn timed_changes(&self) -> Result<Vec<(usize, Change)>> {
        log::parse(&std::fs::read(&self.log)?)
    }

    /// Where the log is, whose length is the time of what is watched.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Cuts the power after everything that was done, puts what that leaves in the root's place, and
    /// begins anew. Whoever was at work below the root has been killed.
    ///
    /// # Errors
    /// As [`Self::changes`], and where the root cannot be written.
    pub fn cut(&mut self, loss: Loss) -> Result<()> {
        let mut disk = self.before();
        for change in self.changes()? {
            disk.apply(change)?;
        }
        disk.after_power_cut(loss)?.write_to(&self.root)?;
        self.again()
    }
}

fn compile(layer: &Path) -> Result<()> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/power/power.c");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-pthread", "-O2", "-Wall", "-Wextra", "-Werror"])
        // The checked variants of the calls that are stood in for would be other functions.
        .args(["-U_FORTIFY_SOURCE", source, "-o"])
        .arg(layer)
        .status()
        .context("cc is missing: the recorder of power cuts is written in C")?;
    ensure!(compiled.success(), "cc does not compile {source}");
    Ok(())
}
