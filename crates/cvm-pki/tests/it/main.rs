//! What others say of our certificates, and what we say of others' requests: `openssl`, webpki,
//! pkilint and badkeys are the judges.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of a test may fail the test"
)]

mod crls;
mod imported;
mod openssl;
mod pkilint;
mod requests;
mod support;
mod weak_keys;
mod webpki;
