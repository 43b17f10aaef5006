"""Consistent and modulus hash exchanges: RabbitMQ's own assignment, weights, and how few keys move.

The expected hashes and buckets were computed by Erlang/OTP 25 itself.
"""

from collections import Counter
from itertools import islice
from random import Random
from typing import Any

import pytest

from broker.core.exchanges.erlang_hash import (
    HASH_OF_UNDEFINED,
    _fractions,
    bucket_of,
    hash_of_binary,
    hash_of_field,
    hash_of_list,
)
from broker.core.publish.routable import LooksAt, Routable
from broker.core.vhosts import VirtualHost
from protocol.errors import PreconditionFailed
from protocol.tables import FieldTable, SignedInt, Timestamp
from tests.core.routing_messages import new_message
from tests.core.topology import bind, names, new_queue, new_vhost, refused, routed, unbind

BUCKETS = {
    0: [0, 0, 4, 47, 64444, 288782200],
    1: [0, 2, 3, 29, 856, 432781789],
    12345: [0, 0, 0, 61, 82620, 470348383],
    99999999: [1, 2, 6, 37, 32788, 876456270],
    134217727: [0, 2, 6, 74, 46231, 97458878],
}
MESSAGE_ID, CORRELATION_ID, TIMESTAMP = 1 << 7, 1 << 10, 1 << 6


def new_ring(kind: str, weights: dict[str, str], arguments: FieldTable | None = None) -> VirtualHost:
    vhost = new_vhost()
    vhost.declare_exchange("x", kind, arguments=arguments or {})
    for queue, key in weights.items():
        new_queue(vhost, queue)
        bind(vhost, queue, "x", key)
    return vhost


def chosen(vhost: VirtualHost, *routing_keys: str, **message: Any) -> list[str]:
    return names(vhost.route_message(vhost.exchanges["x"], new_message(*routing_keys, **message)))


@pytest.mark.parametrize(
    ("octets", "expected"),
    [(b"", 13708901), (b"a", 112802447), (b"exactly12oct", 45653866), (b"hello world, this is long", 86224811)],
)
def test_binaries_hash_as_in_erlang(octets: bytes, expected: int) -> None:
    assert hash_of_binary(octets) == expected


def test_lists_hash_as_in_erlang() -> None:
    assert hash_of_list([b"a"]) == 53691870
    assert hash_of_list([b"b", b"c"]) == 7286409
    assert hash_of_list([b""]) == 38220213


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", 65711459),
        (b"a", 65711459),
        ("", 116351706),
        (5, 129380108),
        (-5, 54650909),
        (134217727, 33099472),
        (134217728, 117666136),
        (-134217728, 13500176),
        (-134217729, 132651809),
        (1 << 40, 93748608),
        ((1 << 63) - 1, 120433834),
        (-(1 << 40), 32506873),
        (SignedInt(7), 119448178),
        (True, 32030443),
        (False, 54145719),
        (Timestamp(1_700_000_000), 59280699),
        (None, 27077197),
    ],
)
def test_headers_hash_as_in_erlang(value: object, expected: int) -> None:
    text_as_rabbitmq_holds_it = value.decode() if isinstance(value, bytes) else value
    assert hash_of_field(text_as_rabbitmq_holds_it) == expected
    assert HASH_OF_UNDEFINED == 45914356


def test_fractions_and_tables_hash_to_something_that_stays() -> None:
    values: list[object] = [1.5, 2.5, {"a": 1}, {"a": 2}, [1], [2]]
    hashes = [hash_of_field(value) for value in values]
    assert hashes == [hash_of_field(value) for value in values]
    assert len(set(hashes)) == len(values)


def test_the_generator_is_erlangs_beyond_its_first_round() -> None:
    drawn = list(islice(_fractions(77), 40))
    assert [drawn[place - 1] for place in (1, 15, 16, 17, 18, 40)] == [
        0.03062496013915016,
        0.8278110693808614,
        0.8493720254182425,
        0.7347543415714589,
        0.5122889980815909,
        0.5586317845259652,
    ]


