//! `cargo xtask tidy`: the rules of this repository that no other tool checks.
//!
//! Every finding is printed at once, with its file and its cure. The checks are pure functions of
//! the tree of files, the graph of crates and deny.toml; only this file and the three readers
//! touch the world.

mod bans;
mod ci;
mod deny_file;
mod edges;
mod graph;
mod lengths;
mod licences;
mod ratchet;
mod records;
mod routes;
mod spdx;
mod text;
mod tree;

use std::fmt;

use anyhow::{Result, ensure};

use deny_file::DenyFile;
use graph::Graph;
use ratchet::Ratchet;
use tree::Tree;

const DOUBLED: Ratchet = Ratchet {
    list: "xtask/doubled.txt",
    finding: |name| {
        let problem = format!("{name} is in the graph in more than one version");
        let cure = "bring its users, as `cargo tree --workspace -d` shows them, to one version";
        Finding::new("Cargo.lock", problem, cure)
    },
};

pub(crate) fn tidy() -> Result<()> {
    let findings = findings()?;
    for finding in &findings {
        println!("{finding}");
    }
    ensure!(findings.is_empty(), "{} findings", findings.len());
    Ok(())
}

fn findings() -> Result<Vec<Finding>> {
    let tree = Tree::read()?;
    let deny = DenyFile::read(&tree)?;
    let graph = Graph::read(&deny.targets)?;
    Ok([
        edges::check(&graph.members, &graph.declared),
        bans::check(&deny.bans, &graph.resolved),
        DOUBLED.check(&tree, &graph.doubled),
        licences::check(&deny.licences, &graph.external),
        lengths::check(&tree),
        records::check(&tree),
        text::check(&tree),
        routes::check(&tree),
        ci::check(&tree),
    ]
    .concat())
}

/// One broken rule: where, what, and what to do about it.
#[derive(Clone, Debug, PartialEq)]
struct Finding {
    place: String,
    problem: String,
    cure: String,
}

impl Finding {
    fn new(place: impl Into<String>, problem: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into(), cure: cure.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}\n    cure: {}", self.place, self.problem, self.cure)
    }
}
