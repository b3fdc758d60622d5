"""Asks for one certificate without retries, and prints what came of it: create.py URL"""

import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

key = ec.generate_private_key(ec.SECP256R1())
request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256())
pem = request.public_bytes(serialization.Encoding.PEM).decode()
config = Config(retries={"total_max_attempts": 1}, read_timeout=3)
iot = boto3.client("iot", endpoint_url=sys.argv[1], config=config)
try:
    iot.create_certificate_from_csr(certificateSigningRequest=pem)
    print("made")
except ClientError as error:
    print(error.response["Error"]["Code"])
except HTTPClientError as error:
    print(type(error).__name__)
