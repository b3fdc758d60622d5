//! What badkeys calls weak, we refuse; what it takes, we take. Its checks need no download here.

use std::collections::BTreeMap;

use cvm_core::key::{CsrError, WeakKey};
use cvm_core::ports::Issuer as _;
use serde::Deserialize;

use crate::support::{Home, KEY_KINDS, python, run, text};

#[derive(Deserialize)]
struct Case {
    csr: String,
    key: String,
}

/// Checks that look at the key alone; `blocklist` would need its list.
const CHECKS: &str = "fermat,roca,smallfactors,rsainvalid,pattern,xzbackdoor";

/// The checks that found something.
fn badkeys(home: &Home, key: &str) -> Vec<String> {
    let path = home.file("judged.pem", key);
    let arguments = ["--checks", CHECKS, "--json", "--all", text(&path)];
    let output = std::process::Command::new(python().with_file_name("badkeys"))
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let judged: serde_json::Value =
        serde_json::from_str(said.trim()).unwrap_or_else(|error| panic!("{error}: {said}"));
    judged["results"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn badkeys_and_we_agree_on_weak_rsa_keys() {
    let home = Home::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/weak_keys.py");
    let cases: BTreeMap<String, Case> = serde_json::from_str(&run(python(), &[script])).unwrap();
    assert_eq!(cases.len(), 7);
    for (name, case) in cases {
        let found = badkeys(&home, &case.key);
        let csr = home.issuer.csr_parse(&case.csr).unwrap();
        let checked = home.issuer.csr_check(&csr).map(|_| ());
        let (theirs, ours) = match name.as_str() {
            "good" => (&[][..], None),
            "close-primes" | "same-prime-gap-2" => (&["fermat"][..], Some(WeakKey::ClosePrimes)),
            "roca" => (&["roca"][..], Some(WeakKey::Roca)),
            "small-factor" => (&["smallfactors"][..], Some(WeakKey::SmallFactor)),
            // Not weak by itself: we want one exponent, and 2048 bits.
            "exponent-3" => (&[][..], Some(WeakKey::Exponent)),
            "short" => (&[][..], Some(WeakKey::Size)),
            other => panic!("{other}"),
        };
        assert_eq!(found, theirs, "{name}");
        assert_eq!(
            checked,
            ours.map_or(Ok(()), |weakness| Err(CsrError::Weak(weakness))),
            "{name}"
        );
    }
}

#[test]
fn badkeys_and_we_agree_on_good_keys() {
    let home = Home::new();
    for (name, options) in KEY_KINDS {
        let (key, csr) = home.request(name, options);
        home.check(&csr);
        let public = run("openssl", &["pkey", "-in", text(&key), "-pubout"]);
        assert_eq!(badkeys(&home, &public), Vec::<String>::new(), "{name}");
    }
}
