"""Lists, statistics, connections, definitions, health, metrics, and what RabbitMQ lacks: browse, wait, explain."""

import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pika
import pytest

from tests.brokers import RunningBroker
from tests.management.client import NOT_FOUND, Api, error
from tests.management.conftest import Node
from tests.waiting import DEADLINE_S, until


def test_lists_come_in_pages_sorted_with_some_columns(api: Api, place: str) -> None:
    for number in range(5):
        api.put(f"queues/{place}/q{number}")
    page = api.get(f"queues/{place}?page=2&page_size=2&sort=name&sort_reverse=true&columns=name")
    assert page == {
        "filtered_count": 5,
        "item_count": 2,
        "items": [{"name": "q2"}, {"name": "q1"}],
        "page": 2,
        "page_count": 3,
        "page_size": 2,
        "total_count": 5,
    }
    assert [each["name"] for each in api.get(f"queues/{place}?page=1&name=Q3")["items"]] == ["q3"]
    named = api.get(f"queues/{place}?page=1&name=%5E%5BqQ%5D%5B01%5D%24&use_regex=true")
    assert (named["filtered_count"], named["total_count"]) == (2, 5)
    assert api.get(f"queues/{place}?columns=name&sort=messages")[0] == {"name": "q0"}
    brief = api.get(f"queues/{place}?disable_stats=true&enable_queue_totals=true")[0]
    assert (brief["messages"], brief["name"], "message_stats" in brief) == (0, "q0", False)
    assert api.get("overview?columns=node,queue_totals.messages").keys() == {"node", "queue_totals"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("page=x", ("bad_request", "Pagination parameters are invalid")),
        ("page=1&name=(&use_regex=true", ("bad_request", "Pagination parameters are invalid")),
        (
            "page=0",
            ("invalid_pagination_parameters", "Invalid pagination parameters: page number 0, page size undefined"),
        ),
        (
            "page=1&page_size=501",
            ("invalid_pagination_parameters", "Invalid pagination parameters: page number 1, page size 501"),
        ),
        ("page=9", ("page_out_of_range", "Page out of range, page: 9 page size: 100, len: 0")),
    ],
)
def test_page_that_is_none_is_refused(api: Api, place: str, query: str, expected: tuple[str, str]) -> None:
    assert error(api("GET", f"queues/{place}?{query}")) == (400, *expected)


def test_connection_its_channels_and_consumers_are_shown_and_it_is_closed(
    api: Api, place: str, vhost: str, connect: Callable[..., Any]
) -> None:
    connection = connect(client_properties={"connection_name": "my app"}, heartbeat=77)
    channel = connection.channel()
    channel.queue_declare("q", exclusive=True)
    channel.basic_qos(prefetch_count=5)
    channel.basic_consume("q", lambda *_: None, consumer_tag="ct")
    (shown,) = api.get(f"vhosts/{place}/connections")
    assert (shown["user"], shown["vhost"], shown["state"], shown["channels"]) == ("guest", vhost, "running", 1)
    assert (shown["user_provided_name"], shown["timeout"], shown["protocol"]) == ("my app", 77, "AMQP 0-9-1")
    assert shown["recv_oct"] > 0
    assert shown["name"] == f"127.0.0.1:{shown['peer_port']} -> 127.0.0.1:{shown['port']}"
    path = f"connections/{quote(shown['name'], safe='')}"
    assert api.get(path)["client_properties"]["connection_name"] == "my app"
    (shown_channel,) = api.get(f"{path}/channels")
    assert (shown_channel["number"], shown_channel["prefetch_count"]) == (1, 5)
    assert shown_channel["name"] == f"{shown['name']} (1)"
    one = api.get(f"channels/{quote(shown_channel['name'], safe='')}")
    assert [each["consumer_tag"] for each in one["consumer_details"]] == ["ct"]
    (consumer,) = api.get(f"consumers/{place}")
    assert (consumer["consumer_tag"], consumer["prefetch_count"], consumer["ack_required"]) == ("ct", 5, True)
    assert consumer["queue"] == {"name": "q", "vhost": vhost}
    assert api.get(f"queues/{place}/q")["owner_pid_details"]["name"] == shown["name"]
    locked = api("DELETE", f"queues/{place}/q")
    assert locked.status == 400
    assert locked.body["reason"].startswith("cannot obtain exclusive access to locked queue 'q'")
    assert api("DELETE", path, x_reason="enough").status == 204
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
        connection.process_data_events(DEADLINE_S)
    assert (closed.value.reply_code, closed.value.reply_text) == (320, "CONNECTION_FORCED - enough")
    assert error(api("GET", path)) == NOT_FOUND
    assert error(api("DELETE", "connections/nope")) == NOT_FOUND


