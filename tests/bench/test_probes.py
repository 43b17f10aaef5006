"""Probes and series against a Leveret of their own: every figure comes, and is one that can be."""

from collections.abc import Iterator

import pytest

from bench.client import Address, Client
from bench.figures import Effort, Figure, percentile_of
from bench.peers import LEVERET, start_command_of
from bench.probes import PROBES
from bench.series import SERIES
from bench.startup import running

EFFORT = Effort(window_s=0.2, warm_up_s=0.1, backlog_count=5_000, connection_count=20)


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    with running(start_command_of(LEVERET)) as broker:
        yield Address(port=broker.port)


HEALTHY_CASES = (
    "alone",
    "beside garbage",
    "beside 1,000 half-open sockets",
    "beside 20 readers that do not read",
    "beside 2,047 channels at once",
    "beside 5,000 requests at once",
    "beside 3 that publish all they can",
    "beside connections that come and go",
    "while 40 connect",
    "beside 40 idle connections",
    "while 40 vanish at once",
)
FIGURES = {
    "R": {"round trip, p50", "round trip, p99", "round trip: broker CPU a round trip"},
    "L": {f"{what}, p{percent}" for what in ("confirmed", "delivered") for percent in (50, 99, 99.9)},
    "N": {"published without consumer", "memory, 5,000 waiting", "drained"},
    "K": {"opened and closed"},
    "H": {
        *(f"{case}: {figure}" for case in HEALTHY_CASES for figure in ("p50", "p99", "longest")),
        *(
            "connections with garbage",
            "channels opened",
            "requests answered",
            "messages published",
            "connections that came and went",
            "40 connected",
        ),
        *("resident before", "resident after all", "descriptors before", "descriptors after all"),
    },
    "Q": {"declare and bind, one by one", "declare and bind, pipelined"},
    "I": {"memory of each of 20", "processor for 20 idle", "wake-ups for 20 idle"},
    "Y": {"pika", "aio-pika"},
}


def test_every_probe_is_shown_here() -> None:
    assert FIGURES.keys() == PROBES.keys()


@pytest.mark.parametrize("name", FIGURES)
def test_probe_measures_its_figures(address: Address, name: str) -> None:
    figures = {figure.name: figure for figure in PROBES[name].measure(address, EFFORT)}
    assert figures.keys() >= FIGURES[name]
    for figure in figures.values():
        if figure.unit in ("/s", "ms", "us", "MiB") and not figure.name.startswith("wake-ups"):
            assert figure.value > 0, figure


@pytest.mark.parametrize("name", SERIES)
def test_series_accounts_for_every_message(address: Address, name: str) -> None:
    """The round fails where deliveries and publishes differ."""
    size = SERIES[name].sizes[1]
    point = SERIES[name].measure(address, size, EFFORT)
    assert point.size == size
    assert point.messages_per_s > 0
    assert point.broker_cpu_us
    assert point.broker_cpu_us > 0


def test_bad_clients_that_were_beside_a_healthy_one_leave_nothing(address: Address) -> None:
    figures = {figure.name: figure.value for figure in PROBES["H"].measure(address, EFFORT)}
    assert figures["descriptors after all"] < figures["descriptors before"] + 5  # files of the log come and go
    assert figures["resident after all"] < figures["resident before"] + 64


def test_nothing_stays_in_the_broker(address: Address) -> None:
    PROBES["Q"].measure(address, EFFORT)
    client = Client(address)
    client.declare_queue("bench-Q-00000", durable=False)  # a durable one that had stayed would refuse this
    client.delete_queue("bench-Q-00000")
    client.close()


@pytest.mark.parametrize(("percent", "value"), [(50, 5), (90, 9), (99, 10), (99.9, 10), (1, 1)])
def test_percentile_is_a_value_that_so_many_do_not_exceed(percent: float, value: int) -> None:
    assert percentile_of([float(number) for number in range(1, 11)], percent) == value


def test_figure_is_not_marked_unless_told() -> None:
    figure = Figure(name="n", value=1.0, unit="us")
    assert not figure.is_limited
    assert not figure.is_disturbed
