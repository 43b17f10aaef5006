"""The keys that tokens are checked with: files of the settings, and a key set that is fetched where its issuer has it.

Nothing waits for a fetch but the login that needs a key not known yet. Fetches are one at a time and not in a row, so
that tokens with invented key ids cost the issuer nothing. RabbitMQ: OAuth 2.0, "Configure signing keys".
"""

import asyncio
import json
import ssl
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from broker.config import Settings
from broker.core.access.tokens import (
    ALGORITHMS,
    TokenRefused,
    TokenRules,
    UnusableKeys,
    VerifyingKey,
    key_from_pem,
    keys_from_jwks,
)
from broker.server.clock import Clock
from broker.server.listener import reason
from broker.server.refusals import KeysWanted, OAuth2Error

log = structlog.get_logger("leveret.oauth2")

FETCH_S: Final = 8.0
"""How long an answer may take; less than a handshake may."""
PAUSE_MS: Final = 10_000
"""Least time between two fetches."""
STALE_MS: Final = 3_600_000
"""Age from which keys are fetched again, so that one that is withdrawn does not count for ever."""
KEY_SET_OCTETS_MAX: Final = 1 << 20
DISCOVERY: Final = "/.well-known/openid-configuration"


class SigningKeys:
    """The keys by id. ``rules`` is how the settings have tokens read."""

    def __init__(self, settings: Settings, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        """Read the files. Raises OAuth2Error."""
        self.rules = rules_of(settings)
        self._settings = settings
        self._clock = clock
        self._loop = loop
        self._url = settings.oauth2_jwks_url or settings.oauth2_issuer
        self._from_files = keys_of_files(settings)
        self._fetched: Mapping[str, VerifyingKey] = {}
        self._fetched_ms: int | None = None
        self._tried_ms: int | None = None
        self._waiting: list[Callable[[], object]] = []
        self._is_fetching = False

    def reload(self, then: Callable[[], object]) -> None:
        """Read the files again, have the key set fetched, then call ``then``.

        Raises OAuth2Error, and then the old keys stay.
        """
        self._from_files = keys_of_files(self._settings)
        if self._url:
            self.fetch(then)
        else:
            then()

    def key(self, kid: str | None) -> VerifyingKey:
        """Return a token's key. Raises TokenRefused where there is none, KeysWanted where a fetch may bring it."""
        found = self._find(kid)
        if not self._url:
            if found is None:
                raise TokenRefused("its key is not known")
            return found
        now_ms = self._clock.monotonic_ms()
        if found is None:
            may_fetch = self._tried_ms is None or now_ms - self._tried_ms >= PAUSE_MS
            if self._is_fetching or may_fetch:
                raise KeysWanted
            raise TokenRefused("its key is not known")
        is_stale = self._fetched_ms is not None and now_ms - self._fetched_ms >= STALE_MS
        if is_stale and self._tried_ms is not None and now_ms - self._tried_ms >= PAUSE_MS:
            self.fetch(_nothing)
        return found

    def _find(self, kid: str | None) -> VerifyingKey | None:
        keys = {**self._from_files, **self._fetched}
        if kid is None:
            kid = self._settings.oauth2_default_key
            if not kid and len(keys) == 1:
                return next(iter(keys.values()))
        return keys.get(kid)

    def fetch(self, then: Callable[[], object]) -> None:
        """Fetch the key set and call ``then``, whatever has come of it; in a thread, and one at a time."""
        self._waiting.append(then)
        if not self._is_fetching:
            self._is_fetching = True
            self._loop.run_in_executor(None, self._fetch_in_thread)

    def _fetch_in_thread(self) -> None:
        keys: Mapping[str, VerifyingKey] | None = None
        problem = ""
        try:
            keys = keys_from_jwks(downloaded(self._key_set_url(), self._settings.oauth2_ca))
        except UnusableKeys as error:
            problem = str(error)
        except (OSError, ValueError, HTTPException, RecursionError) as error:
            problem = reason(error)
        self._loop.call_soon_threadsafe(self._take, keys, problem)

    def _key_set_url(self) -> str:
        """Return where the key set is, which an issuer says itself. Raises OSError, ValueError."""
        settings = self._settings
        if settings.oauth2_jwks_url:
            return settings.oauth2_jwks_url
        described: Any = json.loads(downloaded(settings.oauth2_issuer.rstrip("/") + DISCOVERY, settings.oauth2_ca))
        url = described.get("jwks_uri") if isinstance(described, dict) else None
        if not isinstance(url, str) or not url.startswith("https://"):
            raise ValueError("the issuer names no jwks_uri that begins with https://")
        return url

    def _take(self, keys: Mapping[str, VerifyingKey] | None, problem: str) -> None:
        self._is_fetching = False
        self._tried_ms = self._clock.monotonic_ms()
        place = urlsplit(self._url).hostname or "a file"
        if keys is None:
            log.error("signing keys were not fetched", place=place, error=problem)
        else:
            self._fetched, self._fetched_ms = keys, self._tried_ms
            log.info("signing keys are fetched", place=place, count=len(keys))
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then()


def _nothing() -> None:
    """What is done after a fetch that nobody waits for."""


def rules_of(settings: Settings) -> TokenRules:
    """Return how the settings have tokens read. Raises OAuth2Error."""
    ours = settings.oauth2_resource_server_id
    if not ours and settings.oauth2_verify_aud == "yes":
        raise OAuth2Error("oauth2_resource_server_id: there is none, so no token can be for this broker")
    if settings.oauth2_scope_prefix is None and not ours:
        raise OAuth2Error("oauth2_scope_prefix: neither it nor oauth2_resource_server_id is set")
    unknown = [each for each in settings.oauth2_algorithms if each not in ALGORITHMS]
    if unknown:
        raise OAuth2Error(f"oauth2_algorithms: {unknown[0]!r} is none of {', '.join(ALGORITHMS)}")
    aliases = (alias.partition("=") for alias in settings.oauth2_scope_aliases)
    prefix = settings.oauth2_scope_prefix
    return TokenRules(
        resource_server_id=ours,
        scope_prefix=f"{ours}." if prefix is None else prefix,
        scope_aliases={name.strip(): tuple(meant.split()) for name, _, meant in aliases},
        additional_scopes_key=settings.oauth2_additional_scopes_key,
        preferred_username_claims=settings.oauth2_preferred_username_claims,
        algorithms=settings.oauth2_algorithms,
        verifies_audience=settings.oauth2_verify_aud == "yes",
    )


def keys_of_files(settings: Settings) -> dict[str, VerifyingKey]:
    """Return the keys whose files are in the settings, by id. Raises OAuth2Error."""
    if not (settings.oauth2_signing_keys or settings.oauth2_jwks_url or settings.oauth2_issuer):
        raise OAuth2Error("oauth2_signing_keys: there are none, and no oauth2_jwks_url or oauth2_issuer to get them of")
    keys: dict[str, VerifyingKey] = {}
    for pair in settings.oauth2_signing_keys:
        kid, _, file = pair.partition("=")
        try:
            keys[kid.strip()] = key_from_pem(Path(file.strip()).read_bytes())
        except OSError as error:
            raise OAuth2Error(f"oauth2_signing_keys: cannot read {file!r} ({reason(error)})") from None
        except UnusableKeys as error:
            raise OAuth2Error(f"oauth2_signing_keys: {file!r}: {error}") from None
    return keys


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """Follows a redirection to https only."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith("https://"):
            raise ValueError("it redirects to where https:// is not spoken")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def downloaded(url: str, authorities: Path | None) -> bytes:
    """Return what is at an https or file URL. Raises OSError, ValueError."""
    if url.startswith("file://"):
        return Path(urllib.request.url2pathname(urlsplit(url).path)).read_bytes()
    context = ssl.create_default_context(cafile=None if authorities is None else str(authorities))
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _SameScheme)
    with opener.open(url, timeout=FETCH_S) as response:
        octets: bytes = response.read(KEY_SET_OCTETS_MAX + 1)
    if len(octets) > KEY_SET_OCTETS_MAX:
        raise ValueError(f"there are more than {KEY_SET_OCTETS_MAX} octets")
    return octets
