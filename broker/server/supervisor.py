"""What systemd wants to be told of a service (``Type=notify``): that it is ready, and that it ends.

The protocol is a datagram to the socket that NOTIFY_SOCKET names. systemd: sd_notify(3).
"""

import os
import socket
from typing import Final

import structlog

log = structlog.get_logger()

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"


def tell(state: str) -> None:
    """Tell whoever supervises the process, if somebody asked for it. That nobody hears it is logged, and no more.

    It waits for nobody: a supervisor that reads nothing, so that its socket is full, is not told.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # A name that is in no directory, Linux's.
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
            told.setblocking(False)
            told.connect(address)
            told.send(state.encode())
    except OSError as error:
        log.warning("the supervisor was not told", state=state, reason=error.strerror or str(error))
