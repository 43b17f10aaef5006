"""Log lines in bursts: one that comes alone is written at once, those that follow wait a little, none is lost."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog

from broker.server import logs
from broker.server.bursts import GATHERED_MAX, GATHERED_MS, Burst


class Lines:
    """A burst on a clock that the test moves."""

    def __init__(self) -> None:
        self.now_ms = 1_000
        self.written: list[str] = []
        self.due: list[tuple[int, Callable[[], object]]] = []
        self.burst = Burst(self._call_later, lambda: self.now_ms * 1_000_000, self._make, self.written.append)

    def _call_later(self, delay_ms: int, call: Callable[[], object]) -> None:
        self.due.append((self.now_ms + delay_ms, call))

    @staticmethod
    def _make(now_ns: int, level: str, event: str, fields: Mapping[str, Any]) -> str:
        return f"{now_ns // 1_000_000} {event}"

    def log(self, event: str) -> None:
        if not self.burst.takes("info", event, {}):
            self.written.append(event)

    def advance(self, by_ms: int) -> None:
        self.now_ms += by_ms
        due, self.due = self.due, []
        for at_ms, call in due:
            assert at_ms <= self.now_ms
            call()


def test_lines_that_come_alone_are_written_at_once() -> None:
    lines = Lines()
    for event in ("a", "b"):
        lines.log(event)
        assert lines.written[-1] == event
        lines.now_ms += GATHERED_MS + 1
    assert not lines.due


def test_lines_that_follow_are_written_together_with_their_own_moments() -> None:
    lines = Lines()
    for event in ("a", "b", "c"):
        lines.log(event)
        lines.now_ms += 1
    assert lines.written == ["a"]
    lines.advance(GATHERED_MS)
    assert lines.written == ["a", "1001 b\n1002 c"]
    lines.log("alone again")
    assert lines.written[2:] == ["alone again"]
    assert not lines.due


def test_no_more_than_so_many_wait() -> None:
    lines = Lines()
    for _ in range(GATHERED_MAX + 2):
        lines.log("a")
    assert [line.count("a") for line in lines.written] == [1, GATHERED_MAX]
    lines.advance(GATHERED_MS)
    assert lines.written[2:] == ["1000 a"]


@pytest.fixture
def gathering(tmp_path: Path) -> Iterator[tuple[Any, Path]]:
    """A logger whose lines are gathered and never due, and the file that has them."""
    file = tmp_path / "log"
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY)
    structlog.configure(
        processors=[logs.PlainRenderer(structlog.processors.KeyValueRenderer())],
        wrapper_class=logs.logger_from(0),
        logger_factory=lambda *_: logs.LineWriter(descriptor),
    )
    logs.gather(lambda _delay_ms, _call: None)
    yield structlog.get_logger(), file
    logs.gather_no_more()
    structlog.reset_defaults()
    os.close(descriptor)


def events(file: Path) -> list[str]:
    return [line.split("]")[1].strip() for line in file.read_text().splitlines()]


def test_a_warning_is_written_at_once_after_what_waits(gathering: tuple[Any, Path]) -> None:
    log, file = gathering
    for event in ("first", "second", "third"):
        log.info(event)
    assert events(file) == ["first"]
    log.warning("fourth")
    assert events(file) == ["first", "second", "third", "fourth"]


def test_the_end_writes_what_waits_and_later_lines_one_by_one(gathering: tuple[Any, Path]) -> None:
    log, file = gathering
    for event in ("first", "second"):
        log.info(event)
    logs.gather_no_more()
    assert events(file) == ["first", "second"]
    log.info("third")
    log.info("fourth")
    assert events(file) == ["first", "second", "third", "fourth"]


@pytest.mark.parametrize("level", ["info", "warning"])
def test_lines_of_other_threads_neither_wait_nor_touch_what_waits(gathering: tuple[Any, Path], level: str) -> None:
    """Else a line could be lost that the loop's thread adds to the list just then."""
    log, file = gathering
    for event in ("first", "second"):
        log.info(event)
    other = threading.Thread(target=getattr(log, level), args=("other",))
    other.start()
    other.join()
    assert events(file) == ["first", "other"]
    log.warning("third")
    assert events(file) == ["first", "other", "second", "third"]
