"""x-arguments of queues: every refusal and every difference with RabbitMQ's text (wire texts of 3.10.8)."""

from decimal import Decimal

import pytest

from broker.core.arguments import check_equivalent_arguments, check_queue_arguments
from protocol.errors import PreconditionFailed
from protocol.tables import (
    Byte,
    FieldTable,
    Float32,
    Short,
    SignedInt,
    Timestamp,
    UnsignedByte,
    UnsignedInt,
    UnsignedShort,
)

QUEUE = "queue 'q' in vhost '/'"
INTEGERS = ["x-expires", "x-message-ttl", "x-max-length", "x-max-length-bytes", "x-max-priority"]
DLX = "x-dead-letter-exchange"
DLRK = "x-dead-letter-routing-key"


def refusal(arguments: FieldTable) -> str:
    with pytest.raises(PreconditionFailed) as raised:
        check_queue_arguments(QUEUE, arguments)
    return raised.value.detail


def invalid(name: str, detail: str) -> str:
    return f"invalid arg '{name}' for {QUEUE}: {detail}"


@pytest.mark.parametrize("name", [*INTEGERS, "x-queue-version"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("5", "longstr"),
        (True, "bool"),
        (None, "void"),
        ([1], "array"),
        ({"a": 1}, "table"),
        (Timestamp(5), "timestamp"),
        (Decimal("1.5"), "decimal"),
        (bytearray(b"x"), "binary"),
        (1.5, "double"),
        (Float32(1), "float"),
    ],
)
def test_what_is_no_integer_is_refused(name: str, value: object, kind: str) -> None:
    assert refusal({name: value}) == invalid(name, f'"expected integer, got {kind}"')


@pytest.mark.parametrize("name", [*INTEGERS, "x-queue-version"])
def test_negative_is_refused(name: str) -> None:
    assert refusal({name: SignedInt(-1)}) == invalid(name, "{value_negative,-1}")


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("kind", [Byte, UnsignedByte, Short, UnsignedShort, SignedInt, UnsignedInt, int])
def test_integers_of_every_width_are_accepted(name: str, kind: type[int]) -> None:
    check_queue_arguments(QUEUE, {name: kind(5)})


@pytest.mark.parametrize(
    ("name", "value", "detail"),
    [
        ("x-message-ttl", 315_360_000_001, "{value_too_large,315360000001}"),
        ("x-expires", 315_360_000_001, "{value_too_large,315360000001}"),
        ("x-expires", 0, "{value_zero,0}"),
        ("x-max-priority", 256, "{max_value_exceeded,256}"),
        ("x-overflow", "foo", "invalid_overflow"),
        ("x-overflow", "", "invalid_overflow"),
        ("x-overflow", SignedInt(5), "{unacceptable_type,signedint}"),
        ("x-single-active-consumer", "true", "{unacceptable_type,longstr}"),
        ("x-single-active-consumer", SignedInt(1), "{unacceptable_type,signedint}"),
        ("x-queue-type", "foo", "\"unsupported queue type 'foo'\""),
        ("x-queue-type", SignedInt(5), "{unacceptable_type,signedint}"),
        ("x-queue-type", None, "{unacceptable_type,void}"),
        ("x-queue-version", SignedInt(0), "\"unsupported queue version '0'\""),
        ("x-queue-version", SignedInt(3), "\"unsupported queue version '3'\""),
        ("x-queue-mode", "x", "\"unsupported queue mode 'x'\""),
        ("x-queue-mode", SignedInt(5), "{unacceptable_type,signedint}"),
        ("x-queue-leader-locator", "x", "invalid_queue_locator_arg"),
        (DLRK, "k", "routing_key_but_no_dlx_defined"),
        (DLRK, SignedInt(5), "{unacceptable_type,signedint}"),
        (DLRK, bytearray(b"k"), "{unacceptable_type,binary}"),
    ],
)
def test_wrong_value_is_refused(name: str, value: object, detail: str) -> None:
    assert refusal({name: value}) == invalid(name, detail)


