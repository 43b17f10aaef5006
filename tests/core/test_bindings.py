"""Bindings: identity, both ends, and exchange-to-exchange ways with their cycles and alternates."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.bindings import arguments_identity
from broker.core.exchanges.exchange import Exchange
from broker.core.publish.routable import LooksAt
from protocol.tables import Byte, FieldTable
from tests.core.topology import OWNER, bind, names, new_exchange, new_queue, new_vhost, routed, unbind

EXCHANGES = ["x0", "x1", "x2", "x3"]


def test_to_bind_twice_is_to_bind_once() -> None:
    vhost = new_vhost()
    queue = new_queue(vhost, "q")
    bind(vhost, "q", "amq.direct", "k", {"a": 1})
    version = vhost.topology_version
    bind(vhost, "q", "amq.direct", "k", {"a": 1})
    assert len(vhost.bindings_to(queue)) == 1
    assert vhost.topology_version == version
    unbind(vhost, "q", "amq.direct", "k", {"a": 1})
    assert vhost.bindings_to(queue) == []
    assert routed(vhost, "amq.direct", "k") == []


@pytest.mark.parametrize(
    ("one", "other", "are_equal"),
    [
        ({}, {}, True),
        ({"a": 1, "b": "x"}, {"b": "x", "a": 1}, True),
        ({"a": Byte(1)}, {"a": 1}, False),
        ({"a": "1"}, {"a": 1}, False),
        ({}, {"a": None}, False),
    ],
)
def test_arguments_are_part_of_the_identity(one: FieldTable, other: FieldTable, are_equal: bool) -> None:
    assert (arguments_identity(one) == arguments_identity(other)) == are_equal


@pytest.mark.parametrize(("key", "arguments"), [("other", {"a": 1}), ("k", {}), ("k", {"a": 2}), ("k", {"a": Byte(1)})])
def test_unbind_removes_only_what_agrees(key: str, arguments: FieldTable) -> None:
    vhost = new_vhost()
    new_queue(vhost, "q")
    bind(vhost, "q", "amq.direct", "k", {"a": 1})
    unbind(vhost, "q", "amq.direct", key, arguments)
    assert routed(vhost, "amq.direct", "k") == ["q"]


def test_queues_of_bound_exchanges_get_the_message_once() -> None:
    vhost = new_vhost()
    for name in ("a", "b", "c"):
        new_exchange(vhost, name, "fanout")
    for queue in ("q1", "q2"):
        new_queue(vhost, queue)
    vhost.bind_exchange("b", "a", "", {})
    vhost.bind_exchange("c", "a", "", {})
    vhost.bind_exchange("c", "b", "", {})
    bind(vhost, "q1", "a")
    bind(vhost, "q1", "b")
    bind(vhost, "q1", "c")
    bind(vhost, "q2", "c")
    assert routed(vhost, "a") == ["q1", "q2"]


def test_each_exchange_on_the_way_looks_at_the_key_for_itself() -> None:
    vhost = new_vhost()
    new_exchange(vhost, "x", "topic")
    new_queue(vhost, "q")
    vhost.bind_exchange("x", "amq.direct", "a.b", {})
    bind(vhost, "q", "x", "a.*")
    assert routed(vhost, "amq.direct", "a.b") == ["q"]
    assert routed(vhost, "amq.direct", "a.c") == []


@given(
    st.lists(st.tuples(st.sampled_from(EXCHANGES), st.sampled_from(EXCHANGES)), max_size=10),
    st.lists(st.tuples(st.sampled_from(EXCHANGES), st.sampled_from(["q0", "q1", "q2"])), max_size=6),
    st.dictionaries(st.sampled_from(EXCHANGES), st.sampled_from([*EXCHANGES, "missing"])),
)
def test_routing_ends_and_finds_what_can_be_reached(
    feeds: list[tuple[str, str]], bound: list[tuple[str, str]], alternates: dict[str, str]
) -> None:
    vhost = new_vhost()
    for name in EXCHANGES:
        arguments = {"alternate-exchange": alternates[name]} if name in alternates else {}
        vhost.declare_exchange(name, "fanout", arguments=arguments)
    for queue in ("q0", "q1", "q2"):
        new_queue(vhost, queue)
    for source, destination in feeds:
        vhost.bind_exchange(destination, source, "", {})
    for source, queue in bound:
        bind(vhost, queue, source)
    for first in EXCHANGES:
        seen, waiting, expected = {first}, [first], set[str]()
        while waiting:
            at = waiting.pop()
            expected |= {queue for source, queue in bound if source == at}
            onward = {destination for source, destination in feeds if source == at}
            if not onward and not any(source == at for source, _ in bound) and alternates.get(at) in EXCHANGES:
                onward = {alternates[at]}
            waiting += onward - seen
            seen |= onward
        found = routed(vhost, first)
        assert len(found) == len(set(found))
        assert set(found) == expected


def test_exchange_bound_to_itself_routes_once() -> None:
    vhost = new_vhost()
    new_exchange(vhost, "x", "fanout")
    new_queue(vhost, "q")
    vhost.bind_exchange("x", "x", "", {})
    bind(vhost, "q", "x")
    assert routed(vhost, "x") == ["q"]


def test_unbound_exchange_is_fed_no_more() -> None:
    vhost = new_vhost()
    new_exchange(vhost, "x", "fanout")
    new_queue(vhost, "q")
    bind(vhost, "q", "x")
    vhost.bind_exchange("x", "amq.fanout", "k", {"a": 1})
    vhost.unbind_exchange("x", "amq.fanout", "k", {})
    assert routed(vhost, "amq.fanout") == ["q"]
    vhost.unbind_exchange("x", "amq.fanout", "k", {"a": 1})
    assert routed(vhost, "amq.fanout") == []


def with_alternate(alternate: str) -> dict[str, str]:
    return {"alternate-exchange": alternate}


def test_alternate_takes_only_what_matched_nothing() -> None:
    vhost = new_vhost()
    vhost.declare_exchange("x", "direct", arguments=with_alternate("other"))
    new_queue(vhost, "q")
    new_queue(vhost, "rest")
    bind(vhost, "q", "x", "k")
    assert routed(vhost, "x", "zzz") == []
    new_exchange(vhost, "other", "fanout", internal=True)
    bind(vhost, "rest", "other")
    assert routed(vhost, "x", "zzz") == ["rest"]
    assert routed(vhost, "x", "k") == ["q"]


def test_alternates_form_chains_and_loops_end() -> None:
    vhost = new_vhost()
    for name, alternate in (("a", "b"), ("b", "c"), ("c", "a")):
        vhost.declare_exchange(name, "direct", arguments=with_alternate(alternate))
    vhost.declare_exchange("self", "direct", arguments=with_alternate("self"))
    new_queue(vhost, "q")
    assert routed(vhost, "a", "k") == []
    assert routed(vhost, "self", "k") == []
    bind(vhost, "q", "c", "k")
    assert routed(vhost, "a", "k") == ["q"]


def test_alternate_is_not_used_where_a_bound_exchange_took_the_message() -> None:
    vhost = new_vhost()
    vhost.declare_exchange("x", "direct", arguments=with_alternate("rest"))
    new_exchange(vhost, "rest", "fanout")
    new_exchange(vhost, "dead end")
    new_queue(vhost, "q")
    bind(vhost, "q", "rest")
    vhost.bind_exchange("dead end", "x", "k", {})
    assert routed(vhost, "x", "k") == []
    assert routed(vhost, "x", "other") == ["q"]


def test_alternate_of_an_exchange_on_the_way_is_used() -> None:
    vhost = new_vhost()
    vhost.declare_exchange("inner", "direct", arguments=with_alternate("amq.fanout"))
    vhost.bind_exchange("inner", "amq.direct", "k", {})
    new_queue(vhost, "q")
    bind(vhost, "q", "amq.fanout")
    assert routed(vhost, "amq.direct", "k") == ["q"]


def test_default_exchange_is_nobodys_alternate() -> None:
    vhost = new_vhost()
    vhost.declare_exchange("x", "direct", arguments=with_alternate(""))
    new_queue(vhost, "q")
    assert routed(vhost, "x", "q") == []


def test_several_keys_find_each_queue_once_and_the_alternate_only_if_none_matched() -> None:
    vhost = new_vhost()
    exchange = vhost.declare_exchange("x", "direct", arguments=with_alternate("amq.fanout"))
    for queue in ("q1", "q2", "rest"):
        new_queue(vhost, queue)
    bind(vhost, "q1", "x", "a")
    bind(vhost, "q1", "x", "b")
    bind(vhost, "q2", "x", "b")
    bind(vhost, "rest", "amq.fanout")
    assert names(vhost.route_keys(exchange, ["a", "b", "c"], None)) == ["q1", "q2"]
    assert names(vhost.route_keys(exchange, ["c", "d"], None)) == ["rest"]


def test_headers_matter_to_a_route_when_a_headers_exchange_can_be_reached() -> None:
    vhost = new_vhost()
    for name in ("a", "b", "c"):
        new_exchange(vhost, name, "topic")

    def depends(exchange: Exchange) -> bool:
        return vhost.looks_at(exchange) is LooksAt.HEADER

    assert depends(vhost.exchanges["amq.headers"])
    assert not depends(vhost.exchanges["a"])
    assert not depends(vhost.exchanges[""])
    vhost.bind_exchange("b", "a", "#", {})
    vhost.bind_exchange("a", "b", "#", {})
    assert not depends(vhost.exchanges["a"])
    vhost.bind_exchange("amq.match", "b", "#", {})
    assert depends(vhost.exchanges["a"])
    assert not depends(vhost.exchanges["c"])
    vhost.unbind_exchange("amq.match", "b", "#", {})
    assert not depends(vhost.exchanges["a"])


def test_headers_matter_to_a_route_through_an_alternate_too() -> None:
    vhost = new_vhost()
    exchange = vhost.declare_exchange("x", "direct", arguments=with_alternate("later"))
    assert vhost.looks_at(exchange) is LooksAt.KEY
    new_exchange(vhost, "later", "headers")
    assert vhost.looks_at(exchange) is LooksAt.HEADER


def test_deleting_a_queue_looks_at_its_own_bindings_alone() -> None:
    """Beside 20,000 bindings of another queue in the same exchange, 200 queues go quicker than those came."""
    vhost = new_vhost()
    new_queue(vhost, "big")
    start = process_time()
    for number in range(20_000):
        bind(vhost, "big", "amq.direct", str(number))
    binding_s = process_time() - start
    for number in range(200):
        new_queue(vhost, f"q{number}")
        bind(vhost, f"q{number}", "amq.direct", "k")
    start = process_time()
    for number in range(200):
        vhost.delete_queue(f"q{number}", owner=OWNER)
    assert process_time() - start < binding_s
    assert routed(vhost, "amq.direct", "k") == []
    assert len(vhost.exchanges["amq.direct"].bindings) == 20_000
