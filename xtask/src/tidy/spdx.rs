//! Whether an SPDX licence expression is satisfied by a list of allowed licences.
//!
//! The grammar is that of SPDX 2.3, annex D: WITH binds before AND, AND before OR. A slash, as old
//! manifests have it, is an OR. As in cargo-deny, a licence WITH an exception must be allowed whole.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};

pub(super) fn is_satisfied(expression: &str, allowed: &BTreeSet<String>) -> Result<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { rest: &tokens, allowed };
    let satisfied = reader.any()?;
    ensure!(reader.rest.is_empty(), "`{}` is left over", reader.rest.join(" "));
    Ok(satisfied)
}

struct Reader<'a> {
    rest: &'a [&'a str],
    allowed: &'a BTreeSet<String>,
}

impl<'a> Reader<'a> {
    /// `all OR all …`
    fn any(&mut self) -> Result<bool> {
        let mut satisfied = self.all()?;
        while self.takes("OR") {
            satisfied |= self.all()?;
        }
        Ok(satisfied)
    }

    /// `one AND one …`
    fn all(&mut self) -> Result<bool> {
        let mut satisfied = self.one()?;
        while self.takes("AND") {
            satisfied &= self.one()?;
        }
        Ok(satisfied)
    }

    /// `( any )`, a licence, or a licence WITH an exception.
    fn one(&mut self) -> Result<bool> {
        if self.takes("(") {
            let satisfied = self.any()?;
            ensure!(self.takes(")"), "a parenthesis is not closed");
            return Ok(satisfied);
        }
        let licence = self.name()?;
        if self.takes("WITH") {
            let exception = self.name()?;
            return Ok(self.allowed.contains(&format!("{licence} WITH {exception}")));
        }
        Ok(self.allowed.contains(licence))
    }

    fn name(&mut self) -> Result<&'a str> {
        match self.rest.split_first() {
            Some((name, rest)) if !["(", ")", "AND", "OR", "WITH"].contains(name) => {
                self.rest = rest;
                Ok(name)
            }
            Some((token, _)) => bail!("`{token}` stands where a name is expected"),
            None => bail!("a name is missing at the end"),
        }
    }

    fn takes(&mut self, token: &str) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == token => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluate(expression: &str) -> Option<bool> {
        let names = ["MIT", "ISC", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"];
        let allowed = names.map(String::from).into();
        is_satisfied(expression, &allowed).ok()
    }

    #[test]
    fn a_licence_is_allowed_or_not() {
        assert_eq!(evaluate("MIT"), Some(true));
        assert_eq!(evaluate("GPL-3.0-only"), Some(false));
    }

    #[test]
    fn one_side_of_or_is_enough_and_and_needs_both() {
        assert_eq!(evaluate("GPL-2.0-only OR MIT"), Some(true));
        assert_eq!(evaluate("Unlicense/MIT"), Some(true));
        assert_eq!(evaluate("Unlicense / BSL-1.0"), Some(false));
        assert_eq!(evaluate("MIT AND ISC"), Some(true));
        assert_eq!(evaluate("MIT AND OpenSSL"), Some(false));
    }

    #[test]
    fn and_binds_before_or_and_parentheses_before_both() {
        assert_eq!(evaluate("MIT OR ISC AND OpenSSL"), Some(true));
        assert_eq!(evaluate("(MIT OR ISC) AND OpenSSL"), Some(false));
        assert_eq!(evaluate("ISC AND (Apache-2.0 OR OpenSSL) AND (MIT)"), Some(true));
    }

    #[test]
    fn an_exception_is_allowed_by_name() {
        assert_eq!(evaluate("Apache-2.0 WITH LLVM-exception"), Some(true));
        assert_eq!(evaluate("MIT WITH LLVM-exception"), Some(false));
        assert_eq!(evaluate("MIT WITH Unknown OR ISC"), Some(true));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for broken in ["", "OR", "MIT OR", "MIT ISC", "(MIT", "MIT)", "MIT WITH", "AND MIT"] {
            assert_eq!(evaluate(broken), None, "{broken:?}");
        }
    }
}
