"""The topic exchange: patterns of words, ``*`` for one word, ``#`` for any number of them.

Patterns stand in a tree, a word a step. A routing key is walked through it once, with all nodes that its words
so far can have reached, so that the cost goes with the words and the patterns that still fit, not with the
number of bindings. Spec: AMQP 0-9-1, 3.1.3.3 (topic); RabbitMQ's corner: the empty key has no words.
"""

from broker.core.bindings import Binding, Destination, Destinations
from broker.core.exchanges.exchange import Exchange, ExchangeProperties
from protocol.tables import FieldTable

ONE_WORD = "*"
ANY_WORDS = "#"


class Node:
    """The end of some pattern's beginning.

    ``next`` has the nodes after a literal word, ``star`` and ``hash`` those after a wildcard; ``destinations``
    is where the patterns that end here lead. A leaf, of which there are many, holds no dictionary.
    """

    __slots__ = ("destinations", "hash", "next", "star")

    def __init__(self) -> None:
        self.next: dict[str, Node] = _NONE
        self.star: Node | None = None
        self.hash: Node | None = None
        self.destinations: Destinations | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no pattern goes through here or ends here."""
        return not (self.next or self.star or self.hash or self.destinations)

    def after(self, word: str) -> "Node | None":
        """Return the node after a pattern's word."""
        if word == ONE_WORD:
            return self.star
        return self.hash if word == ANY_WORDS else self.next.get(word)

    def grow(self, word: str) -> "Node":
        """Return the node after a pattern's word, made if need be."""
        node = self.after(word)
        if node is None:
            node = Node()
            if word == ONE_WORD:
                self.star = node
            elif word == ANY_WORDS:
                self.hash = node
            elif self.next:
                self.next[word] = node
            else:
                self.next = {word: node}
        return node

    def cut(self, word: str) -> None:
        """Drop the node after a pattern's word."""
        if word == ONE_WORD:
            self.star = None
        elif word == ANY_WORDS:
            self.hash = None
        else:
            del self.next[word]


_NONE: dict[str, Node] = {}
"""Shared by all nodes without literal words after them; never written to."""


def words_of(key: str) -> list[str]:
    """Return the words of a routing key or pattern; the empty one has none, "." has two empty ones."""
    return key.split(".") if key else []


class TopicExchange(Exchange):
    """Routes to the bindings whose pattern the routing key fits."""

    type_name = "topic"
    __slots__ = ("_root",)

    def __init__(self, name: str, vhost_name: str, properties: ExchangeProperties) -> None:
        super().__init__(name, vhost_name, properties)
        self._root = Node()

    def add(self, binding: Binding) -> None:
        node = self._root
        for word in words_of(binding.routing_key):
            node = node.grow(word)
        if node.destinations is None:
            node.destinations = Destinations()
        node.destinations.add(binding.destination)

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

    def match(self, routing_key: str, headers: FieldTable | None) -> list[Destination]:
        """Return the destinations of a message, each once, in an order that depends on the bindings alone.

        ``here`` are the nodes that the words so far lead to; ``open`` those behind a ``#``, which stay reached
        whatever comes: their patterns' ends fit any rest, and the next word may be the one after the ``#``.
        """
        here = [self._root]
        open_nodes: dict[Node, None] = {}
        if self._root.hash is not None:
            _open(self._root, open_nodes)
        for word in words_of(routing_key):
            reached: list[Node] = []
            for node in here:
                found = node.next.get(word)
                if found is not None:
                    reached.append(found)
                if node.star is not None:
                    reached.append(node.star)
            for node in open_nodes:
                found = node.next.get(word)
                if found is not None:
                    reached.append(found)
                if node.star is not None:
                    reached.append(node.star)
            here = reached
            for node in reached:
                if node.hash is not None:
                    _open(node, open_nodes)
            if not reached and not open_nodes:
                return []
        return _ends(here, open_nodes)


def _open(node: Node, open_nodes: dict[Node, None]) -> None:
    """Add the nodes behind the ``#`` after ``node``, and behind a further ``#`` after that, to ``open_nodes``."""
    behind = node.hash
    while behind is not None and behind not in open_nodes:
        open_nodes[behind] = None
        behind = behind.hash


def _ends(here: list[Node], open_nodes: dict[Node, None]) -> list[Destination]:
    """Return the destinations of the patterns that end at these nodes, each once."""
    found: dict[Destination, int] = {}
    for node in here:
        if node.destinations is not None:
            found.update(node.destinations)
    for node in open_nodes:
        if node.destinations is not None:
            found.update(node.destinations)
    return list(found)
