"""One life of the broker after the other: the real one, from lifecycle.py, on virtual everything."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import structlog

from broker.config import Settings
from broker.core.access import passwords
from broker.server import connection, heavy, lifecycle, logs, resources, surge, surging
from broker.server.alarms import Alarms
from broker.server.broker import Broker
from broker.server.clock import Clock
from broker.server.connection import Connection
from broker.server.lifecycle import Life
from broker.server.resources import ResourceWatch
from storage import space, store, writing
from storage.committer import Call
from tests.simulation.turns import Turns, VirtualClock
from tests.simulation.writers import SteppedEvent, SteppedSync, Writers

DIRECTORY = Path("/data/leveret")


@cache
def numbered(kind: Any) -> type[Connection]:
    """Return a class of connections that stand in sets where their number says, not where they lie in memory."""

    class Numbered(kind):  # type: ignore[misc]
        number = 0

        def __hash__(self) -> int:
            return self.number

        def __eq__(self, other: object) -> bool:
            return self is other

    return Numbered


class Port:
    """What is listened on."""

    def __init__(self, on_close: Callable[[], None]) -> None:
        self.close = on_close


class SimulatedLife(Life):
    """A life without sockets, signals and control socket. ``on_listening(broker)`` when it is ready for clients."""

    def __init__(self, settings: Settings, on_listening: Callable[[Broker], None], on_shut: Callable[[], None]) -> None:
        super().__init__(settings, [])
        self._on_listening = on_listening
        self._on_shut = on_shut
        self._made_count = 0

    def open_control(self, node: Broker, watch: ResourceWatch) -> None:
        """There is none."""

    async def listen(self, loop: asyncio.AbstractEventLoop, node: Broker) -> list[Any]:
        self._on_listening(node)
        return [Port(self._on_shut)]

    def new_connection(self, node: Broker) -> asyncio.Protocol:
        made = super().new_connection(node)
        if not isinstance(made, Connection):
            return made
        kind: Any = type(made)
        one: Any = numbered(kind)(node)
        self._made_count += 1
        one.number = self._made_count
        return cast(Connection, one)

    @property
    def node(self) -> Broker | None:
        return self._node

    def stop_in_order(self) -> None:
        """As a SIGTERM."""
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()


class Surroundings:
    """What lives run in: looked up anew by each, so that a new disk or new threads can be put in between lives."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.disk: Any = None
        self.writers: Writers
        self.resident_octets = 0
        self.logged: list[dict[str, Any]] = []
        """Lines of the log that tell of an error."""

    @contextlib.contextmanager
    def in_force(self, limits: Mapping[str, int]) -> Iterator[None]:
        """Put them where the broker looks for clock, disk, threads and chance."""
        turns = self.turns
        names = Random(turns.chance.random())
        replacements: list[tuple[object, str, object]] = [
            (lifecycle, "MeteredDisk", lambda: self.disk),
            (lifecycle, "Clock", lambda loop: VirtualClock(loop, turns)),
            (lifecycle, "KernelSync", self._sync),
            (writing, "time", SimpleNamespace(monotonic=lambda: turns.now_us / 1_000_000)),
            (lifecycle, "Broker", partial(self._broker, names)),
            (lifecycle, "ResourceWatch", self._watch),
            (resources, "give_memory_back", lambda: None),
            (resources, "NEAR_OCTETS", 1 << 20),
            (store, "Committer", lambda *args: self.writers.make(*args)),
            (space, "threading", SimpleNamespace(Event=lambda: SteppedEvent(self.writers))),
            (passwords, "secrets", SimpleNamespace(token_bytes=names.randbytes)),
            (connection, "UNREAD_LIMIT_OCTETS", limits["unread_octets"]),
            (surge, "FULL_READ_OCTETS", limits["full_read_octets"]),
            (surging, "FULL_READ_OCTETS", limits["full_read_octets"]),
            (surging, "HEAVY_OCTETS", limits["full_read_octets"] // 4),
            (heavy, "TURN_OCTETS", limits["full_read_octets"]),
        ]
        with contextlib.ExitStack() as stack:
            for module, name, replacement in replacements:
                stack.enter_context(patch.object(module, name, replacement))
            stack.enter_context(self._listening_to_the_log())
            yield

    def _sync(self, loop: asyncio.AbstractEventLoop, run: Callable[[Call], object]) -> SteppedSync:
        """One life in three has none, as where the system has no such calls."""
        if self.turns.chance.random() < 0.33:
            raise OSError("not here")

        def notify(call: Call) -> None:
            loop.call_soon_threadsafe(run, call)

        return SteppedSync(self.writers, self.disk, notify)

    def _broker(self, names: Random, settings: Settings, loop: Any, kept: store.Store, clock: Clock) -> Broker:
        return Broker(settings, loop, kept, clock, names.getrandbits(32))

    def _watch(self, settings: Settings, alarms: Alarms, clock: Clock, kept: store.Store) -> ResourceWatch:
        return ResourceWatch(
            settings,
            alarms,
            clock,
            kept,
            lambda directory: self.disk.free_octets(directory),
            lambda: self.resident_octets,
        )

    @contextlib.contextmanager
    def _listening_to_the_log(self) -> Iterator[None]:
        # Whatever was configured before, and by whom: what is logged is a part of the course.
        before = structlog.get_config()
        structlog.configure(
            processors=[structlog.processors.format_exc_info, self._log],
            wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        )
        logs.renew_loggers()
        try:
            yield
        finally:
            structlog.configure(**before)
            logs.renew_loggers()

    def _log(self, _logger: Any, method: str, event: Any) -> Any:
        self.turns.note(f"log {method} {event['event']}")
        if method in ("error", "exception", "critical"):
            self.logged.append(dict(event))
        raise structlog.DropEvent
