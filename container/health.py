"""The image's health check: does the broker answer? Exit code 0 if so, else 1 with one line.

It asks the broker by the control socket which AMQP ports there are, and greets each as a client does: the first octet
of connection.start is enough. Only what starts fast is imported, and nothing of the broker's: it runs every few
seconds for as long as the container lives. `rabbitmq-diagnostics ping` takes nearly three times as long.
"""

import json
import os
import socket
import sys

GREETING = b"AMQP\x00\x00\x09\x01"
METHOD_FRAME = b"\x01"
TIMEOUT_S = 2.0
EVERYWHERE = ("0.0.0.0", "::")


class Unwell(Exception):
    """What is wrong, in a line."""


def main() -> int:
    """Return the exit code."""
    try:
        for host, port in amqp_listeners():
            greet(host, port)
    except (OSError, ValueError, Unwell) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


def amqp_listeners() -> list[tuple[str, int]]:
    """Return address and port of each listener of AMQP without TLS. Raises Unwell, OSError, ValueError."""
    path = os.path.join(os.environ.get("LEVERET_DATA_DIR", "leveret-data"), "control.sock")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_S)
        try:
            connection.connect(path)
        except OSError as error:
            raise Unwell(f"{path}: {error.strerror or error}") from None
        connection.sendall(b"GET /control/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.split()[1:2] != [b"200"]:
        raise Unwell("the control socket gives no answer")
    listeners = json.loads(body)["listeners"]
    found = ((each["ip_address"], each["port"]) for each in listeners if each["protocol"] == "amqp")
    return sorted({("localhost" if host in EVERYWHERE else str(host), int(port)) for host, port in found})


def greet(host: str, port: int) -> None:
    """Begin to connect as a client. Raises Unwell, OSError."""
    with socket.create_connection((host, port), TIMEOUT_S) as connection:
        connection.sendall(GREETING)
        if connection.recv(1) != METHOD_FRAME:
            raise Unwell(f"port {port} does not speak AMQP")


sys.exit(main())
