//! The calls of AWS IoT Core, over the SDK.
//!
//! What may be made again is tried again by the SDK. `CreateCertificateFromCsr` is not, unless it
//! was throttled: each time it takes effect there is one more certificate.

mod bindings;
mod certificates;
mod failure;
mod issuer;

use aws_sdk_iot::Client;
use cvm_core::id::CertificateId;
use cvm_core::ports::IotError;
use tokio::sync::OnceCell;

use crate::{Aws, Place};

pub use issuer::PlatformIssuer;

/// AWS IoT Core's control plane and data plane.
#[derive(Debug)]
pub struct IotCalls {
    control: Client,
    data: OnceCell<aws_sdk_iotdataplane::Client>,
    account: Aws,
    place: Place,
    /// What stands before a certificate's id in its ARN; the same for all of an account.
    arn_prefix: OnceCell<String>,
}

impl IotCalls {
    /// The calls of IoT Core at `place`. An endpoint that the place names is that of both planes.
    #[must_use]
    pub fn new(account: &Aws, place: &Place) -> Self {
        Self {
            control: Client::new(&account.at(place)),
            data: OnceCell::new(),
            account: account.clone(),
            place: place.clone(),
            arn_prefix: OnceCell::new(),
        }
    }

    /// The host where devices find MQTT (`iot:Data-ATS`).
    ///
    /// # Errors
    /// [`IotError`].
    pub async fn data_host(&self) -> Result<String, IotError> {
        let asked = self.control.describe_endpoint().endpoint_type("iot:Data-ATS").send().await;
        let told = asked.map_err(|error| failure::of("DescribeEndpoint", "endpoint", error))?;
        told.endpoint_address.ok_or_else(|| failure::silent("DescribeEndpoint"))
    }

    /// The data plane, whose host the control plane is asked for once.
    async fn data(&self) -> Result<&aws_sdk_iotdataplane::Client, IotError> {
        let connect = async || {
            let mut place = self.place.clone();
            if place.endpoint.is_none() {
                place.endpoint = Some(format!("https://{}", self.data_host().await?));
            }
            Ok(aws_sdk_iotdataplane::Client::new(&self.account.at(&place)))
        };
        self.data.get_or_try_init(connect).await
    }

    /// Takes note of a certificate's ARN, whose beginning all of them share.
    fn note(&self, arn: Option<&str>) {
        if let Some((prefix, _)) = arn.and_then(|arn| arn.rsplit_once('/')) {
            let _known_already = self.arn_prefix.set(format!("{prefix}/"));
        }
    }

    /// The ARN of a certificate, by which things and policies name it.
    async fn arn(&self, id: &CertificateId) -> Result<String, IotError> {
        let ask = async || {
            let told = self.describe(id).await?.ok_or(IotError::NotFound("certificate"))?;
            let arn = told.certificate_arn.as_deref();
            let (prefix, _) = arn
                .and_then(|arn| arn.rsplit_once('/'))
                .ok_or_else(|| failure::silent("DescribeCertificate"))?;
            Ok(format!("{prefix}/"))
        };
        let prefix = self.arn_prefix.get_or_try_init(ask).await?;
        Ok(format!("{prefix}{id}"))
    }
}
