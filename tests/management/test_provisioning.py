"""What Terraform's RabbitMQ provider asks for: each resource is made, read back, changed, read, and deleted.

The paths and bodies are those of its HTTP client (rabbit-hole), which reads the overview first, names a binding by what
its ``Location`` says, and takes 404 for what is gone.
"""

import json
from typing import Any
from urllib.parse import quote, unquote

import pytest

from tests.management.client import NOT_FOUND, Api, error

PLACE = "tf%2Fone"


@pytest.fixture
def terraform(api: Api) -> Any:
    """The provider's user, in a virtual host ``tf/one``; both go afterwards."""
    assert api.put("users/terraform", {"name": "terraform", "password": "s3cret", "tags": "administrator"}) == 201
    provider = api.as_user("terraform", "s3cret")
    assert provider.get("overview")["management_version"]
    assert provider.put(f"vhosts/{PLACE}") == 201
    assert provider.get(f"vhosts/{PLACE}")["name"] == "tf/one"
    yield provider
    assert provider.delete(f"vhosts/{PLACE}") == 204
    assert error(provider("GET", f"vhosts/{PLACE}")) == NOT_FOUND
    assert api.delete("users/terraform") == 204


def cycle(api: Api, path: str, first: dict[str, Any], second: dict[str, Any], *keys: str) -> None:
    """Create, read, update, read, delete, read."""
    for body, status in ((first, 201), (second, 204)):
        assert api.put(path, body) == status, path
        read = api.get(path)
        for key in keys or body:
            assert read[key] == body[key], (path, key)
    assert api.delete(path) == 204
    assert error(api("GET", path)) == NOT_FOUND


def test_users_and_permissions(terraform: Api) -> None:
    user = {"name": "app", "password": "p"}
    cycle(terraform, "users/app", {**user, "tags": "management"}, {**user, "tags": ""}, "name")
    terraform.put("users/app", {**user, "tags": "policymaker,management"})
    assert terraform.get("users/app")["tags"] == ["policymaker", "management"]
    given = {"configure": "", "write": "^a", "read": ".*"}
    cycle(terraform, f"permissions/{PLACE}/app", given, {**given, "configure": ".*"})
    topic = {"exchange": "amq.topic", "write": "^a", "read": "^b"}
    assert terraform.put(f"topic-permissions/{PLACE}/app", topic) == 201
    assert terraform.get("users/app/topic-permissions") == [{"user": "app", "vhost": "tf/one", **topic}]
    assert terraform.get(f"topic-permissions/{PLACE}/app") == [{"user": "app", "vhost": "tf/one", **topic}]
    assert terraform.delete(f"topic-permissions/{PLACE}/app") == 204
    assert error(terraform("GET", f"topic-permissions/{PLACE}/app")) == NOT_FOUND
    assert terraform.delete("users/app") == 204


def test_exchanges_and_queues(terraform: Api) -> None:
    exchange = {
        "type": "topic",
        "durable": True,
        "auto_delete": False,
        "arguments": {"alternate-exchange": "amq.fanout"},
    }
    queue = {"durable": True, "auto_delete": False, "arguments": {"x-queue-type": "quorum", "x-max-length": 10}}
    cycle(terraform, f"exchanges/{PLACE}/x%2F1", exchange, exchange)
    cycle(terraform, f"queues/{PLACE}/q%2F1", queue, queue)


@pytest.mark.parametrize(("routing_key", "arguments"), [("#", {}), ("", {}), ("a/b", {"x-match": "all", "n": 1})])
@pytest.mark.parametrize("kind", ["q", "e"])
def test_bindings_are_found_by_their_properties_key(
    terraform: Api, kind: str, routing_key: str, arguments: dict[str, Any]
) -> None:
    """The provider keeps the last part of Location, and compares it with the ``properties_key`` of the list."""
    terraform.put(f"exchanges/{PLACE}/x", {"type": "headers", "durable": True})
    terraform.put(f"exchanges/{PLACE}/d", {"type": "fanout", "durable": True})
    terraform.put(f"queues/{PLACE}/d", {"durable": True})
    path = f"bindings/{PLACE}/e/x/{kind}/d"
    made = terraform.post(path, {"routing_key": routing_key, "arguments": arguments})
    assert made.status == 201
    key = made.headers["location"].rpartition("/")[2]
    (listed,) = [each for each in terraform.get(f"bindings/{PLACE}") if each["source"] == "x"]
    assert quote(listed["properties_key"], safe="~") == key
    assert (listed["routing_key"], listed["arguments"]) == (routing_key, arguments)
    assert listed["destination_type"] == {"q": "queue", "e": "exchange"}[kind]
    assert terraform.get(path) == [listed]
    assert terraform.get(f"{path}/{key}") == listed
    assert terraform.get(f"{path}/{quote(unquote(listed['properties_key']), safe='~')}") == listed
    assert terraform.delete(f"{path}/{key}") == 204
    assert error(terraform("GET", f"{path}/{key}")) == NOT_FOUND


def test_policies_and_limits(terraform: Api) -> None:
    policy = {"pattern": "^q", "definition": {"max-length": 5}, "priority": 1, "apply-to": "queues"}
    for kind in ("policies", "operator-policies"):
        cycle(terraform, f"{kind}/{PLACE}/p", policy, {**policy, "priority": 2})
    assert terraform.put(f"vhost-limits/{PLACE}/max-queues", {"value": 3}) in (201, 204)
    assert terraform.get(f"vhost-limits/{PLACE}") == [{"vhost": "tf/one", "value": {"max-queues": 3}}]
    assert terraform.delete(f"vhost-limits/{PLACE}/max-queues") == 204


@pytest.mark.parametrize("component", ["shovel", "federation-upstream"])
def test_shovels_and_federation_are_refused_in_words(terraform: Api, component: str) -> None:
    body = {"value": {"uri": "amqp://", "src-uri": "amqp://", "dest-uri": "amqp://"}}
    answer = terraform("PUT", f"parameters/{component}/{PLACE}/s", body)
    text = f"Validation failed\n\ncomponent {component} not found\n"
    assert error(answer) == (400, "bad_request", text)
    assert json.dumps(terraform.get("parameters")).count(component) == 0
