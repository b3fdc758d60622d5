//! What the text of a file must not hold: paths of one machine, work left undone, tests left out.
//!
//! The needles are put together from parts, so that this file may be checked as well.

use super::Finding;
use super::tree::Tree;

const MACHINE_PATHS: [&str; 3] =
    [concat!("/", "work/"), concat!("/", "root/"), concat!("/", "home/")];
const NOTES: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
const IGNORED: &str = concat!("#[", "ignore");
const UNWRITTEN: [&str; 2] = [concat!("to", "do!"), concat!("un", "implemented!")];

/// A fault that one line shows.
struct Fault {
    is_in: fn(&str) -> bool,
    problem: &'static str,
    cure: &'static str,
}

const IN_ANY_TEXT: &[Fault] = &[
    Fault {
        is_in: |line| MACHINE_PATHS.iter().any(|path| words(line, path).count() > 0),
        problem: "names a path of one machine",
        cure: "make it relative or configurable",
    },
    Fault {
        is_in: |line| NOTES.iter().any(|note| words(line, note).any(is_naked)),
        problem: "has a note without an issue",
        cure: "name the issue after it, as in (#12), or do it now",
    },
];

const IN_RUST: &[Fault] = &[
    Fault {
        is_in: |line| line.contains(IGNORED),
        problem: "leaves a test out",
        cure: "make it run everywhere, or delete it",
    },
    Fault {
        is_in: |line| UNWRITTEN.iter().any(|name| words(line, name).count() > 0),
        problem: "leaves code unwritten",
        cure: "write it, or do not offer it",
    },
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.iter() {
        if path.rsplit('/').next() == Some("mod.rs") {
            let cure = "name it after its module: foo.rs";
            findings.push(Finding::new(path, "is a mod.rs", cure));
        }
        for (number, line) in (1..).zip(text.lines()) {
            findings.extend(
                faults(line, path.ends_with(".rs")).map(|fault| {
                    Finding::new(format!("{path}:{number}"), fault.problem, fault.cure)
                }),
            );
        }
    }
    findings
}

fn faults(line: &str, is_rust: bool) -> impl Iterator<Item = &'static Fault> {
    let in_rust = if is_rust { IN_RUST } else { &[] };
    let all = IN_ANY_TEXT.iter().chain(in_rust);
    all.filter(move |fault| (fault.is_in)(line))
}

/// For each place where a needle begins a word or a path: what is before it and what after.
fn words<'a>(line: &'a str, needle: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let joins = |last: char| last.is_alphanumeric() || "_-.~}".contains(last);
    line.match_indices(needle).filter_map(move |(start, _)| {
        let (before, rest) = line.split_at_checked(start)?;
        (!before.ends_with(joins)).then_some((before, rest.strip_prefix(needle)?))
    })
}

/// Whether a note names no issue; in backticks it is only talked about.
fn is_naked((before, after): (&str, &str)) -> bool {
    let issue = after.strip_prefix("(#").and_then(|rest| rest.split_once(')'));
    let has_issue = issue.is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    let goes_on = after.starts_with(|next: char| next.is_alphanumeric() || next == '_');
    !has_issue && !goes_on && !before.ends_with('`')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(line: &str) -> usize {
        faults(line, true).count()
    }

    #[test]
    fn a_path_of_one_machine_is_found_and_a_relative_one_is_not() {
        for path in MACHINE_PATHS {
            assert_eq!(count(&format!("let path = \"{path}x\";")), 1);
            assert_eq!(count(&format!("it lies in `{path}`")), 1);
            assert_eq!(count(&format!("see target{path}x or ..{path}x")), 0);
        }
    }

    #[test]
    fn a_note_needs_an_issue() {
        for note in NOTES {
            assert_eq!(count(&format!("// {note}: later")), 1);
            assert_eq!(count(&format!("// {note}(me): later")), 1);
            assert_eq!(count(&format!("// {note}(#): later")), 1);
            assert_eq!(count(&format!("// {note}(#12): later")), 0);
            assert_eq!(count(&format!("// no naked `{note}` here, nor {note}S")), 0);
        }
    }

    #[test]
    fn tests_run_and_code_is_written() {
        assert_eq!(count(&format!("    {IGNORED}]")), 1);
        for name in UNWRITTEN {
            assert_eq!(count(&format!("    {name}()")), 1);
            assert_eq!(count(&format!("    my_{name}()")), 0);
            assert_eq!(faults(name, false).count(), 0);
        }
    }

    #[test]
    fn a_module_file_is_named_after_its_module() {
        let files = [("crates/a/src/b/mod.rs", ""), ("crates/a/src/cmod.rs", "")];
        assert_eq!(check(&Tree::of(&files)).len(), 1);
    }
}
