"""Keeps a queue's rules: messages expire, a full queue drops or refuses, an unused one goes.

Only a queue that has rules has an Enforcement, so that plain queues pay nothing. It asks the clock, and hands what
dies to ``dead_letter``, as long as there is room for dead letters. While there is none, what was rejected waits
(dying.py), and so does what has expired or is too much: at the head of the queue, or with the rejected where somebody
wants what is behind it. Nobody gets what has expired. RabbitMQ: Time-To-Live and Expiration, Queue Length Limit.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from broker.core.clock import Clock, Timer
from broker.core.messages import Stretch
from broker.core.queues.dying import STEP_COUNT, Dying, EndlessRoom, Room, fitting
from broker.core.queues.parked import ParkedStretch, unparked
from broker.core.queues.rules import QueueRules

if TYPE_CHECKING:
    from broker.core.queues.classic import ClassicQueue


DROP_LIMIT: Final = 16384
"""Messages that a queue over its limit drops at once, at the most."""


class Enforcement:
    """The rules of one queue at work. ``expire_queue`` is called when nobody has used it for long enough."""

    __slots__ = (
        "_clock",
        "_dead_letter",
        "_drain_ms",
        "_dying",
        "_expire_queue",
        "_head_due_ms",
        "_head_timer",
        "_is_pressing",
        "_is_waiting",
        "_left",
        "_moment_ms",
        "_octets",
        "_queue",
        "_room",
        "_then",
        "_unused_timer",
        "_used_ms",
        "rules",
    )

    def __init__(
        self,
        queue: "ClassicQueue",
        rules: QueueRules,
        clock: Clock,
        dead_letter: Callable[["ClassicQueue", Stretch, str], None],
        expire_queue: Callable[["ClassicQueue"], None],
        room: Room,
    ) -> None:
        self.rules = rules
        self._room = room
        self._dying: Dying | None = None
        self._then: list[Callable[[], object]] = []  # when nothing waits any more
        self._is_waiting = False  # for room
        self._is_pressing = False  # whoever published to the queue meanwhile waits
        self._left = STEP_COUNT  # may be dead-lettered in this drain
        self._drain_ms = 0
        self._queue = queue
        self._clock = clock
        self._dead_letter = dead_letter
        self._expire_queue = expire_queue
        self._octets = 0
        self._moment_ms: int | None = None
        self._head_timer: Timer | None = None
        self._head_due_ms = 0
        self._unused_timer: Timer | None = None
        self._used_ms = clock.monotonic_ms()
        self.use()

    def change(self, rules: QueueRules) -> None:
        """Go on with other rules. Messages that are there keep their deadlines; limits hold at once."""
        self.rules = rules
        self.count()
        if self._unused_timer is not None:
            self._unused_timer.cancel()
            self._unused_timer = None
        self.use()
        self.limit()
        if self._queue.message_count or self._dying is not None:
            self._queue.touch()

    def stop(self) -> None:
        """The queue is gone. What has died in it is dead-lettered all the same: ``bury`` goes on with that."""
        for timer in (self._head_timer, self._unused_timer):
            if timer is not None:
                timer.cancel()
        self._release()

    # Time to live

    def admit(self, stretch: Stretch, age_ms: int = 0) -> Stretch:
        """Return ``stretch`` with the time at which it expires: the lower of the queue's limit and its own."""
        ttl_ms = self._ttl_ms(stretch)
        if self._is_waiting or self._dying is not None:
            self._is_pressing = True
            self._room.press(self)
        if self.rules.max_length_octets is not None:
            self._octets += stretch.body_octets()
        if ttl_ms is None:
            return stretch
        now_ms = self._clock.monotonic_ms()
        if self._moment_ms is None:
            self._moment_ms = now_ms
        return stretch.expiring(now_ms - age_ms + ttl_ms)

    def dated(self, stretch: Stretch, age_ms: int) -> Stretch:
        """As ``admit``, for messages that were admitted ``age_ms`` ago."""
        ttl_ms = self._ttl_ms(stretch)
        return stretch if ttl_ms is None else stretch.expiring(self._clock.monotonic_ms() - age_ms + ttl_ms)

    def _ttl_ms(self, stretch: Stretch) -> int | None:
        ttl_ms = self.rules.message_ttl_ms
        expiration = stretch.shape.facts.expiration
        if expiration is not None and (ttl_ms is None or int(expiration) < ttl_ms):
            return int(expiration)
        return ttl_ms

    def begin_drain(self) -> bool:
        """Go on with what has died, and let messages expire; as ``expire``.

        The time is that of the first publish since the last drain, so that no message dies while a consumer that waits
        for it could not get it yet.
        """
        self._left = STEP_COUNT
        self._drain_ms = self._clock.monotonic_ms() if self._moment_ms is None else self._moment_ms
        if self._dying is not None:
            self.bury()
        return self.expire()

    def expire(self) -> bool:
        """Let messages at the head die whose time was before that of the drain; False while the head is one of them.

        Those behind a later one wait, as in RabbitMQ. A message may live for 0 ms: it is delivered if somebody waits
        for it when it comes.
        """
        return self._expire(self._drain_ms, must_go=bool(self._queue.line.waiting))

    def uncover(self) -> None:
        """Somebody takes the head now: nothing that has expired may be there, if it is in memory."""
        self._left = self._queue.message_count
        self._expire(self._clock.monotonic_ms() + 1, must_go=True)

    def _expire(self, now_ms: int, *, must_go: bool) -> bool:
        """``must_go``: somebody wants the head, so what has expired goes from there, if only to wait elsewhere."""
        queue = self._queue
        is_free = self.rules.dead_letter_exchange is None
        while queue.message_count and queue.backlog.is_at_hand:
            deadline_ms = queue.backlog.head().deadline_ms
            if deadline_ms is None or deadline_ms >= now_ms:
                return True
            count = queue.backlog.head_count()
            if not is_free:
                if self._left <= 0:
                    queue.touch()
                    return False
                if not must_go and not self._has_room():
                    self._wait()
                    return False
                count = min(count, self._left, fitting(queue.backlog.head()))
                self._left -= count
            self.die(queue.take(count), "expired")
        return True

    def after_drain(self) -> None:
        """Nobody takes more now: let go what must, and wait for the next deadline."""
        self._moment_ms = None
        self.limit()
        if self._expire(self._clock.monotonic_ms() + 1, must_go=False):
            self._await_head()
        self._release()

    def _await_head(self) -> None:
        queue = self._queue
        deadline_ms = queue.backlog.head().deadline_ms if queue.backlog.is_at_hand else None
        if deadline_ms is None:
            return
        if self._head_timer is not None:
            if self._head_due_ms <= deadline_ms:
                return
            self._head_timer.cancel()
        self._head_due_ms = deadline_ms
        self._head_timer = self._clock.call_at(deadline_ms, self._head_is_due)

    def _head_is_due(self) -> None:
        self._head_timer = None
        if not self._queue.is_deleted:
            self._queue.touch()

    # Limits

    def is_full(self, body_octets: int) -> bool:
        """Whether a message of this size would be too much, so that it is refused if that is the rule."""
        rules, queue = self.rules, self._queue
        if rules.max_length is not None and queue.message_count >= rules.max_length:
            return True
        return rules.max_length_octets is not None and self._octets + body_octets > rules.max_length_octets

    def limit(self) -> None:
        """Drop messages at the head until the queue is within its limits. Unacked ones do not count.

        Of many only some at a time, and of those that are not in memory those that one look brings: the queue is
        touched to go on then, so that nobody has to wait for all.
        """
        rules, queue = self.rules, self._queue
        if rules.overflow != "drop-head":
            return
        is_free = self.rules.dead_letter_exchange is None
        left, may_fetch = DROP_LIMIT if is_free else STEP_COUNT, True
        while (surplus := self._surplus()) and queue.message_count:
            if not is_free and not self._has_room():
                self._wait()
                return
            if not queue.backlog.is_at_hand and may_fetch:
                may_fetch = False
                queue.backlog.fetch_now()
            elif left <= 0 or not queue.backlog.is_at_hand:
                queue.touch()
                return
            else:
                count = min(surplus, left, queue.backlog.head_count())
                count = count if is_free else min(count, fitting(queue.backlog.head()))
                left -= count
                self.die(queue.take(count), "maxlen")

    def _surplus(self) -> int:
        """How many messages at the head may be dropped at once; 0 if the queue is within its limits."""
        rules = self.rules
        if rules.max_length is not None and self._queue.message_count > rules.max_length:
            return self._queue.message_count - rules.max_length
        return int(rules.max_length_octets is not None and self._octets > rules.max_length_octets)

    def count(self) -> None:
        """Count the bodies that are there. Those that the log gave back unread count when they are, piece by piece."""
        self._octets = 0
        if self.rules.max_length_octets is not None:
            self._octets = self._queue.backlog.body_octets()
            self._queue.backlog.count()

    def counted(self, octets: int) -> None:
        """Bodies were counted that nobody had counted before, or not well enough."""
        if octets and self.rules.max_length_octets is not None:
            self._octets += octets
            self._queue.touch()

    def taken(self, stretch: Stretch) -> None:
        """Messages left the queue."""
        if self.rules.max_length_octets is not None:
            self._octets -= stretch.body_octets()
            if not self._queue.message_count:
                self._octets = 0  # Of what could not be read back, or not be counted yet, nothing is left either.

    def put_back(self, stretch: Stretch) -> None:
        """Messages came back."""
        if self.rules.max_length_octets is not None:
            self._octets += stretch.body_octets()

    def purged(self) -> None:
        """All ready messages are gone."""
        self._octets = 0

    # Death

    def die(self, stretch: Stretch, reason: str, *, at_once: bool = False) -> None:
        """Settle messages that count as unacked, and dead-letter them, if there is where to.

        If there is no room for that now, or others wait, or they have to be read back first, they wait for their turn;
        ``at_once`` says that they must not.
        """
        if self.rules.dead_letter_exchange is None:
            self._queue.settle(stretch)
        elif at_once:
            for part in unparked(self._queue, stretch):
                self._dead_letter(self._queue, part, reason)
            self._queue.settle(stretch)
        else:
            left = stretch
            while left.ids and type(left) is not ParkedStretch and self._has_room():
                count = fitting(left)
                self._bury_one(left.part(0, count), reason)
                left = left.part(count, len(left.ids))
            if left.ids:
                if self._dying is None:
                    self._dying = Dying(self._queue)
                self._dying.add(left, reason)
                self._queue.touch()

    def bury(self) -> None:
        """Dead-letter what waits, as far as there is room; of many the queue is touched to go on."""
        dying = self._dying
        if self._queue.is_deleted:
            self._queue.is_touched = False  # Nobody drains it any more.
        if dying is None:
            return
        # What has nowhere to go takes no room: it is only settled, which gives some.
        room = self._room if self.rules.dead_letter_exchange is not None else EndlessRoom()
        if not dying.go_on(self._bury_one, room):
            self._queue.touch()
        elif dying.is_at_hand:
            self._wait()
        if dying.is_empty:
            dying.end()
            self._dying = None
            if self._queue.is_deleted:
                self._queue.forget_in_log()
            waiting, self._then = self._then, []
            for then in waiting:
                then()

    @property
    def is_burying(self) -> bool:
        """Whether something that has died waits."""
        return self._dying is not None

    def when_buried(self, then: Callable[[], object]) -> None:
        """Have ``then()`` called once nothing that has died waits any more. Something does now."""
        self._then.append(then)

    def _bury_one(self, stretch: Stretch, reason: str) -> None:
        if self.rules.dead_letter_exchange is not None:
            self._dead_letter(self._queue, stretch, reason)
        self._queue.settle(stretch)

    def _has_room(self) -> bool:
        return self._dying is None and self._room.is_open()

    def _wait(self) -> None:
        """Go on when there is room."""
        if not self._is_waiting and (self._dying is None or self._dying.is_at_hand):
            self._is_waiting = True
            self._room.wait(self._go_on)

    def _go_on(self) -> None:
        self._is_waiting = False
        self._queue.touch()

    def _release(self) -> None:
        """Let publishers go on who waited, if it has caught up."""
        if self._is_pressing and (self._queue.is_deleted or not (self._is_waiting or self._dying is not None)):
            self._is_pressing = False
            self._room.caught_up(self)

    def refuse(self, stretch: Stretch) -> None:
        """Dead-letter messages that a full queue refused, if it is to do so."""
        if self.rules.overflow == "reject-publish-dlx" and self.rules.dead_letter_exchange is not None:
            self._dead_letter(self._queue, stretch, "maxlen")

    # Expiry of the queue itself

    def use(self) -> None:
        """The queue was declared, fetched from, or lost or got a consumer: its time begins anew."""
        if self.rules.expires_ms is None:
            return
        self._used_ms = self._clock.monotonic_ms()
        if self._unused_timer is None:
            self._unused_timer = self._clock.call_at(self._used_ms + self.rules.expires_ms, self._look_for_use)

    def _look_for_use(self) -> None:
        self._unused_timer = None
        queue, expires_ms = self._queue, self.rules.expires_ms
        if expires_ms is None or queue.is_deleted or queue.consumer_count:
            return
        due_ms = self._used_ms + expires_ms
        if due_ms > self._clock.monotonic_ms():
            self._unused_timer = self._clock.call_at(due_ms, self._look_for_use)
        elif queue.is_burying:
            self.when_buried(self._look_for_use)
        else:
            self._expire_queue(queue)
