"""Direct and default exchange: where a message goes by its key alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.bindings import Binding
from tests.core.topology import bind, new_exchange, new_queue, new_vhost, routed, unbind

KEYS = st.sampled_from(["", "a", "b", "a.b", "A", "*", "#", "é"])
QUEUES = ["q0", "q1", "q2"]
BINDS = st.lists(st.tuples(st.sampled_from(["bind", "unbind"]), st.sampled_from(QUEUES), KEYS, st.sampled_from([0, 1])))


@given(BINDS)
def test_direct_routes_to_the_queues_bound_with_the_key(steps: list[tuple[str, str, str, int]]) -> None:
    vhost = new_vhost()
    new_exchange(vhost, "x")
    for queue in QUEUES:
        new_queue(vhost, queue)
    model: set[tuple[str, str, int]] = set()
    for step, queue, key, argument in steps:
        if step == "bind":
            bind(vhost, queue, "x", key, {"n": argument})
            model.add((queue, key, argument))
        else:
            unbind(vhost, queue, "x", key, {"n": argument})
            model.discard((queue, key, argument))
    for key in ["", "a", "b", "a.b", "A", "*", "#", "é", "other"]:
        found = routed(vhost, "x", key)
        assert len(found) == len(set(found))
        assert set(found) == {queue for queue, bound, _ in model if bound == key}


def test_direct_keeps_the_order_of_binding() -> None:
    vhost = new_vhost()
    for queue in ("c", "a", "b"):
        new_queue(vhost, queue)
        bind(vhost, queue, "amq.direct", "k")
    assert routed(vhost, "amq.direct", "k") == ["c", "a", "b"]


def test_two_bindings_of_one_queue_by_arguments_are_two_and_route_once() -> None:
    vhost = new_vhost()
    new_queue(vhost, "q")
    bind(vhost, "q", "amq.direct", "k", {"n": 1})
    bind(vhost, "q", "amq.direct", "k", {"n": 2})
    assert routed(vhost, "amq.direct", "k") == ["q"]
    unbind(vhost, "q", "amq.direct", "k", {"n": 1})
    assert routed(vhost, "amq.direct", "k") == ["q"]
    unbind(vhost, "q", "amq.direct", "k", {"n": 2})
    assert routed(vhost, "amq.direct", "k") == []


def test_default_exchange_routes_to_the_queue_of_that_name() -> None:
    vhost = new_vhost()
    new_queue(vhost, "q")
    assert routed(vhost, "", "q") == ["q"]
    assert routed(vhost, "", "other") == []
    vhost.delete_queue("q", owner=object())
    assert routed(vhost, "", "q") == []


def test_default_exchange_takes_no_bindings() -> None:
    vhost = new_vhost()
    exchange = vhost.exchanges[""]
    binding = Binding(exchange, "queue", new_queue(vhost, "q"), "k", {})
    with pytest.raises(AssertionError):
        exchange.add(binding)
    with pytest.raises(AssertionError):
        exchange.remove(binding)