def test_message_statistics_count_each_message_once(
    api: Api, place: str, vhost: str, connect: Callable[..., Any]
) -> None:
    connection = connect()
    channel = connection.channel()
    channel.queue_declare("q")
    channel.queue_bind("q", "amq.fanout")
    channel.confirm_delivery()
    for _ in range(7):
        channel.basic_publish("amq.fanout", "", b"x")
    channel.basic_publish("", "nowhere", b"x")
    other = connection.channel()
    tags = []
    for _, method, _ in zip(range(4), (m for m, _, _ in other.consume("q")), range(4), strict=False):
        tags.append(method.delivery_tag)
    other.basic_ack(tags[0])
    other.basic_nack(tags[1], requeue=False)
    connection.process_data_events(0)

    def stats() -> dict[str, int]:
        shown: dict[str, int] = api.get(f"queues/{place}/q")["message_stats"]
        return shown

    until(lambda: stats().get("ack") == 1, "the ack is not counted")
    assert (stats()["publish"], stats()["deliver"], stats()["redeliver"]) == (7, 7, 0)
    exchange = api.get(f"exchanges/{place}/amq.fanout")["message_stats"]
    assert (exchange["publish_in"], exchange["publish_out"]) == (7, 7)
    publisher = next(each for each in api.get(f"vhosts/{place}/channels") if each["number"] == 1)["message_stats"]
    assert (publisher["publish"], publisher["confirm"], publisher["drop_unroutable"]) == (8, 8, 1)
    of_vhost = api.get(f"vhosts/{place}")["message_stats"]
    assert (of_vhost["publish"], of_vhost["deliver_get"]) == (8, 7)
    other.close()
    body = {"count": 9, "ackmode": "ack_requeue_false", "encoding": "auto"}
    assert [each["redelivered"] for each in api.post(f"queues/{place}/q/get", body).body] == [True] * 5
    assert (stats()["get_no_ack"], stats()["get_empty"], stats()["ack"]) == (5, 1, 1)


# Definitions


def node_of(start_broker: Callable[..., RunningBroker]) -> Node:
    return Node(start_broker("--management-port", "any", "--metrics-port", "none"))


