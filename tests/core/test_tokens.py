"""Tokens: which are good, whose they are, and which scopes they bring."""

import base64
import hashlib
import hmac
import json
from contextlib import suppress
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.access.scopes import SCOPE_COUNT_MAX, Grant
from broker.core.access.tokens import (
    TokenRefused,
    TokenRules,
    UnusableKeys,
    VerifyingKey,
    granted,
    key_from_pem,
    key_id,
    keys_from_jwks,
)
from tests.tokens import OURS, ec_key, ed_key, key_set, public_pem, rsa_key, signed

NOW_MS = 1_700_000_000_000
NOW_S = NOW_MS // 1000
RULES = TokenRules(OURS, f"{OURS}.")


def claims(**changes: Any) -> dict[str, Any]:
    facts = {"aud": OURS, "sub": "alice", "exp": NOW_S + 60, "scope": "rabbitmq.read:*/*", **changes}
    return {name: value for name, value in facts.items() if value is not None}


def checked(rules: TokenRules = RULES, **changes: Any) -> Grant:
    return granted(signed(claims(**changes), rsa_key()), key_from_pem(public_pem(rsa_key())), rules, NOW_MS)


def refusal(text: str, key: VerifyingKey | None = None, rules: TokenRules = RULES) -> str:
    with pytest.raises(TokenRefused) as refused:
        granted(text, key or key_from_pem(public_pem(rsa_key())), rules, NOW_MS)
    return str(refused.value)


def test_good_token_grants_its_scopes_to_its_subject_until_it_expires() -> None:
    grant = checked(scope="rabbitmq.read:*/* other.write:*/* rabbitmq.tag:management write:*/*")
    assert grant.user == "alice"
    assert grant.scopes == ("read:*/*", "tag:management")
    assert grant.expires_ms == NOW_MS + 60_000


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [("RS256", rsa_key()), ("RS512", rsa_key()), ("PS384", rsa_key()), ("ES256", ec_key()), ("EdDSA", ed_key())],
)
def test_each_algorithm_of_a_key_is_understood(algorithm: str, key: Any) -> None:
    text = signed(claims(), key, algorithm)
    assert granted(text, key_from_pem(public_pem(key)), RULES, NOW_MS).user == "alice"


def test_public_key_is_never_taken_for_a_shared_secret() -> None:
    head, body = (encoded(part) for part in ({"alg": "HS256", "typ": "JWT"}, claims()))
    secret = public_pem(rsa_key())
    mac = hmac.new(secret, head + b"." + body, hashlib.sha256).digest()
    forged = b".".join((head, body, base64.urlsafe_b64encode(mac).rstrip(b"="))).decode()
    assert refusal(forged) == "its algorithm is not allowed, or not for its key"


def encoded(part: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")


def test_unsigned_token_is_refused() -> None:
    unsigned = jwt.encode(claims(), "", "none")
    assert refusal(unsigned) == "its algorithm is not allowed, or not for its key"


def test_algorithm_that_the_settings_leave_out_is_refused() -> None:
    rules = TokenRules(OURS, "", algorithms=("RS512",))
    assert refusal(signed(claims(), rsa_key()), rules=rules) == "its algorithm is not allowed, or not for its key"
    assert granted(signed(claims(), rsa_key(), "RS512"), key_from_pem(public_pem(rsa_key())), rules, NOW_MS)
    elliptic = key_from_pem(public_pem(ec_key()))
    assert refusal(signed(claims(), rsa_key()), elliptic, rules) == "its key's algorithms are not allowed"


def test_signature_of_another_key_is_refused() -> None:
    assert refusal(signed(claims(), rsa_key("other"))) == "its signature is wrong"


@pytest.mark.parametrize("text", ["", "..", "a.b.c", "abc", "é.é.é", "e30.e30.", "." * 1000, "bnVsbA.bnVsbA.bnVsbA"])
def test_what_is_no_token_is_refused(text: str) -> None:
    assert refusal(text)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": NOW_S - 1}, "it has expired"),
        ({"exp": NOW_S}, "it has expired"),
        ({"exp": True}, "its exp is no time"),
        ({"exp": "tomorrow"}, "its exp is no time"),
        ({"exp": float("inf")}, "its exp is no time"),
        ({"nbf": NOW_S + 3600}, "it is not valid yet"),
        ({"aud": "other"}, "it is for another audience"),
        ({"aud": ["other", 5]}, "it is for another audience"),
        ({"aud": None}, "it is for another audience"),
        ({"scope": [f"rabbitmq.read:*/{i}" for i in range(SCOPE_COUNT_MAX + 1)]}, "it has more than 2048 scopes"),
    ],
)
def test_token_that_is_not_for_here_and_now_is_refused(changes: dict[str, Any], reason: str) -> None:
    assert refusal(signed(claims(**changes), rsa_key())) == reason


