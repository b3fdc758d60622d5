//! The tables: ratios, because nothing else lasts, and what the goals give in absolute numbers.

use super::{Results, Way, median};
use crate::plan::Measured;

/// Peers by name, as their rows have it.
const PEERS: [&str; 2] = ["step-ca", "cfssl"];

/// All of them, those that have no rows left out.
pub(super) fn all(results: &Results) -> String {
    let tables = [floor(results), parts(results), peers(results), costs(results), growth(results)];
    tables.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn table(caption: &str, head: &[&str], rows: Vec<Vec<String>>) -> Option<String> {
    if rows.is_empty() {
        return None;
    }
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let head_cells = head.iter().map(ToString::to_string).collect();
    let rule = head.iter().map(|_| String::from("---")).collect();
    let body: String = rows.into_iter().map(line).collect();
    Some(format!("{caption}\n\n{}{}{body}", line(head_cells), line(rule)))
}

fn cpu(measured: &Measured) -> Option<f64> {
    Some(measured.server_cpu)
}

fn floor(results: &Results) -> Option<String> {
    let row = |way: Way| {
        let ours = results.find("cvm", way, cpu)?;
        Some(vec![way.to_string(), ratio(ours, results.floor(way)?)])
    };
    let rows = results.ways().into_iter().filter_map(row).collect();
    table("Server CPU of a vend, in floors (goal: at most 1.5):", &["load", "floors"], rows)
}

fn parts(results: &Results) -> Option<String> {
    let part = |of: fn(&crate::floor::Floor) -> f64| {
        median(&results.floors.iter().map(of).collect::<Vec<_>>())
    };
    let parts = [part(|it| it.request_check), part(|it| it.certificate), part(|it| it.insert)];
    let row = |way: Way| {
        let whole = results.floor(way)?;
        let connection = results.find("floor", way, cpu)?;
        let share = |it: f64| format!("{:.0} %", it / whole * 100.0);
        let all = [connection].into_iter().chain(parts).map(share);
        Some([way.to_string()].into_iter().chain(all).collect())
    };
    let rows = results.ways().into_iter().filter_map(row).collect();
    let head = ["load", "connection", "request's check", "certificate", "row"];
    table("What the floor is made of:", &head, rows)
}

fn peers(results: &Results) -> Option<String> {
    let mut rows = Vec::new();
    for way in results.ways() {
        for peer in PEERS {
            let cells = || {
                let (ours, theirs) =
                    (results.find("cvm", way, cpu)?, results.find(peer, way, cpu)?);
                let of = |what: fn(&Measured) -> f64| {
                    let find = |server| results.find(server, way, |m| Some(what(m)));
                    Some(ratio(find("cvm")?, find(peer)?))
                };
                let (rate, p99) = (of(|m| m.per_second)?, of(|m| m.p99)?);
                Some(vec![way.to_string(), peer.to_owned(), ratio(theirs, ours), rate, p99])
            };
            rows.extend(cells());
        }
    }
    let head = ["load", "peer", "its CPU ÷ ours", "our rate ÷ its", "our p99 ÷ its"];
    let caption = "Beside peers (goals: CPU at least 3 on new and 5 on kept connections against the \
                   best of them, p99 below 0.5 at 8 at once):";
    table(caption, &head, rows)
}

fn costs(results: &Results) -> Option<String> {
    let mut rows = Vec::new();
    for way in results.ways() {
        for server in ["cvm"].into_iter().chain(PEERS) {
            let find = |what: fn(&Measured) -> Option<f64>, digits: usize| {
                let value = results.find(server, way, what);
                value.map_or_else(|| String::from("–"), |value| format!("{value:.digits$}"))
            };
            if results.find(server, way, cpu).is_some() {
                rows.push(vec![
                    way.to_string(),
                    server.to_owned(),
                    find(|m| m.commits, 2),
                    find(|m| m.flushes, 2),
                    find(|m| m.disk, 0),
                    find(|m| Some(m.resident as f64 / 1e6), 0),
                ]);
            }
        }
    }
    let head = ["load", "server", "commits", "flushes", "bytes on disk", "MB in memory"];
    let caption = "What a certificate costs the disk, and the process's memory (goal: at most one \
                   flush a vend; flushes are those of the whole machine's disk):";
    table(caption, &head, rows)
}

fn growth(results: &Results) -> Option<String> {
    let first = results.growths.first();
    let row = |it: &crate::growth::Growth| {
        let first = first.unwrap_or(it);
        let step =
            |of: fn(&crate::growth::Growth) -> &Vec<f64>| ratio(median(of(it)), median(of(first)));
        vec![
            it.devices.to_string(),
            step(|it| &it.new),
            step(|it| &it.kept),
            format!("{:.0}", it.ready()),
            format!("{:.0}", it.resident as f64 / 1e6),
        ]
    };
    let rows = results.growths.iter().map(row).collect();
    let head = ["devices", "CPU ÷ first, new", "CPU ÷ first, kept", "ready, ms", "MB in memory"];
    let caption = "By the size of the registry (goals: CPU within 1.15 of each other, ready within \
                   300 ms, below 60 MB):";
    table(caption, &head, rows)
}

fn ratio(ours: f64, theirs: f64) -> String {
    format!("{:.2}", ours / theirs)
}
