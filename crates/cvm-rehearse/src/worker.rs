//! Asking for one thing until it is answered: again after a lost answer, later when told so, and not
//! for ever.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cvm_wire::problem::Problem;
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::client::{Answer, Client, NoAnswer, Parts, Request};
use crate::fault::Fault;
use crate::operator::Operator;
use crate::plan::{Connections, Plan};
use crate::rng::Rng;
use crate::site::Site;
use crate::tally::{Act, Tally};
use crate::tls::Tls;

/// The first wait where the server names none; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const OWN_WAIT_MAX: Duration = Duration::from_secs(2);
const TOLD_WAIT_MAX: Duration = Duration::from_secs(86_400);

/// How long a device takes to start again after it lost power, at most.
const RESTART_MILLISECONDS: usize = 20;

/// A body that is cut off counts as a refusal of its address, where everybody shares 60 a minute:
/// so few devices cut off theirs, and all others their head, which counts for nobody.
const BODY_CUTTERS: u32 = 20;

/// Why a device did not get what it asked for.
#[derive(Clone, Debug)]
pub(crate) enum Setback {
    /// Nobody answered, or only with when to come back, until its patience was over.
    Impatient { act: Act, last: String, is_limited: bool },
    /// Nobody is to wait for it any longer.
    Interrupted,
    /// It was told no.
    Refused { act: Act, problem: Box<Problem> },
    /// What it got is of no use to it.
    Unusable { act: Act, what: String },
}

/// One thing that a device asks for.
pub(crate) struct Asked<'a> {
    pub(crate) act: Act,
    pub(crate) number: u32,
    /// With which certificate.
    pub(crate) shown: Option<&'a Arc<ClientConfig>>,
    pub(crate) request: &'a Request,
}

/// One of those that work at once; devices come to it in turn.
pub(crate) struct Worker {
    plan: Arc<Plan>,
    pub(crate) tls: Arc<Tls>,
    pub(crate) operator: Operator,
    pub(crate) tally: Tally,
    asking: Client,
    showing: Client,
    /// The CA that signed the last certificate, as PEM and read.
    chain: (String, Vec<CertificateDer<'static>>),
}

impl Worker {
    pub(crate) fn new(site: &Site, plan: &Arc<Plan>, tls: &Arc<Tls>) -> Self {
        Self {
            plan: Arc::clone(plan),
            tls: Arc::clone(tls),
            operator: Operator::new(site, tls, plan.patience),
            tally: Tally::default(),
            asking: Client::new(site.device.clone(), plan.connections),
            showing: Client::new(site.device.clone(), Connections::Each),
            chain: Default::default(),
        }
    }

    /// Closes what was kept open.
    pub(crate) fn hang_up(&mut self) {
        self.asking.hang_up();
        self.operator.hang_up();
    }

    /// A request to be sent without a certificate.
    pub(crate) fn vend_request(&self, body: &impl Serialize) -> Request {
        let body = json(body);
        let (method, path, body) = ("POST", "/v1/certificates", Some(&**body));
        self.asking.request(&Parts { method, path, fields: "", body })
    }

    /// A request to be sent with a certificate.
    pub(crate) fn shown_request(&self, path: &str, body: Option<&impl Serialize>) -> Request {
        let body = body.map(json);
        let body = body.as_ref().map(|body| body.as_slice());
        self.showing.request(&Parts { method: "POST", path, fields: "", body })
    }

    /// The certificates of a chain; mostly it is the one that came last.
    pub(crate) fn chain(&mut self, pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
        if self.chain.0 != pem {
            let read = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>();
            self.chain = (pem.to_owned(), read.map_err(|fault| fault.to_string())?);
        }
        Ok(self.chain.1.clone())
    }

