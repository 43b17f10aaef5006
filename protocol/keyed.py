"""Runs of publishes to one exchange whose routing keys differ.

What such messages have in common is a method frame but for its routing key: its size and the key's length go together,
so one frame head for each length of key says how the next message must begin. Where content headers are the same as
well, the messages are cut by one split; else they are walked. It decides nothing about what it does not recognise:
frames.py does, frame by frame.
"""

from itertools import takewhile
from operator import add
from struct import Struct
from struct import error as StructError
from typing import Final

from protocol.constants import FRAME_BODY, FRAME_END, FRAME_END_OCTET, FRAME_HEADER
from protocol.content import FRAME_HEAD, ContentFacts, PublishMethod, Shape, common_facts, short_string, skim
from protocol.errors import FrameError

_TAIL_AND_HEADER_START: Final = Struct(">HBHIHHQH")
"""Bits and end of a publish frame, and the fixed part of the content header frame after it."""
_HEADER_END_AND_BODY_HEAD: Final = Struct(">BBHI")
_SHORTEST_RUN: Final = 2
_LONGEST_RUN: Final = 65536
_FIRST_RUN: Final = 256
_METHODS_MAX: Final = 256
_SAME_KEYS: Final = 4
"""So many messages in a row with the same key are better cut by that."""


class KeyedPublish(PublishMethod):
    """What publishes to one exchange by different keys have in common; ``by`` gives one of them.

    ``routing_key`` is empty, ``address`` the exchange's short string alone.
    """

    __slots__ = ("_methods",)

    def __init__(self, channel: int, exchange: str, address: bytes, bits: int) -> None:
        super().__init__(channel, exchange, "", address, bits)
        self._methods: dict[str, PublishMethod] = {}

    def by(self, routing_key: str) -> PublishMethod:
        """Return the method of a publish by ``routing_key``; the same object again where it is asked for again."""
        method = self._methods.get(routing_key)
        if method is None:
            address = self.address + short_string(routing_key.encode())
            bits = self.mandatory | self.immediate << 1
            if len(self._methods) >= _METHODS_MAX:
                self._methods.clear()
            method = PublishMethod(self.channel, self.exchange, routing_key, address, bits)
            self._methods[routing_key] = method
        return method


class _Heads(dict[int, bytes]):
    """The octets of a publish frame up to the routing key, by the length of that, which is the last of them."""

    def __init__(self, channel: bytes, middle: bytes, largest: int) -> None:
        self._channel = channel
        self._middle = middle
        self._largest = largest

    def __missing__(self, key_octets: int) -> bytes:
        size = len(self._middle) + key_octets + 2
        if size > self._largest:
            return self[-1]
        head = b"\x01" + self._channel + size.to_bytes(4) + self._middle + bytes((key_octets,))
        self[key_octets] = head
        return head


class KeyedMessages:
    """Messages in a row of one keyed shape, and ``stop``, where they stop in the read.

    ``routing_keys`` are ``raw_keys``, decoded.
    """

    __slots__ = ("pieces", "raw_keys", "routing_keys", "shape", "stop")

    def __init__(self, shape: Shape, pieces: list[bytes], raw_keys: list[bytes], stop: int) -> None:
        self.shape = shape
        self.pieces = pieces
        self.raw_keys = raw_keys
        self.routing_keys: list[str] = []
        self.stop = stop


