"""x-max-length, x-max-length-bytes and x-overflow."""

from conformance.case import Section, Session
from conformance.wire import check

case = Section("length_limits", "RabbitMQ: maxlength")


@case()
def the_oldest_are_dropped(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-length": 3})
    for number in range(6):
        channel.publish("", queue, str(number).encode())
    check(channel.bodies(queue), [b"3", b"4", b"5"])


@case()
def bytes_count_bodies_only(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-length-bytes": 10})
    for body in (b"12345", b"67890"):
        channel.publish("", queue, body, headers={"long": "x" * 100}, correlation_id="y" * 100)
    channel.wait_ready(queue, 2)
    channel.publish("", queue, b"a")
    check(channel.bodies(queue), [b"67890", b"a"])


@case()
def a_message_larger_than_the_limit_empties_the_queue(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-length-bytes": 10})
    channel.publish("", queue, b"12345")
    channel.publish("", queue, b"x" * 11)
    check(channel.bodies(queue), [])


@case()
def both_limits_hold(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-length": 3, "x-max-length-bytes": 6})
    for body in (b"1", b"2", b"3", b"4"):
        channel.publish("", queue, body)
    channel.wait_ready(queue, 3)
    channel.publish("", queue, b"55555")
    check(channel.bodies(queue), [b"4", b"55555"])


@case()
def unacked_messages_do_not_count(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-length": 2})
    channel.fill(queue, b"1", b"2")
    for _ in range(2):
        channel.get(queue, no_ack=False)
    channel.fill(queue, b"3", b"4")
    channel.wait_ready(queue, 2)
    check(channel.bodies(queue), [b"3", b"4"])


@case()
def a_requeue_over_the_limit_drops_from_the_head(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-length": 2})
    channel.fill(queue, b"1", b"2")
    tag = channel.get(queue, no_ack=False).delivery_tag
    channel.fill(queue, b"3")
    channel.nack(tag)
    channel.wait_ready(queue, 2)
    check(channel.bodies(queue), [b"2", b"3"])


@case()
def limit_0_hands_over_to_a_waiting_consumer(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-length": 0})
    channel.publish("", queue, b"lost")
    channel.wait_ready(queue, 0)
    channel.consume(queue, no_ack=True)
    channel.publish("", queue, b"handed over")
    check(channel.deliver().body, b"handed over")


@case()
def dropped_messages_are_confirmed(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-length": 1})
    channel.call("confirm.select")
    for number in range(5):
        channel.publish("", queue, str(number).encode())
    check(set(channel.wait_confirms(5).values()), {"ack"})


@case(ref="RabbitMQ: dlx")
def the_dropped_are_dead_lettered_with_reason_maxlen(session: Session) -> None:
    channel = session.channel()
    dead = session.queue(channel)
    arguments = {"x-max-length": 1, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    queue = session.queue(channel, arguments)
    channel.publish("", queue, b"old")
    channel.publish("", queue, b"new")
    channel.wait_ready(dead, 1)
    message = channel.get(dead)
    check((message.body, message.headers["x-death"][0]["reason"]), (b"old", "maxlen"))
    check(channel.bodies(queue), [b"new"])


@case(ref="RabbitMQ: dlx")
def dropped_for_bytes_has_reason_maxlen_too(session: Session) -> None:
    channel = session.channel()
    dead = session.queue(channel)
    arguments = {"x-max-length-bytes": 5, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    queue = session.queue(channel, arguments)
    channel.publish("", queue, b"12345")
    channel.publish("", queue, b"6")
    channel.wait_ready(dead, 1)
    check(channel.get(dead).headers["x-death"][0]["reason"], "maxlen")


@case(ref="RabbitMQ: maxlength")
def reject_publish_nacks_what_does_not_fit(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-length": 2, "x-overflow": "reject-publish"})
    channel.call("confirm.select")
    settled = {}
    for number in range(1, 5):
        channel.publish("", queue, str(number).encode())
        reply = channel.expect("basic.ack", "basic.nack")
        settled[reply.delivery_tag] = reply.name
    check(settled, {1: "basic.ack", 2: "basic.ack", 3: "basic.nack", 4: "basic.nack"})
    check(channel.bodies(queue), [b"1", b"2"])


@case()
def reject_publish_drops_in_silence_without_confirms(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-length": 1, "x-overflow": "reject-publish"})
    for number in range(1, 4):
        channel.publish("", queue, str(number).encode())
    channel.expect_silence(queue)
    check(channel.bodies(queue), [b"1"])


@case()
def reject_publish_takes_again_when_there_is_room(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-length": 1, "x-overflow": "reject-publish"})
    channel.call("confirm.select")
    channel.publish("", queue, b"1")
    channel.expect("basic.ack")
    channel.publish("", queue, b"2")
    channel.expect("basic.nack")
    channel.get(queue)
    channel.publish("", queue, b"3")
    channel.expect("basic.ack")
    check(channel.bodies(queue), [b"3"])


@case()
def reject_publish_by_bytes(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-max-length-bytes": 5, "x-overflow": "reject-publish"})
    channel.call("confirm.select")
    channel.publish("", queue, b"12345")
    channel.expect("basic.ack")
    channel.publish("", queue, b"6")
    channel.expect("basic.nack")


@case(ref="RabbitMQ: dlx")
def reject_publish_does_not_dead_letter(session: Session) -> None:
    channel = session.channel()
    dead = session.queue(channel)
    arguments = {
        "x-max-length": 1,
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead,
    }
    queue = session.queue(channel, arguments)
    channel.publish("", queue, b"1")
    channel.publish("", queue, b"2")
    channel.expect_silence(queue, dead)
    check(channel.bodies(dead), [])


@case(ref="RabbitMQ: dlx")
def reject_publish_dlx_dead_letters_the_new_one_and_nacks(session: Session) -> None:
    channel = session.channel()
    dead = session.queue(channel)
    arguments = {
        "x-max-length": 1,
        "x-overflow": "reject-publish-dlx",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead,
    }
    queue = session.queue(channel, arguments)
    channel.call("confirm.select")
    channel.publish("", queue, b"1")
    channel.expect("basic.ack")
    channel.publish("", queue, b"2")
    channel.expect("basic.nack")
    channel.wait_ready(dead, 1)
    message = channel.get(dead)
    check((message.body, message.headers["x-death"][0]["reason"]), (b"2", "maxlen"))
    check(channel.bodies(queue), [b"1"])


@case()
def a_publish_to_two_queues_is_nacked_when_one_is_full(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "fanout")
    full = session.queue(channel, {"x-max-length": 0, "x-overflow": "reject-publish"})
    free = session.queue(channel)
    for queue in (full, free):
        channel.bind(queue, exchange)
    channel.call("confirm.select")
    channel.publish(exchange, "", b"x")
    channel.expect("basic.nack")
    check(channel.bodies(free), [b"x"])


@case()
def a_limited_queue_with_a_consumer_drops_nothing(session: Session) -> None:
    channel, second = session.channel(), session.channel()
    queue = session.queue(channel, {"x-max-length": 1})
    second.consume(queue, no_ack=True)
    for number in range(20):
        channel.publish("", queue, str(number).encode())
    check(second.deliveries(20), [str(number).encode() for number in range(20)])
