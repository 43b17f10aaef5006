"""What becomes of definitions: what is durable comes back, and nothing else."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.core.bindings import Destination
from broker.core.vhosts import VirtualHost
from protocol.errors import (
    AmqpError,
    PreconditionFailed,
)
from protocol.tables import FieldTable, SignedInt
from storage.definitions import Definition
from tests.core.topology import (
    OWNER,
    Journal,
    bind,
    declare,
    new_exchange,
    new_vhost,
    routed,
    unbind,
)


@pytest.mark.parametrize("is_exchange_durable", [True, False])
@pytest.mark.parametrize("is_queue_durable", [True, False])
def test_binding_is_durable_when_both_ends_are(is_exchange_durable: bool, is_queue_durable: bool) -> None:
    journal = Journal()
    vhost = new_vhost(journal)
    new_exchange(vhost, "x", durable=is_exchange_durable)
    declare(vhost, "q", durable=is_queue_durable)
    is_durable = vhost.bind_queue("q", "x", "k", {}, owner=OWNER)
    assert is_durable == (is_exchange_durable and is_queue_durable)
    assert (("binding", "/", "x", "queue", "q", "k", "") in journal.live) == is_durable
    assert vhost.bind_queue("q", "x", "k", {}, owner=OWNER) == is_durable
    assert vhost.unbind_queue("q", "x", "k", {}, owner=OWNER) == is_durable
    assert not any(key[0] == "binding" for key in journal.live)


def test_bindings_that_differ_in_arguments_alone_are_defined_apart() -> None:
    journal = Journal()
    vhost = new_vhost(journal)
    declare(vhost, "q", durable=True)
    for arguments in ({}, {"a": 1}, {"a": SignedInt(1)}, {"a": "1"}):
        bind(vhost, "q", "amq.headers", "", arguments)
    assert sum(key[0] == "binding" for key in journal.live) == 4


def described(vhost: VirtualHost) -> object:
    """Return all that is durable in a virtual host, in a form to compare."""
    exchanges = {
        exchange.name: (exchange.type_name, exchange.auto_delete, exchange.internal, exchange.arguments)
        for exchange in vhost.exchanges.values()
        if exchange.durable
    }
    queues = {
        queue.name: (queue.id, queue.auto_delete, queue.arguments) for queue in vhost.queues.values() if queue.durable
    }
    bindings = {
        (exchange.name, binding.destination_kind, binding.destination.name, *binding.identity[1:])
        for exchange in vhost.exchanges.values()
        for binding in exchange.bindings.values()
        if binding.is_durable
    }
    return exchanges, queues, bindings


def test_what_is_durable_comes_back() -> None:
    journal = Journal()
    vhost = new_vhost(journal)
    vhost.declare_exchange("x", "topic", durable=True, internal=True, arguments={"alternate-exchange": "a"})
    new_exchange(vhost, "gone")
    declare(vhost, "q", durable=True, auto_delete=True, arguments={"x-message-ttl": SignedInt(5)})
    declare(vhost, "transient")
    bind(vhost, "q", "x", "a.#", {"n": SignedInt(1)})
    bind(vhost, "transient", "x", "#")
    vhost.bind_exchange("x", "amq.fanout", "k", {})
    again = new_vhost()
    version = again.topology_version
    elsewhere = [Definition(("queue", "other", "q2"), {"id": 9}), Definition(("vhost", "other"), {})]
    assert again.restore([*journal.definitions(), *elsewhere]) == []
    assert described(again) == described(vhost)
    assert routed(again, "amq.fanout", "a.b") == ["q"]
    assert routed(again, "x", "a.b") == ["q"]
    assert again.topology_version > version
    text = "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received none but current is the value '5'"
    with pytest.raises(PreconditionFailed) as raised:
        declare(again, "q", durable=True, auto_delete=True)
    assert raised.value.detail == f"{text} of type 'signedint'"


def test_binding_without_an_end_is_left_out_and_told() -> None:
    key = ("binding", "/", "amq.direct", "queue", "q", "k", "")
    left_out = new_vhost().restore([Definition(key, {"arguments": ""})])
    assert left_out == ["binding ('amq.direct', 'queue', 'q', 'k', '') has lost an end"]


@pytest.mark.parametrize(
    "definition",
    [
        Definition(("exchange", "/", "x"), {"type": "zork", "arguments": ""}),
        Definition(("queue", "/", "q"), "what"),
    ],
)
def test_definition_that_cannot_be_read_is_not_passed_over(definition: Definition) -> None:
    with pytest.raises(ValueError, match=r"zork|what"):
        new_vhost().restore([definition])


NAMES = st.sampled_from(["a", "b"])
KEYS = st.sampled_from(["", "k", "#"])
ARGUMENTS = st.sampled_from([{}, {"n": 1}, {"n": SignedInt(1)}])


class Restarts(RuleBasedStateMachine):
    """Whatever is done, the journal's fold describes all that is durable, and ends never dangle."""

    def __init__(self) -> None:
        super().__init__()
        self.journal = Journal()
        self.vhost = new_vhost(self.journal)

    def try_(self, function: Any, *args: Any, **kwargs: Any) -> None:
        version = self.vhost.topology_version
        try:
            function(*args, **kwargs)
        except AmqpError:
            assert self.vhost.topology_version == version

    @rule(name=NAMES, durable=st.booleans(), auto_delete=st.booleans())
    def declare_exchange(self, name: str, durable: bool, auto_delete: bool) -> None:
        self.try_(new_exchange, self.vhost, name, "topic", durable=durable, auto_delete=auto_delete)

    @rule(name=NAMES, durable=st.booleans(), auto_delete=st.booleans(), exclusive=st.booleans())
    def declare_queue(self, name: str, durable: bool, auto_delete: bool, exclusive: bool) -> None:
        self.try_(declare, self.vhost, name, durable=durable, auto_delete=auto_delete, exclusive=exclusive)

    @rule(queue=NAMES, exchange=NAMES, key=KEYS, arguments=ARGUMENTS)
    def bind_queue(self, queue: str, exchange: str, key: str, arguments: FieldTable) -> None:
        self.try_(bind, self.vhost, queue, exchange, key, arguments)

    @rule(queue=NAMES, exchange=NAMES, key=KEYS, arguments=ARGUMENTS)
    def unbind_queue(self, queue: str, exchange: str, key: str, arguments: FieldTable) -> None:
        self.try_(unbind, self.vhost, queue, exchange, key, arguments)

    @rule(destination=NAMES, source=NAMES, key=KEYS)
    def bind_exchange(self, destination: str, source: str, key: str) -> None:
        self.try_(self.vhost.bind_exchange, destination, source, key, {})

    @rule(destination=NAMES, source=NAMES, key=KEYS)
    def unbind_exchange(self, destination: str, source: str, key: str) -> None:
        self.try_(self.vhost.unbind_exchange, destination, source, key, {})

    @rule(name=NAMES, if_unused=st.booleans())
    def delete_exchange(self, name: str, if_unused: bool) -> None:
        self.try_(self.vhost.delete_exchange, name, if_unused=if_unused)

    @rule(name=NAMES)
    def delete_queue(self, name: str) -> None:
        self.try_(self.vhost.delete_queue, name, owner=OWNER)

    @rule()
    def end_connection(self) -> None:
        self.vhost.delete_exclusive(OWNER)

    @rule()
    def restart(self) -> None:
        before = described(self.vhost)
        self.vhost = new_vhost(self.journal, first_queue_id=1000)
        assert self.vhost.restore(self.journal.definitions()) == []
        assert described(self.vhost) == before

    @invariant()
    def journal_describes_what_is_durable(self) -> None:
        copy = new_vhost()
        assert copy.restore(self.journal.definitions()) == []
        assert described(copy) == described(self.vhost)

    @invariant()
    def no_end_dangles(self) -> None:
        exchanges, queues = set(self.vhost.exchanges.values()), set(self.vhost.queues.values())
        for exchange in exchanges:
            ends = [binding.destination for binding in exchange.bindings.values()]
            assert all(end in exchanges or end in queues for end in ends)
            assert exchange.fed_exchange_count == sum(end in exchanges for end in ends)
        destinations: list[Destination] = [*exchanges, *queues]
        for destination in destinations:
            for binding in self.vhost.bindings_to(destination):
                assert binding.source.bindings[binding.identity] is binding


TestRestarts = Restarts.TestCase
TestRestarts.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
