//! `cvm`: a certificate vending machine for `IoT` fleets, in one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    cvm::run()
}
