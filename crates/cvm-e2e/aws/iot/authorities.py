"""CA certificates of the account's own."""

import uuid

from . import x509
from .account import ACCOUNT, page
from .refusal import Refusal, exists, invalid, missing

PAGE = 25


def _find(account, identifier):
    if identifier not in account.authorities:
        raise missing(f"The CA certificate {identifier} does not exist")
    return account.authorities[identifier]


def get_registration_code(account, region):
    return {"registrationCode": account.registration_code}


def register_ca_certificate(
    account,
    region,
    caCertificate,
    verificationCertificate=None,
    setAsActive=False,
    allowAutoRegistration=False,
    registrationConfig=None,
    tags=(),
    certificateMode="DEFAULT",
):
    certificate = x509.read(caCertificate)
    if not x509.is_authority(certificate):
        raise Refusal("CertificateValidationException", "The certificate is none of a CA")
    _verify(account, certificate, verificationCertificate, certificateMode)
    identifier = x509.id_of(certificate)
    arn = account.arn(region, f"cacert/{identifier}")
    if identifier in account.authorities:
        raise exists("The CA certificate is already registered", identifier, arn)
    account.authorities[identifier] = {
        "id": identifier,
        "arn": arn,
        "pem": x509.pem_of(certificate),
        "certificate": certificate,
        "status": "ACTIVE" if setAsActive else "INACTIVE",
        "auto": "ENABLE" if allowAutoRegistration else "DISABLE",
        "config": registrationConfig,
        "mode": certificateMode,
        "created": account.now(),
        "modified": account.now(),
        "version": 1,
        "generation": str(uuid.uuid4()),
    }
    account.tags[arn] = {tag["Key"]: tag.get("Value", "") for tag in tags}
    return {"certificateArn": arn, "certificateId": identifier}


def _verify(account, certificate, verification, mode):
    if mode == "SNI_ONLY":
        if verification is not None:
            raise invalid("SNI_ONLY takes no verification certificate")
        return
    if verification is None:
        raise invalid("DEFAULT needs a verification certificate")
    proof = x509.read(verification)
    if not x509.is_signed_by(proof, certificate):
        message = "The verification certificate is not signed by the CA"
        raise Refusal("CertificateValidationException", message)
    if x509.common_name(proof) != account.registration_code:
        message = "The verification certificate's common name is not the registration code"
        raise Refusal("RegistrationCodeValidationException", message)


def describe_ca_certificate(account, region, certificateId):
    kept = _find(account, certificateId)
    certificate = kept["certificate"]
    description = {
        "certificateArn": kept["arn"],
        "certificateId": kept["id"],
        "status": kept["status"],
        "certificatePem": kept["pem"],
        "ownedBy": ACCOUNT,
        "creationDate": kept["created"],
        "autoRegistrationStatus": kept["auto"],
        "lastModifiedDate": kept["modified"],
        "customerVersion": kept["version"],
        "generationId": kept["generation"],
        "validity": {
            "notBefore": certificate.not_valid_before_utc,
            "notAfter": certificate.not_valid_after_utc,
        },
        "certificateMode": kept["mode"],
    }
    config = {"registrationConfig": kept["config"]} if kept["config"] else {}
    return {"certificateDescription": description, **config}


def update_ca_certificate(
    account,
    region,
    certificateId,
    newStatus=None,
    newAutoRegistrationStatus=None,
    registrationConfig=None,
    removeAutoRegistration=False,
):
    kept = _find(account, certificateId)
    kept["status"] = newStatus or kept["status"]
    kept["auto"] = newAutoRegistrationStatus or kept["auto"]
    kept["config"] = None if removeAutoRegistration else registrationConfig or kept["config"]
    kept["modified"] = account.now()
    kept["version"] += 1
    return {}


def list_ca_certificates(
    account, region, pageSize=PAGE, marker=None, ascendingOrder=False, templateName=None
):
    seen = list(account.authorities.values())
    if not ascendingOrder:
        seen.reverse()
    listed = [
        {
            "certificateArn": it["arn"],
            "certificateId": it["id"],
            "status": it["status"],
            "creationDate": it["created"],
        }
        for it in seen
    ]
    items, following = page(listed, pageSize, marker, "nextMarker")
    return {"certificates": items, **following}


def delete_ca_certificate(account, region, certificateId):
    if _find(account, certificateId)["status"] == "ACTIVE":
        raise Refusal("CertificateStateException", "The CA certificate is ACTIVE")
    del account.authorities[certificateId]
    return {}
