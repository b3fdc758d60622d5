"""The data plane: endpoints, connections and shadows."""

import json
import time

from .refusal import Refusal, missing

PREFIX = "a1b2c3d4e5f6g7"
DOMAINS = {
    "iot:Data": "{prefix}.iot.{region}.amazonaws.com",
    "iot:Data-ATS": "{prefix}-ats.iot.{region}.amazonaws.com",
    "iot:CredentialProvider": "{prefix}.credentials.iot.{region}.amazonaws.com",
    "iot:Jobs": "{prefix}.jobs.iot.{region}.amazonaws.com",
}
SHADOW_BYTES_MAX = 8192


def describe_endpoint(account, region, endpointType="iot:Data"):
    if endpointType not in DOMAINS:
        raise Refusal("InvalidRequestException", f"Invalid endpoint type: {endpointType}")
    return {"endpointAddress": DOMAINS[endpointType].format(prefix=PREFIX, region=region)}


def delete_connection(
    account, region, clientId, cleanSession=False, preventWillMessage=False
):
    if clientId not in account.connections:
        raise missing(f"Client {clientId} is not connected")
    account.connections.discard(clientId)
    account.disconnected.append(clientId)
    return {}


def get_thing_shadow(account, region, thingName, shadowName=None):
    kept = account.shadows.get((thingName, shadowName))
    if kept is None:
        raise missing(f"No shadow exists with name: '{thingName}'")
    return {"payload": json.dumps(_document(kept)).encode()}


def update_thing_shadow(account, region, thingName, payload, shadowName=None):
    if len(payload) > SHADOW_BYTES_MAX:
        raise Refusal("RequestEntityTooLargeException", "The payload exceeds the maximum size")
    try:
        asked = json.loads(payload)
    except ValueError as error:
        raise Refusal("InvalidRequestException", "Payload contains invalid json") from error
    if not isinstance(asked, dict) or not isinstance(asked.get("state"), dict):
        raise Refusal("InvalidRequestException", "Missing required node: state")
    kept = account.shadows.setdefault((thingName, shadowName), {"state": {}, "version": 0})
    if asked.get("version") not in (None, kept["version"]):
        raise Refusal("ConflictException", "Version conflict")
    for part in ("desired", "reported"):
        if part in asked["state"]:
            kept["state"][part] = _merged(kept["state"].get(part), asked["state"][part])
    kept["state"] = {part: value for part, value in kept["state"].items() if value is not None}
    kept["version"] += 1
    answer = {"state": asked["state"], "version": kept["version"], "timestamp": int(time.time())}
    return {"payload": json.dumps(answer).encode()}


def _merged(old, new):
    """Null takes away; objects are merged; anything else takes the place of what was there."""
    if not isinstance(new, dict):
        return new
    old = dict(old) if isinstance(old, dict) else {}
    for name, value in new.items():
        merged = _merged(old.get(name), value)
        if merged is None:
            old.pop(name, None)
        else:
            old[name] = merged
    return old


def delete_thing_shadow(account, region, thingName, shadowName=None):
    kept = account.shadows.pop((thingName, shadowName), None)
    if kept is None:
        raise missing(f"No shadow exists with name: '{thingName}'")
    answer = {"version": kept["version"], "timestamp": int(time.time())}
    return {"payload": json.dumps(answer).encode()}


def _document(kept):
    return {**kept, "timestamp": int(time.time())}
