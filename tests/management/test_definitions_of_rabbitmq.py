"""Definitions that the RabbitMQ of this machine exports come into Leveret and back, and are the same there again.

Debian's rabbitmq-server has the management plugin; CI installs it. It is started for this, and ended.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.management.client import Api
from tests.management.conftest import Node
from tests.management.judges import real_rabbitmq

VHOST = "moved/é"
SECTIONS = (
    *("users", "vhosts", "permissions", "topic_permissions", "parameters", "global_parameters"),
    *("policies", "queues", "exchanges", "bindings"),
)


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[Api]:
    """RabbitMQ's API, with something of each kind in it."""
    with real_rabbitmq() as (api, _):
        provision(api)
        yield api


def provision(api: Api) -> None:
    """Make all kinds of objects, with arguments of all types that JSON has."""
    place = quote(VHOST, safe="")

    def put(path: str, body: object) -> None:
        assert api.put(path, body) in (201, 204), path

    put(f"vhosts/{place}", {"description": "moves", "tags": "a,b"})
    put("users/plain", {"password": "p", "tags": "management,x"})
    put("users/nobody", {"password_hash": "", "tags": ""})
    put("users/long", {"password_hash": "", "hashing_algorithm": "rabbit_password_hashing_sha512", "tags": ""})
    put(f"permissions/{place}/plain", {"configure": "^a", "write": ".*", "read": ""})
    put(f"topic-permissions/{place}/plain", {"exchange": "amq.topic", "write": "^w", "read": "{username}"})
    put(f"vhost-limits/{place}/max-queues", {"value": 50})
    put(f"vhost-limits/{place}/max-connections", {"value": 20})
    put("user-limits/plain/max-channels", {"value": 7})
    put("global-parameters/moved", {"value": {"a": [1, "two", True]}})
    for kind in ("direct", "fanout", "topic", "headers"):
        put(f"exchanges/{place}/{kind}", {"type": kind, "durable": True, "internal": kind == "fanout"})
    put(f"exchanges/{place}/with", {"type": "direct", "arguments": {"alternate-exchange": "topic", "n": 1}})
    put(f"queues/{place}/classic", {"durable": True, "arguments": {"x-max-length": 9, "x-message-ttl": 60000}})
    put(f"queues/{place}/quorum", {"durable": True, "arguments": {"x-queue-type": "quorum"}})
    put(f"queues/{place}/stream", {"durable": True, "arguments": {"x-queue-type": "stream", "x-max-age": "1h"}})
    put(f"queues/{place}/transient", {"durable": False})
    put(f"queues/{place}/tempor%C3%A4r%2F1", {"durable": True, "auto_delete": True, "arguments": {"odd": [1, {}]}})
    headers = {"x-match": "all", "text": "t", "number": 2, "real": 1.5, "truth": True}
    for path, body in (
        ("e/topic/q/classic", {"routing_key": "a.#"}),
        ("e/headers/q/quorum", {"routing_key": "", "arguments": headers}),
        ("e/direct/e/topic", {"routing_key": "k/ä"}),
        ("e/amq.topic/q/stream", {"routing_key": "*"}),
    ):
        assert api.post(f"bindings/{place}/{path}", body).status == 201, path
    policy = {"pattern": "^q", "definition": {"max-length": 5, "overflow": "reject-publish"}, "priority": 3}
    put(f"policies/{place}/p", {**policy, "apply-to": "queues"})
    put(
        f"policies/{place}/x", {"pattern": ".*", "definition": {"alternate-exchange": "topic"}, "apply-to": "exchanges"}
    )
    put(f"operator-policies/{place}/op", {"pattern": "", "definition": {"expires": 1800000}, "apply-to": "queues"})


def in_order(definitions: dict[str, Any]) -> dict[str, list[str]]:
    """Return the sections, each as texts in an order of its own: RabbitMQ's order is none."""
    return {
        section: sorted(json.dumps(each, sort_keys=True) for each in definitions.get(section, []))
        for section in SECTIONS
    }


def of_one_vhost(rabbitmq: Api) -> dict[str, list[str]]:
    """Return what RabbitMQ exports of the virtual host, the same sections in the same order."""
    whole = rabbitmq.get(f"definitions/{quote(VHOST, safe='')}")
    for each in (*whole["parameters"], *whole["policies"]):
        del each["vhost"]  # RabbitMQ 3.10 names it in these two sections alone, a later one in none.
    return in_order(whole)


def test_definitions_come_over_and_back_unchanged(rabbitmq: Api, node: Node) -> None:
    """Only what names a node itself is left out: its cluster's name and id."""
    exported = rabbitmq.get("definitions")
    own = ("cluster_name", "internal_cluster_id")
    exported["global_parameters"] = [each for each in exported["global_parameters"] if each["name"] not in own]
    for section in SECTIONS:
        assert exported[section], section
    of_vhost = quote(VHOST, safe="")
    whole = of_one_vhost(rabbitmq)
    answer = node.api.post("definitions", exported)
    assert answer.status == 204, answer

    ours = node.api.get("definitions")
    ours["global_parameters"] = [each for each in ours["global_parameters"] if each["name"] not in own]
    there, here = in_order(exported), in_order(ours)
    for section in SECTIONS:
        assert set(there[section]) <= set(here[section]), section
    assert in_order(node.api.get(f"definitions/{of_vhost}")) == whole

    assert rabbitmq.delete(f"vhosts/{of_vhost}") == 204
    for user in ("plain", "nobody", "long"):
        assert rabbitmq.delete(f"users/{user}") == 204
    assert rabbitmq.post("definitions", ours).status in (201, 204)
    back = rabbitmq.get("definitions")
    back["global_parameters"] = [each for each in back["global_parameters"] if each["name"] not in own]
    returned = in_order(back)
    for section in SECTIONS:
        assert set(there[section]) <= set(returned[section]), section
    assert of_one_vhost(rabbitmq) == whole

    assert node.api.delete(f"vhosts/{of_vhost}") == 204
    for path in ("users/plain", "users/nobody", "users/long", "global-parameters/moved"):
        assert node.api.delete(path) == 204