class KeyedCutter:
    """Cuts messages that one channel publishes to one exchange, with the same bits, by different keys.

    Made from a whole publish frame that was decoded; ``frame_max`` is the limit for each frame, ``max_body_octets`` for
    each body.
    """

    __slots__ = ("_frame_max", "_heads", "_key_at", "_largest", "_limit", "_shapes", "_tail_octets", "publish")

    def __init__(self, frame: bytes, publish: PublishMethod, frame_max: int, max_body_octets: int) -> None:
        self._key_at = key_at = 14 + frame[13]
        self._heads = _Heads(frame[1:3], frame[7:key_at], frame_max - 8)
        self._heads[-1] = b"\xff"  # No frame begins so: a key that makes its frame too large is left to the walk.
        self._tail_octets = int.from_bytes(frame[-2:])
        self._frame_max = frame_max
        self._largest = min(frame_max - 8, max_body_octets)
        self._limit = _FIRST_RUN
        self._shapes: dict[ContentFacts, Shape] = {}
        self.publish = KeyedPublish(publish.channel, publish.exchange, frame[13:key_at], frame[-2] & 3)

    def cut(self, data: bytes, at: int, end: int) -> KeyedMessages | None:
        """Return the messages ``at``, if they are such a run.

        None where there are fewer than two, or the first few have the same key and are better cut as such.
        """
        key_at, heads = self._key_at, self._heads
        if end - at <= key_at:
            return None
        key_octets = data[at + key_at]
        tail_at = at + key_at + 1 + key_octets
        if not data.startswith(heads[key_octets], at):
            return None
        first = self._content_at(data, tail_at, end)
        if first is None:
            return None
        lead, body_octets, stop = first
        next_at, alike_count = stop, 1
        while data.startswith(data[at:tail_at], next_at):
            alike_count += 1
            if alike_count == _SAME_KEYS:
                return None
            next_one = self._content_at(data, next_at + tail_at - at, end)
            if next_one is None:
                return None
            next_at = next_one[2]
        if next_at + key_at >= end:
            return None
        next_octets = data[next_at + key_at]
        if not data.startswith(heads[next_octets], next_at):
            return None
        found = None
        if body_octets and data.startswith(lead, next_at + key_at + 3 + next_octets):
            found = self._cut_alike(data, at, min(end, at + self._limit * (stop - at)), lead, body_octets)
        if found is None:
            found = self._cut_changing(data, at, end)
        if found is None or not _drop_undecodable(found, key_at + 1):
            return None
        # A run that ends in one key again and again is left soon, to be cut as such.
        last_keys = found.routing_keys[-_SAME_KEYS:]
        if last_keys.count(last_keys[0]) == _SAME_KEYS:
            self._limit = 16
        else:
            self._limit = min(_LONGEST_RUN, max(self._limit, 2 * len(found.pieces)))
        return found

    def _content_at(self, data: bytes, tail_at: int, end: int) -> tuple[bytes, int, int] | None:
        """Return a content's frames up to its body, the size of that, and where it stops; None if it is not plain.

        ``tail_at`` is where the publish frame before it ends with its bits.
        """
        channel = self.publish.channel
        if end - tail_at < _TAIL_AND_HEADER_START.size:
            return None
        tail, kind, on, size, class_id, weight, body_octets, _ = _TAIL_AND_HEADER_START.unpack_from(data, tail_at)
        if (tail, kind, on, class_id, weight) != (self._tail_octets, FRAME_HEADER, channel, 60, 0):
            return None
        if not 14 <= size <= self._frame_max - 8 or body_octets > self._largest:
            return None
        header_at = tail_at + 2
        stop: int = header_at + size + 8
        lead = data[header_at:stop]
        if body_octets:
            lead = data[header_at : stop + 7]
            if not lead.endswith(FRAME_END_OCTET + FRAME_HEAD.pack(FRAME_BODY, channel, body_octets)):
                return None
            stop += body_octets + 8
        return (lead, body_octets, stop) if stop <= end and data[stop - 1] == FRAME_END else None

    def _cut_alike(self, data: bytes, at: int, end: int, lead: bytes, body_octets: int) -> KeyedMessages | None:
        """Cut messages that have one content header and one size of body, by one split at what is between key and body.

        Right if, and only if, each part holds a body with its frame end, a publish frame's head and as long a key as
        that head says; what breaks this, a body that holds the separator among it, ends the run.
        """
        key_at = self._key_at
        separator = self._tail_octets.to_bytes(2) + lead
        parts = data[at:end].split(separator)
        first, last = parts[0], parts.pop()
        octets = body_octets + 1
        from_key, head_at = octets + key_at, octets - 1
        edges = [part[head_at : from_key + 1] for part in parts[1:]]
        lengths = list(map(len, parts[1:]))
        allowed = {}
        for edge, length in set(zip(edges, lengths, strict=True)):
            key_octets = length - from_key - 1
            allowed[edge, length] = 0 <= key_octets < 256 and edge == FRAME_END_OCTET + self._heads[key_octets]
        count = len(parts)
        if not all(allowed.values()):
            count = 1 + sum(1 for _ in takewhile(allowed.__getitem__, zip(edges, lengths, strict=True)))
            last = parts[count] if count < len(parts) else last
        if len(last) < octets or last[octets - 1] != FRAME_END:
            count -= 1
            if not count:
                return None
            last = parts[count]
        if count < _SHORTEST_RUN or len(first) != key_at + 1 + first[key_at]:
            return None
        try:
            facts = skim(lead, 21, 7 + int.from_bytes(lead[3:7]), int.from_bytes(lead[19:21]))
        except FrameError:
            return None
        if not facts.is_plain:
            return None
        stop = at + sum(lengths[: count - 1]) + len(first) + count * len(separator) + octets
        del parts[count:]
        raw_keys = [part[from_key + 1 :] for part in parts]
        raw_keys[0] = first[key_at + 1 :]
        content = separator[1:]
        bodies = [part[:octets] for part in parts[1:]]
        bodies.append(last[:octets])
        before = [part[from_key:] + content for part in parts]
        before[0] = first[key_at:] + content
        return KeyedMessages(self._shape(facts), list(map(add, before, bodies)), raw_keys, stop)

    def _cut_changing(self, data: bytes, at: int, end: int) -> KeyedMessages | None:
        """Cut messages whose content headers may differ, each of one body frame or none."""
        key_at, heads, tail_octets, channel = self._key_at, self._heads, self._tail_octets, self.publish.channel
        largest, largest_header = self._largest, self._frame_max - 8
        unpack_start, unpack_edge = _TAIL_AND_HEADER_START.unpack_from, _HEADER_END_AND_BODY_HEAD.unpack_from
        pieces: list[bytes] = []
        raw_keys: list[bytes] = []
        run_facts: ContentFacts | None = None
        try:
            for _ in range(self._limit):
                piece_at = at + key_at
                key_octets = data[piece_at]
                if not data.startswith(heads[key_octets], at):
                    break
                tail_at = piece_at + 1 + key_octets
                tail, kind, on, size, class_id, weight, body_octets, flags = unpack_start(data, tail_at)
                if tail != tail_octets or kind != FRAME_HEADER or on != channel or class_id != 60 or weight:
                    break
                if not 14 <= size <= largest_header:
                    break
                stop = body_at = tail_at + size + 10
                if body_octets:
                    stop += body_octets + 8
                    if stop > end or body_octets > largest:
                        break
                    if unpack_edge(data, body_at - 1) != (FRAME_END, FRAME_BODY, channel, body_octets):
                        break
                if stop > end or data[stop - 1] != FRAME_END:
                    break
                facts = skim(data, tail_at + 23, body_at - 1, flags)
                if facts is not run_facts:
                    common = facts if run_facts is None else common_facts(run_facts, facts)
                    if common is None or not common.is_plain:
                        break
                    run_facts = common
                raw_keys.append(data[piece_at + 1 : tail_at])
                pieces.append(data[piece_at:tail_at] + data[tail_at + 1 : stop])
                at = stop
        except (IndexError, StructError, FrameError):
            pass  # The read ends within this message, or the walk will say what is wrong with it.
        if run_facts is None or len(pieces) < _SHORTEST_RUN:
            return None
        return KeyedMessages(self._shape(run_facts), pieces, raw_keys, at)

    def _shape(self, facts: ContentFacts) -> Shape:
        shape = self._shapes.get(facts)
        if shape is None:
            publish = self.publish
            shape = self._shapes[facts] = Shape(
                publish.exchange, "", publish.address, publish.channel, self._frame_max, facts, is_keyed=True
            )
        return shape


def _drop_undecodable(found: KeyedMessages, head_octets: int) -> bool:
    """Decode the routing keys, and drop what follows one that is not UTF-8; False if fewer than a run is left.

    ``head_octets`` is what a message has in the read beside its piece.
    """
    raw_keys = found.raw_keys
    try:
        found.routing_keys = b"\x00".join(raw_keys).decode().split("\x00")
        if len(found.routing_keys) != len(raw_keys):  # One holds a zero itself.
            found.routing_keys = list(map(bytes.decode, raw_keys))
        return True
    except UnicodeDecodeError:
        count = sum(1 for _ in takewhile(_is_text, raw_keys))
    found.routing_keys = list(map(bytes.decode, raw_keys[:count]))
    found.stop -= sum(head_octets + len(piece) for piece in found.pieces[count:])
    del found.pieces[count:], raw_keys[count:]
    return count >= _SHORTEST_RUN


def _is_text(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
