"""Exchange types that are plugins in RabbitMQ. A broker without one of them is not judged by its cases."""

from collections import Counter

from conformance.case import NotApplicable, Section, Session
from conformance.codec import FieldTable
from conformance.wire import Channel, Mismatch, check

case = Section("exchange_types", "RabbitMQ: plugins")


def _exchange(session: Session, channel: Channel, kind: str, arguments: FieldTable | None = None) -> str:
    """Declare an exchange of a type that the broker may not have; return its name."""
    try:
        return session.exchange(channel, kind, arguments)
    except Mismatch as mismatch:
        if "exchange type" in mismatch.got:
            raise NotApplicable(f"no exchange type {kind}") from mismatch
        raise


def _queues(session: Session, channel: Channel, exchange: str, *routing_keys: str) -> list[str]:
    """Bind a new queue with each routing key, in that order; return their names."""
    queues = [session.queue(channel) for _ in routing_keys]
    for queue, routing_key in zip(queues, routing_keys, strict=True):
        channel.bind(queue, exchange, routing_key)
    return queues


@case()
def consistent_hash_sends_a_key_to_one_queue_always(session: Session) -> None:
    channel = session.channel()
    exchange = _exchange(session, channel, "x-consistent-hash")
    queues = _queues(session, channel, exchange, "1", "1", "1")
    for _ in range(3):
        for key in range(20):
            channel.publish(exchange, f"key {key}", b"%d" % key)
    got = [Counter(channel.bodies(queue)) for queue in queues]
    check(sum(got, Counter()), Counter({b"%d" % key: 3 for key in range(20)}))
    check([count for each in got for count in each.values()], [3] * 20)


@case()
def consistent_hash_finds_the_queue_that_rabbitmq_finds(session: Session) -> None:
    channel = session.channel()
    exchange = _exchange(session, channel, "x-consistent-hash")
    queues = _queues(session, channel, exchange, "1", "2", "3")
    for key in range(16):
        channel.publish(exchange, f"key {key}", b"%d" % key)
    check([list(map(int, channel.bodies(queue))) for queue in queues], CONSISTENT)


@case()
def consistent_hash_may_take_a_header(session: Session) -> None:
    channel = session.channel()
    exchange = _exchange(session, channel, "x-consistent-hash", {"hash-header": "who"})
    queues = _queues(session, channel, exchange, "1", "1", "1")
    for number in range(10):
        channel.publish(exchange, f"key {number}", b"x", headers={"who": "the same"})
    check(sorted(len(channel.bodies(queue)) for queue in queues), [0, 0, 10])


@case()
def consistent_hash_may_take_a_property(session: Session) -> None:
    channel = session.channel()
    exchange = _exchange(session, channel, "x-consistent-hash", {"hash-property": "message_id"})
    queues = _queues(session, channel, exchange, "1", "1", "1")
    for number in range(10):
        channel.publish(exchange, f"key {number}", b"x", message_id="the same")
    check(sorted(len(channel.bodies(queue)) for queue in queues), [0, 0, 10])


@case()
def modulus_hash_sends_a_key_to_one_queue_always(session: Session) -> None:
    channel = session.channel()
    exchange = _exchange(session, channel, "x-modulus-hash")
    queues = _queues(session, channel, exchange, "a", "b", "c")
    for _ in range(3):
        for key in range(20):
            channel.publish(exchange, f"key {key}", b"%d" % key)
    got = [Counter(channel.bodies(queue)) for queue in queues]
    check([count for each in got for count in each.values()], [3] * 20)


@case()
def random_sends_each_message_to_one_queue(session: Session) -> None:
    channel = session.channel()
    exchange = _exchange(session, channel, "x-random")
    queues = _queues(session, channel, exchange, "a", "b")
    for number in range(200):
        channel.publish(exchange, "whatever", b"%d" % number)
    got = [channel.bodies(queue) for queue in queues]
    check(sorted(map(int, got[0] + got[1])), list(range(200)))
    check(all(got), True)


@case()
def recent_history_gives_a_new_binding_the_last_messages(session: Session) -> None:
    channel = session.channel()
    exchange = _exchange(session, channel, "x-recent-history", {"x-recent-history-length": 3})
    (first,) = _queues(session, channel, exchange, "")
    for number in range(5):
        channel.publish(exchange, "k", b"%d" % number)
    (second,) = _queues(session, channel, exchange, "")
    check(len(channel.bodies(first)), 5)
    check(sorted(channel.bodies(second)), [b"2", b"3", b"4"])


@case()
def recent_history_leaves_out_what_asks_for_it(session: Session) -> None:
    channel = session.channel()
    exchange = _exchange(session, channel, "x-recent-history")
    channel.publish(exchange, "k", b"kept")
    channel.publish(exchange, "k", b"not kept", headers={"x-recent-history-no-store": True})
    (queue,) = _queues(session, channel, exchange, "")
    check(channel.bodies(queue), [b"kept"])


@case()
def delayed_messages_come_when_they_are_due(session: Session) -> None:
    channel = session.channel()
    exchange = _exchange(session, channel, "x-delayed-message", {"x-delayed-type": "direct"})
    (queue,) = _queues(session, channel, exchange, "k")
    for delay_ms in (300, 100, 200):
        channel.publish(exchange, "k", b"%d" % delay_ms, headers={"x-delay": delay_ms})
    channel.publish(exchange, "k", b"now")
    check(channel.bodies(queue), [b"now"])
    channel.wait_ready(queue, 3)
    check(channel.bodies(queue), [b"100", b"200", b"300"])


CONSISTENT = [[0, 13], [1, 6, 8, 9, 10, 12, 14, 15], [2, 3, 4, 5, 7, 11]]
"""The keys that RabbitMQ 3.10.8 sends to each of three queues of the weights 1, 2 and 3."""
