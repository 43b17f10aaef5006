"""Policies: which counts for what, how it joins with arguments, and that a change acts on what is there."""

from functools import partial
from itertools import count
from random import Random
from typing import Any

import pytest

from broker.core.compat import Compat
from broker.core.messages import Stretch
from broker.core.names import QueueNames
from broker.core.policies.keys import POLICY_KEYS, PolicyError
from broker.core.policies.policies import Policies, Policy, PolicyKind
from broker.core.queues.classic import ClassicQueue
from broker.core.queues.rules import NO_RULES, QueueRules
from broker.core.vhosts import VirtualHost
from broker.server.clock import ManualClock
from protocol.content import PLAIN_TRANSIENT, Shape, address_of
from storage.definitions import JsonValue
from tests.core.recording import RecordingLog, new_context, stretch_of
from tests.core.topology import OWNER, Journal, bind, declare, new_exchange, new_vhost, routed


def set_policy(
    vhost: VirtualHost,
    pattern: str,
    definition: dict[str, JsonValue],
    *,
    name: str = "p",
    priority: int = 0,
    apply_to: str = "all",
    kind: PolicyKind = "policy",
) -> None:
    vhost.policies.set(Policy(name, pattern, definition, priority, apply_to, kind))


def rules(queue: ClassicQueue) -> QueueRules:
    return NO_RULES if queue.enforcement is None else queue.enforcement.rules


def clocked_vhost(clock: ManualClock) -> tuple[VirtualHost, list[ClassicQueue]]:
    """Return a virtual host whose queues ask ``clock``, and its list of queues to be drained."""
    context = new_context(RecordingLog(), clock)
    vhost = VirtualHost(
        "/",
        make_queue={"classic": partial(ClassicQueue, context=context)},
        next_queue_id=count(1).__next__,
        queue_names=QueueNames(Random(7)),
        define=Journal().define,
    )
    context.expire_queue = vhost.expire_queue
    return vhost, context.touched


def refuse_policy(text: str, definition: dict[str, JsonValue], **fields: Any) -> None:
    with pytest.raises(PolicyError) as raised:
        set_policy(new_vhost(), "q", definition, **fields)
    assert str(raised.value) == text


# Which counts


def test_a_pattern_is_found_anywhere_in_a_name() -> None:
    vhost = new_vhost()
    queue, other = declare(vhost, "orders.eu"), declare(vhost, "jobs")
    set_policy(vhost, "ders", {"max-length": 3})
    assert rules(queue).max_length == 3
    assert rules(other) == NO_RULES


def test_the_highest_priority_counts_alone_and_of_equals_the_first_name() -> None:
    vhost = new_vhost()
    queue = declare(vhost, "q")
    set_policy(vhost, "q", {"max-length": 1, "expires": 9}, name="low")
    set_policy(vhost, "q", {"max-length": 2}, name="b", priority=5)
    set_policy(vhost, "q", {"max-length": 3}, name="a", priority=5)
    assert rules(queue) == QueueRules(max_length=3)
    ruling = vhost.policies.of_queue(queue)
    assert ruling.policy is not None
    assert ruling.policy.name == "a"
    vhost.policies.clear("policy", "a")
    assert rules(queue) == QueueRules(max_length=2)


def test_a_policy_is_for_what_it_applies_to() -> None:
    vhost = new_vhost()
    queue, exchange = declare(vhost, "same"), new_exchange(vhost, "same")
    definition: dict[str, JsonValue] = {"max-length": 1, "alternate-exchange": "other"}
    expected = {
        "all": (1, "other"),
        "queues": (1, None),
        "classic_queues": (1, None),
        "quorum_queues": (None, None),
        "streams": (None, None),
        "exchanges": (None, "other"),
    }
    for apply_to, (max_length, alternate) in expected.items():
        set_policy(vhost, "^same$", definition, apply_to=apply_to)
        assert (rules(queue).max_length, exchange.alternate) == (max_length, alternate), apply_to


def test_a_queue_or_exchange_declared_later_comes_under_the_policies() -> None:
    vhost = new_vhost()
    set_policy(vhost, "^x", {"message-ttl": 5, "alternate-exchange": "other"})
    assert rules(declare(vhost, "x-queue")).message_ttl_ms == 5
    assert new_exchange(vhost, "x-exchange").alternate == "other"


