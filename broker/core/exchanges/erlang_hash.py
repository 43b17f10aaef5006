"""Erlang's portable term hash (``phash2``), and the consistent choice of a bucket that RabbitMQ builds on it.

A message must find the same queue here as in RabbitMQ, so that work that is partitioned by key stays so when a team
moves. Of the terms, those that RabbitMQ hashes are here: binaries, lists of them, and (type, value) pairs of headers.
Erlang: erts, erlang:phash2/1 and rand (exs1024); J. Lamping, E. Veach: "A Fast, Minimal Memory, Consistent Hash
Algorithm".
"""

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Final

from protocol.tables import FieldTable, encode_table, type_name

_MASK_32: Final = 0xFFFFFFFF
_MASK_64: Final = 0xFFFFFFFFFFFFFFFF
_MASK_21: Final = (1 << 21) - 1
_WORD_COUNT: Final = 16
_GOLDEN: Final = 0x9E3779B9
_RESULT_MASK: Final = (1 << 27) - 1
_SMALL: Final = 1 << 27

# Each kind of term is mixed in with a multiple of its own, so that equal octets of two kinds hash apart.
_INTEGER: Final = _GOLDEN
_NIL: Final = 2 * _GOLDEN & _MASK_32
_ATOM: Final = 3 * _GOLDEN & _MASK_32
_TUPLE: Final = 9 * _GOLDEN & _MASK_32
_NEGATIVE_BIG: Final = 10 * _GOLDEN & _MASK_32
_BIG: Final = 11 * _GOLDEN & _MASK_32
_BINARY: Final = 13 * _GOLDEN & _MASK_32
_NIL_TAG: Final = 2


def hash_of_binary(octets: bytes) -> int:
    """Return ``phash2`` of a binary: 27 bits."""
    return _binary(octets, 0) & _RESULT_MASK


def hash_of_list(binaries: Iterable[bytes]) -> int:
    """Return ``phash2`` of a list of binaries, which is not empty."""
    state = 0
    for octets in binaries:
        state = _binary(octets, state)
    return _mixed_in(_NIL_TAG, _NIL, state) & _RESULT_MASK


def hash_of_field(value: object) -> int:
    """Return ``phash2`` of a header's value as RabbitMQ holds it: a pair of type name and value.

    For types that hardly anyone partitions by (tables, arrays, fractions) it is some other hash of type and value.
    """
    return _value(value, _atom(type_name(value), _mixed_in(2, _TUPLE, 0))) & _RESULT_MASK


def _value(value: object, state: int) -> int:
    match value:
        case str():
            return _binary(value.encode("utf-8", "surrogateescape"), state)
        case bytes() | bytearray():
            return _binary(bytes(value), state)
        case bool():
            return _atom("true" if value else "false", state)
        case int():
            return _integer(value, state)
        case None:
            return _atom("undefined", state)
    return _binary(encode_table({"": value}), state)


def hash_of_table(table: FieldTable) -> int:
    """Return ``phash2`` of a field table as RabbitMQ holds it, a list of (key, type, value) by key: all 32 bits.

    RabbitMQ's HTTP API names bindings by it. Within arrays, tables and fractions it is some other hash.
    """
    state = 0
    for key in sorted(table):
        state = _binary(key.encode("utf-8", "surrogateescape"), _mixed_in(3, _TUPLE, state))
        state = _value(table[key], _atom(type_name(table[key]), state))
    return _mixed_in(_NIL_TAG, _NIL, state) & _MASK_32


def _undefined() -> int:
    state = 0
    for octet in b"undefined":
        state = _atom_step(state, octet)
    return state & _RESULT_MASK


def bucket_of(seed: int, bucket_count: int) -> int:
    """Return which of ``bucket_count`` buckets ``seed``, a hash, belongs to.

    When buckets are added at the end, only the share of seeds that belongs to the new ones moves.
    """
    if bucket_count == 1:
        return 0
    bucket, jump = -1, 0
    fractions = _fractions(seed)
    while jump < bucket_count:
        bucket = jump
        jump = int((bucket + 1) / next(fractions))
    return bucket


