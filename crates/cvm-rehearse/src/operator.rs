//! The operator's side of a rehearsal: registers devices, shows what the server knows of them,
//! deletes them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cvm_agent::client::encode_segment;
use cvm_wire::operator::{Certificate, Device as Shown, List, NewDevice};
use cvm_wire::problem::Problem;
use serde::de::DeserializeOwned;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::audit::Stored;
use crate::client::{Answer, Client, NoAnswer, Parts};
use crate::device::{Account, Device};
use crate::plan::{Connections, PROFILE};
use crate::rng::Rng;
use crate::site::Site;
use crate::tally::{Act, Tally};
use crate::tls::Tls;
use crate::worker::{is_for_later, json, problem_of, told, wait};

/// Why a rehearsal could not be held.
#[derive(Debug, Error)]
pub enum Failure {
    /// It was to end.
    #[error("the rehearsal was interrupted")]
    Interrupted,
    /// There is a device of an earlier rehearsal with this seed.
    #[error("{0} is there already, from an earlier rehearsal with this seed")]
    LeftOver(String),
    /// Keys could not be made.
    #[error("making keys failed")]
    Keys(#[source] cvm_agent::keys::KeyError),
    /// Nobody answered.
    #[error("no answer from {server}: {last}")]
    NoAnswer {
        /// Who was asked.
        server: String,
        /// What happened the last time.
        last: String,
    },
    /// The server does not know the profile.
    #[error("the server has no profile called {PROFILE}")]
    NoProfile,
    /// A part of the rehearsal ended by itself: ours to mend.
    #[error("a worker of the rehearsal ended by itself")]
    Panicked,
    /// The operator API said no.
    #[error("{what} was refused: {}", told(.problem))]
    Refused {
        /// What was asked for.
        what: String,
        /// The answer.
        problem: Box<Problem>,
    },
    /// TLS could not be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The operator API answered what is no answer of its.
    #[error("{0} was answered with something else")]
    Unreadable(String),
}

/// A connection to the operator API.
pub(crate) struct Operator {
    client: Client,
    tls: Arc<Tls>,
    authorization: Zeroizing<String>,
    server: String,
    patience: Duration,
}

impl Operator {
    pub(crate) fn new(site: &Site, tls: &Arc<Tls>, patience: Duration) -> Self {
        let token = site.admin_token.expose();
        let field = Zeroizing::new(format!("Authorization: Bearer {token}\r\n"));
        Self {
            client: Client::new(site.operator.clone(), Connections::Kept),
            tls: Arc::clone(tls),
            authorization: field,
            server: site.operator.to_string(),
            patience,
        }
    }

    pub(crate) fn hang_up(&mut self) {
        self.client.hang_up();
    }

    /// Registers a device; one that was deleted begins another life.
    pub(crate) async fn register(
        &mut self,
        device: &mut Device,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        let mut new = NewDevice {
            serial_number: device.account.serial.clone(),
            token: Some(device.token.clone()),
            profile: Some(String::from(PROFILE)),
            ..NewDevice::default()
        };
        // Whatever becomes of the request, there may be something to delete.
        device.account.is_registered = true;
        for _ in 0..2 {
            let answer = self.call("POST", "/v1/devices", Some(&json(&new))).await?;
            tally.answered(Act::Register, answer.status, answer.took);
            if answer.is_success() {
                return Ok(());
            }
            let problem = problem_of(&answer);
            let serial = &device.account.serial;
            match problem.slug() {
                "device-deleted" => {
                    let shown = self.show(serial).await?;
                    let certificates = shown.into_iter().flat_map(|shown| shown.certificates);
                    device.account.earlier = certificates.map(|it| it.certificate_id).collect();
                    new.again = true;
                }
                "already-exists" => {
                    device.account.is_registered = false;
                    return Err(Failure::LeftOver(serial.clone()));
                }
                "unknown-profile" => return Err(Failure::NoProfile),
                _ => return Err(refused(&format!("registering {serial}"), problem)),
            }
        }
        Err(Failure::LeftOver(device.account.serial.clone()))
    }

    /// What the server has of a device.
    pub(crate) async fn stored(&mut self, account: &Account) -> Result<Stored, Failure> {
        let Some(device) = self.show(&account.serial).await? else {
            return Ok(Stored::default());
        };
        let listed = device.certificates.iter().map(|it| &it.certificate_id);
        let mut ids: Vec<String> =
            listed.filter(|id| !account.earlier.contains(*id)).cloned().collect();
        let unlisted = account.given.iter().map(|given| &given.id);
        let unlisted: Vec<String> = unlisted.filter(|id| !ids.contains(id)).cloned().collect();
        ids.extend(unlisted);
        let mut certificates = Vec::with_capacity(ids.len());
        for id in ids {
            let path = format!("/v1/certificates/{id}");
            certificates.extend(self.find::<Certificate>(&path).await?);
        }
        Ok(Stored { device: Some(device), certificates })
    }

    pub(crate) async fn delete(&mut self, serial: &str) -> Result<(), Failure> {
        let path = format!("/v1/devices/{}", encode_segment(serial));
        let answer = self.call("DELETE", &path, None).await?;
        match answer.is_success() || answer.status == 404 {
            true => Ok(()),
            false => Err(refused(&format!("deleting {serial}"), problem_of(&answer))),
        }
    }

    /// The devices after `after`, in order of their serial number.
    pub(crate) async fn page(&mut self, after: &str, limit: u32) -> Result<List<Shown>, Failure> {
        let path = format!("/v1/devices?limit={limit}&cursor={}", encode_segment(after));
        let page = self.find(&path).await?;
        page.ok_or_else(|| Failure::Unreadable(String::from("listing devices")))
    }

    async fn show(&mut self, serial: &str) -> Result<Option<Shown>, Failure> {
        self.find(&format!("/v1/devices/{}", encode_segment(serial))).await
    }

    async fn find<T: DeserializeOwned>(&mut self, path: &str) -> Result<Option<T>, Failure> {
        let answer = self.call("GET", path, None).await?;
        match (answer.is_success(), answer.status) {
            (true, _) => serde_json::from_slice(answer.body())
                .map(Some)
                .map_err(|_| Failure::Unreadable(format!("reading {path}"))),
            (false, 404) => Ok(None),
            (false, _) => Err(refused(&format!("reading {path}"), problem_of(&answer))),
        }
    }

    /// Asks until it is answered; everything that is asked here may be asked twice.
    async fn call(
        &mut self,
        method: &'static str,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<Answer, Failure> {
        let fields = &self.authorization;
        let request = self.client.request(&Parts { method, path, fields, body });
        let deadline = Instant::now() + self.patience;
        let mut vain = 0;
        loop {
            let (told_to_wait, last) =
                match self.client.ask(&self.tls.anonymous, &request, None).await {
                    Ok(answer) if is_for_later(answer.status) => {
                        (answer.retry_after, told(&problem_of(&answer)))
                    }
                    Ok(answer) => return Ok(answer),
                    Err(error @ (NoAnswer::Broken(_) | NoAnswer::Lost)) => {
                        (None, error.to_string())
                    }
                };
            vain += 1;
            let wait = wait(told_to_wait, vain, Rng::at(0, &[u64::from(vain)]));
            if Instant::now() + wait > deadline {
                return Err(Failure::NoAnswer { server: self.server.clone(), last });
            }
            tokio::time::sleep(wait).await;
        }
    }
}

fn refused(what: &str, problem: Problem) -> Failure {
    Failure::Refused { what: what.to_owned(), problem: Box::new(problem) }
}
