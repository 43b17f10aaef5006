"""What a broker said, as lines of text that are equal where two brokers said the same.

Times, generated names and the prefix that makes names unique are taken out here, and so is what ``known.py`` lists.
Nothing here knows sockets or scripts.
"""

import re
from typing import Any

from conformance.codec import Typed
from conformance.differential.known import without_known
from conformance.wire import Method

_GENERATED = re.compile(r"amq\.(gen|ctag)-[\w-]{22}")
_SILENT_FIELDS = ("delivery_tag", "consumer_tag")


def line_of(method: Method, prefix: str) -> str:
    """Return the method with its content as one line, without delivery and consumer tag: others tell those apart."""
    fields = {key: value for key, value in method.fields.items() if key not in _SILENT_FIELDS}
    if method.name not in ("basic.deliver", "basic.get-ok"):
        fields.update({key: method.fields[key] for key in ("consumer_tag",) if key in method.fields})
    words = [method.name, *(f"{key}={value!r}" for key, value in fields.items())]
    if method.header_octets:
        words.append(f"body={method.body!r}")
        words += [f"{key}={value!r}" for key, value in method.properties.items() if key != "headers"]
        if "headers" in method.properties:
            words.append(f"headers={shown(without_known(method.typed_headers))}")
    return plain_names(" ".join(words), prefix)


def plain_names(text: str, prefix: str) -> str:
    """Return ``text`` with the script's own short names, and no generated part in any."""
    return _GENERATED.sub(r"amq.\1-", text.replace(prefix, ""))


def shown(typed: Typed) -> str:
    """Return a table value with its type, tables in the order of their keys. Timestamps show their type only."""
    value: Any = typed.value
    if typed.code == "F":
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in sorted(value.items())) + "}"
    if typed.code == "A":
        return "[" + ", ".join(map(shown, value)) + "]"
    return "T" if typed.code == "T" else f"{typed.code} {value!r}"
