//! Labels for the production line: one SVG a device with its QR code and its serial number.
//!
//! A label is put in place whole, and written only where it is not there already, so that an import
//! that is run again makes what is missing.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

use cvm_agent::client::encode_segment;
use cvm_core::id::SerialNumber;
use cvm_core::token::Token;
use qrcode::types::QrError;
use qrcode::{Color, EcLevel, QrCode};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};

/// ISO/IEC 18004, section 6.3.8: four modules on all sides.
const QUIET: usize = 4;
/// What a label's text has below the code, in modules.
const TEXT_HEIGHT: usize = 6;
const LETTER_HEIGHT_MAX: f64 = 4.0;
/// A letter of a monospaced face is about so wide for its height.
const LETTER_WIDTH: f64 = 0.62;
/// Prints at half a millimetre a module.
const MODULE_MILLIMETRES: f64 = 0.5;

/// What a label's code says; the first two fields of a request for a certificate.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    serial_number: &'a str,
    token: &'a str,
}

/// The directory of the labels.
pub(super) struct Labels {
    directory: PathBuf,
}

impl Labels {
    /// Makes the directory (0700) if it is not there.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(super) fn open(directory: &Path) -> Result<Self, Failure> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| Failure::file("making", directory, &error))?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// Writes the labels of all devices that come, and returns when they will survive a power cut.
    ///
    /// # Errors
    /// The first label that cannot be written.
    pub(super) fn work(&self, devices: &Receiver<(SerialNumber, Token)>) -> Result<(), Failure> {
        for (serial, token) in devices {
            self.write(&serial, &token)?;
        }
        let synced = File::open(&self.directory).and_then(|it| Ok(rustix::fs::syncfs(it)?));
        synced.map_err(|error| Failure::file("syncing", &self.directory, &error))
    }

    fn write(&self, serial: &SerialNumber, token: &Token) -> Result<(), Failure> {
        let svg = label(serial, token)?;
        // Percent-encoding: no two serial numbers meet, and none leaves the directory.
        let name = format!("{}.svg", encode_segment(serial.as_str()));
        let path = self.directory.join(&name);
        let is_there = std::fs::read(&path).map(Zeroizing::new);
        if is_there.is_ok_and(|there| *there == svg.as_bytes()) {
            return Ok(());
        }
        let beside = self.directory.join(format!(".{name}.new"));
        put(&beside, svg.as_bytes())
            .and_then(|()| std::fs::rename(&beside, &path))
            .map_err(|error| Failure::file("writing", &path, &error))
    }
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

fn label(serial: &SerialNumber, token: &Token) -> Result<Zeroizing<String>, Failure> {
    let fault = |what: String| Failure::new(Exit::Failed, format!("the label of {serial}: {what}"));
    let content = Content { serial_number: serial.as_str(), token: token.expose() };
    let content = serde_json::to_string(&content).map_err(|error| fault(error.to_string()))?;
    let content = Zeroizing::new(content);
    // Scanners guess at the encoding of anything but ASCII; only the longest tokens leave no choice.
    let code = encode(&ascii(&content)).or_else(|_| encode(&content));
    let code = code.map_err(|error| fault(error.to_string()))?;
    Ok(draw(&code, serial.as_str()))
}

fn encode(content: &str) -> Result<QrCode, QrError> {
    QrCode::with_error_correction_level(content, EcLevel::M)
}

/// The same JSON with every other character as an escape (RFC 8259, section 7).
fn ascii(json: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(json.len() * 3));
    for character in json.chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "numbers of modules are small")]
