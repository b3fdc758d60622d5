//! Addresses of listeners: which are off, and that no two are the same.

use std::net::SocketAddr;
use std::str::FromStr;

use super::Reader;

/// Section and key of a listener's address.
pub(super) type Place = (&'static str, &'static str);

/// The address at `place`.
pub(super) fn address(reader: &mut Reader, place: Place, default: &str) -> SocketAddr {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let address: Option<Listen> = reader.text(place.0, place.1, default);
    address.map_or(nowhere, |address| address.0)
}

/// The address at `place`; `None` is off.
pub(super) fn optional(reader: &mut Reader, place: Place, default: &str) -> Option<SocketAddr> {
    let address: Option<OptionalListen> = reader.text(place.0, place.1, default);
    address.and_then(|address| address.0)
}

/// Two listeners have two addresses; port 0 is another one each time.
pub(super) fn refuse_shared(reader: &mut Reader, listeners: &[(Place, Option<SocketAddr>)]) {
    for (index, (place, address)) in listeners.iter().enumerate() {
        let Some(address) = address.filter(|address| address.port() != 0) else { continue };
        let same = listeners.iter().take(index).find(|(_, other)| *other == Some(address));
        if let Some(((section, key), _)) = same {
            let what = format!("[{section}] {key} has this address already: choose another port");
            reader.fault(place.0, place.1, what);
        }
    }
}

/// An address and a port, or nothing.
struct OptionalListen(Option<SocketAddr>);

impl FromStr for OptionalListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let listen = text.parse::<Listen>().map_err(|what| format!("{what}; or \"\" for off"))?;
        Ok(Self(Some(listen.0)))
    }
}

/// An address and a port.
struct Listen(SocketAddr);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| {
            String::from("expected an IP address and a port, such as 127.0.0.1:8443 or [::]:8443")
        })
    }
}
