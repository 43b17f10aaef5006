"""The broker's life: open the data directory, recover, listen, wait for a signal, drain, close.

Nothing is listened on before all data is back, and nothing is closed before what was promised is on disk. What
is killed at any moment loses nothing that was confirmed, so stopping in a hurry is always allowed.
"""

import asyncio
import contextlib
import gc
import os
import platform
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

import structlog

import broker
from broker.config import Settings
from broker.control.actions import Operator, ShutDoor
from broker.control.server import ControlSocket
from broker.management.door import Doors
from broker.server import descriptors, listener, logs, supervisor
from broker.server.boot_definitions import DefinitionsError, load_definitions
from broker.server.broker import Broker
from broker.server.clock import Clock
from broker.server.recovery_progress import RecoveryProgress
from broker.server.refusals import OAuth2Error
from broker.server.resources import ResourceWatch, keep_memory_at_hand
from broker.server.surging import SurgingConnection
from broker.server.tls import Certificates, TlsError, amqp_files, http_files
from broker.server.unlogged import LEVELS
from protocol.errors import ConnectionForced, InternalFault
from storage.errors import StorageError
from storage.metered import MeteredDisk, MeteredUnsyncedDisk
from storage.store import Store
from storage.syncing import FileSync, KernelSync

# Errors that end the start; each has one line of text and its own ``exit_code``.
START_ERRORS: Final = (StorageError, listener.ListenError, TlsError, OAuth2Error, DefinitionsError)

DISK_FAILED_TEXT: Final = "the broker's disk has failed; what is not confirmed may be lost"
SHUTDOWN_TEXT: Final = "broker forced connection closure with reason 'shutdown'"

# How long clients may take to answer connection.close; the log's last sync still has to fit into 5 s after it.
DRAIN_S: Final = 2.0
DRAIN_LOOK_S: Final = 0.01

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

COLLECTED_AFTER: Final = (10_000, 3, 1_000)
"""Objects that are new, and collections of the young, before garbage is collected. Hardly anything here is in circles,
and to look for some among all waiting messages, as often as Python does by itself, took half of the time of a drain.
The young are never more than 40,000, for to look through them keeps every client waiting, some 10 ms.
"""

log = structlog.get_logger()


def run(settings: Settings, warnings: Sequence[str] = (), config_files: Sequence[Path] = ()) -> int:
    """Run the broker until a signal or a failing disk stops it; return the exit code.

    Raises one of START_ERRORS when it cannot start: StorageError when the data directory is in use, unreadable
    or of another format (nothing has been written then), ListenError when the address cannot be listened on,
    TlsError when its certificate cannot be used, DefinitionsError when there is something wrong with what it is to
    import. ``warnings`` are logged; ``config_files`` are those that were read.
    """
    logs.set_up(settings.log_format, settings.log_level)
    for number in STOP_SIGNALS:
        signal.signal(number, leave_before_start)
    descriptors.raise_limit()
    new_loop, loop_name = loop_factory()
    log.info(
        "Leveret starts",
        version=broker.__version__,
        python=platform.python_version(),
        loop=loop_name,
        pid=os.getpid(),
        data_dir=str(settings.data_dir.absolute()),
        durability=settings.durability,
    )
    for warning in warnings:
        log.warning("a setting of RabbitMQ's is not used", setting=warning)
    if settings.durability != "fsync":
        log.warning("not for production", durability=settings.durability, meaning=LEVELS[settings.durability])
    certificates = Certificates(amqp_files(settings)) if settings.tls_certificate is not None else None
    has_https = settings.management_tls_port or settings.metrics_tls_port
    http_certificates = Certificates(http_files(settings)) if has_https else None
    if settings.plain_tcp == "off" and certificates is None:
        raise TlsError("plain_tcp: it is off, and without tls_certificate there is nothing else to listen with")
    sockets = listener.bind(settings.host, settings.port) if settings.plain_tcp == "on" else []
    tls_sockets: list[socket.socket] = []
    try:
        if certificates is not None:
            tls_sockets = listener.bind(settings.host, settings.tls_port)
        with asyncio.Runner(loop_factory=new_loop) as runner:
            life = Life(settings, sockets, certificates, tls_sockets, http_certificates)
            life.config_files = config_files
            return runner.run(life.live())
    finally:
        listener.close_all(sockets + tls_sockets)


