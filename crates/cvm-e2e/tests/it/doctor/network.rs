//! Who reaches what: addresses, names, certificates that are shown, and those outside.

use cvm_e2e::Receiver;

use super::*;

fn at_rest(settings: &[(&str, &str)]) -> Environment {
    let environment = Environment::new(settings).unwrap();
    environment.init(&["--unsealed"]).unwrap();
    environment
}

#[test]
fn an_address_that_only_this_machine_reaches_is_told_where_others_are_let_in() {
    let mut environment = at_rest(&[("http.listen", "0.0.0.0:0")]);
    let (_, report) = doctor(&environment, &[]);
    assert_told(&report, "warning", "addresses", &["localhost", "[http] hostnames"]);
    environment.set("http.hostnames", "[\"cvm.example\"]");
    assert_told(&doctor(&environment, &[]).1, "ok", "addresses", &[]);
    environment.set("http.crl_url", "http://127.0.0.1:8080");
    assert_told(&doctor(&environment, &[]).1, "warning", "addresses", &["CRL", "crl_url"]);
    environment.set("http.crl_url", "http://cvm.example:8080");
    assert_told(&doctor(&environment, &[]).1, "ok", "addresses", &[]);
}

#[test]
fn a_name_that_the_servers_certificate_has_not_is_told() {
    let mut environment = Environment::start(&[]).unwrap();
    assert_told(&doctor(&environment, &[]).1, "ok", "names", &["localhost"]);
    environment.set("http.public_url", "https://cvm.example:8443");
    let (code, report) = doctor(&environment, &[]);
    assert_eq!(code, 1);
    let words = ["cvm.example", "they refuse it", "add \"cvm.example\" to [http] hostnames"];
    assert_told(&report, "FAILED", "names", &words);
    environment.set("http.hostnames", "[\"cvm.example\"]");
    let (_, report) = doctor(&environment, &[]);
    assert_told(&report, "FAILED", "names", &["What to do: start the server again"]);
    environment.terminate().unwrap();
    environment.serve().unwrap();
    assert_told(&doctor(&environment, &[]).1, "ok", "names", &["cvm.example"]);
}

#[test]
fn what_is_open_to_others_without_need_is_told() {
    let mut environment = at_rest(&[
        ("http.listen", "0.0.0.0:0"),
        ("metrics.listen", "0.0.0.0:0"),
        ("http.hostnames", "[\"cvm.example\"]"),
    ]);
    let (_, report) = doctor(&environment, &[]);
    assert_told(&report, "warning", "exposure", &["[metrics] listen", "127.0.0.1"]);
    assert_told(&report, "warning", "exposure", &["refusals_per_address", "60/1m"]);
    environment.set("metrics.listen", "127.0.0.1:0");
    environment.set("limits.refusals_per_address", "60/1m");
    assert_told(&doctor(&environment, &[]).1, "ok", "exposure", &[]);
}

#[test]
fn a_certificate_that_was_put_in_place_and_is_not_shown_is_told() {
    let (mut one, other) = (Environment::start(&[]).unwrap(), at_rest(&[]));
    assert_told(&doctor(&one, &[]).1, "ok", "tls", &["TLSv1_3", "server/cert.pem"]);
    let file = |environment: &Environment| environment.data().join("server/cert.pem");
    fs::copy(file(&other), file(&one)).unwrap();
    let (code, report) = doctor(&one, &[]);
    assert_eq!(code, 1);
    let words = ["another certificate than server/cert.pem", "start the server again"];
    assert_told(&report, "FAILED", "tls", &words);
    // Certificate and key do not fit: the server makes another pair.
    one.terminate().unwrap();
    one.serve().unwrap();
    assert_told(&doctor(&one, &[]).1, "ok", "tls", &[]);
}

#[test]
fn a_place_of_crls_that_does_not_lead_here_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap().to_string();
    drop(listener);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}");
    let mut environment =
        Environment::start(&[("http.plain_listen", &free), ("http.crl_url", &url)]).unwrap();
    let (code, report) = doctor(&environment, &[]);
    assert_eq!(code, 0, "it may be that others reach it");
    assert_told(&report, "warning", "crl-url", &[&url, "no answer", "plain_listen"]);
    let other = Receiver::http(&[]).unwrap();
    environment.set("http.crl_url", &other.url(""));
    assert_told(&doctor(&environment, &[]).1, "warning", "crl-url", &["it answered 204"]);
    environment.set("http.crl_url", &format!("http://{free}"));
    assert_told(&doctor(&environment, &[]).1, "ok", "crl-url", &[]);
    // The device listener serves them too, under our own root.
    environment.set("http.crl_url", &environment.device_url());
    assert_told(&doctor(&environment, &[]).1, "ok", "crl-url", &[]);
}

#[test]
fn a_receiver_of_alarms_that_does_not_answer_is_told_and_is_sent_nothing() {
    let environment = at_rest(&[]);
    let receiver = Receiver::https().unwrap();
    let config = environment.data().join("cvm.toml");
    let text = fs::read_to_string(&config).unwrap();
    let set = |url: &str, root: &str| {
        let notify = format!("[[notify]]\nurl = \"{url}\"\nroot_ca = \"{root}\"\n");
        fs::write(&config, format!("{text}\n{notify}")).unwrap();
    };
    let root = environment.scratch().join("receiver.pem");
    let root = root.to_str().unwrap();
    set(&receiver.url("/very-secret"), root);
    let (code, report) = doctor(&environment, &[]);
    assert_eq!(code, 1);
    assert_told(&report, "FAILED", "webhooks", &["receiver.pem", "root_ca"]);
    // A root that is not its own.
    fs::copy(environment.data().join("root-ca.pem"), root).unwrap();
    let (_, report) = doctor(&environment, &[]);
    assert_told(&report, "FAILED", "webhooks", &["no answer", "root_ca", "alarms are lost"]);
    assert!(!report.contains("very-secret"), "{report}");
    fs::write(root, &receiver.root).unwrap();
    assert_told(&doctor(&environment, &[]).1, "ok", "webhooks", &[]);
    let asked = receiver.received();
    assert_eq!(asked.iter().map(|it| it.line.as_str()).collect::<Vec<_>>(), ["HEAD /"]);
}
