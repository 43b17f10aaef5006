"""Routing keys walked through a topic exchange's tree a word at a time, each step remembered.

Where the words of a key have led so far, among the patterns, is a state; the next word leads from there to the same
state each time, so the step is taken once and looked up from then on. Words that no pattern names at a place lead to
one state: keys that never come again still share theirs. Only so many steps are kept; where there is no room, the cost
of a step goes with the patterns that still fit, not with the number of bindings.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from broker.core.bindings import Destination
from broker.core.exchanges.topic_tree import Node

STEPS_MAX: Final = 32768
"""Steps kept for one exchange, of at most about half a KiB each."""
FORGET_AT: Final = 64 * STEPS_MAX
"""After so many keys that found no room, others may be in use than those that are known: they are learnt anew."""

Nodes = tuple[Node, ...]


class State:
    """Where some words have led: ``nodes`` are the ends of the patterns' beginnings that fit them.

    ``open_nodes``, the last of them, are those behind a ``#``, which stay reached whatever comes: their patterns' ends
    fit any rest, and the next word may be the one after the ``#``. ``next`` has the states after words that a pattern
    names here, ``other`` the one after all others, as far as they are known; ``named`` holds those words.
    """

    __slots__ = ("destinations", "named", "next", "nodes", "open_nodes", "other")

    def __init__(self, nodes: Nodes, open_nodes: Nodes) -> None:
        self.nodes = nodes
        self.open_nodes = open_nodes
        self.named = tuple(node.next for node in nodes if node.next)
        self.next: dict[str, State] = _NONE
        self.other: State | None = None
        self.destinations: tuple[Destination, ...] | None = None


_NONE: dict[str, State] = {}
"""Shared by all states without known steps; never written to."""


def _after(nodes: Iterable[Node], open_nodes: Nodes, word: str) -> tuple[Nodes, Nodes]:
    """Return the nodes, and the open ones among them, that ``word`` leads to."""
    reached: list[Node] = []
    for node in nodes:
        found = node.next.get(word)
        if found is not None:
            reached.append(found)
        if node.star is not None:
            reached.append(node.star)
    return _with_open(reached, open_nodes)


def _with_open(reached: list[Node], open_nodes: Nodes) -> tuple[Nodes, Nodes]:
    """Return the nodes of a state: those ``reached``, the open ones before, and those behind a # of the former."""
    opened: dict[Node, None] | None = None
    for node in reached:
        behind = node.hash
        while behind is not None:
            if opened is None:
                opened = dict.fromkeys(open_nodes)
            if behind in opened:
                break
            opened[behind] = None
            behind = behind.hash
    if opened is not None:
        open_nodes = tuple(opened)
    return (*reached, *open_nodes), open_nodes


def _ends(nodes: Nodes) -> tuple[Destination, ...]:
    """Return where the patterns lead that end at these nodes, each destination once."""
    found: dict[Destination, int] = {}
    for node in nodes:
        if node.destinations is not None:
            found.update(node.destinations)
    return tuple(found)


class Walk:
    """Walks keys through the tree under ``root``; must ``forget`` when that has changed."""

    __slots__ = ("_kept_count", "_known", "_refused_count", "_root", "_start")

    def __init__(self, root: Node) -> None:
        self._root = root
        self._start: State | None = None
        self._known: dict[tuple[Nodes, Nodes], State] = {}
        self._kept_count = self._refused_count = 0

    def forget(self) -> None:
        """Remember nothing."""
        if self._start is not None:
            self._start = None
            self._known = {}
            self._kept_count = self._refused_count = 0

    def destinations(self, routing_key: str) -> tuple[Destination, ...]:
        """Return the destinations of a message, each once, in an order that depends on the bindings alone."""
        state = self._start
        if state is None:
            state = self._start = State(*_with_open([self._root], ()))
        if routing_key:
            words = iter(routing_key.split("."))
            for word in words:
                following = state.next.get(word)
                if following is None:
                    following = state.other
                    if following is None:
                        following = self._step(state, word)
                    else:
                        for names in state.named:
                            if word in names:
                                following = self._step(state, word)
                                break
                    if following is None:
                        return self._go_on(state, word, words)
                state = following
        found = state.destinations
        if found is None:
            found = state.destinations = _ends(state.nodes)
        return found

    def _step(self, state: State, word: str) -> State | None:
        """Return where a step leads that is not known, and know it from now on; None if there is no room for that."""
        if self._kept_count >= STEPS_MAX:
            return None
        self._kept_count += 1
        place = _after(state.nodes, state.open_nodes, word)
        following = self._known.get(place)
        if following is None:
            following = self._known[place] = State(*place)
        if not any(word in names for names in state.named):
            state.other = following
        elif state.next:
            state.next[word] = following
        else:
            state.next = {word: following}
        return following

    def _go_on(self, state: State, word: str, words: Iterator[str]) -> tuple[Destination, ...]:
        """Walk on with ``word`` and ``words``, which are left, and remember nothing of it."""
        self._refused_count += 1
        nodes, open_nodes = _after(state.nodes, state.open_nodes, word)
        for next_word in words:
            nodes, open_nodes = _after(nodes, open_nodes, next_word)
        if self._refused_count > FORGET_AT:
            self.forget()
        return _ends(nodes)
