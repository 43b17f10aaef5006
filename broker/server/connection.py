"""A client's connection: octets from the socket to channels, and everything for it back in one write a read.

The one place where errors become connection.close and channel.close. Queues, exchanges and the log are reached by
way of channels and handlers only. Spec: AMQP 0-9-1, 2.2.4, 4.2 and the connection class.
"""

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Final

import structlog
from pamqp import commands
from pamqp.base import Frame

from broker.core.access.access import Access
from broker.core.later import NotYet, Wait
from broker.core.vhosts import VirtualHost
from broker.server import logs
from broker.server.broker import Broker
from broker.server.channel import Channel
from broker.server.handlers.secret import update_secret
from broker.server.handlers.table import METHOD_HANDLERS
from broker.server.heartbeat import Heartbeat
from broker.server.limits import (
    LARGE_OCTETS,
    METHODS_A_TURN,
    OUT_LIMIT_OCTETS,
    REFUSED_CLOSE_MS,
    REFUSED_LINGER_MS,
    SMALL_FRAME_OCTETS,
    UNREAD_LIMIT_OCTETS,
    WRITE_HIGH_OCTETS,
    Pause,
)
from broker.server.login import KeysWanted, Login, is_loopback
from broker.server.peer import Peer
from broker.server.returning import ReturningClient, frame_of
from broker.server.tls import PeerTls, peer_tls
from broker.server.unexpected import ids_of_event, not_open
from protocol.acks import Ack
from protocol.constants import PROTOCOL_HEADER_OCTETS
from protocol.errors import (
    ChannelException,
    ChannelFault,
    CommandInvalid,
    ConnectionDropped,
    ConnectionException,
    ConnectionForced,
    InternalFault,
    LoginRefused,
    NotAllowed,
    with_ids,
    without_octets,
)
from protocol.frames import Event, FrameReader, OversizeContent
from protocol.handshake import Handshake, Negotiated
from protocol.methods import AccessRequest, AccessRequestOk, encode_empty, encode_method
from protocol.repeated import MethodFrame
from protocol.runs import GroupedRun, PublishRun

log = structlog.get_logger("leveret.connection")

CLOSE_OK: Final = encode_method(0, commands.Connection.CloseOk())


