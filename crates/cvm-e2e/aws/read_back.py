"""What AWS's own client sees of a vended device: read_back.py URL CERTIFICATE THING POLICY PEM"""

import hashlib
import sys

import boto3
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

url, identifier, thing, policy, pem = sys.argv[1:]
iot = boto3.client("iot", endpoint_url=url)
described = iot.describe_certificate(certificateId=identifier)["certificateDescription"]
assert described["status"] == "ACTIVE", described
made = x509.load_pem_x509_certificate(described["certificatePem"].encode())
answered = x509.load_pem_x509_certificate(pem.encode())
assert made == answered, "what was answered is not what AWS has"
assert hashlib.sha256(made.public_bytes(Encoding.DER)).hexdigest() == identifier
arn = described["certificateArn"]
assert iot.list_thing_principals(thingName=thing)["principals"] == [arn]
attached = iot.list_attached_policies(target=arn)["policies"]
assert [it["policyName"] for it in attached] == [policy], attached
attributes = iot.describe_thing(thingName=thing)["attributes"]
assert attributes.get("RegistrationWay") == "CVM", attributes
