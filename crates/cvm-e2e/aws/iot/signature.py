"""Signature Version 4, computed again with botocore's own signer."""

import re

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from .model import SERVICES
from .refusal import Refusal

# The example of AWS's documentation; `src/aws.rs` has the same.
CREDENTIALS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)/"
    r"(?P<service>[^/]+)/aws4_request, ?SignedHeaders=(?P<signed>[^,]+), ?Signature=(?P<signature>\w+)"
)


def check(request):
    """Region and service that a request is signed for."""
    found = AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if not found or found["service"] not in SERVICES:
        raise Refusal("MissingAuthenticationTokenException", "not signed for AWS IoT")
    auth = SigV4Auth(CREDENTIALS, found["service"], found["region"])
    url = f"http://{request.headers['host']}{request.path}"
    url += f"?{request.query}" if request.query else ""
    signed = {name: request.headers.get(name, "") for name in found["signed"].split(";")}
    again = AWSRequest(method=request.method, url=url, headers=signed, data=request.body)
    again.context["timestamp"] = request.headers.get("x-amz-date", "")
    text = auth.string_to_sign(again, auth.canonical_request(again))
    if found["key"] != CREDENTIALS.access_key or auth.signature(text, again) != found["signature"]:
        raise Refusal("InvalidSignatureException", "the signature is not that of the test's key")
    return found["region"], found["service"]
