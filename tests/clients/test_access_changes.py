"""Changes by an operator, seen by clients that are connected: deletions, limits, passwords; what a restart keeps."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika.exceptions
import pytest

from tests.brokers import RunningBroker
from tests.nodes import RunningNode


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    with RunningNode(tmp_path / "data") as node:
        yield node


def add_user(node: RunningNode, name: str, vhost: str = "/") -> None:
    node.control(lambda access: access.users.add(name, "secret"))
    node.control(lambda access: access.set_permission(vhost, name, configure=".*", write=".*", read=".*"))


def end_of(connection: Any) -> str:
    """Return code and text with which the broker closes ``connection``, waiting for it."""
    try:
        for _ in range(100):
            connection.process_data_events(0.2)
    except pika.exceptions.ConnectionClosedByBroker as closed:
        return f"{closed.reply_code} {closed.reply_text}"
    raise AssertionError("the broker did not close the connection")


def test_deleted_users_connections_are_closed(node: RunningNode) -> None:
    add_user(node, "ann")
    add_user(node, "bob")
    ann, bob = node.connect("ann", "secret"), node.connect("bob", "secret")
    node.control(lambda access: access.delete_user("ann"))
    assert end_of(ann) == "320 CONNECTION_FORCED - user 'ann' is deleted"
    assert node.opening("ann", "secret").startswith("403 Login was refused")
    bob.channel().queue_declare("b", exclusive=True)
    bob.close()


def test_deleted_vhosts_connections_are_closed_and_its_queues_are_gone(node: RunningNode) -> None:
    node.control(lambda access: access.add_vhost("shop", creator="guest"))
    here, there = node.connect(), node.connect(vhost="shop")
    channel = there.channel()
    channel.confirm_delivery()
    channel.queue_declare("q", durable=True)
    channel.queue_bind("q", "amq.topic", "#")
    channel.basic_publish("", "q", b"x", pika.BasicProperties(delivery_mode=2))
    node.control(lambda access: access.delete_vhost("shop"))
    assert end_of(there) == "320 CONNECTION_FORCED - vhost 'shop' is deleted"
    assert node.opening("guest", "guest", "shop") == "530 vhost shop not found"
    here.channel().queue_declare("h", exclusive=True)
    here.close()
    node.control(lambda access: access.add_vhost("shop", creator="guest"))
    again = node.connect(vhost="shop")
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as closed:
        again.channel().queue_declare("q", passive=True)
    assert closed.value.reply_text == "NOT_FOUND - no queue 'q' in vhost 'shop'"
    again.close()


def test_vhost_in_full_use_is_deleted(node: RunningNode) -> None:
    node.control(lambda access: access.add_vhost("shop", creator="guest"))
    here, there, third = node.connect(), node.connect(vhost="shop"), node.connect(vhost="shop")
    channel = there.channel()
    channel.confirm_delivery()
    for kind in ("classic", "quorum", "stream"):
        channel.queue_declare(kind, durable=True, arguments={"x-queue-type": kind})
    letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "classic", "x-max-length": 2}
    channel.queue_declare("limited", durable=True, arguments=letters | {"x-message-ttl": 50, "x-expires": 60_000})
    channel.queue_declare("mine", exclusive=True)
    channel.exchange_declare("later", "x-delayed-message", durable=True, arguments={"x-delayed-type": "fanout"})
    channel.queue_bind("classic", "later")
    for key in ("classic", "quorum", "stream", "limited", "limited", "limited", "mine"):
        channel.basic_publish("", key, b"x", pika.BasicProperties(delivery_mode=2))
    channel.basic_publish("later", "", b"x", pika.BasicProperties(headers={"x-delay": 60_000}, delivery_mode=2))
    reader = third.channel()
    reader.basic_qos(prefetch_count=1)
    for name in ("classic", "quorum", "limited"):
        reader.basic_consume(name, print)
    third.process_data_events(0.1)
    transaction = third.channel()
    transaction.tx_select()
    transaction.basic_publish("", "classic", b"x")
    third.process_data_events(0.1)
    node.control(lambda access: access.delete_vhost("shop"))
    assert end_of(there) == end_of(third) == "320 CONNECTION_FORCED - vhost 'shop' is deleted"
    kept = node.call(lambda broker: ([*broker.vhosts], len(broker.admission.of_vhost("shop"))))
    assert kept == (["/"], 0)
    channel = here.channel()
    channel.queue_declare("h", exclusive=True)
    channel.basic_publish("", "h", b"x")
    assert channel.basic_get("h")[2] == b"x"
    here.close()


def test_deletion_outlives_a_restart(tmp_path: Path) -> None:
    with RunningNode(tmp_path / "data") as node:
        node.control(lambda access: access.add_vhost("shop", creator="guest"))
        connection = node.connect(vhost="shop")
        channel = connection.channel()
        channel.confirm_delivery()
        for name in ("one", "two"):
            channel.queue_declare(name, durable=True)
            channel.queue_bind(name, "amq.topic", "#")
            channel.basic_publish("", name, b"x", pika.BasicProperties(delivery_mode=2))
        node.control(lambda access: access.delete_vhost("shop"))
        end_of(connection)
    with RunningNode(tmp_path / "data") as node:
        assert node.call(lambda broker: broker.store.recovery.message_count) == 0
        kept = node.call(lambda broker: [tuple(key) for key, _ in broker.store.recovery.definitions])
        assert sorted(kept) == [("permission", "/", "guest"), ("user", "guest"), ("vhost", "/")]


def test_users_vhosts_permissions_and_limits_outlive_a_restart(tmp_path: Path) -> None:
    with RunningNode(tmp_path / "data") as node:
        node.control(lambda access: access.add_vhost("shop", description="wares", tags=["a", "b"]))
        add_user(node, "ann", "shop")
        node.control(lambda access: access.set_topic_permission("shop", "ann", "amq.topic", write="^w", read="^r"))
        node.control(lambda access: access.users.set_limits("ann", {"max-channels": 1}))
        node.control(lambda access: access.set_vhost_limits("shop", {"max-queues": 1}))
    with RunningBroker(tmp_path / "data") as broker:
        wanted = pika.URLParameters(f"amqp://ann:secret@127.0.0.1:{broker.port}/shop")
        connection = pika.BlockingConnection(wanted)
        channel = connection.channel()
        channel.queue_declare("q", durable=True)
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as closed:
            channel.queue_bind("q", "amq.topic", "other")
        assert closed.value.reply_text == (
            "ACCESS_REFUSED - access to topic 'other' in exchange 'amq.topic' in vhost 'shop' refused for user 'ann'"
        )
        channel = connection.channel()
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as closed:
            channel.queue_declare("q2")
        assert closed.value.reply_text == (
            "PRECONDITION_FAILED - cannot declare queue 'q2': queue limit in vhost 'shop' (1) is reached"
        )
        connection.channel()
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as ended:
            connection.channel()
        assert ended.value.reply_text == (
            "NOT_ALLOWED - number of channels opened for user 'ann' has reached the maximum allowed user limit of (1)"
        )


def test_what_was_deleted_is_not_made_again_by_a_restart(tmp_path: Path) -> None:
    with RunningNode(tmp_path / "data") as node:
        add_user(node, "admin")
        node.control(lambda access: access.delete_user("guest"))
    with RunningNode(tmp_path / "data") as node:
        assert node.opening("guest", "guest").startswith("403 Login was refused")
        assert node.opening("admin", "secret") == "ok"


def test_first_start_makes_user_and_vhost_of_the_settings(tmp_path: Path) -> None:
    names = {"default_user": "boss", "default_pass": "hunter2", "default_vhost": "main"}
    with RunningNode(tmp_path / "data", **names) as node:
        assert node.opening("boss", "hunter2", "main") == "ok"
        assert node.opening("guest", "guest", "main").startswith("403")
        assert node.opening("boss", "hunter2", "/") == "530 vhost / not found"
        assert node.control(lambda access: access.users.get("boss").tags) == ("administrator",)


LIMITS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "of a vhost": (
        lambda access: access.set_vhost_limits("/", {"max-connections": 1}),
        "530 access to vhost '/' refused for user 'ann': connection limit (1) is reached",
    ),
    "of a vhost, none at all": (
        lambda access: access.set_vhost_limits("/", {"max-connections": 0}),
        "530 access to vhost '/' refused for user 'ann': connection limit (0) is reached",
    ),
    "of a user": (
        lambda access: access.users.set_limits("ann", {"max-connections": 1}),
        "530 connection refused for user 'ann': user connection limit (1) is reached",
    ),
    "negative is none": (lambda access: access.set_vhost_limits("/", {"max-connections": -1}), "ok"),
}


@pytest.mark.parametrize("case", LIMITS)
def test_connections_are_limited(node: RunningNode, case: str) -> None:
    change, expected = LIMITS[case]
    add_user(node, "ann")
    first = node.connect("ann", "secret")
    node.control(change)
    assert node.opening("ann", "secret") == expected
    first.channel().queue_declare("q", exclusive=True)  # Who is inside already stays.
    first.close()


def test_connection_that_has_gone_makes_room(node: RunningNode) -> None:
    add_user(node, "ann")
    node.control(lambda access: access.users.set_limits("ann", {"max-connections": 1}))
    for _ in range(3):
        assert node.opening("ann", "secret") == "ok"


def test_channels_of_all_connections_of_a_user_count(node: RunningNode) -> None:
    add_user(node, "ann")
    node.control(lambda access: access.users.set_limits("ann", {"max-channels": 2}))
    first, second = node.connect("ann", "secret"), node.connect("ann", "secret")
    first.channel().close()
    first.channel()
    second.channel()
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
        second.channel()
    assert closed.value.reply_text == (
        "NOT_ALLOWED - number of channels opened for user 'ann' has reached the maximum allowed user limit of (2)"
    )
    first.channel()
    first.close()


def test_changed_password_counts_from_the_next_login_on(node: RunningNode) -> None:
    add_user(node, "ann")
    connection = node.connect("ann", "secret")
    node.control(lambda access: access.users.set_password("ann", "other"))
    connection.channel().queue_declare("q", exclusive=True)
    assert node.opening("ann", "secret").startswith("403 Login was refused")
    assert node.opening("ann", "other") == "ok"
    node.control(lambda access: access.users.set_password("ann", None))
    assert node.opening("ann", "other").startswith("403 Login was refused")
    connection.close()


def test_permission_taken_away_keeps_out_and_refuses_who_is_inside(node: RunningNode) -> None:
    add_user(node, "ann")
    connection = node.connect("ann", "secret")
    node.control(lambda access: access.clear_permission("/", "ann"))
    assert node.opening("ann", "secret") == "530 access to vhost '/' refused for user 'ann'"
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as closed:
        connection.channel().queue_declare("q")
    assert closed.value.reply_text == "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'ann'"
    connection.close()


def test_logins_are_counted(node: RunningNode) -> None:
    node.opening("guest", "wrong")
    node.opening("nobody", "guest")
    node.opening("guest", "guest")
    logins = node.call(lambda broker: broker.admission.logins)
    assert (logins.succeeded, logins.failed) == (1, 2)


def test_default_queue_type_of_a_vhost(node: RunningNode) -> None:
    node.control(lambda access: access.update_vhost("/", default_queue_type="quorum"))
    connection = node.connect()
    channel = connection.channel()
    channel.queue_declare("durable", durable=True)
    channel.queue_declare("durable", durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_declare("mine", exclusive=True)
    channel.queue_declare("classic", durable=True, arguments={"x-queue-type": "classic"})
    kinds = node.call(
        lambda broker: {name: queue.arguments.get("x-queue-type") for name, queue in broker.vhosts["/"].queues.items()}
    )
    assert kinds == {"durable": "quorum", "mine": None, "classic": "classic"}
    connection.close()


def test_refusals_name_the_right_as_later_versions_do(tmp_path: Path) -> None:
    with RunningNode(tmp_path / "data", compat="4.3") as node:
        add_user(node, "ann")
        node.control(lambda access: access.set_permission("/", "ann", configure="", write="", read=".*"))
        connection = node.connect("ann", "secret")
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as closed:
            connection.channel().queue_declare("q", durable=True)
        assert closed.value.reply_text == (
            "ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'ann'"
        )
        connection.close()


def test_queues_of_a_vhost_are_limited(node: RunningNode) -> None:
    node.control(lambda access: access.set_vhost_limits("/", {"max-queues": 1}))
    connection = node.connect()
    connection.channel().queue_declare("a")
    connection.channel().queue_declare("a")
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as closed:
        connection.channel().queue_declare("b")
    text = "PRECONDITION_FAILED - cannot declare queue 'b': queue limit in vhost '/' (1) is reached"
    assert (closed.value.reply_code, closed.value.reply_text) == (406, text)
    connection.channel().queue_delete("a")
    connection.channel().queue_declare("b")
    connection.close()
