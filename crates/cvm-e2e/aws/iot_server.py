"""The stand-in for AWS IoT, on a port of its own.

Beside AWS's operations it has a side door for tests, without signature:
GET /_state, POST /_settings, POST /_policies, POST /_authorities, POST /_connections.
"""

import dataclasses
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from iot import authorities, policies
from iot.account import Account
from iot.dispatch import answer
from until_eof import announce, end_with_starter

REGION = "eu-central-1"
ALLOW_ALL = {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}
INNER = ("certificate", "created", "modified", "listed_from", "generation", "detached")


@dataclasses.dataclass
class Request:
    method: str
    path: str
    query: str
    headers: dict
    body: bytes


def state(account):
    def shown(kept):
        return {name: value for name, value in kept.items() if name not in INNER}

    certificates = [
        {**shown(it), "subject": it["certificate"].subject.rfc4514_string(),
         "things": list(it["things"]), "createdAt": it["created"].timestamp()}
        for it in account.certificates.values()
    ]
    return {
        "certificates": certificates,
        "cas": [shown(it) for it in account.authorities.values()],
        "things": [shown(it) for it in account.things.values()],
        "policies": [shown(it) for it in account.policies.values()],
        "shadows": [
            {"thing": thing, "name": name, **kept}
            for (thing, name), kept in account.shadows.items()
        ],
        "connections": sorted(account.connections),
        "disconnected": account.disconnected,
        "calls": account.calls,
        "faults": account.faults,
        "settings": account.settings,
    }


def side_door(account, request):
    asked = json.loads(request.body or b"{}")
    with account.lock:
        match (request.method, request.path):
            case ("GET", "/_state"):
                return state(account)
            case ("POST", "/_settings"):
                account.set(asked)
            case ("POST", "/_connections"):
                account.connections.add(asked["clientId"])
            case ("POST", "/_policies"):
                document = json.dumps({"Version": "2012-10-17", "Statement": [ALLOW_ALL]})
                policies.create_policy(account, REGION, asked["name"], document)
            case ("POST", "/_authorities"):
                authorities.register_ca_certificate(
                    account, REGION, asked["pem"], setAsActive=True, certificateMode="SNI_ONLY")
            case _:
                raise ValueError("no such side door")
    return {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One write for head and body: two would wait for each other's acknowledgement.
    wbufsize = -1
    account = Account()

    def handle_any(self):
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, path, query, headers, body)
        if path.startswith("/_"):
            try:
                status, content = 200, json.dumps(side_door(self.account, request)).encode()
            except Exception as error:
                status, content = 400, json.dumps({"error": repr(error)}).encode()
            fields = {"Content-Type": "application/json"}
        else:
            status, fields, content = answer(self.account, request)
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def log_message(self, *_):
        """Calls are kept in the state."""


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


def main():
    end_with_starter()
    server = Server(("127.0.0.1", 0), Handler)
    announce(server.server_port)
    server.serve_forever()


main()