def test_wrong_routing_key_is_refused_beside_a_dead_letter_exchange_too() -> None:
    assert refusal({DLX: "x", DLRK: SignedInt(5)}) == invalid(DLRK, "{unacceptable_type,signedint}")


@pytest.mark.parametrize(
    ("value", "kind"), [(SignedInt(5), "signedint"), (True, "bool"), (None, "void"), (bytearray(b"x"), "binary")]
)
def test_dead_letter_exchange_must_be_a_string(value: object, kind: str) -> None:
    assert refusal({DLX: value}) == f"invalid type '{kind}' for arg 'x-dead-letter-exchange' in {QUEUE}"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"x-message-ttl": 0},
        {"x-message-ttl": 315_360_000_000},
        {"x-expires": 315_360_000_000},
        {"x-max-length": 0, "x-max-length-bytes": 0},
        {"x-max-length": 1 << 60},
        {"x-max-priority": 0},
        {"x-max-priority": 255},
        {DLX: ""},
        {DLX: "x", DLRK: ""},
        {"x-overflow": "drop-head"},
        {"x-overflow": "reject-publish"},
        {"x-overflow": "reject-publish-dlx"},
        {"x-single-active-consumer": False},
        {"x-queue-type": "classic"},
        {"x-queue-type": ""},
        {"x-queue-version": 1},
        {"x-queue-version": 2},
        {"x-queue-mode": "default"},
        {"x-queue-mode": "lazy"},
        {"x-queue-master-locator": "min-masters"},
        {"x-queue-leader-locator": "balanced"},
        {"x-consumer-timeout": 60_000},
        {"x-foo": None, "x-ha-policy": ["all"]},
    ],
)
def test_right_and_unknown_arguments_are_accepted(arguments: FieldTable) -> None:
    assert check_queue_arguments(QUEUE, arguments).type_name == "classic"


@pytest.mark.parametrize(
    "name",
    [
        "x-delivery-limit",
        "x-max-age",
        "x-max-in-memory-length",
        "x-max-in-memory-bytes",
        "x-dead-letter-strategy",
        "x-quorum-initial-group-size",
        "x-initial-cluster-size",
        "x-stream-max-segment-size-bytes",
    ],
)
@pytest.mark.parametrize("value", [5, "foo", None])
def test_argument_of_another_kind_is_refused(name: str, value: object) -> None:
    assert refusal({name: value}) == f"invalid arg '{name}' for {QUEUE} of queue type rabbit_classic_queue"


def test_the_first_wrong_argument_is_reported_in_rabbitmqs_order() -> None:
    wrong = {
        DLX: SignedInt(5),
        "x-queue-type": SignedInt(5),
        "x-expires": SignedInt(-1),
        "x-message-ttl": SignedInt(-1),
        DLRK: SignedInt(5),
        "x-max-length": SignedInt(-1),
        "x-max-length-bytes": SignedInt(-1),
        "x-max-priority": SignedInt(-1),
        "x-overflow": SignedInt(5),
        "x-queue-mode": SignedInt(5),
        "x-queue-version": SignedInt(5),
        "x-single-active-consumer": SignedInt(5),
        "x-max-age": SignedInt(5),
    }
    left = dict(reversed(wrong.items()))
    for name in wrong:
        assert f"arg '{name}'" in refusal(left)
        del left[name]


def test_of_two_foreign_arguments_the_first_sent_is_reported() -> None:
    assert "x-max-age" in refusal({"x-max-age": "5D", "x-delivery-limit": 5})
    assert "x-delivery-limit" in refusal({"x-delivery-limit": 5, "x-max-age": "5D"})


def difference(current: FieldTable, received: FieldTable) -> str:
    with pytest.raises(PreconditionFailed) as raised:
        check_equivalent_arguments(QUEUE, received, current)
    return raised.value.detail


def inequivalent(name: str, text: str) -> str:
    return f"inequivalent arg '{name}' for {QUEUE}: {text}"


