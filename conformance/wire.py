"""A small blocking AMQP client that hides nothing: each step of the handshake, each frame, each silence.

Octets come from one socket per connection and are sorted onto channels; a case asks a channel for what
must come next. Anything else that comes is a ``Mismatch`` saying what was expected and what was got.
It knows nothing of cases, sections or expected differences.
"""

import contextlib
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from conformance import codec
from conformance.codec import FieldTable, Frame, Typed

DEADLINE_S = 5.0
_WITH_CONTENT = {"basic.deliver", "basic.return", "basic.get-ok"}
CAPABILITIES = {
    "publisher_confirms": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
    "exchange_exchange_bindings": True,
}


class Mismatch(AssertionError):
    """The broker did something else than the case says it must."""

    def __init__(self, expected: object, got: object) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = str(expected)
        self.got = str(got)


def check(got: object, expected: object, what: str = "") -> None:
    """Raise ``Mismatch`` unless both are equal; ``what`` names the thing compared."""
    if got != expected:
        prefix = f"{what} " if what else ""
        raise Mismatch(f"{prefix}{expected!r}", f"{prefix}{got!r}")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker is and who we are there, from an ``amqp://`` URL."""

    host: str
    port: int
    user: str
    password: str
    vhost: str

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Return the address; an absent or empty path means the vhost ``/``. Raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme != "amqp" or not parts.hostname:
            raise ValueError(f"not an amqp://[user:password@]host[:port][/vhost] URL: {url}")
        vhost = unquote(parts.path[1:]) or "/"
        user, password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
        return cls(parts.hostname, parts.port or 5672, user, password, vhost)


class Method:
    """A method that came in, with its content where it carries one; fields are attributes."""

    def __init__(self, name: str, fields: dict[str, Any]) -> None:
        self.name = name
        self.fields = fields
        self.body = b""
        self.properties: dict[str, Any] = {}
        self.typed_headers: Typed = Typed("F", {})
        self.header_octets = b""
        self.body_frame_octets: list[int] = []

    def __getattr__(self, field: str) -> Any:
        try:
            return self.fields[field]
        except KeyError:
            raise AttributeError(f"{self.name} has no field {field}") from None

    def __repr__(self) -> str:
        shown = ", ".join(f"{key}={value!r}" for key, value in self.fields.items())
        body = f" body={self.body!r}" if self.body else ""
        return f"{self.name}({shown}){body}"

    @property
    def headers(self) -> FieldTable:
        """The headers property, empty when absent."""
        headers: FieldTable = self.properties.get("headers", {})
        return headers