# As RabbitMQ 3.10.8 exported it.
EXPORTED = {
    "rabbit_version": "3.10.8",
    "rabbitmq_version": "3.10.8",
    "product_name": "RabbitMQ",
    "product_version": "3.10.8",
    "users": [
        {
            "name": "guest",
            "password_hash": "cVjD0r2Q8dSvKRB8oFSP5mCmzypyyw3henf5URT9fRVaS5J1",
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": ["administrator"],
            "limits": {"max-channels": 9},
        },
        {
            "name": "u2",
            "password_hash": "x9nsEx0hnWTYcshaXA1WpO/YAPaZbg+AtQCH9b5QtFrtTz/Z",
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": [],
            "limits": {},
        },
    ],
    "vhosts": [{"name": "/"}, {"name": "v1"}],
    "permissions": [
        {"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
        {"user": "guest", "vhost": "v1", "configure": ".*", "write": ".*", "read": ".*"},
    ],
    "topic_permissions": [{"user": "u2", "vhost": "v1", "exchange": "amq.topic", "write": "^a", "read": ".*"}],
    "parameters": [
        {
            "value": {"pattern": "^q", "definition": {"max-length": 3}, "priority": 0, "apply-to": "all"},
            "vhost": "v1",
            "component": "operator_policy",
            "name": "op",
        },
        {"value": {"max-queues": 5}, "vhost": "v1", "component": "vhost-limits", "name": "limits"},
    ],
    "global_parameters": [{"name": "internal_cluster_id", "value": "rabbitmq-cluster-id-49csLpAY0oWBIi3-8Tfowg"}],
    "policies": [
        {
            "vhost": "v1",
            "name": "p1",
            "pattern": "^q",
            "apply-to": "all",
            "definition": {"max-length": 6},
            "priority": 0,
        }
    ],
    "queues": [
        {
            "name": "q1",
            "vhost": "/",
            "durable": True,
            "auto_delete": False,
            "arguments": {"x-dead-letter-exchange": "dlx", "x-max-length": 1000},
        },
        {"name": "qq", "vhost": "v1", "durable": True, "auto_delete": False, "arguments": {"x-queue-type": "quorum"}},
    ],
    "exchanges": [
        {
            "name": "x1",
            "vhost": "/",
            "type": "topic",
            "durable": True,
            "auto_delete": False,
            "internal": False,
            "arguments": {"alternate-exchange": "amq.fanout"},
        }
    ],
    "bindings": [
        {
            "source": "amq.headers",
            "vhost": "/",
            "destination": "q1",
            "destination_type": "queue",
            "routing_key": "",
            "arguments": {"n": 1, "x-match": "all"},
        },
        {
            "source": "x1",
            "vhost": "/",
            "destination": "q1",
            "destination_type": "queue",
            "routing_key": "a.*.c",
            "arguments": {},
        },
    ],
}


def test_definitions_of_rabbitmq_come_back_unchanged(start_broker: Callable[..., RunningBroker]) -> None:
    node = node_of(start_broker)
    assert node.api.post("definitions", EXPORTED).status == 204
    assert node.api.post("definitions", EXPORTED).status == 204
    exported = node.api.get("definitions")
    node.broker.restart()
    again = Node(node.broker).api.get("definitions")
    assert again == exported
    for section in ("users", "vhosts", "permissions", "topic_permissions", "parameters", "global_parameters"):
        assert sorted(map(json.dumps, exported[section])) == sorted(map(json.dumps, EXPORTED[section])), section
    for section in ("policies", "queues", "exchanges", "bindings"):
        assert exported[section] == EXPORTED[section], section


# As RabbitMQ 4 writes them.
EXPORTED_4: dict[str, Any] = {
    "rabbitmq_version": "4.1.0",
    "rabbitmq_definition_format": "cluster",
    "original_cluster_name": "rabbit@old",
    "explanation": "Definitions of cluster 'rabbit@old'",
    "users": [
        {"name": "four", "password_hash": "", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ["x"]}
    ],
    "vhosts": [
        {
            "name": "fresh",
            "description": "new",
            "tags": ["a"],
            "default_queue_type": "quorum",
            "metadata": {"description": "new", "tags": ["a"], "default_queue_type": "quorum"},
            "limits": [],
        }
    ],
    "permissions": [{"user": "four", "vhost": "fresh", "configure": "", "write": "", "read": ".*"}],
    "queues": [
        {
            "name": "s",
            "vhost": "fresh",
            "durable": True,
            "auto_delete": False,
            "type": "stream",
            "arguments": {},
        },
        {"name": "amq.gen-abc", "vhost": "fresh", "durable": False, "auto_delete": True, "arguments": {}},
    ],
    "bindings": [
        {
            "source": "amq.topic",
            "vhost": "fresh",
            "destination": name,
            "destination_type": "queue",
            "routing_key": "a.#",
            "arguments": {},
        }
        for name in ("s", "amq.gen-abc")
    ],
}


def test_definitions_of_rabbitmq_4_make_all_that_is_in_them(api: Api) -> None:
    assert api.post("definitions", EXPORTED_4).status == 204
    shown = api.get("vhosts/fresh")
    assert (shown["description"], shown["tags"], shown["default_queue_type"]) == ("new", ["a"], "quorum")
    assert api.get("queues/fresh/s")["type"] == "stream"
    assert [each["routing_key"] for each in api.get("bindings/fresh/e/amq.topic/q/s")] == ["a.#"]
    assert len(api.get("queues/fresh")) == 1
    assert api.get("permissions/fresh/four")["read"] == ".*"
    api.delete("vhosts/fresh")
    api.delete("users/four")


BAD_DEFINITIONS: list[tuple[dict[str, Any], str]] = [
    (
        {"queues": [{"name": "a", "vhost": "nope", "durable": True, "auto_delete": False, "arguments": {}}]},
        'Please create virtual host "nope" prior to importing definitions.',
    ),
    ({"queues": [{"name": "a", "vhost": "/", "arguments": {"x-max-length": "a"}}]}, "queues: invalid arg"),
    ({"queues": [{"vhost": "/"}]}, "queues: 'name' is missing"),
    ({"queues": {}}, ""),
    ({"queues": {"a": 1}}, "queues should be a list"),
    ({"queues": [5]}, "queues should be a list of objects"),
    ({"users": [{"name": "x"}]}, "tags_not_present"),
    ({"users": [{"name": "x", "tags": "", "password_hash": "!"}]}, "password_hash is not Base64"),
    (
        {"permissions": [{"user": "zz", "vhost": "/", "configure": "", "read": "", "write": ""}]},
        "there is no user 'zz'",
    ),
    ({"policies": [{"vhost": "/", "name": "p", "pattern": "x", "definition": {"bogus": 1}}]}, "policies: "),
    ({"exchanges": [{"vhost": "/", "name": "x", "type": "bogus"}]}, "exchanges: "),
    (
        {"bindings": [{"source": "nope", "vhost": "/", "destination": "q", "routing_key": ""}]},
        "a binding's source is missing",
    ),
]


@pytest.mark.parametrize(("wrong", "reason"), BAD_DEFINITIONS)
def test_definitions_are_imported_whole_or_not_at_all(api: Api, wrong: dict[str, Any], reason: str) -> None:
    before = api.get("definitions")
    good = {"vhosts": [{"name": "half"}], "users": [{"name": "half", "tags": "", "password_hash": ""}]}
    if wrong == {"queues": {}}:
        assert api.post("definitions", wrong).status == 204
        return
    answer = api.post("definitions", {**good, **wrong})
    assert (answer.status, answer.body["error"]) == (400, "bad_request")
    assert reason in answer.body["reason"]
    assert api.get("definitions") == before


def test_definitions_that_are_no_json_are_refused(api: Api) -> None:
    for raw in (b"x", b"[]", b"[" * 200_000):
        assert error(api("POST", "definitions", raw=raw)) == (400, "bad_request", "failed_to_parse_json")


def test_definitions_of_one_vhost_and_as_a_form(api: Api, place: str, vhost: str) -> None:
    definitions = {
        "queues": [{"name": "b", "durable": True, "auto_delete": False, "arguments": {}}],
        "exchanges": [
            {
                "name": "ee",
                "type": "topic",
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": {},
            }
        ],
        "bindings": [
            {
                "source": "ee",
                "destination": "b",
                "destination_type": "queue",
                "routing_key": "r",
                "arguments": {},
            }
        ],
    }
    form = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="d.json"\r\n\r\n'
    raw = form + json.dumps(definitions).encode() + b"\r\n--XX--\r\n"
    answer = api("POST", f"definitions/{place}", raw=raw, content_type="multipart/form-data; boundary=XX")
    assert answer.status == 204
    exported = api.get(f"definitions/{place}")
    assert {key: exported[key] for key in definitions} == definitions
    assert error(api.post("definitions/nope", {})) == (404, "not_found", "vhost_not_found")


# Health, overview, metrics


def test_health_checks(api: Api, node: Node, place: str) -> None:
    for name in (
        *("alarms", "local-alarms", "virtual-hosts", "node-is-quorum-critical", "ready-to-serve-clients"),
        *(f"port-listener/{node.broker.port}", "protocol-listener/amqp", "certificate-expiration/1/weeks"),
    ):
        assert api.get(f"health/checks/{name}")["status"] == "ok", name
    missing = api("GET", "health/checks/port-listener/1")
    assert (missing.status, missing.body["status"], missing.body["missing"]) == (503, "failed", 1)
    assert node.broker.port in missing.body["ports"]
    assert api("GET", "health/checks/protocol-listener/mqtt").status == 503
    assert api("GET", "health/checks/port-listener/x").status == 400
    assert api.get(f"aliveness-test/{place}") == {"status": "ok"}
    nobody = api.as_user("", "")
    assert nobody.get("/health/live") == {"status": "ok"}
    assert nobody.get("/health/ready") == {"status": "ok", "alarms": []}


def test_overview_and_nodes(api: Api, node: Node, place: str) -> None:
    overview = api.get("overview")
    assert overview["rabbitmq_version"] == overview["management_version"]
    assert {"amqp", "http"} <= {each["protocol"] for each in overview["listeners"]}
    assert overview["object_totals"]["exchanges"] >= 7
    (shown,) = api.get("nodes")
    assert (shown["name"], shown["running"], shown["mem_alarm"]) == (overview["node"], True, False)
    assert shown["mem_used"] > 0
    assert shown["disk_free"] > 0
    assert api.get(f"nodes/{shown['name']}")["os_pid"] == str(node.broker.pid)
    assert error(api("GET", "nodes/nope")) == NOT_FOUND
    for path in (
        "extensions",
        "feature-flags",
        "deprecated-features",
        "auth",
        "whoami",
        f"auth/attempts/{shown['name']}",
    ):
        api.get(path)
    assert api.get("config/effective").keys().isdisjoint({"default_pass", "tls_key_pass"})


def test_openapi_document_tells_every_path(api: Api) -> None:
    document = api.as_user("", "").get("openapi.json")
    assert document["openapi"].startswith("3.")
    assert set(document["paths"]["/api/queues/{vhost}/{queue}"]) == {"get", "put", "delete"}
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids)) > 100


