"""Clients that stall: what is due to them waits, memory stays within bounds, others are served. Promise P10.

The waiting has begun with the tests of bad clients, if these ran before.
"""

from tests.faults.slow import SlowClients


def test_slow_clients_harm_nobody_and_get_what_is_due(slow_clients: SlowClients) -> None:
    slow_clients.finish()
