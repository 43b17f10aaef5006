"""Names of queues, exchanges, keys and tags: what is allowed, how it comes back."""

from conformance.case import CaseFunction, Section, Session
from conformance.wire import check

case = Section("names", "RabbitMQ: queues")

NAMES = {
    "spaces": " a b ",
    "punctuation": "a|b%c/d#e*f,g;h'i\"j",
    "accents": "déjà-vü",
    "other_scripts": "очередь-队列-キュー",
    "an_emoji": "hare-\U0001f407",
    "control_characters": "tab\tnul\0bell\a",
    "braces_and_backslashes": "{a}[b]\\n~p~s",
}


def _queue_named(suffix: str) -> CaseFunction:
    def run(session: Session) -> None:
        channel = session.channel()
        name = session.queue_name(suffix)
        check(channel.call("queue.declare", queue=name, exclusive=True).queue, name)
        channel.publish("", name, b"x")
        message = channel.get(name)
        check((message.body, message.routing_key), (b"x", name))

    return run


def _exchange_named(suffix: str) -> CaseFunction:
    def run(session: Session) -> None:
        channel = session.channel()
        exchange, queue = session.exchange_name(suffix), session.queue(channel)
        channel.call("exchange.declare", exchange=exchange, type="direct")
        channel.bind(queue, exchange, suffix)
        channel.publish(exchange, suffix, b"x")
        message = channel.get(queue)
        check((message.exchange, message.routing_key), (exchange, suffix))

    return run


for _name, _suffix in NAMES.items():
    case.add(f"queue_with_{_name}", _queue_named(_suffix))
    case.add(f"exchange_and_key_with_{_name}", _exchange_named(_suffix))


@case()
def a_queue_name_of_255_octets_is_taken(session: Session) -> None:
    channel = session.channel()
    name = session.queue_name()
    name += "x" * (255 - len(name))
    session.queue_names.append(name)
    check(channel.call("queue.declare", queue=name, exclusive=True).queue, name)
    channel.publish("", name, b"x")
    check(channel.get(name).routing_key, name)


@case()
def an_exchange_name_of_255_octets_is_taken(session: Session) -> None:
    channel = session.channel()
    name = session.exchange_name()
    name += "y" * (255 - len(name))
    session.exchange_names.append(name)
    channel.call("exchange.declare", exchange=name, type="fanout")
    queue = session.queue(channel)
    channel.bind(queue, name, "k" * 255)
    channel.publish(name, "z" * 255, b"x")
    message = channel.get(queue)
    check((message.exchange, message.routing_key), (name, "z" * 255))


@case()
def a_long_refusal_is_cut_to_255_octets(session: Session) -> None:
    channel = session.channel()
    name = "q" * 255
    channel.send("queue.declare", queue=name, passive=True)
    close = channel.expect("channel.close")
    text = f"NOT_FOUND - no {session.queue_text(name)}"
    check(close.reply_text, text[:252] + "...")


@case()
def carriage_returns_and_line_feeds_are_stripped(session: Session) -> None:
    channel = session.channel()
    name = session.queue_name()
    declared = channel.call("queue.declare", queue=f"{name[:5]}\r\n{name[5:]}\n", exclusive=True)
    check(declared.queue, name)
    exchange = session.exchange_name()
    channel.call("exchange.declare", exchange=f"{exchange}\r\n", type="direct")
    channel.call("exchange.declare", exchange=exchange, passive=True)


@case()
def names_are_case_sensitive(session: Session) -> None:
    channel = session.channel()
    lower, upper = session.queue_name("-case"), session.queue_name("-CASE")
    upper = lower.replace("-case", "-CASE")
    session.queue_names.append(upper)
    channel.call("queue.declare", queue=lower, exclusive=True)
    channel.refused(404, session.no_queue(upper), "queue.declare", queue=upper, passive=True)


@case()
def queues_and_exchanges_do_not_share_names(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    session.exchange_names.append(queue)
    channel.call("exchange.declare", exchange=queue, type="fanout")
    channel.bind(queue, queue)
    channel.publish(queue, "", b"x")
    check(channel.get(queue).exchange, queue)


@case(ref="basic.consume")
def a_consumer_tag_may_have_255_octets_and_any_characters(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    for tag in ("t" * 255, "tag é |%", " "):
        check(channel.consume(queue, consumer_tag=tag, no_ack=True), tag)
        channel.publish("", queue, b"x")
        check(channel.deliver().consumer_tag, tag)
        check(channel.call("basic.cancel", consumer_tag=tag).consumer_tag, tag)


@case()
def a_name_beginning_amq_without_the_dot_is_free(session: Session) -> None:
    channel = session.channel()
    name = "amqp-" + session.queue_name()
    session.queue_names.append(name)
    check(channel.call("queue.declare", queue=name, exclusive=True).queue, name)
