//! Power cuts of a real file system: the data directory lies on an ext4 on a loop device, which is
//! shut down under load with nothing more written back. Needs root, so `cargo xtask power` runs it,
//! by hand, and not every test run; what every run does with a recorder is in `tests/it/faults.rs`.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod disk;
#[expect(dead_code, reason = "the log's length is the time where a recorder watches")]
#[path = "../it/faults/fleet.rs"]
mod fleet;

use cvm_e2e::Environment;

use disk::Disk;
use fleet::Fleet;

const DEVICES: usize = 2_000;
const ENDS: usize = 50;

/// A server whose data directory is a file system of its own.
fn on_ext4() -> (Environment, Disk) {
    let mut environment = Environment::new(&[]).unwrap();
    environment.init(&["--unsealed"]).unwrap();
    let disk = Disk::under(&environment.data(), environment.scratch()).unwrap();
    environment.serve().unwrap();
    (environment, disk)
}

#[test]
fn fifty_power_cuts_among_two_thousand_vends_lose_nothing_and_double_nothing() {
    let (mut environment, disk) = on_ext4();
    let fleet = Fleet::register(&environment, DEVICES);
    fleet.vend_while(&mut environment, ENDS, |environment, number| {
        disk.cut(environment).unwrap();
        environment.serve().unwrap();
        assert_eq!(fleet.missing(environment), 0, "after cut {number}");
        environment.kill().unwrap();
    });
    fleet.check_all_there(&environment);
    fleet.check_files(&mut environment);
    drop(disk);
}

#[test]
fn a_store_that_never_syncs_loses_to_a_power_cut_what_devices_hold() {
    let (mut environment, disk) = on_ext4();
    let fleet = Fleet::register(&environment, 200);
    assert_eq!(environment.terminate().unwrap(), Some(0));
    environment.set("store.url", "sqlite:cvm.db?synchronous=off");
    environment.serve().unwrap();
    fleet.serve(&environment);
    disk.sync().unwrap();
    fleet.vend_while(&mut environment, 0, |_, _| {});
    disk.cut(&mut environment).unwrap();
    environment.serve().unwrap();
    assert!(fleet.missing(&environment) > 0, "the check above would see what is lost");
    drop(disk);
}
