//! Whoever is connected when an operator speaks is refused from then on: kept alive, multiplexed,
//! or resumed.

use super::*;

fn check_refused(answers: &[Response], slug: &str) {
    for answer in answers {
        assert_eq!(said(answer), no(403, slug));
    }
}

#[test]
fn a_revoked_certificate_is_refused_on_the_connection_that_it_opened() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        for http in [Http::One, Http::Two] {
            let serial = operator.serial(&format!("SN-{http:?}"));
            let hand = Hand::new(&environment, &serial);
            let key = hand.key();
            let held = hand.enroll(&operator.add(&serial), &key);
            let (before, after) = hand.around(
                &held,
                http,
                &[Ask::CONFIRM, Ask::renew(&key)],
                || drop(operator.revoke(&held.id, "superseded").unwrap()),
                &[Ask::CONFIRM, Ask::renew(&key), Ask::CONFIRM, Ask::TRUST],
            );
            assert_eq!([before[0].status, before[1].status], [204, 201]);
            let (trust, refused) = after.split_last().unwrap();
            check_refused(refused, "certificate-revoked");
            assert_eq!(trust.status, 200, "routes without a certificate ignore the one shown");
            wait_for_alarm(&environment, &serial, "revoked-certificate-used");
        }
    }
}

#[test]
fn what_was_begun_before_the_word_is_decided_after_it_beside_other_streams() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        let serial = operator.serial("SN");
        let hand = Hand::new(&environment, &serial);
        let held = hand.enroll(&operator.add(&serial), &hand.key());
        let renew = Ask::renew(&hand.key());
        let revoke = || drop(operator.revoke(&held.id, "unspecified").unwrap());
        let (renewed, confirmed) = hand.multiplexed(&held, (&renew, &Ask::CONFIRM), revoke);
        assert_eq!(said(&confirmed), yes());
        assert_eq!(said(&renewed), no(403, "certificate-revoked"));
        assert_eq!(standing(&environment, &serial), "registered, burnt: revoked");
    }
}

#[test]
fn a_disabled_and_a_deleted_device_are_refused_on_their_connections() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        for http in [Http::One, Http::Two] {
            let serial = operator.serial(&format!("SN-{http:?}"));
            let hand = Hand::new(&environment, &serial);
            let key = hand.key();
            let held = hand.enroll(&operator.add(&serial), &key);
            let asks = || [Ask::CONFIRM, Ask::renew(&key)];
            let disable = || drop(operator.disable(&serial).unwrap());
            let (_, after) = hand.around(&held, http, &[Ask::CONFIRM], disable, &asks());
            check_refused(&after, "certificate-inactive");
            let enable = || drop(operator.enable(&serial).unwrap());
            let (before, after) =
                hand.around(&held, http, &[Ask::CONFIRM], enable, &[Ask::CONFIRM]);
            check_refused(&before, "certificate-inactive");
            assert_eq!(said(&after[0]), yes());
            let delete = || drop(operator.delete(&serial).unwrap());
            let (before, after) = hand.around(&held, http, &[Ask::CONFIRM], delete, &asks());
            assert_eq!(said(&before[0]), yes());
            check_refused(&after, "certificate-revoked");
        }
    }
}

#[test]
fn a_resumed_session_vouches_for_nothing() {
    let environment = Environment::start(&[]).unwrap();
    let [operator, _] = Operator::both(&environment);
    for version in ["-tls1_3", "-tls1_2"] {
        let serial = format!("SN{version}");
        let hand = Hand::new(&environment, &serial);
        let held = hand.enroll(&operator.add(&serial), &hand.key());
        let session = hand.file(b"");
        let confirm = |words: &[&str]| {
            let said = hand.confirm_by_openssl(&held, &[&[version], words].concat());
            let status = said.split("HTTP/1.1 ").nth(1).and_then(|rest| rest.lines().next());
            (said.contains("\nReused, TLSv1"), status.unwrap_or_default().to_owned(), said)
        };
        let (_, status, said) = confirm(&["-sess_out", &session]);
        assert_eq!(status, "204 No Content", "{said}");
        let (is_resumed, status, said) = confirm(&["-sess_in", &session, "-sess_out", &session]);
        assert!(is_resumed, "{version} has to be resumed for this to show anything: {said}");
        assert_eq!(status, "204 No Content", "{said}");
        operator.revoke(&held.id, "unspecified").unwrap();
        let (is_resumed, status, said) = confirm(&["-sess_in", &session]);
        assert!(is_resumed, "{said}");
        assert_eq!(status, "403 Forbidden", "{said}");
        assert!(said.contains("/problems/certificate-revoked"), "{said}");
    }
}
