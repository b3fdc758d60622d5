//! CVM on AWS: the ports of core, over DynamoDB, IoT Core, KMS and S3.

mod client;
pub mod dynamodb;
pub mod iot;
pub mod kms;
pub mod s3;

pub use client::{Aws, Place};
