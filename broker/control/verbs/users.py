"""Verbs about users: names, passwords, tags and limits. RabbitMQ: rabbitmqctl(8), "User Management"."""

import json
import sys
from typing import Any, Final

from broker.control.failures import DATA, NO_USER, SOFTWARE, Failure, Refused
from broker.control.verb import Session, Verb, failing, found_or, grouped

GROUP: Final = "Users"


def _user(session: Session, name: str) -> dict[str, Any]:
    user: dict[str, Any] = found_or(session, NO_USER, f'User "{name}" does not exist', "users", name)
    return user


def _password(session: Session, place: int) -> str:
    """Return the password among the arguments, else the first line of the standard input."""
    if len(session.arguments) > place:
        return session.arguments[place]
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass("Password: ")
    return sys.stdin.readline().rstrip("\r\n")


def _with_tags(session: Session, name: str, **changed: Any) -> None:
    """Change some of a user and leave the rest."""
    user = _user(session, name)
    body = {"tags": _tags(user), "password_hash": user.get("password_hash", "")}
    if user.get("hashing_algorithm"):
        body["hashing_algorithm"] = user["hashing_algorithm"]
    if "password" in changed or "password_hash" in changed:
        body = {"tags": body["tags"]}
    session.client.put("users", name, body=body | changed)


def _tags(user: dict[str, Any]) -> list[str]:
    tags = user.get("tags", [])
    return [tag for tag in tags.split(",") if tag] if isinstance(tags, str) else list(tags)


def add_user(session: Session) -> None:
    """Add a user with a password, or with the hash of one."""
    name = session.arguments[0]
    if not name:
        raise Failure(DATA, "a user's name must not be empty")
    session.doing(f'Adding user "{name}" ...')
    password = _password(session, 1)
    if not password:
        raise Failure(DATA, "the password must not be empty")
    if any(user["name"] == name for user in session.client.get("users")):
        raise Failure(SOFTWARE, f'User "{name}" already exists')
    secret = "password_hash" if "pre-hashed-password" in session.options else "password"
    session.client.put("users", name, body={secret: password, "tags": ""})
    session.doing(
        "Done. Don't forget to grant the user permissions to some virtual hosts! "
        "See 'rabbitmqctl help set_permissions' to learn more."
    )


def delete_user(session: Session) -> None:
    """Delete a user with its permissions and connections."""
    name = session.arguments[0]
    session.doing(f'Deleting user "{name}" ...')
    failing(404, NO_USER, f'User "{name}" does not exist', lambda: session.client.delete("users", name))


def change_password(session: Session) -> None:
    """Give a user another password."""
    name = session.arguments[0]
    session.doing(f'Changing password for user "{name}" ...')
    password = _password(session, 1)
    if not password:
        raise Failure(DATA, "the password must not be empty")
    _with_tags(session, name, password=password)


def clear_password(session: Session) -> None:
    """Let nobody log in as the user by a password."""
    name = session.arguments[0]
    session.doing(f'Clearing password for user "{name}" ...')
    _with_tags(session, name, password_hash="")


def authenticate_user(session: Session) -> None:
    """Tell whether a password is the user's."""
    name = session.arguments[0]
    session.doing(f'Authenticating user "{name}" ...')
    if not session.client.control("authenticate", {"user": name, "password": _password(session, 1)})["is_right"]:
        raise Failure(DATA, f"failed to authenticate user \"{name}\": user '{name}' - invalid credentials")
    session.output.line("Success")


def set_user_tags(session: Session) -> None:
    """Replace a user's tags."""
    name, *tags = session.arguments
    session.doing(f'Setting tags for user "{name}" to [{", ".join(tags)}] ...')
    _with_tags(session, name, tags=",".join(tags))


def list_users(session: Session) -> None:
    """List users and their tags."""
    session.doing("Listing users ...")
    session.output.table(("user", "tags"), ((user["name"], _tags(user)) for user in session.client.get("users")))


