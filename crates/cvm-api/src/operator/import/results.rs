//! The half of an import that answers: a line for each row, in pieces of the body.

use bytes::Bytes;
use cvm_core::id::SerialNumber;
use cvm_core::provisioning::Registered;
use cvm_wire::import::{ImportProblem, ImportResult};
use http::StatusCode;
use zeroize::Zeroizing;

use crate::answer::SECRET_BYTES;
use crate::operator::devices::shown_once;
use crate::problem::{Refused, kind_of};

/// More than any result.
const RESULT_BYTES_MAX: usize = 4 * 1_024;

/// Results that are not sent yet, and counts of all.
#[derive(Default)]
pub(super) struct Results {
    /// Zeroized, as they may hold tokens; allocated whole, so that growing leaves no copies.
    piece: Zeroizing<Vec<u8>>,
    registered: u64,
    again: u64,
    refused: u64,
    /// Whether the log knows why the server could not, in this batch.
    is_cause_told: bool,
}

impl Results {
    /// How many were registered, were so before, and were refused.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        (self.registered, self.again, self.refused)
    }

    /// Adds a result; returns what is to be sent before another one fits.
    pub(super) fn push(
        &mut self,
        line: u64,
        serial_number: Option<SerialNumber>,
        outcome: Result<Registered, Refused>,
    ) -> Option<Bytes> {
        let (status, token, problem) = match outcome {
            Ok(Registered { token, is_new: true, .. }) => {
                self.registered += 1;
                (StatusCode::CREATED.as_u16(), token, None)
            }
            Ok(Registered { token, .. }) => {
                self.again += 1;
                (StatusCode::OK.as_u16(), token, None)
            }
            Err(refused) => {
                self.refused += 1;
                self.tell(&refused);
                (refused.slug.status(), None, Some(problem_of(refused)))
            }
        };
        let serial_number = serial_number.map(|serial| serial.to_string());
        let token = shown_once(token);
        self.write(&ImportResult { line, status, serial_number, token, problem });
        if self.piece.len() + RESULT_BYTES_MAX > SECRET_BYTES { self.piece() } else { None }
    }

    /// What is to be sent at the end of a batch.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        self.is_cause_told = false;
        self.piece()
    }

    fn piece(&mut self) -> Option<Bytes> {
        let piece = std::mem::take(&mut self.piece);
        (!piece.is_empty()).then(|| Bytes::from_owner(piece))
    }

    fn write(&mut self, result: &ImportResult) {
        if self.piece.capacity() == 0 {
            self.piece.reserve_exact(SECRET_BYTES);
        }
        // Into memory, from texts and numbers: neither can fail.
        drop(serde_json::to_writer(&mut *self.piece, result));
        self.piece.push(b'\n');
    }

    /// What the caller is not told, once for a batch: one failing disk fails all of it.
    fn tell(&mut self, refused: &Refused) {
        if let Some(cause) = refused.cause.as_ref().filter(|_| !self.is_cause_told) {
            tracing::error!(problem = refused.slug.as_str(), cause, "lines of an import failed");
            self.is_cause_told = true;
        }
    }
}

fn problem_of(refused: Refused) -> ImportProblem {
    ImportProblem {
        kind: kind_of(refused.slug),
        title: refused.slug.title().to_owned(),
        status: refused.slug.status(),
        detail: refused.detail.into_owned(),
    }
}
