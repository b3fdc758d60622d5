//! A device is decommissioned; its tombstone stays, and another life may begin on it.

use super::operator::{assert_refused, token_of};
use super::*;

/// The names of the platform's things, as its tables have them.
fn things(environment: &Environment) -> Vec<String> {
    let read = "import sqlite3, sys\n\
                things = 'SELECT coalesce(thing_name, serial_number) FROM device'\n\
                things += ' WHERE thing_at IS NOT NULL UNION SELECT name FROM left_thing'\n\
                for row in sqlite3.connect(sys.argv[1]).execute(things):\n\
                \x20   print(row[0])";
    let database = environment.data().join("cvm.db").to_str().unwrap().to_owned();
    let printed = hand::succeed("python3", &["-c", read, &database]);
    printed.lines().map(str::to_owned).collect()
}

#[test]
fn everything_that_was_live_ends_and_the_tombstone_keeps_its_names() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        let [serial, other] = ["SN", "OTHER"].map(|name| operator.serial(name));
        let hand = Hand::new(&environment, &serial);
        let [key_1, key_2] = [hand.key(), hand.key()];
        let token = operator.add(&serial);
        let first = hand.enroll_and_confirm(&token, &key_1);
        let second = hand.hold(&hand.renew(&first, &key_2), &key_2);
        assert!(things(&environment).contains(&serial));
        assert_eq!(operator.delete(&serial).unwrap()["state"], "deleted");
        assert_eq!(operator.delete(&serial).unwrap()["state"], "deleted", "nothing to do");
        assert!(!things(&environment).contains(&serial), "{:?}", things(&environment));
        assert_eq!(standing(&environment, &serial), "deleted, burnt: revoked revoked");
        for held in [&first, &second] {
            assert_eq!(certificate(&environment, held)["reason"], "cessationOfOperation");
            assert_eq!(said(&hand.confirm(held)), no(403, "certificate-revoked"));
        }
        let refused = hand.vend(&token, &key_1);
        assert_eq!(said(&refused), no(403, "access-denied"));
        explained(&environment, &serial, &refused)
            .refused_at("device")
            .because("device-deleted")
            .cure("cvm device add --again");
        for told in [
            operator.disable(&serial),
            operator.enable(&serial),
            operator.try_new_token(&serial, Fate::Keep),
            operator.try_add(&serial, Add::default()),
            operator.try_add(&serial, Add { token: Some(&token), ..Add::default() }),
        ] {
            assert_refused(&told, "device-deleted");
        }
        let taken = Add { thing_name: Some(&serial), ..Add::default() };
        assert_refused(&operator.try_add(&other, taken), "thing-name-taken");
        // What is ended can still be revoked, for a reason that says more.
        let told = operator.revoke(&first.id, "keyCompromise").unwrap();
        assert_eq!(told["reason"], "keyCompromise");
    }
}

#[test]
fn another_life_needs_to_be_asked_for_and_another_token() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        let serial = operator.serial("SN");
        let hand = Hand::new(&environment, &serial);
        let [key_1, key_2] = [hand.key(), hand.key()];
        let tokens = [operator.add(&serial), operator.new_token(&serial, Fate::Keep)];
        let held = hand.enroll_and_confirm(&tokens[1], &key_1);
        operator.delete(&serial).unwrap();
        for token in &tokens {
            let reused = Add { token: Some(token), again: true, ..Add::default() };
            assert_refused(&operator.try_add(&serial, reused), "token-reused");
        }
        let again = Add { again: true, ..Add::default() };
        let device = operator.try_add(&serial, again).unwrap();
        assert_eq!(standing(&environment, &serial), "registered, unused: revoked");
        for token in &tokens {
            assert_eq!(said(&hand.vend(token, &key_2)), no(403, "access-denied"));
        }
        let new = hand.enroll_and_confirm(&token_of(&device), &key_2);
        assert_eq!(standing(&environment, &serial), "active, burnt: revoked current");
        assert_eq!(said(&hand.confirm(&held)), no(403, "certificate-revoked"));
        // A word on the former life's certificate says nothing of this one's.
        operator.revoke(&held.id, "unspecified").unwrap();
        assert_eq!(said(&hand.confirm(&new)), yes());
    }
}

#[test]
fn keys_are_released_and_a_thing_may_stay() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        let [serial, other] = ["SN", "OTHER"].map(|name| operator.serial(name));
        let [hand, others] = [&serial, &other].map(|serial| Hand::new(&environment, serial));
        let key = hand.key();
        hand.enroll_and_confirm(&operator.add(&serial), &key);
        let token = operator.add(&other);
        assert_eq!(said(&others.vend(&token, &key)), no(400, "key-not-acceptable"));
        let path = format!("/v1/devices/{serial}?keepThing=perhaps");
        let refused = environment.operate("DELETE", &path, None).unwrap();
        assert_eq!(said(&refused), no(400, "invalid-request"));
        operator.delete_and_keep_thing(&serial).unwrap();
        assert!(things(&environment).contains(&serial));
        // The board went into another housing, with its key.
        others.enroll_and_confirm(&token, &key);
        let again = Add { again: true, ..Add::default() };
        let token = token_of(&operator.try_add(&serial, again).unwrap());
        assert_eq!(said(&hand.vend(&token, &key)), no(400, "key-not-acceptable"));
        hand.enroll_and_confirm(&token, &hand.key());
    }
}
