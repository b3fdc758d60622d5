"""What moto's KMS leaves out, and AWS's does: digests to sign (`MessageType=DIGEST`), salts as long as
the digest, a refusal of digests of another length and of keys that are disabled or on their way out,
and the ARN that GetPublicKey tells."""

import json
import threading

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from moto.core.exceptions import JsonRESTError
from moto.kms.exceptions import ValidationException
from moto.kms.responses import KmsResponse
from moto.kms.utils import ECDSAPrivateKey, RSAPrivateKey

CALL = threading.local()
RAW_BYTES_MAX = 4096


def _as_told(algorithm, message):
    if CALL.is_digest:
        if len(message) != algorithm.digest_size:
            raise ValidationException("Digest is invalid length for algorithm.")
        return Prehashed(algorithm)
    if len(message) > RAW_BYTES_MAX:
        raise ValidationException("Member must have length less than or equal to 4096")
    return algorithm


def _usable(self):
    """The key that is asked for, in a state in which AWS uses it."""
    key_id = self._get_param("KeyId")
    self._validate_key_id(key_id)
    key = self.kms_backend.describe_key(key_id)
    if key.key_state == "PendingDeletion":
        raise JsonRESTError("KMSInvalidStateException", f"{key.arn} is pending deletion.")
    if key.key_state != "Enabled":
        raise JsonRESTError("DisabledException", f"{key.arn} is disabled.")
    return key


def _with_arn(handler):
    def handle(self):
        key = _usable(self)
        return json.dumps({**json.loads(handler(self)), "KeyId": key.arn, "KeySpec": key.key_spec})

    return handle


def _told(handler):
    def handle(self):
        _usable(self)
        CALL.is_digest = self._get_param("MessageType") == "DIGEST"
        CALL.message = self._get_param("Message")
        return handler(self)

    return handle


def mend():
    ec_name = "_ECDSAPrivateKey__hash_algorithm"
    rsa_name = "_RSAPrivateKey__padding_and_hash_algorithm"
    ec_before, rsa_before = getattr(ECDSAPrivateKey, ec_name), getattr(RSAPrivateKey, rsa_name)

    def of_ec(self, signing_algorithm):
        return _as_told(ec_before(self, signing_algorithm), CALL.message)

    def of_rsa(self, signing_algorithm):
        pad, algorithm = rsa_before(self, signing_algorithm)
        if isinstance(pad, padding.PSS):
            pad = padding.PSS(padding.MGF1(algorithm), padding.PSS.DIGEST_LENGTH)
        return pad, _as_told(algorithm, CALL.message)

    setattr(ECDSAPrivateKey, ec_name, of_ec)
    setattr(RSAPrivateKey, rsa_name, of_rsa)
    KmsResponse.sign = _told(KmsResponse.sign)
    KmsResponse.verify = _told(KmsResponse.verify)
    KmsResponse.get_public_key = _with_arn(KmsResponse.get_public_key)
