"""Definitions: export and import, of the node or of one virtual host. RabbitMQ: HTTP API, ``/api/definitions``.

An import is applied whole or not at all; see definitions_file.py. RabbitMQ 3 and 4 can read what is exported here.
"""

import json
from typing import Any, Final

from starlette.responses import Response

from broker.core.definitions_file import import_definitions
from broker.core.exchanges.exchange import Exchange
from broker.core.json_tables import json_of
from broker.core.names import is_reserved
from broker.core.queues.classic import ClassicQueue
from broker.core.vhosts import VirtualHost
from broker.management.bindings import describe_binding
from broker.management.call import NO_CONTENT, Call, Empty, encode
from broker.management.errors import BadRequest
from broker.management.parameters import parameters_of
from broker.management.permissions import describe_permission, describe_topic_permission
from broker.management.policies import describe_policy
from broker.management.routing import Row
from broker.management.users import describe_user
from broker.server.boot_definitions import warn_of_idle_parameters

Described = dict[str, Any]


def _queues(vhost: VirtualHost) -> list[ClassicQueue]:
    return [queue for _, queue in sorted(vhost.queues.items()) if queue.exclusive_owner is None]


def _exchanges(vhost: VirtualHost) -> list[Exchange]:
    return [each for name, each in sorted(vhost.exchanges.items()) if name and not is_reserved(name)]


def _contents(call: Call, vhost: VirtualHost) -> Described:
    """Return what is defined within a virtual host."""
    is_exported = {id(queue) for queue in _queues(vhost)} | {id(exchange) for exchange in vhost.exchanges.values()}
    bindings = [
        describe_binding(vhost.name, binding)
        for name in sorted(vhost.exchanges)
        for binding in vhost.exchanges[name].bindings.values()
        if id(binding.destination) in is_exported
    ]
    for binding in bindings:
        del binding["properties_key"]
    return {
        "parameters": parameters_of(call, vhost),
        "policies": [describe_policy(vhost.name, policy) for policy in vhost.policies.listed("policy")],
        "queues": [
            {
                "name": queue.name,
                "vhost": vhost.name,
                "durable": queue.durable,
                "auto_delete": queue.auto_delete,
                "arguments": json_of(queue.arguments),
            }
            for queue in _queues(vhost)
        ],
        "exchanges": [
            {
                "name": exchange.name,
                "vhost": vhost.name,
                "type": exchange.type_name,
                "durable": exchange.durable,
                "auto_delete": exchange.auto_delete,
                "internal": exchange.internal,
                "arguments": json_of(exchange.arguments),
            }
            for exchange in _exchanges(vhost)
        ],
        "bindings": bindings,
    }


def _describe_vhost(vhost: VirtualHost) -> Described:
    """Return a virtual host; one about which nothing is said has its name alone, as RabbitMQ 3 has it."""
    metadata = vhost.metadata
    told: Described = {"description": metadata.description, "tags": list(metadata.tags)}
    if metadata.default_queue_type:
        told["default_queue_type"] = metadata.default_queue_type
    if metadata.is_protected:
        told["protected_from_deletion"] = True
    return {"name": vhost.name, **told, "metadata": told} if any(told.values()) else {"name": vhost.name}


def export_all(call: Call) -> Response:
    control = call.broker.access_control
    release = call.node.release
    contents = [_contents(call, vhost) for vhost in control.vhosts_listed()]
    joined = {
        section: [each for content in contents for each in content[section]]
        for section in ("parameters", "policies", "queues", "exchanges", "bindings")
    }
    definitions = {
        "rabbit_version": release,
        "rabbitmq_version": release,
        "product_name": call.broker.settings.product,
        "product_version": release,
        "rabbitmq_definition_format": "cluster",
        "original_cluster_name": call.node.cluster_name,
        "users": [describe_user(user) for user in control.users.listed()],
        "vhosts": [_describe_vhost(vhost) for vhost in control.vhosts_listed()],
        "permissions": [describe_permission(each) for each in control.permissions.listed()],
        "topic_permissions": [describe_topic_permission(each) for each in control.permissions.topics_listed()],
        "global_parameters": [
            {"name": name, "value": value} for name, value in call.broker.parameters.globals_listed()
        ],
        **joined,
    }
    return _as_file(call, definitions)


def export_vhost(call: Call) -> Response:
    contents = _contents(call, call.vhost())
    for section in ("queues", "exchanges", "bindings", "parameters", "policies"):
        for each in contents[section]:
            each.pop("vhost", None)
    return _as_file(call, {"rabbit_version": call.node.release, **contents})


def _as_file(call: Call, definitions: Described) -> Response:
    headers = {}
    if "download" in call.query:
        name = call.query["download"].translate({ord(char): None for char in '"\\\r\n;'})
        headers["content-disposition"] = f'attachment; filename="{name.encode("ascii", "ignore").decode()}"'
    return Response(encode(definitions), headers=headers, media_type="application/json")


async def import_all(call: Call) -> Empty:
    import_definitions(call.broker.access_control, call.broker.parameters, file_in(call))
    warn_of_idle_parameters(call.broker)
    return NO_CONTENT


async def import_vhost(call: Call) -> Empty:
    import_definitions(call.broker.access_control, call.broker.parameters, file_in(call), call["vhost"])
    warn_of_idle_parameters(call.broker)
    return NO_CONTENT


def file_in(call: Call) -> Described:
    """Return the definitions in a body: JSON, or a form with a file as a browser sends it. Raises BadRequest."""
    octets = call.body
    kind, _, rest = call.headers.get("content-type", "").partition(";")
    if kind.strip() == "multipart/form-data":
        octets = _file_of_form(octets, rest)
    try:
        definitions = json.loads(octets)
    except (ValueError, RecursionError):
        raise BadRequest("failed_to_parse_json") from None
    if not isinstance(definitions, dict):
        raise BadRequest("failed_to_parse_json")
    return definitions


def _file_of_form(octets: bytes, parameters: str) -> bytes:
    """Return the part named ``file`` of a form, or the first there is. Raises BadRequest. Ref: RFC 7578."""
    boundary = next((each.strip()[9:].strip('"') for each in parameters.split(";") if "boundary=" in each), "")
    if not boundary:
        raise BadRequest("failed_to_parse_json")
    parts = octets.split(b"--" + boundary.encode())
    files = [part.partition(b"\r\n\r\n") for part in parts if b"\r\n\r\n" in part]
    if not files:
        raise BadRequest("failed_to_parse_json")
    named = [body for head, _, body in files if b'name="file"' in head]
    return (named or [files[0][2]])[0].removesuffix(b"\r\n")


ROWS: Final = (
    Row("GET", "/api/definitions", export_all, "Everything that is defined", "administrator"),
    Row("POST", "/api/definitions", import_all, "Import definitions, all or nothing", "administrator"),
    Row("GET", "/api/definitions/{vhost}", export_vhost, "What is defined in a virtual host", "administrator"),
    Row("POST", "/api/definitions/{vhost}", import_vhost, "Import into a virtual host", "administrator"),
    Row("GET", "/api/all-configuration", export_all, "As /api/definitions", "administrator"),
    Row("POST", "/api/all-configuration", import_all, "As /api/definitions", "administrator"),
)
