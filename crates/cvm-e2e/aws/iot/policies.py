"""Policies, what they are attached to, and tags."""

import json
import uuid

from .account import page
from .refusal import Refusal, exists, invalid, missing

# Without white space.
DOCUMENT_CHARACTERS_MAX = 2048
POLICIES_OF_A_PRINCIPAL_MAX = 10
PAGE = 25


def create_policy(account, region, policyName, policyDocument, tags=()):
    _check(policyDocument)
    arn = account.arn(region, f"policy/{policyName}")
    if policyName in account.policies:
        raise exists("Policy cannot be created - name already exists", policyName, arn)
    account.policies[policyName] = {
        "name": policyName,
        "arn": arn,
        "document": policyDocument,
        "created": account.now(),
        "generation": str(uuid.uuid4()),
    }
    account.tags[arn] = {tag["Key"]: tag.get("Value", "") for tag in tags}
    return {
        "policyName": policyName,
        "policyArn": arn,
        "policyDocument": policyDocument,
        "policyVersionId": "1",
    }


def _check(document):
    def malformed(message):
        return Refusal("MalformedPolicyException", message)

    try:
        policy = json.loads(document)
    except ValueError as error:
        raise malformed("Policy document is malformed") from error
    if not isinstance(policy, dict) or not {"Version", "Statement"} <= set(policy):
        raise malformed("Policy document has no Version or no Statement")
    if len("".join(document.split())) > DOCUMENT_CHARACTERS_MAX:
        raise malformed(f"Policy document exceeds {DOCUMENT_CHARACTERS_MAX} characters")


def get_policy(account, region, policyName):
    kept = account.policy(policyName)
    return {
        "policyName": policyName,
        "policyArn": kept["arn"],
        "policyDocument": kept["document"],
        "defaultVersionId": "1",
        "creationDate": kept["created"],
        "lastModifiedDate": kept["created"],
        "generationId": kept["generation"],
    }


def list_policies(account, region, marker=None, pageSize=PAGE, ascendingOrder=False):
    found = [{"policyName": it["name"], "policyArn": it["arn"]} for it in account.policies.values()]
    items, following = page(found, pageSize, marker, "nextMarker")
    return {"policies": items, **following}


def delete_policy(account, region, policyName):
    account.policy(policyName)
    if any(policyName in it["policies"] for it in account.certificates.values()):
        raise Refusal("DeleteConflictException", "The policy is attached")
    del account.policies[policyName]
    return {}


def attach_policy(account, region, policyName, target):
    account.policy(policyName)
    attached = account.principal(target)["policies"]
    if policyName not in attached:
        if len(attached) >= POLICIES_OF_A_PRINCIPAL_MAX:
            raise Refusal("LimitExceededException", "Too many policies are attached to the target")
        attached.append(policyName)
    return {}


def detach_policy(account, region, policyName, target):
    # Its model has no error for what is not there: it is detached, then.
    certificate = account.certificates.get(target.rsplit("/", 1)[-1])
    if ":cert/" not in target:
        raise invalid(f"Invalid target: {target}")
    if certificate and policyName in certificate["policies"]:
        certificate["policies"].remove(policyName)
    return {}


def list_attached_policies(
    account, region, target, recursive=False, marker=None, pageSize=PAGE
):
    found = [
        {"policyName": name, "policyArn": account.policies[name]["arn"]}
        for name in account.principal(target)["policies"]
    ]
    items, following = page(found, pageSize, marker, "nextMarker")
    return {"policies": items, **following}


def list_targets_for_policy(account, region, policyName, marker=None, pageSize=PAGE):
    account.policy(policyName)
    found = [it["arn"] for it in account.certificates.values() if policyName in it["policies"]]
    items, following = page(found, pageSize, marker, "nextMarker")
    return {"targets": items, **following}


def _tags_of(account, arn):
    if ":cert/" in arn or ":thing/" in arn:
        raise invalid(f"{arn} cannot be tagged")
    if arn not in account.tags:
        raise missing(f"{arn} does not exist")
    return account.tags[arn]


def tag_resource(account, region, resourceArn, tags):
    _tags_of(account, resourceArn).update({tag["Key"]: tag.get("Value", "") for tag in tags})
    return {}


def untag_resource(account, region, resourceArn, tagKeys):
    for key in tagKeys:
        _tags_of(account, resourceArn).pop(key, None)
    return {}


def list_tags_for_resource(account, region, resourceArn, nextToken=None):
    tags = _tags_of(account, resourceArn).items()
    return {"tags": [{"Key": key, "Value": value} for key, value in tags]}
