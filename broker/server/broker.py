"""The broker: what connections share, and what happens once at the end of each read.

Holds the store, the virtual hosts and the lists of who has something to do: queues to drain, channels to confirm
on, connections to write. It listens to nothing itself (lifecycle.py) and decodes nothing (connection.py).
"""

import asyncio
import hmac
import random
from typing import TYPE_CHECKING

from broker.config import Settings
from broker.core.enqueue import Enqueuer
from broker.core.messages import MessageIds, Stretch, decode_envelope
from broker.core.queues.classic import ClassicQueue
from broker.core.vhosts import VirtualHost
from broker.server.clock import Clock
from storage.store import Store

if TYPE_CHECKING:
    from broker.server.channel import Channel
    from broker.server.connection import Connection

UNWRITTEN_HIGH_OCTETS = 32 << 20
"""While more than this waits for the disk, publishers are not read."""
UNWRITTEN_LOW_OCTETS = 8 << 20
PASSES_A_READ = 4


class Broker:
    """One node. ``store`` is open and recovered; ``restore`` must come before the first connection."""

    def __init__(
        self,
        settings: Settings,
        loop: asyncio.AbstractEventLoop,
        store: Store,
        clock: Clock,
        seed: int | None = None,
    ) -> None:
        self.settings = settings
        self.loop = loop
        self.store = store
        self.clock = clock
        self.random = random.Random(seed)  # noqa: S311 (names, not secrets)
        self.connections: set[Connection] = set()
        self.vhosts: dict[str, VirtualHost] = {}
        self.touched: list[ClassicQueue] = []
        self.confirming: list[Channel] = []
        self.unwritten: list[Connection] = []
        self.enqueuer = Enqueuer(MessageIds(), store)
        self._paused: list[Connection] = []
        self._is_finish_scheduled = False

    # Life

    def restore(self) -> None:
        """Take over what the store recovered: definitions, then messages into their queues."""
        recovery = self.store.recovery
        self.enqueuer.ids.next_id = recovery.next_message_id
        queues = {queue.id: queue for vhost in self.vhosts.values() for queue in vhost.queues.values()}
        for run in recovery.messages:
            shape = decode_envelope(run.envelope, run.pieces[0])
            stretch = Stretch(shape, run.ids, run.pieces, run.redelivered)
            for queue_id in run.queues:
                queues[queue_id].restore(stretch)

    def authenticate(self, user: str, password: str, is_local: bool) -> bool:
        """Say whether ``user`` may log in; one of ``loopback_users`` only from the broker's own machine."""
        settings = self.settings
        is_known = user == settings.default_user
        is_right = hmac.compare_digest(password.encode(), settings.default_pass.encode())
        return is_known and is_right and bool(password) and (is_local or user not in settings.loopback_users)

    # The end of a read

    def finish_read(self) -> None:
        """Drain the queues that were touched, hand the log its batch, and write what is due, once for each."""
        touched = self.touched
        for _ in range(PASSES_A_READ):
            if not touched:
                break
            queues = tuple(touched)
            touched.clear()
            for queue in queues:
                if not queue.is_deleted:
                    queue.drain()
        else:
            if touched:
                self.schedule_finish()
        self.store.flush()
        if self.confirming:
            for channel in self.confirming:
                channel.send_confirms()
            self.confirming.clear()
        if self.unwritten:
            connections = tuple(self.unwritten)
            self.unwritten.clear()
            for connection in connections:
                connection.flush()

    def schedule_finish(self) -> None:
        """Finish in the next turn of the loop, so that others get theirs."""
        if not self._is_finish_scheduled:
            self._is_finish_scheduled = True
            self.loop.call_soon(self._finish_scheduled)

    def _finish_scheduled(self) -> None:
        self._is_finish_scheduled = False
        self.finish_read()

    def after_sync(self) -> None:
        """Finish what the log's reports have set going, and read publishers again when it has caught up."""
        self.finish_read()
        if self._paused and self.store.unwritten_octets <= UNWRITTEN_LOW_OCTETS:
            paused, self._paused = self._paused, []
            for connection in paused:
                connection.resume_reading()

    # Backpressure

    def must_pause(self) -> bool:
        """Say whether publishers must wait for the disk."""
        return self.store.unwritten_octets > UNWRITTEN_HIGH_OCTETS

    def pause(self, connection: "Connection") -> None:
        """Read ``connection`` again only when the log has caught up."""
        self._paused.append(connection)
        connection.pause_reading()
