"""Method frames that clients send alike again and again, to open and close channels or to poll: known by their octets.

Such a frame is not decoded anew, and a read that is one is not even cut. What they mean is the connection's to say.
"""

from typing import Final

from pamqp.base import Frame

from protocol import constants
from protocol.methods import decode_method

_REPEATED: Final = frozenset(
    {
        constants.CONNECTION_CLOSE,
        constants.CHANNEL_OPEN,
        constants.CHANNEL_CLOSE,
        constants.CHANNEL_CLOSE_OK,
        constants.BASIC_GET,
    }
)
REPEATED_OCTETS: Final = 64
"""Longer frames are not remembered."""
_KEPT: Final = 256
_frames: dict[bytes, "MethodFrame"] = {}


class MethodFrame:
    """A method frame: its channel and its payload (class id, method id, arguments). Nobody changes one."""

    __slots__ = ("_method", "channel", "payload")

    def __init__(self, channel: int, payload: bytes) -> None:
        self.channel = channel
        self.payload = payload
        self._method: Frame | None = None

    def decoded(self) -> Frame:
        """Return the method, as ``decode_method`` does, those that only servers send included. Raises as it does."""
        method = self._method
        if method is None:
            method = self._method = decode_method(self.payload, from_server=True)
        return method


find_frame = _frames.get
"""Return the frame that is remembered by these octets."""


def remember(frame: bytes, event: MethodFrame) -> None:
    """Have ``event`` found by the octets of the whole frame, if it is of those that are repeated."""
    payload = event.payload
    if (int.from_bytes(payload[:2]), int.from_bytes(payload[2:4])) in _REPEATED:
        if len(_frames) >= _KEPT:
            _frames.clear()
        _frames[frame] = event
