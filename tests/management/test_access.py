"""Who may do what by HTTP: logins, tags, permissions; and what becomes of requests that make no sense."""

import socket
from collections.abc import Callable
from urllib.parse import quote

import pika
import pika.exceptions
import pytest

from tests.brokers import RunningBroker
from tests.management.client import NOT_FOUND, Api, error
from tests.management.conftest import Node
from tests.waiting import until


def test_without_credentials_a_challenge(api: Api) -> None:
    answer = api.as_user("", "")("GET", "whoami")
    assert (answer.status, answer.body) == (401, None)
    assert answer.headers["www-authenticate"] == 'Basic realm="RabbitMQ Management"'


@pytest.mark.parametrize(("user", "password"), [("guest", "wrong"), ("nobody", "guest"), ("guest", "")])
def test_wrong_credentials_are_refused(api: Api, user: str, password: str) -> None:
    assert error(api.as_user(user, password)("GET", "whoami")) == (401, "not_authorized", "Login failed")


def test_a_refused_login_is_logged_without_its_password(start_broker: Callable[..., RunningBroker]) -> None:
    broker = start_broker("--management-port", "any", "--metrics-port", "none")
    api = Node(broker).api
    assert api.get("whoami")["name"] == "guest"
    assert api.as_user("guest", "Secret-Guess")("GET", "whoami").status == 401
    line = broker.wait_for_event("HTTP login refused")
    assert (line["level"], line["user"], line["why"]) == ("warning", "guest", "invalid credentials")
    assert line["peer"].startswith("127.0.0.1:")
    assert api.as_user("", "")("GET", "whoami", authorization="Bearer Secret.Guess.Token").status == 401
    assert api.as_user("n" * 1000, "Secret-Guess")("GET", "whoami").status == 401
    until(lambda: len(broker.events("HTTP login refused")) == 3, "a refused login is not logged")
    assert [each["user"] for each in broker.events("HTTP login refused")] == ["guest", "", "n" * 255]
    assert "Secret" not in "".join(broker.output)


@pytest.mark.parametrize("header", ["Basic !!!", "Basic", "Bearer x", "Basic /w=="])
def test_credentials_that_are_none_are_refused(api: Api, header: str) -> None:
    assert api.as_user("", "")("GET", "whoami", authorization=header).status == 401


def test_users_are_made_shown_and_deleted(api: Api) -> None:
    assert api.put("users/ann", {"password": "p", "tags": "management,monitoring"}) == 201
    assert api.put("users/ann", {"password": "p2", "tags": ["management"]}) == 204
    shown = api.get("users/ann")
    assert (shown["name"], shown["tags"], shown["limits"]) == ("ann", ["management"], {})
    assert shown["hashing_algorithm"] == "rabbit_password_hashing_sha256"
    assert "ann" in [user["name"] for user in api.get("users/without-permissions")]
    assert api.as_user("ann", "p2").get("whoami") == {"name": "ann", "tags": ["management"]}
    assert api.put("users/bob", {"password_hash": shown["password_hash"], "tags": "management"}) == 201
    assert api.as_user("bob", "p2").get("whoami")["name"] == "bob"
    assert api.put("user-limits/ann/max-channels", {"value": 5}) == 204
    assert api.get("user-limits/ann") == [{"user": "ann", "value": {"max-channels": 5}}]
    assert api.delete("user-limits/ann/max-channels") == 204
    assert api.post("users/bulk-delete", {"users": ["ann", "nobody"]}).status == 400
    assert api.post("users/bulk-delete", {"users": ["ann", "bob"]}).status == 204
    assert error(api("GET", "users/ann")) == NOT_FOUND


BAD_USERS = [
    ({"password": "p"}, "tags_not_present"),
    ({"password": 5, "tags": ""}, "passwords and hashes are texts"),
    ({"password_hash": "xx", "tags": ""}, "password_hash is not Base64"),
    ([1], "not_json"),
]


@pytest.mark.parametrize(("body", "reason"), BAD_USERS)
def test_user_that_makes_no_sense_is_refused(api: Api, body: object, reason: str) -> None:
    assert error(api("PUT", "users/strange", body)) == (400, "bad_request", reason)
    assert error(api("GET", "users/strange")) == NOT_FOUND


