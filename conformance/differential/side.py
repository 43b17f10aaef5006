"""One broker's side of a script: performs steps, answers what must be answered, and keeps what the broker said.

What was said is sorted into named lists (``seen``): the replies of a channel, the deliveries of one consumer, the end
of a connection. The order inside each list is the broker's; between lists brokers are free. Confirms are kept by
sequence number, so that it does not matter how they were batched.
"""

import contextlib
import time
from collections import Counter, deque
from typing import Any, NamedTuple

from conformance.differential.events import line_of, plain_names
from conformance.differential.probes import Probes
from conformance.differential.script import Step, prefixed
from conformance.wire import Address, Channel, Connection, Dropped, Method, Mismatch, Silence

ANSWER_S = 10.0
"""How long a broker may take for one answer, far more than it needs."""


class Delivery(NamedTuple):
    """A delivery that is not settled: whose it is ("get" for basic.get), what came, from which queue.

    ``life`` grows when the queue is deleted and when the consumer's tag is used again.
    """

    consumer: str
    what: str
    queue: str
    life: int


class Line:
    """A channel of a script, with what the client knows of it."""

    def __init__(self, wire: Channel) -> None:
        self.wire = wire
        self.is_open = True
        self.is_waiting = False
        self.open_deliveries: dict[int, Delivery] = {}
        self.last_tag = 0
        self.no_ack: dict[str, bool] = {"get": False}
        self.published_count = 0
        self.confirms: dict[int, str] | None = None
        self.settled_in_tx: dict[int, Delivery] | None = None
        self.done_in_tx: set[str] = set()
        self.deleted = ""
        self.lives: Counter[str] = Counter()
        self.queue_of: dict[str, str] = {}
        self.gets: deque[tuple[bool, str]] = deque()


