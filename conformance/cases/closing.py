"""connection.close, and what a lost connection leaves behind."""

from conformance import codec
from conformance.case import Section, Session
from conformance.wire import check

case = Section("closing", "connection.close")


@case()
def close_is_answered(session: Session) -> None:
    session.connect().zero.call("connection.close", reply_code=200, reply_text="bye")


@case()
def close_with_channels_open_is_answered(session: Session) -> None:
    connection = session.connect()
    for _ in range(5):
        connection.channel()
    connection.close()


@case()
def methods_before_the_close_in_one_write_are_done(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    other = session.connect()
    publisher = other.channel()
    octets = b""
    for number in range(10):
        method = codec.encode_method("basic.publish", {"exchange": "", "routing_key": queue})
        octets += codec.frame(codec.METHOD, publisher.number, method)
        octets += codec.frame(codec.HEADER, publisher.number, codec.encode_header(1, {}))
        octets += codec.frame(codec.BODY, publisher.number, str(number).encode())
    octets += codec.frame(codec.METHOD, 0, codec.encode_method("connection.close", {"reply_code": 200}))
    other.send(octets)
    other.zero.expect("connection.close-ok")
    channel.wait_ready(queue, 10)
    check(channel.bodies(queue), [str(number).encode() for number in range(10)])


@case()
def methods_after_the_close_are_ignored(session: Session) -> None:
    connection = session.connect()
    channel = connection.channel()
    name = session.queue_name()
    octets = codec.frame(codec.METHOD, 0, codec.encode_method("connection.close", {"reply_code": 200}))
    declare = codec.encode_method("queue.declare", {"queue": name, "durable": True})
    octets += codec.frame(codec.METHOD, channel.number, declare)
    connection.send(octets)
    connection.zero.expect("connection.close-ok")
    session.stranger().refused(404, session.no_queue(name), "queue.declare", queue=name, passive=True)


@case()
def a_second_close_on_the_way_is_answered_too(session: Session) -> None:
    connection = session.connect()
    close = codec.frame(codec.METHOD, 0, codec.encode_method("connection.close", {"reply_code": 200}))
    connection.send(close + close)
    connection.zero.expect("connection.close-ok")
    connection.zero.expect("connection.close-ok")


@case()
def after_close_ok_the_socket_is_the_clients_to_close(session: Session) -> None:
    """Else what the client still sends resets it, and may take the answer along."""
    connection = session.connect()
    close = codec.frame(codec.METHOD, 0, codec.encode_method("connection.close", {"reply_code": 200}))
    connection.send(close)
    connection.zero.expect("connection.close-ok")
    connection.send(codec.frame(codec.HEARTBEAT, 0, b""))
    connection.send(close)
    connection.zero.expect("connection.close-ok")


@case()
def close_requeues_what_is_unacked(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    channel.fill(queue, b"a", b"b")
    worker = session.stranger()
    worker.get(queue, no_ack=False)
    worker.connection.close()
    channel.wait_ready(queue, 2)
    message = channel.get(queue)
    check((message.body, message.redelivered), (b"a", True))


@case()
def a_broken_socket_requeues_what_is_unacked(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    channel.fill(queue, b"a", b"b", b"c")
    worker = session.stranger()
    worker.consume(queue)
    worker.deliveries(3)
    worker.ack(2)
    worker.round_trip()
    worker.connection.abandon()
    channel.wait_ready(queue, 2)
    check(channel.bodies(queue), [b"a", b"c"])


@case()
def a_broken_socket_in_the_middle_of_content_publishes_nothing(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    worker = session.stranger()
    worker.send("basic.publish", exchange="", routing_key=queue)
    worker.connection.send_frame(codec.HEADER, worker.number, codec.encode_header(10, {}))
    worker.connection.send_frame(codec.BODY, worker.number, b"half")
    worker.connection.abandon()
    channel.round_trip()
    channel.wait_ready(queue, 0)


@case()
def unacked_of_two_consumers_return_in_order(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    workers = [session.stranger(), session.stranger()]
    for worker in workers:
        worker.consume(queue)
    channel.fill(queue, *(str(number).encode() for number in range(8)))
    for worker in workers:
        worker.deliveries(4)
    for worker in workers:
        worker.connection.close()
    channel.wait_ready(queue, 8)
    check(channel.bodies(queue), [str(number).encode() for number in range(8)])


@case()
def a_connection_error_closes_all_channels_and_requeues(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    channel.fill(queue, b"a")
    worker = session.stranger()
    worker.get(queue, no_ack=False)
    second = worker.connection.channel()
    second.fatal(540, "NOT_IMPLEMENTED - active=false", "channel.flow", active=False)
    channel.wait_ready(queue, 1)
    check(channel.get(queue).redelivered, True)


@case()
def a_connection_error_takes_exclusive_queues_along(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    stranger = session.stranger()
    channel.fatal(540, None, "channel.flow", active=False)
    stranger.refused(404, session.no_queue(queue), "queue.declare", queue=queue, passive=True)


@case(ref="RabbitMQ: connections")
def an_orderly_close_cancels_nobody_elses_consumers(session: Session) -> None:
    channel = session.channel()
    queue = session.shared_queue(channel)
    channel.consume(queue, no_ack=True)
    stranger = session.stranger()
    stranger.consume(queue, no_ack=True)
    stranger.connection.close()
    channel.wait_consumers(queue, 1)
    for number in range(3):
        channel.publish("", queue, str(number).encode())
    check(channel.deliveries(3), [b"0", b"1", b"2"])


@case(ref="connection.close-ok")
def a_close_ok_out_of_nothing_ends_only_this_connection(session: Session) -> None:
    bystander = session.channel()
    session.connect().zero.send("connection.close-ok")
    bystander.round_trip()
