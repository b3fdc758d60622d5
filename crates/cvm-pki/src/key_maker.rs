//! [`KeyPool`]: makes private keys; RSA on threads of its own, so that nobody waits behind 60 ms.
//!
//! The queue has a bound: above it the caller is told to come again. Keys that nobody waits for
//! any more are not made.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use async_trait::async_trait;
use cvm_core::key::{KeyAlgorithm, PrivateKey, PublicKey};
use cvm_core::ports::{IssuerError, KeyMaker};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::ca_key::CaKey;
use crate::error::PkiError;

type Made = Result<(PrivateKey, PublicKey), PkiError>;
type Order = oneshot::Sender<Made>;

/// A bounded pool of threads that make RSA keys; P-256 keys take microseconds and are made at once.
#[derive(Debug)]
pub struct KeyPool {
    orders: SyncSender<Order>,
}

impl KeyPool {
    /// A pool of `threads` with room for `queue_max` waiting orders. The threads end when the pool
    /// is dropped.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn new(threads: usize, queue_max: usize) -> std::io::Result<Self> {
        let (orders, queue) = sync_channel(queue_max);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..threads.max(1) {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new()
                .name(format!("cvm-key-{number}"))
                .spawn(move || work(&queue))?;
        }
        Ok(Self { orders })
    }
}

fn work(queue: &Mutex<Receiver<Order>>) {
    loop {
        // The lock is held while waiting and released before the key is made.
        let next = queue.lock().recv();
        let Ok(order) = next else { return };
        if !order.is_closed() {
            // Whoever asked may have gone meanwhile; the key is zeroized then.
            drop(order.send(make(KeyAlgorithm::Rsa2048)));
        }
    }
}

fn make(algorithm: KeyAlgorithm) -> Made {
    let key = CaKey::generate(algorithm)?;
    Ok((key.to_pkcs8()?, key.public().public_key()))
}

fn unavailable(error: &PkiError) -> IssuerError {
    IssuerError::Unavailable(error.to_string())
}

#[async_trait]
impl KeyMaker for KeyPool {
    async fn key_make(
        &self,
        algorithm: KeyAlgorithm,
    ) -> Result<(PrivateKey, PublicKey), IssuerError> {
        match algorithm {
            KeyAlgorithm::EcP256 => make(algorithm).map_err(|error| unavailable(&error)),
            KeyAlgorithm::Rsa2048 => {
                let (order, made) = oneshot::channel();
                self.orders.try_send(order).map_err(|_| {
                    IssuerError::Unavailable("too many RSA keys are asked for".into())
                })?;
                made.await
                    .map_err(|_| IssuerError::Unavailable("the key pool has ended".into()))?
                    .map_err(|error| unavailable(&error))
            }
        }
    }

    fn csr_make(&self, key: &PrivateKey) -> Result<Vec<u8>, IssuerError> {
        let bug = |error: rcgen::Error| IssuerError::Bug(error.to_string());
        let pair = rcgen::KeyPair::try_from(key.0.as_slice()).map_err(bug)?;
        let mut parameters = rcgen::CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        let request = parameters.serialize_request(&pair).map_err(bug)?;
        Ok(request.der().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use cvm_core::key::{Subject, UncheckedCsr};

    use super::*;

    #[tokio::test]
    async fn both_algorithms_make_keys_that_fit() {
        let pool = KeyPool::new(2, 4).unwrap();
        for algorithm in [KeyAlgorithm::EcP256, KeyAlgorithm::Rsa2048] {
            let (private, public) = pool.key_make(algorithm).await.unwrap();
            let read = CaKey::from_pkcs8(&private.0).unwrap();
            assert_eq!(read.public().public_key(), public);
        }
    }

    #[tokio::test]
    async fn a_request_for_a_made_key_verifies_and_names_nobody() {
        let pool = KeyPool::new(1, 1).unwrap();
        for algorithm in [KeyAlgorithm::EcP256, KeyAlgorithm::Rsa2048] {
            let (private, public) = pool.key_make(algorithm).await.unwrap();
            let der = pool.csr_make(&private).unwrap();
            let judge = crate::weak::RsaJudge::new();
            let checked = crate::csr::check(&UncheckedCsr { der }, &judge).unwrap();
            assert_eq!((checked.key, checked.subject), (public, Subject::Empty));
        }
    }

    #[tokio::test]
    async fn above_its_bound_the_queue_says_unavailable() {
        let (orders, _kept) = sync_channel(1);
        let pool = Arc::new(KeyPool { orders });
        let (first, _waiting) = oneshot::channel();
        pool.orders.try_send(first).unwrap();
        let error = pool.key_make(KeyAlgorithm::Rsa2048).await.unwrap_err();
        assert_eq!(error.to_string(), "the signer is unavailable: too many RSA keys are asked for");
    }

    #[tokio::test]
    async fn the_threads_end_with_the_pool() {
        let (orders, queue) = sync_channel(1);
        let thread = std::thread::spawn(move || work(&Mutex::new(queue)));
        drop(KeyPool { orders });
        thread.join().unwrap();
    }
}
