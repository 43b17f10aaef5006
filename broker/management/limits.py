"""Limits of virtual hosts and users. RabbitMQ: HTTP API, ``/api/vhost-limits``, ``/api/user-limits``."""

from typing import Any, Final

from broker.core.access.limits import USER_LIMITS, VHOST_LIMITS
from broker.management.call import NO_CONTENT, Call, Empty
from broker.management.errors import BadRequest
from broker.management.json_terms import escaped, json_term
from broker.management.routing import Row
from broker.management.users import existing_user


def checked_limits(fields: dict[str, Any], known: tuple[str, ...], of_what: str) -> dict[str, int]:
    """Return limits by name. Raises BadRequest in RabbitMQ's words; ``of_what`` is what they limit, there."""
    for name, value in fields.items():
        if name not in known:
            text = f"Validation failed\n\nUnrecognised terms [{{{json_term(name)},{json_term(value)}}}] in {of_what}\n"
            raise BadRequest(escaped(text))
        if isinstance(value, bool) or not isinstance(value, int):
            text = f"Validation failed\n\n{name} should be a number, actually was {json_term(value)}\n"
            raise BadRequest(escaped(text))
    return fields


def _of_vhosts(call: Call) -> list[dict[str, Any]]:
    return [
        {"vhost": vhost.name, "value": dict(vhost.limits)}
        for vhost in call.visible_vhosts()
        if vhost.limits and call.parameters.get("vhost") in (None, vhost.name)
    ]


def put_vhost_limit(call: Call) -> Empty:
    value = call.fields("value")["value"]
    checked_limits({call["name"]: value}, VHOST_LIMITS, "limits")
    call.broker.access_control.set_vhost_limit(call["vhost"], call["name"], value)
    return NO_CONTENT


def delete_vhost_limit(call: Call) -> Empty:
    call.broker.access_control.clear_vhost_limit(call["vhost"], call["name"])
    return NO_CONTENT


def list_user_limits(call: Call) -> list[dict[str, Any]]:
    return [
        {"user": user.name, "value": dict(user.limits)}
        for user in call.broker.access_control.users.listed()
        if user.limits
    ]


def get_user_limits(call: Call) -> list[dict[str, Any]]:
    user = existing_user(call)
    return [{"user": user.name, "value": dict(user.limits)}] if user.limits else []


def put_user_limit(call: Call) -> Empty:
    value = call.fields("value")["value"]
    checked_limits({call["name"]: value}, USER_LIMITS, "user-limits")
    if call["user"] not in call.broker.access_control.users:
        raise BadRequest(["no_such_user", call["user"]])
    call.broker.access_control.users.set_limits(call["user"], {call["name"]: value})
    return NO_CONTENT


def delete_user_limit(call: Call) -> Empty:
    call.broker.access_control.users.clear_limits(existing_user(call).name, call["name"])
    return NO_CONTENT


ROWS: Final = (
    Row("GET", "/api/vhost-limits", _of_vhosts, "Limits of all virtual hosts"),
    Row("GET", "/api/vhost-limits/{vhost}", _of_vhosts, "Limits of a virtual host"),
    Row("PUT", "/api/vhost-limits/{vhost}/{name}", put_vhost_limit, "Set a limit", "administrator"),
    Row("DELETE", "/api/vhost-limits/{vhost}/{name}", delete_vhost_limit, "Lift a limit", "administrator"),
    Row("GET", "/api/user-limits", list_user_limits, "Limits of all users"),
    Row("GET", "/api/user-limits/{user}", get_user_limits, "Limits of a user"),
    Row("PUT", "/api/user-limits/{user}/{name}", put_user_limit, "Set a limit", "administrator"),
    Row("DELETE", "/api/user-limits/{user}/{name}", delete_user_limit, "Lift a limit", "administrator"),
)
