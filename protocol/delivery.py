"""Events to octets for what carries content: deliver, get-ok and return, assembled from prepared pieces.

A message leaves as it came: lead and piece are not touched where the consumer's channel has the publisher's
number and its frames may be as large. Octets go to the connection, which joins and writes them. No method is
encoded by pamqp here: names that it refuses pass, and one list serves a whole run.
"""

from collections.abc import Sequence
from itertools import chain, cycle, repeat
from typing import Final

from protocol.constants import FRAME_END_OCTET
from protocol.content import FRAME_HEAD, Shape, short_string

_DELIVER: Final = b"\x00\x3c\x00\x3c"
_RETURN: Final = b"\x00\x3c\x00\x32"
_GET_OK: Final = b"\x00\x3c\x00\x47"
_ACK_HEAD: Final = b"\x00\x00\x00\x0d\x00\x3c\x00\x50"
_NACK_HEAD: Final = b"\x00\x00\x00\x0d\x00\x3c\x00\x78"
_CACHED_SHAPES: Final = 256
_CACHED_HEADS: Final = 4

_low_tag_octets: list[bytes] = []


def _low_tags() -> list[bytes]:
    """Return the two low octets of every delivery tag, for strided assignment; made when the first run needs them."""
    if not _low_tag_octets:
        _low_tag_octets.extend(number.to_bytes(2) for number in range(65536))
    return _low_tag_octets


class _Heads(dict[int, bytes]):
    """The octets of a deliver frame up to the delivery tag, by the length of the routing key.

    ``more_octets`` is what the frame's payload has beside the routing key.
    """

    def __init__(self, channel: int, tag: bytes, more_octets: int) -> None:
        self._channel = channel
        self._tag = tag
        self._more_octets = more_octets

    def __missing__(self, key_octets: int) -> bytes:
        head = FRAME_HEAD.pack(1, self._channel, self._more_octets + key_octets) + _DELIVER + self._tag
        self[key_octets] = head
        return head


_Prepared = tuple[bytes, bytes, bool, _Heads | None]
"""Octets before and after a delivery tag, whether contents must be changed, and what is before by length of key."""


