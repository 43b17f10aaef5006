"""What RabbitMQ itself brings to judge by, where it is installed: its rabbitmqadmin, and a node with its HTTP API.

Debian's ``rabbitmq-server`` has both. Where they are missing, the tests that want them are left out, and say so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from conformance.local_rabbitmq import found, running_managed
from tests.management.client import Api
from tests.waiting import until

PLUGINS: Final = "/usr/lib/rabbitmq/lib/rabbitmq_server-*/plugins/rabbitmq_management-*/priv/www/cli/rabbitmqadmin"


def real_rabbitmqadmin() -> Path:
    """Return RabbitMQ's own rabbitmqadmin, its first version, a Python script; skips where there is none."""
    for path in sorted(Path("/").glob(PLUGINS.lstrip("/"))):
        return path
    pytest.skip("RabbitMQ's own rabbitmqadmin is not installed: Leveret is NOT judged by it")


@contextmanager
def real_rabbitmq() -> Iterator[tuple[Api, str]]:
    """Start the RabbitMQ of this machine and give its HTTP API and AMQP URL; skips where there is none."""
    command = found()
    if command is None:
        pytest.skip("RabbitMQ is not installed: its HTTP API is NOT compared")
    with running_managed(command) as (url, port):
        api = Api(port)
        until(partial(_answers, api), "RabbitMQ's HTTP API does not answer")
        yield api, url


def _answers(api: Api) -> bool:
    try:
        api.get("overview")
    except (OSError, AssertionError):
        return False
    return True
