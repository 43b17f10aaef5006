"""Every ordinary method, octets to objects and back; publish, deliver and ack have their own, quicker ways.

The methods' classes and their fields' types are pamqp's; the octets are read and written here, because pamqp
refuses names that RabbitMQ allows (``a|b``, accents), accepts octets left over, and has a lossy table codec.
Knows the shape of methods and nothing of connections' or channels' states.

Spec: AMQP 0-9-1, 4.2.5 (data) and the method reference; RabbitMQ: "AMQP 0-9-1 extensions".
"""

from collections.abc import Callable
from itertools import pairwise
from struct import Struct
from typing import ClassVar, Final, NamedTuple, TypeVar

from pamqp.base import Frame
from pamqp.commands import INDEX_MAPPING, Connection, Queue

from protocol import constants
from protocol.constants import CLASS_CONNECTION, FRAME_END_OCTET, FRAME_METHOD, SHORTSTR_MAX_OCTETS
from protocol.errors import (
    CommandInvalid,
    FrameError,
    NotImplementedFault,
    SyntaxFault,
    erlang_binary,
    frame_excerpt,
)
from protocol.tables import decode_table, encode_table, known_table

AnyFrame = TypeVar("AnyFrame", bound=Frame)


class AccessRequest(Frame):
    """access.request: gone from 0-9-1, but some clients ask, and RabbitMQ still answers with ticket 1."""

    __slots__: ClassVar[list[str]] = [  # noqa: RUF023 (the wire's order)
        "realm",
        "exclusive",
        "passive",
        "active",
        "write",
        "read",
    ]
    frame_id: ClassVar[int] = 10
    index: ClassVar[int] = 30 << 16 | 10
    name: ClassVar[str] = "Access.Request"
    synchronous: ClassVar[bool] = True
    _realm = "shortstr"
    _exclusive = "bit"
    _passive = "bit"
    _active = "bit"
    _write = "bit"
    _read = "bit"


class AccessRequestOk(Frame):
    """access.request-ok: the ticket that 0-9-1 methods then carry and nobody reads."""

    __slots__: ClassVar[list[str]] = ["ticket"]
    frame_id: ClassVar[int] = 11
    index: ClassVar[int] = 30 << 16 | 11
    name: ClassVar[str] = "Access.RequestOk"
    _ticket = "short"

    def __init__(self, ticket: int = 1) -> None:
        self.ticket = ticket


class QueueDeclareOk(Queue.DeclareOk):
    """queue.declare-ok for every name that RabbitMQ allows: pamqp's own refuses accents and ``|``."""

    __slots__: ClassVar[list[str]] = []

    def validate(self) -> None:
        """Nothing: the name was checked when the queue was declared."""


def decode_method(payload: bytes, *, from_server: bool = False) -> Frame:
    """The method in a method frame's payload, as an instance of its pamqp class, every field set.

    Strings are str, long strings that are not UTF-8 bytes, tables as in ``protocol.tables``, tags unsigned.
    Raises, with the ids that RabbitMQ reports:

    - FrameError (501): ``cannot decode <<..>>`` where arguments are too short or too long; ids 0.0:
      ``Malformed UTF-8 in shortstr`` for a name or key, ``unknown_frame`` under 4 octets
    - SyntaxFault (502) for a malformed table, NotImplementedFault (540) for an unknown method: RabbitMQ cuts
      the connection without a word there, and a word is kinder
    - CommandInvalid (503) for a method that only servers send, unless ``from_server``

    Methods of class connection pass in both directions: which are allowed is the connection's to say.
    """
    known = _known.get(payload)
    if known is not None:
        return known
    if len(payload) < 4:
        raise FrameError(f"{frame_excerpt(FRAME_METHOD, payload)}: unknown_frame")
    index = int.from_bytes(payload[:4])
    class_id, method_id = index >> 16, index & 0xFFFF
    layout = _LAYOUTS.get(index)
    if layout is None:
        raise NotImplementedFault(f"unknown method {class_id}.{method_id}", class_id=class_id, method_id=method_id)
    bounds = _bounds(layout, payload)
    if bounds is None:
        text = f"cannot decode {erlang_binary(payload[4:])}"
        raise FrameError(text, class_id=class_id, method_id=method_id)
    method = layout.method_class.__new__(layout.method_class)
    try:
        for field, (start, stop) in zip(layout.fields, pairwise(bounds), strict=True):
            field.read(method, field.names, payload[start:stop])
    except UnicodeDecodeError:
        raise FrameError("Malformed UTF-8 in shortstr") from None
    except SyntaxFault as fault:
        fault.class_id, fault.method_id = class_id, method_id
        raise
    if not (from_server or layout.is_from_client):
        raise CommandInvalid("unimplemented method", class_id=class_id, method_id=method_id)
    if (class_id, method_id) in _REPEATED and len(payload) <= _KNOWN_OCTETS:
        if len(_known) >= _KNOWN_COUNT:
            _known.clear()
        _known[payload] = method
    return method


