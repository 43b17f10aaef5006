"""An AMQP client by octets: one connection with one channel, which a party (parties.py) makes use of.

It answers what must be answered, hands replies to who asked, in order, and checks that the broker says nothing that it
may not say.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pamqp import commands
from pamqp.base import Frame

from protocol.constants import PROTOCOL_HEADER
from protocol.methods import build, decode_method, encode_method
from tests.simulation.network import Link
from tests.simulation.turns import Happening

if TYPE_CHECKING:
    from tests.simulation.world import World

HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"
CLOSING_BY_BROKER = frozenset({320, 541})
"""connection.close with these is allowed: the broker stops, or its disk has failed."""

Reply = Callable[[Frame], None]


class Client:
    """``is_ready``: the channel is open. Subclasses say what is done then, and what a next move is."""

    kind = "client"

    def __init__(self, world: "World", number: int) -> None:
        self.world = world
        self.number = number
        self.link: Link | None = None
        self.is_ready = False
        self.is_closing = False
        self.heartbeat_s = 0
        self.frame_max = 131072
        self.next_heartbeat_us = 0
        self._octets = bytearray()
        self._waiting: deque[Reply] = deque()
        self._content: tuple[Frame, bytes, bytearray, int] | None = None

    @property
    def name(self) -> str:
        return f"{self.kind} {self.number}"

    # What may happen

    def possible(self) -> Sequence[Happening]:
        link = self.link
        if link is None or link.end:
            return ()
        found: list[Happening] = []
        if link.to_client or link.is_over:
            found.append(self.read)
        if self.heartbeat_s and self.world.turns.now_us >= self.next_heartbeat_us and not link.server_is_gone:
            found.append(self._beat)
        return found

    def due_us(self) -> int | None:
        link = self.link
        if not self.heartbeat_s or link is None or link.end or link.server_is_gone:
            return None
        return max(self.next_heartbeat_us, self.world.turns.now_us)

    def _beat(self) -> None:
        self.next_heartbeat_us = self.world.turns.now_us + self.heartbeat_s * 500_000
        self.feed(HEARTBEAT)

    # The connection's life

    def connect(self) -> None:
        """Begin the handshake on a new link."""
        assert self.link is None
        chance = self.world.turns.chance
        self.heartbeat_s = chance.choice(self.world.shape.heartbeats_s)
        self.frame_max = chance.choice((131072, 4096))
        self.next_heartbeat_us = self.world.turns.now_us
        self.is_ready = self.is_closing = False
        self._octets.clear()
        self._waiting.clear()
        self._content = None
        self.link = self.world.connect(self.name)
        self.feed(PROTOCOL_HEADER)

    def close(self) -> None:
        """End the connection in order."""
        if self.link is not None and self.is_ready and not self.is_closing:
            self.is_closing = True
            self.is_ready = False
            self.feed(encode_method(0, commands.Connection.Close(200, "bye", 0, 0)))

    def cut(self, how: str) -> None:
        """End it some other way: "reset" or "silent"."""
        link = self.link
        if link is not None:
            (link.reset if how == "reset" else link.fall_silent)()
            self._gone()

    def _gone(self) -> None:
        self.link = None
        self.is_ready = self.is_closing = False
        self.lost()

    # Sending

    def feed(self, octets: bytes) -> None:
        assert self.link is not None
        self.link.to_server += octets

    def send(self, method: type[Frame], **fields: Any) -> None:
        self.feed(encode_method(1, build(method, **fields)))

    def ask(self, then: Reply, method: type[Frame], **fields: Any) -> None:
        """Send what is answered; ``then(answer)`` when it is."""
        self._waiting.append(then)
        self.send(method, **fields)

    @property
    def is_waiting(self) -> bool:
        """Whether answers are outstanding."""
        return bool(self._waiting)

    # Receiving

    def read(self) -> None:
        """Take what has come."""
        link = self.link
        assert link is not None
        octets = self._octets
        octets += link.to_client
        link.to_client.clear()
        at = 0
        while len(octets) >= at + 8:
            size = int.from_bytes(octets[at + 3 : at + 7])
            if len(octets) < at + 8 + size:
                break
            kind, channel, payload = octets[at], octets[at + 2], bytes(octets[at + 7 : at + 7 + size])
            assert octets[at + 7 + size] == 0xCE
            assert size + 8 <= self.frame_max
            at += 8 + size
            self._frame(kind, channel, payload)
            if self.link is not link:
                return
        del octets[:at]
        if link.is_over:
            self.world.turns.note(f"{self.name} sees the end")
            link.end = link.end or "closed"
            self._gone()

    def _frame(self, kind: int, channel: int, payload: bytes) -> None:
        if kind == 1:
            assert self._content is None, "a method inside a content"
            method = decode_method(payload, from_server=True)
            if channel == 0:
                self._connection_method(method)
            elif isinstance(method, commands.Basic.Deliver | commands.Basic.GetOk | commands.Basic.Return):
                self._content = (method, b"", bytearray(), -1)
            else:
                self._channel_method(method)
        elif kind == 2:
            assert self._content is not None
            method, _, body, _ = self._content
            self._content = (method, payload, body, int.from_bytes(payload[4:12]))
            self._finish_content()
        elif kind == 3:
            assert self._content is not None
            self._content[2].extend(payload)
            self._finish_content()
        else:
            assert (kind, payload) == (8, b"")

    def _finish_content(self) -> None:
        assert self._content is not None
        method, header, body, size = self._content
        assert len(body) <= size
        if len(body) < size:
            return
        self._content = None
        if isinstance(method, commands.Basic.Deliver):
            self.delivered(method, header, bytes(body))
        elif isinstance(method, commands.Basic.Return):
            self.returned(method, bytes(body))
        else:
            self.got(method, header, bytes(body))

    def _connection_method(self, method: Frame) -> None:
        if isinstance(method, commands.Connection.Start):
            fields: dict[str, Any] = {
                "client_properties": {"capabilities": {"consumer_cancel_notify": True, "connection.blocked": True}},
                "mechanism": "PLAIN",
                "response": "\0guest\0guest",
                "locale": "en_US",
            }
            self.feed(encode_method(0, build(commands.Connection.StartOk, **fields)))
        elif isinstance(method, commands.Connection.Tune):
            tune = commands.Connection.TuneOk(2047, self.frame_max, self.heartbeat_s)
            self.feed(encode_method(0, tune) + encode_method(0, commands.Connection.Open(virtual_host="/")))
        elif isinstance(method, commands.Connection.OpenOk):
            self.feed(encode_method(1, commands.Channel.Open()))
        elif isinstance(method, commands.Connection.Close):
            assert method.reply_code in CLOSING_BY_BROKER, f"{self.name}: {method.reply_code} {method.reply_text}"
            assert method.reply_code != 541 or self.world.has_disk_failed, method.reply_text
            self.feed(encode_method(0, commands.Connection.CloseOk()))
            self.is_ready = False
            self.is_closing = True
        elif isinstance(method, commands.Connection.CloseOk):
            assert self.is_closing
            assert self.link is not None
            self.link.close()
            self.world.turns.note(f"{self.name} closed")
            self._gone()
        else:
            assert isinstance(method, commands.Connection.Blocked | commands.Connection.Unblocked), method

    def _channel_method(self, method: Frame) -> None:
        if isinstance(method, commands.Channel.OpenOk):
            self.is_ready = True
            self.opened()
        elif isinstance(method, commands.Channel.Close):
            self.send(commands.Channel.CloseOk)
            self.is_ready = False
            self._waiting.clear()
            self.refused(method)
            self.feed(encode_method(1, commands.Channel.Open()))
        elif isinstance(method, commands.Basic.Ack):
            self.confirmed(method.delivery_tag or 0, method.multiple, True)
        elif isinstance(method, commands.Basic.Nack):
            self.confirmed(method.delivery_tag or 0, method.multiple, False)
        elif isinstance(method, commands.Basic.Cancel):
            self.cancelled(method)
        else:
            assert self._waiting, f"{self.name}: nobody has asked for {method.name}"
            self._waiting.popleft()(method)

    def got(self, method: Frame, header: bytes, body: bytes) -> None:
        """The answer to basic.get, with its content; ``_got`` is set by who asks for one."""
        self._waiting.popleft()
        self.got_message(method, header, body)

    # For parties

    def opened(self) -> None:
        """The channel is open."""

    def lost(self) -> None:
        """The connection has gone, whoever ended it."""

    def refused(self, method: commands.Channel.Close) -> None:
        """The broker has closed the channel; it is being opened again."""
        raise AssertionError(f"{self.name}: {method.reply_code} {method.reply_text}")

    def delivered(self, method: commands.Basic.Deliver, header: bytes, body: bytes) -> None:
        """A message has come to a consumer."""
        raise AssertionError(f"{self.name} consumes nothing")

    def got_message(self, method: Frame, header: bytes, body: bytes) -> None:
        """A message has come that was asked for."""
        raise AssertionError(f"{self.name} gets nothing")

    def returned(self, method: commands.Basic.Return, body: bytes) -> None:
        """A mandatory message has come back."""
        raise AssertionError(f"{self.name} publishes nothing mandatory")

    def confirmed(self, tag: int, multiple: bool, is_ack: bool) -> None:
        """The broker has answered publishes."""
        raise AssertionError(f"{self.name} has not asked for confirms")

    def cancelled(self, method: commands.Basic.Cancel) -> None:
        """The queue of a consumer has gone."""
        raise AssertionError(f"{self.name} was cancelled")

    def may_act(self) -> bool:
        """Whether a next move makes sense now."""
        return self.is_ready

    def act(self) -> None:
        """Make a move."""

    @property
    def is_quiet(self) -> bool:
        """Whether all that was asked for has been answered."""
        return not self._waiting
