"""Where log lines go and what they look like: one event a line on standard output, for people or as JSON.

``structlog.get_logger()`` at the head of a module gives its logger; this file is called once, at start. What the
libraries log by way of the standard library ends up in the same lines.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from broker.server.bursts import Burst

LogFormat = Literal["console", "json"]

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

LEVEL_WIDTH: Final = 9
RARE_FIELDS: Final = frozenset({"exc_info", "exception", "stack", "stack_info", "logger", "logger_name"})
QUOTED: Final = re.compile(r"""[ \t=\r\n"']""")
BARE: Final = re.compile(r"""[!#-&(-<>-~]+""")
"""What stands in a line as it is: ASCII without spaces, quotes and equals signs."""


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
        wrapper_class=logger_from(level),
        context_class=dict,
        logger_factory=lambda *_: LineWriter(descriptor),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[StandardLibraryBridge()], level=max(level, logging.WARNING), force=True)


def set_level(log_level: str) -> None:
    """Have lines of at least ``log_level`` written from now on."""
    level = LEVELS[log_level]
    structlog.configure(**{**structlog.get_config(), "wrapper_class": logger_from(level)})
    for burst in _bursts:
        burst.has_info = level <= logging.INFO
    renew_loggers()
    logging.getLogger().setLevel(max(level, logging.WARNING))


def renew_loggers() -> None:
    """Have each module's logger made anew: it has made itself at its first use, for what was configured then."""
    kind = type(structlog.get_logger())
    for log in [getattr(module, "log", None) for module in tuple(sys.modules.values())]:
        if isinstance(log, kind):
            vars(log).pop("bind", None)


def announce(event: str, **fields: object) -> None:
    """Log a line whatever the log level: for what scripts and containers wait for."""
    config = structlog.get_config()
    logger = structlog.wrap_logger(
        config["logger_factory"](),
        processors=config["processors"],
        wrapper_class=logger_from(logging.NOTSET),
    )
    logger.info(event, **fields)


def rendering(log_format: LogFormat, has_colors: bool) -> list[Processor]:
    """Return the steps that make a line of an event."""
    if log_format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    console = structlog.dev.ConsoleRenderer(
        colors=has_colors, pad_event_to=0, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
    )
    return [escape_controls, console] if has_colors else [PlainRenderer(console)]


class PlainRenderer:
    """Makes the same lines as structlog's console renderer without colours, in a small part of the time.

    Connections come by thousands a second, and each has two lines. What is rare, such as an exception, is left to
    ``full``.
    """

    def __init__(self, full: Processor) -> None:
        self._full = full
        self._second = (0, "")

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        """Return the line of what has gone through the other steps. Controls are escaped as by ``escape_controls``."""
        if not RARE_FIELDS.isdisjoint(event):
            return str(self._full(logger, method, escape_controls(logger, method, event)))
        return self._line(event.pop("timestamp"), event.pop("level"), event.pop("event"), event)

    def line_at(self, now_ns: int, level: str, event: str, fields: Mapping[str, Any]) -> str:
        """Return the line of an event at a moment since 1970; no other step is needed: ``fields`` has nothing rare."""
        second, rest_ns = divmod(now_ns, 1_000_000_000)
        known, text = self._second
        if second != known:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second, text
        return self._line(f"{text}.{rest_ns // 1000:06d}Z", level, event, fields)

    @staticmethod
    def _line(timestamp: str, level: str, event: str, fields: Mapping[str, Any]) -> str:
        shown = [f" {key}={_text(value) if type(value) is str else repr(value)}" for key, value in fields.items()]
        return f"{timestamp} {_head(level, event)}{''.join(shown)}"


def logger_from(level: int) -> type[Any]:
    """Return structlog's logger for lines of at least ``level``, which takes the short way to plain ones."""

    class Logger(structlog.make_filtering_bound_logger(level)):  # type: ignore[misc]
        least_level = level

        def _proxy_to_logger(self, method_name: str, event: str | None = None, **event_kw: Any) -> Any:
            """What structlog calls for each event, and leaves to wrapper classes to change."""
            renderer = self._processors[-1]
            is_plain = type(renderer) is PlainRenderer and not self._context and RARE_FIELDS.isdisjoint(event_kw)
            bursts = _bursts[-1:]  # In one step: the loop's thread may end its burst while another one logs.
            if bursts and bursts[0].is_of_this_thread():
                if is_plain and method_name == "info" and event and bursts[0].takes(method_name, event, event_kw):
                    return None
                bursts[0].write_out()
            if is_plain and event:
                return self._logger.msg(renderer.line_at(time.time_ns(), method_name, event, event_kw))
            return super()._proxy_to_logger(method_name, event, **event_kw)

    return Logger


def gather(call_later: Callable[[int, Callable[[], object]], object]) -> None:
    """Have lines below a warning that come in bursts written together, those of this thread, until ``gather_no_more``.

    ``call_later`` is the clock's. Lines for programs and coloured ones are written one by one.
    """
    config = structlog.get_config()
    renderer = config["processors"][-1]
    if type(renderer) is PlainRenderer:
        burst = Burst(call_later, time.time_ns, renderer.line_at, config["logger_factory"]().write)
        burst.has_info = config["wrapper_class"].least_level <= logging.INFO
        _bursts.append(burst)


def gather_no_more() -> None:
    """Write what waits, and from now on each line as it comes."""
    while _bursts:
        _bursts.pop().write_out()


_bursts: Final[list[Burst]] = []
"""What gathers now, one at most."""


def note(log: Any, event: str, **fields: object) -> None:
    """As ``log.info``, by a shorter way while lines gather: for lines that come by the thousand, in the loop's thread.

    That is the thread whose lines gather. ``log`` has no context, and ``fields`` has none of RARE_FIELDS.
    """
    for burst in _bursts[-1:]:
        if burst.has_info:
            if not burst.takes("info", event, fields):
                burst.write_now("info", event, fields)
            return
    log.info(event, **fields)


@lru_cache(maxsize=256)
def _head(level: str, event: str) -> str:
    return f"[{level:<{LEVEL_WIDTH}}] {_escaped(event)}"


@lru_cache(maxsize=256)
def _text(value: str) -> str:
    if BARE.fullmatch(value):
        return value
    text = _escaped(value)
    return repr(text) if QUOTED.search(text) else text


def _escaped(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def escape_controls(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape control characters: a peer chooses its user's name, and must not write lines of its own with it."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = _escaped(value)
    return event


def is_terminal(descriptor: int) -> bool:
    """Tell whether colours will be seen: a terminal, and NO_COLOR not set (no-color.org)."""
    return os.isatty(descriptor) and not os.environ.get("NO_COLOR") and sys.platform != "win32"
