"""Where the control socket lies, and how to reach one whose path is longer than the system's addresses may be."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SOCKET_NAME: Final = "control.sock"

ADDRESS_OCTETS_MAX: Final = 100
"""sun_path has 108 octets on Linux and 104 on macOS, with the zero at the end."""


def socket_path(data_dir: Path) -> Path:
    """Return the control socket's path of the broker whose data are in ``data_dir``."""
    return data_dir / SOCKET_NAME


@contextlib.contextmanager
def address_of(path: Path) -> Iterator[str]:
    """Give an address of the socket that the system takes, for as long as the context lasts.

    A long path goes by way of its directory's descriptor, which Linux shows as a path. Raises OSError.
    """
    if len(os.fsencode(path)) <= ADDRESS_OCTETS_MAX or not os.path.isdir("/proc/self/fd"):
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
