//! Queries: `limit` and `cursor` of lists, and the filters that a list names itself.
//!
//! What a list does not know is refused, not ignored: an ignored filter is a wrong answer.

use cvm_core::page::{PAGE_ITEMS_MAX, PageRequest};

use crate::problem::Refused;
use crate::router::percent_decoded;

/// How many items a page has where nobody says.
const PAGE_ITEMS: u32 = 100;

/// Longer than any key of any list.
const CURSOR_BYTES_MAX: usize = 256;

/// The values of `names`, each at most once; everything else is refused.
pub(super) fn parameters<const N: usize>(
    query: Option<&str>,
    names: [&str; N],
) -> Result<[Option<String>; N], Refused> {
    let mut values = [const { None }; N];
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    for pair in pairs {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = names.iter().zip(&mut values).find(|(known, _)| **known == name);
        match (place, percent_decoded(value)) {
            (Some((_, place @ None)), Some(value)) => *place = Some(value),
            (_, _) => {
                let known = names.join("`, `");
                let detail = format!("the query takes each of `{known}` once, percent-encoded");
                return Err(Refused::invalid(detail));
            }
        }
    }
    Ok(values)
}

/// Which page of a list is asked for.
pub(super) fn page(query: Option<&str>) -> Result<PageRequest, Refused> {
    let [limit, cursor] = parameters(query, ["limit", "cursor"])?;
    page_of(limit, cursor)
}

/// The same, of values that were read beside others.
pub(super) fn page_of(
    limit: Option<String>,
    cursor: Option<String>,
) -> Result<PageRequest, Refused> {
    let limit = match limit.map(|text| text.parse()) {
        None => PAGE_ITEMS,
        Some(Ok(limit @ 1..=PAGE_ITEMS_MAX)) => limit,
        Some(_) => return Err(Refused::invalid(format!("limit is 1 to {PAGE_ITEMS_MAX}"))),
    };
    if cursor.as_ref().is_some_and(|cursor| cursor.len() > CURSOR_BYTES_MAX) {
        return Err(wrong_cursor());
    }
    Ok(PageRequest { after: cursor.filter(|cursor| !cursor.is_empty()), limit })
}

/// What is no cursor of this list.
pub(super) fn wrong_cursor() -> Refused {
    Refused::invalid("send as cursor what the page before of the same list gave")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Option<(u32, Option<String>)> {
        page(Some(query)).ok().map(|page| (page.limit, page.after))
    }

    #[test]
    fn a_limit_is_1_to_1000_and_100_where_nobody_says() {
        assert_eq!(asked(""), Some((100, None)));
        assert_eq!(asked("limit=1"), Some((1, None)));
        assert_eq!(asked("limit=1000"), Some((1_000, None)));
        for bad in ["limit=0", "limit=1001", "limit=", "limit=-1", "limit=x", "limit=1&limit=1"] {
            assert_eq!(asked(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_cursor_is_taken_as_it_was_given() {
        assert_eq!(asked("cursor=a%2Fb%3Ac+d"), Some((100, Some(String::from("a/b:c+d")))));
        assert_eq!(asked("cursor=&limit=5"), Some((5, None)));
        assert_eq!(
            asked(&format!("cursor={}", "a".repeat(256))).map(|(limit, _)| limit),
            Some(100)
        );
        assert_eq!(asked(&format!("cursor={}", "a".repeat(257))), None);
        assert_eq!(asked("cursor=%FF"), None);
    }

    #[test]
    fn what_a_list_does_not_know_is_refused_without_repeating_it() {
        let refused = page(Some("s3cret=s3cret")).unwrap_err();
        assert!(!refused.detail.contains("s3cret") && refused.detail.contains("cursor"));
    }
}