# Arguments, policies, operator policies


@pytest.mark.parametrize(
    ("argument", "key", "field"),
    [
        ("x-message-ttl", "message-ttl", "message_ttl_ms"),
        ("x-expires", "expires", "expires_ms"),
        ("x-max-length", "max-length", "max_length"),
        ("x-max-length-bytes", "max-length-bytes", "max_length_octets"),
    ],
)
def test_of_the_limits_in_argument_policy_and_operator_policy_the_lowest_holds(
    argument: str, key: str, field: str
) -> None:
    vhost = new_vhost()
    queue = declare(vhost, "q", arguments={argument: 5})
    for policy, operator, lowest in ((3, 4, 3), (8, 9, 5), (8, 2, 2)):
        set_policy(vhost, "q", {key: policy})
        set_policy(vhost, "q", {key: operator}, kind="operator-policy")
        assert getattr(rules(queue), field) == lowest
    vhost.policies.clear("operator-policy", "p")
    vhost.policies.clear("policy", "p")
    assert getattr(rules(queue), field) == 5


def test_an_operator_policy_counts_without_a_policy_and_beside_one() -> None:
    vhost = new_vhost()
    queue = declare(vhost, "q")
    set_policy(vhost, "q", {"max-length": 3, "expires": 100000}, kind="operator-policy")
    assert vhost.policies.of_queue(queue).definition == {"expires": 100000, "max-length": 3}
    set_policy(vhost, "q", {"max-length": 5, "dead-letter-exchange": "dead"})
    assert vhost.policies.of_queue(queue).definition == {
        "dead-letter-exchange": "dead",
        "expires": 100000,
        "max-length": 3,
    }


def test_what_is_no_limit_the_argument_decides_key_by_key() -> None:
    vhost = new_vhost()
    queue = declare(vhost, "q", arguments={"x-dead-letter-exchange": "mine", "x-overflow": "drop-head"})
    set_policy(
        vhost,
        "q",
        {"dead-letter-exchange": "theirs", "dead-letter-routing-key": "key", "overflow": "reject-publish"},
    )
    assert rules(queue) == QueueRules(overflow="drop-head", dead_letter_exchange="mine", dead_letter_routing_key="key")


def test_redeclaring_a_queue_compares_its_arguments_not_its_policy() -> None:
    vhost = new_vhost()
    queue = declare(vhost, "q")
    set_policy(vhost, "q", {"max-length": 3})
    assert declare(vhost, "q") is queue


# Live


def test_a_shorter_limit_drops_heads_at_once() -> None:
    vhost = new_vhost()
    queue = declare(vhost, "q")
    queue.publish(stretch_of(1, 10))
    set_policy(vhost, "q", {"max-length": 3})
    assert queue.message_count == 3
    first = queue.get()
    assert first is not None
    assert list(first.ids) == [8]


def test_a_limit_in_octets_counts_what_is_there() -> None:
    vhost = new_vhost()
    queue = declare(vhost, "q")
    shape = Shape("", "q", address_of("", "q"), 1, 131072, PLAIN_TRANSIENT, b"", 5)
    queue.publish(Stretch(shape, range(1, 6), [b""] * 5))
    set_policy(vhost, "q", {"max-length-bytes": 10})
    assert queue.message_count == 2


def test_a_time_to_live_is_for_messages_that_come_later() -> None:
    clock = ManualClock()
    vhost, touched = clocked_vhost(clock)
    queue = declare(vhost, "q")
    queue.publish(stretch_of(1, 2))
    set_policy(vhost, "q", {"message-ttl": 300})
    queue.drain()
    clock.advance(1000)
    queue.drain()
    assert queue.message_count == 2
    queue.purge()
    queue.publish(stretch_of(3, 2))
    queue.drain()
    vhost.policies.clear("policy", "p")
    touched.clear()
    clock.advance(1000)
    queue.drain()
    assert queue.message_count == 0, "it had its time to live when it came"


def test_a_queue_expires_by_a_policy_set_or_shortened_while_it_is_unused() -> None:
    clock = ManualClock()
    vhost, _ = clocked_vhost(clock)
    declare(vhost, "q")
    set_policy(vhost, "q", {"expires": 1_000_000})
    clock.advance(10)
    set_policy(vhost, "q", {"expires": 500})
    clock.advance(499)
    assert "q" in vhost.queues
    clock.advance(1)
    assert "q" not in vhost.queues


