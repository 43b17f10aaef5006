"""The publish method and the content header, read by hand: what a run of messages has in common.

Octets come from frames.py and go on, unchanged, inside the shapes and pieces made here, to the queues, the
log and the consumers. Nothing is decoded but what a broker acts on. It knows no channels' state and no queues.
"""

from collections.abc import Sequence
from struct import Struct, unpack
from struct import error as StructError
from typing import Final

from protocol.errors import FrameError, erlang_binary

HEADER_START: Final = Struct(">BHIHHQH")
"""A content header frame's fixed part: type, channel, size, class, weight, body size, property flags."""
FRAME_HEAD: Final = Struct(">BHI")
"""A frame's type, channel and payload size."""

HEADERS_FLAG: Final = 1 << 13
DELIVERY_MODE_FLAG: Final = 1 << 12
PRIORITY_FLAG: Final = 1 << 11
CORRELATION_ID_FLAG: Final = 1 << 10
REPLY_TO_FLAG: Final = 1 << 9
_EXPIRATION_FLAG: Final = 1 << 8
_USER_ID_FLAG: Final = 1 << 4
RARE_FLAGS: Final = _EXPIRATION_FLAG | _USER_ID_FLAG | 1
_SEEN_FLAGS: Final = RARE_FLAGS | CORRELATION_ID_FLAG | REPLY_TO_FLAG
DIRECT_REPLY_TO: Final = b"amq.rabbitmq.reply-to"
_table_octets: Final = Struct(">I").unpack_from


class PublishMethod:
    """A decoded basic.publish, one object for each distinct frame, so that it serves as a cache key.

    ``address`` is the exchange and routing key as two short strings, the form that deliver, return and get-ok
    repeat. Ref: basic.publish.
    """

    __slots__ = ("address", "channel", "exchange", "immediate", "mandatory", "routing_key")

    def __init__(self, channel: int, exchange: str, routing_key: str, address: bytes, bits: int) -> None:
        self.channel = channel
        self.exchange = exchange
        self.routing_key = routing_key
        self.address = address
        self.mandatory = bool(bits & 1)
        self.immediate = bool(bits & 2)


class ContentFacts:
    """What the broker acts on in a content header.

    Headers that ask for nothing but persistence and priority share one object for each such pair, ``is_plain``.
    ``priority`` is None where the property is absent, and where ``priorities_differ`` among a run's messages;
    ``has_carbon`` says that the headers may hold CC or BCC; ``reply_to`` is kept only where it names the pseudo-queue
    of direct reply-to.
    """

    __slots__ = (
        "expiration",
        "has_carbon",
        "is_plain",
        "persistent",
        "priorities_differ",
        "priority",
        "reply_to",
        "user_id",
    )

    def __init__(
        self,
        persistent: bool,
        priority: int | None = None,
        expiration: str | None = None,
        user_id: str | None = None,
        reply_to: str | None = None,
        has_carbon: bool = False,
    ) -> None:
        self.persistent = persistent
        self.priority = priority
        self.expiration = expiration
        self.user_id = user_id
        self.reply_to = reply_to
        self.has_carbon = has_carbon
        self.priorities_differ = False
        self.is_plain = expiration is user_id is reply_to is None and not has_carbon


_PLAIN: Final = {
    persistent: [ContentFacts(persistent, priority) for priority in (None, *range(256))] for persistent in (False, True)
}
_OF_ANY_PRIORITY: Final = {persistent: ContentFacts(persistent) for persistent in (False, True)}
for _facts in _OF_ANY_PRIORITY.values():
    _facts.priorities_differ = True
PLAIN_TRANSIENT: Final = _PLAIN[False][0]
PLAIN_PERSISTENT: Final = _PLAIN[True][0]


def plain_facts(persistent: bool, priority: int | None) -> ContentFacts:
    """Return the facts of headers that ask for nothing else."""
    return _PLAIN[persistent][0 if priority is None else priority + 1]


def common_facts(first: ContentFacts, second: ContentFacts) -> ContentFacts | None:
    """Return the facts of a run with messages of both kinds; None where they cannot be in one.

    Priorities may differ, since hardly a queue has any.
    """
    if first.is_plain and second.is_plain and first.persistent is second.persistent:
        return _OF_ANY_PRIORITY[first.persistent]
    return None


