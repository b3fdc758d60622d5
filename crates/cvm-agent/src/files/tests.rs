//! Files: modes, exclusiveness, locks, bounds, faults.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_directory_is_made_private_with_its_parents() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a/b");
    let directory = Directory::open(&path).unwrap();
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&home.path().join("a")), 0o700);
    directory.create("key", b"1", Mode::Private).unwrap();
    directory.replace("pem", b"2", Mode::Public).unwrap();
    assert_eq!(mode(&path.join("key")), 0o600);
    let names = std::fs::read_dir(&path).unwrap().count();
    assert_eq!(names, 2, "nothing temporary is left");
}

#[test]
fn what_is_created_is_never_written_over() {
    let home = tempfile::tempdir().unwrap();
    let directory = Directory::open(home.path()).unwrap();
    directory.create("key", b"first", Mode::Private).unwrap();
    let fault = directory.create("key", b"second", Mode::Private);
    assert_eq!(fault.unwrap_err().exit_code(), 77);
    let kept = read(&directory.file("key")).unwrap().unwrap();
    assert_eq!(kept.as_slice(), b"first");
    directory.replace("key", b"third", Mode::Private).unwrap();
    let kept = read(&directory.file("key")).unwrap().unwrap();
    assert_eq!(kept.as_slice(), b"third");
}

#[test]
fn a_temporary_file_of_a_crash_is_in_nobodys_way() {
    let home = tempfile::tempdir().unwrap();
    let directory = Directory::open(home.path()).unwrap();
    std::fs::write(home.path().join(".key.tmp"), "half").unwrap();
    directory.create("key", b"whole", Mode::Private).unwrap();
    assert!(!home.path().join(".key.tmp").exists());
}

#[test]
fn two_at_once_are_one_too_many() {
    let home = tempfile::tempdir().unwrap();
    let first = Directory::open(home.path()).unwrap();
    assert_eq!(Directory::open(home.path()).unwrap_err().exit_code(), 75);
    drop(first);
    assert!(Directory::open(home.path()).is_ok());
}

#[test]
fn a_file_is_read_up_to_its_bound() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("file");
    assert!(read(&path).unwrap().is_none());
    assert_eq!(read_needed(&path).unwrap_err().exit_code(), 77);
    std::fs::write(&path, vec![b'a'; FILE_BYTES_MAX]).unwrap();
    assert_eq!(read(&path).unwrap().unwrap().len(), FILE_BYTES_MAX);
    std::fs::write(&path, vec![b'a'; FILE_BYTES_MAX + 1]).unwrap();
    assert_eq!(read(&path).unwrap_err().exit_code(), 77);
}

#[test]
fn a_place_that_cannot_be_written_is_a_local_fault() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(Directory::open(&file).unwrap_err().exit_code(), 77);
    assert_eq!(Directory::open(&file.join("x")).unwrap_err().exit_code(), 77);
    // Nobody may write there, not even root.
    let kernel = Path::new("/proc/self");
    let fault = Directory::open(kernel).unwrap();
    let fault = fault.replace("device.pem", b"", Mode::Public).unwrap_err();
    assert_eq!(fault.exit_code(), 77);
}
