"""HTTP into operations and back, by the service models that botocore ships.

What comes in is parsed by the model, and written again by botocore's serializer: both must agree.
What goes out is written here, and read again by botocore's parser: both must agree, too.
"""

import base64
import datetime
import functools
import json
import re
from urllib.parse import parse_qsl, unquote

import botocore.session
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from . import shapes
from .refusal import Fault, Refusal, invalid

# By the name in a signature's scope.
SERVICES = {"iot": "iot", "iotdata": "iot-data", "iotdevicegateway": "iot-data"}
# Of the gate before every service, and so in no model.
OF_THE_GATE = {"MissingAuthenticationTokenException": 403, "InvalidSignatureException": 403}
OF_THE_GATE |= {"UnknownOperationException": 404}


@functools.cache
def service(name):
    session = botocore.session.Session()
    return Service(session.get_service_model(SERVICES[name]))


class Service:
    """The operations of one model, found by method and path."""

    def __init__(self, model):
        self.serializer = create_serializer(model.metadata["protocol"], include_validation=True)
        self.parser = create_parser(model.metadata["protocol"])
        operations = (model.operation_model(name) for name in model.operation_names)
        # The fewer holes a path has, the sooner it is tried.
        self.routes = sorted(
            ((_pattern(operation), operation) for operation in operations),
            key=lambda route: route[1].http["requestUri"].count("{"),
        )

    def find(self, method, path):
        """The operation, and what its path names."""
        for pattern, operation in self.routes:
            found = pattern.fullmatch(path)
            if found and operation.http["method"] == method:
                names = {name: unquote(value) for name, value in found.groupdict().items()}
                return operation, names
        raise Refusal("UnknownOperationException", f"{method} {path} is no operation")

    def read(self, operation, names, request):
        """The parameters of a request, or what AWS would refuse of it."""
        shape = operation.input_shape
        if shape is None:
            return {}
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        parameters, body = {}, {}
        payload = shape.serialization.get("payload")
        if payload is None and request.body:
            body = _json_object(request.body)
        for name, member in shape.members.items():
            location = member.serialization.get("location")
            wire = member.serialization.get("name", name)
            if name == payload:
                parameters[name] = request.body
            elif location == "uri":
                parameters[name] = names[wire]
            elif location == "querystring" and wire in query:
                parameters[name] = _from_text(query.pop(wire), member)
            elif location == "header" and wire.lower() in request.headers:
                parameters[name] = _from_text(request.headers[wire.lower()], member)
            elif location is None and wire in body:
                parameters[name] = body.pop(wire)
        if query or body:
            raise invalid(f"{operation.name} does not know {', '.join([*query, *body])}")
        found = shapes.problems(parameters, shape)
        if found:
            raise invalid("; ".join(found))
        self._agree(operation, parameters, request)
        return parameters

    def _agree(self, operation, parameters, request):
        ours = self.serializer.serialize_to_request(parameters, operation)
        sent = (unquote(request.path), _texts(dict(parse_qsl(request.query))), _content(request.body))
        written = (unquote(ours["url_path"]), _texts(ours["query_string"]), _content(ours["body"]))
        if sent != written:
            raise invalid(f"botocore would have sent {written}, this is {sent}")

    def write(self, operation, answer):
        """Status, fields and body of an answer."""
        status = operation.http.get("responseCode", 200)
        shape = operation.output_shape
        if shape is None:
            if answer:
                raise Fault(f"{operation.name} answers nothing, not {answer}")
            return status, {}, b""
        found = shapes.problems(answer, shape)
        if found:
            raise Fault(f"{operation.name}: {'; '.join(found)}")
        payload = shape.serialization.get("payload")
        if payload:
            body = answer.get(payload, b"")
        else:
            body = json.dumps(_to_json(answer, shape)).encode()
        fields = {"Content-Type": "application/json"}
        parsed = self.parser.parse({"status_code": status, "headers": fields, "body": body}, shape)
        parsed.pop("ResponseMetadata", None)
        if payload:
            parsed[payload] = parsed[payload].read() if hasattr(parsed[payload], "read") else body
        if _comparable(parsed) != _comparable(answer):
            raise Fault(f"{operation.name}: botocore reads {parsed}, not {answer}")
        return status, fields, body

    def write_refusal(self, operation, refusal):
        """The same of an error, which has to be one of those that the operation has."""
        code = refusal.code
        shape = None
        if code in OF_THE_GATE:
            status = OF_THE_GATE[code]
        else:
            known = {shape.name: shape for shape in operation.error_shapes}
            if code not in known:
                raise Fault(f"{operation.name} has no error {code}: {refusal.message}")
            shape = known[code]
            status = shape.metadata["error"]["httpStatusCode"]
            unknown = set(refusal.members) - set(shape.members)
            if unknown:
                raise Fault(f"{code} has no {', '.join(unknown)}")
        told = {"message": refusal.message, **refusal.members}
        body = json.dumps(told).encode()
        fields = {"Content-Type": "application/json", "x-amzn-ErrorType": code}
        response = {"status_code": status, "headers": {k.lower(): v for k, v in fields.items()}}
        response["body"] = body
        parsed = self.parser.parse(response, None)
        if parsed["Error"]["Code"] != code:
            raise Fault(f"botocore reads {parsed}, not {code}")
        if shape is not None:
            members = self.parser.parse(response, shape)
            members.pop("ResponseMetadata", None)
            if members != told:
                raise Fault(f"botocore reads {members}, not {told}")
        return status, fields, body


def _pattern(operation):
    path = operation.http["requestUri"].split("?")[0]
    parts = re.split(r"\{([^}]+)\}", path)
    text = ""
    for index, part in enumerate(parts):
        if index % 2 == 0:
            text += re.escape(part)
        elif part.endswith("+"):
            text += f"(?P<{part[:-1]}>.+)"
        else:
            text += f"(?P<{part}>[^/]+)"
    return re.compile(text)


def _json_object(body):
    try:
        value = json.loads(body)
    except ValueError as error:
        raise invalid(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise invalid("the body is no JSON object")
    return value


def _from_text(text, shape):
    try:
        if shape.type_name in ("integer", "long"):
            return int(text)
        if shape.type_name == "boolean":
            return {"true": True, "false": False}[text]
    except (KeyError, ValueError) as error:
        raise invalid(f"{text} is no {shape.type_name}") from error
    return text


def _texts(query):
    return {name: str(value).lower() if value in (True, False) else str(value)
            for name, value in query.items()}


def _content(body):
    if not body:
        return None
    try:
        # An empty object and no body are the same.
        return json.loads(body) or None
    except ValueError:
        return body


def _to_json(value, shape):
    kind = shape.type_name
    if kind == "structure":
        members = shape.members
        return {members[name].serialization.get("name", name): _to_json(member, members[name])
                for name, member in value.items()}
    if kind == "list":
        return [_to_json(member, shape.member) for member in value]
    if kind == "map":
        return {key: _to_json(member, shape.value) for key, member in value.items()}
    if kind == "timestamp":
        return round(value.timestamp(), 3)
    if kind == "blob":
        return base64.b64encode(value).decode()
    return value


def _comparable(value):
    if isinstance(value, dict):
        return {key: _comparable(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_comparable(member) for member in value]
    if isinstance(value, datetime.datetime):
        return round(value.timestamp(), 3)
    return value
