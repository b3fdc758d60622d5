//! `cargo xtask doc`: the documentation of our crates, broken links and warnings denied.

use anyhow::Result;

use crate::process::{cargo, run};

pub(crate) fn doc() -> Result<()> {
    run(cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-Dwarnings"))
}
