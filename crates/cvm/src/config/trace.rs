//! `[trace]`: where OpenTelemetry traces go, in a build that has them.

use std::str::FromStr;

use super::{Reader, WebhookUrl};

/// `[trace]`.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// The collector's URL for OTLP over HTTP; `None` is off.
    #[cfg_attr(
        not(feature = "otel"),
        expect(dead_code, reason = "only a build with traces sends")
    )]
    pub(crate) endpoint: Option<WebhookUrl>,
    /// The file with the roots that it is verified against; by default the system's.
    #[cfg_attr(
        not(feature = "otel"),
        expect(dead_code, reason = "only a build with traces sends")
    )]
    pub(crate) root_ca: Option<String>,
    /// One request in so many is sent.
    #[cfg_attr(
        not(feature = "otel"),
        expect(dead_code, reason = "only a build with traces sends")
    )]
    pub(crate) one_in: u32,
}

impl Trace {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let endpoint: Option<Endpoint> = reader.text("trace", "endpoint", "");
        let endpoint = endpoint.and_then(|it| it.0);
        let root_ca: String = reader.text("trace", "root_ca", "").unwrap_or_default();
        let one_in = reader.number("trace", "one_in", 1, 1..=1_000_000).unwrap_or(1);
        if endpoint.is_some() && !cfg!(feature = "otel") {
            let what = "this build sends no traces: run one that was built with the feature \
                        `otel` (`cargo build --features otel`), or leave it empty";
            reader.fault("trace", "endpoint", what.to_owned());
        }
        if !root_ca.is_empty() && !endpoint.as_ref().is_some_and(WebhookUrl::is_https) {
            let what = String::from("it is for https://, and the endpoint is not");
            reader.fault("trace", "root_ca", what);
        }
        Self { endpoint, root_ca: Some(root_ca).filter(|file| !file.is_empty()), one_in }
    }
}

struct Endpoint(Option<WebhookUrl>);

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        text.parse().map(|url| Self(Some(url))).map_err(|_: String| {
            String::from(
                "expected a URL such as http://127.0.0.1:4318/v1/traces, without a password in \
                 it; or \"\" for off",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    /// What is wrong with `text` but for which build this is.
    fn faults(text: &str) -> Vec<String> {
        let parsed = crate::config::parse(text, std::iter::empty());
        let faults = parsed.err().unwrap_or_default();
        let told = faults.iter().map(ToString::to_string);
        told.filter(|fault| !fault.contains("--features otel")).collect()
    }

    #[test]
    fn an_endpoint_is_a_url_and_holds_no_password() {
        for endpoint in ["127.0.0.1:4318", "grpc://collector:4317", "http://me:s3cret@collector"] {
            let faults = faults(&format!("[trace]\nendpoint = \"{endpoint}\"\n"));
            assert!(
                faults[0].starts_with("[trace] endpoint: expected a URL such as"),
                "{faults:?}"
            );
            assert!(!faults.concat().contains("s3cret"), "{faults:?}");
        }
        for endpoint in ["http://127.0.0.1:4318/v1/traces", "https://collector.example", ""] {
            assert_eq!(faults(&format!("[trace]\nendpoint = \"{endpoint}\"\n")), [""; 0]);
        }
    }

    #[test]
    fn roots_are_for_https_and_a_part_is_at_least_one() {
        let plain =
            "[trace]\nendpoint = \"http://collector\"\nroot_ca = \"roots.pem\"\none_in = 0\n";
        let faults = faults(plain);
        assert!(faults.iter().any(|fault| fault.starts_with("[trace] root_ca: it is for https")));
        assert!(faults.iter().any(|fault| fault.starts_with("[trace] one_in: expected a whole")));
        assert_eq!(faults.len(), 2, "{faults:?}");
    }
}
