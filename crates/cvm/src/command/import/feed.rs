//! From the file to blocks that may be sent: bad rows are sorted out, tokens are made, and safe on
//! disk before the block is handed on.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Read};

use bytes::Bytes;
use cvm_wire::SecretText;
use zeroize::Zeroizing;

use super::block::{Block, Origin, ROWS_MAX, Refusal, Row};
use super::columns::{Columns, Wanted};
use super::table::{Record, Table};
use super::tokens::Tokens;
use crate::failure::{Exit, Failure};

/// When a block has so many bytes it is full.
const BODY_BYTES: usize = 4 * 1024 * 1024;
/// The server takes no longer line.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// What 64 KiB of CSV can become in JSON at worst: each byte an escape of six.
const ONE_MORE_BYTES: usize = 6 * LINE_BYTES_MAX + 4096;

/// Where rows that bring no token get theirs.
pub(super) enum Source {
    /// From the tokens file.
    File(Box<Tokens>),
    /// From nowhere: such a row is bad.
    Nowhere,
    /// Nothing is to be sent, so they need none.
    NotNeeded,
}

/// A file on its way.
pub(super) struct Feed<R> {
    table: Table<R>,
    columns: Columns,
    tokens: Source,
    /// The line of each serial number.
    seen: HashMap<Box<str>, u64>,
}

impl<R: Read> Feed<R> {
    /// Reads the header of a file that people call `name`.
    ///
    /// # Errors
    /// Where it has none that can be used.
    pub(super) fn begin(source: R, name: &str) -> Result<Self, Failure> {
        let mut table = Table::new(source);
        let columns = match table.next().map_err(|error| unreadable(name, &error))? {
            None => Err(String::from("the file is empty")),
            Some(header) => Columns::read(header).map_err(|what| format!("its first line: {what}")),
        };
        let columns = columns.map_err(|what| {
            let cure = "the first line names the columns, such as serial,thing_name,policy; \
                        `cvm device import --help` has them all";
            Failure::new(Exit::Failed, format!("{name}: {what}")).cure(cure)
        })?;
        Ok(Self { table, columns, tokens: Source::Nowhere, seen: HashMap::new() })
    }

    /// Whether rows may bring their tokens.
    pub(super) fn has_tokens(&self) -> bool {
        self.columns.has_token()
    }

    /// From where to take tokens that rows do not bring.
    pub(super) fn tokens_from(&mut self, tokens: Source) {
        self.tokens = tokens;
    }

    /// The tokens file, when the work is done.
    pub(super) fn into_tokens(self) -> Option<Tokens> {
        match self.tokens {
            Source::File(tokens) => Some(*tokens),
            Source::Nowhere | Source::NotNeeded => None,
        }
    }

    /// The next block, its tokens durable; nothing at the end of the file that people call `name`.
    ///
    /// # Errors
    /// Where the file cannot be read or the tokens cannot be written: nothing of the block may be
    /// sent.
    pub(super) fn block(&mut self, name: &str) -> Result<Option<Block>, Failure> {
        let mut body = Zeroizing::new(Vec::with_capacity(BODY_BYTES + ONE_MORE_BYTES));
        let (mut rows, mut refusals) = (Vec::with_capacity(ROWS_MAX), Vec::new());
        while rows.len() < ROWS_MAX && refusals.len() < ROWS_MAX && body.len() < BODY_BYTES {
            let record = self.table.next().map_err(|error| unreadable(name, &error))?;
            let Some(record) = record else { break };
            let mut judge =
                Judge { columns: &self.columns, tokens: &mut self.tokens, seen: &mut self.seen };
            match judge.row(record, &mut body) {
                Ok(row) => rows.push(row),
                Err(refusal) => refusals.push(refusal),
            }
        }
        if let Source::File(tokens) = &mut self.tokens {
            tokens.sync()?;
        }
        let is_end = rows.is_empty() && refusals.is_empty();
        let bytes_read = self.table.bytes_read();
        let body = Bytes::from_owner(body);
        Ok((!is_end).then_some(Block { rows, body, refusals, bytes_read }))
    }
}

/// What a row is judged with.
struct Judge<'f> {
    columns: &'f Columns,
    tokens: &'f mut Source,
    seen: &'f mut HashMap<Box<str>, u64>,
}

impl Judge<'_> {
    fn row(&mut self, record: Record<'_>, body: &mut Vec<u8>) -> Result<Row, Refusal> {
        let line = record.line;
        let nameless = |cause| Refusal { line, serial: None, cause };
        let wanted = self.columns.device(record).map_err(nameless)?;
        let serial = wanted.serial.clone();
        let start = body.len();
        self.write(line, wanted, body).map_err(|cause| {
            body.truncate(start);
            Refusal { line, serial: Some(serial), cause }
        })
    }

    fn write(&mut self, line: u64, wanted: Wanted, body: &mut Vec<u8>) -> Result<Row, String> {
        let Wanted { serial, token, mut device } = wanted;
        let place = match self.seen.entry(serial.as_str().into()) {
            Entry::Occupied(first) => {
                return Err(format!("line {} has this serial number already", first.get()));
            }
            Entry::Vacant(place) => place,
        };
        let start = body.len();
        // Judged with room for a token: one that is made is on its way into the file.
        serde_json::to_writer(&mut *body, &device).map_err(|error| error.to_string())?;
        if body.len() - start > LINE_BYTES_MAX - TOKEN_BYTES_MAX {
            return Err(String::from("the row is longer than the server takes: 64 KiB"));
        }
        let (token, origin) = match (token, &mut *self.tokens) {
            (Some(token), _) => (Some(token), Origin::Brought),
            (None, Source::File(tokens)) => {
                let (token, origin) = tokens.token_of(&serial);
                (Some(token), origin)
            }
            (None, Source::NotNeeded) => (None, Origin::MadeNow),
            (None, Source::Nowhere) => {
                let what = "it brings no token; with --tokens-out FILE one is made";
                return Err(String::from(what));
            }
        };
        if let Some(token) = &token {
            let text = Zeroizing::new(token.expose().to_owned());
            device.token = Some(SecretText::new(text));
            body.truncate(start);
            serde_json::to_writer(&mut *body, &device).map_err(|error| error.to_string())?;
        }
        body.push(b'\n');
        place.insert(line);
        Ok(Row { line, serial, token, origin, start })
    }
}

