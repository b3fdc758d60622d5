//! The HTTP API from outside: in-process where a connection adds nothing, over real sockets with
//! real TLS where it does.

mod connections;
mod drain;
mod edge;
mod harness;
mod openapi;
mod operators;
mod refusals;
mod silence;
mod socket;
mod tls;
mod vend;
