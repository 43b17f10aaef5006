"""Request and reply with reply_to and correlation_id. RabbitMQ: tutorials, six."""

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pika

from tests.clients.names import Names
from tests.clients.waiting import Inbox, pump


def fibonacci(number: int) -> int:
    low, high = 0, 1
    for _ in range(number):
        low, high = high, low + high
    return low


def serve(channel: Any, queue: str) -> None:
    """Answer requests on ``queue`` until the request ``stop`` comes."""

    def on_request(server: Any, method: Any, properties: Any, body: bytes) -> None:
        answer = b"bye" if body == b"stop" else b"%d" % fibonacci(int(body))
        about = pika.BasicProperties(correlation_id=properties.correlation_id)
        server.basic_publish("", properties.reply_to, answer, about)
        server.basic_ack(method.delivery_tag)
        if body == b"stop":
            server.stop_consuming()

    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(queue, on_request)
    channel.start_consuming()


class Caller:
    """The tutorial's client: one callback queue, one answer awaited at a time."""

    def __init__(self, channel: Any, service: str) -> None:
        self.channel = channel
        self.service = service
        self.replies = Inbox()
        self.callback_queue: str = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_consume(self.callback_queue, self.replies, auto_ack=True)

    def call(self, body: bytes) -> bytes:
        wanted = str(uuid.uuid4())
        about = pika.BasicProperties(reply_to=self.callback_queue, correlation_id=wanted)
        self.channel.basic_publish("", self.service, body, about)

        def answers() -> list[bytes]:
            return [reply.body for reply in self.replies if reply.properties.correlation_id == wanted]

        pump(self.channel.connection, until=lambda: bool(answers()))
        (answer,) = answers()
        return answer


def test_each_caller_gets_the_answers_to_its_own_requests(connect: Callable[..., Any], names: Names) -> None:
    service = names.queue("rpc")
    server = connect().channel()
    server.queue_declare(service)
    thread = threading.Thread(target=serve, args=(server, service))
    thread.start()
    callers = [Caller(connect().channel(), service) for _ in range(2)]
    try:
        for number in range(0, 40, 2):
            for offset, caller in enumerate(callers):
                assert caller.call(b"%d" % (number + offset)) == b"%d" % fibonacci(number + offset)
    finally:
        assert callers[0].call(b"stop") == b"bye"
        thread.join(timeout=10)
    assert not thread.is_alive()
    assert len(callers[1].replies) == 20


def test_pipelined_requests_are_told_apart_by_correlation_id(channel: Any, names: Names) -> None:
    service = names.queue("rpc")
    channel.queue_declare(service)
    callback_queue = channel.queue_declare("", exclusive=True).method.queue
    replies = Inbox()
    channel.basic_consume(callback_queue, replies, auto_ack=True)
    for number in range(10):
        about = pika.BasicProperties(reply_to=callback_queue, correlation_id=f"id-{number}")
        channel.basic_publish("", service, b"%d" % number, about)

    def on_request(server: Any, method: Any, properties: Any, body: bytes) -> None:
        about = pika.BasicProperties(correlation_id=properties.correlation_id)
        server.basic_publish("", properties.reply_to, b"answer " + body, about)

    channel.basic_consume(service, on_request, auto_ack=True)
    pump(channel.connection, until=lambda: len(replies) == 10)
    found = {reply.properties.correlation_id: reply.body for reply in replies}
    assert found == {f"id-{number}": b"answer %d" % number for number in range(10)}


def test_answer_to_a_caller_who_left_harms_nobody(connect: Callable[..., Any], names: Names) -> None:
    caller = connect()
    callback_queue = caller.channel().queue_declare("", exclusive=True).method.queue
    caller.close()
    server = connect().channel()
    queue = names.queue("rpc")
    server.queue_declare(queue)
    server.basic_publish("", callback_queue, b"too late")
    server.basic_publish("", queue, b"next request")
    inbox = Inbox()
    server.basic_consume(queue, inbox, auto_ack=True)
    pump(server.connection, until=lambda: inbox.bodies == [b"next request"])
