"""Which function answers a method and a path. Paths are matched segment by segment before they are decoded.

So ``%2F`` is a slash within a name and never a separator. Each resource's file has its rows; table.py joins them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from broker.management.call import Handler
from broker.management.principals import Level

METHODS: Final = ("HEAD", "GET", "PUT", "POST", "DELETE", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: ``path`` begins with a slash; a segment in braces is a parameter. ``summary`` is for the document.

    ``needs`` is the least that the user must be, None for nobody at all. ``is_change`` lets the answer wait for the
    disk. A parameter ``vhost`` must name a virtual host that the user may see.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    needs: Level | None = "management"
    is_change: bool | None = None

    @property
    def changes(self) -> bool:
        """Whether what it did is to be on disk before it is answered."""
        return self.method != "GET" if self.is_change is None else self.is_change


@dataclass(slots=True)
class _Node:
    literal: dict[str, "_Node"] = field(default_factory=dict)
    parameter: "_Node | None" = None
    rows: dict[str, tuple[Row, tuple[str, ...]]] = field(default_factory=dict)


class RouteTable:
    """All rows, found by path. A literal segment goes before a parameter."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = tuple(rows)
        self._root = _Node()
        for row in self.rows:
            self._add(row)

    def _add(self, row: Row) -> None:
        node, names = self._root, []
        for segment in row.path.split("/")[1:]:
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literal.setdefault(segment, _Node())
        assert row.method not in node.rows, f"two rows for {row.method} {row.path}"
        node.rows[row.method] = (row, tuple(names))

    def find(self, raw_path: str) -> "Found | None":
        """Return the methods that a path has, None where there is no such path. One slash at the end is ignored."""
        segments = raw_path.split("/")[1:]
        found = _search(self._root, segments, [])
        if found is None and len(segments) > 1 and not segments[-1]:
            found = _search(self._root, segments[:-1], [])
        return None if found is None else Found(*found)


@dataclass(frozen=True, slots=True)
class Found:
    """A path: its rows by method, and the values of its parameters."""

    rows: dict[str, tuple[Row, tuple[str, ...]]]
    values: list[str]

    @property
    def allowed(self) -> str:
        """The methods, as the header ``allow`` has them."""
        have = {*self.rows, "OPTIONS", *(("HEAD",) if "GET" in self.rows else ())}
        return ", ".join(method for method in METHODS if method in have)

    def row(self, method: str) -> tuple[Row, dict[str, str]] | None:
        """Return the row of a method with the path's parameters by name, None where the path has no such method."""
        entry = self.rows.get("GET" if method == "HEAD" else method)
        if entry is None:
            return None
        row, names = entry
        return row, dict(zip(names, self.values, strict=True))


def _search(
    node: _Node, segments: list[str], values: list[str]
) -> tuple[dict[str, tuple[Row, tuple[str, ...]]], list[str]] | None:
    for place, segment in enumerate(segments):
        literal = node.literal.get(segment)
        if literal is not None and node.parameter is not None:
            found = _search(literal, segments[place + 1 :], [*values])
            if found is not None:
                return found
            literal = None
        if literal is not None:
            node = literal
        elif node.parameter is not None and segment:
            values.append(decoded(segment))
            node = node.parameter
        else:
            return None
    return (node.rows, values) if node.rows else None


def decoded(segment: str) -> str:
    """Return a segment without percent-encoding. Octets that are no UTF-8 name nothing: they never match."""
    return unquote_to_bytes(segment).decode("utf-8", "surrogateescape")
