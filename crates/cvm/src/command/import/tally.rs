//! What became of the rows: counted, told, and written down where that was asked for.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use cvm_core::id::SerialNumber;
use cvm_core::token::Token;
use serde::Serialize;

use super::block::{Block, Origin, Refusal, Row};
use super::deliver::Sends;
use super::progress::Progress;
use crate::failure::{Exit, Failure};
use crate::output::Text;

/// More refusals than these are for a file.
const SHOWN_MAX: usize = 20;

/// What the server says to a row.
#[derive(Debug)]
pub(super) enum Verdict {
    /// A device it did not know.
    Registered,
    /// The same was registered before.
    RegisteredBefore,
    /// No, and why.
    Refused(String),
}

/// A row that was refused, and the token that was made for it.
pub(super) struct Unfit {
    /// Its serial number.
    pub(super) serial: SerialNumber,
    /// Its token, if it might be the token of a device that is registered all the same.
    pub(super) doubtful: Option<Token>,
}

/// The result, as `--output json` prints it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    rows: u64,
    registered: u64,
    registered_before: u64,
    refused: u64,
    /// The first of them.
    refusals: Vec<SummaryRefusal>,
    seconds: f64,
    rows_per_second: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SummaryRefusal {
    line: u64,
    serial_number: Option<String>,
    cause: String,
}

/// What became of the rows so far.
pub(super) struct Tally {
    progress: Progress,
    began: Instant,
    registered: u64,
    registered_before: u64,
    refused: u64,
    fit: u64,
    /// Bad rows of the block under way, told in the order of the file.
    waiting: VecDeque<Refusal>,
    shown: Vec<Refusal>,
    out: Option<(PathBuf, BufWriter<File>)>,
    labels: Option<SyncSender<(SerialNumber, Token)>>,
    unfit: Vec<Unfit>,
}

impl Tally {
    /// Counts from zero, over a file of `size` bytes where that is known; refusals go to `out`.
    ///
    /// # Errors
    /// Where `out` cannot be written.
    pub(super) fn new(size: Option<u64>, out: Option<&Path>) -> Result<Self, Failure> {
        let out = out.map(open).transpose()?;
        Ok(Self {
            progress: Progress::new(size),
            began: Instant::now(),
            registered: 0,
            registered_before: 0,
            refused: 0,
            fit: 0,
            waiting: VecDeque::new(),
            shown: Vec::new(),
            out,
            labels: None,
            unfit: Vec::new(),
        })
    }

    /// Where serial number and token of each registered device go.
    pub(super) fn labels_to(&mut self, labels: SyncSender<(SerialNumber, Token)>) {
        self.labels = Some(labels);
    }

    /// No more rows will come.
    pub(super) fn close_labels(&mut self) {
        self.labels = None;
    }

    /// The server's word on a row.
    ///
    /// # Errors
    /// Where it cannot be written down.
    pub(super) fn judged(
        &mut self,
        row: &mut Row,
        verdict: Verdict,
        sends: Sends,
    ) -> Result<(), Failure> {
        self.tell_waiting(row.line)?;
        match verdict {
            Verdict::Registered => self.registered += 1,
            Verdict::RegisteredBefore => self.registered_before += 1,
            Verdict::Refused(cause) => {
                self.note_unfit(row, sends);
                let serial = Some(row.serial.clone());
                return self.refuse(Refusal { line: row.line, serial, cause });
            }
        }
        match (&self.labels, row.token.take()) {
            // Who does not take it any more has failed, and says why when it is asked.
            (Some(labels), Some(token)) => labels
                .send((row.serial.clone(), token))
                .map_err(|_| Failure::new(Exit::Failed, "labels are no longer written")),
            _ => Ok(()),
        }
    }

    fn note_unfit(&mut self, row: &mut Row, sends: Sends) {
        let is_sure = row.origin == Origin::MadeNow && sends == Sends::First;
        if row.origin == Origin::Brought {
            return;
        }
        let doubtful = row.token.take().filter(|_| !is_sure);
        self.unfit.push(Unfit { serial: row.serial.clone(), doubtful });
    }

