"""What RabbitMQ tells of the same small topology is told here too, key by key; and its lists come in the same pages."""

from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote

import pika
import pytest

from tests.brokers import RunningBroker
from tests.management.client import Api
from tests.waiting import until

VHOST = "cmp"

QUEUES: dict[str, dict[str, Any]] = {
    "plain": {},
    "polq": {},
    "prio": {"x-max-priority": 3},
    "quo": {"x-queue-type": "quorum"},
    "str": {"x-queue-type": "stream"},
    "sac": {"x-single-active-consumer": True},
    "dead": {"x-dead-letter-exchange": "", "x-message-ttl": 600_000, "x-max-length": 10},
}

PATHS = (
    *("overview", "nodes", "nodes/{node}", "nodes/{node}/memory", "nodes/{node}/memory/relative", "cluster-name"),
    *("whoami", "connections", "channels", "consumers", "consumers/cmp", "exchanges/cmp", "exchanges/cmp/ex"),
    *("exchanges/cmp/ex2", "exchanges/cmp/polex", "exchanges/cmp/ex/bindings/source", "queues/cmp"),
    *(f"queues/cmp/{name}" for name in QUEUES),
    *("queues/cmp/plain/bindings", "bindings/cmp", "bindings/cmp/e/ex/q/plain", "bindings/cmp/e/ex/e/ex2"),
    *("vhosts", "vhosts/cmp", "vhosts/cmp/permissions", "vhosts/cmp/topic-permissions", "vhosts/cmp/connections"),
    *("vhosts/cmp/channels", "vhost-limits/cmp", "user-limits/u1", "users", "users/u1", "users/u1/permissions"),
    *(
        "users/u1/topic-permissions",
        "permissions",
        "permissions/cmp/u1",
        "topic-permissions",
        "topic-permissions/cmp/u1",
    ),
    *(
        "global-parameters",
        "policies/cmp",
        "policies/cmp/p1",
        "operator-policies/cmp/op1",
        "parameters/vhost-limits",
    ),
    *("definitions/cmp", "feature-flags", "aliveness-test/cmp", "healthchecks/node", "health/checks/alarms"),
    *("health/checks/local-alarms", "health/checks/virtual-hosts", "health/checks/node-is-quorum-critical"),
    *("health/checks/port-listener/1", "health/checks/protocol-listener/amqp091", "auth/attempts/{node}"),
    "health/checks/certificate-expiration/1/weeks",
)

ERLANGS = (
    *(
        "backing_queue_status.delta",
        "backing_queue_status.q",
        "backing_queue_status.next_",
        "disk_reads",
        "disk_writes",
    ),
    *("backing_queue_status.target_ram_count", "parameters[].vhost", "policies[].vhost"),
    *("socket_opts", "cluster_state.", "open_files.", "readers.", "config_files[]", "idle_since", "contexts[]"),
)
"""What only Erlang has, what is named after the node, and what depends on when it is asked."""


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, str]]:
    with RunningBroker(tmp_path_factory.mktemp("cmp") / "data", "--management-port", "any") as broker:
        yield Api(int(broker.wait_for_event("HTTP")["port"])), broker.url


@pytest.fixture(scope="module")
def both(ours: tuple[Api, str], judge: tuple[Api, str]) -> Iterator[tuple[Api, Api]]:
    """RabbitMQ and Leveret with the same in them, and clients that use it."""
    clients = [client for api, url in (judge, ours) for client in topology(api, url)]
    for api, _ in (judge, ours):
        until(lambda api=api: has_settled(api, clients), "what was done is not shown yet")  # type: ignore[misc]
    yield judge[0], ours[0]
    for client in clients:
        client.close()
    for api, _ in (judge, ours):
        for path in ("vhosts/cmp", "users/u1"):
            api.delete(path)