def test_permissions_are_given_shown_and_taken(api: Api, place: str, vhost: str, make_user: Callable[..., Api]) -> None:
    name = make_user("management").user
    patterns = {"configure": "^a", "write": "", "read": ".*"}
    assert api.put(f"permissions/{place}/{name}", patterns) == 201
    assert api.put(f"permissions/{place}/{name}", patterns) == 204
    assert api.get(f"permissions/{place}/{name}") == {"user": name, "vhost": vhost, **patterns}
    assert api.get(f"users/{name}/permissions") == [{"user": name, "vhost": vhost, **patterns}]
    topic = {"exchange": "amq.topic", "write": "^a", "read": ".*"}
    assert api.put(f"topic-permissions/{place}/{name}", topic) == 201
    assert api.get(f"topic-permissions/{place}/{name}") == [{"user": name, "vhost": vhost, **topic}]
    assert api.get(f"topic-permissions/{place}/{name}/amq.topic") == {"user": name, "vhost": vhost, **topic}
    assert api.delete(f"topic-permissions/{place}/{name}") == 204
    assert error(api("GET", f"topic-permissions/{place}/{name}")) == NOT_FOUND
    missing = api("PUT", f"permissions/{place}/{name}", {"configure": "", "write": ""})
    assert error(missing) == (400, "bad_request", "[{key_missing,read}]")
    bad = api("PUT", f"permissions/{place}/{name}", {**patterns, "read": "("})
    assert (bad.status, bad.body["reason"][:2]) == (400, ["invalid_regexp", "("])
    unknown = api("PUT", f"permissions/nope/{name}", patterns)
    assert error(unknown) == (400, "bad_request", "vhost_or_user_not_found")
    assert api.delete(f"permissions/{place}/{name}") == 204
    assert error(api("DELETE", f"permissions/{place}/{name}")) == NOT_FOUND


def test_each_tag_opens_its_own_part(place: str, vhost: str, make_user: Callable[..., Api]) -> None:
    policy = {"pattern": "", "definition": {"max-length": 5}}
    plain, management = make_user("", vhost), make_user("management", vhost)
    monitoring, policymaker = make_user("monitoring"), make_user("policymaker", vhost)
    assert error(plain("GET", "whoami")) == (401, "not_authorised", "Not management user")
    assert error(management("GET", "nodes")) == (401, "not_authorised", "Not monitor user")
    assert error(management("GET", "users")) == (401, "not_authorised", "Not administrator user")
    assert error(management("PUT", "vhosts/zz")) == (401, "not_authorised", "Not administrator user")
    assert error(management("GET", "definitions")) == (401, "not_authorised", "Not administrator user")
    refused = management("PUT", f"policies/{place}/p", policy)
    assert error(refused) == (401, "not_authorised", "User not authorised to access object")
    assert [each["name"] for each in management.get("vhosts")] == [vhost]
    assert management("GET", "queues/%2F").body["reason"] == "User not authorised to access virtual host"
    assert "node" not in management.get("overview")
    assert monitoring.get("nodes")[0]["running"] is True
    assert monitoring.get(f"queues/{place}") == []
    assert error(monitoring("PUT", f"queues/{place}/q")) == (401, "not_authorised", "Access refused.")
    assert policymaker.put(f"policies/{place}/p", policy) == 201
    assert policymaker("PUT", f"operator-policies/{place}/p", policy).status == 401


def test_permissions_hold_by_http_too(api: Api, place: str, vhost: str, make_user: Callable[..., Api]) -> None:
    reader = make_user("management", vhost, configure="", write="", read="^q")
    api.put(f"queues/{place}/q1")
    api.put(f"queues/{place}/other")
    api.publish(vhost, "q1")
    get = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    body = {"properties": {}, "routing_key": "q1", "payload": "x", "payload_encoding": "string"}
    refused = (401, "not_authorised", "Access refused.")
    assert reader.post(f"queues/{place}/q1/get", get).status == 200
    assert error(reader.post(f"queues/{place}/other/get", get)) == refused
    assert error(reader("GET", f"queues/{place}/other/messages")) == refused
    assert error(reader.post(f"exchanges/{place}/amq.default/publish", body)) == refused
    assert error(reader("DELETE", f"queues/{place}/q1")) == refused
    assert error(reader("PUT", f"queues/{place}/q3")) == refused
    assert error(reader("DELETE", f"queues/{place}/other/contents")) == refused
    assert error(reader.post(f"bindings/{place}/e/amq.direct/q/q1", {})) == refused
    assert api.get(f"queues/{place}/q1")["messages"] == 1


