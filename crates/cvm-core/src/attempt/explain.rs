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
        meaning: "The certificate was used for the first time, or again; its token is burnt.",
        cure: "Nothing.",
    },
    Explanation {
        outcome: "access-denied",
        reason: "token-expired",
        meaning: "The token expired before it obtained anything.",
        cure: "Register the device under another serial number with a token that lives longer (`token_life`, `--token-expires`): this version gives no second token.",
    },
    Explanation {
        outcome: "access-denied",
        reason: "wrong-token",
        meaning: "The token is none of this device's.",
        cure: "Check that the token on the device is the one that was printed for this serial number.",
    },
    Explanation {
        outcome: "access-denied",
        reason: "token-burnt-by-confirmation",
        meaning: "The token's certificate has been used, so the token issues nothing any more, and this is not the key of that certificate.",
        cure: "If the device lost its key, register it under another serial number: this version gives no second token. If you do not know this request, the token is in other hands.",
    },
    Explanation {
        outcome: "access-denied",
        reason: "token-burnt-by-operator",
        meaning: "An operator took the token back.",
        cure: "Give the device the newest token.",
    },
    Explanation {
        outcome: "access-denied",
        reason: "device-disabled",
        meaning: "The device is disabled.",
        cure: "Enable it if it may come back.",
    },
    Explanation {
        outcome: "access-denied",
        reason: "device-deleted",
        meaning: "The device was decommissioned.",
        cure: "Register it anew if it may come back.",
    },
    Explanation {
        outcome: "already-issued",
        reason: "",
        meaning: "The token is valid and is bound to another key: whoever showed that key first obtained the certificate.",
        cure: "If the device made a new key, let it use the first one again. If you do not know the first key, somebody else used the token: register the device under another serial number, as this version gives no second token.",
    },
    Explanation {
        outcome: "invalid-csr",
        reason: "",
        meaning: "The token is right and the certificate request is not.",
        cure: "Make the CSR with a current tool, such as `openssl req -new -key device.key -subj / -out device.csr`, and send it as one PEM block.",
    },
    Explanation {
        outcome: "weak-key",
        reason: "",
        meaning: "The token is right and the key is too weak to be certified.",
        cure: "Make a new key: P-256 with `openssl ecparam -name prime256v1 -genkey`, or RSA of 2048 to 4096 bits with exponent 65537.",
    },
    Explanation {
        outcome: "key-not-acceptable",
        reason: "",
        meaning: "The token is right and the key may not be used by this device: another device has proven it, or it is one of the server's own.",
        cure: "Make a new key on this device; look for firmware images or key files that were copied from one device to others.",
    },
    Explanation {
        outcome: "csr-required",
        reason: "",
        meaning: "No CSR came, and this device's profile does not let the server make keys.",
        cure: "Send a CSR, or set `server_keys = true` in the device's profile.",
    },
    Explanation {
        outcome: "slow-down",
        reason: "",
        meaning: "The device asked more often than `[limits] issues_per_serial` allows.",
        cure: "Wait as long as `Retry-After` said; nothing has to be cleared.",
    },
    Explanation {
        outcome: "unavailable",
        reason: "clock",
        meaning: "The server's clock is not to be trusted, so it issues nothing.",
        cure: "Set the server's clock and look at its log; the same request succeeds afterwards.",
    },
    Explanation {
        outcome: "unavailable",
        reason: "",
        meaning: "Store or signer could not, and nothing was answered.",
        cure: "Look at the server's log for this attempt; the same request succeeds when the cause is gone.",
    },
    Explanation {
        outcome: "certificate-expired",
        reason: "",
        meaning: "The certificate's life is over.",
        cure: "Register the device under another serial number: this version renews nothing.",
    },
    Explanation {
        outcome: "certificate-inactive",
        reason: "",
        meaning: "The device is disabled.",
        cure: "Enable it if it may come back.",
    },
    Explanation {
        outcome: "certificate-revoked",
        reason: "",
        meaning: "The certificate was revoked, or another device proved the same key first.",
        cure: "If the device is ours and well, let it make a new key and ask again with its token.",
    },
    Explanation {
        outcome: "certificate-superseded",
        reason: "",
        meaning: "Another certificate took this one's place.",
        cure: "Let the device use its newest certificate.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_with_a_row_of_its_own_comes_before_the_outcomes() {
        assert!(explain("unavailable", "clock").unwrap().meaning.contains("clock"));
        assert_eq!(explain("unavailable", "other").unwrap().reason, "");
        assert_eq!(explain("access-denied", "no such reason"), None);
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
