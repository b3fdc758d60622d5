//! From the token to a renewal.

use super::*;

fn check(recipe: Recipe) {
    let site = Site::new(&[]);
    let mut device = site.device(recipe, "SN-1", "default");
    device.succeed();
    site.assert_works(&device);
    assert_eq!(site.states(&device), ["current"]);
    let identity = device.read("device.pem");
    // Nothing is due: nobody is asked.
    device.server = String::from("https://localhost:1");
    let said = device.succeed();
    assert!(said.contains("nothing to do until 20"), "{said}");
    assert_eq!(device.read("device.pem"), identity);

    let mut hurried = site.device(recipe, "SN:2/b+c", "hurried");
    // As `openssl x509 -fingerprint` prints it.
    let bytes: Vec<char> = hurried.fingerprint.to_uppercase().chars().collect();
    let pairs: Vec<String> = bytes.chunks(2).map(String::from_iter).collect();
    hurried.fingerprint = pairs.join(":");
    hurried.succeed();
    site.assert_works(&hurried);
    let first = hurried.read("device.pem");
    hurried.succeed();
    site.assert_works(&hurried);
    assert_eq!(site.states(&hurried), ["retiring", "current"]);
    let second = hurried.read("device.pem");
    let block = |text: &str, label: &str| {
        let begin = text.find(label).unwrap();
        text[begin..][..200].to_owned()
    };
    for label in ["PRIVATE KEY-----\n", "BEGIN CERTIFICATE-----\n"] {
        assert_ne!(block(&first, label), block(&second, label), "another of each");
    }
}

each_recipe!(check, Build::Sanitized);
