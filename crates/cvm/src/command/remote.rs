//! How an operator's command reaches the server: where it is, what proves it, who we are.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cvm_agent::client::{Client, Trust};
use cvm_agent::error::Error;
use cvm_wire::SecretText;
use rustls::RootCertStore;
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::cli::{ListArgs, ServerArgs};
use crate::data_dir::{Layout, read_secret};
use crate::environment::variable;
use crate::failure::{Exit, Failure};

/// A client of the operator API, with its server verified and its token in place.
pub(crate) fn connect(args: &ServerArgs) -> Result<Client, Failure> {
    let layout = Layout::new(&args.data.data_dir);
    // What proves the server comes first: without it no secret is even read.
    let trust = trust(args, &layout)?;
    let server = server(args, &layout)?;
    let token = admin_token(args, &layout)?;
    let builder = Client::builder(&server).trust(trust).bearer(SecretText::new(token));
    builder.timeout(Duration::from_secs(30)).build().map_err(operator_failure)
}

/// What a client of one's own needs for the operator API.
pub(crate) struct Access {
    /// Its URL.
    pub(crate) server: String,
    /// What it is verified against.
    pub(crate) roots: RootCertStore,
    /// What lets in.
    pub(crate) token: SecretText,
}

/// The same for clients that are not blocking: with a fingerprint, the root is fetched here.
pub(crate) fn access(args: &ServerArgs) -> Result<Access, Failure> {
    let layout = Layout::new(&args.data.data_dir);
    let trust = trust(args, &layout)?;
    let server = server(args, &layout)?;
    let token = SecretText::new(admin_token(args, &layout)?);
    let client = Client::builder(&server).trust(trust).build().map_err(operator_failure)?;
    let mut roots = RootCertStore::empty();
    let certificates = match args.system_roots {
        true => rustls_native_certs::load_native_certs().certs,
        false => client.pinned().to_vec(),
    };
    roots.add_parsable_certificates(certificates);
    Ok(Access { server: client.server(), roots, token })
}

/// Fetches a page of a list.
pub(crate) fn page<T: DeserializeOwned>(args: &ListArgs, path: &str) -> Result<T, Failure> {
    filtered_page(args, path, None)
}

/// The same of a list with a filter, by its name and value.
pub(crate) fn filtered_page<T: DeserializeOwned>(
    args: &ListArgs,
    path: &str,
    filter: Option<(&str, &str)>,
) -> Result<T, Failure> {
    let client = connect(&args.server)?;
    let mut request = client.get(path).query("limit", &args.limit.to_string());
    if let Some(cursor) = &args.cursor {
        request = request.query("cursor", cursor);
    }
    if let Some((name, value)) = filter {
        request = request.query(name, value);
    }
    request.fetch().map_err(operator_failure)
}

/// Where an operator's command finds its server.
pub(crate) enum Whereabouts {
    /// At this URL.
    At(String),
    /// No server runs on the data directory, and this is how that shows.
    Nowhere(String),
}

/// What the server is verified against.
pub(crate) fn trust(args: &ServerArgs, layout: &Layout) -> Result<Trust, Failure> {
    if args.system_roots {
        return Ok(Trust::SystemRoots);
    }
    if let Some(text) = &args.fingerprint {
        let fingerprint = text.parse();
        let fingerprint = fingerprint
            .map_err(|error| Failure::new(Exit::Usage, format!("--fingerprint: {error}")))?;
        return Ok(Trust::Fingerprint(fingerprint));
    }
    if let Some(path) = &args.root_ca {
        return Ok(Trust::RootFile(path.clone()));
    }
    let path = layout.root_ca();
    let named = variable("CVM_ROOT_CA").map(PathBuf::from);
    match (path.exists(), named) {
        (true, _) => Ok(Trust::RootFile(path)),
        (false, Some(path)) => Ok(Trust::RootFile(path)),
        (false, None) => {
            let what = "there is nothing to verify the server against, so no connection was made";
            let cure = "give --root-ca FILE or --fingerprint HEX (both from `cvm init`), or run \
                        beside the data directory";
            Err(Failure::new(Exit::NotPinned, what).cure(cure))
        }
    }
}

fn server(args: &ServerArgs, layout: &Layout) -> Result<String, Failure> {
    match locate(args, layout) {
        Whereabouts::At(url) => Ok(url),
        Whereabouts::Nowhere(what) => {
            let cure = "start it with `cvm serve`, or give --server URL";
            Err(Failure::new(Exit::Failed, what).cure(cure))
        }
    }
}

