"""Lambda's invoke and runtime APIs, by cargo-lambda, on a port of its own. It starts no function."""

import pathlib
import socket
import subprocess
import sys
import time

from until_eof import announce, end_with_starter

ATTEMPTS = 5
READY_WITHIN_SECONDS = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def start(port):
    program = pathlib.Path(sys.executable).with_name("cargo-lambda")
    command = [program, "lambda", "watch", "--only-lambda-apis", "--ignore-changes"]
    command += ["--invoke-address", "127.0.0.1", "--invoke-port", str(port)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)


def main():
    running = []
    end_with_starter(lambda: [server.kill() for server in running])
    for _ in range(ATTEMPTS):
        port = free_port()
        server = start(port)
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
    sys.exit("cargo-lambda does not start")


main()
