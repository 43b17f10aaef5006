"""A stream's consumer: where it begins, where it stands, and which messages it wants.

RabbitMQ: Streams, "Consuming", "Filtering".
"""

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from broker.core.messages import Stretch
from broker.core.queues.stream_log import StreamLog
from protocol.content import Shape
from protocol.errors import AmqpError, PreconditionFailed
from protocol.headers import decode_headers
from protocol.tables import FieldTable, Timestamp, is_integer, type_name

if TYPE_CHECKING:
    from broker.core.queues.stream_ahead import ReadAhead

_UNIT_S: Final = {"Y": 31_536_000, "M": 2_592_000, "D": 86_400, "h": 3600, "m": 60, "s": 1}
_INTERVAL: Final = re.compile(r"0*([1-9][0-9]*)([YMDhms])", re.ASCII)
_FILTER_VALUE: Final = "x-stream-filter-value"


def seconds_of(interval: str) -> int | None:
    """Return the seconds of an interval such as ``7D`` (Y, M, D, h, m, s), None for what is none."""
    match = _INTERVAL.fullmatch(interval)
    return int(match[1]) * _UNIT_S[match[2]] if match else None


def check_offset(queue: str, value: object) -> None:
    """Refuse an x-stream-offset that means no place; ``queue`` is the queue's name in replies.

    Raises PreconditionFailed (406).
    """
    if isinstance(value, Timestamp) or is_integer(value):
        return
    if isinstance(value, str) and (value in ("first", "last", "next") or seconds_of(value) is not None):
        return
    shown = f'<<"{value}">>' if isinstance(value, str) else str(value).lower()
    wrong = f"{{invalid_stream_offset_arg,{{{type_name(value)},{shown}}}}}"
    raise PreconditionFailed(f"invalid arg 'x-stream-offset' for {queue}: {wrong}")


def first_position(log: StreamLog, value: object, now_ms: int) -> int:
    """Return the offset that an x-stream-offset, checked before, means at the wall time ``now_ms``."""
    if value == "first":
        return log.first_offset
    if value == "last":
        return log.last_offset()
    if isinstance(value, Timestamp):
        return log.offset_at(int(value) * 1000)
    if isinstance(value, int) and is_integer(value):
        return max(int(value), log.first_offset)
    seconds = seconds_of(value) if isinstance(value, str) else None
    return log.next_offset if seconds is None else log.offset_at(now_ms - seconds * 1000)


def filter_of(queue: str, arguments: FieldTable) -> "StreamFilter | None":
    """Return the filter that a consumer asks for, None for everything. Raises PreconditionFailed (406)."""
    wanted = arguments.get("x-stream-filter")
    if wanted is None:
        return None
    values = wanted if isinstance(wanted, list) else [wanted]
    if not all(isinstance(value, str) for value in values):
        raise PreconditionFailed(f"invalid arg 'x-stream-filter' for {queue}: expected string or list of strings")
    return StreamFilter(values, matches_unfiltered=arguments.get("x-stream-match-unfiltered") is True)


class StreamFilter:
    """The messages whose x-stream-filter-value is one of ``values``; with ``matches_unfiltered`` those without, too.

    RabbitMQ's filter lets others pass as well, so that clients filter once more; this one is exact.
    """

    __slots__ = ("_matches_unfiltered", "_values")

    def __init__(self, values: Collection[str], *, matches_unfiltered: bool) -> None:
        self._values = frozenset(values)
        self._matches_unfiltered = matches_unfiltered

    def places(self, stretch: Stretch) -> list[int]:
        """Return the places in ``stretch`` of the messages that pass."""
        if stretch.shape.lead:
            return list(range(len(stretch.pieces))) if self._passes(stretch.shape, b"") else []
        return [place for place, piece in enumerate(stretch.pieces) if self._passes(stretch.shape, piece)]

    def _passes(self, shape: Shape, piece: bytes) -> bool:
        payload = shape.header_payload(piece)
        value: object = None
        if _FILTER_VALUE.encode() in payload:
            try:
                value = decode_headers(payload).get(_FILTER_VALUE)
            except AmqpError:
                value = None  # Headers that nobody can read have no value.
        return self._matches_unfiltered if value is None else value in self._values


class StreamReader:
    """Where a consumer stands: the next offset that it is to see; ``ahead`` where that is not in memory."""

    __slots__ = ("ahead", "filter", "position")

    def __init__(self, position: int, wanted: StreamFilter | None) -> None:
        self.position = position
        self.filter = wanted
        self.ahead: ReadAhead | None = None
