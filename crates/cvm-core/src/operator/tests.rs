//! What each role may do, cell by cell, and how long a token lives.

use std::collections::HashSet;

use super::*;

/// The contract's sentence on roles: viewer, registrar, operator, security, owner.
const MATRIX: [(Permission, [bool; 5]); 12] = [
    (Permission::Read, [true, true, true, true, true]),
    (Permission::DeviceRegister, [false, true, true, false, true]),
    (Permission::TokenRenewUnissued, [false, true, true, false, true]),
    (Permission::TokenRenew, [false, false, true, false, true]),
    (Permission::DeviceManage, [false, false, true, false, true]),
    (Permission::PolicyPut, [false, false, true, false, true]),
    (Permission::ReviewDecide, [false, false, true, false, true]),
    (Permission::CertificateRevoke, [false, false, false, true, true]),
    (Permission::JournalRead, [false, false, false, true, true]),
    (Permission::AdminTokenManage, [false, false, false, true, true]),
    (Permission::OwnerTokenManage, [false, false, false, false, true]),
    (Permission::ClockAccept, [false, false, false, false, true]),
];

#[test]
fn every_role_may_what_the_contract_says_and_nothing_else() {
    for (permission, row) in MATRIX {
        for (role, may) in Role::ALL.into_iter().zip(row) {
            assert_eq!(role.may(permission), may, "{role} {permission:?}");
            let operator = Operator { id: String::from("op-1"), role };
            assert_eq!(operator.require(permission).is_ok(), may, "{role} {permission:?}");
        }
    }
    let said: HashSet<_> = MATRIX.into_iter().map(|(permission, _)| permission).collect();
    assert_eq!(said, HashSet::from(Permission::ALL), "every permission has its row, once");
}

#[test]
fn whoever_has_all_of_tokens_has_the_lesser_right_too() {
    for role in Role::ALL {
        assert!(!role.may(Permission::TokenRenew) || role.may(Permission::TokenRenewUnissued));
        assert!(!role.may(Permission::OwnerTokenManage) || role.may(Permission::AdminTokenManage));
    }
}

#[test]
fn nobody_handles_tokens_of_a_role_above() {
    for role in Role::ALL {
        let expected = match role {
            Role::Owner => vec![Role::Owner],
            Role::Operator | Role::Registrar | Role::Security | Role::Viewer => {
                vec![Role::Security, Role::Owner]
            }
        };
        assert_eq!(role.handled_with().roles(), expected, "{role}");
    }
}

#[test]
fn a_refusal_names_the_roles_that_may() {
    let told = RoleRequired(Permission::DeviceRegister).to_string();
    assert!(told.ends_with("the role registrar or operator or owner"), "{told}");
}

#[test]
fn a_role_is_read_as_it_is_written_and_nothing_else_is() {
    for role in Role::ALL {
        assert_eq!(role.as_str().parse(), Ok(role));
    }
    for bad in ["", "Owner", "admin", "viewer "] {
        assert_eq!(bad.parse::<Role>(), Err(RoleError), "{bad}");
    }
}

#[test]
fn a_token_lives_through_its_last_second_or_until_it_is_revoked() {
    let live = AdminToken {
        id: String::from("op-1"),
        name: "ops".parse().unwrap(),
        role: Role::Viewer,
        mac: TokenMac([0; 32]),
        created_at: Timestamp(10),
        expires_at: Some(Timestamp(20)),
        revoked_at: None,
    };
    assert_eq!(live.state_at(Timestamp(20)), AdminTokenState::Live);
    assert_eq!(live.state_at(Timestamp(21)), AdminTokenState::Expired);
    let endless = AdminToken { expires_at: None, ..live.clone() };
    assert!(endless.is_live_at(Timestamp(i64::MAX)));
    let revoked = AdminToken { revoked_at: Some(Timestamp(15)), ..live };
    assert_eq!(revoked.state_at(Timestamp(12)), AdminTokenState::Revoked);
    assert!(!revoked.is_live_at(Timestamp(30)));
}
