//! Two thousand vends while one answer in twenty is lost and the server ends fifty times at moments
//! that nobody chose: by `kill -9`, which the page cache survives, and by power cuts, which it does
//! not. Every device gets there by asking again, and what any of them ever got is on record.

mod fleet;

use std::collections::BTreeSet;

use cvm_e2e::{Environment, Loss};
use rusqlite::Connection;

use fleet::{Fleet, assert_whole};

const DEVICES: usize = 2_000;
const ENDS: usize = 50;

/// A power cut that takes all it can, one that takes contents and no names, and then what luck says.
fn loss(number: usize) -> Loss {
    match number % 4 {
        0 => Loss::Everything,
        1 => Loss::Contents,
        _ => Loss::Some(u64::try_from(number).unwrap()),
    }
}

/// A server whose data directory is watched before anything is in its registry.
fn watched(settings: &[(&str, &str)]) -> Environment {
    let mut environment = Environment::new(settings).unwrap();
    environment.init(&["--unsealed"]).unwrap();
    environment.watch_power().unwrap();
    environment.serve().unwrap();
    environment
}

#[test]
fn fifty_kills_among_two_thousand_vends_lose_nothing_and_double_nothing() {
    let mut environment = Environment::start(&[]).unwrap();
    let fleet = Fleet::register(&environment, DEVICES);
    fleet.vend_while(&mut environment, ENDS, |environment, _| environment.kill().unwrap());
    fleet.check_all_there(&environment);
    fleet.check_files(&mut environment);
}

#[test]
fn fifty_power_cuts_among_two_thousand_vends_lose_nothing_and_double_nothing() {
    let mut environment = watched(&[]);
    let fleet = Fleet::register(&environment, DEVICES);
    fleet.vend_while(&mut environment, ENDS, |environment, number| {
        environment.cut_power(loss(number)).unwrap();
    });
    fleet.check_all_there(&environment);
    fleet.check_files(&mut environment);
}

/// How many moments are looked at, of one load.
const MOMENTS: usize = 100;

#[test]
fn at_any_moment_the_disk_has_what_any_device_holds() {
    let mut environment = watched(&[]);
    let fleet = Fleet::register(&environment, 200);
    fleet.vend_while(&mut environment, 0, |_, _| {});
    environment.kill().unwrap();
    let power = environment.power().unwrap();
    let (mut disk, changes) = (power.before(), power.timed_changes().unwrap());
    let acknowledged = fleet.acknowledged();
    let first = acknowledged.iter().map(|it| it.log_length).min().unwrap();
    let during = changes.iter().filter(|(log_length, _)| *log_length >= first).count();
    let begun = changes.len() - during;
    let mut seen = 0;
    for (number, (log_length, change)) in changes.into_iter().enumerate() {
        disk.apply(change).unwrap();
        if number < begun || (number - begun) * MOMENTS / during < seen {
            continue;
        }
        seen += 1;
        let loss = loss(number);
        let told = format!("change {number}, {loss:?}");
        let place = tempfile::tempdir().unwrap();
        disk.after_power_cut(loss).unwrap().write_to(place.path()).unwrap();
        let database = Connection::open(place.path().join("cvm.db")).unwrap();
        assert_whole(&database, &told);
        let mut ids = database.prepare("SELECT lower(hex(id)) FROM certificate").unwrap();
        let ids: Result<BTreeSet<String>, _> =
            ids.query_map([], |row| row.get(0)).unwrap().collect();
        let ids = ids.unwrap();
        let told_by_then = acknowledged.iter().filter(|it| it.log_length <= log_length);
        let missing = told_by_then.filter(|it| !ids.contains(&it.id)).count();
        assert_eq!(missing, 0, "{told}: of {} on record", ids.len());
    }
    assert!(seen >= MOMENTS, "{seen}");
}

#[test]
fn a_store_that_never_syncs_loses_to_a_power_cut_what_devices_hold() {
    let mut environment = watched(&[]);
    let fleet = Fleet::register(&environment, 40);
    assert_eq!(environment.terminate().unwrap(), Some(0));
    environment.set("store.url", "sqlite:cvm.db?synchronous=off");
    environment.cut_power(Loss::Everything).unwrap();
    environment.serve().unwrap();
    fleet.serve(&environment);
    assert!(environment.log().contains("a power cut LOSES certificates"), "it is warned of");
    let (_, told, _) = environment.run(&["doctor"]).unwrap();
    assert!(told.contains("is never synced"), "{told}");
    fleet.vend_while(&mut environment, 0, |_, _| {});
    assert_eq!(fleet.missing(&environment), 0, "all are there as long as the machine runs");
    environment.cut_power(Loss::Everything).unwrap();
    environment.serve().unwrap();
    assert!(fleet.missing(&environment) > 0, "the check above would see what is lost");
}
