"""How answers are shown: rabbitmqctl's tables, JSON and CSV, and lines that say what is being done."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final, TextIO

FORMATTERS: Final = ("table", "json", "csv", "pretty_table", "erlang", "string", "report")

# What would break a table's line or act on the terminal.
_ESCAPES: Final = {number: f"\\x{number:02x}" for number in (*range(32), 127)} | {9: "\\t", 10: "\\n", 13: "\\r"}


class Output:
    """Writes to ``stream``. ``is_quiet`` leaves out what is being done, ``is_silent`` a table's head as well."""

    def __init__(
        self,
        formatter: str = "table",
        *,
        is_quiet: bool = False,
        is_silent: bool = False,
        has_headers: bool = True,
        stream: TextIO | None = None,
    ) -> None:
        self.formatter = formatter
        self.is_quiet = is_quiet or is_silent or formatter in ("json", "csv")
        self.has_headers = has_headers and not is_silent
        self.stream = sys.stdout if stream is None else stream

    def line(self, text: str = "") -> None:
        """Write a line that is the answer."""
        self.stream.write(text + "\n")

    def doing(self, text: str) -> None:
        """Write a line about what is being done, unless nobody wants to know. It is there before it is done."""
        if not self.is_quiet:
            self.line(text)
            self.stream.flush()

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, is_head_kept: bool = False) -> None:
        """Write rows of values. Without rows a table has no head, as with rabbitmqctl, unless ``is_head_kept``."""
        shown = [list(row) for row in rows]
        if self.formatter == "json":
            self._json([dict(zip(columns, row, strict=True)) for row in shown])
        elif self.formatter == "csv":
            self._csv(columns, shown)
        elif self.formatter == "pretty_table":
            self._pretty(columns, shown)
        elif self.formatter == "erlang":
            from broker.control.erlang_terms import proplist

            self.line("[" + ",\n ".join(proplist(columns, row) for row in shown) + "]")
        else:
            if self.has_headers and (shown or is_head_kept):
                self.line("\t".join(columns))
            for row in shown:
                self.line("\t".join(cell(value) for value in row))

    def value(self, value: Any, text: str) -> None:
        """Write one answer: ``value`` as JSON, or ``text`` for people."""
        if self.formatter == "json":
            self.line(json.dumps(value, ensure_ascii=False))
        elif self.formatter == "erlang":
            from broker.control.erlang_terms import term

            self.line(term(value))
        else:
            self.line(text)

    def _json(self, rows: list[dict[str, Any]]) -> None:
        self.line("[")
        for place, row in enumerate(rows):
            self.line(("," if place else "") + json.dumps(row, ensure_ascii=False, separators=(",", ":")))
        self.line("]")

    def _csv(self, columns: Sequence[str], rows: list[list[Any]]) -> None:
        if rows:
            if self.has_headers:
                self.line(",".join(quoted(name) for name in columns))
            for row in rows:
                plain = [str(v).lower() if isinstance(v, bool) else v for v in row]
                self.line(",".join(str(v) if isinstance(v, int | float) else quoted(cell(v)) for v in plain))

    def _pretty(self, columns: Sequence[str], rows: list[list[Any]]) -> None:
        grid = [list(columns), *([cell(value) for value in row] for row in rows)]
        widths = [max(len(row[place]) for row in grid) for place in range(len(columns))]
        rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
        self.line(rule)
        for row in grid:
            self.line("|" + "|".join(f" {text:<{width}} " for text, width in zip(row, widths, strict=True)) + "|")
            self.line(rule)


def cell(value: Any) -> str:
    """Return a value as a table shows it: a list as ``[a, b]``, a tuple as ``{a,b}``, what is not there as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "[" + ",".join(f'{{"{name}",{quoted_text(each)}}}' for name, each in value.items()) + "]"
    if isinstance(value, tuple):
        return "{" + ",".join(cell(each) for each in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(cell(each) for each in value) + "]"
    return str(value).translate(_ESCAPES)


def quoted_text(value: Any) -> str:
    """Return a value within another: texts in quotes."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else cell(value)


def quoted(text: str) -> str:
    """Return a text as CSV has it."""
    return '"' + text.replace('"', '""') + '"'
