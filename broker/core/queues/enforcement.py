"""Keeps a queue's rules: messages expire, a full queue drops or refuses, an unused one goes.

Only a queue that has rules has an Enforcement, so that plain queues pay nothing. It asks the clock, and hands what
dies to ``dead_letter``. RabbitMQ: Time-To-Live and Expiration, Queue Length Limit.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from broker.core.clock import Clock, Timer
from broker.core.messages import Stretch
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
        "_expire_queue",
        "_head_due_ms",
        "_head_timer",
        "_moment_ms",
        "_octets",
        "_queue",
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
    ) -> None:
        self.rules = rules
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
        if self._queue.message_count:
            self._queue.touch()

    def stop(self) -> None:
        """The queue is gone."""
        for timer in (self._head_timer, self._unused_timer):
            if timer is not None:
                timer.cancel()

    # Time to live

    def admit(self, stretch: Stretch, age_ms: int = 0) -> Stretch:
        """Return ``stretch`` with the time at which it expires: the lower of the queue's limit and its own."""
        ttl_ms = self._ttl_ms(stretch)
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

    def moment_ms(self) -> int:
        """Return the time at which the coming drain is to be: that of the first publish since the last one.

        So that no message dies while a consumer that waits for it could not get it yet.
        """
        return self._clock.monotonic_ms() if self._moment_ms is None else self._moment_ms

    def expire(self, now_ms: int) -> None:
        """Let messages at the head whose time was before ``now_ms`` die. Those behind a later one wait, as in RabbitMQ.

        A message may live for 0 ms: it is delivered if somebody waits for it when it comes.
        """
        queue = self._queue
        while queue.message_count and queue.backlog.is_at_hand:
            deadline_ms = queue.backlog.head().deadline_ms
            if deadline_ms is None or deadline_ms >= now_ms:
                return
            self._die(queue.take(queue.backlog.head_count()), "expired")

    def after_drain(self) -> None:
        """Nobody takes more now: let go what must, and wait for the next deadline."""
        self._moment_ms = None
        self.limit()
        self.expire(self._clock.monotonic_ms() + 1)
        self._await_head()

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
        left, may_fetch = DROP_LIMIT, True
        while (surplus := self._surplus()) and queue.message_count:
            if not queue.backlog.is_at_hand and may_fetch:
                may_fetch = False
                queue.backlog.fetch_now()
            elif left <= 0 or not queue.backlog.is_at_hand:
                queue.touch()
                return
            else:
                count = min(surplus, left, queue.backlog.head_count())
                left -= count
                self._die(queue.take(count), "maxlen")

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
        """Bodies were counted that nobody had counted before."""
        if self.rules.max_length_octets is not None:
            self._octets += octets
            self._queue.touch()

    def taken(self, stretch: Stretch) -> None:
        """Messages left the queue."""
        if self.rules.max_length_octets is not None:
            self._octets -= stretch.body_octets()

    def put_back(self, stretch: Stretch) -> None:
        """Messages came back."""
        if self.rules.max_length_octets is not None:
            self._octets += stretch.body_octets()

    def purged(self) -> None:
        """All ready messages are gone."""
        self._octets = 0

    # Death

    def reject(self, stretch: Stretch) -> None:
        """Dead-letter messages that a consumer rejected; the queue settles them."""
        self.dead_letter(stretch, "rejected")

    def dead_letter(self, stretch: Stretch, reason: str) -> None:
        """Dead-letter messages, if there is where to; the queue settles them."""
        if self.rules.dead_letter_exchange is not None:
            self._dead_letter(self._queue, stretch, reason)

    def refuse(self, stretch: Stretch) -> None:
        """Dead-letter messages that a full queue refused, if it is to do so."""
        if self.rules.overflow == "reject-publish-dlx" and self.rules.dead_letter_exchange is not None:
            self._dead_letter(self._queue, stretch, "maxlen")

    def _die(self, stretch: Stretch, reason: str) -> None:
        self.dead_letter(stretch, reason)
        self._queue.settle(stretch)

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
        else:
            self._expire_queue(queue)
