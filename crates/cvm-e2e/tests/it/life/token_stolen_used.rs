//! A token is stolen after its device has used what it obtained: it is worth nothing, and tells.

use super::*;

#[test]
fn the_thief_is_refused_and_heard_and_the_device_works_on() {
    let environment = Environment::start(&[]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let [device, thief] = ["SN-1"; 2].map(|serial| Hand::new(&environment, serial));
    let [own, stolen] = [device.key(), thief.key()];
    let vended = device.vend(&token, &own);
    let held = device.hold(&vended, &own);
    assert_eq!(said(&device.confirm(&held)), yes());

    let refused = thief.vend(&token, &stolen);
    assert_eq!(said(&refused), no(403, "access-denied"));
    explained(&environment, "SN-1", &refused)
        .refused_at("decision")
        .because("token-burnt-by-confirmation")
        .names("is not the current one")
        .cure("the token is in other hands");
    wait_for_alarm(&environment, "SN-1", "burnt-token-shown");
    // Not for a key of the server's either; and who holds the token is told no more than others.
    let without_csr = format!(r#"{{"serialNumber": "SN-1", "token": "{token}"}}"#);
    let no_csr = thief.ask(None, &Ask::vend_with(without_csr));
    let wrong = thief.vend("not the token of this device", &stolen);
    for other in [no_csr, wrong] {
        assert_eq!(said(&other), said(&refused));
        assert_eq!(other.text("detail"), refused.text("detail"));
    }

    assert_eq!(said(&device.confirm(&held)), yes());
    let again = device.vend(&token, &own);
    assert_eq!(again.status, 200, "{again:?}");
    for name in ["certificate", "chain"] {
        assert_eq!(again.text(name), vended.text(name), "{name}");
    }
    assert_eq!(device.renew(&held, &device.key()).status, 201);
    assert_eq!(standing(&environment, "SN-1"), "active, burnt: current candidate");
}