# Paths and bodies that make no sense


@pytest.mark.parametrize(
    "path",
    ["nope", "users/guest/nope", "queues/%2F/a/b/c", "/cli/nope", "/api", "/etc/passwd", "/api/../etc", "queues//x"],
)
def test_unknown_path_is_not_found(api: Api, path: str) -> None:
    assert error(api("GET", path)) == NOT_FOUND


@pytest.mark.parametrize("name", ["%2e%2e%2fetc", "%00", "%ff", "a%2Fb", "%E2%80%AE", "x" * 300, "%zz", "+"])
def test_odd_names_in_paths_name_nothing_else(api: Api, place: str, name: str) -> None:
    assert api("GET", f"queues/{place}/{name}").status == 404
    assert api("GET", f"queues/{name}/q").status == 404


@pytest.mark.parametrize(("method", "path"), [("POST", "whoami"), ("DELETE", "overview"), ("PUT", "connections")])
def test_method_that_a_path_has_not_is_not_allowed(api: Api, method: str, path: str) -> None:
    answer = api(method, path)
    assert (answer.status, answer.body) == (405, None)
    assert "GET" in answer.headers["allow"]


def test_head_and_options(api: Api) -> None:
    assert api("HEAD", "overview").status == 200
    answer = api("OPTIONS", "vhosts/%2F")
    assert (answer.status, answer.headers["allow"]) == (200, "HEAD, GET, PUT, DELETE, OPTIONS")


@pytest.mark.parametrize("raw", [b"x", b"[]", b"5", b"{", b"\xff\xfe", b"[" * 100_000, b"NaN", b'{"a":NaN}'])
def test_body_that_is_no_object_is_refused(api: Api, place: str, raw: bytes) -> None:
    answer = api("PUT", f"queues/{place}/q", raw=raw)
    assert error(answer) == (400, "bad_request", "not_json")
    assert error(api("GET", f"queues/{place}/q")) == NOT_FOUND


@pytest.mark.parametrize(
    "body",
    [
        {"durable": "yes"},
        {"durable": 1},
        {"arguments": 5},
        {"arguments": {"a": None}},
        {"arguments": {"a": 1 << 70}},
        {"arguments": {"x-max-length": -1}},
        {"arguments": {"x-queue-type": "zz"}},
        {"auto_delete": True, "durable": True, "arguments": {"x-queue-type": "quorum"}},
    ],
)
def test_queue_that_cannot_be_is_refused_and_not_made(api: Api, place: str, body: object) -> None:
    answer = api("PUT", f"queues/{place}/q", body)
    assert (answer.status, answer.body["error"]) == (400, "bad_request")
    assert error(api("GET", f"queues/{place}/q")) == NOT_FOUND


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"payload": "###", "payload_encoding": "base64"}, ["not_base64", "###"]),
        ({"payload_encoding": "foo"}, ["unsupported_encoding", "foo"]),
        ({"properties": {"delivery_mode": "2"}}, ["not_int", "delivery_mode"]),
        ({"properties": {"priority": 256}}, ["not_int", "priority"]),
        ({"properties": {"content_type": 5}}, ["not_string", "content_type"]),
        ({"properties": {"content_type": "x" * 256}}, "content_type is longer than 255 octets"),
        ({"properties": 5}, "properties should be an object"),
        ({"routing_key": "x" * 256}, "routing_key is longer than 255 octets"),
        (
            {"properties": {"user_id": "bob"}},
            "406 PRECONDITION_FAILED - user_id property set to 'bob' but authenticated user was 'guest'",
        ),
    ],
)
def test_message_that_makes_no_sense_is_refused(
    api: Api, place: str, change: dict[str, object], reason: object
) -> None:
    api.put(f"queues/{place}/q")
    body = {"properties": {}, "routing_key": "q", "payload": "x", "payload_encoding": "string", **change}
    assert error(api.post(f"exchanges/{place}/amq.default/publish", body)) == (400, "bad_request", reason)
    assert api.get(f"queues/{place}/q")["messages"] == 0


