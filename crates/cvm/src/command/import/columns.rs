//! From a row to the device it asks for: which column is which, and what is bad about a row.
//!
//! Nothing of a row is repeated in what is said of it: columns that are mixed up hold tokens.

use std::collections::BTreeMap;

use cvm_core::id::{Name, SerialNumber, ThingName};
use cvm_core::time::Timestamp;
use cvm_core::token::Token;
use cvm_wire::operator::{NewDevice, each_name_once};
use zeroize::Zeroizing;

use super::table::Record;

const SERIAL: &str = "serial";
const THING_NAME: &str = "thing_name";
const POLICY: &str = "policy";
const PROFILE: &str = "profile";
const ATTRIBUTES: &str = "attributes";
const TOKEN: &str = "token";
const TOKEN_EXPIRES: &str = "token_expires";
const NAMES: [&str; 7] = [SERIAL, THING_NAME, POLICY, PROFILE, ATTRIBUTES, TOKEN, TOKEN_EXPIRES];

/// Where the columns are.
#[derive(Debug)]
pub(super) struct Columns {
    names: Vec<&'static str>,
}

/// A device as a row asks for it.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Its serial number.
    pub(super) serial: SerialNumber,
    /// The token that the row brings.
    pub(super) token: Option<Token>,
    /// What is sent, without its token.
    pub(super) device: NewDevice,
}

impl Columns {
    /// Reads the first line of the file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(header: Record<'_>) -> Result<Self, String> {
        if header.is_too_long {
            return Err(String::from("it is too long for names of columns"));
        }
        let mut names = Vec::with_capacity(header.len());
        for index in 0..header.len() {
            let cell = header.field(index).unwrap_or_default();
            let cell = std::str::from_utf8(cell)
                .map_err(|_| String::from("it is not UTF-8: save the file as UTF-8"))?;
            let Some(name) = NAMES.into_iter().find(|name| *name == cell) else {
                return Err(unknown(index, cell));
            };
            if names.contains(&name) {
                return Err(format!("it names the column {name} twice"));
            }
            names.push(name);
        }
        if names.contains(&SERIAL) {
            Ok(Self { names })
        } else {
            Err(format!("it names no column {SERIAL}"))
        }
    }

    /// Whether rows may bring their tokens.
    pub(super) fn has_token(&self) -> bool {
        self.names.contains(&TOKEN)
    }

    /// What a row asks for.
    ///
    /// # Errors
    /// What is bad about it.
    pub(super) fn device(&self, row: Record<'_>) -> Result<Wanted, String> {
        if row.is_too_long {
            return Err(String::from("the row is longer than 64 KiB"));
        }
        if row.len() != self.names.len() {
            let (has, named) = (row.len(), self.names.len());
            return Err(format!("the row has {has} fields where the header names {named} columns"));
        }
        let mut device = NewDevice::default();
        let (mut serial, mut token) = (None, None);
        for (index, name) in self.names.iter().copied().enumerate() {
            let cell = row.field(index).unwrap_or_default();
            let cell = std::str::from_utf8(cell)
                .map_err(|_| format!("{name} is not UTF-8: save the file as UTF-8"))?;
            if cell.is_empty() {
                continue;
            }
            match name {
                SERIAL => serial = Some(parsed::<SerialNumber>(name, cell)?),
                THING_NAME => device.thing_name = checked::<ThingName>(name, cell)?,
                POLICY => device.policy = checked::<Name>(name, cell)?,
                PROFILE => device.profile = checked::<Name>(name, cell)?,
                ATTRIBUTES => device.attributes = attributes(cell)?,
                TOKEN_EXPIRES => device.token_expires = checked::<Timestamp>(name, cell)?,
                _ => token = Some(brought(cell)?),
            }
        }
        let serial = serial.ok_or_else(|| format!("{SERIAL} is empty"))?;
        if device.thing_name.is_none() && ThingName::for_serial(&serial).is_err() {
            let what = "the thing name made from it is longer than 128 characters: choose one";
            return Err(format!("{SERIAL}: {what} in a column {THING_NAME}"));
        }
        device.serial_number = serial.as_str().to_owned();
        Ok(Wanted { serial, token, device })
    }
}

/// What has as many characters as a token may be one, in a file without a header.
fn unknown(index: usize, cell: &str) -> String {
    const TOKEN_CHARACTERS_MIN: usize = 16;
    let shown = match cell.chars().count() < TOKEN_CHARACTERS_MIN {
        true => format!("it names a column {cell:?}"),
        false => format!("its field {} is the name of no column", index + 1),
    };
    let hint = if cell.contains([';', '\t']) { "; columns are separated by commas" } else { "" };
    format!("{shown}; there are {}{hint}", NAMES.join(", "))
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    name: &str,
    cell: &str,
) -> Result<T, String> {
    cell.parse().map_err(|error| format!("{name}: {error}"))
}

/// The text itself, if it is what it should be.
fn checked<T: std::str::FromStr<Err: std::fmt::Display>>(
    name: &str,
    cell: &str,
) -> Result<Option<String>, String> {
    parsed::<T>(name, cell).map(|_| Some(cell.to_owned()))
}

fn brought(cell: &str) -> Result<Token, String> {
    Token::brought(Zeroizing::new(cell.to_owned())).map_err(|error| format!("{TOKEN}: {error}"))
}

