"""Field values as RabbitMQ prints them in its reply texts: as Erlang terms.

Clients match on reply texts, and some of those quote a value that the client sent.
"""

from decimal import Decimal

from protocol.errors import erlang_binary
from protocol.tables import type_name

_ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\"}


def value_text(value: object) -> str:
    """Return a value as mismatch texts show it: text plain, all else as a term."""
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else term_text(value)


def term_text(value: object) -> str:
    """Return a decoded field value as Erlang's ``~p`` prints it."""
    match value:
        case None:
            return "undefined"
        case bool():
            return "true" if value else "false"
        case str():
            return _binary_text(value.encode("utf-8", "surrogateescape"))
        case bytes() | bytearray():
            return _binary_text(bytes(value))
        case float():
            return _float_text(value)
        case Decimal():
            _sign, digits, exponent = value.as_tuple()
            scale = -exponent if isinstance(exponent, int) else 0
            return f"{{{scale},{''.join(map(str, digits))}}}"
        case list():
            return f"[{','.join(f'{{{type_name(item)},{term_text(item)}}}' for item in value)}]"
        case dict():
            fields = (f"{{{term_text(key)},{type_name(item)},{term_text(item)}}}" for key, item in value.items())
            return f"[{','.join(fields)}]"
    return str(value)


def _binary_text(octets: bytes) -> str:
    if not octets:
        return "<<>>"
    text = octets.decode("latin-1")
    if all(char.isprintable() or char == "\xa0" for char in text):
        return f'<<"{text.translate(_ESCAPES)}">>' if text.isascii() else erlang_binary(octets)
    return erlang_binary(octets)


def _float_text(value: float) -> str:
    """Python's shortest digits, but with Erlang's point before an exponent, and that without a zero or plus."""
    mantissa, mark, exponent = repr(float(value)).partition("e")
    if not mark:
        return mantissa
    return f"{mantissa}{'' if '.' in mantissa else '.0'}e{int(exponent)}"
