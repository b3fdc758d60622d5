//! The answer to a new token is lost, and the operator says it again.

use super::operator::assert_refused;
use super::*;

const TOKEN: &str = "a token that the operator brings";

#[test]
fn the_same_again_changes_nothing_until_that_token_is_burnt() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        let serial = operator.serial("SN");
        let hand = Hand::new(&environment, &serial);
        let (first, key) = (operator.add(&serial), hand.key());
        let give = |token| operator.bring_token(&serial, Fate::Keep, Some(token));
        let given = give(TOKEN).unwrap();
        assert_eq!(given.get("token"), None, "it is not told to who brought it");
        assert_eq!(give(TOKEN).unwrap()["version"], given["version"]);
        let held = hand.enroll(TOKEN, &key);
        give(TOKEN).unwrap();
        assert_eq!(standing(&environment, &serial), "issued, used: unconfirmed", "still so");
        // Burnt by a later word, or by a first use: for ever.
        assert_refused(&give(&first), "token-reused");
        assert_eq!(said(&hand.confirm(&held)), yes());
        assert_refused(&give(TOKEN), "token-reused");
        for _ in 0..5 {
            operator.new_token(&serial, Fate::Keep);
        }
        assert_refused(&give(TOKEN), "token-reused");
        assert_refused(&give(&first), "token-reused");
        assert_eq!(said(&hand.vend(&first, &key)), no(403, "access-denied"));
    }
}

#[test]
fn every_word_is_in_the_journal_with_who_said_it() {
    let environment = Environment::start(&[]).unwrap();
    let create = ["admin", "token", "create", "night-shift", "--role", "owner", "--out", "shift"];
    let who = environment.succeed(&[&create[..], &["--output", "json"]].concat()).unwrap();
    let who: Value = serde_json::from_str(&who).unwrap();
    let who = format!("operator {}", who["id"].as_str().unwrap());
    for operator in Operator::with(&environment, "shift") {
        let serial = operator.serial("SN");
        let hand = Hand::new(&environment, &serial);
        let held = hand.enroll(&operator.add(&serial), &hand.key());
        operator.new_token(&serial, Fate::Keep);
        operator.disable(&serial).unwrap();
        operator.enable(&serial).unwrap();
        operator.revoke(&held.id, "keyCompromise").unwrap();
        operator.delete(&serial).unwrap();
        let journal = environment.operate("GET", "/v1/journal?limit=1000", None).unwrap();
        let journal = journal.json().unwrap();
        let rows = journal["items"].as_array().unwrap().iter();
        let said: Vec<(&str, &str)> = rows
            .filter(|row| row["serialNumber"] == serial.as_str() && row["actor"] == who.as_str())
            .map(|row| (row["kind"].as_str().unwrap(), row["detail"].as_str().unwrap()))
            .collect();
        let kinds: Vec<&str> = said.iter().map(|(kind, _)| *kind).collect();
        let words = [
            "device-registered",
            "certificate-revoked",
            "token-given",
            "device-disabled",
            "device-enabled",
            "certificate-revoked",
            "device-deleted",
        ];
        assert_eq!(kinds, words, "{said:?}");
        assert_eq!([said[1].1, said[5].1], ["superseded", "keyCompromise"]);
    }
}
