"""The node as the management API sees it: the broker, its name, and what only the API keeps."""

import socket
from typing import Any, Final

from broker.management.rates import Rates
from broker.server.admission import LoginCounts
from broker.server.broker import Broker
from broker.server.resources import memory_limit_octets

CLUSTER_NAME: Final = "cluster_name"


class ManagedNode:
    """One for each app. ``http_logins`` are counted by whoever lets in by HTTP."""

    def __init__(self, broker: Broker, http_logins: LoginCounts) -> None:
        self.broker = broker
        self.http_logins = http_logins
        self.rates = Rates(broker)
        self.host_name = socket.gethostname().partition(".")[0] or "localhost"
        self.name = broker.node_name

    @property
    def cluster_name(self) -> str:
        """The name that an operator has given, else the node's."""
        name: Any = self.broker.parameters.get_global(CLUSTER_NAME)
        return name if isinstance(name, str) else self.name

    @property
    def release(self) -> str:
        """The version of RabbitMQ that clients are told."""
        return self.broker.settings.product_version or self.broker.compat.profile.release

    @property
    def uptime_ms(self) -> int:
        """How long the broker has been there."""
        return self.broker.clock.monotonic_ms() - self.broker.started_ms

    @property
    def memory_limit_octets(self) -> int:
        """The memory above which publishers must wait, as it is now: an operator may have changed it."""
        watch = self.broker.watch
        if watch is None:
            return memory_limit_octets(self.broker.settings.memory_high_watermark)
        return watch.memory_limit_octets

    @property
    def disk_limit_octets(self) -> int:
        """The free disk space below which publishers must wait, as it is now."""
        watch = self.broker.watch
        return self.broker.settings.disk_free_limit if watch is None else watch.disk_limit_octets
