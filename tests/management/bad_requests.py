"""Requests that make no sense, or that may not be made, to every path of the API: made from its table of routes.

``bad_requests`` needs what ``prepare`` makes on a node. The same requests go to Leveret and to RabbitMQ.
"""

import http.client
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from broker.management.principals import REFUSALS
from broker.management.routing import Row
from broker.management.table import ROUTES, ROWS
from tests.management.client import Answer, Api

VHOST: Final = "bad"
JSON: Final = "application/json"

# What each parameter of a path is where it names something that exists.
THERE: Final = {
    "vhost": VHOST,
    "where": VHOST,
    "queue": "q",
    "exchange": "x",
    "destination": "q",
    "props": "k",
    "user": "u",
    "name": "p",
    "component": "operator_policy",
    "node": "rabbit@nowhere",
    "flag": "quorum_queue",
    "connection": "c",
    "channel": "c",
    "port": "1",
    "protocols": "amqp",
    "within": "1",
    "unit": "days",
    "password": "pw",
}

ODD: Final = ("nope", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%00", "%ff", "a%0d%0ab", "x" * 300, "%27%22%3C%3E")

NAMED: Final = ("vhost", "where", "queue", "exchange", "destination", "props", "user", "name", "component", "channel")
"""Parameters that must name something that is there, for all but PUT."""

WRONG: Final[tuple[Any, ...]] = (5, -1.5, 10**30, "text", "", ["a"], {"a": {"b": [1]}}, True, None)

NO_OBJECTS: Final = (b"x", b"{", b"[]", b'"a"', b"5", b'{"a":', b"\xff\xfe{}", b"[" * 50_000, b"NaN")

BODIES: Final[Mapping[tuple[str, str], Mapping[str, Any]]] = {
    ("PUT", "/api/vhosts/{name}"): {"description": "d", "tags": "a", "tracing": False},
    ("PUT", "/api/users/{user}"): {"password": "p", "tags": ""},
    ("POST", "/api/users/bulk-delete"): {"users": ["nobody"]},
    ("PUT", "/api/permissions/{where}/{user}"): {"configure": "", "write": "", "read": ""},
    ("PUT", "/api/topic-permissions/{where}/{user}"): {"exchange": "amq.topic", "write": "", "read": ""},
    ("PUT", "/api/policies/{vhost}/{name}"): {
        "pattern": "^none$",
        "definition": {"max-length": 1},
        "priority": 0,
        "apply-to": "queues",
    },
    ("PUT", "/api/operator-policies/{vhost}/{name}"): {
        "pattern": "^none$",
        "definition": {"max-length": 1},
        "priority": 0,
        "apply-to": "queues",
    },
    ("PUT", "/api/global-parameters/{name}"): {"value": 5},
    ("PUT", "/api/parameters/{component}/{vhost}/{name}"): {"value": {}},
    ("PUT", "/api/cluster-name"): {"name": "cluster"},
    ("PUT", "/api/vhost-limits/{vhost}/{name}"): {"value": 5},
    ("PUT", "/api/user-limits/{user}/{name}"): {"value": 5},
    ("PUT", "/api/exchanges/{vhost}/{exchange}"): {
        "type": "direct",
        "durable": True,
        "auto_delete": False,
        "internal": False,
        "arguments": {},
    },
    ("PUT", "/api/queues/{vhost}/{queue}"): {"durable": True, "auto_delete": False, "arguments": {}},
    ("POST", "/api/queues/{vhost}/{queue}/actions"): {"action": "sync"},
    ("POST", "/api/bindings/{vhost}/e/{exchange}/q/{destination}"): {"routing_key": "k2", "arguments": {}},
    ("POST", "/api/exchanges/{vhost}/{exchange}/publish"): {
        "properties": {},
        "routing_key": "none",
        "payload": "x",
        "payload_encoding": "string",
    },
    ("POST", "/api/queues/{vhost}/{queue}/get"): {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"},
    ("POST", "/api/definitions"): {"vhosts": [], "users": [], "queues": [], "permissions": []},
    ("POST", "/api/definitions/{vhost}"): {"queues": [], "exchanges": [], "bindings": [], "policies": []},
}
"""A body that is right, for each path that looks at one."""


class Bad(NamedTuple):
    """A request, by whom, and what is wrong with it."""

    what: str
    method: str
    path: str
    octets: bytes | None = None
    user: str = "guest"
    password: str = "guest"

    def send(self, api: Api) -> Answer:
        return api.as_user(self.user, self.password)(self.method, self.path, raw=self.octets, content_type=JSON)

    def send_on(self, connection: http.client.HTTPConnection) -> Answer:
        """As ``send``, on a connection that is there already."""
        token = b64encode(f"{self.user}:{self.password}".encode()).decode()
        headers = {"content-type": JSON} | ({"authorization": f"Basic {token}"} if self.user else {})
        connection.request(self.method, self.path, self.octets, headers)
        response = connection.getresponse()
        text = response.read().decode()
        found = {key.lower(): value for key, value in response.getheaders()}
        is_json = found.get("content-type", "").startswith(JSON)
        return Answer(response.status, found, json.loads(text) if is_json and text else text or None)

    @property
    def name(self) -> str:
        shown = "" if self.octets is None else f" {self.octets[:120].decode('utf-8', 'replace')}"
        return f"{self.what}: {self.method} {self.path[:120]}{shown}"


def prepare(api: Api) -> None:
    """Make what the requests are about, and the users who make them."""
    api.put(f"vhosts/{VHOST}")
    for user, tags in (("u", "management"), ("outsider", "management"), ("nobody-special", "")):
        api.put(f"users/{user}", {"password": "pw", "tags": tags})
    for user, pattern in (("guest", ".*"), ("u", "^$")):
        api.put(f"permissions/{VHOST}/{user}", dict.fromkeys(("configure", "write", "read"), pattern))
    api.put(f"queues/{VHOST}/q", {"durable": True})
    api.put(f"exchanges/{VHOST}/x", {"type": "direct", "durable": True})
    api.post(f"bindings/{VHOST}/e/x/q/q", {"routing_key": "k"})
    api.put(f"policies/{VHOST}/p", {"pattern": "^p$", "definition": {"max-length": 7}})
    api.put(f"operator-policies/{VHOST}/p", {"pattern": "^p$", "definition": {"max-length": 7}})


def state(api: Api) -> str:
    """Return all that the requests could have changed."""
    definitions = api.get("definitions")
    for volatile in ("rabbit_version", "rabbitmq_version"):
        definitions.pop(volatile, None)
    for kind, listed in definitions.items():
        if isinstance(listed, list):
            definitions[kind] = sorted(listed, key=lambda each: json.dumps(each, sort_keys=True))
    return json.dumps(definitions, sort_keys=True)


def path_of(row: Row, **instead: str) -> str:
    """Return a row's path with the names of what is there, or others, which are as they are to be sent."""
    names = {name: quote(value, safe="") for name, value in THERE.items()} | instead
    # A parameter that is in none of the two is taken for a name that nothing has.
    return "/".join(names.get(each[1:-1], "none") if each.startswith("{") else each for each in row.path.split("/"))


def parameters_of(row: Row) -> list[str]:
    return [each[1:-1] for each in row.path.split("/") if each.startswith("{")]


def bad_logins() -> Iterator[Bad]:
    """Nobody, to everything that wants somebody."""
    for row in ROWS:
        if row.needs is not None:
            yield Bad("nobody", row.method, path_of(row), user="")


def without_tags() -> Iterator[tuple[Bad, str]]:
    """Users whose tags are too few; with why they are refused."""
    for row in ROWS:
        if row.needs is not None:
            body = b"{}" if row.method in ("PUT", "POST") else None
            request = Bad("no tag", row.method, path_of(row), body, "nobody-special", "pw")
            yield request, REFUSALS["management"]
            if row.needs != "management":
                yield request._replace(what="tag of another", user="outsider"), REFUSALS[row.needs]


def outsiders() -> Iterator[Bad]:
    """A user who may not enter the virtual host, to all that is in it and needs no more than a tag."""
    for row in ROWS:
        if row.needs == "management" and "vhost" in parameters_of(row):
            body = b"{}" if row.method in ("PUT", "POST") else None
            yield Bad("outsider", row.method, path_of(row), body, "outsider", "pw")


def odd_names() -> Iterator[Bad]:
    """Names of nothing, and tricks, in place of each parameter in turn. PUT may make what it names."""
    for row in ROWS:
        for parameter in parameters_of(row):
            if parameter not in NAMED or (row.method == "PUT" and parameter not in ("vhost", "where")):
                continue
            body = (
                json.dumps(BODIES.get((row.method, row.path), {})).encode() if row.method in ("PUT", "POST") else None
            )
            for odd in ODD:
                yield Bad(f"odd {parameter}", row.method, path_of(row, **{parameter: odd}), body)


def wrong_methods() -> Iterator[Bad]:
    """Methods that a path has not."""
    for path in sorted({path_of(row) for row in ROWS}):
        found = ROUTES.find(path)
        assert found is not None, path
        for method in ("PUT", "POST", "DELETE", "PATCH"):
            if method not in found.rows:
                yield Bad("method", method, path, b"{}" if method in ("PUT", "POST") else None)


def no_objects() -> Iterator[Bad]:
    """Bodies that are no JSON object."""
    for method, path in BODIES:
        for octets in NO_OBJECTS:
            yield Bad("no object", method, path_of(Row(method, path, _unused, ""), **FRESH), octets)


def wrong_types() -> Iterator[Bad]:
    """Bodies with a key missing, or with a value of each wrong type."""
    for (method, path), right in BODIES.items():
        filled = path_of(Row(method, path, _unused, ""), **fresh_of(path))
        for key in right:
            yield Bad(
                f"without {key}", method, filled, json.dumps({k: v for k, v in right.items() if k != key}).encode()
            )
            for wrong in WRONG:
                yield Bad(f"wrong {key}", method, filled, json.dumps({**right, key: wrong}).encode())


FRESH: Final = {"name": "fresh", "user": "fresh", "queue": "fresh", "exchange": "fresh"}


def fresh_of(path: str) -> dict[str, str]:
    """Return names of what is not there yet, where a path makes what it names; a limit has a name of its own."""
    if "limits" in path:
        return {"name": "max-queues" if "vhost" in path else "max-channels"}
    if path.endswith(("}/publish", "}/get", "/actions")) or "permissions" in path or "bindings" in path:
        return {}
    return FRESH


def undo(api: Api, request: Bad) -> None:
    """Remove what a request has made that was right after all."""
    path = request.path.removeprefix("/api/")
    if path.startswith("bindings"):
        listed = api("GET", f"bindings/{VHOST}/e/x/q/q")
        # RabbitMQ cannot list a binding whose routing key is no text, once it has made it.
        for binding in listed.body if listed.status == 200 else ():
            if binding["properties_key"] != "k":
                api.delete(f"bindings/{VHOST}/e/x/q/q/{quote(binding['properties_key'], safe='')}")
    elif path.startswith("permissions"):
        api.put(path, dict.fromkeys(("configure", "write", "read"), "^$"))
    elif path == "cluster-name":
        api.delete("global-parameters/cluster_name")
    elif path.startswith(("topic-permissions", "vhost-limits", "user-limits")) or path.endswith("/fresh"):
        api.delete(path)


def _unused(_: object) -> None:
    raise AssertionError("only the path is looked at")


def rows_with_body() -> list[Row]:
    """Return the rows whose requests have a body."""
    return [row for row in ROWS if row.method in ("PUT", "POST") and row.needs is not None]
