"""Publishes in a row, as the reader cuts them for channels: of one routing key, of many in order, or grouped by key.

Nothing here reads a socket or knows a queue.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from typing import Final

from protocol.constants import FRAME_END_OCTET
from protocol.content import PublishMethod, Shape, short_string

_METHODS_MAX: Final = 256
KNOWN_KEYS_MAX: Final = 4096

Span = Callable[[], Iterable[tuple[bytes, bytes]]]
"""Gives the messages of a part of a run, in order: key as short string, and piece."""


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


class PublishRun:
    """Messages in a row, published by one method frame's octets, of one shape: one piece each.

    Where their routing keys differ, ``routing_keys`` has that of each, and ``publish`` what they have in common.
    """

    __slots__ = ("channel", "pieces", "publish", "routing_keys", "shape")

    def __init__(
        self,
        publish: PublishMethod,
        shape: Shape,
        pieces: list[bytes],
        routing_keys: list[str] | None = None,
    ) -> None:
        self.channel = publish.channel
        self.publish = publish
        self.shape = shape
        self.pieces = pieces
        self.routing_keys = routing_keys

    def one_by_one(self) -> "Iterator[PublishRun]":
        """Yield the messages of a run with different routing keys as runs of one."""
        publish, shape = self.publish, self.shape
        assert isinstance(publish, KeyedPublish)
        for routing_key, piece in zip(self.routing_keys or (), self.pieces, strict=True):
            alone, content = shape.alone(piece)
            yield PublishRun(publish.by(routing_key), alone, [content])


class NotText(ValueError):
    """A routing key is not UTF-8."""


class KnownKey:
    """A routing key that came before: its publish method, and the shape of what came by it last.

    ``like`` is what had that shape's facts with many keys, ``lead`` the shape's.
    """

    __slots__ = ("lead", "like", "publish", "shape")

    def __init__(self, publish: PublishMethod, like: Shape) -> None:
        self.publish = publish
        self.learn(like, b"", -1)

    def learn(self, like: Shape, lead: bytes, body_octets: int) -> Shape:
        """Return the shape of messages by this key that have the facts of ``like`` and this lead."""
        publish = self.publish
        place = publish.exchange, publish.routing_key, publish.address, publish.channel, like.frame_max
        self.like, self.lead = like, lead
        self.shape = Shape(*place, like.facts, lead, body_octets if lead else -1)
        return self.shape


class KnownKeys(dict[bytes, KnownKey]):
    """The routing keys of publishes that have all else in common, by their short strings: those that come again.

    ``room`` is shared by all of a reader, so that these are some thousand at most, whatever a client sends.
    """

    __slots__ = ("_publish", "_room")

    def __init__(self, publish: KeyedPublish, room: "KeyRoom") -> None:
        self._publish = publish
        self._room = room

    def learn(self, short: bytes, like: Shape) -> KnownKey:
        """Return what is known by the key ``short``, from now on at least. Raises NotText."""
        known = self.get(short)
        if known is None:
            try:
                routing_key = short[1:].decode()
            except UnicodeDecodeError:
                raise NotText from None
            of = self._publish
            bits = of.mandatory | of.immediate << 1
            publish = PublishMethod(of.channel, of.exchange, routing_key, of.address + short, bits)
            self._room.take(self)
            known = self[short] = KnownKey(publish, like)
        return known


class KeyRoom:
    """How many keys one reader knows, with all that it publishes by."""

    __slots__ = ("_count", "_holders")

    def __init__(self) -> None:
        self._count = 0
        self._holders: dict[int, dict[bytes, KnownKey] | dict[bytes, bytes]] = {}

    def take(self, holder: dict[bytes, KnownKey] | dict[bytes, bytes]) -> None:
        """Count one more of ``holder``'s; where there are too many, all are forgotten."""
        if self._count >= KNOWN_KEYS_MAX:
            for each in self._holders.values():
                each.clear()
            self._holders.clear()
            self._count = 0
        self._count += 1
        self._holders[id(holder)] = holder


class GroupedRun:
    """Messages in a row whose routing keys differ, those of each key together.

    ``keys`` are in the order in which they came first, ``groups`` the pieces of each; ``lead`` is that of all shapes,
    empty where headers differ; ``largest_octets`` is the size of the largest message, frames and all. ``in_order``
    gives the messages as they came.
    """

    __slots__ = (
        *("_body_octets", "_by_key", "_known", "_spans"),
        *("channel", "count", "keys", "largest_octets", "lead", "publish", "shape"),
    )

    def __init__(self, publish: KeyedPublish, shape: Shape, lead: bytes, body_octets: int, known: KnownKeys) -> None:
        self.channel = publish.channel
        self.publish = publish
        self.shape = shape
        self.lead = lead
        self.count = self.largest_octets = 0
        self.keys: list[KnownKey] = []
        self._body_octets = body_octets
        self._known = known
        self._by_key: defaultdict[bytes, list[bytes]] = defaultdict(list)
        self._spans: list[Span] = []

    def add(self, count: int, largest_octets: int, span: Span) -> int:
        """Add the messages of ``span()``, so many, none larger than that.

        Return how many there are before one whose key is no text.
        """
        by_key, keys = self._by_key, self.keys
        for short, piece in span():
            by_key[short].append(piece)
        if len(by_key) > len(keys):
            learn, like = self._known.learn, self.shape
            try:
                keys += [learn(short, like) for short in islice(by_key, len(keys), None)]
            except NotText:
                count = self._take_back(span)
        if count:
            self.count += count
            self.largest_octets = max(self.largest_octets, largest_octets)
            self._spans.append(span)
        return count

    def _take_back(self, span: Span) -> int:
        """Take those of the messages out that come with, or after, a key that is no text; return how many stay."""
        by_key, messages, count = self._by_key, list(span()), 0
        for short, _ in messages:
            try:
                self._known.learn(short, self.shape)
            except NotText:
                break
            count += 1
        for short, _ in reversed(messages[count:]):
            by_key[short].pop()
            if not by_key[short]:
                del by_key[short]
        self.keys = [self._known.learn(short, self.shape) for short in by_key]
        return count

    @property
    def groups(self) -> Collection[list[bytes]]:
        """The pieces of each key's messages."""
        return self._by_key.values()

    def shapes(self) -> list[Shape]:
        """Return the shape of each key's messages."""
        like, lead, body_octets = self.shape, self.lead, self._body_octets
        return [
            key.shape if key.like is like and key.lead == lead else key.learn(like, lead, body_octets)
            for key in self.keys
        ]

    def in_order(self) -> PublishRun:
        """Return the same messages as one run, in the order in which they came."""
        start = FRAME_END_OCTET + self.lead
        pieces = [short + start + piece for span in self._spans for short, piece in span()][: self.count]
        routing_key_of = self.shape.routing_key_of
        return PublishRun(self.publish, self.shape, pieces, list(map(routing_key_of, pieces)))