@pytest.mark.parametrize(
    ("name", "current", "received", "text"),
    [
        ("x-message-ttl", SignedInt(1000), SignedInt(2000), "received '2000' but current is '1000'"),
        ("x-message-ttl", 10, Byte(11), "received '11' but current is '10'"),
        ("x-message-ttl", SignedInt(5), "a", "received 'a' but current is '5'"),
        (DLX, "a", "b", "received 'b' but current is 'a'"),
        ("x-single-active-consumer", True, False, "received 'false' but current is 'true'"),
        ("x-queue-mode", "lazy", "default", "received 'default' but current is 'lazy'"),
        ("x-queue-version", 2, 1, "received '1' but current is '2'"),
        ("x-overflow", "reject-publish", "drop-head", "received 'drop-head' but current is 'reject-publish'"),
        ("x-queue-master-locator", "random", "x", "received 'x' but current is 'random'"),
        ("x-queue-type", "classic", "quorum", "received 'quorum' but current is 'classic'"),
        ("x-max-priority", 5, 6, "received '6' but current is '5'"),
    ],
)
def test_other_value_is_inequivalent(name: str, current: object, received: object, text: str) -> None:
    assert difference({name: current}, {name: received}) == inequivalent(name, text)


@pytest.mark.parametrize(
    ("name", "value", "shown", "kind"),
    [
        ("x-message-ttl", SignedInt(1000), "1000", "signedint"),
        ("x-message-ttl", 1000, "1000", "long"),
        ("x-message-ttl", Byte(10), "10", "byte"),
        ("x-message-ttl", UnsignedByte(10), "10", "unsignedbyte"),
        ("x-message-ttl", Short(10), "10", "short"),
        ("x-message-ttl", UnsignedShort(10), "10", "unsignedshort"),
        ("x-message-ttl", UnsignedInt(10), "10", "unsignedint"),
        ("x-message-ttl", 10.0, "10.0", "double"),
        ("x-message-ttl", Float32(10), "10.0", "float"),
        ("x-message-ttl", None, "undefined", "void"),
        ("x-message-ttl", SignedInt(-5), "-5", "signedint"),
        ("x-single-active-consumer", False, "false", "bool"),
        (DLX, "é", "é", "longstr"),
        ("x-queue-mode", "default", "default", "longstr"),
        ("x-queue-type", "quorum", "quorum", "longstr"),
    ],
)
def test_one_side_without_the_argument_is_inequivalent(name: str, value: object, shown: str, kind: str) -> None:
    typed = f"the value '{shown}' of type '{kind}'"
    assert difference({}, {name: value}) == inequivalent(name, f"received {typed} but current is none")
    if name != "x-queue-type":
        assert difference({name: value}, {}) == inequivalent(name, f"received none but current is {typed}")


@pytest.mark.parametrize(
    ("current", "received"),
    [
        ({}, {}),
        ({"x-message-ttl": SignedInt(10)}, {"x-message-ttl": 10}),
        ({"x-queue-version": 2}, {"x-queue-version": Byte(2)}),
        ({}, {"x-queue-type": "classic"}),
        ({"x-queue-type": "classic"}, {}),
        ({"x-queue-type": "classic"}, {"x-queue-type": ""}),
        ({}, {"x-foo": 5}),
        ({"x-foo": 5}, {"x-foo": "6"}),
        ({}, {"x-delivery-limit": 4}),
        ({}, {"x-max-age": "4D"}),
    ],
)
def test_what_rabbitmq_does_not_compare_is_equivalent(current: FieldTable, received: FieldTable) -> None:
    check_equivalent_arguments(QUEUE, received, current)


def test_the_first_difference_is_reported_in_rabbitmqs_order() -> None:
    received: FieldTable = {
        "x-expires": 60000,
        "x-message-ttl": 5,
        DLX: "x",
        DLRK: "y",
        "x-max-length": 6,
        "x-max-length-bytes": 7,
        "x-max-priority": 5,
        "x-overflow": "drop-head",
        "x-queue-mode": "lazy",
        "x-queue-version": 2,
        "x-single-active-consumer": True,
        "x-queue-type": "quorum",
        "x-queue-master-locator": "random",
    }
    left = dict(reversed(received.items()))
    for name in received:
        assert f"arg '{name}'" in difference({}, left)
        del left[name]