# What RabbitMQ lacks


def test_browsing_shows_messages_and_changes_nothing(
    api: Api, place: str, vhost: str, connect: Callable[..., Any]
) -> None:
    channel = connect().channel()
    channel.queue_declare("q")
    for number in range(5):
        channel.basic_publish("", "q", b"m%d" % number)
    held, _, _ = channel.basic_get("q")
    page = until(
        lambda: (found := api.get(f"queues/{place}/q/messages"))["total_count"] == 4 and found, "one is missing"
    )
    assert [(item["position"], item["payload"]) for item in page["items"]] == [
        (0, "m1"),
        (1, "m2"),
        (2, "m3"),
        (3, "m4"),
    ]
    page = api.get(f"queues/{place}/q/messages?offset=1&limit=2&truncate=1")
    assert [(item["position"], item["payload"], item["payload_bytes"]) for item in page["items"]] == [
        (1, "m", 2),
        (2, "m", 2),
    ]
    (unacked,) = api.get(f"queues/{place}/q/messages?state=unacked")["items"]
    assert (unacked["payload"], unacked["holder"]["delivery_tag"]) == ("m0", held.delivery_tag)
    assert unacked["holder"]["consumer_tag"] is None
    for number in range(1, 5):
        method, _, body = channel.basic_get("q")
        assert (body, method.redelivered) == (b"m%d" % number, False)
    assert error(api("GET", f"queues/{place}/q/messages?state=bogus"))[:2] == (400, "bad_request")


