//! The records of a CSV file (RFC 4180), each with the line of the file on which it begins.
//!
//! Memory is bounded whatever the file holds: a record that is too long is read over, and one that
//! does not seem to end stops the reading.

use std::io::{self, ErrorKind, Read};

use csv_core::{ReadRecordResult, Reader};

/// As much as the server takes in a line.
const RECORD_BYTES_MAX: usize = 64 * 1024;
const FIELDS_MAX: usize = 256;
/// A longer record is taken for a quote that is not closed.
const READ_OVER_BYTES_MAX: usize = 1024 * 1024;
const BUFFER_BYTES: usize = 64 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A CSV file that is being read.
pub(super) struct Table<R> {
    source: R,
    core: Reader,
    buffer: Vec<u8>,
    /// What of the buffer is still to be read.
    rest: std::ops::Range<usize>,
    bytes_read: u64,
    line: u64,
    /// Of the record that is being read.
    quotes: u64,
    content: Vec<u8>,
    ends: Vec<usize>,
}

/// A record.
#[derive(Clone, Copy)]
pub(super) struct Record<'t> {
    /// The line on which it begins, from 1.
    pub(super) line: u64,
    /// Whether it was too long to be kept; then it has no fields.
    pub(super) is_too_long: bool,
    content: &'t [u8],
    ends: &'t [usize],
}

impl<'t> Record<'t> {
    /// How many fields it has.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The field at `index`, from 0.
    pub(super) fn field(&self, index: usize) -> Option<&'t [u8]> {
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.content.get(start..*self.ends.get(index)?)
    }
}

