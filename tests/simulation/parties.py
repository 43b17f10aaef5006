"""Who uses the broker in a simulation: publishers, consumers and those who get, purge and declare."""

from collections import deque
from dataclasses import dataclass
from functools import partial
from struct import pack
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

from pamqp import commands
from pamqp.base import Frame

from protocol.headers import decode_headers
from protocol.tables import encode_table
from tests.crash.ledger import Name, name_of
from tests.protocol.octets import content_frames, publish_frame, short
from tests.simulation.client import Client
from tests.simulation.ledger import Account, Entry, Holder
from tests.simulation.shape import DEAD, Route

if TYPE_CHECKING:
    from tests.simulation.world import World

OPEN_MOST = 60
UNROUTABLE = Route("", "nowhere", ())


def body_of(name: Name) -> bytes:
    """The message called ``name``, as the ledger's, but that some take several frames."""
    publisher, number = name
    size = 20_000 if number % 23 == 11 else number * 37 % 1500
    octets = b"%d %d %s" % (publisher, number, b"x" * size)
    return b"%08x " % crc32(octets) + octets


def properties_of(
    persistent: bool, *, priority: int | None = None, headers: dict[str, Any] | None = None, ttl_ms: int | None = None
) -> bytes:
    """A content header's flags and properties."""
    flags, octets = 0, b""
    if headers is not None:
        flags |= 0x2000
        octets += encode_table(headers)
    if persistent:
        flags |= 0x1000
        octets += b"\x02"
    if priority is not None:
        flags |= 0x0800
        octets += bytes((priority,))
    if ttl_ms is not None:
        flags |= 0x0100
        octets += short(b"%d" % ttl_ms)
    return pack(">H", flags) + octets


@dataclass(slots=True)
class Sent:
    """A publish without an answer yet."""

    pairs: list[tuple[Account, Entry]]
    is_mandatory: bool = False
    is_returned: bool = False


