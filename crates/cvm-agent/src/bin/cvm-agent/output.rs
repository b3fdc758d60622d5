//! What is told: results on standard output, everything else on standard error.

use std::io::Write;

use cvm_agent::enroll::Reporter;

/// Tells each step on standard error; time and level are the log's that it ends up in.
pub(crate) struct Log;

impl Reporter for Log {
    fn step(&self, text: &str) {
        // Where nobody can be told, the work goes on.
        let _untold = std::io::stderr().lock().write_all(format!("cvm-agent: {text}\n").as_bytes());
    }
}

/// Prints a result.
pub(crate) fn print(text: &str) -> Result<(), u8> {
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(|_| 1)
}
