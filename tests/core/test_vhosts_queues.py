"""Queues of a virtual host: every rule of declaring and deleting, with its reply code and text."""

from collections.abc import Sequence
from typing import Any

import pytest

from broker.core.consumers import Consumer
from broker.core.messages import Stretch
from broker.core.queues.classic import ClassicQueue
from protocol.errors import (
    AccessRefused,
    NotFound,
    PreconditionFailed,
    ResourceLocked,
)
from tests.core.topology import (
    OWNER,
    Journal,
    bind,
    declare,
    new_vhost,
    refused,
    routed,
)

OTHER = object()
LOCKED = (
    "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another "
    "connection or the exclusive property value does not match that of the original declaration."
)


class Sink:
    """A channel that only counts who was cancelled."""

    can_deliver = False
    shared_credit = 0

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    def deliver(self, consumer: Consumer, stretch: Stretch) -> None:
        raise AssertionError("nothing was published")

    def deliver_each(self, handed: Sequence[tuple[Consumer, Stretch]], each_octets: int) -> None:
        raise AssertionError("nothing was published")

    def deliver_in_turn(self, consumers: Sequence[Consumer], stretch: Stretch) -> None:
        raise AssertionError("nothing was published")

    def consumer_cancelled(self, consumer: Consumer) -> None:
        self.cancelled.append(consumer.tag)


def consume(queue: ClassicQueue, tag: str, sink: Sink) -> Consumer:
    consumer = Consumer(tag, queue, sink, no_ack=True, exclusive=False, prefetch=0, arguments={})
    queue.subscribe(consumer)
    return consumer


# queue.declare


def test_declare_makes_a_queue_once() -> None:
    vhost = new_vhost()
    queue = declare(vhost, "q", durable=True, auto_delete=True, arguments={"x-foo": 1})
    assert declare(vhost, "q", OTHER, durable=True, auto_delete=True) is queue
    assert (queue.durable, queue.auto_delete, queue.exclusive_owner, queue.arguments) == (
        True,
        True,
        None,
        {"x-foo": 1},
    )


def test_queue_without_a_name_gets_one() -> None:
    vhost = new_vhost()
    one, other = declare(vhost, ""), declare(vhost, "")
    assert one.name.startswith("amq.gen-")
    assert one.name != other.name
    assert vhost.queues == {one.name: one, other.name: other}
    assert declare(vhost, one.name, passive=True) is one
    refused(AccessRefused, f"queue name '{one.name}' contains reserved prefix 'amq.*'", declare, vhost, one.name)


def test_made_up_name_that_is_taken_is_made_up_again() -> None:
    taken = declare(new_vhost(), "").name
    vhost = new_vhost()
    vhost.queues[taken] = declare(vhost, "q")
    assert declare(vhost, "").name != taken


def test_queue_ids_never_return() -> None:
    vhost = new_vhost()
    first = declare(vhost, "q").id
    vhost.delete_queue("q", owner=OWNER)
    assert declare(vhost, "q").id > first


@pytest.mark.parametrize("name", ["", "q", "amq.zz"])
def test_passive_declare_of_a_missing_queue_is_refused(name: str) -> None:
    refused(NotFound, f"no queue '{name}' in vhost '/'", declare, new_vhost(), name, passive=True)


def test_passive_declare_ignores_all_else() -> None:
    vhost = new_vhost()
    queue = declare(vhost, "q")
    assert declare(vhost, "q", passive=True, durable=True, arguments={"x-message-ttl": -1}) is queue


def test_reserved_queue_name_is_refused_before_its_arguments() -> None:
    text = "queue name 'amq.zz' contains reserved prefix 'amq.*'"
    refused(AccessRefused, text, declare, new_vhost(), "amq.zz", arguments={"x-message-ttl": -1})


def test_wrong_argument_leaves_nothing_behind() -> None:
    journal = Journal()
    vhost = new_vhost(journal)
    version = vhost.topology_version
    text = "invalid arg 'x-message-ttl' for queue 'q' in vhost '/': {value_negative,-1}"
    refused(PreconditionFailed, text, declare, vhost, "q", durable=True, arguments={"x-message-ttl": -1})
    assert (vhost.queues, journal.calls, vhost.topology_version) == ({}, 0, version)


@pytest.mark.parametrize(
    ("current", "received", "text"),
    [
        ({}, {"durable": True, "auto_delete": True}, "'durable' {}: received 'true' but current is 'false'"),
        ({"durable": True}, {}, "'durable' {}: received 'false' but current is 'true'"),
        (
            {},
            {"auto_delete": True, "arguments": {"x-message-ttl": 5}},
            "'auto_delete' {}: received 'true' but current is 'false'",
        ),
        ({"auto_delete": True}, {}, "'auto_delete' {}: received 'false' but current is 'true'"),
        (
            {"arguments": {"x-message-ttl": 5}},
            {"arguments": {"x-message-ttl": 6}},
            "'x-message-ttl' {}: received '6' but current is '5'",
        ),
    ],
)
def test_other_properties_of_a_queue_are_inequivalent(
    current: dict[str, Any], received: dict[str, Any], text: str
) -> None:
    vhost = new_vhost()
    declare(vhost, "q", **current)
    expected = "inequivalent arg " + text.format("for queue 'q' in vhost '/'")
    refused(PreconditionFailed, expected, declare, vhost, "q", **received)


# Exclusive queues