class Publisher(Client):
    """Publishes its numbers in order, in one of three modes."""

    kind = "publisher"

    def __init__(self, world: "World", number: int, mode: Literal["confirm", "tx", "plain"]) -> None:
        super().__init__(world, number)
        self.mode = mode
        self.session = 1000 * number
        """Names the publisher in its messages: order is kept on a connection, not from one to the next."""
        self.next_number = 0
        self.routes = [route for route in world.shape.routes if mode != "tx" or not route.may_be_refused]
        self.open: deque[Sent] = deque()  # confirm: in the order of tags
        self.upto = 0
        self.returns: dict[Name, Sent] = {}
        self.gathered: list[Sent] = []  # tx: not committed yet
        self.is_answered = True

    def opened(self) -> None:
        self.session += 1
        self.open.clear()
        self.gathered.clear()
        self.returns.clear()
        self.upto = 0
        self.is_answered = self.mode == "plain"
        if self.mode == "confirm":
            self.ask(self._selected, commands.Confirm.Select)
        elif self.mode == "tx":
            self.ask(self._selected, commands.Tx.Select)

    def _selected(self, _method: Frame) -> None:
        self.is_answered = True

    def lost(self) -> None:
        self._undo()
        self.open.clear()

    def _undo(self) -> None:
        """Nothing was committed of what was gathered."""
        for sent in self.gathered:
            for _, entry in sent.pairs:
                entry.promise = "undone"
        self.gathered.clear()

    def may_act(self) -> bool:
        return self.is_ready and self.is_answered and len(self.open) < OPEN_MOST

    def act(self) -> None:
        chance = self.world.turns.chance
        if self.mode == "tx" and self.gathered and chance.random() < 0.4:
            self.end_transaction(chance.random() < 0.75)
            return
        route = chance.choice(self.routes)
        if self.mode == "confirm" and chance.random() < 0.05:
            route = UNROUTABLE
        is_persistent = chance.random() < self.world.shape.persistent_share
        properties: dict[str, Any] = {}
        if route.delays:
            properties["headers"] = {"x-delay": chance.choice((50, 400, 2000))}
        if route.has_priorities:
            properties["priority"] = chance.randrange(5)
        if route.may_expire and chance.random() < 0.3:
            properties["ttl_ms"] = chance.choice((100, 1000))
        self.publish(route, is_persistent, chance.choice((1, 1, 2, 5, 20)), properties)

    def publish(self, route: Route, is_persistent: bool, count: int, properties: dict[str, Any]) -> None:
        world, ledger = self.world, self.world.ledger
        header = properties_of(is_persistent, **properties)
        is_mandatory = route is UNROUTABLE and world.turns.chance.random() < 0.5
        octets = b""
        for _ in range(count):
            name = (self.session, self.next_number)
            self.next_number += 1
            body = body_of(name)
            octets += publish_frame(route.exchange.encode(), route.key.encode(), 1, int(is_mandatory))
            octets += content_frames(body, header, 1, self.frame_max - 8)
            entries = ledger.publish(route.queues, name, world.turns.age_ms, is_persistent, properties.get("ttl_ms"))
            pairs = [(ledger.accounts[queue], entry) for queue, entry in zip(route.queues, entries, strict=True)]
            sent = Sent(pairs, is_mandatory)
            if is_mandatory:
                self.returns[name] = sent
            if len(entries) > 1 and is_persistent:
                ledger.groups.append((f"fan-out of {name}", pairs))
            if self.mode == "confirm":
                self.open.append(sent)
            elif self.mode == "tx":
                self.gathered.append(sent)
        world.turns.note(f"{self.name} publishes {count} to {route.exchange}/{route.key} up to {self.next_number}")
        self.feed(octets)

    def end_transaction(self, is_commit: bool) -> None:
        self.is_answered = False
        self.world.turns.note(f"{self.name} {'commits' if is_commit else 'rolls back'}")
        if is_commit:
            pairs = [pair for sent in self.gathered for pair in sent.pairs]
            self.gathered.clear()
            kept = [(account, entry) for account, entry in pairs if entry.is_persistent]
            self.world.ledger.groups.append((f"transaction of {self.name}", kept))
            self.ask(partial(self._committed, pairs), commands.Tx.Commit)
        else:
            self._undo()
            self.ask(self._selected, commands.Tx.Rollback)

    def _committed(self, pairs: list[tuple[Account, Entry]], _method: Frame) -> None:
        self.is_answered = True
        for _, entry in pairs:
            entry.promise = "confirmed"

    def returned(self, method: commands.Basic.Return, body: bytes) -> None:
        assert method.reply_code == 312
        sent = self.returns.pop(name_of(body))
        sent.is_returned = True

    def confirmed(self, tag: int, multiple: bool, is_ack: bool) -> None:
        """Each publish has one answer, in order."""
        count = tag - self.upto
        assert count >= 1, f"{self.name}: tag {tag} was answered before"
        assert multiple or count == 1, f"{self.name}: tag {tag} was answered before {self.upto + 1}"
        assert count <= len(self.open), f"{self.name}: tag {tag} was never used"
        self.upto = tag
        for _ in range(count):
            sent = self.open.popleft()
            assert sent.is_returned or not sent.is_mandatory, f"{self.name}: confirmed before it was returned"
            for _, entry in sent.pairs:
                entry.promise = "confirmed" if is_ack else "refused"

    @property
    def is_quiet(self) -> bool:
        return super().is_quiet and not self.open


