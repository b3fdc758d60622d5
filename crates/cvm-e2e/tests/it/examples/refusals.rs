//! What a recipe does when somebody says no, not now, or is somebody else.

use cvm_e2e::{Key, Receiver, Reply};

use super::*;

/// The SHA-256 of a certificate.
fn fingerprint(file: &Path) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(file);
    let said = String::from_utf8(openssl.output().unwrap().stdout).unwrap();
    said.split('=').nth(1).unwrap().trim().to_owned()
}

/// A device that has pinned the root of this receiver.
fn pinned_to(site: &Site, receiver: &Receiver, recipe: Recipe, serial: &str) -> Device {
    let mut device = site.device(recipe, serial, "default");
    std::fs::create_dir(device.file("")).unwrap();
    std::fs::write(device.file("root-ca.pem"), &receiver.root).unwrap();
    device.fingerprint = fingerprint(&device.file("root-ca.pem"));
    device.server = receiver.url("");
    device
}

fn strangers_hear_no_secret(site: &Site, recipe: Recipe) {
    let stranger = Receiver::https().unwrap();
    let mut device = site.device(recipe, "SN-stranger", "default");
    device.server = stranger.url("");
    let (code, said) = device.run();
    assert_eq!(code, 76, "{recipe:?}: {said}");
    assert_eq!(device.files(), Vec::<String>::new(), "{recipe:?}");
    // And another server than ours has another root.
    device.server = site.environment.device_url();
    device.fingerprint = "0".repeat(64);
    assert_eq!(device.run().0, 76, "{recipe:?}");
    // With the root that is pinned, who has another certificate is asked nothing.
    device.fingerprint = site.environment.ready("rootFingerprint");
    std::fs::copy(site.environment.data().join("root-ca.pem"), device.file("root-ca.pem")).unwrap();
    device.server = stranger.url("");
    let (code, said) = device.run();
    assert_eq!(code, 76, "{recipe:?}: {said}");
    let heard = stranger.received();
    assert_eq!(heard.len(), 1, "{recipe:?}: {heard:?}");
    assert_eq!((&*heard[0].line, &*heard[0].body), ("GET /v1/trust-bundle", ""), "{recipe:?}");
    assert!(!format!("{heard:?}").contains(&device.token()), "{recipe:?}");
}

fn refusals_name_their_attempt(site: &Site, recipe: Recipe) {
    let device = site.device(recipe, "SN-wrong", "default");
    let right = device.token();
    std::fs::write(device.home.join("token"), "not \"the\\ token of it").unwrap();
    let (code, said) = device.run();
    assert_eq!(code, 1, "{recipe:?}: {said}");
    assert!(said.contains("403 access-denied"), "{recipe:?}: {said}");
    let attempt = said.split("cvm explain ").nth(1).unwrap().lines().next().unwrap();
    let told = site.environment.succeed(&["explain", attempt]).unwrap();
    assert!(told.contains("SN-wrong"), "{told}");

    let other = Key::new().unwrap().csr().unwrap();
    assert_eq!(site.environment.vend("SN-wrong", &right, &other).unwrap().status, 201);
    std::fs::write(device.home.join("token"), format!("{right}\n")).unwrap();
    let (code, said) = device.run();
    assert_eq!(code, 1, "{recipe:?}: {said}");
    assert!(said.contains("409 already-issued") && said.contains("new-token"), "{said}");
}

fn what_is_not_now_is_asked_again(site: &Site, recipe: Recipe) {
    let mut device = site.device(recipe, "SN-down", "default");
    device.server = String::from("https://localhost:1");
    device.tries = 2;
    let (code, said) = device.run();
    assert_eq!(code, 75, "{recipe:?}: {said}");
    assert_eq!(said.matches("trying again in").count(), 1, "{said}");

    let replies = [503, 403].map(Reply::Status);
    let receiver = Receiver::https_with(&replies).unwrap();
    let device = pinned_to(site, &receiver, recipe, "SN-busy");
    let (code, said) = device.run();
    assert_eq!(code, 1, "{recipe:?}: {said}");
    let asked = receiver.received();
    assert_eq!(asked.len(), 2, "{recipe:?}: {said}");
    for request in asked {
        assert_eq!(request.line, "POST /v1/certificates", "{recipe:?}");
        assert_eq!(request.json().unwrap()["token"], device.token(), "{recipe:?}");
    }

    // Who asks for more patience than a run has is left alone, until the next run.
    let replies = [Reply::RetryAfter(202, 900), Reply::RetryAfter(429, 301)];
    let receiver = Receiver::https_with(&replies).unwrap();
    let device = pinned_to(site, &receiver, recipe, "SN-later");
    for asked in 1..=2 {
        let (code, said) = device.run();
        assert_eq!(code, 75, "{recipe:?}: {said}");
        assert_eq!(receiver.received().len(), asked, "{recipe:?}: {said}");
    }
}

fn what_is_wrong_here_is_said(site: &Site, recipe: Recipe) {
    let device = site.device(recipe, "SN-local", "default");
    let words = recipe.words();
    let bare = Command::new(&words[0]).args(&words[1..]).output().unwrap();
    assert_eq!(bare.status.code(), Some(2), "{recipe:?}");
    let token = device.home.join("token");
    std::fs::rename(&token, device.home.join("elsewhere")).unwrap();
    let output = device.command().output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(77), "{recipe:?}: {said}");
    assert!(said.contains("token"), "{recipe:?}: {said}");
    // It goes on once that is cured.
    std::fs::rename(device.home.join("elsewhere"), token).unwrap();
    device.succeed();
    site.assert_works(&device);
}

fn check(recipe: Recipe) {
    let site = Site::new(&[]);
    strangers_hear_no_secret(&site, recipe);
    refusals_name_their_attempt(&site, recipe);
    what_is_not_now_is_asked_again(&site, recipe);
    what_is_wrong_here_is_said(&site, recipe);
}

each_recipe!(check, Build::Sanitized);

fn another_name(recipe: Recipe) {
    let site = Site::new(&[("http.listen", "0.0.0.0:0")]);
    let mut device = site.device(recipe, "SN-1", "default");
    // It is there under this name, and its certificate names others.
    device.server = device.server.replace("localhost", "127.0.0.2");
    let (code, said) = device.run();
    assert_eq!(code, 76, "{recipe:?}: {said}");
    let shown = site.environment.succeed(&["device", "show", "SN-1"]).unwrap();
    assert!(shown.contains("unused"), "{recipe:?}: {shown}");
}

#[test]
fn a_server_with_another_name_is_not_the_pinned_one() {
    for recipe in [Recipe::C(Build::Sanitized), Recipe::Node, Recipe::Python, Recipe::Shell] {
        another_name(recipe);
    }
}
