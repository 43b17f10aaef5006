"""Topic exchange: RabbitMQ's corner cases one by one, and all else against a slow matcher."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.exchanges import topic_walk
from broker.core.exchanges.topic import TopicExchange
from broker.core.vhosts import VirtualHost
from tests.core.topology import bind, new_queue, new_vhost, routed, unbind

WORDS = st.sampled_from(["a", "b", "", "A"])
KEYS = st.lists(WORDS, max_size=5).map(".".join)
PATTERNS = st.lists(st.one_of(WORDS, st.sampled_from(["*", "#", "a*"])), max_size=5).map(".".join)


def fits(pattern: list[str], words: list[str]) -> bool:
    """What the topic exchange should say, in the slowest way: Spec 3.1.3.3 read aloud."""
    if not pattern:
        return not words
    first, rest = pattern[0], pattern[1:]
    if first == "#":
        return any(fits(rest, words[skipped:]) for skipped in range(len(words) + 1))
    return bool(words) and first in ("*", words[0]) and fits(rest, words[1:])


def split(key: str) -> list[str]:
    return key.split(".") if key else []


def matches(pattern: str, key: str) -> bool:
    vhost = new_vhost()
    new_queue(vhost, "q")
    bind(vhost, "q", "amq.topic", pattern)
    return routed(vhost, "amq.topic", key) == ["q"]


@pytest.mark.parametrize(
    ("pattern", "fitting", "unfitting"),
    [
        ("#", ["", "a", ".", "a.b", "..", "a."], []),
        ("#.#", ["", "a", ".", "a.b", "..", "a."], []),
        ("*", ["a"], ["", ".", "a.b", "a."]),
        ("*.#", ["a", "a.b", "."], [""]),
        ("#.*", ["a", "a.b", "."], [""]),
        ("*.*", ["a.b", ".", "a.", ".b"], ["", "a", ".."]),
        ("a.#", ["a", "a.", "a.b", "a.b.c"], ["ab", ".a", ""]),
        ("#.a", ["a", ".a", "b.c.a"], ["a.", ""]),
        ("a.#.b", ["a.b", "a..b", "a.x.y.b"], ["ab", "a", "b"]),
        ("#.a.#", ["a", "b.a", "a.b", ".a.", "b.a.c.a"], ["", "ab", "b.c"]),
        ("", [""], [".", "a"]),
        ("a*", ["a*"], ["ab", "a", "a.b"]),
        ("a#.b", ["a#.b"], ["a.b", "ax.b"]),
        ("A.b", ["A.b"], ["a.b"]),
        ("a.b", ["a.b"], ["a", "a.b.c", "a.*", "a.#"]),
    ],
)
@pytest.mark.spec("3.1.3.3")
def test_pattern_fits_what_rabbitmq_says(pattern: str, fitting: list[str], unfitting: list[str]) -> None:
    assert [key for key in fitting if not matches(pattern, key)] == []
    assert [key for key in unfitting if matches(pattern, key)] == []


@pytest.mark.parametrize("key", ["*", "#", "*.#"])
def test_wildcards_in_a_routing_key_are_plain_words(key: str) -> None:
    assert matches(key, key)
    assert not matches("a", key)
    assert not matches("a.b", key)


def with_bindings(patterns: list[str]) -> VirtualHost:
    vhost = new_vhost()
    for number, pattern in enumerate(patterns):
        new_queue(vhost, f"q{number}")
        bind(vhost, f"q{number}", "amq.topic", pattern)
    return vhost


@given(st.lists(PATTERNS, max_size=12), st.lists(KEYS, min_size=1, max_size=6))
def test_topic_routes_as_the_slow_matcher(patterns: list[str], keys: list[str]) -> None:
    vhost = with_bindings(patterns)
    for key in keys:
        expected = {f"q{n}" for n, pattern in enumerate(patterns) if fits(split(pattern), split(key))}
        found = routed(vhost, "amq.topic", key)
        assert len(found) == len(set(found))
        assert set(found) == expected


@given(st.lists(PATTERNS, max_size=12), st.lists(st.integers(0, 11)), st.lists(KEYS, min_size=1, max_size=6))
def test_topic_forgets_what_was_unbound(patterns: list[str], unbound: list[int], keys: list[str]) -> None:
    vhost = with_bindings(patterns)
    left = dict(enumerate(patterns))
    for number in unbound:
        if number in left:
            unbind(vhost, f"q{number}", "amq.topic", left.pop(number))
    for key in keys:
        expected = {f"q{n}" for n, pattern in left.items() if fits(split(pattern), split(key))}
        assert set(routed(vhost, "amq.topic", key)) == expected


@given(st.lists(PATTERNS, max_size=12))
def test_tree_is_empty_when_the_last_binding_goes(patterns: list[str]) -> None:
    vhost = with_bindings(patterns)
    for number, pattern in enumerate(patterns):
        unbind(vhost, f"q{number}", "amq.topic", pattern)
    exchange = vhost.exchanges["amq.topic"]
    assert isinstance(exchange, TopicExchange)
    assert exchange._root.is_empty


@given(st.lists(PATTERNS, max_size=8), KEYS)
def test_order_depends_on_the_bindings_alone(patterns: list[str], key: str) -> None:
    assert routed(with_bindings(patterns), "amq.topic", key) == routed(with_bindings(patterns), "amq.topic", key)


def test_queue_bound_by_many_fitting_patterns_is_found_once() -> None:
    vhost = new_vhost()
    new_queue(vhost, "q")
    for pattern in ("#", "*", "a", "#.a", "a.#", "#.#"):
        bind(vhost, "q", "amq.topic", pattern)
    assert routed(vhost, "amq.topic", "a") == ["q"]


def test_many_hashes_against_a_long_key_stay_cheap() -> None:
    """The walk visits each node once a word: no pattern makes it exponential."""
    assert not matches(".".join(["#", "a"] * 20), ".".join(["a"] * 19 + ["b"] * 60))
    assert matches(".".join(["#", "a"] * 20), ".".join(["b", "a"] * 60))


@given(st.lists(st.one_of(st.tuples(st.sampled_from(["bind", "unbind"]), PATTERNS), st.lists(KEYS, max_size=4))))
def test_what_is_remembered_of_earlier_keys_changes_nothing(steps: list[tuple[str, str] | list[str]]) -> None:
    vhost = new_vhost()
    bound: dict[str, str] = {}
    for step in steps:
        if isinstance(step, list):
            exchange = vhost.exchanges["amq.topic"]
            together = exchange.match_each(step)
            assert together == [tuple(exchange.match(key, None)) for key in step]
            fresh = with_bindings([])
            for pattern, name in bound.items():
                new_queue(fresh, name)
                bind(fresh, name, "amq.topic", pattern)
            assert [[queue.name for queue in found] for found in together] == [
                routed(fresh, "amq.topic", key) for key in step
            ]
        elif step[0] == "bind" and step[1] not in bound:
            name = bound[step[1]] = f"q{len(vhost.queues)}"
            new_queue(vhost, name)
            bind(vhost, name, "amq.topic", step[1])
        elif step[0] == "unbind" and step[1] in bound:
            unbind(vhost, bound.pop(step[1]), "amq.topic", step[1])


def test_steps_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_walk, "STEPS_MAX", 30)
    monkeypatch.setattr(topic_walk, "FORGET_AT", 100)
    patterns = [f"{form}{word}.*" for word in range(40) for form in ("a.", "*.", "#.")]
    vhost = with_bindings(patterns)
    exchange = vhost.exchanges["amq.topic"]
    assert isinstance(exchange, TopicExchange)
    for turn in range(5):
        for word in range(40):
            expected = {f"q{3 * word + n}" for n in range(3)}
            assert {queue.name for queue in exchange.match(f"a.{word}.{turn}", None)} == expected
            assert len(exchange._walk._known) <= 31


def test_keys_that_never_come_again_leave_nothing_behind() -> None:
    vhost = with_bindings(["a.*.#", "*.b.*", "#.c"])
    exchange = vhost.exchanges["amq.topic"]
    assert isinstance(exchange, TopicExchange)
    for number in range(1000):
        exchange.match(f"a.{number}.x{number}.{number}", None)
    assert len(exchange._walk._known) < 20
