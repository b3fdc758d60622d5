//! The HTTP API from outside: in-process where a connection adds nothing, over real sockets with
//! real TLS where it does.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod admin_tokens;
mod clock;
mod connections;
mod crls;
mod direct;
mod drain;
mod edge;
mod failures;
mod harness;
mod import;
mod observer;
mod openapi;
mod operators;
mod places;
mod refusals;
mod signed;
mod silence;
mod socket;
mod tls;
mod vend;
