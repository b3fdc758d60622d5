//! Certificates of the registry.

use async_trait::async_trait;
use aws_sdk_iot::config::Builder;
use aws_sdk_iot::types::{CertificateDescription, CertificateMode, CertificateStatus};
use cvm_core::id::CertificateId;
use cvm_core::ports::{IotCertificate, IotCertificates, IotError, IotListed, IotPage, IotStatus};
use cvm_core::time::Timestamp;
use cvm_pki::{leaf_facts, pem};

use super::IotCalls;
use super::failure::{OnceUnlessThrottled, of, silent, unless_absent};

/// The most that AWS lists at once.
const PAGE: i32 = 250;

#[async_trait]
impl IotCertificates for IotCalls {
    async fn certificate_create(&self, csr: &[u8]) -> Result<IotCertificate, IotError> {
        let call = self
            .control
            .create_certificate_from_csr()
            .certificate_signing_request(pem::certificate_request(csr))
            .set_as_active(false)
            .customize()
            .config_override(Builder::new().retry_classifier(OnceUnlessThrottled));
        let made = call.send().await;
        let made = made.map_err(|error| of("CreateCertificateFromCsr", "certificate", error))?;
        self.note(made.certificate_arn());
        read(made.certificate_id(), made.certificate_pem(), IotStatus::Inactive)
    }

    async fn certificate_register(&self, leaf: &[u8], ca: &[u8]) -> Result<(), IotError> {
        match self.register(leaf, ca).await {
            // The CA is not there yet, or not any more.
            Err(IotError::NotFound(_) | IotError::Refused(_)) => {
                self.ca_register(ca).await?;
                self.register(leaf, ca).await
            }
            registered => registered,
        }
    }

    async fn certificate_describe(
        &self,
        id: &CertificateId,
    ) -> Result<Option<IotCertificate>, IotError> {
        let Some(told) = self.describe(id).await? else { return Ok(None) };
        described(&told)
    }

    async fn certificate_status_set(
        &self,
        id: &CertificateId,
        status: IotStatus,
    ) -> Result<(), IotError> {
        let status = match status {
            IotStatus::Active => CertificateStatus::Active,
            IotStatus::Inactive | IotStatus::Pending => CertificateStatus::Inactive,
            IotStatus::Revoked => CertificateStatus::Revoked,
        };
        let call = self.control.update_certificate().certificate_id(id.to_string());
        let set = call.new_status(status).send().await;
        set.map(drop).map_err(|error| of("UpdateCertificate", "certificate", error))
    }

    async fn certificate_delete(&self, id: &CertificateId) -> Result<(), IotError> {
        let call = self.control.delete_certificate().certificate_id(id.to_string());
        let deleted = call.force_delete(true).send().await;
        unless_absent(deleted.map_err(|error| of("DeleteCertificate", "certificate", error)))
    }

    async fn certificate_page(&self, marker: Option<String>) -> Result<IotPage, IotError> {
        let call = self.control.list_certificates().ascending_order(false).page_size(PAGE);
        let told = call.set_marker(marker).send().await;
        let told = told.map_err(|error| of("ListCertificates", "certificate", error))?;
        let listed = told.certificates().iter().filter_map(|it| {
            Some(IotListed {
                id: it.certificate_id()?.parse().ok()?,
                status: it.status().map_or(IotStatus::Pending, status_of),
                created_at: Timestamp(it.creation_date()?.secs()),
            })
        });
        Ok(IotPage { certificates: listed.collect(), next: told.next_marker().map(str::to_owned) })
    }
}

impl IotCalls {
    /// What AWS tells of a certificate; `None` where there is none.
    pub(super) async fn describe(
        &self,
        id: &CertificateId,
    ) -> Result<Option<CertificateDescription>, IotError> {
        let call = self.control.describe_certificate().certificate_id(id.to_string());
        let told = call.send().await;
        match told.map_err(|error| of("DescribeCertificate", "certificate", error)) {
            Ok(told) => {
                let told = told.certificate_description;
                self.note(told.as_ref().and_then(|told| told.certificate_arn()));
                told.map(Some).ok_or_else(|| silent("DescribeCertificate"))
            }
            Err(IotError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn register(&self, leaf: &[u8], ca: &[u8]) -> Result<(), IotError> {
        let call = self.control.register_certificate().certificate_pem(pem::certificate(leaf));
        let call = call.ca_certificate_pem(pem::certificate(ca));
        match call.status(CertificateStatus::Inactive).send().await {
            Ok(told) => {
                self.note(told.certificate_arn());
                Ok(())
            }
            Err(error) => {
                let is_there = error
                    .as_service_error()
                    .is_some_and(|error| error.is_resource_already_exists_exception());
                let failure = of("RegisterCertificate", "CA", error);
                if is_there { Ok(()) } else { Err(failure) }
            }
        }
    }

    /// Registers our CA, which registers nobody by itself (protocol, section 1).
    async fn ca_register(&self, ca: &[u8]) -> Result<(), IotError> {
        let call = self.control.register_ca_certificate().ca_certificate(pem::certificate(ca));
        let call = call.certificate_mode(CertificateMode::SniOnly);
        let told = call.set_as_active(true).allow_auto_registration(false).send().await;
        match told.map_err(|error| of("RegisterCACertificate", "CA", error)) {
            Ok(_) | Err(IotError::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A certificate as AWS describes it; `None` for others' with keys and forms that we never make.
fn described(told: &CertificateDescription) -> Result<Option<IotCertificate>, IotError> {
    if told.certificate_pem().is_some_and(|text| leaf_facts(text).is_err()) {
        return Ok(None);
    }
    let status = told.status.as_ref().map_or(IotStatus::Pending, status_of);
    read(told.certificate_id(), told.certificate_pem(), status).map(Some)
}

fn status_of(status: &CertificateStatus) -> IotStatus {
    let ours = [
        (CertificateStatus::Active, IotStatus::Active),
        (CertificateStatus::Inactive, IotStatus::Inactive),
        (CertificateStatus::Revoked, IotStatus::Revoked),
    ];
    let found = ours.into_iter().find(|(theirs, _)| theirs == status);
    found.map_or(IotStatus::Pending, |(_, ours)| ours)
}

/// A certificate as AWS tells it and as it reads; its id has to be what it is everywhere.
fn read(
    id: Option<&str>,
    text: Option<&str>,
    status: IotStatus,
) -> Result<IotCertificate, IotError> {
    let (Some(id), Some(text)) = (id, text) else {
        return Err(IotError::Unknown(String::from("a certificate without its id or its PEM")));
    };
    let facts = leaf_facts(text).map_err(|error| IotError::Unknown(error.to_string()))?;
    if facts.id.to_string() != id {
        let what = format!("the certificate {id} is not the one whose SHA-256 that is");
        return Err(IotError::Unknown(what));
    }
    Ok(IotCertificate {
        id: facts.id,
        der: facts.der,
        key: facts.key,
        certificate_serial: facts.certificate_serial,
        issuer: facts.issuer,
        not_before: facts.not_before,
        not_after: facts.not_after,
        status,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_read_is_none_of_ours() {
        let told = |pem: &str| {
            CertificateDescription::builder().certificate_id("00").certificate_pem(pem).build()
        };
        let pem = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert_eq!(described(&told(pem)), Ok(None));
        assert!(described(&CertificateDescription::builder().build()).is_err());
    }
}