@pytest.mark.parametrize("aud", [OURS, [OURS, "other"], f"other {OURS}"])
def test_audience_may_be_one_of_several(aud: object) -> None:
    assert checked(aud=aud).user == "alice"


def test_audience_counts_only_where_it_is_to() -> None:
    assert checked(TokenRules(OURS, "", verifies_audience=False), aud="other").user == "alice"


def test_token_without_expiry_is_good_for_ever() -> None:
    assert checked(exp=None).expires_ms is None


@pytest.mark.parametrize(
    ("changes", "user"),
    [
        ({}, "alice"),
        ({"client_id": "app"}, "alice"),
        ({"sub": None, "client_id": "app"}, "app"),
        ({"sub": None}, "unknown"),
        ({"email": "a@example.com"}, "a@example.com"),
        ({"email": ["a"], "name": "Ann"}, "Ann"),
        ({"email": ""}, "alice"),
    ],
)
def test_user_is_named_by_the_first_claim_there_is(changes: dict[str, Any], user: str) -> None:
    rules = TokenRules(OURS, "", preferred_username_claims=("email", "name"))
    assert checked(rules, **changes).user == user


@pytest.mark.parametrize(
    ("extra", "scopes"),
    [
        ("rabbitmq.write:a/* x", ("write:a/*",)),
        (["rabbitmq.write:a/*", 7], ("write:a/*",)),
        ({"rabbitmq": "write:a/* read:b/*", "other": "read:*/*"}, ("write:a/*", "read:b/*")),
        ({"rabbitmq": ["write:a/*"]}, ("write:a/*",)),
        (7, ()),
    ],
)
def test_scopes_of_other_claims(extra: object, scopes: tuple[str, ...]) -> None:
    rules = TokenRules(OURS, "rabbitmq.", additional_scopes_key="extra deep.er")
    assert checked(rules, scope=None, extra=extra).scopes == scopes
    assert checked(rules, scope=None, deep=[{"er": extra}, {"x": 1}, 5]).scopes == scopes


def test_scopes_of_a_requesting_party_token() -> None:
    permissions = [{"scopes": ["rabbitmq.read:a/*"], "rsid": 1}, {"scopes": ["rabbitmq.write:a/*"]}, {}]
    assert checked(scope=None, authorization={"permissions": permissions}).scopes == ("read:a/*", "write:a/*")


def test_aliases_stand_for_scopes() -> None:
    rules = TokenRules(OURS, "api://", scope_aliases={"admin": ("api://tag:administrator", "api://read:*/*")})
    assert checked(rules, scope="admin api://write:x/*").scopes == ("write:x/*", "tag:administrator", "read:*/*")


def test_empty_prefix_is_none() -> None:
    assert checked(TokenRules(OURS, ""), scope="read:*/*").scopes == ("read:*/*",)


def test_refusals_have_nothing_of_the_token_in_them() -> None:
    text = signed(claims(sub="sekret", aud="sekret"), rsa_key(), kid="sekret")
    assert "sekret" not in refusal(text)
    assert not any(part in refusal(text[:-4] + "AAAA") for part in text.split("."))


# Keys


