//! What an operator may say of a device.

use std::collections::BTreeMap;

use crate::id::Name;
use crate::provisioning::OperatorRefusal;

/// AWS IoT Core: a thing has at most 50 attributes with its type, values of at most 800 characters.
const ATTRIBUTES_MAX: usize = 50;
const ATTRIBUTE_VALUE_CHARACTERS_MAX: usize = 800;

/// That they are not too many, and each fits.
pub(super) fn check(attributes: &BTreeMap<String, String>) -> Result<(), OperatorRefusal> {
    let invalid = |what| Err(OperatorRefusal::Invalid(format!("attributes: {what}")));
    if attributes.len() > ATTRIBUTES_MAX {
        return invalid(format!("at most {ATTRIBUTES_MAX}"));
    }
    for (name, value) in attributes {
        if let Err(error) = name.parse::<Name>() {
            return invalid(format!("a name: {error}"));
        }
        let is_short = value.chars().count() <= ATTRIBUTE_VALUE_CHARACTERS_MAX;
        if !is_short || value.chars().any(char::is_control) {
            let most = ATTRIBUTE_VALUE_CHARACTERS_MAX;
            return invalid(format!("a value has at most {most} visible characters"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_fine(count: usize, name: usize, value: &str) -> bool {
        let one = |at: usize| (format!("{at:0>name$}"), value.to_owned());
        check(&(0..count).map(one).collect()).is_ok()
    }

    #[test]
    fn attributes_fit_at_their_edge_and_not_past_it() {
        assert!(is_fine(50, 3, "v"));
        assert!(!is_fine(51, 3, "v"));
        assert!(is_fine(1, 128, "v"));
        assert!(!is_fine(1, 129, "v"));
        assert!(is_fine(1, 3, &"é".repeat(800)));
        assert!(!is_fine(1, 3, &"é".repeat(801)));
        assert!(!is_fine(1, 3, "\0"));
        assert!(check(&BTreeMap::from([(String::new(), String::new())])).is_err());
    }
}