def test_clearing_the_policy_ends_the_expiry() -> None:
    clock = ManualClock()
    vhost, _ = clocked_vhost(clock)
    declare(vhost, "q")
    set_policy(vhost, "q", {"expires": 500})
    vhost.policies.clear("policy", "p")
    clock.advance(10_000)
    assert "q" in vhost.queues


def test_an_alternate_exchange_by_policy_takes_what_is_not_routed() -> None:
    vhost = new_vhost()
    declare(vhost, "spare")
    new_exchange(vhost, "x")
    new_exchange(vhost, "lost", "fanout")
    bind(vhost, "spare", "lost")
    version = vhost.topology_version
    assert routed(vhost, "x", "k") == []
    set_policy(vhost, "^x$", {"alternate-exchange": "lost"})
    assert vhost.topology_version > version, "routes that were kept are to be found anew"
    assert routed(vhost, "x", "k") == ["spare"]
    vhost.policies.clear("policy", "p")
    assert routed(vhost, "x", "k") == []


def test_an_alternate_exchange_by_argument_beats_the_policy() -> None:
    vhost = new_vhost()
    exchange = vhost.declare_exchange("x", "fanout", arguments={"alternate-exchange": "mine"})
    set_policy(vhost, "", {"alternate-exchange": "theirs"})
    assert exchange.alternate == "mine"
    assert vhost.exchanges["amq.direct"].alternate == "theirs"
    assert vhost.exchanges[""].alternate is None


def test_a_full_queue_refuses_by_policy_and_keeps_what_it_has() -> None:
    """RabbitMQ applies the limit before it learns that it is to refuse, and so drops the surplus; we lose nothing."""
    vhost = new_vhost()
    queue = declare(vhost, "q")
    queue.publish(stretch_of(1, 5))
    set_policy(vhost, "q", {"max-length": 2, "overflow": "reject-publish"})
    assert queue.refuses_publishes
    assert queue.is_full()
    assert queue.message_count == 5


# The journal


def test_policies_come_back_after_a_restart_and_hold_for_the_queues_that_came_back() -> None:
    journal = Journal()
    vhost = new_vhost(journal)
    vhost.declare_queue("q", owner=OWNER, durable=True, arguments={})
    new_exchange(vhost, "q", durable=True)
    set_policy(vhost, "^q$", {"max-length": 7, "alternate-exchange": "a"}, name="é", priority=-5)
    set_policy(vhost, "^q$", {"max-length": 6}, apply_to="queues", kind="operator-policy")
    again = new_vhost()
    assert again.restore(journal.definitions()) == []
    assert again.policies.listed("policy") == vhost.policies.listed("policy")
    assert again.policies.listed("operator-policy") == vhost.policies.listed("operator-policy")
    assert rules(again.queues["q"]).max_length == 6
    assert again.exchanges["q"].alternate == "a"


def test_a_cleared_policy_does_not_come_back() -> None:
    journal = Journal()
    vhost = new_vhost(journal)
    set_policy(vhost, "q", {"max-length": 7})
    vhost.policies.clear("policy", "p")
    assert journal.live == {}


def test_policies_of_other_virtual_hosts_are_passed_over() -> None:
    journal = Journal()
    set_policy(new_vhost(journal, "other"), "q", {"max-length": 7})
    vhost = new_vhost()
    vhost.restore(journal.definitions())
    assert vhost.policies.is_empty


# Refusals