/// Finds the server: the one that is named, or the one that runs on the data directory.
pub(crate) fn locate(args: &ServerArgs, layout: &Layout) -> Whereabouts {
    if let Some(server) = &args.server {
        return Whereabouts::At(server.clone());
    }
    let ready = ready(layout);
    let address = ready.and_then(|ready| address_of(&ready, "operator", layout));
    address.map_or_else(Whereabouts::Nowhere, Whereabouts::At)
}

/// What the server that runs on the data directory says of itself, or how it shows that none does.
pub(crate) fn ready(layout: &Layout) -> Result<Value, String> {
    let text = std::fs::read_to_string(layout.ready())
        .map_err(|_| format!("no server runs on {}", layout.root.display()))?;
    let ready: Value = serde_json::from_str(&text).unwrap_or_default();
    let pid = ready.get("pid").and_then(Value::as_u64);
    let is_gone = |pid: &u64| {
        std::path::Path::new("/proc/self").exists()
            && !std::path::Path::new(&format!("/proc/{pid}")).exists()
    };
    match pid.filter(is_gone) {
        Some(pid) => Err(format!("the server (process {pid}) runs no longer")),
        None => Ok(ready),
    }
}

/// Where a listener of that server is reached from this machine.
pub(crate) fn address_of(ready: &Value, listener: &str, layout: &Layout) -> Result<String, String> {
    let path = layout.ready();
    let Some(address) = ready.get(listener).and_then(Value::as_str) else {
        return Err(format!("{} names no {listener} API", path.display()));
    };
    let address: SocketAddr =
        address.parse().map_err(|_| format!("{} names no address", path.display()))?;
    // Our certificate names the addresses that we listen on, and this machine `localhost`.
    match address.ip().is_unspecified() {
        true => Ok(format!("https://localhost:{}", address.port())),
        false => Ok(format!("https://{address}")),
    }
}

fn admin_token(args: &ServerArgs, layout: &Layout) -> Result<Zeroizing<String>, Failure> {
    if let Some(path) = &args.admin_token_file {
        return read_secret("the admin token", path);
    }
    if let Some(token) = variable("CVM_ADMIN_TOKEN") {
        return Ok(Zeroizing::new(token));
    }
    read_secret("the admin token", &layout.admin_token())
        .map_err(|failure| failure.cure("give --admin-token-file FILE or set $CVM_ADMIN_TOKEN"))
}

/// The failure of a command whose request failed.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn failure(error: Error) -> Failure {
    let exit = match &error {
        Error::BadAnswer { .. } | Error::Refused(_) => Exit::Failed,
        Error::Local { .. } | Error::LocalContent { .. } => Exit::Files,
        Error::NotPinned { .. } => Exit::NotPinned,
        Error::TryLater { .. } => Exit::Later,
        Error::Usage(_) => Exit::Usage,
    };
    let failure = Failure::new(exit, cvm_core::error::chain_of(&error));
    let slug = error.refusal().and_then(|refusal| refusal.problem.as_ref());
    match slug.map(cvm_wire::problem::Problem::slug) {
        Some("unauthenticated") => failure.cure(
            "check the admin token: from --admin-token-file, else $CVM_ADMIN_TOKEN, else the data \
             directory's admin-token",
        ),
        Some("role-required") => failure.cure(
            "use such a token, by --admin-token-file or $CVM_ADMIN_TOKEN; an owner or security \
             makes them: cvm admin token create NAME --role ROLE",
        ),
        Some("already-issued") => failure.cure(
            "use the key that was shown first (--key FILE, or the --out directory of then); the \
             operator's `cvm explain CODE` tells more",
        ),
        Some("access-denied") => failure.cure(
            "compare serial number and token with what the operator registered; the operator's \
             `cvm explain CODE` tells which does not fit",
        ),
        _ => failure,
    }
}

/// The same for operators' commands, whose exit code for "later" is 1.
pub(crate) fn operator_failure(error: Error) -> Failure {
    let failure = failure(error);
    match failure.exit {
        Exit::Later | Exit::Files => Failure { exit: Exit::Failed, ..failure },
        Exit::Configuration | Exit::Failed | Exit::NotPinned | Exit::Usage => failure,
    }
}
