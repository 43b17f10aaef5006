"""Consumers that took turns held every second message. One of those alone, paged out, was taken for the neighbour of
the next: they were written as one run with ids that it did not have, so that one was lost and another came twice.
"""

from broker.core.messages import Stretch
from broker.core.queues.paged import decode_page, encode_page
from broker.core.queues.parked import ParkedStretch
from protocol.content import Shape
from tests.core.recording import TRANSIENT_SHAPE


def test_single_messages_of_a_turn_are_no_neighbours() -> None:
    turn = Stretch(TRANSIENT_SHAPE, range(1, 9), [b"%d" % i for i in range(1, 9)]).part(0, 8, 3)
    shapes: list[Shape] = []
    octets = b"".join(encode_page([turn.part(place, place + 1) for place in range(3)], shapes))
    read = [(list(stretch.ids), stretch.pieces) for stretch in decode_page(shapes, octets)]
    assert read == [([1], [b"1"]), ([4], [b"4"]), ([7], [b"7"])]


def test_a_single_id_ends_before_the_next() -> None:
    turn = ParkedStretch(None, range(1, 9, 3), is_logged=True, redelivered=False)
    assert turn.part(1, 2).ids == range(4, 5)
