//! What of AWS a configuration names: a table, a bucket, IoT Core, a function.

use std::fmt;
use std::str::FromStr;

use cvm_aws::Place;

use super::Reader;
use super::sections::choice;

/// A table of `DynamoDB`: `dynamodb://TABLE?region=…&endpoint=…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) place: Place,
}

/// A part of a bucket: `s3://BUCKET/PREFIX?region=…&endpoint=…&key=…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Its name.
    pub(crate) name: String,
    /// What its objects' names begin with, without a slash at the end.
    pub(crate) prefix: String,
    /// The KMS key that S3 is to encrypt objects with, instead of its own.
    pub(crate) key: Option<String>,
    /// Where it is.
    pub(crate) place: Place,
}

/// `[platform]` where the kind is `aws-iot-core`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IotCore {
    /// Who signs devices' certificates.
    pub(crate) issuer: IssuerKind,
    /// Which policy a certificate is bound to.
    pub(crate) policy: PolicyKind,
    /// Where it is.
    pub(crate) place: Place,
    /// `[mqtt] public_endpoint`: what devices reach it by; by default AWS is asked.
    pub(crate) public_endpoint: Option<String>,
}

choice!(
    /// Who signs devices' certificates.
    IssuerKind {
        /// AWS IoT.
        Aws = "aws",
        /// Our `devices` CA.
        OwnCa = "own-ca"
    }
);

choice!(
    /// Which policy a certificate is bound to.
    PolicyKind {
        /// The account's policy of the name in the record.
        Named = "named",
        /// One of the device's own, made from the policy in the record.
        PerDevice = "per-device"
    }
);

choice!(
    /// Which routes a function has.
    Routes {
        /// The device API's.
        Device = "device",
        /// The operator API's.
        Operator = "operator"
    }
);

impl FromStr for Table {
    type Err = String;

    /// What follows `dynamodb://`.
    fn from_str(text: &str) -> Result<Self, String> {
        const WANTED: &str = "expected dynamodb://TABLE, a name of 3 to 255 letters, digits, `_`, \
                              `-` and `.`, perhaps with ?region=eu-central-1";
        let (name, place) = place_behind(text, |_, _| false)?;
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        match (3..=255).contains(&name.len()) && name.bytes().all(is_allowed) {
            true => Ok(Self { name: name.to_owned(), place }),
            false => Err(WANTED.to_owned()),
        }
    }
}

impl FromStr for Bucket {
    type Err = String;

    /// What follows `s3://`.
    fn from_str(text: &str) -> Result<Self, String> {
        const WANTED: &str = "expected s3://BUCKET/PREFIX, perhaps with ?region=eu-central-1, and \
                              &key=ARN for a KMS key of your own";
        let mut key = None;
        let (path, place) = place_behind(text, |name, value| {
            let is_key = name == "key" && !value.is_empty();
            if is_key {
                key = Some(value.to_owned());
            }
            is_key
        })?;
        let (name, prefix) = path.split_once('/').unwrap_or((path, ""));
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        match (3..=63).contains(&name.len()) && name.bytes().all(is_allowed) {
            true => {
                let prefix = prefix.trim_end_matches('/').to_owned();
                Ok(Self { name: name.to_owned(), prefix, key, place })
            }
            false => Err(WANTED.to_owned()),
        }
    }
}

impl IotCore {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let issuer = reader.text("platform", "issuer", "aws").unwrap_or(IssuerKind::Aws);
        let policy = reader.text("platform", "policy", "named").unwrap_or(PolicyKind::Named);
        let region: String = reader.text("platform", "region", "").unwrap_or_default();
        let endpoint: Option<Endpoint> = reader.text("platform", "endpoint", "");
        let public: String = reader.text("mqtt", "public_endpoint", "").unwrap_or_default();
        let place = Place {
            region: Some(region).filter(|region| !region.is_empty()),
            endpoint: endpoint.and_then(|endpoint| endpoint.0),
        };
        Self { issuer, policy, place, public_endpoint: Some(public).filter(|it| !it.is_empty()) }
    }
}

/// `[lambda] routes`.
pub(super) fn routes(reader: &mut Reader) -> Routes {
    reader.text("lambda", "routes", "device").unwrap_or(Routes::Device)
}

/// Empty, or the URL of a service.
struct Endpoint(Option<String>);

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_url = text.starts_with("https://") || text.starts_with("http://");
        match (text.is_empty(), is_url && !text.contains([' ', '@', '?', '#'])) {
            (true, _) => Ok(Self(None)),
            (false, true) => Ok(Self(Some(text.trim_end_matches('/').to_owned()))),
            (false, false) => {
                Err(String::from("expected a URL such as https://vpce-1.iot.example, or \"\""))
            }
        }
    }
}

/// What stands before `?`, and the place that the parameters behind it say; `other` takes those that
/// say more.
fn place_behind(
    text: &str,
    mut other: impl FnMut(&str, &str) -> bool,
) -> Result<(&str, Place), String> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let mut place = Place::default();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("region", region)) if !region.is_empty() => {
                place.region = Some(region.to_owned());
            }
            Some(("endpoint", url)) => place.endpoint = url.parse::<Endpoint>()?.0,
            Some((name, value)) if other(name, value) => {}
            Some(_) | None => {
                return Err(format!(
                    "behind `?` stand region=REGION and endpoint=URL, not `{parameter}`"
                ));
            }
        }
    }
    Ok((path, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_and_a_bucket_say_where_they_are() {
        let table: Table =
            "cvm?region=eu-central-1&endpoint=http://127.0.0.1:8000".parse().unwrap();
        assert_eq!(table.name, "cvm");
        assert_eq!(table.place.region.as_deref(), Some("eu-central-1"));
        assert_eq!(table.place.endpoint.as_deref(), Some("http://127.0.0.1:8000"));
        let bucket: Bucket = "my-bucket/cvm/prod/".parse().unwrap();
        assert_eq!((bucket.name.as_str(), bucket.prefix.as_str()), ("my-bucket", "cvm/prod"));
        assert_eq!(bucket.place, Place::default());
        assert_eq!(bucket.key, None);
        assert_eq!("my-bucket".parse::<Bucket>().unwrap().prefix, "");
        let bucket: Bucket = "b-1/p?key=arn:aws:kms:eu-central-1:1:key/2".parse().unwrap();
        assert_eq!(bucket.key.as_deref(), Some("arn:aws:kms:eu-central-1:1:key/2"));
    }

    #[test]
    fn what_names_no_table_and_no_bucket_says_what_would() {
        for bad in [
            "",
            "cv",
            "a b c",
            "table/x",
            "cvm?regoin=x",
            "cvm?region=",
            "cvm?endpoint=x",
            "cvm?key=x",
        ] {
            assert!(bad.parse::<Table>().is_err(), "{bad}");
        }
        for bad in ["", "B/x", "Bucket/x", "my_bucket", "my-bucket/p?x=1", "my-bucket/p?key="] {
            assert!(bad.parse::<Bucket>().is_err(), "{bad}");
        }
        assert!("my table".parse::<Table>().unwrap_err().contains("dynamodb://TABLE"));
    }
}
