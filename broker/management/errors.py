"""What a request can meet with, as exceptions: status, and RabbitMQ's JSON with ``error`` and ``reason``.

Whoever notices raises; app.py turns it into the response in one place. RabbitMQ: HTTP API reference.
"""

from typing import Final

from broker.core.access.errors import AccessError, InvalidPattern, NoSuchVirtualHost
from broker.core.policies.keys import PolicyError
from broker.management.json_terms import escaped
from protocol.errors import AccessRefused, AmqpError, NotFound
from storage.definitions import JsonValue

REALM: Final = 'Basic realm="RabbitMQ Management"'


class ApiError(Exception):
    """A request that is not done. ``reason`` is a text, or a list where RabbitMQ answers with a term."""

    def __init__(self, status: int, error: str, reason: JsonValue, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} {error}: {reason}")
        self.status = status
        self.error = error
        self.reason = reason
        self.headers = headers or {}


class BadRequest(ApiError):
    """400: what was sent makes no sense, or cannot be done."""

    def __init__(self, reason: JsonValue) -> None:
        super().__init__(400, "bad_request", reason)


class NotThere(ApiError):
    """404: the object that the path names does not exist."""

    def __init__(self) -> None:
        super().__init__(404, "Object Not Found", "Not Found")


class NothingToActOn(ApiError):
    """404 to an action: what it needs does not exist; the reason says what."""

    def __init__(self, reason: str) -> None:
        super().__init__(404, "not_found", reason)


class Unauthorised(ApiError):
    """401 to who is logged in: not with these tags or permissions. RabbitMQ does not say 403."""

    def __init__(self, reason: str = "Access refused.") -> None:
        super().__init__(401, "not_authorised", reason)


class LoginFailed(ApiError):
    """401: wrong user or password."""

    def __init__(self) -> None:
        super().__init__(401, "not_authorized", "Login failed", {"www-authenticate": REALM})


class MethodNotAllowed(ApiError):
    """405: there is such a path, but not with this method. The body is empty."""

    def __init__(self, allowed: str) -> None:
        super().__init__(405, "", "", {"allow": allowed})


def as_api_error(error: Exception) -> ApiError | None:
    """Return what an error of the core's is to a client of the API; None for what is no client's fault."""
    match error:
        case ApiError():
            return error
        case AccessRefused():
            return Unauthorised()
        case NotFound():
            return NothingToActOn(error.detail)
        case AmqpError():
            return BadRequest(error.detail)
        case NoSuchVirtualHost():
            return NothingToActOn("vhost_not_found")
        case InvalidPattern():
            return BadRequest(["invalid_regexp", error.pattern, [error.reason, error.position]])
        case AccessError():
            return BadRequest(str(error))
        case PolicyError():
            return BadRequest(escaped(f"Validation failed\n\n{error}\n"))
    return None
