//! A list of known exceptions that may only shrink.
//!
//! What is not listed is a finding, and so is a line that is no longer needed.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::Tree;

pub(super) struct Ratchet {
    /// The file with one exception a line; `#` begins a comment.
    pub(super) list: &'static str,
    /// What to say of an exception that is not in the list.
    pub(super) finding: fn(&str) -> Finding,
}

impl Ratchet {
    pub(super) fn check(&self, tree: &Tree, actual: &BTreeSet<String>) -> Vec<Finding> {
        let Some(text) = tree.get(self.list) else {
            return vec![Finding::new(self.list, "is missing", "restore it, empty if need be")];
        };
        let lines = text.lines().filter_map(|line| line.split('#').next());
        let listed: BTreeSet<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
        let new = actual.iter().filter(|entry| !listed.contains(entry.as_str()));
        let stale = listed.iter().filter(|entry| !actual.contains(**entry)).map(|entry| {
            let problem = format!("`{entry}` is no exception any more");
            Finding::new(self.list, problem, "remove its line: the list only shrinks")
        });
        new.map(|entry| (self.finding)(entry)).chain(stale).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATCHET: Ratchet =
        Ratchet { list: "list", finding: |entry| Finding::new(entry, "is new", "shrink") };

    fn check_list(list: &str, actual: &[&str]) -> Vec<String> {
        let actual = actual.iter().map(|entry| String::from(*entry)).collect();
        let findings = RATCHET.check(&Tree::of(&[("list", list)]), &actual);
        findings
            .into_iter()
            .map(|finding| format!("{} {}", finding.place, finding.problem))
            .collect()
    }

    #[test]
    fn what_is_listed_is_excused() {
        assert!(check_list("# Why.\n\na # and why\n b\n", &["a", "b"]).is_empty());
    }

    #[test]
    fn a_new_exception_and_a_stale_line_are_findings() {
        assert_eq!(
            check_list("a\nb\n", &["b", "c"]),
            ["c is new", "list `a` is no exception any more"]
        );
    }

    #[test]
    fn the_list_itself_must_be_there() {
        assert_eq!(RATCHET.check(&Tree::default(), &BTreeSet::new()).len(), 1);
    }
}
