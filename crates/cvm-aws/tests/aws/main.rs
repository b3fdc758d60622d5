//! The ports of core on AWS, judged by stand-ins for AWS: run by `cargo xtask aws`.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod dynamodb;
mod iot;
mod kms;
mod s3;
mod support;