class Side:
    """A broker, while one script runs on it. ``prefix`` makes the script's names unique there."""

    def __init__(self, address: Address, prefix: str, control: Connection) -> None:
        self.address = address
        self.prefix = prefix
        self.connections: dict[int, Connection] = {}
        self.lines: dict[int, Line] = {}
        self.seen: dict[str, list[str]] = {}
        self.counts: dict[str, str] = {}
        self.probes = Probes(prefix, control, self.connections)
        self.used_exchanges: set[str] = set()
        self.lives: Counter[str] = Counter()
        self._lengths: dict[str, int] = {}

    # What is compared

    def observations(self) -> dict[str, object]:
        """Return all that was seen so far, by what it is about."""
        confirms = {f"channel {number} confirms": line.confirms for number, line in self.lines.items() if line.confirms}
        return {**self.seen, **confirms, **self.counts}

    def open_deliveries(self, number: int) -> dict[int, Delivery]:
        """Return the deliveries on a channel that are not settled, by delivery tag."""
        line = self.lines.get(number)
        return line.open_deliveries if line is not None else {}

    def has_settled_in_tx(self) -> bool:
        """Whether some transaction that is open holds settlements."""
        return any(line.is_open and line.settled_in_tx for line in self.lines.values())

    def mixes_in_tx(self, number: int) -> bool:
        """Whether the transaction of a channel holds publishes and acks."""
        line = self.lines.get(number)
        return line is not None and line.is_open and {"publish", "basic.ack"} <= line.done_in_tx

    def missing_confirms(self) -> bool:
        """Whether a publish on a channel in confirm mode has not been answered yet."""
        lines = (line for line in self.lines.values() if line.is_open and line.confirms is not None)
        return any(len(line.confirms or ()) < line.published_count for line in lines)

    def is_past(self, number: int, delivery: Delivery) -> bool:
        """Whether the queue or the consumer of a delivery is not the same any longer."""
        return delivery.life != self.lives[delivery.queue] + self.lines[number].lives[delivery.consumer]

    # Steps

    def perform(self, step: Step, tags: list[int]) -> None:
        """Send what ``step`` says; ``tags`` are the delivery tags it settles, the last one being the one to name."""
        self._lengths = {where: len(lines) for where, lines in self.seen.items()}
        if step.verb == "wait":
            return
        if step.verb == "hang_up":
            self._hang_up(step.channel // 10)
            return
        try:
            line = self._line(step.channel)
        except Mismatch as problem:
            self._note(f"connection {step.channel // 10}", plain_names(str(problem), self.prefix))
            self._hang_up(step.channel // 10)
            return
        fields = prefixed(step.fields, self.prefix)
        if step.verb == "publish":
            self._publish(line, fields)
        elif step.verb == "settle":
            self._settle(line, step, tags)
        else:
            self._say(line, step, fields)

    def _line(self, number: int) -> Line:
        line = self.lines.get(number)
        if line is not None and line.is_open:
            return line
        at = number // 10
        if at not in self.connections:
            self.connections[at] = Connection(self.address).open()
        wire = self.connections[at].unopened(number % 10)
        self.lines[number] = line = Line(wire)
        wire.call("channel.open")
        return line

    def _publish(self, line: Line, fields: dict[str, Any]) -> None:
        properties = fields.get("properties", {})
        line.published_count += 1
        line.done_in_tx.add("publish")
        line.wire.publish(
            fields.get("exchange", ""),
            fields.get("routing_key", ""),
            fields.get("body", "").encode(),
            mandatory=fields.get("mandatory", False),
            immediate=fields.get("immediate", False),
            **properties,
        )

    def _settle(self, line: Line, step: Step, tags: list[int]) -> None:
        fields = {key: value for key, value in step.fields.items() if key not in ("of", "nth")}
        for tag in tags:
            self._close_delivery(line, tag)
        line.done_in_tx.add(step.name)
        line.wire.send(step.name, delivery_tag=tags[-1], **fields)

    def _close_delivery(self, line: Line, tag: int) -> None:
        delivery = line.open_deliveries.pop(tag)
        if line.settled_in_tx is not None:
            line.settled_in_tx[tag] = delivery

    def _say(self, line: Line, step: Step, fields: dict[str, Any]) -> None:
        name = step.name
        if name == "queue.declare" and not fields.get("passive"):
            self.probes.watch(step.fields["queue"], step.channel // 10 if fields.get("exclusive") else 0)
        elif name == "exchange.declare":
            self.used_exchanges.add(step.fields["exchange"])
        elif name == "basic.get":
            line.gets.append((fields.get("no_ack", False), step.fields["queue"]))
        elif name == "basic.consume":
            tag = fields.get("consumer_tag", "")
            line.lives[tag] += 1
            line.no_ack[tag], line.queue_of[tag] = fields.get("no_ack", False), step.fields["queue"]
        elif name in ("basic.ack", "basic.nack") and fields.get("delivery_tag") == 0 and fields.get("multiple"):
            for tag in list(line.open_deliveries):
                self._close_delivery(line, tag)
            line.done_in_tx.add(name)
        elif name in ("basic.recover", "basic.recover-async"):
            line.open_deliveries.clear()
        elif name == "queue.delete":
            line.deleted = step.fields["queue"]
        elif name == "channel.close":
            line.is_open = False
        elif name == "tx.commit":
            # RabbitMQ closes the connection when anything follows before the reply.
            line.is_waiting = True
        line.wire.send(name, **fields)
        if name == "channel.close":
            self._drain_closing(line)

    def _drain_closing(self, line: Line) -> None:
        number = next(number for number, known in self.lines.items() if known is line)
        line.is_waiting = True
        self._wait_for(line.wire.connection, lambda: not line.is_waiting)
        self._note(f"channel {number}", "channel closed")

    def _hang_up(self, at: int) -> None:
        connection = self.connections.pop(at, None)
        if connection is not None:
            connection.abandon()
            self._forget_lines(at)

    def _forget_lines(self, at: int) -> None:
        for number, line in self.lines.items():
            if number // 10 == at:
                line.is_open = line.is_waiting = False
                line.open_deliveries.clear()
        self.probes.forget(at)

    # Catching up with the broker

    def ask_line(self, number: int) -> None:
        """Ask a channel for a round trip; ``hear`` waits for it."""
        line = self.lines.get(number)
        if line is not None and line.is_open and not line.is_waiting:
            line.is_waiting = True
            line.wire.send("channel.flow", active=True)

    def ask_lines(self) -> None:
        """Ask every open channel for a round trip."""
        for number in self.lines:
            self.ask_line(number)

    def hear(self) -> None:
        """Read until all round trips that were asked for are done or will never be."""
        for connection in list(self.connections.values()):
            self._wait_for(connection, lambda: not any(line.is_waiting for line in self._lines_of(connection)))  # noqa: B023

    def _lines_of(self, connection: Connection) -> list[Line]:
        return [line for line in self.lines.values() if line.wire.connection is connection]

    def _wait_for(self, connection: Connection, is_done: Any) -> None:
        at = next((at for at, known in self.connections.items() if known is connection), 0)
        deadline = time.monotonic() + ANSWER_S
        try:
            self._absorb()
            while at in self.connections and not is_done():
                connection.pump(deadline)
                self._absorb()
        except Silence:
            self._note(f"connection {at}", "no answer")
            self._hang_up(at)
        except (Dropped, Mismatch) as problem:
            self._note(f"connection {at}", f"dropped: {type(problem).__name__} {problem.expected}; {problem.got}")
            self._hang_up(at)

    def _absorb(self) -> None:
        for at, connection in list(self.connections.items()):
            if connection.zero.arrived:
                self._connection_said(at, connection, connection.zero.arrived.popleft())
        for number, line in list(self.lines.items()):
            while line.wire.arrived:
                self._channel_said(number, line, line.wire.arrived.popleft())

    def _connection_said(self, at: int, connection: Connection, method: Method) -> None:
        self._note(f"connection {at}", line_of(method, self.prefix))
        if method.name == "connection.close":
            connection.zero.send("connection.close-ok")
            for number, line in self.lines.items():
                while number // 10 == at and line.wire.arrived:
                    self._channel_said(number, line, line.wire.arrived.popleft())
                if number // 10 == at:
                    self._forget_deliveries(number)
            self._hang_up(at)

    def _forget_deliveries(self, number: int) -> None:
        """Forget what this step delivered to a channel that dies, or whose connection does: it may come or not."""
        for where in [where for where in self.seen if where.startswith(f"channel {number} deliveries")]:
            del self.seen[where][self._lengths.get(where, 0) :]
            if not self.seen[where]:
                del self.seen[where]

    def _channel_said(self, number: int, line: Line, method: Method) -> None:
        name = method.name
        if name == "channel.flow-ok":
            line.is_waiting = False
        elif name == "channel.close-ok":
            self._line_ended(line)
        elif name == "basic.deliver":
            self._delivered(number, line, method, method.consumer_tag)
        elif name in ("basic.ack", "basic.nack") and line.confirms is not None:
            self._confirmed(number, line, method)
        elif name == "basic.cancel":
            self._note(f"channel {number} cancelled {method.consumer_tag}", line_of(method, self.prefix))
        else:
            self._replied(number, line, method)

    def _replied(self, number: int, line: Line, method: Method) -> None:
        name = method.name
        self._note(f"channel {number}", line_of(method, self.prefix))
        if name == "channel.close":
            self._forget_deliveries(number)
            line.wire.send("channel.close-ok")
            self._line_ended(line)
        elif name == "queue.delete-ok":
            self.lives[line.deleted] += 1
        elif name == "queue.declare-ok":
            self.probes.declared(method.queue)
        elif name == "basic.get-ok":
            self._delivered(number, line, method, "get")
        elif name == "confirm.select-ok":
            line.confirms, line.published_count = (
                ({}, 0) if line.confirms is None else (line.confirms, line.published_count)
            )
        elif name in ("tx.select-ok", "tx.commit-ok"):
            line.done_in_tx.clear()
            line.settled_in_tx, line.is_waiting = {}, line.is_waiting and name == "tx.select-ok"
        elif name == "tx.rollback-ok":
            line.open_deliveries = dict(sorted({**line.open_deliveries, **(line.settled_in_tx or {})}.items()))
            line.done_in_tx.clear()
            line.settled_in_tx = {}

    def _line_ended(self, line: Line) -> None:
        line.is_open = line.is_waiting = False
        line.open_deliveries.clear()
        with contextlib.suppress(KeyError):
            del line.wire.connection.channels[line.wire.number]

    def _delivered(self, number: int, line: Line, method: Method, consumer: str) -> None:
        what = line_of(method, self.prefix)
        label = plain_names(consumer, self.prefix)
        if method.delivery_tag != line.last_tag + 1:
            self._note(f"channel {number}", f"delivery tag {method.delivery_tag} after {line.last_tag}")
        line.last_tag = method.delivery_tag
        is_settled = line.no_ack.get(consumer, line.no_ack.get("", False))
        if consumer == "get":
            is_settled, queue = line.gets.popleft()
        else:
            queue = line.queue_of.get(consumer, "")
            self._note(f"channel {number} deliveries to {label}", what)
        if not is_settled:
            line.open_deliveries[method.delivery_tag] = Delivery(
                label, what, queue, self.lives[queue] + line.lives[consumer]
            )

    def _confirmed(self, number: int, line: Line, method: Method) -> None:
        assert line.confirms is not None
        word = method.name.removeprefix("basic.")
        waiting = [tag for tag in range(1, line.published_count + 1) if tag not in line.confirms]
        tags = [tag for tag in waiting if tag <= method.delivery_tag] if method.multiple else [method.delivery_tag]
        for tag in tags:
            if tag not in waiting:
                self._note(f"channel {number}", f"unexpected {word} {tag}")
            line.confirms[tag] = word

    def _note(self, where: str, what: str) -> None:
        self.seen.setdefault(where, []).append(what)

    # The end

    def close_line(self, number: int) -> None:
        """Close a channel, if it is open, so that its unacked deliveries return."""
        line = self.lines[number]
        if line.is_open:
            self._say(line, Step("say", number, "channel.close"), {"reply_code": 200})

    def contents(self) -> dict[str, object]:
        """Take everything out of the queues that are left, and see which exchanges are left."""
        left: dict[str, object] = {f"messages left in {name}": lines for name, lines in self.probes.contents().items()}
        left["exchanges left"] = self.probes.existing_exchanges(self.used_exchanges)
        return left

    def end(self, labels: set[str]) -> None:
        """Drop the connections and delete whatever of ``labels`` there may be."""
        for connection in self.connections.values():
            with contextlib.suppress(Mismatch, OSError):
                connection.close()
            connection.abandon()
        self.connections.clear()
        self.probes.delete(labels)