class Reader(Client):
    """What consumers and getters share: they hold deliveries, and settle them in all ways."""

    kind = "reader"

    def __init__(self, world: "World", number: int, queue: str) -> None:
        super().__init__(world, number)
        self.queue = queue
        self.held: dict[int, Entry] = {}  # by tag
        self.unread: list[Entry] = []  # settled, and perhaps not read by the broker yet
        self.holder = Holder(self.name, lambda: False)
        self.last_tag = 0
        self.prefetch = 0
        self.newest: dict[int, int] = {}

    def opened(self) -> None:
        self.last_tag = 0
        self.newest.clear()
        link = self.link
        assert link is not None
        self.holder = Holder(self.name, lambda: not link.server_is_gone and link.protocol.is_open)

    def lost(self) -> None:
        self.world.ledger.holder_gone([*self.held.values(), *self.unread])
        self.held.clear()
        self.unread.clear()

    def took(self, tag: int, redelivered: bool, header: bytes, body: bytes, no_ack: bool) -> Entry | None:
        """Book a delivery."""
        assert tag > self.last_tag, f"{self.name}: tag {tag} after {self.last_tag}"
        self.last_tag = tag
        name = name_of(body)
        world = self.world
        if self.link is not None and not self.link.protocol.is_open:
            world.ledger.accounts[self.queue].is_lossy |= no_ack
            return None  # on its way since before the broker gave the client up: somebody else may have it by now
        world.turns.note(f"{self.name} gets {name} tag {tag} {'again' if redelivered else ''}")
        if self.queue == DEAD:
            world.note_dead(name, header)
        holder = None if no_ack else self.holder
        entry = world.ledger.deliver(self.queue, name, redelivered, holder)
        account = world.ledger.accounts[self.queue]
        if not redelivered and account.rules.is_ordered:
            publisher, number = name
            assert number > self.newest.get(publisher, -1), f"{self.name}: {name} came late in {self.queue}"
            self.newest[publisher] = number
        if no_ack:
            world.ledger.settle(entry, "acked")
            world.ledger.settlement_read(entry)
        else:
            self.held[tag] = entry
        return entry

    def settle_some(self) -> None:
        """Ack, reject or give back one delivery, or all up to one."""
        chance = self.world.turns.chance
        tag = chance.choice(tuple(self.held))
        multiple = chance.random() < 0.4
        tags = [each for each in self.held if each <= tag] if multiple else [tag]
        verb = chance.choices(("ack", "reject", "requeue"), self.world.shape.settling)[0]
        if verb == "ack":
            self.send(commands.Basic.Ack, delivery_tag=tag, multiple=multiple)
        elif verb == "reject" and not multiple:
            self.send(commands.Basic.Reject, delivery_tag=tag, requeue=False)
        else:
            self.send(commands.Basic.Nack, delivery_tag=tag, multiple=multiple, requeue=verb == "requeue")
        self.world.turns.note(f"{self.name} {verb} {tags}")
        for each in tags:
            entry = self.held.pop(each)
            if verb == "requeue":
                self.world.ledger.settle(entry, None)
            else:
                self.world.ledger.settle(entry, "acked" if verb == "ack" else "rejected")
                self.unread.append(entry)

    def sync(self) -> None:
        """Make sure that all that was settled has been read: what is answered comes behind it."""
        self.ask(partial(self._synced, self.unread[-1]), commands.Basic.Qos, prefetch_count=self.prefetch)

    def _synced(self, last: Entry, _method: Frame) -> None:
        if last in self.unread:
            count = self.unread.index(last) + 1
            for entry in self.unread[:count]:
                self.world.ledger.settlement_read(entry)
            del self.unread[:count]

    @property
    def is_quiet(self) -> bool:
        return super().is_quiet and not self.unread


class Consumer(Reader):
    """Consumes from one queue, with or without acks, prefetch and pauses."""

    kind = "consumer"

    def __init__(self, world: "World", number: int, queue: str, prefetch: int, no_ack: bool) -> None:
        super().__init__(world, number, queue)
        self.prefetch = prefetch
        self.no_ack = no_ack
        self.tag = ""
        self.consume_count = 0
        self.is_draining = False
        self.is_recovering = False

    def opened(self) -> None:
        super().opened()
        self.tag = ""
        self.consume_count = 0
        self.is_recovering = False
        self.ask(lambda _: None, commands.Basic.Qos, prefetch_count=self.prefetch)
        self._consume()

    def _consume(self) -> None:
        self.consume_count += 1
        self.newest.clear()
        self.ask(self._consuming, commands.Basic.Consume, queue=self.queue, no_ack=self.no_ack)

    def _consuming(self, method: Frame) -> None:
        assert isinstance(method, commands.Basic.ConsumeOk)
        self.tag = method.consumer_tag or ""

    def lost(self) -> None:
        if self.no_ack:
            self.world.ledger.accounts[self.queue].is_lossy = True
        super().lost()

    def delivered(self, method: commands.Basic.Deliver, header: bytes, body: bytes) -> None:
        if self.is_closing or self.is_recovering:
            return  # it is given back already, and perhaps somebody else has it
        tag = method.delivery_tag or 0
        entry = self.took(tag, bool(method.redelivered), header, body, self.no_ack)
        if self.prefetch and not self.no_ack:
            most = self.prefetch * self.consume_count
            assert len(self.held) <= most, f"{self.name} holds {len(self.held)}, prefetch {self.prefetch}"
        if self.is_draining and entry is not None:
            entry.drained_count += 1
            self.world.ledger.accounts[self.queue].drained.append(entry.name)
            self.held.pop(tag)
            self.world.ledger.settle(entry, "acked")
            self.unread.append(entry)
            self.send(commands.Basic.Ack, delivery_tag=tag, multiple=False)

    def act(self) -> None:
        chance = self.world.turns.chance
        if self.held and chance.random() < 0.8:
            self.settle_some()
        elif self.unread and chance.random() < 0.7:
            self.sync()
        elif self.tag and chance.random() < 0.1:
            self.ask(self._cancelled, commands.Basic.Cancel, consumer_tag=self.tag)
            self.tag = ""
        elif self.held and chance.random() < 0.1:
            self.recover()

    def recover(self) -> None:
        """Give all back, as basic.recover does."""
        for entry in self.held.values():
            self.world.ledger.settle(entry, None)
        self.held.clear()
        self.is_recovering = True
        self.ask(self._recovered, commands.Basic.Recover, requeue=True)

    def _recovered(self, _method: Frame) -> None:
        self.is_recovering = False

    def _cancelled(self, _method: Frame) -> None:
        if self.is_ready and not self.world.is_finishing:
            self._consume()


