"""The broker: what connections share, and what happens once at the end of each read.

Holds the store, the virtual hosts and the lists of who has something to do: queues to drain, channels to confirm
on, connections to write. It listens to nothing itself (lifecycle.py) and decodes nothing (connection.py).
"""

import asyncio
import random
import socket
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

import broker as leveret
from broker.config import Settings
from broker.core.access.control import AccessControl, AccessEvents
from broker.core.arrivals import Arrivals
from broker.core.compat import Compat, Feature, Version
from broker.core.exchanges.kept import ExchangeContext
from broker.core.messages import MessageIds, Stretch
from broker.core.names import QueueNames
from broker.core.parameters import Parameters
from broker.core.publish.dead_letters import DeadLetters
from broker.core.publish.enqueue import Enqueuer
from broker.core.publish.republish import Republisher
from broker.core.queues.classic import ClassicQueue
from broker.core.queues.coming import MakeQueue
from broker.core.queues.context import QueueContext
from broker.core.queues.types import QUEUE_TYPES
from broker.core.residency import Residency
from broker.core.restore import restore_messages
from broker.core.vhosts import VirtualHost
from broker.server.admission import Admission, load_token_login
from broker.server.alarms import Alarms, Resource
from broker.server.backpressure import Backpressure
from broker.server.channel import Channel
from broker.server.clock import Clock
from broker.server.consumer_timeouts import ConsumerTimeouts
from broker.server.counters import Counters
from broker.server.deadlines import Deadlines
from broker.server.departures import Departures
from broker.server.descriptors import DescriptorRoom
from broker.server.door import Door
from broker.server.firehose import Firehose
from broker.server.gathering import Gathering
from broker.server.heavy import HeavySenders
from broker.server.limits import CLOSE_LINGER_MS
from broker.server.login import Login
from broker.server.message_sizes import MessageSizes, SizingChannel
from broker.server.polling import BusyPolling
from broker.server.recovery_progress import RecoveryProgress
from broker.server.returning import ReturningClients
from broker.server.surge import Surges
from broker.server.tls import TlsFiles
from broker.server.unlogged import UnloggedMessages
from protocol.handshake import MECHANISMS, Handshake, Offer, external
from storage.store import Store

log = structlog.get_logger("leveret.broker")

if TYPE_CHECKING:
    from broker.server.connection import Connection
    from broker.server.peer import Peer
    from broker.server.resources import ResourceWatch

PASSES_A_READ = 4
CLUSTER_ID = "internal_cluster_id"


def _log_deprecated(feature: Feature, version: Version) -> None:
    log.warning("used for the first time: what a later RabbitMQ refuses", feature=feature, refused_from=version)


