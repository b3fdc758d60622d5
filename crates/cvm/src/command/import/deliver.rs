//! Until every row of a block is answered: what was not answered is sent again, for the same again
//! changes nothing, with pauses and not for ever.
//!
//! A row that the server cannot take though it takes others is given up in the end, and holds up no
//! other block.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cvm_wire::import::{ImportProblem, ImportResult};

use super::block::Block;
use super::stream::{Answers, Connection, Trouble};
use super::tally::{Tally, Verdict};
use crate::cli::ServerArgs;
use crate::failure::{Exit, Failure};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// Who asks for more is asked again sooner.
const ASKED_PAUSE_MAX: Duration = Duration::from_secs(60);

/// The way to the server.
pub(super) struct Delivery<'a> {
    args: &'a ServerArgs,
    retry_for: Duration,
    connection: Option<Connection>,
}

impl<'a> Delivery<'a> {
    /// Asks the server whether it takes an import from us.
    ///
    /// # Errors
    /// Where it does not, or is not reached: nothing was sent, and it is not tried again.
    pub(super) async fn open(args: &'a ServerArgs, retry_for: Duration) -> Result<Self, Failure> {
        let connection = Connection::open(args).await.map_err(Trouble::into_failure)?;
        Ok(Self { args, retry_for, connection: Some(connection) })
    }

    /// Sends a block, as often as it takes.
    ///
    /// # Errors
    /// Where the server refuses the whole, or takes nothing for too long.
    pub(super) async fn deliver(
        &mut self,
        block: &mut Block,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        let mut open: Vec<usize> = (0..block.rows.len()).collect();
        let mut patience = Patience::new(self.retry_for);
        let mut sends = Sends::First;
        let mut put_off = PutOff::default();
        while !open.is_empty() {
            let rows = block.body_of(&open);
            let (answered, later) = (0, Vec::new());
            let put_off_so_far = &mut put_off;
            let mut pass =
                Pass { block, open: &open, answered, later, tally, sends, put_off: put_off_so_far };
            let ended = self.exchange(rows, &mut pass).await;
            let trouble = pass.trouble(ended);
            let is_answered = pass.answered == open.len();
            let left = pass.left();
            let progress = left.len() < open.len();
            open = left;
            match trouble {
                None => {}
                Some(Trouble::Lasting(failure)) => return Err(failure),
                Some(Trouble::Passing { failure, wait }) => {
                    sends = Sends::Again;
                    let Some(pause) = patience.pause(progress, wait) else {
                        if is_answered && put_off.others_were_taken(&open) {
                            return put_off.give_up(block, &open, tally);
                        }
                        return Err(failure);
                    };
                    let seconds = pause.as_secs_f32();
                    tally.note(&format!("{}; going on in {seconds:.1} s", failure.what));
                    tokio::time::sleep(pause).await;
                }
            }
        }
        Ok(())
    }

    async fn exchange(&mut self, rows: bytes::Bytes, pass: &mut Pass<'_>) -> Result<(), Trouble> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.args).await?,
        };
        connection.exchange(rows, pass).await?;
        self.connection = Some(connection);
        Ok(())
    }
}

/// Whether an answer is the answer to the only request there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sends {
    /// It is: what is refused was never registered.
    First,
    /// Perhaps an earlier one was carried out and its answer lost.
    Again,
}

/// One request and its answers.
struct Pass<'p> {
    block: &'p mut Block,
    /// The rows that were sent.
    open: &'p [usize],
    answered: usize,
    /// Rows that the server wants to see again later.
    later: Vec<usize>,
    tally: &'p mut Tally,
    sends: Sends,
    put_off: &'p mut PutOff,
}