class Connection(Peer):
    """One client."""

    __slots__ = (
        *("_again", "_handshake", "_header", "_held", "_is_closing", "_is_unread", "_methods_left"),
        *("_reader", "_returning", "_said", "access", "channel_max", "frame_max", "has_published", "is_open", "login"),
        *("negotiated", "reason", "tls", "user", "vhost"),
    )

    def __init__(self, broker: Broker) -> None:
        Peer.__init__(self, broker)  # super() is slow, and connections are many.
        settings = broker.settings
        self.frame_max = settings.frame_max
        self.channel_max = settings.channel_max
        self.user = ""
        self.vhost: VirtualHost
        self.access: Access
        self.tls: PeerTls | None = None
        self.reason = ""
        self.is_open = False
        self.login: Login
        self._held: list[Event] | None = None
        """What waits for the key of a token, or until the client has read its replies; None while nothing does."""
        self._again: Iterable[Event] = ()
        self._is_closing = self._is_unread = False
        self.has_published = False
        self._header = b""
        self._returning: ReturningClient | None = None
        """What the client is, until it says what no client has said before; then there is a handshake."""
        self._handshake: Handshake | None = None
        self._said: list[bytes] = []
        self._reader = FrameReader(settings.frame_max, broker.max_message_octets)
        self._reader.on_forget = partial(forget_routes, self.channels)
        self.negotiated: Negotiated | None = None

    # The transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the protocol header, for as long as the handshake may take."""
        self._transport = transport  # type: ignore[assignment]
        self._transport.set_write_buffer_limits(WRITE_HIGH_OCTETS)
        opened = transport.get_extra_info("socket")
        if opened is not None and not self.broker.descriptors.has_room_for(opened.fileno()):
            self._transport.abort()
            return
        broker = self.broker
        peer = transport.get_extra_info("peername")
        if peer:
            self.peer = f"{peer[0]}:{peer[1]}"
            self.login = Login(broker.admission, peer[0], is_local=is_loopback(peer[0]))
        else:
            self.peer = "local socket"
            self.login = Login(broker.admission, "", is_local=True)
        broker.connections.add(self)
        encrypted = transport.get_extra_info("ssl_object")
        if encrypted is not None:
            self.tls = peer_tls(encrypted, broker.settings.tls_login)
        if self.tls is not None and broker.settings.tls_clients != "ignore":
            self._handshake = broker.new_handshake(self.login, self.tls.login)
        else:
            self._returning = ReturningClient(broker.returning, self.login)
        self._deadlines = broker.handshakes
        broker.handshakes.set(self)

    def data_received(self, data: bytes, more: Sequence[bytes] = ()) -> None:
        """Handle what was read, and ``more`` reads after it, then let the broker finish: drain, confirm, write."""
        if self._handle_read(data, more):
            self.broker.finish_read()
            self.pause_if_due()

    def handle_gathered(self, data: bytes) -> None:
        """Handle what was read; the broker finishes when it has handled what others have sent, too."""
        self._handle_read(data)
        backpressure = self.broker.backpressure
        if backpressure.pressed is not None:
            backpressure.pause(self)  # Now, while it is known who published to a queue that is behind.

    def _handle_read(self, data: bytes, more: Sequence[bytes] = ()) -> bool:
        """Handle what was read; return whether there may be anything to finish."""
        broker = self.broker
        octets = len(data) + sum(map(len, more)) if more else len(data)
        self.received_octets += octets
        self.received_count += 1 + len(more)
        if self._heartbeat is not None:
            self._heartbeat.has_received = True
        broker.residency.arrived_octets += octets
        broker.backpressure.pressed = None
        try:
            if self._returning is not None:
                if self._answer_as_before(self._returning, data):
                    return False
                self._begin_handshake(self._returning)
            if self._handshake is not None and len(self._header) < PROTOCOL_HEADER_OCTETS:
                data = self._receive_header(data)
            again, self._again = self._again, ()
            events = self._reader.feed(data, more)
            if again:
                events = chain(again, events)
            self._methods_left = METHODS_A_TURN
            for event in events:
                self._handle(event)
                if self._methods_left <= 0:
                    self._give_way(events)
                    break
        except ConnectionException as error:
            self.close(error)
        except ConnectionDropped as dropped:
            self._drop(dropped.detail)
        except Exception:
            log.exception("internal error", peer=self.peer, user=self.user)
            self.close(InternalFault())
        return True

    def pause_if_due(self) -> None:
        """Read no more for now where there is no room for what the client sends, or is sent."""
        broker = self.broker
        if broker.alarms.raised and (self.has_published or self._reader.has_unfinished):
            broker.alarms.block(self)
        if self.has_published and broker.backpressure.must_pause():
            broker.backpressure.pause(self)
        if not self.is_writable and self._transport.get_write_buffer_size() > UNREAD_LIMIT_OCTETS:
            self._is_unread = True
            self.pause_reading("unread replies")

    def pause_writing(self) -> None:
        """The client reads more slowly than it is sent to: no more deliveries."""
        self.is_writable = False
        for channel in self.channels.values():
            channel.can_deliver = False

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.is_writable = True
        for channel in self.channels.values():
            channel.update_can_deliver()
        if self._is_unread:
            self._is_unread = False
            if self._held is not None:
                self.broker.loop.call_soon(self._take_held)
            else:
                self.resume_reading("unread replies")
        self.broker.schedule_finish()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give everything back that the client held."""
        if not self.peer:
            return  # It was refused as it came.
        self.broker.forget(self)
        if self.is_open:
            self._leave()
            self.broker.schedule_finish()
        self._is_closing = True
        if self._heartbeat is not None:
            self.stop_heartbeat()
        self._lift_deadline()
        self.login.cancel()
        self.out.clear()
        if self.user:  # It has been open.
            reason = self.reason or (str(exc) if exc else "client closed the socket without connection.close")
            logs.note(log, "connection closed", peer=self.peer, user=self.user, vhost=self.vhost.name, reason=reason)
        else:
            log.debug("connection ended in handshake", peer=self.peer, reason=self.reason)

    # Reading

    def _receive_header(self, data: bytes) -> bytes:
        """Take the protocol header off the front of the first read. Spec: 4.2.2."""
        missing = PROTOCOL_HEADER_OCTETS - len(self._header)
        self._header += data[:missing]
        if len(self._header) == PROTOCOL_HEADER_OCTETS:
            assert self._handshake is not None
            self.send(self._handshake.receive_header(self._header))
            if self._handshake.is_closed:
                self.reason = f"not the protocol header of AMQP 0-9-1: {self._header!r}"
                log.warning("connection refused", peer=self.peer, reason=self.reason)
            self._close_after_handshake(self._handshake)
        return data[missing:]

    def _handle(self, event: Event) -> None:
        """Pass an event to its channel. A channel's error closes it, all others go up to data_received."""
        if self._is_closing:
            self._handle_closing(event)
            return
        if self._held is not None:
            self._held.append(event)
            return
        channel = self.channels.get(event.channel)
        if channel is None or channel.is_closing or type(event) is MethodFrame:
            if type(event) is not MethodFrame:
                if channel is None:
                    raise not_open(event)
                return  # Content and acks for a channel that is closing.
            self._handle_method(event, channel)
            return
        try:
            if type(event) is PublishRun:
                self.has_published = True
                if len(event.pieces[0]) > LARGE_OCTETS:
                    self.broker.compat.permits("messages_above_16_mib")
                channel.publish(event)
            elif type(event) is Ack:
                channel.ack(event)
            elif type(event) is GroupedRun:
                self.has_published = True
                channel.publish_grouped(event)
            else:
                assert type(event) is OversizeContent
                channel.refuse_oversize(event)
        except ChannelException as error:
            class_id, method_id = ids_of_event(event)
            self._fail_channel(channel, error, class_id, method_id)
        except ConnectionException as error:
            raise with_ids(error, *ids_of_event(event)) from None

    def _handle_method(self, event: MethodFrame, channel: Channel | None) -> None:
        if self._handshake is not None:
            try:
                self._continue_handshake(event)
            except KeysWanted:
                self._hold(event, "signing keys", self.broker.admission.fetch_keys)
            return
        self._methods_left -= 1
        payload = event.payload
        class_id, method_id = int.from_bytes(payload[:2]), int.from_bytes(payload[2:4])
        if channel is not None and channel.is_closing and class_id != 20:
            return
        method = event.decoded()
        try:
            if event.channel == 0:
                self._handle_connection_method(method)
            elif class_id == 10:
                raise CommandInvalid("unimplemented method")
            elif class_id == 20:
                self._handle_channel_method(event.channel, method, channel)
            elif channel is None:
                raise ChannelFault("expected 'channel.open'")
            elif type(method) is AccessRequest:
                channel.reply(AccessRequestOk())
            elif (handler := METHOD_HANDLERS.get(type(method))) is None:
                raise CommandInvalid("unimplemented method")
            else:
                handler(channel, method)
        except KeysWanted:
            self._hold(event, "signing keys", self.broker.admission.fetch_keys)
        except NotYet as later:
            self._hold(event, "held request", later.in_another_turn(self.broker.loop.call_soon))
        except ChannelException as error:
            assert channel is not None
            self._fail_channel(channel, error, class_id, method_id)
        except ConnectionException as error:
            raise with_ids(error, class_id, method_id) from None

    def _handle_connection_method(self, method: Frame) -> None:
        if isinstance(method, commands.Connection.Close):
            self.reason = f"client closed it: {method.reply_code} {method.reply_text}"
            must_wait = False
            for channel in self.channels.values():
                must_wait = must_wait or channel.is_holding
            self._leave()
            if must_wait:
                self.broker.store.promise(self._close_ok)
            else:
                self._close_ok(0)
        elif isinstance(method, commands.Connection.UpdateSecret):
            update_secret(self, method)
        else:
            raise ChannelFault("unexpected method in connection state running")

    def _close_ok(self, ticket: int) -> None:
        """Answer the client's connection.close, and leave it to the client to close the socket.

        A socket closed here, with anything of the client's still on the way (a heartbeat, a second close), would be
        reset, and what the client has not read yet, the answer first of all, be lost. RabbitMQ waits for it too.
        """
        if self._transport.is_closing():
            return
        self.send(CLOSE_OK)
        if self._heartbeat is not None:
            self.stop_heartbeat()
        if self._pauses:
            self.resume_reading(*self._pauses)
        self._await_end()

    def _handle_channel_method(self, number: int, method: Frame, channel: Channel | None) -> None:
        if isinstance(method, commands.Channel.Open):
            if channel is not None:
                raise ChannelFault("second 'channel.open' seen")
            self._open_channel(number)
        elif channel is None:
            raise ChannelFault("expected 'channel.open'")
        elif isinstance(method, commands.Channel.Close):
            if not channel.is_closing:
                channel.close()
                del self.channels[number]
            self._reader.forget_channel(number)
            channel.send(encode_empty(number, commands.Channel.CloseOk))
        elif isinstance(method, commands.Channel.CloseOk):
            if not channel.is_closing:
                raise CommandInvalid("unimplemented method")
            del self.channels[number]
        elif channel.is_closing:
            return
        elif isinstance(method, commands.Channel.Flow):
            channel.set_flow(bool(method.active))
        else:
            raise CommandInvalid("unimplemented method")

    def _open_channel(self, number: int) -> None:
        count, limit = len(self.channels), self.channel_max
        if limit and count >= limit:
            text = f"number of channels opened ({count}) has reached the negotiated channel_max ({limit})"
            self.close(NotAllowed(text))  # Not raised: RabbitMQ names no method here.
            return
        try:
            self.broker.admission.check_channel(self.user)
        except NotAllowed as error:
            self.close(error)
            return
        channel = self.broker.new_channel(self, number)
        self.channels[number] = channel
        self.broker.counters.channels_opened += 1
        self.send(encode_empty(number, commands.Channel.OpenOk))

    # Handshake

    def _answer_as_before(self, client: ReturningClient, data: bytes) -> bool:
        """Answer a client that says what others have said before; False where it says something else."""
        answer = client.answer(data)
        if answer is None:
            return False
        if client.result is not None:
            self._returning = None
            self._opened(*client.result)
        if answer:
            self.write_now(answer)
        return True

    def _begin_handshake(self, client: ReturningClient) -> None:
        """Go through the rest of the handshake as with any client."""
        self._returning = None
        self._handshake = handshake = self.broker.new_handshake(self.login)
        self._header, self._said = client.go_on_with(handshake)

    def _continue_handshake(self, event: MethodFrame) -> None:
        """Answer the client's next step; after connection.open the connection is open. Spec: 2.2.4."""
        handshake = self._handshake
        assert handshake is not None
        self.send(handshake.receive(event.channel, event.payload))
        self._said.append(frame_of(event.payload))
        self._close_after_handshake(handshake)
        result = handshake.result
        if result is None:
            return
        self._handshake = None
        access = self.login.access(result.vhost)
        self.broker.returning.learn(self._said, self.login, result, access)
        self._said = []
        self._opened(result, access)

    def _opened(self, result: Negotiated, access: Access) -> None:
        self._lift_deadline()
        self.user = result.user
        self.vhost = self.broker.vhosts[result.vhost]
        self.access = access
        self.frame_max = self._reader.frame_max = result.frame_max
        if result.frame_max < SMALL_FRAME_OCTETS:
            self.broker.compat.permits("frames_below_8192_octets")
        self.channel_max = result.channel_max
        self.is_open = True
        self.negotiated = result
        self.broker.counters.connections_opened += 1
        self.broker.admission.entered(self)
        if self.login.grant is not None:
            self.login.watch(self.broker.clock, self.credential_expired)
        if result.heartbeat_s:
            self._heartbeat = Heartbeat(self.broker.clock, result.heartbeat_s, self._send_heartbeat, self._drop)
        client = result.client_properties
        logs.note(log, "connection opened", peer=self.peer, user=self.user, vhost=result.vhost, client=client)

    def credential_expired(self) -> None:
        """Close it: what it was let in by is good no more. RabbitMQ: OAuth 2.0, "Token Expiration"."""
        self.close(ConnectionForced("credential expired"))

    def _hold(self, event: Event, why: Pause, wait: Wait) -> None:
        """Take ``event`` and all that follows it only when what it needs is there."""
        self._held = [event]
        self.pause_reading(why)
        wait(self._take_held)

    def wait_for_client(self) -> None:
        """After a reply that may be large: do nothing more for a client that does not read what it has asked for."""
        if self._out_octets > OUT_LIMIT_OCTETS:
            self.flush()
        if self._held is None and not self.is_writable and self.unwritten_octets > UNREAD_LIMIT_OCTETS:
            self._held = []
            self._is_unread = True
            self.pause_reading("unread replies")

    def has_room_for_replies(self) -> bool:
        """Whether a client that reads too slowly is still sent replies to its requests."""
        return self.is_writable or self.unwritten_octets <= UNREAD_LIMIT_OCTETS

    def _take_held(self) -> None:
        if self._held is not None:
            self._again, self._held = chain(self._held, self._again), None
            self._go_on("signing keys", "unread replies", "held request")

    def _give_way(self, events: Iterable[Event]) -> None:
        """Do what is left of a read, ``events``, when other clients have had their turn."""
        self._again = events
        self.pause_reading("other clients")
        self.broker.loop.call_soon(partial(self._go_on, "other clients"))

    def _go_on(self, *reasons: Pause) -> None:
        if not self._transport.is_closing():
            self.resume_reading(*reasons)
            self.data_received(b"")

    def _close_after_handshake(self, handshake: Handshake) -> None:
        """Hang up where the handshake has ended without a connection: another protocol, or a client's close."""
        if handshake.is_closed:
            self.reason = self.reason or "handshake ended without a connection"
            self._is_closing = True
            self.flush()
            self._transport.close()

    def has_capability(self, name: str) -> bool:
        """Say whether the client announced ``name`` in its capabilities."""
        return self.negotiated is not None and name in self.negotiated.capabilities

    # Errors and ends

    def fail_channel(self, channel: Channel, error: ChannelException) -> None:
        """Close ``channel`` for ``error``, which no method of the client's brought about."""
        self._fail_channel(channel, error, 0, 0)

    def _fail_channel(self, channel: Channel, error: ChannelException, class_id: int, method_id: int) -> None:
        """Close ``channel`` for ``error``; its number is free again once the client has answered."""
        channel.close()
        self._reader.forget_channel(channel.number)
        log.info("channel error", peer=self.peer, user=self.user, channel=channel.number, text=error.reply_text)
        error = with_ids(error, class_id, method_id)
        channel.reply(commands.Channel.Close(error.reply_code, error.reply_text, error.class_id, error.method_id))

    def close(self, error: ConnectionException) -> None:
        """Tell the client ``error`` by connection.close; the socket goes when it has answered, or soon."""
        if self._is_closing:
            return
        if self._returning is not None:
            self._begin_handshake(self._returning)
        handshake = self._handshake
        is_refusal = isinstance(error, LoginRefused)
        if handshake is not None and not (handshake.is_authenticated or is_refusal):
            self._drop(without_octets(error.reply_text))
            return
        self.reason = without_octets(error.reply_text)
        user = self.user or (handshake.user if handshake is not None else "")
        note = log.info if isinstance(error, ConnectionForced) else log.warning
        details = {"why": self.login.why_refused} if is_refusal else {}
        note("connection error", peer=self.peer, user=user, text=self.reason, **details)
        self._leave()
        self.broker.schedule_finish()
        self.resume_reading(*self._pauses)
        self._reader = FrameReader(self.frame_max, self.broker.max_message_octets)
        if is_refusal:
            self._set_deadline(REFUSED_CLOSE_MS, lambda: self._send_close(error))
        else:
            self._send_close(error)

    def _send_close(self, error: ConnectionException) -> None:
        close = commands.Connection.Close(error.reply_code, error.reply_text, error.class_id, error.method_id)
        self.send(encode_method(0, close))
        self.flush()
        self._await_end()

    def _handle_closing(self, event: Event) -> None:
        """After connection.close only its answer, or a close that crossed it, counts."""
        if event.channel != 0 or type(event) is not MethodFrame:
            return
        method = event.decoded()
        if isinstance(method, commands.Connection.CloseOk):
            self._transport.close()
        elif isinstance(method, commands.Connection.Close):
            self.send(CLOSE_OK)

    def _drop(self, reason: str) -> None:
        """End the connection without connection.close."""
        self.reason = self.reason or reason
        log.warning("connection dropped", peer=self.peer, user=self.user, reason=reason)
        self.flush()
        self._leave()
        self.broker.schedule_finish()
        if self._returning is not None:
            self._begin_handshake(self._returning)
        if self._handshake is not None and self._header:
            self._set_deadline(REFUSED_LINGER_MS)
        else:
            self._transport.close()

    def has_taken_too_long(self) -> None:
        """The handshake has."""
        self._drop("handshake timeout")

    def _leave(self) -> None:
        """Close all channels and delete the exclusive queues: nothing that comes counts any more."""
        self._is_closing = True
        if not self.is_open:
            return
        self.is_open = False
        self.broker.counters.connection_gone(self)
        self.broker.admission.left(self)
        for channel in self.channels.values():
            if not channel.is_closing:
                channel.close()
        self.channels.clear()
        self.vhost.delete_exclusive(self)


def forget_routes(channels: dict[int, Channel]) -> None:
    """Forget the ways of publish methods that will not come again."""
    for channel in channels.values():
        channel.routes.clear()
