//! What the recorder (`power/power.c`) wrote, read back.

use anyhow::{Context as _, Result, bail};

/// One change to the files below the root, in the order in which they were done. Paths start at the
/// root, which is itself the empty one; inodes have the numbers of the real file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A file that was not there was made.
    Create {
        /// Its name.
        path: String,
        /// Its inode.
        inode: u64,
        /// Who may read it.
        mode: u32,
    },
    /// A file got a second name.
    Link {
        /// The first.
        from: String,
        /// The second.
        to: String,
    },
    /// A directory was made.
    MakeDirectory {
        /// Its name.
        path: String,
        /// Its inode.
        inode: u64,
        /// Who may read it.
        mode: u32,
    },
    /// A name was taken away.
    Remove {
        /// Which.
        path: String,
    },
    /// A name was changed, over another where there was one.
    Rename {
        /// From this.
        from: String,
        /// To this.
        to: String,
    },
    /// Something was about to be sent to another process.
    Speak,
    /// A file or directory was synced.
    Sync {
        /// Which.
        inode: u64,
    },
    /// Everything was synced.
    SyncAll,
    /// A file was cut, or made longer.
    Truncate {
        /// Which.
        inode: u64,
        /// To so many bytes.
        length: u64,
    },
    /// Bytes were written.
    Write {
        /// To which file.
        inode: u64,
        /// Where.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
}

const HEADER_BYTES: usize = 32;

/// The changes in a log, each with the log's length after it. One that a kill tore was not done as
/// far as anybody knows.
pub(super) fn parse(log: &[u8]) -> Result<Vec<(usize, Change)>> {
    let (mut changes, mut left) = (Vec::new(), log);
    while let Some((change, rest)) = next(left)? {
        changes.push((log.len() - rest.len(), change));
        left = rest;
    }
    Ok(changes)
}

fn next(log: &[u8]) -> Result<Option<(Change, &[u8])>> {
    let Some((header, rest)) = log.split_at_checked(HEADER_BYTES) else { return Ok(None) };
    let mut words = header.chunks_exact(4).filter_map(|four| four.try_into().ok());
    let mut word = || words.next().map(u32::from_le_bytes).context("a short header");
    let (kind, first, second, payload) = (word()?, word()?, word()?, word()?);
    let mut wide = || Ok::<_, anyhow::Error>(u64::from(word()?) | u64::from(word()?) << 32);
    let (inode, number) = (wide()?, wide()?);
    let Some((first, rest)) = rest.split_at_checked(usize::try_from(first)?) else {
        return Ok(None);
    };
    let Some((second, rest)) = rest.split_at_checked(usize::try_from(second)?) else {
        return Ok(None);
    };
    let Some((payload, rest)) = rest.split_at_checked(usize::try_from(payload)?) else {
        return Ok(None);
    };
    let text = |bytes: &[u8]| Ok::<_, anyhow::Error>(std::str::from_utf8(bytes)?.to_owned());
    let (path, to) = (text(first)?, text(second)?);
    let change = match kind {
        1 => Change::Create { path, inode, mode: u32::try_from(number)? },
        2 => Change::Write { inode, offset: number, bytes: payload.to_vec() },
        3 => Change::Truncate { inode, length: number },
        4 => Change::Sync { inode },
        5 => Change::SyncAll,
        6 => Change::MakeDirectory { path, inode, mode: u32::try_from(number)? },
        7 => Change::Rename { from: path, to },
        8 => Change::Link { from: path, to },
        9 => Change::Remove { path },
        10 => Change::Speak,
        _ => bail!("the recorder has no words for what was done: {path}"),
    };
    Ok(Some((change, rest)))
}
