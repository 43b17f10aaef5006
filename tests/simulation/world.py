"""The world of a simulation: a broker in it, its disk, its network, and all who use it; from one seed."""

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from broker.config import Settings
from broker.server.broker import Broker
from protocol.headers import decode_headers
from storage.errors import StorageError
from tests.crash.ledger import Name
from tests.simulation.client import Client
from tests.simulation.disk import CAPACITY_OCTETS, SteppedDisk
from tests.simulation.ledger import Account, Entry, Ledger
from tests.simulation.life import DIRECTORY, SimulatedLife, Surroundings
from tests.simulation.network import Link
from tests.simulation.shape import DEAD, Shape, draw
from tests.simulation.turns import Happening, ProcessGone, Turns, VirtualLoop
from tests.simulation.writers import Writers

RESIDENT_LIMIT_OCTETS = 1 << 30
EXIT_DISK_FAILED = 74
EXPECTED_ERRORS = {
    "the disk is full: nothing is confirmed until there is room": {"full disk"},
    # It is stopped while the disk is full, and what it never promised finds no room any more.
    "the log cannot be written, Leveret stops": {"input/output error", "full disk"},
    # A batch that was not synced and is there but for a sector could have been promised, for all that recovery knows.
    "damaged octets are not used": {"power cut", "power cut at a call", "input/output error"},
}


