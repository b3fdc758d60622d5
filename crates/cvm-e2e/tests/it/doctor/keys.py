"""`make` prints, as JSON, requests whose RSA keys share a prime (`one`, `other`), a good one
(`good`), and a certificate (`weak`) whose key has primes too close to each other; all PEM.
`judge FILE...` prints the pairs of certificates that share a factor, one pair a line."""

import datetime
import itertools
import json
import math
import sys

import gmpy2  # badkeys brings it along
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

E = 65537


def fresh():
    return rsa.generate_private_key(E, 2048)


def prime():
    return fresh().private_numbers().p


def key_of(p, q):
    d = int(gmpy2.invert(E, (p - 1) * (q - 1)))
    numbers = rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=d % (p - 1),
        dmq1=d % (q - 1),
        iqmp=int(gmpy2.invert(q, p)),
        public_numbers=rsa.RSAPublicNumbers(E, p * q),
    )
    return numbers.private_key()


def full(p):
    """A modulus of 2048 bits with this prime."""
    while True:
        q = prime()
        if (p * q).bit_length() == 2048:
            return key_of(p, q)


def pem(thing):
    return thing.public_bytes(serialization.Encoding.PEM).decode()


def request(key):
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return pem(builder.sign(key, hashes.SHA256()))


def weak():
    p = prime()
    key = key_of(int(gmpy2.next_prime(p + 2**64)), p)
    now = datetime.datetime(2026, 1, 1)
    builder = x509.CertificateBuilder(
        x509.Name([]), x509.Name([]), key.public_key(), 1, now, now + datetime.timedelta(days=1)
    )
    return pem(builder.sign(key, hashes.SHA256()))


def judge(files):
    certificates = {name: x509.load_pem_x509_certificate(open(name, "rb").read()) for name in files}
    moduli = {name: it.public_key().public_numbers().n for name, it in certificates.items()}
    for one, other in itertools.combinations(sorted(moduli), 2):
        if math.gcd(moduli[one], moduli[other]) > 1:
            print(one, other)


if sys.argv[1] == "judge":
    judge(sys.argv[2:])
else:
    shared = prime()
    made = {
        "one": request(full(shared)),
        "other": request(full(shared)),
        "good": request(fresh()),
        "weak": weak(),
    }
    print(json.dumps(made))
