"""The kernel may write less than it was asked for, at any call: what is left is written by the next one. Promise P8."""

import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.storage.driving import Driver
from tests.torture import SLICE, ran, share

REAL_WRITEV = os.writev


class Reluctant:
    """``os.writev`` that writes some of the octets, one at the least."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.short_count = 0

    def writev(self, fd: int, buffers: Sequence[bytes]) -> int:
        whole = b"".join(buffers)
        octets = self.chance.choice((1, len(whole), self.chance.randint(1, max(1, len(whole)))))
        self.short_count += octets < len(whole)
        return REAL_WRITEV(fd, [whole[:octets]])


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(share(5, 500)):
        reluctant = Reluctant(random.Random(f"short {SLICE} {number}"))
        monkeypatch.setattr(os, "writev", reluctant.writev)
        directory = tmp_path / str(number)
        driver = Driver(directory, segment_octets=1000)
        for step in range(10):
            ids = driver.publish((1, 2), [b"body %d-%d" % (step, i) * 9 for i in range(5)])
            driver.settle(2, ids[:2])
            driver.define(("queue", str(step % 3)), step)
            driver.wait_idle()
        driver.close()
        again = Driver(directory, segment_octets=1000)
        assert (again.store.recovery.damage, again.store.recovery.dropped_octets) == ([], 0)
        assert again.model == driver.model
        again.close()
        assert reluctant.short_count > 5
        ran("T6", reluctant.short_count, "writes cut short")
