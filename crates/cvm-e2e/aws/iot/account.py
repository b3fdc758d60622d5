"""Everything that an account holds, and how AWS is told to behave."""

import base64
import collections
import datetime
import threading
import time
import uuid

from . import x509
from .refusal import Refusal, invalid, missing

ACCOUNT = "000000000000"

SETTINGS = {"latencyMs": 0, "quotas": {}, "detachLagMs": 0, "listLagMs": 0}
SETTINGS |= {"clockAheadSeconds": 0}


class Account:
    """One account, one lock: every call is atomic, as a single call to AWS is."""

    def __init__(self):
        self.lock = threading.RLock()
        self.amazon = x509.Amazon()
        self.registration_code = uuid.uuid4().hex * 2
        self.settings = dict(SETTINGS)
        self.certificates = {}
        self.authorities = {}
        self.things = {}
        self.policies = {}
        self.tags = {}
        self.shadows = {}
        self.connections = set()
        self.disconnected = []
        self.calls = []
        self.faults = []
        self.recent = collections.defaultdict(collections.deque)

    def now(self):
        return x509.now() + datetime.timedelta(seconds=self.settings["clockAheadSeconds"])

    def arn(self, region, resource):
        return f"arn:aws:iot:{region}:{ACCOUNT}:{resource}"

    def set(self, settings):
        unknown = set(settings) - set(SETTINGS)
        if unknown:
            raise ValueError(f"no such settings: {', '.join(unknown)}")
        self.settings.update(settings)

    def throttle(self, operation):
        """Refuses what is above the quota of calls a second."""
        quota = self.settings["quotas"].get(operation)
        if quota is None:
            return
        recent, moment = self.recent[operation], time.monotonic()
        while recent and recent[0] <= moment - 1:
            recent.popleft()
        if len(recent) >= quota:
            raise Refusal("ThrottlingException", "Rate exceeded")
        recent.append(moment)

    def certificate(self, identifier):
        if identifier not in self.certificates:
            raise missing(f"The certificate {identifier} does not exist")
        return self.certificates[identifier]

    def thing(self, name):
        if name not in self.things:
            raise missing(f"Thing {name} not found in account")
        return self.things[name]

    def policy(self, name):
        if name not in self.policies:
            raise missing(f"The policy {name} does not exist")
        return self.policies[name]

    def principal(self, arn):
        """The certificate that a principal is; nothing else is one here."""
        if ":cert/" not in arn:
            raise invalid(f"Invalid principal: {arn}")
        certificate = self.certificate(arn.rsplit("/", 1)[1])
        if certificate["arn"] != arn:
            raise missing(f"The principal {arn} does not exist")
        return certificate


def page(items, size, marker, name):
    """One page of a list, and what asks for the next."""
    try:
        begin = int(base64.urlsafe_b64decode(marker.encode())) if marker else 0
    except ValueError as error:
        raise invalid("Invalid marker") from error
    following = {}
    if begin + size < len(items):
        following = {name: base64.urlsafe_b64encode(str(begin + size).encode()).decode()}
    return items[begin:begin + size], following