class Life:
    """One run of the broker, from the opened data directory to the closed one."""

    def __init__(
        self,
        settings: Settings,
        sockets: list[socket.socket],
        certificates: Certificates | None = None,
        tls_sockets: Sequence[socket.socket] = (),
        http_certificates: Certificates | None = None,
    ) -> None:
        self.settings = settings
        self.sockets = sockets
        self.certificates = certificates
        self.http_certificates = http_certificates
        self.tls_sockets = tls_sockets
        self.config_files: Sequence[Path] = ()
        self.exit_code = 0
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._node: Broker | None = None
        self._watch: ResourceWatch | None = None

    async def live(self) -> int:
        """Start, serve, stop; return the exit code."""
        self._loop = loop = asyncio.get_running_loop()
        clock = Clock(loop)
        store = Store.open(
            self.settings.data_dir,
            notify=self.notify,
            segment_octets=self.settings.segment_octets,
            on_failure=self.disk_failed,
            on_space=self.space_changed,
            on_progress=RecoveryProgress(clock, "log, in octets").reached,
            disk=MeteredDisk() if self.settings.durability == "fsync" else MeteredUnsyncedDisk(),
            sync=self.file_sync(loop) if self.settings.durability == "fsync" else None,
        )
        try:
            log_recovery(store)
            self._node = node = Broker(self.settings, loop, store, clock)
            node.config_files = self.config_files
            node.descriptors = descriptors.DescriptorRoom(clock, descriptors.limit())
            node.restore()
            if self.settings.load_definitions is not None:
                load_definitions(node, self.settings.load_definitions)
            node.identify()
            self._watch = node.watch = ResourceWatch(self.settings, node.alarms, node.clock, store)
            self._watch.start()
            control = self.open_control(node, self._watch)
            servers = await self.listen(loop, node)
            logs.gather(clock.call_later)
            doors = Doors(node, self.http_certificates)
            await doors.open()
            supervisor.tell(supervisor.READY)
            await self._stopping.wait()
            supervisor.tell(supervisor.STOPPING)
            doors.close()
            await drain(node, servers)
            if control is not None:
                await control.close()
        finally:
            logs.gather_no_more()
            store.close()
        log.info("Leveret has stopped", exit_code=self.exit_code)
        return self.exit_code

    def file_sync(self, loop: asyncio.AbstractEventLoop) -> FileSync | None:
        """Return what syncs the log without a thread, where this system has it."""
        try:
            return KernelSync(loop, self.receive)
        except OSError:
            return None

    def open_control(self, node: Broker, watch: ResourceWatch) -> ControlSocket | None:
        """Let the operator in; the broker can do without."""
        try:
            control = ControlSocket(self.settings.data_dir)
        except OSError as error:
            log.warning("there is no control socket, so 'leveret ctl' needs --url", reason=listener.reason(error))
            return None
        control.serve(Operator(node, watch, self._stopping.set))
        return control

    def new_connection(self, node: Broker) -> asyncio.Protocol:
        """Return what serves a client that has come."""
        return SurgingConnection(node) if node.door.is_open else ShutDoor()

    async def listen(self, loop: asyncio.AbstractEventLoop, node: Broker) -> list[asyncio.Server]:
        """Accept connections, and say so. Raises ListenError."""
        # What was imported and recovered stays; no collection needs to look through it again.
        gc.freeze()
        gc.set_threshold(*COLLECTED_AFTER)
        gc.enable()
        keep_memory_at_hand()
        for number in STOP_SIGNALS:
            catch_signal(loop, number, self.stop)
        if hasattr(signal, "SIGHUP"):
            catch_signal(loop, signal.SIGHUP, self.reload)
        try:
            servers = [
                await loop.create_server(lambda: self.new_connection(node), sock=bound, backlog=listener.BACKLOG)
                for bound in self.sockets
            ]
            if self.certificates is not None:
                servers += [
                    await loop.create_server(
                        lambda: self.new_connection(node),
                        sock=bound,
                        backlog=listener.BACKLOG,
                        ssl=self.certificates.context,
                        ssl_handshake_timeout=self.settings.handshake_timeout_s,
                    )
                    for bound in self.tls_sockets
                ]
        except OSError as error:
            # Binding succeeds beside another process that has bound the port and does not listen yet.
            raise listener.ListenError(self.settings.host, self.settings.port, listener.reason(error)) from None
        node.listening += [("amqp", *bound.getsockname()[:2]) for bound in self.sockets]
        node.listening += [("amqp/ssl", *bound.getsockname()[:2]) for bound in self.tls_sockets]
        if self.certificates is not None:
            node.tls_files["amqp/ssl"] = self.certificates.files
        for bound in self.tls_sockets:
            # RabbitMQ's words: testcontainers waits for them where it has asked for TLS.
            logs.announce(f"started TLS (SSL) listener on {listener.shown_address(*bound.getsockname()[:2])}")
        logs.announce(
            "Server startup complete",
            **({"port": self.sockets[0].getsockname()[1]} if self.sockets else {}),
            **({"tls_port": self.tls_sockets[0].getsockname()[1]} if self.tls_sockets else {}),
            addresses=[listener.shown_address(*bound.getsockname()[:2]) for bound in self.sockets or self.tls_sockets],
        )
        return servers

    def notify(self, report: Callable[[], None]) -> None:
        """Hand a report over from the log's writer thread to the loop."""
        self._loop.call_soon_threadsafe(self.receive, report)

    def receive(self, report: Callable[[], None]) -> None:
        """Take a report of the log's writer thread, and finish what it has set going."""
        report()
        if self._node is not None:
            self._node.finish_read()

    def stop(self, number: signal.Signals) -> None:
        """Stop in order because of a signal; the next signal does not wait for anything."""
        log.info("Leveret stops", signal=number.name)
        loop = asyncio.get_running_loop()
        for each in STOP_SIGNALS:
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(each)
            signal.signal(each, leave_at_once)
        self._stopping.set()

    def reload(self, number: signal.Signals) -> None:
        """Read what can be renewed while running: certificates and the keys of tokens.

        What is wrong with them is logged, and the old ones stay.
        """
        tokens = self._node.admission.tokens if self._node is not None else None
        certificates = [each for each in (self.certificates, self.http_certificates) if each is not None]
        if not certificates and tokens is None:
            log.info("there is nothing to read again", signal=number.name)
        for each in certificates:
            try:
                each.reload()
            except TlsError as error:
                log.error("certificates were not renewed", error=str(error))
            else:
                log.info("certificates are renewed", file=str(each.files.certificate))
        if tokens is not None:
            try:
                tokens.keys.reload(lambda: log.info("signing keys are renewed"))
            except OAuth2Error as error:
                log.error("signing keys were not renewed", error=str(error))

    def disk_failed(self, error: StorageError) -> None:
        """Stop because nothing can be kept any more; only a restart finds out what is really on the disk."""
        log.error("the log cannot be written, Leveret stops", error=str(error))
        self.exit_code = error.exit_code
        for connection in list(self._node.connections) if self._node is not None else ():
            connection.close(InternalFault(DISK_FAILED_TEXT))
        self._stopping.set()

    def space_changed(self, is_short: bool) -> None:
        """Have publishers wait while the disk is full."""
        if is_short:
            log.error("the disk is full: nothing is confirmed until there is room")
        else:
            log.warning("the disk has room again")
        if self._watch is not None:
            self._watch.look()