class Shape:
    """What the messages of a run have in common; a message is its shape's ``lead`` followed by its piece.

    - ``lead`` holds the content header frame and the head of the only body frame, where all of that is the same
      in every message; a piece is then body and frame end. It is empty where headers differ; a piece is then
      the content header frame and all body frames.
    - ``is_keyed`` says that routing keys differ as well: a piece then begins with its own, as a short string, and the
      end of the frame that it stood in; content header and body frames follow. ``address`` is the exchange's short
      string alone then, ``routing_key`` and ``lead`` are empty.
    - ``key_octets`` is the size of each of those keys, or -1 where they differ, or are not in the pieces.
    - ``body_octets`` is the size of each body, or -1 where they differ.
    - ``envelope`` is what the log keeps of the shape, filled in when it first goes there.
    - ``channel`` is the number that lead and pieces carry; ``frame_max`` the size no frame of them exceeds.
    """

    __slots__ = (
        "address",
        "body_octets",
        "channel",
        "envelope",
        "exchange",
        "facts",
        "frame_max",
        "is_keyed",
        "key_octets",
        "lead",
        "routing_key",
    )

    def __init__(
        self,
        exchange: str,
        routing_key: str,
        address: bytes,
        channel: int,
        frame_max: int,
        facts: ContentFacts,
        lead: bytes = b"",
        body_octets: int = -1,
        is_keyed: bool = False,
        key_octets: int = -1,
    ) -> None:
        self.exchange = exchange
        self.routing_key = routing_key
        self.address = address
        self.channel = channel
        self.frame_max = frame_max
        self.facts = facts
        self.lead = lead
        self.body_octets = body_octets
        self.is_keyed = is_keyed
        self.key_octets = key_octets
        self.envelope = b""

    def content_at(self, piece: bytes) -> int:
        """Return where in ``piece`` the content header frame begins, for shapes without lead."""
        return piece[0] + 2 if self.is_keyed else 0

    def address_of(self, piece: bytes) -> bytes:
        """Return exchange and routing key of the message that ``piece`` belongs to, as two short strings."""
        return self.address + piece[: 1 + piece[0]] if self.is_keyed else self.address

    def routing_key_of(self, piece: bytes) -> str:
        """Return the routing key of the message that ``piece`` belongs to."""
        return piece[1 : 1 + piece[0]].decode() if self.is_keyed else self.routing_key

    def priority_of(self, piece: bytes) -> int | None:
        """Return the priority of the message that ``piece`` belongs to, None where it has none."""
        if not self.facts.priorities_differ:
            return self.facts.priority
        return header_facts(self.header_payload(piece)).priority

    def of_priority(self, priority: int | None) -> "Shape":
        """Return the same shape for messages that all have ``priority``."""
        facts = plain_facts(self.facts.persistent, priority)
        place = self.exchange, self.routing_key, self.address, self.channel, self.frame_max
        return Shape(*place, facts, self.lead, self.body_octets, self.is_keyed)

    def alone(self, piece: bytes) -> "tuple[Shape, bytes]":
        """Return shape and piece of the same message where it does not share the shape with other routing keys."""
        if not self.is_keyed:
            return self, piece
        key, address = self.routing_key_of(piece), self.address_of(piece)
        shape = Shape(self.exchange, key, address, self.channel, self.frame_max, self.facts)
        return shape, piece[self.content_at(piece) :]

    def body_octets_of(self, piece: bytes) -> int:
        """Return the size of the body of the message that ``piece`` belongs to, in octets."""
        if self.body_octets >= 0:
            return self.body_octets
        at = self.content_at(piece)
        return int.from_bytes(piece[at + 11 : at + 19])

    def body_octets_of_all(self, pieces: Sequence[bytes]) -> int:
        """Return the size of the bodies of all messages that ``pieces`` belong to, in octets."""
        if self.body_octets >= 0:
            return self.body_octets * len(pieces)
        if self.is_keyed:
            sizes = [piece[piece[0] + 13 : piece[0] + 21] for piece in pieces]
        else:
            sizes = [piece[11:19] for piece in pieces]
        return sum(unpack(f">{len(sizes)}Q", b"".join(sizes)))

    def header_payload(self, piece: bytes) -> bytes:
        """Return the payload of the content header frame of the message that ``piece`` belongs to."""
        if self.is_keyed:
            piece = piece[self.content_at(piece) :]
        octets = self.lead or piece
        return octets[7 : 7 + int.from_bytes(octets[3:7])]

    def body(self, piece: bytes) -> bytes:
        """Return the body of the message that ``piece`` belongs to, its frames joined."""
        if self.lead:
            return piece[:-1]
        parts = []
        at = self.content_at(piece)
        at += 8 + int.from_bytes(piece[at + 3 : at + 7])
        while at < len(piece):
            size = int.from_bytes(piece[at + 3 : at + 7])
            parts.append(piece[at + 7 : at + 7 + size])
            at += size + 8
        return b"".join(parts)


def short_string(octets: bytes) -> bytes:
    """Return ``octets`` (at most 255) as a short string: its length in one octet before it. Spec: 4.2.5.3."""
    return bytes((len(octets),)) + octets


def address_of(exchange: str, routing_key: str) -> bytes:
    """Return exchange and routing key as two short strings."""
    return short_string(exchange.encode()) + short_string(routing_key.encode())


def decode_publish(channel: int, payload: bytes) -> PublishMethod:
    """Read the payload of a basic.publish frame.

    Raises FrameError (501) on truncated or over-long arguments and on names that are not UTF-8.
    """
    size = len(payload)
    routing_key_at = 7 + payload[6] if size > 6 else size
    bits_at = routing_key_at + 1 + payload[routing_key_at] if size > routing_key_at else size
    if size != bits_at + 1:
        raise FrameError(f"cannot decode {erlang_binary(payload[4:])}", class_id=60, method_id=40)
    try:
        exchange = payload[7:routing_key_at].decode()
        routing_key = payload[routing_key_at + 1 : bits_at].decode()
    except UnicodeDecodeError:
        raise FrameError("Malformed UTF-8 in shortstr") from None
    return PublishMethod(channel, exchange, routing_key, payload[6:bits_at], payload[bits_at])


