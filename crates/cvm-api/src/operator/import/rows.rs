//! A line as a registration, or why it is none.

use cvm_core::id::SerialNumber;
use cvm_core::provisioning::NewDevice;
use cvm_wire::operator::NewDevice as WireNewDevice;

use super::lines::{LINE_BYTES_MAX, TooLong};
use crate::json;
use crate::operator::devices::new_device;
use crate::problem::{Refused, Slug};

/// One line.
pub(super) struct Row {
    pub(super) number: u64,
    /// The serial number, if the line has one.
    pub(super) serial_number: Option<SerialNumber>,
    pub(super) new: Result<NewDevice, Refused>,
}

impl Row {
    /// The row on a line; where it brings no token and there is a `key`, its token is derived from
    /// that.
    pub(super) fn read(number: u64, line: Result<&[u8], TooLong>, key: Option<&str>) -> Self {
        let wire = line.map_err(|TooLong| too_long()).and_then(|line| {
            json::parse::<WireNewDevice>(line).map_err(|refused| {
                // It is the only line that JSON knows of.
                let detail = refused.detail.replacen("line 1, ", "", 1);
                Refused::invalid(detail)
            })
        });
        match wire {
            Ok(wire) => {
                let serial_number = wire.serial_number.parse().ok();
                Self { number, serial_number, new: new_device(wire, key) }
            }
            Err(refused) => Self { number, serial_number: None, new: Err(refused) },
        }
    }
}

fn too_long() -> Refused {
    Refused::new(Slug::TooLarge, format!("a line has at most {LINE_BYTES_MAX} bytes"))
}
