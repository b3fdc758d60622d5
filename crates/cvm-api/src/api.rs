//! One request from its header to its answer: routed, limited, authenticated, read, decided,
//! answered, logged.
//!
//! The use case runs in a task of its own, so that a caller who goes away changes nothing of what
//! is written, and a panic is an answer.

mod dispatch;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use cvm_core::attempt::Act;
use cvm_core::id::{AttemptCode, CertificateId};
use cvm_core::provisioning::{Caller, FollowUp, Provisioning};
use http::{HeaderMap, Response};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{Instrument as _, Span};
use zeroize::Zeroizing;

use crate::after::{Aftermath, AnswerBody, Departed};
use crate::answer::{Outcome, Unanswered, response};
use crate::auth::{self, Principal};
use crate::body::Unread;
use crate::connection::InFlight;
use crate::limit::{AddressLimit, Limits};
use crate::observer::{Answered, Limit, Notice, Until};
use crate::operator::import::Imports;
use crate::problem::{Refused, Slug};
use crate::router::{self, Endpoint, Route, Scope, Side, Takes, Who};
use crate::settings::Settings;
use crate::{body, jws, proxy};

/// The other end of a connection; a request without one in its extensions came from nowhere.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// The certificate whose key it proved possession of in its handshake; proves nothing more.
    pub certificate: Option<CertificateId>,
}

/// Where a request came from that has no peer.
const NOWHERE: Peer = Peer { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), certificate: None };

/// The API over its use cases; clones are the same.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    provisioning: Arc<Provisioning>,
    settings: Settings,
    refusals: AddressLimit,
    aftermath: Aftermath,
    imports: Arc<Imports>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Api")
    }
}

/// What is known of a request before anything of it is read.
struct Answering {
    side: Side,
    method: &'static str,
    attempt: AttemptCode,
}

/// A request that was let in, for the handlers.
pub(crate) struct Call {
    pub(crate) caller: Caller,
    pub(crate) certificate: Option<CertificateId>,
    pub(crate) principal: Principal,
    /// The variable of the path, decoded.
    pub(crate) variable: String,
    /// The path of its route.
    pub(crate) path: &'static str,
    pub(crate) query: Option<String>,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Zeroizing<Vec<u8>>,
    /// Its place among the requests at once, which hanging up does not free.
    pub(crate) in_flight: Option<Arc<InFlight>>,
}

impl Api {
    /// The API over `provisioning`.
    #[must_use]
    pub fn new(provisioning: Arc<Provisioning>, settings: Settings) -> Self {
        let aftermath = Aftermath::new(Arc::clone(&provisioning));
        let trusted = settings.trusted_networks.clone();
        let refusals = AddressLimit::new(settings.refusals_per_address, trusted);
        let imports = Arc::default();
        Self(Arc::new(Inner { provisioning, settings, refusals, aftermath, imports }))
    }

    /// The routes of a listener. What follows from a request happens once its answer's body is
    /// dropped.
    pub fn router(&self, side: Side) -> Router {
        let api = self.clone();
        let has_operator_routes =
            side == Side::Operator || api.settings().operator_on_device_listener;
        router::router(Scope { side, has_operator_routes }, move |found, request| {
            api.clone().answer(side, found, request)
        })
    }

