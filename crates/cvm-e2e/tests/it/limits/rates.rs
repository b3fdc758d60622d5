//! Refusals of an address and certificates of a device: at the edge, past it, and whom it concerns.

use cvm_e2e::{Client, Environment, Key, Response};
use serde_json::json;

use super::{NEIGHBOUR, assert_others_are_served, assert_refused, health, neighbour};

fn vend(client: &Client, serial: &str, token: &str, csr: &str) -> Response {
    let body = json!({"serialNumber": serial, "token": token, "csr": csr});
    client.request("POST", "/v1/certificates", &[], Some(&body)).unwrap()
}

#[test]
fn an_address_is_refused_as_often_as_it_may_and_then_waits_and_others_do_not() {
    let environment = Environment::start(&[("limits.refusals_per_address", "\"5/1h\"")]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let csr = Key::new().unwrap().csr().unwrap();
    let client = environment.device_client().unwrap();
    for _ in 0..5 {
        let answer = vend(&client, "SN-1", "a wrong token of this device", &csr);
        assert_refused(&answer, 403, "access-denied");
    }
    assert_refused(&vend(&client, "SN-1", "a wrong token of this device", &csr), 429, "slow-down");
    let behind_the_same = vend(&client, "SN-1", &token, &csr);
    assert_refused(&behind_the_same, 429, "slow-down");
    assert_eq!(health(&client), 200, "what needs no credential goes on");
    assert_others_are_served(&environment);
    assert_eq!(vend(&neighbour(&environment), "SN-1", &token, &csr).status, 201);
}

#[test]
fn a_trusted_address_is_never_made_to_wait() {
    let trusted = format!("[\"{NEIGHBOUR}\"]");
    let settings =
        [("limits.refusals_per_address", "\"2/1h\""), ("limits.trusted_networks", &*trusted)];
    let environment = Environment::start(&settings).unwrap();
    let csr = Key::new().unwrap().csr().unwrap();
    let status = |client: &Client| vend(client, "SN-9", "no token of any device", &csr).status;
    let statuses = |client: &Client| (0..4).map(|_| status(client)).collect::<Vec<_>>();
    assert_eq!(statuses(&environment.device_client().unwrap()), [403, 403, 429, 429]);
    assert_eq!(statuses(&neighbour(&environment)), [403; 4]);
}

#[test]
fn a_device_asks_as_often_as_it_may_and_then_waits_and_others_do_not() {
    let environment = Environment::start(&[("limits.issues_per_serial", "\"3/1h\"")]).unwrap();
    let (token, other) = (environment.device_add("SN-1"), environment.device_add("SN-2"));
    let (token, other) = (token.unwrap(), other.unwrap());
    let csr = Key::new().unwrap().csr().unwrap();
    let client = environment.device_client().unwrap();
    for _ in 0..5 {
        let answer = vend(&client, "SN-1", "a wrong token of this device", &csr);
        assert_refused(&answer, 403, "access-denied");
    }
    let statuses: Vec<_> = (0..3).map(|_| vend(&client, "SN-1", &token, &csr).status).collect();
    assert_eq!(statuses, [201, 200, 200], "a stranger uses up nothing");
    assert_refused(&vend(&client, "SN-1", &token, &csr), 429, "slow-down");
    let elsewhere = vend(&neighbour(&environment), "SN-1", &token, &csr);
    assert_refused(&elsewhere, 429, "slow-down");
    let csr = Key::new().unwrap().csr().unwrap();
    assert_eq!(vend(&client, "SN-2", &other, &csr).status, 201);
    assert_others_are_served(&environment);
}
