//! Renewals whose power is cut: after every operation on a file, and with any part of what was not
//! synced yet on the disk.

use std::path::Path;

use cvm_agent::enroll::{
    CERTIFICATE_FILE, CHAIN_FILE, ConfirmOptions, KEY_FILE, Outcome, ROOT_CA_FILE, Silent, confirm,
    enroll,
};
use cvm_agent::renew::{Faults, Renewal, renew};

use crate::pki::Pki;
use crate::registry::{Enrolled, Standing};
use crate::server::Answer;

/// More than a renewal has operations.
const OPERATIONS_MAX: u32 = 200;

/// A device whose renewal was cut off after so many operations; `None` once that is none of them.
fn cut_after(operations: u32) -> Option<Enrolled> {
    let device = Enrolled::new();
    // With new roots, so that every file is written.
    let bundle = format!("{}{}", Pki::new("new").root.pem(), device.world.pki.root.pem());
    *device.registry.bundle.lock() = Some(bundle);
    let mut options = device.options();
    options.faults = Faults::after(operations);
    match renew(&options, &Silent) {
        Ok(_) => None,
        Err(fault) => {
            assert_eq!(fault.exit_code(), 77, "{fault}");
            Some(device)
        }
    }
}

/// How often the power can be cut.
fn cuts() -> impl Iterator<Item = (u32, Enrolled)> {
    (0..OPERATIONS_MAX).map_while(|operations| Some((operations, cut_after(operations)?)))
}

fn is_proven(device: &Enrolled) -> bool {
    device.registry.standings() == [Standing::Retiring, Standing::Current]
}

#[test]
fn a_renewal_that_is_cut_off_anywhere_is_completed_by_the_next_run() {
    let mut count = 0;
    let mut mismatches = 0;
    for (operations, device) in cuts() {
        let old_key = device.registry.issued.lock()[0].key.clone();
        if !is_proven(&device) {
            assert!(device.is_pair() && device.key() == old_key, "{operations}: still the old");
        } else if !device.is_pair() {
            mismatches += 1;
        }
        count += 1;
        if !device.names().iter().any(|name| name.ends_with(".next")) && device.key() != old_key {
            // All was renamed, and the last sync alone was cut off.
            device.assert_renewed();
            continue;
        }
        renew(&device.options(), &Silent).unwrap_or_else(|fault| panic!("{operations}: {fault}"));
        device.assert_renewed();
        assert_ne!(device.key(), old_key, "{operations}");
        let keys = device.registry.renewed_keys.lock();
        assert!(keys.iter().all(|key| *key == keys[0]), "{operations}: never a third key");
        assert_eq!(device.registry.issued.lock().len(), 2, "{operations}");
    }
    assert!((25..OPERATIONS_MAX).contains(&count), "{count} operations");
    assert_eq!(mismatches, 1, "only between two renames");
}

#[test]
fn a_second_power_cut_does_no_more_harm_than_the_first() {
    for (operations, device) in cuts() {
        let mut options = device.options();
        options.faults = Faults::after(operations * 7 % 23);
        drop(renew(&options, &Silent));
        renew(&device.options(), &Silent).unwrap_or_else(|fault| panic!("{operations}: {fault}"));
        // Where the second run came to its end, the third was a renewal of its own.
        device.assert_renewed();
    }
}

#[test]
fn an_enrollment_that_is_run_again_finds_a_whole_set_after_any_power_cut() {
    for (operations, device) in cuts() {
        let enrollment = device.world.options(&device.server, device.world.root_file());
        let again = enroll(&enrollment, &Silent).unwrap();
        assert_eq!(again.outcome, Outcome::AlreadyThere, "{operations}");
        assert!(device.is_pair(), "{operations}");
        if is_proven(&device) {
            // Where nothing was renamed yet, what is in use is retiring.
            let is_new = device.certificate() == 1;
            let confirmed = confirm(&device.world.out(), &ConfirmOptions::default(), &Silent);
            assert_eq!(confirmed.is_ok(), is_new, "{operations}");
        }
    }
}

#[test]
fn a_candidate_that_was_revoked_is_replaced_after_any_power_cut() {
    for operations in 0..OPERATIONS_MAX {
        let device = Enrolled::new();
        *device.registry.loses.lock() = Some("/confirm");
        renew(&device.options(), &Silent).unwrap_err();
        device.registry.end(1, "certificate-revoked");
        device.registry.issued.lock()[0].standing = Standing::Current;
        let mut options = device.options();
        options.faults = Faults::after(operations);
        let is_whole = renew(&options, &Silent).is_ok();
        if !is_whole {
            drop(renew(&device.options(), &Silent));
        }
        device.assert_renewed();
        if is_whole {
            return;
        }
    }
    panic!("it never came to its end");
}

/// A device whose certificate is proven and whose files are all still to be renamed.
fn proven() -> Enrolled {
    let is_untouched = |device: &Enrolled| is_proven(device) && device.certificate() == 0;
    let (_, device) = cuts().find(|(_, device)| is_untouched(device) && device.is_pair()).unwrap();
    device
}

#[test]
fn any_of_the_renames_may_have_survived_a_power_cut() {
    let names = [KEY_FILE, CERTIFICATE_FILE, CHAIN_FILE, ROOT_CA_FILE];
    let original = proven();
    let out = original.world.out();
    let kept = original.world.home.path().join("kept");
    copy(&out, &kept);
    for survived in 0_u32..1 << names.len() {
        std::fs::remove_dir_all(&out).unwrap();
        copy(&kept, &out);
        let is_survivor = |index: usize| survived & 1 << index != 0;
        for (_, name) in names.iter().enumerate().filter(|(index, _)| is_survivor(*index)) {
            std::fs::rename(out.join(format!("{name}.next")), out.join(name)).unwrap();
        }
        // Where it shows that the certificate was proven, no server is needed.
        let is_shown = (0..3).any(is_survivor);
        if is_shown {
            *original.registry.instead.lock() = vec![Answer::HangUp];
        }
        let done = renew(&original.options(), &Silent).unwrap();
        assert_eq!(matches!(done, Renewal::AlreadyRenewed { .. }), is_shown, "{survived:b}");
        original.registry.instead.lock().clear();
        original.assert_renewed();
        let roots = std::fs::read_to_string(out.join(ROOT_CA_FILE)).unwrap();
        assert_eq!(roots.matches("BEGIN CERTIFICATE").count(), 2, "{survived:b}");
    }
}

#[test]
fn a_key_that_somebody_removed_is_not_taken_for_a_promotion() {
    let device = proven();
    std::fs::remove_file(device.world.out().join("device.key.next")).unwrap();
    let fault = renew(&device.options(), &Silent).unwrap_err();
    // The old certificate retires by now, and the new one has lost its key.
    assert_eq!(fault.slug(), "certificate-superseded", "{fault}");
    assert!(device.is_pair());
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