class Connection:
    """One socket to a broker. Makes no handshake by itself: ``open`` does, or a case does it by hand."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.socket = socket.create_connection((address.host, address.port), timeout=DEADLINE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.start: Method | None = None
        self.tune: Method | None = None
        self.frame_max = 131072
        self.channels: dict[int, Channel] = {}
        self.zero = Channel(self, 0)
        self.channels[0] = self.zero
        self.closed_by: Method | None = None
        self.heartbeat_count = 0
        self._filler: Channel | None = None
        self._buffer = bytearray()

    # The handshake, step by step

    def open(
        self,
        *,
        channel_max: int | None = None,
        frame_max: int | None = None,
        heartbeat: int = 0,
        capabilities: FieldTable | None = None,
        password: str | None = None,
        vhost: str | None = None,
    ) -> "Connection":
        """Do the whole handshake; what is not given is taken from the broker's offer. Returns itself."""
        self.say_hello()
        self.send_start_ok(capabilities=capabilities, password=password)
        self.tune = self.zero.expect("connection.tune")
        self.frame_max = self.tune.frame_max if frame_max is None else frame_max
        chosen_max = self.tune.channel_max if channel_max is None else channel_max
        self.zero.send("connection.tune-ok", channel_max=chosen_max, frame_max=self.frame_max, heartbeat=heartbeat)
        self.zero.send("connection.open", virtual_host=self.address.vhost if vhost is None else vhost)
        self.zero.expect("connection.open-ok")
        return self

    def say_hello(self) -> Method:
        """Send the protocol header; return connection.start."""
        self.send(codec.PROTOCOL_HEADER)
        self.start = self.zero.expect("connection.start")
        return self.start

    def send_start_ok(
        self,
        *,
        mechanism: str = "PLAIN",
        response: str | bytes | None = None,
        capabilities: FieldTable | None = None,
        user: str | None = None,
        password: str | None = None,
        locale: str = "en_US",
    ) -> None:
        """Send connection.start-ok, by default with the right PLAIN response."""
        if response is None:
            name = self.address.user if user is None else user
            secret = self.address.password if password is None else password
            response = f"\0{name}\0{secret}"
        announced = CAPABILITIES if capabilities is None else capabilities
        properties = {"product": "Leveret conformance suite", "capabilities": announced}
        self.zero.send(
            "connection.start-ok",
            client_properties=properties,
            mechanism=mechanism,
            response=response,
            locale=locale,
        )

    # Octets out and in

    def send(self, octets: bytes) -> None:
        """Send raw octets. A socket that the broker has dropped is noticed on the next read."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(octets)

    def send_frame(self, kind: int, channel: int, payload: bytes, end: int = codec.FRAME_END) -> None:
        """Send one frame, right or wrong."""
        self.send(codec.frame(kind, channel, payload, end))

    def receive_octets(self, count: int, deadline: float) -> bytes:
        """Return exactly ``count`` octets. Raises Mismatch on a drop or when the deadline has passed."""
        while len(self._buffer) < count:
            self._fill(deadline)
        octets = bytes(self._buffer[:count])
        del self._buffer[:count]
        return octets

    def _fill(self, deadline: float) -> None:
        self.socket.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            octets = self.socket.recv(1 << 16)
        except TimeoutError:
            raise Silence from None
        except OSError as error:
            raise Dropped(f"{type(error).__name__}") from error
        if not octets:
            raise Dropped("end of stream")
        self._buffer += octets

    def read_frame(self, deadline: float) -> Frame:
        """Return the next frame, whatever it is."""
        while len(self._buffer) < 7:
            self._fill(deadline)
        kind = self._buffer[0]
        channel = int.from_bytes(self._buffer[1:3], "big")
        size = int.from_bytes(self._buffer[3:7], "big")
        octets = self.receive_octets(size + 8, deadline)
        check(octets[-1], codec.FRAME_END, "frame end octet")
        return Frame(kind, channel, octets[7:-1])

    def pump(self, deadline: float) -> None:
        """Read one frame and put it on its channel."""
        read = self.read_frame(deadline)
        if read.kind == codec.HEARTBEAT:
            self.heartbeat_count += 1
            return
        channel = self.channels.get(read.channel)
        if channel is None:
            raise Mismatch("frames on channels in use", f"frame of type {read.kind} on channel {read.channel}")
        channel.take_frame(read)

    # What a case asks for

    def channel(self, number: int | None = None) -> "Channel":
        """Open a channel; the lowest free number unless one is given."""
        chosen = number or next(n for n in range(1, 65536) if n not in self.channels)
        channel = self.unopened(chosen)
        channel.call("channel.open")
        return channel

    def filler(self) -> "Channel":
        """Return a confirming channel of this connection, made at first use, that no case uses otherwise."""
        if self._filler is None:
            self._filler = self.channel(60000)
            self._filler.call("confirm.select")
        return self._filler

    def unopened(self, number: int) -> "Channel":
        """Return a channel object without opening it at the broker."""
        channel = Channel(self, number)
        self.channels[number] = channel
        return channel

    def expect_close(self, code: int, text: str | None, class_id: int = 0, method_id: int = 0) -> Method:
        """The broker must close the connection so; answers close-ok and waits for the end of the stream."""
        close = self.zero.expect("connection.close")
        _check_close(close, code, text, class_id, method_id)
        self.zero.send("connection.close-ok")
        self.expect_dropped()
        return close

    def expect_dropped(self, within_s: float = DEADLINE_S) -> None:
        """The broker must drop the TCP connection without a further method."""
        deadline = time.monotonic() + within_s
        try:
            while True:
                read = self.read_frame(deadline)
                if read.kind != codec.HEARTBEAT and read.channel == 0:
                    name, fields = codec.decode_method(read.payload)
                    raise Mismatch("the TCP connection dropped, no method", Method(name, fields))
        except Dropped:
            return
        except Silence:
            raise Mismatch(f"the TCP connection dropped within {within_s} s", "still open") from None

    def close(self) -> None:
        """Close in the protocol's way."""
        self.zero.call("connection.close", reply_code=200, reply_text="bye")
        self.socket.close()

    def abandon(self) -> None:
        """Close the socket and nothing else."""
        self.socket.close()


class Dropped(Mismatch):
    """The broker dropped the TCP connection."""

    def __init__(self, how: str) -> None:
        super().__init__("an open connection", f"connection dropped by the broker ({how})")


class Silence(Mismatch):
    """Nothing came before the deadline."""

    def __init__(self) -> None:
        super().__init__("an answer", "silence")


