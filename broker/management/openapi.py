"""The OpenAPI document, made from the table of routes. It tells paths, methods, parameters and who may call them."""

import re
from collections.abc import Sequence
from typing import Any, Final

import broker
from broker.management.call import Call
from broker.management.routing import Row

PARAMETER: Final = re.compile(r"\{(\w+)\}")
QUERY: Final = ("page", "page_size", "name", "use_regex", "sort", "sort_reverse", "columns")


def _operation(row: Row) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in PARAMETER.findall(row.path)
    ]
    if row.method == "GET" and row.path.startswith("/api/"):
        parameters += [{"name": name, "in": "query", "schema": {"type": "string"}} for name in QUERY]
    operation: dict[str, Any] = {
        "summary": row.summary,
        "operationId": f"{row.method.lower()}{re.sub(r'[^a-zA-Z0-9]+', '_', row.path)}",
        "tags": [row.path.removeprefix("/api/").strip("/").partition("/")[0]],
        "parameters": parameters,
        "responses": {"default": {"description": "RabbitMQ's JSON"}},
        "security": [] if row.needs is None else [{"basic": []}],
        "x-needs": row.needs or "nobody",
    }
    if row.method in ("PUT", "POST"):
        operation["requestBody"] = {"content": {"application/json": {"schema": {"type": "object"}}}}
    return operation


def document(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the document of all rows."""
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Leveret's management API, as RabbitMQ's", "version": broker.__version__},
        "paths": paths,
        "components": {"securitySchemes": {"basic": {"type": "http", "scheme": "basic"}}},
    }


def rows(others: Sequence[Row]) -> tuple[Row, ...]:
    """Return the rows of the document itself, which describes ``others``."""

    def get_document(call: Call) -> dict[str, Any]:
        return document(others)

    return (Row("GET", "/api/openapi.json", get_document, "This document", None),)