def test_key_set_has_the_keys_that_verify() -> None:
    described = json.loads(key_set(one=rsa_key(), two=rsa_key("two")))
    described["keys"] += [
        {"kty": "RSA", "kid": "for encryption", "use": "enc", "n": "AQAB", "e": "AQAB"},
        {"kty": "quantum", "kid": "strange"},
        {"kty": "RSA", "kid": "broken"},
        {"kty": "RSA", "alg": "none", "kid": "none"},
        {"kty": "oct", "kid": "shared", "k": "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA"},
        "no key",
    ]
    keys = keys_from_jwks(json.dumps(described).encode())
    assert sorted(keys) == ["one", "shared", "two"]
    assert keys["shared"].algorithms == ("HS256", "HS384", "HS512")
    assert granted(signed(claims(), rsa_key("two")), keys["two"], RULES, NOW_MS).user == "alice"
    assert "secret" not in repr(keys)


def test_key_may_be_for_one_algorithm_alone() -> None:
    described = json.loads(key_set(one=rsa_key()))
    described["keys"][0]["alg"] = "RS256"
    assert keys_from_jwks(json.dumps(described).encode())["one"].algorithms == ("RS256",)


@pytest.mark.parametrize("octets", [b"", b"{}", b"[]", b'{"keys":5}', b"\xff", b"[" * 100_000])
def test_what_is_no_key_set_is_refused(octets: bytes) -> None:
    with pytest.raises(UnusableKeys):
        keys_from_jwks(octets)


@pytest.mark.parametrize("octets", [b"", b"x", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_public_key_is_refused(octets: bytes) -> None:
    with pytest.raises(UnusableKeys):
        key_from_pem(octets)


def test_key_that_a_token_names() -> None:
    assert key_id(signed(claims(), rsa_key(), kid="k7")) == "k7"
    assert key_id(signed(claims(), rsa_key(), kid=None)) is None


# Whatever comes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
HEADERS = st.fixed_dictionaries({}, optional=dict.fromkeys(("alg", "typ", "kid", "crit", "b64", "jwk", "x5u"), JSON))
CLAIMS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("aud", "exp", "nbf", "scope", "sub", "extra", "authorization", "iat", "jti"), JSON)
)


@settings(deadline=None)
@given(text=st.text(max_size=60) | st.text("eyJ.ab-_=0", max_size=60))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    with suppress(TokenRefused):
        key_id(text)
    assert refusal(text)


@settings(deadline=None)
@given(head=HEADERS | JSON, body=CLAIMS | JSON)
def test_any_unsigned_token_is_refused(head: object, body: object) -> None:
    text = b".".join((encoded(head), encoded(body), b"AAAA")).decode()
    with suppress(TokenRefused):
        key_id(text)
    assert refusal(text)


SHARED = VerifyingKey(b"0123456789abcdef" * 4, ("HS256",))
ALL_RULES = TokenRules(OURS, "", {"a": ("read:*/*",)}, "extra scope.deep", ("jti",), verifies_audience=False)


@settings(deadline=None)
@given(body=CLAIMS)
def test_claims_of_any_type_grant_something_or_are_refused(body: dict[str, object]) -> None:
    head, claimed = encoded({"alg": "HS256"}), encoded(body)
    mac = hmac.new(SHARED.key, head + b"." + claimed, hashlib.sha256).digest()
    text = b".".join((head, claimed, base64.urlsafe_b64encode(mac).rstrip(b"="))).decode()
    with suppress(TokenRefused):
        grant = granted(text, SHARED, ALL_RULES, NOW_MS)
        assert grant.user
        assert all(isinstance(scope, str) for scope in grant.scopes)
        grant.may_enter("/")


KEYS = st.fixed_dictionaries({}, optional=dict.fromkeys(("kty", "kid", "n", "e", "k", "alg", "use", "crv"), JSON))


@settings(deadline=None)
@given(entries=st.lists(KEYS, max_size=4))
def test_keys_of_any_kind_are_taken_or_left_out(entries: list[object]) -> None:
    keys = keys_from_jwks(json.dumps({"keys": [*entries, {"kty": "RSA", "n": "AQAB", "e": 5}]}).encode())
    assert all(key.algorithms for key in keys.values())
