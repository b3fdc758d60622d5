//! How many connections and requests a listener has at once, in all and from each address.
//!
//! Connections are counted under a lock, once for each; requests by two numbers that nobody waits
//! for.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cvm_core::limit::host_of;
use parking_lot::Mutex;

use crate::observer::Limit;

/// Who is here; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Occupancy(Arc<Everyone>);

#[derive(Default)]
struct Everyone {
    hosts: Mutex<HashMap<IpAddr, Arc<Host>>>,
    requests: AtomicUsize,
}

/// What one address has at once.
struct Host {
    address: IpAddr,
    /// Written under the lock of the table only.
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl Host {
    fn is_gone(&self) -> bool {
        let of = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        of(&self.connections) == 0 && of(&self.requests) == 0
    }
}

/// How many requests there may be at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestsMax {
    pub(crate) in_all: usize,
    pub(crate) per_address: usize,
}

/// Why there is no place for one more request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crowded {
    /// Its address has all that it may have.
    Address,
    /// The listener has all that it may have.
    Listener,
}

impl From<Crowded> for Limit {
    fn from(crowded: Crowded) -> Self {
        match crowded {
            Crowded::Address => Self::RequestsPerAddress,
            Crowded::Listener => Self::Requests,
        }
    }
}

impl Occupancy {
    /// One more connection of `address`, unless it has `most` already.
    pub(crate) fn open(&self, address: IpAddr, most: usize) -> Option<OpenConnection> {
        let address = host_of(address);
        let mut hosts = self.0.hosts.lock();
        let host = hosts.entry(address).or_insert_with(|| {
            let (connections, requests) = (AtomicUsize::new(0), AtomicUsize::new(0));
            Arc::new(Host { address, connections, requests })
        });
        if host.connections.load(Ordering::SeqCst) >= most {
            return None;
        }
        host.connections.fetch_add(1, Ordering::SeqCst);
        Some(OpenConnection { occupancy: self.clone(), host: Arc::clone(host) })
    }

    /// Whoever has nothing here any more is forgotten.
    fn forget(&self, host: &Arc<Host>) {
        let mut hosts = self.0.hosts.lock();
        // Looked at again under the lock: it may have come back, or another stand in its stead.
        let is_known = hosts.get(&host.address).is_some_and(|known| Arc::ptr_eq(known, host));
        if is_known && host.is_gone() {
            hosts.remove(&host.address);
        }
    }
}

/// One of an address's connections; dropped, it is closed.
pub(crate) struct OpenConnection {
    occupancy: Occupancy,
    host: Arc<Host>,
}

impl OpenConnection {
    /// Who asks over this connection, and how much at once.
    pub(crate) fn guest(&self, most: RequestsMax) -> Guest {
        Guest { occupancy: self.occupancy.clone(), host: Arc::clone(&self.host), most }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut hosts = self.occupancy.0.hosts.lock();
        self.host.connections.fetch_sub(1, Ordering::SeqCst);
        if self.host.is_gone() {
            hosts.remove(&self.host.address);
        }
    }
}

/// Somebody who may ask.
pub(crate) struct Guest {
    occupancy: Occupancy,
    host: Arc<Host>,
    most: RequestsMax,
}

impl Guest {
    /// A place for one request.
    pub(crate) fn take_place(&self) -> Result<Place, Crowded> {
        if !add_one(&self.occupancy.0.requests, self.most.in_all) {
            return Err(Crowded::Listener);
        }
        if !add_one(&self.host.requests, self.most.per_address) {
            self.occupancy.0.requests.fetch_sub(1, Ordering::SeqCst);
            return Err(Crowded::Address);
        }
        Ok(Place { occupancy: self.occupancy.clone(), host: Arc::clone(&self.host) })
    }
}

fn add_one(count: &AtomicUsize, most: usize) -> bool {
    let one_more = |count: usize| (count < most).then_some(count + 1);
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok()
}

/// One request's place; dropped, it is free.
pub(crate) struct Place {
    occupancy: Occupancy,
    host: Arc<Host>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.occupancy.0.requests.fetch_sub(1, Ordering::SeqCst);
        self.host.requests.fetch_sub(1, Ordering::SeqCst);
        // Only where the connection was closed before its last request had ended.
        if self.host.is_gone() {
            self.occupancy.forget(&self.host);
        }
    }
}

#[cfg(test)]
mod tests;
