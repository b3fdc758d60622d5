//! Every section and key, with its default and its meaning.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use cvm_api::Network;
use cvm_core::id::Name;
use cvm_core::limit::Rate;
use cvm_core::profile::{Profile, Profiles, Reissue};
use cvm_core::time::Span;

use super::listen::{self, Place};
use super::{Notify, Reader, notify};

/// Everything `serve` needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// `[store] url`: where the registry lives; `sqlite:` and a path from the data directory.
    pub(crate) store_url: String,
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
    /// Whether the device listener serves the operator API too.
    pub(crate) has_operator_api: bool,
}

/// `[limits]`.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Refusals per address before it has to wait.
    pub(crate) refusals_per_address: Rate,
    /// Requests with a valid credential per device before it has to wait.
    pub(crate) issues_per_serial: Rate,
    /// Addresses that never wait for others' refusals.
    pub(crate) trusted_networks: Vec<Network>,
    /// Connections open at once, per listener.
    pub(crate) connections: u32,
    /// Of these, at once from one address that is not trusted.
    pub(crate) connections_per_address: u32,
    /// Seconds for a TLS handshake.
    pub(crate) handshake_seconds: u32,
    /// Seconds for the head of a request.
    pub(crate) header_seconds: u32,
    /// Seconds for a whole request.
    pub(crate) request_seconds: u32,
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
choice!(
    /// The IoT platform.
    PlatformKind {
        /// Our own, in this process.
        Embedded = "embedded"
    }
);
choice!(
    /// What a used token still obtains.
    ReissueName {
        /// Another key gets a certificate at any time.
        Always = "always",
        /// Another key waits for a human.
        Approval = "approval",
        /// The same bytes for ten minutes, and then nothing.
        Never = "never",
        /// The same key is answered the same bytes.
        SameKey = "same-key",
        /// Another key takes the place of what nobody has used yet.
        UntilConfirmed = "until-confirmed"
    }
);

impl ReissueName {
    fn rule(self) -> Reissue {
        match self {
            Self::Always => Reissue::Always,
            Self::Approval => Reissue::Approval,
            Self::Never => Reissue::Never,
            Self::SameKey => Reissue::SameKey,
            Self::UntilConfirmed => Reissue::UntilConfirmed,
        }
    }
}

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

/// A store's URL, checked as far as it goes without opening it.
struct StoreUrl(String);

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        cvm_store::url_check(text).map_err(|error| error.to_string())?;
        Ok(Self(text.to_owned()))
    }
}

/// An `http://` or `https://` URL without a path.
struct BaseUrl(Option<String>);

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim_end_matches('/');
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        match rest {
            _ if text.is_empty() => Ok(Self(None)),
            Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', ' ']) => {
                Ok(Self(Some(text.to_owned())))
            }
            _ => {
                Err(String::from("expected a URL without a path, such as https://cvm.example:8443"))
            }
        }
    }
}

/// The sections that hold one profile's rules.
const ISSUANCE: &str = "issuance";

const HTTP_LISTEN: Place = ("http", "listen");
const METRICS_LISTEN: Place = ("metrics", "listen");
const OPERATOR_LISTEN: Place = ("operator", "listen");
const PLAIN_LISTEN: Place = ("http", "plain_listen");

impl Config {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let store_url: Option<StoreUrl> = reader.text("store", "url", "sqlite:cvm.db");
        let store_url = store_url.map(|url| url.0).unwrap_or_default();
        let _kind: Option<PlatformKind> = reader.text("platform", "kind", "embedded");
        reader.later("platform", &["account", "region"]);
        let vault_url: String = reader.text("vault", "url", "file:vault").unwrap_or_default();
        if vault_url != "file:vault" {
            let what = String::from("this version has \"file:vault\" only");
            reader.fault("vault", "url", what);
        }
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
        reader.later("mqtt", &["listen", "public_endpoint"]);
        reader.later("journal", &["mirror"]);
        reader.later("queue", &["url"]);
        let notify = notify::read(reader);
        let profiles = read_profiles(reader);
        let limits = Limits::read(reader);
        let log = Log {
            format: reader.text("log", "format", "text").unwrap_or(LogFormat::Text),
            level: reader.text("log", "level", "info").unwrap_or(LogLevel::Info),
        };
        Self { store_url, http, operator_listen, metrics_listen, notify, profiles, limits, log }
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
        reader.later("http", &["trusted_proxies"]);
        Self {
            listen,
            plain_listen,
            hostnames: hostnames.unwrap_or_default(),
            public_url: public_url.and_then(|url| url.0),
            crl_url: crl_url.and_then(|url| url.0),
            brought: (!certificate.is_empty()).then_some((certificate, key)),
            server_key: reader.text("http", "server_key", "EC_P256").unwrap_or(ServerKey::EcP256),
            has_operator_api: reader.truth("http", "operator", false).unwrap_or_default(),
        }
    }
}

