"""exchange.bind and unbind."""

from itertools import pairwise

from conformance.case import Section, Session
from conformance.wire import Channel, check

case = Section("exchange_bindings", "RabbitMQ: e2e")
RESERVED = "ACCESS_REFUSED - operation not permitted on the default exchange"


def _bind(channel: Channel, destination: str, source: str, key: str = "") -> None:
    channel.call("exchange.bind", destination=destination, source=source, routing_key=key)


def _unbind(channel: Channel, destination: str, source: str, key: str = "") -> None:
    channel.call("exchange.unbind", destination=destination, source=source, routing_key=key)


@case()
def messages_pass_from_exchange_to_exchange(session: Session) -> None:
    channel = session.channel()
    source, destination = session.exchange(channel, "topic"), session.exchange(channel, "fanout")
    queue = session.queue(channel)
    _bind(channel, destination, source, "a.*")
    channel.bind(queue, destination)
    for key in ("a.b", "b.a"):
        channel.publish(source, key, key.encode())
    message = channel.get(queue)
    check((message.exchange, message.routing_key), (source, "a.b"))
    channel.get_empty(queue)


@case()
def each_exchange_routes_by_its_own_type(session: Session) -> None:
    channel = session.channel()
    source, destination = session.exchange(channel, "fanout"), session.exchange(channel, "direct")
    queue = session.queue(channel)
    _bind(channel, destination, source)
    channel.bind(queue, destination, "k")
    for key in ("k", "other"):
        channel.publish(source, key, key.encode())
    check(channel.bodies(queue), [b"k"])


@case()
def chains_are_followed(session: Session) -> None:
    channel = session.channel()
    chain = [session.exchange(channel, "fanout") for _ in range(5)]
    for source, destination in pairwise(chain):
        _bind(channel, destination, source)
    queue = session.queue(channel)
    channel.bind(queue, chain[-1])
    channel.publish(chain[0], "", b"x")
    check(channel.bodies(queue), [b"x"])


@case()
def a_queue_gets_one_copy_over_many_paths(session: Session) -> None:
    channel = session.channel()
    source = session.exchange(channel, "fanout")
    queue = session.queue(channel)
    channel.bind(queue, source)
    for _ in range(3):
        middle = session.exchange(channel, "fanout")
        _bind(channel, middle, source)
        channel.bind(queue, middle)
    channel.publish(source, "", b"x")
    check(channel.bodies(queue), [b"x"])


@case()
def cycles_end(session: Session) -> None:
    channel = session.channel()
    one, other = session.exchange(channel, "fanout"), session.exchange(channel, "fanout")
    _bind(channel, one, other)
    _bind(channel, other, one)
    queue = session.queue(channel)
    channel.bind(queue, other)
    channel.publish(one, "", b"x")
    check(channel.bodies(queue), [b"x"])


@case()
def an_exchange_may_be_bound_to_itself(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "fanout")
    _bind(channel, name, name)
    queue = session.queue(channel)
    channel.bind(queue, name)
    channel.publish(name, "", b"x")
    check(channel.bodies(queue), [b"x"])


@case()
def bind_twice_is_one_binding(session: Session) -> None:
    channel = session.channel()
    source, destination = session.exchange(channel, "direct"), session.exchange(channel, "fanout")
    queue = session.queue(channel)
    channel.bind(queue, destination)
    for _ in range(2):
        _bind(channel, destination, source, "k")
    _unbind(channel, destination, source, "k")
    channel.publish(source, "k", b"x")
    check(channel.bodies(queue), [])


@case()
def unbind_stops_the_flow(session: Session) -> None:
    channel = session.channel()
    source, destination = session.exchange(channel, "fanout"), session.exchange(channel, "fanout")
    queue = session.queue(channel)
    channel.bind(queue, destination)
    _bind(channel, destination, source)
    channel.publish(source, "", b"before")
    _unbind(channel, destination, source)
    channel.publish(source, "", b"after")
    check(channel.bodies(queue), [b"before"])


@case()
def unbind_of_anything_missing_is_ok(session: Session) -> None:
    channel = session.channel()
    name, missing = session.exchange(channel), session.name(".missing")
    _unbind(channel, name, name, "never bound")
    _unbind(channel, missing, name)
    _unbind(channel, name, missing)