class Channel:
    """One channel: sends methods, keeps what came in, in order."""

    def __init__(self, connection: Connection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.arrived: deque[Method] = deque()
        self._pending: Method | None = None
        self._missing_octets = 0

    def take_frame(self, read: Frame) -> None:
        """Sort in one frame of this channel; content must follow its method at once."""
        if read.kind == codec.METHOD:
            check(self._pending, None, "unfinished content before a method")
            method = Method(*codec.decode_method(read.payload))
            if method.name in _WITH_CONTENT:
                self._pending, self._missing_octets = method, -1
                return
            if method.name == "connection.close":
                self.connection.closed_by = method
            self.arrived.append(method)
            return
        if self._pending is None:
            raise Mismatch("a method frame", f"frame of type {read.kind} with no content due")
        if read.kind == codec.HEADER:
            check(self._missing_octets, -1, "second content header; octets missing")
            self._pending.header_octets = read.payload
            size, self._pending.properties, self._pending.typed_headers = codec.decode_header(read.payload)
            self._missing_octets = size
        else:
            self._pending.body += read.payload
            self._pending.body_frame_octets.append(len(read.payload))
            self._missing_octets -= len(read.payload)
        if self._missing_octets == 0:
            self.arrived.append(self._pending)
            self._pending = None

    def next(self, within_s: float = DEADLINE_S) -> Method:
        """Return the next method that came on this channel, with its content."""
        deadline = time.monotonic() + within_s
        while not self.arrived:
            if self.connection.closed_by is not None and self.number:
                raise Mismatch("an open connection", self.connection.closed_by)
            self.connection.pump(deadline)
        return self.arrived.popleft()

    def expect(self, *names: str, within_s: float = DEADLINE_S) -> Method:
        """Return the next method, which must be one of ``names``."""
        expected = " or ".join(names)
        try:
            method = self.next(within_s)
        except Mismatch as mismatch:
            raise Mismatch(expected, mismatch.got) from None
        if method.name not in names:
            raise Mismatch(expected, method)
        return method

    def send(self, name: str, /, **fields: Any) -> None:
        """Send a method and wait for nothing."""
        self.connection.send_frame(codec.METHOD, self.number, codec.encode_method(name, fields))

    def call(self, name: str, /, **fields: Any) -> Method:
        """Send a method and return its -ok."""
        self.send(name, **fields)
        return self.expect("basic.get-ok", "basic.get-empty") if name == "basic.get" else self.expect(f"{name}-ok")

    def refused(
        self, code: int, text: str | None, name: str, /, *, ids: tuple[int, int] | None = None, **fields: Any
    ) -> None:
        """The method must close this channel, and only it, with exactly this code, text and ids.

        The channel's number is opened again and used, which shows that the connection serves on.
        """
        self.send(name, **fields)
        shape = codec.SHAPES[name]
        self.expect_close(code, text, *(ids or (shape.class_id, shape.method_id)))

    def fatal(
        self, code: int, text: str | None, name: str, /, *, ids: tuple[int, int] | None = None, **fields: Any
    ) -> None:
        """The method must close the whole connection with exactly this code, text and ids."""
        self.send(name, **fields)
        shape = codec.SHAPES[name]
        self.connection.expect_close(code, text, *(ids or (shape.class_id, shape.method_id)))

    def expect_close(self, code: int, text: str | None, class_id: int, method_id: int) -> Method:
        """The broker must close this channel so; the number is then opened again. ``text`` None: any."""
        close = self.expect("channel.close")
        _check_close(close, code, text, class_id, method_id)
        self.send("channel.close-ok")
        self.call("channel.open")
        self.round_trip()
        return close

    def round_trip(self) -> None:
        """Come back when the broker has done all that was sent on this channel before."""
        check(self.call("channel.flow", active=True).active, True, "channel.flow-ok active")

    def expect_silence(self, *queues: str) -> None:
        """Nothing may have come after the broker and the named queues have caught up with this channel."""
        # One after the other: a delivery can be overtaken by the reply of the queue that sent it, but not
        # by what the channel is asked after that reply.
        for queue in queues:
            self.counts(queue)
        self.round_trip()

    # Topology

    def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes = b"",
        *,
        mandatory: bool = False,
        immediate: bool = False,
        **properties: Any,
    ) -> None:
        """Publish one message in as many body frames as frame_max asks for."""
        fields = {
            "exchange": exchange,
            "routing_key": routing_key,
            "mandatory": mandatory,
            "immediate": immediate,
        }
        octets = codec.frame(codec.METHOD, self.number, codec.encode_method("basic.publish", fields))
        octets += codec.frame(codec.HEADER, self.number, codec.encode_header(len(body), properties))
        step = self.connection.frame_max - 8
        for at in range(0, len(body), step):
            octets += codec.frame(codec.BODY, self.number, body[at : at + step])
        self.connection.send(octets)

    def fill(self, queue: str, *bodies: bytes, **properties: Any) -> None:
        """Publish to the queue on a confirming channel; come back when the queue has taken all in.

        A passive declare would not do for that: RabbitMQ's queues answer it before publishes that wait.
        """
        filler = self.connection.filler()
        for body in bodies:
            filler.publish("", queue, body, **properties)
            filler.expect("basic.ack", "basic.nack")

    def publish_refused(self, code: int, text: str | None, exchange: str, routing_key: str, **options: Any) -> None:
        """Publishing so must close this channel with this code and text, and ids 60.40."""
        self.publish(exchange, routing_key, **options)
        self.expect_close(code, text, 60, 40)

    def bind(self, queue: str, exchange: str, routing_key: str = "", arguments: FieldTable | None = None) -> None:
        """Bind a queue."""
        self.call("queue.bind", queue=queue, exchange=exchange, routing_key=routing_key, arguments=arguments or {})

    # Taking messages

    def get(self, queue: str, *, no_ack: bool = True) -> Method:
        """Return a message of the queue, which must have one."""
        self.send("basic.get", queue=queue, no_ack=no_ack)
        return self.expect("basic.get-ok")

    def get_empty(self, queue: str) -> None:
        """The queue must have no ready message."""
        self.send("basic.get", queue=queue, no_ack=True)
        self.expect("basic.get-empty")

    def bodies(self, queue: str) -> list[bytes]:
        """Take everything ready out of the queue."""
        taken: list[bytes] = []
        while (message := self.call("basic.get", queue=queue, no_ack=True)).name == "basic.get-ok":
            taken.append(message.body)
        return taken

    def consume(self, queue: str, **fields: Any) -> str:
        """Start a consumer; return its tag."""
        tag: str = self.call("basic.consume", queue=queue, **fields).consumer_tag
        return tag

    def deliver(self) -> Method:
        """Return the next delivery."""
        return self.expect("basic.deliver")

    def deliveries(self, count: int) -> list[bytes]:
        """Return the bodies of the next ``count`` deliveries."""
        return [self.deliver().body for _ in range(count)]

    def ack(self, delivery_tag: int, *, multiple: bool = False) -> None:
        """Acknowledge."""
        self.send("basic.ack", delivery_tag=delivery_tag, multiple=multiple)

    def nack(self, delivery_tag: int, *, multiple: bool = False, requeue: bool = True) -> None:
        """Negatively acknowledge."""
        self.send("basic.nack", delivery_tag=delivery_tag, multiple=multiple, requeue=requeue)

    def reject(self, delivery_tag: int, *, requeue: bool) -> None:
        """Reject."""
        self.send("basic.reject", delivery_tag=delivery_tag, requeue=requeue)

    # Counts

    def counts(self, queue: str) -> tuple[int, int]:
        """Return the queue's ready messages and consumers, by passive declare."""
        declared = self.call("queue.declare", queue=queue, passive=True)
        return declared.message_count, declared.consumer_count

    def ready_count(self, queue: str) -> int:
        """Return the queue's ready messages."""
        return self.counts(queue)[0]

    def wait_ready(self, queue: str, count: int) -> None:
        """Wait until the queue has ``count`` ready messages."""
        self.wait_until(lambda: self.ready_count(queue), count, f"ready messages in {queue}")

    def wait_consumers(self, queue: str, count: int) -> None:
        """Wait until the queue has ``count`` consumers."""
        self.wait_until(lambda: self.counts(queue)[1], count, f"consumers of {queue}")

    def wait_counts(self, queue: str, ready_count: int, consumer_count: int) -> None:
        """Wait until the queue has so many ready messages and consumers."""
        wanted = (ready_count, consumer_count)
        self.wait_until(lambda: self.counts(queue), wanted, f"ready messages and consumers of {queue}")

    def wait_until(self, look: Callable[[], object], wanted: object, what: str) -> None:
        """Look again and again until ``look`` returns ``wanted``."""
        deadline = time.monotonic() + DEADLINE_S
        while (seen := look()) != wanted:
            if time.monotonic() > deadline:
                raise Mismatch(f"{what} {wanted!r}", f"{what} {seen!r}")
            time.sleep(0.005)

    # Confirms

    def wait_confirms(self, last: int) -> dict[int, str]:
        """Return what each publish up to sequence number ``last`` got: ``ack`` or ``nack``."""
        settled: dict[int, str] = {}
        while len(settled) < last:
            method = self.expect("basic.ack", "basic.nack")
            word = method.name.split(".")[1]
            first = 1 if method.multiple else method.delivery_tag
            for tag in range(first, method.delivery_tag + 1):
                if tag in settled and not method.multiple:
                    raise Mismatch("one confirm for each publish", f"a second one for {tag}")
                settled.setdefault(tag, word)
        return settled


def _check_close(close: Method, code: int, text: str | None, class_id: int, method_id: int) -> None:
    shown = f"{close.reply_code} {close.reply_text!r} {close.class_id}.{close.method_id}"
    wanted_text = close.reply_text if text is None else text
    wanted = f"{code} {wanted_text!r} {class_id}.{method_id}"
    if shown != wanted:
        raise Mismatch(f"{close.name} {wanted}", f"{close.name} {shown}")
