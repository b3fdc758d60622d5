//! What goes with certificates that AWS signed: nothing of ours but the checks of requests.

use std::sync::Arc;

use async_trait::async_trait;
use cvm_core::certificate::IssuerId;
use cvm_core::id::KeyIdentity;
use cvm_core::key::{CheckedCsr, CsrError, UncheckedCsr};
use cvm_core::ports::{Chain, CrlTemplate, Issuer, IssuerError, LeafTemplate, SignedLeaf};
use cvm_core::time::Timestamp;

/// Amazon Root CA 1 (RSA) and 3 (P-256), by which devices verify IoT Core's endpoints.
const ROOTS: &str = include_str!("amazon-roots.pem");

/// Our issuer where AWS signs: a certificate that is none of ours has no chain, and goes with the
/// platform's roots.
#[expect(missing_debug_implementations, reason = "holds the signer")]
pub struct PlatformIssuer {
    ours: Arc<dyn Issuer>,
    aws: Arc<Chain>,
}

impl PlatformIssuer {
    /// The issuer over `ours`, which checks requests and signs nothing.
    #[must_use]
    pub fn new(ours: Arc<dyn Issuer>) -> Self {
        let chain = Chain { intermediate: String::new(), root: ROOTS.to_owned() };
        Self { ours, aws: Arc::new(chain) }
    }
}

#[async_trait]
impl Issuer for PlatformIssuer {
    fn csr_parse(&self, pem: &str) -> Result<UncheckedCsr, CsrError> {
        self.ours.csr_parse(pem)
    }

    fn csr_claims(&self, csr: &UncheckedCsr) -> Option<KeyIdentity> {
        self.ours.csr_claims(csr)
    }

    fn csr_check(&self, csr: &UncheckedCsr) -> Result<CheckedCsr, CsrError> {
        self.ours.csr_check(csr)
    }

    async fn leaf_sign(&self, _: LeafTemplate<'_>) -> Result<SignedLeaf, IssuerError> {
        Err(IssuerError::Bug(String::from("AWS signs here")))
    }

    async fn crl_sign(&self, template: CrlTemplate) -> Result<Vec<u8>, IssuerError> {
        self.ours.crl_sign(template).await
    }

    fn crl_url(&self, issuer: &IssuerId, shard: u8) -> Option<String> {
        self.ours.crl_url(issuer, shard)
    }

    fn ca_certificate(&self, issuer: &IssuerId) -> Option<Arc<[u8]>> {
        self.ours.ca_certificate(issuer)
    }

    fn owns_key(&self, key: &KeyIdentity) -> bool {
        self.ours.owns_key(key)
    }

    fn chain(&self, issuer: &IssuerId) -> Option<Arc<Chain>> {
        self.ours.chain(issuer).or_else(|| Some(self.aws.clone()))
    }

    fn trust_bundle(&self) -> Arc<str> {
        self.ours.trust_bundle()
    }

    fn not_before(&self) -> Timestamp {
        self.ours.not_before()
    }
}