def skim(data: bytes, at: int, stop: int, flags: int) -> ContentFacts:
    """Read what the broker acts on from the properties at ``data[at:stop]``, skipping all else.

    ``flags`` say which properties there are; ``stop`` is the index of the header frame's end octet.
    Raises FrameError (501) where a property runs over the end of the header. Ref: basic content header.
    Hot: see the rows V and W in docs/performance.md.
    """
    has_carbon = persistent = False
    priority = 0
    try:
        if flags & 0x8000:
            at += 1 + data[at]
        if flags & 0x4000:
            at += 1 + data[at]
        if flags & HEADERS_FLAG:
            table_at = at
            at += 4 + _table_octets(data, at)[0]
            # A cheap hint, one octet first since that is one call of memchr; who needs the truth decodes the table.
            has_carbon = data.find(b"C", table_at, at) >= 0 and data.find(b"CC", table_at, at) >= 0
        if flags & DELIVERY_MODE_FLAG:
            persistent = data[at] == 2
            at += 1
        if flags & PRIORITY_FLAG:
            priority = data[at] + 1
            at += 1
        if flags & _SEEN_FLAGS:
            if flags & RARE_FLAGS:
                return _rare_facts(data, at, stop, flags, persistent, priority - 1, has_carbon)
            if flags & CORRELATION_ID_FLAG:
                at += 1 + data[at]
            if flags & REPLY_TO_FLAG:
                if data.startswith(DIRECT_REPLY_TO, at + 1):
                    return _rare_facts(
                        data, at, stop, flags & ~CORRELATION_ID_FLAG, persistent, priority - 1, has_carbon
                    )
                at += 1 + data[at]
        if at > stop:
            raise IndexError
        if has_carbon:
            return ContentFacts(persistent, priority - 1 if priority else None, has_carbon=True)
        return _PLAIN[persistent][priority]
    except (IndexError, StructError, UnicodeDecodeError):
        raise FrameError("cannot decode content header", class_id=60, method_id=40) from None


def texts_stop(data: bytes, at: int, flags: int) -> int:
    """Return where content type and encoding stop, those that ``flags`` say there are; they begin at ``at``."""
    if flags & 0x8000:
        at += 1 + data[at]
    if flags & 0x4000:
        at += 1 + data[at]
    return at


def same_start(header: bytes) -> int:
    """Return how many octets at the start of a content header frame settle what ``skim`` finds in it.

    What follows them, up to the size that they tell, may be anything. 0 where no such octets are known.
    """
    try:
        flags = int.from_bytes(header[19:21])
        if flags & _SEEN_FLAGS:
            return 0
        at = texts_stop(header, 21, flags)
        if flags & HEADERS_FLAG:
            at += 4 + int(_table_octets(header, at)[0])
    except (IndexError, StructError):
        return 0
    return at + bool(flags & DELIVERY_MODE_FLAG) + bool(flags & PRIORITY_FLAG)


def _rare_facts(
    data: bytes, at: int, stop: int, flags: int, persistent: bool, priority: int, has_carbon: bool
) -> ContentFacts:
    """Read on from the correlation id; ``priority`` -1 is none.

    Raises IndexError where a property runs over ``stop``.
    """
    if flags & 1:
        raise IndexError
    if flags & CORRELATION_ID_FLAG:
        at += 1 + data[at]
    reply_to = expiration = user_id = None
    if flags & REPLY_TO_FLAG:
        if data.startswith(DIRECT_REPLY_TO, at + 1):
            reply_to = data[at + 1 : at + 1 + data[at]].decode()
        at += 1 + data[at]
    if flags & _EXPIRATION_FLAG:
        expiration = data[at + 1 : at + 1 + data[at]].decode()
        at += 1 + data[at]
    if flags & _USER_ID_FLAG:
        for flag, size in ((1 << 7, 0), (1 << 6, 8), (1 << 5, 0)):
            if flags & flag:
                at += size or 1 + data[at]
        user_id = data[at + 1 : at + 1 + data[at]].decode()
        at += 1 + data[at]
    if at > stop:
        raise IndexError
    if expiration is user_id is reply_to is None and not has_carbon:
        return _PLAIN[persistent][priority + 1]
    return ContentFacts(persistent, None if priority < 0 else priority, expiration, user_id, reply_to, has_carbon)


def header_facts(payload: bytes) -> ContentFacts:
    """Return the facts of a content header frame's payload. Raises FrameError (501)."""
    if len(payload) < 14:
        raise FrameError("cannot decode content header", class_id=60, method_id=40)
    return skim(payload, 14, len(payload), int.from_bytes(payload[12:14]))
