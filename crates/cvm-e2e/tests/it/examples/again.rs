//! Devices whose certificate is no good any more begin again with a new token.

use cvm_core::time::Span;

use super::*;

fn check(recipe: Recipe) {
    let mut site = Site::with_clock();
    let expired = site.device(recipe, "SN-expired", "hurried");
    expired.succeed();
    let revoked = site.device(recipe, "SN-revoked", "hurried");
    revoked.succeed();
    let unproven = site.device(recipe, "SN-unproven", "hurried");
    unproven.succeed();

    // Answered, and revoked before it was proven.
    std::fs::rename(unproven.file("device.pem"), unproven.file("next.pem")).unwrap();
    for device in [&revoked, &unproven] {
        let id = site.certificates(device, "certificateId").remove(0);
        site.environment.succeed(&["certificate", "revoke", &id]).unwrap();
    }
    let (code, said) = revoked.run();
    assert_eq!(code, 1, "{recipe:?}: {said}");
    assert!(said.contains("403 certificate-revoked"), "{recipe:?}: {said}");
    let (code, said) = unproven.run();
    assert_eq!(code, 1, "{recipe:?}: {said}");
    assert!(said.contains("403 access-denied"), "{recipe:?}: the token is burnt: {said}");
    // As what it says tells.
    std::fs::remove_file(revoked.file("device.pem")).unwrap();
    for device in [&revoked, &unproven] {
        site.new_token(device);
        device.succeed();
        site.assert_works(device);
        assert_eq!(site.states(device), ["revoked", "current"], "{recipe:?}");
    }

    let later = site.environment.now().plus(Span(11 * Span::MINUTE.0));
    site.environment.set_clock(later).unwrap();
    let (code, said) = expired.run();
    assert_eq!(code, 1, "{recipe:?}: {said}");
    assert!(said.contains("403 access-denied"), "{recipe:?}: the token is burnt: {said}");
    site.new_token(&expired);
    expired.succeed();
    site.assert_works(&expired);
}

each_recipe!(check, Build::Sanitized);
