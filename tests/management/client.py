"""A small HTTP client for the management API: paths as they are sent, answers as status and JSON."""

import http.client
import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote


class Answer(NamedTuple):
    """Status, headers, and the body: JSON, or text where it is none."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Api:
    """Requests to one node as one user."""

    def __init__(self, port: int, user: str = "guest", password: str = "guest", *, timeout_s: float = 20.0) -> None:
        self.port = port
        self.timeout_s = timeout_s
        self.user = user
        self.password = password

    def as_user(self, user: str, password: str) -> "Api":
        return Api(self.port, user, password)

    def __call__(
        self, method: str, path: str, body: object = None, *, raw: bytes | None = None, **headers: str
    ) -> Answer:
        """Send a request; ``raw`` is a body as it is, ``body`` one to be made JSON. Names lose ``_`` for ``-``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout_s)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.user:
            token = b64encode(f"{self.user}:{self.password}".encode()).decode()
            sent.setdefault("authorization", f"Basic {token}")
        octets = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        if raw is None and body is not None:
            sent.setdefault("content-type", "application/json")
        try:
            connection.request(method, path if path.startswith("/") else f"/api/{path}", octets, sent)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        try:
            parsed = json.loads(text) if text else None
        except ValueError:
            parsed = text
        return Answer(response.status, {key.lower(): value for key, value in response.getheaders()}, parsed)

    def get(self, path: str, **headers: str) -> Any:
        """Return the JSON of a GET that is to work."""
        answer = self("GET", path, None, raw=None, **headers)
        assert answer.status == 200, answer
        return answer.body

    def put(self, path: str, body: object = None) -> int:
        return self("PUT", path, body).status

    def post(self, path: str, body: object = None) -> Answer:
        return self("POST", path, body)

    def delete(self, path: str) -> int:
        return self("DELETE", path).status

    def publish(
        self, vhost: str, key: str, payload: str = "x", exchange: str = "amq.default", **properties: Any
    ) -> bool:
        body = {"properties": properties, "routing_key": key, "payload": payload, "payload_encoding": "string"}
        answer = self.post(f"exchanges/{quote(vhost, safe='')}/{quote(exchange, safe='')}/publish", body)
        assert answer.status == 200, answer
        return bool(answer.body["routed"])


def error(answer: Answer) -> tuple[int, object, object]:
    """Return status, error and reason."""
    assert isinstance(answer.body, dict), answer
    return answer.status, answer.body.get("error"), answer.body.get("reason")


NOT_FOUND = (404, "Object Not Found", "Not Found")
