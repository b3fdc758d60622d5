//! Files a reader can hold: more than 400 lines need an exception, more than 600 get none.

use std::collections::BTreeSet;

use super::Finding;
use super::ratchet::Ratchet;
use super::tree::Tree;

const LINES_ASK: usize = 400;
const LINES_MAX: usize = 600;

const CURE: &str = "split it by its reasons to change; tests over 60 lines go to a tests.rs";

const LONG: Ratchet = Ratchet {
    list: "xtask/long-files.txt",
    finding: |path| Finding::new(path, format!("has more than {LINES_ASK} lines"), CURE),
};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut long = BTreeSet::new();
    let mut findings = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| counts(path)) {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            let problem = format!("has {lines} lines, and nothing excuses more than {LINES_MAX}");
            findings.push(Finding::new(path, problem, CURE));
        } else if lines > LINES_ASK {
            long.insert(path.to_owned());
        }
    }
    findings.extend(LONG.check(tree, &long));
    findings
}

/// Sources of ours, without their tests.
fn counts(path: &str) -> bool {
    let mut folders: Vec<&str> = path.split('/').collect();
    let file = folders.pop().unwrap_or_default();
    let is_source = matches!(folders.as_slice(), ["crates", _, "src", ..] | ["xtask", "src", ..]);
    is_source && file.ends_with(".rs") && file != "tests.rs" && !folders.contains(&"tests")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_lengths(lines: usize, path: &str, list: &str) -> usize {
        let text = "\n".repeat(lines);
        check(&Tree::of(&[(path, &text), (LONG.list, list)])).len()
    }

    #[test]
    fn length_has_a_limit_that_asks_and_one_that_forbids() {
        let path = "crates/cvm-api/src/lib.rs";
        assert_eq!(check_lengths(400, path, ""), 0);
        assert_eq!(check_lengths(401, path, ""), 1);
        assert_eq!(check_lengths(401, path, path), 0);
        assert_eq!(check_lengths(600, path, path), 0);
        // One for its length, one for a line that excuses nothing.
        assert_eq!(check_lengths(601, path, path), 2);
    }

    #[test]
    fn tests_may_be_long() {
        for path in ["crates/a/src/b/tests.rs", "crates/a/src/tests/b.rs", "crates/a/tests/it/b.rs"]
        {
            assert_eq!(check_lengths(900, path, ""), 0, "{path}");
        }
        assert_eq!(check_lengths(900, "xtask/src/main.rs", ""), 1);
    }
}
