//! The architecture decision records: each with a number of its own and in the index.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::tree::Tree;

const FOLDER: &str = "docs/adr/";
const INDEX: &str = "docs/adr/README.md";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let files = tree.iter().filter_map(|(path, _)| path.strip_prefix(FOLDER));
    let records: BTreeSet<&str> = files.filter(|name| number(name).is_some()).collect();
    let Some(index) = tree.get(INDEX) else {
        return vec![Finding::new(INDEX, "is missing", "write the index of the records")];
    };
    let linked = links(index);
    let unlisted = records.difference(&linked).map(|name| {
        let place = format!("{FOLDER}{name}");
        Finding::new(place, "is not in the index", format!("link to it from {INDEX}"))
    });
    let dangling = linked.difference(&records).map(|name| {
        Finding::new(INDEX, format!("links to {name}, which is not there"), "mend the link")
    });
    let mut taken = BTreeMap::new();
    let doubled = records.iter().filter_map(|name| {
        let other = taken.insert(number(name)?, name)?;
        let problem = format!("has the number of {other}");
        Some(Finding::new(format!("{FOLDER}{name}"), problem, "give it the next free number"))
    });
    unlisted.chain(dangling).chain(doubled).collect()
}

/// The number of a record by its file name, `NNNN-title.md`.
fn number(name: &str) -> Option<&str> {
    let (number, title) = name.split_once('-')?;
    let is_number = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && title.ends_with(".md") && !title.contains('/')).then_some(number)
}

/// The records an index links to, as in `[0001](0001-title.md)`.
fn links(index: &str) -> BTreeSet<&str> {
    let targets = index.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| number(target).is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_records(names: &[&str], index: &str) -> Vec<String> {
        let paths: Vec<String> = names.iter().map(|name| format!("{FOLDER}{name}")).collect();
        let mut files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "")).collect();
        files.push((INDEX, index));
        let findings = check(&Tree::of(&files));
        findings.into_iter().map(|finding| finding.problem).collect()
    }

    #[test]
    fn the_index_and_the_folder_must_agree() {
        let index = "- [0001](0001-a.md) A.\n- [0002](0002-b.md) B, see [site](https://b.md).\n";
        assert!(check_records(&["0001-a.md", "0002-b.md"], index).is_empty());
        assert_eq!(
            check_records(&["0001-a.md", "0003-c.md"], index),
            ["is not in the index", "links to 0002-b.md, which is not there"]
        );
    }

    #[test]
    fn a_number_names_one_record() {
        let index = "[1](0001-a.md) [1](0001-b.md)";
        assert_eq!(
            check_records(&["0001-a.md", "0001-b.md"], index),
            ["has the number of 0001-a.md"]
        );
    }
}
