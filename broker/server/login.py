"""One connection's login: whom it let in, until when, and what waits while a token's key is fetched."""

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from broker.core.access.access import Access
from broker.server.admission import Admission, Visitor
from broker.server.refusals import KeysWanted, Refused

if TYPE_CHECKING:
    from broker.core.access.scopes import Grant
    from broker.server.clock import Clock, Timer

__all__ = ["KeysWanted", "Login", "Refused", "is_loopback"]

PROTOCOL: Final = "amqp091"
LOOK_MS_MAX: Final = 86_400_000
"""Longest wait of one timer; a token may be good for years."""


class Login:
    """What a connection's handshake asks about its client, and what came of it."""

    __slots__ = ("_admission", "_is_local", "_source", "_timer", "visitor", "why_refused")

    def __init__(self, admission: Admission, source: str, *, is_local: bool) -> None:
        self.visitor: Visitor | None = None
        self.why_refused = ""
        """For the log, never for the client."""
        self._admission = admission
        self._source = source
        self._is_local = is_local
        self._timer: Timer | None = None

    def authenticate(self, user: str, password: bytes | None) -> str | None:
        """Return the name of whom a login lets in, None for nobody. Raises KeysWanted."""
        from_here = {"is_local": self._is_local, "source": self._source, "protocol": PROTOCOL}
        try:
            if password is None:
                self.visitor = self._admission.log_in_by_certificate(user, **from_here)  # type: ignore[arg-type]
            else:
                self.visitor = self._admission.log_in(user, password, **from_here)  # type: ignore[arg-type]
        except Refused as refused:
            self.why_refused = str(refused)
            return None
        return self.visitor.name

    def comes_again(self, visitor: Visitor) -> bool:
        """Whether who says the same as ``visitor`` once said is let in again."""
        is_let_in = self._admission.lets_in_again(
            visitor, is_local=self._is_local, source=self._source, protocol=PROTOCOL
        )
        if is_let_in:
            self.visitor = visitor
        return is_let_in

    def may_enter(self, user: str, vhost: str) -> bool:
        """Whether the client may open a virtual host. Raises NotAllowed (530) for limits."""
        visitor = self.visitor
        return self._admission.may_enter(user, vhost, None if visitor is None else visitor.grant)

    def access(self, vhost: str) -> Access:
        """Return the checks of the connection, which is open now."""
        assert self.visitor is not None
        return self._admission.access(self.visitor, vhost)

    @property
    def grant(self) -> "Grant | None":
        """What the client's token lets it do, if it came by one."""
        return None if self.visitor is None else self.visitor.grant

    def renew(self, token: bytes) -> None:
        """Take the client's next token in place of the last; a password is of no use here, and let be as in RabbitMQ.

        Raises Refused, KeysWanted.
        """
        if self.visitor is not None and self.visitor.grant is not None:
            self.visitor = Visitor(self.visitor.name, self._admission.renewed(self.visitor.grant, token))

    def watch(self, clock: "Clock", expired: Callable[[], object]) -> None:
        """Call ``expired`` when the token's time is over, and set no timer where there is none."""
        self.cancel()
        grant = self.grant
        if grant is None or grant.expires_ms is None:
            return
        left_ms = grant.expires_ms - clock.wall_ms()
        if left_ms <= 0:
            expired()
            return
        self._timer = clock.call_later(min(left_ms, LOOK_MS_MAX), lambda: self.watch(clock, expired))

    def cancel(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether an address is the broker's own machine's."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)
