//! Two line stations vend one serial number at once, each for a key of its own.

use std::sync::Barrier;

use super::*;

/// At once, from both stations together.
const REQUESTS: usize = 64;

#[test]
fn one_station_obtains_the_certificate_and_the_other_is_told_and_cured() {
    let environment = Environment::start(&[]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let stations = ["SN-1"; 2].map(|serial| Hand::new(&environment, serial));
    let keys = [stations[0].key(), stations[1].key()];
    let barrier = Barrier::new(REQUESTS);
    let ask = |at: usize| {
        barrier.wait();
        stations[at % 2].vend(&token, &keys[at % 2])
    };
    let answers: Vec<Response> = std::thread::scope(|scope| {
        let ask = &ask;
        let asked: Vec<_> = (0..REQUESTS).map(|at| scope.spawn(move || ask(at))).collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let winner = answers.iter().position(|answer| answer.status == 201).unwrap();
    let (won, lost) = (winner % 2, 1 - winner % 2);
    for (at, answer) in answers.iter().enumerate() {
        match at % 2 {
            _ if at == winner => {}
            station if station == won => {
                assert_eq!(answer.status, 200, "{answer:?}");
                assert_eq!(answer.text("certificate"), answers[winner].text("certificate"));
            }
            _ => assert_eq!(said(answer), no(409, "already-issued"), "{answer:?}"),
        }
    }
    assert_eq!(standing(&environment, "SN-1"), "issued, used: unconfirmed");

    // The device in front of us is at the station that lost.
    let refused = stations[lost].vend(&token, &keys[lost]);
    explained(&environment, "SN-1", &refused)
        .refused_at("decision")
        .cure("`cvm device new-token SN-1`");
    let [operator, _] = Operator::both(&environment);
    let next = operator.new_token("SN-1", Fate::Keep);
    stations[lost].enroll_and_confirm(&next, &keys[lost]);
    assert_eq!(standing(&environment, "SN-1"), "active, burnt: revoked current");
    let other = stations[won].hold(&answers[winner], &keys[won]);
    assert_eq!(said(&stations[won].confirm(&other)), no(403, "certificate-revoked"));
}
