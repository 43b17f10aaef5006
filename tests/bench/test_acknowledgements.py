"""Blocks of acknowledgements are the same octets as single frames made one by one."""

from bench import wire
from bench.acknowledgements import BLOCK, Acknowledgements


def _octets(acknowledgements: Acknowledgements, tag: int) -> bytes:
    return b"".join(bytes(piece) for piece in acknowledgements.upto(tag))


def test_each_tag_gets_a_frame_of_its_own() -> None:
    acknowledgements = Acknowledgements()
    assert _octets(acknowledgements, 5) == b"".join(wire.encode_ack(tag) for tag in range(1, 6))
    assert _octets(acknowledgements, 5) == b""
    assert _octets(acknowledgements, 7) == wire.encode_ack(6) + wire.encode_ack(7)


def test_tags_go_on_past_the_block() -> None:
    acknowledgements = Acknowledgements()
    acknowledgements.acknowledged = 3 * BLOCK - 300
    expected = b"".join(wire.encode_ack(tag) for tag in range(3 * BLOCK - 299, 3 * BLOCK + 400))
    assert _octets(acknowledgements, 3 * BLOCK + 399) == expected


def test_tags_go_on_past_32_bits() -> None:
    acknowledgements = Acknowledgements()
    acknowledgements.acknowledged = (1 << 32) - 3
    expected = b"".join(wire.encode_ack(tag) for tag in range((1 << 32) - 2, (1 << 32) + 3))
    assert _octets(acknowledgements, (1 << 32) + 2) == expected
