//! The licence of every crate of others, against the list that deny.toml allows.

use std::collections::BTreeSet;

use super::Finding;
use super::graph::External;
use super::spdx;

pub(super) fn check(allowed: &BTreeSet<String>, packages: &[External]) -> Vec<Finding> {
    packages.iter().filter_map(|package| check_package(allowed, package)).collect()
}

fn check_package(allowed: &BTreeSet<String>, package: &External) -> Option<Finding> {
    let problem = match package.licence.as_deref() {
        None => "names no licence".to_owned(),
        Some(licence) => match spdx::is_satisfied(licence, allowed) {
            Ok(true) => return None,
            Ok(false) => format!("has the licence {licence}, which is not allowed"),
            Err(error) => format!("has the licence {licence:?}, which cannot be read: {error}"),
        },
    };
    let problem = format!("{} {} {problem}", package.name, package.version);
    Some(Finding::new("deny.toml", problem, "choose another crate, or allow it with an ADR"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_licence(licence: Option<&str>) -> Option<String> {
        let licence = licence.map(String::from);
        let package = External { name: "log".into(), version: "1.0.0".into(), licence };
        let allowed = BTreeSet::from(["MIT".to_owned()]);
        check_package(&allowed, &package).map(|finding| finding.problem)
    }

    #[test]
    fn a_crate_needs_an_allowed_licence_that_can_be_read() {
        assert_eq!(check_licence(Some("MIT OR Apache-2.0")), None);
        assert_eq!(check_licence(None).unwrap(), "log 1.0.0 names no licence");
        assert!(check_licence(Some("GPL-3.0-only")).unwrap().ends_with("not allowed"));
        assert!(check_licence(Some("MIT OR")).unwrap().contains("cannot be read"));
    }
}
