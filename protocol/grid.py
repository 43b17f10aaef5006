"""Messages of one size that begin alike, cut at once: each begins a step after the one before.

`Struct.iter_unpack` takes what follows each beginning, and joined again by that beginning it must be what was cut: so
nothing is searched for, and no octets of a message can be taken for the beginning of another.
"""

from functools import lru_cache
from struct import Struct
from typing import Final

_BLOCK_OCTETS: Final = 1 << 16
"""So much is cut and compared at once: it stays in the processor's second cache."""
LONG_OCTETS: Final = 2048
"""From here on to look at each beginning is cheaper than to join."""


@lru_cache(maxsize=256)
def rests_of(begin_octets: int, step: int) -> Struct:
    """Return what cuts messages of ``step`` octets, of which the first ``begin_octets`` are alike."""
    return Struct(f"{begin_octets}x{step - begin_octets}s")


def cut_rests(rests: Struct, begin: bytes, data: bytes, at: int, count: int) -> list[bytes]:
    """Return what follows ``begin`` in ``count`` messages from ``at`` on, up to the first that begins otherwise.

    All of them must be in ``data``.
    """
    step = rests.size
    stop = at + count * step
    if step >= LONG_OCTETS:
        starts = [data.startswith(begin, start) for start in range(at, stop, step)]
        if False in starts:
            stop = at + starts.index(False) * step
        lead = len(begin)
        return [data[start + lead : start + step] for start in range(at, stop, step)]
    block = (_BLOCK_OCTETS // step) * step
    cut: list[bytes] = []
    while at < stop:
        part = data[at : min(stop, at + block)]
        pieces = [piece for (piece,) in rests.iter_unpack(part)]
        cut += pieces
        if begin.join((b"", *pieces)) != part:
            right = next(place for place in range(len(pieces)) if not part.startswith(begin, place * step))
            del cut[len(cut) - len(pieces) + right :]
            return cut
        at += block
    return cut
