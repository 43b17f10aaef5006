"""The HTTP API, health and metrics from outside of the container."""

import base64
import http.client
import json
import time

from tests.container.engine import SECONDS, Container


def get(container: Container, port: int, path: str, user: str = "") -> tuple[int, str]:
    """Return status and body of a GET request."""
    connection = http.client.HTTPConnection("127.0.0.1", container.port(port), timeout=SECONDS)
    headers = {"authorization": "Basic " + base64.b64encode(user.encode()).decode()} if user else {}
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


def test_health_is_told_without_a_login(leveret: Container) -> None:
    assert get(leveret, 15672, "/health/live")[0] == 200
    assert get(leveret, 15672, "/health/ready")[0] == 200


def test_the_api_knows_guest_from_outside(leveret: Container) -> None:
    status, body = get(leveret, 15672, "/api/overview", "guest:guest")
    assert status == 200
    assert "rabbitmq_version" in json.loads(body)
    assert get(leveret, 15672, "/api/overview")[0] == 401


def test_prometheus_gets_its_metrics(leveret: Container) -> None:
    began = time.monotonic()
    status, body = get(leveret, 15692, "/metrics")
    assert status == 200
    assert "\nrabbitmq_queues " in body
    assert time.monotonic() - began < SECONDS