def test_delayed_messages_are_seen_at_exchange_and_queue(api: Api, place: str, vhost: str) -> None:
    arguments = {"x-delayed-type": "direct"}
    assert api.put(f"exchanges/{place}/later", {"type": "x-delayed-message", "arguments": arguments}) == 201
    api.put(f"queues/{place}/q")
    api.post(f"bindings/{place}/e/later/q/q", {"routing_key": "k"})
    api.publish(vhost, "k", "soon", exchange="later", headers={"x-delay": 600_000})
    (item,) = api.get(f"queues/{place}/q/messages?state=delayed")["items"]
    assert (item["payload"], item["at"]) == ("soon", "later")
    assert 0 < item["due_in_ms"] <= 600_000
    assert api.get(f"exchanges/{place}/later/messages")["total_count"] == 1
    assert api.get(f"queues/{place}/q")["messages"] == 0


def test_waiting_ends_when_the_condition_holds(api: Api, place: str, vhost: str) -> None:
    answers: list[Any] = []
    waiter = threading.Thread(
        target=lambda: answers.append(api.get(f"queues/{place}/q/wait?min_messages=2&unacknowledged=0&timeout=10"))
    )
    waiter.start()
    api.put(f"queues/{place}/q")
    api.publish(vhost, "q")
    api.publish(vhost, "q")
    waiter.join(DEADLINE_S)
    assert answers[0]["messages"] == 2
    late = api("GET", f"queues/{place}/q/wait?messages=0&timeout=0.05")
    assert late.status == 408
    assert "messages=2" in late.body["reason"]
    for query in ("", "bogus=1", "messages=x", "messages=0&timeout=x", "messages=0&timeout=1e9"):
        assert api("GET", f"queues/{place}/q/wait?{query}").status == 400, query


