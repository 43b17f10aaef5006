"""Passwords as RabbitMQ keeps them: 4 octets of salt and the hash of salt and password, in Base64.

So users move between RabbitMQ and Leveret with their definitions. A hash proves nothing to who has it but is quickly
guessed for a weak password: definitions and data directory are for the operator's eyes only.
RabbitMQ: Credentials and Passwords.
"""

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from broker.core.access.errors import Unacceptable

SALT_OCTETS: Final = 4
DEFAULT_ALGORITHM: Final = "rabbit_password_hashing_sha256"

ALGORITHMS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    DEFAULT_ALGORITHM: hashlib.sha256,
    "rabbit_password_hashing_sha512": hashlib.sha512,
    # RabbitMQ 3.5 and older; whoever brings such hashes along may log in still.
    "rabbit_password_hashing_md5": lambda octets: hashlib.md5(octets, usedforsecurity=False),
}


def hash_password(password: bytes, algorithm: str = DEFAULT_ALGORITHM, salt: bytes | None = None) -> str:
    """Return ``password`` as definitions hold it; with 4 random octets of salt unless they are given.

    Raises Unacceptable for an algorithm that is not known.
    """
    salt = secrets.token_bytes(SALT_OCTETS) if salt is None else salt
    return b64encode(salt + _hash(algorithm)(salt + password).digest()).decode("ascii")


def check_hash(password_hash: str, algorithm: str) -> None:
    """Raise Unacceptable for what cannot be the hash of any password; "" is the hash of none, so nobody logs in."""
    size = SALT_OCTETS + _hash(algorithm)(b"").digest_size
    if password_hash and len(_octets(password_hash)) != size:
        raise Unacceptable(f"password_hash is not {size} octets in Base64, as {algorithm} gives them")


def is_password(password: bytes, password_hash: str, algorithm: str) -> bool:
    """Whether ``password`` is the one that was hashed. Takes the same time for whatever is wrong with it."""
    octets = _octets(password_hash)
    salt, wanted = octets[:SALT_OCTETS], octets[SALT_OCTETS:]
    given = _hash(algorithm)(salt + password).digest()
    return hmac.compare_digest(given, wanted)


def _hash(algorithm: str) -> Callable[[bytes], Any]:
    found = ALGORITHMS.get(algorithm)
    if found is None:
        raise Unacceptable(f"hashing algorithm '{algorithm}' is not one of {', '.join(ALGORITHMS)}")
    return found


@lru_cache(maxsize=64)
def _octets(password_hash: str) -> bytes:
    try:
        return b64decode(password_hash, validate=True)
    except ValueError:
        raise Unacceptable("password_hash is not Base64") from None
