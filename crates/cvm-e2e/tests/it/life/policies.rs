//! What a used token still obtains, where the profile says otherwise than `same-key`: `never`,
//! `until-confirmed`, `always`. (`approval` has a story of its own.)

use super::*;

/// A server with one profile for each policy, each of its policy's name.
pub(super) fn with_profiles() -> Environment {
    let mut environment = Environment::new(&[]).unwrap();
    environment.init(&["--unsealed"]).unwrap();
    let path = environment.data().join("cvm.toml");
    let mut text = std::fs::read_to_string(&path).unwrap();
    for name in ["never", "until-confirmed", "approval", "always"] {
        text.push_str(&format!("\n[[profile]]\nname = \"{name}\"\nreissue = \"{name}\"\n"));
    }
    text.push_str(
        "\n[[profile]]\nname = \"keys-here\"\nreissue = \"approval\"\nserver_keys = true\n",
    );
    std::fs::write(path, text).unwrap();
    environment.serve().unwrap();
    environment
}

#[test]
fn never_answers_the_same_key_for_a_while_and_no_key_after_its_first_use() {
    let environment = with_profiles();
    let [operator, _] = Operator::both(&environment);
    let hand = Hand::new(&environment, "SN-1");
    let token = operator.add_under("never", "SN-1");
    let [own, other] = [hand.key(), hand.key()];
    let vended = hand.vend(&token, &own);
    let held = hand.hold(&vended, &own);
    let again = hand.vend(&token, &own);
    assert_eq!((again.status, again.text("certificate")), (200, vended.text("certificate")));
    let refused = hand.vend(&token, &other);
    assert_eq!(said(&refused), no(409, "already-issued"));
    explained(&environment, "SN-1", &refused).refused_at("decision").cure("cvm device new-token");
    assert_eq!(said(&hand.confirm(&held)), yes());
    for key in [&own, &other] {
        let refused = hand.vend(&token, key);
        assert_eq!(said(&refused), no(403, "access-denied"));
        explained(&environment, "SN-1", &refused).because("token-burnt-by-confirmation");
        wait_for_alarm(&environment, "SN-1", "burnt-token-shown");
    }
    assert_eq!(hand.renew(&held, &other).status, 201);
    assert_eq!(standing(&environment, "SN-1"), "active, burnt: current candidate");
}

#[test]
fn until_confirmed_lets_the_next_key_take_the_place_of_what_nobody_has_used() {
    let environment = with_profiles();
    let [operator, _] = Operator::both(&environment);
    let hand = Hand::new(&environment, "SN-1");
    let token = operator.add_under("until-confirmed", "SN-1");
    let [key_1, key_2, key_3] = [hand.key(), hand.key(), hand.key()];
    let first = hand.enroll(&token, &key_1);
    let second = hand.enroll(&token, &key_2);
    assert_eq!(standing(&environment, "SN-1"), "issued, used: superseded unconfirmed");
    wait_for_alarm(&environment, "SN-1", "another-key-issued");
    let refused = hand.confirm(&first);
    assert_eq!(said(&refused), no(403, "certificate-superseded"));
    explained(&environment, "SN-1", &refused).refused_at("certificate").cure("newest");
    assert_eq!(hand.vend(&token, &key_2).status, 200);
    assert_eq!(said(&hand.confirm(&second)), yes());
    let refused = hand.vend(&token, &key_3);
    assert_eq!(said(&refused), no(403, "access-denied"));
    explained(&environment, "SN-1", &refused).because("token-burnt-by-confirmation");
    assert_eq!(hand.vend(&token, &key_2).status, 200, "rule 3");
    assert_eq!(standing(&environment, "SN-1"), "active, burnt: superseded current");
}

#[test]
fn always_issues_to_every_key_beside_what_is_in_use_and_serve_warns_of_it() {
    let environment = with_profiles();
    let warned = environment.log();
    let warned = warned.lines().find(|line| line.contains("reissue = \"always\"")).unwrap();
    assert!(warned.contains("WARN") && warned.contains("profile=\"always\""), "{warned}");
    let [operator, _] = Operator::both(&environment);
    let hand = Hand::new(&environment, "SN-1");
    let token = operator.add_under("always", "SN-1");
    let [key_1, key_2, key_3] = [hand.key(), hand.key(), hand.key()];
    let first = hand.enroll(&token, &key_1);
    let second = hand.enroll_and_confirm(&token, &key_2);
    assert_eq!(said(&hand.confirm(&first)), no(403, "certificate-superseded"));
    assert_eq!(standing(&environment, "SN-1"), "active, used: superseded current");
    assert_eq!(hand.vend(&token, &key_2).text("certificateId"), second.id);
    let third = hand.enroll(&token, &key_3);
    assert_eq!(standing(&environment, "SN-1"), "active, used: superseded current candidate");
    assert_eq!(said(&hand.confirm(&second)), yes());
    assert_eq!(said(&hand.confirm(&third)), yes());
    assert_eq!(standing(&environment, "SN-1"), "active, used: superseded retiring current");
    // An operator's word ends this token too.
    operator.revoke(&third.id, "unspecified").unwrap();
    let refused = hand.vend(&token, &hand.key());
    assert_eq!(said(&refused), no(403, "access-denied"));
    explained(&environment, "SN-1", &refused).names("with `revoke`");
}

#[test]
fn serve_warns_of_no_profile_that_is_not_there() {
    let environment = Environment::start(&[]).unwrap();
    assert!(!environment.log().contains("always"), "{}", environment.log());
    let environment = Environment::start(&[("issuance.reissue", "always")]).unwrap();
    assert!(environment.log().contains("profile=\"default\""), "{}", environment.log());
}