class Broker:
    """One node. ``restore`` comes before the first connection. ``seed`` is for tests: names are random else."""

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
        self.random = random.SystemRandom() if seed is None else random.Random(seed)
        self.started_ms = clock.monotonic_ms()
        self.node_name = settings.node_name or f"rabbit@{socket.gethostname().partition('.')[0] or 'localhost'}"
        self.config_files: Sequence[Path] = ()
        self.message_sizes = MessageSizes() if settings.message_sizes == "on" else None
        self.counters = Counters()
        self.listening: list[tuple[str, str, int]] = []
        """Protocol, address and port of everything that is listened on."""
        self.tls_files: dict[str, TlsFiles] = {}
        """What TLS is spoken with, by the same protocol."""
        self.parameters = Parameters(store.define)
        self.compat = Compat(settings.compat, _log_deprecated)
        self.max_message_octets = settings.max_message_octets
        if "max_message_octets" not in settings.model_fields_set:
            self.max_message_octets = self.compat.profile.message_octets_most
        self.connections: set[Connection] = set()
        self.vhosts: dict[str, VirtualHost] = {}
        events = AccessEvents(self._user_going, self._vhost_going)
        self.access_control = AccessControl(self.vhosts, self._make_vhost, store.define, events, self.compat)
        self.admission = Admission(self.access_control, settings.loopback_users)
        self.admission.backends = settings.auth_backends
        self.admission.connection_max = settings.connection_max
        self.descriptors = DescriptorRoom(clock, None)
        if "oauth2" in settings.auth_backends:
            self.admission.tokens = load_token_login()(settings, clock, loop)
        self.touched: list[ClassicQueue] = []
        self.confirming: list[Channel] = []
        self.unwritten: list[Peer] = []
        self.departures = Departures(self.schedule_finish)
        self.polling = BusyPolling(
            clock,
            loop.call_soon,
            lambda: store.is_idle and not self.gathering.streams,
            is_wanted=settings.busy_polling == "auto",
        )
        self.gathering = Gathering(clock, self._busy_ms, self.finish_read, loop.call_soon)
        self.heavy_senders = HeavySenders(loop.call_soon)
        self.surges = Surges(lambda: self.enqueuer.run_count)
        messages = UnloggedMessages(store) if settings.durability == "memory" else store
        self.residency = Residency(store, settings.resident_octets, is_logging=messages is store)
        self.residency.on_lost = self._lost
        self.backpressure = Backpressure(store, clock)
        self.queue_context = QueueContext(
            messages,
            clock,
            self.touched,
            self._dead_letter,
            self._expire_queue,
            store.define,
            residency=self.residency,
            room=self.backpressure,
        )
        self.enqueuer = Enqueuer(MessageIds(store.recovery.next_message_id), messages, clock)
        self.arrivals = Arrivals(self.enqueuer.ids, clock)
        self.dead_letters = DeadLetters(self.vhosts, self.enqueuer, clock)
        republisher = Republisher(self.vhosts, self.enqueuer)
        self.exchange_context = ExchangeContext(self.queue_context, republisher.republish, republisher.enqueue)
        self.dead_letters.count = self.counters.died
        self.firehose = Firehose(self, republisher, self.node_name)
        clock.after_calls = self.finish_read
        self.alarms = Alarms(self.connections)
        self.watch: ResourceWatch | None = None
        """Who raises the alarms, with the limits in force; None until it watches."""
        self.door = Door()
        self.consumer_timeouts = ConsumerTimeouts(self.connections, clock, settings.consumer_timeout_ms)
        self.queue_context.watch_deliveries = self.consumer_timeouts.watch
        self._is_finish_scheduled = False
        self._unconnected: asyncio.Future[None] | None = None
        self._queue_ids = count(1)
        self._offer = Offer(
            product=settings.product,
            version=settings.product_version or self.compat.profile.release,
            implementation="Leveret",
            implementation_version=leveret.__version__,
            channel_max=settings.channel_max,
            frame_max=settings.frame_max,
            frame_max_least=min(self.compat.profile.frame_max_least, settings.frame_max),
            heartbeat_s=settings.heartbeat_s,
            durability=settings.durability,
        )
        self.returning = ReturningClients(self._offer, self.vhosts, self.random.randbytes(32))
        handshake_ms = int(settings.handshake_timeout_s * 1000)
        self.handshakes: Deadlines[Connection] = Deadlines(clock, handshake_ms, lambda late: late.has_taken_too_long())
        self.leaving: Deadlines[Peer] = Deadlines(clock, CLOSE_LINGER_MS, lambda late: late.abort())

    # Life

    def restore(self) -> None:
        """Take over what the store recovered: definitions, then messages into their queues."""
        recovery, settings, control = self.store.recovery, self.settings, self.access_control
        control.restore(recovery.definitions)
        self.parameters.restore(recovery.definitions)
        if settings.load_definitions is None:
            self.make_default_if_empty()
        for what in control.restore_contents(recovery.definitions):
            log.warning("a definition could not be restored", what=what)
        queues = {queue.id: queue for vhost in self.vhosts.values() for queue in vhost.logged_queues()}
        self._queue_ids = count(max(recovery.next_queue_id, *(queue_id + 1 for queue_id in queues), 1))
        progress, place_count = RecoveryProgress(self.clock, "messages into queues"), recovery.messages.place_count()
        unknown = restore_messages(
            recovery.messages,
            queues,
            self.store.reading,
            self.clock,
            lambda count: progress.more(count, place_count),
        )
        for damage in self.store.damage:
            log.error("messages cannot be read back", damage=damage)
        for queue_id in unknown:
            # Its definition went to disk as deleted, and the crash came before the same was in the log.
            self.store.delete_queue(queue_id)
        self.store.trim()

    def make_default_if_empty(self) -> None:
        """Make the first user and virtual host, if there is nobody and nothing."""
        control, settings = self.access_control, self.settings
        if control.is_empty:
            configure, write, read = settings.default_permissions.split()
            tags = [tag.strip() for tag in settings.default_user_tags.split(",") if tag.strip()]
            control.make_default(
                settings.default_vhost, settings.default_user, settings.default_pass, tags, (configure, write, read)
            )
            log.info("first start: made user and vhost", user=settings.default_user, vhost=settings.default_vhost)

    def identify(self) -> None:
        """Have a name that no other node has, by which who watches several can tell them; a global parameter as in
        RabbitMQ, so that definitions may bring another.
        """
        if self.parameters.get_global(CLUSTER_ID) is None:
            word = urlsafe_b64encode(self.random.randbytes(16)).rstrip(b"=").decode()
            self.parameters.set_global(CLUSTER_ID, f"rabbitmq-cluster-id-{word}")

    def _make_vhost(self, name: str) -> VirtualHost:
        return VirtualHost(
            name,
            make_queue={kind: self._counted(make) for kind, make in QUEUE_TYPES.items()},
            next_queue_id=lambda: next(self._queue_ids),
            queue_names=QueueNames(self.random),
            define=self.store.define,
            exchange_context=self.exchange_context,
            compat=self.compat,
        )

    def _counted(self, make: Callable[..., ClassicQueue]) -> MakeQueue:
        def make_queue(*args: Any, **properties: Any) -> ClassicQueue:
            self.counters.queues_created += 1
            return make(*args, **properties, context=self.queue_context)

        return make_queue

    def new_channel(self, connection: "Connection", number: int) -> Channel:
        """Return a channel that a connection opens."""
        sizes = self.message_sizes
        return Channel(connection, number) if sizes is None else SizingChannel(connection, number, sizes)

    def new_handshake(self, login: Login, certified_user: str | None = None) -> Handshake:
        """Return the handshake of a new connection, which ``login`` lets in.

        ``certified_user`` is whom the client's certificate names, "" for nobody; None where certificates let nobody in.
        """
        return Handshake(
            self._offer,
            authenticate=login.authenticate,
            has_vhost=self.vhosts.__contains__,
            may_enter=login.may_enter,
            mechanisms=MECHANISMS if certified_user is None else {**MECHANISMS, "EXTERNAL": external(certified_user)},
        )

    async def wait_until_unconnected(self) -> None:
        """Return when the last connection has gone."""
        while self.connections:
            self._unconnected = self.loop.create_future()
            await self._unconnected

    def forget(self, connection: "Connection") -> None:
        """Drop a connection whose socket has gone."""
        self.connections.discard(connection)
        if self.alarms.raised:
            self.alarms.forget(connection)
        if not self.connections and self._unconnected is not None and not self._unconnected.done():
            self._unconnected.set_result(None)

    def _user_going(self, user: str) -> None:
        self.admission.send_user_away(user)
        log.info("user deleted", user=user)

    def _vhost_going(self, vhost: str) -> None:
        self.admission.clear_vhost(vhost)
        self.counters.gone_of.pop(vhost, None)
        self.parameters.forget_vhost(vhost)
        self.firehose.stop(self.vhosts[vhost])
        log.info("virtual host deleted", vhost=vhost)

    # What queues ask for

    def _lost(self, queue: ClassicQueue, count: int) -> None:
        damage = self.store.reading.damage[-1:]
        log.error("messages cannot be read back", queue=queue.name, vhost=queue.vhost_name, count=count, damage=damage)

    def _dead_letter(self, queue: ClassicQueue, stretch: Stretch, reason: str) -> None:
        self.backpressure.dead_letter(lambda: self.dead_letters.dead_letter(queue, stretch, reason))

    def _expire_queue(self, queue: ClassicQueue) -> None:
        self.vhosts[queue.vhost_name].expire_queue(queue)

    # The end of a read

    def finish_read(self) -> None:
        """Drain the queues that were touched, hand the log its batch, and write what is due, once for each."""
        if self.touched:
            self._drain_touched()
        arrivals = self.arrivals
        if not arrivals.is_timed and arrivals.upto != self.enqueuer.ids.next_id:
            arrivals.note()
        self.store.flush()
        if self.residency.is_due:
            self.residency.relieve()
        if self.confirming:
            for channel in self.confirming:
                channel.send_confirms()
            self.confirming.clear()
        if self.unwritten:
            connections = tuple(self.unwritten)
            self.unwritten.clear()
            if self.consumer_timeouts.is_watching:
                self.consumer_timeouts.note(connections)
            for connection in connections:
                connection.flush()

    def _busy_ms(self) -> int:
        """How long the loop's thread has had a processor and something to do."""
        return self.clock.processor_ms() - self.polling.idle_us // 1000

    def _drain_touched(self) -> None:
        touched = self.touched
        for _ in range(PASSES_A_READ):
            queues = tuple(touched)
            touched.clear()
            for queue in queues:
                if not queue.is_deleted:
                    queue.drain()
                elif queue.enforcement is not None:
                    queue.enforcement.bury()
            if not touched:
                return
        self.schedule_finish()

    def schedule_finish(self) -> None:
        """Finish in the next turn of the loop, so that others get theirs."""
        if not self._is_finish_scheduled:
            self._is_finish_scheduled = True
            self.loop.call_soon(self._finish_scheduled)

    def _finish_scheduled(self) -> None:
        self._is_finish_scheduled = False
        self.finish_read()
        self.departures.turn()

    # Alarms

    def raise_alarm(self, resource: Resource) -> None:
        """Stop publishers, because memory or disk runs low."""
        self.alarms.raise_alarm(resource)

    def clear_alarm(self, resource: Resource) -> None:
        """Let publishers go on, unless the other runs low still."""
        self.alarms.clear_alarm(resource)
