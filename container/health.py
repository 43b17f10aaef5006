"""The image's health check: does the broker answer? Exit code 0 if so, else 1 with one line.

It greets the broker's AMQP port as a client does, and is satisfied with the first method of the answer. Only what
starts fast is imported: it runs every few seconds for as long as the container lives.
"""

import os
import socket
import sys

GREETING = b"AMQP\x00\x00\x09\x01"
METHOD_FRAME = b"\x01"
TIMEOUT_S = 4.0


def main() -> int:
    """Return the exit code."""
    port = os.environ.get("LEVERET_PORT") or os.environ.get("RABBITMQ_NODE_PORT") or "5672"
    try:
        with socket.create_connection(("127.0.0.1", int(port)), TIMEOUT_S) as connection:
            connection.sendall(GREETING)
            if connection.recv(1) == METHOD_FRAME:
                return 0
            problem = "it does not speak AMQP"
    except (OSError, ValueError) as error:
        problem = str(error)
    sys.stderr.write(f"port {port}: {problem}\n")
    return 1


sys.exit(main())
