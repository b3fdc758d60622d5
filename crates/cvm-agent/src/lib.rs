//! The device side: a key that never leaves the device, a request, a certificate, and the files
//! they live in. Also the HTTPS client of the operator's commands.
//!
//! In reading order: [`error`] (who is to blame, and with which exit code), [`client`] (HTTPS with
//! explicit trust), [`keys`], [`token`], [`enroll`] (the steps of an enrollment and of its
//! confirmation), [`renew`] (a new key and certificate before the old one expires), and with the
//! feature `service` what makes a program of them. Blocking, no async runtime: this is to fit on
//! small devices. Nothing here reads the environment, and every secret is zeroized when dropped and
//! cannot be printed.

mod answer;
pub mod client;
pub mod clock;
pub mod enroll;
pub mod error;
mod files;
pub mod fingerprint;
mod identity;
pub mod keys;
mod pki;
pub mod renew;
mod report;
mod retry;
#[cfg(feature = "service")]
pub mod service;
pub mod token;
