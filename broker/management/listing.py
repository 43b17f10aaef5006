"""Lists as clients want them: a page, filtered by name, sorted, with some columns only.

RabbitMQ: HTTP API, "Pagination", "Sorting", ``columns``.
"""

import asyncio
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from broker.core.access.errors import InvalidPattern
from broker.core.access.patterns import compile_pattern
from broker.management.call import Listing
from broker.management.errors import ApiError, BadRequest

PAGE_SIZE: Final = 100
PAGE_SIZE_MAX: Final = 500
WHOLE_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}")
DESCRIBED_A_TURN: Final = 100
"""Objects that are described before others on the event loop get their turn."""
CHEAP_KEYS: Final = ("name", "vhost")

Described = dict[str, Any]


async def answer(listing: Listing, query: Mapping[str, str]) -> Any:
    """Return what is asked of a list: an array, or with ``page`` an object with one page of it. Raises ApiError."""
    columns = columns_of(query)
    page = _page_of(query)
    objects = listing.objects
    total_count = len(objects)
    if page is not None:
        accepts = _filter_of(query)
        objects = [each for each in objects if accepts(listing.name_of(each))]
    sort = query.get("sort") or "name"
    is_reversed = query.get("sort_reverse") == "true"
    if sort in CHEAP_KEYS and listing.keys is not None:
        if "sort" in query or is_reversed:
            keys = listing.keys
            objects = _sorted(objects, lambda each: keys(each).get(sort), is_reversed=is_reversed)
        if page is None:
            return [only(each, columns) for each in await _described(listing, objects)]
        start, stop = _bounds(page, len(objects))
        items = await _described(listing, objects[start:stop])
    else:
        items = await _described(listing, objects)
        if "sort" in query or is_reversed:
            items = _sorted(items, lambda each: _at(each, sort), is_reversed=is_reversed)
        if page is None:
            return [only(each, columns) for each in items]
        start, stop = _bounds(page, len(objects))
        items = items[start:stop]
    number, size = page
    return {
        "filtered_count": len(objects),
        "item_count": len(items),
        "items": [only(each, columns) for each in items],
        "page": number,
        "page_count": math.ceil(len(objects) / size),
        "page_size": size,
        "total_count": total_count,
    }


def _sorted(objects: Sequence[Any], key: Callable[[Any], Any], *, is_reversed: bool) -> list[Any]:
    """Return objects by a key; reversed is the whole list from behind, so that equals turn round as well."""
    found = sorted(objects, key=lambda each: sort_key(key(each)))
    return found[::-1] if is_reversed else found


async def _described(listing: Listing, objects: Sequence[Any]) -> list[Described]:
    described: list[Described] = []
    for place, each in enumerate(objects):
        if place % DESCRIBED_A_TURN == DESCRIBED_A_TURN - 1:
            await asyncio.sleep(0)
        described.append(listing.describe(each))
    return described


def columns_of(query: Mapping[str, str]) -> list[list[str]]:
    """Return the columns that are asked for, each as the path to it; none for all."""
    return [column.split(".") for column in query.get("columns", "").split(",") if column]


def only(described: Described, columns: list[list[str]]) -> Described:
    """Return an object with some columns alone."""
    if not columns:
        return described
    chosen: Described = {}
    for path in columns:
        _copy(described, chosen, path)
    return chosen


def _copy(source: Mapping[str, Any], target: Described, path: list[str]) -> None:
    name, *rest = path
    if name not in source:
        return
    value = source[name]
    if not rest:
        target[name] = value
    elif isinstance(value, Mapping):
        inner = target.setdefault(name, {})
        if isinstance(inner, dict):
            _copy(value, inner, rest)


def _at(described: Described, path: str) -> Any:
    value: Any = described
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def sort_key(value: Any) -> tuple[int, Any]:
    """Return what values of any kind are compared by: what is missing first, then numbers, texts, all else."""
    match value:
        case None:
            return (0, 0)
        case bool() | int() | float():
            return (1, value)
        case str():
            return (2, value)
    return (3, str(value))


def _page_of(query: Mapping[str, str]) -> tuple[int, int] | None:
    """Return number and size of the page that is asked for. Raises ApiError (400) for what is none."""
    if "page" not in query:
        return None
    texts = query["page"], query.get("page_size", str(PAGE_SIZE))
    if not all(WHOLE_NUMBER.fullmatch(text) for text in texts):
        raise BadRequest("Pagination parameters are invalid")
    number, size = map(int, texts)
    if number < 1 or not 1 <= size <= PAGE_SIZE_MAX:
        shown = query.get("page_size", "undefined")
        text = f"Invalid pagination parameters: page number {number}, page size {shown}"
        raise ApiError(400, "invalid_pagination_parameters", text)
    return number, size


def _bounds(page: tuple[int, int], count: int) -> tuple[int, int]:
    number, size = page
    if (number - 1) * size > count:
        raise ApiError(400, "page_out_of_range", f"Page out of range, page: {number} page size: {size}, len: {count}")
    return (number - 1) * size, number * size


def _filter_of(query: Mapping[str, str]) -> Callable[[str], bool]:
    name = query.get("name", "")
    if not name:
        return lambda _: True
    if query.get("use_regex") != "true":
        wanted = name.lower()
        return lambda given: wanted in given.lower()
    try:
        pattern = compile_pattern(f"(?i){name}")
    except InvalidPattern:
        raise BadRequest("Pagination parameters are invalid") from None
    return lambda given: pattern.search(given.encode("utf-8", "surrogatepass")) is not None
