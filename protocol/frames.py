"""Octets to events: runs of publishes, runs of acknowledgements, single methods.

A publisher repeats itself: the method frame, and often the content header, are the same from one message to
the next. So a shape is decoded once and recognised by its octets from then on, and whole runs of messages are
cut at once. What is not recognised is walked frame by frame. Octets come from the connection; the events go
back to it. This file knows nothing of open or closed channels, and no method but publish and ack.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from struct import Struct
from struct import error as StructError
from typing import Final

from protocol.acks import ACK_HEAD, ACK_OCTETS, Ack, AckCutter
from protocol.alike import AlikeCutter
from protocol.constants import (
    FRAME_BODY,
    FRAME_END,
    FRAME_END_OCTET,
    FRAME_HEADER,
    FRAME_HEADER_OCTETS,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
)
from protocol.content import (
    FRAME_HEAD,
    HEADER_START,
    ContentFacts,
    PublishMethod,
    Shape,
    common_facts,
    decode_publish,
    header_facts,
    skim,
)
from protocol.errors import FrameError, UnexpectedFrame, bad_frame_end, frame_excerpt
from protocol.grid import cut_rests, rests_of
from protocol.keyed import Keyed, KeyedCutter
from protocol.layouts import Layouts
from protocol.repeated import REPEATED_OCTETS, MethodFrame, find_frame, remember
from protocol.runs import GroupedRun, KeyRoom, PublishRun

PUBLISH_IDS: Final = b"\x00\x3c\x00\x28"
_HEADER_IDS: Final = b"\x00\x3c\x00\x00"
_HEADER_END_AND_BODY_HEAD: Final = Struct(">BBHI")
CACHED_PUBLISHES: Final = 1024
PREFIX_OCTETS_MAX: Final = 4096
"""A longer one is not remembered: to walk it costs little beside what follows it, and 1024 of them would be many."""
CACHED_CUTTERS: Final = 16
REST_OCTETS: Final = 4096
"""So much of a read is put before the next one at most, where messages go on in that."""


class OversizeContent:
    """A message whose body is larger than the broker's limit; its body was read and thrown away."""

    __slots__ = ("body_octets", "channel")

    def __init__(self, channel: int, body_octets: int) -> None:
        self.channel = channel
        self.body_octets = body_octets


Event = PublishRun | GroupedRun | OversizeContent | Ack | MethodFrame


class _KnownPublish:
    """A publish frame seen before; ``prefix`` are its octets with the content header that came with it last.

    The prefix goes up to the body, ``step`` is the size of a whole message that starts with it, and ``fixed``
    the shape of such messages, made when the prefix comes a second time, as is ``rests``, which cuts them. ``cutter``
    cuts runs of publishes like it with other routing keys.
    """

    __slots__ = ("cutter", "fixed", "frame", "head", "prefix", "publish", "rests", "shapes", "step")

    def __init__(self, frame: bytes, publish: PublishMethod) -> None:
        self.frame = frame
        self.publish = publish
        self.head = frame[1:3]
        self.prefix = b""
        self.step = 0
        self.fixed: Shape | None = None
        self.rests: Struct | None = None
        self.shapes: dict[ContentFacts, Shape] | None = None
        self.cutter: KeyedCutter | None = None


class _PendingContent:
    """A content whose frames come one by one."""

    __slots__ = ("body_octets", "facts", "frames", "is_dropped", "known", "missing_octets")

    def __init__(self, known: _KnownPublish) -> None:
        self.known = known
        self.facts: ContentFacts | None = None
        self.frames: list[bytes] = []
        self.body_octets = 0
        self.missing_octets = 0
        self.is_dropped = False


_NO_MORE: Final = deque[bytes]()  # read at once
_NONE_YET: Final = _KnownPublish(b"", PublishMethod(0, "", "", b"", 0))  # which no message is published like


