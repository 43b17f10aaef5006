"""x-expires: queues that go when nobody uses them."""

import time

from conformance.case import Section, Session

case = Section("expires", "RabbitMQ: ttl")


@case()
def an_unused_queue_goes(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel, {"x-expires": 60})
    time.sleep(0.3)
    channel.refused(404, session.no_queue(queue), "queue.declare", queue=queue, passive=True)


@case()
def a_queue_with_messages_goes_too(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel, {"x-expires": 60})
    channel.publish("", queue, b"x")
    time.sleep(0.3)
    channel.refused(404, session.no_queue(queue), "queue.declare", queue=queue, passive=True)


@case(slow=True)
def a_queue_with_a_consumer_stays(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel, {"x-expires": 150})
    tag = channel.consume(queue)
    time.sleep(0.6)
    channel.wait_counts(queue, 0, 1)
    channel.call("basic.cancel", consumer_tag=tag)
    time.sleep(0.6)
    channel.refused(404, session.no_queue(queue), "queue.declare", queue=queue, passive=True)


@case(slow=True)
def get_counts_as_use(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel, {"x-expires": 1500})
    for _ in range(6):
        time.sleep(0.3)
        channel.get_empty(queue)


@case(slow=True)
def declare_counts_as_use(session: Session) -> None:
    channel = session.channel()
    arguments = {"x-expires": 1500}
    queue = session.shared_queue(channel, arguments)
    for _ in range(6):
        time.sleep(0.3)
        channel.call("queue.declare", queue=queue, durable=True, arguments=arguments)


@case(slow=True)
def passive_declare_counts_as_use(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel, {"x-expires": 1500})
    for _ in range(6):
        time.sleep(0.3)
        channel.counts(queue)


@case(slow=True)
def publishing_does_not_count_as_use(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel, {"x-expires": 500})
    for _ in range(8):
        time.sleep(0.15)
        channel.publish("", queue, b"x")
    channel.refused(404, session.no_queue(queue), "queue.declare", queue=queue, passive=True)


@case(slow=True, ref="RabbitMQ: dlx")
def an_expired_queues_messages_are_not_dead_lettered(session: Session) -> None:
    channel = session.channel()
    dead = session.queue(channel)
    arguments = {"x-expires": 100, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    queue = session.shared_queue(channel, arguments)
    channel.publish("", queue, b"x")
    time.sleep(0.5)
    channel.refused(404, session.no_queue(queue), "queue.declare", queue=queue, passive=True)
    channel.get_empty(dead)


@case(slow=True)
def an_exclusive_queue_expires_too(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-expires": 100})
    time.sleep(0.5)
    channel.refused(404, session.no_queue(queue), "queue.declare", queue=queue, passive=True)
