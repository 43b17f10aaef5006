"""Until when certificates are valid: just enough of their encoding to find that out.

Python's ``ssl`` tells it of a peer's checked certificate alone. RFC 5280, 4.1; X.690 (DER).
"""

import re
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_PEM: Final = re.compile(rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----(.*?)-----END", re.DOTALL)

_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_LATER_CENTURY: Final = 50
"""RFC 5280, 4.1.2.5.1: years below are of this century."""


def expiries(file: Path) -> list[datetime]:
    """Return when each certificate of a PEM file ends, in their order. Raises OSError, ValueError."""
    ends = []
    for found in _PEM.finditer(file.read_bytes()):
        try:
            ends.append(_not_after(b64decode(found[1])))
        except (ValueError, IndexError):
            raise ValueError(f"{str(file)!r} has a certificate that cannot be read") from None
    return ends


def _not_after(der: bytes) -> datetime:
    """Return when a certificate ends: its validity comes after version, number, algorithm and issuer."""
    _, certificate, _ = _element(der)
    _, fields, _ = _element(certificate)
    kind, _, rest = _element(fields)
    if kind == _VERSION:
        _, _, rest = _element(rest)
    for _ in range(2):
        _, _, rest = _element(rest)
    _, validity, _ = _element(rest)
    _, _, ends = _element(validity)
    kind, octets, _ = _element(ends)
    text = octets.decode("ascii")
    if kind == _UTC_TIME:
        text = ("20" if int(text[:2]) < _LATER_CENTURY else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _element(octets: bytes) -> tuple[int, bytes, bytes]:
    """Return kind, content and what comes after the first element. Raises IndexError, ValueError."""
    kind, size, start = octets[0], octets[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(octets[2:start])
    if start + size > len(octets):
        raise ValueError("an element is cut off")
    return kind, octets[start : start + size], octets[start + size :]
