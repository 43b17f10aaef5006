"""HTTP over the control socket, with the little of it that this side needs: a health check loads next to nothing.

One request a connection, of HTTP 1.0: the answer ends where the connection does.
"""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from broker.control.socket_path import address_of

READ_OCTETS: Final = 1 << 16


class BrokenAnswer(OSError):
    """What came is no whole answer of HTTP."""


class SocketHttp:
    """Asks the broker by its socket at ``path``."""

    def __init__(self, path: Path, timeout_s: float | None) -> None:
        self._path = path
        self._timeout_s = timeout_s

    def ask(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Return status and body of the answer. Raises OSError, TimeoutError among them."""
        lines = [f"{method} {target} HTTP/1.0", "host: localhost"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None:
            lines.append(f"content-length: {len(body)}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(self._timeout_s)
            with address_of(self._path) as address:
                asking.connect(address)
            asking.sendall(head + (body or b""))
            answer = bytearray()
            while octets := asking.recv(READ_OCTETS):
                answer += octets
        return parsed(bytes(answer))

    def close(self) -> None:
        """Do nothing: no connection stays."""


def parsed(answer: bytes) -> tuple[int, bytes]:
    """Return status and body. Raises BrokenAnswer for an answer that is not whole."""
    head, blank, body = answer.partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").split("\r\n")
    words = status.split(" ", 2)
    if not blank or len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdecimal():
        raise BrokenAnswer("the answer is no HTTP")
    for each in fields:
        name, _, value = each.partition(":")
        if name.lower() == "content-length" and value.strip().isdecimal() and int(value) != len(body):
            raise BrokenAnswer("the answer is cut off")
    return int(words[1]), body
