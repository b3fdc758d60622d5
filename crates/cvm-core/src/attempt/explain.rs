//! What attempts mean and what to do next, in words for people.
//!
//! One row for each outcome, and one for each reason that an outcome tells apart.

/// What an attempt means and what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Of which outcome.
    pub outcome: &'static str,
    /// Of which of its reasons; empty for all that have no row of their own.
    pub reason: &'static str,
    /// What happened.
    pub meaning: &'static str,
    /// What to do.
    pub cure: &'static str,
}

/// The explanation of an attempt's outcome and reason; `None` for an outcome that no attempt has.
#[must_use]
pub fn explain(outcome: &str, reason: &str) -> Option<&'static Explanation> {
    let of = |reason: &str| {
        EXPLANATIONS.iter().find(|row| row.outcome == outcome && row.reason == reason)
    };
    of(reason).or_else(|| of(""))
}

const EXPLANATIONS: &[Explanation] = &[
    Explanation {
        outcome: "issued",
        reason: "",
        meaning: "A certificate was issued, recorded and answered.",
        cure: "Nothing: the device uses it, or asks again with the same key if the answer was lost.",
    },
    Explanation {
        outcome: "answered-again",
        reason: "",
        meaning: "The same key asked again and was answered the same bytes.",
        cure: "Nothing: this is how a device that lost its answer gets it.",
    },
    Explanation {
        outcome: "confirmed",
        reason: "",
        meaning: "The certificate was used for the first time, or again.",
        cure: "Nothing.",
    },
    Explanation {
        outcome: "connected",
        reason: "",
        meaning: "The connection was let in.",
        cure: "Nothing.",
    },
    Explanation {
        outcome: "access-denied",
        reason: "",
        meaning: "Serial number and token do not fit, or the token is used up, or the device is not to have a certificate; which of these is for operators only.",
        cure: "Compare serial number and token with what the operator registered, byte for byte; the operator's `cvm explain SERIAL` tells which does not fit.",
    },
    Explanation {
        outcome: "access-denied",
        reason: "unknown-serial-number",
        meaning: "Nobody registered this serial number.",
        cure: "Compare it with what the operator registered (`cvm device list`), byte for byte; if it is right, `cvm device add SERIAL`.",
    },
    Explanation {
        outcome: "access-denied",
        reason: "token-expired",
        meaning: "The token expired before it obtained anything.",
        cure: "Give the device another: `cvm device new-token SERIAL`, with `--token-expires` if it needs longer.",
    },
    Explanation {
        outcome: "access-denied",
        reason: "wrong-token",
        meaning: "The token is none of this device's newest four.",
        cure: "Check that the token on the device is the one that was printed for this serial number; if it is lost, `cvm device new-token SERIAL`.",
    },
    Explanation {
        outcome: "access-denied",
        reason: "token-burnt-by-confirmation",
        meaning: "The token's certificate has been used, so the token issues nothing any more, and this is not the key of that certificate.",
        cure: "If the device lost its key, give it another token: `cvm device new-token SERIAL`. If you do not know this request, the token is in other hands: look at the address, and at who used the certificate.",
    },
    Explanation {
        outcome: "access-denied",
        reason: "token-burnt-by-operator",
        meaning: "An operator took the token back: the evidence says who, when, and by which word.",
        cure: "Put the newest token on the device, or give it another: `cvm device new-token SERIAL`.",
    },
    Explanation {
        outcome: "access-denied",
        reason: "device-disabled",
        meaning: "The device is disabled.",
        cure: "`cvm device enable SERIAL` if it may come back; its token is kept.",
    },
    Explanation {
        outcome: "access-denied",
        reason: "device-deleted",
        meaning: "The device was decommissioned.",
        cure: "`cvm device add --again SERIAL` registers it anew, with another token.",
    },
    Explanation {
        outcome: "already-issued",
        reason: "",
        meaning: "The token is valid and is bound to another key: whoever showed that key first obtained the certificate.",
        cure: "If the device made a new key, let it use the first one again. If you do not know the first key, somebody else used the token: `cvm device new-token SERIAL` takes what it obtained away.",
    },
    Explanation {
        outcome: "already-issued",
        reason: "too-late",
        meaning: "The profile says `never`, and the ten minutes in which the same key is answered again are over.",
        cure: "If the device has no certificate, give it another token: `cvm device new-token SERIAL`.",
    },
    Explanation {
        outcome: "already-issued",
        reason: "key-denied",
        meaning: "A human said no to this key.",
        cure: "Let the device use its first key, or give it another token: `cvm device new-token SERIAL`.",
    },
    Explanation {
        outcome: "already-issued",
        reason: "review-open",
        meaning: "A human is asked about another key of this device, or said yes to another.",
        cure: "See `cvm review list`; decide that one first.",
    },
    Explanation {
        outcome: "pending-approval",
        reason: "",
        meaning: "The token is bound to another key, and the profile wants a human to say whether this one may have a certificate.",
        cure: "See `cvm review list`, then `cvm review approve ID` or `cvm review deny ID`; the device asks again.",
    },
    Explanation {
        outcome: "certificate-required",
        reason: "nonce-expired",
        meaning: "The request was signed with a nonce whose five minutes are over.",
        cure: "Let the device take a new nonce from `GET /v1/nonce` for each request, and sign at once.",
    },
    Explanation {
        outcome: "certificate-required",
        reason: "nonce-forged",
        meaning: "The request was signed with a nonce that this server did not give out, or that was changed on its way.",
        cure: "Let the device send `nonce` as `GET /v1/nonce` of this server gave it, byte for byte.",
    },
    Explanation {
        outcome: "certificate-required",
        reason: "nonce-used",
        meaning: "The same signed request, or another with its nonce, came before; it proves nothing the second time.",
        cure: "Let the device take a new nonce for each request, also when it repeats one. If it does, somebody recorded its request: look at the address, and at what is between the device and this server.",
    },
    Explanation {
        outcome: "certificate-required",
        reason: "wrong-algorithm",
        meaning: "The request was signed by another algorithm than that of the certificate's key.",
        cure: "Use ES256 for P-256, ES384 for P-384, EdDSA for Ed25519, RS256 or PS256 for RSA.",
    },
    Explanation {
        outcome: "certificate-required",
        reason: "wrong-signature",
        meaning: "The request names this certificate, and its signature is not by this certificate's key, or not over what came.",
        cure: "Sign `protected`, a full stop and `payload` as they are sent, and send an ECDSA signature as r and s of one length, not as DER. If the device does, somebody else used its certificate's name: look at the address.",
    },
    Explanation {
        outcome: "token-pending",
        reason: "",
        meaning: "A certificate that was asked for with a newer token waits to be used; until then nothing is renewed.",
        cure: "Let the device use that one. If you do not know who asked for it: `cvm certificate revoke ID` ends it and burns its token (role security or owner).",
    },
    Explanation {
        outcome: "invalid-csr",
        reason: "",
        meaning: "The credential is right and the certificate request is not.",
        cure: "Make the CSR with a current tool, such as `openssl req -new -key device.key -subj / -out device.csr`, and send it as one PEM block.",
    },
    Explanation {
        outcome: "weak-key",
        reason: "",
        meaning: "The credential is right and the key is too weak to be certified.",
        cure: "Make a new key: P-256 with `openssl ecparam -name prime256v1 -genkey`, or RSA of 2048 to 4096 bits with exponent 65537.",
    },
    Explanation {
        outcome: "key-not-acceptable",
        reason: "",
        meaning: "The credential is right and the key may not be used by this device: another device has proven it, it is called compromised, or it is one of the server's own.",
        cure: "Make a new key on this device; look for firmware images or key files that were copied from one device to others.",
    },
    Explanation {
        outcome: "csr-required",
        reason: "",
        meaning: "No CSR came, and this route or the device's profile does not let the server make keys.",
        cure: "Send a CSR, or set `server_keys = true` in the device's profile; renewal takes a CSR only.",
    },
    Explanation {
        outcome: "slow-down",
        reason: "",
        meaning: "Too many requests: of this device with a valid credential (`[limits] issues_per_serial`), or refused ones from this address (`refusals_per_address`); the step that refused says which.",
        cure: "Wait as long as `Retry-After` said; nothing has to be cleared. Where many devices share an address, put its network into `[limits] trusted_networks`.",
    },
    Explanation {
        outcome: "unavailable",
        reason: "clock",
        meaning: "The server's clock is not to be trusted, so it issues nothing.",
        cure: "Run `cvm doctor` beside the server: it says what is held against the clock. Set the clock right, or accept it with `cvm doctor --accept-time`; the same request succeeds afterwards.",
    },
    Explanation {
        outcome: "unavailable",
        reason: "in-progress",
        meaning: "Another request of this device is at work on its certificate, or was cut off less than a minute ago.",
        cure: "Ask again after `Retry-After`. Where it does not end, look into the log for why the platform cannot finish it; the sweeper goes on with it as well.",
    },
    Explanation {
        outcome: "unavailable",
        reason: "contended",
        meaning: "Other requests of the same device changed its record under every decision; nothing was answered.",
        cure: "Nothing: the same request succeeds later. If it goes on, look at the addresses of this device's attempts for who else asks.",
    },
    Explanation {
        outcome: "unavailable",
        reason: "",
        meaning: "Store or signer could not, and nothing was answered.",
        cure: "Look at the server's log for this attempt; the same request succeeds when the cause is gone.",
    },
    Explanation {
        outcome: "certificate-required",
        reason: "",
        meaning: "The route needs the device's certificate, and the connection showed none.",
        cure: "Connect with the certificate and its key, such as `curl --cert device-chain.pem --key device.key`; where a proxy ends TLS, sign the request instead (docs/SIGNED-REQUESTS.md), as `cvm device` and `cvm-agent` do by themselves.",
    },
    Explanation {
        outcome: "certificate-unknown",
        reason: "",
        meaning: "The registry does not know this certificate.",
        cure: "Look whether it is another server's, or this server's registry was restored from before it was issued.",
    },
    Explanation {
        outcome: "certificate-expired",
        reason: "",
        meaning: "The certificate's life is over.",
        cure: "Let the device ask with its token; if that is burnt, `cvm device new-token SERIAL`. `renew_after_expiry` in the profile lets devices renew for some time after the end.",
    },
    Explanation {
        outcome: "certificate-inactive",
        reason: "",
        meaning: "The device is disabled.",
        cure: "`cvm device enable SERIAL` if it may come back.",
    },
    Explanation {
        outcome: "certificate-revoked",
        reason: "",
        meaning: "The certificate was revoked, or another device proved the same key first.",
        cure: "If the device is ours and well, give it another token (`cvm device new-token SERIAL`) and let it make a new key.",
    },
    Explanation {
        outcome: "certificate-superseded",
        reason: "",
        meaning: "Another certificate took this one's place.",
        cure: "Let the device use its newest certificate.",
    },
    Explanation {
        outcome: "invalid-request",
        reason: "",
        meaning: "The request could not be read; it was told what was wrong.",
        cure: "Read the answer's `detail`.",
    },
    Explanation {
        outcome: "too-large",
        reason: "",
        meaning: "The body was larger than 64 KiB.",
        cure: "Send serial number, token and CSR and nothing else.",
    },
    Explanation {
        outcome: "header-too-large",
        reason: "",
        meaning: "The head of the request was too large.",
        cure: "Send fewer or shorter header fields.",
    },
    Explanation {
        outcome: "unsupported-media-type",
        reason: "",
        meaning: "The body was not JSON.",
        cure: "Send `Content-Type: application/json`.",
    },
    Explanation {
        outcome: "not-found",
        reason: "",
        meaning: "There is no such route, or no such resource.",
        cure: "Look at the path, at the listener, and at `/v1/openapi.json`.",
    },
    Explanation {
        outcome: "method-not-allowed",
        reason: "",
        meaning: "The route is here with another method.",
        cure: "Use the method that `Allow` names.",
    },
    Explanation {
        outcome: "request-timeout",
        reason: "",
        meaning: "The request came too slowly.",
        cure: "Look at the device's link; the same request may be sent again.",
    },
    Explanation {
        outcome: "internal-error",
        reason: "",
        meaning: "The server failed in a way it should not.",
        cure: "Look at its log for this attempt, and report it.",
    },
    Explanation {
        outcome: "unauthenticated",
        reason: "",
        meaning: "No admin token came, or one that is unknown, expired or revoked.",
        cure: "Send `Authorization: Bearer` with a live admin token; `cvm admin token create` makes one.",
    },
    Explanation {
        outcome: "role-required",
        reason: "",
        meaning: "The admin token's role does not allow this.",
        cure: "Use a token whose role does, or let an owner make one.",
    },
    Explanation {
        outcome: "already-exists",
        reason: "",
        meaning: "The name is taken by something else.",
        cure: "Look at what is there, and choose another name if it is not the same.",
    },
    Explanation {
        outcome: "thing-name-taken",
        reason: "",
        meaning: "Another device has this thing name.",
        cure: "Choose one with `--thing-name`.",
    },
    Explanation {
        outcome: "device-deleted",
        reason: "",
        meaning: "The device was decommissioned.",
        cure: "`cvm device add --again SERIAL` registers it anew, with another token.",
    },
    Explanation {
        outcome: "token-reused",
        reason: "",
        meaning: "The device had this token before, and it is burnt for ever.",
        cure: "Bring another token, or let the client make one.",
    },
    Explanation {
        outcome: "wrong-state",
        reason: "",
        meaning: "It was decided already, or cannot be done now.",
        cure: "Look at its state.",
    },
    Explanation {
        outcome: "unknown-policy",
        reason: "",
        meaning: "There is no such policy.",
        cure: "`cvm policy put NAME FILE` puts one.",
    },
    Explanation {
        outcome: "unknown-profile",
        reason: "",
        meaning: "The configuration has no such profile.",
        cure: "Add a `[[profile]]` to the configuration.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_with_a_row_of_its_own_comes_before_the_outcomes() {
        assert!(explain("unavailable", "clock").unwrap().meaning.contains("clock"));
        assert_eq!(explain("unavailable", "other").unwrap().reason, "");
        assert_eq!(explain("no such outcome", ""), None);
    }

    #[test]
    fn no_row_stands_twice() {
        for (index, row) in EXPLANATIONS.iter().enumerate() {
            let is_same =
                |other: &&Explanation| (other.outcome, other.reason) == (row.outcome, row.reason);
            assert_eq!(EXPLANATIONS.iter().skip(index).filter(is_same).count(), 1, "{row:?}");
        }
    }
}
