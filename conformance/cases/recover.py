"""basic.recover and recover-async."""

from conformance.case import Section, Session
from conformance.wire import check

case = Section("recover", "basic.recover")


@case()
def with_requeue_delivers_again_with_new_tags(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.fill(queue, b"a", b"b")
    channel.consume(queue)
    channel.deliveries(2)
    channel.send("basic.recover", requeue=True)
    names = []
    messages = []
    for _ in range(3):
        method = channel.next()
        names.append(method.name)
        if method.name == "basic.deliver":
            messages.append((method.body, method.delivery_tag, method.redelivered))
    check(sorted(names), ["basic.deliver", "basic.deliver", "basic.recover-ok"])
    check(messages, [(b"a", 3, True), (b"b", 4, True)])


@case()
def with_nothing_open_is_ok(session: Session) -> None:
    session.channel().call("basic.recover", requeue=True)


@case()
def requeues_what_was_got(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.fill(queue, b"a", b"b")
    tag = channel.get(queue, no_ack=False).delivery_tag
    channel.call("basic.recover", requeue=True)
    channel.wait_ready(queue, 2)
    channel.refused(406, f"PRECONDITION_FAILED - unknown delivery tag {tag}", "basic.ack", delivery_tag=tag)


@case()
def without_requeue_is_540(session: Session) -> None:
    session.channel().fatal(540, "NOT_IMPLEMENTED - requeue=false", "basic.recover", requeue=False)


@case(ref="basic.recover-async")
def async_requeues_in_silence(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.fill(queue, b"a", b"b")
    channel.get(queue, no_ack=False)
    channel.send("basic.recover-async", requeue=True)
    channel.expect_silence(queue)
    messages = [channel.get(queue) for _ in range(2)]
    check([(m.body, m.redelivered) for m in messages], [(b"a", True), (b"b", False)])


@case(ref="basic.recover-async")
def async_without_requeue_is_540(session: Session) -> None:
    channel = session.channel()
    channel.fatal(540, "NOT_IMPLEMENTED - requeue=false", "basic.recover-async", requeue=False)


@case()
def keeps_the_order_of_the_queue(session: Session) -> None:
    channel = session.channel()
    queue = session.queue(channel)
    channel.fill(queue, b"0", b"1", b"2", b"3")
    for _ in range(3):
        channel.get(queue, no_ack=False)
    channel.call("basic.recover", requeue=True)
    check(channel.bodies(queue), [b"0", b"1", b"2", b"3"])
