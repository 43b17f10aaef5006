"""Whether clients are let in, as far as an operator says so."""

from dataclasses import dataclass


@dataclass(slots=True)
class Door:
    """``stop_app`` shuts it, and so do suspended listeners and maintenance, which are another state.

    RabbitMQ: rabbitmqctl(8), ``stop_app``, ``suspend_listeners``; Upgrading, "Maintenance Mode".
    """

    is_started: bool = True
    is_suspended: bool = False
    is_under_maintenance: bool = False

    @property
    def is_open(self) -> bool:
        """Whether a client that comes now may stay."""
        return self.is_started and not self.is_suspended

    @property
    def why_shut(self) -> str:
        """Why nobody is let in, for people; empty while the door is open."""
        if not self.is_started:
            return "an operator lets nobody in (stop_app)"
        if self.is_under_maintenance:
            return "the node is in maintenance mode (rabbitmq-upgrade drain)"
        return "an operator lets nobody more in (suspend_listeners)" if self.is_suspended else ""