class Getter(Reader):
    """Gets single messages, and purges now and then."""

    kind = "getter"

    def __init__(self, world: "World", number: int, queue: str, purges: bool) -> None:
        super().__init__(world, number, queue)
        self.purges = purges
        self.asked: deque[bool] = deque()  # no_ack of each basic.get

    def opened(self) -> None:
        super().opened()
        self.asked.clear()

    def lost(self) -> None:
        if any(self.asked):
            self.world.ledger.accounts[self.queue].is_lossy = True
        self.asked.clear()
        super().lost()

    def act(self) -> None:
        chance = self.world.turns.chance
        if self.held and chance.random() < 0.5:
            self.settle_some()
        elif self.unread and chance.random() < 0.5:
            self.sync()
        elif self.purges and chance.random() < 0.05:
            account = self.world.ledger.accounts[self.queue]
            account.purge_sent()
            self.world.turns.note(f"{self.name} purges")
            self.ask(self._purged, commands.Queue.Purge, queue=self.queue)
        else:
            no_ack = chance.random() < 0.2
            self.asked.append(no_ack)
            self.ask(self._got_nothing, commands.Basic.Get, queue=self.queue, no_ack=no_ack)

    def _purged(self, method: Frame) -> None:
        assert isinstance(method, commands.Queue.PurgeOk)
        self.world.ledger.accounts[self.queue].purge_answered(method.message_count or 0)

    def _got_nothing(self, method: Frame) -> None:
        assert isinstance(method, commands.Basic.GetEmpty)
        self.asked.popleft()

    def got_message(self, method: Frame, header: bytes, body: bytes) -> None:
        assert isinstance(method, commands.Basic.GetOk)
        no_ack = self.asked.popleft()
        if self.is_closing:
            self.world.ledger.accounts[self.queue].is_lossy |= no_ack
            return
        self.newest.clear()  # others may have given something back meanwhile
        self.took(method.delivery_tag or 0, bool(method.redelivered), header, body, no_ack)


class StreamReader(Client):
    """Reads a stream from its first message: each reading gives the same, in order, and all that was confirmed."""

    kind = "stream reader"

    def __init__(self, world: "World", number: int, queue: str) -> None:
        super().__init__(world, number)
        self.queue = queue
        self.read_names: list[Name] = []
        self.unacked: list[int] = []

    def opened(self) -> None:
        self.read_names.clear()
        self.unacked.clear()
        self.ask(lambda _: None, commands.Basic.Qos, prefetch_count=10)
        arguments = {"x-stream-offset": "first"}
        self.ask(lambda _: None, commands.Basic.Consume, queue=self.queue, arguments=arguments)

    def delivered(self, method: commands.Basic.Deliver, header: bytes, body: bytes) -> None:
        name = name_of(body)
        offset = decode_headers(header)["x-stream-offset"]
        assert offset == len(self.read_names), f"{self.name}: offset {offset} after {len(self.read_names)} messages"
        seen = self.world.stream_seen
        if offset < len(seen):
            assert seen[offset] == name, f"{self.name}: {name} at {offset}, where {seen[offset]} was"
        else:
            assert name not in seen, f"{self.name}: {name} is there twice"
            entry = self.world.ledger.accounts[self.queue].entries.get(name)
            assert entry is not None, f"{self.name}: phantom {name}"
            assert entry.promise != "undone", f"{self.name}: {name} was undone"
            entry.drained_count = 1
            seen.append(name)
        self.read_names.append(name)
        self.unacked.append(method.delivery_tag or 0)
        if self.world.is_finishing:
            self.ack()

    def may_act(self) -> bool:
        return self.is_ready and bool(self.unacked)

    def act(self) -> None:
        self.ack()

    def ack(self) -> None:
        self.send(commands.Basic.Ack, delivery_tag=self.unacked[-1], multiple=True)
        self.unacked.clear()
