//! `cvm completions`.

use clap::CommandFactory;

use crate::cli::Cli;
use crate::failure::Done;
use crate::output;

/// Prints the completions for `shell`.
pub(crate) fn print(shell: clap_complete::Shell) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cvm", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
