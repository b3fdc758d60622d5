//! Lists of devices beside the one of all: what they are filtered by, and their order.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{Device, DeviceState};
use crate::certificate::CertificateState;
use crate::id::SerialNumber;
use crate::time::Timestamp;

/// Which devices a list has, judged by what is stored of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceFilter {
    /// Those that an operator disabled, whatever their state.
    Disabled,
    /// Active ones whose current certificate ends within these seconds, both included.
    Expiring {
        /// The first of them.
        from: Timestamp,
        /// The last of them.
        until: Timestamp,
    },
    /// Those in this state.
    State(DeviceState),
}

impl DeviceFilter {
    /// Whether the list has the device.
    #[must_use]
    pub fn has(&self, device: &Device) -> bool {
        match *self {
            Self::Disabled => device.disabled,
            Self::Expiring { from, until } => {
                device.state() == DeviceState::Active
                    && (from..=until).contains(&device.listed_at())
            }
            Self::State(state) => device.state() == state,
        }
    }

    /// Where the list has the device: disabled ones are in order of their serial number, all others
    /// of [`Device::listed_at`] first.
    #[must_use]
    pub fn place_of(&self, device: &Device) -> Place {
        let at = match self {
            Self::Disabled => Timestamp(0),
            Self::Expiring { .. } | Self::State(_) => device.listed_at(),
        };
        Place { at, serial_number: device.serial_number.clone() }
    }
}

impl FromStr for DeviceFilter {
    type Err = DeviceFilterError;

    /// A state's name, or `disabled`.
    fn from_str(text: &str) -> Result<Self, DeviceFilterError> {
        let state = DeviceState::ALL.into_iter().find(|state| state.as_str() == text);
        match state {
            Some(state) => Ok(Self::State(state)),
            None if text == "disabled" => Ok(Self::Disabled),
            None => Err(DeviceFilterError),
        }
    }
}

/// Not what devices are filtered by.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("expected registered, issued, active, deleted or disabled")]
pub struct DeviceFilterError;

/// Where a list has a device; the key of a filtered list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// What the list is in order of.
    pub at: Timestamp,
    /// And of this, byte by byte, where that is the same.
    pub serial_number: SerialNumber,
}

impl fmt::Display for Place {
    /// As a cursor: the seconds, a colon, the serial number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.at.0, self.serial_number)
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let (at, serial) = text.split_once(':').ok_or(PlaceError)?;
        let at = Timestamp(at.parse().map_err(|_| PlaceError)?);
        Ok(Self { at, serial_number: serial.parse().map_err(|_| PlaceError)? })
    }
}

/// Not a place in a filtered list.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("expected what the page before gave as cursor")]
pub struct PlaceError;

impl Device {
    /// Where it stands in the list of its state: a registered one by when it was registered, a
    /// deleted one by when it was deleted, and the others by the last second of what makes them
    /// issued or active, which is when time alone takes them off the list.
    #[must_use]
    pub fn listed_at(&self) -> Timestamp {
        let ends = |state| self.live_in(state).map(|live| live.not_after);
        let at = match self.state() {
            DeviceState::Active => ends(CertificateState::Current),
            DeviceState::Deleted => self.deleted_at,
            DeviceState::Issued => ends(CertificateState::Unconfirmed),
            DeviceState::Registered => None,
        };
        at.unwrap_or(self.created_at)
    }

    /// Whether time alone has ended what makes it issued or active, and nobody has settled it yet.
    #[must_use]
    pub fn is_outlived(&self, now: Timestamp) -> bool {
        match self.state() {
            DeviceState::Active | DeviceState::Issued => self.listed_at() < now,
            DeviceState::Deleted | DeviceState::Registered => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for text in ["0:SN-1", "-5:a:b", "1800000000:SN_1"] {
            assert_eq!(text.parse::<Place>().map(|place| place.to_string()), Ok(text.to_owned()));
        }
        for bad in ["", "SN-1", "1:", ":SN-1", "x:SN-1", "99999999999999999999:SN-1", "1:a b"] {
            assert_eq!(bad.parse::<Place>(), Err(PlaceError), "{bad}");
        }
    }

    #[test]
    fn every_state_is_a_filter_and_so_is_disabled() {
        for state in DeviceState::ALL {
            assert_eq!(state.as_str().parse(), Ok(DeviceFilter::State(state)));
        }
        assert_eq!("disabled".parse(), Ok(DeviceFilter::Disabled));
        for bad in ["", "Active", "expired", "active "] {
            assert_eq!(bad.parse::<DeviceFilter>(), Err(DeviceFilterError), "{bad}");
        }
    }
}
