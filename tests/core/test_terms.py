"""Values printed as RabbitMQ prints them."""

from decimal import Decimal

import pytest

from broker.core.terms import term_text, value_text
from protocol.tables import Byte, SignedInt, Timestamp


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "undefined"),
        (True, "true"),
        (False, "false"),
        (-5, "-5"),
        (Byte(7), "7"),
        (Timestamp(9), "9"),
        (1.5, "1.5"),
        (10.0, "10.0"),
        (1e300, "1.0e300"),
        (1.5e-9, "1.5e-9"),
        (Decimal("1.50"), "{2,150}"),
        ("a", '<<"a">>'),
        ("", "<<>>"),
        ('say "x\\"', '<<"say \\"x\\\\\\"">>'),
        ("é", "<<195,169>>"),
        (b"\x01\x02", "<<1,2>>"),
        (bytearray(b"ab"), '<<"ab">>'),
        ([SignedInt(1), "b"], '[{signedint,1},{longstr,<<"b">>}]'),
        ({"k": SignedInt(1)}, '[{<<"k">>,signedint,1}]'),
        ([], "[]"),
    ],
)
def test_term_is_printed_as_erlang_does(value: object, text: str) -> None:
    assert term_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("é a", "é a"), (b"\xff", "�"), (bytearray(b"x"), "x"), (True, "true"), (5, "5"), (None, "undefined")],
)
def test_value_is_plain_where_it_is_text(value: object, text: str) -> None:
    assert value_text(value) == text
