"""Users, who asks, and logins. RabbitMQ: HTTP API, ``/api/users``, ``/api/whoami``, ``/api/auth``."""

from typing import Any, Final

from broker.core.access.errors import AccessError
from broker.core.access.passwords import DEFAULT_ALGORITHM, hash_password
from broker.core.access.users import User
from broker.management.call import CREATED, NO_CONTENT, Call, Empty, Listing
from broker.management.errors import BadRequest, NotThere
from broker.management.routing import Row
from broker.management.vhosts import tags_in


def describe_user(user: User) -> dict[str, Any]:
    """Return a user; the hash is for administrators alone."""
    return {
        "name": user.name,
        "password_hash": user.password_hash,
        "hashing_algorithm": user.hashing_algorithm,
        "tags": list(user.tags),
        "limits": dict(user.limits),
    }


def existing_user(call: Call) -> User:
    """Return the user that the path names. Raises NotThere."""
    if call["user"] not in call.broker.access_control.users:
        raise NotThere
    return call.broker.access_control.users.get(call["user"])


def list_users(call: Call) -> Listing:
    return Listing(call.broker.access_control.users.listed(), describe_user, keys=lambda each: {"name": each.name})


def list_without_permissions(call: Call) -> list[dict[str, Any]]:
    control = call.broker.access_control
    return [describe_user(user) for user in control.users.listed() if not control.permissions.listed(user=user.name)]


def get_user(call: Call) -> dict[str, Any]:
    return describe_user(existing_user(call))


def user_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a body's fields as ``AccessControl.put_user`` takes them. Raises BadRequest."""
    if "tags" not in fields:
        raise BadRequest("tags_not_present")
    taken: dict[str, Any] = {"tags": tags_in(fields["tags"])}
    password, password_hash = fields.get("password"), fields.get("password_hash")
    for value in (password, password_hash, fields.get("hashing_algorithm")):
        if not isinstance(value, str | None):
            raise BadRequest("passwords and hashes are texts")
    if password_hash is not None:
        taken["password_hash"] = password_hash
        taken["hashing_algorithm"] = fields.get("hashing_algorithm") or DEFAULT_ALGORITHM
    else:
        taken["password"] = password
    return taken


def put_user(call: Call) -> Empty:
    taken = user_fields(call.fields())
    control, name = call.broker.access_control, call["user"]
    was_there = name in control.users
    control.put_user(name, **taken)
    return NO_CONTENT if was_there else CREATED


def delete_user(call: Call) -> Empty:
    call.broker.access_control.delete_user(existing_user(call).name)
    return NO_CONTENT


def delete_users(call: Call) -> Empty:
    names = call.fields("users")["users"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadRequest("users should be a list of names")
    control = call.broker.access_control
    unknown = [name for name in names if name not in control.users]
    if unknown:
        # RabbitMQ has deleted those before it by then.
        raise BadRequest(["no_such_user", unknown[0]])
    for name in dict.fromkeys(names):
        control.delete_user(name)
    return NO_CONTENT


def who_am_i(call: Call) -> dict[str, Any]:
    return {"name": call.principal.name, "tags": sorted(call.principal.tags)}


def describe_auth(call: Call) -> dict[str, Any]:
    return {"enable_uaa": False, "oauth_enabled": False, "uaa_client_id": "", "uaa_location": ""}


def list_attempts(call: Call) -> list[dict[str, Any]]:
    http, all_logins = call.node.http_logins, call.broker.admission.logins
    succeeded, failed = all_logins.succeeded - http.succeeded, all_logins.failed - http.failed
    return [
        _attempts("http", http.succeeded, http.failed),
        _attempts("amqp091", max(0, succeeded), max(0, failed)),
    ]


def _attempts(protocol: str, succeeded: int, failed: int) -> dict[str, Any]:
    return {
        "protocol": protocol,
        "auth_attempts": succeeded + failed,
        "auth_attempts_failed": failed,
        "auth_attempts_succeeded": succeeded,
    }


def list_attempts_by_source(call: Call) -> list[dict[str, Any]]:
    return [
        {"remote_address": source, "username": user, **_attempts(protocol, counts.succeeded, counts.failed)}
        for (source, user, protocol), counts in call.broker.admission.sources.items()
    ]


def forget_attempts(call: Call) -> Empty:
    for counts in (call.node.http_logins, call.broker.admission.logins):
        counts.succeeded = counts.failed = 0
    return forget_attempts_by_source(call)


def forget_attempts_by_source(call: Call) -> Empty:
    call.broker.admission.sources.clear()
    return NO_CONTENT


def hash_one(call: Call) -> dict[str, str]:
    try:
        return {"ok": hash_password(call["password"].encode())}
    except AccessError as error:
        raise BadRequest(str(error)) from None


ROWS: Final = (
    Row("GET", "/api/whoami", who_am_i, "The user of this request"),
    Row("GET", "/api/users", list_users, "All users", "administrator"),
    Row("GET", "/api/users/{user}", get_user, "One user", "administrator"),
    Row("PUT", "/api/users/{user}", put_user, "Make or replace a user", "administrator"),
    Row("DELETE", "/api/users/{user}", delete_user, "Delete a user", "administrator"),
    Row(
        "GET", "/api/users/without-permissions", list_without_permissions, "Users that may go nowhere", "administrator"
    ),
    Row("POST", "/api/users/bulk-delete", delete_users, "Delete several users", "administrator"),
    Row("GET", "/api/auth", describe_auth, "How to log in", None),
    Row("GET", "/api/auth/attempts/{node}", list_attempts, "Logins, by protocol", "monitoring"),
    Row("GET", "/api/auth/attempts/{node}/source", list_attempts_by_source, "Logins, by address", "monitoring"),
    Row("DELETE", "/api/auth/attempts/{node}", forget_attempts, "Count logins from 0 on", "monitoring"),
    Row(
        "DELETE",
        "/api/auth/attempts/{node}/source",
        forget_attempts_by_source,
        "Count logins by address from 0 on",
        "monitoring",
    ),
    Row("GET", "/api/auth/hash_password/{password}", hash_one, "A password as definitions hold it", "administrator"),
)