impl Answers for Pass<'_> {
    fn take(&mut self, line: &[u8]) -> Result<(), Failure> {
        let bad = |what: &str| {
            Failure::new(Exit::Failed, format!("the server's answer cannot be used: {what}"))
        };
        let answer: ImportResult =
            serde_json::from_slice(line).map_err(|_| bad("a line is not the answer to a row"))?;
        let index = *self.open.get(self.answered).ok_or_else(|| bad("it has too many lines"))?;
        let row = self.block.rows.get_mut(index).ok_or_else(|| bad("it has too many lines"))?;
        let is_its_turn = answer.line == self.answered as u64 + 1;
        let serial = answer.serial_number.as_deref();
        if !is_its_turn || serial.is_some_and(|serial| serial != row.serial.as_str()) {
            return Err(bad("its lines are not in the order of the rows"));
        }
        self.answered += 1;
        let verdict = match answer.status {
            201 => Verdict::Registered,
            200 => Verdict::RegisteredBefore,
            408 | 429 | 500.. => {
                self.later.push(index);
                self.put_off.note(index, cause(answer.status, answer.problem.as_ref()));
                return Ok(());
            }
            status => Verdict::Refused(cause(status, answer.problem.as_ref())),
        };
        self.put_off.taken += 1;
        self.tally.judged(row, verdict, self.sends)
    }
}

impl Pass<'_> {
    /// What is in the way of the rest, if there is a rest.
    fn trouble(&self, ended: Result<(), Trouble>) -> Option<Trouble> {
        match ended {
            Err(trouble) => Some(trouble),
            Ok(()) if self.answered < self.open.len() => {
                Some(Trouble::passing("the server's answer ended before its end"))
            }
            Ok(()) if self.later.is_empty() => None,
            Ok(()) => {
                let rows = self.later.len();
                Some(Trouble::passing(format!("the server cannot take {rows} of the rows now")))
            }
        }
    }

    fn left(mut self) -> Vec<usize> {
        self.later.extend(self.open.iter().skip(self.answered));
        self.later
    }
}

/// The rows of a block that the server wanted to see again later.
#[derive(Default)]
struct PutOff {
    /// How many rows got an answer that is one.
    taken: usize,
    /// How many had when a row was put off for the first time, and what was said the last time.
    rows: HashMap<usize, (usize, String)>,
}

impl PutOff {
    fn note(&mut self, index: usize, cause: String) {
        let taken = self.taken;
        self.rows.entry(index).or_insert_with(|| (taken, String::new())).1 = cause;
    }

    /// Whether the server took others after each of these was put off.
    fn others_were_taken(&self, left: &[usize]) -> bool {
        let was_overtaken =
            |index| self.rows.get(index).is_some_and(|(before, _)| *before < self.taken);
        left.iter().all(was_overtaken)
    }

    /// Tells the rows that are left by their lines, so that the others go on.
    fn give_up(
        mut self,
        block: &mut Block,
        left: &[usize],
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        for index in left {
            let (Some(row), Some((_, cause))) =
                (block.rows.get_mut(*index), self.rows.remove(index))
            else {
                continue;
            };
            let cause = format!("given up, while others were taken: {cause}");
            tally.judged(row, Verdict::Refused(cause), Sends::Again)?;
        }
        Ok(())
    }
}

fn cause(status: u16, problem: Option<&ImportProblem>) -> String {
    const CHARACTERS_MAX: usize = 500;
    let Some(problem) = problem else { return format!("the server answered {status}") };
    let slug = problem.kind.rsplit('/').next().unwrap_or_default();
    let text = format!("{slug}: {}", problem.detail);
    text.chars().filter(|c| !c.is_control()).take(CHARACTERS_MAX).collect()
}

/// How long to go on without progress, and with which pauses.
struct Patience {
    retry_for: Duration,
    progress_at: Instant,
    next: Duration,
}

impl Patience {
    fn new(retry_for: Duration) -> Self {
        Self { retry_for, progress_at: Instant::now(), next: FIRST_PAUSE }
    }

