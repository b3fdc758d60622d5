//! From a route to the handler of its endpoint: a list, and nothing else.

use cvm_core::device::Verdict;

use super::{Api, Call};
use crate::answer::Outcome;
use crate::body::Unread;
use crate::router::Endpoint;
use crate::{crl, device, operator};

impl Api {
    /// Hands the request to its use case.
    pub(super) async fn decide(
        &self,
        endpoint: Endpoint,
        call: Call,
        unread: Option<Unread>,
    ) -> Outcome {
        match endpoint {
            Endpoint::AdminTokenCreate => operator::admin_tokens::create(self, &call).await.into(),
            Endpoint::AdminTokenList => operator::admin_tokens::list(self, &call).await.into(),
            Endpoint::AdminTokenRevoke => operator::admin_tokens::revoke(self, &call).await.into(),
            Endpoint::AttemptList => operator::attempts::list(self, &call).await.into(),
            Endpoint::CaShow => crl::ca_show(self, &call).into(),
            Endpoint::CertificateConfirm => device::certificate_confirm(self, &call).await,
            Endpoint::CertificateList => operator::certificates::list(self, &call).await.into(),
            Endpoint::CertificateRenew => device::certificate_renew(self, &call).await,
            Endpoint::CertificateRevoke => operator::certificates::revoke(self, &call).await.into(),
            Endpoint::CertificateShow => operator::certificates::show(self, &call).await.into(),
            Endpoint::CertificateVend => device::certificate_vend(self, &call).await,
            Endpoint::ClockAccept => operator::clock::accept(self, &call).await.into(),
            Endpoint::ClockShow => operator::clock::show(self).await.into(),
            Endpoint::CrlShow => crl::show(self, &call).await.into(),
            Endpoint::DeviceDelete => operator::devices::delete(self, &call).await.into(),
            Endpoint::DeviceDisable => operator::devices::disable(self, &call).await.into(),
            Endpoint::DeviceEnable => operator::devices::enable(self, &call).await.into(),
            Endpoint::DeviceImport => operator::import::start(self, call, unread).into(),
            Endpoint::DeviceNewToken => operator::devices::new_token(self, &call).await.into(),
            Endpoint::DeviceList => operator::devices::list(self, &call).await.into(),
            Endpoint::DeviceRegister => operator::devices::register(self, &call).await.into(),
            Endpoint::DeviceShow => operator::devices::show(self, &call).await.into(),
            Endpoint::HealthShow => Ok(device::health_show()).into(),
            Endpoint::JournalList => operator::journal::list(self, &call).await.into(),
            Endpoint::NonceShow => device::nonce_show(self).into(),
            Endpoint::OpenApiShow => Ok(operator::open_api_show()).into(),
            Endpoint::PolicyList => operator::policies::list(self, &call).await.into(),
            Endpoint::PolicyPut => operator::policies::put(self, &call).await.into(),
            Endpoint::PolicyShow => operator::policies::show(self, &call).await.into(),
            Endpoint::ProblemShow => device::problem_show(&call).into(),
            Endpoint::ReadinessShow => device::readiness_show(self).await.into(),
            Endpoint::ReviewApprove => {
                operator::reviews::decide(self, &call, Verdict::Approve).await.into()
            }
            Endpoint::ReviewDeny => {
                operator::reviews::decide(self, &call, Verdict::Deny).await.into()
            }
            Endpoint::ReviewList => operator::reviews::list(self, &call).await.into(),
            Endpoint::ReviewShow => operator::reviews::show(self, &call).await.into(),
            Endpoint::TrustBundleShow => Ok(device::trust_bundle_show(self)).into(),
        }
    }
}
