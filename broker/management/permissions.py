"""Permissions and topic permissions. RabbitMQ: HTTP API, ``/api/permissions``, ``/api/topic-permissions``."""

from typing import Final

from broker.core.access.permissions import Permission, TopicPermission
from broker.management.call import CREATED, NO_CONTENT, Call, Empty, found, text_in
from broker.management.errors import BadRequest, NotThere
from broker.management.routing import Row
from broker.management.users import existing_user


def describe_permission(permission: Permission) -> dict[str, str]:
    """Return a permission."""
    return {
        "user": permission.user,
        "vhost": permission.vhost,
        "configure": permission.configure,
        "write": permission.write,
        "read": permission.read,
    }


def describe_topic_permission(permission: TopicPermission) -> dict[str, str]:
    """Return a topic permission."""
    return {
        "user": permission.user,
        "vhost": permission.vhost,
        "exchange": permission.exchange,
        "write": permission.write,
        "read": permission.read,
    }


def list_permissions(call: Call) -> list[dict[str, str]]:
    return [describe_permission(each) for each in call.broker.access_control.permissions.listed()]


def list_vhost_permissions(call: Call) -> list[dict[str, str]]:
    listed = call.broker.access_control.permissions.listed(vhost=call["vhost"])
    return [describe_permission(each) for each in listed]


def list_user_permissions(call: Call) -> list[dict[str, str]]:
    user = existing_user(call).name
    return [describe_permission(each) for each in call.broker.access_control.permissions.listed(user=user)]


def get_permission(call: Call) -> dict[str, str]:
    permission = call.broker.access_control.permissions.get(call["where"], call["user"])
    return describe_permission(found(permission))


def _check_place(call: Call) -> None:
    control = call.broker.access_control
    if call["where"] not in control.vhosts or call["user"] not in control.users:
        raise BadRequest("vhost_or_user_not_found")


def put_permission(call: Call) -> Empty:
    fields = call.fields("configure", "write", "read")
    patterns = {name: text_in(fields, name) for name in ("configure", "write", "read")}
    _check_place(call)
    control = call.broker.access_control
    was_there = control.permissions.get(call["where"], call["user"]) is not None
    control.set_permission(call["where"], call["user"], **patterns)
    return NO_CONTENT if was_there else CREATED


def delete_permission(call: Call) -> Empty:
    control = call.broker.access_control
    if control.permissions.get(call["where"], call["user"]) is None:
        raise NotThere
    control.clear_permission(call["where"], call["user"])
    return NO_CONTENT


# Topic permissions


def list_topic_permissions(call: Call) -> list[dict[str, str]]:
    return [describe_topic_permission(each) for each in call.broker.access_control.permissions.topics_listed()]


def list_vhost_topic_permissions(call: Call) -> list[dict[str, str]]:
    listed = call.broker.access_control.permissions.topics_listed(vhost=call["vhost"])
    return [describe_topic_permission(each) for each in listed]


def list_user_topic_permissions(call: Call) -> list[dict[str, str]]:
    user = existing_user(call).name
    listed = call.broker.access_control.permissions.topics_listed(user=user)
    return [describe_topic_permission(each) for each in listed]


def _topics(call: Call) -> list[TopicPermission]:
    listed = call.broker.access_control.permissions.topics_listed(vhost=call["where"], user=call["user"])
    if not listed:
        raise NotThere
    return listed


def get_topic_permissions(call: Call) -> list[dict[str, str]]:
    return [describe_topic_permission(each) for each in _topics(call)]


def get_topic_permission(call: Call) -> dict[str, str]:
    each = next((each for each in _topics(call) if each.exchange == call["exchange"]), None)
    return describe_topic_permission(found(each))


def put_topic_permission(call: Call) -> Empty:
    fields = call.fields("exchange", "write", "read")
    exchange, write, read = (text_in(fields, name) for name in ("exchange", "write", "read"))
    _check_place(call)
    control = call.broker.access_control
    was_there = control.permissions.topic(call["where"], call["user"], exchange) is not None
    control.set_topic_permission(call["where"], call["user"], exchange, write=write, read=read)
    return NO_CONTENT if was_there else CREATED


def delete_topic_permissions(call: Call) -> Empty:
    _topics(call)
    call.broker.access_control.clear_topic_permissions(call["where"], call["user"], call.parameters.get("exchange"))
    return NO_CONTENT


_PLACE: Final = "/api/permissions/{where}/{user}"
_TOPIC_PLACE: Final = "/api/topic-permissions/{where}/{user}"

ROWS: Final = (
    Row("GET", "/api/permissions", list_permissions, "All permissions", "administrator"),
    Row("GET", _PLACE, get_permission, "A user's permission in a virtual host", "administrator"),
    Row("PUT", _PLACE, put_permission, "Give or replace it", "administrator"),
    Row("DELETE", _PLACE, delete_permission, "Take it away", "administrator"),
    Row("GET", "/api/vhosts/{vhost}/permissions", list_vhost_permissions, "Those in a virtual host", "administrator"),
    Row("GET", "/api/users/{user}/permissions", list_user_permissions, "Those of a user", "administrator"),
    Row("GET", "/api/topic-permissions", list_topic_permissions, "All topic permissions", "administrator"),
    Row("GET", _TOPIC_PLACE, get_topic_permissions, "A user's in a virtual host", "administrator"),
    Row("PUT", _TOPIC_PLACE, put_topic_permission, "Give or replace one", "administrator"),
    Row("DELETE", _TOPIC_PLACE, delete_topic_permissions, "Lift them", "administrator"),
    Row("GET", _TOPIC_PLACE + "/{exchange}", get_topic_permission, "That on one exchange", "administrator"),
    Row("DELETE", _TOPIC_PLACE + "/{exchange}", delete_topic_permissions, "Lift that on one exchange", "administrator"),
    Row(
        "GET",
        "/api/vhosts/{vhost}/topic-permissions",
        list_vhost_topic_permissions,
        "Topic permissions in a virtual host",
        "administrator",
    ),
    Row(
        "GET",
        "/api/users/{user}/topic-permissions",
        list_user_topic_permissions,
        "Topic permissions of a user",
        "administrator",
    ),
)
