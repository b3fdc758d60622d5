//! Ports that are counted on their way to the real ones.

use std::sync::Arc;

use async_trait::async_trait;
use cvm_core::certificate::CertificateRecord;
use cvm_core::journal::{Event, JournalRow};
use cvm_core::page::{Page, PageRequest};
use cvm_core::ports::{CarryOutError, IssueOrder, Journal, Platform, StoreError};

use super::Metrics;

/// A port, and where what it did is counted.
pub(crate) struct Counted<T: ?Sized> {
    port: Arc<T>,
    metrics: Arc<Metrics>,
}

impl<T: ?Sized> Counted<T> {
    /// The same port, counted.
    pub(crate) fn new(port: Arc<T>, metrics: &Arc<Metrics>) -> Self {
        Self { port, metrics: metrics.clone() }
    }
}

#[async_trait]
impl Platform for Counted<dyn Platform> {
    async fn certificate_issue(
        &self,
        order: IssueOrder<'_>,
    ) -> Result<CertificateRecord, CarryOutError> {
        let issued = self.port.certificate_issue(order).await?;
        self.metrics.certificates_issued.inc();
        Ok(issued)
    }
}

#[async_trait]
impl Journal for Counted<dyn Journal> {
    async fn event_record(&self, event: Event) -> Result<(), StoreError> {
        let recorded = self.port.event_record(event).await;
        recorded.inspect_err(|_| self.metrics.journal_failures.inc())
    }

    async fn journal_page(&self, page: &PageRequest) -> Result<Page<JournalRow>, StoreError> {
        self.port.journal_page(page).await
    }
}