/// 256 characters, each an escape of twelve bytes at worst, and the field's name.
const TOKEN_BYTES_MAX: usize = 256 * 12 + 16;

fn unreadable(name: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("reading {name}: {error}"))
        .cure("what was told as registered is; mend the file and run the same command again")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "my own token 0123";

    fn feed(text: &str, tokens: Source) -> Feed<&[u8]> {
        let mut feed = Feed::begin(text.as_bytes(), "devices.csv").unwrap();
        feed.tokens_from(tokens);
        feed
    }

    fn all(feed: &mut Feed<&[u8]>) -> (Vec<Row>, Vec<Refusal>, String) {
        let (mut rows, mut refusals, mut bodies) = (Vec::new(), Vec::new(), String::new());
        while let Some(block) = feed.block("devices.csv").unwrap() {
            bodies.push_str(std::str::from_utf8(&block.body).unwrap());
            rows.extend(block.rows);
            refusals.extend(block.refusals);
        }
        (rows, refusals, bodies)
    }

    #[test]
    fn a_row_becomes_a_line_and_a_bad_one_becomes_nothing() {
        let text = format!(
            "serial,token\nSN-1,{TOKEN}\nSN 2,{TOKEN}\nSN-3,\nSN-1,{TOKEN}\nSN-4,{TOKEN}\n"
        );
        let (rows, refusals, body) = all(&mut feed(&text, Source::Nowhere));
        let lines: Vec<u64> = rows.iter().map(|row| row.line).collect();
        assert_eq!(lines, [2, 6]);
        let expected =
            |serial: &str| format!("{{\"serialNumber\":\"{serial}\",\"token\":\"{TOKEN}\"}}\n");
        assert_eq!(body, expected("SN-1") + &expected("SN-4"));
        let told: Vec<_> = refusals.iter().map(|refusal| refusal.line).collect();
        assert_eq!(told, [3, 4, 5]);
        assert!(refusals[1].cause.contains("--tokens-out"), "{}", refusals[1].cause);
        assert!(refusals[2].cause.contains("line 2"), "{}", refusals[2].cause);
        assert_eq!(refusals[2].serial.as_ref().unwrap().as_str(), "SN-1");
    }

    #[test]
    fn tokens_are_on_disk_when_a_block_is_handed_on_and_bad_rows_have_none() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("tokens.csv");
        let (tokens, _) = Tokens::open(&path).unwrap();
        let long = "x".repeat(63 * 1024);
        let text = format!("serial,attributes\nSN-1,\nSN-2,a={long}\nSN-2,b=2\nSN-3,=\n");
        let mut feed = feed(&text, Source::File(Box::new(tokens)));
        let block = feed.block("devices.csv").unwrap().unwrap();
        let kept = std::fs::read_to_string(&path).unwrap();
        let serials: Vec<_> = block.rows.iter().map(|row| row.serial.as_str()).collect();
        assert_eq!(serials, ["SN-1", "SN-2"], "the row that could be sent is the first of SN-2");
        for row in &block.rows {
            let token = row.token.as_ref().unwrap().expose();
            assert!(kept.contains(&format!("{},{token}\n", row.serial)), "{kept}");
            assert_eq!(row.origin, Origin::MadeNow);
        }
        assert_eq!(kept.lines().count(), 3, "{kept}");
        assert_eq!(block.refusals.len(), 2);
    }

    #[test]
    fn a_large_file_comes_in_blocks_whose_lines_can_be_sent_again_one_by_one() {
        let rows: String = (0..ROWS_MAX + 5).map(|n| format!("SN-{n},{TOKEN}\n")).collect();
        let text = format!("serial,token\n{rows}");
        let mut feed = feed(&text, Source::Nowhere);
        let first = feed.block("devices.csv").unwrap().unwrap();
        assert_eq!(first.rows.len(), ROWS_MAX);
        let line = |n: usize| format!("{{\"serialNumber\":\"SN-{n}\",\"token\":\"{TOKEN}\"}}\n");
        let again = first.body_of(&[0, 7, ROWS_MAX - 1]);
        assert_eq!(again, line(0) + &line(7) + &line(ROWS_MAX - 1));
        assert_eq!(first.body_of(&[]), "");
        let second = feed.block("devices.csv").unwrap().unwrap();
        assert_eq!((second.rows.len(), second.bytes_read), (5, text.len() as u64));
        assert!(feed.block("devices.csv").unwrap().is_none());
    }

    #[test]
    fn an_empty_file_is_no_import_and_a_header_alone_is_one_of_nothing() {
        assert!(Feed::begin(&b"\n\n"[..], "devices.csv").is_err());
        assert_eq!(all(&mut feed("serial\n", Source::Nowhere)).0.len(), 0);
    }
}
