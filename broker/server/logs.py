"""Where log lines go and what they look like: one event a line on standard output, for people or as JSON.

``structlog.get_logger()`` at the head of a module gives its logger; this file is called once, at start. What the
libraries log by way of the standard library ends up in the same lines.
"""

import logging
import os
import sys
from typing import Final, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["console", "json"]

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class LineWriter:
    """Writes lines to a file descriptor; a reader that has gone, or a full disk, must not stop the broker."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def write(self, line: str) -> None:
        octets = (line + "\n").encode("utf-8", "backslashreplace")
        try:
            while octets:
                octets = octets[os.write(self.descriptor, octets) :]
        except OSError:
            return

    msg = log = debug = info = warn = warning = error = critical = fatal = exception = failure = write


class StandardLibraryBridge(logging.Handler):
    """Passes what libraries log (asyncio above all) on to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


def set_up(log_format: LogFormat, log_level: str, descriptor: int = 1) -> None:
    """Have every line of at least ``log_level`` written to ``descriptor`` (1: standard output)."""
    level = LEVELS[log_level]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *rendering(log_format, is_terminal(descriptor)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        context_class=dict,
        logger_factory=lambda *_: LineWriter(descriptor),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[StandardLibraryBridge()], level=max(level, logging.WARNING), force=True)


def announce(event: str, **fields: object) -> None:
    """Log a line whatever the log level: for what scripts and containers wait for."""
    config = structlog.get_config()
    logger = structlog.wrap_logger(
        config["logger_factory"](),
        processors=config["processors"],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
    )
    logger.info(event, **fields)


def rendering(log_format: LogFormat, has_colors: bool) -> list[Processor]:
    """Return the steps that make a line of an event."""
    if log_format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    console = structlog.dev.ConsoleRenderer(
        colors=has_colors, pad_event_to=0, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
    )
    return [escape_controls, console]


def escape_controls(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape control characters: a peer chooses its user's name, and must not write lines of its own with it."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = value.encode("unicode_escape").decode("ascii")
    return event


def is_terminal(descriptor: int) -> bool:
    """Tell whether colours will be seen: a terminal, and NO_COLOR not set (no-color.org)."""
    return os.isatty(descriptor) and not os.environ.get("NO_COLOR") and sys.platform != "win32"
