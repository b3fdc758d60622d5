//! What every client of an AWS service is made from: where the service is, how long a call may take,
//! how often it is tried again.
//!
//! Credentials come by the SDK's own chain. A call that is throttled or fails on its way is tried
//! again after a random pause that doubles (the SDK's standard mode, whose bucket of tries also
//! keeps us from storming a service that is down).

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_s3::config::Credentials;

/// To connect, TLS included.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// For one try.
const TRY_MAX: Duration = Duration::from_secs(5);

/// For a call with all of its tries; a request to CVM has 30 s, and a lease 60 s.
const CALL_MAX: Duration = Duration::from_secs(12);

/// Tries of one call, the first included.
const TRIES_MAX: u32 = 4;

/// Where a service is, as far as it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// By default what the SDK's own chain says: `AWS_REGION`, the profile, the instance.
    pub region: Option<String>,
    /// A URL instead of AWS's own, for private endpoints and for stand-ins.
    pub endpoint: Option<String>,
}

/// The account and its credentials, loaded once for all clients.
#[derive(Clone, Debug)]
pub struct Aws(SdkConfig);

impl Aws {
    /// Reads environment and profiles; asks for no credentials before the first call. `region` is
    /// that of services whose place says none; without it the SDK's own chain is asked, which may
    /// take its time where there is none.
    pub async fn load(region: Option<&str>) -> Self {
        Self(loader(region).load().await)
    }

    /// The same with one key instead of the SDK's chain, for stand-ins.
    pub async fn load_with_key(region: &str, access_key: &str, secret_key: &str) -> Self {
        let key = Credentials::new(access_key, secret_key, None, None, "given");
        Self(loader(Some(region)).credentials_provider(key).load().await)
    }

    /// What a client of the service at `place` is made from.
    #[must_use]
    pub fn at(&self, place: &Place) -> SdkConfig {
        let mut settings = self.0.to_builder();
        if let Some(region) = &place.region {
            settings.set_region(Some(Region::new(region.clone())));
        }
        if let Some(endpoint) = &place.endpoint {
            settings.set_endpoint_url(Some(endpoint.clone()));
        }
        settings.build()
    }

    /// A client of `DynamoDB` at `place`.
    #[must_use]
    pub fn dynamodb(&self, place: &Place) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.at(place))
    }
}

fn loader(region: Option<&str>) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_MAX)
        .operation_attempt_timeout(TRY_MAX)
        .operation_timeout(CALL_MAX)
        .build();
    let retries = RetryConfig::standard().with_max_attempts(TRIES_MAX);
    let loader = aws_config::defaults(BehaviorVersion::latest());
    let loader = match region {
        Some(region) => loader.region(Region::new(region.to_owned())),
        None => loader,
    };
    loader.timeout_config(timeouts).retry_config(retries)
}
