//! `cvm policy put|list|show`.

use std::io::Read;
use std::path::Path;

use cvm_agent::client::encode_segment;
use cvm_core::policy::document_parse;
use cvm_wire::operator::{List, Policy};
use serde_json::Value;

use super::device::more;
use super::remote;
use crate::cli::{ListArgs, ServerArgs};
use crate::failure::{Done, Exit, Failure};
use crate::output::{self, Text};

/// Puts a policy in place of what had its name.
pub(crate) fn put(name: &str, file: &Path, server: &ServerArgs) -> Done {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|error| Failure::file("reading", file, &error))?;
    // The same rules as the server's, told before anything is sent.
    let document = document_parse(&text)
        .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", file.display())))?;
    let document: Value = serde_json::from_str(&document).unwrap_or_default();
    let client = remote::connect(server)?;
    let request = client.put(&format!("/v1/policies/{}", encode_segment(name))).json(&document);
    let policy: Policy = request.fetch().map_err(remote::operator_failure)?;
    output::result(server.output.output, &policy, show_policy)
}

/// Lists policies.
pub(crate) fn list(args: &ListArgs) -> Done {
    let policies: List<Policy> = remote::page(args, "/v1/policies")?;
    output::result(args.server.output.output, &policies, |policies, text| {
        let row = |policy: &Policy| vec![policy.name.clone(), policy.updated_at.clone()];
        let rows: Vec<Vec<String>> = policies.items.iter().map(row).collect();
        text.table(&["POLICY", "UPDATED"], &rows);
        more(policies.cursor.as_deref());
    })
}

/// Shows a policy.
pub(crate) fn show(name: &str, server: &ServerArgs) -> Done {
    let client = remote::connect(server)?;
    let request = client.get(&format!("/v1/policies/{}", encode_segment(name)));
    let policy: Policy = request.fetch().map_err(remote::operator_failure)?;
    output::result(server.output.output, &policy, show_policy)
}

fn show_policy(policy: &Policy, text: &mut Text) {
    text.facts(&[("policy", policy.name.clone()), ("updated", policy.updated_at.clone())]);
    text.line(serde_json::to_string_pretty(&policy.document).unwrap_or_default());
}
