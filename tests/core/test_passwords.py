"""Hashes are RabbitMQ's, and only the right password fits."""

import hashlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.access.errors import Unacceptable
from broker.core.access.passwords import ALGORITHMS, DEFAULT_ALGORITHM, check_hash, hash_password, is_password

SALT = bytes.fromhex("908dc60a")


@pytest.mark.spec("RabbitMQ: Credentials and Passwords, Computing Password Hash")
def test_hash_of_rabbitmqs_own_example() -> None:
    assert hash_password(b"test12", salt=SALT) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        ("rabbit_password_hashing_sha256", hashlib.sha256),
        ("rabbit_password_hashing_sha512", hashlib.sha512),
        ("rabbit_password_hashing_md5", hashlib.md5),
    ],
)
def test_hash_is_of_salt_and_password_behind_the_salt(algorithm: str, digest: object) -> None:
    assert callable(digest)
    wanted = b64encode(SALT + digest(SALT + b"pw").digest()).decode()
    assert hash_password(b"pw", algorithm, SALT) == wanted
    assert is_password(b"pw", wanted, algorithm)


@given(password=st.binary(), other=st.binary(), algorithm=st.sampled_from(sorted(ALGORITHMS)))
def test_only_the_password_fits_its_hash(password: bytes, other: bytes, algorithm: str) -> None:
    hashed = hash_password(password, algorithm)
    check_hash(hashed, algorithm)
    assert is_password(password, hashed, algorithm)
    assert is_password(other, hashed, algorithm) == (password == other)


def test_salt_differs_from_hash_to_hash() -> None:
    assert len({hash_password(b"pw") for _ in range(8)}) > 1


@pytest.mark.parametrize("text", ["guess?me", "AAAA", hash_password(b"x", "rabbit_password_hashing_md5")])
def test_what_is_no_hash_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(Unacceptable) as raised:
        check_hash(text, DEFAULT_ALGORITHM)
    assert text not in str(raised.value)


def test_unknown_algorithm_is_refused() -> None:
    with pytest.raises(Unacceptable, match="hashing algorithm 'bcrypt' is not one of"):
        hash_password(b"pw", "bcrypt")
