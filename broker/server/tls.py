"""TLS: what connections are wrapped with, whom a client's certificate names, and certificates renewed while running.

Handshakes begin with one context for good, which passes them on to the newest: so a renewed certificate, key or
authority counts for every connection from then on, without a listener closing. RabbitMQ: TLS Support.
"""

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from ssl import cert_time_to_seconds
from typing import Any, Final, Literal, cast

from broker.config import Settings
from broker.server.listener import reason

LoginName = Literal["common_name", "distinguished_name"]

LEAST_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

VERIFY_MODES: Final = {"ignore": ssl.CERT_NONE, "ask": ssl.CERT_OPTIONAL, "require": ssl.CERT_REQUIRED}

SHORT_NAMES: Final = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
"""RFC 4514, 3; other attributes keep their long names."""


class TlsError(Exception):
    """Files that TLS cannot be spoken with; one line that says which and why."""

    exit_code: Final = 2


@dataclass(frozen=True, slots=True)
class PeerTls:
    """How a connection is protected, and whom its client's certificate names, if it showed one that was checked."""

    version: str
    cipher: str
    cipher_bits: int
    subject: str
    issuer: str
    validity: str
    """From when until when the certificate is good, as RabbitMQ writes it."""
    login: str
    """The user whom the certificate logs in by EXTERNAL; "" for nobody."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What one kind of listener speaks TLS with. ``prefix`` is what its settings' names begin with."""

    prefix: str
    certificate: Path | None
    key: Path | None
    key_pass: str = field(repr=False)
    authorities: Path | None
    clients: str
    least_version: str


def amqp_files(settings: Settings) -> TlsFiles:
    """Return what AMQP speaks TLS with."""
    return TlsFiles(
        "tls",
        settings.tls_certificate,
        settings.tls_key,
        settings.tls_key_pass,
        settings.tls_ca,
        settings.tls_clients,
        settings.tls_least_version,
    )


def http_files(settings: Settings) -> TlsFiles:
    """Return what HTTP speaks TLS with: files of its own, or AMQP's."""
    if settings.management_tls_certificate is None:
        return replace(amqp_files(settings), clients=settings.management_tls_clients)
    return TlsFiles(
        "management_tls",
        settings.management_tls_certificate,
        settings.management_tls_key,
        settings.management_tls_key_pass,
        settings.management_tls_ca,
        settings.management_tls_clients,
        settings.tls_least_version,
    )


class Certificates:
    """The TLS of one kind of listener. ``context`` is what they are made with; ``reload`` renews what it stands for."""

    __slots__ = ("_newest", "context", "files")

    def __init__(self, files: TlsFiles) -> None:
        """Raises TlsError where a file is missing, unreadable, or does not fit the others."""
        self.files = files
        self._newest = new_context(files)
        self.context = new_context(files)
        self.context.sni_callback = self._pass_on

    def reload(self) -> None:
        """Read certificate, key and authorities again. Raises TlsError, and then the old ones stay in use."""
        self._newest = new_context(self.files)

    def _pass_on(self, handshake: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        handshake.context = self._newest


def new_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a server's context of the files. Raises TlsError."""
    certificate, key, authorities, prefix = files.certificate, files.key, files.authorities, files.prefix
    if certificate is None:
        raise TlsError(f"{prefix}_certificate: there is none to speak TLS with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = LEAST_VERSIONS[files.least_version]
    # Connections last, so there is nothing to gain from resuming; and a resumed one would pass by a new authority.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    _check_readable(f"{prefix}_certificate", certificate)
    if key is not None:
        _check_readable(f"{prefix}_key", key)
    try:
        # A password is always given, else OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, key, password=files.key_pass)
    except (ssl.SSLError, OSError, ValueError) as error:
        names = str(certificate) if key is None else f"{certificate} and {key}"
        raise TlsError(f"{prefix}_certificate: {names} are no certificate and its key: {_said(error)}") from None
    if files.clients != "ignore":
        if authorities is None:
            raise TlsError(f"{prefix}_ca: {prefix}_clients is {files.clients!r}, which needs authorities to check with")
        _check_readable(f"{prefix}_ca", authorities)
        try:
            context.load_verify_locations(authorities)
        except (ssl.SSLError, OSError) as error:
            raise TlsError(f"{prefix}_ca: {authorities} has no authorities: {_said(error)}") from None
        context.verify_mode = VERIFY_MODES[files.clients]
    return context


def peer_tls(connection: ssl.SSLObject | ssl.SSLSocket | None, login_from: LoginName) -> PeerTls | None:
    """Return the facts of a connection's TLS; None for one without."""
    if connection is None:
        return None
    cipher, version, bits = connection.cipher() or ("", "", 0)
    # Only what OpenSSL has checked comes back here: with verify_mode CERT_NONE it is empty.
    certificate = cast("Mapping[str, Any]", connection.getpeercert() or {})
    subject = certificate.get("subject", ())
    distinguished = distinguished_name(subject)
    login = distinguished if login_from == "distinguished_name" else common_name(subject)
    issuer = distinguished_name(certificate.get("issuer", ()))
    dates = [certificate[name] for name in ("notBefore", "notAfter") if name in certificate]
    validity = " - ".join(
        f"{datetime.fromtimestamp(cert_time_to_seconds(date), UTC):%Y-%m-%dT%H:%M:%SZ}" for date in dates
    )
    return PeerTls(connection.version() or version, cipher, bits, distinguished, issuer, validity, login)


Names = Iterable[Iterable[tuple[str, str]]]
"""A subject or issuer as Python's ssl gives it: sets of attributes, from the root on."""


def common_name(names: Names) -> str:
    """Return the common names of a subject, joined by commas as RabbitMQ does; "" if it has none."""
    return ",".join(value for part in names for name, value in part if name == "commonName")


def distinguished_name(names: Names) -> str:
    """Return a subject or issuer as text, the innermost part first: ``CN=client,O=shop``. RFC 4514, 2."""
    parts = ["+".join(f"{SHORT_NAMES.get(name, name)}={_escaped(value)}" for name, value in part) for part in names]
    return ",".join(reversed(parts))


def _escaped(value: str) -> str:
    escaped = "".join(f"\\{each}" if each in ',+"\\<>;' else each for each in value)
    if escaped[:1] in ("#", " "):
        escaped = "\\" + escaped
    if escaped.endswith(" ") and len(escaped) > 1:
        escaped = escaped[:-1] + "\\ "
    return escaped


def _check_readable(setting: str, file: Path) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        raise TlsError(f"{setting}: cannot read {str(file)!r} ({reason(error)})") from None


def _said(error: Exception) -> str:
    """Return OpenSSL's reason in words, without its source files and line numbers."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return reason(error)
