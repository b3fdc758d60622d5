//! Nonces of signed requests, each until nobody can use it any more; then DynamoDB lets go of it.

use async_trait::async_trait;
use cvm_core::nonce::Nonce;
use cvm_core::ports::{NonceUse, Nonces, StoreError};
use cvm_core::time::{Span, Timestamp};

use super::DynamoStore;
use super::calls::Written;
use super::expression::Condition;
use super::item::{attributes, number};
use super::key::Key;
use super::table::EXPIRES;

/// How much longer a use is kept, so that no clock that is behind finds it gone.
const SPARE: Span = Span(3_600);

#[async_trait]
impl Nonces for DynamoStore {
    async fn nonce_use(&self, nonce: &Nonce, _now: Timestamp) -> Result<NonceUse, StoreError> {
        let this_use = number(self.calls.random());
        let expires = number(nonce.expires_at().plus(SPARE).0);
        let key = Key::nonce(&nonce.random());
        let item = attributes(&key, [("by", this_use.clone()), (EXPIRES, expires)]);
        let written = self.calls.put(item, Some(&Condition::Absent)).await?;
        Ok(match written {
            Written::Done(_) => NonceUse::First,
            // An earlier try of this call has written it, and its answer was lost.
            Written::Refused(Some(found)) if found.0.get("by") == Some(&this_use) => {
                NonceUse::First
            }
            Written::Refused(_) => NonceUse::Again,
        })
    }
}
