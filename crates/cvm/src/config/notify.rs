//! `[[notify]]`: who is sent alarms, and how that is protected.
//!
//! The path and the query of such a URL may be a secret: nothing here prints them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;
use rustls_pki_types::ServerName;

use super::Reader;

/// Each has a thread of its own.
const NOTIFIES_MAX: usize = 16;

/// One `[[notify]]`.
#[derive(Clone, Debug)]
pub(crate) struct Notify {
    /// What it is called in messages: `notify.1` is the first in the file.
    pub(crate) name: String,
    /// Where to.
    pub(crate) url: WebhookUrl,
    /// The file with the secret that messages are signed with, from the data directory.
    pub(crate) secret_file: String,
    /// The file with the roots that the receiver is verified against; by default the system's.
    pub(crate) root_ca: Option<String>,
}

/// An `http://` or `https://` URL.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct WebhookUrl(Uri);

impl WebhookUrl {
    /// The whole of it, for whoever connects.
    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }

    /// Host and port, which is all that is told of it.
    pub(crate) fn receiver(&self) -> &str {
        self.0.authority().map_or("", |authority| authority.as_str())
    }

    /// Whether it is TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// Whether it is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = bare_host(&self.0);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for WebhookUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const WANTED: &str = "expected a URL such as https://alarms.example/cvm";
        let uri: Uri = text.parse().map_err(|_| WANTED)?;
        let authority = uri.authority().ok_or(WANTED)?;
        if authority.as_str().contains('@') {
            return Err(String::from(
                "no name or password in it: messages are signed, by `secret_file`",
            ));
        }
        let is_known_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        let has_port = authority.as_str() != authority.host();
        let is_bad_port = has_port && authority.port_u16().is_none();
        let is_bad_host = ServerName::try_from(bare_host(&uri)).is_err();
        match !is_known_scheme || is_bad_port || is_bad_host {
            true => Err(WANTED.to_owned()),
            false => Ok(Self(uri)),
        }
    }
}

fn bare_host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_matches(['[', ']'])
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = if self.0.path() == "/" && self.0.query().is_none() { "" } else { "/redacted" };
        write!(f, "{}://{}{rest}", self.0.scheme_str().unwrap_or_default(), self.receiver())
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Every `[[notify]]`, in their order.
pub(super) fn read(reader: &mut Reader) -> Vec<Notify> {
    let names = reader.take_notifies();
    if let Some(name) = names.get(NOTIFIES_MAX) {
        reader.fault(name, "url", format!("there may be {NOTIFIES_MAX} [[notify]], no more"));
    }
    names.into_iter().filter_map(|name| read_one(reader, name)).collect()
}

fn read_one(reader: &mut Reader, name: String) -> Option<Notify> {
    let url: Option<WebhookUrl> = reader.text(&name, "url", "");
    let secret_file: String = reader.text(&name, "secret_file", "notify-secret")?;
    let root_ca: String = reader.text(&name, "root_ca", "")?;
    if secret_file.is_empty() {
        let what = String::from("a file is needed: it is made where it does not exist");
        reader.fault(&name, "secret_file", what);
    }
    let url = url?;
    if !url.is_https() && !root_ca.is_empty() {
        let what = String::from("it is for https://, and the url is http://");
        reader.fault(&name, "root_ca", what);
    }
    Some(Notify { name, url, secret_file, root_ca: Some(root_ca).filter(|file| !file.is_empty()) })
}
