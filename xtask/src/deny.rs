//! `cargo xtask deny`: cargo-deny over deny.toml, for a person with a network.
//!
//! Not a part of CI: it fetches the advisory database, and a new advisory must not fail a commit
//! that did not cause it. Bans and licences are also checked by `tidy`, from the same file.

use anyhow::{Result, bail};

use crate::process::{answers, cargo, run};

pub(crate) fn deny() -> Result<()> {
    if !answers(&["cargo", "deny", "--version"]) {
        bail!("cargo-deny is not installed; install it with `cargo install --locked cargo-deny`");
    }
    run(&mut cargo(&["deny", "check"]))
}
