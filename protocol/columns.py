"""Publishes of one size by routing keys of one length, as generated names and ids are.

All that frames such messages, and all that is alike in their headers, stands at the same places in each. What stands at
one of these places in all messages is a column, a slice by the size of a message, and is compared at once. Keys and
contents are then taken by ``struct``. Nothing is searched for, so nothing that a body holds can be in the way.
"""

from collections.abc import Iterator
from struct import Struct


class Columns:
    """Where what is in messages like ``message``, a whole one.

    Its key begins, with its length, at ``key_at``; ``lead`` is its content up to the body, of which messages have the
    first ``same`` octets in common, and where header and body meet.
    """

    __slots__ = ("_cells", "_fixed", "_head", "_pieces", "_same", "_shorts", "body_octets", "octets")

    def __init__(self, message: bytes, key_at: int, lead: bytes, same: int) -> None:
        self.octets = octets = len(message)
        self._head = message[: key_at + 1]
        self._same = lead[:same], same == len(lead), len(lead)
        if not message:
            return
        self.body_octets = int.from_bytes(lead[11:19])
        key_octets = 1 + message[key_at]
        tail_at = key_at + key_octets
        header_at = tail_at + 2
        edge_at = header_at + 7 + int.from_bytes(lead[3:7])
        places = [key_at, *range(3, 7), octets - 1, *range(header_at, header_at + same)]
        places += [*range(edge_at, header_at + len(lead)), *range(tail_at, header_at), *range(key_at)]
        self._fixed = [(place, message[place : place + 1]) for place in dict.fromkeys(places)]
        piece_at = len(lead) if same == len(lead) else 0
        self._shorts = Struct(f"{key_at}x{key_octets}s{octets - tail_at}x")
        self._pieces = Struct(f"{key_at}x{key_octets}sx{octets - tail_at - 1}s")
        self._cells = Struct(f"{key_at}x{key_octets}s{2 + piece_at}x{octets - header_at - piece_at}s")

    def are_of(self, data: bytes, at: int, stop: int, lead: bytes, same: int) -> bool:
        """Whether the message that goes from ``at`` to ``stop`` of ``data`` has all in the same places."""
        start, is_whole, lead_octets = self._same
        return (
            stop - at == self.octets
            and data.startswith(self._head, at)
            and lead_octets == len(lead)
            and is_whole is (same == len(lead))
            and lead[:same] == start
        )

    def count(self, data: bytes, at: int, most: int, least: int) -> int:
        """Return how many messages in a row, ``most`` at most, are like this one; 0 where fewer than ``least`` are."""
        octets = self.octets
        stop = at + most * octets
        for place, octet in self._fixed:
            column = data[at + place : stop : octets]
            if column != octet * most:
                most -= len(column.lstrip(octet))
                if most < least:
                    return 0
                stop = at + most * octets
        return most

    def cells(self, data: bytes, at: int, count: int) -> Iterator[tuple[bytes, bytes]]:
        """Return the key, as a short string, and the piece of each of ``count`` messages, for a shape of that key.

        The piece is the content, or what follows ``lead`` where messages have all of that in common.
        """
        return self._cells.iter_unpack(memoryview(data)[at : at + count * self.octets])

    def shorts(self, data: bytes, at: int, count: int) -> list[bytes]:
        """Return the keys of ``count`` messages, as short strings."""
        return [short for (short,) in self._shorts.iter_unpack(memoryview(data)[at : at + count * self.octets])]

    def pieces(self, data: bytes, at: int, count: int) -> list[bytes]:
        """Return the pieces of ``count`` messages for a shape of many keys."""
        cells = self._pieces.iter_unpack(memoryview(data)[at : at + count * self.octets])
        return [short + rest for short, rest in cells]
