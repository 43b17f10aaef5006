"""What a peer can do wrong, as exceptions: one class per AMQP reply code, and the class decides what closes.

Whoever notices raises one of these with the detail text alone; the connection turns it into channel.close
or connection.close in one place and fills in the failing method's ids where the raiser did not know them.
The names in the reply texts are RabbitMQ's, since clients match on them.

Spec: AMQP 0-9-1, 1.2 of the method reference (reply codes) and 4.10 (limits of exceptions).
"""

import re
from typing import ClassVar, TypeVar

from protocol.constants import SHORTSTR_MAX_OCTETS

_CUT_MARK = b"..."
_EXCERPT_OCTETS = 16
_OCTETS = re.compile(r"<<[\d\"].*", re.DOTALL)
_SHOWN_OCTETS = 128  # at two characters or more an octet, no reply text has room for more


class AmqpError(Exception):
    """An error that the peer is told of, with a reply code; raise one of the subclasses below.

    ``class_id`` and ``method_id`` name the failing method, 0 for none or for "the connection knows".
    """

    reply_code: ClassVar[int]
    reply_name: ClassVar[str]

    def __init__(self, detail: str = "", *, class_id: int = 0, method_id: int = 0) -> None:
        super().__init__(detail)
        self.detail = detail
        self.class_id = class_id
        self.method_id = method_id

    @property
    def reply_text(self) -> str:
        """``NAME - detail`` (bare name without detail) in at most 255 octets of UTF-8, ``...`` where cut."""
        text = f"{self.reply_name} - {self.detail}" if self.detail else self.reply_name
        octets = text.encode("utf-8", "replace")
        if len(octets) > SHORTSTR_MAX_OCTETS:
            octets = octets[: SHORTSTR_MAX_OCTETS - len(_CUT_MARK)]
            return octets.decode("utf-8", "ignore") + _CUT_MARK.decode()
        return octets.decode("utf-8")

    def __str__(self) -> str:
        return self.reply_text


AnyError = TypeVar("AnyError", bound=AmqpError)


def with_ids(error: AnyError, class_id: int, method_id: int) -> AnyError:
    """Return ``error`` with the failing method's ids, if whoever raised it did not know them."""
    if not error.class_id:
        error.class_id, error.method_id = class_id, method_id
    return error


def erlang_binary(octets: bytes) -> str:
    """``<<1,2,3>>``: octets as RabbitMQ's ``cannot decode`` texts print them; long ones cut."""
    shown = ",".join(map(str, octets[:_SHOWN_OCTETS]))
    return f"<<{shown}>>" if len(octets) <= _SHOWN_OCTETS else f"<<{shown},{_CUT_MARK.decode()}>>"


def without_octets(text: str) -> str:
    """Return an error's text for the log: what the peer sent, which may be its password, is left out."""
    return _OCTETS.sub("<<...>>", text)


def frame_excerpt(frame_type: int, payload: bytes) -> str:
    """``type 4, all octets = <<1,2>>``: how RabbitMQ's errors about whole frames start.

    Payloads over 16 octets give ``type 4, first 16 octets = <<..>>``; printable ASCII is shown as
    ``<<"text">>``. (RabbitMQ breaks lines at 80 columns; we do not.)
    """
    extent = "all" if len(payload) <= _EXCERPT_OCTETS else f"first {_EXCERPT_OCTETS}"
    octets = payload[:_EXCERPT_OCTETS]
    if octets and octets.isascii() and octets.decode().isprintable():
        text = octets.decode().replace("\\", "\\\\").replace('"', '\\"')
        return f'type {frame_type}, {extent} octets = <<"{text}">>'
    return f"type {frame_type}, {extent} octets = {erlang_binary(octets)}"


class ChannelException(AmqpError):
    """A soft error: the channel closes, the connection and its other channels go on. Spec: 4.10."""


class ConnectionException(AmqpError):
    """A hard error: the whole connection closes, also when a channel's method caused it. Spec: 4.10."""


class ConnectionDropped(Exception):
    """The peer gets no close method: its socket is closed, where a reply would not be understood or deserved.

    ``detail`` is for the log. Whether the socket goes at once or after a pause (failed logins) is the
    server's choice.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ContentTooLarge(ChannelException):
    reply_code = 311
    reply_name = "CONTENT_TOO_LARGE"


class NoRoute(ChannelException):
    """Also the code and name inside a basic.return of a mandatory message."""

    reply_code = 312
    reply_name = "NO_ROUTE"


class NoConsumers(ChannelException):
    reply_code = 313
    reply_name = "NO_CONSUMERS"


class AccessRefused(ChannelException):
    reply_code = 403
    reply_name = "ACCESS_REFUSED"


class NotFound(ChannelException):
    reply_code = 404
    reply_name = "NOT_FOUND"


class ResourceLocked(ChannelException):
    reply_code = 405
    reply_name = "RESOURCE_LOCKED"


class PreconditionFailed(ChannelException):
    reply_code = 406
    reply_name = "PRECONDITION_FAILED"


class ConnectionForced(ConnectionException):
    reply_code = 320
    reply_name = "CONNECTION_FORCED"


class InvalidPath(ConnectionException):
    reply_code = 402
    reply_name = "INVALID_PATH"


class LoginRefused(ConnectionException):
    """403 for a connection: wrong credentials, told to clients with ``authentication_failure_close``."""

    reply_code = 403
    reply_name = "ACCESS_REFUSED"


class FrameError(ConnectionException):
    reply_code = 501
    reply_name = "FRAME_ERROR"


class SyntaxFault(ConnectionException):
    """Named so because ``SyntaxError`` is Python's."""

    reply_code = 502
    reply_name = "SYNTAX_ERROR"


class CommandInvalid(ConnectionException):
    reply_code = 503
    reply_name = "COMMAND_INVALID"


class ChannelFault(ConnectionException):
    """504: a channel used wrongly (not open, opened twice), which costs the connection."""

    reply_code = 504
    reply_name = "CHANNEL_ERROR"


class UnexpectedFrame(ConnectionException):
    reply_code = 505
    reply_name = "UNEXPECTED_FRAME"


class ResourceFault(ConnectionException):
    reply_code = 506
    reply_name = "RESOURCE_ERROR"


class NotAllowed(ConnectionException):
    reply_code = 530
    reply_name = "NOT_ALLOWED"


class NotImplementedFault(ConnectionException):
    """Named so because ``NotImplementedError`` is Python's."""

    reply_code = 540
    reply_name = "NOT_IMPLEMENTED"


class InternalFault(ConnectionException):
    """541: our own bug. RabbitMQ sends the bare name with ids 0.0, so it is raised without a detail."""

    reply_code = 541
    reply_name = "INTERNAL_ERROR"


def bad_frame_end(frame_type: int, payload: bytes, octet: int) -> FrameError:
    """Return the error for a frame that ends in ``octet``. Spec: 4.2.3."""
    return FrameError(f"{frame_excerpt(frame_type, payload)}: {{invalid_frame_end_marker,{octet}}}")
