"""alternate-exchange."""

from conformance.case import Section, Session
from conformance.wire import Channel, check

case = Section("alternate_exchange", "RabbitMQ: ae")


def _with_alternate(session: Session, channel: Channel, kind: str = "direct") -> tuple[str, str, str]:
    """Return an exchange, its alternate (a fanout), and a queue bound to the alternate."""
    alternate = session.exchange(channel, "fanout")
    name = session.exchange(channel, kind, {"alternate-exchange": alternate})
    spill = session.queue(channel)
    channel.bind(spill, alternate)
    return name, alternate, spill


@case()
def what_matches_nothing_goes_there(session: Session) -> None:
    channel = session.channel()
    name, _alternate, spill = _with_alternate(session, channel)
    channel.publish(name, "no such key", b"x")
    message = channel.get(spill)
    check((message.exchange, message.routing_key, message.body), (name, "no such key", b"x"))


@case()
def what_matches_does_not(session: Session) -> None:
    channel = session.channel()
    name, _, spill = _with_alternate(session, channel)
    queue = session.queue(channel)
    channel.bind(queue, name, "k")
    channel.publish(name, "k", b"x")
    check((channel.bodies(queue), channel.bodies(spill)), ([b"x"], []))


@case()
def every_type_has_it(session: Session) -> None:
    channel = session.channel()
    for kind in ("direct", "fanout", "topic", "headers"):
        name, _, spill = _with_alternate(session, channel, kind)
        channel.publish(name, "k", kind.encode())
        check(channel.bodies(spill), [kind.encode()])


@case()
def a_mandatory_message_that_it_takes_is_not_returned(session: Session) -> None:
    channel = session.channel()
    name, _, spill = _with_alternate(session, channel)
    channel.publish(name, "k", b"x", mandatory=True)
    channel.expect_silence(spill)
    check(channel.bodies(spill), [b"x"])


@case()
def a_mandatory_message_that_it_does_not_take_is_returned(session: Session) -> None:
    channel = session.channel()
    alternate = session.exchange(channel, "direct")
    name = session.exchange(channel, "direct", {"alternate-exchange": alternate})
    channel.publish(name, "k", b"x", mandatory=True)
    check(channel.expect("basic.return").exchange, name)


@case()
def alternates_may_be_chained(session: Session) -> None:
    channel = session.channel()
    last = session.exchange(channel, "fanout")
    middle = session.exchange(channel, "direct", {"alternate-exchange": last})
    first = session.exchange(channel, "topic", {"alternate-exchange": middle})
    queue = session.queue(channel)
    channel.bind(queue, last)
    channel.publish(first, "k", b"x")
    check(channel.bodies(queue), [b"x"])


@case()
def a_cycle_of_alternates_ends(session: Session) -> None:
    channel = session.channel()
    one, other = session.exchange_name(), session.exchange_name()
    for name, alternate in ((one, other), (other, one)):
        arguments = {"alternate-exchange": alternate}
        channel.call("exchange.declare", exchange=name, type="direct", arguments=arguments)
    channel.publish(one, "k", b"x", mandatory=True)
    check(channel.expect("basic.return").exchange, one)


@case()
def an_exchange_may_be_its_own_alternate(session: Session) -> None:
    channel = session.channel()
    name = session.exchange_name()
    arguments = {"alternate-exchange": name}
    channel.call("exchange.declare", exchange=name, type="direct", arguments=arguments)
    channel.publish(name, "k", b"x", mandatory=True)
    channel.expect("basic.return")


@case()
def a_missing_alternate_is_as_none(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "direct", {"alternate-exchange": session.name(".missing")})
    channel.publish(name, "k", b"x", mandatory=True)
    check(channel.expect("basic.return").reply_code, 312)


@case()
def it_may_be_declared_after_its_user(session: Session) -> None:
    channel = session.channel()
    alternate = session.exchange_name()
    name = session.exchange(channel, "direct", {"alternate-exchange": alternate})
    queue = session.queue(channel)
    channel.call("exchange.declare", exchange=alternate, type="fanout")
    channel.bind(queue, alternate)
    channel.publish(name, "k", b"x")
    check(channel.bodies(queue), [b"x"])


@case()
def an_internal_exchange_may_be_the_alternate(session: Session) -> None:
    channel = session.channel()
    alternate = session.exchange(channel, "fanout", internal=True)
    name = session.exchange(channel, "direct", {"alternate-exchange": alternate})
    queue = session.queue(channel)
    channel.bind(queue, alternate)
    channel.publish(name, "k", b"x")
    check(channel.bodies(queue), [b"x"])


@case(ref="exchange.declare")
def one_that_is_no_string_is_406(session: Session) -> None:
    name = session.exchange_name()
    text = (
        f"PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in {session.exchange_text(name)}"
    )
    arguments = {"alternate-exchange": 5}
    session.channel().refused(406, text, "exchange.declare", exchange=name, type="direct", arguments=arguments)


@case(ref="exchange.declare")
def another_one_on_redeclare_is_406(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "direct", {"alternate-exchange": "one"})
    text = (
        f"PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for {session.exchange_text(name)}: "
        "received 'other' but current is 'one'"
    )
    arguments = {"alternate-exchange": "other"}
    channel.refused(406, text, "exchange.declare", exchange=name, type="direct", arguments=arguments)


@case(ref="exchange.declare")
def none_on_redeclare_is_406(session: Session) -> None:
    channel = session.channel()
    name = session.exchange(channel, "direct", {"alternate-exchange": "one"})
    text = (
        f"PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for {session.exchange_text(name)}: "
        "received none but current is the value 'one' of type 'longstr'"
    )
    channel.refused(406, text, "exchange.declare", exchange=name, type="direct")


@case(ref="exchange.declare")
def the_same_on_redeclare_is_ok(session: Session) -> None:
    channel = session.channel()
    arguments = {"alternate-exchange": "one"}
    name = session.exchange(channel, "direct", arguments)
    channel.call("exchange.declare", exchange=name, type="direct", arguments=arguments)
