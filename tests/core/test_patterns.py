"""Patterns of permissions mean what PCRE makes of them, by octets and unanchored."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.access.errors import InvalidPattern
from broker.core.access.patterns import compile_pattern

# Answers of Erlang's re:run(Name, Pattern, [{capture, none}]).
CASES = [
    ("", "", True),
    ("", "q", False),
    (".*", "", True),
    ("q", "a queue", True),
    ("^q", "a queue", False),
    ("^q$", "q", True),
    ("^q$", "q\n", True),
    (r"^q\z", "q\n", False),
    (r"^q\Z", "q\n", True),
    ("^amq.gen.*", "amq.gen-x", True),
    ("^(amq\\.gen.*|amq\\.default)$", "amq.default", True),
    ("^.$", "é", False),  # Two octets.
    ("^..$", "é", True),
    (r"^\w$", "é", False),
    (r"^\w", "é", True),  # Its first octet is a letter in Latin-1.
    ("^[[:alpha:]]", "é", True),
    (r"^[\w.]", "é", True),
    (r"\bé", "-é", True),
    (r"\Bé", "-é", False),
    (r"a\E", "a", True),
    (r"^\W$", "-", True),
    (r"^[\W]$", "-", True),
    ("é", "café", True),
    ("[[:alpha:]]+[0-9]", "a1", True),
    ("^[[:upper:][:digit:]]+$", "A1", True),
    ("^[[:^digit:]]+$", "abc", True),
    ("^[[:^digit:]]+$", "a1", False),
    ("^[]a]+$", "]a", True),
    ("^[^]a]+$", "b", True),
    ("^[^]a]+$", "]", False),
    ("^a[[]b$", "a[b", True),
    (r"^\Qa.b\E.$", "a.bc", True),
    (r"^\Qa.b\E", "axb", False),
    (r"^\Qa.b", "a.b", True),
    ("^(?<x>a)(?P=x)$", "aa", True),
    (r"^\x{41}$", "A", True),
    (r"^\h$", "\t", True),
    ("(?i)QUEUE", "queue", True),
    ("^(?:ab)++c", "ababc", True),
    ("(?<=a)b", "ab", True),
    ("^[a&&b]$", "&", True),
    ("a{,3}", "a{,3}", True),
    ("a{,3}", "aa", False),
    (r"^\e$", "\x1b", True),
    (r"^\R$", "\r\n", True),
    (r"^\N+$", "ab", True),
    (r"^a#b$", "a#b", True),
    ("^(a|b)*?c", "abc", True),
    ("^[a-c[:digit:]_-]+$", "b1_-", True),
    (r"^[\w.]+$", "a.b_1", True),
    (r"^[\]]$", "]", True),
    (r"^[^\n]$", "\n", False),
    ("(?<!a)b", "ab", False),
    ("^a$", "A", False),
    ("(?#comment)a", "a", True),
    ("^(a)?b\\1$", "ab", False),
    ("^.+$", "a\nb", False),
    ("^a+$", "aé", False),
    ("]", "]", True),
]


@pytest.mark.parametrize(("pattern", "name", "is_found"), CASES)
def test_pattern_is_found_where_pcre_finds_it(pattern: str, name: str, is_found: bool) -> None:
    assert (compile_pattern(pattern).search(name.encode()) is not None) == is_found


@pytest.mark.parametrize("pattern", ["*", "(", "[a", "a{3,2}", "[[:nothing:]]", r"(?P=none)"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidPattern) as raised:
        compile_pattern(pattern)
    assert raised.value.pattern == pattern
    assert raised.value.reason


@given(st.text(alphabet="a[]^:dx\\{}()?<>QE*.-|hZz&~#", max_size=24))
def test_any_text_is_a_pattern_or_refused(pattern: str) -> None:
    with suppress(InvalidPattern):
        compile_pattern(pattern).search(b"a queue")
