#!/usr/bin/env python3
"""A device's certificate with Python's standard library and `cryptography`: the first one, and the
next one when it is time. Run it at boot and every hour; it may be cut off anywhere, and goes on the
next time.

    device.py SERVER SERIAL FINGERPRINT TOKEN-FILE DIRECTORY

Exit codes: 0 done, 1 refused, 2 usage, 75 try later, 76 not the pinned server, 77 local files.
"""

import hashlib
import http.client
import json
import os
import random
import re
import ssl
import sys
import time
import urllib.parse
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding, NoEncryption, PrivateFormat, load_pem_private_key,
)

DONE, REFUSED, USAGE, LATER, NOT_PINNED, LOCAL = 0, 1, 2, 75, 76, 77
ANSWER_MAX = 65536  # bytes
# Refusals of a certificate that was displaced meanwhile; its key may ask again.
OVER = ("certificate-superseded", "certificate-expired", "certificate-unknown")
CERTIFICATE = rb"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?"
WAIT_MAX = 300  # seconds; who asks for more is not waited for


class Ended(Exception):
    """The end of the run: an exit code, and what to say."""

    def __init__(self, code, why):
        super().__init__(why)
        self.code = code


def say(text):
    print(text, file=sys.stderr)


class Store:
    """The device's files. After a power cut there is the old or the new one, never half of one."""

    def __init__(self, directory):
        self.path = Path(directory)
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root, self.key, self.next, self.device = (
            self.path / name for name in ("root-ca.pem", "key.pem", "next.pem", "device.pem"))
        self._sync(self.path.parent)

    def keep(self, path, content):
        new = path.with_suffix(".tmp")
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self.rename(new, path)

    def rename(self, old, new):
        os.replace(old, new)
        self._sync(self.path)

    def remove(self, *paths):
        for path in paths:
            path.unlink(missing_ok=True)
        self._sync(self.path)

    @staticmethod
    def _sync(directory):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class Answer:
    """What the server said: a status, and a JSON object, which may be a problem document."""

    def __init__(self, status, retry_after, body):
        self.status = status
        self.retry_after = int(retry_after) if (retry_after or "").isdigit() else 0
        self.body = body
        try:
            self.json = json.loads(body)
        except ValueError:
            self.json = None
        if not isinstance(self.json, dict):
            self.json = {}

    @property
    def slug(self):
        return str(self.json.get("type", "")).rsplit("/", 1)[-1]

    def __str__(self):
        text = (f"{self.status} {self.slug}: {self.json.get('detail', '')}"
                f" [attempt {self.json.get('attempt', '')}]")
        return "".join(c for c in text if c.isprintable())


class Server:
    """The server, asked a bounded number of times in one run."""

    def __init__(self, url, tries):
        parts = urllib.parse.urlsplit(url)
        self.url, self.host, self.port = url, parts.hostname, parts.port or 443
        self.tries, self.pause = tries, 1

    def later(self, why, asked=0):
        """Waits before the same is tried again, not sooner than asked and not with the whole fleet
        at once; or ends."""
        self.tries -= 1
        if self.tries <= 0 or asked > WAIT_MAX:
            raise Ended(LATER, f"{why}; nothing is lost, run the same again later")
        if asked:
            wait = asked + random.uniform(1, 1 + asked / 4)
        else:
            wait = self.pause * random.uniform(0.5, 1)
            self.pause = min(2 * self.pause, 60)
        say(f"{why}; trying again in {wait:.1f} s")
        time.sleep(wait)

    def _ask(self, context, method, path, body=None):
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=30, context=context)
        try:
            fields = {"Content-Type": "application/json", "Connection": "close"}
            connection.request(method, path, body, fields if method == "POST" else {})
            answer = connection.getresponse()
            body = answer.read(ANSWER_MAX)
            if answer.length:
                raise http.client.IncompleteRead(body, answer.length)
            return Answer(answer.status, answer.getheader("Retry-After"), body)
        finally:
            connection.close()

    def find_root(self, fingerprint):
        """The root with the pinned fingerprint. Until it is found nothing is verified, so nothing
        is sent but this one question, and nothing is used but the certificate that matches."""
        unverified = ssl.create_default_context()
        unverified.check_hostname = False
        unverified.verify_mode = ssl.CERT_NONE
        while True:
            try:
                answer = self._ask(unverified, "GET", "/v1/trust-bundle")
            except (OSError, http.client.HTTPException) as fault:
                self.later(f"{self.url} has no answer ({fault})")
                continue
            if answer.status != 429 and answer.status < 500:
                break
            self.later(f"{self.url} answered {answer.status}", answer.retry_after)
        for pem in re.findall(CERTIFICATE, answer.body):
            if fingerprint_of(pem) == fingerprint:
                return pem
        raise Ended(NOT_PINNED, f"{self.url} offers no root with the fingerprint {fingerprint}:"
                                " compare it, and the address")

    def post(self, path, body, root, identity=None):
        """Asks the verified server, as often as it takes. The answer may be a refusal."""
        context = ssl.create_default_context(cafile=root)  # the pinned root alone
        if identity:
            context.load_cert_chain(identity)
        while True:
            try:
                answer = self._ask(context, "POST", path, body)
            except ssl.SSLCertVerificationError as fault:
                why = "is not the pinned server, or this clock is wrong; nothing was sent"
                raise Ended(NOT_PINNED, f"{self.url} {why} ({fault.verify_message})") from None
            except (OSError, http.client.HTTPException) as fault:
                self.later(f"{self.url} has no answer ({fault})")
                continue
            if answer.status not in (202, 429) and answer.status < 500:
                return answer
            self.later(str(answer), answer.retry_after)