@case()
def a_missing_source_is_404(session: Session) -> None:
    channel = session.channel()
    name, missing = session.exchange(channel), session.name(".missing")
    channel.refused(404, session.no_exchange(missing), "exchange.bind", destination=name, source=missing)


@case()
def a_missing_destination_is_404(session: Session) -> None:
    channel = session.channel()
    name, missing = session.exchange(channel), session.name(".missing")
    channel.refused(404, session.no_exchange(missing), "exchange.bind", destination=missing, source=name)


@case()
def the_default_exchange_on_either_side_is_403(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel)
    for method in ("exchange.bind", "exchange.unbind"):
        channel.refused(403, RESERVED, method, destination=name, source="")
        channel.refused(403, RESERVED, method, destination="", source=name)


@case()
def bind_and_unbind_with_nowait_are_silent(session: Session) -> None:
    channel = session.channel()
    source, destination = session.exchange(channel, "fanout"), session.exchange(channel, "fanout")
    queue = session.queue(channel)
    channel.bind(queue, destination)
    channel.send("exchange.bind", destination=destination, source=source, nowait=True)
    channel.publish(source, "", b"x")
    check(channel.get(queue).body, b"x")
    channel.send("exchange.unbind", destination=destination, source=source, nowait=True)
    channel.publish(source, "", b"y")
    channel.expect_silence(queue)
    channel.get_empty(queue)


@case()
def an_internal_exchange_takes_messages_from_exchanges(session: Session) -> None:
    channel = session.channel()
    source = session.exchange(channel, "fanout")
    inner = session.exchange(channel, "fanout", internal=True)
    _bind(channel, inner, source)
    queue = session.queue(channel)
    channel.bind(queue, inner)
    channel.publish(source, "", b"x")
    check(channel.bodies(queue), [b"x"])


@case(ref="exchange.delete")
def delete_if_unused_of_a_source_is_406(session: Session) -> None:
    channel = session.channel()
    source, destination = session.exchange(channel), session.exchange(channel)
    _bind(channel, destination, source, "k")
    text = f"PRECONDITION_FAILED - {session.exchange_text(source)} in use"
    channel.refused(406, text, "exchange.delete", exchange=source, if_unused=True)


@case(ref="exchange.delete")
def delete_of_the_destination_removes_the_binding(session: Session) -> None:
    channel = session.channel()
    source, destination = session.exchange(channel, "fanout"), session.exchange(channel, "fanout")
    queue = session.queue(channel)
    channel.bind(queue, destination)
    _bind(channel, destination, source)
    channel.call("exchange.delete", exchange=destination)
    channel.publish(source, "", b"x", mandatory=True)
    channel.expect("basic.return")
    channel.call("exchange.delete", exchange=source, if_unused=True)


@case(ref="exchange.declare")
def an_auto_delete_source_goes_with_its_last_exchange(session: Session) -> None:
    channel = session.channel()
    source = session.exchange(channel, "fanout", auto_delete=True)
    destination = session.exchange(channel, "fanout")
    _bind(channel, destination, source)
    channel.call("exchange.delete", exchange=destination)
    channel.refused(404, session.no_exchange(source), "exchange.declare", exchange=source, passive=True)


@case(ref="exchange.declare")
def auto_delete_goes_up_a_chain(session: Session) -> None:
    channel = session.channel()
    first = session.exchange(channel, "fanout", auto_delete=True)
    second = session.exchange(channel, "fanout", auto_delete=True)
    queue = session.queue(channel)
    _bind(channel, second, first)
    channel.bind(queue, second)
    channel.call("queue.delete", queue=queue)
    for name in (first, second):
        channel.refused(404, session.no_exchange(name), "exchange.declare", exchange=name, passive=True)


@case()
def headers_route_behind_another_exchange(session: Session) -> None:
    channel = session.channel()
    source, destination = session.exchange(channel, "fanout"), session.exchange(channel, "headers")
    queue = session.queue(channel)
    _bind(channel, destination, source)
    channel.bind(queue, destination, "", {"a": 1})
    for number in (1, 2, 1):
        channel.publish(source, "same key", str(number).encode(), headers={"a": number})
    check(channel.bodies(queue), [b"1", b"1"])
