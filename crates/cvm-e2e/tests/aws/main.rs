//! The AWS home against stand-ins for AWS, and the stand-ins against AWS's own client.
//!
//! `cargo xtask aws` fetches what this needs and runs it.

#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and a long one says where it is"
)]

mod clients;
mod device;
mod keys;
mod lambda;
mod race;
mod site;
mod stand_ins;
mod walk;
