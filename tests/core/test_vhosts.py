"""Exchanges and bindings of a virtual host: every rule with its reply code and text."""

from typing import Any

import pytest

from protocol.errors import (
    AccessRefused,
    CommandInvalid,
    NotFound,
    PreconditionFailed,
)
from protocol.tables import SignedInt
from tests.core.topology import (
    OWNER,
    Journal,
    bind,
    declare,
    new_exchange,
    new_queue,
    new_vhost,
    refused,
    routed,
    unbind,
)

OTHER = object()
DEFAULT_REFUSED = "operation not permitted on the default exchange"


def test_predeclared_exchanges_are_there_and_not_defined() -> None:
    journal = Journal()
    vhost = new_vhost(journal)
    assert {name: (each.type_name, each.durable, each.internal) for name, each in vhost.exchanges.items()} == {
        "": ("direct", True, False),
        "amq.direct": ("direct", True, False),
        "amq.fanout": ("fanout", True, False),
        "amq.topic": ("topic", True, False),
        "amq.headers": ("headers", True, False),
        "amq.match": ("headers", True, False),
        "amq.rabbitmq.trace": ("topic", True, True),
    }
    assert journal.calls == 0


# exchange.declare


def test_declare_makes_an_exchange_once() -> None:
    vhost = new_vhost()
    exchange = new_exchange(vhost, "x", "topic", durable=True, auto_delete=True, internal=True)
    version = vhost.topology_version
    assert new_exchange(vhost, "x", "topic", durable=True, auto_delete=True, internal=True) is exchange
    assert vhost.topology_version == version
    assert (exchange.durable, exchange.auto_delete, exchange.internal) == (True, True, True)


def test_passive_declare_looks_at_existence_alone() -> None:
    vhost = new_vhost()
    exchange = new_exchange(vhost, "x")
    assert vhost.declare_exchange("x", "zork", passive=True, durable=True, arguments={"a": 1}) is exchange
    refused(NotFound, "no exchange 'y' in vhost '/'", vhost.declare_exchange, "y", "direct", passive=True, arguments={})


@pytest.mark.parametrize("passive", [True, False])
def test_default_exchange_is_not_to_be_declared(passive: bool) -> None:
    refused(AccessRefused, DEFAULT_REFUSED, new_exchange, new_vhost(), "", "direct", passive=passive)


@pytest.mark.parametrize("name", ["x", "amq.zz", "amq.direct"])
def test_unknown_type_closes_the_connection(name: str) -> None:
    vhost = new_vhost()
    refused(CommandInvalid, "unknown exchange type 'zork'", new_exchange, vhost, name, "zork")
    refused(CommandInvalid, "invalid exchange type ''", new_exchange, vhost, name, "")


def test_reserved_exchange_name_is_refused_but_for_an_identical_redeclare() -> None:
    vhost = new_vhost()
    text = "exchange name 'amq.zz' contains reserved prefix 'amq.*'"
    refused(AccessRefused, text, vhost.declare_exchange, "amq.zz", "direct", arguments={"alternate-exchange": 5})
    assert new_exchange(vhost, "amq.direct", "direct", durable=True) is vhost.exchanges["amq.direct"]


@pytest.mark.parametrize(("value", "kind"), [(SignedInt(5), "signedint"), (None, "void"), (bytearray(b"a"), "binary")])
def test_alternate_exchange_must_be_a_string(value: object, kind: str) -> None:
    vhost = new_vhost()
    text = f"invalid type '{kind}' for arg 'alternate-exchange' in exchange 'x' in vhost '/'"
    arguments = {"alternate-exchange": value}
    refused(PreconditionFailed, text, vhost.declare_exchange, "x", "direct", arguments=arguments)
    assert "x" not in vhost.exchanges


AE_A = {"alternate-exchange": "a"}
AE_B = {"alternate-exchange": "b"}


@pytest.mark.parametrize(
    ("current", "received", "text"),
    [
        ({}, {"type_name": "fanout", "durable": True}, "'type' {}: received 'fanout' but current is 'direct'"),
        ({}, {"durable": True, "auto_delete": True}, "'durable' {}: received 'true' but current is 'false'"),
        ({"durable": True}, {}, "'durable' {}: received 'false' but current is 'true'"),
        ({}, {"auto_delete": True, "internal": True}, "'auto_delete' {}: received 'true' but current is 'false'"),
        ({}, {"internal": True, "arguments": AE_A}, "'internal' {}: received 'true' but current is 'false'"),
        ({"arguments": AE_A}, {"arguments": AE_B}, "'alternate-exchange' {}: received 'b' but current is 'a'"),
        (
            {},
            {"arguments": AE_A},
            "'alternate-exchange' {}: received the value 'a' of type 'longstr' but current is none",
        ),
        (
            {"arguments": AE_A},
            {},
            "'alternate-exchange' {}: received none but current is the value 'a' of type 'longstr'",
        ),
        (
            {},
            {"arguments": {"alternate-exchange": SignedInt(5)}},
            "'alternate-exchange' {}: received the value '5' of type 'signedint' but current is none",
        ),
    ],
)
def test_other_properties_of_an_exchange_are_inequivalent(
    current: dict[str, Any], received: dict[str, Any], text: str
) -> None:
    vhost = new_vhost()
    vhost.declare_exchange("x", **{"type_name": "direct", "arguments": {}, **current})
    expected = "inequivalent arg " + text.format("for exchange 'x' in vhost '/'")
    received = {"type_name": "direct", "arguments": {}, **received}
    refused(PreconditionFailed, expected, vhost.declare_exchange, "x", **received)


