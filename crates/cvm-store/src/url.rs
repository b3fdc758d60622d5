//! The URL of a store: `sqlite:PATH`, and behind it `?synchronous=off`, for rehearsals only.

use crate::error::OpenError;

/// When a commit is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// Before it is acknowledged.
    Full,
    /// Never. A power cut then takes certificates that devices hold: this is how a rehearsal of power
    /// cuts is shown to notice.
    Off,
}

/// A store's URL, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreUrl<'a> {
    pub(crate) path: &'a str,
    pub(crate) synchronous: Synchronous,
}

impl<'a> StoreUrl<'a> {
    pub(crate) fn parse(url: &'a str) -> Result<Self, OpenError> {
        let refused = || OpenError::Url(scheme_only(url));
        let named = url.strip_prefix("sqlite:").ok_or_else(refused)?;
        let (path, synchronous) = match named.split_once('?') {
            None => (named, Synchronous::Full),
            Some((path, "synchronous=off")) => (path, Synchronous::Off),
            Some(_) => return Err(refused()),
        };
        // `sqlite://cvm.db` would be /cvm.db, which nobody who writes that means.
        let is_path = !path.is_empty()
            && !path.ends_with('/')
            && (!path.starts_with("//") || path.starts_with("///"));
        if is_path { Ok(Self { path, synchronous }) } else { Err(refused()) }
    }
}

/// The URL up to its scheme, as what follows may hold a password.
fn scheme_only(url: &str) -> String {
    match url.split_once(':') {
        Some(("sqlite", _)) | None => url.to_owned(),
        Some((scheme, _)) => format!("{scheme}:…"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_synced_unless_the_url_says_the_one_word_that_turns_it_off() {
        fn parsed(url: &str) -> Option<(&str, Synchronous)> {
            StoreUrl::parse(url).map(|url| (url.path, url.synchronous)).ok()
        }
        assert_eq!(parsed("sqlite:cvm.db"), Some(("cvm.db", Synchronous::Full)));
        assert_eq!(parsed("sqlite:cvm.db?synchronous=off"), Some(("cvm.db", Synchronous::Off)));
        for other in
            ["?", "?synchronous=full", "?synchronous=OFF", "?mode=ro", "?synchronous=off&x"]
        {
            assert_eq!(parsed(&format!("sqlite:cvm.db{other}")), None, "{other}");
        }
        assert_eq!(parsed("sqlite:?synchronous=off"), None);
    }
}
