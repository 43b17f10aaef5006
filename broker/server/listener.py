"""The listening sockets: from the settings' host and port to sockets that are bound, one for each address.

Binding comes before recovery, so that a port in use is told at once; listening comes after it, so that nobody
is kept waiting by a broker that is not ready.
"""

import errno
import os
import socket
from typing import Final

ALL_INTERFACES: Final = "*"

# Connections that may wait to be accepted. A restart brings all clients back within one second.
BACKLOG: Final = 1024

# How often a free port is tried that has to be free for IPv4 and IPv6 alike.
FREE_PORT_TRIES: Final = 20


class ListenError(Exception):
    """The address cannot be listened on; one line that says which and why. Exit code 71 (EX_OSERR)."""

    exit_code: Final = 71

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot listen on {shown_address(host, port)}: {reason}")


def bind(host: str, port: int) -> list[socket.socket]:
    """Return a bound socket for each address of ``host``, all with the same port (``*``: IPv4 and IPv6).

    Port 0 takes a free one. Raises ListenError when an address is unknown, in use or not ours.
    """
    tries = FREE_PORT_TRIES if port == 0 else 1
    for attempt in range(1, tries + 1):
        try:
            return bind_all(addresses(host, port), port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or attempt == tries:
                raise ListenError(host, port, reason(error)) from None
    raise AssertionError("unreachable: the last try returns or raises")


def addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    """Return family and address for each address that ``host`` stands for. Raises ListenError if none."""
    name = None if host == ALL_INTERFACES else host
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise ListenError(host, port, f"no such host ({reason(error)})") from None
    # A set would lose the order; the system's, IPv4 first, makes a free port one that IPv4 chose.
    return sorted({(family, str(address[0])): None for family, _, _, _, address in found})


def bind_all(wanted: list[tuple[socket.AddressFamily, str]], port: int) -> list[socket.socket]:
    """Return sockets bound to the addresses and one port. Raises OSError, and then none stays open."""
    sockets: list[socket.socket] = []
    try:
        for family, address in wanted:
            bound = bind_one(family, address, port)
            if bound is not None:
                sockets.append(bound)
                port = bound.getsockname()[1]
        if not sockets:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
    except OSError:
        close_all(sockets)
        raise
    return sockets


def bind_one(family: socket.AddressFamily, address: str, port: int) -> socket.socket | None:
    """Return a socket bound to one address; None when the machine has no such family (IPv6 switched off)."""
    try:
        bound = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        return None
    try:
        if os.name == "posix":
            # Else a restart would fail for a minute; on Windows the option would share the port instead.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # IPv4 has a socket of its own, so that its clients' addresses look like IPv4 addresses.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setblocking(False)
        bound.bind((address, port))
    except OSError as error:
        bound.close()
        if family == socket.AF_INET6 and error.errno == errno.EADDRNOTAVAIL:
            return None
        raise
    return bound


def close_all(sockets: list[socket.socket]) -> None:
    """Close sockets that no server has taken over."""
    for each in sockets:
        each.close()


def shown_address(host: str, port: int) -> str:
    """Return host and port as people write them: ``127.0.0.1:5672``, ``[::1]:5672``, ``*:5672``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reason(error: Exception) -> str:
    """Return the system's words for an error, small at the beginning and without its number."""
    words = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return words[:1].lower() + words[1:]
