//! End-to-end tests: the real binary, real sockets, real clients that others wrote.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod admin_tokens;
mod agent;
mod authorization;
mod by_hand;
mod clock;
mod commands;
mod crash;
mod crls;
mod doctor;
mod examples;
mod faults;
mod filters;
mod hostile;
mod import;
mod import_csv;
mod life;
mod limits;
mod logs;
mod metrics;
mod notify;
mod openapi;
mod parsers;
mod power;
mod problems;
mod race;
mod readme;
mod rehearse;
mod renew;
mod secrets;
mod signed;
mod traces;
mod vectors;
mod vend;
