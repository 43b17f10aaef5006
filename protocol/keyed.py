"""Runs of publishes to one exchange whose routing keys differ.

What such messages have in common is a method frame but for its routing key: its size and the key's length go together,
so one frame head for each length of key says how the next message must begin. Where content headers are the same as
well, the messages are cut by one split; else they are walked. It decides nothing about what it does not recognise:
frames.py does, frame by frame.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial
from itertools import repeat, takewhile
from operator import add
from struct import Struct
from struct import error as StructError
from typing import Final, cast

from protocol.columns import Columns
from protocol.constants import FRAME_BODY, FRAME_END, FRAME_END_OCTET, FRAME_HEADER
from protocol.content import (
    FRAME_HEAD,
    ContentFacts,
    PublishMethod,
    Shape,
    common_facts,
    same_start,
    skim,
)
from protocol.errors import FrameError
from protocol.runs import GroupedRun, KeyedPublish, KeyRoom, KnownKeys, NotText, PublishRun, Span

_TAIL_AND_HEADER_START: Final = Struct(">HBHIHHQH")
"""Bits and end of a publish frame, and the fixed part of the content header frame after it."""
_HEADER_END_AND_BODY_HEAD: Final = Struct(">BBHI")
_SHORTEST_RUN: Final = 2
_LONGEST_RUN: Final = 65536
_FIRST_RUN: Final = 256
_SHAPES_MAX: Final = 256
_SHORTEST_ALIKE: Final = 16
"""Fewer whose headers differ behind what matters are better walked, together with those that follow."""
_LIMIT_AFTER_MISS: Final = 16
_SAME_KEYS: Final = 4
"""So many messages in a row with the same key are better cut by that."""
_SHORTEST_COLUMNS: Final = 64
"""Fewer are better split than looked at column by column, since there are some dozens of these."""
_LOOKED_AT: Final = 64
"""So many keys of a read tell whether the others come again."""

Keyed = PublishRun | GroupedRun


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


class KeyedCutter:
    """Cuts messages that one channel publishes to one exchange, with the same bits, by different keys.

    Made from a whole publish frame that was decoded; ``frame_max`` is the limit for each frame, ``max_body_octets`` for
    each body.
    """

    __slots__ = (
        "_columns",
        "_columns_limit",
        "_frame_max",
        "_heads",
        "_key_at",
        "_known",
        "_largest",
        "_limit",
        "_room",
        "_shapes",
        "_shorts",
        "_tail_octets",
        "publish",
    )

    def __init__(
        self, frame: bytes, publish: PublishMethod, frame_max: int, max_body_octets: int, room: KeyRoom
    ) -> None:
        self._key_at = key_at = 14 + frame[13]
        self._heads = _Heads(frame[1:3], frame[7:key_at], frame_max - 8)
        self._heads[-1] = b"\xff"  # No frame begins so: a key that makes its frame too large is left to the walk.
        self._tail_octets = int.from_bytes(frame[-2:])
        self._frame_max = frame_max
        self._largest = min(frame_max - 8, max_body_octets)
        self._limit = self._columns_limit = _FIRST_RUN
        self._shapes: dict[tuple[ContentFacts, int], Shape] = {}
        self.publish = KeyedPublish(publish.channel, publish.exchange, frame[13:key_at], frame[-2] & 3)
        self._known = KnownKeys(self.publish, room)
        self._room = room
        self._shorts: dict[bytes, bytes] = {}
        """Keys as short strings, by what splitting leaves of the publish frames that they came in."""
        self._columns = Columns(b"", 0, b"", 0)

    def cut(self, data: bytes, at: int, end: int, before: Keyed | None = None) -> tuple[Keyed, int] | None:
        """Return the messages ``at``, if they are such a run, and where they stop in ``data``.

        None where there are fewer than two, or the first few have the same key and are better cut as such. ``before``
        is the run that ends there; where the messages go on in the same way they are added to it, and it is returned.
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
        same = same_start(lead) or (len(lead) if body_octets else 0)
        if same and data.startswith(lead[:same], next_at + key_at + 3 + next_octets):
            if body_octets and data.startswith(lead, next_at + key_at + 3 + next_octets):
                same = len(lead)
            if next_octets == key_octets and end - at >= _SHORTEST_COLUMNS * (stop - at):
                found = self._cut_columns(data, at, end, stop, lead, same, before)
            if found is None:
                octets = stop - tail_at - 2 - same
                limit = min(end, at + self._limit * (stop - at))
                found = self._cut_alike(data, at, limit, lead, same, octets, before)
        return found or self._cut_changing(data, at, end, before)

    def _found(self, count: int, last_keys: Sequence[object]) -> None:
        """Let the next cut try as many messages as the last ones promise, of which there were ``count``.

        A run that ends in one key again and again is left soon, to be cut as such.
        """
        if len(last_keys) == _SAME_KEYS == last_keys.count(last_keys[0]):
            self._limit, self._columns_limit = _LIMIT_AFTER_MISS, _SHORTEST_COLUMNS
        else:
            self._limit = min(_LONGEST_RUN, max(self._limit, 2 * count))

    def _joined(self, before: Keyed | None, shape: Shape, pieces: list[bytes], routing_keys: list[str]) -> PublishRun:
        """Return the run of these messages, those that come ``before`` among it if they are of one shape."""
        self._found(len(pieces), routing_keys[-_SAME_KEYS:])
        if type(before) is PublishRun and before.shape is shape and before.routing_keys is not None:
            before.pieces += pieces
            before.routing_keys += routing_keys
            return before
        return PublishRun(self.publish, shape, pieces, routing_keys)

    def _grouped(
        self,
        before: Keyed | None,
        shape: Shape,
        lead: bytes,
        body_octets: int,
        count: int,
        largest_octets: int,
        span: Span,
    ) -> tuple[GroupedRun, int]:
        """Return the run of these messages by key, as ``_joined``, and how many of them have keys that are text.

        None of them is larger than ``largest_octets``.
        """
        run = before
        if type(run) is not GroupedRun or run.lead != lead or run.shape is not shape:
            run = GroupedRun(self.publish, shape, lead, body_octets, self._known)
        return run, run.add(count, largest_octets, span)

    def _come_again(self, shorts: Sequence[bytes], shape: Shape) -> bool:
        """Whether keys, of which these are some, are worth to be told apart: they came before, or are few."""
        known, some = self._known, set(shorts)
        if 4 * len(some) <= len(shorts) or 2 * len(known.keys() & some) >= len(some):
            return True
        for short in some:
            with suppress(NotText):
                known.learn(short, shape)
        return False

    def _cut_columns(
        self, data: bytes, at: int, end: int, stop: int, lead: bytes, same: int, before: Keyed | None
    ) -> tuple[Keyed, int] | None:
        """Cut messages that are as long as the first, which stops at ``stop``, and whose keys are as long as its."""
        columns = self._columns
        if not columns.are_of(data, at, stop, lead, same):
            columns = self._columns = Columns(data[at:stop], self._key_at, lead, same)
        tried = min((end - at) // (stop - at), self._columns_limit)
        count = columns.count(data, at, tried, _SHORTEST_COLUMNS)
        if count < tried:
            self._columns_limit = max(_SHORTEST_COLUMNS, 2 * count)
        elif count == self._columns_limit:
            self._columns_limit = min(_LONGEST_RUN, 4 * count)
        facts = _plain_facts(lead) if count >= _SHORTEST_COLUMNS else None
        if facts is None:
            return None
        shape = self._shape(facts, data[at + self._key_at])
        is_whole = same == len(lead)
        if self._come_again(columns.shorts(data, at, min(count, _LOOKED_AT)), shape):
            span = partial(columns.cells, data, at, count)
            like = lead if is_whole else b"", columns.body_octets
            run, added = self._grouped(before, shape, *like, count, columns.octets, span)
            stop, last = at + added * columns.octets, min(added, _SAME_KEYS)
            self._found(added, columns.shorts(data, stop - last * columns.octets, last))
            return (run, stop) if added else None
        shorts = columns.shorts(data, at, count)
        routing_keys = _decode([short[1:] for short in shorts])
        if None in routing_keys:
            count = routing_keys.index(None)
            del routing_keys[count:]
        if count < _SHORTEST_RUN:
            return None
        pieces = columns.pieces(data, at, count)
        return self._joined(before, shape, pieces, cast(list[str], routing_keys)), at + count * columns.octets

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

    def _cut_alike(
        self, data: bytes, at: int, end: int, lead: bytes, same: int, octets: int, before: Keyed | None
    ) -> tuple[Keyed, int] | None:
        """Cut messages whose contents begin with ``same`` octets of ``lead`` and have ``octets`` more, by one split.

        It splits at what is between key and those. Right if, and only if, each part holds as many octets with a frame
        end, a publish frame's head and as long a key as that head says, and header and body meet where they do in
        ``lead``; what breaks this, a body that holds the separator among it, ends the run.
        """
        separator = self._tail_octets.to_bytes(2) + lead[:same]
        parts = data[at:end].split(separator)
        last = parts.pop()
        # Of each message: the frame end before it, and its publish frame up to the end of its key.
        heads = [part[octets - 1 :] for part in parts]
        heads[0] = FRAME_END_OCTET + parts[0]
        names = self._read_heads(set(heads).difference(self._shorts))
        count = len(parts)
        if None in names.values():
            count = sum(1 for _ in takewhile(lambda head: names.get(head, "") is not None, heads))
            last = parts[count] if count < len(parts) else last
            self._limit = max(_LIMIT_AFTER_MISS, 2 * count)
        if len(last) < octets or last[octets - 1] != FRAME_END:
            count -= 1
            last = parts[count]
        if count < (_SHORTEST_RUN if same == len(lead) else _SHORTEST_ALIKE):
            return None
        facts = _plain_facts(lead)
        if facts is None:
            return None
        del heads[count:], parts[count:]
        bodies = [part[:octets] for part in parts]
        del bodies[0]
        bodies.append(last[:octets])
        if same < len(lead):
            edge_at, joined = 7 + int.from_bytes(lead[3:7]) - same, b"".join(bodies)
            for place, octet in enumerate(lead[edge_at + same :], edge_at):
                if joined[place::octets] != bytes((octet,)) * count:
                    self._limit = _LIMIT_AFTER_MISS
                    return None
        key_at, content = self._key_at + 1, separator[1:]
        head_octets, more_octets = list(map(len, heads)), len(separator) + octets - 1
        stop, longest = at + sum(head_octets) + count * more_octets, max(head_octets)
        shape = self._shape(facts, longest - key_at - 1 if min(head_octets) == longest else -1)
        if 4 * len(set(heads)) <= count or self._come_again([head[key_at:] for head in heads[:_LOOKED_AT]], shape):
            is_whole = same == len(lead)
            if not is_whole:
                bodies = list(map(add, repeat(content[1:]), bodies))
            span = partial(zip, self._shorts_of(heads), bodies)
            like = lead if is_whole else b"", int.from_bytes(lead[11:19])
            run, added = self._grouped(before, shape, *like, count, longest + more_octets, span)
            self._found(added, heads[-_SAME_KEYS:])
            return run, stop
        shorts = [head[key_at:] for head in heads]
        pieces = list(map(add, map(add, shorts, repeat(content)), bodies))
        routing_keys = [names.get(head) or head[key_at + 1 :].decode() for head in heads]
        return self._joined(before, shape, pieces, routing_keys), stop

    def _shorts_of(self, heads: Sequence[bytes]) -> list[bytes]:
        """Return the keys that ``heads`` end with, as short strings, and know these heads from now on."""
        shorts, key_at = self._shorts, self._key_at + 1
        for head in set(heads).difference(shorts):
            self._room.take(shorts)
            shorts[head] = head[key_at:]
        try:
            return list(map(shorts.__getitem__, heads))
        except KeyError:
            return [head[key_at:] for head in heads]  # There were too many, and some are forgotten again.

    def _read_heads(self, heads: Collection[bytes]) -> dict[bytes, str | None]:
        """Return the routing keys of publish frames that begin with the frame end before them and end with their keys.

        None for what is no frame of this cutter's, and for a key that is not UTF-8.
        """
        key_at = self._key_at + 2
        starts = {}
        for size in set(map(len, heads)):
            key_octets = size - key_at
            starts[size] = FRAME_END_OCTET + self._heads[key_octets if 0 <= key_octets < 256 else -1]
        names: dict[bytes, str | None] = dict.fromkeys(heads)
        good = [head for head in heads if head.startswith(starts[len(head)])]
        names.update(zip(good, _decode([head[key_at:] for head in good]), strict=True))
        return names

    def _cut_changing(self, data: bytes, at: int, end: int, before: Keyed | None) -> tuple[Keyed, int] | None:
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
        routing_keys = _decode(raw_keys)
        if None in routing_keys:
            count = routing_keys.index(None)
            at -= sum(key_at + 1 + len(piece) for piece in pieces[count:])
            del pieces[count:], routing_keys[count:]
            if count < _SHORTEST_RUN:
                return None
        return self._joined(before, self._shape(run_facts), pieces, cast(list[str], routing_keys)), at

    def _shape(self, facts: ContentFacts, key_octets: int = -1) -> Shape:
        shape = self._shapes.get((facts, key_octets))
        if shape is None:
            publish = self.publish
            place = publish.exchange, "", publish.address, publish.channel, self._frame_max
            shape = Shape(*place, facts, is_keyed=True, key_octets=key_octets)
            if len(self._shapes) >= _SHAPES_MAX:
                self._shapes.clear()
            self._shapes[facts, key_octets] = shape
        return shape


def _plain_facts(lead: bytes) -> ContentFacts | None:
    """Return the facts of the content header frame that ``lead`` begins with, if it asks for nothing rare."""
    try:
        facts = skim(lead, 21, 7 + int.from_bytes(lead[3:7]), int.from_bytes(lead[19:21]))
    except FrameError:
        return None
    return facts if facts.is_plain else None


def _decode(raw_keys: list[bytes]) -> list[str | None]:
    """Return routing keys; None for what is not UTF-8."""
    try:
        routing_keys: list[str | None] = [*b"\x00".join(raw_keys).decode().split("\x00")]
    except UnicodeDecodeError:
        routing_keys = []
    # One by one where one of them is wrong, or holds a zero itself.
    return routing_keys if len(routing_keys) == len(raw_keys) else list(map(_decode_one, raw_keys))


def _decode_one(raw_key: bytes) -> str | None:
    try:
        return raw_key.decode()
    except UnicodeDecodeError:
        return None
