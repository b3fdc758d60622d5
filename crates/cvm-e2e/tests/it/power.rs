//! Power cuts: that the recorder and its disk lose what a power cut loses and keep what it keeps,
//! and, below, what a cut at every step of a command leaves.

use std::process::Command;

use cvm_e2e::{Disk, Loss, Power, Tree, test_python};

mod device;
mod init;
mod steps;

const SEEDS: u64 = 64;

/// What a Python program leaves that works in an empty directory, where the power is cut at its end.
struct Cut {
    disk: Disk,
}

impl Cut {
    fn after(program: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let power = Power::watch(&root, scratch.path()).unwrap();
        let helpers = "import os\n\
            def sync(path):\n\
            \x20   fd = os.open(path, os.O_RDONLY)\n\
            \x20   os.fsync(fd)\n\
            \x20   os.close(fd)\n\
            def write(path, data, flags=os.O_CREAT | os.O_TRUNC, at=0):\n\
            \x20   fd = os.open(path, os.O_WRONLY | flags, 0o600)\n\
            \x20   os.pwrite(fd, data, at)\n\
            \x20   os.close(fd)\n";
        let mut python = Command::new(test_python().unwrap());
        python.args(["-c", &format!("{helpers}{program}")]).current_dir(&root);
        let output = python.envs(power.variables()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut disk = power.before();
        for change in power.changes().unwrap() {
            disk.apply(change).unwrap();
        }
        // Everything that was seen is what the file system has.
        let mut seen = disk.clone();
        seen.apply(cvm_e2e::Change::SyncAll).unwrap();
        let real = Disk::read(&root).unwrap().after_power_cut(Loss::Everything).unwrap();
        let seen = seen.after_power_cut(Loss::Everything).unwrap();
        assert_eq!(contents(&seen), contents(&real));
        Self { disk }
    }

    fn tree(&self, loss: Loss) -> Tree {
        self.disk.after_power_cut(loss).unwrap()
    }

    /// What was found of a file by any of many seeds.
    fn found(&self, path: &str) -> Vec<Option<Vec<u8>>> {
        let trees = (0..SEEDS).map(|seed| self.tree(Loss::Some(seed)));
        let mut found: Vec<_> = trees.map(|tree| tree.file(path).map(<[u8]>::to_vec)).collect();
        found.sort();
        found.dedup();
        found
    }
}

fn contents(tree: &Tree) -> Vec<(String, Option<Vec<u8>>)> {
    tree.paths().map(|path| (path.to_owned(), tree.file(path).map(<[u8]>::to_vec))).collect()
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    Some(text.as_bytes().to_vec())
}

#[test]
fn what_was_written_and_never_synced_is_lost() {
    let cut = Cut::after("write('f', b'text'); sync('.')");
    assert_eq!(cut.tree(Loss::Everything).file("f"), Some(&b""[..]), "the name was synced");
    assert_eq!(cut.found("f"), [bytes(""), bytes("\0\0\0\0"), bytes("text")]);
}

#[test]
fn what_was_synced_with_its_name_is_kept() {
    let cut = Cut::after("write('f', b'text'); sync('f'); sync('.')");
    assert_eq!(cut.tree(Loss::Everything).file("f"), Some(&b"text"[..]));
    assert_eq!(cut.found("f"), [bytes("text")]);
}

#[test]
fn a_synced_file_whose_directory_was_not_may_have_no_name() {
    let cut = Cut::after("write('f', b'text'); sync('f')");
    assert_eq!(cut.tree(Loss::Everything).file("f"), None);
    assert_eq!(cut.tree(Loss::Contents).file("f"), Some(&b"text"[..]));
    assert_eq!(cut.found("f"), [None, bytes("text")]);
}

#[test]
fn a_rename_lasts_once_its_directory_is_synced() {
    let files = "write('old', b'old'); write('new', b'new'); sync('old'); sync('new'); sync('.');";
    let cut = Cut::after(&format!("{files} os.rename('new', 'old')"));
    assert_eq!(cut.tree(Loss::Everything).file("old"), Some(&b"old"[..]));
    assert_eq!(cut.found("old"), [bytes("new"), bytes("old")], "one or the other, whole");
    let cut = Cut::after(&format!("{files} os.rename('new', 'old'); sync('.')"));
    assert_eq!(cut.found("old"), [bytes("new")]);
}

#[test]
fn a_rename_may_outlive_the_bytes_that_were_not_synced() {
    let cut = Cut::after("write('new', b'new'); os.rename('new', 'old')");
    assert_eq!(cut.tree(Loss::Contents).file("old"), Some(&b""[..]));
}

#[test]
fn names_in_one_directory_change_in_their_order() {
    let cut = Cut::after("write('t', b'x'); sync('t'); os.link('t', 'f'); os.unlink('t')");
    let mut seen: Vec<Vec<String>> = (0..SEEDS)
        .map(|seed| cut.tree(Loss::Some(seed)).paths().map(str::to_owned).collect())
        .collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen, [vec![], vec!["f"], vec!["f", "t"], vec!["t"]]);
}

#[test]
fn a_directory_that_is_in_no_synced_directory_is_lost_with_all_it_holds() {
    let program = "os.mkdir('d'); write('d/f', b'text'); sync('d/f'); sync('d')";
    assert_eq!(Cut::after(program).tree(Loss::Everything).paths().count(), 0);
    let cut = Cut::after(&format!("{program}; sync('.')"));
    assert_eq!(cut.tree(Loss::Everything).file("d/f"), Some(&b"text"[..]));
}

#[test]
fn pages_that_were_not_synced_come_in_any_order_and_torn() {
    let program = "write('f', b'a' * 8192); sync('f'); sync('.')\n\
        write('f', b'b' * 8192, 0)";
    let found = Cut::after(program).found("f");
    let page = |bytes: &Vec<u8>, number: usize| bytes[number * 4096..][..4096].to_vec();
    let is = |bytes: &Option<Vec<u8>>, first: u8, second: u8| {
        let bytes = bytes.as_ref().unwrap();
        page(bytes, 0) == [first; 4096] && page(bytes, 1) == [second; 4096]
    };
    assert!(found.iter().any(|it| is(it, b'a', b'b')), "the second page first");
    assert!(found.iter().any(|it| is(it, b'b', b'a')), "the first page first");
    let is_torn = |it: &Option<Vec<u8>>| {
        let first = page(it.as_ref().unwrap(), 0);
        first.starts_with(b"b") && first.ends_with(b"a")
    };
    assert!(found.iter().any(is_torn), "between sectors");
}

#[test]
fn a_file_that_is_cut_and_written_again_may_be_found_empty() {
    let cut = Cut::after("write('f', b'text'); sync('f'); sync('.'); write('f', b'next')");
    assert_eq!(cut.tree(Loss::Everything).file("f"), Some(&b"text"[..]));
    assert!(cut.found("f").contains(&bytes("")), "which is why nothing is written in place");
}
