"""Writes requests whose RSA keys are weak, each in one way, as JSON: name -> {csr, key} in PEM.

Everything is done with integers: no library would make such keys. Deterministic.
"""

import base64
import hashlib
import json
import random

import gmpy2  # badkeys brings it along

random.seed("weak keys for cvm")

M = 1
for p in range(2, 168):
    if all(p % q for q in range(2, p)):
        M *= p


def next_prime(n):
    return int(gmpy2.next_prime(n))


def prime(bits):
    return next_prime(random.getrandbits(bits) | 3 << (bits - 2))


def roca_prime(bits):
    while True:
        k = random.getrandbits(bits - M.bit_length() + 1)
        p = k * M + pow(65537, random.getrandbits(60), M)
        if p >> (bits - 2) == 3 and gmpy2.is_prime(p):
            return p


def der(tag, *parts):
    content = b"".join(parts)
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def integer(n):
    return der(2, n.to_bytes(n.bit_length() // 8 + 1, "big"))


def algorithm(last):
    return der(0x30, der(6, bytes.fromhex("2a864886f70d0101") + bytes([last])), der(5))


def pem(label, data):
    text = base64.b64encode(data).decode()
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def request(primes, e=65537):
    n, phi = 1, 1
    for p in primes:
        n, phi = n * p, phi * (p - 1)
    key = der(0x30, algorithm(1), der(3, b"\0", der(0x30, integer(n), integer(e))))
    info = der(0x30, integer(0), der(0x30), key, der(0xA0))
    digest = der(0x30, der(0x30, der(6, bytes.fromhex("608648016503040201")), der(5)),
                 der(4, hashlib.sha256(info).digest()))
    size = (n.bit_length() + 7) // 8
    padded = b"\0\1" + b"\xff" * (size - 3 - len(digest)) + b"\0" + digest
    signature = pow(int.from_bytes(padded, "big"), pow(e, -1, phi), n).to_bytes(size, "big")
    csr = der(0x30, info, algorithm(11), der(3, b"\0", signature))
    return {"csr": pem("CERTIFICATE REQUEST", csr), "key": pem("PUBLIC KEY", key)}


def fitting(e, *bits):
    """Primes of these sizes that e can be used with."""
    while True:
        primes = [prime(b) for b in bits]
        if all((p - 1) % e for p in primes):
            return primes


p = prime(1024)
print(json.dumps({
    "good": request(fitting(65537, 1024, 1024)),
    "close-primes": request([p, next_prime(p + (1 << 400))]),
    "same-prime-gap-2": request([p, next_prime(p + 2)]),
    "roca": request([roca_prime(1024), roca_prime(1024)]),
    "small-factor": request([65521, prime(2040)]),
    "exponent-3": request(fitting(3, 1024, 1024), 3),
    "short": request(fitting(65537, 512, 512)),
}))