    /// The pause before the next try, if there is to be one.
    fn pause(&mut self, progress: bool, asked: Option<Duration>) -> Option<Duration> {
        if progress {
            *self = Self::new(self.retry_for);
        }
        let left = self.retry_for.checked_sub(self.progress_at.elapsed())?;
        let pause = asked.map_or(self.next, |asked| asked.min(ASKED_PAUSE_MAX).max(self.next));
        self.next = (self.next * 2).min(PAUSE_MAX);
        (!left.is_zero()).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::super::feed::{Feed, Source};
    use super::*;

    const ROWS: usize = 4;

    fn block() -> Block {
        let rows = (1..=ROWS).map(|n| format!("SN-{n},my own token 000{n}\n"));
        let text = format!("serial,token\n{}", rows.collect::<String>());
        let mut feed = Feed::begin(text.as_bytes(), "devices.csv").unwrap();
        feed.tokens_from(Source::Nowhere);
        feed.block("devices.csv").unwrap().unwrap()
    }

    /// What is left of rows 0, 1 and 3 after these answers, or why they cannot be used.
    fn after(lines: &[&str]) -> Result<(Vec<usize>, Tally), String> {
        let (mut block, mut tally) = (block(), Tally::new(None, None).unwrap());
        let (open, later) = (vec![0, 1, 3], Vec::new());
        let sends = Sends::First;
        let mut put_off = PutOff::default();
        let (block, tally_of, put_off) = (&mut block, &mut tally, &mut put_off);
        let mut pass =
            Pass { block, open: &open, answered: 0, later, tally: tally_of, sends, put_off };
        for line in lines {
            pass.take(line.as_bytes()).map_err(|failure| failure.what)?;
        }
        Ok((pass.left(), tally))
    }

    fn line(number: u64, status: u16, serial: &str) -> String {
        format!(r#"{{"line":{number},"status":{status},"serialNumber":"{serial}"}}"#)
    }

    #[test]
    fn what_was_answered_is_done_and_the_rest_is_sent_again() {
        let (left, tally) = after(&[]).unwrap();
        assert_eq!((left, tally.registered()), (vec![0, 1, 3], 0));
        let lines = [line(1, 201, "SN-1"), line(2, 503, "SN-2")];
        let (left, tally) = after(&[&lines[0], &lines[1]]).unwrap();
        assert_eq!((left, tally.registered()), (vec![1, 3], 1));
        let refused = r#"{"line":2,"status":409,"serialNumber":"SN-2","problem":{"type":"/problems/already-exists","title":"","status":409,"detail":"why"}}"#;
        let (left, tally) =
            after(&[&line(1, 200, "SN-1"), refused, &line(3, 201, "SN-4")]).unwrap();
        assert_eq!((left, tally.registered()), (vec![], 1));
        assert_eq!(tally.refusals()[0].cause, "already-exists: why");
        assert_eq!(tally.refusals()[0].line, 3);
    }

    #[test]
    fn answers_that_do_not_fit_the_rows_are_not_believed() {
        assert!(after(&[&line(2, 201, "SN-2")]).is_err());
        assert!(after(&[&line(1, 201, "SN-2")]).is_err());
        assert!(after(&["{}"]).is_err());
        let all = [line(1, 201, "SN-1"), line(2, 201, "SN-2"), line(3, 201, "SN-4")];
        let more = line(4, 201, "SN-5");
        assert!(after(&[&all[0], &all[1], &all[2]]).is_ok());
        assert!(after(&[&all[0], &all[1], &all[2], &more]).is_err());
    }

    #[test]
    fn a_row_is_given_up_only_where_others_were_taken_after_it() {
        let mut put_off = PutOff { taken: 1, ..PutOff::default() };
        put_off.note(3, String::from("why"));
        assert!(!put_off.others_were_taken(&[3]), "what was taken before says nothing");
        put_off.taken += 1;
        put_off.note(3, String::from("why now"));
        assert!(put_off.others_were_taken(&[3]));
        assert!(!put_off.others_were_taken(&[3, 4]), "of the fourth nobody has said anything");
        let (mut block, mut tally) = (block(), Tally::new(None, None).unwrap());
        put_off.give_up(&mut block, &[3], &mut tally).unwrap();
        assert_eq!(tally.refusals().len(), 1);
        assert_eq!(tally.refusals()[0].line, 5);
        assert!(tally.refusals()[0].cause.ends_with(": why now"));
    }

    #[test]
    fn patience_grows_and_ends() {
        let mut patience = Patience::new(Duration::from_secs(3600));
        assert_eq!(patience.pause(false, None), Some(FIRST_PAUSE));
        assert_eq!(patience.pause(false, None), Some(FIRST_PAUSE * 2));
        let asked = Duration::from_secs(7);
        assert_eq!(patience.pause(false, Some(asked)), Some(asked));
        let asked = Duration::from_secs(86_400);
        assert_eq!(patience.pause(false, Some(asked)), Some(ASKED_PAUSE_MAX));
        assert_eq!(patience.pause(true, None), Some(FIRST_PAUSE));
        assert_eq!(Patience::new(Duration::ZERO).pause(false, None), None);
    }
}
