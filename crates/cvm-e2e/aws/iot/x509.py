"""Certificates and requests, by the `cryptography` package, which is OpenSSL."""

import datetime
import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from .refusal import Refusal, invalid

# As AWS does: two minutes back, and a day that is far enough for everybody.
BACKDATE = datetime.timedelta(minutes=2)
NOT_AFTER = datetime.datetime(2049, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
CURVES = ("secp256r1", "secp384r1", "secp521r1")
RSA_BITS_MIN = 2048


def _bad(message):
    return Refusal("CertificateValidationException", message)


def now():
    return datetime.datetime.now(datetime.UTC)


def pem_of(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def id_of(certificate):
    return certificate.fingerprint(hashes.SHA256()).hex()


def key_hash_of(certificate):
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(certificate.public_key().public_bytes(*form)).hexdigest()


def _is_accepted(key):
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= RSA_BITS_MIN
    return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES


class Amazon:
    """The CA that signs what is asked for by CSR."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        # The very name that AWS's has.
        unit = "Amazon Web Services O=Amazon.com Inc. L=Seattle ST=Washington C=US"
        self.name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        builder = self._builder(self.name, self.key.public_key())
        builder = builder.add_extension(constraints, critical=True)
        self.certificate = builder.sign(self.key, hashes.SHA256())

    def _builder(self, subject, key):
        builder = x509.CertificateBuilder(issuer_name=self.name, subject_name=subject, public_key=key)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(now() - BACKDATE).not_valid_after(NOT_AFTER)

    def sign(self, pem):
        """A certificate with a CSR's key and, to the byte, its subject."""
        try:
            request = x509.load_pem_x509_csr(pem.encode())
            is_signed = request.is_signature_valid
        except Exception as error:
            raise invalid(f"The CSR is malformed: {error}") from error
        if not is_signed:
            raise invalid("The CSR's signature does not verify")
        if not _is_accepted(request.public_key()):
            raise invalid("The CSR's key is neither RSA of 2048 bits or more nor on a NIST curve")
        usage = {name: False for name in (
            "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
            "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")}
        ours = self.key.public_key()
        builder = self._builder(request.subject, request.public_key())
        for extension, critical in (
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(ours), False),
            (x509.SubjectKeyIdentifier.from_public_key(request.public_key()), False),
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.KeyUsage(digital_signature=True, **usage), True),
        ):
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self.key, hashes.SHA256())


def read(pem):
    """One certificate that AWS would take."""
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
        key = found[0].public_key()
    except Exception as error:
        raise _bad(f"The certificate is malformed: {error}") from error
    if len(found) != 1:
        raise _bad("One certificate is wanted")
    if not _is_accepted(key):
        raise _bad("The key is neither RSA of 2048 bits or more nor on a NIST curve")
    if found[0].not_valid_after_utc < now():
        raise _bad("The certificate has expired")
    return found[0]


def is_authority(certificate):
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def is_signed_by(certificate, authority):
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def common_name(certificate):
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return names[0].value if names else ""
