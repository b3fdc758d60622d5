//! The server is killed right after it acknowledged an operator's word: the word holds.

use super::*;

#[test]
fn an_acknowledged_word_survives_the_kill_that_follows_it() {
    let mut environment = Environment::start(&[]).unwrap();
    for (at, word) in ["new-token", "revoke", "disable", "delete", "enable"].iter().enumerate() {
        let serial = format!("SN-{word}");
        // By turns, with either client.
        let operators = |environment| Operator::both(environment).into_iter().nth(at % 2).unwrap();
        let (token, key, held, next) = {
            let operator = operators(&environment);
            let hand = Hand::new(&environment, &serial);
            let (token, key) = (operator.add(&serial), hand.key());
            let held = hand.enroll(&token, &key);
            let mut next = String::new();
            match *word {
                "new-token" => next = operator.new_token(&serial, Fate::Keep),
                "revoke" => drop(operator.revoke(&held.id, "keyCompromise").unwrap()),
                "disable" => drop(operator.disable(&serial).unwrap()),
                "delete" => drop(operator.delete(&serial).unwrap()),
                _ => {
                    operator.disable(&serial).unwrap();
                    operator.enable(&serial).unwrap();
                }
            }
            (token, key.csr, held, (next, hand.leave()))
        };
        let (next, _files) = next;
        environment.kill().unwrap();
        environment.serve().unwrap();

        let hand = Hand::new(&environment, &serial);
        let confirmed = said(&hand.confirm(&held));
        let vended = environment.vend(&serial, &token, &key).unwrap().status;
        let (standing, confirms, vends) = match *word {
            "new-token" => ("registered, unused: revoked", no(403, "certificate-revoked"), 403),
            "revoke" => ("registered, burnt: revoked", no(403, "certificate-revoked"), 403),
            "disable" => {
                ("issued disabled, used: unconfirmed", no(403, "certificate-inactive"), 403)
            }
            "delete" => ("deleted, burnt: revoked", no(403, "certificate-revoked"), 403),
            _ => ("active, burnt: current", yes(), 200),
        };
        assert_eq!((confirmed, vended), (confirms, vends), "{word}");
        assert_eq!(super::standing(&environment, &serial), standing, "{word}");
        match *word {
            "new-token" => drop(hand.enroll_and_confirm(&next, &hand.key())),
            "revoke" => {
                let [operator, _] = Operator::both(&environment);
                let next = operator.new_token(&serial, Fate::Keep);
                let refused = environment.vend(&serial, &next, &key).unwrap();
                assert_eq!(said(&refused), no(400, "key-not-acceptable"));
            }
            _ => {}
        }
    }
}
