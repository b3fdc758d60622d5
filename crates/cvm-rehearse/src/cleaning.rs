//! Devices of rehearsals that were cut off, and devices that are none of a rehearsal.

use std::sync::Arc;
use std::time::Duration;

use crate::Progress;
use crate::operator::{Failure, Operator};
use crate::plan::{KeyExchange, PREFIX, PROFILE, prefix_of};
use crate::site::Site;
use crate::tls::Tls;

/// As many as a page has.
const PAGE: u32 = 1_000;

/// How long a server that does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Behind every serial number that begins like ours: `~` is in none (protocol, section 1).
const BEHIND: char = '~';

/// Whether the server has a device that is none of a rehearsal's; two small queries.
///
/// # Errors
/// [`Failure`].
pub async fn has_other_devices(site: &Site) -> Result<bool, Failure> {
    let mut operator = operator(site)?;
    let first = operator.page("", 1).await?;
    if first.items.iter().any(|device| !device.serial_number.starts_with(PREFIX)) {
        return Ok(true);
    }
    let behind = operator.page(&format!("{PREFIX}{BEHIND}"), 1).await?;
    Ok(!behind.items.is_empty())
}

/// Deletes the devices of rehearsals, those with this seed or all, and returns how many.
///
/// # Errors
/// [`Failure`]; what was deleted stays deleted.
pub async fn clean(
    site: &Site,
    seed: Option<u64>,
    progress: &dyn Progress,
) -> Result<usize, Failure> {
    let prefix = seed.map_or_else(|| String::from(PREFIX), prefix_of);
    let mut operator = operator(site)?;
    let (mut after, mut deleted) = (Some(prefix.clone()), 0);
    while let Some(from) = after {
        let page = operator.page(&from, PAGE).await?;
        after = page.cursor;
        for device in page.items {
            if !device.serial_number.starts_with(&prefix) {
                return Ok(deleted);
            }
            // Somebody's own device may be called like ours.
            if device.state != "deleted" && device.profile == PROFILE {
                operator.delete(&device.serial_number).await?;
                deleted += 1;
                progress.advanced();
            }
        }
    }
    Ok(deleted)
}

fn operator(site: &Site) -> Result<Operator, Failure> {
    let tls = Arc::new(Tls::new(Arc::clone(&site.roots), KeyExchange::Hybrid)?);
    Ok(Operator::new(site, &tls, PATIENCE))
}
