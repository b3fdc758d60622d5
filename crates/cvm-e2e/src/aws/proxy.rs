//! A proxy between us and AWS that notes every call, and makes chosen ones fail.

mod exchange;
mod http;
mod operation;
mod plan;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use plan::Plan;
pub use plan::{Fault, Lasting};

/// A proxy for each of some services, with one order of calls over all of them.
#[derive(Debug)]
pub struct FaultProxy {
    plan: Arc<Plan>,
    doors: Vec<(String, SocketAddr)>,
}

impl FaultProxy {
    /// Proxies for `upstreams`: a name of the caller's, and its endpoint `http://host:port`.
    ///
    /// # Errors
    /// Where there is no port.
    pub fn start(upstreams: &[(&str, &str)]) -> Result<Self> {
        let plan = Arc::new(Plan::default());
        let mut doors = Vec::new();
        for (name, endpoint) in upstreams {
            let upstream = endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned();
            let listener = TcpListener::bind("127.0.0.1:0")?;
            doors.push(((*name).to_owned(), listener.local_addr()?));
            let plan = plan.clone();
            std::thread::spawn(move || accept(&listener, &upstream, &plan));
        }
        Ok(Self { plan, doors })
    }

    /// Where the proxy for `name` listens, as `http://127.0.0.1:port`.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn endpoint(&self, name: &str) -> Result<String> {
        let door = self.doors.iter().find(|(known, _)| known == name);
        Ok(format!("http://{}", door.with_context(|| format!("no upstream {name}"))?.1))
    }

    /// The calls since [`Self::clear`], by operation, in the order in which they came.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.plan.calls()
    }

    /// How many calls a fault met since [`Self::clear`].
    #[must_use]
    pub fn struck(&self) -> usize {
        self.plan.struck()
    }

    /// Forgets calls and faults; what hangs or is frozen ends.
    pub fn clear(&self) {
        self.plan.clear();
    }

    /// Makes the call with this number (0 is the first since [`Self::clear`]) meet a fault.
    pub fn fail(&self, number: usize, fault: Fault, lasting: Lasting) {
        self.plan.fail(None, number, fault, lasting);
    }

    /// The same, counting calls of one operation only.
    pub fn fail_operation(&self, operation: &str, number: usize, fault: Fault, lasting: Lasting) {
        self.plan.fail(Some(operation), number, fault, lasting);
    }

    /// Ends the faults; calls that are frozen go on, those that hang end without an answer.
    pub fn heal(&self) {
        self.plan.heal();
    }

    /// Waits until a call is frozen.
    ///
    /// # Errors
    /// Where none is within `bound`.
    pub fn wait_frozen(&self, bound: Duration) -> Result<()> {
        self.plan.wait_frozen(bound)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.plan.stop();
        for (_, address) in &self.doors {
            // Wakes the thread that waits for it.
            let _woken = TcpStream::connect(address);
        }
    }
}

fn accept(listener: &TcpListener, upstream: &str, plan: &Arc<Plan>) {
    for stream in listener.incoming().map_while(Result::ok) {
        if plan.is_stopped() {
            return;
        }
        let (plan, upstream) = (plan.clone(), upstream.to_owned());
        // A caller that hangs up is no fault of the proxy's.
        std::thread::spawn(move || exchange::serve(stream, &upstream, &plan).ok());
    }
}