fn attributes(cell: &str) -> Result<BTreeMap<String, String>, String> {
    if cell.trim_start().starts_with('{') {
        let mut json = serde_json::Deserializer::from_str(cell);
        let read = each_name_once(&mut json).and_then(|read| json.end().map(|()| read));
        return read.map_err(|_| {
            format!("{ATTRIBUTES}: not a JSON object with a text for each name, and each name once")
        });
    }
    let mut attributes = BTreeMap::new();
    for pair in cell.split(';').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("{ATTRIBUTES}: expected k=v;k=v or a JSON object"))?;
        if name.parse::<Name>().is_err() {
            return Err(format!(
                "{ATTRIBUTES}: a name is 1 to 128 of letters, digits and _+=,.@:-"
            ));
        }
        if attributes.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(format!("{ATTRIBUTES}: the same name twice"));
        }
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::super::table::Table;
    use super::*;

    fn columns(header: &str) -> Result<Columns, String> {
        Columns::read(Table::new(header.as_bytes()).next().unwrap().unwrap())
    }

    fn device(header: &str, row: &[u8]) -> Result<Wanted, String> {
        columns(header).unwrap().device(Table::new(row).next().unwrap().unwrap())
    }

    fn refused(header: &str, row: &[u8], expected: &str) {
        let cause = device(header, row).unwrap_err();
        assert!(cause.contains(expected), "{cause}");
    }

    #[test]
    fn columns_stand_in_any_order_and_serial_alone_is_needed() {
        assert!(!columns("serial").unwrap().has_token());
        assert!(columns("token,serial").unwrap().has_token());
        let check = |header: &str, expected: &str| {
            let fault = columns(header).unwrap_err();
            assert!(fault.contains(expected), "{fault}");
        };
        check("thing_name", "no column serial");
        check("serial,colour", "\"colour\"");
        check("serial,Token", "\"Token\"");
        check("serial,token,serial", "serial twice");
        check("serial;token", "separated by commas");
        check("serial,", "\"\"");
        check("serial,a name that is too long", "field 2 is the name of no column");
    }

    #[test]
    fn a_file_without_a_header_does_not_have_its_first_token_told() {
        for row in ["my own token 0123,SN-1", "token;serial;my own token 0123"] {
            let fault = columns(row).unwrap_err();
            assert!(!fault.contains("my own"), "{fault}");
        }
    }

    #[test]
    fn a_row_is_read_by_its_columns_and_empty_cells_ask_for_defaults() {
        let header = "policy,serial,attributes,token,thing_name,profile,token_expires";
        let row = b"p-1,SN/1,a=1;b=x=y;c=,my own token 0123,thing,line-2,2030-01-31T00:00:00Z";
        let Wanted { serial, token, device } = device(header, row).unwrap();
        assert_eq!(serial.as_str(), "SN/1");
        assert_eq!(token.unwrap().expose(), "my own token 0123");
        assert_eq!(device.serial_number, "SN/1");
        assert_eq!(device.thing_name.as_deref(), Some("thing"));
        assert_eq!(device.policy.as_deref(), Some("p-1"));
        assert_eq!(device.profile.as_deref(), Some("line-2"));
        assert_eq!(device.token_expires.as_deref(), Some("2030-01-31T00:00:00Z"));
        let pairs: Vec<_> =
            device.attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("b", "x=y"), ("c", "")]);
        assert!(device.token.is_none());
        let bare = self::device(header, b",SN-1,,,,,").unwrap();
        assert!(bare.token.is_none() && bare.device.policy.is_none());
        assert!(bare.device.attributes.is_empty());
    }

    #[test]
    fn attributes_may_be_a_json_object() {
        let wanted =
            device("serial,attributes", br#"SN-1,"{""a"": ""1;2"", ""b"": """"}""#).unwrap();
        assert_eq!(wanted.device.attributes["a"], "1;2");
        assert_eq!(wanted.device.attributes["b"], "");
    }

    #[test]
    fn what_is_bad_about_a_row_is_said_and_the_row_is_not_repeated() {
        refused("serial,policy", b"SN-1", "1 fields where the header names 2 columns");
        refused("serial", b"SN-1,more", "2 fields where the header names 1 columns");
        refused("serial,policy", b",p", "serial is empty");
        refused("serial", b"\xff", "serial is not UTF-8");
        refused("serial", b"SN 1", "letters, digits");
        refused("serial", "/".repeat(64).as_bytes(), "thing_name");
        refused("serial,thing_name", b"SN-1,a/b", "thing_name");
        refused("serial,policy", b"SN-1,a b", "policy");
        refused("serial,token_expires", b"SN-1,30d", "token_expires");
        refused("serial,attributes", b"SN-1,colour", "k=v;k=v");
        refused("serial,attributes", b"SN-1,a=1;a=2", "the same name twice");
        refused("serial,attributes", br#"SN-1,"{""a"": ""1"", ""a"": ""2""}""#, "each name once");
        refused("serial,attributes", br#"SN-1,"{""a"": ""1""} more""#, "JSON object");
        refused("serial,attributes", b"SN-1,{1}", "JSON object");
        refused("serial,attributes", br#"SN-1,"{""a"": 1}""#, "a text for each name");
        let secret = "short-secret";
        for row in [format!("SN-1,{secret}"), format!("{secret} !,cvm1-0000000000000000")] {
            let cause = device("serial,token", row.as_bytes()).unwrap_err();
            assert!(!cause.contains(secret) && !cause.contains("cvm1-0000"), "{cause}");
        }
    }
}
