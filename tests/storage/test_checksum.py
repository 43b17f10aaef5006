"""The log's checksum is CRC-32 as zlib has it, whichever library computes it: a log is read with either."""

import random
import zlib

import pytest

from storage.checksum import crc32


@pytest.mark.parametrize("size", [0, 1, 7, 64, 1023, 32768, 300_001])
def test_checksum_is_that_of_zlib(size: int) -> None:
    octets = random.Random(size).randbytes(size)
    assert crc32(octets) == zlib.crc32(octets)
    assert crc32(memoryview(octets)[size // 3 :], crc32(octets[: size // 3])) == zlib.crc32(octets)


def test_checksum_is_known() -> None:
    assert crc32(b"123456789") == 0xCBF43926
