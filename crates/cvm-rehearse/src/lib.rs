//! A virtual fleet against a running server: real keys, real TLS, faults on purpose, and an audit of
//! what devices hold against what the server says.