@pytest.mark.parametrize(("seed", "expected"), BUCKETS.items())
def test_buckets_are_those_of_rabbitmq(seed: int, expected: list[int]) -> None:
    assert [bucket_of(seed, count) for count in (2, 3, 7, 100, 100_000, 1_000_000_000)] == expected
    assert bucket_of(seed, 1) == 0


def test_messages_spread_by_weight() -> None:
    vhost = new_ring("x-consistent-hash", {"q1": "1", "q2": "2", "q5": "5"})
    random = Random(20)
    found = Counter(name for _ in range(8000) for name in routed(vhost, "x", f"key {random.random()}"))
    assert found.total() == 8000
    for queue, weight in (("q1", 1), ("q2", 2), ("q5", 5)):
        assert abs(found[queue] - 1000 * weight) < 150


def test_the_same_key_always_finds_the_same_queue() -> None:
    vhost = new_ring("x-consistent-hash", {"q1": "3", "q2": "3"})
    for key in ("", "a", "a.b", "漢"):
        assert {tuple(routed(vhost, "x", key)) for _ in range(5)} == {tuple(routed(vhost, "x", key))}
        assert len(routed(vhost, "x", key)) == 1


def test_a_new_binding_takes_keys_over_and_moves_no_others() -> None:
    keys = [f"key {number}" for number in range(1000)]
    vhost = new_ring("x-consistent-hash", {"q1": "10", "q2": "10"})
    before = {key: routed(vhost, "x", key) for key in keys}
    new_queue(vhost, "q3")
    bind(vhost, "q3", "x", "10")
    after = {key: routed(vhost, "x", key) for key in keys}
    moved = [key for key in keys if before[key] != after[key]]
    assert all(after[key] == ["q3"] for key in moved)
    assert 270 < len(moved) < 400
    unbind(vhost, "q3", "x", "10")
    assert {key: routed(vhost, "x", key) for key in keys} == before


def test_buckets_close_up_when_a_binding_goes() -> None:
    vhost = new_ring("x-consistent-hash", {"q1": "2", "q2": "3", "q3": "4"})
    unbind(vhost, "q2", "x", "3")
    same = new_ring("x-consistent-hash", {"q1": "2", "q3": "4"})
    keys = [f"key {number}" for number in range(200)]
    assert [routed(vhost, "x", key) for key in keys] == [routed(same, "x", key) for key in keys]
    unbind(vhost, "q1", "x", "2")
    unbind(vhost, "q3", "x", "4")
    assert routed(vhost, "x", "any") == []


def test_only_the_publishers_key_is_hashed() -> None:
    vhost = new_ring("x-consistent-hash", {f"q{number}": "1" for number in range(9)})
    for key in ("a", "b", "c"):
        assert chosen(vhost, key, "d", "e") == routed(vhost, "x", key)


def test_a_header_is_hashed_instead_of_the_key() -> None:
    vhost = new_ring("x-consistent-hash", {f"q{number}": "1" for number in range(9)}, {"hash-header": "user"})
    assert vhost.looks_at(vhost.exchanges["x"]) is LooksAt.HEADER
    by_user = {user: chosen(vhost, "any", headers={"user": user}) for user in ("ann", "bob", 7, True, 1 << 40)}
    for user, queue in by_user.items():
        assert chosen(vhost, "other key", headers={"user": user, "z": 1}) == queue
    assert len({tuple(queue) for queue in by_user.values()}) > 1
    absent = chosen(vhost, "k1")
    assert absent == chosen(vhost, "k2", headers={"other": 1})
    assert absent == [f"q{bucket_of(HASH_OF_UNDEFINED, 9)}"]


