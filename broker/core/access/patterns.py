"""Regular expressions of permissions, as RabbitMQ reads them: found anywhere in a name, octet by octet.

RabbitMQ hands the UTF-8 octets of pattern and name to Erlang's ``re`` (PCRE); here Python's ``re`` does the same
work. What PCRE writes in another way is translated; what Python cannot do at all (recursion, ``\\K``, callouts) is
refused when the permission is set. RabbitMQ: Access Control, "How Permissions Work"; Erlang: re.
"""

import re
import warnings
from functools import lru_cache
from typing import Final

from broker.core.access.errors import InvalidPattern

NOTHING: Final = "^$"
"""What the empty pattern stands for: RabbitMQ lets it match no name but the empty one."""

_LETTERS: Final = r"A-Za-z\xaa\xb5\xba\xc0-\xd6\xd8-\xf6\xf8-\xff"
_WORD: Final = r"0-9_" + _LETTERS
"""Octets from 128 on count as Latin-1's characters in Erlang, whatever they are part of."""

_CLASSES: Final = {
    "alnum": "0-9" + _LETTERS,
    "alpha": _LETTERS,
    "ascii": r"\x00-\xff",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f-\x9f",
    "digit": "0-9",
    "graph": r"!-~\xa0-\xff",
    "lower": r"a-z\xaa\xb5\xba\xdf-\xf6\xf8-\xff",
    "print": r" -~\xa0-\xff",
    "punct": r"!-/:-@\[-`{-~\xa0-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\xd7\xf7",
    "space": r"\t-\r ",
    "upper": r"A-Z\xc0-\xd6\xd8-\xde",
    "word": _WORD,
    "xdigit": "0-9A-Fa-f",
}
"""What POSIX's names stand for, which PCRE knows within brackets. Erlang: re, "POSIX Character Classes"."""

_NOT_WORD: Final = r"\x00-/:-@\[-^`{-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\xd7\xf7"

_SET_ESCAPES: Final = {"w": _WORD, "W": _NOT_WORD, "h": r"\t \xa0", "v": r"\n-\r\x85", "e": r"\x1b", "E": ""}
"""Escapes within brackets that PCRE has and Python lacks, or reads in another way."""

_NEGATED: Final = {"digit": r"\D", "space": r"\S", "word": _NOT_WORD}

_ESCAPES: Final = {
    "w": f"[{_WORD}]",
    "W": f"[^{_WORD}]",
    "b": f"(?:(?<=[{_WORD}])(?![{_WORD}])|(?<![{_WORD}])(?=[{_WORD}]))",
    "B": f"(?:(?<=[{_WORD}])(?=[{_WORD}])|(?<![{_WORD}])(?![{_WORD}]))",
    "z": r"\Z",
    "Z": r"(?=\n?\Z)",
    "e": r"\x1b",
    "h": r"[\t \xa0]",
    "H": r"[^\t \xa0]",
    "v": r"[\n-\r\x85]",
    "V": r"[^\n-\r\x85]",
    "N": r"[^\n]",
    "R": r"(?:\r\n|[\n-\r\x85])",
    "G": r"\A",
    "E": "",
}
"""The same outside brackets."""

_OUTSIDE: Final = re.compile(
    r"\\Q(?P<literal>.*?)(?:\\E|\Z)"
    r"|\\x\{(?P<hex>[0-9A-Fa-f]{1,2})\}"
    r"|\\(?P<escape>.)"
    r"|(?P<named>\(\?<(?=[A-Za-z_]))"
    r"|(?P<brace>\{(?=,\d*\}))"
    r"|(?P<set>\[\^?\]?)",
    re.DOTALL,
)
_IN_SET: Final = re.compile(
    r"\\x\{(?P<hex>[0-9A-Fa-f]{1,2})\}"
    r"|\\(?P<escape>.)"
    r"|\[:(?P<not>\^?)(?P<posix>[a-z]+):\]"
    r"|(?P<bracket>\[)"
    r"|(?P<end>\])",
    re.DOTALL,
)


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> re.Pattern[bytes]:
    """Return ``pattern`` compiled for UTF-8 octets. Raises InvalidPattern."""
    try:
        with warnings.catch_warnings():
            # Python warns of "--" and the like in a set, which it may read in another way one day; PCRE never does.
            warnings.simplefilter("ignore", FutureWarning)
            return re.compile(_translated(pattern or NOTHING).encode("utf-8", "surrogatepass"))
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidPattern(pattern, getattr(error, "msg", str(error)), getattr(error, "pos", None) or 0) from None


def _translated(pattern: str) -> str:
    """Return ``pattern`` as Python writes it. Raises re.error for a POSIX class that is none."""
    parts: list[str] = []
    at = 0
    is_in_set = False
    while found := (_IN_SET if is_in_set else _OUTSIDE).search(pattern, at):
        parts += pattern[at : found.start()], _translated_in_set(found) if is_in_set else _translated_outside(found)
        at = found.end()
        if found.lastgroup in ("set", "end"):
            is_in_set = not is_in_set
    return "".join((*parts, pattern[at:]))


def _translated_outside(found: re.Match[str]) -> str:
    match found.lastgroup:
        case "literal":
            return re.escape(found["literal"])
        case "hex":
            return rf"\x{found['hex']:0>2}"
        case "escape":
            return _ESCAPES.get(found["escape"], found[0])
        case "named":
            return "(?P<"
        case "brace":
            return r"\{"  # "{,3}" is no repetition to PCRE.
    return found[0].replace("]", r"\]")  # A closing bracket that comes first in a set is one of its octets.


def _translated_in_set(found: re.Match[str]) -> str:
    match found.lastgroup:
        case "hex":
            return rf"\x{found['hex']:0>2}"
        case "escape":
            return _SET_ESCAPES.get(found["escape"], found[0])
        case "posix":
            inner = (_NEGATED if found["not"] else _CLASSES).get(found["posix"])
            if inner is None:
                raise re.error("unknown POSIX class name", found.string, found.start())
            return inner
        case "bracket":
            return r"\["
    return found[0]
