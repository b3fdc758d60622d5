"""Certificates: made, registered, told of, moved between states, deleted."""

import time
import uuid

from . import x509
from .account import ACCOUNT, page
from .refusal import Refusal, exists, invalid

# Those that a caller may ask for. The other two are AWS's own, in the words of its documentation.
SETTABLE = ("ACTIVE", "INACTIVE", "REVOKED", "PENDING_ACTIVATION")
PAGE = 25


def _keep(account, region, certificate, status, mode, authority=None):
    identifier = x509.id_of(certificate)
    arn = account.arn(region, f"cert/{identifier}")
    if identifier in account.certificates:
        arn = account.certificates[identifier]["arn"]
        raise exists("The certificate is already registered", identifier, arn)
    account.certificates[identifier] = {
        "id": identifier,
        "arn": arn,
        "status": status,
        "pem": x509.pem_of(certificate),
        "certificate": certificate,
        "publicKeySha256": x509.key_hash_of(certificate),
        "mode": mode,
        "authority": authority,
        "created": account.now(),
        "modified": account.now(),
        "listed_from": time.monotonic() + account.settings["listLagMs"] / 1000,
        "version": 1,
        "generation": str(uuid.uuid4()),
        # By thing, how it is attached.
        "things": {},
        "policies": [],
        "history": [[len(account.calls), status]],
    }
    return account.certificates[identifier]


def create_certificate_from_csr(account, region, certificateSigningRequest, setAsActive=False):
    certificate = account.amazon.sign(certificateSigningRequest)
    kept = _keep(account, region, certificate, "ACTIVE" if setAsActive else "INACTIVE", "DEFAULT")
    return {"certificateArn": kept["arn"], "certificateId": kept["id"], "certificatePem": kept["pem"]}


def register_certificate(
    account, region, certificatePem, caCertificatePem=None, setAsActive=None, status=None
):
    if setAsActive is not None and status is not None:
        raise invalid("setAsActive and status exclude each other")
    status = _registered_status(status or ("ACTIVE" if setAsActive else "INACTIVE"))
    certificate = x509.read(certificatePem)
    known = [
        (identifier, authority)
        for identifier, authority in account.authorities.items()
        if x509.is_signed_by(certificate, authority["certificate"])
    ]
    if caCertificatePem is not None:
        named = x509.id_of(x509.read(caCertificatePem))
        known = [(identifier, authority) for identifier, authority in known if identifier == named]
    if not known:
        message = "The certificate is not signed by a registered CA"
        raise Refusal("CertificateValidationException", message)
    identifier, authority = known[0]
    if authority["status"] != "ACTIVE":
        raise Refusal("CertificateStateException", "The CA certificate is not ACTIVE")
    kept = _keep(account, region, certificate, status, "DEFAULT", identifier)
    return {"certificateArn": kept["arn"], "certificateId": kept["id"]}


def register_certificate_without_ca(account, region, certificatePem, status="INACTIVE"):
    kept = _keep(
        account, region, x509.read(certificatePem), _registered_status(status), "SNI_ONLY"
    )
    return {"certificateArn": kept["arn"], "certificateId": kept["id"]}


def _registered_status(status):
    if status not in SETTABLE:
        raise invalid(f"A certificate cannot be registered as {status}")
    return status


def describe_certificate(account, region, certificateId):
    kept = account.certificate(certificateId)
    certificate = kept["certificate"]
    description = {
        "certificateArn": kept["arn"],
        "certificateId": kept["id"],
        "status": kept["status"],
        "certificatePem": kept["pem"],
        "ownedBy": ACCOUNT,
        "creationDate": kept["created"],
        "lastModifiedDate": kept["modified"],
        "customerVersion": kept["version"],
        "transferData": {},
        "generationId": kept["generation"],
        "validity": {
            "notBefore": certificate.not_valid_before_utc,
            "notAfter": certificate.not_valid_after_utc,
        },
        "certificateMode": kept["mode"],
    }
    if kept["authority"]:
        description["caCertificateId"] = kept["authority"]
    return {"certificateDescription": description}


def update_certificate(account, region, certificateId, newStatus):
    kept = account.certificate(certificateId)
    if newStatus not in SETTABLE:
        raise invalid(f"A certificate cannot be set to {newStatus}")
    # AWS takes a REVOKED one back to ACTIVE, and so it is done here.
    if newStatus != kept["status"]:
        kept["status"] = newStatus
        kept["modified"] = account.now()
        kept["version"] += 1
        kept["history"].append([len(account.calls), newStatus])
    return {}


def list_certificates(account, region, pageSize=PAGE, marker=None, ascendingOrder=False):
    return _listed(account, account.certificates.values(), pageSize, marker, ascendingOrder)


def list_certificates_by_ca(
    account, region, caCertificateId, pageSize=PAGE, marker=None, ascendingOrder=False
):
    theirs = [it for it in account.certificates.values() if it["authority"] == caCertificateId]
    return _listed(account, theirs, pageSize, marker, ascendingOrder)


def _listed(account, kept, size, marker, ascending):
    seen = [it for it in kept if it["listed_from"] <= time.monotonic()]
    if not ascending:
        # They are kept in the order in which they were made.
        seen.reverse()
    listed = [
        {
            "certificateArn": it["arn"],
            "certificateId": it["id"],
            "status": it["status"],
            "certificateMode": it["mode"],
            "creationDate": it["created"],
        }
        for it in seen
    ]
    items, following = page(listed, size, marker, "nextMarker")
    return {"certificates": items, **following}


def delete_certificate(account, region, certificateId, forceDelete=False):
    kept = account.certificate(certificateId)
    if kept["status"] == "ACTIVE":
        message = "Certificate must be deactivated (not ACTIVE) before deletion."
        raise Refusal("CertificateStateException", message)
    if kept["things"]:
        message = f"Things must be detached before deletion (arn: {kept['arn']})"
        raise Refusal("DeleteConflictException", message)
    if kept["policies"] and not forceDelete:
        message = f"Certificate policies must be detached before deletion (arn: {kept['arn']})"
        raise Refusal("DeleteConflictException", message)
    del account.certificates[certificateId]
    return {}
