"""Log lines that come in bursts: written together some milliseconds later, which costs a third of writing each.

Thousands of connections a second have two lines each. Between two reads of sockets, what makes a line has left the
processor's caches; many lines in a row find it there. A line that comes alone is written at once.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

GATHERED_MS: Final = 10
"""A line waits so long, or until the loop is free again; it is written at once when none came for as long before it."""
GATHERED_MAX: Final = 256

MakeLine = Callable[[int, str, str, Mapping[str, Any]], str]
"""Of the moment (nanoseconds since 1970), level, event and fields."""


class Burst:
    """The lines of one thread that wait to be written. What a field holds must not change any more.

    Only that thread may call: others' lines do not wait, and may stand before earlier ones of this one.
    """

    __slots__ = ("_call_later", "_last_ns", "_lines", "_make_line", "_thread", "_wall_ns", "_write", "has_info")

    def __init__(
        self,
        call_later: Callable[[int, Callable[[], object]], object],
        wall_ns: Callable[[], int],
        make_line: MakeLine,
        write: Callable[[str], object],
    ) -> None:
        """``call_later(delay_ms, call)`` is the clock's; ``write`` adds an end of line."""
        self._call_later = call_later
        self._wall_ns = wall_ns
        self._make_line = make_line
        self._write = write
        self._thread = threading.get_ident()
        self._lines: list[tuple[int, str, str, Mapping[str, Any]]] = []
        self._last_ns = 0
        self.has_info = True
        """Whether lines of level info are written at all: for who calls without a logger that sees to it."""

    def is_of_this_thread(self) -> bool:
        """Whether who calls is the thread whose lines wait here."""
        return threading.get_ident() == self._thread

    def takes(self, level: str, event: str, fields: Mapping[str, Any]) -> bool:
        """Whether the line waits for others; else it is to be written now."""
        now_ns = self._wall_ns()
        lines = self._lines
        if not lines:
            is_alone = now_ns - self._last_ns > GATHERED_MS * 1_000_000
            self._last_ns = now_ns
            if is_alone:
                return False
            self._call_later(GATHERED_MS, self.write_out)
        lines.append((now_ns, level, event, fields))
        if len(lines) >= GATHERED_MAX:
            self.write_out()
        return True

    def write_now(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        """Write a line that does not wait."""
        self._write(self._make_line(self._wall_ns(), level, event, fields))

    def write_out(self) -> None:
        """Write what waits."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._last_ns = lines[-1][0]
            self._write("\n".join([self._make_line(*line) for line in lines]))