def test_route_is_explained_with_its_nearest_misses(api: Api, place: str) -> None:
    for name, key in (("q1", "eu.*.orders"), ("q2", "us.*.orders"), ("q3", "eu.de.#")):
        api.put(f"queues/{place}/{name}")
        api.post(f"bindings/{place}/e/amq.topic/q/{name}", {"routing_key": key})
    api.post(f"bindings/{place}/e/amq.direct/e/amq.topic", {"routing_key": "eu.de.orders"})
    shown = api.get(f"exchanges/{place}/amq.direct/route?routing_key=eu.de.orders")
    assert (shown["routed"], shown["queues"], shown["exchanges"]) == (True, ["q1", "q3"], ["amq.direct", "amq.topic"])
    assert [each["routing_key"] for each in shown["bindings"]] == ["eu.de.orders", "eu.*.orders", "eu.de.#"]
    (miss,) = shown["nearest_misses"]
    assert (miss["destination"], miss["why_not"]) == ("q2", "word 1 is 'eu', not 'us'")
    api.post(f"bindings/{place}/e/amq.headers/q/q1", {"arguments": {"x-match": "all", "a": 1, "b": 2}})
    headers = quote(json.dumps({"a": 1, "b": 3}))
    shown = api.get(f"exchanges/{place}/amq.headers/route?headers={headers}")
    assert (shown["routed"], shown["nearest_misses"][0]["why_not"]) == (False, "headers differ: b")


# The port


def test_port_in_use_is_one_line_and_the_broker_goes_on(node: Node, start_broker: Callable[..., RunningBroker]) -> None:
    broker = start_broker("--management-port", str(node.http_port), "--metrics-port", "none")
    told = broker.wait_for_event("no HTTP here")
    assert told["error"] == f"cannot listen on 127.0.0.1:{node.http_port}: address already in use"
    pika.BlockingConnection(pika.URLParameters(broker.url)).close()


