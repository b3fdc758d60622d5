//! Who may depend on whom among our crates: the picture of the architecture as a list.
//!
//! `cvm` composes; adapters (`api`, `aws`, `pki`, `store`) see the core and never each other, but
//! that `aws` keeps the vault of `pki` and signs with its keys.

use std::collections::BTreeSet;

use super::Finding;
use super::graph::{Edge, Kind};

const ANYTHING: &str = "*";

/// Dependencies of a crate and of its build script.
const ALLOWED: &[(&str, &[&str])] = &[
    ("cvm-core", &[]),
    ("cvm-wire", &[]),
    ("cvm-pki", &["cvm-core"]),
    ("cvm-store", &["cvm-core"]),
    ("cvm-api", &["cvm-core", "cvm-wire"]),
    ("cvm-agent", &["cvm-wire"]),
    ("cvm-aws", &["cvm-core", "cvm-pki"]),
    ("cvm-lambda", &["cvm", "cvm-api"]),
    ("cvm-otel", &[]),
    ("cvm-rehearse", &["cvm-agent", "cvm-core", "cvm-wire"]),
    (
        "cvm",
        &[
            "cvm-agent",
            "cvm-api",
            "cvm-aws",
            "cvm-core",
            "cvm-otel",
            "cvm-pki",
            "cvm-rehearse",
            "cvm-store",
            "cvm-wire",
        ],
    ),
    ("cvm-bench", &[ANYTHING]),
    ("cvm-e2e", &[ANYTHING]),
    ("xtask", &[]),
];

/// What the tests of a crate may use besides.
const ALLOWED_IN_TESTS: &[(&str, &[&str])] = &[
    ("cvm-api", &["cvm-pki", "cvm-store"]),
    ("cvm-aws", &["cvm-e2e", "cvm-store"]),
    ("cvm-lambda", &["cvm-e2e"]),
];

pub(super) fn check(members: &BTreeSet<String>, edges: &[Edge]) -> Vec<Finding> {
    let listed: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    let here = "xtask/src/tidy/edges.rs";
    let unlisted = members.iter().filter(|name| !listed.contains(name.as_str())).map(|name| {
        let problem = format!("the crate {name} has no line");
        Finding::new(here, problem, "say what it may depend on, with an ADR for a new crate")
    });
    let gone = listed.iter().filter(|name| !members.contains(**name)).map(|name| {
        let problem = format!("{name} is not a crate of the workspace");
        Finding::new(here, problem, "remove its line")
    });
    let forbidden = edges.iter().filter(|edge| !is_allowed(edge)).map(|edge| {
        let Edge { from, to, .. } = edge;
        let manifest = match from.as_str() {
            "xtask" => "xtask/Cargo.toml".to_owned(),
            "cvm-bench" => "benches/Cargo.toml".to_owned(),
            _ => format!("crates/{from}/Cargo.toml"),
        };
        let problem = match edge.kind {
            Kind::Dev => format!("tests of {from} may not depend on {to}"),
            Kind::Build | Kind::Normal => format!("{from} may not depend on {to}"),
        };
        Finding::new(manifest, problem, "move the code, or pass it through a port of cvm-core")
    });
    unlisted.chain(gone).chain(forbidden).collect()
}

fn is_allowed(edge: &Edge) -> bool {
    let allows = |list: &[(&str, &[&str])]| {
        list.iter().any(|(from, targets)| {
            *from == edge.from && targets.iter().any(|to| *to == ANYTHING || *to == edge.to)
        })
    };
    allows(ALLOWED) || edge.kind == Kind::Dev && allows(ALLOWED_IN_TESTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(from: &str, to: &str, kind: Kind) -> bool {
        is_allowed(&Edge { from: from.to_owned(), to: to.to_owned(), kind })
    }

    #[test]
    fn adapters_see_the_core_and_never_each_other() {
        assert!(allowed("cvm-store", "cvm-core", Kind::Normal));
        assert!(allowed("cvm-store", "cvm-core", Kind::Dev));
        assert!(!allowed("cvm-api", "cvm-store", Kind::Normal));
        assert!(!allowed("cvm-api", "cvm-store", Kind::Build));
        assert!(!allowed("cvm-pki", "cvm-store", Kind::Dev));
        assert!(!allowed("cvm-core", "cvm-wire", Kind::Normal));
    }

    #[test]
    fn tests_of_the_api_may_use_the_real_adapters() {
        assert!(allowed("cvm-api", "cvm-store", Kind::Dev));
        assert!(allowed("cvm-api", "cvm-pki", Kind::Dev));
    }

    #[test]
    fn end_to_end_tests_may_use_anything_and_automation_nothing() {
        assert!(allowed("cvm-e2e", "cvm-pki", Kind::Normal));
        assert!(!allowed("xtask", "cvm-core", Kind::Normal));
    }

    #[test]
    fn the_list_and_the_workspace_must_agree() {
        let mut members: BTreeSet<String> =
            ALLOWED.iter().map(|(name, _)| String::from(*name)).collect();
        assert_eq!(check(&members, &[]), []);
        members.remove("cvm-wire");
        members.insert("cvm-mqtt".to_owned());
        let problems: Vec<String> = check(&members, &[]).into_iter().map(|f| f.problem).collect();
        assert_eq!(
            problems,
            ["the crate cvm-mqtt has no line", "cvm-wire is not a crate of the workspace"]
        );
    }
}
