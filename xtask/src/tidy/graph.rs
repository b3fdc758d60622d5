//! The graph of crates as `cargo metadata` resolves it, for our platforms and with all features.

mod optional;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::process::{cargo, output};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Build,
    Dev,
    Normal,
}

#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) kind: Kind,
}

pub(super) struct External {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) licence: Option<String>,
}

pub(super) struct Graph {
    pub(super) members: BTreeSet<String>,
    /// What the manifests of the members say about members, optional dependencies included.
    pub(super) declared: Vec<Edge>,
    /// Every edge that the members reach, by name.
    pub(super) resolved: Vec<Edge>,
    /// Every package of others that the members reach.
    pub(super) external: Vec<External>,
    /// Names with more than one version, reached from the members by normal dependencies.
    pub(super) doubled: BTreeSet<String>,
}

impl Graph {
    pub(super) fn read(targets: &[String]) -> Result<Self> {
        let mut command = cargo(&["metadata", "--format-version", "1", "--all-features"]);
        for target in targets {
            command.args(["--filter-platform", target]);
        }
        let metadata = serde_json::from_str(&output(&mut command)?)?;
        Self::parse(&metadata).context("`cargo metadata` has another shape than expected")
    }

    fn parse(metadata: &Value) -> Option<Self> {
        let packages: Option<Packages<'_>> =
            array(metadata, "packages")?.iter().map(|it| Some((text(it, "id")?, it))).collect();
        let packages = packages?;
        let ids: Option<Vec<&str>> =
            array(metadata, "workspace_members")?.iter().map(Value::as_str).collect();
        let ids = ids?;
        let edges = edges(metadata, &packages)?;
        let reached = reach(&ids, &edges, &[Kind::Build, Kind::Dev, Kind::Normal]);
        let shipped = reach(&ids, &edges, &[Kind::Normal]);
        let members =
            ids.iter().map(|id| name(&packages, id).map(String::from)).collect::<Option<_>>()?;
        Some(Self {
            declared: declared(&packages, &ids, &members)?,
            resolved: named(&packages, edges.iter().filter(|edge| reached.contains(edge.from)))?,
            external: external(&packages, &reached)?,
            doubled: doubled(&packages, &shipped)?,
            members,
        })
    }
}

/// Package id to package.
type Packages<'a> = BTreeMap<&'a str, &'a Value>;

/// An edge between package ids.
struct IdEdge<'a> {
    from: &'a str,
    to: &'a str,
    kind: Kind,
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

fn array<'a>(value: &'a Value, key: &str) -> Option<&'a Vec<Value>> {
    value.get(key)?.as_array()
}

fn name<'a>(packages: &Packages<'a>, id: &str) -> Option<&'a str> {
    text(packages.get(id)?, "name")
}

/// The kind of a dependency: null, "build" or "dev".
fn kind(kind: &Value) -> Option<Kind> {
    match kind.as_str() {
        None if kind.is_null() => Some(Kind::Normal),
        Some("build") => Some(Kind::Build),
        Some("dev") => Some(Kind::Dev),
        _ => None,
    }
}

fn edges<'a>(metadata: &'a Value, packages: &Packages<'_>) -> Option<Vec<IdEdge<'a>>> {
    let mut edges = Vec::new();
    for node in array(metadata.get("resolve")?, "nodes")? {
        let from = text(node, "id")?;
        for dependency in array(node, "deps")? {
            let to = text(dependency, "pkg")?;
            for entry in array(dependency, "dep_kinds")? {
                let kind_value = entry.get("kind")?;
                let package = packages.get(from)?;
                if optional::is_active(node, package, name(packages, to)?, kind_value)? {
                    edges.push(IdEdge { from, to, kind: kind(kind_value)? });
                }
            }
        }
    }
    Some(edges)
}

/// The ids that edges of these kinds lead to.
fn reach<'a>(start: &[&'a str], edges: &[IdEdge<'a>], kinds: &[Kind]) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = start.to_vec();
    while let Some(id) = open.pop() {
        if reached.insert(id) {
            let next = edges.iter().filter(|edge| edge.from == id && kinds.contains(&edge.kind));
            open.extend(next.map(|edge| edge.to));
        }
    }
    reached
}

fn declared(
    packages: &Packages<'_>,
    ids: &[&str],
    members: &BTreeSet<String>,
) -> Option<Vec<Edge>> {
    let mut edges = Vec::new();
    for id in ids {
        for dependency in array(packages.get(id)?, "dependencies")? {
            let to = text(dependency, "name")?;
            if members.contains(to) {
                let kind = kind(dependency.get("kind")?)?;
                edges.push(Edge { from: name(packages, id)?.to_owned(), to: to.to_owned(), kind });
            }
        }
    }
    Some(edges)
}

fn named<'a>(
    packages: &Packages<'_>,
    edges: impl Iterator<Item = &'a IdEdge<'a>>,
) -> Option<Vec<Edge>> {
    let name = |id: &str| name(packages, id).map(String::from);
    edges
        .map(|edge| Some(Edge { from: name(edge.from)?, to: name(edge.to)?, kind: edge.kind }))
        .collect()
}

fn external(packages: &Packages<'_>, ids: &BTreeSet<&str>) -> Option<Vec<External>> {
    let mut external = Vec::new();
    for id in ids {
        let package = packages.get(id)?;
        if !package.get("source")?.is_null() {
            external.push(External {
                name: text(package, "name")?.to_owned(),
                version: text(package, "version")?.to_owned(),
                licence: text(package, "license").map(String::from),
            });
        }
    }
    Some(external)
}

fn doubled(packages: &Packages<'_>, ids: &BTreeSet<&str>) -> Option<BTreeSet<String>> {
    let mut seen = BTreeSet::new();
    let mut doubled = BTreeSet::new();
    for id in ids {
        let name = name(packages, id)?;
        if !seen.insert(name) {
            doubled.insert(name.to_owned());
        }
    }
    Some(doubled)
}

#[cfg(test)]
mod tests;
