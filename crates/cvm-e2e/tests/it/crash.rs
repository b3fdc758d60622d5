//! Answers that are lost and servers that are killed: whoever asks again gets there, with one
//! certificate, and nothing is given away that is not on record.

use std::collections::BTreeMap;
use std::time::Duration;

use cvm_e2e::{Environment, Key};
use serde_json::json;

const DEVICES: usize = 24;
const KILLS: usize = 6;

struct Device {
    serial: String,
    token: String,
    csr: String,
}

#[test]
fn dropped_answers_and_kills_lose_nothing_and_double_nothing() {
    let mut environment = Environment::start(&[]).unwrap();
    let devices: Vec<Device> = (0..DEVICES)
        .map(|number| {
            let serial = format!("SN-{number}");
            let token = environment.device_add(&serial).unwrap();
            Device { serial, token, csr: Key::new().unwrap().csr().unwrap() }
        })
        .collect();
    let mut held: BTreeMap<String, String> = BTreeMap::new();
    for kill in 0..KILLS {
        let answered = std::thread::scope(|scope| {
            let environment = &environment;
            let threads: Vec<_> = devices
                .iter()
                .enumerate()
                .map(|(number, device)| scope.spawn(move || ask(environment, device, number)))
                .collect();
            // The kill falls somewhere among the requests, a little later each time.
            std::thread::sleep(Duration::from_millis(5 + 12 * u64::try_from(kill).unwrap()));
            let pid = environment.pid().unwrap().to_string();
            let _killed = std::process::Command::new("kill").args(["-9", &pid]).status();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        environment.kill().unwrap();
        environment.serve().unwrap();
        for (serial, certificate) in answered.into_iter().flatten() {
            let before = held.insert(serial.clone(), certificate.clone());
            assert!(before.is_none_or(|before| before == certificate), "{serial} got another one");
        }
    }
    for device in &devices {
        let answer = environment.vend(&device.serial, &device.token, &device.csr).unwrap();
        assert!([200, 201].contains(&answer.status), "{}: {answer:?}", device.serial);
        let certificate = answer.text("certificate");
        let before = held.insert(device.serial.clone(), certificate.clone());
        assert!(before.is_none_or(|before| before == certificate), "{}", device.serial);
        let path = format!("/v1/devices/{}", device.serial);
        let shown = environment.operate("GET", &path, None).unwrap().json().unwrap();
        assert_eq!(shown["certificates"].as_array().unwrap().len(), 1, "{shown}");
        let id = shown["certificates"][0]["certificateId"].as_str().unwrap();
        let path = format!("/v1/certificates/{id}");
        let stored = environment.operate("GET", &path, None).unwrap();
        assert_eq!(stored.text("certificate").trim(), certificate.trim(), "what left is on record");
    }
}

/// Every third device hangs up before its answer comes; who is answered returns what it got.
fn ask(environment: &Environment, device: &Device, number: usize) -> Option<(String, String)> {
    let body = json!({"serialNumber": device.serial, "token": device.token, "csr": device.csr});
    if number.is_multiple_of(3) {
        let client = environment.device_client().ok()?;
        let _killed = client.send_and_hang_up("POST", "/v1/certificates", &body);
        return None;
    }
    let answer = environment.vend(&device.serial, &device.token, &device.csr).ok()?;
    let certificate = answer.text("certificate");
    [200, 201].contains(&answer.status).then(|| (device.serial.clone(), certificate))
}

#[test]
fn a_polite_end_finishes_what_is_in_flight_and_takes_the_ready_file_away() {
    let mut environment = Environment::start(&[]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let csr = Key::new().unwrap().csr().unwrap();
    assert_eq!(environment.vend("SN-1", &token, &csr).unwrap().status, 201);
    let ready = environment.data().join("ready.json");
    assert!(ready.exists());
    assert_eq!(environment.terminate().unwrap(), Some(0), "{}", environment.log());
    assert!(!ready.exists());
    environment.serve().unwrap();
    assert_eq!(environment.vend("SN-1", &token, &csr).unwrap().status, 200);
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    use std::io::Write;
    let mut environment = Environment::start(&[("limits.request_seconds", "60")]).unwrap();
    let client = environment.device_client().unwrap();
    let mut unfinished = client.connect().unwrap();
    let head = "POST /v1/certificates HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n";
    unfinished.write_all(format!("{head}Content-Length: 9\r\n\r\n{{").as_bytes()).unwrap();
    unfinished.flush().unwrap();
    let pid = environment.pid().unwrap().to_string();
    let terminate =
        || std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success();
    assert!(terminate());
    cvm_e2e::wait_for("the server to drain", Duration::from_secs(20), || {
        Ok(environment.log().contains("a second signal ends at once").then_some(()))
    })
    .unwrap();
    let began = std::time::Instant::now();
    assert_eq!(environment.terminate().unwrap(), Some(1), "{}", environment.log());
    assert!(began.elapsed() < Duration::from_secs(20), "not after the drain's bound");
}
