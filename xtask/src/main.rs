//! The only entrance of the project: `cargo xtask COMMAND`, one file per command.
//!
//! It needs nothing installed beyond Rust; what tests need from others `test` installs, and says so.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool speaks on its terminal"
)]

mod aws;
mod bench;
mod check;
mod deny;
mod doc;
mod lambda;
mod power;
mod process;
mod run;
mod steps;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  aws         the tests against stand-ins for AWS, and what they need; `aws install`: this alone
  bench ARGS  what a vend costs, beside its floor and its peers; `bench --help` tells more
  bench-smoke a second of each benchmark: that they run
  check       formatting, lints and tidy; no test runs
  deny        cargo-deny: advisories, bans, licences, sources (needs a network)
  doc         the documentation of all crates, warnings denied
  lambda      the function's zip as it is deployed, and its size
  power       power cuts of a real ext4 under load (needs root and loop devices)
  run [ARGS]  the server on loopback: `cvm dev ARGS`
  test        everything CI runs; installs what tests need, and says which
  tidy        the rules of this repository that no other tool checks
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["aws"] => aws::aws(),
        ["aws", "install"] => aws::install_only(),
        ["bench", rest @ ..] => bench::bench(rest),
        ["bench-smoke"] => bench::smoke(),
        ["check"] => check::check(),
        ["deny"] => deny::deny(),
        ["doc"] => doc::doc(),
        ["lambda"] => lambda::lambda(),
        ["power"] => power::power(),
        ["run", rest @ ..] => run::run(rest),
        ["test"] => test::test(),
        ["tidy"] => tidy::tidy(),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
