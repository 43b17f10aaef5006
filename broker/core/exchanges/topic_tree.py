"""The tree of a topic exchange's patterns, a word a step; ``*`` stands for one word, ``#`` for any number of them.

Spec: AMQP 0-9-1, 3.1.3.3 (topic); RabbitMQ's corner: the empty key has no words.
"""

from broker.core.bindings import Destinations

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