@pytest.mark.parametrize(
    ("definition", "text"),
    [
        ({}, "no policy provided"),
        ({"foo": 1}, '[{<<"foo">>,1}] are not recognised policy settings'),
        ({"foo": 1, "bar": 2}, '[{<<"bar">>,2},{<<"foo">>,1}] are not recognised policy settings'),
        ({"foo": {"a": [None, 1.5]}}, '[{<<"foo">>,#{<<"a">> => [null,1.5]}}] are not recognised policy settings'),
        ({"foo": 1, "message-ttl": -5, "expires": 0}, "0 is not a valid queue expiry"),
        ({"message-ttl": -1}, "-1 is not a valid message TTL"),
        ({"message-ttl": "a"}, '<<"a">> is not a valid message TTL'),
        ({"message-ttl": 1.5}, "1.5 is not a valid message TTL"),
        ({"message-ttl": True}, "true is not a valid message TTL"),
        ({"max-length": -1}, "-1 is not a valid maximum length"),
        ({"max-length-bytes": "x"}, '<<"x">> is not a valid maximum length in bytes'),
        ({"max-in-memory-length": -1}, "-1 is not a valid maximum memory in bytes"),
        ({"overflow": "x"}, '<<"x">> is not a valid overflow value'),
        ({"dead-letter-exchange": 1}, "1 is not a valid dead letter exchange name"),
        ({"dead-letter-routing-key": 1}, "1 is not a valid dead letter routing key"),
        ({"dead-letter-strategy": "x"}, '<<"x">> is not a valid dead letter strategy'),
        ({"alternate-exchange": 1}, "1 is not a valid alternate exchange name"),
        ({"delivery-limit": -1}, "-1 is not a valid delivery limit"),
        ({"max-age": "5"}, '<<"5">> is not a valid max age'),
        ({"stream-max-segment-size-bytes": -1}, "-1 is not a valid segment size"),
        ({"queue-mode": "x"}, '<<"x">> is not a valid queue-mode value'),
        ({"queue-version": 3}, "3 is not a valid queue-version value"),
        ({"queue-version": True}, "true is not a valid queue-version value"),
        ({"queue-leader-locator": "zz"}, '<<"zz">> is not a valid queue leader locator value'),
        ({"queue-master-locator": "zz"}, '<<"zz">> invalid queue-master-locator value'),
        ({"consumer-timeout": -1}, "-1 is not a valid consumer timeout"),
    ],
)
def test_a_wrong_definition_is_refused_with_rabbitmqs_text(definition: dict[str, JsonValue], text: str) -> None:
    refuse_policy(text, definition)


@pytest.mark.parametrize("key", sorted(name for name, key in POLICY_KEYS.items() if not key.is_for_operators))
def test_operator_policies_have_no_other_keys_than_limits(key: str) -> None:
    text = f'[{{<<"{key}">>,<<"a">>}}] are not recognised policy settings'
    refuse_policy(text, {key: "a"}, kind="operator-policy")


def test_keys_of_mirroring_and_federation_are_accepted_and_do_nothing() -> None:
    vhost = new_vhost()
    queue = declare(vhost, "q")
    set_policy(vhost, "q", {"ha-mode": "exactly", "ha-params": 2, "federation-upstream-set": "all"})
    assert rules(queue) == NO_RULES


def test_keys_that_the_version_to_be_like_does_not_know_are_refused() -> None:
    policies = Policies("/", {}, {}, define=Journal().define, routes_changed=lambda: None, compat=Compat("4.0"))
    with pytest.raises(PolicyError, match="are not recognised policy settings"):
        policies.set(Policy("p", "q", {"ha-mode": "all"}))


def test_a_wrong_pattern_priority_or_target_is_refused() -> None:
    good: dict[str, JsonValue] = {"max-length": 1}
    with pytest.raises(PolicyError, match=r"pattern should be regular expression but is invalid: \{\".+\",\d+\}"):
        Policy("p", "[", good)
    with pytest.raises(PolicyError, match="priority should be number, actually was high"):
        Policy("p", "q", good, "high")  # type: ignore[arg-type]
    refuse_policy(
        "apply-to 'foo' unrecognised; should be one of: 'queues', 'classic_queues', 'quorum_queues', 'streams', "
        "'exchanges', or 'all'",
        good,
        apply_to="foo",
    )


def test_a_refused_policy_leaves_the_one_before() -> None:
    journal = Journal()
    vhost = new_vhost(journal)
    queue = declare(vhost, "q")
    set_policy(vhost, "q", {"max-length": 3})
    calls = journal.calls
    with pytest.raises(PolicyError):
        set_policy(vhost, "q", {"max-length": -3})
    assert (rules(queue).max_length, journal.calls) == (3, calls)


def test_clearing_what_is_not_there_is_refused() -> None:
    with pytest.raises(PolicyError, match="Parameter does not exist"):
        new_vhost().policies.clear("policy", "p")
