"""Things, and the certificates that are theirs."""

import time
import uuid

from .account import page
from .refusal import Refusal, exists, invalid, missing

ATTRIBUTES_WITHOUT_TYPE = 3
PAGE = 25


def create_thing(
    account, region, thingName, thingTypeName=None, attributePayload=None, billingGroupName=None
):
    if thingTypeName is not None:
        raise missing(f"Thing type {thingTypeName} not found in account")
    if billingGroupName is not None:
        raise missing(f"Billing group {billingGroupName} not found in account")
    attributes = dict((attributePayload or {}).get("attributes", {}))
    _check(attributes)
    kept = account.things.get(thingName)
    if kept is None:
        kept = account.things[thingName] = {
            "name": thingName,
            "id": str(uuid.uuid4()),
            "arn": account.arn(region, f"thing/{thingName}"),
            "attributes": attributes,
            "version": 1,
            "detached": 0.0,
        }
    elif kept["attributes"] != attributes:
        message = f"Thing {thingName} already exists in account with different attributes"
        raise exists(message, kept["id"], kept["arn"])
    return {"thingName": thingName, "thingArn": kept["arn"], "thingId": kept["id"]}


def _check(attributes):
    if len(attributes) > ATTRIBUTES_WITHOUT_TYPE:
        raise invalid(f"A thing without a type has at most {ATTRIBUTES_WITHOUT_TYPE} attributes")
    if any(not value for value in attributes.values()):
        raise invalid("Attribute values cannot be empty")


def describe_thing(account, region, thingName):
    kept = account.thing(thingName)
    return {
        "defaultClientId": thingName,
        "thingName": thingName,
        "thingId": kept["id"],
        "thingArn": kept["arn"],
        "attributes": kept["attributes"],
        "version": kept["version"],
    }


def update_thing(
    account,
    region,
    thingName,
    thingTypeName=None,
    attributePayload=None,
    expectedVersion=None,
    removeThingType=False,
):
    kept = account.thing(thingName)
    if thingTypeName is not None:
        raise missing(f"Thing type {thingTypeName} not found in account")
    _check_version(kept, expectedVersion)
    if attributePayload is not None:
        new = dict(attributePayload.get("attributes", {}))
        if attributePayload.get("merge", False):
            merged = {**kept["attributes"], **new}
            # An empty value takes the attribute away.
            new = {name: value for name, value in merged.items() if value}
        _check(new)
        kept["attributes"] = new
    kept["version"] += 1
    return {}


def _check_version(kept, expected):
    if expected is not None and expected != kept["version"]:
        message = f"Thing {kept['name']} is at version {kept['version']}, not {expected}"
        raise Refusal("VersionConflictException", message)


def delete_thing(account, region, thingName, expectedVersion=None):
    kept = account.things.get(thingName)
    if kept is None:
        # "Returns successfully with no error if … you specify a thing that doesn't exist."
        return {}
    _check_version(kept, expectedVersion)
    if _principals(account, thingName) or kept["detached"] > time.monotonic():
        message = f"Cannot delete. Thing {thingName} is still attached to one or more principals"
        raise invalid(message)
    del account.things[thingName]
    return {}


def _principals(account, name):
    return [it for it in account.certificates.values() if name in it["things"]]


def attach_thing_principal(
    account, region, thingName, principal, thingPrincipalType="NON_EXCLUSIVE_THING"
):
    account.thing(thingName)
    certificate = account.principal(principal)
    others = {name: kind for name, kind in certificate["things"].items() if name != thingName}
    if others and (thingPrincipalType == "EXCLUSIVE_THING" or "EXCLUSIVE_THING" in others.values()):
        raise invalid("The principal is attached to another thing")
    certificate["things"][thingName] = thingPrincipalType
    return {}


def detach_thing_principal(account, region, thingName, principal):
    kept = account.thing(thingName)
    certificate = account.principal(principal)
    if certificate["things"].pop(thingName, None) is None:
        raise missing(f"{principal} is not attached to {thingName}")
    # "This call is asynchronous. It might take several seconds for the detachment to propagate."
    kept["detached"] = time.monotonic() + account.settings["detachLagMs"] / 1000
    return {}


def list_thing_principals(account, region, thingName, maxResults=PAGE, nextToken=None):
    account.thing(thingName)
    arns = [it["arn"] for it in _principals(account, thingName)]
    items, following = page(arns, maxResults, nextToken, "nextToken")
    return {"principals": items, **following}


def list_thing_principals_v2(
    account, region, thingName, maxResults=PAGE, nextToken=None, thingPrincipalType=None
):
    account.thing(thingName)
    found = [
        {"principal": it["arn"], "thingPrincipalType": it["things"][thingName]}
        for it in _principals(account, thingName)
        if thingPrincipalType in (None, it["things"][thingName])
    ]
    items, following = page(found, maxResults, nextToken, "nextToken")
    return {"thingPrincipalObjects": items, **following}


def list_principal_things(account, region, principal, maxResults=PAGE, nextToken=None):
    names = list(account.principal(principal)["things"])
    items, following = page(names, maxResults, nextToken, "nextToken")
    return {"things": items, **following}


def list_things(
    account,
    region,
    nextToken=None,
    maxResults=PAGE,
    attributeName=None,
    attributeValue=None,
    thingTypeName=None,
    usePrefixAttributeValue=False,
):
    found = [
        {
            "thingName": it["name"],
            "thingArn": it["arn"],
            "attributes": it["attributes"],
            "version": it["version"],
        }
        for it in account.things.values()
        if attributeName is None or it["attributes"].get(attributeName) == attributeValue
    ]
    items, following = page(found, maxResults, nextToken, "nextToken")
    return {"things": items, **following}