    /// Bad rows of the block that is next, in the order of the file.
    pub(super) fn begin(&mut self, refusals: Vec<Refusal>) {
        self.waiting.extend(refusals);
    }

    fn tell_waiting(&mut self, before_line: u64) -> Result<(), Failure> {
        while let Some(refusal) = self.waiting.pop_front_if(|it| it.line < before_line) {
            self.refuse(refusal)?;
        }
        Ok(())
    }

    fn refuse(&mut self, refusal: Refusal) -> Result<(), Failure> {
        self.refused += 1;
        if let Some((path, out)) = &mut self.out {
            write(out, &refusal).map_err(|error| Failure::file("writing", path, &error))?;
        }
        if self.shown.len() < SHOWN_MAX {
            let serial = refusal.serial.as_ref().map(|it| format!(" {it}")).unwrap_or_default();
            self.note(&format!("line {}{serial}: {}", refusal.line, refusal.cause));
            self.shown.push(refusal);
            if self.shown.len() == SHOWN_MAX {
                self.note("further rows that are refused are counted; --refused-out has them all");
            }
        }
        Ok(())
    }

    /// Counts rows that are fit to be sent, where nothing is sent.
    pub(super) fn read(&mut self, rows: usize) {
        self.fit += rows as u64;
    }

    /// Says something beside the progress.
    pub(super) fn note(&self, text: &str) {
        self.progress.note(text);
    }

    /// Moves the progress to the end of a block.
    ///
    /// # Errors
    /// Where its last bad rows cannot be written down.
    pub(super) fn passed(&mut self, block: &Block) -> Result<(), Failure> {
        self.tell_waiting(u64::MAX)?;
        let (rows, refused) = (self.rows(), self.refused);
        self.progress.at(block.bytes_read, rows, refused);
        Ok(())
    }

    /// Everything is written down and the progress is gone.
    ///
    /// # Errors
    /// Where the last refusals cannot be written down.
    pub(super) fn close(&mut self) -> Result<(), Failure> {
        self.progress.finish();
        match &mut self.out {
            Some((path, out)) => {
                out.flush().map_err(|error| Failure::file("writing", path, &error))
            }
            None => Ok(()),
        }
    }

    /// The rows whose tokens must not look as if they were good.
    pub(super) fn take_unfit(&mut self) -> Vec<Unfit> {
        std::mem::take(&mut self.unfit)
    }

    pub(super) fn rows(&self) -> u64 {
        self.registered + self.registered_before + self.refused + self.fit
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// The result so far.
    pub(super) fn summary(&self) -> Summary {
        let seconds = self.began.elapsed().as_secs_f64();
        let refusals = self.shown.iter().map(|refusal| SummaryRefusal {
            line: refusal.line,
            serial_number: refusal.serial.as_ref().map(ToString::to_string),
            cause: refusal.cause.clone(),
        });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rate for people"
        )]
        let rows_per_second = (self.rows() as f64 / seconds.max(0.001)) as u64;
        Summary {
            rows: self.rows(),
            registered: self.registered,
            registered_before: self.registered_before,
            refused: self.refused,
            refusals: refusals.collect(),
            seconds: (seconds * 1000.0).round() / 1000.0,
            rows_per_second,
        }
    }

    #[cfg(test)]
    pub(super) fn registered(&self) -> u64 {
        self.registered
    }

    #[cfg(test)]
    pub(super) fn refusals(&self) -> &[Refusal] {
        &self.shown
    }
}

impl Summary {
    /// Writes it for people.
    pub(super) fn show(&self, text: &mut Text) {
        let seconds = self.seconds;
        let rate = format!("{seconds:.1} s, {} rows a second", self.rows_per_second);
        text.facts(&[
            ("rows", self.rows.to_string()),
            ("registered", self.registered.to_string()),
            ("were there before", self.registered_before.to_string()),
            ("refused", self.refused.to_string()),
            ("time", rate),
        ]);
    }
}

