"""A publish by HTTP to an exchange with a name of more than 255 octets was answered with 500, and a traceback logged.

And a path with a line break in a name was answered by the framework, in plain text, instead of by the API.
"""

from collections.abc import Callable

from tests.brokers import RunningBroker
from tests.management.client import NOT_FOUND, Api, error

BODY = {"properties": {}, "routing_key": "k", "payload": "x", "payload_encoding": "string"}


def test_exchange_that_no_name_can_be_of_is_not_found(start_broker: Callable[..., RunningBroker]) -> None:
    broker = start_broker("--management-port", "any")
    api = Api(int(broker.wait_for_event("HTTP")["port"]))
    name = "é" * 128
    answer = api("POST", f"exchanges/%2F/{'%C3%A9' * 128}/publish", BODY)
    assert error(answer) == (400, "bad_request", f"404 NOT_FOUND - no exchange '{name}' in vhost '/'")
    assert error(api("GET", "queues/%2F/a%0Ab")) == NOT_FOUND
    assert "Traceback" not in "".join(broker.output)