fn draw(code: &QrCode, serial: &str) -> Zeroizing<String> {
    let width = code.width() + 2 * QUIET;
    let height = width + TEXT_HEIGHT;
    let room = (width - 2) as f64;
    let letters = (room / (LETTER_WIDTH * serial.len() as f64)).min(LETTER_HEIGHT_MAX);
    let modules = Zeroizing::new(dark_runs(code));
    // A serial number has no character that XML would read as its own.
    Zeroizing::new(format!(
        concat!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{}mm" height="{}mm" "##,
            r##"viewBox="0 0 {width} {height}" shape-rendering="crispEdges">"##,
            "\n<title>{serial}</title>\n",
            r##"<rect width="{width}" height="{height}" fill="#fff"/>"##,
            "\n<path d=\"{modules}\" fill=\"#000\"/>\n",
            r##"<text x="{middle}" y="{baseline}" text-anchor="middle" font-family="monospace" "##,
            r##"font-size="{letters:.2}">{serial}</text>"##,
            "\n</svg>\n"
        ),
        width as f64 * MODULE_MILLIMETRES,
        height as f64 * MODULE_MILLIMETRES,
        width = width,
        height = height,
        serial = serial,
        modules = *modules,
        middle = width as f64 / 2.0,
        baseline = width + TEXT_HEIGHT / 2,
        letters = letters,
    ))
}

/// The dark modules as a path: row by row, a rectangle for each run of them.
fn dark_runs(code: &QrCode) -> String {
    let (side, colours) = (code.width(), code.to_colors());
    let mut path = String::with_capacity(side * side * 8);
    for (y, row) in colours.chunks(side).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|left, right| left == right) {
            if run.first() == Some(&Color::Dark) {
                let length = run.len();
                path.push_str(&format!("M{} {}h{length}v1h-{length}z", x + QUIET, y + QUIET));
            }
            x += run.len();
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn token() -> Token {
        Token::brought(Zeroizing::new(String::from("my own token 0123"))).unwrap()
    }

    #[test]
    fn no_two_serial_numbers_share_a_label_and_none_leaves_the_directory() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("labels");
        let labels = Labels::open(&directory).unwrap();
        let serials = ["..", ".", "a/b", "a:b", "a%2Fb", "../up", "SN-1", "sn-1", "a+b"];
        let fit = serials.into_iter().filter_map(|text| text.parse::<SerialNumber>().ok());
        let fit: Vec<SerialNumber> = fit.collect();
        assert_eq!(fit.len(), serials.len() - 1, "a percent sign is none of theirs");
        for serial in &fit {
            labels.write(serial, &token()).unwrap();
        }
        let files = std::fs::read_dir(&directory).unwrap();
        let modes =
            files.map(|file| file.unwrap().metadata().unwrap().permissions().mode() & 0o777);
        assert_eq!(modes.collect::<Vec<_>>(), vec![0o600; fit.len()]);
        let mode = std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_label_that_is_torn_is_written_again_and_one_that_is_whole_is_not() {
        let scratch = tempfile::tempdir().unwrap();
        let labels = Labels::open(scratch.path()).unwrap();
        let serial: SerialNumber = "SN-1".parse().unwrap();
        let path = scratch.path().join("SN-1.svg");
        labels.write(&serial, &token()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let written = std::fs::metadata(&path).unwrap().modified().unwrap();
        labels.write(&serial, &token()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), written);
        std::fs::write(&path, &whole[..100]).unwrap();
        std::fs::write(scratch.path().join(".SN-1.svg.new"), "left over").unwrap();
        labels.write(&serial, &token()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_ascii_is_escaped_as_json_has_it() {
        let json = "{\"a\":\"\u{fc}\u{1F511}\\n\"}";
        assert_eq!(*ascii(json), r#"{"a":"\u00fc\ud83d\udd11\n"}"#);
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&ascii(json)), read(json));
    }

    #[test]
    fn the_longest_serial_number_and_token_have_a_label() {
        let serial: SerialNumber = "A".repeat(64).parse().unwrap();
        let longest = Token::brought(Zeroizing::new("\u{1F511}".repeat(256))).unwrap();
        let svg = label(&serial, &longest).unwrap();
        assert!(svg.contains(&format!(">{serial}</text>")));
    }
}
