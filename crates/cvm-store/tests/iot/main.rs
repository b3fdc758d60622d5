//! The platform on AWS IoT Core over a store: every call of every use case fails, is lost, is
//! carried out twice, or is the last one of a process that is killed or frozen while another takes
//! over. Afterwards the device asks again and the sweeper runs, and registry and records agree.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod acts;
mod faults;
mod registry;
mod review;
mod rules;
mod stage;
mod store;
mod words;
mod world;
