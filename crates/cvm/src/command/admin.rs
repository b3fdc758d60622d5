//! `cvm admin token create|list|revoke`.
//!
//! The server makes an admin token and tells it once. One that cannot be kept where it was to go is
//! revoked again: nobody has it, and nobody shall.

use std::path::Path;

use cvm_agent::client::{Client, encode_segment};
use cvm_agent::error::Error;
use cvm_core::id::Name;
use cvm_wire::operator::{AdminToken, List, NewAdminToken};
use zeroize::Zeroizing;

use super::device::{expiry, more};
use super::remote;
use crate::cli::{AdminTokenCreate, ListArgs, ServerArgs};
use crate::failure::{Done, Exit, Failure};
use crate::output::{self, Text};

const PATH: &str = "/v1/admin-tokens";

/// Makes a token, and prints it or writes it where it was told to.
pub(crate) fn create(args: &AdminTokenCreate) -> Done {
    let usage = |what: String| Failure::new(Exit::Usage, what);
    args.name.parse::<Name>().map_err(|error| usage(format!("{}: {error}", args.name)))?;
    let new = NewAdminToken {
        name: args.name.clone(),
        role: args.role.as_str().to_owned(),
        expires: args.expires.as_deref().map(|span| expiry("--expires", span)).transpose()?,
    };
    if let Some(path) = args.out.as_deref() {
        require_room(path)?;
    }
    let client = remote::connect(&args.server)?;
    let mut token: AdminToken = client.post(PATH).json(&new).fetch().map_err(not_made)?;
    let id = token.id.clone();
    if let Some(path) = args.out.as_deref() {
        write(path, &mut token).map_err(|failure| withdraw(&client, &id, failure))?;
    }
    let printed = output::result(args.server.output.output, &token, show);
    if let Some(path) = &args.out {
        output::note(format!("The token is in {}.", path.display()));
        return printed;
    }
    printed.map_err(|failure| withdraw(&client, &id, failure))?;
    output::note("The token is shown this once: hand it to whom it is for.");
    Ok(())
}

fn not_made(error: Error) -> Failure {
    let is_unknown = matches!(error, Error::TryLater { .. });
    let failure = remote::operator_failure(error);
    if !is_unknown {
        return failure;
    }
    failure.cure(
        "it is not known whether the token was made: if `cvm admin token list` has it, revoke it, \
         as nobody has seen it; then make another",
    )
}

/// Lists tokens.
pub(crate) fn list(args: &ListArgs) -> Done {
    let tokens: List<AdminToken> = remote::page(args, PATH)?;
    output::result(args.server.output.output, &tokens, |tokens, text| {
        let row = |token: &AdminToken| {
            vec![
                token.id.clone(),
                token.name.clone(),
                token.role.clone(),
                token.state.clone(),
                or_never(token.expires.as_ref()),
                token.created_at.clone(),
            ]
        };
        let rows: Vec<Vec<String>> = tokens.items.iter().map(row).collect();
        text.table(&["ID", "NAME", "ROLE", "STATE", "EXPIRES", "CREATED"], &rows);
        more(tokens.cursor.as_deref());
    })
}

/// Revokes a token.
pub(crate) fn revoke(id: &str, server: &ServerArgs) -> Done {
    let client = remote::connect(server)?;
    let token = send_revocation(&client, id)?;
    output::result(server.output.output, &token, show)
}

fn send_revocation(client: &Client, id: &str) -> Result<AdminToken, Failure> {
    let path = format!("{PATH}/{}:revoke", encode_segment(id));
    client.post(&path).fetch().map_err(remote::operator_failure)
}

/// Told before the token is made: one that has no place to go is of no use.
fn require_room(path: &Path) -> Done {
    if path.exists() {
        let what = format!("{} exists already: no token was made", path.display());
        return Err(Failure::new(Exit::Failed, what).cure("name another file"));
    }
    Ok(())
}

/// Moves the secret out of `token` into a file.
fn write(path: &Path, token: &mut AdminToken) -> Done {
    let secret = token.token.take();
    let secret = secret.as_ref().map_or("", |secret| secret.expose());
    let line = Zeroizing::new(format!("{secret}\n"));
    cvm_pki::files::write_new(path, line.as_bytes())
        .map_err(|error| Failure::file("writing the token to", path, &error))
}

/// Revokes a token that could not be kept; the failure says how that went.
fn withdraw(client: &Client, id: &str, failure: Failure) -> Failure {
    match send_revocation(client, id) {
        Ok(_) => failure.cure("the token that was made is revoked; mend this and make another"),
        Err(_) => failure.cure(format!(
            "a token was made that nobody has: cvm admin token revoke {id}, then make another"
        )),
    }
}

fn show(token: &AdminToken, text: &mut Text) {
    let mut facts = vec![
        ("id", token.id.clone()),
        ("name", token.name.clone()),
        ("role", token.role.clone()),
        ("state", token.state.clone()),
        ("created", token.created_at.clone()),
        ("expires", or_never(token.expires.as_ref())),
    ];
    facts.extend(token.revoked_at.clone().map(|at| ("revoked", at)));
    facts.extend(token.token.as_ref().map(|token| ("token", token.expose().to_owned())));
    text.facts(&facts);
}

fn or_never(time: Option<&String>) -> String {
    time.cloned().unwrap_or_else(|| String::from("never"))
}
