"""The command's side of the conversation: HTTP over the control socket, or over TCP to a broker elsewhere.

Only what the way taken needs is loaded: the standard library's HTTP takes longer than all else of a health check.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from broker.control.failures import DATA, TEMPORARY, Failure, Refused, Unreachable
from broker.control.socket_path import socket_path

TIMEOUT_S: Final = 60.0


class Http(Protocol):
    """A way to the broker."""

    def ask(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Return status and body of the answer. Raises OSError, TimeoutError among them."""

    def close(self) -> None:
        """Hang up."""


class Place(NamedTuple):
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
        from broker.control.url_http import shown_url

        return shown_url(self.url)


class Client:
    """Asks the broker, one request after the other. ``timeout_s`` is for each; None waits as long as it takes.

    ``tls_certificate`` are the files of a certificate and its key. Raises UsageFailure for a URL that is none.
    """

    def __init__(
        self,
        place: Place,
        timeout_s: float | None = TIMEOUT_S,
        tls_authorities: str | None = None,
        *,
        is_tls_checked: bool = True,
        tls_certificate: tuple[str, str | None] | None = None,
    ) -> None:
        self.place = place
        self.timeout_s = timeout_s
        self._http: Http
        if place.is_local:
            from broker.control.socket_http import SocketHttp

            self._http = SocketHttp(socket_path(place.data_dir), timeout_s)
        else:
            from broker.control.url_http import UrlHttp

            self._http = UrlHttp(
                place.url, timeout_s, tls_authorities, is_tls_checked=is_tls_checked, tls_certificate=tls_certificate
            )

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
        target = prefix + "".join(f"/{quoted(part)}" for part in path) + (f"?{query}" if query else "")
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        sent = dict(headers or {})
        if data is not None:
            sent["content-type"] = "application/json"
        elif method in ("PUT", "POST"):
            data = b""
        try:
            status, octets = self._http.ask(method, target, data, sent)
        except TimeoutError:
            raise Failure(TEMPORARY, f"the broker at {self.place} did not answer within {self.timeout_s:g} s") from None
        except OSError as error:
            self.close()
            why = error.strerror or str(error)
            raise Unreachable(str(self.place), why.lower() or type(error).__name__) from None
        if status >= 300:
            raise refusal(status, octets)
        return json.loads(octets) if octets else None

    def control(self, action: str, body: Any = None) -> Any:
        """Ask what only the control socket answers. Raises Failure (69) for a broker elsewhere."""
        if not self.place.is_local:
            raise Failure(69, "this is possible only on the broker's own machine, without --url")
        return self.request("GET" if body is None else "POST", (action,), body, prefix="/control")

    def close(self) -> None:
        """Hang up."""
        self._http.close()


def quoted(part: str) -> str:
    """Return a part of a path, percent-encoded."""
    if part.isascii() and part.replace("-", "").replace("_", "").isalnum():
        return part
    from urllib.parse import quote

    return quote(part, safe="")


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
    if "&" in text:  # The API's reasons are escaped for web pages, as RabbitMQ's are.
        from html import unescape

        text = unescape(text)
    if (status == 401 and "login failed" in text.lower()) or (
        status == 401 and text in ("Not_Authorized", "HTTP status 401")
    ):
        return Failure(DATA, "the user or its password is wrong")
    return Refused(status, text)