def test_publish_says_what_is_missing(api: Api, place: str, vhost: str) -> None:
    answer = api.post(f"exchanges/{place}/amq.default/publish", {"routing_key": "q"})
    reason = "[{key_missing,properties},\n {key_missing,payload},\n {key_missing,payload_encoding}]"
    assert error(answer) == (400, "bad_request", reason)
    body = {"properties": {}, "routing_key": "q", "payload": "x", "payload_encoding": "string"}
    answer = api.post(f"exchanges/{place}/nope/publish", body)
    assert error(answer) == (400, "bad_request", f"404 NOT_FOUND - no exchange 'nope' in vhost '{vhost}'")
    assert error(api.post("exchanges/nope/amq.default/publish", body)) == (404, "not_found", "vhost_not_found")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"count": 5}, "[{key_missing,ackmode},{key_missing,encoding}]"),
        ({"count": "x", "ackmode": "ack_requeue_true", "encoding": "auto"}, ["not_integer", "x"]),
        (
            {"count": 1, "ackmode": "ack_requeue_true", "encoding": "foo"},
            "Unsupported encoding. Please use auto or base64.",
        ),
    ],
)
def test_get_that_makes_no_sense_is_refused(api: Api, place: str, body: object, reason: object) -> None:
    api.put(f"queues/{place}/q")
    assert error(api.post(f"queues/{place}/q/get", body)) == (400, "bad_request", reason)


def test_get_from_a_missing_queue(api: Api, place: str, vhost: str) -> None:
    body = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    answer = api.post(f"queues/{place}/nope/get", body)
    assert error(answer) == (404, "not_found", f"NOT_FOUND - no queue 'nope' in vhost '{vhost}'")


def test_body_that_is_too_large_is_refused_unread(api: Api) -> None:
    answer = api("PUT", "users/huge", raw=b"{" + b" " * 20_000_001)
    assert error(answer) == (400, "bad_request", "Exceeded HTTP request body size limit")


def test_body_without_a_length_is_limited_too(node: Node) -> None:
    with socket.create_connection(("127.0.0.1", node.http_port), timeout=20) as peer:
        peer.sendall(
            b"POST /api/definitions HTTP/1.1\r\nhost: x\r\nauthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        chunk = b"%x\r\n" % (1 << 20) + b" " * (1 << 20) + b"\r\n"
        try:
            for _ in range(21):
                peer.sendall(chunk)
        except OSError:
            pass  # It has hung up already.
        assert peer.recv(12) == b"HTTP/1.1 400"


def test_names_with_all_kinds_of_signs(api: Api, place: str) -> None:
    for name in ("a b", "ä/ö", "q?x=1", "100%", "#", "x;y", "日本"):
        path = f"queues/{place}/{quote(name, safe='')}"
        assert api.put(path) == 201
        assert api.get(path)["name"] == name
    assert len(api.get(f"queues/{place}")) == 7


@pytest.mark.parametrize("what", ["user", "vhost"])
def test_deletion_by_http_closes_connections(
    api: Api, node: Node, place: str, vhost: str, make_user: Callable[..., Api], what: str
) -> None:
    name = make_user("", vhost).user
    credentials = pika.PlainCredentials(name, "secret")
    parameters = pika.ConnectionParameters("127.0.0.1", node.broker.port, vhost, credentials)
    connection = pika.BlockingConnection(parameters)
    gone = name if what == "user" else vhost
    assert api.delete(f"users/{name}" if what == "user" else f"vhosts/{place}") == 204
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
        connection.sleep(20)
    text = f"CONNECTION_FORCED - {what} '{gone}' is deleted"
    assert (closed.value.reply_code, closed.value.reply_text) == (320, text)
    with pytest.raises((pika.exceptions.ProbableAuthenticationError, pika.exceptions.ProbableAccessDeniedError)):
        pika.BlockingConnection(parameters)
