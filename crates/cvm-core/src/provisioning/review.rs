//! What waits for a human, and what the human says.

use super::Provisioning;
use super::operate::{Done, OperatorRefusal};
use crate::device::{Device, Verdict};
use crate::id::AttemptCode;
use crate::journal::EventKind;
use crate::page::{Page, PageRequest};
use crate::ports::StoreError;

impl Provisioning {
    /// Devices whose review is open, each with it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn review_page(&self, page: &PageRequest) -> Result<Page<Device>, StoreError> {
        let now = self.ports.clock.read().now;
        let mut page = self.ports.catalogue.review_page(page).await?;
        page.items.retain_mut(|device| {
            let _moved = device.settle(now);
            device.review.as_ref().is_some_and(super::super::device::Review::is_open)
        });
        Ok(page)
    }

    /// The device whose review is called `id`, as of now.
    ///
    /// # Errors
    /// [`OperatorRefusal::NotFound`] for one that nobody asked, or that a later one took the place
    /// of.
    pub async fn review_show(&self, id: AttemptCode) -> Result<Device, OperatorRefusal> {
        let serial = self.ports.catalogue.reviewed_device(id).await?;
        let serial = serial.ok_or(OperatorRefusal::NotFound("review"))?;
        let device = self.ports.store.device_find(&serial).await?;
        let mut device = device.ok_or(OperatorRefusal::NotFound("review"))?;
        let _moved = device.settle(self.ports.clock.read().now);
        match &device.review {
            Some(review) if review.id == id => Ok(device),
            Some(_) | None => Err(OperatorRefusal::NotFound("review")),
        }
    }

    /// Decides the review called `id`.
    ///
    /// # Errors
    /// [`OperatorRefusal::WrongState`] where it was decided or closed already.
    pub async fn review_decide(
        &self,
        id: AttemptCode,
        verdict: Verdict,
        operator: &str,
    ) -> Result<Device, OperatorRefusal> {
        let serial = self.ports.catalogue.reviewed_device(id).await?;
        let serial = serial.ok_or(OperatorRefusal::NotFound("review"))?;
        let kind = match verdict {
            Verdict::Approve => EventKind::ReviewApproved,
            Verdict::Deny => EventKind::ReviewDenied,
        };
        self.operate(&serial, operator, |device, now| {
            let Some(review) = device.review.clone().filter(|review| review.id == id) else {
                return Err(OperatorRefusal::NotFound("review"));
            };
            if !device.decide_review(verdict, now) {
                let what = format!("the review is {} already", review.state.as_str());
                return Err(OperatorRefusal::WrongState(what));
            }
            Ok(Some(Done::new(kind, format!("review {id}: {}", review.key))))
        })
        .await
    }
}
