"""All rows of all resources: the place where a new one is added."""

from typing import Final

from broker.management import (
    bindings,
    browse,
    connections,
    definitions,
    exchanges,
    explain,
    features,
    health,
    limits,
    messages,
    metrics,
    openapi,
    overview,
    pages,
    parameters,
    permissions,
    policies,
    queues,
    users,
    vhosts,
    waiting,
)
from broker.management.routing import RouteTable, Row

RESOURCES: Final = (
    *(overview, health, features, vhosts, users, permissions, policies, parameters, limits),
    *(exchanges, queues, bindings, messages, browse, waiting, explain, connections, definitions, metrics, pages),
)

ROWS: Final[tuple[Row, ...]] = tuple(row for resource in RESOURCES for row in resource.ROWS)

ROUTES: Final = RouteTable((*ROWS, *openapi.rows(ROWS)))
