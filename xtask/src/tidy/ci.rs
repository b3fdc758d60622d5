//! CI runs the command that the README gives to people, and nothing else.

use super::Finding;
use super::tree::Tree;

const SCRIPT: &str = ".ci/run";
const WORKFLOW: &str = ".github/workflows/ci.yml";
const TEST: &str = "cargo xtask test";
/// What a script may say to get ready for its one command.
const PREPARATIONS: [&str; 2] = ["set -euo pipefail", r#"cd "$(dirname "$0")/..""#];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let script = commands_of_script(tree.get(SCRIPT).unwrap_or_default());
    let workflow = commands_of_workflow(tree.get(WORKFLOW).unwrap_or_default());
    [(SCRIPT, script), (WORKFLOW, workflow)]
        .into_iter()
        .filter(|(_, commands)| *commands != [TEST])
        .map(|(path, commands)| {
            let problem = format!("runs {commands:?} instead of `{TEST}` alone");
            Finding::new(path, problem, "move the difference into xtask/src/test.rs")
        })
        .collect()
}

fn commands_of_script(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    let commands = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#') && !PREPARATIONS.contains(line));
    commands.map(|line| line.strip_prefix("exec ").unwrap_or(line)).collect()
}

fn commands_of_workflow(text: &str) -> Vec<&str> {
    let lines = text.lines().map(|line| line.trim_start().trim_start_matches("- "));
    lines.filter_map(|line| line.strip_prefix("run:")).map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_gets_ready_and_runs_one_command() {
        let script = "#!/usr/bin/env bash\nset -euo pipefail\n\nexec cargo xtask test\n";
        assert_eq!(commands_of_script(script), [TEST]);
        assert_eq!(commands_of_script("make\ncargo xtask test"), ["make", TEST]);
    }

    #[test]
    fn every_run_of_the_workflow_counts() {
        let workflow = "steps:\n  - uses: a/b@c\n  - run: cargo xtask test\n    run: |\n";
        assert_eq!(commands_of_workflow(workflow), [TEST, "|"]);
    }

    #[test]
    fn both_must_be_there() {
        assert_eq!(check(&Tree::default()).len(), 2);
    }
}