class FrameReader:
    """Cuts a connection's octets into events; ``feed`` it every read, in order.

    ``frame_max`` (octets, whole frames) may be set anew after tuning. A message over ``max_message_octets``
    comes as OversizeContent. Spec: AMQP 0-9-1, 4.2.3 and 4.2.6.
    """

    __slots__ = (
        *("_acks", "_alike", "_cutters", "_held", "_held_octets", "_keyed_misses", "_keyed_rest", "_known"),
        *("_key_room", "_last", "_layouts", "_needed", "_pending", "_run_limit"),
        *("frame_max", "max_message_octets", "on_forget"),
    )

    def __init__(self, frame_max: int, max_message_octets: int) -> None:
        self.frame_max = frame_max
        self.max_message_octets = max_message_octets
        self._held: list[bytes] = []
        self._held_octets = 0
        self._needed = 0
        self._known: dict[bytes, _KnownPublish] = {}
        self._last = _NONE_YET
        # By what a publish frame has beside its routing key.
        self._cutters: dict[bytes, KeyedCutter] = {}
        self._key_room: KeyRoom | None = None
        # How many publishes the next look for such a run is put off: grows while there are none.
        self._keyed_rest = self._keyed_misses = 0
        self._pending: dict[int, _PendingContent] = {}
        self.on_forget: Callable[[], None] = _nothing
        """Is called when the publish methods that came so far will not be known again."""
        self._alike = AlikeCutter()
        self._acks = AckCutter()
        self._layouts = Layouts()
        # How many messages the next cut tries: shrinks when runs are short, so that no input makes it dear.
        self._run_limit = 65536

    @property
    def has_unfinished(self) -> bool:
        """Whether a message has begun and waits for the rest of its frames."""
        return bool(self._pending)

    def forget_channel(self, channel: int) -> None:
        """Drop the unfinished content of ``channel``, which was closed."""
        self._pending.pop(channel, None)

    def feed(self, data: bytes, more: Iterable[bytes] = ()) -> Iterator[Event]:
        """Return the events that ``data`` completes, and ``more``, which came after it; what is unfinished is kept.

        Publishes by many keys that go on in the next of them are one run. This, or going through the events, raises
        FrameError (501) or UnexpectedFrame (505); nothing may be fed after that.
        """
        if not (more or self._held or self._pending):
            # One message like the last, or one acknowledgement, is a read of its own: nothing is left to look for.
            octets, known = len(data), self._last
            if octets == known.step and known.fixed is not None and data.startswith(known.prefix):
                if data[-1] == FRAME_END:
                    return iter((PublishRun(known.publish, known.fixed, [data[len(known.prefix) :]]),))
            elif octets == ACK_OCTETS and data.startswith(ACK_HEAD, 3) and data[0] == FRAME_METHOD:
                return iter(self._acks.cut(data, 0, octets)[0])
            elif octets <= REPEATED_OCTETS and (method := find_frame(data)) is not None:
                return iter((method,))
        return self._walk_all(deque((data, *more))) if more else self._walk(data, _NO_MORE)

    def _walk_all(self, reads: deque[bytes]) -> Iterator[Event]:
        while reads:
            yield from self._walk(reads.popleft(), reads)

    def _walk(self, data: bytes, more: deque[bytes]) -> Iterator[Event]:
        if self._held:
            self._held.append(data)
            self._held_octets += len(data)
            if self._held_octets < self._needed:
                return
            data = b"".join(self._held)
            self._held.clear()
        at, end = 0, len(data)
        self._needed = 0
        while end - at >= FRAME_HEADER_OCTETS:
            if data[at] == FRAME_METHOD and not self._pending:
                if data.startswith(PUBLISH_IDS, at + 7):
                    run, at = self._publish_run(data, at, end)
                    if run is not None:
                        if more and (isinstance(run, GroupedRun) or run.routing_keys is not None):
                            data, at, end = yield from self._go_on(run, data, at, end, more)
                        else:
                            yield run
                        continue
                    if self._needed:
                        break
                elif data.startswith(ACK_HEAD, at + 3) and end - at >= ACK_OCTETS:
                    acks, at = self._acks.cut(data, at, end)
                    yield from acks
                    continue
            event, stop = self._frame(data, at, end)
            if stop == at:
                break
            at = stop
            if event is not None:
                yield event
        if at < end:
            self._held.append(data[at:])
            self._held_octets = end - at
            if not self._needed and end - at >= FRAME_HEADER_OCTETS:
                self._needed = 8 + int.from_bytes(data[at + 3 : at + 7])

    def _go_on(
        self, run: Keyed, data: bytes, at: int, end: int, more: deque[bytes]
    ) -> Generator[Event, None, tuple[bytes, int, int]]:
        """Yield ``run``, which stops ``at``, with what goes on in the same way in the next reads; return what is left.

        To cut ahead is safe: it changes nothing but what the cutter expects.
        """
        cutter = self._last.cutter
        assert cutter is not None
        while more and end - at <= REST_OCTETS:
            data = data[at:] + more.popleft()
            end = len(data)
            following, at = cutter.cut(data, 0, end, run) or (None, 0)
            if following is not run:
                yield run
                if following is None:
                    return data, at, end
                run = following
        yield run
        return data, at, end

    # Publishes, as runs

    def _publish_run(self, data: bytes, at: int, end: int) -> tuple[Keyed | None, int]:
        """Cut the run of messages at ``at``.

        (None, at) where there is none: the walk takes over, or, where ``_needed`` was set, the next read.
        """
        known = self._last
        if not (known.prefix and data.startswith(known.prefix, at)):
            stop = at + 8 + int.from_bytes(data[at + 3 : at + 7])
            if stop > end or stop - at > self.frame_max:
                return None, at
            frame = data[at:stop]
            if frame != known.frame and known.publish.address:
                if self._keyed_rest:
                    self._keyed_rest -= 1
                else:
                    run, run_stop = self._keyed_run(known, data, at, end)
                    if run is not None:
                        self._keyed_misses = 0
                        return run, run_stop
                    self._keyed_misses = self._keyed_rest = min(16, 2 * self._keyed_misses + 1)
            found = self._known.get(frame)
            known = found if found is not None else self._learn(frame)
            self._last = known
            if not (known.prefix and data.startswith(known.prefix, at)):
                return self._changing_run(known, data, at, end)
        if known.fixed is None:
            known.fixed = self._fixed_shape(known)
            known.rests = rests_of(len(known.prefix), known.step)
        return self._fixed_run(known, known.fixed, data, at, end)

    def _keyed_run(self, last: _KnownPublish, data: bytes, at: int, end: int) -> tuple[Keyed | None, int]:
        """Cut messages that are published like the last one, but each with another routing key."""
        cutter = last.cutter
        if cutter is None:
            cutter = last.cutter = self._cutter(last)
        found = cutter.cut(data, at, end)
        if found is None:
            return None, at
        if last.frame:
            self._last = _KnownPublish(b"", cutter.publish)
            self._last.cutter = cutter
        return found

    def _cutter(self, known: _KnownPublish) -> KeyedCutter:
        frame = known.frame
        fixed = frame[1:3] + frame[7 : 14 + frame[13]] + frame[-2:]
        cutter = self._cutters.get(fixed)
        if cutter is None:
            if len(self._cutters) >= CACHED_CUTTERS:
                self._cutters.clear()
                self._key_room = None
            if self._key_room is None:
                self._key_room = KeyRoom()
            cutter = KeyedCutter(frame, known.publish, self.frame_max, self.max_message_octets, self._key_room)
            self._cutters[fixed] = cutter
        return cutter

    def _learn(self, frame: bytes) -> _KnownPublish:
        if frame[-1] != FRAME_END:
            raise bad_frame_end(FRAME_METHOD, frame[7:-1], frame[-1])
        known = _KnownPublish(frame, decode_publish(int.from_bytes(frame[1:3]), frame[7:-1]))
        if len(self._known) >= CACHED_PUBLISHES:
            self._known.clear()
            self.on_forget()
        self._known[frame] = known
        return known

    def _fixed_run(
        self, known: _KnownPublish, shape: Shape, data: bytes, at: int, end: int
    ) -> tuple[PublishRun | None, int]:
        """Cut messages that all start with the known prefix and have one size; each must end in 206."""
        step = known.step
        count = (end - at) // step
        if count == 0:
            self._needed = step
            return None, at
        size = step - len(known.prefix)
        if count == 1 or not data.startswith(known.frame, at + step):
            stop = at + step
            if size and data[stop - 1] != FRAME_END:
                return None, at
            return PublishRun(known.publish, shape, [data[stop - size : stop]]), stop
        if count > self._run_limit:
            count = self._run_limit
        stop = at + count * step
        assert known.rests is not None
        pieces = cut_rests(known.rests, known.prefix, data, at, count)
        if len(pieces) < count:
            count = len(pieces)
            self._run_limit = max(4, 2 * count)
            stop = at + count * step
        elif count == self._run_limit:
            self._run_limit = min(65536, 4 * count)
        if size and data[at + step - 1 : stop : step] != FRAME_END_OCTET * count:
            return None, at
        return PublishRun(known.publish, shape, pieces), stop

    def _changing_run(self, known: _KnownPublish, data: bytes, at: int, end: int) -> tuple[PublishRun | None, int]:
        """Cut messages that share the method frame alone, each of one body frame or none."""
        frame, channel = known.frame, known.publish.channel
        frame_octets, longest = len(frame), self.frame_max - 8
        largest = min(longest, self.max_message_octets)
        alike = self._alike.cut(data, at, end, frame, self.frame_max, largest)
        if alike is not None:
            return PublishRun(known.publish, self._changing_shape(known, alike.facts), alike.pieces), alike.stop
        pieces: list[bytes] = []
        run_facts: ContentFacts | None = None
        unpack_header, unpack_edge = HEADER_START.unpack_from, _HEADER_END_AND_BODY_HEAD.unpack_from
        try:
            while True:
                header_at = at + frame_octets
                kind, on, size, class_id, weight, body_octets, flags = unpack_header(data, header_at)
                if kind != FRAME_HEADER or on != channel or class_id != 60 or weight or not 14 <= size <= longest:
                    break
                stop = body_at = header_at + size + 8
                if body_octets:
                    stop += body_octets + 8
                    if stop > end or body_octets > largest:
                        break
                    if unpack_edge(data, body_at - 1) != (FRAME_END, FRAME_BODY, channel, body_octets):
                        break
                if stop > end or data[stop - 1] != FRAME_END:
                    break
                try:
                    facts = skim(data, header_at + 21, body_at - 1, flags)
                except FrameError:
                    if run_facts is None:
                        raise
                    break  # Those before it come first.
                if facts is not run_facts:
                    if run_facts is None:
                        run_facts = facts
                        prefix_stop = body_at + 7 if body_octets else body_at
                        known.prefix = data[at:prefix_stop] if prefix_stop - at <= PREFIX_OCTETS_MAX else b""
                        known.step = stop - at
                        known.fixed = None
                    else:
                        common = common_facts(run_facts, facts)
                        if common is None:
                            break
                        run_facts = common
                pieces.append(data[header_at:stop])
                at = stop
                if not data.startswith(frame, at) or (len(pieces) == 1 and data.startswith(known.prefix, at)):
                    break
                layout = self._layouts.of(data, header_at, flags)
                if layout is not None:
                    count = len(pieces)
                    at, run_facts = layout.walk(data, at, end, frame, (longest, largest), pieces, run_facts)
                    self._layouts.found(len(pieces) - count)
                    if not data.startswith(frame, at):
                        break
        except StructError:
            pass  # The read ends within this message.
        if run_facts is None:
            self._needed = self._needed_for(data, at, at + frame_octets, end, channel)
            return None, at
        return PublishRun(known.publish, self._changing_shape(known, run_facts), pieces), at

    def _needed_for(self, data: bytes, at: int, header_at: int, end: int, channel: int) -> int:
        """Return how many octets from ``at`` on, a publish, must be there before it is worth another look.

        0 where a look at what is there tells more: the next frame, once its head has come, may be another channel's.
        """
        if end - header_at < FRAME_HEADER_OCTETS:
            return header_at + FRAME_HEADER_OCTETS - at
        kind, on, size = FRAME_HEAD.unpack_from(data, header_at)
        body_at: int = header_at + size + 8
        if (kind, on) != (FRAME_HEADER, channel) or size < 14 or size + 8 > self.frame_max:
            return 0
        if end < body_at:
            return body_at - at
        if not data.startswith(_HEADER_IDS, header_at + FRAME_HEADER_OCTETS) or data[body_at - 1] != FRAME_END:
            return 0
        if end - body_at < FRAME_HEADER_OCTETS:
            return body_at + FRAME_HEADER_OCTETS - at
        kind, on, size = FRAME_HEAD.unpack_from(data, body_at)
        stop: int = body_at + size + 8
        is_awaited = (kind, on) == (FRAME_BODY, channel) and size + 8 <= self.frame_max and stop > end
        return stop - at if is_awaited else 0

    def _changing_shape(self, known: _KnownPublish, facts: ContentFacts) -> Shape:
        shape = None if known.shapes is None else known.shapes.get(facts)
        if shape is None:
            publish = known.publish
            shape = Shape(
                publish.exchange, publish.routing_key, publish.address, publish.channel, self.frame_max, facts
            )
            if facts.is_plain:
                known.shapes = {facts: shape} if known.shapes is None else known.shapes | {facts: shape}
        return shape

    def _fixed_shape(self, known: _KnownPublish) -> Shape:
        publish = known.publish
        lead = known.prefix[len(known.frame) :]
        header_stop = 7 + int.from_bytes(lead[3:7])
        return Shape(
            publish.exchange,
            publish.routing_key,
            publish.address,
            publish.channel,
            self.frame_max,
            skim(lead, 21, header_stop, int.from_bytes(lead[19:21])),
            lead,
            int.from_bytes(lead[11:19]),
        )

    # Everything else, frame by frame

    def _frame(self, data: bytes, at: int, end: int) -> tuple[Event | None, int]:
        """Take the frame at ``at``; (None, at) where it is not whole yet."""
        kind, channel, size = FRAME_HEAD.unpack_from(data, at)
        if size > self.frame_max:
            raise FrameError(f"type {kind}, all octets = <<>>: {{frame_too_large,{size},{self.frame_max - 8}}}")
        stop = at + size + 8
        if stop > end:
            return None, at
        payload = data[at + 7 : stop - 1]
        if data[stop - 1] != FRAME_END:
            raise bad_frame_end(kind, payload, data[stop - 1])
        if kind == FRAME_METHOD:
            frame = data[at:stop]
            if stop - at > REPEATED_OCTETS:
                return self._method(frame, channel, payload), stop
            if not self._pending and (known := find_frame(frame)) is not None:
                return known, stop
            event = self._method(frame, channel, payload)
            if type(event) is MethodFrame:
                remember(frame, event)
            return event, stop
        if kind == FRAME_HEADER:
            return self._header(data[at:stop], channel, payload), stop
        if kind == FRAME_BODY:
            return self._body(data[at:stop], channel, size), stop
        if kind != FRAME_HEARTBEAT or size:
            raise FrameError(f"{frame_excerpt(kind, payload)}: unknown_frame")
        if channel:
            raise UnexpectedFrame(frame_excerpt(kind, payload))
        return None, stop

    def _method(self, frame: bytes, channel: int, payload: bytes) -> Event | None:
        pending = self._pending.get(channel)
        if pending is not None:
            if pending.facts is None:
                raise _no_header("got non content header frame instead")
            raise _no_body()
        if payload[:4] == PUBLISH_IDS:
            self._last = self._known.get(frame) or self._learn(frame)
            self._pending[channel] = _PendingContent(self._last)
            return None
        if payload[:4] == ACK_HEAD[4:] and len(payload) == 13:
            return Ack(channel, int.from_bytes(payload[4:12]), 1, bool(payload[12] & 1))
        return MethodFrame(channel, payload)

    def _header(self, frame: bytes, channel: int, payload: bytes) -> Event | None:
        pending = self._pending.get(channel)
        if pending is None:
            raise UnexpectedFrame("expected method frame, got non method frame instead")
        if pending.facts is not None:
            raise _no_body()
        class_id, weight = int.from_bytes(payload[:2]), int.from_bytes(payload[2:4])
        if class_id != 60:
            raise _no_header(f"got one for class {class_id} instead")
        if weight or len(payload) < 14:
            raise _no_header("got non content header frame instead")
        pending.facts = header_facts(payload)
        pending.body_octets = pending.missing_octets = int.from_bytes(payload[4:12])
        pending.is_dropped = pending.body_octets > self.max_message_octets
        pending.frames.append(frame)
        return self._finish(channel, pending) if pending.missing_octets == 0 else None

    def _body(self, frame: bytes, channel: int, size: int) -> Event | None:
        pending = self._pending.get(channel)
        if pending is None:
            raise UnexpectedFrame("expected method frame, got non method frame instead")
        if pending.facts is None:
            raise _no_header("got non content header frame instead")
        if size > pending.missing_octets:
            raise FrameError("content body frame exceeds remaining content size", class_id=60, method_id=40)
        pending.missing_octets -= size
        if size and not pending.is_dropped:
            pending.frames.append(frame)
        return self._finish(channel, pending) if pending.missing_octets == 0 else None

    def _finish(self, channel: int, pending: _PendingContent) -> Event:
        del self._pending[channel]
        if pending.is_dropped or pending.facts is None:
            return OversizeContent(channel, pending.body_octets)
        shape = self._changing_shape(pending.known, pending.facts)
        return PublishRun(pending.known.publish, shape, [b"".join(pending.frames)])


def _nothing() -> None:
    """Nobody keeps anything by them."""


def _no_header(what: str) -> UnexpectedFrame:
    text = f"expected content header for class 60, {what}"
    return UnexpectedFrame(text, class_id=60, method_id=40)


def _no_body() -> UnexpectedFrame:
    text = "expected content body, got non content body frame instead"
    return UnexpectedFrame(text, class_id=60, method_id=40)