class DeliveryWriter:
    """Writes the deliveries of one consumer. Ref: basic.deliver."""

    __slots__ = ("_channel", "_frame_max", "_heads", "_prepared", "_tag")

    def __init__(self, channel: int, consumer_tag: str, frame_max: int) -> None:
        self._channel = channel
        self._tag = short_string(consumer_tag.encode())
        self._frame_max = frame_max
        self._prepared: dict[Shape, _Prepared] = {}
        self._heads: dict[int, _Heads] | None = None

    def write(self, out: list[bytes], shape: Shape, pieces: Sequence[bytes], first_tag: int, redelivered: bool) -> None:
        """Append the frames of a run's deliveries, tags counting from ``first_tag``, to ``out``."""
        head, lead, is_foreign, heads = self._prepared.get(shape) or self._prepare(shape)
        if redelivered:
            lead = b"\x01" + lead[1:]
        if heads is not None:
            if len(pieces) == 1 and not is_foreign:
                out += (heads[pieces[0][0]], first_tag.to_bytes(8), lead, pieces[0])
            else:
                self._write_keyed(out, shape, lead, pieces, first_tag)
            return
        if is_foreign:
            pieces = [content_on_channel(shape, piece, self._channel, self._frame_max) for piece in pieces]
        low, count = first_tag & 0xFFFF, len(pieces)
        if count == 1:
            out += (head, first_tag.to_bytes(8), lead, pieces[0])
            return
        if low + count > 65536:
            here = 65536 - low
            self._write_block(out, head, lead, pieces[:here], first_tag)
            self._write_block(out, head, lead, pieces[here:], first_tag + here)
        else:
            self._write_block(out, head, lead, pieces, first_tag)

    def _write_block(self, out: list[bytes], head: bytes, lead: bytes, pieces: Sequence[bytes], first_tag: int) -> None:
        count, low = len(pieces), first_tag & 0xFFFF
        if count > 65536:
            self._write_block(out, head, lead, pieces[:65536], first_tag)
            self._write_block(out, head, lead, pieces[65536:], first_tag + 65536)
            return
        parts = [head + (first_tag >> 16).to_bytes(6), b"", lead, b""] * count
        parts[1::4] = (_low_tag_octets or _low_tags())[low : low + count]
        parts[3::4] = pieces
        out += parts

    def write_turns(
        self,
        out: list[bytes],
        writers: list["DeliveryWriter"],
        shape: Shape,
        pieces: Sequence[bytes],
        first_tag: int,
        redelivered: bool,
        known: "TurnHeads",
    ) -> None:
        """As ``write``, for consumers of one channel who take turns: all ``writers``, itself first, and round again.

        All of them write as ``write`` does; only their consumer tags differ. ``known`` is the channel's.
        """
        low, count = first_tag & 0xFFFF, len(pieces)
        _, lead, is_foreign, by_key = self._prepared.get(shape) or self._prepare(shape)
        if redelivered:
            lead = b"\x01" + lead[1:]
        if by_key is not None:
            self._write_keyed(out, shape, lead, pieces, first_tag, writers[1:])
            return
        if is_foreign:
            pieces = [content_on_channel(shape, piece, self._channel, self._frame_max) for piece in pieces]
        heads = known.of(writers, shape, (first_tag >> 16).to_bytes(6))
        if low + count > 65536:
            next_upper = ((first_tag >> 16) + 1).to_bytes(6)
            heads = heads * (count // len(heads) + 1)
            here = 65536 - low
            heads[here:] = [each[:-6] + next_upper for each in heads[here:]]
        elif count != len(heads):
            heads = heads * (count // len(heads) + 1)
        parts = [b"", b"", lead, b""] * count
        tags = _low_tag_octets or _low_tags()
        parts[0::4] = heads[:count]
        parts[1::4] = tags[low : low + count] if low + count <= 65536 else tags[low:] + tags[: low + count - 65536]
        parts[3::4] = pieces
        out += parts

    def prepared(self, shape: Shape) -> _Prepared:
        """Return what is constant for this consumer and ``shape``."""
        return self._prepared.get(shape) or self._prepare(shape)

    def head(self, shape: Shape) -> bytes:
        """Return what is before the delivery tag, for a shape whose messages all have the same."""
        return self.prepared(shape)[0]

    def _write_keyed(
        self,
        out: list[bytes],
        shape: Shape,
        lead: bytes,
        pieces: Sequence[bytes],
        first_tag: int,
        others: Sequence["DeliveryWriter"] = (),
    ) -> None:
        """As ``write`` and ``write_turns``, for pieces that begin with their routing keys."""
        channel, frame_max = self._channel, self._frame_max
        if shape.channel != channel or shape.frame_max > frame_max:
            pieces = [piece[: piece[0] + 2] + content_on_channel(shape, piece, channel, frame_max) for piece in pieces]
        table = self._heads_for(shape)
        if others:
            tables = cycle([table, *(each._heads_for(shape) for each in others)])
            heads = [table[piece[0]] for table, piece in zip(tables, pieces, strict=False)]
        else:
            heads = [table[piece[0]] for piece in pieces]
        low_tags = _low_tag_octets or _low_tags()
        at = 0
        while at < len(pieces):
            tag = first_tag + at
            low = tag & 0xFFFF
            stop = min(len(pieces), at + 65536 - low)
            count = stop - at
            parts = [b"", (tag >> 16).to_bytes(6), b"", lead, b""] * count
            parts[0::5] = heads[at:stop]
            parts[2::5] = low_tags[low : low + count]
            parts[4::5] = pieces[at:stop]
            out += parts
            at = stop

    def _heads_for(self, shape: Shape) -> _Heads:
        if self._heads is None:
            self._heads = {}
        octets = len(shape.address)
        heads = self._heads.get(octets)
        if heads is None:
            if len(self._heads) >= _CACHED_HEADS:
                self._heads.clear()
            heads = self._heads[octets] = _Heads(self._channel, self._tag, 14 + len(self._tag) + octets)
        return heads

    def _prepare(self, shape: Shape) -> _Prepared:
        channel = self._channel
        if shape.is_keyed:
            is_foreign = shape.channel != channel or shape.frame_max > self._frame_max
            heads, lead = self._heads_for(shape), b"\x00" + shape.address
            if is_foreign or shape.key_octets < 0:
                return self._remember(shape, (b"", lead, is_foreign, heads))
            return self._remember(shape, (heads[shape.key_octets], lead, False, None))
        size = 13 + len(self._tag) + len(shape.address)
        head = FRAME_HEAD.pack(1, channel, size) + _DELIVER + self._tag
        is_foreign = shape.frame_max > self._frame_max or (not shape.lead and shape.channel != channel)
        lead = b"" if is_foreign else shape.lead
        if lead and shape.channel != channel:
            lead = _on_channel(lead, channel)
        return self._remember(shape, (head, b"\x00" + shape.address + FRAME_END_OCTET + lead, is_foreign, None))

    def _remember(self, shape: Shape, prepared: _Prepared) -> _Prepared:
        if len(self._prepared) >= _CACHED_SHAPES:
            self._prepared.clear()
        self._prepared[shape] = prepared
        return prepared


def write_each(
    out: list[bytes],
    writers: Sequence[DeliveryWriter],
    shapes: Sequence[Shape],
    runs: Sequence[Sequence[bytes]],
    first_tag: int,
) -> None:
    """Append the frames of several runs' deliveries on one channel, a run for each writer, tags counting through them.

    There is at least one, and none was delivered before. It is what ``DeliveryWriter.write`` does for each, without its
    cost for each.
    """
    counts = list(map(len, runs))
    low, count = first_tag & 0xFFFF, sum(counts)
    heads, leads, foreign, by_key = zip(*map(DeliveryWriter.prepared, writers, shapes), strict=True)
    if low + count > 65536 or any(foreign) or by_key.count(None) < len(by_key):
        for writer, shape, pieces in zip(writers, shapes, runs, strict=True):
            writer.write(out, shape, pieces, first_tag, redelivered=False)
            first_tag += len(pieces)
        return
    upper = (first_tag >> 16).to_bytes(6)
    parts = [b""] * (4 * count)
    parts[0::4] = chain.from_iterable(map(repeat, [head + upper for head in heads], counts))
    parts[1::4] = (_low_tag_octets or _low_tags())[low : low + count]
    parts[2::4] = chain.from_iterable(map(repeat, leads, counts))
    parts[3::4] = chain.from_iterable(runs)
    out += parts


class TurnHeads:
    """What is before the two low octets of a tag, for each of those who took turns last.

    The next turns mostly are the same writers', only that another one begins.
    """

    __slots__ = ("_heads", "_shape", "_upper", "_writers")

    def __init__(self) -> None:
        self._writers: list[DeliveryWriter] = []
        self._heads: list[bytes] = []
        self._shape: Shape | None = None
        self._upper = b""

    def of(self, writers: list[DeliveryWriter], shape: Shape, upper: bytes) -> list[bytes]:
        """Return those of ``writers``, for messages of ``shape`` and tags that begin with ``upper``; a new list."""
        count = len(writers)
        if shape is self._shape and upper == self._upper:
            if writers[0] in self._writers:
                at = self._writers.index(writers[0])
                if writers == (self._writers[at:] + self._writers[:at])[:count]:
                    return (self._heads[at:] + self._heads[:at])[:count]
            if count < len(self._writers):
                return [writer.head(shape) + upper for writer in writers]
        self._writers, self._shape, self._upper = writers, shape, upper
        self._heads = [writer.head(shape) + upper for writer in writers]
        return self._heads.copy()


def get_ok(shape: Shape, piece: bytes, channel: int, frame_max: int, tag: int, flag: bool, left: int) -> bytes:
    """Return the frames of basic.get-ok with its content; ``left`` messages stay ready. Ref: basic.get-ok."""
    payload = _GET_OK + tag.to_bytes(8) + bytes((flag,)) + shape.address_of(piece) + left.to_bytes(4)
    return method_frame(channel, payload) + content_on_channel(shape, piece, channel, frame_max)


def returned(shape: Shape, piece: bytes, channel: int, frame_max: int, code: int, text: str) -> bytes:
    """Return the frames of basic.return with its content. Ref: basic.return."""
    payload = _RETURN + code.to_bytes(2) + short_string(text.encode()) + shape.address_of(piece)
    return method_frame(channel, payload) + content_on_channel(shape, piece, channel, frame_max)


def confirm(channel: int, tag: int, multiple: bool) -> bytes:
    """Return the frame of basic.ack to a publisher. RabbitMQ: Publisher Confirms."""
    head = b"\x01" + channel.to_bytes(2) + _ACK_HEAD
    return head + tag.to_bytes(8) + (b"\x01\xce" if multiple else b"\x00\xce")


def refuse(channel: int, tag: int, multiple: bool) -> bytes:
    """Return the frame of basic.nack to a publisher, the requeue bit set as RabbitMQ's."""
    head = b"\x01" + channel.to_bytes(2) + _NACK_HEAD
    return head + tag.to_bytes(8) + (b"\x03\xce" if multiple else b"\x02\xce")


def method_frame(channel: int, payload: bytes) -> bytes:
    """Return a method frame around ``payload`` (class id, method id, arguments)."""
    return FRAME_HEAD.pack(1, channel, len(payload)) + payload + FRAME_END_OCTET


def content_on_channel(shape: Shape, piece: bytes, channel: int, frame_max: int) -> bytes:
    """Return a message's content frames for ``channel``, no body frame over ``frame_max`` octets.

    The header frame is never split, as with RabbitMQ.
    """
    shape, piece = shape.alone(piece)
    if shape.lead:
        lead = shape.lead if shape.channel == channel else _on_channel(shape.lead, channel)
        content = lead + piece
    elif shape.channel == channel:
        content = piece
    else:
        content = _on_channel(piece, channel)
    if shape.frame_max <= frame_max or len(content) <= frame_max:
        return content
    header_stop = 8 + int.from_bytes(content[3:7])
    return content[:header_stop] + body_frames(shape.body(piece), channel, frame_max)


def body_frames(body: bytes, channel: int, frame_max: int) -> bytes:
    """Return ``body`` cut into body frames of at most ``frame_max`` octets each; none for an empty body."""
    largest = frame_max - 8
    parts: list[bytes] = []
    for at in range(0, len(body), largest):
        chunk = body[at : at + largest]
        parts += (FRAME_HEAD.pack(3, channel, len(chunk)), chunk, FRAME_END_OCTET)
    return b"".join(parts)


def _on_channel(frames: bytes, channel: int) -> bytes:
    """Return ``frames`` with the channel number of each replaced; the last may lack its payload."""
    octets = bytearray(frames)
    number = channel.to_bytes(2)
    at = 0
    while at < len(octets):
        octets[at + 1 : at + 3] = number
        at += 8 + int.from_bytes(octets[at + 3 : at + 7])
    return bytes(octets)