    /// Asks until it is answered. What was answered and forgotten by the device stands in
    /// `forgotten`: it left the server all the same.
    pub(crate) async fn until_answered(
        &mut self,
        asked: &Asked<'_>,
        forgotten: &mut Vec<Answer>,
    ) -> Result<Answer, Setback> {
        let act = asked.act;
        let deadline = Instant::now() + self.plan.patience;
        let (mut losses, mut vain) = (0, 0);
        loop {
            let luck = Rng::at(self.plan.seed, &[u64::from(asked.number), act as u64, losses]);
            let fault = Fault::draw(self.plan.loss, cuttable(asked), luck.clone());
            let (wait, last, is_limited) = match (self.ask(asked, fault).await, fault) {
                (Ok(answer), Some(Fault::Forget)) if answer.is_success() => {
                    self.tally.lost(act, Fault::Forget.name());
                    forgotten.push(answer);
                    losses += 1;
                    (restart(luck), String::from("its answer was lost"), false)
                }
                (Ok(answer), _) => {
                    self.tally.answered(act, answer.status, answer.took);
                    if answer.is_success() {
                        return Ok(answer);
                    }
                    let problem = problem_of(&answer);
                    if !is_for_later(answer.status) {
                        return Err(Setback::Refused { act, problem: Box::new(problem) });
                    }
                    vain += 1;
                    let wait = self.wait(answer.retry_after, vain, asked.number);
                    (wait, told(&problem), answer.status == 429)
                }
                (Err(NoAnswer::Lost), fault) => {
                    self.tally.lost(act, fault.map_or("", Fault::name));
                    losses += 1;
                    (restart(luck), String::from("its answer was lost"), false)
                }
                (Err(broken @ NoAnswer::Broken(_)), _) => {
                    vain += 1;
                    self.tally.broken(act, broken.to_string());
                    (self.wait(None, vain, asked.number), broken.to_string(), false)
                }
            };
            if Instant::now() + wait > deadline {
                return Err(Setback::Impatient { act, last, is_limited });
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn ask(&mut self, asked: &Asked<'_>, fault: Option<Fault>) -> Result<Answer, NoAnswer> {
        match asked.shown {
            Some(tls) => self.showing.ask(tls, asked.request, fault).await,
            None => {
                let answer = self.asking.ask(&self.tls.anonymous, asked.request, fault).await;
                self.tally.agreed = self.tally.agreed.take().or_else(|| self.asking.agreed.clone());
                answer
            }
        }
    }

    fn wait(&self, told: Option<Duration>, vain: u32, number: u32) -> Duration {
        wait(told, vain, Rng::at(self.plan.seed, &[u64::from(number), u64::from(vain)]))
    }
}

/// How long to wait before asking again: what the server says, else twice as long each time; and
/// not everybody at once.
pub(crate) fn wait(told: Option<Duration>, vain: u32, mut luck: Rng) -> Duration {
    let own = FIRST_WAIT.saturating_mul(1 << vain.saturating_sub(1).min(10)).min(OWN_WAIT_MAX);
    // Longer than anybody's patience is long enough.
    let full = told.map_or(own, |told| told.min(TOLD_WAIT_MAX));
    let spread = usize::try_from(full.as_millis() / 4).unwrap_or(usize::MAX);
    full + Duration::from_millis(u64::try_from(luck.below(spread)).unwrap_or(0))
}

/// Whether what was answered may be another answer later.
pub(crate) fn is_for_later(status: u16) -> bool {
    status >= 500 || matches!(status, 408 | 429)
}

/// The problem document of an answer, or what can be said without one.
pub(crate) fn problem_of(answer: &Answer) -> Problem {
    serde_json::from_slice(answer.body()).unwrap_or_else(|_| Problem {
        kind: String::from("/problems/unknown"),
        title: String::new(),
        status: answer.status,
        detail: String::from("the answer has no problem document"),
        attempt: String::new(),
    })
}

/// A refusal in a line.
pub(crate) fn told(problem: &Problem) -> String {
    let Problem { status, detail, attempt, .. } = problem;
    let code = if attempt.is_empty() { String::new() } else { format!(" (attempt {attempt})") };
    format!("{status} {}: {detail}{code}", problem.slug())
}

/// JSON that may hold a token.
pub(crate) fn json(body: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(8 * 1_024));
    // Writing our own types to memory cannot fail; an empty body would be told as a refusal.
    let _written = serde_json::to_writer(&mut *bytes, body);
    bytes
}

fn cuttable(asked: &Asked<'_>) -> usize {
    let (head, whole) = asked.request.lengths();
    if asked.number < BODY_CUTTERS { whole } else { head }
}

fn restart(mut luck: Rng) -> Duration {
    let milliseconds = 1 + luck.below(RESTART_MILLISECONDS);
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_says_when_is_not_asked_sooner() {
        let told = Duration::from_secs(8);
        for vain in 0..40 {
            let wait = wait(Some(told), vain, Rng::at(1, &[u64::from(vain)]));
            assert!(wait >= told && wait <= told * 5 / 4, "{wait:?}");
        }
    }

    #[test]
    fn own_waits_grow_and_have_an_end() {
        let luck = || Rng::at(1, &[]);
        assert!(wait(None, 1, luck()) < wait(None, 3, luck()));
        assert!(wait(None, u32::MAX, luck()) <= OWN_WAIT_MAX * 5 / 4);
        assert!(wait(Some(Duration::MAX), 1, luck()) <= TOLD_WAIT_MAX * 5 / 4);
    }
}
