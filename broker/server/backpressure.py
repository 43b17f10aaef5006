"""Who waits for the disk: publishers while too much is unwritten, and dead letters, for which nobody is paused.

Dead letters have their turn queue by queue. A connection that publishes to a queue which is behind with them is read
again only when that queue has caught up, so that what is over its limit, or has expired in it, does not pile up. On a
full disk there are no more of them than leaves some of the reserve for settlements, which give room.
RabbitMQ has neither: it dead-letters without flow control, and only the memory alarm bounds what that takes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from broker.server.clock import Clock
from storage.store import Store

if TYPE_CHECKING:
    from broker.server.connection import Connection

UNWRITTEN_HIGH_OCTETS = 32 << 20
"""While more than this waits for the disk, publishers are not read."""
UNWRITTEN_LOW_OCTETS = 8 << 20
LEAST_OCTETS = 64
"""Less is never too much, however small the disk: it is the head of a batch with nothing in it."""
DEAD_LETTERS_SHARE = 2
"""One part in so many of that is enough that no more dead letters come: publishers are not to wait for them alone."""
LOOK_MS = 200
"""While the disk is full, there may be room for dead letters again: as messages go, and so do segments."""


class Backpressure:
    """Compares what waits for the disk with what may. See core/queues/dying.py, Room, for what queues ask of it."""

    __slots__ = ("_behind", "_clock", "_is_armed", "_paused", "_store", "_waiting", "pressed")

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._paused: list[Connection] = []
        self._waiting: list[Callable[[], None]] = []
        self._behind: dict[object, list[Connection]] = {}
        self.pressed: object = None
        """Which queue that is behind something was published to in this read."""
        self._is_armed = False

    # Publishers

    def must_pause(self) -> bool:
        """Say whether whoever published in this read must wait."""
        return self.pressed is not None or self._is_over(1)

    def pause(self, connection: "Connection") -> None:
        """Read ``connection`` again only when the log, or the queue that it published to, has caught up."""
        pressed, self.pressed = self.pressed, None
        if pressed is not None:
            connection.pause_reading("dead letters")
            self._behind.setdefault(pressed, []).append(connection)
            return
        connection.pause_reading("full log")
        self._paused.append(connection)
        self._arm()

    def _is_over(self, share: int) -> bool:
        store = self._store
        if store.pages.unwritten_octets > UNWRITTEN_HIGH_OCTETS:
            return True
        unwritten_octets = store.unwritten_octets
        if unwritten_octets < LEAST_OCTETS:
            return False
        return unwritten_octets > min(UNWRITTEN_HIGH_OCTETS, store.unwritten_limit_octets) // share

    # Dead letters

    def is_open(self) -> bool:
        """As ``Room.is_open``."""
        return not self._waiting and not self._is_over(DEAD_LETTERS_SHARE) and self._fits()

    def wait(self, then: Callable[[], None]) -> None:
        """As ``Room.wait``."""
        self._waiting.append(then)
        self._arm()

    def press(self, who: object) -> None:
        """As ``Room.press``."""
        self.pressed = who

    def caught_up(self, who: object) -> None:
        """As ``Room.caught_up``."""
        if self.pressed is who:
            self.pressed = None
        for connection in self._behind.pop(who, ()):
            connection.resume_reading("dead letters")

    def dead_letter(self, publish: Callable[[], None]) -> None:
        """Have ``publish()`` publish dead letters: nobody's publishes, so nobody is paused for where they go."""
        pressed = self.pressed
        publish()
        self.pressed = pressed

    def _fits(self) -> bool:
        """Whether more fits on the disk, should it be full, and leaves room for settlements."""
        store = self._store
        return not store.is_short or store.space.has_room_for(store.unwritten_octets)

    # When the disk has caught up

    def _arm(self) -> None:
        if not self._is_armed:
            self._is_armed = True
            self._store.promise(self._written)

    def _written(self, ticket: int) -> None:
        """A batch is on disk: go on, unless too much waits still."""
        if self._store.unwritten_octets > min(UNWRITTEN_LOW_OCTETS, self._store.unwritten_limit_octets // 2):
            self._store.promise(self._written)
            return
        pages = self._store.pages
        if pages.unwritten_octets > UNWRITTEN_LOW_OCTETS:
            pages.promise(lambda: self._written(ticket))
            return
        self._is_armed = False
        if self._fits():
            waiting, self._waiting = self._waiting, []
            for then in waiting:
                then()
        elif self._waiting:
            self._is_armed = True
            self._clock.call_later(LOOK_MS, lambda: self._written(ticket))
        paused, self._paused = self._paused, []
        for connection in paused:
            connection.resume_reading("full log")
