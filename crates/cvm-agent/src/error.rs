//! What can go wrong, by who has to act, with the exit code that says so (`contract.md`, section 1).
//!
//! 1 refused or failed, 2 usage, 75 try later, 76 not the pinned server, 77 local files.

use std::io;
use std::time::Duration;

use cvm_wire::problem::Problem;

/// Why an operation of the device side or of the operator's client did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server is ours, but what it answered cannot be used: a bug, or somebody between.
    #[error("{server}: {what}")]
    BadAnswer {
        /// Which server.
        server: String,
        /// What is wrong with its answer.
        what: String,
    },
    /// A local file or directory cannot be read or written.
    #[error("{what}")]
    Local {
        /// What was being done to which file.
        what: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A local file is there but does not hold what it should.
    #[error("{what}")]
    LocalContent {
        /// Which file, what is wrong with it, and what to do.
        what: String,
    },
    /// Whoever answers is not known to be our server. No secret was sent.
    #[error("{server} is not the pinned server: {distrust}")]
    NotPinned {
        /// Which server.
        server: String,
        /// What did not fit.
        distrust: Distrust,
    },
    /// The server says no.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// Not now: the same again may succeed later.
    #[error("{what}")]
    TryLater {
        /// What happened.
        what: String,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
        /// What the server said, if it was reached.
        refusal: Option<Box<Refusal>>,
    },
    /// The caller asked for something that makes no sense.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// The exit code of a process that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::BadAnswer { .. } | Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::TryLater { .. } => 75,
            Self::NotPinned { .. } => 76,
            Self::Local { .. } | Self::LocalContent { .. } => 77,
        }
    }

    /// What the server said, if it was the server that said no or not now.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::TryLater { refusal, .. } => refusal.as_deref(),
            Self::BadAnswer { .. }
            | Self::Local { .. }
            | Self::LocalContent { .. }
            | Self::NotPinned { .. }
            | Self::Usage(_) => None,
        }
    }

    /// The attempt code to hand to support or to `cvm explain`.
    #[must_use]
    pub fn attempt(&self) -> Option<&str> {
        let problem = self.refusal()?.problem.as_ref()?;
        Some(&problem.attempt)
    }

    /// The slug of the server's problem document, or nothing.
    #[must_use]
    pub fn slug(&self) -> &str {
        let problem = self.refusal().and_then(|refusal| refusal.problem.as_ref());
        problem.map_or("", Problem::slug)
    }

    /// How long the server asks to wait before the same is tried again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TryLater { retry_after, .. } => *retry_after,
            Self::BadAnswer { .. }
            | Self::Local { .. }
            | Self::LocalContent { .. }
            | Self::NotPinned { .. }
            | Self::Refused(_)
            | Self::Usage(_) => None,
        }
    }

    pub(crate) fn local(what: String, source: io::Error) -> Self {
        Self::Local { what, source }
    }

    /// Whether the same request, sent again soon, may be answered otherwise: not so where a human
    /// has to decide.
    pub(crate) fn is_worth_repeating(&self) -> bool {
        match self {
            Self::TryLater { refusal, .. } => {
                refusal.as_ref().is_none_or(|said| said.status != 202)
            }
            Self::BadAnswer { .. }
            | Self::Local { .. }
            | Self::LocalContent { .. }
            | Self::NotPinned { .. }
            | Self::Refused(_)
            | Self::Usage(_) => false,
        }
    }
}

/// An answer that is not the one asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{server} answered {status}{}", describe(.problem.as_ref()))]
pub struct Refusal {
    /// Which server.
    pub server: String,
    /// The HTTP status.
    pub status: u16,
    /// The problem document, if there was one.
    pub problem: Option<Problem>,
    /// With 202: the review in which a human has to say yes.
    pub review: Option<String>,
}

fn describe(problem: Option<&Problem>) -> String {
    let Some(problem) = problem else {
        return " without a problem document: is this the address of a CVM server?".to_owned();
    };
    let mut text = format!(" {}", printable(problem.slug()));
    if !problem.title.is_empty() {
        text.push_str(&format!(" ({})", printable(&problem.title)));
    }
    if !problem.detail.is_empty() {
        text.push_str(&format!(": {}", printable(&problem.detail)));
    }
    if !problem.attempt.is_empty() {
        text.push_str(&format!(" [attempt {}]", printable(&problem.attempt)));
    }
    text
}

