"""Amazon's DynamoDB Local, in memory, on a port of its own: dynamodb_local.py JARS"""

import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from until_eof import announce, end_with_starter

ATTEMPTS = 5
READY_WITHIN_SECONDS = 120


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
    except urllib.error.HTTPError:
        # It knows no such operation, but it is there.
        return True
    except OSError:
        return False
    return True


def start(jars, port):
    command = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    command += [f"-Djava.library.path={jars}", "-cp", f"{jars}/*"]
    command += ["software.amazon.dynamodb.services.local.main.ServerRunner"]
    command += ["-inMemory", "-disableTelemetry", "-port", str(port)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)


def main():
    jars = pathlib.Path(sys.argv[1])
    running = []
    end_with_starter(lambda: [server.kill() for server in running])
    for _ in range(ATTEMPTS):
        port = free_port()
        server = start(jars, port)
        running[:] = [server]
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while server.poll() is None and time.monotonic() < deadline:
            if answers(port):
                announce(port)
                sys.exit(server.wait())
            time.sleep(0.05)
        # Somebody else took the port meanwhile, or the machine is far too slow.
        server.kill()
        server.wait()
    sys.exit("DynamoDB Local does not start")


main()
