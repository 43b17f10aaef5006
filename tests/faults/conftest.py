"""What tests of this folder share: slow clients, who are slow while the other tests run."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.brokers import RunningBroker
from tests.faults.slow import RESIDENT_OCTETS, SlowClients


@pytest.fixture(scope="package")
def slow_clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlowClients]:
    """Begun by the first test that asks for them."""
    flags = ("--resident-octets", str(RESIDENT_OCTETS))
    with ExitStack() as ends:
        broker = ends.enter_context(RunningBroker(tmp_path_factory.mktemp("slow") / "data", *flags))
        yield SlowClients(broker, ends)