def test_other_arguments_of_an_exchange_are_not_compared() -> None:
    vhost = new_vhost()
    exchange = new_exchange(vhost, "x")
    assert vhost.declare_exchange("x", "direct", arguments={"foo": 1}) is exchange


# exchange.delete, publish


def test_deleted_exchange_is_gone_with_its_bindings() -> None:
    journal = Journal()
    vhost = new_vhost(journal)
    for name in ("x", "y", "z"):
        new_exchange(vhost, name, "fanout", durable=True)
    queue = new_queue(vhost, "q", durable=True)
    bind(vhost, "q", "x")
    vhost.bind_exchange("x", "y", "", {})
    vhost.bind_exchange("z", "x", "", {})
    assert vhost.delete_exchange("x") is True
    assert vhost.bindings_to(queue) == []
    assert vhost.bindings_to(vhost.exchanges["z"]) == []
    assert vhost.exchanges["y"].bindings == {}
    assert set(journal.live) == {("exchange", "/", "y"), ("exchange", "/", "z"), ("queue", "/", "q")}
    refused(NotFound, "no exchange 'x' in vhost '/'", vhost.exchange_to_publish, "x")


def test_deleting_a_missing_exchange_is_no_error() -> None:
    vhost = new_vhost()
    assert vhost.delete_exchange("x") is False
    assert vhost.delete_exchange("x", if_unused=True) is False


@pytest.mark.parametrize("name", ["amq.direct", "amq.nope"])
def test_system_exchange_is_not_deleted(name: str) -> None:
    text = f"deletion of system exchange '{name}' in vhost '/' not allowed"
    refused(AccessRefused, text, new_vhost().delete_exchange, name)


def test_default_exchange_is_not_deleted() -> None:
    refused(AccessRefused, DEFAULT_REFUSED, new_vhost().delete_exchange, "")


def test_exchange_in_use_is_not_deleted_if_unused() -> None:
    vhost = new_vhost()
    new_exchange(vhost, "x")
    new_queue(vhost, "q")
    bind(vhost, "q", "x", "k")
    refused(PreconditionFailed, "exchange 'x' in vhost '/' in use", vhost.delete_exchange, "x", if_unused=True)
    unbind(vhost, "q", "x", "k")
    vhost.delete_exchange("x", if_unused=True)
    assert "x" not in vhost.exchanges


def test_exchange_that_others_feed_is_unused_as_in_rabbitmq_3() -> None:
    vhost = new_vhost()
    new_exchange(vhost, "x")
    vhost.bind_exchange("x", "amq.direct", "k", {})
    vhost.delete_exchange("x", if_unused=True)
    assert vhost.exchanges["amq.direct"].bindings == {}


def test_publish_finds_its_exchange_by_name() -> None:
    vhost = new_vhost()
    new_exchange(vhost, "inner", internal=True)
    assert vhost.exchange_to_publish("") is vhost.exchanges[""]
    refused(NotFound, "no exchange 'amq.default' in vhost '/'", vhost.exchange_to_publish, "amq.default")
    text = "cannot publish to internal exchange 'inner' in vhost '/'"
    refused(AccessRefused, text, vhost.exchange_to_publish, "inner")


# Auto-delete of exchanges


def test_auto_delete_exchange_goes_with_its_last_binding_and_takes_its_definition() -> None:
    journal = Journal()
    vhost = new_vhost(journal)
    new_exchange(vhost, "x", durable=True, auto_delete=True)
    new_queue(vhost, "q", durable=True)
    bind(vhost, "q", "x", "a")
    bind(vhost, "q", "x", "b")
    unbind(vhost, "q", "x", "a")
    unbind(vhost, "q", "x", "never")
    assert "x" in vhost.exchanges
    unbind(vhost, "q", "x", "b")
    assert "x" not in vhost.exchanges
    assert set(journal.live) == {("queue", "/", "q")}


def test_auto_delete_exchange_that_never_had_a_binding_stays() -> None:
    vhost = new_vhost()
    new_exchange(vhost, "x", auto_delete=True)
    new_queue(vhost, "q")
    unbind(vhost, "q", "x", "k")
    vhost.bind_exchange("x", "amq.direct", "k", {})
    vhost.unbind_exchange("x", "amq.direct", "k", {})
    assert "x" in vhost.exchanges


