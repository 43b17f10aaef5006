"""What only the operator on the broker's own machine may ask: paths below ``/control`` of the control socket.

GET answers with facts, POST with a JSON object changes something. It runs on the broker's loop.
"""

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

import broker as leveret
from broker.config import Mark, Settings
from broker.server import logs
from broker.server.broker import Broker
from broker.server.logs import LEVELS
from broker.server.resources import ResourceWatch, available_octets
from protocol.errors import ConnectionForced

log = structlog.get_logger("leveret.control")

STOP_APP_TEXT: Final = "broker forced connection closure with reason 'shutdown'"
DRAIN_TEXT: Final = "Node was put into maintenance mode"


class ActionRefused(Exception):
    """An action that is not done: ``status`` is HTTP's, the text says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class ShutDoor(asyncio.Protocol):
    """A connection that comes while the door is shut: it is closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        transport.close()


@dataclass(slots=True)
class Operator:
    """What the actions act on. ``stop`` ends the broker in order."""

    broker: Broker
    watch: ResourceWatch
    stop: Callable[[], None]

    # Facts

    def status(self) -> dict[str, Any]:
        """Return what the process is and where it listens."""
        broker = self.broker
        return {
            "node": broker.node_name,
            "pid": os.getpid(),
            "version": leveret.__version__,
            "release": broker.settings.product_version or broker.compat.profile.release,
            "is_running": self.broker.door.is_started,
            "is_taking_clients": self.broker.door.is_open,
            "is_under_maintenance": self.broker.door.is_under_maintenance,
            "alarms": sorted(broker.alarms.raised),
            "listeners": [
                {"protocol": protocol, "ip_address": address, "port": port}
                for protocol, address, port in broker.listening
            ],
            "data_dir": str(broker.settings.data_dir.absolute()),
            "memory_limit": self.watch.memory_limit_octets,
            "disk_limit": self.watch.disk_limit_octets,
        }

    def environment(self) -> dict[str, Any]:
        """Return the settings in force, without secrets."""
        secret = {key for key, field in Settings.model_fields.items() if Mark.SECRET in field.metadata}
        return self.broker.settings.model_dump(mode="json", exclude=secret)

    # Actions

    def authenticate(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return whether a password is the user's."""
        user, password = text_of(given, "user"), text_of(given, "password")
        return {"is_right": self.broker.access_control.users.is_login(user, password.encode())}

    def set_memory_limit(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Set the memory limit, in octets or as a share of what there is."""
        if "octets" in given:
            limit = int(number_of(given, "octets"))
        else:
            limit = int(number_of(given, "fraction") * available_octets())
        self.watch.memory_limit_octets = limit
        return self._limits_changed()

    def set_disk_limit(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Set the disk limit, in octets or as a multiple of the memory."""
        if "octets" in given:
            limit = int(number_of(given, "octets"))
        else:
            limit = int(number_of(given, "memory_factor") * available_octets())
        self.watch.disk_limit_octets = limit
        return self._limits_changed()

    def _limits_changed(self) -> dict[str, Any]:
        limits = {"memory_limit": self.watch.memory_limit_octets, "disk_limit": self.watch.disk_limit_octets}
        log.info("limits were set", **limits)
        self.watch.look()
        return limits

    def stop_broker(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """End in order, after the answer."""
        log.info("Leveret stops", by="the operator")
        self.broker.loop.call_soon(self.stop)
        return {}

    def stop_app(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Close all connections and let no more in."""
        self.broker.door.is_started = False
        self._close_all(STOP_APP_TEXT)
        log.info("nobody is let in", by="the operator")
        return {}

    def _close_all(self, text: str) -> None:
        for connection in list(self.broker.connections):
            connection.close(ConnectionForced(text))

    def start_app(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Let clients in again; it ends maintenance and suspended listeners, too: RabbitMQ 3.10 listens anew."""
        door = self.broker.door
        door.is_started, door.is_suspended, door.is_under_maintenance = True, False, False
        self._tell_whether_open()
        return {}

    def suspend_listeners(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Let no more in; with ``is_draining`` close who is connected, too: maintenance."""
        door = self.broker.door
        door.is_suspended = True
        if given.get("is_draining"):
            door.is_under_maintenance = True
            self._close_all(DRAIN_TEXT)
        log.warning("nobody more is let in", by="the operator", is_under_maintenance=door.is_under_maintenance)
        return {}

    def resume_listeners(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Let clients in again, unless ``stop_app`` keeps them out, and end maintenance."""
        self.broker.door.is_suspended = self.broker.door.is_under_maintenance = False
        self._tell_whether_open()
        return {}

    def _tell_whether_open(self) -> None:
        door = self.broker.door
        if door.is_open:
            log.info("clients are let in", by="the operator")
        else:
            log.warning("still nobody is let in", why=door.why_shut)

    def reset(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Delete everything and make what the first start makes. Raises ActionRefused while clients are let in."""
        if self.broker.door.is_started:
            raise ActionRefused(400, "stop_app comes before reset")
        control = self.broker.access_control
        for vhost in tuple(control.vhosts):
            control.delete_vhost(vhost)
        for user in control.users.listed():
            control.delete_user(user.name)
        self.broker.make_default_if_empty()
        log.warning("everything was deleted", by="the operator")
        return {}

    def set_log_level(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Log more or less from now on."""
        level = text_of(given, "level")
        if level not in LEVELS:
            raise ActionRefused(400, f"the log level is one of {', '.join(LEVELS)}")
        logs.set_level(level)
        logs.announce("log level was set", to=level)
        return {}

    def answer(self, method: str, name: str, body: bytes) -> dict[str, Any]:
        """Return an action's answer. Raises ActionRefused."""
        if method == "GET":
            facts = {"status": self.status, "environment": self.environment}.get(name)
            if facts is None:
                raise ActionRefused(404, "no such action")
            return facts()
        action = {
            "authenticate": self.authenticate,
            "memory-limit": self.set_memory_limit,
            "disk-limit": self.set_disk_limit,
            "stop": self.stop_broker,
            "stop-app": self.stop_app,
            "start-app": self.start_app,
            "suspend-listeners": self.suspend_listeners,
            "resume-listeners": self.resume_listeners,
            "reset": self.reset,
            "log-level": self.set_log_level,
        }.get(name)
        if action is None or method != "POST":
            raise ActionRefused(404, "no such action")
        try:
            given = json.loads(body)
        except ValueError:
            given = None
        if not isinstance(given, dict):
            raise ActionRefused(400, "a JSON object is expected")
        return action(given)


def text_of(given: Mapping[str, Any], key: str) -> str:
    """Return a text of the body. Raises ActionRefused."""
    value = given.get(key)
    if not isinstance(value, str):
        raise ActionRefused(400, f"{key} must be a text")
    return value


def number_of(given: Mapping[str, Any], key: str) -> float:
    """Return a number of the body. Raises ActionRefused."""
    value = given.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 60:
        raise ActionRefused(400, f"{key} must be a number")
    return value
