"""The command's side of the conversation: HTTP over the control socket, or over TCP to a broker elsewhere."""

import base64
import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

from broker.control.failures import DATA, TEMPORARY, Failure, Refused, Unreachable, UsageFailure
from broker.control.socket_path import address_of, socket_path

DEFAULT_PORT: Final = 15672
DEFAULT_TLS_PORT: Final = 15671
TIMEOUT_S: Final = 60.0


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float | None) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect. Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with address_of(self._path) as address:
            self.sock.connect(address)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the broker is: ``data_dir`` for its control socket, or ``url`` with user and password."""

    data_dir: Path = Path("leveret-data")
    url: str = ""

    @property
    def is_local(self) -> bool:
        """Whether it is reached by its control socket, which lets everything be done."""
        return not self.url

    def __str__(self) -> str:
        """Return it for people, without the password."""
        if self.is_local:
            return str(socket_path(self.data_dir))
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class Client:
    """Asks the broker, one request after the other. ``timeout_s`` is for each; None waits as long as it takes.

    Raises UsageFailure for a URL that is none.
    """

    def __init__(self, place: Place, timeout_s: float | None = TIMEOUT_S) -> None:
        if not place.is_local:
            parts_of(place.url)
        self.place = place
        self.timeout_s = timeout_s
        self.tls_authorities: str | None = None
        self.is_tls_checked = True
        self._connection: http.client.HTTPConnection | None = None
        self._prefix = ""
        self._headers: dict[str, str] = {}

    def get(self, *path: str, query: str = "") -> Any:
        """Return the JSON at a path."""
        return self.request("GET", path, query=query)

    def put(self, *path: str, body: Any = None) -> Any:
        """Put something there."""
        return self.request("PUT", path, body)

    def post(self, *path: str, body: Any = None) -> Any:
        """Have something done."""
        return self.request("POST", path, body)

    def delete(self, *path: str, headers: Mapping[str, str] | None = None, query: str = "") -> Any:
        """Take it away."""
        return self.request("DELETE", path, query=query, headers=headers)

    def request(
        self,
        method: str,
        path: tuple[str, ...],
        body: Any = None,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        prefix: str = "/api",
    ) -> Any:
        """Return the answer's JSON, None without one. ``body`` is sent as it is if it is octets, else as JSON.

        Raises Refused for an error of the broker's, Unreachable, Failure for a timeout or a wrong password.
        """
        target = prefix + "".join("/" + quote(part, safe="") for part in path) + (f"?{query}" if query else "")
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        sent = dict(headers or {})
        if data is not None:
            sent["content-type"] = "application/json"
        elif method in ("PUT", "POST"):
            data = b""
        try:
            connection = self._connected()
            connection.request(method, self._prefix + target, data, {**self._headers, **sent})
            response = connection.getresponse()
            octets = response.read()
        except TimeoutError:
            raise Failure(TEMPORARY, f"the broker at {self.place} did not answer within {self.timeout_s:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise Unreachable(str(self.place), why.lower() or type(error).__name__) from None
        if response.status >= 300:
            raise refusal(response.status, octets)
        return json.loads(octets) if octets else None

    def control(self, action: str, body: Any = None) -> Any:
        """Ask what only the control socket answers. Raises Failure (69) for a broker elsewhere."""
        if not self.place.is_local:
            raise Failure(69, "this is possible only on the broker's own machine, without --url")
        return self.request("GET" if body is None else "POST", (action,), body, prefix="/control")

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = self._connection_to_make()
        return self._connection

    def _connection_to_make(self) -> http.client.HTTPConnection:
        if self.place.is_local:
            return SocketConnection(socket_path(self.place.data_dir), self.timeout_s)
        parts = parts_of(self.place.url)
        assert parts.hostname is not None
        credentials = f"{unquote(parts.username or 'guest')}:{unquote(parts.password or 'guest')}"
        self._headers["authorization"] = "Basic " + base64.b64encode(credentials.encode()).decode()
        self._prefix = parts.path.rstrip("/").removesuffix("/api")
        if parts.scheme == "https":
            return self._tls_connection(parts.hostname, parts.port or DEFAULT_TLS_PORT)
        return http.client.HTTPConnection(parts.hostname, parts.port or DEFAULT_PORT, timeout=self.timeout_s)

    def _tls_connection(self, host: str, port: int) -> http.client.HTTPSConnection:
        import ssl

        context = ssl.create_default_context(cafile=self.tls_authorities)
        if not self.is_tls_checked:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(host, port, timeout=self.timeout_s, context=context)


def parts_of(url: str) -> SplitResult:
    """Return the parts of a broker's URL. Raises UsageFailure, without the URL's password."""
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_right = False
    if not is_right:
        raise UsageFailure("--url must be http://user:password@host:15672 or https://...")
    return parts


def refusal(status: int, octets: bytes) -> Failure:
    """Return the failure that an answer other than success stands for."""
    reason: Any = None
    try:
        answer = json.loads(octets)
        reason = answer.get("reason") or answer.get("error")
    except (ValueError, AttributeError):
        pass
    text = reason if isinstance(reason, str) else json.dumps(reason) if reason else f"HTTP status {status}"
    text = " ".join(text.split())
    if (status == 401 and "login failed" in text.lower()) or (
        status == 401 and text in ("Not_Authorized", "HTTP status 401")
    ):
        return Failure(DATA, "the user or its password is wrong")
    return Refused(status, text)
