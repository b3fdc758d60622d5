//! The device side against a real TLS server: a thread, a socket, certificates made for the test.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod client;
mod enroll;
mod failures;
mod pki;
mod power_cuts;
mod registry;
mod renew;
mod renew_failures;
mod server;
mod service;
mod signed;
mod world;
