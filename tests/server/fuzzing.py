"""Makes frames that are nearly right: every method, with fields changed, cut, repeated, in the wrong order or size."""

import random
from collections.abc import Iterator
from struct import pack

from tests.protocol.octets import PERSISTENT, PLAIN, ack_frame, content_frames, frame, message, publish_frame, short

LENGTHS = (0, 1, 2, 7, 255, 4096, 131_064, 131_065, 2**31 - 1, 2**31, 2**32 - 1)


def table(*entries: bytes) -> bytes:
    octets = b"".join(entries)
    return pack(">I", len(octets)) + octets


def every_value() -> list[bytes]:
    """A field of each type of a table, octet by octet."""
    inner = table(short(b"k") + b"S" + pack(">I", 1) + b"v")
    values = [
        *(b"t\x01", b"b\x80", b"B\xff", b"s\x80\x00", b"u\xff\xff", b"I\x80\x00\x00\x00", b"i\xff\xff\xff\xff"),
        *(
            b"l" + bytes(8),
            b"L" + b"\xff" * 8,
            b"f\x7f\xc0\x00\x00",
            b"d" + b"\x7f\xf8" + bytes(6),
            b"D\x02" + bytes(4),
        ),
        *(b"S" + pack(">I", 3) + b"abc", b"T" + bytes(8), b"V", b"x" + pack(">I", 2) + b"\x00\xff"),
        *(b"F" + inner, b"A" + pack(">I", 2) + b"t\x01", b"A" + pack(">I", 3) + b"V" * 3),
    ]
    return [short(b"x-%d" % i) + value for i, value in enumerate(values)]


def methods() -> list[bytes]:
    """A payload of every method that a client may send, and of some that it may not."""
    values = every_value()
    arguments = [table(), table(*values), *(table(value) for value in values)]
    queue = [pack(">HHH", 50, 10, 0) + short(b"q") + b"\x02" + each for each in arguments]
    exchange = [pack(">HHH", 40, 10, 0) + short(b"e") + short(kind) + b"\x02" + each
                for kind in (b"direct", b"topic", b"headers", b"nonsense") for each in arguments[:2]]  # fmt: skip
    return [
        *queue,
        *exchange,
        *(pack(">HHH", 50, 20, 0) + short(b"q") + short(b"e") + short(b"k.#") + b"\x00" + each for each in arguments),
        pack(">HHH", 50, 50, 0) + short(b"q") + short(b"e") + short(b"k") + table(),
        pack(">HHH", 50, 30, 0) + short(b"q") + b"\x00",
        pack(">HHH", 50, 40, 0) + short(b"q") + b"\x00",
        pack(">HHH", 40, 20, 0) + short(b"e") + b"\x00",
        pack(">HHH", 40, 30, 0) + short(b"e") + short(b"e") + short(b"k") + b"\x00" + table(),
        pack(">HHIHB", 60, 10, 0, 10, 0),
        pack(">HHH", 60, 20, 0) + short(b"q") + short(b"tag") + b"\x00" + table(*values),
        pack(">HH", 60, 30) + short(b"tag") + b"\x00",
        pack(">HHH", 60, 70, 0) + short(b"q") + b"\x01",
        pack(">HHQB", 60, 80, 1, 1),
        pack(">HHQB", 60, 90, 1, 1),
        pack(">HHQB", 60, 120, 1, 3),
        pack(">HHB", 60, 110, 1),
        *(pack(">HH", 90, number) for number in (10, 20, 30)),
        pack(">HHB", 85, 10, 0),
        pack(">HHB", 20, 20, 1),
        pack(">HH", 20, 10) + short(b""),
        pack(">HHH", 20, 40, 200) + short(b"bye") + bytes(4),
        pack(">HH", 10, 51),
        pack(">HHH", 10, 31, 2047) + pack(">IH", 131_072, 60),
        pack(">HH", 60, 60) + short(b"tag") + bytes(9) + short(b"") + short(b"k"),
        pack(">HH", 999, 1),
    ]


METHODS = methods()


class Fuzzer:
    """Makes reads of frames, most of them a little wrong."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def frames(self) -> list[bytes]:
        """Frames in a row, as a client might send them."""
        choose = self.random.choice
        found = []
        for _ in range(self.random.randint(1, 12)):
            kind = self.random.random()
            if kind < 0.5:
                octets = frame(1, choose((1, 1, 1, 1, 0, 2, 65535)), self.changed(choose(METHODS)))
            elif kind < 0.8:
                body = bytes(choose((0, 1, 16, 300)))
                octets = message(body, choose((b"q", b"", b"e")), choose((PLAIN, PERSISTENT, self.properties())))
            elif kind < 0.9:
                octets = ack_frame(self.random.randint(0, 5), choose((True, False)))
            else:
                octets = choose((publish_frame(), content_frames(b"stray"), frame(8, 0, b""), frame(3, 1, b"odd")))
            found.append(self.changed_frame(octets))
        return found

    def properties(self) -> bytes:
        """A content header's flags and something behind them, which need not fit."""
        flags = self.random.choice((0x8000, 0x2000, 0x1000, 0xFFFC, 0x0001, 0x0003, self.random.getrandbits(16)))
        return pack(">H", flags) + self.random.choice((b"", table(*every_value()), self.random.randbytes(20)))

    def changed(self, payload: bytes) -> bytes:
        """The payload, with nothing or one thing changed."""
        pick = self.random.random()
        if pick < 0.4 or len(payload) < 5:
            return payload
        at = self.random.randrange(4, len(payload)) if pick < 0.95 else self.random.randrange(len(payload))
        octets = bytearray(payload)
        if pick < 0.6:
            octets[at] ^= 1 << self.random.randrange(8)
        elif pick < 0.7:
            del octets[at:]
        elif pick < 0.8:
            octets[at : at + 4] = pack(">I", self.random.choice(LENGTHS))
        elif pick < 0.9:
            octets[at:at] = self.random.randbytes(self.random.randint(1, 9))
        else:
            octets[at] = self.random.choice((0, 1, 127, 128, 255))
        return bytes(octets)

    def changed_frame(self, octets: bytes) -> bytes:
        """The frame, in one case of twenty with a wrong size, type, channel or end."""
        pick = self.random.random()
        if pick > 0.05:
            return octets
        if pick > 0.04:
            return octets[:3] + pack(">I", self.random.choice(LENGTHS)) + octets[7:]
        if pick > 0.03:
            return bytes((self.random.choice((0, 4, 8, 65, 255)),)) + octets[1:]
        if pick > 0.02:
            return octets[:-1] + b"\xcd"
        if pick > 0.01:
            return octets[: self.random.randrange(len(octets))]
        return octets[:1] + pack(">H", self.random.getrandbits(16)) + octets[3:]

    def reads(self, octets: bytes) -> Iterator[bytes]:
        """The octets as they may arrive: whole, or cut anywhere."""
        while octets:
            size = len(octets) if self.random.random() < 0.6 else self.random.randint(1, len(octets))
            yield octets[:size]
            octets = octets[size:]