@pytest.mark.parametrize(
    ("name", "flag", "values"),
    [
        ("message_id", MESSAGE_ID, [b"\x02id", b"\x03id2"]),
        ("correlation_id", CORRELATION_ID, [b"\x02id", b"\x03id2"]),
        ("timestamp", TIMESTAMP, [(1_700_000_000).to_bytes(8), (1_700_000_003).to_bytes(8)]),
    ],
)
def test_a_property_is_hashed_instead_of_the_key(name: str, flag: int, values: list[bytes]) -> None:
    vhost = new_ring("x-consistent-hash", {f"q{number}": "1" for number in range(9)}, {"hash-property": name})
    assert vhost.looks_at(vhost.exchanges["x"]) is LooksAt.HEADER
    texts = [b"1700000000", b"1700000003"] if name == "timestamp" else [value[1:] for value in values]
    for value, text in zip(values, texts, strict=True):
        expected = [f"q{bucket_of(hash_of_binary(text), 9)}"]
        assert chosen(vhost, "a", properties={flag: value}) == expected
        assert chosen(vhost, "b", properties={flag: value}) == expected
    assert chosen(vhost, "a") == [f"q{bucket_of(HASH_OF_UNDEFINED, 9)}"]


def test_a_property_that_is_not_known_counts_as_absent() -> None:
    vhost = new_ring("x-consistent-hash", {"q1": "1", "q2": "1"}, {"hash-property": "message_id"})
    assert names(vhost.route_message(vhost.exchanges["x"], Routable(["k"]))) == chosen(vhost, "k")


def test_without_arguments_a_route_may_be_kept() -> None:
    vhost = new_ring("x-consistent-hash", {"q": "1"})
    assert vhost.looks_at(vhost.exchanges["x"]) is LooksAt.KEY


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"hash-header": "a", "hash-property": "message_id"},
            "hash-header and hash-property are mutually exclusive",
        ),
        ({"hash-property": "priority"}, "Unsupported property: priority"),
        ({"hash-property": 5}, "Unsupported property: 5"),
        ({"hash-header": 5}, "hash-header must be a string, not 5"),
    ],
)
def test_arguments_that_cannot_be_hashed_by_are_refused(arguments: FieldTable, text: str) -> None:
    vhost = new_vhost()
    refused(PreconditionFailed, text, vhost.declare_exchange, "x", "x-consistent-hash", arguments=arguments)
    assert "x" not in vhost.exchanges


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("", "The binding key must be an integer: <<>>"),
        ("abc", 'The binding key must be an integer: <<"abc">>'),
        ("1.5", 'The binding key must be an integer: <<"1.5">>'),
        (" 3", 'The binding key must be an integer: <<" 3">>'),
        ("1_0", 'The binding key must be an integer: <<"1_0">>'),
        ("-", 'The binding key must be an integer: <<"-">>'),
        ("²", 'The binding key must be an integer: <<"²"/utf8>>'),
        ("0", "The binding key must be greater than 0"),
        ("-1", "The binding key must be greater than 0"),
    ],
)
def test_a_binding_key_that_is_no_weight_is_refused(key: str, text: str) -> None:
    vhost = new_ring("x-consistent-hash", {"q": "1"})
    with pytest.raises(PreconditionFailed) as raised:
        bind(vhost, "q", "x", key)
    assert raised.value.detail.startswith(text.split("<<")[0])
    if key.isascii():
        assert raised.value.detail == text
    assert len(vhost.exchanges["x"].bindings) == 1


@pytest.mark.parametrize("key", ["+3", "007", "99999", "1" * 200])
def test_any_other_integer_is_a_weight(key: str) -> None:
    vhost = new_ring("x-consistent-hash", {"q": key})
    assert routed(vhost, "x", "k") == ["q"]


def test_modulus_hash_picks_by_the_place_among_the_bindings() -> None:
    vhost = new_ring("x-modulus-hash", {"q0": "c", "q1": "a", "q2": "b", "q3": "a", "q4": ""})
    in_order = ["q4", "q1", "q3", "q2", "q0"]
    for key in ("", "a", "b", "some.key", "é"):
        assert routed(vhost, "x", key) == [in_order[hash_of_list([key.encode()]) % 5]]
    assert chosen(vhost, "b", "c") == [in_order[7286409 % 5]]
    for queue, key in (("q0", "c"), ("q1", "a"), ("q2", "b"), ("q3", "a")):
        unbind(vhost, queue, "x", key)
    assert routed(vhost, "x", "any") == ["q4"]
    unbind(vhost, "q4", "x", "")
    assert routed(vhost, "x", "any") == []
