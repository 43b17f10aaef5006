"""Random exchange: one destination a message, each binding as likely as the others."""

from collections import Counter
from random import Random

from broker.core.exchanges.random_choice import RandomExchange
from broker.core.publish.routable import LooksAt
from tests.core.routing_messages import new_message
from tests.core.topology import bind, names, new_exchange, new_queue, new_vhost, routed, unbind


def test_each_message_goes_to_one_binding_by_chance() -> None:
    vhost = new_vhost()
    exchange = new_exchange(vhost, "x", "x-random")
    assert isinstance(exchange, RandomExchange)
    exchange.random = Random(4)
    assert routed(vhost, "x") == []
    for queue in ("q1", "q2", "q3"):
        new_queue(vhost, queue)
        bind(vhost, queue, "x", "any")
    bind(vhost, "q3", "x", "twice")
    found = Counter(name for _ in range(4000) for name in routed(vhost, "x", "k"))
    assert found.total() == 4000
    assert abs(found["q1"] - 1000) < 120
    assert abs(found["q2"] - 1000) < 120
    unbind(vhost, "q3", "x", "twice")
    unbind(vhost, "q3", "x", "any")
    unbind(vhost, "q1", "x", "any")
    assert routed(vhost, "x", "k") == ["q2"]


def test_several_keys_are_one_choice() -> None:
    vhost = new_vhost()
    exchange = new_exchange(vhost, "x", "x-random")
    for queue in ("q1", "q2", "q3"):
        new_queue(vhost, queue)
        bind(vhost, queue, "x")
    for _ in range(50):
        assert len(names(vhost.route_message(exchange, new_message("a", "b", "c")))) == 1


def test_a_route_is_never_kept_where_chance_lies_on_the_way() -> None:
    vhost = new_vhost()
    first = new_exchange(vhost, "first", "fanout")
    new_exchange(vhost, "x", "x-random")
    assert vhost.looks_at(first) is LooksAt.KEY
    vhost.bind_exchange("x", "first", "", {})
    assert vhost.looks_at(first) is LooksAt.MESSAGE