def test_auto_delete_goes_from_exchange_to_exchange() -> None:
    """A chain of them, far longer than the interpreter's stack, falls with the queue at its end."""
    vhost = new_vhost()
    new_queue(vhost, "q")
    for number in range(3000):
        new_exchange(vhost, f"x{number}", "fanout", auto_delete=True)
        if number:
            vhost.bind_exchange(f"x{number - 1}", f"x{number}", "", {})
        else:
            bind(vhost, "q", "x0")
    assert routed(vhost, "x2999") == ["q"]
    vhost.delete_queue("q", owner=OWNER)
    assert not any(name.startswith("x") for name in vhost.exchanges)


def test_auto_delete_exchange_bound_to_itself_goes_by_unbinding() -> None:
    vhost = new_vhost()
    new_exchange(vhost, "x", auto_delete=True)
    vhost.bind_exchange("x", "x", "k", {})
    vhost.unbind_exchange("x", "x", "k", {})
    assert "x" not in vhost.exchanges


def test_auto_delete_exchange_goes_with_the_exchange_it_fed() -> None:
    vhost = new_vhost()
    new_exchange(vhost, "x", auto_delete=True)
    new_exchange(vhost, "y")
    vhost.bind_exchange("y", "x", "k", {})
    vhost.delete_exchange("y")
    assert "x" not in vhost.exchanges


# queue.bind, exchange.bind


def test_binding_to_what_is_missing_names_the_exchange_first() -> None:
    vhost = new_vhost()
    declare(vhost, "q")
    new_exchange(vhost, "x", "headers")
    refused(NotFound, "no exchange 'y' in vhost '/'", bind, vhost, "q", "y", "k")
    refused(NotFound, "no queue 'r' in vhost '/'", bind, vhost, "r", "x", "k", {"x-match": "foo"})
    refused(NotFound, "no exchange 'y' in vhost '/'", bind, vhost, "r", "y", "k")
    refused(NotFound, "no exchange 's' in vhost '/'", vhost.bind_exchange, "d", "s", "k", {})
    refused(NotFound, "no exchange 'd' in vhost '/'", vhost.bind_exchange, "d", "x", "k", {})


def test_default_exchange_is_not_to_be_bound() -> None:
    vhost = new_vhost()
    declare(vhost, "q")
    for queue in ("q", "missing"):
        refused(AccessRefused, DEFAULT_REFUSED, bind, vhost, queue, "", "k")
        refused(AccessRefused, DEFAULT_REFUSED, unbind, vhost, queue, "", "k")
    for ends in (("", "amq.direct"), ("amq.direct", ""), ("missing", "")):
        refused(AccessRefused, DEFAULT_REFUSED, vhost.bind_exchange, *ends, "k", {})
        refused(AccessRefused, DEFAULT_REFUSED, vhost.unbind_exchange, *ends, "k", {})


def test_unbinding_what_is_missing_is_no_error() -> None:
    vhost = new_vhost()
    declare(vhost, "q")
    version = vhost.topology_version
    for queue, exchange in (
        ("q", "amq.direct"),
        ("q", "missing"),
        ("missing", "amq.direct"),
        ("missing", "missing"),
    ):
        assert vhost.unbind_queue(queue, exchange, "k", {}, owner=OWNER) is False
    assert vhost.unbind_exchange("a", "b", "k", {}) is False
    assert vhost.topology_version == version


def test_wrong_x_match_is_refused_between_exchanges_too_but_not_in_unbind() -> None:
    vhost = new_vhost()
    text = 'Invalid x-match field value <<"foo">>; expected all, any, all-with-x, or any-with-x'
    ends = ("amq.direct", "amq.headers", "")
    refused(PreconditionFailed, text, vhost.bind_exchange, *ends, {"x-match": "foo"})
    assert vhost.unbind_exchange(*ends, {"x-match": "foo"}) is False


def test_every_change_of_topology_is_a_new_version() -> None:
    vhost = new_vhost()
    versions = [vhost.topology_version]

    def changed() -> bool:
        versions.append(vhost.topology_version)
        return versions[-1] > versions[-2]

    new_exchange(vhost, "x")
    assert changed()
    declare(vhost, "q", exclusive=True)
    assert changed()
    bind(vhost, "q", "x", "k")
    assert changed()
    unbind(vhost, "q", "x", "k")
    assert changed()
    vhost.bind_exchange("x", "amq.topic", "k", {})
    assert changed()
    vhost.unbind_exchange("x", "amq.topic", "k", {})
    assert changed()
    vhost.delete_exchange("x")
    assert changed()
    vhost.delete_exclusive(OWNER)
    assert changed()