impl<R: Read> Table<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            core: Reader::new(),
            buffer: vec![0; BUFFER_BYTES],
            rest: 0..0,
            bytes_read: 0,
            line: 1,
            quotes: 0,
            content: vec![0; RECORD_BYTES_MAX],
            ends: vec![0; FIELDS_MAX],
        }
    }

    /// How many bytes of the file lie behind the last record.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The next record that is not empty.
    ///
    /// # Errors
    /// Where the file cannot be read, a record does not end, or the file ends within a quote: it was
    /// cut off, and so perhaps was the serial number.
    pub(super) fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        if self.bytes_read == 0 {
            self.skip_byte_order_mark()?;
        }
        self.skip_line_ends()?;
        let (line, began) = (self.line, self.bytes_read);
        let (mut written, mut fields, mut is_too_long) = (0, 0, false);
        self.quotes = 0;
        loop {
            if self.rest.is_empty() {
                self.fill()?;
            }
            let input = self.buffer.get(self.rest.clone()).unwrap_or_default();
            let (result, taken, wrote, ended) = self.core.read_record(
                input,
                self.content.get_mut(written..).unwrap_or_default(),
                self.ends.get_mut(fields..).unwrap_or_default(),
            );
            (written, fields) = (written + wrote, fields + ended);
            let is_at_end = input.is_empty();
            self.advance(taken);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    (written, fields, is_too_long) = (0, 0, true);
                }
                ReadRecordResult::Record if is_at_end && self.quotes % 2 == 1 => {
                    let what = format!(
                        "the file ends within a quote, in the row that begins on line {line}: was \
                         it cut off?"
                    );
                    return Err(io::Error::new(ErrorKind::InvalidData, what));
                }
                ReadRecordResult::Record => {
                    let ends = self.ends.get(..fields).filter(|_| !is_too_long);
                    let ends = ends.unwrap_or_default();
                    return Ok(Some(Record { line, is_too_long, content: &self.content, ends }));
                }
                ReadRecordResult::End => return Ok(None),
            }
            if self.bytes_read - began > READ_OVER_BYTES_MAX as u64 {
                let what = format!(
                    "the row that begins on line {line} does not end within {} MiB: is a quote \
                     not closed?",
                    READ_OVER_BYTES_MAX / (1024 * 1024)
                );
                return Err(io::Error::new(ErrorKind::InvalidData, what));
            }
        }
    }

    fn skip_byte_order_mark(&mut self) -> io::Result<()> {
        let mut first = Vec::with_capacity(BYTE_ORDER_MARK.len());
        self.source.by_ref().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut first)?;
        let is_mark = first == BYTE_ORDER_MARK;
        if let Some(start) = self.buffer.get_mut(..first.len()) {
            start.copy_from_slice(&first);
        }
        self.rest = if is_mark { 0..0 } else { 0..first.len() };
        self.bytes_read += if is_mark { first.len() as u64 } else { 0 };
        Ok(())
    }

    /// Empty lines are no records, and the next one begins behind them.
    fn skip_line_ends(&mut self) -> io::Result<()> {
        loop {
            if self.rest.is_empty() {
                self.fill()?;
            }
            let input = self.buffer.get(self.rest.clone()).unwrap_or_default();
            let ends = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let is_all = ends == input.len() && ends > 0;
            self.advance(ends);
            if !is_all {
                return Ok(());
            }
        }
    }

    fn advance(&mut self, taken: usize) {
        let end = self.rest.start + taken;
        let passed = self.buffer.get(self.rest.start..end).unwrap_or_default();
        for byte in passed {
            self.line += u64::from(*byte == b'\n');
            self.quotes += u64::from(*byte == b'"');
        }
        self.bytes_read += taken as u64;
        self.rest.start = end;
    }

    fn fill(&mut self) -> io::Result<()> {
        loop {
            match self.source.read(&mut self.buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => {
                    self.rest = 0..read?;
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, as a slow pipe might.
    struct Drop<'t>(&'t [u8]);

    impl Read for Drop<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            buffer[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn records(source: impl Read) -> io::Result<Vec<(u64, Vec<String>)>> {
        let mut table = Table::new(source);
        let mut records = Vec::new();
        while let Some(record) = table.next()? {
            let fields = (0..record.len()).map(|index| record.field(index).unwrap());
            let fields = fields.map(|field| String::from_utf8_lossy(field).into_owned()).collect();
            records.push((record.line, fields));
        }
        Ok(records)
    }

    fn check(text: &str, expected: &[(u64, &[&str])]) {
        let expected: Vec<(u64, Vec<String>)> = expected
            .iter()
            .map(|(line, fields)| (*line, fields.iter().map(|it| (*it).to_owned()).collect()))
            .collect();
        assert_eq!(records(text.as_bytes()).unwrap(), expected, "{text:?}");
        assert_eq!(records(Drop(text.as_bytes())).unwrap(), expected, "{text:?}, byte by byte");
    }

    #[test]
    fn each_record_knows_the_line_it_begins_on() {
        check("a,b\n1,2\n3,4", &[(1, &["a", "b"]), (2, &["1", "2"]), (3, &["3", "4"])]);
        check("a\r\n1\r\n2\r\n", &[(1, &["a"]), (2, &["1"]), (3, &["2"])]);
        check("a\n\n\n1\n\r\n2\n", &[(1, &["a"]), (4, &["1"]), (6, &["2"])]);
        check("a\n\"1\n1\"\n2\n", &[(1, &["a"]), (2, &["1\n1"]), (4, &["2"])]);
        check("a\r\n\"1\r\n1\"\r\n2", &[(1, &["a"]), (2, &["1\r\n1"]), (4, &["2"])]);
        check("\n\na\n", &[(3, &["a"])]);
    }

    #[test]
    fn quotes_commas_and_a_byte_order_mark_are_read_as_written() {
        check("\u{feff}a,b\n", &[(1, &["a", "b"])]);
        check("\"a\"\"b\",\"c,d\",\n", &[(1, &["a\"b", "c,d", ""])]);
        check("", &[]);
        check("\u{feff}", &[]);
        check("\n\r\n", &[]);
        check("a", &[(1, &["a"])]);
    }

    #[test]
    fn a_record_that_is_too_long_is_read_over() {
        let long = "x".repeat(RECORD_BYTES_MAX + 1);
        let text = format!("a\n{long}\n\"{long}\"\n{}\n1\n", ",".repeat(FIELDS_MAX));
        let mut table = Table::new(text.as_bytes());
        assert!(!table.next().unwrap().unwrap().is_too_long);
        for line in 2..=4 {
            let record = table.next().unwrap().unwrap();
            assert_eq!((record.line, record.is_too_long, record.len()), (line, true, 0));
        }
        let last = table.next().unwrap().unwrap();
        assert_eq!((last.line, last.field(0)), (5, Some(&b"1"[..])));
        assert!(table.next().unwrap().is_none());
        assert_eq!(table.bytes_read(), text.len() as u64);
    }

    #[test]
    fn a_quote_that_is_not_closed_does_not_swallow_the_rest_of_a_large_file() {
        let text = format!("a\n1\n\"2\n{}", "3\n".repeat(READ_OVER_BYTES_MAX));
        let error = records(text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("line 3"), "{error}");
    }

    #[test]
    fn a_file_that_was_cut_off_within_a_quote_gives_no_shorter_record() {
        for text in ["a\n\"SN-1", "a\n\"SN-1\n", "a\nSN-1,\"x\"\"", "a\n1\n\""] {
            for error in [records(text.as_bytes()), records(Drop(text.as_bytes()))] {
                let error = error.unwrap_err();
                assert!(error.to_string().contains("cut off"), "{text:?}: {error}");
            }
        }
        check("a\n\"SN-1\"", &[(1, &["a"]), (2, &["SN-1"])]);
    }
}
