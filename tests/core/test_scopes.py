"""Scopes as rights: what patterns stand for, and what grants nothing."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.access.access import DEFAULT_EXCHANGE_NAME
from broker.core.access.scopes import Grant, Wildcard


def grant(*scopes: str, **claims: str) -> Grant:
    return Grant("alice", scopes, None, claims)


@pytest.mark.parametrize(
    ("pattern", "text", "is_match"),
    [
        ("*", "", True),
        ("*", "any thing/at all", True),
        ("", "", True),
        ("", "x", False),
        ("foo", "foo", True),
        ("foo", "Foo", False),
        ("foo", "foos", False),
        ("foo*", "foo", True),
        ("foo*", "fo", False),
        ("*foo", "foofoo", True),
        ("foo*bar", "foobar", True),
        ("foo*ob", "foob", False),
        ("*a*b*", "xbxa", False),
        ("*a*b*", "a-b", True),
        ("a**b", "ab", True),
        ("%2F", "/", True),
        ("%2a", "*", True),
        ("%2a", "x", False),
        ("a+b", "a b", True),
        ("caf%C3%A9", "café", True),
    ],
)
@pytest.mark.spec("RabbitMQ: OAuth 2.0, Scope-to-Permission Translation")
def test_pattern_stands_for_texts(pattern: str, text: str, is_match: bool) -> None:
    assert Wildcard(pattern).matches(text.encode()) is is_match


@settings(deadline=None)
@given(pattern=st.text("ab*", max_size=8), text=st.text("ab", max_size=10))
def test_pattern_stands_for_what_the_same_regular_expression_finds(pattern: str, text: str) -> None:
    expected = re.fullmatch(pattern.replace("*", ".*"), text) is not None
    assert Wildcard(pattern).matches(text.encode()) is expected


def test_pattern_of_many_wildcards_takes_no_long_time() -> None:
    assert not Wildcard("*a" * 500 + "b").matches(b"a" * 20_000)


def test_right_is_for_one_thing_in_one_virtual_host() -> None:
    granted = grant("read:%2F/orders-*", "write:shop*/*")
    assert granted.allows("read", "/", "orders-eu")
    assert not granted.allows("write", "/", "orders-eu")
    assert not granted.allows("read", "/", "other")
    assert not granted.allows("read", "shop", "orders-eu")
    assert granted.allows("write", "shop1", DEFAULT_EXCHANGE_NAME)
    assert [granted.may_enter(vhost) for vhost in ("/", "shop", "other")] == [True, True, False]


def test_routing_keys_need_a_scope_that_names_them() -> None:
    granted = grant("write:*/*", "write:*/t*/eu.*")
    assert granted.allows("write", "/", "topic")
    assert granted.allows_topic("write", "/", "topic", "eu.1")
    assert not granted.allows_topic("write", "/", "topic", "us.1")
    assert not granted.allows_topic("write", "/", "other", "eu.1")
    assert not granted.allows_topic("read", "/", "topic", "eu.1")
    assert not grant("write:*/*").allows_topic("write", "/", "topic", "eu.1")


def test_variables_stand_for_claims_and_cannot_widen_a_scope() -> None:
    granted = grant("write:*/{vhost}-{sub}/u.{sub}.*", sub="bob")
    assert granted.allows("write", "prod", "prod-bob")
    assert not granted.allows("write", "test", "prod-bob")
    assert granted.allows_topic("write", "prod", "prod-bob", "u.bob.1")
    for wide in ("*", "*/*", "x/*/*", "%2a"):
        sly = grant("read:*/{sub}", sub=wide)
        assert sly.allows("read", "/", wide)
        assert not sly.allows("read", "/", "other")
    assert not grant("read:*/{unknown}*").may_enter("/")


@pytest.mark.parametrize(
    "scope",
    ["", "read", "read:", "read:*", "delete:*/*", "read:*/*/*/*", "read:%zz/*", "read:*/%", "Read:*/*"],
)
def test_what_is_no_scope_grants_nothing(scope: str) -> None:
    granted = grant(scope)
    assert not granted.may_enter("/")
    assert not any(granted.allows(right, "/", "q") for right in ("configure", "read", "write"))


def test_tags_are_scopes_too() -> None:
    assert grant("tag:monitoring", "tag:administrator", "tag:", "read:*/*").tags == ("administrator", "monitoring")


def test_what_a_token_says_is_not_shown() -> None:
    assert "sekret" not in repr(grant("read:sekret/*", email="sekret"))
