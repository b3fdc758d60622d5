//! Every section and key, with its default and its meaning.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use cvm_api::Network;
use cvm_core::profile::Profiles;

#[cfg(feature = "aws")]
use super::aws::Routes;
use super::issuance::read_profiles;
use super::limits::Limits;
use super::listen::{self, Place};
use super::places::{self, PlatformPlace, StorePlace, VaultPlace};
use super::trace::Trace;
use super::{Notify, Reader, notify};

/// Everything `serve` needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// `[store] url`: where the registry lives; `sqlite:` and a path from the data directory, and for
    /// rehearsals of power cuts only `?synchronous=off` behind it; or `dynamodb://` and a table.
    pub(crate) store: StorePlace,
    /// `[vault] url`: where the CAs' keys are; `file:vault`, or `s3://` and a bucket.
    pub(crate) vault: VaultPlace,
    /// `[platform]`: whose things devices become.
    pub(crate) platform: PlatformPlace,
    /// `[lambda] routes`: which routes a function has.
    #[cfg(feature = "aws")]
    pub(crate) routes: Routes,
    /// `[http]`.
    pub(crate) http: Http,
    /// `[operator] listen`: address and port of the operator API.
    pub(crate) operator_listen: SocketAddr,
    /// `[metrics] listen`: address and port of the metrics; `None` is off.
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// `[[notify]]`: who is sent alarms.
    pub(crate) notify: Vec<Notify>,
    /// `[issuance]` and `[[profile]]`.
    pub(crate) profiles: Profiles,
    /// `[limits]`.
    pub(crate) limits: Limits,
    /// `[log]`.
    pub(crate) log: Log,
    /// `[trace]`.
    #[cfg_attr(
        not(feature = "otel"),
        expect(dead_code, reason = "only a build with traces sends")
    )]
    pub(crate) trace: Trace,
}

/// `[http]`: the device API.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    /// Address and port.
    pub(crate) listen: SocketAddr,
    /// Address and port of what is served without TLS: CRLs and CA certificates; `None` is off.
    pub(crate) plain_listen: Option<SocketAddr>,
    /// The names and addresses that the server's certificate has.
    pub(crate) hostnames: Vec<HostName>,
    /// What devices reach the server by; by default the first host name and the bound port.
    pub(crate) public_url: Option<String>,
    /// What leaves name as the place of their CRL; by default `public_url`.
    pub(crate) crl_url: Option<String>,
    /// The server certificate that the operator brings, with its key; by default ours.
    pub(crate) brought: Option<(String, String)>,
    /// Of which kind our server certificate's key is.
    pub(crate) server_key: ServerKey,
    /// Who is believed to tell whom a request comes from: proxies that end TLS.
    pub(crate) trusted_proxies: Vec<Network>,
    /// Whether the device listener serves the operator API too.
    pub(crate) has_operator_api: bool,
}

/// `[log]`.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// Lines for people or for machines.
    pub(crate) format: LogFormat,
    /// From which level on.
    pub(crate) level: LogLevel,
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$variant_doc])* $variant),+ }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(format!("expected one of {}", [$($text),+].join(", "))),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),+ })
            }
        }
    };
}
pub(super) use choice;

choice!(
    /// Of which kind the server certificate's key is.
    ServerKey {
        /// ECDSA on P-256.
        EcP256 = "EC_P256",
        /// RSA, for TLS stacks that know nothing else.
        Rsa2048 = "RSA_2048"
    }
);
choice!(
    /// How log lines look.
    LogFormat {
        /// For machines.
        Json = "json",
        /// For people.
        Text = "text"
    }
);
choice!(
    /// From which level on log lines are written.
    LogLevel {
        /// What went wrong.
        Error = "error",
        /// What may go wrong.
        Warn = "warn",
        /// One line for each request.
        Info = "info",
        /// What happened inside.
        Debug = "debug"
    }
);
/// A DNS name or an IP address of this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostName(pub(crate) String);

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match cvm_pki::host_name_check(text) {
            Ok(()) => Ok(Self(text.trim_matches(['[', ']']).to_owned())),
            Err(error) => Err(format!("{error}: expected a DNS name or an IP address")),
        }
    }
}

/// An `http://` or `https://` URL that paths are put behind: of a host, or of a stage of an API.
struct BaseUrl(Option<String>);

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const NOWHERE: [char; 5] = ['?', '#', ' ', '@', '"'];
        let text = text.trim_end_matches('/');
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        match rest {
            _ if text.is_empty() => Ok(Self(None)),
            Some(rest) if !rest.is_empty() && !rest.starts_with('/') && !rest.contains(NOWHERE) => {
                Ok(Self(Some(normalised(text))))
            }
            _ => Err(String::from("expected a URL such as https://cvm.example:8443")),
        }
    }
}

