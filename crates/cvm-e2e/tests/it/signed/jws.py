"""Signed requests by jwcrypto, which is not ours: makes one, or verifies one that we made."""

import json
import sys

from jwcrypto import jwk, jws


def sign(key, payload, **protected):
    """The flattened JSON of a JWS with this protected header."""
    token = jws.JWS(payload)
    token.add_signature(jwk.JWK.from_pem(read(key)), None, json.dumps(protected), None)
    return token.serialize()


def verify(certificate, request):
    """The protected header of a JWS that verifies with the certificate's key, and its payload."""
    token = jws.JWS()
    token.deserialize(read(request).decode())
    token.verify(jwk.JWK.from_pem(read(certificate)))
    return json.dumps({"header": token.jose_header, "payload": token.payload.decode()})


def read(path):
    with open(path, "rb") as file:
        return file.read()


if sys.argv[1] == "sign":
    key, payload, alg, kid, nonce, url = sys.argv[2:]
    print(sign(key, payload, alg=alg, kid=kid, nonce=nonce, url=url))
else:
    print(verify(*sys.argv[2:]))
