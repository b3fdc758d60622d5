//! Crates of others that nobody may use, or their wrappers alone, as deny.toml lists them.
//!
//! A wrapper guards normal and build dependencies, as cargo-deny does with `exclude-dev`; what is
//! banned outright must not come in by a test either.

use super::Finding;
use super::deny_file::Ban;
use super::graph::{Edge, Kind};

pub(super) fn check(bans: &[Ban], edges: &[Edge]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for ban in bans {
        for edge in edges.iter().filter(|edge| edge.to == ban.name && breaks(ban, edge)) {
            let problem = format!("{} depends on {}: {}", edge.from, ban.name, ban.reason);
            let cure = match ban.wrappers.as_slice() {
                [] => "turn off the feature that asks for it, or choose another crate".to_owned(),
                wrappers => format!("use it through {}", wrappers.join(" or ")),
            };
            findings.push(Finding::new("deny.toml", problem, cure));
        }
    }
    findings
}

fn breaks(ban: &Ban, edge: &Edge) -> bool {
    match (ban.wrappers.as_slice(), edge.kind) {
        ([], _) => true,
        (_, Kind::Dev) => false,
        (wrappers, Kind::Build | Kind::Normal) => !wrappers.contains(&edge.from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_edge(wrappers: &[&str], from: &str, kind: Kind) -> Vec<String> {
        let wrappers = wrappers.iter().map(|name| String::from(*name)).collect();
        let ban = Ban { name: "rcgen".into(), wrappers, reason: "a wall".into() };
        let edge = Edge { from: from.into(), to: "rcgen".into(), kind };
        check(&[ban], &[edge]).into_iter().map(|finding| finding.problem).collect()
    }

    #[test]
    fn a_wrapper_may_and_others_may_not() {
        assert!(check_edge(&["cvm-pki"], "cvm-pki", Kind::Normal).is_empty());
        let problems = check_edge(&["cvm-pki"], "cvm-api", Kind::Normal);
        assert_eq!(problems, ["cvm-api depends on rcgen: a wall"]);
        assert_eq!(check_edge(&["cvm-pki"], "cvm-api", Kind::Build).len(), 1);
    }

    #[test]
    fn tests_may_pass_a_wrapper_but_not_a_ban() {
        assert!(check_edge(&["cvm-pki"], "cvm-api", Kind::Dev).is_empty());
        assert_eq!(check_edge(&[], "cvm-pki", Kind::Dev).len(), 1);
    }
}