def encode_method(channel: int, method: Frame) -> bytes:
    """The whole frame of ``method`` on ``channel``, without pamqp's checks of names; None is sent as 0 or "".

    Raises ValueError, TypeError or struct.error where a field does not hold what its type can: a bug of ours.
    """
    fields = _LAYOUTS[method.index].fields
    parts = [field.write([getattr(method, name) for name in field.names]) for field in fields]
    payload = method.index.to_bytes(4) + b"".join(parts)
    return _FRAME_HEAD.pack(FRAME_METHOD, channel, len(payload)) + payload + FRAME_END_OCTET


def encode_empty(channel: int, method_class: type[Frame]) -> bytes:
    """As ``encode_method`` of a method whose fields are all 0, "", False or an empty table; encoded once."""
    payload = _empty_payloads.get(method_class)
    if payload is None:
        payload = _empty_payloads[method_class] = encode_method(0, build(method_class))[7:-1]
    return _FRAME_HEAD.pack(FRAME_METHOD, channel, len(payload)) + payload + FRAME_END_OCTET


def build(method_class: type[AnyFrame], **fields: object) -> AnyFrame:
    """Made without pamqp's checks of names; fields not given are 0, "", False or an empty table."""
    layout = _LAYOUTS[method_class.index]
    method = method_class.__new__(method_class)
    for field in layout.fields:
        for name in field.names:
            setattr(method, name, fields.pop(name) if name in fields else field.make_default())
    if fields:
        raise TypeError(f"{method_class.name} has no {', '.join(fields)}")
    return method


def ids_of(method: Frame) -> tuple[int, int]:
    """Class and method id, as in protocol.constants and in the close methods."""
    return method.index >> 16, method.index & 0xFFFF


class _Field(NamedTuple):
    """One field of a method, or up to eight neighbouring bits that share an octet."""

    names: tuple[str, ...]
    width: int
    """Octets, of the value or, for strings and tables, of the size that precedes it."""
    is_sized: bool
    make_default: Callable[[], object]
    read: Callable[[Frame, tuple[str, ...], bytes], None]
    write: Callable[[list[object]], bytes]


class _Layout(NamedTuple):
    method_class: type[Frame]
    fields: tuple[_Field, ...]
    is_from_client: bool


def _bounds(layout: _Layout, payload: bytes) -> list[int] | None:
    """Where the first field starts and each one ends; None if the fields do not fill the payload exactly.

    All sizes are looked at before any value, as in RabbitMQ, so that a cut method is told as cut.
    """
    at, bounds = 4, [4]
    for field in layout.fields:
        start, at = at, at + field.width
        if field.is_sized:
            if at > len(payload):
                return None
            at += int.from_bytes(payload[start:at])
        bounds.append(at)
    return bounds if at == len(payload) else None


def _read_unsigned(method: Frame, names: tuple[str, ...], octets: bytes) -> None:
    setattr(method, names[0], int.from_bytes(octets))


def _read_bits(method: Frame, names: tuple[str, ...], octets: bytes) -> None:
    bits = octets[0]
    for place, name in enumerate(names):
        setattr(method, name, bits >> place & 1 == 1)


def _read_shortstr(method: Frame, names: tuple[str, ...], octets: bytes) -> None:
    setattr(method, names[0], octets[1:].decode())


def _read_longstr(method: Frame, names: tuple[str, ...], octets: bytes) -> None:
    try:
        setattr(method, names[0], octets[4:].decode())
    except UnicodeDecodeError:
        setattr(method, names[0], octets[4:])


def _read_table(method: Frame, names: tuple[str, ...], octets: bytes) -> None:
    setattr(method, names[0], decode_table(octets))


def _read_client_properties(method: Frame, names: tuple[str, ...], octets: bytes) -> None:
    setattr(method, names[0], known_table(octets))


def _unsigned_writer(layout: str) -> Callable[[list[object]], bytes]:
    pack = Struct(layout).pack

    def write(values: list[object]) -> bytes:
        return pack(values[0] or 0)

    return write


def _write_bits(values: list[object]) -> bytes:
    return bytes((sum(1 << place for place, value in enumerate(values) if value),))