/// Columns that are mixed up hold tokens, and the server names policies that there are not.
const PRIVATE: u32 = 0o600;
/// The list's first line.
const HEADER: &[u8] = b"line,serial,cause\n";

/// Opens the list and begins it anew; what is not such a list may be the only copy of tokens.
fn open(path: &Path) -> Result<(PathBuf, BufWriter<File>), Failure> {
    let fault = |error: io::Error| Failure::file("writing", path, &error);
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false).mode(PRIVATE);
    let file = options.open(path).map_err(fault)?;
    if file.metadata().map_err(fault)?.is_file() {
        let mut first = Vec::with_capacity(HEADER.len());
        let there = File::open(path).map_err(fault)?;
        there.take(HEADER.len() as u64).read_to_end(&mut first).map_err(fault)?;
        if !HEADER.starts_with(&first) {
            let what = format!("{} is there, and is no list of refused rows", path.display());
            return Err(Failure::new(Exit::Usage, what).cure("give another --refused-out"));
        }
        file.set_len(0).map_err(fault)?;
    }
    let mut out = BufWriter::new(file);
    out.write_all(HEADER).map_err(fault)?;
    Ok((path.to_owned(), out))
}

fn write(out: &mut impl Write, refusal: &Refusal) -> io::Result<()> {
    let serial = refusal.serial.as_ref().map_or("", SerialNumber::as_str);
    let cause = refusal.cause.replace('"', "\"\"");
    writeln!(out, "{},{serial},\"{cause}\"", refusal.line)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn row(origin: Origin) -> Row {
        let token = Token::generate(&cvm_pki::SystemEntropy);
        let serial = "SN-1".parse().unwrap();
        Row { line: 2, serial, token: Some(token), origin, start: 0 }
    }

    fn doubt(origin: Origin, sends: Sends) -> Vec<bool> {
        let mut tally = Tally::new(None, None).unwrap();
        tally.judged(&mut row(origin), Verdict::Refused(String::new()), sends).unwrap();
        tally.take_unfit().iter().map(|unfit| unfit.doubtful.is_some()).collect()
    }

    #[test]
    fn a_token_is_surely_unused_only_if_it_was_made_now_and_sent_once() {
        assert_eq!(doubt(Origin::MadeNow, Sends::First), [false]);
        assert_eq!(doubt(Origin::MadeNow, Sends::Again), [true]);
        assert_eq!(doubt(Origin::FoundHere, Sends::First), [true]);
        assert!(doubt(Origin::Brought, Sends::Again).is_empty());
    }

    #[test]
    fn a_list_of_refused_rows_takes_the_place_of_no_other_file() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("tokens.csv");
        for other in ["serial,token\nSN-1,my own token 0123\n", "serial\nSN-1\n"] {
            std::fs::write(&path, other).unwrap();
            assert!(Tally::new(None, Some(&path)).is_err());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), other);
        }
        for earlier in ["", "line,ser", "line,serial,cause\n7,SN-1,why\n"] {
            std::fs::write(&path, earlier).unwrap();
            Tally::new(None, Some(&path)).unwrap().close().unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "line,serial,cause\n");
        }
    }

    #[test]
    fn all_refusals_are_written_down_and_the_first_are_shown() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("refused.csv");
        let mut tally = Tally::new(None, Some(&path)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, PRIVATE);
        for line in 0..100 {
            let cause = String::from("say \"why\", please");
            tally.refuse(Refusal { line, serial: None, cause }).unwrap();
        }
        tally.close().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 101);
        assert_eq!(text.lines().nth(1), Some("0,,\"say \"\"why\"\", please\""));
        assert_eq!((tally.refused(), tally.refusals().len()), (100, SHOWN_MAX));
    }
}
