//! Unambiguous hashes; sealed keys that open for what they are bound to and nothing else.

use super::*;

fn secrets(byte: u8) -> VaultSecrets {
    VaultSecrets::new(&[byte; 32], &[byte; 32], &[byte; 32], Zeroizing::new([byte; 32]))
}

fn token(text: &str) -> Token {
    Token::unchecked(Zeroizing::new(text.to_owned()))
}

fn serial(text: &str) -> SerialNumber {
    text.parse().unwrap()
}

#[test]
fn what_is_hashed_cannot_be_cut_in_another_way() {
    let secrets = secrets(1);
    let mac = |serial: &str, text: &str| secrets.token_mac(serial, &token(text)).0;
    assert_eq!(mac("SN-1", "token"), mac("SN-1", "token"));
    assert_ne!(mac("SN-1", "token"), mac("SN-1t", "oken"));
    assert_ne!(mac("", "SN-1token"), mac("SN-1token", ""));
    let derive = |admin: &str, key: &str, sn: &str| {
        secrets.token_derive(admin, key, &serial(sn)).expose().to_owned()
    };
    assert_eq!(derive("a", "k", "S"), derive("a", "k", "S"));
    assert_ne!(derive("ab", "k", "S"), derive("a", "bk", "S"));
}

#[test]
fn the_token_hash_is_hmac_over_lengths_and_parts() {
    // Computed by Python: hmac.new(b"\1" * 32, struct.pack(">Q", 4) + b"SN-1" + ..., "sha256").
    let mac = secrets(1).token_mac("SN-1", &token("token"));
    assert_eq!(mac.to_string(), "c5cd4c3341ae3e1d3daf5ab50811a80b37dcde361a2da57a5ec9ee71b769082e");
}

#[test]
fn derived_tokens_are_tokens() {
    let derived = secrets(1).token_derive("admin", "key", &serial("SN-1"));
    assert!(Token::brought(Zeroizing::new(derived.expose().to_owned())).is_ok());
}

#[test]
fn each_vault_hashes_in_its_own_way() {
    let (one, two) = (secrets(1), secrets(2));
    assert_ne!(one.token_mac("S", &token("t")).0, two.token_mac("S", &token("t")).0);
    assert_ne!(one.admin_token_mac(&token("t")).0, two.admin_token_mac(&token("t")).0);
}

#[test]
fn a_sealed_key_opens_for_its_token_serial_and_identity_only() {
    let (secrets, other_vault) = (secrets(1), secrets(2));
    let (sn, identity) = (serial("SN-1"), KeyIdentity([7; 32]));
    let key = PrivateKey(Zeroizing::new(b"a private key".to_vec()));
    let (salt, sealed) = secrets.private_key_seal(&token("t"), &sn, &identity, &key);
    assert_eq!(sealed.len(), 12 + key.0.len() + 16);
    assert!(!sealed.windows(7).any(|window| window == b"private"));
    let open = |text: &str, sn: &str, identity: u8, salt: &[u8; 16], sealed: &[u8]| {
        let identity = KeyIdentity([identity; 32]);
        secrets
            .private_key_open(&token(text), &serial(sn), &identity, salt, sealed)
            .map(|key| key.0.to_vec())
    };
    assert_eq!(open("t", "SN-1", 7, &salt, &sealed), Ok(b"a private key".to_vec()));
    assert_eq!(open("u", "SN-1", 7, &salt, &sealed), Err(SealError));
    assert_eq!(open("t", "SN-2", 7, &salt, &sealed), Err(SealError));
    assert_eq!(open("t", "SN-1", 8, &salt, &sealed), Err(SealError));
    assert_eq!(open("t", "SN-1", 7, &[0; 16], &sealed), Err(SealError));
    assert_eq!(open("t", "SN-1", 7, &salt, &sealed[..27]), Err(SealError));
    assert_eq!(open("t", "SN-1", 7, &salt, &[]), Err(SealError));
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(open("t", "SN-1", 7, &salt, &changed), Err(SealError));
    }
    assert!(other_vault.private_key_open(&token("t"), &sn, &identity, &salt, &sealed).is_err());
}

#[test]
fn nothing_secret_is_printed() {
    assert_eq!(format!("{:?}", secrets(1)), "VaultSecrets(redacted)");
}
