//! What a vend costs, beside its floor and its peers in the same run. `cargo xtask bench` starts it.

fn main() {}
