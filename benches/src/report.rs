//! Results: kept as JSON, told as text, and written as ratios into a Markdown file.

mod tables;

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::floor::Floor;
use crate::growth::Growth;
use crate::plan::{Connections, Groups, Measured};

/// What stands around the tables in a Markdown file.
const BEGIN: &str = "<!-- tables: begin -->";
const END: &str = "<!-- tables: end -->";

/// Everything that a run measured.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Results {
    pub(crate) rows: Vec<Row>,
    /// One of each pass.
    pub(crate) floors: Vec<Floor>,
    pub(crate) growths: Vec<Growth>,
}

/// One load on one server.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Row {
    pub(crate) server: String,
    pub(crate) connections: Connections,
    pub(crate) groups: Groups,
    pub(crate) at_once: usize,
    pub(crate) pass: usize,
    pub(crate) measured: Measured,
}

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Way {
    pub(crate) connections: Connections,
    pub(crate) groups: Groups,
    pub(crate) at_once: usize,
}

impl Row {
    fn way(&self) -> Way {
        let Self { connections, groups, at_once, .. } = *self;
        Way { connections, groups, at_once }
    }
}

impl Results {
    /// The median over the passes.
    pub(crate) fn find(
        &self,
        server: &str,
        way: Way,
        what: impl Fn(&Measured) -> Option<f64>,
    ) -> Option<f64> {
        let rows = self.rows.iter().filter(|row| row.server == server && row.way() == way);
        let values: Vec<f64> = rows.filter_map(|row| what(&row.measured)).collect();
        (!values.is_empty()).then(|| median(&values))
    }

    /// How many vends shared a commit, by the server's own count.
    pub(crate) fn group_at(&self, at_once: usize) -> Option<usize> {
        let (connections, groups) = (Connections::New, Groups::X25519);
        let commits = self.find("cvm", Way { connections, groups, at_once }, |m| m.commits)?;
        #[expect(clippy::cast_sign_loss, reason = "a count")]
        let group = (1.0 / commits).round().max(1.0) as usize;
        Some(group)
    }

    /// Every kind of load, in order.
    fn ways(&self) -> Vec<Way> {
        let ways: std::collections::BTreeSet<Way> = self.rows.iter().map(Row::way).collect();
        ways.into_iter().collect()
    }

    /// The floor of a vend: connection, check, certificate, row.
    fn floor(&self, way: Way) -> Option<f64> {
        let parts: Vec<f64> = self.floors.iter().map(Floor::sum).collect();
        let connection = self.find("floor", way, |m| Some(m.server_cpu))?;
        (!parts.is_empty()).then(|| connection + median(&parts))
    }
}

/// The results for a terminal.
pub(crate) fn text(results: &Results) -> String {
    tables::all(results)
}

/// Puts the tables into the file at `path`, in place of what was there.
pub(crate) fn write(path: &Path, results: &Results) -> Result<()> {
    let text = std::fs::read_to_string(path)?;
    let (before, rest) = text.split_once(BEGIN).context("the file has no place for tables")?;
    let (_, after) = rest.split_once(END).context("the place for tables does not end")?;
    let tables = tables::all(results);
    std::fs::write(path, format!("{before}{BEGIN}\n\n{tables}\n{END}{after}"))?;
    Ok(())
}

/// The middle value; of two, their mean.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => at(length / 2),
        length => f64::midpoint(at(length / 2 - 1), at(length / 2)),
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match (self.connections, self.groups) {
            (Connections::New, Groups::Hybrid) => "new, hybrid",
            (Connections::New, Groups::X25519) => "new, X25519",
            (Connections::Kept, Groups::Hybrid | Groups::X25519) => "kept",
        };
        write!(f, "{how}, {} at once", self.at_once)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.measured;
        let optional =
            |value: Option<f64>| value.map_or_else(|| String::from("-"), |it| format!("{it:.2}"));
        write!(
            f,
            "{:8} {:24} pass {}: {:6.0}/s server {:.3} ms client {:.3} ms p50 {:.1} p99 {:.1} max \
             {:.0} flushes {} commits {} disk {} MB {} n {} wrong {} {:?}",
            self.server,
            self.way().to_string(),
            self.pass,
            m.per_second,
            m.server_cpu,
            m.client_cpu,
            m.p50,
            m.p99,
            m.max,
            optional(m.flushes),
            optional(m.commits),
            optional(m.disk),
            m.resident / 1_000_000,
            m.answered,
            m.wrong,
            m.failures,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn tables_take_the_place_of_what_was_there_and_nothing_else() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("before {BEGIN} old {END} after")).unwrap();
        write(file.path(), &Results::default()).unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(text.starts_with("before ") && text.ends_with(" after") && !text.contains("old"));
        write(file.path(), &Results::default()).unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), text);
    }
}