def test_exclusive_queue_is_refused_to_other_connections() -> None:
    vhost = new_vhost()
    declare(vhost, "q", exclusive=True)
    for properties in ({}, {"passive": True}, {"exclusive": True}, {"arguments": {"x-message-ttl": -1}}):
        refused(ResourceLocked, LOCKED, declare, vhost, "q", OTHER, **properties)
    refused(ResourceLocked, LOCKED, vhost.queue_for, "q", OTHER)
    refused(ResourceLocked, LOCKED, vhost.delete_queue, "q", owner=OTHER)
    refused(ResourceLocked, LOCKED, vhost.delete_queue, "q", owner=OTHER, if_unused=True, if_empty=True)
    refused(ResourceLocked, LOCKED, vhost.bind_queue, "q", "amq.direct", "k", {}, owner=OTHER)
    refused(NotFound, "no exchange 'x' in vhost '/'", vhost.bind_queue, "q", "x", "k", {}, owner=OTHER)


def test_other_connections_may_publish_to_an_exclusive_queue_but_not_unbind_it() -> None:
    vhost = new_vhost()
    declare(vhost, "q", exclusive=True)
    bind(vhost, "q", "amq.direct", "k")
    assert routed(vhost, "", "q") == ["q"]
    vhost.unbind_queue("q", "amq.direct", "other", {}, owner=OTHER)
    refused(ResourceLocked, LOCKED, vhost.unbind_queue, "q", "amq.direct", "k", {}, owner=OTHER)
    assert routed(vhost, "amq.direct", "k") == ["q"]


def test_owner_uses_its_exclusive_queue_and_redeclares_it_as_such() -> None:
    vhost = new_vhost()
    queue = declare(vhost, "q", exclusive=True)
    assert vhost.queue_for("q", OWNER) is queue
    assert declare(vhost, "q", passive=True) is queue
    assert declare(vhost, "q", exclusive=True, durable=True) is queue
    refused(ResourceLocked, LOCKED, declare, vhost, "q")
    text = "inequivalent arg 'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'"
    refused(PreconditionFailed, text, declare, vhost, "q", exclusive=True, auto_delete=True)


def test_shared_queue_is_not_to_be_had_exclusively() -> None:
    vhost = new_vhost()
    declare(vhost, "q")
    refused(ResourceLocked, LOCKED, declare, vhost, "q", exclusive=True)


def test_exclusive_queue_is_never_durable() -> None:
    journal = Journal()
    queue = declare(new_vhost(journal), "q", exclusive=True, durable=True)
    assert not queue.durable
    assert journal.calls == 0


def test_exclusive_queues_go_with_their_connection() -> None:
    vhost = new_vhost()
    sink = Sink()
    queue = declare(vhost, "q", exclusive=True)
    declare(vhost, "q2", exclusive=True)
    declare(vhost, "theirs", OTHER, exclusive=True)
    declare(vhost, "shared")
    bind(vhost, "q", "amq.direct", "k")
    consume(queue, "tag", sink)
    vhost.delete_exclusive(OWNER)
    vhost.delete_exclusive(OWNER)
    assert set(vhost.queues) == {"theirs", "shared"}
    assert sink.cancelled == ["tag"]
    assert queue.is_deleted
    assert vhost.exchanges["amq.direct"].bindings == {}
    vhost.delete_queue("theirs", owner=OTHER)
    vhost.delete_exclusive(OTHER)
    assert set(vhost.queues) == {"shared"}


# queue.delete


def test_deleting_a_missing_queue_counts_nothing() -> None:
    assert new_vhost().delete_queue("q", owner=OWNER, if_unused=True) == (0, [], False)


def test_deleted_queue_is_stopped_and_its_consumers_are_handed_over() -> None:
    journal = Journal()
    vhost = new_vhost(journal)
    sink = Sink()
    queue = declare(vhost, "q", durable=True)
    consumer = consume(queue, "tag", sink)
    bind(vhost, "q", "amq.topic", "#")
    queue.message_count = 3
    deleted = vhost.delete_queue("q", owner=OWNER)
    assert deleted == (3, [consumer], True)
    assert sink.cancelled == []
    assert queue.is_deleted
    assert routed(vhost, "amq.topic", "a") == []
    assert journal.live == {}


def test_queue_in_use_or_not_empty_is_not_deleted() -> None:
    vhost = new_vhost()
    queue = declare(vhost, "q")
    consumer = consume(queue, "tag", Sink())
    queue.message_count = 1
    in_use, not_empty = "queue 'q' in vhost '/' in use", "queue 'q' in vhost '/' not empty"
    refused(PreconditionFailed, not_empty, vhost.delete_queue, "q", owner=OWNER, if_unused=True, if_empty=True)
    refused(PreconditionFailed, in_use, vhost.delete_queue, "q", owner=OWNER, if_unused=True)
    queue.unsubscribe(consumer)
    queue.message_count = 0
    vhost.delete_queue("q", owner=OWNER, if_unused=True, if_empty=True)
    assert vhost.queues == {}


def test_unused_queue_goes_if_it_is_to_delete_itself() -> None:
    journal = Journal()
    vhost = new_vhost(journal)
    queue = declare(vhost, "q", durable=True, auto_delete=True)
    kept = declare(vhost, "kept")
    vhost.queue_unused(queue)
    vhost.queue_unused(queue)
    vhost.queue_unused(kept)
    assert vhost.queues == {"kept": kept}
    assert journal.live == {}
    again = declare(vhost, "q", auto_delete=True)
    vhost.queue_unused(queue)
    assert vhost.queues["q"] is again