/// RFC 3986, section 6.2: the host in lower case, without the scheme's own port. Devices that sign
/// their requests write it so too, and both are compared byte for byte.
fn normalised(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let path_begins = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path_begins);
    let own_port = if scheme == "https" { ":443" } else { ":80" };
    let authority = authority.strip_suffix(own_port).unwrap_or(authority);
    format!("{scheme}://{}{path}", authority.to_ascii_lowercase())
}

const HTTP_LISTEN: Place = ("http", "listen");
const METRICS_LISTEN: Place = ("metrics", "listen");
const OPERATOR_LISTEN: Place = ("operator", "listen");
const PLAIN_LISTEN: Place = ("http", "plain_listen");

impl Config {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let store = places::store(reader);
        let platform = places::platform(reader);
        let vault = places::vault(reader);
        let http = Http::read(reader);
        let operator_listen = listen::address(reader, OPERATOR_LISTEN, "127.0.0.1:8445");
        let metrics_listen = listen::optional(reader, METRICS_LISTEN, "127.0.0.1:9464");
        let listeners = [
            (HTTP_LISTEN, Some(http.listen)),
            (PLAIN_LISTEN, http.plain_listen),
            (OPERATOR_LISTEN, Some(operator_listen)),
            (METRICS_LISTEN, metrics_listen),
        ];
        listen::refuse_shared(reader, &listeners);
        reader.later("journal", &["mirror"]);
        reader.later("queue", &["url"]);
        let notify = notify::read(reader);
        let profiles = read_profiles(reader);
        let limits = Limits::read(reader);
        let log = Log {
            format: reader.text("log", "format", "text").unwrap_or(LogFormat::Text),
            level: reader.text("log", "level", "info").unwrap_or(LogLevel::Info),
        };
        let trace = Trace::read(reader);
        #[cfg(feature = "aws")]
        let routes = super::aws::routes(reader);
        #[cfg(not(feature = "aws"))]
        reader.without_effect("lambda", &["routes"], "in this build");
        Self {
            store,
            vault,
            platform,
            #[cfg(feature = "aws")]
            routes,
            http,
            operator_listen,
            metrics_listen,
            notify,
            profiles,
            limits,
            log,
            trace,
        }
    }
}

impl Config {
    /// The URL of a registry that is a file of this machine.
    pub(crate) fn sqlite_url(&self) -> Option<&str> {
        match &self.store {
            StorePlace::Sqlite(url) => Some(url),
            #[cfg(feature = "aws")]
            StorePlace::DynamoDb(_) => None,
        }
    }
}

impl Http {
    fn read(reader: &mut Reader) -> Self {
        let listen = listen::address(reader, HTTP_LISTEN, "127.0.0.1:8443");
        let plain_listen = listen::optional(reader, PLAIN_LISTEN, "");
        let hostnames: Option<Vec<HostName>> = reader.list("http", "hostnames", &["localhost"]);
        if hostnames.as_ref().is_some_and(Vec::is_empty) {
            let what = String::from("at least one name is needed for the server's certificate");
            reader.fault("http", "hostnames", what);
        }
        let public_url: Option<BaseUrl> = reader.text("http", "public_url", "");
        let crl_url: Option<BaseUrl> = reader.text("http", "crl_url", "");
        let certificate: String = reader.text("http", "certificate", "").unwrap_or_default();
        let key: String = reader.text("http", "key", "").unwrap_or_default();
        if certificate.is_empty() != key.is_empty() {
            let what = String::from("[http] certificate and key go together");
            reader.fault("http", "certificate", what);
        }
        let compatibility: Vec<String> =
            reader.list("http", "compatibility", &[]).unwrap_or_default();
        if !compatibility.is_empty() {
            let what = String::from("this version has no compatibility routes: leave it empty");
            reader.fault("http", "compatibility", what);
        }
        let trusted_proxies: Vec<Network> =
            reader.list("http", "trusted_proxies", &[]).unwrap_or_default();
        if trusted_proxies.iter().any(Network::is_everyone) {
            let what = String::from(
                "everybody would be believed whose certificate and address a request is: name \
                 the proxies' own networks",
            );
            reader.fault("http", "trusted_proxies", what);
        }
        Self {
            listen,
            plain_listen,
            hostnames: hostnames.unwrap_or_default(),
            public_url: public_url.and_then(|url| url.0),
            crl_url: crl_url.and_then(|url| url.0),
            brought: (!certificate.is_empty()).then_some((certificate, key)),
            server_key: reader.text("http", "server_key", "EC_P256").unwrap_or(ServerKey::EcP256),
            trusted_proxies,
            has_operator_api: reader.truth("http", "operator", false).unwrap_or_default(),
        }
    }
}