def set_user_limits(session: Session) -> None:
    """Set limits of a user."""
    name, text = session.arguments
    session.doing(f'Setting user limits to "{text}" for user "{name}" ...')
    limits = json_object(text)
    _user(session, name)
    unknown = [limit for limit in limits if limit not in ("max-connections", "max-channels")]
    if unknown:
        raise Failure(69, f"Unrecognised terms {unknown} in user-limits")
    for limit, value in limits.items():
        session.client.put("user-limits", name, limit, body={"value": value})


def clear_user_limits(session: Session) -> None:
    """Clear a user's limit, or ``all``."""
    name, wanted = session.arguments
    session.doing(
        f'Clearing all limits for user "{name}" ...'
        if wanted == "all"
        else f'Clearing "{wanted}" limit for user "{name}" ...'
    )
    _user(session, name)
    for limit in ("max-connections", "max-channels") if wanted == "all" else (wanted,):
        _clear_limit(session, name, limit)


def _clear_limit(session: Session, name: str, limit: str) -> None:
    try:
        session.client.delete("user-limits", name, limit)
    except Refused as refused:
        if refused.status != 404:
            raise


def list_user_limits(session: Session) -> None:
    """List the limits of a user, or of all."""
    if "global" in session.options:
        session.doing("Listing limits for all users ...")
        rows = [(each["user"], json.dumps(each["value"])) for each in session.client.get("user-limits")]
        session.output.table(("user", "limits"), rows)
        return
    name = session.options.get("user", "guest")
    session.doing(f'Listing limits for user "{name}" ...')
    _user(session, name)
    found = session.client.get("user-limits", name)
    limits = found[0]["value"] if found else {}
    session.output.value(limits, json.dumps(limits, separators=(",", ":")))


def json_object(text: str) -> dict[str, Any]:
    """Return an argument that is a JSON object. Raises Failure (69, as rabbitmqctl)."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Failure(69, f"JSON decoding error. Reason: {error}") from None
    if not isinstance(value, dict):
        raise Failure(69, 'JSON decoding error. Reason: an object is expected, as in {"key": 1}')
    return value


def hash_one(session: Session) -> None:
    """Tell a password as definitions hold it."""
    from broker.control.password_hash import salted_hash

    password = _password(session, 0)
    if not password:
        raise Failure(DATA, "the password must not be empty")
    session.doing("Will hash password ...")
    session.output.line(salted_hash(password))


VERBS: Final = grouped(
    GROUP,
    Verb(
        "add_user",
        "<username> [<password>] [--pre-hashed-password]",
        "Adds a user; the password may come on the standard input",
        add_user,
        1,
        2,
        {"pre-hashed-password": ""},
    ),
    Verb("delete_user", "<username>", "Deletes a user and closes its connections", delete_user, 1, 1),
    Verb("change_password", "<username> [<password>]", "Changes a user's password", change_password, 1, 2),
    Verb("clear_password", "<username>", "Lets nobody log in by a password", clear_password, 1, 1),
    Verb("authenticate_user", "<username> [<password>]", "Tries a password", authenticate_user, 1, 2),
    Verb("hash_password", "[<password>]", "Tells a password as definitions hold it", hash_one, 0, 1),
    Verb("set_user_tags", "<username> [<tag> ...]", "Replaces a user's tags", set_user_tags, 1, None),
    Verb("list_users", "", "Lists users and their tags", list_users),
    Verb("set_user_limits", "<username> <json>", "Sets limits of a user", set_user_limits, 2, 2),
    Verb("clear_user_limits", "<username> <limit>|all", "Clears limits of a user", clear_user_limits, 2, 2),
    Verb(
        "list_user_limits",
        "[--user <username>] [--global]",
        "Lists the limits of a user, or of all",
        list_user_limits,
        options={"user": "username", "global": ""},
    ),
)