/// What a terminal shows as it is, and not too much of it.
fn printable(text: &str) -> String {
    const CHARACTERS_MAX: usize = 1000;
    text.chars().filter(|c| !c.is_control()).take(CHARACTERS_MAX).collect()
}

/// Why a server is not believed to be the pinned one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// The certificate's time is over.
    #[error(
        "its certificate expired at {not_after} and it is {now} here; the server renews its \
         certificate by itself while it runs, so check this machine's clock, then the server"
    )]
    Expired {
        /// When it expired.
        not_after: String,
        /// The time by which it was judged.
        now: String,
    },
    /// The handshake failed for another reason.
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
    /// With a fingerprint: what it offers does not contain the pinned certificate.
    #[error(
        "none of the certificates it offers has the fingerprint {fingerprint}; compare it with \
         what `cvm init` printed, and check the address"
    )]
    NoneMatches {
        /// What was pinned.
        fingerprint: String,
    },
    /// There is nothing to verify it against.
    #[error("nothing is pinned to verify it against; give its root certificate or its fingerprint")]
    NothingPinned,
    /// Something else than TLS is spoken there.
    #[error("it does not speak TLS; check the port, and for a captive portal or a proxy between")]
    NotTls,
    /// The certificate's time has not come.
    #[error(
        "its certificate is valid from {not_before} and it is {now} here; set this machine's clock"
    )]
    NotValidYet {
        /// When its time comes.
        not_before: String,
        /// The time by which it was judged.
        now: String,
    },
    /// The certificate is not acceptable for another reason.
    #[error("its certificate is not acceptable: {0}")]
    Unacceptable(String),
    /// The chain does not lead to what is pinned.
    #[error(
        "its certificate was not issued under the pinned root; check the address and the root \
         certificate or fingerprint, and for a proxy between that opens TLS"
    )]
    UnknownIssuer,
    /// The certificate is for another name.
    #[error(
        "its certificate is for {presented}, not for {expected}; use a name it has, or add this \
         one to `[http] hostnames` of the server"
    )]
    WrongName {
        /// The name that was dialled.
        expected: String,
        /// The names in the certificate.
        presented: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem() -> Problem {
        Problem {
            kind: "/problems/access-denied".to_owned(),
            title: "Access denied".to_owned(),
            status: 403,
            detail: "no\u{1b}[31m".to_owned(),
            attempt: "K7QF2-M8WXA".to_owned(),
        }
    }

    fn refusal(status: u16, problem: Option<Problem>) -> Refusal {
        Refusal { server: "https://cvm".to_owned(), status, problem, review: None }
    }

    #[test]
    fn every_blame_has_its_exit_code() {
        let io = || io::Error::from(io::ErrorKind::NotFound);
        let text = || "x".to_owned();
        let cases = [
            (Error::Refused(Box::new(refusal(403, None))), 1),
            (Error::BadAnswer { server: text(), what: text() }, 1),
            (Error::Usage(text()), 2),
            (Error::TryLater { what: text(), retry_after: None, refusal: None }, 75),
            (Error::NotPinned { server: text(), distrust: Distrust::NotTls }, 76),
            (Error::local(text(), io()), 77),
            (Error::LocalContent { what: text() }, 77),
        ];
        for (error, code) in cases {
            assert_eq!(error.exit_code(), code, "{error}");
        }
    }

    #[test]
    fn a_refusal_shows_slug_detail_and_attempt_and_no_control_characters() {
        let error = Error::Refused(Box::new(refusal(403, Some(problem()))));
        assert_eq!(
            error.to_string(),
            "https://cvm answered 403 access-denied (Access denied): no[31m [attempt K7QF2-M8WXA]"
        );
        assert_eq!(error.attempt(), Some("K7QF2-M8WXA"));
    }

    #[test]
    fn an_answer_that_is_no_problem_document_is_named_as_such() {
        assert!(refusal(404, None).to_string().contains("is this the address"));
    }

    #[test]
    fn what_a_human_decides_is_not_repeated() {
        let later = |status| Error::TryLater {
            what: "x".to_owned(),
            retry_after: None,
            refusal: Some(Box::new(refusal(status, None))),
        };
        assert!(later(503).is_worth_repeating());
        assert!(!later(202).is_worth_repeating());
        assert!(!Error::Refused(Box::new(refusal(403, None))).is_worth_repeating());
    }
}
