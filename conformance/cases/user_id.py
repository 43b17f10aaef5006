"""The user_id property, checked against who is logged in."""

from conformance.case import Section, Session
from conformance.wire import check

case = Section("user_id", "RabbitMQ: validated-user-id")


def _text(session: Session, claimed: str) -> str:
    user = session.address.user
    return f"PRECONDITION_FAILED - user_id property set to '{claimed}' but authenticated user was '{user}'"


@case()
def of_someone_else_is_406(session: Session) -> None:
    session.channel().publish_refused(406, _text(session, "nobody"), "", "k", user_id="nobody")


@case()
def the_own_is_carried(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.publish("", queue, b"x", user_id=session.address.user)
    check(channel.get(queue).properties, {"user_id": session.address.user})


@case()
def an_empty_one_is_someone_elses(session: Session) -> None:
    session.channel().publish_refused(406, _text(session, ""), "", "k", user_id="")


@case()
def a_wrong_one_is_refused_wherever_the_message_goes(session: Session) -> None:
    channel = session.channel()
    for exchange in ("", "amq.fanout", "amq.topic"):
        channel.publish_refused(406, _text(session, "nobody"), exchange, "k", user_id="nobody")


@case()
def it_is_checked_after_the_exchange(session: Session) -> None:
    name = session.exchange_name()
    session.channel().publish_refused(404, session.no_exchange(name), name, "k", user_id="nobody")


@case(ref="tx.select")
def it_is_checked_at_the_publish_inside_a_transaction(session: Session) -> None:
    channel = session.channel()
    channel.call("tx.select")
    channel.publish_refused(406, _text(session, "nobody"), "", "k", user_id="nobody")