impl Limits {
    fn read(reader: &mut Reader) -> Self {
        let mut rate = |key: &str, default: &str, count, per| {
            let fallback = Rate { count, per: Span(per) };
            reader.text("limits", key, default).unwrap_or(fallback)
        };
        Self {
            refusals_per_address: rate("refusals_per_address", "60/1m", 60, 60),
            issues_per_serial: rate("issues_per_serial", "10/1h", 10, 3_600),
            trusted_networks: reader.list("limits", "trusted_networks", &[]).unwrap_or_default(),
            connections: number(reader, "connections", 1_024, 1, 1_000_000),
            connections_per_address: number(reader, "connections_per_address", 256, 1, 1_000_000),
            handshake_seconds: number(reader, "handshake_seconds", 10, 1, 600),
            header_seconds: number(reader, "header_seconds", 10, 1, 600),
            request_seconds: number(reader, "request_seconds", 30, 1, 600),
        }
    }
}

fn number(reader: &mut Reader, key: &str, default: u32, least: u32, most: u32) -> u32 {
    reader.number("limits", key, default, least..=most).unwrap_or(default)
}

fn read_profiles(reader: &mut Reader) -> Profiles {
    const INHERITED: [&str; 9] = [
        "reissue",
        "lifetime",
        "backdate",
        "overlap",
        "grace_after_confirm",
        "renew_after_expiry",
        "key_replay",
        "token_life",
        "server_keys",
    ];
    let default = read_profile(reader, ISSUANCE);
    let mut profiles = Profiles { default, ..Profiles::default() };
    for name in reader.take_profiles() {
        let section = format!("profile.{name}");
        for key in INHERITED {
            reader.inherit(&section, key, ISSUANCE);
        }
        let profile = read_profile(reader, &section);
        match name.parse::<Name>() {
            Ok(name) => drop(profiles.named.insert(name, profile)),
            Err(error) => reader.fault(&section, "name", error.to_string()),
        }
    }
    profiles
}

fn read_profile(reader: &mut Reader, section: &str) -> Profile {
    let rules = Profile::default();
    let reissue: Option<ReissueName> = reader.text(section, "reissue", "same-key");
    let mut span =
        |key: &str, default: &str, rule: Span| reader.text(section, key, default).unwrap_or(rule);
    let (overlap, grace_after_confirm, renew_after_expiry) = (
        span("overlap", "7d", rules.overlap),
        span("grace_after_confirm", "5m", rules.grace_after_confirm),
        span("renew_after_expiry", "0d", rules.renew_after_expiry),
    );
    let profile = Profile {
        reissue: reissue.map_or(rules.reissue, ReissueName::rule),
        overlap,
        grace_after_confirm,
        renew_after_expiry,
        lifetime: reader.text(section, "lifetime", "365d").unwrap_or(rules.lifetime),
        backdate: reader.text(section, "backdate", "5m").unwrap_or(rules.backdate),
        key_replay: reader.text(section, "key_replay", "15m").unwrap_or(rules.key_replay),
        token_life: reader.text(section, "token_life", "90d").unwrap_or(rules.token_life),
        server_keys: reader.truth(section, "server_keys", false).unwrap_or(rules.server_keys),
    };
    if profile.lifetime < Span::MINUTE {
        reader.fault(section, "lifetime", String::from("at least 1m"));
    }
    if profile.token_life < Span::MINUTE {
        reader.fault(section, "token_life", String::from("at least 1m"));
    }
    if profile.grace_after_confirm > Span::DAY {
        let what = String::from("at most 1d: until then a certificate that was replaced connects");
        reader.fault(section, "grace_after_confirm", what);
    }
    if profile.backdate > Span::DAY {
        reader.fault(section, "backdate", String::from("at most 1d: it is for slow clocks"));
    }
    profile
}
