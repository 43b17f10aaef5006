"""From the protocol header to connection.open-ok: who the client is, and what both sides agree on.

A state machine without sockets or clock: the connection gives it the header and then every method frame until
``result`` is set or ``is_closed``, and sends the octets that come back. Who may log in and which virtual hosts
there are it asks of its callbacks. The timeout of the handshake, and the pause before a refused login's socket
goes, are the connection's.

Errors leave with the ids to be sent, 0.0 included. Before the login nothing but a refused login is told to the
peer, as in RabbitMQ; all else is ConnectionDropped. From then on errors are told, which RabbitMQ does in part.

Spec: AMQP 0-9-1, 2.2.4 and 4.2.2; RabbitMQ: "Access Control", "Networking" (tuning).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from platform import python_version
from typing import Final, NamedTuple

from pamqp.base import Frame
from pamqp.commands import Connection

from protocol import constants
from protocol.errors import (
    AmqpError,
    ChannelFault,
    ConnectionDropped,
    LoginRefused,
    NotAllowed,
    SyntaxFault,
    UnexpectedFrame,
    frame_excerpt,
    without_octets,
)
from protocol.methods import build, decode_method, encode_method, ids_of
from protocol.tables import FieldTable, fields_between

CAPABILITIES: Final = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
)
"""What connection.start announces, in RabbitMQ's order; clients switch features on by these names."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What the server says of itself and proposes.

    ``product`` and ``version`` are RabbitMQ's by default, because clients look there for what a broker can do.
    0 as ``channel_max`` or ``frame_max`` (octets) stands for no limit, as ``heartbeat_s`` for none.
    """

    product: str = "RabbitMQ"
    version: str = "3.10.8"
    cluster_name: str = "leveret"
    platform: str = f"Python {python_version()}"
    copyright: str = "Leveret's contributors"
    information: str = "Leveret, an AMQP 0-9-1 broker. Licensed under Apache-2.0."
    channel_max: int = constants.CHANNEL_MAX_DEFAULT
    frame_max: int = constants.FRAME_MAX_DEFAULT
    heartbeat_s: int = constants.HEARTBEAT_DEFAULT_S
    frame_max_least: int = constants.FRAME_MIN_SIZE
    implementation: str = ""
    """What the server really is, and its version: in keys of their own, "" for nothing."""
    implementation_version: str = ""
    durability: str = ""
    """What a confirm of this server says, in a key of its own; "" for nothing."""
    _frames: dict[str, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    def server_properties(self) -> FieldTable:
        return {
            "capabilities": dict.fromkeys(CAPABILITIES, True),
            "cluster_name": self.cluster_name,
            "copyright": self.copyright,
            "information": self.information,
            "platform": self.platform,
            "product": self.product,
            "version": self.version,
            **({"implementation": self.implementation} if self.implementation else {}),
            **({"implementation_version": self.implementation_version} if self.implementation_version else {}),
            **({"durability": self.durability} if self.durability else {}),
        }

    def start_frame(self, mechanisms: str) -> bytes:
        """Return connection.start with these mechanisms; it is the same for every client, so encoded once."""
        frame = self._frames.get(mechanisms)
        if frame is None:
            start = Connection.Start(server_properties=self.server_properties(), mechanisms=mechanisms)
            frame = self._frames[mechanisms] = encode_method(0, start)
        return frame

    def tune_frame(self) -> bytes:
        """Return connection.tune, likewise."""
        frame = self._frames.get("")
        if frame is None:
            tune = Connection.Tune(self.channel_max, self.frame_max, self.heartbeat_s)
            frame = self._frames[""] = encode_method(0, tune)
        return frame


class Negotiated(NamedTuple):
    """What holds for the open connection. ``channel_max`` counts open channels; ``heartbeat_s`` 0 is none."""

    user: str
    vhost: str
    channel_max: int
    frame_max: int
    """Octets of a whole frame, its head and end included; never 0."""
    heartbeat_s: int
    client_properties: FieldTable
    capabilities: frozenset[str]
    """Names of the capabilities that the client announced as true."""
    mechanism: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a mechanism extracts from the client's responses. Not checked yet.

    ``password`` is None where something else has shown who the client is: its certificate.
    """

    user: str
    password: bytes | None


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a mechanism of more than one round asks by connection.secure, and who takes the answer."""

    octets: bytes
    answer: "Mechanism"


Mechanism = Callable[[bytes], Credentials | Challenge]
"""Takes a SASL response; raises ValueError or SyntaxFault where it is malformed."""


def plain(response: bytes) -> Credentials:
    """SASL PLAIN, without an identity to act as: NUL user NUL password. RFC 4616."""
    authorization, user, password = response.split(b"\0")
    if authorization:
        raise ValueError("PLAIN with an authorization identity")
    return Credentials(user.decode(), password)


def amqplain(response: bytes) -> Credentials:
    """AMQPLAIN: a field table without its size, LOGIN and PASSWORD as long strings. RabbitMQ: "Access Control"."""
    fields = fields_between(response, 0, len(response))
    user, password = fields.get("LOGIN"), fields.get("PASSWORD")
    if not isinstance(user, str) or not isinstance(password, str | bytes):
        raise ValueError("AMQPLAIN without LOGIN or PASSWORD")
    return Credentials(user, password if isinstance(password, bytes) else password.encode())


def external(user: str) -> Mechanism:
    """EXTERNAL: the client is ``user``, as its certificate says; what it responds is of no account. RFC 4422."""
    return lambda response: Credentials(user, None)


MECHANISMS: Final[Mapping[str, Mechanism]] = {"PLAIN": plain, "AMQPLAIN": amqplain}


class _State(Enum):
    AWAITING_HEADER = auto()
    STARTING = auto()
    SECURING = auto()
    TUNING = auto()
    OPENING = auto()
    OPEN = auto()
    CLOSED = auto()


class Handshake:
    """One connection's handshake, the server's side.

    ``authenticate(user, password)`` says whether the login is right, or whom it lets in, where that is for it to say;
    it is not asked about empty passwords, and asked with None about a user whom ``mechanisms`` has by other means than
    a password. What it raises beside changes nothing: the same octets may be received again.
    ``has_vhost(vhost)`` and ``may_enter(user, vhost)`` decide connection.open. Each may raise a
    ConnectionException of its own, such as NotAllowed for a limit.
    """

    __slots__ = (
        "_answer",
        "_authenticate",
        "_client_properties",
        "_has_vhost",
        "_may_enter",
        "_mechanism",
        "_mechanisms",
        "_offer",
        "_state",
        "_tuned",
        "result",
        "user",
    )

    def __init__(
        self,
        offer: Offer,
        *,
        authenticate: Callable[[str, bytes | None], bool | str | None],
        has_vhost: Callable[[str], bool],
        may_enter: Callable[[str, str], bool],
        mechanisms: Mapping[str, Mechanism] = MECHANISMS,
    ) -> None:
        self.result: Negotiated | None = None
        self.user = ""
        """The name given at login, right or wrong, for the log."""
        self._offer = offer
        self._authenticate = authenticate
        self._has_vhost = has_vhost
        self._may_enter = may_enter
        self._mechanisms = mechanisms
        self._mechanism = ""
        self._answer: Mechanism | None = None
        self._client_properties: FieldTable = {}
        self._tuned = (0, 0, 0)
        self._state = _State.AWAITING_HEADER

    @property
    def is_closed(self) -> bool:
        """Whether the socket is to be closed once the octets returned last are sent."""
        return self._state is _State.CLOSED

    @property
    def is_authenticated(self) -> bool:
        """Whether the login has succeeded; before, framing errors too are to be met by dropping the socket."""
        return self._state in (_State.TUNING, _State.OPENING, _State.OPEN)

    def receive_header(self, octets: bytes) -> bytes:
        """Take the first 8 octets; return connection.start, or the header that we speak, and then ``is_closed``.

        Spec: 4.2.2. Every version but 0-9-1 and 0-9 gets the header, AMQP 1.0 too: clients report a
        mismatch of versions from it.
        """
        if octets not in (constants.PROTOCOL_HEADER, constants.PROTOCOL_HEADER_0_9):
            self._state = _State.CLOSED
            return constants.PROTOCOL_HEADER
        self._state = _State.STARTING
        return self._offer.start_frame(" ".join(self._mechanisms))

    def resume(self, user: str, mechanism: str, client_properties: FieldTable) -> None:
        """Go on where connection.tune has been sent to a client who is known, by other means, to have logged in."""
        self.user, self._mechanism, self._client_properties = user, mechanism, client_properties
        self._state = _State.TUNING

    def receive(self, channel: int, payload: bytes) -> bytes:
        """Take a method frame's payload and return the octets to send.

        Raises ConnectionDropped before the login for whatever is wrong but the credentials, and out of order;
        LoginRefused (403) for these if the client can be told; afterwards as ``decode_method`` and
        ``receive_method``, and UnexpectedFrame (505) on any channel but 0.
        """
        try:
            if channel != 0:
                raise UnexpectedFrame(frame_excerpt(constants.FRAME_METHOD, payload))
            method = decode_method(payload)
        except AmqpError as error:
            if not self.is_authenticated:
                raise ConnectionDropped(f"during the handshake: {without_octets(str(error))}") from error
            raise
        return self.receive_method(method)

    def receive_method(self, method: Frame) -> bytes:
        """As ``receive``, for a decoded method on channel 0."""
        state = self._state
        if state is _State.STARTING:
            if isinstance(method, Connection.StartOk):
                return self._start_ok(method)
        elif state is _State.SECURING:
            if isinstance(method, Connection.SecureOk) and self._answer is not None:
                return self._log_in(self._answer, octets_of(method.response))
        elif state is _State.TUNING or state is _State.OPENING:
            if state is _State.TUNING and isinstance(method, Connection.TuneOk):
                return self._tune_ok(method)
            if state is _State.OPENING and isinstance(method, Connection.Open):
                return self._open(method)
            if isinstance(method, Connection.Close):
                self._state = _State.CLOSED
                return encode_method(0, Connection.CloseOk())
            if state is _State.OPENING:
                class_id, method_id = ids_of(method)
                raise ChannelFault(
                    "unexpected method in connection state opening", class_id=class_id, method_id=method_id
                )
        raise ConnectionDropped(f"{method.name} out of order in the handshake ({self._state.name.lower()})")

    def _start_ok(self, start_ok: Connection.StartOk) -> bytes:
        self._client_properties = start_ok.client_properties
        self._mechanism = start_ok.mechanism
        mechanism = self._mechanisms.get(start_ok.mechanism)
        if mechanism is None:
            raise ConnectionDropped(f"unknown authentication mechanism {start_ok.mechanism!r}")
        return self._log_in(mechanism, octets_of(start_ok.response))

    def _log_in(self, mechanism: Mechanism, response: bytes) -> bytes:
        """One round: challenge the client again, or check what it gave, and propose the tuning."""
        try:
            outcome = mechanism(response)
        except (ValueError, SyntaxFault) as error:
            raise ConnectionDropped(f"malformed {self._mechanism} response") from error
        if isinstance(outcome, Challenge):
            self._answer = outcome.answer
            self._state = _State.SECURING
            return encode_method(0, build(Connection.Secure, challenge=outcome.octets))
        self.user = outcome.user
        known_as = None if outcome.password == b"" else self._authenticate(outcome.user, outcome.password)
        if not known_as:
            self._refuse_login()
        if isinstance(known_as, str):
            self.user = known_as
        self._state = _State.TUNING
        return self._offer.tune_frame()

    def _refuse_login(self) -> None:
        """Raise. Only clients that announce it expect a close method here. RabbitMQ: "Authentication Failures"."""
        if "authentication_failure_close" not in _announced(self._client_properties):
            raise ConnectionDropped(f"login of user {self.user!r} refused")
        raise LoginRefused(
            f"Login was refused using authentication mechanism {self._mechanism}. For details see the broker logfile."
        )

    def _tune_ok(self, tune_ok: Connection.TuneOk) -> bytes:
        """Take the client's tuning; the heartbeat as it is.

        0 is a client without limits of its own, so ours hold. RabbitMQ drops it if it has a limit itself, as
        it drops values out of bounds, both without a word; no client learns anything from that.
        Ref: connection.tune-ok.
        """
        offer = self._offer
        channel_max = _agreed("channel_max", tune_ok.channel_max, 1, offer.channel_max or constants.CHANNEL_NUMBER_MAX)
        frame_max = _agreed(
            "frame_max", tune_ok.frame_max, offer.frame_max_least, offer.frame_max or UNLIMITED_FRAME_OCTETS
        )
        self._tuned = (channel_max, frame_max, tune_ok.heartbeat)
        self._state = _State.OPENING
        return b""

    def _open(self, open_: Connection.Open) -> bytes:
        """Spec: connection.open; the texts are RabbitMQ's."""
        vhost = open_.virtual_host
        class_id, method_id = constants.CONNECTION_OPEN
        if not self._has_vhost(vhost):
            raise NotAllowed(f"vhost {vhost} not found", class_id=class_id, method_id=method_id)
        if not self._may_enter(self.user, vhost):
            text = f"access to vhost '{vhost}' refused for user '{self.user}'"
            raise NotAllowed(text, class_id=class_id, method_id=method_id)
        channel_max, frame_max, heartbeat_s = self._tuned
        self.result = Negotiated(
            user=self.user,
            vhost=vhost,
            channel_max=channel_max,
            frame_max=frame_max,
            heartbeat_s=heartbeat_s,
            client_properties=self._client_properties,
            capabilities=_announced(self._client_properties),
            mechanism=self._mechanism,
        )
        self._state = _State.OPEN
        return OPEN_OK


OPEN_OK: Final = encode_method(0, Connection.OpenOk())

UNLIMITED_FRAME_OCTETS: Final = 0x7FFF_FFFF
"""The frame_max that stands for none on both sides."""


def _agreed(name: str, wanted: int, least: int, most: int) -> int:
    """The client's ``wanted`` within bounds, 0 being ``most``. Raises NotAllowed (530) outside, ids 10.31."""
    if least <= (wanted or most) <= most:
        return wanted or most
    side, bound = ("lower than the minimum", least) if wanted < least else ("higher than the maximum", most)
    class_id, method_id = constants.CONNECTION_TUNE_OK
    text = f"negotiated {name} = {wanted} is {side} allowed value ({bound})"
    raise NotAllowed(f"failed to negotiate connection parameters: {text}", class_id=class_id, method_id=method_id)


def _announced(client_properties: FieldTable) -> frozenset[str]:
    capabilities = client_properties.get("capabilities")
    if not isinstance(capabilities, dict):
        return frozenset()
    return frozenset(name for name, is_able in capabilities.items() if is_able is True)


def octets_of(response: str | bytes | None) -> bytes:
    """SASL octets from a long string, which is decoded to str where it happens to be UTF-8."""
    return response.encode() if isinstance(response, str) else response or b""
