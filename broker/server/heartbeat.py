"""Heartbeats of one connection: something is sent every half interval, two silent intervals end it.

RabbitMQ: Detecting Dead TCP Connections with Heartbeats; spec: 4.2.7.
"""

from collections.abc import Callable

from broker.server.clock import Clock


class Heartbeat:
    """The connection sets ``has_received`` and ``has_sent``; any octets count, not heartbeats alone.

    While it does not listen to its client, as ``is_listening`` says, the client cannot be missed.
    """

    __slots__ = (
        "_check",
        "_clock",
        "_drop",
        "_interval_ms",
        "_send",
        "_silent_count",
        "_tick",
        "has_received",
        "has_sent",
        "is_listening",
    )

    def __init__(self, clock: Clock, interval_s: int, send: Callable[[], None], drop: Callable[[str], None]) -> None:
        self._clock = clock
        self._interval_ms = interval_s * 1000
        self._send = send
        self._drop = drop
        self._silent_count = 0
        self.has_received = True
        self.has_sent = False
        self.is_listening = True
        self._tick = clock.call_later(self._interval_ms // 2, self._send_if_silent)
        self._check = clock.call_later(self._interval_ms, self._check_peer)

    def cancel(self) -> None:
        """Stop both ways."""
        self._tick.cancel()
        self._check.cancel()

    def _send_if_silent(self) -> None:
        if not self.has_sent:
            self._send()
        self.has_sent = False
        self._tick = self._clock.call_later(self._interval_ms // 2, self._send_if_silent)

    def _check_peer(self) -> None:
        self._silent_count = 0 if self.has_received or not self.is_listening else self._silent_count + 1
        self.has_received = False
        if self._silent_count >= 2:
            self.cancel()
            self._drop("missed heartbeats from client")
            return
        self._check = self._clock.call_later(self._interval_ms, self._check_peer)
