"""Publishes in a row, as the reader cuts them for channels: of one routing key, of many in order, or grouped by key.

Nothing here reads a socket or knows a queue.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from protocol.constants import FRAME_END_OCTET
from protocol.content import ContentFacts, PublishMethod, Shape, short_string

_METHODS_MAX: Final = 256
KNOWN_KEYS_MAX: Final = 4096


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
    """A routing key that came before: its publish method, and the shape of what came by it last."""

    __slots__ = ("publish", "shape")

    def __init__(self, publish: PublishMethod) -> None:
        self.publish = publish
        self.shape: Shape | None = None

    def shape_of(self, facts: ContentFacts, lead: bytes, body_octets: int, frame_max: int) -> Shape:
        """Return the shape of messages with these facts and this lead; the same object where it comes again."""
        shape = self.shape
        if shape is None or shape.facts is not facts or shape.lead != lead:
            publish = self.publish
            place = publish.exchange, publish.routing_key, publish.address, publish.channel, frame_max
            shape = self.shape = Shape(*place, facts, lead, body_octets if lead else -1)
        return shape


class KnownKeys(dict[bytes, KnownKey]):
    """The routing keys of publishes that have all else in common, by their short strings: those that come again.

    ``room`` is shared by all of a reader, so that these are some thousand at most, whatever a client sends.
    """

    __slots__ = ("_publish", "_room")

    def __init__(self, publish: KeyedPublish, room: "KeyRoom") -> None:
        self._publish = publish
        self._room = room

    def __missing__(self, short: bytes) -> KnownKey:
        try:
            routing_key = short[1:].decode()
        except UnicodeDecodeError:
            raise NotText from None
        publish = self._publish
        bits = publish.mandatory | publish.immediate << 1
        known = KnownKey(PublishMethod(publish.channel, publish.exchange, routing_key, publish.address + short, bits))
        self._room.take(self)
        self[short] = known
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
    """Messages in a row whose routing keys differ, those of each key together: ``runs``, by their first messages.

    ``lead`` is that of all their shapes; empty where headers differ. ``in_order`` gives them as they came.
    """

    __slots__ = ("_by_key", "_spans", "channel", "count", "facts", "lead", "publish", "runs", "shape")

    def __init__(self, publish: KeyedPublish, shape: Shape, lead: bytes, body_octets: int, known: KnownKeys) -> None:
        self.channel = publish.channel
        self.publish = publish
        self.shape = shape
        self.facts = shape.facts
        self.lead = lead
        self.count = 0
        self.runs: list[PublishRun] = []
        self._by_key = _PiecesByKey(self.runs, shape, lead, body_octets, known)
        self._spans: list[Callable[[], Iterable[tuple[bytes, bytes]]]] = []

    def add(self, count: int, span: Callable[[], Iterable[tuple[bytes, bytes]]]) -> int:
        """Add the messages of ``span()``: key as short string and piece of each. Return how many of them had a key.

        It is called again where somebody wants them in order.
        """
        by_key, added = self._by_key, 0
        try:
            for short, piece in span():
                by_key[short].append(piece)
        except NotText:
            added = sum([len(run.pieces) for run in self.runs]) - self.count
        else:
            added = count
        if added:
            self.count += added
            self._spans.append(span)
        return added

    def in_order(self) -> PublishRun:
        """Return the same messages as one run, in the order in which they came."""
        start = FRAME_END_OCTET + self.lead
        pieces = [short + start + piece for span in self._spans for short, piece in span()][: self.count]
        routing_key_of = self.shape.routing_key_of
        return PublishRun(self.publish, self.shape, pieces, list(map(routing_key_of, pieces)))


class _PiecesByKey(dict[bytes, list[bytes]]):
    """The pieces of a run's messages by key; a key that is new gets a run of its own, at the end of ``runs``."""

    __slots__ = ("_body_octets", "_known", "_lead", "_runs", "_shape")

    def __init__(self, runs: list[PublishRun], shape: Shape, lead: bytes, body_octets: int, known: KnownKeys) -> None:
        self._runs = runs
        self._shape = shape
        self._lead = lead
        self._body_octets = body_octets
        self._known = known

    def __missing__(self, short: bytes) -> list[bytes]:
        known, shape = self._known[short], self._shape
        pieces: list[bytes] = []
        one = known.shape_of(shape.facts, self._lead, self._body_octets, shape.frame_max)
        self._runs.append(PublishRun(known.publish, one, pieces))
        self[short] = pieces
        return pieces
