"""Dead lettering: reasons, x-death and its counting, routing, cycles."""

import time
from typing import Any

from conformance.case import Section, Session
from conformance.codec import Typed
from conformance.wire import Channel, Method, check

case = Section("dead_letter", "RabbitMQ: dlx")


def _dying(session: Session, channel: Channel, **arguments: Any) -> tuple[str, str]:
    """Return a queue and the queue that gets its dead messages."""
    dead = session.queue(channel)
    settings = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    settings |= {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return session.queue(channel, settings), dead


def _reject(channel: Channel, queue: str) -> None:
    channel.reject(channel.get(queue, no_ack=False).delivery_tag, requeue=False)


def _dead(channel: Channel, queue: str) -> Method:
    channel.wait_ready(queue, 1)
    return channel.get(queue)


@case()
def a_rejected_message_is_dead_lettered(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel)
    channel.publish("", queue, b"x")
    _reject(channel, queue)
    message = _dead(channel, dead)
    check((message.body, message.headers["x-death"][0]["reason"]), (b"x", "rejected"))


@case()
def a_nacked_message_is_dead_lettered_as_rejected(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel)
    channel.publish("", queue, b"x")
    channel.nack(channel.get(queue, no_ack=False).delivery_tag, requeue=False)
    check(_dead(channel, dead).headers["x-death"][0]["reason"], "rejected")


@case()
def nack_multiple_dead_letters_in_order(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel)
    channel.fill(queue, b"1", b"2", b"3")
    for _ in range(3):
        channel.get(queue, no_ack=False)
    channel.nack(0, multiple=True, requeue=False)
    channel.wait_ready(dead, 3)
    check(channel.bodies(dead), [b"1", b"2", b"3"])


@case()
def an_expired_message_is_dead_lettered(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel, message_ttl=20)
    channel.publish("", queue, b"x")
    check(_dead(channel, dead).headers["x-death"][0]["reason"], "expired")


@case()
def messages_expire_in_order(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel, message_ttl=20)
    bodies = [str(number).encode() for number in range(20)]
    channel.fill(queue, *bodies)
    channel.wait_ready(dead, 20)
    check(channel.bodies(dead), bodies)


@case()
def a_requeued_or_acked_message_is_not_dead_lettered(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel)
    channel.publish("", queue, b"x")
    channel.nack(channel.get(queue, no_ack=False).delivery_tag)
    channel.ack(channel.get(queue, no_ack=False).delivery_tag)
    channel.expect_silence(queue)
    channel.get_empty(dead)


@case()
def purge_and_delete_do_not_dead_letter(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel)
    channel.fill(queue, b"x")
    channel.call("queue.purge", queue=queue)
    channel.fill(queue, b"y")
    channel.call("queue.delete", queue=queue)
    channel.expect_silence(dead)
    channel.get_empty(dead)


@case()
def x_death_has_its_fields_in_their_types(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel)
    channel.publish("", queue, b"x")
    _reject(channel, queue)
    headers = _dead(channel, dead).typed_headers.value
    check(headers["x-death"].code, "A")
    (entry,) = headers["x-death"].value
    types = {key: value.code for key, value in entry.value.items()}
    wanted = {"count": "l", "reason": "S", "queue": "S", "time": "T", "exchange": "S", "routing-keys": "A"}
    check(types, wanted)
    values = {key: value.value for key, value in entry.value.items()}
    check((values["count"], values["reason"], values["queue"], values["exchange"]), (1, "rejected", queue, ""))
    check(values["routing-keys"], [Typed("S", queue)])
    assert abs(values["time"] - time.time()) < 60, values["time"]


@case()
def the_first_death_headers_are_set(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel)
    channel.publish("", queue, b"x")
    _reject(channel, queue)
    headers = _dead(channel, dead).headers
    got = [headers.get(f"x-first-death-{word}") for word in ("queue", "reason", "exchange")]
    check(got, [queue, "rejected", ""])


@case(since="4.0")
def the_last_death_headers_are_set(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel)
    channel.publish("", queue, b"x")
    _reject(channel, queue)
    headers = _dead(channel, dead).headers
    got = [headers.get(f"x-last-death-{word}") for word in ("queue", "reason", "exchange")]
    check(got, [queue, "rejected", ""])


@case()
def other_headers_and_properties_are_kept(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel)
    channel.publish("", queue, b"x", headers={"mine": 1}, correlation_id="c", priority=4, delivery_mode=2)
    _reject(channel, queue)
    message = _dead(channel, dead)
    check(message.headers["mine"], 1)
    kept = {key: value for key, value in message.properties.items() if key != "headers"}
    check(kept, {"correlation_id": "c", "priority": 4, "delivery_mode": 2})


@case()
def the_delivery_names_the_dead_letter_exchange_and_key(session: Session) -> None:
    channel = session.channel()
    exchange, dead = session.exchange(channel, "fanout"), session.queue(channel)
    channel.bind(dead, exchange)
    arguments = {"x-dead-letter-exchange": exchange, "x-dead-letter-routing-key": "new key"}
    queue = session.queue(channel, arguments)
    channel.publish("", queue, b"x")
    _reject(channel, queue)
    message = _dead(channel, dead)
    check((message.exchange, message.routing_key), (exchange, "new key"))


@case(until="4.0")
def a_dead_letter_is_not_redelivered(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel)
    channel.publish("", queue, b"x")
    _reject(channel, queue)
    check(_dead(channel, dead).redelivered, False)


@case()
def without_a_dead_letter_key_the_original_is_kept(session: Session) -> None:
    channel = session.channel()
    source, exchange = session.exchange(channel, "direct"), session.exchange(channel, "direct")
    queue = session.queue(channel, {"x-dead-letter-exchange": exchange})
    dead = session.queue(channel)
    channel.bind(queue, source, "original")
    channel.bind(dead, exchange, "original")
    channel.publish(source, "original", b"x")
    _reject(channel, queue)
    message = _dead(channel, dead)
    check(message.routing_key, "original")
    entry = message.headers["x-death"][0]
    check((entry["exchange"], entry["routing-keys"], entry["queue"]), (source, ["original"], queue))


@case(ref="RabbitMQ: ttl")
def the_expiration_is_removed_and_noted(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel)
    channel.publish("", queue, b"x", expiration="20")
    message = _dead(channel, dead)
    assert "expiration" not in message.properties, message.properties
    check(message.headers["x-death"][0]["original-expiration"], "20")


@case(ref="RabbitMQ: ttl")
def without_expiration_there_is_no_original_expiration(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel, message_ttl=20)
    channel.publish("", queue, b"x")
    assert "original-expiration" not in _dead(channel, dead).headers["x-death"][0]


@case()
def a_second_death_elsewhere_comes_first(session: Session) -> None:
    channel = session.channel()
    last = session.queue(channel)
    middle = session.queue(channel, {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": last})
    first = session.queue(channel, {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": middle})
    channel.publish("", first, b"x")
    _reject(channel, first)
    channel.wait_ready(middle, 1)
    _reject(channel, middle)
    headers = _dead(channel, last).headers
    check([entry["queue"] for entry in headers["x-death"]], [middle, first])
    check(headers["x-first-death-queue"], first)


@case()
def the_same_death_again_counts_up(session: Session) -> None:
    channel = session.channel()
    queue = session.queue_name()
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}
    channel.call("queue.declare", queue=queue, exclusive=True, arguments=arguments)
    channel.publish("", queue, b"x")
    for deaths in range(1, 4):
        channel.wait_ready(queue, 1)
        message = channel.get(queue, no_ack=False)
        got = [entry["count"] for entry in message.headers.get("x-death", [])]
        check(got, [deaths - 1] if deaths > 1 else [])
        channel.reject(message.delivery_tag, requeue=False)


@case()
def a_retry_loop_counts_both_deaths(session: Session) -> None:
    channel = session.channel()
    work, retry = session.queue_name(), session.queue_name()
    for name, target, others in ((work, retry, {}), (retry, work, {"x-message-ttl": 20})):
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": target, **others}
        channel.call("queue.declare", queue=name, exclusive=True, arguments=arguments)
    channel.publish("", work, b"x")
    for _ in range(3):
        channel.wait_ready(work, 1)
        _reject(channel, work)
    headers = _dead(channel, work).headers
    entries = [(entry["queue"], entry["reason"], entry["count"]) for entry in headers["x-death"]]
    check(entries, [(retry, "expired", 3), (work, "rejected", 3)])
    check((headers["x-first-death-queue"], headers["x-first-death-reason"]), (work, "rejected"))


@case()
def a_cycle_of_expiry_alone_is_cut(session: Session) -> None:
    channel = session.channel()
    queue = session.queue_name()
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue, "x-message-ttl": 20}
    channel.call("queue.declare", queue=queue, exclusive=True, arguments=arguments)
    channel.fill(queue, b"x")
    channel.wait_ready(queue, 0)
    channel.get_empty(queue)


@case()
def a_cycle_of_expiry_over_two_queues_is_cut(session: Session) -> None:
    channel = session.channel()
    one, other = session.queue_name(), session.queue_name()
    for name, target in ((one, other), (other, one)):
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": target, "x-message-ttl": 15}
        channel.call("queue.declare", queue=name, exclusive=True, arguments=arguments)
    channel.fill(one, b"x")
    channel.wait_until(lambda: channel.ready_count(one) + channel.ready_count(other), 0, "messages in the cycle:")


@case()
def a_missing_dead_letter_exchange_drops_in_silence(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel, {"x-dead-letter-exchange": session.name(".missing")})
    channel.publish("", queue, b"x")
    _reject(channel, queue)
    channel.expect_silence(queue)
    channel.get_empty(queue)


@case()
def the_dead_letter_exchange_is_looked_up_at_death(session: Session) -> None:
    channel = session.channel()
    name = session.exchange_name()
    queue, dead = session.queue(channel, {"x-dead-letter-exchange": name}), session.queue(channel)
    channel.publish("", queue, b"x")
    channel.call("exchange.declare", exchange=name, type="fanout")
    channel.bind(dead, name)
    _reject(channel, queue)
    check(_dead(channel, dead).body, b"x")


@case()
def a_dead_letter_that_routes_nowhere_is_dropped(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "direct")
    queue = session.queue(channel, {"x-dead-letter-exchange": exchange})
    channel.publish("", queue, b"x", mandatory=True)
    _reject(channel, queue)
    channel.expect_silence(queue)


@case()
def dead_letters_may_go_to_many_queues(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "fanout")
    dead = [session.queue(channel) for _ in range(3)]
    for name in dead:
        channel.bind(name, exchange)
    queue = session.queue(channel, {"x-dead-letter-exchange": exchange})
    channel.publish("", queue, b"x")
    _reject(channel, queue)
    check([_dead(channel, name).body for name in dead], [b"x"] * 3)


@case()
def the_body_comes_through_whole(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel)
    body = bytes(range(256)) * 1500
    channel.publish("", queue, body)
    _reject(channel, queue)
    check(_dead(channel, dead).body == body, True, "the body whole:")


@case(until="4.0")
def a_client_sent_x_death_is_counted_on(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel)
    entry = {
        "count": Typed("l", 7),
        "reason": "rejected",
        "queue": queue,
        "time": Typed("T", 1700000000),
        "exchange": "",
        "routing-keys": [queue],
    }
    channel.publish("", queue, b"x", headers={"x-death": [entry]})
    _reject(channel, queue)
    check(_dead(channel, dead).headers["x-death"][0]["count"], 8)


@case()
def cc_keys_are_in_the_routing_keys_of_x_death(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "fanout")
    dead = session.queue(channel)
    channel.bind(dead, exchange)
    queue = session.queue(channel, {"x-dead-letter-exchange": exchange})
    channel.publish("", queue, b"x", headers={"CC": ["other"], "BCC": ["hidden"]})
    _reject(channel, queue)
    check(_dead(channel, dead).headers["x-death"][0]["routing-keys"], [queue, "other"])


@case(ref="RabbitMQ: sender-selected")
def cc_keys_route_the_dead_letter_too(session: Session) -> None:
    channel = session.channel()
    exchange = session.exchange(channel, "direct")
    dead = session.queue(channel)
    channel.bind(dead, exchange, "copy")
    queue = session.queue(channel, {"x-dead-letter-exchange": exchange})
    channel.publish("", queue, b"x", headers={"CC": ["copy"]})
    _reject(channel, queue)
    message = _dead(channel, dead)
    check((message.routing_key, message.headers["CC"]), (queue, ["copy"]))


@case(ref="RabbitMQ: sender-selected", until="4.0")
def with_a_dead_letter_key_cc_is_removed(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel)
    channel.publish("", queue, b"x", headers={"CC": ["copy"]})
    _reject(channel, queue)
    assert "CC" not in _dead(channel, dead).headers


@case()
def a_transaction_dead_letters_at_commit(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel)
    channel.fill(queue, b"x")
    channel.call("tx.select")
    _reject(channel, queue)
    channel.expect_silence(dead)
    channel.wait_ready(dead, 0)
    channel.call("tx.commit")
    check(_dead(channel, dead).body, b"x")


@case()
def a_dead_letter_to_a_consumer_is_delivered(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel)
    second = session.channel()
    second.consume(dead, no_ack=True)
    channel.publish("", queue, b"x")
    _reject(channel, queue)
    check(second.deliver().body, b"x")


@case()
def a_deleted_queue_with_dead_letters_out_leaves_them(session: Session) -> None:
    channel = session.channel()
    queue, dead = _dying(session, channel)
    channel.publish("", queue, b"x")
    _reject(channel, queue)
    channel.wait_ready(dead, 1)
    channel.call("queue.delete", queue=queue)
    check(channel.get(dead).body, b"x")
