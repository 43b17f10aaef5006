"""JSON Web Tokens as logins: whether one is good, and what it grants. PyJWT does the cryptography.

Imported by who lets in by tokens only, for what it loads. Keys and time are given to it. No error that leaves this
file has anything of a token or a key in it. RFC 7519; RabbitMQ: OAuth 2.0 Authentication Backend.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from broker.core.access.scopes import SCOPE_COUNT_MAX, Grant

EARLY_MS: Final = 60_000
"""How much later than ours the issuer's clock may be, for ``nbf``."""

USER_CLAIMS: Final = ("sub", "client_id")
"""Where the user's name is looked for last."""
NAMELESS: Final = "unknown"

RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
ELLIPTIC: Final = ("ES256", "ES384", "ES512", "ES256K")
EDWARDS: Final = ("EdDSA",)
SYMMETRIC: Final = ("HS256", "HS384", "HS512")
BY_KEY_TYPE: Final = {"RSA": RSA, "EC": ELLIPTIC, "OKP": EDWARDS, "oct": SYMMETRIC}
ALGORITHMS: Final = RSA + ELLIPTIC + EDWARDS + SYMMETRIC

# All is checked here, with the one clock and RabbitMQ's reading of ``aud``; PyJWT checks the signature.
_SIGNATURE_ONLY: Final = dict.fromkeys(
    ("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss", "verify_sub", "verify_jti"), False
)


class TokenRefused(Exception):
    """A token that lets nobody in; the text says why, for the log."""


class UnusableKeys(Exception):
    """Octets that no key can be made of."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A key, and the algorithms that it may be used with: never those of another kind of key. RFC 8725, 3.1."""

    key: Any = field(repr=False)
    algorithms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TokenRules:
    """How this node reads tokens; fields as RabbitMQ's settings. No ``algorithms`` are all that a key is made for."""

    resource_server_id: str
    scope_prefix: str
    scope_aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    additional_scopes_key: str = ""
    preferred_username_claims: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ()
    verifies_audience: bool = True


def key_from_pem(octets: bytes) -> VerifyingKey:
    """Return the key of a PEM file: a public key, or a certificate's. Raises UnusableKeys."""
    try:
        if b"BEGIN CERTIFICATE" in octets:
            key: object = x509.load_pem_x509_certificate(octets).public_key()
        else:
            key = load_pem_public_key(octets)
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableKeys("it is neither a public key nor a certificate in PEM") from None
    if isinstance(key, RSAPublicKey):
        return VerifyingKey(key, RSA)
    if isinstance(key, EllipticCurvePublicKey):
        return VerifyingKey(key, ELLIPTIC)
    if isinstance(key, Ed25519PublicKey | Ed448PublicKey):
        return VerifyingKey(key, EDWARDS)
    raise UnusableKeys("it is a key of another kind than RSA, EC and EdDSA")


def keys_from_jwks(octets: bytes) -> dict[str, VerifyingKey]:
    """Return the keys of a JSON Web Key Set by id, without those that are for other things. Raises UnusableKeys."""
    try:
        listed = json.loads(octets)["keys"]
        entries = [entry for entry in listed if isinstance(entry, dict)]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise UnusableKeys("it is not a JSON Web Key Set") from None
    keys: dict[str, VerifyingKey] = {}
    for entry in entries:
        if entry.get("use", "sig") != "sig":
            continue
        algorithms = BY_KEY_TYPE.get(str(entry.get("kty")), ())
        wanted = entry.get("alg")
        if wanted is not None:
            algorithms = tuple(each for each in algorithms if each == wanted)
        if not algorithms:
            continue
        try:
            made = jwt.PyJWK(entry, algorithms[0] if wanted is not None else None)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue  # PyJWT's text holds the key. Another of the set may be good.
        keys[str(entry.get("kid", ""))] = VerifyingKey(made.key, algorithms)
    return keys


def key_id(token: str) -> str | None:
    """Return the id of the key that a token says it is signed with, None where it does not. Raises TokenRefused."""
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise TokenRefused("it is no JSON Web Token") from None
    return kid if isinstance(kid, str) else None


def granted(token: str, key: VerifyingKey, rules: TokenRules, now_ms: int) -> Grant:
    """Check a token and return what it grants. Raises TokenRefused."""
    allowed = [each for each in key.algorithms if not rules.algorithms or each in rules.algorithms]
    if not allowed:
        raise TokenRefused("its key's algorithms are not allowed")
    try:
        claims = jwt.decode(token, key.key, algorithms=allowed, options=_SIGNATURE_ONLY)  # type: ignore[arg-type]
    except jwt.InvalidSignatureError:
        raise TokenRefused("its signature is wrong") from None
    except jwt.InvalidAlgorithmError:
        raise TokenRefused("its algorithm is not allowed, or not for its key") from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise TokenRefused("it is no JSON Web Token") from None
    expires_ms = _time_ms(claims, "exp")
    if expires_ms is not None and expires_ms <= now_ms:
        raise TokenRefused("it has expired")
    begins_ms = _time_ms(claims, "nbf")
    if begins_ms is not None and begins_ms > now_ms + EARLY_MS:
        raise TokenRefused("it is not valid yet")
    if rules.verifies_audience and rules.resource_server_id not in _words(claims.get("aud")):
        raise TokenRefused("it is for another audience")
    texts = {name: value for name, value in claims.items() if isinstance(value, str)}
    names = (texts.get(claim) for claim in (*rules.preferred_username_claims, *USER_CLAIMS))
    return Grant(next((name for name in names if name), NAMELESS), _scopes(claims, rules), expires_ms, texts)


def _time_ms(claims: Mapping[str, Any], name: str) -> int | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TokenRefused(f"its {name} is no time")
    return int(value) * 1000


def _words(value: object) -> list[str]:
    """Return a claim that is a text of words, or a list of them."""
    if isinstance(value, str):
        return value.split()
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _scopes(claims: Mapping[str, Any], rules: TokenRules) -> tuple[str, ...]:
    """Return all scopes that are this node's, without the prefix. Raises TokenRefused for too many."""
    scopes = _words(claims.get("scope"))
    for path in ("authorization.permissions.scopes", *rules.additional_scopes_key.split()):
        for value in _values_at(claims, path.split(".")):
            if isinstance(value, dict):
                own = _words(value.get(rules.resource_server_id))
                scopes += (f"{rules.resource_server_id}.{each}" for each in own)
            else:
                scopes += _words(value)
    scopes += [meant for scope in scopes for meant in rules.scope_aliases.get(scope, ())]
    prefix = rules.scope_prefix
    ours = tuple(dict.fromkeys(scope.removeprefix(prefix) for scope in scopes if scope.startswith(prefix)))
    if len(ours) > SCOPE_COUNT_MAX:
        raise TokenRefused(f"it has more than {SCOPE_COUNT_MAX} scopes")
    return ours


def _values_at(value: object, path: list[str]) -> Iterable[object]:
    """Yield what is at a path of keys; a list on the way stands for each of what is in it."""
    if not path:
        yield value
    elif isinstance(value, dict):
        if path[0] in value:
            yield from _values_at(value[path[0]], path[1:])
    elif isinstance(value, list):
        for each in value:
            yield from _values_at(each, path)