class World:
    """``is_up``: clients can connect. ``is_set_up``: queues and exchanges are there since the broker's last start."""

    def __init__(self, seed: int, keeps_lines: bool = False) -> None:
        self.seed = seed
        self.turns = Turns(seed, keeps_lines)
        self.shape: Shape = draw(self.turns.chance)
        self.turns.haste = self.shape.haste
        self.turns.sources = [self]
        self.surroundings = Surroundings(self.turns)
        self.disk = SteppedDisk(self.turns.chance)
        self.disk.capacity = CAPACITY_OCTETS
        self.ledger = Ledger(self.ticket)
        for queue in self.shape.queues:
            self.ledger.accounts[queue.name] = Account(queue.name, queue.rules)
        self.links: list[Link] = []
        self.link_count = 0
        self.clients: list[Client] = []
        self.stream_seen: list[Name] = []
        self.sure: set[str] = set()
        """Durable queues whose declare was answered."""
        self.ending = ""  # how the life that runs will have ended
        self.was_orderly = False
        self.had_faults: set[str] = set()
        self.is_up = False
        self.is_set_up = False
        self.is_finishing = False
        self.is_done = False
        self.life: SimulatedLife
        self.loop: VirtualLoop
        self.director: Any = None
        fields: dict[str, Any] = {
            "management_port": 0,
            "metrics_port": 0,
            "data_dir": DIRECTORY,
            "disk_free_limit": 1 << 20,
            "memory_high_watermark": RESIDENT_LIMIT_OCTETS,
            "heartbeat_s": 10,
        }
        # Some of the shape's limits are lower than a real broker's may be.
        self.settings = Settings(**fields).model_copy(update=self.shape.settings)

    # For the books

    def ticket(self) -> int:
        node = self.life.node
        return node.store.ticket if node is not None else 0

    @property
    def node(self) -> Broker:
        node = self.life.node
        assert node is not None
        return node

    @property
    def has_disk_failed(self) -> bool:
        return self.disk.has_failed

    def note_dead(self, name: Name, header: bytes) -> None:
        """A message came from the queue of the dead: look where it died."""
        deaths = decode_headers(header)["x-death"]
        assert isinstance(deaths, list)
        death = deaths[0]
        assert isinstance(death, dict)
        queue, reason = death["queue"], death["reason"]
        assert isinstance(queue, str)
        assert isinstance(reason, str)
        self.ledger.found_dead(queue, name, reason, self.turns.age_ms)
        origin = self.ledger.accounts[queue].entries[name]
        account = self.ledger.accounts[DEAD]
        if name not in account.entries:
            account.entries[name] = Entry(name, self.ledger.life, self.turns.age_ms, origin.is_persistent)

    # What may happen

    def possible(self) -> Sequence[Happening]:
        self.check_log()
        found: list[Happening] = [*self.surroundings.writers.possible()]
        for link in self.links:
            if link.transport is None:
                if self.is_up and not link.server_is_gone:
                    found.append(partial(self._accept, link))
            else:
                found += link.possible()
        for client in self.clients:
            found += client.possible()
        found += self.director.possible()
        return found

    def due_us(self) -> int | None:
        times = [self.surroundings.writers.due_us(), self.director.due_us()]
        times += [link.due_us() for link in self.links]
        times += [client.due_us() for client in self.clients]
        return min((time for time in times if time is not None), default=None)

    def check_log(self) -> None:
        """No line of the log tells of an error that nothing was done for."""
        while self.surroundings.logged:
            event = self.surroundings.logged.pop()
            causes = EXPECTED_ERRORS.get(event["event"], set())
            assert causes & self.had_faults, f"the broker logged {event}"

    # Network

    def connect(self, who: str) -> Link:
        self.link_count += 1
        link = Link(self.turns, self.link_count, self.shape.piece_octets)
        self.turns.note(f"{who} connects as {link.number}")
        if self.is_up:
            self.links = [each for each in self.links if not (each.server_is_gone and each.end)]
            self.links.append(link)
        else:
            link.server_is_gone = True
        return link

    def _accept(self, link: Link) -> None:
        life = self.life
        link.accept(lambda: life.new_connection(self.node), self.loop, self.shape.write_high_octets)

    def _close_port(self) -> None:
        self.is_up = False
        for link in self.links:
            if link.transport is None:
                link.server_is_gone = True

    # The broker's lives

    def run(self) -> None:
        """From the first start to the last stop. AssertionError where a promise is broken."""
        with self.surroundings.in_force(self.shape.limits):
            while not self.is_done:
                self._live()
                self.turns.now_us += self.turns.chance.choice((1_000, 100_000, 3_000_000))

    def _live(self) -> None:
        turns = self.turns
        self.ending = ""
        self.is_set_up = False
        self.surroundings.disk = self.disk
        writers = self.surroundings.writers = Writers(turns)
        self.disk.pause = writers.pause
        self.disk.on_cut = self._power_fails
        self.loop = loop = VirtualLoop(turns)
        self.life = life = SimulatedLife(self.settings, self._listening, self._close_port)
        course = life.live()
        task = loop.create_task(course)
        turns.note(f"life {self.ledger.life} begins")
        try:
            code = loop.run_until_complete(task)
            has_failed = self.node.store.failure is not None
            assert code == (EXIT_DISK_FAILED if has_failed else 0), f"exit code {code}"
            may_fail = self.disk.has_failed or self.disk.capacity < CAPACITY_OCTETS
            assert may_fail or not has_failed, f"failed without a reason: {self.node.store.failure}"
            assert life.is_stopping
            self.ending = self.ending or "disk failed"
        except ProcessGone:
            assert self.ending in ("kill", "cut"), f"gone without a reason ({self.ending})"
        except (StorageError, OSError) as error:
            if not self.disk.has_failed:
                raise AssertionError("the broker did not start") from error
            self.ending = "no start"
        finally:
            self._clear_away(loop, task, course, writers)
        self._end_life()

    def _clear_away(self, loop: VirtualLoop, task: Any, course: Any, writers: Writers) -> None:
        self.is_up = False
        task._log_destroy_pending = False
        writers.kill()
        self.disk.is_cut = True
        with contextlib.suppress(ProcessGone, RuntimeError):
            course.close()
        if task.done():
            task.exception()  # known, if there is one: the process is gone
        loop.close()

    def _end_life(self) -> None:
        """Give the clients what came through to them, then close the books on this life."""
        chance, node = self.turns.chance, self.life.node
        self.turns.note(f"ended: {self.ending}")
        for link in self.links:
            link.server_is_gone = True
            if not link.end:
                del link.to_client[chance.randrange(len(link.to_client) + 1) :]
        for client in self.clients:
            if client.link is not None and client.link.to_client:
                client.read()
            if client.link is not None:
                client.link.to_client.clear()
        self.links.clear()
        store = node.store if node is not None else None
        is_all_durable = self.ending == "stop" and store is not None and store.failure is None
        # The mark of an orderly end may be missing where there was no room for it.
        self.was_orderly = is_all_durable and not self.disk.has_failed and self.disk.capacity == CAPACITY_OCTETS
        self.ledger.process_ended(None if is_all_durable else store.durable_ticket if store is not None else 0)
        has_failed = self.disk.has_failed
        image = self.disk.after_cut() if self.ending == "cut" else self.disk.after_kill()
        capacity = self.disk.capacity
        self.disk = SteppedDisk(chance, image)
        self.disk.capacity = capacity
        if has_failed:
            self.had_faults.add("input/output error")
        self.check_log()
        self.director.life_ended()

    def _power_fails(self) -> None:
        self.ending = "cut"
        self.had_faults.add("power cut")
        self.loop.is_process_gone = True

    def _listening(self, node: Broker) -> None:
        self.turns.note("listening")
        recovery = node.store.recovery
        if self.ledger.life > 1:
            # No fault here damages what was synced.
            assert recovery.damage == [], recovery.damage
        if self.was_orderly:
            assert recovery.clean, "not in order after an orderly end"
        queues = node.vhosts["/"].queues
        assert self.sure <= set(queues), f"declared, and gone: {self.sure - set(queues)}"
        for queue in queues.values():
            assert queue.durable, f"{queue.name} is not durable, and there"
        self.is_up = True