def test_two_ports_in_use_are_one_line(node: Node, start_broker: Callable[..., RunningBroker]) -> None:
    """As when a RabbitMQ runs on the machine already, or another Leveret."""
    amqp, http = node.broker.port, node.http_port
    broker = start_broker("--management-port", str(amqp), "--metrics-port", str(http))
    told = broker.wait_for_event("no HTTP here")
    assert told["protocol"] == "http, http/prometheus"
    parts = [f"cannot listen on 127.0.0.1:{port}: address already in use" for port in (amqp, http)]
    assert told["error"] == "; ".join(parts)
    assert len(broker.events("no HTTP here")) == 1


def test_metrics_have_a_port_of_their_own(start_broker: Callable[..., RunningBroker]) -> None:
    broker = start_broker("--management-port", "none", "--metrics-port", "any")
    port = int(broker.wait_for_event("HTTP")["port"])
    answer = Api(port, "", "")("GET", "/metrics")
    assert answer.status == 200
    assert "rabbitmq_connections 0.0" in answer.body


V2 = """
overview whoami version cluster-name nodes nodes/{node} nodes/{node}/memory nodes/{node}/memory/relative extensions
definitions definitions/%2F parameters parameters/shovel/%2F global-parameters policies policies/%2F operator-policies
operator-policies/%2F vhost-limits user-limits user-limits/guest connections connections/{connection}
connections/username/guest connections/{connection}/channels connections/{connection}/sessions channels
channels/{channel} consumers consumers/%2F exchanges/%2F queues queues/%2F queues/detailed queues/quorum/%2F/qq/status
bindings/%2F vhosts vhosts/%2F vhosts/%2F/permissions users users/without-permissions permissions topic-permissions
feature-flags deprecated-features deprecated-features/used auth/attempts/{node} auth/attempts/{node}/source
auth/hash_password/x shovels shovels/%2F federation-links federation-links/state/down health/checks/alarms
health/checks/local-alarms health/checks/virtual-hosts health/checks/node-is-quorum-critical
health/checks/is-in-service health/checks/ready-to-serve-clients health/checks/below-node-connection-limit
health/checks/reached-target-cluster-size health/checks/metadata-store/initialized
health/checks/metadata-store/initialized/with-data health/checks/protocol-listener/amqp
health/checks/quorum-queues-without-elected-leaders/all-vhosts/pattern/.*
health/checks/quorum-queues-without-elected-leaders/vhost/%2F/pattern/.*
"""


def test_every_path_that_the_second_rabbitmqadmin_reads_is_there(api: Api, node: Node) -> None:
    """Its commands, from ``show overview`` to ``health_check``; that it is given JSON, the other tests show."""
    api.put("queues/%2F/qq", {"durable": True, "arguments": {"x-queue-type": "quorum"}})
    with pika.BlockingConnection(pika.URLParameters(node.broker.url)) as connection:
        channel = connection.channel()
        channel.basic_consume("qq", print)
        names = {
            "node": api.get("overview")["node"],
            "connection": quote(api.get("connections")[0]["name"], safe=""),
            "channel": quote(api.get("channels")[0]["name"], safe=""),
        }
        missing = {path: answer for path in V2.split() if (answer := api("GET", path.format(**names)).status) != 200}
        assert missing == {}
        for method, path in (
            ("POST", "rebalance/queues"),
            ("POST", f"queues/quorum/replicas/on/{names['node']}/grow"),
            ("DELETE", f"queues/quorum/replicas/on/{names['node']}/shrink"),
            ("PUT", "feature-flags/quorum_queue/enable"),
            ("DELETE", f"auth/attempts/{names['node']}"),
        ):
            assert api(method, path, {} if method != "DELETE" else None).status in (200, 204), path
    assert api.delete("queues/%2F/qq") == 204
