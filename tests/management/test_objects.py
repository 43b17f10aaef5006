"""Exchanges, queues, bindings, messages, virtual hosts: made, shown, changed and removed by HTTP."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.management.client import NOT_FOUND, Api, error
from tests.management.conftest import Node


def test_vhost_is_made_changed_shown_and_deleted(api: Api) -> None:
    assert api.put("vhosts/shop%2Fa", {"description": "wares", "tags": "x,y"}) == 201
    assert api.put("vhosts/shop%2Fa", {"default_queue_type": "quorum"}) == 204
    shown = api.get("vhosts/shop%2Fa")
    assert (shown["name"], shown["description"], shown["tags"]) == ("shop/a", "wares", ["x", "y"])
    assert shown["default_queue_type"] == "quorum"
    assert shown["name"] in [each["name"] for each in api.get("vhosts")]
    assert {"user": "guest", "vhost": "shop/a", "configure": ".*", "write": ".*", "read": ".*"} in api.get(
        "vhosts/shop%2Fa/permissions"
    )
    assert api.delete("vhosts/shop%2Fa") == 204
    assert error(api("GET", "vhosts/shop%2Fa")) == NOT_FOUND
    assert error(api("DELETE", "vhosts/shop%2Fa")) == NOT_FOUND


def test_protected_vhost_is_not_deleted(api: Api, place: str, vhost: str) -> None:
    assert api.post(f"vhosts/{place}/deletion/protection").status == 204
    assert api.get(f"vhosts/{place}")["protected_from_deletion"] is True
    text = f"Refusing to delete virtual host '{vhost}' because it is protected from deletion"
    assert error(api("DELETE", f"vhosts/{place}")) == (412, "precondition_failed", text)
    assert api.put(f"vhosts/{place}", {"description": "still"}) == 204
    (exported,) = [each for each in api.get("definitions")["vhosts"] if each["name"] == vhost]
    assert exported["protected_from_deletion"] is True
    assert api.delete(f"vhosts/{place}/deletion/protection") == 204
    assert api.post("definitions", {"vhosts": [exported]}).status == 204
    assert api("DELETE", f"vhosts/{place}").status == 412
    assert api.put(f"vhosts/{place}", {"protected_from_deletion": False}) == 204
    assert api.delete(f"vhosts/{place}") == 204


def test_queue_is_declared_once_and_kept_as_it_is(api: Api, place: str, vhost: str) -> None:
    arguments = {"x-max-length": 5}
    assert api.put(f"queues/{place}/q%2F1", {"durable": True, "arguments": arguments}) == 201
    assert api.put(f"queues/{place}/q%2F1", {"durable": "true", "arguments": arguments}) == 204
    differing = api("PUT", f"queues/{place}/q%2F1", {"durable": True})
    text = (
        f"inequivalent arg 'x-max-length' for queue 'q/1' in vhost '{vhost}': "
        "received none but current is the value '5' of type 'long'"
    )
    assert error(differing) == (400, "bad_request", text)
    shown = api.get(f"queues/{place}/q%2F1")
    assert (shown["name"], shown["vhost"], shown["type"], shown["durable"]) == ("q/1", vhost, "classic", True)
    assert (shown["messages"], shown["messages_ready"], shown["consumers"]) == (0, 0, 0)
    assert shown["state"] == "running"
    assert api.delete(f"queues/{place}/q%2F1") == 204
    assert error(api("GET", f"queues/{place}/q%2F1")) == NOT_FOUND


def test_queue_is_deleted_only_if_empty_where_asked(api: Api, place: str, vhost: str) -> None:
    api.put(f"queues/{place}/q", {"durable": True})
    assert api.publish(vhost, "q")
    refused = api("DELETE", f"queues/{place}/q?if-empty=true")
    assert error(refused) == (400, "bad_request", f"queue 'q' in vhost '{vhost}' not empty")
    assert api.delete(f"queues/{place}/q/contents") == 204
    assert api.delete(f"queues/{place}/q?if-empty=true&if-unused=true") == 204


@pytest.mark.parametrize("kind", ["classic", "quorum", "stream"])
def test_queues_of_each_type_are_shown_with_what_they_hold(api: Api, place: str, vhost: str, kind: str) -> None:
    assert api.put(f"queues/{place}/q", {"durable": True, "arguments": {"x-queue-type": kind}}) == 201
    for _ in range(3):
        assert api.publish(vhost, "q", "body", delivery_mode=2)
    shown = api.get(f"queues/{place}/q")
    assert (shown["type"], shown["messages"], shown["messages_ready"]) == (kind, 3, 3)
    assert shown["message_stats"]["publish"] == 3
    page = api.get(f"queues/{place}/q/messages")
    assert [item["payload"] for item in page["items"]] == ["body"] * 3


def test_exchange_is_declared_shown_and_deleted(api: Api, place: str, vhost: str) -> None:
    body = {"type": "topic", "durable": True, "arguments": {"alternate-exchange": "amq.fanout"}}
    assert api.put(f"exchanges/{place}/x", body) == 201
    assert api.put(f"exchanges/{place}/x", body) == 204
    assert error(api("PUT", f"exchanges/{place}/x", {"type": "fanout", "durable": True})) == (
        400,
        "bad_request",
        f"inequivalent arg 'type' for exchange 'x' in vhost '{vhost}': received 'fanout' but current is 'topic'",
    )
    shown = api.get(f"exchanges/{place}/x")
    assert (shown["type"], shown["arguments"]) == ("topic", {"alternate-exchange": "amq.fanout"})
    names = [each["name"] for each in api.get(f"exchanges/{place}")]
    assert names == sorted(
        ["", "amq.direct", "amq.fanout", "amq.headers", "amq.match", "amq.rabbitmq.trace", "amq.topic", "x"]
    )
    assert api.get(f"exchanges/{place}/amq.default")["name"] == ""
    assert api.delete(f"exchanges/{place}/x") == 204
    assert error(api("DELETE", f"exchanges/{place}/x")) == NOT_FOUND
    assert error(api("DELETE", f"exchanges/{place}/amq.direct")) == (401, "not_authorised", "Access refused.")
    assert error(api("PUT", f"exchanges/{place}/amq.mine", {"type": "direct"})) == (
        401,
        "not_authorised",
        "Access refused.",
    )


# What RabbitMQ 3.10 answered for the same bindings.
PROPERTIES_KEYS = [
    ({"routing_key": "a b", "arguments": {"k": 1}}, "a+b~DJ-ruQ"),
    ({"routing_key": "a/b c~*é"}, "a%2Fb+c%7E%2A%C3%A9"),
    ({"routing_key": "", "arguments": {"n": 5}}, "~-5qlfw"),
    ({"routing_key": "", "arguments": {"t": True}}, "~TLB3xQ"),
    ({}, "~"),
]


@pytest.mark.parametrize(("body", "key"), PROPERTIES_KEYS)
def test_binding_is_named_as_rabbitmq_names_it(api: Api, place: str, body: dict[str, Any], key: str) -> None:
    api.put(f"queues/{place}/q")
    made = api.post(f"bindings/{place}/e/amq.topic/q/q", body)
    assert (made.status, made.headers["location"]) == (201, f"q/{quote(key, safe='')}")
    path = f"bindings/{place}/e/amq.topic/q/{made.headers['location']}"
    shown = api.get(path)
    assert (shown["properties_key"], shown["routing_key"]) == (key, body.get("routing_key", ""))
    assert api.get(f"bindings/{place}/e/amq.topic/q/q") == [shown]
    assert shown in api.get(f"queues/{place}/q/bindings")
    assert shown in api.get(f"exchanges/{place}/amq.topic/bindings/source")
    assert shown in api.get(f"bindings/{place}")
    assert api.delete(path) == 204
    assert error(api("DELETE", path)) == NOT_FOUND


def test_exchanges_are_bound_to_exchanges(api: Api, place: str) -> None:
    assert api.post(f"bindings/{place}/e/amq.direct/e/amq.fanout", {"routing_key": "k"}).status == 201
    shown = api.get(f"bindings/{place}/e/amq.direct/e/amq.fanout/k")
    assert (shown["source"], shown["destination"], shown["destination_type"]) == (
        "amq.direct",
        "amq.fanout",
        "exchange",
    )
    assert shown in api.get(f"exchanges/{place}/amq.fanout/bindings/destination")
    assert api.delete(f"bindings/{place}/e/amq.direct/e/amq.fanout/k") == 204


def test_bindings_to_what_is_not_there_say_what_is_missing(api: Api, place: str, vhost: str) -> None:
    missing = api.post(f"bindings/{place}/e/amq.direct/q/nope", {})
    assert error(missing) == (404, "not_found", f"no queue 'nope' in vhost '{vhost}'")
    missing = api.post(f"bindings/{place}/e/nope/q/nope", {})
    assert error(missing) == (404, "not_found", f"no exchange 'nope' in vhost '{vhost}'")
    api.put(f"queues/{place}/q")
    refused = api.post(f"bindings/{place}/e/amq.default/q/q", {"routing_key": "z"})
    assert error(refused) == (401, "not_authorised", "Access refused.")


def test_message_is_got_with_all_its_properties(api: Api, place: str, vhost: str) -> None:
    api.put(f"queues/{place}/q")
    properties: dict[str, Any] = {
        "delivery_mode": 2,
        "headers": {"a": 1, "b": [1, "x", True, 1.5, {"z": 1}]},
        "content_type": "text/plain",
        "content_encoding": "utf-8",
        "timestamp": 1_700_000_000,
        "priority": 3,
        "expiration": "60000",
        "message_id": "m",
        "type": "t",
        "user_id": "guest",
        "app_id": "ap",
        "correlation_id": "c",
        "reply_to": "r",
    }
    assert api.publish(vhost, "q", "héllo", **properties)
    got = api.post(f"queues/{place}/q/get", {"count": 5, "ackmode": "ack_requeue_false", "encoding": "auto"}).body
    assert got == [
        {
            "payload_bytes": 6,
            "redelivered": False,
            "exchange": "",
            "routing_key": "q",
            "message_count": 0,
            "properties": properties,
            "payload": "héllo",
            "payload_encoding": "string",
        }
    ]


def test_octets_that_are_no_text_are_got_as_base64(api: Api, place: str) -> None:
    api.put(f"queues/{place}/q")
    body = {"properties": {}, "routing_key": "q", "payload": "/wA=", "payload_encoding": "base64"}
    assert api.post(f"exchanges/{place}/amq.default/publish", body).body == {"routed": True}
    (got,) = api.post(f"queues/{place}/q/get", {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}).body
    assert (got["payload"], got["payload_encoding"], got["properties"]) == ("/wA=", "base64", [])
    (got,) = api.post(
        f"queues/{place}/q/get", {"count": 1, "ackmode": "ack_requeue_true", "encoding": "base64", "truncate": 1}
    ).body
    assert (got["payload"], got["payload_bytes"], got["redelivered"]) == ("/w==", 2, True)


@pytest.mark.parametrize(
    ("mode", "left", "dead"),
    [
        ("ack_requeue_true", 2, 0),
        ("reject_requeue_true", 2, 0),
        ("ack_requeue_false", 0, 0),
        ("reject_requeue_false", 0, 2),
    ],
)
def test_ack_mode_says_what_becomes_of_what_was_got(
    api: Api, place: str, vhost: str, mode: str, left: int, dead: int
) -> None:
    api.put(f"queues/{place}/dead")
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    api.put(f"queues/{place}/q", {"arguments": arguments})
    for _ in range(2):
        api.publish(vhost, "q")
    got = api.post(f"queues/{place}/q/get", {"count": 5, "ackmode": mode, "encoding": "auto"}).body
    assert [message["message_count"] for message in got] == [1, 0]
    assert api.get(f"queues/{place}/q")["messages"] == left
    assert api.get(f"queues/{place}/dead")["messages"] == dead


def test_unroutable_message_is_not_routed_and_remembered(
    api: Api, place: str, vhost: str, connect: Callable[..., Any]
) -> None:
    assert not api.publish(vhost, "nowhere")
    channel = connect().channel()
    channel.confirm_delivery()
    channel.basic_publish("amq.direct", "typo", b"x")
    (last,) = api.get(f"unroutable/{place}")
    assert (last["exchange"], last["routing_key"], last["messages"], last["user"]) == ("amq.direct", "typo", 1, "guest")


def test_policies_and_their_effect(api: Api, place: str, vhost: str) -> None:
    api.put(f"queues/{place}/q1", {"durable": True})
    assert api.put(f"policies/{place}/p", {"pattern": "^q", "definition": {"max-length": 5}, "priority": 1}) == 201
    assert api.put(f"policies/{place}/p", {"pattern": "^q", "definition": {"max-length": 6}}) == 204
    assert api.get(f"policies/{place}/p") == {
        "vhost": vhost,
        "name": "p",
        "pattern": "^q",
        "apply-to": "all",
        "definition": {"max-length": 6},
        "priority": 0,
    }
    assert api.put(f"operator-policies/{place}/o", {"pattern": "", "definition": {"max-length": 3}}) == 201
    shown = api.get(f"queues/{place}/q1")
    assert (shown["policy"], shown["operator_policy"]) == ("p", "o")
    assert shown["effective_policy_definition"] == {"max-length": 3}
    component = api.get(f"parameters/operator_policy/{place}/o")
    assert component["value"]["definition"] == {"max-length": 3}
    assert api.delete(f"policies/{place}/p") == 204
    assert error(api("DELETE", f"policies/{place}/p")) == NOT_FOUND
    assert api.delete(f"operator-policies/{place}/o") == 204


BAD_POLICIES = [
    ({"pattern": "^q"}, "[{key_missing,definition}]"),
    (
        {"pattern": "x", "definition": {"bogus": 5}},
        'Validation failed\n\n[{&lt;&lt;"bogus"&gt;&gt;,5}] are not recognised policy settings\n',
    ),
    (
        {"pattern": "x", "definition": {"max-length": "5"}},
        'Validation failed\n\n&lt;&lt;"5"&gt;&gt; is not a valid maximum length\n',
    ),
    (
        {"pattern": "x", "definition": {"max-length": 5}, "priority": "1"},
        'Validation failed\n\npriority should be a number, actually was &lt;&lt;"1"&gt;&gt;\n',
    ),
]


@pytest.mark.parametrize(("body", "reason"), BAD_POLICIES)
def test_policy_that_is_none_is_refused(api: Api, place: str, body: object, reason: str) -> None:
    assert error(api("PUT", f"policies/{place}/p", body)) == (400, "bad_request", reason)
    assert api.get(f"policies/{place}") == []


def test_limits_and_parameters(api: Api, place: str, vhost: str) -> None:
    assert api.put(f"vhost-limits/{place}/max-queues", {"value": 1}) == 204
    assert api.get(f"vhost-limits/{place}") == [{"vhost": vhost, "value": {"max-queues": 1}}]
    assert {"value": {"max-queues": 1}, "vhost": vhost, "component": "vhost-limits", "name": "limits"} in api.get(
        "parameters"
    )
    api.put(f"queues/{place}/one")
    assert api("PUT", f"queues/{place}/two").status == 400
    assert api.delete(f"vhost-limits/{place}/max-queues") == 204
    assert api.get(f"vhost-limits/{place}") == []
    assert error(api("PUT", f"vhost-limits/{place}/bogus", {"value": 5})) == (
        400,
        "bad_request",
        'Validation failed\n\nUnrecognised terms [{&lt;&lt;"bogus"&gt;&gt;,5}] in limits\n',
    )
    for component in ("bogus", "shovel", "federation-upstream", "federation-upstream-set"):
        refused = (400, "bad_request", f"Validation failed\n\ncomponent {component} not found\n")
        assert error(api("PUT", f"parameters/{component}/{place}/n", {"value": {"uri": "amqp://"}})) == refused


def test_shovels_of_definitions_are_kept_and_can_be_removed(api: Api, node: Node, place: str, vhost: str) -> None:
    shovel = {"component": "shovel", "vhost": vhost, "name": "s", "value": {"src-uri": "amqp://"}}
    assert api.post("definitions", {"parameters": [shovel]}).status == 204
    assert node.broker.wait_for_event("kept, but without effect")["name"] == "s"
    assert api.get(f"parameters/shovel/{place}/s") == shovel
    assert shovel in api.get("definitions")["parameters"]
    assert api.delete(f"parameters/shovel/{place}/s") == 204
    assert error(api("GET", f"parameters/shovel/{place}/s")) == NOT_FOUND


def test_global_parameters_and_the_clusters_name(api: Api) -> None:
    assert api.put("global-parameters/mine", {"value": {"a": 1}}) == 201
    assert api.put("global-parameters/mine", {"value": {"a": 2}}) == 204
    assert api.get("global-parameters/mine") == {"value": {"a": 2}, "name": "mine"}
    assert api.delete("global-parameters/mine") == 204
    assert error(api("GET", "global-parameters/mine")) == NOT_FOUND
    assert api.put("cluster-name", {"name": "warren"}) == 204
    assert api.get("cluster-name") == {"name": "warren"}
    assert api.get("overview")["cluster_name"] == "warren"
    assert api.delete("global-parameters/cluster_name") == 204