def _fractions(seed: int) -> Iterator[float]:
    """Yield what Erlang's ``rand:uniform/0`` does with algorithm exs1024, seeded with three times ``seed``."""
    words = _seeded(seed)
    for place in count():
        here, after = place % _WORD_COUNT, (place + 1) % _WORD_COUNT
        words[after] = _next_word(words[here], words[after])
        yield (words[after] * 1181783497276652981 & _MASK_64) / 2.0**64


def _seeded(seed: int) -> list[int]:
    """Return the generator's words, made by a smaller generator (xorshift64*), the last one made first."""
    first, second, third = (((seed & _MASK_21) + 1) * factor & _MASK_21 for factor in (2097131, 2097133, 2097143))
    word = first << 43 | second << 22 | third << 1 | 1
    words = []
    for _ in range(_WORD_COUNT):
        word ^= word >> 12
        word ^= word << 25 & _MASK_64
        word ^= word >> 27
        words.append(word * 2685821657736338717 & _MASK_64)
    words.reverse()
    return words


def _next_word(before: int, word: int) -> int:
    word ^= word << 31 & _MASK_64
    return before ^ before >> 30 ^ word ^ word >> 11


def _binary(octets: bytes, state: int) -> int:
    """Mix a binary into ``state``: R. Jenkins's hash of 1996, twelve octets at a time."""
    start = _BINARY + state & _MASK_32
    size = len(octets)
    if not size:
        return start
    one, two, three = _GOLDEN, _GOLDEN, start
    for at in range(0, size - size % 12, 12):
        one += int.from_bytes(octets[at : at + 4], "little")
        two += int.from_bytes(octets[at + 4 : at + 8], "little")
        three += int.from_bytes(octets[at + 8 : at + 12], "little")
        one, two, three = _mix(one, two, three)
    at = size - size % 12
    one += int.from_bytes(octets[at : at + 4], "little")
    two += int.from_bytes(octets[at + 4 : at + 8], "little")
    three += (int.from_bytes(octets[at + 8 :], "little") << 8) + size
    return _mix(one, two, three)[2]


def _atom(name: str, state: int) -> int:
    value = 0
    for octet in name.encode():
        value = _atom_step(value, octet)
    return _mixed_in(value, _ATOM, state)


def _atom_step(value: int, octet: int) -> int:
    value = (value << 4) + octet & _MASK_32
    high = value & 0xF0000000
    return value ^ high >> 24 ^ high


def _integer(value: int, state: int) -> int:
    if -_SMALL <= value < _SMALL:
        if value < 0:
            state = _mixed_in(-value, _INTEGER, state)
        return _mixed_in(value & _MASK_32, _INTEGER, state)
    kind = _NEGATIVE_BIG if value < 0 else _BIG
    value = abs(value)
    return _mix(kind + (value & _MASK_32), kind + (value >> 32), state)[2]


def _mixed_in(value: int, kind: int, state: int) -> int:
    return _mix(kind + value, kind, state)[2]


def _mix(one: int, two: int, three: int) -> tuple[int, int, int]:
    one = (one - two - three ^ (three & _MASK_32) >> 13) & _MASK_32
    two = (two - three - one ^ one << 8) & _MASK_32
    three = (three - one - two ^ two >> 13) & _MASK_32
    one = (one - two - three ^ three >> 12) & _MASK_32
    two = (two - three - one ^ one << 16) & _MASK_32
    three = (three - one - two ^ two >> 5) & _MASK_32
    one = (one - two - three ^ three >> 3) & _MASK_32
    two = (two - three - one ^ one << 10) & _MASK_32
    three = (three - one - two ^ two >> 15) & _MASK_32
    return one, two, three


HASH_OF_UNDEFINED: Final = _undefined()
"""``phash2`` of the atom that stands for an absent header or property."""