def topology(api: Api, url: str) -> list[Any]:
    """Make users, policies, queues and so on; return the connections that use them."""
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    for path, body in {
        "vhosts/cmp": {"description": "d", "tags": "a,b"},
        "permissions/cmp/guest": everything,
        "users/u1": {"password": "x", "tags": "management"},
        "permissions/cmp/u1": everything,
        "topic-permissions/cmp/u1": {"exchange": "amq.topic", "write": ".*", "read": ".*"},
        "policies/cmp/p1": {"pattern": "^pol", "definition": {"max-length": 1000}, "priority": 1, "apply-to": "all"},
        "operator-policies/cmp/op1": {"pattern": "^pol", "definition": {"expires": 10**6}, "apply-to": "queues"},
        "vhost-limits/cmp/max-queues": {"value": 100},
        "user-limits/u1/max-channels": {"value": 100},
    }.items():
        assert api.put(path, body) in (201, 204), path
    parameters = pika.URLParameters(f"{url.rpartition('/')[0]}/{VHOST}")
    first, second = pika.BlockingConnection(parameters), pika.BlockingConnection(parameters)
    channel = first.channel()
    channel.confirm_delivery()
    for name, arguments in QUEUES.items():
        channel.queue_declare(name, durable=True, arguments=arguments)
    channel.exchange_declare("ex", "topic", durable=True)
    channel.exchange_declare("ex2", "fanout", durable=True, arguments={"alternate-exchange": "amq.fanout"})
    channel.exchange_declare("polex", "direct")
    channel.queue_bind("plain", "ex", "a.*")
    channel.queue_bind("plain", "ex", "b", arguments={"k": 1})
    channel.exchange_bind("ex2", "ex", "#")
    for name in QUEUES:
        for number in range(3):
            properties = pika.BasicProperties(delivery_mode=1 + number % 2, timestamp=1_700_000_000)
            channel.basic_publish("", name, b"x" * 10, properties)
    channel.basic_publish("ex", "a.b", b"y")
    consuming = first.channel()
    consuming.basic_qos(prefetch_count=1)
    for name in ("plain", "sac", "quo"):
        consuming.basic_consume(name, lambda *_: None, consumer_tag=f"t-{name}")
    first.channel().basic_get("polq")
    second.channel().basic_consume("sac", lambda *_: None, consumer_tag="t-second")
    return [first, second]


def has_settled(api: Api, clients: Iterable[Any]) -> bool:
    """Whether what was published and delivered is in the numbers: RabbitMQ's come a while later."""
    for client in clients:
        client.process_data_events(0)
    queues = {each["name"]: each for each in api.get("queues/cmp")}
    plain, held = queues["plain"], queues["polq"]
    return (
        held.get("messages_unacknowledged") == 1
        and plain.get("messages_unacknowledged") == 1
        and held.get("message_bytes") == 30
        and "message_stats" in plain
        and len(api.get("vhosts/cmp/channels")) == 4
        and all("recv_oct" in each and "client_properties" in each for each in api.get("vhosts/cmp/connections"))
        and len(api.get("consumers/cmp")) == 4
        and "message_stats" in api.get("vhosts/cmp")
    )


