//! Who calls the operator API: `Authorization: Bearer` and nothing else; and what its role may do.
//!
//! No token, an unknown, an expired and a revoked one are one answer. The token is hashed, looked
//! up, and logged nowhere.

use cvm_core::operator::{Operator, Permission, RoleRequired};
use cvm_core::ports::Ports;
use cvm_core::token::Token;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use zeroize::Zeroizing;

use crate::problem::{Refused, Slug};

/// Longer than any token that can be registered.
const TOKEN_CHARACTERS_MAX: usize = 256;

/// Who is behind a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Principal {
    /// An operator, by id and role of the admin token.
    Operator(Operator),
    /// Nobody that this layer knows: a device is for the use case to recognise.
    Stranger,
}

impl Principal {
    /// The operator.
    pub(crate) fn operator(&self) -> Result<&Operator, Refused> {
        match self {
            Self::Operator(operator) => Ok(operator),
            Self::Stranger => Err(unauthenticated()),
        }
    }
}

/// The operator whose live token the request carries, if its role has `permission`.
pub(crate) async fn operator(
    ports: &Ports,
    fields: &HeaderMap,
    permission: Permission,
) -> Result<Principal, Refused> {
    let token = bearer(fields).ok_or_else(unauthenticated)?;
    let mac = ports.secrets.admin_token_mac(&token);
    let found = ports.operators.admin_token_find(&mac).await?;
    let now = ports.clock.read().now;
    let live = found.filter(|known| known.is_live_at(now)).ok_or_else(unauthenticated)?;
    let operator = Operator { id: live.id, role: live.role };
    operator.require(permission)?;
    Ok(Principal::Operator(operator))
}

fn unauthenticated() -> Refused {
    let detail = "send an operator's token that is live as Authorization: Bearer <token>";
    Refused::new(Slug::Unauthenticated, detail)
}

impl From<RoleRequired> for Refused {
    fn from(required: RoleRequired) -> Self {
        Self::new(Slug::RoleRequired, required.to_string())
    }
}

/// RFC 6750 §2.1.
fn bearer(fields: &HeaderMap) -> Option<Token> {
    let mut values = fields.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let is_token = (1..=TOKEN_CHARACTERS_MAX).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    (is_bearer && is_token).then(|| Token::unchecked(Zeroizing::new(token.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_of(values: &[&str]) -> Option<String> {
        let mut fields = HeaderMap::new();
        for value in values {
            fields.append(AUTHORIZATION, value.parse().unwrap());
        }
        bearer(&fields).map(|token| token.expose().to_owned())
    }

    #[test]
    fn one_bearer_token_is_taken_and_nothing_else() {
        assert_eq!(token_of(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(token_of(&["bearer  abc"]).as_deref(), Some("abc"));
        for bad in [&[][..], &["Bearer"], &["Bearer "], &["Basic abc"], &["Bearer a b"], &["abc"]] {
            assert_eq!(token_of(bad), None, "{bad:?}");
        }
        assert_eq!(token_of(&["Bearer abc", "Bearer abc"]), None);
        assert!(token_of(&[&format!("Bearer {}", "a".repeat(256))]).is_some());
        assert!(token_of(&[&format!("Bearer {}", "a".repeat(257))]).is_none());
    }
}
