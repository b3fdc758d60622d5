//! `cvm completions`.

use clap::CommandFactory;

use crate::cli::Cli;
use crate::failure::Done;

/// Prints the completions for `shell`.
#[expect(clippy::unnecessary_wraps, reason = "every command returns whether it is done")]
pub(crate) fn print(shell: clap_complete::Shell) -> Done {
    clap_complete::generate(shell, &mut Cli::command(), "cvm", &mut std::io::stdout());
    Ok(())
}
