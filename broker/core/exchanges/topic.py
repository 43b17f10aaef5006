"""The topic exchange: patterns of words, ``*`` for one word, ``#`` for any number of them.

Spec: AMQP 0-9-1, 3.1.3.3 (topic).
"""

from collections.abc import Sequence

from broker.core.bindings import Binding, Destination, Destinations
from broker.core.exchanges.exchange import Exchange, ExchangeProperties
from broker.core.exchanges.topic_tree import Node, words_of
from broker.core.exchanges.topic_walk import Walk
from protocol.tables import FieldTable


class TopicExchange(Exchange):
    """Routes to the bindings whose pattern the routing key fits."""

    type_name = "topic"
    __slots__ = ("_root", "_walk")

    def __init__(self, name: str, vhost_name: str, properties: ExchangeProperties) -> None:
        super().__init__(name, vhost_name, properties)
        self._root = Node()
        self._walk = Walk(self._root)

    def add(self, binding: Binding) -> None:
        node = self._root
        for word in words_of(binding.routing_key):
            node = node.grow(word)
        if node.destinations is None:
            node.destinations = Destinations()
        node.destinations.add(binding.destination)
        self._walk.forget()

    def remove(self, binding: Binding) -> None:
        path: list[tuple[Node, str]] = []
        node: Node | None = self._root
        for word in words_of(binding.routing_key):
            assert node is not None
            path.append((node, word))
            node = node.after(word)
        assert node is not None
        assert node.destinations is not None
        node.destinations.discard(binding.destination)
        if not node.destinations:
            node.destinations = None
        while path and node.is_empty:
            node, word = path.pop()
            node.cut(word)
        self._walk.forget()

    def match(self, routing_key: str, headers: FieldTable | None) -> list[Destination]:
        return list(self._walk.destinations(routing_key))

    def match_each(self, routing_keys: Sequence[str]) -> list[tuple[Destination, ...]]:
        return list(map(self._walk.destinations, routing_keys))
