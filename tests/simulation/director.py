"""What happens in a simulation: moves of clients and faults, drawn one after the other; then the reckoning."""

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from broker.core.policies.policies import Policy
from storage.log import segment_numbers
from tests.simulation.client import Client
from tests.simulation.declarers import Churner, Owner, Steward
from tests.simulation.disk import CAPACITY_OCTETS
from tests.simulation.life import DIRECTORY
from tests.simulation.parties import Consumer, Getter, Publisher, Reader, StreamReader
from tests.simulation.shape import DEAD
from tests.simulation.turns import DEADLINE_US, Happening, Stuck

if TYPE_CHECKING:
    from tests.simulation.world import World

Condition = Callable[[], bool]
SETTLED_US = 120_000_000
"""Long enough for all that waits in the broker to have come."""


class Director:
    """Who moves next. After ``shape.moves`` moves all ends in order, and is checked."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.moves_left = world.shape.moves
        self.steward = Steward(world, 0)
        self.parties: list[Client] = self._parties()
        world.clients = [self.steward, *self.parties]
        self.resting_until_us = 0
        self.repairs: list[tuple[int, Callable[[], None]]] = []
        self._faults = list(world.shape.faults)
        self._weights = list(world.shape.faults.values())
        self._end: Generator[Condition, None, None] | None = None
        self._awaited: Condition = lambda: True
        self._awaited_since_us = 0
        self._cuts_in_a_row = 0

    def _parties(self) -> list[Client]:
        world, shape, chance = self.world, self.world.shape, self.world.turns.chance
        made: list[Client] = []
        consumed = [queue.name for queue in shape.queues if queue.is_consumed]
        for mode in shape.publishers:
            literal: Literal["confirm", "tx", "plain"] = (
                "confirm" if mode == "confirm" else "tx" if mode == "tx" else "plain"
            )
            publisher = Publisher(world, len(made) + 1, literal)
            if publisher.routes:
                made.append(publisher)
        for _ in range(shape.consumer_count if consumed else 0):
            prefetch = chance.choice((0, 1, 3, 20))
            made.append(Consumer(world, len(made) + 1, chance.choice(consumed), prefetch, chance.random() < 0.15))
        for _ in range(shape.getter_count if consumed else 0):
            made.append(Getter(world, len(made) + 1, chance.choice(consumed), chance.random() < 0.4))
        if any(queue.name == "stream" for queue in shape.queues):
            made.append(StreamReader(world, len(made) + 1, "stream"))
        if shape.has_churn:
            made.append(Churner(world, len(made) + 1))
        if shape.has_exclusive:
            made.append(Owner(world, len(made) + 1))
        return made

    # What may happen

    def possible(self) -> Sequence[Happening]:
        now_us = self.world.turns.now_us
        for due_us, repair in self.repairs:
            if due_us <= now_us:
                return (partial(self._repair, due_us, repair),)
        world = self.world
        if world.is_up and not world.is_set_up:
            return (self.steward.connect,) if self.steward.link is None else ()
        if not world.is_up or now_us < self.resting_until_us:
            return ()
        if self._end is None:
            return (self._move,)
        if self._awaited():
            return (self._go_on,)
        if now_us - self._awaited_since_us > DEADLINE_US:
            raise Stuck(f"what is waited for at the end does not come: {self._state()}")
        return ()

    def due_us(self) -> int | None:
        now_us = self.world.turns.now_us
        times = [due_us for due_us, _ in self.repairs]
        if self.resting_until_us > now_us:
            times.append(self.resting_until_us)
        if self._end is not None:
            times.append(now_us + 1_000_000)
        return min(times, default=None)

    def _state(self) -> str:
        clients = [(client.name, client.is_ready, client.is_quiet) for client in self.world.clients if client.link]
        queues = self.world.node.vhosts["/"].queues.values()
        return f"{clients} {[(queue.name, queue.message_count, queue.unacked_count) for queue in queues]}"

    def life_ended(self) -> None:
        """What concerned the process alone needs no repair."""
        self.repairs = [each for each in self.repairs if each[1] in (self._make_room, self._empty_memory)]
        chance = self.world.turns.chance
        may_cut = self._end is None and self._cuts_in_a_row < 3 and "power cut at a call" in self._faults
        if may_cut and chance.random() < 0.3:
            self._cuts_in_a_row += 1
            self.world.disk.cut_at = chance.randrange(1, 30)  # in the recovery, or soon after
        else:
            self._cuts_in_a_row = 0

    # The work

    def _move(self) -> None:
        world, chance = self.world, self.world.turns.chance
        if self.moves_left == 0:
            self._end = self._finish()
            self._go_on()
            return
        self.moves_left -= 1
        if chance.random() < world.shape.laziness:
            self.resting_until_us = world.turns.now_us + chance.choice((100, 1_000, 10_000, 100_000))
        if self._faults and chance.random() < sum(self._weights) / 1000:
            fault = chance.choices(self._faults, self._weights)[0]
            world.turns.note(f"fault {fault}")
            world.had_faults.add(fault)
            FAULTS[fault](self)
            return
        self._client_moves()

    def _client_moves(self) -> None:
        party = self.world.turns.chance.choice(self.parties) if self.parties else self.steward
        if party.link is None:
            party.connect()
        elif party.may_act():
            party.act()

    def _repair(self, due_us: int, repair: Callable[[], None]) -> None:
        self.repairs.remove((due_us, repair))
        repair()

    def _later(self, repair: Callable[[], None]) -> None:
        delay_us = self.world.turns.chance.choice((10_000, 300_000, 3_000_000))
        self.repairs.append((self.world.turns.now_us + delay_us, repair))

    # Faults

    def _kill(self) -> None:
        self.world.ending = "kill"
        self.world.loop.is_process_gone = True

    def _cut_power(self) -> None:
        self.world.had_faults.add("power cut")
        self.world.ending = "cut"
        self.world.loop.is_process_gone = True

    def _cut_power_at_a_call(self) -> None:
        disk = self.world.disk
        if not disk.cut_at:
            disk.cut_at = len(disk.calls) + self.world.turns.chance.randrange(1, 25)

    def _stop(self) -> None:
        self.world.ending = "stop"
        self.world.life.stop_in_order()

    def _break_disk(self) -> None:
        disk = self.world.disk
        if not disk.fail_at:
            disk.fail_at = len(disk.calls) + self.world.turns.chance.randrange(1, 15)

    def _fill_disk(self) -> None:
        disk = self.world.disk
        used = disk.capacity - disk.free_octets(DIRECTORY)
        disk.capacity = used + self.world.turns.chance.choice((0, 200, 3_000))
        self._later(self._make_room)

    def _make_room(self) -> None:
        self.world.disk.capacity = CAPACITY_OCTETS

    def _fill_memory(self) -> None:
        self.world.surroundings.resident_octets = 1 << 40
        self._later(self._empty_memory)

    def _empty_memory(self) -> None:
        self.world.surroundings.resident_octets = 0

    def _raise_alarm(self) -> None:
        self.world.node.raise_alarm("disk")
        self._later(self._clear_alarm)

    def _clear_alarm(self) -> None:
        self.world.node.clear_alarm("disk")

    def _some_party(self) -> Client | None:
        there = [party for party in self.parties if party.link is not None]
        return self.world.turns.chance.choice(there) if there else None

    def _reset(self) -> None:
        party = self._some_party()
        if party is not None:
            party.cut("reset")

    def _fall_silent(self) -> None:
        party = self._some_party()
        if party is not None:
            party.cut("silent")

    def _leave(self) -> None:
        party = self._some_party()
        if party is not None:
            party.close()

    def _stall(self) -> None:
        party, turns = self._some_party(), self.world.turns
        if party is not None and party.link is not None:
            party.link.stalled_until_us = turns.now_us + turns.chance.choice((20_000, 1_000_000, 20_000_000))

    def _set_wall_clock(self) -> None:
        self.world.turns.set_wall_clock(self.world.turns.chance.choice((-3_600_000, -1_000, 1_000, 60_000)))

    def _wait(self) -> None:
        turns = self.world.turns
        self.resting_until_us = turns.now_us + turns.chance.choice((25_000, 800_000, 4_000_000))

    def _change_policy(self) -> None:
        node, chance = self.world.node, self.world.turns.chance
        policies = node.vhosts["/"].policies
        rules: dict[str, Any] | None = chance.choice(
            (None, {"max-length": 3}, {"message-ttl": 300}, {"max-length": 20, "overflow": "drop-head"})
        )
        if rules is not None:
            policies.set(Policy("rule", "^ruled$", rules))
        elif policies.listed("policy"):
            policies.clear("policy", "rule")
        node.schedule_finish()

    # The end

    def _go_on(self) -> None:
        assert self._end is not None
        self._awaited_since_us = self.world.turns.now_us
        self._awaited = next(self._end, lambda: False)

    def _sleep(self, us: int) -> Condition:
        due_us = self.world.turns.now_us + us
        return lambda: self.world.turns.now_us >= due_us

    def _finish(self) -> Generator[Condition, None, None]:
        world, chance = self.world, self.world.turns.chance
        world.is_finishing = True
        world.turns.note("finishing")
        while self.repairs:
            self.repairs.pop()[1]()
        world.disk.cut_at = world.disk.fail_at = 0
        for link in world.links:
            link.stalled_until_us = 0
            if link.end == "silent" and link.transport is not None and not link.server_is_gone:
                link.transport.fail(TimeoutError("timed out"))
        yield lambda: world.is_set_up and not self.steward.is_waiting
        yield self._sleep(2_000_000)  # so that the watch of the resources has looked again
        for party in self.parties:
            if isinstance(party, Reader) and party.is_ready and party.unread:
                party.sync()
        yield lambda: all(party.link is None or (party.is_ready and party.is_quiet) for party in self.parties)
        yield from self._all_leave()
        if chance.random() < 0.5:
            world.turns.note("once more")
            life = world.ledger.life
            chance.choice((self._kill, self._cut_power, self._stop))()
            yield lambda: world.ledger.life > life and world.is_set_up and not self.steward.is_waiting
        pending = [exchange.kept_messages for exchange in world.node.vhosts["/"].exchanges.values()]
        yield lambda: not any(kept is not None and kept.message_count for kept in pending)
        if chance.random() < 0.5:
            yield self._sleep(10_000_000)
        yield from self._drain_all()
        yield from self._all_leave()
        yield self._sleep(SETTLED_US)
        self._check_idle()
        self._check_books()
        yield from self._stop_for_good()

    def _all_leave(self) -> Generator[Condition, None, None]:
        def have_left() -> bool:
            for client in self.world.clients:
                client.close()  # once it is open
            return not any(client.link for client in self.world.clients) and not self.world.node.connections

        yield have_left

    def _drain_all(self) -> Generator[Condition, None, None]:
        world, chance = self.world, self.world.turns.chance
        shapes = [shape for shape in world.shape.queues if shape.is_consumed and shape.name != DEAD]
        shapes += [shape for shape in world.shape.queues if shape.name == DEAD]
        for shape in shapes:
            queue = world.node.vhosts["/"].queues[shape.name]
            expected = queue.message_count if shape.rules.ttl_ms is None and not shape.rules.may_drop else None
            assert queue.unacked_count == 0, f"{queue.unacked_count} messages of {queue.name} are with nobody"
            drainer = Consumer(world, 1000, shape.name, chance.choice((0, 1, 7)), no_ack=False)
            drainer.is_draining = True
            world.clients.append(drainer)
            drainer.connect()
            yield lambda drainer=drainer, queue=queue: bool(drainer.tag) and queue.message_count == 0  # type: ignore[misc]
            yield lambda drainer=drainer, queue=queue: queue.unacked_count == 0  # type: ignore[misc]
            if drainer.unread:
                drainer.sync()
            yield lambda drainer=drainer: drainer.is_quiet  # type: ignore[misc]
            drained = len(world.ledger.accounts[shape.name].drained)
            assert expected in (None, drained), f"{queue.name} had {expected} messages, and {drained} came out"
            drainer.close()
            yield lambda drainer=drainer: drainer.link is None  # type: ignore[misc]
            world.clients.remove(drainer)
        for party in self.parties:
            if isinstance(party, StreamReader):
                queue = world.node.vhosts["/"].queues["stream"]
                party.connect()
                yield lambda party=party, queue=queue: len(party.read_names) == queue.message_count  # type: ignore[misc]

    def _check_idle(self) -> None:
        """Nothing is left over from all that was."""
        node = self.world.node
        store = node.store
        assert store.is_idle, "the store has something to do, and does not do it"
        assert store.unwritten_octets <= 1000, store.unwritten_octets
        assert store.pages.unwritten_octets == 0
        assert node.clock.timer_count <= 1, f"{node.clock.timer_count} timers wait for nothing"
        assert not node.touched
        assert not node.confirming
        assert not node.unwritten
        assert not node.alarms.raised, node.alarms.raised
        for queue in node.vhosts["/"].queues.values():
            assert queue.consumer_count == 0, queue.name
            assert queue.unacked_count == 0, queue.name
            is_empty = queue.message_count == 0 or queue.name == "stream" or queue.name.startswith("churn ")
            assert is_empty, f"{queue.message_count} messages stay in {queue.name}"
        names = self.world.disk.list(DIRECTORY / "log")
        kept = sum(queue.message_count for queue in node.vhosts["/"].queues.values())
        if not kept and self.world.settings.segment_octets < 1 << 26:
            assert len(segment_numbers(names)) <= 4, f"{names} are kept for no message"

    def _check_books(self) -> None:
        world = self.world
        ledger, now_ms = world.ledger, world.turns.age_ms
        dead = ledger.accounts.get(DEAD)
        has_lost_dead = dead is not None and (dead.is_lossy or dead.purged_count > 0 or dead.open_purges > 0)
        for account in ledger.accounts.values():
            ledger.check(account, now_ms, has_lost_dead)
            ledger.check_order(account)
        ledger.check_groups(has_lost_dead)

    def _stop_for_good(self) -> Generator[Condition, None, None]:
        self.world.is_done = True
        self._stop()
        yield lambda: False


FAULTS: dict[str, Callable[[Director], None]] = {
    "kill": Director._kill,
    "power cut": Director._cut_power,
    "power cut at a call": Director._cut_power_at_a_call,
    "stop": Director._stop,
    "input/output error": Director._break_disk,
    "full disk": Director._fill_disk,
    "memory alarm": Director._fill_memory,
    "operator's alarm": Director._raise_alarm,
    "reset": Director._reset,
    "silent": Director._fall_silent,
    "leave": Director._leave,
    "stall": Director._stall,
    "wall clock": Director._set_wall_clock,
    "wait": Director._wait,
    "policy": Director._change_policy,
}
