//! Lists over 16 partitions, and what is longer than an answer or an item of DynamoDB.

use std::sync::Arc;

use cvm_core::certificate::IssuerId;
use cvm_core::page::PageRequest;
use cvm_core::ports::{CommitError, NewCrl};
use cvm_core::time::Span;
use cvm_store::conformance::given::{NOW, change, device, vend};

use super::Table;

const ISSUER: IssuerId = IssuerId([9; 20]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_has_every_device_once_in_order_with_any_limit() {
    let stores = Table::make().await.open(1);
    // Numbers that follow each other, and whole runs in one partition.
    let mut names: Vec<_> = (0..120).map(|n| format!("SN-{n}")).collect();
    let changes = names.iter().map(|name| change(&device(name))).collect();
    for answer in stores.store.devices_commit(changes).await {
        answer.unwrap();
    }
    names.sort();
    for limit in [1, 7, 40, 119, 120, 1_000] {
        let mut request = PageRequest { after: None, limit };
        let mut seen = Vec::new();
        loop {
            let page = stores.catalogue.device_page(&request).await.unwrap();
            assert!(page.items.len() <= limit as usize);
            seen.extend(page.items.into_iter().map(|device| device.serial_number.to_string()));
            request.after = page.next;
            if request.after.is_none() {
                break;
            }
        }
        assert_eq!(seen, names, "limit {limit}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_is_longer_than_any_key_is_a_start() {
    let stores = Table::make().await.open(1);
    stores.commit(vend(1, &device("b"))).await;
    for (after, found) in [("a", 1), ("b", 0)] {
        let after = Some(after.repeat(3_000));
        let page = stores.catalogue.device_page(&PageRequest { after, limit: 5 }).await.unwrap();
        assert_eq!(page.items.len(), found);
    }
}

fn crl(number: u64, bytes: usize) -> NewCrl {
    // Each octet says where it is, so that no piece can take another's place.
    let der: Vec<u8> = (0..bytes).map(|at| (at / 1_000 + at) as u8).collect();
    NewCrl {
        issuer: ISSUER,
        shard: 5,
        number,
        this_update: NOW,
        next_update: NOW.plus(Span::DAY),
        url: String::from("http://crl.example"),
        changes: 0,
        der: Arc::from(der),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crl_of_any_length_comes_back_and_leaves_nothing_of_the_one_before() {
    let table = Table::make().await;
    let stores = table.open(1);
    for (number, bytes) in [(1, 2_500_000), (2, 390_000), (3, 390_001), (4, 0)] {
        let wanted = crl(number, bytes);
        stores.revocations.crl_put(wanted.clone()).await.unwrap();
        let found = stores.revocations.crl_find(&ISSUER, 5).await.unwrap().unwrap();
        assert!(found.der == wanted.der, "{bytes}");
        let pieces = table.items(&format!("crl#{ISSUER}#05")).await.len();
        assert_eq!(pieces, bytes.div_ceil(390_000));
    }
    let refused = stores.revocations.crl_put(crl(4, 800_000)).await;
    assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
    assert_eq!(table.items(&format!("crl#{ISSUER}#05")).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_crls_with_one_number_signed_at_once_one_is_kept_whole() {
    let table = Table::make().await;
    let stores = table.open(1);
    let puts = (0..6).map(|n| {
        let revocations = stores.revocations.clone();
        tokio::spawn(async move { revocations.crl_put(crl(1, 500_000 + n)).await })
    });
    let mut kept = 0;
    for put in puts.collect::<Vec<_>>() {
        match put.await.unwrap() {
            Ok(()) => kept += 1,
            Err(error) => assert!(matches!(error, CommitError::Conflict), "{error:?}"),
        }
    }
    assert_eq!(kept, 1);
    let found = stores.revocations.crl_find(&ISSUER, 5).await.unwrap().unwrap();
    assert!((500_000..500_006).contains(&found.der.len()));
    assert_eq!(found.der, crl(1, found.der.len()).der);
    assert_eq!(table.items(&format!("crl#{ISSUER}#05")).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_of_many_writers_is_in_order_page_behind_page() {
    let table = Table::make().await;
    for n in 0..12 {
        let stores = table.open(1);
        for m in 0..3 {
            stores.commit(vend(n * 10 + m, &device(&format!("D-{n}-{m}")))).await;
        }
    }
    let stores = table.open(1);
    let mut request = PageRequest { after: None, limit: 5 };
    let mut seen: Vec<(u64, u64)> = Vec::new();
    loop {
        let page = stores.journal.journal_page(&request).await.unwrap();
        seen.extend(page.items.iter().map(|row| (row.writer, row.number)));
        request.after = page.next;
        if request.after.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 36);
    assert!(seen.is_sorted());
}