def fingerprint_of(pem):
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).hexdigest()
    except ValueError:
        return ""


class Device:
    """One run."""

    def __init__(self, server, serial, fingerprint, token_file, store):
        self.server, self.serial, self.fingerprint = server, serial, fingerprint
        self.token_file, self.store = token_file, store

    def run(self):
        store = self.store
        if store.device.exists() and not store.next.exists() and not self.is_due():
            say(f"nothing to do until {self.renew_after()}")
            return
        if not store.root.exists() or fingerprint_of(store.root.read_bytes()) != self.fingerprint:
            store.keep(store.root, self.server.find_root(self.fingerprint))
        if store.next.exists():
            answer = self.prove()
            if answer.status == 204:
                return
            if answer.slug == "certificate-revoked":
                store.remove(store.next, store.key)
            elif answer.slug in OVER:
                store.remove(store.next)
            else:
                self.refused(answer)
        # A key is on the disk before anything is asked for it: the same key is answered the same
        # certificate.
        if not store.key.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            store.keep(store.key, key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        pem = store.key.read_bytes()
        key = load_pem_private_key(pem, None)
        self.take(self.ask(key), key, pem)
        answer = self.prove()
        if answer.status != 204:
            self.refused(answer)

    def ask(self, key):
        """Asks for a certificate: with the one that works, else with the token."""
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        csr = request.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
        if self.store.device.exists():
            say("asking for the next certificate")
            answer = self.server.post("/v1/certificates/renew", json.dumps({"csr": csr}),
                                      self.store.root, self.store.device)
            if answer.status in (200, 201):
                return answer
            if answer.slug != "certificate-expired":
                self.refused(answer)
        say("asking for a certificate with the token")
        token = (self.token_file.read_text().splitlines() or [""])[0]
        body = json.dumps({"serialNumber": self.serial, "token": token, "csr": csr})
        answer = self.server.post("/v1/certificates", body, self.store.root)
        if answer.status not in (200, 201):
            self.refused(answer)
        return answer

    def take(self, answer, key, key_pem):
        """Keeps what was answered in one file: when to renew, key, certificate, chain."""
        try:
            leaf, chain = answer.json["certificate"], answer.json["chain"]
            certificate = x509.load_pem_x509_certificate(leaf.encode())
            issuers = x509.load_pem_x509_certificates(chain.encode()) if chain else []
            issuers.append(x509.load_pem_x509_certificate(self.store.root.read_bytes()))
            if certificate.public_key() != key.public_key():
                raise ValueError("the certificate is not for our key")
            for below, above in pairwise([certificate, *issuers]):
                below.verify_directly_issued_by(above)
            renew_after = answer.json["renewAfter"]
        except Exception as fault:  # whatever is wrong with it
            raise Ended(REFUSED, f"the answer is not kept: {fault!r}: {answer}") from None
        text = f"renew-after: {renew_after}\n".encode()
        self.store.keep(self.store.next, text + key_pem + leaf.encode() + chain.encode())

    def prove(self):
        """Proves that the next certificate works; then it is the one in use, by one rename."""
        store = self.store
        answer = self.server.post("/v1/certificates/confirm", b"", store.root, store.next)
        if answer.status == 204:
            # First: a key that stayed behind would be asked for again at the next renewal.
            store.remove(store.key)
            store.rename(store.next, store.device)
            say(f"in use: {store.device}, to be renewed after {self.renew_after()}")
        return answer

    def refused(self, answer):
        if answer.slug == "token-pending":
            raise Ended(LATER, f"{answer}; a certificate asked for with a new token goes first")
        if answer.slug in ("key-not-acceptable", "weak-key"):
            self.store.remove(self.store.key)  # never will be: the next run makes another
        raise Ended(REFUSED, f"refused: {answer}\n"
                    "your operator is told why, and what to do, by:"
                    f" cvm explain {answer.json.get('attempt', '')}\n"
                    f"where that is a new token (cvm device new-token {self.serial}): put it into"
                    f" {self.token_file}, remove device.pem")

    def renew_after(self):
        first, _, _ = self.store.device.read_text().partition("\n")
        return first.removeprefix("renew-after: ")

    def is_due(self):
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return now >= self.renew_after()


def main(arguments):
    if len(arguments) != 5:
        raise Ended(USAGE, "usage: device.py SERVER SERIAL FINGERPRINT TOKEN-FILE DIRECTORY")
    url, serial, fingerprint, token_file, directory = arguments
    fingerprint = fingerprint.replace(":", "").lower()
    if not re.fullmatch("https://[^/]+/?", url):
        raise Ended(USAGE, "SERVER is https://host:port")
    if not re.fullmatch("[0-9a-f]{64}", fingerprint):
        raise Ended(USAGE, "FINGERPRINT is 64 hexadecimal digits")
    server = Server(url, int(os.environ.get("CVM_TRIES", "6")))
    Device(server, serial, fingerprint, Path(token_file), Store(directory)).run()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Ended as end:
        say(end)
        sys.exit(end.code)
    except (OSError, ValueError) as fault:
        say(f"a local file cannot be used: {fault}")
        sys.exit(LOCAL)