    async fn answer(
        self,
        side: Side,
        found: Result<(&'static Route, String), Refused>,
        mut request: Request,
    ) -> Response<AnswerBody> {
        let attempt = self.0.provisioning.attempt_code();
        let found = self.look_behind_proxies(&mut request).and(found);
        let method = router::Verb::of(request.method()).map_or("other", router::Verb::as_str);
        let route = found.as_ref().map_or("none", |(route, _)| route.path);
        let peer = request.extensions().get::<Peer>().map_or(NOWHERE.address, |it| it.address);
        // At every level: what goes wrong in it is told under its code, whoever writes the line.
        let span = tracing::error_span!(parent: None, "request", %attempt, method, route, %peer);
        self.notice(side, Notice::RequestBegun);
        let _until = Until::new(self.settings().observer.as_ref(), side, Notice::RequestEnded);
        let answering = Answering { side, method, attempt };
        self.answer_in_span(answering, found, request).instrument(span).await
    }

    /// From here on the request comes from who is behind the proxies that are trusted.
    fn look_behind_proxies(&self, request: &mut Request) -> Result<(), Refused> {
        let trusted = &self.settings().trusted_proxies;
        let Some(peer) = request.extensions().get::<Peer>().copied() else { return Ok(()) };
        let peer = proxy::peer_behind(trusted, peer, request.headers())?;
        request.extensions_mut().insert(peer);
        Ok(())
    }

    async fn answer_in_span(
        &self,
        Answering { side, method, attempt }: Answering,
        found: Result<(&'static Route, String), Refused>,
        request: Request,
    ) -> Response<AnswerBody> {
        let (began, unanswered) = (Instant::now(), Unanswered::default());
        let (parts, body) = request.into_parts();
        let in_flight = parts.extensions.get::<Arc<InFlight>>().cloned();
        let address = parts.extensions.get::<Peer>().map_or(NOWHERE.address, |peer| peer.address);
        let act = found.as_ref().map_or(Act::Other, |(route, _)| route.endpoint.act());
        let (pattern, outcome) = match found {
            Ok((route, variable)) => {
                (route.path, self.proceed((side, route), variable, parts, body, attempt).await)
            }
            Err(refused) => {
                body::discard(&parts.headers, body).await;
                ("none", refused.into())
            }
        };
        outcome.log_cause();
        self.note_refusal(act, &Caller { address: address.to_string(), attempt }, &outcome);
        let problem = outcome.result.as_ref().err().map(|refused| refused.slug.as_str());
        let span = Span::current;
        let departed = outcome.follow_up.map(|follow_up| Departed { span: span(), follow_up });
        let aftermath = self.aftermath().clone();
        let answer = response(outcome.result, attempt)
            .map(|content| AnswerBody::new(content, departed, in_flight, aftermath));
        let status = answer.status().as_u16();
        let took = began.elapsed();
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        unanswered.answered();
        tracing::info!(status, micros, "answered");
        if let Some(observer) = &self.settings().observer {
            let route = pattern;
            observer.request_answered(Answered { method, route, status, problem, took });
        }
        answer
    }

    /// What no use case has taken note of.
    fn note_refusal(&self, act: Act, caller: &Caller, outcome: &Outcome) {
        let is_told = outcome.follow_up.as_ref().is_some_and(FollowUp::is_told);
        if let (Err(refused), false) = (&outcome.result, is_told) {
            let slug = refused.slug.as_str();
            self.provisioning().refusal_note(act, caller, slug, &refused.detail);
        }
    }

    /// Tells whoever wants to know.
    pub(crate) fn notice(&self, side: Side, notice: Notice) {
        if let Some(observer) = &self.settings().observer {
            observer.noticed(side, notice);
        }
    }

    /// Whether many may share this address's connections: it is trusted, or a proxy that is.
    pub(crate) fn is_shared(&self, address: IpAddr) -> bool {
        self.0.refusals.is_trusted(address)
            || proxy::is_trusted(&self.settings().trusted_proxies, address)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.settings.limits
    }

    pub(crate) fn aftermath(&self) -> &Aftermath {
        &self.0.aftermath
    }

    /// Places for imports, and for batches of them, which devices shall not wait behind.
    pub(crate) fn imports(&self) -> &Arc<Imports> {
        &self.0.imports
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn provisioning(&self) -> &Provisioning {
        &self.0.provisioning
    }

    /// A routed request: limited, authenticated, read, decided, counted.
    async fn proceed(
        &self,
        (side, route): (Side, &'static Route),
        variable: String,
        parts: http::request::Parts,
        body: Body,
        attempt: AttemptCode,
    ) -> Outcome {
        let peer = parts.extensions.get::<Peer>().copied().unwrap_or(NOWHERE);
        let in_flight = parts.extensions.get::<Arc<InFlight>>().cloned();
        if let Some(crowded) = in_flight.as_ref().and_then(|it| it.crowded())
            // A busy server is alive, and must not be restarted for it.
            && route.endpoint != Endpoint::HealthShow
        {
            self.notice(side, Notice::LimitReached(crowded.into()));
            body::discard(&parts.headers, body).await;
            return Refused::crowded(crowded).into();
        }
        let now = self.provisioning().ports().clock.read().now;
        if route.who.is_counted()
            && let Some(wait) = self.0.refusals.wait(peer.address, now)
        {
            self.notice(side, Notice::LimitReached(Limit::RefusalsPerAddress));
            return Refused::slow_down(wait).into();
        }
        match self.admit(route, &parts).await {
            Err(refused) => {
                self.count_refusal(route, peer.address, &refused);
                body::discard(&parts.headers, body).await;
                refused.into()
            }
            Ok(principal) => {
                let caller = Caller { address: peer.address.to_string(), attempt };
                let call = Call {
                    caller,
                    certificate: peer.certificate,
                    principal,
                    variable,
                    path: route.path,
                    query: parts.uri.query().map(str::to_owned),
                    fields: parts.headers,
                    body: Zeroizing::new(Vec::new()),
                    in_flight,
                };
                self.read_and_decide((side, route), call, peer.address, body).await
            }
        }
    }

    /// Counts a refusal against its address, whether the caller waits for it or hangs up.
    fn count_refusal(&self, route: &Route, address: IpAddr, refused: &Refused) {
        let is_counted = route.who.is_counted() && refused.is_counted;
        if is_counted && (400..500).contains(&refused.slug.status()) {
            let now = self.provisioning().ports().clock.read().now;
            self.0.refusals.count(address, now);
        }
    }

    /// What can be refused before the body is read.
    async fn admit(
        &self,
        route: &Route,
        parts: &http::request::Parts,
    ) -> Result<Principal, Refused> {
        // HTTP/1.1 was counted while it was read; HTTP/2 bounds the bytes only.
        if parts.headers.len() > self.limits().headers_max {
            return Err(Refused::new(Slug::HeaderTooLarge, "the request has too many fields"));
        }
        let principal = match route.who {
            Who::Anyone | Who::HolderOfCertificate | Who::HolderOfToken => Principal::Stranger,
            Who::Operator(permission) => {
                auth::operator(self.provisioning().ports(), &parts.headers, permission).await?
            }
        };
        match route.endpoint.takes() {
            Takes::JsonOrNothing if body::is_none(&parts.headers) => {}
            Takes::Json | Takes::JsonOrNothing => body::require_json(&parts.headers)?,
            Takes::Lines => body::require_lines(&parts.headers)?,
            Takes::Nothing | Takes::SignedOrNothing => {}
            Takes::SignedOrJson => body::require_json_or_signed(&parts.headers)?,
        }
        Ok(principal)
    }

    /// Reads the body; returns one that the handler reads.
    async fn read(
        &self,
        takes: Takes,
        call: &mut Call,
        body: Body,
    ) -> Result<Option<Unread>, Refused> {
        match takes {
            Takes::Json | Takes::JsonOrNothing | Takes::SignedOrJson => {
                call.body = body::read(&call.fields, body, self.limits()).await?;
            }
            Takes::Lines => return body::begin(body, self.limits()).await.map(Some),
            Takes::SignedOrNothing if jws::is_announced(&call.fields) => {
                call.body = body::read(&call.fields, body, self.limits()).await?;
            }
            Takes::Nothing | Takes::SignedOrNothing => body::discard(&call.fields, body).await,
        }
        Ok(None)
    }

    async fn read_and_decide(
        &self,
        (side, route): (Side, &'static Route),
        mut call: Call,
        address: IpAddr,
        body: Body,
    ) -> Outcome {
        let unread = match self.read(route.endpoint.takes(), &mut call, body).await {
            Ok(unread) => unread,
            Err(refused) => {
                self.count_refusal(route, address, &refused);
                return refused.into();
            }
        };
        // A body takes its time to arrive, and a token may have been revoked meanwhile.
        if let Who::Operator(permission) = route.who {
            match auth::operator(self.provisioning().ports(), &call.fields, permission).await {
                Ok(principal) => call.principal = principal,
                Err(refused) => return refused.into(),
            }
        }
        let (sender, receiver) = oneshot::channel();
        let (api, span) = (self.clone(), Span::current());
        let deciding = async move {
            let use_case = tracing::debug_span!("use_case", endpoint = ?route.endpoint);
            // On the heap, or all of it would be moved with the task, more than once.
            let decided = Box::pin(api.decide(route.endpoint, call, unread));
            let outcome = decided.instrument(use_case).await;
            if let Err(refused) = &outcome.result {
                api.count_refusal(route, address, refused);
            }
            // The caller went away: what follows from the answer happens all the same.
            if let Err(Outcome { follow_up: Some(follow_up), .. }) = sender.send(outcome) {
                api.aftermath().follow_all([Departed { span: Span::current(), follow_up }]);
            }
        };
        let _task = self.aftermath().tasks.spawn(deciding.instrument(span));
        let bound = Duration::from_secs(self.limits().request_seconds_max);
        match timeout(bound, receiver).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Refused::internal("the request's task panicked").into(),
            Err(_) => {
                self.notice(side, Notice::LimitReached(Limit::RequestSeconds));
                Refused::unavailable(String::from("no answer in time")).into()
            }
        }
    }
}
