//! Nonces of signed requests: each is first used once.

use cvm_core::nonce::Nonce;
use cvm_core::ports::NonceUse;
use cvm_core::time::{Span, Timestamp};

use super::given::NOW;
use crate::Stores;

fn nonce(n: u8) -> Nonce {
    Nonce::new(NOW, [n; 16])
}

impl Stores {
    async fn use_nonce(&self, nonce: &Nonce, now: Timestamp) -> NonceUse {
        self.nonces.nonce_use(nonce, now).await.expect("the use is noted")
    }
}

/// It tells whether that was the first time, of each nonce by itself.
pub async fn a_nonce_is_first_used_once(stores: Stores) {
    assert_eq!(stores.use_nonce(&nonce(1), NOW).await, NonceUse::First);
    assert_eq!(stores.use_nonce(&nonce(1), NOW).await, NonceUse::Again);
    assert_eq!(stores.use_nonce(&nonce(2), NOW).await, NonceUse::First);
    assert_eq!(stores.use_nonce(&nonce(1), NOW.plus(Span(1))).await, NonceUse::Again);
}

/// A use is known up to and including the last second in which the nonce is good, whatever else
/// is used meanwhile.
pub async fn a_use_is_known_until_the_nonce_is_good_no_more(stores: Stores) {
    let last = nonce(1).expires_at();
    assert_eq!(stores.use_nonce(&nonce(1), NOW).await, NonceUse::First);
    for n in 2..100 {
        assert_eq!(stores.use_nonce(&Nonce::new(last, [n; 16]), last).await, NonceUse::First);
    }
    assert_eq!(stores.use_nonce(&nonce(1), last).await, NonceUse::Again);
}

/// Of concurrent uses of one nonce one is the first.
pub async fn of_concurrent_uses_of_one_nonce_one_is_the_first(stores: Stores) {
    let uses: Vec<_> = (0..16)
        .map(|_| {
            let nonces = stores.nonces.clone();
            tokio::spawn(async move { nonces.nonce_use(&nonce(1), NOW).await })
        })
        .collect();
    let mut first = 0;
    for used in uses {
        let used = used.await.expect("no panic").expect("the use is noted");
        first += usize::from(used == NonceUse::First);
    }
    assert_eq!(first, 1);
}
