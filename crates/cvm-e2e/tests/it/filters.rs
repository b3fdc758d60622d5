//! `cvm device list` with a filter, over the real binary.

use cvm_e2e::{Environment, Key};
use serde_json::{Value, json};

fn list(environment: &Environment, filter: &[&str]) -> Value {
    let command = [&["device", "list", "--output", "json"], filter].concat();
    serde_json::from_str(&environment.succeed(&command).unwrap()).unwrap()
}

fn serials(page: &Value) -> Value {
    page["items"].as_array().unwrap().iter().map(|item| item["serialNumber"].clone()).collect()
}

fn confirm(environment: &Environment, serial: &str) {
    let token = environment.device_add(serial).unwrap();
    let key = Key::new().unwrap();
    let vended = environment.vend(serial, &token, &key.csr().unwrap()).unwrap();
    let client = environment.certificate_client(&vended.text("certificate"), &key).unwrap();
    let confirmed = client.request("POST", "/v1/certificates/confirm", &[], None).unwrap();
    assert_eq!(confirmed.status, 204);
}

#[test]
fn devices_are_listed_by_status_and_by_expiry_a_page_at_a_time() {
    let settings = [("issuance.lifetime", "10d"), ("issuance.overlap", "1d")];
    let environment = Environment::start(&settings).unwrap();
    for serial in ["SN-2", "SN-1"] {
        confirm(&environment, serial);
    }
    let token = environment.device_add("SN-3").unwrap();
    environment.vend("SN-3", &token, &Key::new().unwrap().csr().unwrap()).unwrap();
    for serial in ["SN-4", "SN-5", "SN-6"] {
        environment.device_add(serial).unwrap();
    }
    environment.succeed(&["device", "disable", "SN-1"]).unwrap();
    environment.succeed(&["device", "delete", "SN-6"]).unwrap();

    for (filter, mut wanted) in [
        (["--status", "registered"], json!(["SN-4", "SN-5"])),
        (["--status", "issued"], json!(["SN-3"])),
        (["--status", "deleted"], json!(["SN-6"])),
        (["--status", "disabled"], json!(["SN-1"])),
        (["--status", "active"], json!(["SN-1", "SN-2"])),
        (["--expiring", "11d"], json!(["SN-1", "SN-2"])),
        (["--expiring", "9d"], json!([])),
    ] {
        let page = list(&environment, &filter);
        let mut found = serials(&page);
        for list in [&mut wanted, &mut found] {
            list.as_array_mut().unwrap().sort_by_key(ToString::to_string);
        }
        assert_eq!((found, &page["cursor"]), (wanted, &Value::Null), "{filter:?}");
    }

    let first = list(&environment, &["--expiring", "11d", "--limit", "1"]);
    let cursor = first["cursor"].as_str().unwrap();
    let rest = list(&environment, &["--expiring", "11d", "--limit", "1", "--cursor", cursor]);
    assert_ne!(serials(&first), serials(&rest));
    assert_eq!(rest["cursor"], Value::Null);

    for wrong in [
        &["--status", "active", "--expiring", "9d"][..],
        &["--status", "nowhere"],
        &["--expiring", "soon"],
    ] {
        let command = [&["device", "list"], wrong].concat();
        assert_eq!(environment.run(&command).unwrap().0, 2, "{wrong:?}");
    }
    let (code, _, stderr) =
        environment.run(&["device", "list", "--status", "active", "--cursor", "SN-1"]).unwrap();
    assert_eq!(code, 1);
    assert!(stderr.contains("cursor"), "{stderr}");
}
