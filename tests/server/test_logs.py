"""Log lines: their two forms, what never gets into them, and where libraries' lines end up."""

import json
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from broker.server import logs


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Any]:
    """A function that sets logging up to write to a file, and one that reads the lines back."""
    file = tmp_path / "log"
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    # pytest's own handlers would be closed by the set-up.
    root.handlers.clear()

    class Written:
        def set_up(self, log_format: logs.LogFormat, log_level: str = "info") -> Any:
            logs.set_up(log_format, log_level, descriptor)
            return structlog.get_logger()

        @property
        def lines(self) -> list[str]:
            return file.read_text(encoding="utf-8").splitlines()

    yield Written()
    os.close(descriptor)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_for_programs_is_one_json_object(written: Any) -> None:
    written.set_up("json").info("connection opened", peer="127.0.0.1:5", client={"product": "é\n"})
    (line,) = written.lines
    event = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "connection opened",
        "level": "info",
        "peer": "127.0.0.1:5",
        "client": {"product": "é\n"},
    }


def test_a_line_for_people_has_time_level_event_and_fields(written: Any) -> None:
    written.set_up("console").warning("refused", user="guest")
    (line,) = written.lines
    assert line.partition(" ")[2] == "[warning  ] refused user=guest"


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_peer_cannot_write_lines_of_its_own(written: Any, log_format: logs.LogFormat) -> None:
    written.set_up(log_format).info(
        "refused", user="x\nServer startup complete", vhost="\x1b[2J", client={"a\r": "b\nc"}, line="a\u2028b"
    )
    (line,) = written.lines
    assert line.isprintable()


def test_less_than_the_level_is_not_written(written: Any) -> None:
    log = written.set_up("console", "warning")
    log.info("small talk")
    assert written.lines == []
    logs.announce("Server startup complete", port=5672)
    (line,) = written.lines
    assert line.endswith("[info     ] Server startup complete port=5672")


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_an_exception_is_written_with_its_traceback_and_no_values(written: Any, log_format: logs.LogFormat) -> None:
    log = written.set_up(log_format)

    secret = "".join(("hun", "ter2"))

    def fails(password: str) -> None:
        raise LookupError("no such thing")

    try:
        fails(secret)
    except LookupError:
        log.exception("internal error")
    text = "\n".join(written.lines)
    assert "LookupError: no such thing" in text
    assert secret not in text
    assert log_format == "console" or len(written.lines) == 1


def test_what_libraries_log_ends_up_in_the_same_lines(written: Any) -> None:
    written.set_up("json")
    logging.getLogger("asyncio").error("task %s failed", "t")
    logging.getLogger("asyncio").info("not of interest")
    (line,) = written.lines
    event = json.loads(line)
    assert (event["event"], event["level"], event["logger"]) == ("task t failed", "error", "asyncio")


def test_octets_that_are_no_text_are_written_all_the_same(written: Any) -> None:
    written.set_up("console").info("odd", name=b"\xff", lone="\udc80")
    (line,) = written.lines
    assert line.endswith(r"odd name=b'\xff' lone=\udc80")


def test_a_reader_that_has_gone_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        logs.LineWriter(writing).write("nobody reads this")
    finally:
        os.close(writing)


def test_lines_longer_than_a_pipe_arrive_whole() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader:
        logs.LineWriter(writing).write("x" * 10_000)
        os.close(writing)
        assert reader.read() == b"x" * 10_000 + b"\n"


@pytest.mark.parametrize("level", list(logs.LEVELS))
@pytest.mark.parametrize(
    "value",
    ["plain", "two words", "", "a=b", "é", "it's", '"', "\u2028b", "\x00", "tab\t", None, 1, b"x", {"a\r": "b"}],
)
def test_lines_without_colours_are_those_of_structlog(level: str, value: object) -> None:
    full = structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, sort_keys=False)
    event = {"user": value, "timestamp": "2026-01-01T00:00:00Z", "level": level, "event": "some\nevent", "last": "z"}
    theirs = full(None, level, logs.escape_controls(None, level, dict(event)))
    assert logs.PlainRenderer(full)(None, level, dict(event)) == theirs


@pytest.mark.parametrize("value", ["127.0.0.1:5", "two words", "", "it's", {"a\r": "b"}])
def test_lines_of_the_moment_are_those_of_structlog(written: Any, value: object) -> None:
    """All but rare ones are made without structlog's steps, whose line this one is but for the moment."""
    log = written.set_up("console")
    log.info("connection opened", peer=value)
    log.bind(peer=value).info("connection opened")
    times, lines = zip(*(line.split(" ", 1) for line in written.lines), strict=True)
    assert lines[0] == lines[1]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", each) for each in times)