def _octets_of(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value or "").encode()


def _write_shortstr(values: list[object]) -> bytes:
    octets = _octets_of(values[0])
    if len(octets) > SHORTSTR_MAX_OCTETS:
        raise ValueError(f"short string over {SHORTSTR_MAX_OCTETS} octets: {octets[:40]!r}...")
    return bytes((len(octets),)) + octets


def _write_longstr(values: list[object]) -> bytes:
    octets = _octets_of(values[0])
    return len(octets).to_bytes(4) + octets


def _write_table(values: list[object]) -> bytes:
    table = values[0] or {}
    if not isinstance(table, dict):
        raise TypeError(f"a table, not {type(table).__name__}")
    return encode_table(table)


def _field_of(data_type: str, names: tuple[str, ...]) -> _Field:
    match data_type:
        case "bit":
            return _Field(names, 1, False, bool, _read_bits, _write_bits)
        case "shortstr":
            return _Field(names, 1, True, str, _read_shortstr, _write_shortstr)
        case "longstr":
            return _Field(names, 4, True, str, _read_longstr, _write_longstr)
        case "table":
            return _Field(names, 4, True, dict, _read_table, _write_table)
    layout, width = {"octet": (">B", 1), "short": (">H", 2), "long": (">I", 4), "longlong": (">Q", 8)}[data_type]
    return _Field(names, width, False, int, _read_unsigned, _unsigned_writer(layout))


def _layout_of(method_class: type[Frame]) -> _Layout:
    groups: list[tuple[str, list[str]]] = []
    for name in method_class.attributes():
        data_type = method_class.amqp_type(name)
        if data_type == "bit" and groups and groups[-1][0] == "bit" and len(groups[-1][1]) < 8:
            groups[-1][1].append(name)
        else:
            groups.append((data_type, [name]))
    fields = tuple(_field_of(data_type, tuple(names)) for data_type, names in groups)
    if method_class is Connection.StartOk:
        fields = tuple(
            field._replace(read=_read_client_properties) if field.names == ("client_properties",) else field
            for field in fields
        )
    ids = method_class.index >> 16, method_class.index & 0xFFFF
    return _Layout(method_class, fields, ids[0] == CLASS_CONNECTION or ids in _FROM_CLIENT)


_FRAME_HEAD: Final = Struct(">BHI")

_REPEATED: Final = frozenset(
    {
        constants.CONNECTION_TUNE_OK,
        constants.CONNECTION_OPEN,
        constants.CONNECTION_CLOSE,
        constants.CHANNEL_OPEN,
        constants.CHANNEL_CLOSE,
        constants.CHANNEL_CLOSE_OK,
    }
)
"""What clients send alike again and again, without secrets or tables, which nobody changes once it is decoded."""
_KNOWN_COUNT: Final = 256
_KNOWN_OCTETS: Final = 128
_known: dict[bytes, Frame] = {}
_empty_payloads: dict[type[Frame], bytes] = {}

_FROM_CLIENT: Final = frozenset(
    {
        constants.CHANNEL_OPEN,
        constants.CHANNEL_FLOW,
        constants.CHANNEL_CLOSE,
        constants.CHANNEL_CLOSE_OK,
        constants.ACCESS_REQUEST,
        constants.EXCHANGE_DECLARE,
        constants.EXCHANGE_DELETE,
        constants.EXCHANGE_BIND,
        constants.EXCHANGE_UNBIND,
        constants.QUEUE_DECLARE,
        constants.QUEUE_BIND,
        constants.QUEUE_UNBIND,
        constants.QUEUE_PURGE,
        constants.QUEUE_DELETE,
        constants.BASIC_QOS,
        constants.BASIC_CONSUME,
        constants.BASIC_CANCEL,
        constants.BASIC_PUBLISH,
        constants.BASIC_GET,
        constants.BASIC_ACK,
        constants.BASIC_REJECT,
        constants.BASIC_NACK,
        constants.BASIC_RECOVER,
        constants.BASIC_RECOVER_ASYNC,
        constants.CONFIRM_SELECT,
        constants.TX_SELECT,
        constants.TX_COMMIT,
        constants.TX_ROLLBACK,
    }
)
"""What RabbitMQ's channels answer; flow-ok and cancel-ok are not among it, for it never awaits them."""

_METHOD_CLASSES: list[type[Frame]] = [*INDEX_MAPPING.values(), AccessRequest, AccessRequestOk]

_LAYOUTS: Final = {method_class.index: _layout_of(method_class) for method_class in _METHOD_CLASSES}
