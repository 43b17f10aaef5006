"""Tokens for tests, and who issues them: keys in files and as a key set."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

OURS = "rabbitmq"
ALL = tuple(f"rabbitmq.{right}:*/*" for right in ("configure", "write", "read"))


_keys: dict[str, rsa.RSAPrivateKey] = {}


def rsa_key(name: str = "") -> rsa.RSAPrivateKey:
    """Return the key of a name, always the same: making one takes long."""
    if name not in _keys:
        _keys[name] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return _keys[name]


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def ed_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def public_pem(key: Any) -> bytes:
    octets: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return octets


def key_set(**keys: rsa.RSAPrivateKey) -> bytes:
    """Return a JSON Web Key Set of RSA keys by id."""
    entries = [
        {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}
        for kid, key in keys.items()
    ]
    return json.dumps({"keys": entries}).encode()


def signed(claims: dict[str, Any], key: Any, algorithm: str = "RS256", kid: str | None = "k1") -> str:
    return jwt.encode(claims, key, algorithm, headers={} if kid is None else {"kid": kid})


def token(
    *scopes: str, user: str = "alice", seconds: float = 600, kid: str | None = "k1", name: str = "", **claims: Any
) -> str:
    """Return a token of ``user`` for the scopes, good for ``seconds``, signed by the key of ``name``."""
    facts = {"aud": OURS, "sub": user, "scope": list(scopes or ALL), "exp": time.time() + seconds, **claims}
    return signed({key: value for key, value in facts.items() if value is not None}, rsa_key(name), kid=kid)


def public_key_file(directory: Path) -> Path:
    """Return a PEM file with the public key that ``token`` signs for."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "issuer.pem"
    file.write_bytes(public_pem(rsa_key()))
    return file
