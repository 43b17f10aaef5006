"""Fixtures for all tests: the broker that tests share, and one of its own for a test that kills it.

At the end of a run it is printed how much was tried for each promise.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest

from tests.brokers import RunningBroker
from tests.torture import IS_NIGHT, MEASURED, TALLY

# Brokers whose disk is full block their publishers, as they should, and tests would wait for them.
FREE_OCTETS_MIN = 4 << 30

# How long an example takes says how busy the machine is, and nothing of what is tested. By day the examples follow from
# the test, so that a commit passes or fails wherever it is tried; the nights try others each time.
hypothesis.settings.register_profile("any machine", deadline=None, derandomize=not IS_NIGHT)
hypothesis.settings.load_profile("any machine")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Say at once that the disk is too full for the tests' brokers."""
    wanted = session.config.option.basetemp
    place = Path(wanted).parent if wanted else os.environ.get("PYTEST_DEBUG_TEMPROOT") or tempfile.gettempdir()
    free = shutil.disk_usage(place).free
    if free < FREE_OCTETS_MIN:
        pytest.exit(f"{place} has {free >> 20:,} MiB free; the tests need {FREE_OCTETS_MIN >> 20:,} MiB", returncode=3)


@pytest.fixture(scope="session")
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running broker that all tests share, so use names of your own and clean up.

    LEVERET_TEST_URL in the environment names another AMQP 0-9-1 broker to be tested instead.
    """
    other = os.environ.get("LEVERET_TEST_URL")
    if other:
        yield other
        return
    with RunningBroker(tmp_path_factory.mktemp("shared") / "data") as broker:
        yield broker.url


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[Callable[..., RunningBroker]]:
    """A function that starts a broker of the test's own, ended after the test; flags are its arguments."""
    with ExitStack() as ends:

        def start(*flags: str, data_dir: Path | None = None) -> RunningBroker:
            return ends.enter_context(RunningBroker(data_dir or tmp_path / "data", *flags))

        yield start


@pytest.fixture
def own_broker(start_broker: Callable[..., RunningBroker]) -> RunningBroker:
    """A broker of the test's own, which it may kill, stop and restart."""
    return start_broker()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the numbers that the tests of the promises have run, and leave them where LEVERET_TORTURE_TALLY says."""
    if TALLY or MEASURED:
        terminalreporter.section("tried for the promises (docs/promises.md)")
        for (kind, unit), number in sorted(TALLY.items(), key=lambda each: (int(each[0][0][1:]), each[0][1])):
            terminalreporter.write_line(f"{kind}: {number:,} {unit}")
        for kind, what in MEASURED:
            terminalreporter.write_line(f"{kind}: {what}")
    path = os.environ.get("LEVERET_TORTURE_TALLY")
    if path:
        ran = [[*key, number] for key, number in sorted(TALLY.items())]
        Path(path).write_text(json.dumps({"ran": ran, "measured": MEASURED}))