def kinds(value: Any, at: str, found: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the types of values by where they are; whole and other numbers are one."""
    if isinstance(value, dict):
        found.setdefault(at, set()).add("object")
        for key, each in value.items():
            kinds(each, f"{at}.{key}", found)
    elif isinstance(value, list):
        found.setdefault(at, set()).add("list")
        for each in value:
            kinds(each, f"{at}[]", found)
    else:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        found.setdefault(at, set()).add("number" if is_number else type(value).__name__)
    return found


@pytest.mark.parametrize("path", PATHS)
def test_object_has_all_keys_of_rabbitmqs_and_their_types(both: tuple[Api, Api], path: str) -> None:
    theirs, ours = (api("GET", path.format(node=quote(api.get("overview")["node"], safe=""))) for api in both)
    assert theirs.status == ours.status, (theirs, ours)
    wanted, found = kinds(theirs.body, "", {}), kinds(ours.body, "", {})
    missing = {key: types for key, types in wanted.items() if types - found.get(key, set()) - {"NoneType"}}
    assert not {key: types for key, types in missing.items() if not any(each in key for each in ERLANGS)}


def test_numbers_of_queues_are_rabbitmqs(both: tuple[Api, Api]) -> None:
    """Where messages are, and how large they are."""

    def numbers(queue: dict[str, Any]) -> dict[str, Any]:
        keys = ("messages", "message_bytes", "consumers")
        return {key: value for key, value in queue.items() if key.startswith(keys) and isinstance(value, int)}

    for name in ("plain", "polq", "prio", "dead", "sac", "str"):
        theirs, ours = (numbers(api.get(f"queues/cmp/{name}")) for api in both)
        assert theirs == {key: ours.get(key) for key in theirs}, name


def test_message_sizes_of_quorum_queues_are_all_persistent(both: tuple[Api, Api]) -> None:
    shown = both[1].get("queues/cmp/quo")
    assert (shown["messages"], shown["messages_persistent"]) == (3, 3)
    assert (shown["message_bytes"], shown["message_bytes_persistent"], shown["message_bytes_unacknowledged"]) == (
        30,
        30,
        10,
    )


LISTS = ("queues/pages", "exchanges/pages")
QUERIES: Final = """
page=1 page=2 page=0 page=-1 page=abc page=1.5 page= page=%2B1 page=+1 page=%201 page=1_0 page=0x1 page=1&page_size=5
page=2&page_size=5 page=3&page_size=5 page=4&page_size=5 page=1&page_size=0 page=1&page_size=-1 page=1&page_size=500
page=1&page_size=501 page=1&page_size=abc page=1&page_size= page_size=5 name=q1 page=1&name=q1 page=1&name=Q1
page=1&name=^q1$&use_regex=true page=1&name=^Q1$&use_regex=true page=1&name=^[qe][0-4]$&use_regex=true
page=1&name=%5B&use_regex=true page=1&name=(&use_regex=true page=1&name=q1&use_regex=false page=1&name=q1&use_regex=yes
page=1&name= page=1&name=&use_regex=true page=1&name=zzz page=2&name=zzz page=1&name=%C3%A9 page=1&name=.
sort=name sort=name&sort_reverse=true sort=name&sort_reverse=false sort_reverse=true page=1&page_size=3&sort=name
page=2&page_size=3&sort=name&sort_reverse=true page=1&page_size=3&sort=durable&sort_reverse=true sort=durable
columns=name columns=name,vhost columns=name, columns=name,name page=1&page_size=2&columns=name
page=1&page=2 page=99999999999999999999999 page=1&page_size=5&name=q&use_regex=true&columns=name&sort=name
"""
SHOWN: Final = {"name", "vhost", "durable", "auto_delete"}


@pytest.fixture(scope="module")
def paged(ours: tuple[Api, str], judge: tuple[Api, str]) -> Iterator[tuple[Api, Api]]:
    """RabbitMQ and Leveret with a virtual host that has a dozen of everything."""
    for api, _ in (judge, ours):
        api.put("vhosts/pages")
        api.put("permissions/pages/guest", {"configure": ".*", "write": ".*", "read": ".*"})
        for number in range(12):
            assert api.put(f"queues/pages/q{number}", {"durable": number % 2 == 0}) == 201
        for name in ("Big.One", "%C3%A9t%C3%A9"):
            assert api.put(f"queues/pages/{name}", {}) == 201
        for number in range(3):
            assert api.put(f"exchanges/pages/e{number}", {"type": "topic" if number else "fanout"}) == 201
    until(lambda: len(judge[0].get("queues/pages?page=1")["items"]) == 14, "RabbitMQ does not show its queues")
    yield judge[0], ours[0]
    for api, _ in (judge, ours):
        api.delete("vhosts/pages")


def brief(body: Any) -> Any:
    """Return what of an answer is compared; lists that were not to be sorted in one order."""
    if isinstance(body, dict):
        return {key: brief(value) if key == "items" else value for key, value in body.items()}
    return [{key: value for key, value in each.items() if key in SHOWN} for each in body]


@pytest.mark.parametrize("path", LISTS)
def test_lists_are_cut_sorted_and_filtered_as_rabbitmqs(paged: tuple[Api, Api], path: str) -> None:
    different = []
    for query in QUERIES.split():
        theirs, ours = (api("GET", f"{path}?{query}") for api in paged)
        here, there = (brief(each.body) if each.status == 200 else each.body for each in (ours, theirs))
        if "sort" not in query and isinstance(here, list):
            here, there = (sorted(each, key=lambda item: str(item["name"])) for each in (here, there))
        if (ours.status, here) != (theirs.status, there):
            different.append(f"{query}: {ours.status} {here}, RabbitMQ: {theirs.status} {there}")
    assert not different, "\n".join(different)