async def drain(node: Broker, servers: list[asyncio.Server]) -> None:
    """Stop accepting, close all connections with 320 and wait for the clients to go, DRAIN_S at most.

    The sockets of clients that stay are closed with the process.
    """
    for server in servers:
        server.close()
    for connection in list(node.connections):
        connection.close(ConnectionForced(SHUTDOWN_TEXT))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            while node.connections:
                await asyncio.sleep(DRAIN_LOOK_S)


def log_recovery(store: Store) -> None:
    """Log what came back from the data directory, and louder what did not."""
    recovery = store.recovery
    log.info(
        "recovered",
        definitions=len(recovery.definitions),
        messages=recovery.message_count,
        segments=recovery.segments,
        octets=recovery.octets,
        last_end="in order" if recovery.clean else "none, or not in order",
        duration_ms=round(recovery.duration_s * 1000),
    )
    if recovery.dropped_octets:
        # Not a loss: a batch that is not whole was never promised to anybody.
        log.warning("cut an unfinished batch off the end of the log", octets=recovery.dropped_octets)
    for damage in recovery.damage:
        log.error("the log is damaged, messages may be missing", damage=damage)
    for what in recovery.quarantined:
        log.error("damaged octets are not used", what=what)


def loop_factory() -> tuple[Callable[[], asyncio.AbstractEventLoop], str]:
    """Return what makes the event loop, and its name: uvloop's where there is one, else asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop, "asyncio"
    return uvloop.new_event_loop, "uvloop"


def catch_signal(
    loop: asyncio.AbstractEventLoop, number: signal.Signals, action: Callable[[signal.Signals], None]
) -> None:
    """Have the loop call ``action`` when the signal comes."""
    try:
        loop.add_signal_handler(number, action, number)
    except NotImplementedError:  # Windows
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(action, number) and None)


def leave_before_start(number: int, _frame: FrameType | None) -> None:
    """End while recovering. Nobody is connected, and recovery can be cut off at any point as by a kill."""
    log.info("Leveret stops before it was ready", signal=signal.Signals(number).name)
    os._exit(0)


def leave_at_once(number: int, _frame: FrameType | None) -> None:
    """End without waiting for clients or for the log; what was confirmed is on the disk already."""
    log.warning("Leveret is forced to stop", signal=signal.Signals(number).name)
    os._exit(128 + number)
