//! Stand-ins for AWS, each on a port of its own, killed when dropped: Amazon's DynamoDB Local, moto
//! (KMS, S3, IAM), IoT of our own (`crates/cvm-e2e/aws/`), and a proxy that makes calls fail.
//!
//! `cargo xtask aws install` fetches what they are made of, once.

mod dynamodb;
mod iot;
mod lambda;
mod moto;
mod process;
mod proxy;
mod python;

pub use dynamodb::DynamoDbLocal;
pub use iot::IotStandIn;
pub use lambda::Lambda;
pub use moto::Moto;
pub use proxy::{Fault, FaultProxy, Lasting};
pub use python::run_python;

/// The region that tests work in.
pub const REGION: &str = "eu-central-1";

/// The access key that tests sign with. The stand-ins want a signature, and any will do.
pub const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";

/// The secret of [`ACCESS_KEY_ID`], from AWS's documentation.
pub const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// What the SDK's own chain needs in a process's environment, and nothing of this machine's.
pub const VARIABLES: [(&str, &str); 7] = [
    ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
    ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
    ("AWS_REGION", REGION),
    // What Python reads instead.
    ("AWS_DEFAULT_REGION", REGION),
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("AWS_CONFIG_FILE", "/nonexistent"),
    ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
];
