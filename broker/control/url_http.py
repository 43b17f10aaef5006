"""HTTP over TCP, to a broker elsewhere: by its URL, with a user and a password."""

import base64
import http.client
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, unquote, urlsplit

from broker.control.failures import UsageFailure

if TYPE_CHECKING:
    import ssl

DEFAULT_PORT: Final = 15672
DEFAULT_TLS_PORT: Final = 15671


class UrlHttp:
    """Asks the broker at ``url``, on one connection. Raises UsageFailure for a URL that is none."""

    def __init__(
        self,
        url: str,
        timeout_s: float | None,
        tls_authorities: str | None = None,
        *,
        is_tls_checked: bool = True,
        tls_certificate: tuple[str, str | None] | None = None,
    ) -> None:
        parts = parts_of(url)
        assert parts.hostname is not None
        credentials = f"{unquote(parts.username or 'guest')}:{unquote(parts.password or 'guest')}"
        self._authorization = "Basic " + base64.b64encode(credentials.encode()).decode()
        self._prefix = parts.path.rstrip("/").removesuffix("/api")
        if parts.scheme == "https":
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                parts.hostname,
                parts.port or DEFAULT_TLS_PORT,
                timeout=timeout_s,
                context=tls_context(tls_authorities, is_tls_checked, tls_certificate),
            )
        else:
            self._connection = http.client.HTTPConnection(parts.hostname, parts.port or DEFAULT_PORT, timeout=timeout_s)

    def ask(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Return status and body of the answer. Raises OSError, TimeoutError among them."""
        try:
            self._connection.request(
                method, self._prefix + target, body, {"authorization": self._authorization, **headers}
            )
            response = self._connection.getresponse()
            return response.status, response.read()
        except (http.client.HTTPException, UnicodeError) as error:  # The latter for names that no host can have.
            raise OSError(str(error) or type(error).__name__) from None

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def tls_context(
    authorities: str | None, is_checked: bool, certificate: tuple[str, str | None] | None
) -> "ssl.SSLContext":
    """Return what a connection to a broker by HTTPS is made with. Raises OSError for files that are none."""
    import ssl

    context = ssl.create_default_context(cafile=authorities)
    if not is_checked:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


def shown_url(url: str) -> str:
    """Return a URL for people, without user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def parts_of(url: str) -> SplitResult:
    """Return the parts of a broker's URL. Raises UsageFailure, without the URL's password."""
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        is_right = is_right and not any(letter.isspace() for letter in parts.hostname or "")
    except ValueError:
        is_right = False
    if not is_right:
        raise UsageFailure("--url must be http://user:password@host:15672 or https://...")
    return parts
