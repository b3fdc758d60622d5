"""From a request to an answer: the gate, the model, the operation."""

import time
import traceback

from . import authorities, certificates, data, policies, things
from .model import service
from .refusal import Fault, Refusal
from .signature import check

OPERATIONS = {
    name.replace("_", ""): function
    for module in (authorities, certificates, data, policies, things)
    for name, function in vars(module).items()
    if callable(function) and getattr(function, "__module__", None) == module.__name__
    and not name.startswith("_")
}


def answer(account, request):
    """Status, fields and body for one request, which the account notes."""
    name = "?"
    try:
        region, signed_for = check(request)
        model = service(signed_for)
        operation, names = model.find(request.method, request.path)
        name = operation.name
    except Refusal as refusal:
        return _gate(account, name, refusal)
    if account.settings["latencyMs"]:
        time.sleep(account.settings["latencyMs"] / 1000)
    try:
        return _run(account, region, model, operation, names, request)
    except Exception as fault:
        # Ours, whatever it is: the caller did nothing wrong.
        told = str(fault) if isinstance(fault, Fault) else traceback.format_exc()
        with account.lock:
            account.faults.append(f"{name}: {told}")
        return 500, {"x-amzn-ErrorType": "StandInFault"}, told.encode()


def _run(account, region, model, operation, names, request):
    function = OPERATIONS.get(operation.name.lower())
    if function is None:
        raise Fault("no such operation in this stand-in")
    call = {"operation": operation.name, "error": None}
    with account.lock:
        account.calls.append(call)
        try:
            account.throttle(operation.name)
            parameters = model.read(operation, names, request)
            result = function(account, region, **parameters)
            return model.write(operation, result)
        except Refusal as refusal:
            call["error"] = refusal.code
            return model.write_refusal(operation, refusal)


def _gate(account, name, refusal):
    with account.lock:
        account.calls.append({"operation": name, "error": refusal.code})
    return service("iot").write_refusal(None, refusal)
