"""Work queues: acknowledgements, workers that die, fair dispatch, strict turns. RabbitMQ: tutorials, two."""

from collections.abc import Callable
from typing import Any

import pika

from tests.clients.names import Names
from tests.clients.waiting import Inbox, cut, pump, ready_count, wait_ready

PERSISTENT = pika.BasicProperties(delivery_mode=2)


def publish_tasks(channel: Any, queue: str, count: int) -> None:
    for number in range(count):
        channel.basic_publish("", queue, b"task %d" % number, PERSISTENT)


def test_acked_tasks_are_gone_when_the_worker_leaves(connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("task")
    producer = connect().channel()
    producer.queue_declare(queue, durable=True)
    publish_tasks(producer, queue, 10)
    worker = connect().channel()
    inbox = Inbox()
    worker.basic_consume(queue, inbox)
    pump(worker.connection, until=lambda: len(inbox) == 10)
    for tag in inbox.tags:
        worker.basic_ack(tag)
    worker.connection.close()
    assert producer.basic_get(queue) == (None, None, None)


def test_task_of_a_worker_that_dies_is_redelivered_to_another(connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("task")
    producer = connect().channel()
    producer.queue_declare(queue, durable=True)
    dying, other = connect().channel(), connect().channel()
    dying_inbox, other_inbox = Inbox(), Inbox()
    dying.basic_consume(queue, dying_inbox)
    publish_tasks(producer, queue, 1)
    pump(dying.connection, until=lambda: len(dying_inbox) == 1)
    other.basic_consume(queue, other_inbox)
    cut(dying.connection)
    pump(other.connection, until=lambda: len(other_inbox) == 1)
    assert other_inbox.bodies == dying_inbox.bodies == [b"task 0"]
    assert dying_inbox.redelivered == [False]
    assert other_inbox.redelivered == [True]
    other.basic_ack(other_inbox.tags[0])


def test_unacked_tasks_return_in_order_when_the_channel_closes(connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("task")
    producer = connect().channel()
    producer.queue_declare(queue)
    publish_tasks(producer, queue, 6)
    worker = producer.connection.channel()
    inbox = Inbox()
    worker.basic_consume(queue, inbox)
    pump(worker.connection, until=lambda: len(inbox) == 6)
    worker.basic_ack(inbox.tags[1])
    worker.basic_ack(inbox.tags[3])
    worker.close()
    wait_ready(producer, queue, 4)
    publish_tasks(producer, queue, 1)
    wait_ready(producer, queue, 5)
    left = [producer.basic_get(queue, auto_ack=True) for _ in range(5)]
    assert [body for _method, _properties, body in left] == [
        b"task 0",
        b"task 2",
        b"task 4",
        b"task 5",
        b"task 0",
    ]
    assert [method.redelivered for method, _properties, _body in left] == [True, True, True, True, False]


def test_prefetch_one_gives_a_busy_worker_no_second_task(connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("task")
    producer = connect().channel()
    producer.queue_declare(queue)
    busy, quick = connect().channel(), connect().channel()
    busy_inbox, quick_inbox = Inbox(), Inbox()
    for worker, inbox in ((busy, busy_inbox), (quick, quick_inbox)):
        worker.basic_qos(prefetch_count=1)
        worker.basic_consume(queue, inbox)
    publish_tasks(producer, queue, 8)
    acked = 0

    def quick_has_the_rest() -> bool:
        nonlocal acked
        for tag in quick_inbox.tags[acked:]:
            quick.basic_ack(tag)
            acked += 1
        return len(quick_inbox) == 7

    pump(busy.connection, quick.connection, until=quick_has_the_rest)
    pump(busy.connection, until=lambda: len(busy_inbox) == 1)
    assert busy_inbox.bodies == [b"task 0"]
    assert quick_inbox.bodies == [b"task %d" % number for number in range(1, 8)]
    assert ready_count(producer, queue) == 0


def test_prefetch_window_opens_by_one_with_each_ack(channel: Any, names: Names) -> None:
    queue = names.queue("task")
    channel.queue_declare(queue)
    publish_tasks(channel, queue, 10)
    inbox = Inbox()
    channel.basic_qos(prefetch_count=3)
    channel.basic_consume(queue, inbox)
    pump(channel.connection, until=lambda: len(inbox) == 3)
    wait_ready(channel, queue, 7)
    channel.basic_ack(2)
    pump(channel.connection, until=lambda: len(inbox) == 4)
    wait_ready(channel, queue, 6)
    channel.basic_ack(4, multiple=True)
    pump(channel.connection, until=lambda: len(inbox) == 7)
    wait_ready(channel, queue, 3)


def test_global_prefetch_is_one_window_for_all_consumers_of_the_channel(channel: Any, names: Names) -> None:
    queue = names.queue("task")
    channel.queue_declare(queue)
    publish_tasks(channel, queue, 10)
    inbox = Inbox()
    channel.basic_qos(prefetch_count=4, global_qos=True)
    channel.basic_consume(queue, inbox)
    channel.basic_consume(queue, inbox)
    pump(channel.connection, until=lambda: len(inbox) == 4)
    wait_ready(channel, queue, 6)


def test_prefetch_does_not_hold_back_an_auto_ack_consumer(channel: Any, names: Names) -> None:
    queue = names.queue("task")
    channel.queue_declare(queue)
    publish_tasks(channel, queue, 50)
    inbox = Inbox()
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(queue, inbox, auto_ack=True)
    pump(channel.connection, until=lambda: len(inbox) == 50)


def test_three_consumers_take_strict_turns(connect: Callable[..., Any], names: Names) -> None:
    queue = names.queue("task")
    producer = connect().channel()
    producer.queue_declare(queue)
    workers = [connect().channel() for _ in range(3)]
    inboxes = [Inbox() for _ in range(3)]
    for worker, inbox in zip(workers, inboxes, strict=True):
        worker.basic_consume(queue, inbox, auto_ack=True)
    publish_tasks(producer, queue, 30)
    pump(*[worker.connection for worker in workers], until=lambda: sum(map(len, inboxes)) == 30)
    for turn, inbox in enumerate(inboxes):
        assert inbox.bodies == [b"task %d" % number for number in range(turn, 30, 3)]


def test_three_consumers_of_one_channel_take_strict_turns_task_by_task(channel: Any, names: Names) -> None:
    queue = names.queue("task")
    channel.queue_declare(queue)
    inbox = Inbox()
    tags = [channel.basic_consume(queue, inbox, auto_ack=True) for _ in range(3)]
    for number in range(9):
        publish_tasks(channel, queue, 1)
        pump(channel.connection, until=lambda wanted=number + 1: len(inbox) == wanted)  # type: ignore[misc]
    assert [delivery.method.consumer_tag for delivery in inbox] == tags * 3


def test_acks_can_be_multiple_and_out_of_order(channel: Any, names: Names) -> None:
    queue = names.queue("task")
    channel.queue_declare(queue)
    publish_tasks(channel, queue, 10)
    worker = channel.connection.channel()
    inbox = Inbox()
    worker.basic_consume(queue, inbox)
    pump(worker.connection, until=lambda: len(inbox) == 10)
    worker.basic_ack(9)
    worker.basic_ack(2)
    worker.basic_ack(5, multiple=True)
    worker.basic_ack(7)
    worker.close()
    wait_ready(channel, queue, 3)
    left = [channel.basic_get(queue, auto_ack=True)[2] for _ in range(3)]
    assert left == [b"task 5", b"task 7", b"task 9"]
