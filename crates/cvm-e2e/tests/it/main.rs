//! End-to-end tests: the real binary, real sockets, real clients that others wrote.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod admin_tokens;
mod authorization;
mod by_hand;
mod clock;
mod commands;
mod crash;
mod crls;
mod doctor;
mod hostile;
mod life;
mod metrics;
mod notify;
mod openapi;
mod problems;
mod race;
mod readme;
mod renew;
mod secrets;
mod vectors;
mod vend;
