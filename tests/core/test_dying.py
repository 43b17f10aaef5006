"""Dead letters while there is no room for more: what has died waits as ids, and goes on in its order, each once."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from broker.core.later import NotYet
from broker.core.messages import Stretch
from broker.core.queues import dying
from broker.core.queues.rules import NO_RULES
from broker.core.unacked import spread
from tests.core.recording import RecordingChannel, new_consumer
from tests.core.test_backlog_paging import PERSISTENT, TRANSIENT, Deep, make_small, numbered
from tests.core.test_parked_deliveries import Holder, held, shrink


class Door:
    """Room that the test opens and shuts; ``left`` is how many dead letters fit in before it shuts by itself."""

    def __init__(self) -> None:
        self.is_shut = False
        self.left: int | None = None
        self.waiting: list[Callable[[], None]] = []
        self.pressed: list[object] = []

    def is_open(self) -> bool:
        return not (self.is_shut or self.waiting) and (self.left is None or self.left > 0)

    def wait(self, then: Callable[[], None]) -> None:
        self.waiting.append(then)

    def press(self, who: object) -> None:
        self.pressed.append(who)

    def caught_up(self, who: object) -> None:
        self.pressed.clear()

    def open(self, left: int | None = None) -> None:
        self.is_shut, self.left = False, left
        waiting, self.waiting = self.waiting, []
        for then in waiting:
            then()


class Dead:
    """A queue with a dead letter exchange behind a door; ``letters`` are (body, reason) of what got through."""

    def __init__(self, kind: str = "classic", **arguments: Any) -> None:
        self.door = Door()
        self.letters: list[tuple[bytes, str]] = []
        self.deep = Deep(kind, dead_letter_exchange="dead", **arguments)
        self.deep.context.room = self.door
        self.deep.queue.enforcement = None
        self.deep.context.dead_letter = self._dead_letter
        self.deep.queue.set_rules(self.deep.queue.rules)

    @property
    def bodies(self) -> list[bytes]:
        return [body for body, _ in self.letters]

    def _dead_letter(self, queue: object, stretch: Stretch, reason: str) -> None:
        assert self.door.is_open() or self.door.left is not None
        for message_id, piece in zip(stretch.ids, stretch.pieces, strict=True):
            assert message_id not in self.deep.log.settled, "it is settled with its letter, or later"
            self.letters.append((stretch.shape.body(piece), reason))
        if self.door.left is not None:
            self.door.left -= len(stretch.pieces)

    def settle_down(self) -> None:
        self.deep.settle_down()

    def open(self, left: int | None = None) -> None:
        self.door.open(left)
        self.settle_down()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)
    shrink(monkeypatch)
    monkeypatch.setattr(dying, "FETCH_OCTETS", 300)
    monkeypatch.setattr(dying, "FETCH_SPANS", 3)
    monkeypatch.setattr(dying, "SPANS_MAX", 4)


def reject_all(dead: Dead, holder: Holder) -> None:
    for delivery in spread(holder.unacked.take_all()):
        dead.deep.queue.reject(delivery.stretch)


@pytest.mark.parametrize("mode", [PERSISTENT, TRANSIENT])
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_what_waits_for_room_waits_no_more_once_it_has_nowhere_to_go(kind: str, mode: int) -> None:
    dead = Dead(kind)
    holder = held(dead.deep, 3000, mode)
    dead.door.is_shut = True
    reject_all(dead, holder)
    dead.settle_down()
    queue, asked = dead.deep.queue, list[str]()
    queue.when_buried(lambda: asked.append("again"))
    queue.set_rules(replace(queue.rules, dead_letter_exchange=None))
    assert asked == [], "at once, but not all in one go"
    dead.settle_down()
    assert (dead.letters, asked, queue.unacked_count) == ([], ["again"], 0)
    assert queue.enforcement is not None
    assert not queue.enforcement.is_burying
    if mode == PERSISTENT:
        assert len(set(dead.deep.log.settled)) == 3000
    dead.open()
    assert dead.letters == []


@pytest.mark.parametrize("mode", [PERSISTENT, TRANSIENT])
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_what_is_rejected_without_room_is_gone_from_the_queue_and_waits_outside_memory(kind: str, mode: int) -> None:
    dead = Dead(kind)
    holder = held(dead.deep, 200, mode)
    dead.door.is_shut = True
    reject_all(dead, holder)
    queue, log = dead.deep.queue, dead.deep.log
    assert (queue.unacked_count, queue.message_count, queue.backlog.resident_octets) == (0, 0, 0)
    dead.settle_down()
    assert dead.letters == []
    assert log.settled == []
    assert bool(log.pages.files) == (kind == "classic" and mode == TRANSIENT)
    dead.open()
    assert dead.letters == [(body, "rejected") for body in numbered(200)]
    assert log.settled == (list(range(1, 201)) if mode == PERSISTENT or kind == "quorum" else [])
    assert log.pages.files == {}
    assert queue.unacked_count == 0
    assert dead.deep.context.residency.shelf_count == 0


def test_room_for_some_lets_some_through() -> None:
    dead = Dead()
    holder = held(dead.deep, 100)
    dead.door.left = 10
    reject_all(dead, holder)
    for _ in range(200):
        done = len(dead.letters)
        assert dead.deep.log.settled == list(range(1, done + 1)), "each with its letter"
        if done == 100:
            break
        dead.open(7)
        assert 0 < len(dead.letters) - done <= 7 + 3, "one more stretch than there is room for"
    assert dead.bodies == numbered(100)


def test_what_dies_later_goes_later_whatever_it_died_of() -> None:
    dead = Dead("quorum", delivery_limit=0)
    holder = held(dead.deep, 30)
    dead.door.is_shut = True
    queue = dead.deep.queue
    first, second, third = (holder.unacked.take(tag, 10)[0] for tag in (11, 1, 21))
    for delivery in first:
        queue.reject(delivery.stretch)
    for delivery in second:
        queue.requeue(delivery.stretch)
    dead.open(1)
    dead.door.left = 1000
    for delivery in third:
        queue.reject(delivery.stretch)
    dead.open()
    every = numbered(30)
    assert dead.bodies == every[10:20] + every[:10] + every[20:]
    assert [reason for _, reason in dead.letters] == ["rejected"] * 10 + ["delivery_limit"] * 10 + ["rejected"] * 10


def test_what_has_expired_stays_in_the_queue_until_there_is_room() -> None:
    dead = Dead(message_ttl=100)
    for body in numbered(50):
        dead.deep.publish(body)
    dead.door.is_shut = True
    dead.deep.clock.advance(150)
    reads = dead.deep.log.reading.reads
    dead.settle_down()
    assert dead.deep.queue.message_count == 50
    assert dead.deep.clock.timer_count == 0, "time will not help"
    assert dead.deep.log.reading.reads == reads
    dead.open()
    assert dead.letters == [(body, "expired") for body in numbered(50)]
    assert dead.deep.queue.message_count == 0
    assert dead.deep.log.settled == list(range(1, 51))


@pytest.mark.parametrize("paged", [False, True])
@pytest.mark.parametrize("mode", [PERSISTENT, TRANSIENT])
def test_a_consumer_gets_what_lives_behind_what_has_expired_without_waiting_for_room(mode: int, paged: bool) -> None:
    dead = Dead()
    for body in numbered(40):
        dead.deep.publish(body, mode=mode, ttl=100)
    dead.deep.publish(b"lives", mode=mode)
    if paged:
        dead.deep.page_out()
        dead.settle_down()
    dead.door.is_shut = True
    dead.deep.clock.advance(150)
    channel = RecordingChannel()
    new_consumer(dead.deep.queue, channel, "c")
    dead.settle_down()
    assert channel.ids_of("c") == [41]
    assert dead.letters == []
    assert dead.deep.queue.message_count == 0
    assert dead.deep.queue.unacked_count == 1
    dead.open()
    assert dead.bodies == numbered(40)


@pytest.mark.parametrize("paged", [False, True])
def test_a_get_gets_what_lives_behind_what_has_expired(paged: bool) -> None:
    dead = Dead()
    for body in numbered(40):
        dead.deep.publish(body, ttl=100)
    dead.deep.publish(b"lives")
    if paged:
        dead.deep.page_out()
        dead.settle_down()
    dead.door.is_shut = True
    dead.deep.clock.advance(150)
    dead.settle_down()
    found = None
    while found is None:
        with suppress(NotYet):
            found = dead.deep.queue.get()
            assert found is not None
    assert found.shape.body(found.pieces[0]) == b"lives"
    assert dead.deep.queue.get() is None
    dead.open()
    assert dead.bodies == numbered(40)


def test_publishers_to_a_queue_that_is_behind_are_to_wait_until_it_has_caught_up() -> None:
    dead = Dead(max_length=10)
    dead.deep.publish(*numbered(10))
    dead.door.is_shut = True
    dead.deep.publish(b"010")
    assert dead.door.pressed == []
    assert dead.deep.queue.message_count == 11
    dead.deep.publish(b"011")
    assert dead.door.pressed == [dead.deep.queue.enforcement]
    dead.open()
    assert dead.door.pressed == []
    assert dead.bodies == [b"000", b"001"]
    assert dead.deep.queue.message_count == 10


def test_a_drop_of_many_is_done_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.core.queues.enforcement.STEP_COUNT", 16)
    monkeypatch.setattr(dying, "STEP_COUNT", 16)
    dead = Dead()
    dead.deep.publish(*numbered(100))
    dead.deep.queue.set_rules(replace(dead.deep.queue.rules, max_length=10))
    steps = []
    while dead.deep.context.touched:
        steps.append(len(dead.letters))
        queue = dead.deep.context.touched.pop()
        queue.drain()
    assert max(after - before for before, after in zip(steps, [*steps[1:], 90], strict=True)) <= 16
    assert dead.bodies == numbered(90)


def test_what_cannot_be_read_back_is_settled_and_told_and_the_rest_goes_on() -> None:
    dead = Dead()
    holder = held(dead.deep, 40)
    lost: list[int] = []
    dead.deep.context.residency.on_lost = lambda queue, count: lost.append(count)
    dead.door.is_shut = True
    reject_all(dead, holder)
    dead.deep.log.reading.lost = {1, 2, 3, 17, 39, 40}
    dead.open()
    every = numbered(40)
    assert dead.bodies == [body for number, body in enumerate(every, 1) if number not in dead.deep.log.reading.lost]
    assert sorted(dead.deep.log.settled) == list(range(1, 41))
    assert sum(lost) == 6
    assert dead.deep.queue.unacked_count == 0


def test_what_died_before_its_queue_was_deleted_is_dead_lettered_all_the_same() -> None:
    dead = Dead()
    holder = held(dead.deep, 40)
    queue, log = dead.deep.queue, dead.deep.log
    dead.door.is_shut = True
    reject_all(dead, holder)
    queue.stop()
    assert log.deleted == [], "the log has the bodies still"
    dead.door.open()
    for _ in range(100):
        while dead.deep.context.touched:
            dead.deep.context.touched.pop()
            assert queue.enforcement is not None
            queue.enforcement.bury()
        if not log.answer():
            break
    assert dead.bodies == numbered(40)
    assert log.deleted == [7]


def test_without_a_dead_letter_exchange_what_waits_is_dropped() -> None:
    dead = Dead()
    holder = held(dead.deep, 20)
    dead.door.is_shut = True
    reject_all(dead, holder)
    dead.deep.queue.set_rules(NO_RULES)
    dead.open()
    assert dead.letters == []
    assert dead.deep.log.settled == list(range(1, 21))


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_each_dies_once_in_its_order(seed: int) -> None:
    """Publishes, deliveries, rejects and time, while the door opens and shuts; nothing expired is delivered."""
    random = Random(seed)
    dead = Dead(random.choice(("classic", "quorum")), max_length=30)
    deep, queue = dead.deep, dead.deep.queue
    holder = Holder(deep)
    deadlines: dict[bytes, int] = {}
    rejected: list[bytes] = []
    acked: set[bytes] = set()
    consumer = None
    for number in range(150):
        act = random.random()
        seen = len(holder.delivered)
        if act < 0.4:
            body, ttl = b"%03d" % number, random.choice((None, 20, 60))
            deadlines[body] = deep.clock.monotonic_ms() + ttl if ttl is not None else 1 << 60
            deep.publish(body, mode=random.choice((PERSISTENT, TRANSIENT)), ttl=ttl)
        elif act < 0.5 and consumer is None:
            consumer = holder.consume("c")
        elif act < 0.55 and consumer is not None:
            queue.unsubscribe(consumer)
            consumer = None
        elif act < 0.65 and holder.unacked.count:
            for delivery in spread(holder.unacked.take_all()):
                bodies = [body for tag, _, body, _ in holder.delivered if delivery.first_tag <= tag < delivery.stop_tag]
                if random.random() < 0.8:
                    queue.reject(delivery.stretch)
                    rejected += bodies
                else:
                    queue.settle(delivery.stretch)
                    acked.update(bodies)
        elif act < 0.75:
            dead.door.is_shut = True
        elif act < 0.85:
            dead.door.open(random.choice((None, 5)))
        elif act < 0.9:
            deep.page_out()
        else:
            deep.clock.advance(random.choice((5, 30)))
        deep.drain()
        for _ in range(random.randint(0, 3)):
            deep.log.answer()
            deep.drain()
        now_ms = deep.clock.monotonic_ms()
        assert all(deadlines[body] >= now_ms for _, _, body, _ in holder.delivered[seen:])
    if consumer is not None:
        queue.unsubscribe(consumer)
    deep.clock.advance(1000)
    dead.open()
    while dead.door.waiting:
        dead.open()
    letters = dead.bodies
    assert len(set(letters)) == len(letters)
    held_now = {body for tag, _, body, _ in holder.delivered if holder.unacked.has(tag)}
    ready = set(deadlines) - set(letters) - acked - held_now
    assert len(ready) == queue.message_count
    for reason, order in (("rejected", rejected), ("maxlen", sorted(letters)), ("expired", sorted(letters))):
        those = [body for body, why in dead.letters if why == reason]
        assert those == [body for body in order if body in set(those)]
    assert [body for body, why in dead.letters if why == "rejected"] == rejected
    assert len(set(deep.log.settled)) == len(deep.log.settled), "settled once"
    assert queue.unacked_count == holder.unacked.count
