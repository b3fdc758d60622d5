//! Every interleaving, not a sample of them: the real use cases are run from every state that can
//! be reached within a stated depth, against the invariants of the protocol's section 13.
//!
//! `explorer` enumerates, `machine` runs the use cases, `stage` is the store between them, where
//! other acts come in between and commits go wrong; `ghost` remembers what was said and heard,
//! `invariants` judge. Record 0011 says what is explored and why that is enough.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on fails"
)]

mod act;
mod alike;
mod explorer;
mod ghost;
mod invariants;
mod key;
mod machine;
mod nowhere;
mod policies;
mod rules;
mod sabotage;
mod scene;
mod stage;
mod view;
