"""Passwords hashed here, as definitions hold them: no broker is asked, and no proxy's log gets to know one.

RabbitMQ: Credentials and Passwords.
"""

import base64
import hashlib
import secrets
from typing import Final

from broker.control.failures import Failure

SALT_OCTETS: Final = 4
ALGORITHMS: Final = {"SHA256": hashlib.sha256, "SHA512": hashlib.sha512}


def salted_hash(password: str, algorithm: str = "SHA256") -> str:
    """Return 4 random octets of salt and the hash of salt and password, in Base64. Raises Failure (1)."""
    found = ALGORITHMS.get(algorithm.upper())
    if found is None:
        raise Failure(1, f"there is no hashing algorithm {algorithm}; there are {', '.join(ALGORITHMS)}")
    salt = secrets.token_bytes(SALT_OCTETS)
    return base64.b64encode(salt + found(salt + password.encode()).digest()).decode("ascii")
