"""rabbitmqadmin's ways to show objects: as a framed table, one below the other, or for programs."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from broker.control.failures import Failure

FIRST: Final = ("vhost", "name", "type", "source", "destination", "destination_type", "routing_key")
"""Columns that come first, in this order, where all are shown."""

Row = dict[str, str]


def show(objects: Sequence[Mapping[str, Any]], columns: Sequence[str], options: argparse.Namespace) -> None:
    """Print objects in the format of the options. Raises Failure (1) for a format that there is not."""
    name = options.format
    if name == "raw_json":
        print(json.dumps(objects, ensure_ascii=False, separators=(",", ":")))  # noqa: T201
        return
    if name == "pretty_json":
        print(json.dumps(objects, ensure_ascii=False, indent=2))  # noqa: T201
        return
    shown = SHOWN.get(name)
    if shown is None:
        raise Failure(1, f"Format {name} not recognised; there are raw_json, pretty_json, {', '.join(SHOWN)}")
    rows = [flat(each, options.depth) for each in objects]
    if not rows:
        if not options.quiet and name != "borderless":
            print("No items")  # noqa: T201
        return
    present = {key: None for row in rows for key in row}
    wanted = list(columns) or [key for key in FIRST if key in present] + sorted(set(present) - set(FIRST))
    for line in shown(wanted, rows, bool(options.quiet)):
        print(line)  # noqa: T201


def flat(value: Mapping[str, Any], depth: int, prefix: str = "") -> Row:
    """Return an object's values as texts by their dotted names, as deep as is wanted; a list is one."""
    row: Row = {}
    for key, each in value.items():
        name = f"{prefix}{key}"
        if isinstance(each, Mapping):
            if depth > 1 or (prefix == "" and each and depth == 1 and key in ("queue_totals", "object_totals")):
                row |= flat(each, depth - 1, f"{name}.")
            elif not each or key in ("arguments", "definition", "value", "properties"):
                row[name] = json.dumps(each, ensure_ascii=False) if each else ""
        elif isinstance(each, list):
            is_words = all(isinstance(item, str) for item in each)
            row[name] = " ".join(each) if is_words else json.dumps(each, ensure_ascii=False)
        else:
            row[name] = text(each)
    return row


def text(value: Any) -> str:
    """Return a plain value, as Python writes it."""
    return "" if value is None else str(value)


def framed(columns: list[str], rows: list[Row], is_quiet: bool) -> list[str]:
    """A table with a frame of characters."""
    cells = [[row.get(column, "") for column in columns] for row in rows]
    widths = [max(len(line[place]) for line in [columns, *cells]) for place in range(len(columns))]
    bar = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    head = "|" + "|".join(f" {name:^{width}} " for name, width in zip(columns, widths, strict=True)) + "|"
    body = ["|" + "|".join(f" {cell:<{w}} " for cell, w in zip(line, widths, strict=True)) + "|" for line in cells]
    return [bar, head, bar, *body, bar]


def long(columns: list[str], rows: list[Row], is_quiet: bool) -> list[str]:
    """One value a line."""
    width = max(map(len, columns))
    rule = ["", "-" * 80, ""]
    lines = [*rule]
    for row in rows:
        lines += [f"{column:>{width}}: {row.get(column, '')}" for column in columns]
        lines += rule
    return lines


def tabbed(columns: list[str], rows: list[Row], is_quiet: bool) -> list[str]:
    """Values with tabs between; the head is left out if nobody wants to know."""
    head = [] if is_quiet else ["\t".join(columns)]
    return head + ["\t".join(row.get(column, "") for column in columns) for row in rows]


def pairs(columns: list[str], rows: list[Row], is_quiet: bool) -> list[str]:
    """``name="value"`` for each value."""
    return [" ".join(f'{column}="{row[column]}"' for column in columns if column in row) for row in rows]


def names(columns: list[str], rows: list[Row], is_quiet: bool) -> list[str]:
    """Names alone, in one line, for a shell; nothing of what has none."""
    return [" ".join(row.get("name", "") for row in rows)] if "name" in columns else []


def borderless(columns: list[str], rows: list[Row], is_quiet: bool) -> list[str]:
    """Values in columns, without frame and head, as the second version's ``--non-interactive``."""
    cells = [[row.get(column, "") for column in columns] for row in rows]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    return [" ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)) + " " for line in cells]


SHOWN: Final[Mapping[str, Callable[[list[str], list[Row], bool], list[str]]]] = {
    "table": framed,
    "long": long,
    "tsv": tabbed,
    "kvp": pairs,
    "bash": names,
    "borderless": borderless,
}
